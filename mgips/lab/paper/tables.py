"""The numbers of the paper as it prints them, misprints included: Tables 1-3 and the settings of §4.3."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mgips.tags import TYPES

FOLDER = Path(__file__).parent

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


def _rows(name: str, *keys: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Each line of a table's file: the cells of its key columns, and the others by column."""
    with open(FOLDER / f"{name}.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield [row.pop(key) for key in keys], row


TABLE1: dict[str, dict[str, dict[str, int]]] = {corpus: {} for corpus in CORPORA}
"""Table 1: corpus → split → entities of each type, all entities, tweets."""
for (_corpus, _split), _row in _rows("table1", "corpus", "split"):
    TABLE1[_corpus][_split] = {name: int(cell) for name, cell in _row.items()}
TABLE1_TOTALS = {corpus: columns.pop("total") for corpus, columns in TABLE1.items()}
"""Table 1's columns "Total": corpus → the same rows."""

TABLE2: dict[str, Method] = {}
"""Table 2, the comparison: method → its row, in the paper's order."""
for (_name, _group, _year, _corpus), _row in _rows("table2", "method", "group", "year", "corpus"):
    _method = TABLE2.setdefault(_name, Method(_group, int(_year) if _year else None, {}))
    _method.scores[_corpus] = Scores(**{column: float(cell) if cell else None for column, cell in _row.items()})

TABLE3: dict[str, dict[str, tuple[float, ...]]] = {variant: {} for (variant,), _ in _rows("table3", "variant")}
"""Table 3, the ablation: variant (`mgips.config.VARIANTS`) → corpus → precision, recall, F1 in percent."""
for (_variant, _corpus), _row in _rows("table3", "variant", "corpus"):
    TABLE3[_variant][_corpus] = tuple(float(cell) for cell in _row.values())

SETTINGS: dict[str, float] = tomllib.loads((FOLDER / "settings.toml").read_text(encoding="utf-8"))
"""Settings that the paper gives (§3.1.2, §3.3.2, §4.3; epochs: §4.6.1, for the study of K), by the names of
`mgips.config`."""
