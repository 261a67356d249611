"""Pictures and exercises of lesson 12: the paper's tables and prose, held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mgips.data.corpus import Corpus
from mgips.lab.audit import audit
from mgips.lab.figures import show, style
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.paper import claims, tables
from mgips.lab.paper.claims import CLAIMS, Finding, harmonic_mean, scatter_needed
from mgips.tags import TYPES

RIGHT, WRONG = style.TEXT, style.IMAGE
HALF = 0.005
"""A number printed with two decimals may be off by so much."""


def threads() -> None:
    """Show the four ways in which a paper can be checked against itself, drawn over a small table."""
    figure, ax = plt.subplots(figsize=(9.6, 3.5), layout="constrained")
    ax.set(xlim=(0, 10), ylim=(0, 4.1))
    ax.axis("off")
    cells = [["", "P", "R", "F1"], ["method A", "77.7", "76.0", "76.9"], ["method B", "76.0", "77.3", "76.7"]]
    for row, column in product(range(3), range(4)):
        x, y = 0.9 + 1.15 * column, 3.6 - (0, 0.6, 1.6)[row]
        weight = "bold" if not row else "normal"
        ax.text(x, y, cells[row][column], ha="center", va="center", fontsize=11, weight=weight, color=style.GREY if not row else "black")  # fmt: skip
    _thread(ax, (2.05, 2.8), (4.35, 2.8), "1 · F1 follows from P and R", (3.2, 2.42), RIGHT, 0.16)
    _thread(ax, (4.62, 2.95), (4.62, 2.1), "2 · a gap is a\ndifference of cells", (6.0, 2.5), style.LOSS, -0.6)
    figures = [("552", 2.9), ("552", 2.45), ("247", 2.0), ("225", 1.55)]
    for number, y in figures:
        ax.text(8.8, y, number, ha="right", va="center", fontsize=11)
    ax.plot([8.2, 8.85], [1.27, 1.27], color="black", lw=1)
    ax.text(8.8, 1.02, "1,546?", ha="right", va="center", fontsize=11, weight="bold")
    ax.text(9.0, 2.2, "3 · a total is\na sum", va="center", fontsize=10, color=style.IMAGE)
    quote = "“… improves F1 by 0.21% over method B …”"
    ax.text(0.35, 0.55, quote, fontsize=11, va="center", style="italic")
    _thread(ax, (4.6, 0.68), (4.8, 1.75), "4 · the prose repeats the tables", (6.3, 0.6), style.CYCLE[3], 0.3)
    ax.set_title("Four threads that hold a paper together: pull each of them")
    show(
        figure,
        "A small table: F1 follows from P and R, gaps are differences, totals are sums, the prose repeats cells.",
    )


def _thread(ax: Axes, start: Any, end: Any, label: str, place: tuple[float, float], colour: str, bend: float) -> None:
    look = {"arrowstyle": "<->", "color": colour, "lw": 1.6, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", end, start, arrowprops=look)
    ax.text(*place, label, color=colour, ha="center", va="center", fontsize=10)


def rounding(name: str = tables.OURS, corpus: str = "twitter2015") -> None:
    """Show the square of all P and R that are printed as a row's, with lines of equal F1, and the band of its F1."""
    row = tables.TABLE2[name].scores[corpus]
    p, r, f1 = float(row.precision or 0), float(row.recall or 0), float(row.f1 or 0)
    reach = np.linspace(-2 * HALF, 2 * HALF, 81)
    grid = _harmonic(p + reach[None], r + reach[:, None])
    figure, ax = plt.subplots(figsize=(7.4, 4.3), layout="constrained")
    ax.contourf(p + reach, r + reach, grid, levels=[f1 - HALF, f1 + HALF], colors=[style.CYCLE[5]], alpha=0.35)
    lines = ax.contour(
        p + reach, r + reach, grid, levels=f1 + HALF * np.arange(-3, 4), colors=style.GREY, linewidths=0.8
    )
    ax.clabel(lines, fmt="%.3f", fontsize=8)
    ax.add_patch(Rectangle((p - HALF, r - HALF), 2 * HALF, 2 * HALF, fill=False, edgecolor=RIGHT, linewidth=2))
    ax.plot(p, r, "o", color=RIGHT)
    ax.annotate("as printed", (p, r), (7, 5), textcoords="offset points", color=RIGHT)
    ax.set(xlabel="precision", ylabel="recall", xticks=[p - HALF, p, p + HALF], yticks=[r - HALF, r, r + HALF])
    ax.ticklabel_format(useOffset=False)
    place = f"{name}, {tables.CORPORA[corpus]}"
    overlap = abs(f1 - harmonic_mean(p, r)) <= _corners(p, r, HALF) + HALF
    ax.set_title(
        f"{place}: every P and R in the square is printed as {p:.2f} and {r:.2f};\n"
        f"every F1 in the shaded band is printed as {f1:.2f}. {'They overlap: the row fits' if overlap else 'They do not meet'}"
    )
    show(
        figure,
        f"Lines of equal F1 over precision and recall around {place}. The square of rounding {'meets' if overlap else 'misses'} the band.",
    )


def _harmonic(p: np.ndarray, r: np.ndarray) -> np.ndarray:
    """`harmonic_mean` of arrays."""
    return 2 * p * r / (p + r)


def bowl(total: float = 150.0, apart: float = 10.0) -> None:
    """Show F1 over P - R for a fixed P + R: the mean of two seeds' F1s lies below the F1 of their means."""
    d = np.linspace(-1.7 * apart, 1.7 * apart, 200)
    figure, ax = plt.subplots(figsize=(7.8, 3.7), layout="constrained")
    ax.plot(d, _harmonic((total + d) / 2, (total - d) / 2), color=RIGHT)
    ends = harmonic_mean((total + apart) / 2, (total - apart) / 2)
    top = total / 2
    ax.plot([-apart, apart], [ends, ends], "o--", color=WRONG)
    ax.plot(0, top, "s", color=RIGHT)
    ax.annotate("", (0, ends), (0, top), arrowprops={"arrowstyle": "<->", "color": "black"})
    ax.annotate(f"gap {top - ends:.2f}", (0, (top + ends) / 2), (8, 0), textcoords="offset points", va="center")
    ax.annotate("F1 of the mean P and R", (0, top), (10, 7), textcoords="offset points", color=RIGHT)
    for side, seed in ((-1, "a"), (1, "b")):
        where = "right" if side < 0 else "left"
        ax.annotate(
            f"seed {seed}", (side * apart, ends), (9 * side, 4), textcoords="offset points", ha=where, color=WRONG
        )
    ax.annotate("mean of the two F1s", (0, ends), (0, -14), textcoords="offset points", ha="center", color=WRONG)
    ax.margins(y=0.16)
    ax.set(xlabel="P - R, points", ylabel="F1")
    ax.set_title("F1 bends down on both sides, so averaging over seeds can only lower it")
    show(
        figure,
        f"F1 over P minus R is a hill. Two seeds at its sides have a mean {top - ends:.2f} points below its top.",
    )


# ---- all rows ----


def rows() -> None:
    """Show printed minus computed F1 of every row of Tables 2 and 3, by its P and R and by its four types."""
    parts = {"by its own P and R": claims.table_f1s(), "by its own four types": claims.table2_types()}
    figure, axes = plt.subplots(2, 1, figsize=(10, 6.0), layout="constrained")
    for ax, (name, findings) in zip(axes, parts.items(), strict=True):
        _row_dots(ax, findings)
        ax.set_title(f"F1 {name}", fontsize=10)
    axes[0].set_xlabel("rows of Tables 2 and 3 with P, R and F1, each corpus, in the paper's order")
    axes[1].set_xlabel("rows of Table 2 with four types, each corpus, in the paper's order")
    fits = [f"{sum(f.agrees for f in findings)} of {len(findings)}" for findings in parts.values()]
    own = [f for findings in parts.values() for f in findings if tables.OURS in f.place or "Table 3" in f.place]
    title = f"{fits[0]} rows agree with their P and R, {fits[1]} with their types; of {tables.OURS}'s own, {sum(f.agrees for f in own)} of {len(own)}"
    figure.suptitle(title, x=0.01, ha="left")
    outside = "; ".join(f.place for findings in parts.values() for f in findings if not f.agrees)
    show(figure, f"Printed minus computed F1 of every row, with the band of rounding. Outside it: {outside}.")


def _row_dots(ax: Axes, findings: Sequence[Finding]) -> None:
    places, values = np.arange(len(findings)), np.array([f.difference for f in findings])
    band = np.array([f.tolerance for f in findings])
    ax.fill_between(places, -band, band, step="mid", color=style.GREY, alpha=0.25, linewidth=0, label="rounding alone")
    agrees = np.array([f.agrees for f in findings])
    for kind, marker, colour, mask in (
        ("agrees", "o", style.GREY, agrees),
        ("too low", "v", style.TEXT, ~agrees & (values < 0)),
        ("too high", "^", style.IMAGE, ~agrees & (values > 0)),
    ):
        ax.plot(places[mask], values[mask], marker, color=colour, markersize=5, label=f"{kind} ({mask.sum()})")
    for turn, place in enumerate(np.flatnonzero(~agrees).tolist()):
        label = findings[place].place.removeprefix("Table 2, ").replace(", Twitter", ",\nTwitter")
        side, away = (("right", -7), ("left", 7))[turn % 2]
        ax.annotate(
            label,
            (place, values[place]),
            (away, 9 if values[place] > 0 else 0),
            textcoords="offset points",
            fontsize=8,
            va="center",
            ha=side,
        )
    ax.set(ylabel="printed minus\ncomputed, points", xticks=[], xlim=(-1, len(findings) + 1))
    ax.margins(y=0.3)
    ax.legend(frameon=False, fontsize=8, ncols=4, loc="lower left")


def tally() -> None:
    """Show of each check how many places agree."""
    checks = claims.checks()
    figure, ax = plt.subplots(figsize=(9.4, 2.9), layout="constrained")
    good, bad = ([sum(f.agrees is side for f in found) for found in checks.values()] for side in (True, False))
    ax.barh(list(checks), good, color=style.TEXT, label="agree")
    bars = ax.barh(list(checks), bad, left=good, color=style.IMAGE, hatch="//", edgecolor="white", label="do not")
    ax.bar_label(bars, [f"{g} of {g + b}" for g, b in zip(good, bad, strict=True)], padding=4)
    ax.invert_yaxis()
    ax.set(xlabel="places that were checked", xlim=(0, 1.18 * max(map(len, checks.values()))))
    ax.legend(frameon=False, loc="lower right")
    ax.set_title(f"{sum(good)} of {sum(good) + sum(bad)} places agree with the paper's other numbers")
    show(figure, "; ".join(f"{title}: {g} of {g + b} agree" for title, g, b in zip(checks, good, bad, strict=True)))


def low_rows() -> str:
    """What the rows that are too low would need to be averages over seeds, and what speaks of those that are too high."""
    found = [f for f in (*claims.table_f1s(), *claims.table2_types()) if not f.agrees]
    low = [f for f in claims.table_f1s() if not f.agrees and f.difference < 0]
    needs = []
    for finding in low:
        name, corpus = finding.place.removeprefix("Table 2, ").rsplit(", ", 1)
        row = tables.TABLE2[name].scores[next(c for c, label in tables.CORPORA.items() if label == corpus)]
        scatter = scatter_needed(float(row.precision or 0), float(row.recall or 0), -finding.difference)
        needs.append(f"{name} ({corpus}) {scatter:.1f}")
    own = sum(tables.OURS in f.place for f in found)
    return (
        f"{len(low)} rows lie too low by P and R. As averages over seeds they would need P - R to scatter by: "
        f"{', '.join(needs)} points. None of the {len(found)} rows that disagree anywhere is the paper's own."
        if not own
        else f"{own} of the {len(found)} rows that disagree are the paper's own."
    )


# ---- three claims ----


def columns() -> None:
    """Show Table 1's totals of Twitter-2015 beside the sums of their cells."""
    splits = {**tables.TABLE1["twitter2015"], "total": tables.TABLE1_TOTALS["twitter2015"]}
    figure, axes = plt.subplots(1, 4, figsize=(10.2, 3.1), layout="constrained")
    wrong = []
    for ax, (split, column) in zip(axes, splits.items(), strict=True):
        low = 0
        for kind in TYPES:
            ax.bar(0, column[kind], 0.6, bottom=low, color=style.look(kind).colour, label=kind)
            low += column[kind]
        hatch = None if low == column["entities"] else "//"
        ax.bar(1, column["entities"], 0.6, color=style.GREY, hatch=hatch, edgecolor="white")
        ax.text(0, low, f"{low:,}", ha="center", va="bottom")
        ax.text(1, column["entities"], f"{column['entities']:,}", ha="center", va="bottom")
        agrees = low == column["entities"]
        wrong += [] if agrees else [split]
        ax.set(xticks=[0, 1], xticklabels=["sum of\ntypes", "printed"], yticks=[], xlim=(-0.6, 1.6))
        ax.set_title(f"{split}: " + ("agrees" if agrees else f"{column['entities'] - low:+d}"), fontsize=10)
        ax.margins(y=0.15)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.suptitle(
        f"Table 1, Twitter-2015: the sums fail in {' and '.join(wrong)}, by the same amount", x=0.01, ha="left"
    )
    show(figure, f"Table 1's entities of Twitter-2015 beside the sum over types. They differ in {' and '.join(wrong)}.")


def table1(corpus: Corpus) -> str:
    """Table 1 against the files of a corpus, in sentences; what is needed for it where it is not in the table."""
    if corpus.name not in tables.CORPORA:
        return (
            "Table 1 can be checked against the files of Twitter-2015 and Twitter-2017 too. They may not be redistributed: "
            "set `MGIPS_DATA` to the folder that has yours and `MGIPS_CORPUS` to `twitter2015`, and run this lesson again."
        )
    found = claims.table1_files(corpus.name, (seen := audit(corpus, progress=False)).counts)
    differ = [finding.sentence for finding in found if not finding.agrees]
    return "\n".join([f"{seen.version or 'This version'}: {len(found) - len(differ)} of {len(found)} cells agree with the files.",
                      *(f"- {sentence}" for sentence in differ)])  # fmt: skip


def witnesses() -> None:
    """Show what five places of the paper say of its F1 on Twitter-2015, and the place that says something else."""
    ours, best = tables.TABLE2[tables.OURS].scores["twitter2015"], tables.TABLE2["MCG-MNER"].scores["twitter2015"]
    said = {
        "Abstract, §1, §5": max(c.printed for c in CLAIMS if c.place == "Abstract" and c.printed < 80),
        f"Table 2, {tables.OURS}": float(ours.f1 or 0),
        "2PR / (P + R) of that row": harmonic_mean(float(ours.precision or 0), float(ours.recall or 0)),
        "Table 3, full model": tables.TABLE3["full"]["twitter2015"][2],
        "MCG-MNER's F1 + “0.21%”": float(best.f1 or 0) + next(c.printed for c in CLAIMS if "0.21%" in c.quote),
        "§4.4, “SOTA performance of …”": next(c.printed for c in CLAIMS if "75.86%" in c.quote),
    }
    figure, ax = plt.subplots(figsize=(8.8, 3.1), layout="constrained")
    middle = float(np.median(list(said.values())))
    for place, value in enumerate(said.values()):
        fits = abs(value - middle) < 0.02
        ax.plot(value, place, "o" if fits else "X", color=RIGHT if fits else WRONG, markersize=9)
        ax.annotate(f"{value:.2f}", (value, place), (9, 0), textcoords="offset points", va="center")
    others = float(np.max([m.scores["twitter2015"].f1 or 0 for n, m in tables.TABLE2.items() if n != tables.OURS]))
    ax.axvline(others, color=style.GREY, linestyle=":")
    ax.text(others - 0.02, -0.75, "best other method", color=style.GREY, fontsize=9, ha="right")
    ax.set(yticks=range(len(said)), yticklabels=list(said), xlim=(75.6, 77.2), xlabel="F1 on Twitter-2015")
    ax.set_ylim(len(said) - 0.5, -1.1)
    agree = sum(abs(value - middle) < 0.02 for value in said.values())
    ax.set_title(f"{agree} of {len(said)} witnesses say {middle:.2f}")
    show(figure, "; ".join(f"{name}: {value:.2f}" for name, value in said.items()))


def crf_rows() -> None:
    """Show F1 of Table 2's text rows with and without a CRF, on both corpora."""
    with_crf, without = ["BiLSTM-CRF", "CNN-BiLSTM-CRF", "BERT-CRF", "BERT-BiLSTM-CRF"], "BERT"
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 2.9), layout="constrained", sharey=True)
    holds = 0
    for ax, (corpus, label) in zip(axes, tables.CORPORA.items(), strict=True):
        base = float(tables.TABLE2[without].scores[corpus].f1 or 0)
        ax.axvline(base, color="black", linestyle=":")
        ax.annotate(
            f"BERT, no CRF: {base:.2f}",
            (base, -0.6),
            (-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=9,
        )
        for place, name in enumerate(with_crf):
            f1 = float(tables.TABLE2[name].scores[corpus].f1 or 0)
            holds += f1 > base
            ax.plot(f1, place, "o" if f1 > base else "X", color=RIGHT if f1 > base else WRONG, markersize=9)
            ax.annotate(f"{f1 - base:+.2f}", (f1, place), (9, 0), textcoords="offset points", va="center", fontsize=9)
        ax.set(yticks=range(4), yticklabels=with_crf, title=label, xlabel="F1, Table 2")
        ax.margins(x=0.25)
        ax.set_ylim(3.5, -1)
    figure.suptitle(f"“All superior”: {holds} of {2 * len(with_crf)} comparisons hold, those with BERT on both sides", x=0.01, ha="left")  # fmt: skip
    show(figure, f"F1 of four rows with a CRF against BERT without one; {holds} of {2 * len(with_crf)} are above it.")


def claim(number: int) -> None:
    """Print one claim of the prose with its check; for `play`."""
    chosen = CLAIMS[number - 1]
    found = chosen.check()
    print(f"{chosen.place}: “{chosen.quote}”")
    print(f"  computed: {chosen.how}")
    print(f"  {found.sentence.split(': ', 1)[-1].rsplit(' (', 1)[0]}")
    print(f"  {'✓ agrees' if found.agrees else '≠ does not agree'}")


# ---- exercises ----

ROW = (77.70, 76.04)
SEEDS = np.array([[80.0, 70.0], [70.0, 80.0]])


def _corners(p: float, r: float, step: float) -> float:
    """How far F1 moves if P and R each move by up to `step`."""
    return max(abs(harmonic_mean(p + a, r + b) - harmonic_mean(p, r)) for a in (-step, step) for b in (-step, step))


def _dev_total(splits: dict[str, dict[str, int]]) -> int:
    return sum(column[kind] for column in splits.values() for kind in TYPES)


EXERCISES: dict[str, Exercise] = {
    "f1": Exercise(
        right=harmonic_mean,
        mistakes={
            "This is the plain mean: it hides a bad recall behind a good precision. F1 is a harmonic mean.": lambda p, r: (p + r) / 2,
            "Half of it: the harmonic mean of two numbers has a factor 2.": lambda p, r: p * r / (p + r),
            "This is the geometric mean, the root of the product: close, but the paper's rows would not fit it.": lambda p, r: (p * r) ** 0.5,
        },
        cases=[(77.7, 76.04), (100.0, 50.0), (20.0, 80.0)],
        praise="It is never above the plain mean, and equal to it only where P = R.",
    ),
    "rounding": Exercise(
        right=lambda p, r: _corners(p, r, HALF) + HALF,
        mistakes={
            "That is one half step: either the rounding of P and R is missing, or that of the printed F1.": lambda p, r: HALF,
            "Three half steps: F1 is a kind of mean of P and R, so if both move by a half step it moves by one, not by two.": lambda p, r: 3 * HALF,
            "Whole steps: a number printed with two decimals is off by at most half of its last digit.": lambda p, r: 4 * HALF,
        },
        cases=[ROW],
        praise="A row that is further off needs another explanation than rounding.",
        within=1e-3,
    ),
    "two_seeds": Exercise(
        right=lambda seeds: [np.mean([harmonic_mean(*s) for s in seeds]), harmonic_mean(*seeds.mean(0))],
        mistakes={
            "The two are swapped: first each seed's F1, then their mean.": lambda seeds: [harmonic_mean(*seeds.mean(0)), np.mean([harmonic_mean(*s) for s in seeds])],
            "Both are the F1 of the mean P and R: for the first one work out each seed's own F1.": lambda seeds: [harmonic_mean(*seeds.mean(0))] * 2,
            "Both are the mean of the F1s: for the second one average P and R before you combine them.": lambda seeds: [np.mean([harmonic_mean(*s) for s in seeds])] * 2,
        },
        cases=[(SEEDS,)],
        praise="Averaging lowered F1, though no seed is any worse than its own P and R say.",
        within=5e-3,
    ),
    "average": Exercise(
        right=lambda: ["yes", "no"],
        mistakes={
            "Turned round: look at the hill again. Is the mean of the seeds above or below its top?": lambda: ["no", "yes"],
            "Averaging bends F1 in one direction only; it cannot explain both.": lambda: ["yes", "yes"],
            "A row that is a little too low need not be a mistake: seeds that trade P for R do just that.": lambda: ["no", "no"],
        },
        praise="So a low row and a misprint cannot be told apart; a high row is no average.",
    ),
    "total": Exercise(
        right=_dev_total,
        mistakes={
            "This is the total that the paper prints: it uses the dev column's printed sum. Use its cells.": lambda splits: sum(column["entities"] for column in splits.values()),
            "The difference was taken off: the cells sum to more than what is printed.": lambda splits: 2 * sum(column["entities"] for column in splits.values()) - _dev_total(splits),
        },
        cases=[(tables.TABLE1["twitter2015"],)],
        praise="The paper's total is smaller, so somebody added up the wrong number: it was wrong before the page was set.",
    ),
}  # fmt: skip
