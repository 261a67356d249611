"""Where reading and the paper's parts pay, over two dials of the corpus; and two parts with and without each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgips.data.tinytweets.posts import tinytweets
from mgips.lab.figures.reading import POSTS, against, ceilings, finding, settled
from mgips.lab.figures.shared import Results, line, of_grid
from mgips.lab.figures.style import GREY, LOSS, TEXT
from mgips.lab.grids import NOISE, PARTS_DIALS, READS_DIALS, STORIES, Row
from mgips.lab.results import load_results
from mgips.lab.stats import NO_DIFFERENCE, Difference, concluded, corrected, t_difference

Point = tuple[float, float]
DIALS = {
    "unrelated": "unrelated pictures, %",
    "posts_per_story": "posts a story",
    "misleading": "misleading pictures on unambiguous names, %",
}


def point(row: Row, dials: Mapping[str, Sequence[float]]) -> Point:
    """Where a row stands on two dials."""
    first, second = dials
    return row.drawn[first], row.drawn[second]


def dial_gains(
    results: Results, rows: Sequence[Row], dials: Mapping[str, Sequence[float]], first: str, second: str
) -> dict[Point, Difference]:
    """F1 of one variant minus another's, at each point where both have runs."""
    names = {(row.variant, point(row, dials)): row.name for row in rows}
    gains = {}
    for place in dict.fromkeys(point(row, dials) for row in rows):
        runs = [results.get(names[variant, place], ()) for variant in (first, second)]
        if difference := against(*runs):
            gains[place] = difference
    return gains


def heat(
    ax: Axes,
    gains: Mapping[Point, Difference],
    dials: Mapping[str, Sequence[float]],
    limit: float,
    extra: Callable[[Point], str] | None = None,
) -> None:
    """Differences at the points of two dials: number and interval, in brackets and without colour where corrected p is
    .05 or more."""
    (first, ys), (second, xs) = dials.items()
    p, colours = corrected(gains), settled(gains)
    values = np.array([[100 * colours[y, x].difference if (y, x) in gains else np.nan for x in xs] for y in ys])
    ax.imshow(values, cmap="PuOr_r", vmin=-1.25 * limit, vmax=1.25 * limit, origin="lower", aspect="auto")
    for (y, x), difference in gains.items():
        number = f"{100 * difference.difference:+.1f}"
        number = f"({number})" if concluded(difference, p[y, x]) == NO_DIFFERENCE else number
        colour = "white" if abs(100 * colours[y, x].difference) > 0.8 * limit else "black"
        at = xs.index(x), ys.index(y)
        ax.annotate(number, at, (0, 8), textcoords="offset points", ha="center", va="center", color=colour, fontsize=12)
        below = str(difference).split(" ", 1)[1] + (f"\n{extra((y, x))}" if extra else "")
        ax.annotate(below, at, (0, -3), textcoords="offset points", ha="center", va="top", color=colour, fontsize=8)
    for at in ((xs.index(x), ys.index(y)) for y in ys for x in xs if (y, x) not in gains):
        ax.annotate("not run", at, ha="center", va="center", color=GREY, fontsize=8)
    for name, ticks, axis in ((first, ys, "y"), (second, xs, "x")):
        shares = DIALS[name].endswith("%")
        labels = [f"{100 * tick if shares else tick:.3g}" for tick in ticks]
        ax.set(**{f"{axis}ticks": range(len(ticks)), f"{axis}ticklabels": labels, f"{axis}label": DIALS[name]})
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


BRACKETS = (
    "95 % bootstrap intervals; in brackets and grey: no detectable difference after Holm's correction over the map."
)
POSSIBLE = "possible: the best F1 that the day's pictures allow, minus the best that the own one allows."


def _default(dials: Mapping[str, Sequence[float]]) -> Point:
    first, second = (signature(tinytweets).parameters[name].default for name in dials)
    return first, second


BORROWED = {
    row.name: {"own": "own", "reads": "sparsemax"}[row.variant]
    for row in READS_DIALS
    if point(row, STORIES) == _default(STORIES)
}
"""Rows of "reads-dials" whose runs are those of a row of "reads" where they are not there."""


@of_grid("reads-dials", more=f"{POSTS} {BRACKETS}\n{POSSIBLE}", partial=True, elsewhere=BORROWED)
def reading_dials(results: Results, corpus: str, folder: str | Path) -> Figure | None:
    """What reading gains over the own picture only, by the share of unrelated pictures and by posts a story."""
    reads = load_results("reads", corpus, folder)
    results = {**{row: reads[other] for row, other in BORROWED.items()}, **results}
    gains = dial_gains(results, READS_DIALS, STORIES, "own", "reads")
    if not gains:
        return None
    names = {point(row, STORIES): row.name for row in READS_DIALS if row.variant == "own"}
    possible = {place: ceilings(results[names[place]]) for place in gains}
    room = {place: best["mined"] - best["own_image"] for place, best in possible.items()}
    figure, ax = plt.subplots(figsize=(8.2, 5.2), layout="constrained")
    limit = max(1.0, *(100 * abs(d.difference) for d in gains.values()))
    heat(ax, gains, STORIES, limit, lambda place: f"possible {100 * room[place]:+.1f}")
    pays = [d for d in settled(gains).values() if d.verdict == "helps"]
    most = max(gains, key=lambda place: gains[place].difference)
    ax.set_title(f"Reading pays at {len(pays) or 'none'} of {len(gains)} points; most, {100 * gains[most].difference:+.1f}, "
                 f"with {100 * most[0]:.3g} % unrelated\npictures and {most[1]:g} posts a story")  # fmt: skip
    return figure


PARTS = {"interweave": "no-mgi", "IPS-CL": "no-ips", "pictures": "text"}
"""Parts of the paper's model, and the variant without each."""


@of_grid("parts-dials", more=BRACKETS, partial=True)
def parts_dials(results: Results, *_: Any) -> Figure | None:
    """What interweave, IPS-CL and pictures are worth, by the shares of unrelated and of misleading pictures."""
    gains = {part: dial_gains(results, PARTS_DIALS, NOISE, variant, "full") for part, variant in PARTS.items()}
    gains = {part: found for part, found in gains.items() if found}
    if not gains:
        return None
    figure, axes = plt.subplots(1, len(gains), figsize=(4.3 * len(gains), 4.6), layout="constrained", squeeze=False)
    pays = []
    limit = max(1.0, *(100 * abs(d.difference) for found in gains.values() for d in found.values()))
    for ax, (part, found) in zip(axes[0], gains.items(), strict=True):
        heat(ax, found, NOISE, limit)
        verdicts = [d.verdict for d in settled(found).values()]
        hurts = f" (hurts at {verdicts.count('hurts')})" if "hurts" in verdicts else ""
        pays.append(f"{part} at {verdicts.count('helps') or 'none'} of {len(found)}{hurts}")
        ax.set_title(f"what {part} {'are' if part == 'pictures' else 'is'} worth")
    figure.suptitle(f"Where the parts pay: {', '.join(pays)} points", x=0.01, ha="left", fontsize=11)
    return figure


@of_grid("neither", "table3")
def two_by_two(results: Results, corpus: str, folder: str | Path) -> Figure | None:
    """Mutual attention and interweave, each with and without the other."""
    runs = {**load_results("table3", corpus, folder), **results}
    corners = {(True, True): "full", (True, False): "no-mgi", (False, True): "no-mutual", (False, False): "neither"}
    f1 = {corner: {run.seed: run.f1 for run in runs[row]} for corner, row in corners.items()}
    beside, alone = (
        against(runs[without], runs[row]) for without, row in (("no-mgi", "full"), ("neither", "no-mutual"))
    )
    seeds = sorted(set.intersection(*(set(found) for found in f1.values())))
    if beside is None or alone is None or not seeds:
        return None
    both = t_difference(
        [f1[True, True][s] - f1[True, False][s] - f1[False, True][s] + f1[False, False][s] for s in seeds]
    )
    figure, ax = plt.subplots(figsize=(8.6, 4.6), layout="constrained")
    for mgi, colour, label in ((True, LOSS, "with interweave (MGI)"), (False, TEXT, "without interweave")):
        aside = 0.02 if mgi else -0.02  # so that equal lines are seen to be two
        points = {mutual + aside: [100 * f for f in f1[bool(mutual), mgi].values()] for mutual in (0, 1)}
        line(ax, points, colour, label)
    ax.set(xticks=(0, 1), xticklabels=("without mutual attention", "with mutual attention"), xlim=(-0.4, 1.4))
    ax.set_ylabel("test F1 (mean, 95 % t-interval over seeds)")
    ax.legend(frameon=False, loc="lower right")
    p = corrected({"beside": beside, "alone": alone})
    together = "they depend on each other" if both.verdict != NO_DIFFERENCE else "no detectable interaction"
    ax.set_title(f"{finding('Interweave', beside, p['beside'])} with mutual attention;\n"
                 f"{finding('interweave', alone, p['alone'])} without it;\n{together}: {both} (t-interval)")  # fmt: skip
    return figure
