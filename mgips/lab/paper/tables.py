"""The numbers of the paper as it prints them, misprints included: Tables 1-3 and the settings of §4.3."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from mgips.data.corpus import TYPES

CORPORA = {"twitter2015": "Twitter-2015", "twitter2017": "Twitter-2017"}
"""The paper's corpora, and what it calls them."""
OURS = "MGIPS-CL"
"""The paper's own model in Table 2."""


@dataclass(frozen=True)
class Scores:
    """A row of Table 2 on one corpus, in percent; None where the paper prints "-"."""

    PER: float | None
    """F1 of one type; likewise the next three."""
    LOC: float | None
    ORG: float | None
    MISC: float | None
    precision: float | None
    recall: float | None
    f1: float | None

    @property
    def types(self) -> dict[str, float] | None:
        """F1 of each type; None where the row has none."""
        return None if self.PER is None else {kind: getattr(self, kind) for kind in TYPES}


@dataclass(frozen=True)
class Method:
    """A row of Table 2."""

    group: str
    """The table's part: "text", "llm" or "multimodal" baselines; the paper's own model closes the last."""
    year: int | None
    """The year behind the name, where there is one."""
    scores: dict[str, Scores]
    """By corpus."""


def _rows(name: str) -> list[dict[str, str]]:
    """A table's file, a dictionary per line."""
    with open(Path(__file__).parent / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _table1(total: bool) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {corpus: {} for corpus in CORPORA}
    for row in _rows("table1"):
        corpus, split = row.pop("corpus"), row.pop("split")
        if (split == "total") == total:
            found[corpus][split] = {name: int(value) for name, value in row.items()}
    return found


def _table2() -> dict[str, Method]:
    found: dict[str, Method] = {}
    for row in _rows("table2"):
        name, group, year, corpus = (row.pop(key) for key in ("method", "group", "year", "corpus"))
        method = found.setdefault(name, Method(group, int(year) if year else None, {}))
        method.scores[corpus] = Scores(**{key: float(value) if value else None for key, value in row.items()})
    return found


def _table3() -> dict[str, dict[str, tuple[float, float, float]]]:
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in _rows("table3"):
        scores = float(row["precision"]), float(row["recall"]), float(row["f1"])
        found.setdefault(row["variant"], {})[row["corpus"]] = scores
    return found


TABLE1 = _table1(total=False)
"""Table 1: corpus → split → entities of each type, all entities, tweets."""
TABLE1_TOTALS = {corpus: columns["total"] for corpus, columns in _table1(total=True).items()}
"""Table 1's columns "Total": corpus → the same rows."""
TABLE2 = _table2()
"""Table 2, the comparison: method → its row, in the paper's order."""
TABLE3 = _table3()
"""Table 3, the ablation: variant (`mgips.config.VARIANTS`) → corpus → precision, recall, F1 in percent."""

SETTINGS: dict[str, float] = {
    "crop_size": 128,
    "patch_size": 32,
    "interweave_encoders": 1,
    "hidden_size": 768,
    "max_length": 40,
    "num_heads": 12,
    "num_layers": 12,
    "warmup_ratio": 0.06,
    "lr_text": 5e-5,
    "lr_image": 3e-5,
    "weight_decay": 1e-2,
    "k": 3,
    "epochs": 40,
}
"""Settings that the paper gives (§3.1.2, §3.3.2, §4.3; epochs: §4.6.1, for the study of K), by the names of
`mgips.config`."""
