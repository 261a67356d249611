"""Lesson 15: what is left on real posts. Committed results of Twitter-2015 and Twitter-2017, and what they can tell.

No post of these corpora is shown or kept here: there are only counts.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from mgips.data.corpus import Tweet
from mgips.data.load import load_corpus
from mgips.errors import MGIPSError
from mgips.lab.audit import mentions
from mgips.lab.figures import show
from mgips.lab.figures.grids import compare
from mgips.lab.figures.shared import MARK, dot
from mgips.lab.figures.style import CYCLE, GREY, IMAGE, LOSS, TEXT
from mgips.lab.gmner import recall_table
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.places import COMMITTED
from mgips.lab.paper.tables import TABLE3
from mgips.lab.results import Result, load_results, wanted
from mgips.lab.stats import NO_DIFFERENCE, Difference, paired_bootstrap

CORPUS = "twitter2017"
POWER = 1.96 + 0.84
"""Standard errors that a true difference must be away from 0 to be found with 80 % power, two-sided at 5 %."""


# ---- committed runs ----


def runs(grid: str, row: str, corpus: str = CORPUS) -> list[Result]:
    """The committed runs of a row, seeds in order."""
    return load_results(grid, corpus, COMMITTED)[row]


def progress(grid: str = "captions", corpus: str = CORPUS) -> tuple[int, int]:
    """How many of a grid's runs are there, and how many it has."""
    there = load_results(grid, corpus, COMMITTED)
    return sum(map(len, there.values())), len(wanted(grid))


def differences() -> dict[str, Difference]:
    """What pictures, and other posts' pictures, add: on TinyTweets, and with captions on Twitter-2017."""
    own, reads = runs("captions", "own"), runs("captions", "reads")
    text = {run.seed: run for run in runs("table2-text", "bert-crf")}
    tiny = compare("table3", folder=COMMITTED)["text"]
    return {
        "TinyTweets: own picture, over text only": Difference(-tiny.difference, -tiny.high, -tiny.low, tiny.p),
        "TinyTweets: reading others' pictures, over own only": compare("reads", folder=COMMITTED)["sparsemax"],
        "Twitter-2017: own caption, over text only": _paired([text[run.seed] for run in own], own),
        "Twitter-2017: reading others' captions, over own only": _paired(own, reads),
    }


def _paired(first: Sequence[Result], second: Sequence[Result]) -> Difference:
    return paired_bootstrap([run.counts for run in first], [run.counts for run in second])


def recalls() -> dict[tuple[str, str], str]:
    """Recall with its interval by row ("own", "reads") and group ("seen", "unseen"), and what reading adds."""
    table = recall_table({row: [run.record["visible"] for run in runs("captions", row)] for row in ("own", "reads")}, "own")  # fmt: skip
    return {
        (each.system, each.group): f"{each.recall}" + (f", {each.gain} more" if each.gain else "") for each in table
    }


def seen_counts() -> dict[str, int]:
    """The gold entities of Twitter-2017's test split by whether people marked them in the photo."""
    run = runs("captions", "own")[0]
    seen, unseen = (sum(gold for _, gold in run.record["visible"][group]) for group in ("seen", "unseen"))
    total = int(run.counts[:, 2].sum())
    return {"seen": seen, "unseen": unseen, "not looked at,\nor unsure": total - seen - unseen}


def pool_changes() -> dict[str, Difference]:
    """F1 of the model that reads captions with other pools minus that with its split's."""
    trained = runs("captions", "reads")
    names = {"none": "no captions of others", "train": "the training split's captions", "random": "each caption read as a random one", "mean": "each read as the mean of all"}  # fmt: skip
    base = [np.array(run.record["pools"]["split"]["counts"]) for run in trained]
    return {
        label: paired_bootstrap(base, [np.array(run.record["pools"][name]["counts"]) for run in trained])
        for name, label in names.items()
    }


# ---- pictures ----


def _dots(ax: Axes, rows: Mapping[str, Difference]) -> None:
    for place, (_, difference) in enumerate(rows.items()):
        dot(ax, difference, place, *MARK[difference.verdict], markersize=7)
        said = f"{difference}   detectable {100 * difference.detectable:.1f}"
        ax.annotate(said, (1, place), (8, 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.5))


def what_is_left() -> None:
    """Show what pictures add on TinyTweets and on Twitter-2017, one below the other on one axis."""
    rows = differences()
    figure, ax = plt.subplots(figsize=(10.4, 2.6), layout="constrained")
    _dots(ax, rows)
    ax.set_xlabel("F1 added, in points (95 % bootstrap interval over seeds and posts, one row at a time)")
    drawn, real = list(rows.values())[1], list(rows.values())[3]
    says = "nothing detectable" if real.verdict == NO_DIFFERENCE else f"{100 * real.difference:+.1f}"
    title = f"Reading adds {100 * drawn.difference:.1f} points on TinyTweets and {says} on real posts with captions"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, title + ": " + "; ".join(f"{name} {d}" for name, d in rows.items()))


def caption_path() -> None:
    """Show what stands in for the photo in the committed runs."""
    figure, ax = plt.subplots(figsize=(9.6, 2.3), layout="constrained")
    ax.set(xlim=(0, 9.6), ylim=(0.1, 2.1))
    ax.axis("off")
    boxes = {
        "photo": (0.7, 0.55, "photo\n(not here)", GREY, 1.1),
        "caption": (2.75, 0.55, "caption: one sentence\nby a model of 2021", IMAGE, 1.9),
        "second": (5.15, 0.55, "second MiniLM\ntower", IMAGE, 1.5),
        "text": (2.75, 1.6, "the post's words", TEXT, 1.9),
        "first": (5.15, 1.6, "MiniLM tower", TEXT, 1.5),
        "rest": (7.2, 1.08, "exchange,\nreading", "#5B4B8A", 1.3),
        "tags": (8.9, 1.08, "CRF → tags", LOSS, 1.2),
    }
    for x, y, said, colour, width in boxes.values():
        box = FancyBboxPatch((x - width / 2, y - 0.3), width, 0.6, boxstyle="round,pad=0,rounding_size=0.08",
                             facecolor=colour + "22", edgecolor=colour, linewidth=1.3)  # fmt: skip
        ax.add_patch(box)
        ax.text(x, y, said, ha="center", va="center", fontsize=9)
    for a, b in (("photo", "caption"), ("caption", "second"), ("text", "first"), ("first", "rest"), ("second", "rest"), ("rest", "tags")):  # fmt: skip
        (x, y, _, _, w), (x2, y2, _, _, w2) = boxes[a], boxes[b]
        look = {"arrowstyle": "-|>", "color": GREY, "lw": 1.3, "linestyle": ":" if a == "photo" else "-", "shrinkA": 0, "shrinkB": 0}  # fmt: skip
        ax.annotate("", (x2 - w2 / 2, y2), (x + w / 2, y), arrowprops=look)
    title = "The photo reaches the model as one sentence: what that sentence leaves out cannot help"
    ax.set_title(title)
    show(figure, title)


def four_intervals() -> None:
    """Show the same difference with four intervals, and what each allows to say."""
    cases = (
        ("A", 0.1, -4.0, 4.2, "says little: a large gain and a large loss are both possible"),
        ("B", 0.1, -0.8, 1.0, "no large effect; a small one would have been missed"),
        ("C", 0.1, -0.1, 0.3, "practically no effect, whichever way"),
        ("D", 2.0, 0.5, 3.5, "an effect, its size uncertain"),
    )
    figure, ax = plt.subplots(figsize=(9.6, 2.5), layout="constrained")
    for place, (_, value, low, high, says) in enumerate(cases):
        colour = LOSS if low > 0 else GREY
        ax.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=3)
        ax.annotate(says, (1, place), (8, 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(
        yticks=range(4), yticklabels=[name for name, *_ in cases], ylim=(3.5, -0.5), xlabel="difference in F1, points"
    )
    title = "Three of these are “no detectable difference”, and they say three different things"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, title)


def visible_bar() -> None:
    """Show how many of the test split's gold entities can be seen in the photo."""
    counts = seen_counts()
    total = sum(counts.values())
    figure, ax = plt.subplots(figsize=(9.6, 1.6), layout="constrained")
    left = 0
    for (name, count), colour in zip(counts.items(), (IMAGE, "#C8D3E0", "#EEEEEE"), strict=True):
        ax.barh(0, count, left=left, color=colour, edgecolor="white")
        ink = "white" if colour == IMAGE else "black"
        ax.text(left + count / 2, 0, f"{name}\n{count:,}", ha="center", va="center", fontsize=9, color=ink)
        left += count
    ax.set(yticks=[], xlim=(0, total), xlabel="gold entities of Twitter-2017's test split")
    known = counts["seen"] + counts["unseen"]
    title = f"Of {known:,} entities that people looked for, the photo shows {100 * counts['seen'] / known:.0f} %"
    ax.set_title(title)
    show(figure, title)


def pool_picture() -> None:
    """Show what other pools do to the model that reads captions."""
    rows = pool_changes()
    figure, ax = plt.subplots(figsize=(10.4, 2.4), layout="constrained")
    _dots(ax, rows)
    ax.set_xlabel("F1 minus that with the split's captions, in points")
    largest = max(rows.values(), key=lambda d: abs(d.difference))
    title = f"Whatever stands in the pool, F1 moves by {abs(100 * largest.difference):.1f} points at most"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, title + ": " + "; ".join(f"{name} {d}" for name, d in rows.items()))


def power_picture() -> None:
    """Show how the detectable difference falls with the amount of evidence, beside what the paper reports for its parts."""
    now = differences()["Twitter-2017: reading others' captions, over own only"]
    times = np.geomspace(1, 32, 100)
    figure, ax = plt.subplots(figsize=(8.6, 3.6), layout="constrained")
    ax.plot(times, 100 * now.detectable / np.sqrt(times), color=TEXT)
    ax.plot(1, 100 * now.detectable, "o", color=TEXT)
    ax.annotate(f"these runs: {100 * now.detectable:.1f}", (1, 100 * now.detectable), (8, 4), textcoords="offset points", fontsize=9)  # fmt: skip
    lines = paper_parts()
    for place, (part, points) in enumerate(sorted(lines.items(), key=lambda line: line[1])):
        ax.axhline(points, color=CYCLE[place % len(CYCLE)], linestyle="--", linewidth=1)
        shift = (-4, 4)[place] if place < 2 else 0  # the two smallest are close together
        ax.annotate(part, (1, points), (6, shift), xycoords=ax.get_yaxis_transform(), textcoords="offset points",
                    va="center", fontsize=8.5, color=CYCLE[place % len(CYCLE)])  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set(
        xlabel="times as much evidence (posts × seeds)",
        ylabel="detectable difference, points",
        ylim=(0, 1.15 * 100 * now.detectable),
    )
    ax.set_xticks((1, 2, 4, 8, 16, 32), labels=("1", "2", "4", "8", "16", "32"))
    under = sum(points < 100 * now.detectable for points in lines.values())
    title = f"{under} of the {len(lines)} gains that the paper reports for its parts on Twitter-2017 lie below what these runs detect"  # fmt: skip
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
    show(figure, title)


def paper_parts() -> dict[str, float]:
    """What the paper reports for each of its parts on Twitter-2017: F1 of the full model minus that without, in points."""
    names = {"no-ips": "IPS-CL", "no-mgi": "MGI", "no-row": "row weights", "no-column": "column weights"}
    f1 = {row: scores[CORPUS][-1] for row, scores in TABLE3.items()}  # precision, recall, F1
    return {name: f1["full"] - f1[row] for row, name in names.items()}


def fewer(posts: int, seeds: int) -> None:
    """Show reading against own caption only on the first posts and seeds, for the slider."""
    own, reads = ([run.counts[:posts] for run in runs("captions", row)[:seeds]] for row in ("own", "reads"))
    difference = paired_bootstrap(own, reads, draws=1000)
    figure, ax = plt.subplots(figsize=(9.0, 1.7), layout="constrained")
    _dots(ax, {f"{posts} posts, {seeds} seed{'s' * (seeds > 1)}": difference})
    ax.set(xlim=(-6, 6), xlabel="F1 added by reading, in points")
    title = f"{difference}: {difference.verdict}; detectable {100 * difference.detectable:.1f} points"
    ax.set_title(title)
    show(figure, title)


# ---- the corpora, where they are ----


def look(name: str = CORPUS) -> None:
    """Print what a corpus has in counts; where it is not, what to fetch and where to put it."""
    try:
        corpus = load_corpus(name, None if "MGIPS_DATA" in os.environ else "../data")
    except MGIPSError as error:
        print(error)
        return
    for split, posts in corpus.splits.items():
        print(f"{split:6} {len(posts):6,} posts, {len(mentions(posts)):6,} entities, "
              f"{sum(post.image is not None for post in posts):6,} photos")  # fmt: skip
    print(*headroom(corpus.test), sep="\n")


def headroom(posts: Sequence[Tweet]) -> list[str]:
    """How often other posts could help at all, in two sentences: only counts."""
    named = Counter(text for text, _ in mentions(posts))
    kinds: dict[str, set[str]] = {}
    for text, kind in mentions(posts):
        kinds.setdefault(text, set()).add(kind)
    total = max(1, sum(named.values()))
    again = sum(count for count in named.values() if count > 1)
    several = sum(named[text] for text, types in kinds.items() if len(types) > 1)
    return [
        f"{100 * again / total:.0f} % of the mentions stand in another post of the split, or twice in one.",
        f"{100 * several / total:.0f} % are of words that have more than one type here: their name alone cannot tell it.",
    ]


# ---- exercises ----


def _detectable(low: float, high: float) -> float:
    return POWER * (high - low) / (2 * 1.96)


EXERCISES: dict[str, Exercise] = {
    "detectable": Exercise(
        right=_detectable,
        mistakes={
            "That is half the interval's width: a true difference of that size would be missed in half of all experiments.": (
                lambda low, high: (high - low) / 2
            ),
            "That is the whole width; the standard error is a quarter of it, roughly, and 2.8 of those are asked for.": (
                lambda low, high: high - low
            ),
            "That is one standard error: differences of one standard error are hardly ever found.": (
                lambda low, high: (high - low) / (2 * 1.96)
            ),
            "That is the upper end. It depends on where the observed difference happened to fall, and the power does not.": (
                lambda low, high: high
            ),
        },
        cases=[(-0.8, 1.0)],
        praise="About 1.43 times half the width. The observed difference itself plays no part in it.",
        within=0.02,
    ),
    "verdict": Exercise(
        right=lambda: "C",
        mistakes={
            "A null result is no proof of no effect: small gains would have been missed here.": lambda: "A",
            "The estimate is far smaller than its interval: its sign is not known either.": lambda: "B",
            "On TinyTweets the same method gains a lot: what failed here can also be the captions, or the posts.": (
                lambda: "D"
            ),
        },
        praise="It says what was excluded, and what was not.",
    ),
    "evidence": Exercise(
        right=lambda now, wanted: (now / wanted) ** 2,
        mistakes={
            "Intervals shrink with the square root of the evidence, not in proportion to it.": lambda now, wanted: (
                now / wanted
            ),
            "You have it upside down: to see less you need more.": lambda now, wanted: (wanted / now) ** 2,
            "You took the root where the square belongs.": lambda now, wanted: (now / wanted) ** 0.5,
        },
        cases=[(1.3, 0.5)],
        praise="Nearly seven times the posts or seeds, to see half a point.",
        within=0.1,
    ),
}


def settings(run: Result) -> dict[str, Any]:
    """What a committed run was made with, for a sentence: encoder, epochs, hours on one CPU core."""
    return {
        "encoder": run.record["model"]["text_encoder"],
        "epochs": run.record["train"]["epochs"],
        "minutes": run.record["seconds"] / 60,
    }
