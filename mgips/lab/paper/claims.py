"""The paper held against itself: its tables and its prose, and Table 1 against the files of a corpus.

Each check returns a `Finding` per place, those that agree too, to show what was checked; `report` prints them.
Statements that rest on a figure (§4.6, §4.7) are left out: their numbers are not printed.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

from mgips.lab.paper.tables import CORPORA, OURS, TABLE1, TABLE1_TOTALS, TABLE2, TABLE3, Scores
from mgips.tags import TYPES

Counts = Mapping[str, Mapping[str, int]]
"""Split → entities of each type, all entities, tweets: a corpus counted as in Table 1."""


@dataclass(frozen=True)
class Finding:
    """One place of the paper, compared with what its own numbers or the files say."""

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


SCORES = ("precision", "recall", "f1")
ANY_OTHER = "any other"
"""In claims.toml: every method of Table 2 but the paper's own."""


def _printed(name: str, corpus: str, score: str = "f1") -> list[float]:
    """The score of a method of Table 2 or a variant of Table 3, or those of `ANY_OTHER`; empty where it prints "-"."""
    if name in TABLE3:
        return [TABLE3[name][corpus][SCORES.index(score)]]
    methods = [method for method in TABLE2 if method != OURS] if name == ANY_OTHER else [name]
    scores = [getattr(TABLE2[method].scores[corpus], score) for method in methods]
    return [value for value in scores if value is not None]


def _equal(place: str, printed: float, computed: float, source: str, form: str = ",") -> Finding:
    return Finding(place, printed, computed, 0, f"{place}: {printed:{form}} printed, {computed:{form}} {source}")


def table1_sums() -> list[Finding]:
    """Table 1's total entities against the sum over types, and its totals against the sum over splits."""
    findings = []
    for corpus, splits in TABLE1.items():
        columns = {**splits, "total": TABLE1_TOTALS[corpus]}
        for name, column in columns.items():
            place = f"Table 1, {CORPORA[corpus]} {name} entities"
            findings.append(_equal(place, column["entities"], sum(column[kind] for kind in TYPES), "by its types"))
        for row, printed in TABLE1_TOTALS[corpus].items():
            place = f"Table 1, {CORPORA[corpus]} {row} in all"
            findings.append(_equal(place, printed, sum(split[row] for split in splits.values()), "by its splits"))
    return findings


def table1_files(corpus: str, counts: Counts) -> list[Finding]:
    """Table 1 against what a corpus holds (`mgips.lab.audit.Audit.counts`); empty for a corpus not in it."""
    return [
        _equal(f"Table 1, {CORPORA[corpus]} {split} {row}", printed, counts[split][row], "in the file")
        for split, column in TABLE1.get(corpus, {}).items()
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
    So a row printed a few hundredths low may be an average or hold a misprinted digit; its numbers do not say which.
    """
    findings = []
    for name, corpus in itertools.product((*TABLE2, *TABLE3), CORPORA):
        row = [value for score in SCORES for value in _printed(name, corpus, score)]
        if len(row) < 3:
            continue
        p, r, f1 = row
        place = f"Table {3 if name in TABLE3 else 2}, {name}, {CORPORA[corpus]}"
        computed = harmonic_mean(p, r)
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
    """The lowest and highest F1 that are possible with a row's type F1s, P and R, in percent.

    A type's F1 is 2 right / (gold + predicted), so the F1 over all is the types' mean with weights gold + predicted.
    P and R fix the number predicted over all; its split over the types is free, as long as no type has more right
    than gold or predicted. The extremes over all such splits are a linear programme of four unknowns.

    Args:
        gold: entities of each type in the test split.
        scores: a row with all seven numbers.
    """
    assert scores.types and scores.precision and scores.recall, "a row with all seven numbers"
    f1s = np.array([scores.types[kind] for kind in TYPES]) / 100
    golds = np.array([gold[kind] for kind in TYPES])
    predicted = scores.recall / scores.precision * golds.sum()
    # right = f1 (gold + predicted) / 2 is at most gold, and at most predicted
    bounds = np.stack([golds * f1s / (2 - f1s), golds * (2 - f1s) / f1s], axis=1)
    ends = []
    for sign in (1, -1):
        best = linprog(sign * f1s, A_eq=[[1] * 4], b_eq=[predicted], bounds=bounds)
        assert best.success, f"no split of the predictions fits: {best.message}"
        ends.append(100 * float(np.average(f1s, weights=golds + best.x)))
    return ends[0], ends[1]


def table2_types() -> list[Finding]:
    """Every row of Table 2 with type F1s: does its F1 lie where they, P, R and Table 1's test column allow?

    `computed` is the nearest F1 that they do. The tolerance, 0.02, covers the rounding of all seven numbers; averaging
    over seeds adds a few hundredths (as in `table_f1s`). A row far outside mixes numbers of different runs or
    different test files.
    """
    findings = []
    for name, corpus in itertools.product(TABLE2, CORPORA):
        scores = TABLE2[name].scores[corpus]
        if scores.types is None or scores.f1 is None:
            continue
        low, high = type_range(TABLE1[corpus]["test"], scores)
        place = f"Table 2, {name}, {CORPORA[corpus]}"
        sentence = f"{place}: F1 {scores.f1:.2f} printed; its types, P and R leave {low:.2f} to {high:.2f}"
        findings.append(Finding(place, scores.f1, min(max(scores.f1, low), high), 0.02, sentence))
    return findings


def table3_full() -> list[Finding]:
    """Table 3's row of the full model against Table 2's."""
    return [
        _equal(f"Table 3, {OURS}, {CORPORA[corpus]} {letter}", printed, own, "in Table 2", ".2f")
        for corpus, row in TABLE3["full"].items()
        for letter, score, printed in zip(("P", "R", "F1"), SCORES, row, strict=True)
        for own in _printed(OURS, corpus, score)
    ]


# ---- the prose ----

Check = tuple[float, Callable[[], float], str]
"""What the prose prints, how to compute it from the tables, and that in words."""


def _score(**printed: float) -> Iterator[Check]:
    """The paper's own F1, by corpus."""
    for corpus, f1 in printed.items():
        yield f1, lambda c=corpus: max(_printed(OURS, c)), f"Table 2, {OURS}, {CORPORA[corpus]}"


def _gap(better: str, worse: list[str], **printed: list[float]) -> Iterator[Check]:
    """F1 of a row minus F1 of each of `worse`, by corpus; for `ANY_OTHER` minus the highest of them."""
    for corpus, gaps in printed.items():
        for other, gap in zip(worse, gaps, strict=True):
            how = f"F1 of {better} minus {'the highest other' if other == ANY_OTHER else other}, {CORPORA[corpus]}"
            yield gap, lambda c=corpus, other=other: max(_printed(better, c)) - max(_printed(other, c)), how


def _order(better: list[str], worse: list[str], scores: list[str], how: str) -> Iterator[Check]:
    """Each of `better` is above each of `worse`, on both corpora: the number of comparisons, and of those that hold."""

    def comparisons() -> list[bool]:
        rows = itertools.product(CORPORA, better, worse, scores)
        return [a > b for c, x, y, score in rows for a in _printed(x, c, score) for b in _printed(y, c, score)]

    yield len(comparisons()), lambda: sum(comparisons()), how


def _number(printed: float, left: float, sign: str, right: float, section: str) -> Iterator[Check]:
    """Two other numbers of the text, subtracted or divided."""
    yield printed, lambda: left - right if sign == "-" else left / right, f"{left} {sign} {right}, {section}"


RULES: dict[str, Callable[..., Iterator[Check]]] = {"score": _score, "gap": _gap, "order": _order, "number": _number}
"""How a kind of claim is checked; the arguments are in claims.toml."""


@dataclass(frozen=True)
class Claim:
    """A statement of the prose that follows from the tables, or does not."""

    place: str
    """The section."""
    quote: str
    """Its words, for finding it."""
    kind: str
    """One of `RULES`."""
    printed: float
    """Its number; for an order ("all superior") the number of comparisons that it makes."""
    compute: Callable[[], float]
    """The same from the tables; for an order the number of comparisons that hold."""
    how: str
    """What is computed."""

    def check(self) -> Finding:
        """Compare with the tables. A gap may be off by one last digit, if the authors subtracted before rounding."""
        computed = round(self.compute(), 6)  # two-decimal numbers do not subtract exactly in binary
        if self.kind == "order":
            verdict = f"{computed:.0f} of {self.printed:.0f} comparisons hold"
        else:
            form = "g" if self.kind == "number" else ".2f"
            verdict = f"{self.printed:{form}} printed, {computed:{form}} computed"
        sentence = f'{self.place}, "{self.quote}": {verdict} ({self.how})'
        return Finding(self.place, self.printed, computed, 0.01 if self.kind == "gap" else 0, sentence)


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


_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
CLAIMS = tuple(
    Claim(entry["place"], entry["quote"], kind, *check)
    for entry in _DATA["claims"]
    for kind in entry.keys() - {"place", "quote"}
    for check in RULES[kind](**entry[kind])
)
"""The numbers of the prose that the tables can confirm, in the paper's order."""
SLIPS = tuple(Slip(**entry) for entry in _DATA["slips"])
"""Equations and sentences that contradict another place of the paper."""


def prose() -> list[Finding]:
    """Every claim of the prose against the tables."""
    return [claim.check() for claim in CLAIMS]


def checks(files: Mapping[str, Counts] | None = None) -> dict[str, list[Finding]]:
    """All findings by what was checked; with the counts of corpora by name, Table 1 against their files too."""
    files = files or {}
    found = {
        "Table 1, its totals against its cells": table1_sums(),
        "Table 1 against the files": [finding for name in files for finding in table1_files(name, files[name])],
        "Tables 2 and 3, F1 against 2PR / (P + R)": table_f1s(),
        "Table 2, F1 against the types' F1": table2_types(),
        "Table 3, the full model against Table 2": table3_full(),
        "The prose against the tables": prose(),
    }
    return {title: findings for title, findings in found.items() if findings}


def report(files: Mapping[str, Counts] | None = None) -> str:
    """What was checked, how much of it agrees, and every place that does not, as a page of text."""
    lines = []
    for title, findings in checks(files).items():
        differ = [finding for finding in findings if not finding.agrees]
        lines.append(f"{title}: {len(findings) - len(differ)} of {len(findings)} agree")
        lines += [f"  ≠ {finding.sentence}" for finding in differ]
    lines.append(f"Equations and sentences against another place: {len(SLIPS)}")
    lines += [f"  ≠ {slip.place}, {slip.printed}: {slip.against} Read here: {slip.reading}" for slip in SLIPS]
    return "\n".join(lines)
