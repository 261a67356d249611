"""Tables 2-3, Figures 6-8 and the tests of trust from the result files of a sweep: results in, figure out."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mgips.lab.figures.style import CYCLE, GREY, LOSS, TEXT
from mgips.lab.grids import find_grid
from mgips.lab.paper import tables
from mgips.lab.paper.released import leak_gain
from mgips.lab.results import RESULTS, Result, load_results, missing
from mgips.lab.stats import Difference, paired_bootstrap

CORPUS_LABELS = {"tinytweets": "TinyTweets", **tables.CORPORA}
MARK = {"helps": ("^", LOSS), "hurts": ("v", CYCLE[1]), "cannot tell": ("o", GREY)}
"""Each verdict's marker and colour: the form tells it without the colour."""


def compare(name: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> dict[str, Difference]:
    """Every row of a grid against the grid's reference: F1 minus the reference's, on the seeds that both have."""
    grid, row = find_grid(name).reference
    results, base = load_results(name, corpus, folder), load_results(grid, corpus, folder)[row]
    seeds = {result.seed: result for result in base}
    found = {}
    for other, runs in results.items():
        both = [run for run in runs if run.seed in seeds]
        if (name, other) != (grid, row) and both:
            found[other] = paired_bootstrap([seeds[run.seed].counts for run in both], [run.counts for run in both])
    return found


INFLATION = {
    f"{row.name}, {by}": (row.name, by)
    for row in find_grid("protocol").rows
    for by in ("by_dev", "by_test")
    if (row.name, by) != ("clean", "by_dev")
}
"""What is held against the clean protocol: a row of the grid "protocol", and what chose its epoch."""


def inflation(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> dict[str, Difference]:
    """F1 under each protocol of `INFLATION` minus F1 under the clean one, on the same test posts and seeds."""
    results = load_results("protocol", corpus, folder)

    def counts(row: str, by: str) -> list[np.ndarray]:
        return [np.array(run.record["by_test"][by]["counts"]) for run in results[row]]

    clean = counts("clean", "by_dev")
    return {name: paired_bootstrap(clean, counts(row, by)) for name, (row, by) in INFLATION.items()}


def incomplete(name: str, corpus: str, folder: str | Path) -> Figure | None:
    """A figure that says which runs are missing; None where none is."""
    lacking = missing(name, corpus, folder)
    if not lacking:
        return None
    figure, ax = plt.subplots(figsize=(7.5, 2.4))
    ax.axis("off")
    ax.set_title(f"{find_grid(name).about}: {len(lacking)} run{'s are' if len(lacking) > 1 else ' is'} missing")
    some = ", ".join(lacking[:8]) + (", …" if len(lacking) > 8 else "")
    ax.text(0, 0.75, f"{some}\n\nRun: python -m mgips sweep {name} --corpus {corpus}", va="top", wrap=True)
    return figure


def measured_on(figure: Figure, runs: list[Result]) -> None:
    """The caption that every figure of results carries, below it."""
    record = runs[0].record
    seeds = sorted({run.seed for run in runs})
    told = f"seeds {seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    epochs, batch = record["train"]["epochs"], record["train"]["batch_size"]
    figure.supxlabel(
        f"Measured on {CORPUS_LABELS.get(record['corpus']['name'], record['corpus']['name'])}, test split, {record['preset']} preset, "
        f"{epochs} epochs, batch {batch}, {told}, {record['device']['name']}. seqeval, default reading.",
        fontsize=8,
        color=GREY,
        x=0.01,
        ha="left",
    )


def table3(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """What leaving a part out, or switching one, changes: the difference to the full model with its 95 % interval."""
    if gap := incomplete("table3", corpus, folder):
        return gap
    results, differences = load_results("table3", corpus, folder), compare("table3", corpus, folder)
    text = differences.pop("text")
    labels = {row: results[row][0].record["label"] for row in differences}
    full = 100 * np.mean([run.f1 for run in results["full"]])
    figure = dots(differences, labels, {row: mean_and_spread(results[row]) for row in differences}, "mean F1 ± sd")
    figure.axes[0].set_title(
        f"{verdicts(differences)}\nfull model {full:.1f}, text only {-100 * text.difference:.1f} points below", pad=16
    )
    measured_on(figure, [run for runs in results.values() for run in runs])
    return figure


def switches(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """What each thing that the authors' released code does otherwise changes, against the full model."""
    if gap := incomplete("switches", corpus, folder) or incomplete("table3", corpus, folder):
        return gap
    results, differences = load_results("switches", corpus, folder), compare("switches", corpus, folder)
    runs = [run for row in results.values() for run in row]
    # τ is measured in table3, and shown here too
    results["tau-0.1"] = load_results("table3", corpus, folder)["tau-0.1"]
    differences["tau-0.1"] = compare("table3", corpus, folder)["tau-0.1"]
    labels = {row: results[row][0].record["label"] for row in differences}
    labels["tau-0.1"] += f" ({len(results['tau-0.1'])} seeds)"
    figure = dots(differences, labels, {row: mean_and_spread(results[row]) for row in differences}, "mean F1 ± sd")
    figure.axes[0].set_title(
        f"Where paper, released code and this package differ, one change at a time:\n{verdicts(differences)}", pad=16
    )
    measured_on(figure, runs)
    return figure


def dots(
    differences: dict[str, Difference],
    labels: dict[str, str],
    beside: dict[str, str],
    head: str,
    words: dict[str, str] | None = None,
) -> Figure:
    """Differences in F1 with their intervals, a row each; beside each what its row has to say, and the verdict, in
    other `words` where there are some."""
    figure, ax = plt.subplots(figsize=(9.4, 1.6 + 0.36 * len(differences)), layout="constrained")
    right = ax.get_yaxis_transform()
    for place, (row, found) in enumerate(differences.items()):
        marker, colour = MARK[found.verdict]
        # rounding may put an end a hair inside the mean of the samples, and lengths must not be negative
        ends = np.maximum(0, [[100 * (found.difference - found.low)], [100 * (found.high - found.difference)]])
        ax.errorbar(100 * found.difference, place, xerr=ends, fmt=marker, color=colour, markersize=7, capsize=3)
        ax.text(
            1.02,
            place,
            f"{beside[row]}   {(words or {}).get(found.verdict, found.verdict)}",
            transform=right,
            va="center",
        )
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=range(len(differences)), yticklabels=[labels[row] for row in differences])
    ax.set_xlabel(
        "F1 minus the reference's, in points (95 % bootstrap interval over seeds and tweets, one row at a time)"
    )
    ax.invert_yaxis()
    ax.text(1.02, -0.9, head, transform=right, va="center", fontsize=9, color=GREY)
    return figure


def mean_and_spread(runs: list[Result]) -> str:
    """ "85.8 ± 0.7": mean F1 and its standard deviation over seeds, in percent."""
    values = [100 * run.f1 for run in runs]
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def verdicts(differences: dict[str, Difference]) -> str:
    """ "Of 8 changes 2 hurt, none help, 6 cannot be told": what the intervals allow to say."""
    told = {verdict: [row for row, d in differences.items() if d.verdict == verdict] for verdict in MARK}
    return (
        f"Of {len(differences)} changes {_some(told['hurts'], 'hurt')}, {_some(told['helps'], 'help')}, "
        f"{_some(told['cannot tell'], 'cannot be told', 'cannot be told')}"
    )


def table2_text(folder: str | Path = RESULTS) -> Figure:
    """Table 2's text rows on both Twitter corpora: every seed, its mean, and what the paper prints."""
    for corpus in tables.CORPORA:
        if gap := incomplete("table2-text", corpus, folder):
            return gap
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.6), layout="constrained", sharey=True)
    distance, everything = [], []
    for ax, (corpus, name) in zip(axes, tables.CORPORA.items(), strict=True):
        results = load_results("table2-text", corpus, folder)
        for place, runs in enumerate(results.values()):
            printed = tables.TABLE2[runs[0].record["label"]].scores[corpus].f1
            values = [100 * run.f1 for run in runs]
            ax.scatter(values, [place] * len(values), s=22, color=TEXT, alpha=0.5, linewidths=0, zorder=3)
            ax.plot(np.mean(values), place, "|", color=TEXT, markersize=17, markeredgewidth=2.2)
            ax.plot(printed, place, "D", color="white", markeredgecolor=CYCLE[1], markersize=8, zorder=2)
            ax.text(
                1.01, place, f"{mean_and_spread(runs)}  ({len(runs)})", transform=ax.get_yaxis_transform(), va="center"
            )
            distance.append(np.mean(values) - printed)
            everything += runs
        ax.set(yticks=range(len(results)), yticklabels=[runs[0].record["label"] for runs in results.values()])
        ax.set(xlabel="test F1", title=name)
        ax.text(1.01, -0.75, "mean ± sd (seeds)", transform=ax.get_yaxis_transform(), fontsize=9, color=GREY)
    axes[0].invert_yaxis()
    told = next(run.record for run in everything if run.row == "bert-crf")
    longer = next(run.record["train"]["epochs"] for run in everything if run.row == "bilstm-crf")
    figure.legend(
        handles=[
            Line2D([], [], color=TEXT, marker="o", linestyle="", alpha=0.5, label="measured here, a dot a seed"),
            Line2D([], [], color=TEXT, marker="|", linestyle="", markersize=14, markeredgewidth=2, label="their mean"),
            Line2D([], [], color="white", marker="D", markeredgecolor=CYCLE[1], linestyle="", label="printed in the paper"),
        ],
        title=f"Measured on the test splits: {told['model']['text_encoder']} in BERT's place, {told['train']['epochs']} "
        f"epochs (first two rows: random word vectors, {longer} epochs), {told['device']['name']}. seqeval, default reading.",
        loc="outside lower left", ncols=3, frameon=False, fontsize=9, title_fontsize=8, alignment="left",
    ).get_title().set_color(GREY)  # fmt: skip
    figure.suptitle(
        f"A small encoder in BERT's place: text rows land {min(distance):+.1f} to {max(distance):+.1f} points from the "
        "paper's",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    return figure


def protocol(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """How much higher F1 reads when test posts are trained on, when test chooses the epoch, and with both."""
    if gap := incomplete("protocol", corpus, folder):
        return gap
    results, differences = load_results("protocol", corpus, folder), inflation(corpus, folder)
    clean = float(np.mean([run.f1 for run in results["clean"]]))
    shares = {row.name: row.leak[1] for row in find_grid("protocol").rows}
    beside = {
        name: f"{leak_gain(shares[row], 100 * clean):+5.1f}" if shares[row] else "   -  "
        for name, (row, _) in INFLATION.items()
    }
    labels = {
        name: results[row][0].record["label"] + (" + epoch by test" if by == "by_test" and row != "clean" else "")
        for name, (row, by) in INFLATION.items()
    }
    labels["clean, by_test"] = "epoch chosen by test"
    figure = dots(differences, labels, beside, "by arithmetic", {"helps": "higher", "hurts": "lower"})
    higher = [100 * d.difference for d in differences.values() if d.verdict == "helps"]
    reads = (
        f"reads {min(higher):.1f} to {max(higher):.1f} points higher" if higher else "cannot be told from the clean one"
    )
    figure.axes[0].set_title(
        f"With the test split in training or in choosing, F1 {reads}\n({len(higher)} of {len(differences)} can be told; "
        f"clean protocol {100 * clean:.1f})",
        pad=16,
    )
    measured_on(figure, [run for runs in results.values() for run in runs])
    return figure


def _some(rows: list[str], verb: str, one: str | None = None) -> str:
    """ "3 hurt", "1 hurts", "none hurt"."""
    return f"{len(rows) or 'none'} {(one or f'{verb}s') if len(rows) == 1 else verb}"


def fig6(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """F1 and mining precision over the number of implicit positives K."""
    return _sensitivity("fig6", "number of implicit positives K", "K", corpus, folder, mining=True)


def fig7(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """F1 over the number of interweave encoders."""
    return _sensitivity("fig7", "number of interweave encoders L", "L", corpus, folder)


def _sensitivity(name: str, axis: str, letter: str, corpus: str, folder: str | Path, mining: bool = False) -> Figure:
    if gap := incomplete(name, corpus, folder):
        return gap
    results, rows = load_results(name, corpus, folder), {row.name: row for row in find_grid(name).rows}
    _, reference = find_grid(name).reference
    # Only a corpus that knows which images are relevant has a mining precision.
    mining = mining and all(run.record["mining"] for runs in results.values() for run in runs)
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
    found = compare(name, corpus, folder)
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
    least, most = shares[0], shares[-1]
    told = []
    for share in (least, most):
        runs = [[run.counts for run in results[f"{variant}-{share}"]] for variant in ("text", "full")]
        gain = paired_bootstrap(*runs)
        doubt = ", cannot tell" if gain.verdict == "cannot tell" else ""
        told.append(f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]{doubt}")
    ax.set(xlabel="share of the training posts, %", ylabel="test F1", xticks=shares, ylim=(0, 100))
    ax.legend(frameon=False, loc="lower right")
    ax.set_title(f"Pictures are worth, in points, with {least} % of the posts {told[0]},\nwith all {told[1]}")
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
