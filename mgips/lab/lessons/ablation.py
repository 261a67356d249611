"""What each part is worth: paired differences, many rows read together, two parts that share work, and dials.

All inference is the paired bootstrap of `mgips.lab.stats`, over seeds and posts, in F1 points; rows that are read
together are corrected by Holm. Pictures are drawn from result files, so a title says what these files say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mgips.data.corpus import Tweet
from mgips.data.pictures import picture_of
from mgips.data.spans import Span, spans
from mgips.data.tinytweets.posts import tinytweets
from mgips.lab.figures.style import CYCLE, GREY, IMAGE, LOSS, TEXT
from mgips.lab.figures.text import counted, fitted, listed, points
from mgips.lab.grids import find_grid
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.paper import tables
from mgips.lab.results import RESULTS, Result, load_results
from mgips.lab.stats import (
    NO_DIFFERENCE,
    Difference,
    concluded,
    corrected,
    counts_f1,
    f1_interval,
    holm,
    p_value,
    paired_bootstrap,
    t_difference,
)

Runs = Mapping[str, Sequence[Result]]
"""The runs of a grid, by row."""
Z = 1.959964, 0.841621
"""Quantiles of the normal distribution: .975, for a two-sided test at 5 %, and .80, for 80 % power."""
CORNERS = ("full", "no-mgi", "no-mutual", "neither")
"""Both parts; without interweave (MGI); without mutual attention; without both. Rows of Table 3, and of "neither"."""
HOLM_LINE = (
    "filled: holds after Holm's correction; open: the interval excludes zero, but only if its row is read alone."
)


# ---- exercises ----


def f1_points(counts: np.ndarray) -> float:
    """F1 of (N, 3) counts in points, by the package."""
    return 100 * float(counts_f1(counts))


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return f1_points(second) - f1_points(first)


def _mean_of_posts(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean([f1_points(b[None]) - f1_points(a[None]) for a, b in zip(first, second, strict=True)]))


def _recall(first: np.ndarray, second: np.ndarray) -> float:
    return 100 * float((second[:, 0].sum() - first[:, 0].sum()) / first[:, 2].sum())


def _samples(first: np.ndarray, second: np.ndarray, drawn: np.ndarray) -> list[float]:
    return [_difference(first[posts], second[posts]) for posts in drawn]


def _ends(samples: Sequence[float], low: float = 2.5, high: float = 97.5) -> list[float]:
    return np.percentile(samples, [low, high]).tolist()


def _unpaired(first: np.ndarray, second: np.ndarray, drawn: np.ndarray) -> list[float]:
    return _ends([f1_points(second[b]) - f1_points(first[a]) for a, b in zip(drawn, np.roll(drawn, 1, 0), strict=True)])


def _steps(p: Sequence[float]) -> list[float]:
    adjusted = np.array(p, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted[order] *= np.arange(len(p), 0, -1)
    return adjusted.tolist()


def _backwards(p: Sequence[float]) -> list[float]:
    adjusted = np.array(p, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted[order] *= np.arange(1, len(p) + 1)
    return np.minimum(1, np.maximum.accumulate(adjusted[order]))[np.argsort(order)].tolist()


POSTS = (
    np.array([[1, 2, 2], [0, 1, 1], [2, 2, 2], [1, 1, 2], [1, 1, 1]]),
    np.array([[2, 2, 2], [1, 1, 1], [2, 2, 2], [1, 2, 2], [1, 1, 1]]),
)
"""Right, predicted and gold entities of five posts, by two systems; the numbers that the lesson prints."""
DRAWN = np.random.RandomState(0).randint(5, size=(2000, 5))
"""2,000 times five posts, drawn with replacement."""

EXERCISES: dict[str, Exercise] = {
    "difference": Exercise(
        right=_difference,
        mistakes={
            "That is the first system minus the second. The second one is the one that is judged: what does it add?": (
                lambda first, second: -_difference(first, second)
            ),
            "That is the mean of five F1s, one a post. F1 of a split is made of the sums of all posts' counts.": (
                _mean_of_posts
            ),
            "That is a difference of recall: the predicted entities do not occur in it.": _recall,
            "That is a share between 0 and 1; points are a hundred times as many.": (
                lambda first, second: _difference(first, second) / 100
            ),
        },
        cases=[POSTS],
        praise="One number, and nothing yet that says how much it would vary.",
        within=0.01,
    ),
    "interval": Exercise(
        right=lambda first, second, drawn: _ends(_samples(first, second, drawn)),
        mistakes={
            "These ends leave out 5 % on either side: an interval of 90 %, not of 95 %.": (
                lambda first, second, drawn: _ends(_samples(first, second, drawn), 5, 95)
            ),
            "These are the smallest and the largest sample. They move outwards with every further draw.": (
                lambda first, second, drawn: _ends(_samples(first, second, drawn), 0, 100)
            ),
            "Each system got draws of its own. Then hard posts for one meet easy posts for the other, and the "
            "interval is too wide: both must be scored on the same drawn posts.": _unpaired,
            "This interval is about zero, so the draws were compared with themselves or with their mean.": (
                lambda first, second, drawn: (
                    np.array(_ends(_samples(first, second, drawn))) - _difference(first, second)
                ).tolist()
            ),
        },
        cases=[(*POSTS, DRAWN)],
        praise="Five posts give a wide interval; the test split has three hundred.",
        within=0.01,
    ),
    "holm": Exercise(
        right=holm,
        mistakes={
            "Every p was multiplied by their number: that is Bonferroni's correction, which is stricter than needed. "
            "After the smallest p has passed, fewer hypotheses are left for the next.": (
                lambda p: [min(1.0, len(p) * x) for x in p]
            ),
            "The order is turned round: the smallest p has all the others beside it, so it gets the largest factor.": (
                _backwards
            ),
            "The factors are right. But a larger p came out below a smaller one: each must be at least as large as "
            "the one before it.": lambda p: [min(1.0, x) for x in _steps(p)],
            "There are p-values above 1 in it; a probability ends there.": (
                lambda p: np.maximum.accumulate(_steps(sorted(p)))[np.argsort(np.argsort(p, kind="stable"))].tolist()
            ),
        },
        cases=[([0.001, 0.015, 0.02, 0.4, 0.9],), ([0.011, 0.02, 0.02, 0.03],), ([0.7, 0.6, 0.03],), ([0.5, 0.04],)],
        praise="The smallest p pays for all rows, the next for one row fewer, and so on.",
    ),
    "detectable": Exercise(
        right=lambda low, high: sum(Z) * (high - low) / (2 * Z[0]),
        mistakes={
            "That is half the interval's width. A true difference of this size would be found only every second time: "
            "add the part that stands for 80 % power.": lambda low, high: (high - low) / 2,
            "That is the whole width of the interval; its half belongs to 1.96 standard errors.": (
                lambda low, high: high - low
            ),
            "That is one standard error. How many of them does a difference need to be found in 80 % of the tries?": (
                lambda low, high: (high - low) / (2 * Z[0])
            ),
            "You took half the width for the standard error; it is 1.96 of them.": (
                lambda low, high: sum(Z) * (high - low) / 2
            ),
        },
        cases=[(-1.6, 0.7)],
        praise="Smaller true differences are missed more often than every fifth time.",
        within=0.03,
    ),
    "seeds": Exercise(
        right=lambda now, detectable, wanted: math.ceil(now * (detectable / wanted) ** 2),
        mistakes={
            "That is in proportion to the difference. An interval shrinks with the square root of the number of seeds, "
            "so half the size takes four times the seeds.": lambda now, detectable, wanted: now * detectable / wanted,
            "That is by which factor; multiply it by the seeds that there are.": (
                lambda now, detectable, wanted: (detectable / wanted) ** 2
            ),
            "That is turned round: a smaller difference needs more seeds, not fewer.": (
                lambda now, detectable, wanted: now * (wanted / detectable) ** 2
            ),
        },
        cases=[(5, 1.6, 0.5)],
        praise="The square makes small differences expensive.",
        within=1.0,
    ),
    "interaction": Exercise(
        right=lambda full, no_mgi, no_mutual, neither: (full - no_mgi) - (no_mutual - neither),
        mistakes={
            "That is what interweave is worth beside mutual attention, which is only the first half of the question.": (
                lambda full, no_mgi, no_mutual, neither: full - no_mgi
            ),
            "That is what interweave is worth without mutual attention. And beside it?": (
                lambda full, no_mgi, no_mutual, neither: no_mutual - neither
            ),
            "The sign is turned round. Take what interweave is worth beside the other part, less what it is worth "
            "without.": lambda full, no_mgi, no_mutual, neither: (no_mutual - neither) - (full - no_mgi),
            "That is what both parts are worth together.": lambda full, no_mgi, no_mutual, neither: full - neither,
        },
        cases=[(85.5, 85.9, 75.6, 65.0)],
        praise="Far below zero: beside mutual attention little is left for interweave to give.",
        within=0.051,
    ),
}


# ---- numbers ----


def counts_of(runs: Sequence[Result]) -> list[np.ndarray]:
    """The counts of each seed's posts, (N, 3) each, in the order of the seeds."""
    return [run.counts for run in runs]


def f1_of(runs: Sequence[Result]) -> float:
    """Mean test F1 over seeds, in points."""
    return 100 * float(np.mean([run.f1 for run in runs]))


def corners(folder: Any = RESULTS, corpus: str = "tinytweets") -> dict[str, Sequence[Result]]:
    """The runs of `CORNERS`, and of the text-only model, from the grids "table3" and "neither"."""
    runs = {**load_results("table3", corpus, folder), **load_results("neither", corpus, folder)}
    return {row: runs[row] for row in (*CORNERS, "text")}


def interaction(runs: Runs, draws: int = 5000) -> Difference:
    """What interweave is worth beside mutual attention, less what it is worth without; in [-1, 1].

    The bootstrap of `paired_bootstrap`: seeds and posts are drawn together for all four corners.
    """
    signs = dict(zip(CORNERS, (1, -1, -1, 1), strict=True))
    posts = [len(run.counts) for run in runs["full"]]
    rng, samples = np.random.RandomState(0), np.zeros(draws)
    for _ in posts:
        chosen = rng.randint(len(posts), size=draws)
        for place, size in enumerate(posts):
            rows = np.flatnonzero(chosen == place)
            weights = rng.multinomial(size, np.full(size, 1 / size), size=len(rows)).astype(float)
            for row, sign in signs.items():
                right, predicted, gold = (weights @ runs[row][place].counts).T
                samples[rows] += sign * 2 * right / np.maximum(1, predicted + gold) / len(posts)
    value = sum(sign * f1_of(runs[row]) / 100 for row, sign in signs.items())
    low, high = np.percentile(samples, [2.5, 97.5])
    p = min(1.0, 2 * min((samples <= 0).mean(), (samples >= 0).mean()))
    return Difference(float(value), float(low), float(high), float(p))


def needed(now: int, detectable: float, wanted: float) -> int:
    """Seeds that it takes to detect `wanted` points, where `now` seeds detect `detectable` points."""
    return math.ceil(now * (detectable / wanted) ** 2)


def left_out(differences: Mapping[str, Difference]) -> str:
    """What the twelve rows allow to say after correction, in three sentences."""
    labels, p = labelled("table3"), corrected(differences)
    order = sorted(differences, key=lambda row: differences[row].p)

    def how(row: str) -> str:
        place = order.index(row)
        return (f"p = {f'{differences[row].p:.4f}'.removeprefix('0')} alone; number {place + 1} from below, so times "
                f"{len(order) - place}: {p_value(p[row])}; times {math.ceil(0.05 / differences[row].p) - 1} or less would do")  # fmt: skip

    firm = [labels[row] for row, d in differences.items() if concluded(d, p[row]) != NO_DIFFERENCE]
    lost = [f"{labels[row]} ({how(row)})"
            for row, d in differences.items() if d.verdict != NO_DIFFERENCE and labels[row] not in firm]  # fmt: skip
    many = len(lost) > 1
    weak = (
        f" The interval{'s' * many} of {listed(lost)} exclude{'s' * (not many)} zero, but only read alone."
        if lost
        else ""
    )
    ours = [row for row in differences if row in tables.TABLE3]
    sizes = [100 * differences[row].detectable for row in ours]
    return (
        f"After Holm's correction {counted(len(firm), 'row')} of {len(differences)} hold"
        f"{'s' * (len(firm) < 2)}{': ' * bool(firm)}{listed(firm)}.{weak} For the {len(ours)} parts that the paper "
        f"leaves out, differences of {min(sizes):.1f} to {max(sizes):.1f} points could have been detected here."
    )


def scaled(runs: Runs) -> str:
    """What averaging to 1 does where mutual attention is missing: against `no-mutual`, and seed by seed, in two sentences."""
    row, plain = runs["mean-no-mutual"], runs["no-mutual"]
    d = paired_bootstrap(counts_of(plain), counts_of(row))
    full = {run.seed: run.f1 for run in runs["full"]}
    each = ", ".join(f"{100 * (run.f1 - full[run.seed]):+.1f}" for run in row)
    return (
        f"Without mutual attention, weights that average 1 score {d} above weights that sum to 1: {d.verdict}, even read "
        f"alone. Against the full model their {len(row)} seeds are {each}."
    )


def labelled(grid: str) -> dict[str, str]:
    """What the rows of a grid are called, with the module's name in the place of the paper's letters for it."""
    return {row.name: row.label.replace("MGI", "interweave") for row in find_grid(grid).rows}


# ---- pictures ----


def pairing(first: Sequence[Result], second: Sequence[Result], names: tuple[str, str]) -> Figure:
    """Two systems' F1 on the same seeds: as two clouds, and joined seed by seed."""
    values = [[100 * run.f1 for run in runs] for runs in (first, second)]
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.1), layout="constrained", sharey=True)
    for ax, title in zip(axes, ("as two clouds", "seed by seed"), strict=True):
        for place, (f1, colour) in enumerate(zip(values, (GREY, LOSS), strict=True)):
            ax.plot([place] * len(f1), f1, "o", color=colour, markersize=7, zorder=3)
        ax.set(xticks=(0, 1), xticklabels=names, xlim=(-0.45, 1.45), title=title)
    for a, b in zip(*values, strict=True):
        axes[1].plot((0, 1), (a, b), color=LOSS if b > a else CYCLE[1], linewidth=1.4)
    axes[0].set_ylabel("test F1, a dot a seed")
    up = sum(b > a for a, b in zip(*values, strict=True))
    spread, gap = np.ptp(values[0]), np.mean(values[1]) - np.mean(values[0])
    figure.suptitle(
        f"Seeds differ by {spread:.1f} points, the two means by {abs(gap):.1f}; {names[1]} is higher in {up} of {len(first)} seeds",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    return figure


def overlapping(first: Sequence[Result], second: Sequence[Result], names: tuple[str, str]) -> Figure:
    """Each system's F1 with its interval, and their paired difference with its own, on one scale."""
    alone = [f1_interval(counts_of(runs)) for runs in (first, second)]
    both = paired_bootstrap(counts_of(first), counts_of(second))
    middle = 50 * sum(estimate.value for estimate in alone)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.5), layout="constrained")
    for place, (estimate, colour) in enumerate(zip(alone, (LOSS, GREY), strict=True)):
        _bar(left, 100 * estimate.value, 100 * estimate.low, 100 * estimate.high, place, colour)
    _bar(right, 100 * both.difference, 100 * both.low, 100 * both.high, 0.5, TEXT)
    widest = 1.5 * max(100 * (e.high - e.low) for e in alone)
    left.set(yticks=(0, 1), yticklabels=names, ylim=(1.6, -0.6), xlim=(middle - widest / 2, middle + widest / 2))
    left.set(xlabel="test F1", title="each with its own interval")
    right.axvline(0, color="black", linewidth=0.8)
    right.set(yticks=(0.5,), yticklabels=(f"{names[1]}\nminus {names[0]}",), ylim=(1.6, -0.6))
    right.set(xlim=(-widest / 2, widest / 2), xlabel="points, on the same scale", title="their paired difference")
    overlap = alone[0].low < alone[1].high and alone[1].low < alone[0].high
    what = {NO_DIFFERENCE: "holds zero"}.get(both.verdict, "excludes zero")
    figure.suptitle(f"The two intervals {'overlap' if overlap else 'do not overlap'}; that of the difference {what}: {both}",
                    x=0.01, ha="left", fontsize=11)  # fmt: skip
    return figure


def _bar(ax: Axes, value: float, low: float, high: float, place: float, colour: str, **look: Any) -> None:
    ends = np.maximum(0, [[value - low], [high - value]])
    ax.errorbar(value, place, xerr=ends, color=colour, **{"fmt": "o", "capsize": 4, "markersize": 7, **look})


def _mark(difference: Difference, p: float) -> tuple[str, dict[str, Any]]:
    """Colour and look of a difference: full where it holds after correction, open where only its own interval does."""
    if difference.verdict == NO_DIFFERENCE:
        return GREY, {"fmt": "o"}
    colour = LOSS if difference.verdict == "helps" else CYCLE[1]
    fmt = "^" if difference.verdict == "helps" else "v"
    return colour, {"fmt": fmt, **({} if concluded(difference, p) != NO_DIFFERENCE else {"mfc": "white"})}


def table3(differences: Mapping[str, Difference]) -> Figure:
    """Table 3's rows as differences to the full model, with p before and after Holm's correction, and the paper's."""
    labels, p = labelled("table3"), corrected(differences)
    figure, ax = plt.subplots(figsize=(10.6, 0.9 + 0.36 * len(differences)), layout="constrained")

    def write(place: float, *cells: str, **how: Any) -> None:
        look = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center", "fontsize": 9}
        for offset, cell in zip((10, 62, 114, 180), cells, strict=True):
            ax.annotate(cell, (1, place), xytext=(offset, 0), **look, **how)

    write(-0.95, "p alone", "p, Holm", "detectable", "paper, 2015 / 2017  ", color=GREY)
    for place, (row, d) in enumerate(differences.items()):
        colour, look = _mark(d, p[row])
        _bar(ax, 100 * d.difference, 100 * d.low, 100 * d.high, place, colour, **look)
        write(place, p_value(d.p), p_value(p[row]), f"{100 * d.detectable:.1f}", printed(row))
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=range(len(differences)), yticklabels=[labels[row] for row in differences])
    ax.set_xlabel("F1 minus the full model's, points (95 % paired bootstrap); left of zero: worse than full")
    ax.invert_yaxis()
    firm = sum(concluded(d, p[row]) != NO_DIFFERENCE for row, d in differences.items())
    more = sum(d.verdict != NO_DIFFERENCE for d in differences.values()) - firm
    ax.set_title(f"TinyTweets: of {len(differences)} changes {firm} hold after Holm's correction; "
                 f"{more} more exclude zero when read alone\n", fontsize=11)  # fmt: skip
    figure.supxlabel(HOLM_LINE, fontsize=8, color=GREY, x=0.01, ha="left")
    return figure


def printed(row: str) -> str:
    """The paper's difference to its full model on both corpora; a dash where it leaves no such part out."""
    if row not in tables.TABLE3:
        return "–"
    full = tables.TABLE3["full"]
    return " / ".join(f"{tables.TABLE3[row][c][2] - full[c][2]:+.2f}" for c in tables.CORPORA)


def two_kinds(runs: Runs, differences: Mapping[str, Difference], limit: float = 2.0) -> Figure:
    """Each row's bootstrap interval, and the t-interval over its seeds; only rows whose difference is below `limit` points.

    Those on which the two disagree are named, with all rows that are beyond the limit.
    """
    labels = labelled("table3")
    full = {run.seed: run.f1 for run in runs["full"]}
    seeds = {row: t_difference([run.f1 - full[run.seed] for run in runs[row]]) for row in differences}
    differ = [row for row, d in differences.items() if d.verdict != seeds[row].verdict]
    shown = [row for row, d in differences.items() if row in differ or abs(100 * d.difference) < limit]
    figure, ax = plt.subplots(figsize=(8.8, 1.4 + 0.36 * len(shown)), layout="constrained")
    for place, row in enumerate(shown):
        for shift, d, colour, fmt in ((-0.15, differences[row], TEXT, "o"), (0.15, seeds[row], CYCLE[4], "D")):
            look = {"fmt": fmt, "markersize": 5, "capsize": 3, "linewidth": 2 if row in differ else 1}
            _bar(ax, 100 * d.difference, 100 * d.low, 100 * d.high, place + shift, colour, **look)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=range(len(shown)), yticklabels=[f"{'→ ' * (row in differ)}{labels[row]}" for row in shown])
    ax.set(xlabel="F1 minus the full model's, points; left of zero: worse than full")
    ax.invert_yaxis()
    beyond = [labels[row] for row in differences if row not in shown]
    note = f" Not drawn (beyond {points(limit)}, and both agree): {listed(beyond)}." if beyond else ""
    figure.supxlabel(
        f"Arrow: one interval holds zero, the other does not.{note}", fontsize=8, color=GREY, x=0.01, ha="left"
    )
    handles = [Line2D([], [], color=TEXT, marker="o", label="bootstrap over seeds and posts"),
               Line2D([], [], color=CYCLE[4], marker="D", label="t, over five seeds' means")]  # fmt: skip
    ax.legend(handles=handles, frameon=False, fontsize=9, loc="center left")
    ax.set_title(f"The two kinds of interval disagree about {len(differ) or 'none'} of {len(differences)} rows")
    return figure


def reach(runs: Runs, wanted: float = 1.0, row: str = "no-ips") -> Figure:
    """The detectable difference over the number of seeds: measured up to those that there are, then by the square root."""
    full, other = counts_of(runs["full"]), counts_of(runs[row])
    measured = {n: 100 * paired_bootstrap(full[:n], other[:n], 2000).detectable for n in range(2, len(full) + 1)}
    last = max(measured)
    seeds = needed(last, measured[last], wanted)
    figure, ax = plt.subplots(figsize=(7.8, 3.3), layout="constrained")
    xs = np.geomspace(2, 2 * max(seeds, 60), 100)
    ax.plot(xs, measured[last] * np.sqrt(last / xs), "--", color=GREY, label=f"1/√seeds, from {last} seeds on a guess")
    ax.plot(list(measured), list(measured.values()), "o", color=TEXT, label="measured, with the first 2, 3, … seeds")
    ax.plot([2, seeds, seeds], [wanted, wanted, 0], color=LOSS, linewidth=1.2)
    ax.plot(seeds, wanted, "s", color=LOSS, label=f"wanted: {points(wanted)}")
    gaps = [abs(tables.TABLE3[p][c][2] - tables.TABLE3["full"][c][2]) for p in tables.TABLE3 if p != "full" for c in tables.CORPORA]  # fmt: skip
    ax.axhspan(min(gaps), max(gaps), color=IMAGE, alpha=0.15, lw=0, label="the paper's differences, of its four parts")
    ticks = [n for n in (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if n <= xs[-1]]
    ax.set(xscale="log", ylim=(0, None), xlabel="seeds", ylabel="detectable, points")
    ax.set_xticks(ticks, [str(n) for n in ticks])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8.5, loc="upper right")
    label = labelled("table3")[row]
    ax.set_title(
        f"{label} against full: to detect {points(wanted)} takes about {seeds} seeds ({last} detect {measured[last]:.2f})"
    )
    return figure


def four_corners(runs: Runs, hidden: str = "neither") -> Figure:
    """The 2 × 2 as a table, with one corner left open."""
    names = {
        "full": "both",
        "no-mgi": "mutual attention\nalone",
        "no-mutual": "interweave\nalone",
        "neither": "neither",
    }
    places = {"full": (1, 1), "no-mgi": (1, 0), "no-mutual": (0, 1), "neither": (0, 0)}
    figure = Figure(figsize=(6.4, 2.7))
    ax = figure.add_axes((0.22, 0.14, 0.76, 0.7), xlim=(0, 2), ylim=(0, 2))
    for row, (x, y) in places.items():
        ax.add_patch(Rectangle((x + 0.02, y + 0.02), 0.96, 0.96, facecolor="#EEF3F0", edgecolor="white"))
        ax.text(x + 0.28, y + 0.5, names[row], ha="center", va="center", fontsize=9, color=GREY)
        number = "?" if row == hidden else f"{f1_of(runs[row]):.1f}"
        ax.text(x + 0.74, y + 0.5, number, ha="center", va="center", fontsize=17)
    ax.set_xticks((0.5, 1.5), ("without mutual attention", "with mutual attention"))
    ax.set_yticks((0.5, 1.5), ("without\ninterweave", "with\ninterweave"))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.suptitle("Three of four corners, in F1. What stands in the fourth?", x=0.01, ha="left", fontsize=11)
    return figure


def crossed(runs: Runs) -> Figure:
    """The four corners as two lines with paired intervals of what separates them, and text only below."""

    def worth(without: str, with_it: str) -> Difference:
        return paired_bootstrap(counts_of(runs[without]), counts_of(runs[with_it]))

    figure, (ax, side) = plt.subplots(1, 2, figsize=(9.8, 4.8), layout="constrained", width_ratios=(1.1, 1))
    for mgi, colour, label, fmt in ((("no-mutual", "full"), LOSS, "with interweave", "o"), (("neither", "no-mgi"), TEXT, "without interweave", "s")):  # fmt: skip
        ax.plot((0, 1), [f1_of(runs[row]) for row in mgi], color=colour, marker=fmt, label=label, linewidth=2)
        for x, row in enumerate(mgi):
            ax.scatter([x] * len(runs[row]), [100 * run.f1 for run in runs[row]], s=10, color=colour, alpha=0.4)
    ax.axhline(f1_of(runs["text"]), color=GREY, linestyle=":", linewidth=1)
    ax.text(1.38, f1_of(runs["text"]), "text only", ha="right", va="bottom", fontsize=9, color=GREY)
    ax.set(xticks=(0, 1), xticklabels=("without\nmutual attention", "with\nmutual attention"), xlim=(-0.4, 1.4))
    ax.set_ylabel("test F1 (line: mean, a dot a seed)")
    ax.legend(frameon=False, loc="center right", fontsize=9)
    rows = {
        "interweave, without\nmutual attention": worth("neither", "no-mutual"),
        "interweave, beside\nmutual attention": worth("no-mgi", "full"),
        "mutual attention,\nwithout interweave": worth("neither", "no-mgi"),
        "mutual attention,\nbeside interweave": worth("no-mutual", "full"),
        "interaction: worth beside the\nother minus worth without it": interaction(runs),
        "pictures, without\nmutual attention": worth("text", "no-mutual"),
    }
    p = corrected(rows)
    for place, (name, d) in enumerate(rows.items()):
        colour, look = _mark(d, p[name])
        _bar(side, 100 * d.difference, 100 * d.low, 100 * d.high, place, colour, **look)
        look = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        side.text(100 * d.difference, place - 0.26, str(d), ha="center", fontsize=9, bbox=look)
    side.axvline(0, color="black", linewidth=0.8)
    side.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.6))
    side.set_xlabel("points (95 % paired bootstrap)")
    side.margins(x=0.3)
    figure.suptitle(shared_work(*list(rows.values())[:5]), x=0.01, ha="left", fontsize=11)
    return figure


def shared_work(
    alone: Difference, beside: Difference, other_alone: Difference, other_beside: Difference, both: Difference
) -> str:
    """What the 2 × 2 says, in a line.

    Args:
        alone, beside: what interweave is worth without mutual attention, and beside it.
        other_alone, other_beside: what mutual attention is worth without interweave, and beside it.
        both: their interaction.
    """
    if both.verdict == NO_DIFFERENCE:
        return "No detectable interaction: what one part is worth does not depend on the other"
    if both.difference > 0:
        return f"Each is worth more beside the other: interaction {both}"
    rest = [_done(left, whole) for left, whole in ((beside, alone), (other_beside, other_alone))]
    return f"Mutual attention does {rest[0]} of interweave's work; interweave does {rest[1]} of mutual attention's"


def _done(left: Difference, whole: Difference) -> str:
    if left.verdict == NO_DIFFERENCE:
        return "all"
    share = 1 - left.difference / whole.difference
    return "about half" if 0.4 <= share <= 0.6 else f"{100 * share:.0f} %"


def dials_shown(seed: int = 0) -> Figure:
    """One post with an unambiguous name three times: with a picture that fits, an unrelated one, a misleading one."""
    dials = {"fits": (0.0, 0.0), "is unrelated": (1.0, 0.0), "misleads": (0.0, 1.0)}
    made = {
        name: tinytweets(seed, (64, 64, 64), unrelated, 0.0, chatter=0.5, misleading=misleading).test
        for name, (unrelated, misleading) in dials.items()
    }
    drawn_from = {
        "fits": "(the first type named)",
        "is unrelated": "(any type, at random)",
        "misleads": "(never a type named)",
    }
    shows = {name: [post.truth.shows for post in posts] for name, posts in made.items()}
    places = [i for i, post in enumerate(made["misleads"]) if post.truth.misleads]
    place = min(places, key=lambda i: (len({show[i] for show in shows.values()}) < 3, len(named(made["fits"][i])), i))
    figure, axes = plt.subplots(1, 3, figsize=(7.6, 2.75), layout="constrained")
    for ax, (name, posts) in zip(axes, made.items(), strict=True):
        post = posts[place]
        ax.imshow(picture_of(post))
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{name}: shows {post.truth.shows or 'nothing'}\n{drawn_from[name]}", fontsize=10)
        ax.spines[:].set(visible=True, color="#cccccc")
    post = made["fits"][place]
    names = listed([f"{span.text} ({span.type})" for span in named(post)])
    words = fitted(f"“{' '.join(post.words)}”", 7.4, 10.5)
    figure.suptitle(f"{words}\nWhatever the picture shows, the text names {names}", x=0.01, ha="left", fontsize=10.5)
    return figure


def named(post: Tweet) -> list[Span]:
    """A post's gold entities."""
    return spans(post.words, post.tags)


MIDDLE = "0.338-0"
"""The point of the map where both dials stand at TinyTweets' defaults."""


def beside_the_table(folder: Any = RESULTS) -> str:
    """Why pictures are worth less at the map's default point than in Table 3: how many names are ambiguous, in two sentences."""
    rows = {row.name: row for row in find_grid("parts-dials").rows}
    dials, table = load_results("parts-dials", folder=folder), load_results("table3", folder=folder)
    full = dials[f"full-{MIDDLE}"]
    seeds = [run.seed for run in full]
    here = {
        "on the map": (dials[f"text-{MIDDLE}"], full, rows[f"full-{MIDDLE}"].drawn),
        "in the table of part 2": (*([run for run in table[row] if run.seed in seeds] for row in ("text", "full")), {}),
    }
    says = []
    for where, (text, runs, drawn) in here.items():
        ambiguous = sum(len(post.truth.ambiguous) for seed in seeds for post in tinytweets(seed, **drawn).test)
        share = ambiguous / sum(int(run.counts[:, 2].sum()) for run in runs)
        gain = f1_of(runs) - f1_of(text)
        says.append(f"{where} {100 * share:.0f} % of the names are ambiguous and pictures are worth {gain:+.1f} points "
                    f"(scaled up to all names being ambiguous: {gain / share:.0f})")  # fmt: skip
    drawn = rows[f"full-{MIDDLE}"].drawn
    whole = f1_of(table["full"]) - f1_of(table["text"])
    return (
        f"With both dials at their defaults ({100 * drawn['unrelated']:.1f} % unrelated, {100 * drawn['misleading']:.0f} % "
        f"misleading) and seeds {seeds[0]} to {seeds[-1]}: {'; '.join(says)}. (The table's {whole:.1f} is over "
        f"{len(table['full'])} seeds; over these {len(seeds)} it is {gain:.1f}.)"
    )


def decided(folder: Any = RESULTS, place: str = "0.338-1") -> str:
    """How many names each variant gets right that the text decides and the picture contradicts, in a sentence."""
    rows = {row.name: row for row in find_grid("parts-dials").rows}
    runs = load_results("parts-dials", folder=folder)
    names = {"full": "full", "no-mgi": "w/o interweave", "no-ips": "w/o IPS-CL", "text": "text only"}
    right, gold = dict.fromkeys(names, 0), 0
    for n, run in enumerate(runs[f"full-{place}"]):
        misled = [post.truth.misleads for post in tinytweets(run.seed, **rows[f"full-{place}"].drawn).test]
        gold += int(run.counts[misled, 2].sum())
        for row in names:
            right[row] += int(runs[f"{row}-{place}"][n].counts[misled, 0].sum())
    each = ", ".join(f"{label} {right[row]}" for row, label in names.items())
    return f"With all pictures beside unambiguous names misleading, these posts have {gold} names; found with their type: {each}."


def seeds_alone(folder: Any = RESULTS, corpus: str = "tinytweets") -> str:
    """At which shares of the training posts a t-interval over the seeds would say otherwise than the bootstrap does."""
    runs = load_results("fig8", corpus, folder)
    shares = sorted({row.x for row in find_grid("fig8").rows})
    differ = []
    for share in shares:
        text, full = runs[f"text-{share}"], runs[f"full-{share}"]
        over_seeds = t_difference([b.f1 - a.f1 for a, b in zip(text, full, strict=True)])
        if over_seeds.verdict != paired_bootstrap(counts_of(text), counts_of(full)).verdict:
            differ.append(f"{share} %")
    where = f"would hold zero at {listed(differ)}, where this one does not" if differ else "agrees everywhere"
    return f"The other kind of interval, t over three seeds, {where}."


def less_data(folder: Any = RESULTS, corpus: str = "tinytweets") -> Figure:
    """Figure 8 as what pictures are worth for each share of the training posts, corrected over the shares."""
    runs = load_results("fig8", corpus, folder)
    shares = sorted({row.x for row in find_grid("fig8").rows})
    gains = {share: paired_bootstrap(counts_of(runs[f"text-{share}"]), counts_of(runs[f"full-{share}"])) for share in shares}  # fmt: skip
    p = corrected(gains)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.1), layout="constrained")
    for variant, colour, fmt in (("full", LOSS, "o"), ("text", TEXT, "s")):
        left.plot(shares, [f1_of(runs[f"{variant}-{share}"]) for share in shares], color=colour, marker=fmt, label={"text": "text only"}.get(variant, variant))  # fmt: skip
    left.set(
        ylim=(0, 100), ylabel="test F1, mean of three seeds", xlabel="share of the training posts, %", xticks=shares
    )
    left.legend(frameon=False, loc="lower right")
    for share, d in gains.items():
        colour, look = _mark(d, p[share])
        ends = np.maximum(0, [[100 * (d.difference - d.low)], [100 * (d.high - d.difference)]])
        right.errorbar(share, 100 * d.difference, yerr=ends, color=colour, capsize=4, **look)
    right.axhline(0, color="black", linewidth=0.8)
    right.set(xlabel="share of the training posts, %", ylabel="what pictures are worth, points", xticks=shares)
    firm = [share for share in shares if concluded(gains[share], p[share]) == "helps"]
    figure.suptitle(f"Pictures pay at {len(firm) or 'none'} of {len(shares)} shares, by {100 * gains[shares[0]].difference:.1f} points "
                    f"with {shares[0]} % of the posts and {100 * gains[shares[-1]].difference:.1f} with all", x=0.01, ha="left", fontsize=11)  # fmt: skip
    figure.supxlabel(seeds_alone(folder, corpus), fontsize=8, color=GREY, x=0.01, ha="left")
    return figure
