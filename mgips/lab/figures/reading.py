"""Reading mined pictures, its controls and pools, and where mining and the paper's parts pay: results in, figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import oracle
from mgips.lab.figures.grids import compare, mean_and_spread, summary
from mgips.lab.figures.shared import CORPUS_LABELS, MARK, Results, dot, of_grid
from mgips.lab.figures.style import CYCLE, GREY, LOSS
from mgips.lab.gmner import GROUPS, recall_table
from mgips.lab.grids import MANY
from mgips.lab.pools import POOLS
from mgips.lab.results import Result, load_results
from mgips.lab.stats import (
    NO_DIFFERENCE,
    Difference,
    Estimate,
    Name,
    concluded,
    corrected,
    counts_f1,
    f1_interval,
    p_value,
    paired_bootstrap,
)

POSTS = f"{MANY['drawn']['sizes'][0]:,} training posts a seed."
INTERVALS = (
    "95 % bootstrap intervals over seeds and posts (one seed: over posts only), one row at a time; "
    "p after Holm's correction over this figure."
)
NOTHING = Difference(0.0, 0.0, 0.0, 1.0)
"""What a reference row differs from itself."""
VERDICTS = {"helps": "higher", "hurts": "lower", NO_DIFFERENCE: "not detectable"}
"""Verdicts where a column is narrow."""


def paired(first: Mapping[int, np.ndarray], second: Mapping[int, np.ndarray]) -> Difference | None:
    """F1 of the second's tweet counts minus the first's, on the seeds that both have; None where they share none."""
    both = [seed for seed in second if seed in first]
    return paired_bootstrap([first[seed] for seed in both], [second[seed] for seed in both]) if both else None


def against(first: Sequence[Result], second: Sequence[Result]) -> Difference | None:
    """F1 of the second runs minus the first's, on the seeds that both have; None where they share none."""
    return paired({run.seed: run.counts for run in first}, {run.seed: run.counts for run in second})


def finding(subject: str, difference: Difference, p: float) -> str:
    """ "SUBJECT lifts F1 by 9.1 points [+8.0, +10.2]", or what else the difference and its corrected p-value say."""
    verdict, size = concluded(difference, p), str(difference)
    if verdict == NO_DIFFERENCE:
        return f"{subject} makes {NO_DIFFERENCE} to F1 ({size})"
    number, interval = size[1:].split(" ", 1)
    return f"{subject} {'lifts' if verdict == 'helps' else 'lowers'} F1 by {number} points {interval}"


def ceilings(runs: Sequence[Result]) -> dict[str, float]:
    """The best F1 that is possible on these runs' test splits, averaged over them; what `oracle` gives, in [0, 1]."""
    found = [_ceilings(run.seed, tuple(sorted(_test_alone(run.record.get("drawn") or {}).items()))) for run in runs]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _test_alone(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that draw the same test split with little to train on: no split depends on another's size."""
    sizes = drawn.get("sizes") or signature(tinytweets).parameters["sizes"].default
    return {**drawn, "sizes": (1, *sizes[1:])}


@lru_cache(maxsize=128)
def _ceilings(seed: int, drawn: tuple[tuple[str, Any], ...]) -> dict[str, float]:
    return oracle(tinytweets(seed, **dict(drawn)).test)


@dataclass(frozen=True)
class Entry:
    """A row of `forest`."""

    label: str
    number: Difference | Estimate
    mark: tuple[str, str]
    """Its marker and colour."""
    columns: tuple[str, ...]
    """What stands to the right, one text a column."""


def forest(
    ax: Axes,
    entries: Sequence[Entry],
    head: Mapping[str, float],
    lines: Mapping[str, float] | None = None,
    to_the_right: Sequence[str] = (),
) -> None:
    """Numbers with their intervals, one per row, and columns of text to their right.

    Args:
        head: the name of each column, and where it starts, in typographical points.
        lines: numbers of [-1, 1] that all rows are seen against, by their names: vertical lines.
        to_the_right: those whose name stands to the right of the line, because it would leave the panel.
    """
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    how: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9, "annotation_clip": False}
    rows = [("", *head), *(("", *entry.columns) for entry in entries)]
    for place, (_, *columns) in enumerate(rows, start=-1):
        for offset, content in zip(head.values(), columns, strict=True):
            right = {"xycoords": ax.get_yaxis_transform(), "color": GREY if place < 0 else "black"}
            ax.annotate(content, (1, place), xytext=(offset, 0), **how, **right)
    for place, entry in enumerate(entries):
        dot(ax, entry.number, place, *entry.mark, markersize=7)
    for step, (name, value) in enumerate((lines or {}).items()):
        ax.axvline(100 * value, color="black", linestyle=":", linewidth=1)
        place, ha = ((4, 0), "left") if name in to_the_right else ((-4, 0), "right")
        ax.annotate(name, (100 * value, -0.75 - 0.6 * step), xytext=place, ha=ha, bbox=white, **how)
    ax.set(yticks=range(len(entries)), yticklabels=[entry.label for entry in entries])
    ax.set_ylim(len(entries) - 0.5, -0.7 - 0.6 * max(1, len(lines or {})))


READ_HEAD = {"pictures read": 0, "weight on\nrelevant": 78, "best other\nrelevant": 136}


def what_was_read(runs: Sequence[Result]) -> tuple[str, str, str]:
    """Of the day's pool, averaged over seeds: pictures read a post, weight on relevant ones, precision at 1 among others."""
    days = [run.record["pools"]["day"] for run in runs if run.record.get("pools")]

    def mean(name: str, percent: bool) -> str:
        values = [day[name] for day in days if day[name] is not None]
        if not values:
            return "-"
        return f"{100 * np.mean(values):.0f} %" if percent else f"{np.mean(values):.1f}"

    return mean("pictures", False), mean("mass", True), mean("at_one", True)


def chance_at_one(results: Results) -> str:
    """A sentence on what `at_one` would be by chance, among posts with a relevant other picture in reach; "" if unknown."""
    mined = [run.record["mining"] for runs in results.values() for run in runs if run.record.get("mining")]
    shares = [m["at_one_chance"] / m["at_one_attainable"] for m in mined if m.get("at_one_attainable")]
    by_chance = f"{100 * np.mean(shares):.0f} % by chance, " if shares else ""
    return f"right: what is read of the day's pictures; best other relevant: of posts with one in reach, {by_chance}100 % attainable"


def _beside(runs: Sequence[Result], difference: Difference | None, p: float | None) -> tuple[str, ...]:
    """F1, difference and verdict, as columns."""
    f1 = f"{mean_and_spread(runs)} ({len(runs)})"
    if difference is None or p is None:
        return f1, "reference", ""
    return f1, str(difference), f"{VERDICTS[concluded(difference, p)]}, {p_value(p)}"


@of_grid("reads", more=f"{INTERVALS} {POSTS}", partial=True)
def reading(results: Results, corpus: str, folder: str | Path) -> Figure | None:
    """What reading the mined pictures gains over the own picture only, and what is read."""
    differences = compare("reads", corpus, folder)
    if not differences:
        return None
    p = corrected(differences)
    best = ceilings(results["own"])
    entries = []
    for row, runs in results.items():
        difference = differences.get(row)
        verdict = concluded(difference, p[row]) if difference else NO_DIFFERENCE
        columns = *_beside(runs, difference, p.get(row)), *what_was_read(runs)
        number = f1_interval([run.counts for run in runs])
        entries.append(Entry(runs[0].record["label"], number, MARK[verdict], columns))
    figure, ax = plt.subplots(figsize=(13, 2.4 + 0.36 * len(entries)), layout="constrained")
    head = {"F1 ± sd (seeds)": 9, "minus own only": 103, "verdict, p": 213}
    lines = {
        f"own picture, at best {100 * best['own_image']:.1f}": best["own_image"],
        f"day's pictures, at best {100 * best['mined']:.1f}": best["mined"],
    }
    low, high = min(entry.number.low for entry in entries), max(lines.values())
    near = [name for name, value in lines.items() if value < low + 0.35 * (high - low)]
    forest(ax, entries, head | {name: 320 + place for name, place in READ_HEAD.items()}, lines, near)
    ax.set_xlabel(f"test F1\n{chance_at_one(results)}", loc="left")
    main = "sparsemax" if "sparsemax" in differences else next(iter(differences))
    subject = "Reading other posts' pictures" if main == "sparsemax" else results[main][0].record["label"]
    ax.set_title(f"{finding(subject, differences[main], p[main])} compared with the own picture only\n"
                 f"{summary(settled(differences))}", pad=12)  # fmt: skip
    return figure


def settled(differences: Mapping[Name, Difference]) -> dict[Name, Difference]:
    """For `summary`: those that do not hold after correction as what they then are, no detectable difference."""
    p = corrected(differences)
    return {row: d if p[row] < 0.05 else Difference(0.0, 0.0, 0.0, p[row]) for row, d in differences.items()}


@of_grid("reads-controls", more=f"{INTERVALS} {POSTS}", partial=True)
def reading_controls(results: Results, corpus: str, folder: str | Path) -> Figure | None:
    """What reading rests on: each control against the model that reads with sparsemax."""
    differences = compare("reads-controls", corpus, folder)
    if not differences:
        return None
    p = corrected(differences)
    reads = load_results("reads", corpus, folder)
    own = against(reads["sparsemax"], reads["own"])
    entries = [
        Entry(runs[0].record["label"], d, MARK[concluded(d, p[row])], (*_beside(runs, d, p[row]), *what_was_read(runs)))
        for row, d in differences.items()
        for runs in [results[row]]
    ]
    figure, ax = plt.subplots(figsize=(13, 2.2 + 0.36 * len(entries)), layout="constrained")
    head = {"F1 ± sd (seeds)": 9, "minus reads": 103, "verdict, p": 213}
    lines = {f"own picture only {100 * own.difference:+.1f}": own.difference} if own else {}
    forest(ax, entries, head | {name: 320 + place for name, place in READ_HEAD.items()}, lines)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel(f"F1 minus that of reading with sparsemax, in points\n{chance_at_one(results)}", loc="left")
    lowest = min(differences, key=lambda row: differences[row].difference)
    reached = 100 * np.mean([run.f1 for run in reads["sparsemax"]])
    label = results[lowest][0].record["label"]
    ax.set_title(f"Reading reaches F1 {reached:.1f}. {summary(settled(differences))}\n"
                 f"Lowest: {finding(label, differences[lowest], p[lowest])}", pad=12)  # fmt: skip
    return figure


def pool_counts(runs: Sequence[Result], pool: str) -> dict[int, np.ndarray]:
    """The tweet counts of a pool by seed, of the runs that have read it."""
    pools = {run.seed: (run.record.get("pools") or {}).get(pool) for run in runs}
    return {seed: np.array(found["counts"]) for seed, found in pools.items() if found}


def pool_differences(runs: Sequence[Result]) -> dict[str, Difference]:
    """F1 with each of the pools minus F1 with the day's, on the same posts and seeds."""
    found = {name: paired(pool_counts(runs, "day"), pool_counts(runs, name)) for name in POOLS if name != "day"}
    return {name: difference for name, difference in found.items() if difference}


@of_grid("reads", more=f"{INTERVALS} {POSTS}", partial=True)
def pools(results: Results, *_: Any) -> Figure | None:
    """F1 by the pool that is read, one trained model each, against the day's pool."""
    both = [row for row in ("sparsemax", "softmax") if row in results]
    systems = {row: (results[row], pool_differences(results[row])) for row in both}
    systems = {row: found for row, found in systems.items() if found[1]}
    if not systems or "own" not in results:
        return None
    main = next(iter(systems))
    runs, differences = systems[main]
    p = corrected({(row, name): d for row, (_, found) in systems.items() for name, d in found.items()})
    figure, ax = plt.subplots(figsize=(13, 2.4 + 0.42 * (1 + len(differences))), layout="constrained")
    styles = dict(zip(systems, (("o", LOSS), ("s", CYCLE[3])), strict=False))
    own = against(runs, results["own"])
    names, entries = ["day", *differences], []
    for name in names:
        columns = []
        for row, (of_row, by_pool) in systems.items():
            change = f"{by_pool[name]}, {p_value(p[row, name])}" if name in by_pool else "reference"
            counts = [*pool_counts(of_row, name).values()]
            columns.append(f"{100 * np.mean([counts_f1(c) for c in counts]):.1f}   {change}" if counts else "-")
        size = np.mean([run.record["pools"][name]["size"] for run in runs if name in (run.record.get("pools") or {})])
        label = POOLS[name] + (f" ({size:,.0f})" if name in ("split", "split+train", "train") else "")
        entries.append(Entry(label, differences.get(name, NOTHING), styles[main], tuple(columns)))
    glyphs = {"o": "●", "s": "■"}
    head = {}
    for row, (of_row, _found) in systems.items():
        seeds = len(pool_counts(of_row, "day"))
        name = f"{glyphs[styles[row][0]]} {row}, {seeds} seed{'s' * (seeds > 1)}: F1, minus day's, p"
        head[name] = 9 + 215 * len(head)
    forest(ax, entries, head, {f"own picture only {100 * own.difference:+.1f}": own.difference} if own else {})
    for row, (_of_row, by_pool) in list(systems.items())[1:]:
        for place, name in enumerate(names):
            if name in by_pool:
                dot(ax, by_pool[name], place + 0.25, *styles[row], markersize=5)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_ylabel("pool that is read at inference")
    ax.set_xlabel("F1 minus that with the day's pool, in points", loc="left")
    figure.suptitle(_pool_title(main, results, differences), x=0.01, ha="left", fontsize=11)
    return figure


def _pool_title(main: str, results: Results, differences: Mapping[str, Difference]) -> str:
    """What larger pools do, and what a pool does in which nothing is relevant."""
    p = corrected(differences)
    title = [
        f"{finding(subject, differences[name], p[name])} compared with the day's pictures"
        for name, subject in (("split", "The whole split as pool"), ("split+train", "Split and training split as pool"))
        if name in differences
    ]
    own = {run.seed: run.counts for run in results["own"]}
    if nothing := paired(own, pool_counts(results[main], "train")):
        title.append(
            f"{finding('A pool without anything relevant', nothing, nothing.p)} compared with own pictures only"
        )
    return "\n".join(title)


@of_grid("captions", more=INTERVALS, partial=True)
def captions(results: Results, corpus: str, folder: str | Path) -> Figure | None:
    """Real posts with captions of their photos: each row against the own caption only, and recall by what can be seen."""
    differences = compare("captions", corpus, folder)
    if not differences:
        return None
    p = corrected(differences)
    entries = []
    for row, d in differences.items():
        columns = (*_beside(results[row], d, p[row]), f"{100 * d.detectable:.1f}")
        entries.append(Entry(results[row][0].record["label"], d, MARK[concluded(d, p[row])], columns))
    recalls = _recalls(results)
    shape = {"height_ratios": [2.5 + len(entries), 2.5 + len(recalls)][: 1 + bool(recalls)]}
    size = (11.5, 2.2 + 0.36 * len(entries) + (1.2 + 0.3 * len(recalls)) * bool(recalls))
    figure, axes = plt.subplots(
        1 + bool(recalls), 1, figsize=size, layout="constrained", squeeze=False, gridspec_kw=shape
    )
    head = {"F1 ± sd (seeds)": 9, "minus own caption only": 103, "verdict, p": 228, "detectable": 345}
    forest(axes[0, 0], entries, head)
    axes[0, 0].axvline(0, color="black", linewidth=0.8)
    own = 100 * np.mean([run.f1 for run in results["own"]])
    axes[0, 0].set_xlabel(f"F1 minus that with the own caption only ({own:.1f}), in points", loc="left")
    if recalls:
        forest(axes[1, 0], recalls, {"recall": 9, "minus own caption only": 103, "verdict, p": 228})
        axes[1, 0].set_xlabel(
            "recall, %: gold entities that people marked in the photo (seen), and the others", loc="left"
        )
    main = "reads" if "reads" in differences else next(iter(differences))
    subject = "reading other posts' captions" if main == "reads" else results[main][0].record["label"]
    subject = f"{CORPUS_LABELS.get(corpus, corpus)}: {subject}"
    title = f"{finding(subject, differences[main], p[main])} compared with the own caption only"
    rest = f"\n{summary(settled(differences))}" if len(differences) > 1 else ""
    figure.suptitle(title + rest, x=0.01, ha="left", fontsize=11)
    return figure


def _recalls(results: Results) -> list[Entry]:
    """Recall on seen and on unseen entities, on the seeds that all rows have; none where no marks were there."""
    kept = {
        row: {run.seed: run.record["visible"] for run in runs if run.record.get("visible")}
        for row, runs in results.items()
    }
    kept = {row: found for row, found in kept.items() if found}
    seeds = sorted(set.intersection(*(set(found) for found in kept.values()))) if "own" in kept else []
    if not seeds:
        return []
    table = recall_table({row: [found[seed] for seed in seeds] for row, found in kept.items()}, "own")
    p = corrected({f"{recall.system} {recall.group}": recall.gain for recall in table if recall.gain})
    entries = []
    for recall in sorted(table, key=lambda recall: (GROUPS.index(recall.group), [*kept].index(recall.system))):
        verdict, columns = NO_DIFFERENCE, (str(recall.recall), "reference", "")
        if recall.gain:
            corrected_p = p[f"{recall.system} {recall.group}"]
            verdict = concluded(recall.gain, corrected_p)
            columns = str(recall.recall), str(recall.gain), f"{VERDICTS[verdict]}, {p_value(corrected_p)}"
        label = f"{recall.group}: {results[recall.system][0].record['label']}"
        entries.append(Entry(label, recall.recall, MARK[verdict], columns))
    return entries
