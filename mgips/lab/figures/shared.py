"""What the figures of results share: marks, dots and lines with intervals, captions, and the page for missing runs."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgips.errors import DataError
from mgips.files import write_atomically
from mgips.lab.figures.style import CYCLE, GREY, LOSS
from mgips.lab.grids import find_grid
from mgips.lab.paper import tables
from mgips.lab.results import RESULTS, Result, load_results, missing
from mgips.lab.stats import NO_DIFFERENCE, Difference, Estimate, t_interval

Results = Mapping[str, Sequence[Result]]
"""The runs of a grid, by row."""
CORPUS_LABELS = {"tinytweets": "TinyTweets", **tables.CORPORA}
MARK = {"helps": ("^", LOSS), "hurts": ("v", CYCLE[1]), NO_DIFFERENCE: ("o", GREY)}
"""Each verdict's marker and colour: the marker alone is enough to tell them apart."""


def incomplete(name: str, corpus: str, folder: str | Path) -> Figure | None:
    """A figure that says which runs are missing; None where none is."""
    lacking = missing(name, corpus, folder)
    if not lacking:
        return None
    figure, ax = plt.subplots(figsize=(7.5, 2.4))
    ax.axis("off")
    ax.set_title(f"{find_grid(name).about}: {len(lacking)} run{'s are' if len(lacking) > 1 else ' is'} missing")
    some = ", ".join(lacking[:8]) + (", …" if len(lacking) > 8 else "")
    ax.text(0, 0.75, f"{some}\n\nRun: mgips sweep {name} --corpus {corpus}", va="top", wrap=True)
    return figure


def of_grid(*grids: str, more: str = "", partial: bool = False, elsewhere: Collection[str] = ()):
    """Turn `draw(results, corpus, folder)` into a figure's function of corpus and folder.

    It draws the runs of the first grid and adds their caption; where runs of any of the grids are missing, it says so.

    Args:
        more: a second line of the caption.
        partial: draw what is there, and name what is missing in the caption; `draw` then gets only rows that have runs,
            and returns None where they do not suffice.
        elsewhere: rows of the first grid that are not missed, since `draw` finds their runs in another grid.
    """

    def decorate(draw: Callable[[Results, str, str | Path], Figure | None]):
        def drawn(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
            gaps = {name: missing(name, corpus, folder) for name in grids}
            gaps[grids[0]] = [run for run in gaps[grids[0]] if run.rsplit("-s", 1)[0] not in elsewhere]
            lacking = next((name for name, runs in gaps.items() if runs), None)
            results = {row: runs for row, runs in load_results(grids[0], corpus, folder).items() if runs}
            figure = draw(results, corpus, folder) if not lacking or partial and results else None
            if figure is None:
                page = incomplete(lacking or grids[0], corpus, folder)
                if page is None:
                    raise DataError(
                        f"The runs of {grids[0]} lack what this figure draws; remove their files, run it again."
                    )
                return page
            measured_on(
                figure,
                results,
                "\n".join([more] * bool(more) + [_lacks(*gap, corpus) for gap in gaps.items() if gap[1]]),
            )
            return figure

        drawn.__name__, drawn.__doc__ = draw.__name__, draw.__doc__
        return drawn

    return decorate


def _lacks(grid: str, runs: Sequence[str], corpus: str) -> str:
    """One line for a caption."""
    some = ", ".join(runs[:4]) + (", …" if len(runs) > 4 else "")
    return f"Not yet run: {len(runs)} of this grid ({some}). mgips sweep {grid} --corpus {corpus}"


def write(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as PNG and SVG without dates, so that equal figures give equal files, and close it."""
    for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        page = io.BytesIO()
        figure.savefig(page, format=ending, metadata=metadata)
        write_atomically(folder / f"{name}.{ending}", page.getvalue())
    plt.close(figure)


def headed(figure: Figure, title: str) -> Figure:
    """The figure with a title over all of it, from its left edge."""
    figure.suptitle(title, x=0.012, ha="left", fontsize=11)
    return figure


def caption(figure: Figure, text: str) -> None:
    """Small grey text below a figure, from its left edge."""
    figure.supxlabel(text, fontsize=8, color=GREY, x=0.01, ha="left")


def measured_on(figure: Figure, results: Results, more: str = "") -> None:
    """The caption that every figure of results carries: what the runs were made on, and `more` below it."""
    runs = [run for row in results.values() for run in row]
    record, seeds = runs[0].record, sorted({run.seed for run in runs})
    corpus, train = record["corpus"]["name"], record["train"]
    made = (
        f"Measured on {CORPUS_LABELS.get(corpus, corpus)}, test split, {record['preset']} preset, {train['epochs']} epochs, "
        f"batch {train['batch_size']}, {f'seeds {seeds[0]}-{seeds[-1]}' if len(seeds) > 1 else f'seed {seeds[0]}'}, "
        f"{record['device']['name']}. seqeval, default reading."
    )
    caption(figure, f"{made}\n{more}" if more else made)


def dot(ax: Axes, number: Difference | Estimate, y: float, marker: str, colour: str, **how: Any) -> None:
    """A number in [-1, 1] in points, with its interval; `how` goes to matplotlib's `errorbar`."""
    value = number.difference if isinstance(number, Difference) else number.value
    # rounding may put an end of the interval a hair inside the number, and lengths must not be negative
    ends = np.maximum(0, [[100 * (value - number.low)], [100 * (number.high - value)]])
    ax.errorbar(100 * value, y, xerr=ends, fmt=marker, color=colour, capsize=3, **how)


def line(ax: Axes, points: Mapping[Any, Sequence[float]], colour: str, label: str) -> None:
    """The values of all seeds at each x: means with their 95 % t-intervals, and each seed as a small dot."""
    means = [t_interval(values) for values in points.values()]
    half = [mean.high - mean.value for mean in means]
    ax.errorbar(list(points), [mean.value for mean in means], half, marker="o", capsize=3, color=colour, label=label)
    for x, values in points.items():
        ax.scatter([x] * len(values), values, s=10, color=colour, alpha=0.45, linewidths=0)


def chance_line(ax: Axes, height: float, x: float, side: str) -> None:
    """What drawing at random would reach: a dotted line, its name at x, whose "top" or "bottom" is on it."""
    ax.axhline(height, color="black", linestyle=":", linewidth=1)
    ax.text(x, height, "chance", va=side, ha="center", fontsize=9)
