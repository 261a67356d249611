"""Numbers as the paper prints them, misprints included, and the paper held against itself.

Tables 1-3, the settings of §4.3 and the numbers of the prose are copied here as printed: what measurements are held
against. The functions below compute what they say about each other:

    table1_sums         Table 1's rows and columns against its own totals
    table1_files(audit) Table 1 against the files of a corpus
    table_f1s           every row with P, R and F1 against 2PR / (P + R)
    table2_types        a row's F1 against the F1 of its four types
    table3_full         Table 3's first row against Table 2's last
    prose               every number of the prose that follows from the tables

Each returns a `Finding` per place, those that agree too, so that one sees what was checked; `report` prints them.
Statements that rest on a figure (§4.6, §4.7) are left out: their numbers are not printed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mgips.data.audit import Audit

CORPORA = {"twitter2015": "Twitter-2015", "twitter2017": "Twitter-2017"}
_TYPES = ("PER", "LOC", "ORG", "MISC")

TABLE1: dict[str, dict[str, dict[str, int]]] = {
    "twitter2015": {
        "train": {"PER": 2217, "LOC": 2091, "ORG": 928, "MISC": 940, "entities": 6176, "tweets": 4000},
        "dev": {"PER": 552, "LOC": 552, "ORG": 247, "MISC": 225, "entities": 1546, "tweets": 1000},
        "test": {"PER": 1816, "LOC": 1697, "ORG": 839, "MISC": 726, "entities": 5078, "tweets": 3257},
    },
    "twitter2017": {
        "train": {"PER": 2943, "LOC": 731, "ORG": 1674, "MISC": 701, "entities": 6049, "tweets": 3373},
        "dev": {"PER": 626, "LOC": 173, "ORG": 375, "MISC": 150, "entities": 1324, "tweets": 723},
        "test": {"PER": 621, "LOC": 178, "ORG": 395, "MISC": 157, "entities": 1351, "tweets": 723},
    },
}
"""Table 1: corpus → split → entities of each type, all entities, tweets."""

TABLE1_TOTALS: dict[str, dict[str, int]] = {
    "twitter2015": {"PER": 4585, "LOC": 4340, "ORG": 2014, "MISC": 1891, "entities": 12800, "tweets": 8257},
    "twitter2017": {"PER": 4190, "LOC": 1082, "ORG": 2444, "MISC": 1008, "entities": 8724, "tweets": 4819},
}
"""Table 1's columns "Total": corpus → the same rows."""


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
        return None if self.PER is None else {kind: getattr(self, kind) for kind in _TYPES}


@dataclass(frozen=True)
class Method:
    """A row of Table 2."""

    group: Literal["text", "llm", "multimodal"]
    """The table's part: text, LLM and multimodal baselines; the paper's own model closes the last."""
    year: int | None
    """The year behind the name, where there is one."""
    scores: dict[str, Scores]
    """By corpus."""


_ = None
# name, group, year, then per corpus: F1 of PER, LOC, ORG, MISC, then precision, recall, F1
_TABLE2: tuple[tuple, ...] = (
    ("BiLSTM-CRF",      "text",       2016, 76.77, 72.56, 41.33, 26.80, 68.14, 61.09, 64.42,   85.12, 72.68,  72.5, 52.56, 79.42, 73.43, 76.31),
    ("CNN-BiLSTM-CRF",  "text",       2016, 80.86, 75.39, 47.77, 32.61, 66.24, 68.09, 67.15,   87.99, 77.44, 74.02, 60.82, 80.00, 78.76, 79.37),
    ("BERT",            "text",       _,    84.72, 79.91, 58.26, 38.81, 68.30, 74.61, 71.32,   90.88, 84.00, 79.25, 61.63, 82.19, 83.72, 82.95),
    ("BERT-CRF",        "text",       _,    84.74, 80.51, 60.27, 37.29, 69.22, 74.59, 71.81,   90.25, 83.05, 81.13, 62.21, 83.32, 83.57, 83.44),
    ("BERT-BiLSTM-CRF", "text",       2019, 84.32, 79.31, 61.66, 37.53, 71.03, 73.57, 72.27,   90.29, 84.55, 80.97, 64.85, 83.20, 84.68, 83.93),
    ("ChatGPT",         "llm",        _,        _,     _,     _,     _,     _,     _, 50.21,       _,     _,     _,     _,     _,     _, 57.50),
    ("GPT-4",           "llm",        _,        _,     _,     _,     _,     _,     _, 57.98,       _,     _,     _,     _,     _,     _, 66.61),
    ("CoT (ChatGPT)",   "llm",        2023,     _,     _,     _,     _,     _,     _, 76.53,       _,     _,     _,     _,     _,     _, 87.79),
    ("UMIE (Flan-T5)",  "llm",        2024,     _,     _,     _,     _,     _,     _, 76.10,       _,     _,     _,     _,     _,     _, 88.10),
    ("AdaCAN",          "multimodal", 2018, 81.98, 78.95, 53.07, 34.02, 72.75, 68.74, 70.69,   89.63, 77.46, 79.24, 62.77, 84.16, 80.24, 82.15),
    ("AdaCAN-BERT-CRF", "multimodal", 2018, 85.28, 80.64, 59.39, 38.88, 69.87, 74.59, 72.15,   90.20, 82.97, 82.67, 64.83, 85.13, 83.20, 84.10),
    ("UMT",             "multimodal", 2020, 85.24, 81.58, 63.03, 39.45, 71.84, 74.61, 73.20,   91.56, 84.73, 82.24, 70.10, 85.08, 85.27, 85.18),
    ("MEGA",            "multimodal", 2021,     _,     _,     _,     _, 70.35, 74.58, 72.35,       _,     _,     _,     _, 84.03, 84.75, 84.39),
    ("UMGF",            "multimodal", 2021, 84.26, 83.17, 62.45, 42.42, 74.49, 75.21, 74.85,   91.92, 85.22, 83.13, 69.83, 86.54, 84.50, 85.51),
    ("MAF",             "multimodal", 2022, 84.67, 81.18, 63.35, 41.82, 71.86, 75.10, 73.42,   91.51, 85.80, 85.10, 68.79, 86.13, 86.38, 86.25),
    ("M3S",             "multimodal", 2022, 86.05, 81.32, 62.97, 41.36, 74.92, 75.14, 75.03,   92.73, 84.81, 82.49, 69.53, 86.93, 85.21, 86.06),
    ("CAT-MNER",        "multimodal", 2022, 85.57, 81.97, 61.12, 40.20, 76.19, 74.65, 75.41,   91.90, 85.96, 83.38, 68.67, 87.04, 84.97, 85.99),
    ("FMIT",            "multimodal", 2022, 86.77, 83.93, 64.88, 42.97, 75.11, 77.43, 76.25,   93.14, 86.52, 83.93, 70.90, 87.51, 86.08, 86.79),
    ("HVPNet",          "multimodal", 2022,     _,     _,     _,     _, 73.87, 76.82, 75.32,       _,     _,     _,     _, 85.84, 87.93, 86.87),
    ("MKGFormer",       "multimodal", 2022,     _,     _,     _,     _,     _,     _,     _,       _,     _,     _,     _, 86.98, 88.01, 87.49),
    ("BFCL",            "multimodal", 2023, 85.60, 81.77, 63.81, 40.30, 74.02, 75.07, 74.54,   91.17, 86.43, 83.97, 66.67, 85.99, 85.42, 85.70),
    ("MNER-QG",         "multimodal", 2023, 85.31, 81.65, 63.41, 41.32, 77.43, 72.15, 74.70,   90.90, 86.19, 84.52, 71.67, 88.26, 85.65, 86.94),
    ("DebiasCL",        "multimodal", 2023, 85.97, 81.84, 64.02, 43.38, 74.45, 76.13, 75.28,   93.46, 84.15, 84.42, 67.88, 87.59, 86.11, 86.84),
    ("MPMRC-MNER",      "multimodal", 2023, 85.88, 83.06, 66.60, 42.99, 77.15, 75.39, 76.26,   92.80, 86.80, 83.40, 72.79, 87.10, 87.16, 87.13),
    ("BGA-MNER",        "multimodal", 2023, 86.80, 83.62, 63.60, 42.65, 78.60, 74.16, 76.31,   93.71, 85.55, 85.71, 71.05, 87.71, 87.71, 87.71),
    ("MCG-MNER",        "multimodal", 2023,     _,     _,     _,     _, 76.00, 77.32, 76.65,       _,     _,     _,     _, 87.59, 88.52, 88.05),
    ("TMR",             "multimodal", 2023,     _,     _,     _,     _, 75.26, 76.49, 75.87,       _,     _,     _,     _, 88.12, 88.38, 88.25),
    ("ICKA",            "multimodal", 2024, 87.01, 83.85, 65.87, 48.28, 72.36, 78.75, 75.42,   93.99, 87.24, 86.24, 75.76, 85.13, 89.19, 87.12),
    ("VEC-MNER",        "multimodal", 2024, 86.11, 81.03, 62.86, 40.60, 74.56, 75.23, 74.89,   93.88, 81.27, 85.49, 73.40, 87.42, 87.61, 87.51),
    ("MGIPS-CL",        "multimodal", _,    86.83, 82.72, 66.20, 46.02, 77.70, 76.04, 76.86,   94.87, 85.88, 85.68, 73.31, 88.29, 88.75, 88.52),
)  # fmt: skip

TABLE2: dict[str, Method] = {
    name: Method(group, year, {"twitter2015": Scores(*cells[:7]), "twitter2017": Scores(*cells[7:])})
    for name, group, year, *cells in _TABLE2
}
"""Table 2, the comparison: method → its row, in the paper's order."""

OURS = "MGIPS-CL"
"""The paper's own model in Table 2."""

TABLE3: dict[str, dict[str, tuple[float, float, float]]] = {
    "full": {"twitter2015": (77.70, 76.04, 76.86), "twitter2017": (88.29, 88.75, 88.52)},
    "no-ips": {"twitter2015": (74.66, 77.08, 75.85), "twitter2017": (87.20, 88.23, 87.71)},
    "no-mgi": {"twitter2015": (75.09, 76.81, 75.94), "twitter2017": (86.87, 87.92, 87.39)},
    "no-row": {"twitter2015": (76.03, 76.70, 76.36), "twitter2017": (88.25, 87.92, 88.08)},
    "no-column": {"twitter2015": (76.12, 76.70, 76.41), "twitter2017": (87.79, 88.52, 88.15)},
}
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


# ---- findings ----


@dataclass(frozen=True)
class Finding:
    """One place of the paper, held against what its own numbers or the files say."""

    place: str
    printed: float
    computed: float
    tolerance: float
    """How far apart rounding alone may bring the two."""
    sentence: str

    @property
    def difference(self) -> float:
        """Printed minus computed."""
        return self.printed - self.computed

    @property
    def agrees(self) -> bool:
        """Whether the difference is within what rounding allows."""
        return abs(self.difference) <= self.tolerance + 1e-9


def _count(place: str, printed: int, computed: int, what: str) -> Finding:
    return Finding(place, printed, computed, 0, f"{place}: {printed:,} printed, {computed:,} {what}")


def table1_sums() -> list[Finding]:
    """Table 1's total entities against the sum over types, and its totals against the sum over splits."""
    findings = []
    for corpus, splits in TABLE1.items():
        columns = {**splits, "total": TABLE1_TOTALS[corpus]}
        for name, column in columns.items():
            place = f"Table 1, {CORPORA[corpus]} {name} entities"
            findings.append(_count(place, column["entities"], sum(column[kind] for kind in _TYPES), "by its types"))
        for row, printed in TABLE1_TOTALS[corpus].items():
            place = f"Table 1, {CORPORA[corpus]} {row} in all"
            findings.append(_count(place, printed, sum(split[row] for split in splits.values()), "by its splits"))
    return findings


def table1_files(found: Audit) -> list[Finding]:
    """Table 1 against the B- tags and tweets that `mgips.data.audit.audit` counted; empty for a corpus not in it."""
    return [
        _count(
            f"Table 1, {CORPORA[found.published]} {split} {row}",
            printed,
            found.splits[split].tweets if row == "tweets" else found.splits[split].strict[row],
            "in the file",
        )
        for split, column in TABLE1.get(found.published, {}).items()
        for row, printed in column.items()
    ]


def harmonic_mean(precision: float, recall: float) -> float:
    """F1 = 2PR / (P + R), in the unit of its arguments."""
    return 2 * precision * recall / (precision + recall)


def scatter_needed(precision: float, recall: float, gap: float) -> float:
    """How far P - R must scatter over seeds (standard deviation) for averages to fall `gap` short of 2PR / (P + R).

    F1 is concave in P and R, so the mean of F1s is never above the F1 of the means. To second order, with P + R the
    same in every run, the gap is Var(P - R) / (2 (P + R)).
    """
    return (2 * (precision + recall) * gap) ** 0.5


def table_f1s() -> list[Finding]:
    """Every row of Tables 2 and 3 with P, R and F1 against 2PR / (P + R).

    The tolerance is what three roundings to two decimals can do, about 0.01. The paper's rows are averages over five
    seeds, and others' rows may be; the mean of F1s is not the F1 of the means but a little lower (`scatter_needed`).
    So a row printed a few hundredths low may be an average or hold a misprinted digit: the two cannot be told apart.
    """
    rows = {
        f"Table 2, {name}": {c: (s.precision, s.recall, s.f1) for c, s in method.scores.items()}
        for name, method in TABLE2.items()
    }
    rows |= {f"Table 3, {variant}": scores for variant, scores in TABLE3.items()}
    findings = []
    for row, corpora in rows.items():
        for corpus, (p, r, f1) in corpora.items():
            if p is None:
                continue
            place, computed = f"{row}, {CORPORA[corpus]}", harmonic_mean(p, r)
            # dF/dP + dF/dR = 2 (P² + R²) / (P + R)²; each of the three numbers is off by at most 0.005
            tolerance = 0.005 * (1 + 2 * (p * p + r * r) / (p + r) ** 2)
            sentence = f"{place}: F1 {f1:.2f} printed, {computed:.2f} from P {p:.2f} and R {r:.2f}"
            gap = computed - f1
            if gap > tolerance:
                sentence += (
                    f"; as an average over seeds it fits if P - R scatters by {scatter_needed(p, r, gap):.1f} points"
                )
            elif -gap > tolerance:
                sentence += "; averaging over seeds lowers F1 and cannot explain it"
            findings.append(Finding(place, f1, computed, tolerance, sentence))
    return findings


def type_range(gold: dict[str, int], scores: Scores) -> tuple[float, float]:
    """The lowest and highest F1 that a row's type F1s, P and R leave room for, in percent.

    A type's F1 is 2 right / (gold + predicted), so the F1 over all is the types' mean with weights gold + predicted.
    P and R fix the number predicted over all; its split over the types is free, as long as no type has more right
    than gold or predicted. The extremes over all such splits are a linear programme of four unknowns.

    Args:
        gold: entities of each type in the test split.
        scores: a row with all seven numbers.
    """
    from scipy.optimize import linprog

    f1s = {kind: f1 / 100 for kind, f1 in scores.types.items()}
    entities = sum(gold[kind] for kind in _TYPES)
    predicted = scores.recall / scores.precision * entities
    # right = f1 (gold + predicted) / 2 is at most gold, and at most predicted
    bounds = [(gold[kind] * f1 / (2 - f1), gold[kind] * (2 - f1) / f1) for kind, f1 in f1s.items()]
    slopes = [100 * f1 / (entities + predicted) for f1 in f1s.values()]
    start = sum(slope * gold[kind] for kind, slope in zip(_TYPES, slopes, strict=True))
    ends = []
    for sign in (1, -1):
        best = linprog([sign * slope for slope in slopes], A_eq=[[1] * 4], b_eq=[predicted], bounds=bounds)
        assert best.success, f"no split of the predictions fits: {best.message}"
        ends.append(start + sign * best.fun)
    return ends[0], ends[1]


def table2_types() -> list[Finding]:
    """Every row of Table 2 with type F1s: does its F1 lie where they, P, R and Table 1's test column allow?

    `computed` is the nearest F1 that they do. The tolerance, 0.02, covers the rounding of all seven numbers; averaging
    over seeds adds a few hundredths (as in `table_f1s`). A row far outside mixes numbers of different runs or
    different test files.
    """
    findings = []
    for name, method in TABLE2.items():
        for corpus, scores in method.scores.items():
            if scores.types is None:
                continue
            low, high = type_range(TABLE1[corpus]["test"], scores)
            place = f"Table 2, {name}, {CORPORA[corpus]}"
            sentence = f"{place}: F1 {scores.f1:.2f} printed; its types, P and R leave {low:.2f} to {high:.2f}"
            findings.append(Finding(place, scores.f1, min(max(scores.f1, low), high), 0.02, sentence))
    return findings


def table3_full() -> list[Finding]:
    """Table 3's row of the full model against Table 2's."""
    findings = []
    for corpus, row in TABLE3["full"].items():
        own = TABLE2[OURS].scores[corpus]
        for what, printed, there in zip(("P", "R", "F1"), row, (own.precision, own.recall, own.f1), strict=True):
            place = f"Table 3, {OURS}, {CORPORA[corpus]} {what}"
            findings.append(
                Finding(place, printed, there, 0, f"{place}: {printed:.2f} printed, {there:.2f} in Table 2")
            )
    return findings


# ---- the prose ----


@dataclass(frozen=True)
class Claim:
    """A statement of the prose that follows from the tables, or does not."""

    place: str
    """The section."""
    quote: str
    """Its words, for finding it."""
    printed: float
    """Its number; for an order ("all superior") the number of comparisons that it makes."""
    compute: Callable[[], float]
    """The same from the tables; for an order the number of comparisons that hold."""
    how: str
    """What is computed."""
    kind: Literal["score", "difference", "order", "number"] = "difference"

    def check(self) -> Finding:
        """The claim held against the tables. Differences may be off by one last digit, if the authors subtracted
        before rounding."""
        computed = self.compute()
        if self.kind == "order":
            told = f"{computed:.0f} of {self.printed:.0f} comparisons hold"
        else:
            form = ".2f" if self.kind in ("score", "difference") else "g"
            told = f"{self.printed:{form}} printed, {computed:{form}} computed"
        tolerance = 0.01 if self.kind == "difference" else 0
        # Two-decimal numbers are subtracted here: round what binary fractions add.
        return Finding(
            self.place,
            self.printed,
            round(computed, 6),
            tolerance,
            f'{self.place}, "{self.quote}": {told} ({self.how})',
        )


def _f1(name: str, corpus: str) -> float:
    """F1 of a method of Table 2, or of a variant of Table 3."""
    return TABLE3[name][corpus][2] if name in TABLE3 else TABLE2[name].scores[corpus].f1


def _own(place: str, quote: str, *printed: float) -> list[Claim]:
    """The paper's own F1 on both corpora, as the prose repeats it."""
    return [
        Claim(
            place, quote, value, lambda corpus=corpus: _f1(OURS, corpus), f"Table 2, {OURS}, {CORPORA[corpus]}", "score"
        )
        for corpus, value in zip(CORPORA, printed, strict=True)
    ]


def _gap(place: str, quote: str, corpus: str, printed: float, better: str, worse: str) -> Claim:
    """F1 of one row minus F1 of another."""
    how = f"F1 of {better} minus {worse}, {CORPORA[corpus]}"
    return Claim(place, quote, printed, lambda: _f1(better, corpus) - _f1(worse, corpus), how)


def _gaps(place: str, quote: str, printed: tuple[float, float], better: str, worse: str) -> list[Claim]:
    """The same on both corpora."""
    return [_gap(place, quote, corpus, value, better, worse) for corpus, value in zip(CORPORA, printed, strict=True)]


def _order(place: str, quote: str, pairs: Callable[[], list[tuple[float, float]]], how: str) -> Claim:
    """That the first of every pair is the greater."""
    return Claim(place, quote, len(pairs()), lambda: sum(a > b for a, b in pairs()), how, "order")


def _bert_over_others() -> list[tuple[float, float]]:
    bert, others = ("BERT", "BERT-CRF", "BERT-BiLSTM-CRF"), ("BiLSTM-CRF", "CNN-BiLSTM-CRF")
    return [
        (getattr(TABLE2[a].scores[corpus], what), getattr(TABLE2[b].scores[corpus], what))
        for corpus in CORPORA
        for a in bert
        for b in others
        for what in ("precision", "recall", "f1")
    ]


def _crf_over_none() -> list[tuple[float, float]]:
    with_crf = [name for name, method in TABLE2.items() if method.group == "text" and name.endswith("CRF")]
    return [(_f1(name, corpus), _f1("BERT", corpus)) for corpus in CORPORA for name in with_crf]


def _ours_over_others() -> list[tuple[float, float]]:
    return [(_f1(OURS, corpus), other) for corpus in CORPORA for other in _others(corpus)]


def _single_over_no_mgi() -> list[tuple[float, float]]:
    return [(_f1(name, corpus), _f1("no-mgi", corpus)) for corpus in CORPORA for name in ("no-row", "no-column")]


def _others(corpus: str) -> list[float]:
    """F1 of every other method of Table 2 that has one."""
    return [m.scores[corpus].f1 for name, m in TABLE2.items() if name != OURS and m.scores[corpus].f1 is not None]


def _over_best_other(quote: str, corpus: str, printed: float) -> Claim:
    """The margin over the best of the others, whichever that is."""
    how = f"F1 of {OURS} minus the highest other, {CORPORA[corpus]}"
    return Claim("§4.4", quote, printed, lambda: _f1(OURS, corpus) - max(_others(corpus)), how)


_IMPROVES = {
    "twitter2015": "our model improves F1-scores by 1.97%, 1.44%, 0.55%, 0.60% and 0.61%",
    "twitter2017": "our model improves F1-scores by 0.98%, 1.40%, 0.47%, 0.81%",
}

CLAIMS: tuple[Claim, ...] = (
    *_own("Abstract", "achieving F1-scores of 76.86% and 88.52%", 76.86, 88.52),
    *_own("§1", "achieving F1-scores of 76.86% and 88.52%", 76.86, 88.52),
    Claim("§3.1.2", "to obtain $3 \\times 4 \\times 4$ patches", 4, lambda: 128 / 32, "128 / 32, §3.1.2", "number"),
    Claim("§3.4.2", "in the remaining 66.2% of the tweets", 66.2, lambda: 100 - 33.8, "100 - 33.8, §3.4.2", "number"),
    _order("§4.4", "models using BERT outperform the models using CNN and LSTM", _bert_over_others, "P, R and F1"),
    _order("§4.4", "models using CRF are all superior to the models without", _crf_over_none, "F1, each over BERT"),
    _gap(
        "§4.4",
        "twitter-2015 is 0.12% lower than BERT-BiLSTM-CRF",
        "twitter2015",
        0.12,
        "BERT-BiLSTM-CRF",
        "AdaCAN-BERT-CRF",
    ),
    _gap(
        "§4.4",
        "0.17% higher than the F1-score of BERT-BiLSTM-CRF",
        "twitter2017",
        0.17,
        "AdaCAN-BERT-CRF",
        "BERT-BiLSTM-CRF",
    ),
    _order(
        "§4.4",
        "comprehensive SOTA on both twitter-2015 and twitter-2017",
        _ours_over_others,
        "F1, over every other row",
    ),
    *_gaps("§4.4", "surpasses that of ChatGPT by 16.32% and 30.29%", (16.32, 30.29), "CoT (ChatGPT)", "ChatGPT"),
    *_gaps("§4.4", "exceeds GPT-4 by 18.55% and 21.18%", (18.55, 21.18), "CoT (ChatGPT)", "GPT-4"),
    _gap("§4.4", "UMIE is 0.43% lower than that of CoT", "twitter2015", 0.43, "CoT (ChatGPT)", "UMIE (Flan-T5)"),
    _gap("§4.4", "but 0.31% higher on Twitter-2017", "twitter2017", 0.31, "UMIE (Flan-T5)", "CoT (ChatGPT)"),
    *(
        _gap("§4.4", _IMPROVES["twitter2015"], "twitter2015", value, OURS, other)
        for other, value in {"VEC-MNER": 1.97, "ICKA": 1.44, "BGA-MNER": 0.55, "MPMRC-MNER": 0.60, "FMIT": 0.61}.items()
    ),
    *(
        _gap("§4.4", _IMPROVES["twitter2017"], "twitter2017", value, OURS, other)
        for other, value in {"VEC-MNER": 0.98, "ICKA": 1.40, "MCG-MNER": 0.47, "BGA-MNER": 0.81}.items()
    ),
    _gap(
        "§4.4",
        "and 1.03% compared to VEC-MNER, ICKA, MCG-MNER, BGA-MNER and MKGFormer",
        "twitter2017",
        1.03,
        OURS,
        "MKGFormer",
    ),
    *_own("§4.4", "SOTA performance of 75.86% and 88.52% on both datasets", 75.86, 88.52),
    _over_best_other("improvement of 0.21% over the previous best MCG-MNER", "twitter2015", 0.21),
    _over_best_other("0.27% over the previous best TMR on Twitter-2017", "twitter2017", 0.27),
    *_gaps("§4.5", "w/o IPS-CL drop 1.01% and 0.81%", (1.01, 0.81), "full", "no-ips"),
    *_gaps("§4.5", "w/o MGI drop 0.92% and 1.13%", (0.92, 1.13), "full", "no-mgi"),
    *_gaps("§4.5", "w/o Row-grained drop 0.50% and 0.44%", (0.50, 0.44), "full", "no-row"),
    *_gaps("§4.5", "w/o Column-grained drop 0.45% and 0.37%", (0.45, 0.37), "full", "no-column"),
    _order("§4.5", "single-granularity fusion are all higher than those w/o MGI", _single_over_no_mgi, "F1, Table 3"),
    *_own("§5", "with F1 scores of 76.86% and 88.52%", 76.86, 88.52),
)
"""The numbers of the prose that the tables can confirm, in the paper's order."""


def prose() -> list[Finding]:
    """Every claim of the prose against the tables."""
    return [claim.check() for claim in CLAIMS]


@dataclass(frozen=True)
class Slip:
    """Two places of the paper that cannot both be meant, without a number to subtract."""

    place: str
    printed: str
    """What stands there, in the paper's own notation."""
    against: str
    """What speaks against it."""
    reading: str
    """How mgips reads it."""


SLIPS: tuple[Slip, ...] = (
    Slip(
        "Eq. 2",
        "Q_{l+1}^t &= H_l^v W_{l+1}^q",
        "Eq. 3 takes the text's queries from the text; from the image, H^t would have the image's m rows in eq. 4.",
        "Queries of the text come from H^t.",
    ),
    Slip(
        "Eq. 6",
        "\\text{softmax}(M_{im} \\otimes M_4, \\dim = -1)",
        "With M4 of d × 1 the last axis has length one, and the softmax is 1 whatever M is.",
        "M4 has n entries and acts on M's columns; the softmax runs over the d features.",
    ),
    Slip(
        "§3.3.1",
        "multiplying H^v with M_F and M_C respectively",
        "Eq. 7 multiplies f1(Linear1(H^t)).",
        "As in eq. 7.",
    ),
    Slip(
        "Eq. 8",
        "the dimension of its output is the same as M_{im}",
        "M has the text's n rows, and eq. 10 adds the output to X^v, which has the image's m.",
        "f3 brings its output to the guide's length.",
    ),
    Slip(
        "§3.4.2",
        "where n denotes the batch size",
        "n is the length of a text in the same sentence, and eq. 16 calls the batch size N; eq. 18 calls the training set's size N.",
        "n counts text positions, N the images to mine from.",
    ),
    Slip(
        "§4.7",
        "Our model only outperforms VEC-MNER on two datasets when the data scale is large",
        "Two sentences earlier it outperforms TMR and VEC-MNER even at a small training scale.",
        "Nothing rests on it.",
    ),
)
"""Equations and sentences that contradict another place of the paper."""


# ---- the report ----


def checks(*audits: Audit) -> dict[str, list[Finding]]:
    """All findings by what was checked; with the audits of corpora, Table 1 against their files too."""
    found = {
        "Table 1, its totals against its cells": table1_sums(),
        "Table 1 against the files": [finding for audit in audits for finding in table1_files(audit)],
        "Tables 2 and 3, F1 against 2PR / (P + R)": table_f1s(),
        "Table 2, F1 against the types' F1": table2_types(),
        "Table 3, the full model against Table 2": table3_full(),
        "The prose against the tables": prose(),
    }
    return {title: findings for title, findings in found.items() if findings}


def report(*audits: Audit) -> str:
    """What was checked, how much of it agrees, and every place that does not, as a page of text."""
    out = []
    for title, findings in checks(*audits).items():
        differ = [finding for finding in findings if not finding.agrees]
        out.append(f"{title}: {len(findings) - len(differ)} of {len(findings)} agree")
        out += [f"  ≠ {finding.sentence}" for finding in differ]
    out.append(f"Equations and sentences against another place: {len(SLIPS)}")
    out += [f"  ≠ {slip.place}, {slip.printed}: {slip.against} Read here: {slip.reading}" for slip in SLIPS]
    return "\n".join(out)
