"""Pictures and exercises of the lesson on mining: what a text could find, what it finds, what that is worth."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional as F

from mgips.data.batch import TweetDataset, training_batches
from mgips.data.corpus import Tweet
from mgips.data.pictures import picture_of
from mgips.data.spans import spans
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import relevance_matrix
from mgips.lab.figures.grids import compare
from mgips.lab.figures.mining import relevance_dots
from mgips.lab.figures.style import CYCLE, GREY, IMAGE, LOSS, TEXT
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.opened import Opened
from mgips.lab.lessons.places import COMMITTED
from mgips.lab.precision import batch_relevance
from mgips.lab.results import load_results
from mgips.lab.stats import NO_DIFFERENCE, concluded, corrected
from mgips.model.contrastive import cl_loss, ips_loss, mine, relevance
from mgips.model.mgips import MGIPS

BATCH = 32
KS = (1, 2, 3, 5, 8)
MINES = {
    "full": "IPS and CL (full)",
    "no-ips": "CL only (eq. 17)",
    "no-cl": "IPS only (eq. 16)",
    "unimodal": "both, on unimodal features",
    "tau-0.1": "both, at τ = 0.1",
}
"""The rows of Table 3 that differ in nothing but how pairs are compared and learned, and which losses they have."""


# ---- what a model mines ----


@dataclass(frozen=True)
class Compared:
    """One batch of B posts as a model compares it."""

    posts: list[Tweet]
    scores: Tensor
    """(B, B) cosines, rows are texts (eq. 14)."""
    mined: Tensor
    """(B, B) bool, the model's positives (eq. 15)."""
    relevant: Tensor | None
    """(B, B) bool, what truly fits; None where that is unknown."""


def compared(model: MGIPS, posts: Sequence[Tweet], size: int = BATCH) -> list[Compared]:
    """Every batch of some posts, drawn as in training, with what the model mines in it.

    Raises:
        ConfigError: a model without a contrastive part.
    """
    data, found = TweetDataset(posts, model.batcher, progress=False), []
    known = all(post.truth is not None for post in posts)
    for indices in training_batches(posts, size, seed=0, epoch=0):
        batch, members = data[indices].to(model.device), [posts[i] for i in indices]
        with model.evaluating():
            contrast = model.contrast(model(batch, read_batch=model.reader is not None), batch)
        truth = torch.from_numpy(relevance_matrix(members)) if known else None
        found.append(Compared(members, contrast.relevance.float().cpu(), contrast.positives.cpu(), truth))
    return found


def finds_own(batches: Sequence[Compared]) -> float:
    """Share of texts that have the picture of their own post among the mined ones."""
    return float(torch.cat([batch.mined.diagonal() for batch in batches]).float().mean())


def mined_told(lesson: Opened, batches: Sequence[Compared], batch: Compared, row: int) -> str:
    """Whether a text takes its own picture, as most do, and what the taken others have in common, in two sentences."""
    share, takes = finds_own(batches), bool(batch.mined[row, row])
    said = f"{share:.0%} of the texts take their own picture; the one above does{'' if takes else ' not'}."
    if not lesson.tiny:
        return said
    same, chance = same_type(lesson.model, batches)
    return f"{said} {same:.0%} of the mined others show the type that the model gives the name; of all others {chance:.0%} do."


def own_by_chance(batches: Sequence[Compared]) -> float:
    """The same where each text mines at random."""
    return float(np.mean([float(batch.mined.float().mean()) for batch in batches]))


def precision_at(batches: Sequence[Compared], ks: Sequence[int] = KS, own: bool = True) -> dict[str, list[float]]:
    """Mining precision at every K, what is attainable, and chance, over texts that have something to find.

    Args:
        own: whether a text's own picture may be mined and counts; off, only others do.

    Returns:
        "mined", "attainable" and "chance", a share in [0, 1] for each K.

    Raises:
        ValueError: batches whose truth is unknown.
    """
    found: dict[str, list[list[float]]] = {"mined": [], "attainable": [], "chance": []}
    for k in ks:
        shares: list[list[float]] = [[], [], []]
        for batch in batches:
            if batch.relevant is None:
                raise ValueError("Precision needs to know which pictures fit, and only TinyTweets does.")
            others = ~torch.eye(len(batch.posts), dtype=torch.bool)
            room = torch.ones_like(others) if own else others
            truth, places = batch.relevant & room, min(k, len(batch.posts) - (not own))
            mined, asked = mine(batch.scores.masked_fill(~room, -torch.inf), places), truth.any(1)
            there = truth.sum(1)
            shares[0] += ((mined & truth).sum(1) / places)[asked].tolist()
            shares[1] += (there.clamp(max=places) / places)[asked].tolist()
            shares[2] += (there / room.sum(1))[asked].tolist()
        for values, name in zip(shares, found, strict=True):
            found[name].append([float(np.mean(values))])
    return {name: [value for (value,) in values] for name, values in found.items()}


Curves = tuple[dict[str, list[float]], dict[str, list[float]]]
"""`precision_at` with the own picture counted, and with it left out."""


def both_sides(models: Mapping[str, Sequence[Compared]]) -> dict[str, Curves]:
    """`precision_at` of several models, with the own picture counted and with it left out."""
    return {
        name: (precision_at(batches, own=True), precision_at(batches, own=False)) for name, batches in models.items()
    }


def reached_told(curves: Mapping[str, Curves], ks: Sequence[int] = KS, k: int = 3) -> str:
    """What is attainable at each K, and how many of k pictures that the first model mines fit."""
    first = next(iter(curves.values()))
    most = ", ".join(f"{value:.2f}" for value in first[0]["attainable"])
    own, others = (k * side["mined"][ks.index(k)] for side in first)
    return (
        f"Attainable at K = {', '.join(map(str, ks))}, own picture counted: {most}. Of {k} pictures that this model "
        f"takes {own:.1f} fit if the own one may be among them, and of {k} others {others:.1f}. "
        f"This answers the guess of the beginning: {'less' if own < 1 else 'not less'} than one."
    )


def puzzle(batches: Sequence[Compared]) -> tuple[Compared, int]:
    """A batch, and a text in it that needs other posts' pictures: an ambiguous name, its own picture of no use, and
    at least two others that fit. The first post where that is unknown."""
    for batch in batches:
        for row, post in enumerate(batch.posts):
            truth = post.truth
            if truth is not None and batch.relevant is not None and truth.ambiguous and not truth.related:
                if 2 <= int(batch.relevant[row].sum()) <= 4:
                    return batch, row
    return batches[0], 0


def same_type(model: MGIPS, batches: Sequence[Compared]) -> tuple[float, float]:
    """For posts with an ambiguous name: the share of mined other pictures that show the type which the model gives that
    name, and the same for all other pictures of the batch (chance). TinyTweets only."""
    mined, chance = [], []
    for batch in batches:
        shows = np.array([post.truth.shows if post.truth else "" for post in batch.posts])
        for row, (post, tags) in enumerate(zip(batch.posts, model.predict(batch.posts), strict=True)):
            open_names = set(post.truth.ambiguous) if post.truth else set()
            kinds = [span.type for span in spans(post.words, tags) if (span.start, span.end) in open_names]
            others = np.arange(len(shows)) != row
            taken = batch.mined[row].numpy() & others
            if kinds and taken.any():
                same = np.isin(shows, kinds)
                mined.append(same[taken].mean())
                chance.append(same[others].mean())
    return float(np.mean(mined)), float(np.mean(chance))


# ---- pictures ----


def album(batch: Compared, row: int, answer: bool = False) -> Figure:
    """A text above all pictures of its batch; with `answer`, framed by what fits and what the model takes."""
    count, wide = len(batch.posts), 8
    tall = -(-count // wide)
    figure, axes = plt.subplots(tall, wide, figsize=(6.9, 1.0 * tall + 1.1), squeeze=False)
    figure.subplots_adjust(0.01, 0.07 if answer else 0.01, 0.99, 1 - 0.92 / (1.0 * tall + 1.1), 0.1, 0.14)
    for place, ax in enumerate(axes.flat):
        ax.axis("off")
        if place < count:
            ax.imshow(
                picture_of(batch.posts[place])
                .resize((96, 96), Image.Resampling.BOX)
                .filter(ImageFilter.MedianFilter(3))
            )
            if answer:
                _frame(ax, batch, row, place)
            if place == row:
                ax.set_title("its own", fontsize=8, pad=2, loc="center")
    words = textwrap.fill(" ".join(batch.posts[row].words), 80)
    taken = int(batch.mined[row].sum())
    head = f"Which {taken} of these {count} pictures belong to this text?"
    if answer:
        head = f"The model takes {taken} of these {count} pictures"
        if batch.relevant is not None:
            right = int((batch.mined[row] & batch.relevant[row]).sum())
            head += f"; {int(batch.relevant[row].sum())} fit, and it finds {right or 'none'} of them"
    figure.suptitle(f"{head}\n“{words}”", x=0.01, y=0.99, ha="left", va="top", fontsize=9.5, linespacing=1.3)
    if answer:
        key = [Rectangle((0, 0), 1, 1, fill=False, edgecolor=c, linestyle=s, linewidth=2.4) for c, s in FRAMES.values()]
        figure.legend(key, list(FRAMES), ncols=2, loc="lower left", frameon=False, fontsize=9)
    return figure


FRAMES = {"truly relevant": (LOSS, "-"), "taken by the model": (IMAGE, "--")}


def _frame(ax: Axes, batch: Compared, row: int, place: int) -> None:
    fits = batch.relevant is not None and bool(batch.relevant[row, place])
    for grow, yes, (colour, line) in zip((2, 9), (fits, bool(batch.mined[row, place])), FRAMES.values(), strict=True):
        if yes:
            box = {"edgecolor": colour, "linestyle": line, "linewidth": 2.4, "fill": False, "clip_on": False}
            ax.add_patch(Rectangle((-grow, -grow), 95 + 2 * grow, 95 + 2 * grow, **box))


def square(model: MGIPS, posts: Sequence[Tweet]) -> Figure:
    """Every text of a batch with every picture, as dots (`relevance_dots`)."""
    return relevance_dots(batch_relevance(model, posts))


def arrows(texts: Tensor, images: Tensor) -> Figure:
    """Vectors in the plane as arrows, (N, 2) texts and (M, 2) images, with the circle of length 1."""
    figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="#CCCCCC", linewidth=1)
    for name, vectors, colour, line in (("text", texts, TEXT, "-"), ("image", images, IMAGE, "--")):
        for number, (x, y) in enumerate(vectors.tolist()):
            look = {"arrowstyle": "-|>", "color": colour, "linestyle": line, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (x, y), (0, 0), arrowprops=look)
            right, low = name == "text" or x > 0, name == "image" and 0 <= y < 1 and x > 0
            away = (28 if right else -28, -13 if low else 7)
            ax.annotate(f"{name} {number}", (x, y), away, textcoords="offset points", color=colour, ha="center")
    ax.set(xlim=(-1.7, 1.7), ylim=(-0.35, 2.25), aspect="equal", xticks=(-1, 0, 1), yticks=(0, 1, 2))
    ax.set_title("Which image is nearest to text 1?")
    return figure


def weights_at(scores: Tensor, positives: Tensor, tau: float, row: int = 0) -> Figure:
    """One text's softmax over the images at a temperature, its positives in another colour, and both losses of it.

    Args:
        scores: (N, M) cosines; the text's own image is the column of its row.
        positives: (N, M) bool.
    """
    weights = torch.softmax(scores[row] / tau, 0)
    chosen = positives[row]
    ips, cl = -weights[chosen].sum().log(), -weights[row].log()
    figure, ax = plt.subplots(figsize=(6.6, 2.5), layout="constrained")
    colours = [IMAGE if yes else "#BDBDBD" for yes in chosen.tolist()]
    bars = ax.bar(range(len(weights)), weights.tolist(), color=colours, edgecolor="black", linewidth=0.6)
    ax.bar_label(bars, fmt="%.2f", padding=2)
    names = [f"image {i}\ncosine {s:.2f}" for i, s in enumerate(scores[row].tolist())]
    ax.set(xticks=range(len(weights)), xticklabels=names, ylim=(0, 1.15), ylabel="weight")
    ax.set_title(
        f"τ = {tau:g}: positives (orange) hold {weights[chosen].sum():.2f} together; IPS {ips:.2f}, CL {cl:.2f}"
    )
    return figure


def reachable(curves: Mapping[str, Curves], ks: Sequence[int] = KS) -> Figure:
    """Mining precision over K beside what is attainable and what chance gives: own picture counted, and left out.

    Args:
        curves: `both_sides` of each model; the first one's in the title.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.7), layout="constrained", sharey=True)
    (name, first), *_ = curves.items()
    for side, (ax, title) in enumerate(
        zip(axes, ("own picture may be among the K", "own picture left out: K others"), strict=True)
    ):
        values = first[side]
        ax.plot(ks, values["attainable"], "-", color=GREY, marker="_", markersize=10, label="attainable")
        ax.fill_between(ks, values["attainable"], 1.02, color="#EEEEEE", linewidth=0)
        for (label, found), colour, mark in zip(curves.items(), (IMAGE, TEXT), "os", strict=False):
            ax.plot(ks, found[side]["mined"], "-", color=colour, marker=mark, label=label)
        ax.plot(ks, values["chance"], ":", color="black", label="chance")
        ax.set(xlabel="K", xticks=ks, ylim=(0, 1.02), title=title)
    axes[0].set_ylabel("share of mined pictures that fit")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    at = ks.index(3) if 3 in ks else 0
    mined, most, chance = (first[1][key][at] for key in ("mined", "attainable", "chance"))
    figure.suptitle(f"Of {ks[at]} other pictures mined by {name} {mined:.0%} fit; attainable {most:.0%}, chance {chance:.0%}", x=0.01, ha="left")  # fmt: skip
    return figure


def own_found(shares: Mapping[str, tuple[float, float]], chance: float) -> Figure:
    """How many texts mine the picture of their post: with the true pictures, and with those of a random other post."""
    figure, ax = plt.subplots(figsize=(7.4, 1.5 + 0.75 * len(shares)), layout="constrained")
    places = np.arange(len(shares))
    for shift, which, colour, hatch in ((-0.2, 0, IMAGE, ""), (0.2, 1, "#D9D9D9", "//")):
        label = ("its true picture is there", "a random other post's picture is there")[which]
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.6}
        bars = ax.barh(places + shift, [values[which] for values in shares.values()], 0.38, label=label, **look)
        ax.bar_label(bars, fmt="{:.0%}", padding=4)
    ax.axvline(chance, color="black", linestyle=":", linewidth=1)
    ax.annotate("chance", (chance, 1), (4, 2), ("data", "axes fraction"), "offset points", fontsize=9)
    ax.set(yticks=places, yticklabels=list(shares), xlim=(0, 1.15), xlabel="share of texts that mine the picture of their own post")  # fmt: skip
    ax.invert_yaxis()
    figure.legend(*ax.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    true, other = next(iter(shares.values()))
    ax.set_title(whatever(true, other, chance), pad=14)
    return figure


def whatever(true: float, other: float, chance: float) -> str:
    """What it says that a text finds its post's picture with the true one, and with a strange one in its place."""
    if true < 1.5 * chance:
        return "Its own picture is hardly found more often than by chance"
    if true - other < 0.1:
        return "Its own picture is found, whatever it shows"
    strange = "less often if it is a strange one" if other > 0.5 * true else "but only if it is the true one"
    return f"Its own picture is found, {strange}"


def taken(batches: Sequence[Compared]) -> tuple[Tensor, float, float]:
    """How often each picture is mined in its batch, the most mined first, (B,), mean over full batches; the share of
    places that a batch's three most mined pictures fill, mean over batches; and chance for it (100 random draws)."""
    ranked = [batch.mined.sum(0).sort(descending=True).values.float() for batch in batches]
    size, draw = max(map(len, ranked)), np.random.RandomState(0)
    chance = []
    for batch, counts in zip(batches, ranked, strict=True):
        texts = len(counts)
        drawn = draw.binomial(texts, float(batch.mined.float().mean()), (100, texts))
        chance.append(float(np.mean([np.sort(row)[-3:].sum() / max(1, row.sum()) for row in drawn])))
    full = torch.stack([counts for counts in ranked if len(counts) == size])
    shares = [float(counts[:3].sum() / counts.sum()) for counts in ranked]
    return full.mean(0), float(np.mean(shares)), float(np.mean(chance))


def hub_curves(models: Mapping[str, Sequence[Compared]]) -> Figure:
    """How often the pictures of a batch are mined, the most mined first, for several models."""
    figure, ax = plt.subplots(figsize=(7.6, 3.3), layout="constrained")
    told, chance = [], 0.0
    for (label, batches), colour, line in zip(models.items(), CYCLE, ("--", "-", "-."), strict=False):
        counts, share, chance = taken(batches)
        ax.step(range(1, len(counts) + 1), counts, line, where="mid", color=colour, label=f"{label}: three fill {share:.0%}")  # fmt: skip
        told.append(share)
    ax.set(xlabel="pictures of the batch, the most mined first", ylabel="texts that mine it", ylim=(0, None))
    ax.legend(frameon=False, title=f"if mined at random, three fill {chance:.0%}", alignment="left")
    names = list(models)
    ax.set_title(f"Three pictures fill {told[0]:.0%} of all places {names[0]}, {told[-1]:.0%} {names[-1]}")
    return figure


@functools.cache
def grown(losses: str, count: int = 12, k: int = 3, steps: int = 200, seed: int = 0) -> tuple[list[int], float]:
    """A toy without a model: text and image vectors that move freely under the losses, from a start with hubs.

    Args:
        losses: "", "ips", "cl" or "ips+cl".

    Returns:
        How often each of `count` images is mined at the end, falling; and the share of texts that mine their own.
    """
    dice = torch.Generator().manual_seed(seed)
    texts, images, common = (torch.randn(rows, 8, generator=dice) for rows in (count, count, 1))
    texts = (texts + 2 * common).requires_grad_()
    images = (images + 2 * common * torch.rand(count, 1, generator=dice)).requires_grad_()
    optimizer = torch.optim.Adam([texts, images], lr=0.05)
    for _ in range(steps if losses else 0):
        scores = relevance(texts, images)
        loss = ips_loss(scores, mine(scores, k), 0.5) if "ips" in losses else torch.zeros(())
        loss = loss + cl_loss(scores, 0.5) if "cl" in losses else loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mined = mine(relevance(texts, images), k)
    return sorted(mined.sum(0).tolist(), reverse=True), float(mined.diagonal().float().mean())


def own_choice() -> Figure:
    """The toy of `grown`: at the start, after the IPS loss alone, and after both losses."""
    figure, axes = plt.subplots(1, 3, figsize=(9.4, 2.7), layout="constrained", sharey=True)
    shares = {}
    for ax, (losses, title) in zip(axes, {"": "at the start", "ips": "after IPS alone", "ips+cl": "after IPS and CL"}.items(), strict=True):  # fmt: skip
        counts, own = grown(losses)
        shares[losses] = sum(counts[:3]) / sum(counts)
        ax.bar(range(1, len(counts) + 1), counts, color=IMAGE if losses else "#BDBDBD", edgecolor="black", linewidth=0.5)  # fmt: skip
        ax.set(
            xticks=(1, 4, 8, 12),
            title=f"{title}\nthree fill {shares[losses]:.0%}; {own:.0%} mine their own",
            xlabel="image, most mined first",
        )
        ax.title.set_fontsize(9.5)
    axes[0].set_ylabel("texts that mine it")
    figure.suptitle(
        f"Twelve free vectors a side: three images fill {shares['ips']:.0%} of the places with IPS alone, {shares['ips+cl']:.0%} with CL",
        x=0.01,
        ha="left",
    )
    return figure


@functools.cache
def most_of_others(seed: int, k: int = 3) -> float:
    """The highest `others` precision (`mgips.lab.precision`) on the test batches of TinyTweets drawn with a seed."""
    posts, shares = tinytweets(seed).test, []
    for indices in training_batches(posts, BATCH, seed=0, epoch=0):
        truth = relevance_matrix([posts[i] for i in indices])
        others = (truth & ~np.eye(len(truth), dtype=bool)).sum(1)
        room = k - (others < k)  # such a model mines the own picture where fewer than K others fit
        shares += (np.minimum(room, others) / room)[truth.any(1)].tolist()
    return float(np.mean(shares))


@dataclass(frozen=True)
class Arm:
    """A committed row of Table 3 and what its models mine."""

    label: str
    others: list[float]
    """Share of the mined other pictures that fit, a seed each, in [0, 1]."""
    f1: list[float]
    """Test F1 in per cent, a seed each."""
    verdict: str
    """Against the full model, paired bootstrap, corrected for the number of rows (Holm)."""
    detectable: float
    """In points; 0 for the full model."""


@functools.cache
def arms() -> dict[str, Arm]:
    """The rows of MINES, committed, five seeds each."""
    results, differences = load_results("table3", folder=COMMITTED), compare("table3", folder=COMMITTED)
    differences = {row: differences[row] for row in MINES if row in differences}
    p, found = corrected(differences), {}
    for row in MINES:
        d = differences.get(row)
        found[row] = Arm(
            MINES[row],
            [run.record["mining"]["others"] for run in results[row]],
            [100 * run.f1 for run in results[row]],
            concluded(d, p[row]) if d else "",
            100 * d.detectable if d else 0.0,
        )
    return found


def mining_and_f1() -> Figure:
    """F1 over mining precision of the committed models that differ in nothing but mining and its losses."""
    figure, ax = plt.subplots(figsize=(8.6, 3.9), layout="constrained")
    for arm, colour, mark in zip(arms().values(), CYCLE, "osD^v", strict=False):
        ax.plot(arm.others, arm.f1, mark, color=colour, alpha=0.35, markersize=5, linestyle="")
        ax.plot(np.mean(arm.others), np.mean(arm.f1), mark, color=colour, markersize=10, markeredgecolor="black", label=arm.label, linestyle="")  # fmt: skip
    most, chance = attainable_and_chance()
    for place, name, line in ((most, "attainable", "-"), (chance, "chance", ":")):
        ax.axvline(place, color=GREY, linestyle=line, linewidth=1.2)
        ax.text(place, 88.6, f" {name}", fontsize=9, color=GREY, ha="right" if place > 0.5 else "left", va="top")
    ax.set(xlim=(0, 1), ylim=(80, 89), ylabel="test F1")
    ax.set_xlabel("share that fits, of the places that the own picture leaves (K = 3)")
    ax.legend(frameon=False, loc="lower right", fontsize=9, bbox_to_anchor=(most, 0.02), title="large: mean of five seeds")  # fmt: skip
    means = [(np.mean(arm.others), np.mean(arm.f1)) for arm in arms().values()]
    low, high = min(means), max(means)
    f1s = [f1 for _, f1 in means]
    ax.set_title(
        f"Mining from {low[0]:.0%} to {high[0]:.0%} right, F1 between {min(f1s):.1f} and {max(f1s):.1f} (TinyTweets)"
    )
    return figure


def attainable_and_chance() -> tuple[float, float]:
    """Both for what `mining_and_f1` draws, mean over its five corpora, in [0, 1]."""
    runs = load_results("table3", folder=COMMITTED)["full"]
    return float(np.mean([most_of_others(run.seed) for run in runs])), float(
        np.mean([run.record["mining"]["others_chance"] for run in runs])
    )


def f1_follows() -> str:
    """Whether F1 follows mining, from the committed runs, in two sentences."""
    found = arms()
    full, rest = found["full"], [arm for row, arm in found.items() if row != "full"]
    same = [arm for arm in rest if arm.verdict == NO_DIFFERENCE]
    least, best = (pick(found.values(), key=lambda arm: np.mean(arm.others)) for pick in (min, max))
    rise = float(np.mean(best.f1) - np.mean(least.f1))
    powers = [arm.detectable for arm in rest]
    head = (
        f"“{least.label}” mines worst, {np.mean(least.others):.0%} right, with F1 {np.mean(least.f1):.1f}; “{best.label}” best, "
        f"{np.mean(best.others):.0%} right, with F1 {np.mean(best.f1):.1f}: "
    )
    if rise <= 0:
        head += "the dots do not rise."
    else:
        head += f"they rise by {rise:.1f}, {'less than' if rise < min(powers) else 'which'} these runs could show."
    if len(same) == len(rest):
        return (
            f"{head} None of the {len(rest)} differs detectably from the full model (F1 {np.mean(full.f1):.1f}; "
            f"detectable: {min(powers):.1f} to {max(powers):.1f} points)."
        )
    other = ", ".join(arm.label for arm in rest if arm not in same)
    return f"{head} Only {other} differs detectably from the full model (F1 {np.mean(full.f1):.1f})."


def hubs_told(before: Sequence[Compared], after: Sequence[Compared]) -> str:
    """Whether training has spread out what is mined: the places of a batch's three most mined pictures, in a sentence."""
    (_, first, _), (_, last, chance) = taken(before), taken(after)
    if last < 1.25 * chance:
        verdict = "training with both losses has left no hub"
    else:
        verdict = f"training has left {'fewer' if last < first else 'no fewer'} hubs, but some"
    return f"At random three pictures would fill {chance:.0%} of the places; it was {first:.0%} and is {last:.0%}: {verdict}."


# ---- exercises ----


def _attainable(relevant: Tensor, k: int) -> Tensor:
    count = relevant.sum(1)
    return (count.clamp(max=k) / k)[count > 0].mean()


def _topk(relevance: Tensor, k: int, dim: int = 1, largest: bool = True) -> Tensor:
    chosen = relevance.topk(k, dim=dim, largest=largest).indices
    return torch.zeros_like(relevance, dtype=torch.bool).scatter(dim, chosen, True)


def _own_first(relevance: Tensor, k: int) -> Tensor:
    return _topk(relevance.clone().fill_diagonal_(2.0), k)


def _highest_of_all(relevance: Tensor, k: int) -> Tensor:
    return relevance >= relevance.flatten().topk(k * len(relevance)).values[-1]


def _mean_of_positives(relevance: Tensor, positives: Tensor, temperature: float) -> Tensor:
    return -((relevance / temperature).log_softmax(1) * positives).sum(1).div(positives.sum(1)).mean()


def _without_positives_below(relevance: Tensor, positives: Tensor, temperature: float) -> Tensor:
    weights = (relevance / temperature).exp()
    return -((weights * positives).sum(1) / (weights * ~positives).sum(1)).log().mean()


TOY = (
    torch.tensor([[1.0, 0.0], [0.9, 1.2], [0.0, 1.0]]),
    torch.tensor([[0.8, 0.6], [1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]),
)
SCORES = torch.tensor(
    [
        [0.1, 0.9, 0.4, -0.3, 0.6],
        [0.7, 0.8, 0.5, 0.2, 0.0],
        [0.3, 0.4, -0.2, 0.9, 0.8],
        [0.6, -0.1, 0.7, 0.5, 0.2],
        [0.2, 0.5, 0.3, 0.1, -0.4],
    ]
)
WIDER = torch.tensor(np.random.RandomState(3).uniform(-1, 1, (8, 8)), dtype=torch.float32)
FITS = torch.tensor(
    [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 1, 1],
        [0, 1, 1, 0, 1, 1],
    ],
    dtype=torch.bool,
)
"""Six texts and six pictures: what fits, in the exercise on what is attainable."""

EXERCISES: dict[str, Exercise] = {
    "cosine": Exercise(
        right=lambda texts, images: F.normalize(texts, dim=1) @ F.normalize(images, dim=1).T,
        mistakes={
            "These are plain dot products: a longer vector still gets a higher score.": lambda texts, images: (
                texts @ images.T
            ),
            "Your rows are images. The paper's rows are texts: one row of scores for each text.": lambda texts, images: (
                F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T
            ),
            "Only the texts have length 1 now: the images' lengths are still in the scores.": lambda texts, images: (
                F.normalize(texts, dim=1) @ images.T
            ),
            "You divided by one length for the whole matrix; each vector has its own.": lambda texts, images: (
                (texts / texts.norm()) @ (images / images.norm()).T
            ),
        },
        cases=[TOY],
        praise="Length is gone, only the angle is left.",
    ),
    "mine": Exercise(
        right=mine,
        mistakes={
            "You chose for each image its best texts (columns). Mining goes row by row: each text chooses images.": (
                lambda relevance, k: _topk(relevance, k, dim=0)
            ),
            "These are the images of lowest relevance.": lambda relevance, k: _topk(relevance, k, largest=False),
            "You took one image too many in each row: the borderline is in.": lambda relevance, k: _topk(
                relevance, k + 1
            ),  # fmt: skip
            "You took one image too few in each row: is the K-th still in?": lambda relevance, k: _topk(
                relevance, k - 1
            ),  # fmt: skip
            "The own image is always among yours. It has to earn its place like every other.": _own_first,
            "The own image is never among yours. Eq. 15 does not exclude it.": lambda relevance, k: _topk(
                relevance.clone().fill_diagonal_(-2.0), k
            ),
            "You took the highest of the whole matrix: some texts then have many positives, others none.": _highest_of_all,
            "These are the numbers of the chosen images. Asked for is a mask: True where an image is chosen.": (
                lambda relevance, k: relevance.topk(k, dim=1).indices
            ),
        },
        cases=[(SCORES, 2), (WIDER, 3)],
        praise="K in every row, and nothing asks whether they are right.",
    ),
    "ips_loss": Exercise(
        right=ips_loss,
        mistakes={
            "You take the mean of the positives' losses. Eq. 16 adds the positives first, and takes one logarithm of the sum.": (
                _mean_of_positives
            ),
            "The temperature is missing: scores are divided by it before exp.": lambda relevance, positives, temperature: (
                ips_loss(relevance, positives, 1.0)
            ),
            "You multiplied by the temperature: a small one has to make differences larger.": (
                lambda relevance, positives, temperature: ips_loss(relevance, positives, 1 / temperature)
            ),
            "This is the sum over texts; asked for is the mean.": lambda relevance, positives, temperature: (
                ips_loss(relevance, positives, temperature) * len(relevance)
            ),
            "The denominator runs over texts (columns). Each text is compared with all images of its row.": (
                lambda relevance, positives, temperature: (
                    -(((relevance / temperature).softmax(0) * positives).sum(1).log().mean())
                )
            ),
            "The positives are missing below the line: the sum there runs over all images.": _without_positives_below,
            "The sign is turned round: a loss falls when the positives gain.": lambda relevance, positives, temperature: (
                -ips_loss(relevance, positives, temperature)
            ),
            "The exponential is missing: you divide sums of scores.": lambda relevance, positives, temperature: (
                -((relevance.abs() * positives).sum(1) / relevance.abs().sum(1)).log().mean()
            ),
        },
        cases=[(SCORES, mine(SCORES, 2), 0.5), (WIDER, mine(WIDER, 3), 0.1)],
        praise="The positives have to hold the weight together; how they share it is free.",
    ),
    "attainable": Exercise(
        right=_attainable,
        mistakes={
            "Texts without any relevant picture are counted too; nobody could find something for them.": (
                lambda relevant, k: (relevant.sum(1).clamp(max=k) / k).mean()
            ),
            "You divide by what there is to find: that is recall. Precision divides by the K places.": (
                lambda relevant, k: (relevant.sum(1).clamp(max=k) / relevant.sum(1))[relevant.any(1)].mean()
            ),
            "A text with more than K relevant pictures can place only K of them.": lambda relevant, k: (
                relevant.sum(1) / k
            )[relevant.any(1)].mean(),
            "That is chance: how many of all pictures fit. Asked for is the best that K choices can do.": (
                lambda relevant, k: relevant.float().mean(1)[relevant.any(1)].mean()
            ),
        },
        cases=[(FITS, 3), (FITS, 2), (FITS.T.contiguous(), 3)],
        praise="Nothing below 100 % is a fault of the model before this number is known.",
    ),
}
"""Exercises of lesson 06."""
