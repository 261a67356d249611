"""Numbers as the paper prints them, misprints included, and the paper held against itself.

Tables 1-3, the settings of §4.3 and the numbers of the prose are copied here as printed: what measurements are held
against. The functions below compute what they say about each other:

    table1_sums         Table 1's rows and columns against its own totals
    table1_files        Table 1 against the files of a corpus
    table_f1s           every row with P, R and F1 against 2PR / (P + R)
    table2_types        a row's F1 against the F1 of its four types
    table3_full         Table 3's first row against Table 2's last
    prose               every number of the prose that follows from the tables

Each returns a `Finding` per place, those that agree too, so that one sees what was checked; `report` prints them.
Statements that rest on a figure (§4.6, §4.7) are left out: their numbers are not printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.optimize import linprog

from mgips.data.corpus import TYPES
from mgips.lab.paper.tables import CORPORA, OURS, TABLE1, TABLE1_TOTALS, TABLE2, TABLE3, Scores

Counts = Mapping[str, Mapping[str, int]]
"""Split → entities of each type, all entities, tweets: a corpus counted as in Table 1."""


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
            findings.append(_count(place, column["entities"], sum(column[kind] for kind in TYPES), "by its types"))
        for row, printed in TABLE1_TOTALS[corpus].items():
            place = f"Table 1, {CORPORA[corpus]} {row} in all"
            findings.append(_count(place, printed, sum(split[row] for split in splits.values()), "by its splits"))
    return findings


def table1_files(corpus: str, counts: Counts) -> list[Finding]:
    """Table 1 against what a corpus holds (`mgips.lab.audit.Audit.counts`); empty for a corpus not in it."""
    return [
        _count(f"Table 1, {CORPORA[corpus]} {split} {row}", printed, counts[split][row], "in the file")
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
    f1s = {kind: f1 / 100 for kind, f1 in scores.types.items()}
    entities = sum(gold[kind] for kind in TYPES)
    predicted = scores.recall / scores.precision * entities
    # right = f1 (gold + predicted) / 2 is at most gold, and at most predicted
    bounds = [(gold[kind] * f1 / (2 - f1), gold[kind] * (2 - f1) / f1) for kind, f1 in f1s.items()]
    slopes = [100 * f1 / (entities + predicted) for f1 in f1s.values()]
    start = sum(slope * gold[kind] for kind, slope in zip(TYPES, slopes, strict=True))
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


def checks(files: Mapping[str, Counts] | None = None) -> dict[str, list[Finding]]:
    """All findings by what was checked; with the counts of corpora by name, Table 1 against their files too."""
    found = {
        "Table 1, its totals against its cells": table1_sums(),
        "Table 1 against the files": [
            finding for corpus, counts in (files or {}).items() for finding in table1_files(corpus, counts)
        ],
        "Tables 2 and 3, F1 against 2PR / (P + R)": table_f1s(),
        "Table 2, F1 against the types' F1": table2_types(),
        "Table 3, the full model against Table 2": table3_full(),
        "The prose against the tables": prose(),
    }
    return {title: findings for title, findings in found.items() if findings}


def report(files: Mapping[str, Counts] | None = None) -> str:
    """What was checked, how much of it agrees, and every place that does not, as a page of text."""
    out = []
    for title, findings in checks(files).items():
        differ = [finding for finding in findings if not finding.agrees]
        out.append(f"{title}: {len(findings) - len(differ)} of {len(findings)} agree")
        out += [f"  ≠ {finding.sentence}" for finding in differ]
    out.append(f"Equations and sentences against another place: {len(SLIPS)}")
    out += [f"  ≠ {slip.place}, {slip.printed}: {slip.against} Read here: {slip.reading}" for slip in SLIPS]
    return "\n".join(out)
