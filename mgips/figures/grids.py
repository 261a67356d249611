"""Table 3 and Figures 6-8 from the result files of a sweep: results in, figure out."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgips.evaluate import Difference, paired_bootstrap
from mgips.experiments import RESULTS, Result, find_grid, load_results, missing
from mgips.figures.style import CYCLE, GREY, LOSS, TEXT

CORPORA = {"tinytweets": "TinyTweets", "twitter2015": "Twitter-2015", "twitter2017": "Twitter-2017"}
MARK = {"helps": ("^", LOSS), "hurts": ("v", CYCLE[1]), "cannot tell": ("o", GREY)}
"""Each verdict's marker and colour: the form tells it without the colour."""


def compare(
    name: str, reference: str, corpus: str = "tinytweets", folder: str | Path = RESULTS
) -> dict[str, Difference]:
    """Every row of a grid against one of them: F1 minus the reference's, on the seeds that both have."""
    results = load_results(name, corpus, folder)
    base = {result.seed: result for result in results[reference]}
    found = {}
    for row, runs in results.items():
        both = [run for run in runs if run.seed in base]
        if row != reference and both:
            found[row] = paired_bootstrap([base[run.seed].counts for run in both], [run.counts for run in both])
    return found


def incomplete(name: str, corpus: str, folder: str | Path) -> Figure | None:
    """A figure that says which runs are missing; None where none is."""
    lacking = missing(name, corpus, folder)
    if not lacking:
        return None
    figure, ax = plt.subplots(figsize=(7.5, 2.4))
    ax.axis("off")
    ax.set_title(f"{find_grid(name).about}: {len(lacking)} runs are missing")
    some = ", ".join(lacking[:8]) + (", …" if len(lacking) > 8 else "")
    ax.text(0, 0.75, f"{some}\n\nRun: python -m mgips sweep {name} --corpus {corpus}", va="top", wrap=True)
    return figure


def measured_on(figure: Figure, runs: list[Result]) -> None:
    """The caption that every figure of results carries, below it."""
    record = runs[0].record
    seeds = sorted({run.seed for run in runs})
    epochs, batch = record["train"]["epochs"], record["train"]["batch_size"]
    figure.supxlabel(
        f"Measured on {CORPORA.get(record['corpus']['name'], record['corpus']['name'])}, test split, {record['preset']} preset, "
        f"{epochs} epochs, batch {batch}, seeds {seeds[0]}-{seeds[-1]}, {record['device']['name']}. seqeval, default reading.",
        fontsize=8,
        color=GREY,
        x=0.01,
        ha="left",
    )


def table3(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """What leaving a part out, or switching one, changes: the difference to the full model with its 95 % interval."""
    if gap := incomplete("table3", corpus, folder):
        return gap
    results, differences = load_results("table3", corpus, folder), compare("table3", "full", corpus, folder)
    text = differences.pop("text")
    figure, ax = plt.subplots(figsize=(9, 5.4), layout="constrained")
    rows = list(differences)
    for place, row in enumerate(rows):
        found = differences[row]
        marker, colour = MARK[found.verdict]
        ends = [[100 * (found.difference - found.low)], [100 * (found.high - found.difference)]]
        ax.errorbar(100 * found.difference, place, xerr=ends, fmt=marker, color=colour, markersize=7, capsize=3)
        mean = 100 * np.mean([run.f1 for run in results[row]])
        spread = 100 * np.std([run.f1 for run in results[row]], ddof=1)
        ax.text(
            1.02, place, f"{mean:.1f} ± {spread:.1f}   {found.verdict}", transform=ax.get_yaxis_transform(), va="center"
        )
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=range(len(rows)), yticklabels=[results[row][0].record["label"] for row in rows])
    ax.set_xlabel(
        "F1 minus the full model's, in points (95 % bootstrap interval over seeds and tweets, one row at a time)"
    )
    ax.invert_yaxis()
    ax.text(1.02, -0.9, "mean F1 ± sd", transform=ax.get_yaxis_transform(), va="center", fontsize=9, color=GREY)
    full = 100 * np.mean([run.f1 for run in results["full"]])
    told = {verdict: [r for r in rows if differences[r].verdict == verdict] for verdict in MARK}
    title = f"Of {len(rows)} changes {_some(told['hurts'], 'hurt')}, {_some(told['helps'], 'help')}, {_some(told['cannot tell'], 'cannot be told', 'cannot be told')}"
    ax.set_title(f"{title}\nfull model {full:.1f}, text only {-100 * text.difference:.1f} points below", pad=16)
    measured_on(figure, [run for runs in results.values() for run in runs])
    return figure


def _some(rows: list[str], verb: str, one: str | None = None) -> str:
    """ "3 hurt", "1 hurts", "none hurt"."""
    return f"{len(rows) or 'none'} {(one or f'{verb}s') if len(rows) == 1 else verb}"


def fig6(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """F1 and mining precision over the number of implicit positives K."""
    return _sensitivity("fig6", "k3", "number of implicit positives K", "K", corpus, folder, mining=True)


def fig7(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """F1 over the number of interweave encoders."""
    return _sensitivity("fig7", "l1", "number of interweave encoders L", "L", corpus, folder)


def _sensitivity(
    name: str, reference: str, axis: str, letter: str, corpus: str, folder: str | Path, mining: bool = False
) -> Figure:
    if gap := incomplete(name, corpus, folder):
        return gap
    results, rows = load_results(name, corpus, folder), {row.name: row for row in find_grid(name).rows}
    figure, axes = plt.subplots(
        1, 1 + mining, figsize=(10.5 if mining else 7.5, 3.9), layout="constrained", squeeze=False
    )
    _line(axes[0, 0], [(rows[r].x, [100 * run.f1 for run in runs]) for r, runs in results.items()], TEXT, "test F1")
    axes[0, 0].set(xlabel=axis, ylabel="test F1", xticks=[row.x for row in rows.values()])
    if mining:
        precision = [(rows[r].x, [100 * run.record["mining"]["others"] for run in runs]) for r, runs in results.items()]
        chance = np.mean([run.record["mining"]["others_chance"] for runs in results.values() for run in runs])
        _line(axes[0, 1], precision, LOSS, "mining precision without the own image")
        axes[0, 1].axhline(100 * chance, color="black", linestyle=":", linewidth=1)
        axes[0, 1].text(rows[reference].x, 100 * chance, "chance", va="bottom", ha="center", fontsize=9)
        axes[0, 1].set(xlabel=axis, ylabel="truly relevant among mined, %\n(own image left out)", ylim=(0, None))
        axes[0, 1].set_xticks([row.x for row in rows.values()])
    found = compare(name, reference, corpus, folder)
    differ = [f"{letter} = {rows[r].x} {d.verdict}" for r, d in found.items() if d.verdict != "cannot tell"]
    finding = "; ".join(differ) if differ else f"no other {letter} can be told"
    figure.suptitle(
        f"Against {letter} = {rows[reference].x}: {finding}" + ("" if differ else " from it"), x=0.01, ha="left"
    )
    measured_on(figure, [run for runs in results.values() for run in runs])
    return figure


def fig8(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """F1 over the share of the training data, full against text only."""
    if gap := incomplete("fig8", corpus, folder):
        return gap
    results, grid = load_results("fig8", corpus, folder), find_grid("fig8")
    figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for variant, colour, label in (("full", LOSS, "full"), ("text", TEXT, "text only")):
        rows = [row for row in grid.rows if row.variant == variant]
        _line(ax, [(row.x, [100 * run.f1 for run in results[row.name]]) for row in rows], colour, label)
    shares = sorted({row.x for row in grid.rows})
    gains = {
        share: np.mean([a.f1 - b.f1 for a, b in zip(results[f"full-{share}"], results[f"text-{share}"], strict=True)])
        for share in shares
    }
    least, most = shares[0], shares[-1]
    ax.set(xlabel="share of the training posts, %", ylabel="test F1", xticks=shares, ylim=(0, 100))
    ax.legend(frameon=False, loc="lower right")
    ax.set_title(
        f"Pictures are worth {100 * gains[least]:+.1f} points with {least} % of the posts, {100 * gains[most]:+.1f} with all"
    )
    measured_on(figure, [run for runs in results.values() for run in runs])
    return figure


def _line(ax: Axes, points: list[tuple[float, list[float]]], colour: str, label: str) -> None:
    """Means with their 95 % t-intervals, and each seed as a small dot."""
    from scipy.stats import t

    x = [place for place, _ in points]
    means = np.array([np.mean(values) for _, values in points])
    half = [t.ppf(0.975, len(v) - 1) * np.std(v, ddof=1) / np.sqrt(len(v)) if len(v) > 1 else 0 for _, v in points]
    ax.errorbar(x, means, yerr=half, marker="o", capsize=3, color=colour, label=label)
    for place, values in points:
        ax.scatter([place] * len(values), values, s=10, color=colour, alpha=0.45, linewidths=0)
