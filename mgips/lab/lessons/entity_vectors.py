"""Pictures and exercises of lesson 11: the neighbours of entity vectors, and what t-SNE does to them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from sklearn.decomposition import PCA

from mgips.lab.figures import show, style
from mgips.lab.figures.shared import chance_line, line, measured_on
from mgips.lab.figures.tsne import scatter
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.places import COMMITTED
from mgips.lab.representation import (
    EMBEDDING,
    MGI,
    MUTUAL,
    NEIGHBOURS,
    PERPLEXITY,
    READING,
    TOWER,
    EntityVectors,
    neighbours,
    purity,
    silhouette,
    tsne,
)
from mgips.lab.results import load_results
from mgips.lab.stats import concluded, corrected, t_difference

COLOURS = {EMBEDDING: style.GREY, MUTUAL: style.IMAGE, TOWER: style.TEXT, MGI: style.LOSS, READING: style.CYCLE[4]}
"""One colour a step."""
ITERATIONS = 400
"""Of t-SNE, as in the inspector."""
WIDE, FAR, CLOUD = 10, 10, 40
"""Of the three clouds: B's width in units of A's, A-C in units of A-B, and points a cloud."""


# ---- five points in a plane ----


def toy(points: np.ndarray, kinds: np.ndarray, k: int | None = None) -> None:
    """Show a few points of two types; with k also an arrow from each to its k nearest, and the share of its own type.

    Args:
        points, kinds: (N, 2) and (N,).
    """
    figure, ax = plt.subplots(figsize=(7.4, 3.7), layout="constrained")
    scatter(ax, points, kinds, size=330)
    ax.set(xlim=(-0.45, 3.6), ylim=(-0.55, 2.05), aspect="equal")
    for number, (x, y) in enumerate(points):
        ax.text(x, y, str(number), ha="center", va="center", color="white", weight="bold", fontsize=11)
    ax.legend(frameon=False, loc="upper left", ncols=2, markerscale=0.6)
    if k is None:
        ax.set_title("Who lives next to whom? Five names as points, two types")
        show(figure, f"Five points in a plane: {', '.join(kinds)}. The task is to find each point's two nearest.")
        return
    shares = _arrows(ax, points, kinds, k)
    chance = purity(points, kinds, k).chance
    ax.set_title(
        f"Of each point's {k} nearest, {np.mean(shares):.0%} have its type (solid arrows); by chance {chance:.0%}"
    )
    show(
        figure,
        f"Arrows from five points to their {k} nearest. Shares of the own type: {', '.join(f'{s:g}' for s in shares)}.",
    )


def _arrows(ax: Axes, points: np.ndarray, kinds: np.ndarray, k: int) -> list[float]:
    """An arrow to each neighbour, solid to the own type; and each point's share of these."""
    near = neighbours(points, k)
    for i, j in ((i, j) for i, row in enumerate(near) for j in row):
        way, same = points[j] - points[i], kinds[i] == kinds[j]
        aside = 0.05 * way[::-1] * (1, -1) / np.hypot(*way)  # two points that choose each other have two arrows
        look = {"arrowstyle": "->", "color": style.LOSS if same else style.GREY, "linestyle": "-" if same else "--"}
        ax.annotate("", points[i] + aside + 0.84 * way, points[i] + aside + 0.16 * way, arrowprops=look)
    shares = [float((kinds[row] == kind).mean()) for row, kind in zip(near, kinds, strict=True)]
    for i, share in enumerate(shares):
        others = {*near[i].tolist(), *np.flatnonzero((near == i).any(1)).tolist()}
        ways = np.array([(points[j] - points[i]) / np.hypot(*(points[j] - points[i])) for j in others])
        free = -ways.sum(0) / max(np.hypot(*ways.sum(0)), 1e-9)  # away from all arrows
        ax.annotate(
            f"{share:g}",
            points[i],
            tuple(26 * free),
            textcoords="offset points",
            ha="center",
            va="center",
            weight="bold",
        )
    return shares


# ---- the steps of a model ----


def route(full: EntityVectors, text: EntityVectors, folder: str | Path = COMMITTED) -> None:
    """Show the purity step by step: of the lesson's models, and of the three committed seeds with their intervals.

    Args:
        full, text: the vectors of the same entities in the model and in the one that reads text alone.
        folder: where the committed results are.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 3.9), layout="constrained", sharey=True)
    places: dict[str, int] = {TOWER: 1}
    for vectors, colour, label in ((full, style.LOSS, "model"), (text, style.TEXT, "text only")):
        shares = {step: 100 * purity(matrix, vectors.types).purity for step, matrix in vectors.steps.items()}
        places |= {step: places.get(step, place) for place, step in enumerate(shares)}
        xs = [places[step] for step in shares]
        left.plot(xs, list(shares.values()), "o-" if vectors is full else "s--", color=colour, label=label)
        for x, share in zip(xs, shares.values(), strict=True):
            above = (0, 8) if vectors is full else (0, -15)
            left.annotate(
                f"{share:.0f}", (x, share), xytext=above, textcoords="offset points", ha="center", color=colour
            )
    chance_line(left, 100 * purity(full.steps[EMBEDDING], full.types).chance, 0.5, "top")
    left.set(
        ylim=(0, 108), ylabel=f"own type among {NEIGHBOURS} nearest, %", title="the lesson's two models, a seed each"
    )
    names = list(full.steps)
    left.set(xticks=range(len(names)), xticklabels=[_written(name) for name in names], xlim=(-0.3, len(names) - 0.7))
    results = load_results("fig11", folder=folder)
    told = seeds(folder)
    for runs, colour, label in ((results["full"], style.LOSS, "full"), (results["text"], style.TEXT, "text only")):
        steps = list(runs[0].record["representation"]["trained"])
        line(right, {{TOWER: 1}.get(step, i): _purities(runs, step) for i, step in enumerate(steps)}, colour, label)
    steps = list(results["full"][0].record["representation"]["trained"])
    right.set(xticks=range(len(steps)), xticklabels=[_written(step) for step in steps], xlim=(-0.3, len(steps) - 0.7))
    right.set_title("three corpora, three seeds, TinyTweets (95 % t-intervals)")
    left.legend(frameon=False, loc="lower left")
    right.legend(frameon=False, loc="lower left")
    measured_on(figure, results, "Right panel. Left panel: what the lesson has opened.")
    changes = "; ".join(f"{step} {change}, {verdict}" for step, (change, verdict, _) in told.items())
    figure.suptitle(f"TinyTweets, points of purity: {changes}", x=0.01, ha="left", fontsize=11)
    show(figure, f"Purity by step, for the lesson's models and for three seeds. {changes}.")


def _written(step: str) -> str:
    return f"{MUTUAL}\n(text only: {TOWER})" if step == MUTUAL else step


def _purities(runs: Sequence[Any], step: str) -> list[float]:
    return [100 * run.record["representation"]["trained"][step]["purity"] for run in runs]


def seeds(folder: str | Path = COMMITTED) -> dict[str, tuple[Any, str, float]]:
    """What each step of the full model adds in purity, over the committed seeds.

    Returns:
        Step → its difference to the step before, the verdict after Holm's correction, and the smallest true difference
        that would be detected, in points.
    """
    runs = load_results("fig11", folder=folder)["full"]
    steps = list(runs[0].record["representation"]["trained"])
    gains = {
        after: t_difference(
            [(b - a) / 100 for a, b in zip(_purities(runs, before), _purities(runs, after), strict=True)]
        )
        for before, after in pairwise(steps)
    }
    p = corrected(gains)
    return {step: (gain, concluded(gain, p[step]), 100 * gain.detectable) for step, gain in gains.items()}


def told(folder: str | Path = COMMITTED) -> str:
    """What `seeds` says, in sentences."""
    sentences = []
    for step, (gain, verdict, detectable) in seeds(folder).items():
        adds = {"helps": "adds", "hurts": "takes"}.get(verdict, "adds nothing detectable:")
        sentences.append(f"{step} {adds} {gain} points of purity (detectable: {detectable:.1f})")
    return f"Over three seeds of TinyTweets, p corrected for the number of steps: {'; '.join(sentences)}."


def last(full: EntityVectors) -> tuple[float, float]:
    """Of open names with a wrong picture, after the last step: share of neighbours of the own type, and of the shown one.

    Where the truth is not known, what TinyTweets gives in the direction: (0, 1).
    """
    return list(_flown(full).values())[-1] if full.ambiguous is not None else (0.0, 1.0)


def interesting(full: EntityVectors) -> int:
    """The place of the first open name with a related picture; 0 where the truth is not known."""
    who = _groups(full).get("open,\npicture related")
    return 0 if who is None or not who.any() else int(np.flatnonzero(who)[0])


def groups(full: EntityVectors, text: EntityVectors) -> None:
    """Show the purity of three groups of names, step by step; where the truth is unknown, of all of them."""
    kinds = _groups(full)
    figure, ax = plt.subplots(figsize=(10.2, 4.1), layout="constrained")
    series = [("model", full, step) for step in full.steps] + [("text only", text, list(text.steps)[-1])]
    told: dict[tuple[str, str], list[float]] = {}
    for number, (name, vectors, step) in enumerate(series):
        told[name, step] = [100 * purity(vectors.steps[step], vectors.types, of=who).purity for who in kinds.values()]
        x = np.arange(len(kinds)) + 0.2 * (number - 1.5)
        look = {"color": COLOURS[step], "hatch": "//" if vectors is text else None, "edgecolor": "white"}
        ax.bar_label(
            ax.bar(x, told[name, step], 0.18, label=f"{name}: {step}", **look), fmt="%.0f", fontsize=9, padding=2
        )
    for place, who in enumerate(kinds.values()):
        chance = 100 * purity(full.steps[EMBEDDING], full.types, of=who).chance
        ax.plot(
            [place - 0.42, place + 0.42], [chance] * 2, ":", color="black", lw=1.3, label=None if place else "chance"
        )
    ax.set(xticks=range(len(kinds)), xticklabels=[f"{name}\n({who.sum()} names)" for name, who in kinds.items()])
    ax.set(ylabel=f"own type among {NEIGHBOURS} nearest, %", ylim=(0, 115))
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    first, last = told["model", EMBEDDING], told["model", list(full.steps)[-1]]
    each = "; ".join(
        f"{n.replace(chr(10), ' ')} {a:.0f} % to {b:.0f} %" for n, a, b in zip(kinds, first, last, strict=True)
    )
    figure.suptitle(f"From the embedding to the last step: {each}", x=0.01, ha="left", fontsize=10)
    show(figure, f"Bars of purity by group and step. From the embedding to the last step: {each}.")


def _groups(full: EntityVectors) -> dict[str, np.ndarray]:
    """Name of a group → which entities are in it, (N,) bool each."""
    if full.ambiguous is None:
        return {"all names": np.ones(len(full), dtype=bool)}
    related = np.array([entity.tweet.truth.related for entity in full.entities])  # pyright: ignore[reportOptionalMemberAccess]
    return {
        "the text decides": ~full.ambiguous,
        "open,\npicture related": full.ambiguous & related,
        "open,\nunrelated or none": full.ambiguous & ~related,
    }


def _wrong(full: EntityVectors) -> tuple[np.ndarray, np.ndarray]:
    """Open names with an unrelated picture of another type, (N,) bool, and the type that each name's picture shows."""
    truths: list[Any] = [entity.tweet.truth for entity in full.entities]
    shows = np.array([truth.shows for truth in truths])
    related = np.array([truth.related for truth in truths])
    return np.asarray(full.ambiguous) & ~related & (shows != "") & (shows != full.types), shows


def _flown(full: EntityVectors) -> dict[str, tuple[float, float]]:
    """Step → of these names' neighbours the share of the name's own type, and the share of the type shown."""
    wrong, shows = _wrong(full)
    shares = {}
    for step, vectors in full.steps.items():
        near = full.types[neighbours(vectors)[wrong]]  # (names, NEIGHBOURS)
        shares[step] = float((near == full.types[wrong, None]).mean()), float((near == shows[wrong, None]).mean())
    return shares


def flight(full: EntityVectors) -> None:
    """Show the types of the neighbours of open names with a wrong picture, step by step; nothing without the truth."""
    if full.ambiguous is None:
        print("Which names the text leaves open, and what their pictures show, is known of TinyTweets only.")
        return
    shares, count = _flown(full), int(_wrong(full)[0].sum())
    figure, ax = plt.subplots(figsize=(7.6, 3.1), layout="constrained")
    for place, what in enumerate(("their own type", "the type that the picture shows")):
        values, colour = [100 * each[place] for each in shares.values()], (style.TEXT, style.IMAGE)[place]
        ax.plot(list(shares), values, "os"[place] + "-", color=colour)
        ax.annotate(
            f"{what}", (len(shares) - 1, values[-1]), (9, 0), textcoords="offset points", va="center", color=colour
        )
    ax.set(ylim=(0, 80), xlim=(-0.2, len(shares) + 0.2), ylabel=f"of {NEIGHBOURS} nearest, %")
    (before, _), (after, shown) = list(shares.values())[0], list(shares.values())[-1]
    ax.set_title(
        f"{count} open names with a wrong picture: own type {before:.0%} → {after:.0%}, type shown → {shown:.0%}"
    )
    each = "; ".join(f"{step}: own {own:.2f}, shown {other:.2f}" for step, (own, other) in shares.items())
    show(figure, f"Types of the neighbours of open names with a wrong picture. {each}.")


def company(full: EntityVectors) -> None:
    """Show who the neighbours of open names are, step by step: of the same story, of the same name, or others."""
    if full.ambiguous is None:
        return
    stories = np.array([entity.tweet.truth.story or entity.tweet.id for entity in full.entities])  # pyright: ignore[reportOptionalMemberAccess]
    names = np.array([entity.span.text for entity in full.entities])
    who = np.flatnonzero(full.ambiguous)
    parts: dict[str, list[float]] = {"same story": [], "same name, other story": [], "another name": []}
    for matrix in full.steps.values():
        near = neighbours(matrix)[who]  # (open names, NEIGHBOURS)
        story, name = stories[near] == stories[who, None], names[near] == names[who, None]
        for part, mask in zip(parts, (story, name & ~story, ~name & ~story), strict=True):
            parts[part].append(100 * float(mask.mean()))
    figure, ax = plt.subplots(figsize=(8.6, 2.7), layout="constrained")
    left = np.zeros(len(full.steps))
    for (part, values), colour in zip(parts.items(), (style.TEXT, style.CYCLE[5], "#D9D9D9"), strict=True):
        bars = ax.barh(list(full.steps), values, left=left, color=colour, edgecolor="white", label=part)
        ax.bar_label(
            bars, [f"{v:.0f}" for v in values], label_type="center", color="white" if colour == style.TEXT else "black"
        )
        left += values
    ax.invert_yaxis()
    ax.set(xlabel=f"of {NEIGHBOURS} nearest, %", xlim=(0, 100))
    ax.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.4, -0.32))
    same = [100 - other for other in parts["another name"]]
    ax.set_title(
        f"Neighbours with the same name or story: {same[0]:.0f} % in the {list(full.steps)[0]}, {same[-1]:.0f} % after {list(full.steps)[-1]}"
    )
    show(figure, "; ".join(f"{step}: " + ", ".join(f"{part} {v[i]:.0f} %" for part, v in parts.items()) for i, step in enumerate(full.steps)))  # fmt: skip


# ---- what t-SNE draws ----


def clouds() -> dict[str, np.ndarray]:
    """Three clouds in 20 dimensions: B is ten times as wide as A, and C ten times as far from A as B is; (40, 20) each."""
    rng, axis = np.random.RandomState(0), np.eye(20)
    shapes = {"A": rng.randn(CLOUD, 20), "B": WIDE * rng.randn(CLOUD, 20), "C": rng.randn(CLOUD, 20)}
    return {"A": shapes["A"], "B": shapes["B"] + 100 * axis[0], "C": shapes["C"] + 100 * FAR * axis[1]}


def ratios(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """B's width in units of A's, and the distance of A and C in units of that of A and B."""
    middle = [part.mean(0) for part in parts]
    width = [np.linalg.norm(part - part.mean(0), axis=1).mean() for part in parts]
    far = np.linalg.norm(middle[0] - middle[2]) / np.linalg.norm(middle[0] - middle[1])
    return float(width[1] / width[0]), float(far)


def three_clouds(perplexity: int = PERPLEXITY) -> None:
    """Show the three clouds by PCA and by t-SNE; for `play`."""
    whole = list(clouds().values())
    points = np.concatenate(whole).astype(np.float32)
    views = {
        "PCA": PCA(2).fit_transform(points),
        f"t-SNE, perplexity {perplexity}": tsne(points, 2, perplexity, ITERATIONS),
    }
    true = ratios(whole)
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.7), layout="constrained")
    for ax, (name, xy) in zip(axes, views.items(), strict=True):
        wide, far = ratios(np.split(xy, 3))
        for place, part in enumerate(np.split(xy, 3)):
            ax.scatter(*part.T, s=22, color=style.CYCLE[place], marker="osD"[place], linewidths=0, label="ABC"[place])
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
        ax.margins(0.12)
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_title(f"{name}: B {wide:.1f} × as wide as A,\nC {far:.1f} × as far from A as B", fontsize=10)
    axes[0].legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0), ncols=3, markerscale=1.4)
    figure.suptitle(
        f"In truth B is {true[0]:.1f} × as wide as A, and C {true[1]:.1f} × as far away as B", x=0.01, ha="left"
    )
    told = "; ".join(
        f"{n}: {a:.1f} and {b:.1f}" for n, (a, b) in ((n, ratios(np.split(xy, 3))) for n, xy in views.items())
    )
    show(
        figure,
        f"Three clouds; truth: B {true[0]:.1f} times as wide as A, C {true[1]:.1f} times as far as B. Drawn: {told}.",
    )


def islands(full: EntityVectors, limit: int = 500) -> str:
    """Show four t-SNEs: the last step's vectors with their types and with shuffled ones, and noise at two perplexities.

    Returns:
        A sentence that compares the silhouette of the vectors with that of the picture.
    """
    shown = np.linspace(0, len(full) - 1, min(limit, len(full))).round().astype(int)
    step, types = list(full.steps)[-1], full.types[shown]
    matrix = full.steps[step][shown]
    noise = np.random.RandomState(0).randn(*matrix.shape).astype(np.float32)
    xy, mixed = _drawn(matrix, PERPLEXITY), np.random.RandomState(1).permutation(types)
    panels = [
        (f"{step}, perplexity {PERPLEXITY}", xy, types, matrix),
        ("the same, types shuffled", xy, mixed, matrix),
        (f"noise, perplexity {PERPLEXITY}", _drawn(noise, PERPLEXITY), types, noise),
        ("noise, perplexity 2", _drawn(noise, 2), types, noise),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.9), layout="constrained")
    shares = []
    for ax, (name, points, kinds, vectors) in zip(axes, panels, strict=True):
        scatter(ax, points, kinds, size=11)
        shares.append(purity(vectors, kinds).purity)
        ax.set_title(f"{name}\npurity {shares[-1]:.0%}", fontsize=10)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=8, frameon=False, markerscale=1.7
    )
    chance = purity(matrix, types).chance
    title = (
        f"Islands come by themselves, purity does not: {shares[0]:.0%}, and without meaning {np.mean(shares[1:]):.0%}"
    )
    figure.suptitle(f"{title} (chance {chance:.0%})", x=0.01, ha="left")
    show(figure, f"Four t-SNEs with the purity of the full vectors: {', '.join(f'{name} {share:.2f}' for (name, *_), share in zip(panels, shares, strict=True))}.")  # fmt: skip
    dense = silhouette(matrix, types), silhouette(xy, types)
    pure = purity(matrix, types).purity, purity(xy, types).purity
    return (
        f"The vectors and their picture: purity {pure[0]:.2f} and {pure[1]:.2f}, silhouette {dense[0]:.2f} and {dense[1]:.2f}. "
        + ("The picture looks more compact than the vectors are." if dense[1] > 1.2 * dense[0] else "Here the picture is no more compact than the vectors.")
    )  # fmt: skip


def _drawn(matrix: np.ndarray, perplexity: int) -> np.ndarray:
    return tsne(matrix, 2, min(perplexity, (len(matrix) - 1) // 3), ITERATIONS)


# ---- exercises ----

POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [1.6, 0.9], [3.0, 0.2], [2.6, 1.5]])
KINDS = np.array(["PER", "PER", "LOC", "LOC", "LOC"])
_RNG = np.random.RandomState(3)
_MORE = _RNG.randn(12, 3), np.array(["PER", "LOC", "ORG"])[_RNG.permutation([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2])]


def _distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.asarray(points)[:, None] - np.asarray(points)[None], axis=-1)


def _shares(points: np.ndarray, kinds: np.ndarray, k: int, first: int = 1, sign: int = 1) -> np.ndarray:
    """Each point's share of neighbours of its type; `first` 0 counts the point itself, `sign` -1 takes the farthest."""
    order = np.argsort(sign * _distances(points), axis=1, kind="stable")
    near = order[:, first : first + k] if sign > 0 else order[:, :k]
    return (np.asarray(kinds)[near] == np.asarray(kinds)[:, None]).mean(1)


def _by_types(points: np.ndarray, kinds: np.ndarray, k: int) -> float:
    shares = _shares(points, kinds, k)
    return float(np.mean([shares[kinds == kind].mean() for kind in np.unique(kinds)]))


def _counts(kinds: np.ndarray) -> np.ndarray:
    """How many have each entity's type, (N,)."""
    _, inverse, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    return counts[inverse]


def _chance(kinds: np.ndarray) -> float:
    return float(np.mean((_counts(kinds) - 1) / (len(kinds) - 1)))


def _moved(own: float, shown: float) -> str:
    return "shown" if shown > own else "own"


EXERCISES: dict[str, Exercise] = {
    "shares": Exercise(
        right=lambda points, kinds: _shares(points, kinds, 2),
        mistakes={
            "These are numbers of neighbours: a share is divided by how many neighbours were asked.": lambda points, kinds: 2 * _shares(points, kinds, 2),
            "Only the nearest one was asked here: each point asks two.": lambda points, kinds: _shares(points, kinds, 1),
            "Each point was counted as its own neighbour: it is nearest to itself, but it may not vote.": lambda points, kinds: _shares(points, kinds, 2, 0),
        },
        cases=[(POINTS, KINDS)],
        praise="Points 0 to 2 live at the border; only two LOC are among themselves.",
    ),
    "purity": Exercise(
        right=lambda points, kinds, k: _shares(points, kinds, k).mean(),
        mistakes={
            "Too high: each point is its own nearest neighbour (distance 0) and votes for itself.": lambda points, kinds, k: _shares(points, kinds, k, 0).mean(),
            "These are the farthest points: a large distance means far.": lambda points, kinds, k: _shares(points, kinds, k, 1, -1).mean(),
            "This is one share a point: average them into one number.": lambda points, kinds, k: _shares(points, kinds, k),
            "This averages within each type first, so a rare type counts as much as a frequent one; every entity should count once.": _by_types,
        },
        cases=[(POINTS, KINDS, 2), (*_MORE, 3), (*_MORE, 1)],
        praise="The same five lines serve 492 vectors with 64 numbers each.",
    ),
    "chance": Exercise(
        right=_chance,
        mistakes={
            "A point cannot draw itself: one fewer of its type is left, and one fewer in all.": lambda kinds: np.mean(_counts(kinds) / len(kinds)),
            "This takes all types to be equally frequent: count how many there are of each.": lambda kinds: 1 / len(np.unique(kinds)),
            "This is the share of the most frequent type, but the points of the other type draw neighbours, too.": lambda kinds: np.max(_counts(kinds)) / len(kinds),
        },
        cases=[(KINDS,)],
        praise="A purity says nothing until its chance stands beside it.",
    ),
    "moved": Exercise(
        right=_moved,
        mistakes={
            "That would need a model that notices that a picture is unrelated and leaves it alone.": lambda own, shown: "own" if shown > own else "shown",
            "The vectors do not stay undecided: one of the two groups of neighbours is clearly larger.": lambda own, shown: "neither",
        },
        cases=[(0.2, 0.5)],
        praise="The picture moves the name, whether it belongs to the post or not.",
    ),
    "read_off": Exercise(
        right=lambda: "a",
        mistakes={
            "Look at B in the two panels: t-SNE gives every point about the same room, so a wide group shrinks.": lambda: "b",
            "Look at C in the two panels: beyond its neighbours t-SNE does not keep how far away a point is.": lambda: "c",
        },
        praise="Who is next to whom survives; how wide and how far do not.",
    ),
}  # fmt: skip
