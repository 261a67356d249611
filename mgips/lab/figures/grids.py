"""Tables 2-3, Figures 6-8 and the tests of trust from the result files of a sweep: results in, figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mgips.errors import DataError
from mgips.lab.figures.shared import CORPUS_LABELS as CORPUS_LABELS
from mgips.lab.figures.shared import MARK, Results, chance_line, dot, incomplete, line, of_grid
from mgips.lab.figures.style import CYCLE, GREY, LOSS, TEXT
from mgips.lab.grids import find_grid
from mgips.lab.paper import tables
from mgips.lab.paper.released import leak_gain
from mgips.lab.results import RESULTS, Result, load_results
from mgips.lab.stats import NO_DIFFERENCE, Difference, paired_bootstrap


def compare(name: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> dict[str, Difference]:
    """Every row of a grid against the grid's reference: F1 minus the reference's, on the seeds that both have.

    Raises:
        DataError: files that are not what their rows say, or grids that were run with different changes.
    """
    grid, row = find_grid(name).reference
    there, here = load_results(grid, corpus, folder), load_results(name, corpus, folder)
    first, *others = (run for results in (there, here) for runs in results.values() for run in runs)
    if any(run.changes != first.changes for run in others):
        raise DataError(
            f"The runs of {name} and {grid} in {folder} were made with different settings, and cannot be compared; "
            "keep them in folders of their own."
        )
    reference = {run.seed: run.counts for run in there[row]}
    differences = {}
    for other, runs in here.items():
        both = [run for run in runs if run.seed in reference]
        if (name, other) != (grid, row) and both:
            differences[other] = paired_bootstrap([reference[run.seed] for run in both], [run.counts for run in both])
    return differences


INFLATION = {
    f"{row.name}, {by}": (row.name, by)
    for row in find_grid("protocol").rows
    for by in ("by_dev", "by_test")
    if (row.name, by) != ("clean", "by_dev")
}
"""What is compared with the clean protocol: a row of the grid "protocol", and the split that chose its epoch."""


def inflation(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> dict[str, Difference]:
    """F1 under each protocol of `INFLATION` minus F1 under the clean one, on the same test posts and seeds."""
    results = load_results("protocol", corpus, folder)

    def counts(row: str, by: str) -> list[np.ndarray]:
        return [np.array(run.record["by_test"][by]["counts"]) for run in results[row]]

    clean = counts("clean", "by_dev")
    return {name: paired_bootstrap(clean, counts(row, by)) for name, (row, by) in INFLATION.items()}


@of_grid("table3")
def table3(results: Results, corpus: str, folder: str | Path) -> Figure:
    """What leaving a part out, or switching one, changes: the difference to the full model with its 95 % interval."""
    differences = compare("table3", corpus, folder)
    text = differences.pop("text")
    full = 100 * np.mean([run.f1 for run in results["full"]])
    title = f"{summary(differences)}\nfull model {full:.1f}, text only {-100 * text.difference:.1f} points below"
    return dots(title, "mean F1 ± sd", [_against_reference(results[row], d) for row, d in differences.items()])


@of_grid("switches", "table3")
def switches(results: Results, corpus: str, folder: str | Path) -> Figure:
    """What each thing that the authors' released code does otherwise changes, against the full model."""
    differences = compare("switches", corpus, folder)
    rows = [_against_reference(results[row], difference) for row, difference in differences.items()]
    # τ is measured in table3, with more seeds, and shown here too
    tau = load_results("table3", corpus, folder)["tau-0.1"]
    differences["tau-0.1"] = compare("table3", corpus, folder)["tau-0.1"]
    rows.append(_against_reference(tau, differences["tau-0.1"], f" ({len(tau)} seeds)"))
    title = f"Where paper, released code and this package differ, one change at a time:\n{summary(differences)}"
    return dots(title, "mean F1 ± sd", rows)


DotRow = tuple[str, str, Difference]
"""A row of `dots`: its label, what stands beside the dot, and the difference."""


def _against_reference(runs: Sequence[Result], difference: Difference, more: str = "") -> DotRow:
    return runs[0].record["label"] + more, mean_and_spread(runs), difference


def dots(title: str, head: str, rows: Sequence[DotRow], words: Mapping[str, str] | None = None) -> Figure:
    """Differences in F1 with their intervals, one per row; `head` is over the column to their right.

    `words` are other words for verdicts.
    """
    figure, ax = plt.subplots(figsize=(11.4, 1.95 + 0.36 * len(rows)), layout="constrained")

    def write(place: float, *columns: str, **how: Any) -> None:
        how |= {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
        for offset, content in zip((9, 82, 216), columns, strict=True):
            ax.annotate(content, (1, place), xytext=(offset, 0), **how)

    for place, (_, beside, difference) in enumerate(rows):
        dot(ax, difference, place, *MARK[difference.verdict], markersize=7)
        verdict = (words or {}).get(difference.verdict, difference.verdict)
        write(place, beside, verdict, f"{100 * difference.detectable:.1f}")
    write(-0.9, head, "verdict", "detectable", fontsize=9, color=GREY)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=range(len(rows)), yticklabels=[label for label, *_ in rows])
    ax.set_xlabel(
        "F1 minus the reference's, in points (95 % bootstrap interval over seeds and tweets, one row at a time)\n"
        "detectable: the smallest true difference that the comparison would find with 80 % power"
    )
    ax.invert_yaxis()
    ax.set_title(title, pad=30)
    return figure


def mean_and_spread(runs: Sequence[Result]) -> str:
    """ "85.8 ± 0.7": mean F1 and its standard deviation over seeds, in percent."""
    values = [100 * run.f1 for run in runs]
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def summary(differences: dict[str, Difference]) -> str:
    """ "Of 8 changes 2 hurt, none help, 6 make no detectable difference": what the intervals allow to say."""

    def some(verdict: str, one: str, many: str) -> str:
        count = sum(difference.verdict == verdict for difference in differences.values())
        return f"{count or 'none'} {one if count == 1 else many}"

    nothing = some(NO_DIFFERENCE, "makes", "make") + f" {NO_DIFFERENCE}"
    hurt, helped = some("hurts", "hurts", "hurt"), some("helps", "helps", "help")
    return f"Of {len(differences)} changes {hurt}, {helped}, {nothing}"


@of_grid("protocol")
def protocol(results: Results, corpus: str, folder: str | Path) -> Figure:
    """How much higher F1 is when test posts are trained on, when test chooses the epoch, and with both."""
    clean = 100 * float(np.mean([run.f1 for run in results["clean"]]))
    shares = {row.name: row.leak[1] for row in find_grid("protocol").rows}
    rows = []
    for name, difference in inflation(corpus, folder).items():
        row, by = INFLATION[name]
        label = results[row][0].record["label"] + (" + epoch by test" if by == "by_test" else "")
        estimate = f"{leak_gain(shares[row], clean):+5.1f}" if shares[row] else "   -  "
        rows.append(("epoch chosen by test" if row == "clean" else label, estimate, difference))
    higher = [100 * difference.difference for *_, difference in rows if difference.verdict == "helps"]
    reads = f"is {min(higher):.1f} to {max(higher):.1f} points higher" if higher else f"shows {NO_DIFFERENCE}"
    title = f"With the test split in training or in choosing the epoch, F1 {reads}\n"
    title += f"({len(higher)} of {len(rows)} differences are detectable; clean protocol {clean:.1f})"
    return dots(title, "by arithmetic", rows, {"helps": "higher", "hurts": "lower"})


def table2_text(folder: str | Path = RESULTS) -> Figure:
    """Table 2's text rows on both Twitter corpora: every seed, its mean, and what the paper prints."""
    for corpus in tables.CORPORA:
        if gap := incomplete("table2-text", corpus, folder):
            return gap
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.6), layout="constrained", sharey=True)
    distance, results = [], {}
    for ax, (corpus, name) in zip(axes, tables.CORPORA.items(), strict=True):
        results = load_results("table2-text", corpus, folder)
        right = ax.get_yaxis_transform()
        for place, runs in enumerate(results.values()):
            printed = tables.TABLE2[runs[0].record["label"]].scores[corpus].f1
            assert printed is not None, "the paper prints F1 for each text row"
            values = [100 * run.f1 for run in runs]
            ax.scatter(values, [place] * len(values), s=22, color=TEXT, alpha=0.5, linewidths=0, zorder=3)
            ax.plot(np.mean(values), place, "|", color=TEXT, markersize=17, markeredgewidth=2.2)
            ax.plot(printed, place, "D", color="white", markeredgecolor=CYCLE[1], markersize=8, zorder=2)
            ax.text(1.01, place, f"{mean_and_spread(runs)}  ({len(runs)})", transform=right, va="center")
            distance.append(np.mean(values) - printed)
        ax.set(yticks=range(len(results)), yticklabels=[runs[0].record["label"] for runs in results.values()])
        ax.set(xlabel="test F1", title=name)
        ax.text(1.01, -0.75, "mean ± sd (seeds)", transform=right, fontsize=9, color=GREY)
    axes[0].invert_yaxis()
    record, longer = results["bert-crf"][0].record, results["bilstm-crf"][0].record["train"]["epochs"]
    figure.legend(
        handles=[
            Line2D([], [], color=TEXT, marker="o", linestyle="", alpha=0.5, label="measured here, a dot a seed"),
            Line2D([], [], color=TEXT, marker="|", linestyle="", markersize=14, markeredgewidth=2, label="their mean"),
            Line2D([], [], color="white", marker="D", markeredgecolor=CYCLE[1], linestyle="", label="printed in the paper"),
        ],
        title=f"Measured on the test splits: {record['model']['text_encoder']} in BERT's place, {record['train']['epochs']} "
        f"epochs (first two rows: random word vectors, {longer} epochs), {record['device']['name']}. seqeval, default reading.",
        loc="outside lower left", ncols=3, frameon=False, fontsize=9, title_fontsize=8, alignment="left",
    ).get_title().set_color(GREY)  # fmt: skip
    gap = f"{min(distance):+.1f} to {max(distance):+.1f} points"
    title = f"A small encoder in BERT's place: text rows land {gap} from the paper's"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


@of_grid("fig6")
def fig6(results: Results, corpus: str, folder: str | Path) -> Figure:
    """F1 and mining precision over the number of implicit positives K."""
    return _sensitivity("fig6", "number of implicit positives K", results, compare("fig6", corpus, folder))


@of_grid("fig7")
def fig7(results: Results, corpus: str, folder: str | Path) -> Figure:
    """F1 over the number of interweave encoders."""
    return _sensitivity("fig7", "number of interweave encoders L", results, compare("fig7", corpus, folder))


def _sensitivity(name: str, axis: str, results: Results, differences: Mapping[str, Difference]) -> Figure:
    letter, x = axis[-1], {row.name: row.x for row in find_grid(name).rows}
    _, reference = find_grid(name).reference
    # Only a corpus that knows which images are relevant has a mining precision.
    mining = letter == "K" and all(run.record["mining"] for runs in results.values() for run in runs)
    size = (10.5 if mining else 7.5, 3.9)
    figure, axes = plt.subplots(1, 1 + mining, figsize=size, layout="constrained", squeeze=False)
    left, *others = axes[0]
    for ax in axes[0]:
        ax.set(xlabel=axis, xticks=list(x.values()))
    for row, d in differences.items():  # paired, as the verdicts in the title are
        marker, colour = MARK[d.verdict]
        ends = np.maximum(0, [[100 * (d.difference - d.low)], [100 * (d.high - d.difference)]])
        left.errorbar(x[row], 100 * d.difference, yerr=ends, fmt=marker, color=colour, capsize=3)
    left.plot(x[reference], 0, "D", color="black")
    left.axhline(0, color="black", linewidth=0.8)
    left.set_ylabel(f"test F1 minus that of {letter} = {x[reference]} (◆), points")
    for ax in others:  # the mining precision
        mined = {x[row]: [run.record["mining"] for run in runs] for row, runs in results.items()}

        def shares(name: str, of: Mapping[Any, Sequence[Mapping[str, float]]] = mined) -> dict[Any, list[float]]:
            values = {at: [100 * m[name] for m in numbers if m.get(name) is not None] for at, numbers in of.items()}
            return {at: some for at, some in values.items() if some}

        line(ax, shares("others"), LOSS, "mining precision without the own image")
        chance_line(ax, float(np.mean(sum(shares("others_chance").values(), []))), x[reference], "bottom")
        if best := shares("others_attainable"):  # results of earlier versions have none
            means = [float(np.mean(values)) for values in best.values()]
            ax.plot(list(best), means, color=GREY, linestyle="--", linewidth=1)
            above = {"xytext": (5, 5), "textcoords": "offset points", "fontsize": 9, "color": GREY}
            ax.annotate("attainable", (list(best)[len(best) // 2], means[len(best) // 2]), **above)
        ax.set(ylabel="truly relevant among mined, %\n(own image left out)", ylim=(0, None))
    differ = [f"{letter} = {x[row]} {d.verdict}" for row, d in differences.items() if d.verdict != NO_DIFFERENCE]
    sizes = [100 * d.detectable for d in differences.values()]
    nothing = f"no other {letter} makes a detectable difference (detectable: {min(sizes):.1f}-{max(sizes):.1f} points)"
    figure.suptitle(f"Against {letter} = {x[reference]}: {'; '.join(differ) or nothing}", x=0.01, ha="left")
    return figure


@of_grid("fig8")
def fig8(results: Results, *_: Any) -> Figure:
    """F1 over the share of the training data, full against text only."""
    rows = find_grid("fig8").rows
    figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for variant, colour, label in (("full", LOSS, "full"), ("text", TEXT, "text only")):
        points = {row.x: [100 * run.f1 for run in results[row.name]] for row in rows if row.variant == variant}
        line(ax, points, colour, label)
    shares = sorted({row.x for row in rows})
    gains = []
    for share in (shares[0], shares[-1]):
        text, full = ([run.counts for run in results[f"{variant}-{share}"]] for variant in ("text", "full"))
        gain = paired_bootstrap(text, full)
        gains.append(f"{gain}, {NO_DIFFERENCE}" if gain.verdict == NO_DIFFERENCE else str(gain))
    ax.set(xlabel="share of the training posts, %", ylabel="test F1", xticks=shares, ylim=(0, 100))
    ax.legend(frameon=False, loc="lower right")
    ax.set_title(f"Pictures are worth, in points, with {shares[0]} % of the posts {gains[0]},\nwith all {gains[1]}")
    return figure
