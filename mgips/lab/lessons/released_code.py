"""Pictures and exercises of lesson 13: test posts in training, epochs chosen by test, and what the released code does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import spans
from mgips.lab.figures import grids, show, style
from mgips.lab.figures.shared import CORPUS_LABELS, MARK, dot
from mgips.lab.grids import find_grid
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.places import COMMITTED
from mgips.lab.paper import released, tables
from mgips.lab.paper.released import leak_gain
from mgips.lab.results import Result, load_results
from mgips.lab.stats import NO_DIFFERENCE, Difference, Estimate, concluded, corrected, paired_bootstrap, t_difference
from mgips.model.mgips import MGIPS

LEAKS = ("leak-7.9", "leak-9.7", "leak-80")
WORDS = {"helps": "higher", "hurts": "lower", NO_DIFFERENCE: NO_DIFFERENCE}
RUNS = 4000
"""Simulated trainings."""


def splits() -> None:
    """Show the three splits, what each is for, and the two ways in which test gets out of its box."""
    figure, ax = plt.subplots(figsize=(9.4, 3.1), layout="constrained")
    ax.set(xlim=(0, 10), ylim=(0, 3.4))
    ax.axis("off")
    boxes = {"train": (0.3, "learns the weights", style.LOSS), "dev": (3.7, "chooses the epoch", style.TEXT), "test": (7.1, "is scored, once", style.GREY)}  # fmt: skip
    for name, (x, use, colour) in boxes.items():
        ax.add_patch(FancyBboxPatch((x, 1.2), 2.4, 0.95, boxstyle="round,pad=0.05", facecolor=colour, edgecolor="none"))  # fmt: skip
        ax.text(x + 1.2, 1.83, name, color="white", weight="bold", ha="center", va="center", fontsize=12)
        ax.text(x + 1.2, 1.45, use, color="white", ha="center", va="center", fontsize=10)
    look = {"arrowstyle": "-|>", "color": style.IMAGE, "lw": 2, "mutation_scale": 16}
    ax.annotate("", (1.5, 2.3), (8.3, 2.3), arrowprops={**look, "connectionstyle": "arc3,rad=0.17"})
    ax.text(4.9, 3.12, "1 · test posts are trained on", ha="center", color=style.IMAGE, fontsize=10.5)
    ax.annotate("", (4.9, 1.05), (8.3, 1.05), arrowprops={**look, "connectionstyle": "arc3,rad=-0.25"})
    ax.text(6.6, 0.22, "2 · test chooses the epoch", ha="center", color=style.IMAGE, fontsize=10.5)
    ax.set_title("Two ways for the test split to get out of its box")
    show(
        figure, "Boxes: train learns, dev chooses the epoch, test is scored once. Arrows from test to train and to dev."
    )


# ---- test posts in training ----


def _share(row: str) -> float:
    """The share of test posts that a row of the grid "protocol" trains on."""
    return next(each.leak[1] for each in find_grid("protocol").rows if each.name == row)


def _alone(results: Mapping[str, Sequence[Result]], row: str) -> tuple[int, Difference]:
    """How many test posts a seed are leaked, and what the leak does to F1 on just these, with the epoch by dev."""
    counts = [round(_share(row) * len(run.counts)) for run in results[row]]
    clean, leaked = ([run.counts[:n] for run, n in zip(results[name], counts, strict=True)] for name in ("clean", row))
    return counts[0], paired_bootstrap(clean, leaked)


def in_points(difference: Difference, verdict: str | None = None) -> str:
    """A difference in F1 with its interval, the verdict in this lesson's words, and what could have been detected."""
    word = WORDS[verdict or difference.verdict]
    return f"{difference} points, {word} (detectable: {100 * difference.detectable:.1f})"


def leaks(folder: str | Path = COMMITTED) -> str:
    """Show what leaks of three sizes do to F1 over all test posts, and to F1 on the leaked posts alone.

    Returns:
        Both in sentences; the epoch is chosen by dev throughout.
    """
    results, changes = load_results("protocol", folder=folder), grids.inflation(folder=folder)
    clean = 100 * float(np.mean([run.f1 for run in results["clean"]]))
    alone = {row: _alone(results, row) for row in LEAKS}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.0), layout="constrained", width_ratios=(1.25, 1))
    shares = np.linspace(0, 1, 50)
    left.plot(100 * shares, leak_gain(1.0, clean) * shares, color=style.GREY, linestyle="--")
    left.text(
        50, leak_gain(0.5, clean) + 0.35, "by arithmetic,\nif all are learnt by heart", ha="right", color=style.GREY
    )
    p = {**corrected(changes), **corrected({row: change for row, (_, change) in alone.items()})}
    for row, away in zip(LEAKS, ((-8, -14), (8, 4), (8, 4)), strict=True):
        name = f"{row}, by_dev"
        change, verdict = changes[name], concluded(changes[name], p[name])
        x, y = 100 * _share(row), 100 * change.difference
        ends = [[y - 100 * change.low], [100 * change.high - y]]
        left.errorbar(x, y, yerr=ends, fmt=MARK[verdict][0], color=MARK[verdict][1], capsize=3, markersize=8)
        side = "right" if away[0] < 0 else "left"
        left.annotate(f"{y:+.1f}", (x, y), away, textcoords="offset points", ha=side)
    left.axhline(0, color="black", linewidth=0.8)
    left.set(xlabel="share of the test posts in training, %", ylabel="F1 minus clean F1, points", xlim=(-7, 102))
    left.set_title("all test posts")
    for place, (row, (_, change)) in enumerate(alone.items()):
        dot(right, change, place, *MARK[concluded(change, p[row])], markersize=8)
        right.annotate(
            str(change), (100 * change.difference, place), (0, 9), textcoords="offset points", ha="center", fontsize=9
        )
    labels = [f"{100 * _share(row):.1f} % leaked:\n{alone[row][0]} posts a seed" for row in LEAKS]
    right.axvline(0, color="black", linewidth=0.8)
    right.set(yticks=range(3), yticklabels=labels, xlabel="points", ylim=(2.6, -0.6), title="the leaked posts alone")
    most = changes["leak-80, by_dev"]
    figure.suptitle(f"TinyTweets, epoch by dev: 80 % of test in training adds {100 * most.difference:.1f} points, by arithmetic up to {leak_gain(0.8, clean):.1f}", x=0.01, ha="left")  # fmt: skip
    whole = "; ".join(
        f"{100 * _share(row):.1f} % leaked: {in_points(changes[name], concluded(changes[name], p[name]))}"
        for row in LEAKS
        if (name := f"{row}, by_dev")
    )
    parts = "; ".join(
        f"{count} posts: {in_points(change, concluded(change, p[row]))}" for row, (count, change) in alone.items()
    )
    show(figure, f"All test posts. {whole}. The leaked posts alone. {parts}.")
    return f"All test posts. {whole}.\n\nThe leaked posts alone. {parts}."


# ---- test chooses the epoch ----


def noisy_epochs(epochs: int = 8, noise: float = 1.0) -> None:
    """Simulate trainings whose epochs are all equally good, and show what choosing by test adds; for `play`.

    Args:
        epochs: to choose from.
        noise: the standard deviation of a test F1, in points.
    """
    rng = np.random.RandomState(0)
    test = 80 + noise * rng.standard_normal((RUNS, epochs))
    dev = 80 + noise * rng.standard_normal((RUNS, epochs))
    picked = test[np.arange(RUNS), dev.argmax(1)]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    left.plot(range(1, epochs + 1), test[0], "o-", color=style.GREY, label="test F1")
    left.plot(range(1, epochs + 1), dev[0], ":", color=style.TEXT, label="dev F1")
    for by, curve, marker, colour in (("dev", dev, "s", style.TEXT), ("test", test, "^", style.IMAGE)):
        at = int(curve[0].argmax())
        left.plot(
            at + 1, test[0, at], marker, color=colour, markersize=11, fillstyle="none", mew=2, label=f"chosen by {by}"
        )
    left.axhline(80, color="black", linewidth=0.8, linestyle="--")
    left.set(xlabel="epoch", ylabel="F1", title="one training; every epoch is worth 80")
    left.legend(frameon=False, fontsize=8, ncols=2)
    for by, values, colour in (("dev", picked, style.TEXT), ("test", test.max(1), style.IMAGE)):
        right.hist(values, bins=40, histtype="step", linewidth=1.8, color=colour)
        right.axvline(values.mean(), color=colour, linestyle="--")
        right.text(values.mean(), 1.02, f"{by}: {values.mean():.1f}", color=colour, transform=right.get_xaxis_transform(),
                   ha="right" if by == "dev" else "left")  # fmt: skip
    right.set(xlabel="F1 that is reported", yticks=[], ylabel=f"of {RUNS:,} trainings")
    gain = float((test.max(1) - picked).mean())
    figure.suptitle(f"Best of {epochs} equal epochs: test reports {gain:+.2f} points, and the model is no better", x=0.01, ha="left")  # fmt: skip
    show(
        figure,
        f"With {epochs} equally good epochs and a noise of {noise:g} points, choosing by test adds {gain:.2f} points.",
    )


def _picks(runs: Sequence[Result]) -> list[tuple[list[float], Any, Any]]:
    """Of each run its test F1s, and what dev and test chose."""
    seen = [run.record["by_test"] for run in runs if "by_test" in run.record]
    return [(each["f1"], each["by_dev"], each["by_test"]) for each in seen]


def choosing(folder: str | Path = COMMITTED) -> str:
    """Show test F1 after each epoch of committed runs, and the epochs that dev and test choose.

    Returns:
        What choosing by test added, in sentences.
    """
    runs = {
        "TinyTweets, clean": load_results("protocol", folder=folder)["clean"],
        "TinyTweets, 9.7 % leaked": load_results("protocol", folder=folder)["leak-9.7"],
        "Twitter-2017, text only": load_results("table2-text", "twitter2017", folder)["bert-crf"],
    }
    figure, axes = plt.subplots(1, 3, figsize=(11.4, 3.7), layout="constrained")
    told = []
    for ax, (name, group) in zip(axes, runs.items(), strict=True):
        gains, same = [], 0
        for number, (f1s, by_dev, by_test) in enumerate(_picks(group)):
            ax.plot(range(1, len(f1s) + 1), [100 * f1 for f1 in f1s], color=style.GREY, linewidth=0.9)
            for by, pick, marker, size, colour in (
                ("dev", by_dev, "o", 10, style.TEXT),
                ("test", by_test, "^", 6, style.IMAGE),
            ):
                ax.plot(pick["epoch"], 100 * pick["f1"], marker, color=colour, markersize=size, linestyle="",
                        fillstyle="none" if by == "dev" else "full", label=None if number else f"chosen by {by}")  # fmt: skip
            gains.append(100 * (by_test["f1"] - by_dev["f1"]))
            same += by_dev["epoch"] == by_test["epoch"]
            ax.set_xticks(range(1, len(f1s) + 1))
        ax.set(
            xlabel="epoch", title=f"{name}:\n{np.mean(gains):+.2f} on average ({min(gains):.2f} to {max(gains):.2f})"
        )
        told.append(
            f"{name}: {np.mean(gains):+.2f} points on average over {len(gains)} seeds, none of them below 0; {same} times the same epoch"
        )
    axes[0].set_ylabel("test F1, a line a seed")
    axes[0].legend(frameon=False, loc="lower right")
    figure.suptitle("What choosing by test adds: never below 0, so only its size is worth reporting", x=0.01, ha="left")
    show(figure, f"Test F1 after each epoch with the epochs chosen by dev and by test. {'. '.join(told)}.")
    return ". ".join(told) + "."


def protocols(folder: str | Path = COMMITTED) -> str:
    """Show all protocols against the clean one, in two groups: the leak alone, and what contains a choice by test.

    Returns:
        The largest effect of a leak of a tenth with both, and what may be said of it.
    """
    changes = grids.inflation(folder=folder)
    p = corrected(changes)
    order = [n for n in changes if n.endswith("by_dev")] + [n for n in changes if n.endswith("by_test")]
    figure, ax = plt.subplots(figsize=(10.6, 3.9), layout="constrained")
    places = [place + (place >= 3) * 0.9 for place in range(len(order))]
    for place, name in zip(places, order, strict=True):
        verdict = concluded(changes[name], p[name])
        dot(ax, changes[name], place, *MARK[verdict], markersize=7)
        cells = (
            WORDS[verdict],
            f"{100 * changes[name].detectable:.1f}",
            "< .001" if p[name] < 0.001 else f"{p[name]:.3f}".lstrip("0"),
        )
        for offset, cell in zip((10, 150, 215), cells, strict=True):
            ax.annotate(
                cell,
                (1, place),
                (offset, 0),
                xycoords=ax.get_yaxis_transform(),
                textcoords="offset points",
                va="center",
            )
    for offset, head in zip((10, 150, 215), ("verdict", "detectable", "p (Holm)"), strict=True):
        ax.annotate(
            head,
            (1, -0.8),
            (offset, 0),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            color=style.GREY,
            fontsize=9,
        )
    ax.text(
        0.995,
        2.95,
        "below: test chooses the epoch, which alone can only add",
        transform=ax.get_yaxis_transform(),
        fontsize=9,
        color=style.GREY,
        ha="right",
        va="center",
    )
    ax.axvline(0, color="black", linewidth=0.8)
    labels = {row.name: row.label for row in find_grid("protocol").rows}
    ax.set(yticks=places, yticklabels=[labels[grids.INFLATION[name][0]].replace("clean", "no leak") for name in order])
    ax.set(
        xlabel="F1 minus the clean protocol's, points (95 % bootstrap intervals, seeds and posts)",
        ylim=(places[-1] + 0.6, -1.1),
    )
    values = [f"{100 * changes[name].difference:+.1f}" for name in order[:3]]
    ax.set_title(f"TinyTweets, five seeds: the leak alone changes F1 by {', '.join(values)} points", pad=14)
    each = "; ".join(
        f"{name}: {in_points(changes[name], concluded(changes[name], p[name]))}, p {p[name]:.3f}" for name in order
    )
    show(figure, f"Seven protocols against the clean one. {each}.")
    both, leak = changes["leak-9.7, by_test"], changes["leak-9.7, by_dev"]
    count, alone = _alone(load_results("protocol", folder=folder), "leak-9.7")
    return (
        f"9.7 % leaked **and** epoch by test: {both} points, p {p['leak-9.7, by_test']:.3f} after Holm's correction for "
        f"{len(changes)} rows. The leak alone: {leak}. On the {count} leaked posts alone: {alone}"
        + (", so nothing shows that these posts were learnt by heart." if alone.verdict == NO_DIFFERENCE else ".")
    )


# ---- names seen in training ----


def recall(model: MGIPS, corpus: Corpus, posts: Sequence[Tweet] | None = None) -> dict[str, Estimate]:
    """Recall of test names that train has with the same type ("seen"), and of the others ("unseen").

    Args:
        posts: the test posts by default.

    Returns:
        Each with a 95 % bootstrap interval over posts, and where it is known which names the text leaves open, also
        "seen, open" and so on. Parts without names are left out, and those that are all of "seen" or "unseen".
    """
    posts = corpus.test if posts is None else posts
    known = {(s.text.lower(), s.type) for tweet in corpus.train for s in spans(tweet.words, tweet.tags)}
    counts: dict[str, np.ndarray] = {}  # part → (posts, 2): found, gold
    for place, (tweet, tags) in enumerate(zip(posts, model.predict(posts), strict=True)):
        predicted = {(s.start, s.end, s.type) for s in spans(tweet.words, tags)}
        for span in spans(tweet.words, tweet.tags):
            seen = "seen" if (span.text.lower(), span.type) in known else "unseen"
            parts = [seen]
            if tweet.truth is not None:
                is_open = (span.start, span.end) in tweet.truth.ambiguous
                parts.append(f"{seen}, {'open' if is_open else 'the text decides'}")
            for part in parts:
                rows = counts.setdefault(part, np.zeros((len(posts), 2)))
                rows[place] += ((span.start, span.end, span.type) in predicted, 1)
    weights = np.random.RandomState(0).multinomial(len(posts), np.full(len(posts), 1 / len(posts)), size=2000)
    found = {}
    for name, part in sorted(counts.items()):
        if "," in name and part[:, 1].sum() == counts[name.split(",")[0]][:, 1].sum():
            continue
        drawn, (right, gold) = weights @ part, part.sum(0)
        low, high = np.percentile(drawn[:, 0] / np.maximum(1, drawn[:, 1]), [2.5, 97.5])
        found[name] = Estimate(right / gold, float(low), float(high), int(gold))
    return found


def names(full: MGIPS, text: MGIPS, corpus: Corpus) -> str:
    """Show the recall of seen and unseen names, of two models.

    Returns:
        The same in a sentence, and what to make of it.
    """
    both = {"model": recall(full, corpus), "text only": recall(text, corpus)}
    figure, ax = plt.subplots(figsize=(8.8, 1.5 + 0.5 * len(both["model"])), layout="constrained")
    for (name, parts), shift, marker, colour in zip(
        both.items(), (-0.13, 0.13), "os", (style.LOSS, style.TEXT), strict=True
    ):
        for place, estimate in enumerate(parts.values()):
            dot(ax, estimate, place + shift, marker, colour, markersize=7, label=None if place else name)
    labels = [f"{part} ({estimate.count} names)" for part, estimate in both["model"].items()]
    ax.set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.5, -0.6), xlim=(0, 102))
    ax.set_xlabel("recall, % (95 % bootstrap intervals over posts; one seed)")
    ax.legend(frameon=False, loc="center left")
    seen, unseen = (
        [100 * parts[part].value if part in parts else np.nan for parts in both.values()] for part in ("seen", "unseen")
    )
    values = f"model {seen[0]:.0f} % and {unseen[0]:.0f} %, text only {seen[1]:.0f} % and {unseen[1]:.0f} %"
    figure.suptitle(f"Recall of seen and of unseen names: {values}", x=0.01, ha="left")
    told = "; ".join(f"{n}: " + ", ".join(f"{part} {e} %" for part, e in parts.items()) for n, parts in both.items())
    show(figure, f"Recall. {told}.")
    clear = [parts["seen, the text decides"].value - parts["unseen"].value for parts in both.values() if "seen, the text decides" in parts and "unseen" in parts]  # fmt: skip
    short = "; ".join(f"{n}: seen {parts['seen']} %" + (f", unseen {parts['unseen']} %" if "unseen" in parts else "") for n, parts in both.items())  # fmt: skip
    why = ""
    if clear and unseen[0] > seen[0]:
        why = " Unseen names do **better**: none of them is open."
        why += " Among the names that the text decides, seen or not makes no difference." if np.abs(clear).max() < 0.02 else ""  # fmt: skip
    return f"Recall, {short}.{why}"


# ---- the released code ----


def effects(folder: str | Path = COMMITTED) -> dict[str, str]:
    """What was measured for each switch of `mgips.lab.paper.released`, in a sentence each."""
    told = {}
    for grid in ("switches", "table3"):  # τ is a row of the ablation
        changes = grids.compare(grid, folder=folder)
        for row, runs in load_results(grid, folder=folder).items():
            if row in changes and (grid == "switches" or row == "tau-0.1"):
                told[row] = f"{runs[0].record['label']}: {changes[row]} points, {changes[row].verdict} (detectable: {100 * changes[row].detectable:.1f}), {len(runs)} seeds."  # fmt: skip
    changes = grids.inflation(folder=folder)
    told["clean"] = (
        f"epoch by test: {changes['clean, by_test']} points; on the posts that choose it cannot be negative."
    )
    for row in LEAKS:
        told[row] = (
            f"{100 * _share(row):.1f} % of test in training, epoch by dev: {in_points(changes[f'{row}, by_dev'])}."
        )
    return told


def items(folder: str | Path = COMMITTED) -> str:
    """All differences as Markdown, a line for each that opens; below it, how many have been measured."""
    measured = effects(folder)
    switchable = sum(bool(item.switches) for item in released.ITEMS)
    head = f"{len(released.ITEMS)} differences; {switchable} of them can be switched on here, with {len(measured)} switches, all measured on TinyTweets."
    return f"{head} {released.PROVENANCE}\n\n{released.markdown(measured)}"


def switches(folder: str | Path = COMMITTED) -> None:
    """Show what each switch changes, as `figures/switches.png`."""
    figure = grids.switches(folder=folder)
    show(figure, " ".join(effects(folder).values()))


# ---- side by side ----


def sizes(folder: str | Path = COMMITTED) -> dict[str, Difference]:
    """What each choice of protocol and of counting changes in F1, with its interval; points are in [-1, 1]."""
    changes = grids.inflation(folder=folder)
    rows = {f"{100 * _share(row):.1f} % of test in training; TinyTweets": changes[f"{row}, by_dev"] for row in LEAKS}
    rows["the same 9.7 %, and epoch by test; TinyTweets"] = changes["leak-9.7, by_test"]
    for corpus in tables.CORPORA:
        runs = [run for run in load_results("table2-text", corpus, folder)["bert-crf"] if "readings" in run.record]
        if len(runs) < 2:
            continue  # one seed has no interval
        read = [{(r["max_length"], r["scheme"], r["gold"]): r["f1"] for r in run.record["readings"]} for run in runs]
        length, shortest = runs[0].record["model"]["max_length"], min(read[0])[0]
        for label, new, old in (
            ("strict reading of tags", (length, "strict", "whole"), (length, "default", "whole")),
            (f"gold cut at {shortest} pieces", (shortest, "default", "cut"), (shortest, "default", "whole")),
        ):
            rows[f"{label}; {CORPUS_LABELS[corpus]}, text only"] = t_difference([r[new] - r[old] for r in read])
    return rows


def side_by_side(folder: str | Path = COMMITTED) -> str:
    """Show `sizes` on one scale, beside the paper's margins over the next best method.

    Returns:
        How many of them change F1 detectably, with their p-values corrected for their number.
    """
    margins = {}
    for corpus in tables.CORPORA:
        others = [m.scores[corpus].f1 or 0 for name, m in tables.TABLE2.items() if name != tables.OURS]
        margins[corpus] = float(tables.TABLE2[tables.OURS].scores[corpus].f1 or 0) - max(others)
    rows, wider = sizes(folder), max(margins.values())
    verdicts = {name: concluded(rows[name], p) for name, p in corrected(rows).items()}
    figure, ax = plt.subplots(figsize=(10, 2.2 + 0.36 * len(rows)), layout="constrained")
    ax.axvspan(-wider, wider, color=style.TEXT, alpha=0.15, linewidth=0)
    for place, (name, change) in enumerate(rows.items()):
        dot(ax, change, place, *MARK[verdicts[name]], markersize=7)
        ax.text(1.02, place, f"{100 * change.difference:+.2f}", transform=ax.get_yaxis_transform(), va="center")
        ax.text(
            1.115,
            place,
            WORDS[verdicts[name]].replace("detectable ", "detectable\n"),
            transform=ax.get_yaxis_transform(),
            va="center",
        )
    for corpus, line in zip(margins, ("--", ":"), strict=True):
        label = f"the paper's margin, {tables.CORPORA[corpus]}: {margins[corpus]:.2f}"
        ax.axvline(margins[corpus], color=style.TEXT, linestyle=line, label=label)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(
        yticks=range(len(rows)),
        yticklabels=list(rows),
        xlabel="change of F1, points; 95 % intervals, one row at a time",
    )
    ax.invert_yaxis()
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", frameon=False, ncols=2, fontsize=9)
    count = sum(verdict != NO_DIFFERENCE for verdict in verdicts.values())
    title = f"{count} of {len(rows)} choices change F1 detectably (p corrected for {len(rows)} rows)"
    figure.suptitle(f"{title}; the paper's wider margin is {wider:.2f}", x=0.01, ha="left")
    show(figure, "; ".join(f"{name} {change}, {verdicts[name]}" for name, change in rows.items()))
    outside = [name for name, change in rows.items() if 100 * change.low > wider or 100 * change.high < -wider]
    return (
        f"{title}. The paper's wider margin over the next method is {wider:.2f} points. Wholly outside the band: "
        f"{' and '.join(f'“{name}”' for name in outside) or 'none'}. The others could be as small as the margin, or nothing at all."
    )


# ---- exercises ----

_RNG = np.random.RandomState(1)
CURVES = [(80 + _RNG.randn(6, 4), 80 + _RNG.randn(6, 4)), (70 + _RNG.randn(3, 8), 75 + _RNG.randn(3, 8))]
NAMES = [("Ruby", "PER", True), ("Paris", "LOC", True), ("Weller", "PER", False), ("Acme", "ORG", False), ("Nile", "LOC", False)]  # fmt: skip
FOUND = [("Ruby", "PER"), ("Paris", "ORG"), ("Weller", "PER"), ("Nile", "LOC"), ("Today", "MISC")]


def _chosen(dev: np.ndarray, test: np.ndarray) -> np.ndarray:
    return test[np.arange(len(test)), dev.argmax(1)]


def _unseen(gold: Sequence[tuple[str, str, bool]], predicted: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """Unseen gold names that are found, and all of them."""
    unseen = [(name, kind) for name, kind, seen in gold if not seen]
    return sum(each in predicted for each in unseen), len(unseen)


def _f1_of_unseen(gold: Sequence[tuple[str, str, bool]], predicted: Sequence[tuple[str, str]]) -> float:
    """What the probe's figure shows: every prediction that train does not have counts as unseen."""
    seen = {(name, kind) for name, kind, known in gold if known}
    right, count = _unseen(gold, predicted)
    return 2 * right / (count + sum(each not in seen for each in predicted))


EXERCISES: dict[str, Exercise] = {
    "leak_gain": Exercise(
        right=leak_gain,
        mistakes={
            "That would be so if the leaked posts had scored 0 before: they had F1 already, so only the rest can be gained.": lambda share, f1: share * 100,
            "This is what the leaked posts score anyway; the gain is what they lacked.": lambda share, f1: share * f1,
            "This counts the posts that are not leaked; they stay as they were.": lambda share, f1: (1 - share) * (100 - f1),
        },
        cases=[(0.2, 75.0), (0.097, 87.4), (0.8, 85.5)],
        praise="A good model has little left to gain, so the same leak shows least where F1 is high.",
    ),
    "choose": Exercise(
        right=lambda dev, test: (test.max(1) - _chosen(dev, test)).mean(),
        mistakes={
            "That compares test with dev: both choices are scored on test, only the epoch differs.": lambda dev, test: (test.max(1) - dev.max(1)).mean(),
            "That compares with the average epoch: look up, for each training, the epoch that dev chose.": lambda dev, test: (test.max(1) - test.mean(1)).mean(),
            "The best is taken over trainings here: the epochs lie along axis 1.": lambda dev, test: (test.max(0) - test[dev.argmax(0), np.arange(test.shape[1])]).mean(),
            "Turned round: by construction the epoch that test chooses cannot score less on test.": lambda dev, test: (_chosen(dev, test) - test.max(1)).mean(),
        },
        cases=CURVES,
        praise="Every term is at least 0: the maximum of a row is no smaller than any entry of the row.",
    ),
    "finding": Exercise(
        right=lambda: "b",
        mistakes={
            "This had to come out so, whatever the model: the maximum is never below another entry. It tells nothing.": lambda: "a",
            "One of the two could not have come out otherwise.": lambda: "both",
            "One of the two could have come out otherwise: more noise or more epochs would have made it larger.": lambda: "neither",
        },
        praise="What could not have come out otherwise is no result.",
    ),
    "detectable": Exercise(
        right=lambda low, high: (1.96 + 0.84) * (high - low) / (2 * 1.96),
        mistakes={
            "That is half the interval, 1.96 standard errors: a true difference of that size would be found only every second time.": lambda low, high: (high - low) / 2,
            "That is one standard error: multiply it by 1.96 + 0.84.": lambda low, high: (high - low) / (2 * 1.96),
            "The whole interval is 2 × 1.96 standard errors wide; you have divided by 1.96 only.": lambda low, high: (1.96 + 0.84) * (high - low) / 1.96,
        },
        cases=[(-1.2, 0.6)],
        praise="Any leak that adds less than this would usually go unnoticed here.",
        within=0.02,
    ),
    "recall": Exercise(
        right=lambda gold, predicted: _unseen(gold, predicted)[0] / _unseen(gold, predicted)[1],
        mistakes={
            "This is an F1 that counts “Paris, ORG” as an unseen name: the name was seen, only its type is wrong.": _f1_of_unseen,
            "This is the recall of all names: leave out those that train has.": lambda gold, predicted: np.mean([(name, kind) in predicted for name, kind, _ in gold]),
            "This divides by the predictions: that is a precision. Recall divides by the gold names.": lambda gold, predicted: _unseen(gold, predicted)[0] / len(predicted),
        },
        cases=[(NAMES, FOUND)],
        praise="A wrong prediction can spoil a precision, but it cannot be an unseen name that was missed.",
    ),
}  # fmt: skip
