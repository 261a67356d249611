"""Lesson 14: positives that reach the answer. What is read of a day's pictures, and what each of them changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import torch
from entmax import sparsemax
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor

from mgips.data.corpus import Corpus, Tweet
from mgips.data.load import load_corpus
from mgips.data.pictures import picture_of
from mgips.data.spans import Span, spans
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import relevance_matrix
from mgips.lab.figures import as_png, show, show_png
from mgips.lab.figures.architecture import arrow, box
from mgips.lab.figures.dials import BORROWED, dial_gains, point
from mgips.lab.figures.grids import compare
from mgips.lab.figures.reading import ceilings
from mgips.lab.figures.shared import MARK, dot
from mgips.lab.figures.style import GREY, IMAGE, LOSS, TEXT
from mgips.lab.figures.text import fitted, printable
from mgips.lab.grids import READS_DIALS, STORIES
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.opened import Opened
from mgips.lab.lessons.places import COMMITTED
from mgips.lab.pools import READ
from mgips.lab.results import Result, load_results
from mgips.lab.stats import Difference, concluded, corrected, counts_f1, paired_bootstrap
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool
from mgips.model.shipped import load
from mgips.model.tagging import entity_probabilities

DAY = 32
"""Posts that stand for a day where none carries a time."""


# ---- what the lesson opens ----


def opened(lesson: Opened) -> tuple[Corpus, MGIPS]:
    """The posts and the model that reads: the reader's own where MGIPS_RUN names a model that reads, else the package's
    with TinyTweets, of which it is."""
    if lesson.runs and lesson.model.reader is not None:
        return lesson.corpus, lesson.model
    return (lesson.corpus if lesson.tiny else load_corpus("tinytweets")), lesson.reader


def paper_model(lesson: Opened, corpus: Corpus) -> MGIPS:
    """A model of the paper, which reads nothing: the lesson's own if it is one of this corpus, else the package's."""
    return lesson.model if corpus is lesson.corpus and lesson.model.reader is None else load("tiny-full")


def bare(posts: Sequence[Tweet]) -> list[Tweet]:
    """The posts without their tags, which a model of other types would refuse."""
    return [replace(post, tags=()) for post in posts]


def known(posts: Sequence[Tweet]) -> bool:
    """Whether the truth behind all of some posts is known, as it is in TinyTweets."""
    return all(post.truth is not None for post in posts)


def day_of(corpus: Corpus, post: Tweet) -> list[Tweet]:
    """The posts of the test split from the day of one of them; without times DAY posts from it on."""
    posts = list(corpus.test)
    if np.isnan(post.time):
        first = min(posts.index(post), max(0, len(posts) - DAY))
        return posts[first : first + DAY]
    return [other for other in posts if np.floor(other.time) == np.floor(post.time)]


def day_numbers(corpus: Corpus) -> list[int]:
    """The days of the test split, in order; [0] where posts carry no time."""
    return sorted({int(post.time) for post in corpus.test if not np.isnan(post.time)}) or [0]


def fits(post: Tweet, others: Sequence[Tweet]) -> list[bool | None]:
    """Whether each picture is of the post's story; None where the truth is unknown."""
    if not known([post, *others]):
        return [None] * len(others)
    return [bool(post.truth.story) and o.truth.story == post.truth.story and o.truth.related for o in others]


def a_post(corpus: Corpus, model: MGIPS) -> Tweet:
    """The first test post that the model gets wrong from its own picture alone and right with its day's pictures; where
    the truth is known its own picture is of something else. Without such a post, the first one."""
    posts = [post for post in corpus.test if post.tags and post.image is not None]
    for start in range(0, len(posts), DAY):
        some = posts[start : start + DAY]
        alone = model.predict(some, pool=model.pool(()))
        near = dict.fromkeys(other.id for post in some[:: DAY - 1] for other in day_of(corpus, post))
        reads = model.predict(some, pool=model.pool([post for post in corpus.test if post.id in near], days=0))
        for post, before, after in zip(some, alone, reads, strict=True):
            mistaken = known([post]) and (post.truth.related or not post.truth.ambiguous)
            if before != list(post.tags) == after and not mistaken:
                return post
    return posts[0]


def entity(post: Tweet) -> Span:
    """The entity that is looked at: the ambiguous one where that is known, else the first one."""
    entities = spans(post.words, post.tags)
    unsure = {start for start, _ in post.truth.ambiguous} if known([post]) else set()
    return next((each for each in entities if each.start in unsure), entities[0])


# ---- what is read ----


@dataclass(frozen=True)
class Read:
    """What one post reads of a pool."""

    scores: Tensor
    """(N + 1,): of each picture over τ, and of reading nothing."""
    weights: Tensor
    """(N + 1,), summing to 1."""
    probability: float
    """Of the entity that is looked at, with its right type."""


def read(model: MGIPS, post: Tweet, pool: Pool) -> Read:
    """One post, read with one pool."""
    with model.evaluating():
        batch = model.batcher([post]).to(model.device)
        out = model(batch, pool=pool.to(model.device))
    assert out.reading is not None
    span = entity(post)
    wanted = [(0, span.start, span.end, span.type)]
    chance = entity_probabilities(model.crf, model.tags, out.emissions, batch.word_mask, wanted)[0]
    return Read(out.reading.scores[0].cpu(), out.reading.weights[0].cpu(), chance)


def without(model: MGIPS, post: Tweet, pool: Pool) -> dict[str, float]:
    """How probable the right entity is with the pool, with each read picture taken out of it, and with none.

    Returns:
        By the id of the picture's post: "all", those read in order of weight, "none".
    """
    found = read(model, post, pool)
    order = [int(i) for i in found.weights[:-1].argsort(descending=True) if found.weights[i] >= READ]
    chances = {"all": found.probability}
    for place in order:
        rest = torch.arange(len(pool)) != place
        chances[pool.ids[place]] = read(model, post, pool.take(rest)).probability
    return chances | {"none": read(model, post, model.pool(())).probability}


# ---- pictures ----


def sheet(day: Sequence[Tweet], post: Tweet, weights: Mapping[str, float] | None = None) -> None:
    """Show a day's pictures: the post's own framed, those of its story framed where that is known, and what is read of
    each where weights by post are given."""
    shown = [each for each in day if each.image is not None]
    match = fits(post, shown)
    columns, rows = 8, -(-len(shown) // 8)
    figure, axes = plt.subplots(rows, columns, figsize=(9.6, 0.98 * rows + 0.8), layout="constrained")
    for ax, each, right in zip(np.ravel(axes), shown, match, strict=False):
        share = (weights or {}).get(each.id, 0.0)
        ax.imshow(_small(each), alpha=1.0 if weights is None or share >= READ else 0.22)
        own = each.id == post.id
        colour, width = (LOSS, 4) if right else (IMAGE, 4) if own else ("#CCCCCC", 1)
        ax.spines[:].set(visible=True, color=colour, linewidth=width, linestyle="--" if own else "-")
        said = [*["own"] * own, *["fits"] * bool(right), *[f"{100 * share:.0f} %"] * (share >= READ)]
        ax.set_title(" · ".join(said), fontsize=9, loc="center", pad=3)
    for ax in np.ravel(axes):
        ax.set(xticks=[], yticks=[])
    for ax in np.ravel(axes)[len(shown) :]:
        ax.axis("off")
    title = sheet_title(shown, post, match, weights)
    line = fitted(" ".join(post.words), 9.0, 11)
    figure.suptitle(f"{title}\n{line}", x=0.01, ha="left", fontsize=11)
    show_png(as_png(figure, dpi=80, colours=112), f"{title}. The post: {' '.join(post.words)}")
    plt.close(figure)


def _small(post: Tweet) -> Image.Image:
    """A picture with its grain smoothed: a day of them would take half a megabyte otherwise."""
    return ImageOps.contain(picture_of(post).filter(ImageFilter.MedianFilter(7)), (76, 57), Image.Resampling.BOX)


def sheet_title(
    shown: Sequence[Tweet], post: Tweet, match: Sequence[bool | None], weights: Mapping[str, float] | None
) -> str:
    """What a sheet shows, in one line."""
    others = [right for each, right in zip(shown, match, strict=True) if each.id != post.id]
    if weights is None:
        if not known(shown):
            return f"{len(shown)} pictures; which of them fit is not known"
        own = any(right for each, right in zip(shown, match, strict=True) if each.id == post.id)
        return (
            f"{sum(map(bool, others))} of the {len(others)} other pictures of the day fit this post; "
            f"its own {'does' if own else 'does not'}"
        )
    parts = {each.id: weights.get(each.id, 0.0) for each in shown}
    count, mass = sum(w >= READ for w in parts.values()), sum(parts.values())
    title = f"It reads {count} of {len(shown)} pictures"
    if any(match) and mass > 0:
        right = sum(parts[each.id] for each, fit in zip(shown, match, strict=True) if fit)
        title += f"; {100 * right / mass:.0f} % of the weight lies on those that fit"
    return title


def two_paths() -> None:
    """Show where another post's picture goes: into the loss, which test time does not have, or into the answer."""
    figure, ax = plt.subplots(figsize=(9.6, 3.1), layout="constrained")
    ax.set(xlim=(0, 9.6), ylim=(0.3, 3.2))
    ax.axis("off")
    for y, name in ((2.55, "the paper"), (0.75, "reading")):
        ax.text(0.02, y + 0.42, name, fontsize=10, weight="bold")
        box(ax, 1.35, y, 1.8, 0.54, "text + own picture", TEXT, 9)
        box(ax, 3.6, y, 1.5, 0.54, "z of each word", TEXT, 9)
        box(ax, 6.6, y, 1.5, 0.54, "CRF → tags", TEXT, 9)
        arrow(ax, (2.25, y), (2.85, y))
        arrow(ax, (4.35, y), (5.85, y))
    box(ax, 3.6, 1.7, 1.5, 0.54, "others' pictures", IMAGE, 9)
    box(ax, 8.6, 1.7, 1.6, 0.54, "loss\n(training only)", LOSS, 9)
    arrow(ax, (4.35, 1.83), (7.8, 1.83), IMAGE, linestyle="--")
    ax.text(5.9, 1.93, "which of them are positives", ha="center", fontsize=8.5, color=IMAGE)
    arrow(ax, (7.35, 2.55), (8.6, 1.97))
    arrow(ax, (7.35, 0.75), (8.6, 1.43))
    arrow(ax, (4.0, 1.43), (5.1, 0.78), IMAGE, lw=2.4)
    ax.text(4.85, 1.15, "read, at training and at test", fontsize=8.5, color=IMAGE)
    title = "In the paper no arrow leads from another post's picture to the tags"
    ax.set_title(title)
    show(figure, f"{title}: it only enters the loss, which is not computed at test time. Reading adds that arrow.")


NAMES = ("fits well", "fits", "fits, other day", "hardly", "not at all", "nothing")


def waterline(scores: Tensor, names: Sequence[str] = NAMES) -> None:
    """Show sparsemax as a level of water over scores (N,): what sticks out is the weight. Beside it softmax."""
    weights, soft = sparsemax(scores, dim=-1), scores.softmax(-1)
    level = float((scores - weights)[weights > 0][0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    places = np.arange(len(scores))
    floor = min(level - 3.0, float(scores[scores > level - 9].min()) - 0.5)
    low = np.minimum(level, scores.numpy())
    left.bar(places, np.maximum(low - floor, 0), bottom=floor, color="#C8D3E0", width=0.6)
    left.bar(places, weights, bottom=level, color=IMAGE, width=0.6)
    for place in np.flatnonzero(scores.numpy() <= floor):
        left.annotate(f"{scores[place]:.0f}", (place, floor), (place, floor + 1.1), ha="center", fontsize=9, color=GREY,
                      arrowprops={"arrowstyle": "-|>", "color": GREY})  # fmt: skip
    left.axhline(level, color=TEXT, linewidth=1.4)
    left.text(len(scores) - 0.5, level, f" level {level:.2f}", color=TEXT, va="bottom", ha="right", fontsize=9)
    left.set(ylabel="score", xticks=places, ylim=(floor, float(scores.max()) + 0.6))
    left.set_xticklabels(names, rotation=25, ha="right")
    left.set_title("sparsemax keeps what sticks out")
    for shift, share, colour, name in ((-0.2, weights, IMAGE, "sparsemax"), (0.2, soft, GREY, "softmax")):
        right.bar(places + shift, share, width=0.38, color=colour, label=name)
        for x, value in zip(places + shift, share.tolist(), strict=True):
            said = "0" if value == 0 else f"{value:.2f}" if value >= 0.005 else "> 0"
            right.text(x, value + 0.015, said, ha="center", fontsize=7.5, color=colour)
    right.set(ylabel="weight", xticks=places, ylim=(0, 1.05))
    right.set_xticklabels(names, rotation=25, ha="right")
    right.legend(frameon=False)
    zeros = int((weights == 0).sum())
    right.set_title(f"{zeros} of {len(scores)} weights are exactly 0; softmax has none")
    show(figure, f"Scores as bars and a level at {level:.2f}; sparsemax gives {zeros} of {len(scores)} the weight 0.")


def contributions(model: MGIPS, post: Tweet, pool: Pool, day: Sequence[Tweet]) -> None:
    """Show how probable the right entity is with all pictures that are read, without each of them, and with none."""
    chances = without(model, post, pool)
    weights = dict(zip(pool.ids, read(model, post, pool).weights.tolist(), strict=False))
    by_id = dict(zip((each.id for each in day), fits(post, day), strict=True))
    rows = [name for name in chances if name not in ("all", "none")][:8]
    span = entity(post)
    figure, ax = plt.subplots(figsize=(9.2, 1.5 + 0.38 * (len(rows) + 2)), layout="constrained")
    labels, colours = ["all that is read"], [TEXT]
    for name in rows:
        what = {True: "fits", False: "does not fit", None: ""}[by_id.get(name)]
        own = ", own" if name == post.id else ""
        labels.append(f"without {printable(name)} ({100 * weights[name]:.0f} %{own}{', ' * bool(what)}{what})")
        colours.append(LOSS if by_id.get(name) else GREY)
    values = [chances["all"], *(chances[name] for name in rows), chances["none"]]
    ax.barh(range(len(values)), values, color=[*colours, IMAGE], height=0.65)
    for y, value in enumerate(values):
        ax.text(value + 0.01, y, f"{value:.2f}", va="center", fontsize=9)
    ax.set(yticks=range(len(values)), yticklabels=[*labels, "none (its own picture through the towers)"], xlim=(0, 1.1))
    ax.set_xlabel(f"probability of “{span.text}” as {span.type}")
    ax.invert_yaxis()
    largest = max(rows, key=lambda name: abs(chances["all"] - chances[name]), default="")
    alone = abs(chances["all"] - chances[largest]) if largest else 0.0
    title = (
        f"All that is read moves the right answer from {chances['none']:.2f} to {chances['all']:.2f}; "
        f"taking one away changes it by at most {alone:.2f}, up or down"
    )
    if rows:
        title += f"\nWithout the picture of the largest weight it is {chances[rows[0]]:.2f}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, title.replace("\n", ". "))


def day_reads(corpus: Corpus, model: MGIPS, day: int, post: int) -> None:
    """Show what one post of a day reads of it, for the slider; `post` counts from 1, and stays within the day."""
    posts = [each for each in corpus.test if np.isnan(each.time) or int(each.time) == day]
    chosen = posts[min(post, len(posts)) - 1]
    pool = model.pool(posts)
    weights = dict(zip(pool.ids, read(model, chosen, pool).weights.tolist(), strict=False))
    sheet(posts[:DAY] if chosen in posts[:DAY] else [chosen, *posts[: DAY - 1]], chosen, weights)


# ---- committed results ----


@cache
def _differences(grid: str) -> dict[str, Difference]:
    return compare(grid, folder=COMMITTED)


@cache
def _runs(grid: str) -> dict[str, list[Result]]:
    return dict(load_results(grid, folder=COMMITTED))


def verdict_of(grid: str, row: str) -> str:
    """What a grid's committed runs say of a row against its reference, in a sentence's end, corrected for its rows."""
    differences = _differences(grid)
    difference, p = differences[row], corrected(differences)[row]
    return f"{difference} points, {concluded(difference, p)} (detectable: {100 * difference.detectable:.1f})"


def f1_of(grid: str, row: str, seeds: Sequence[int] | None = None) -> float:
    """Mean test F1 of a committed row in per cent, over all of its seeds or over some."""
    return 100 * float(np.mean([run.f1 for run in _runs(grid)[row] if seeds is None or run.seed in seeds]))


def weight_of(grid: str, row: str) -> tuple[float, float]:
    """Of the day's pictures: how many a committed row reads a post, and which share of their weight lies on those that
    fit, means over its seeds."""
    days = [run.record["pools"]["day"] for run in _runs(grid)[row]]
    return tuple(float(np.mean([day[name] for day in days])) for name in ("pictures", "mass"))  # pyright: ignore[reportReturnType]


READING = {
    "sparsemax": "reads, sparsemax",
    "softmax": "reads, softmax",
    "top3": "reads the 3 best",
    "no-contrast": "reads, without CL",
    "full": "the paper's model, IPS-CL",
}
"""Rows of "reads" that the lesson shows, by what its text calls them."""
CONTROLS = {
    "texts": "texts in place of pictures",
    "no-time": "without time",
    "no-null": "without the null slot",
    "fixed-5": "relevance from CL alone, 5 best",
    "self-mined": "IPS-CL from the start",
    "self-mined-late": "IPS-CL after 3 epochs",
}
"""Rows of "reads-controls" that the lesson shows."""
POOLED = {
    "split+train": "the split and all of training",
    "train": "training alone: nothing fits",
    "past": "what was posted earlier",
    "32": "32 of the split, at random",
    "shuffled days": "the split, days exchanged",
    "oracle": "the day's that truly fit",
}
"""Pools that the lesson shows, read by sparsemax."""


def _few(
    title: str,
    rows: Sequence[tuple[str, float | None, Difference, float]],
    axis: str,
    lines: Mapping[float, str],
    marks: Sequence[float] = (),
) -> None:
    """Show a few differences with their intervals: label, F1, difference and corrected p of each row, vertical lines by
    their place in points, and one more mark a row where there are marks."""
    figure, ax = plt.subplots(figsize=(9.6, 1.5 + 0.36 * len(rows)), layout="constrained")
    for place, (_, f1, difference, p) in enumerate(rows):
        dot(ax, difference, place, *MARK[concluded(difference, p)], markersize=7)
        said = f"{round(100 * difference.difference, 1) + 0.0:+.1f}    detectable {100 * difference.detectable:.1f}"
        said = said if f1 is None else f"F1 {f1:.1f}    {said}"
        ax.annotate(said, (1, place), (10, 0), xycoords=ax.get_yaxis_transform(),
                    textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    for place, mark in enumerate(marks):
        ax.plot(mark, place, "D", color="black", fillstyle="none", markersize=8)
    ax.axvline(0, color="black", linewidth=0.8)
    for x, name in lines.items():
        ax.axvline(x, color="black", linestyle=":", linewidth=1)
        ax.text(x, -0.75, name, ha="center", va="center", fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    ax.set(yticks=range(len(rows)), yticklabels=[label for label, *_ in rows], xlabel=axis)
    ax.set_ylim(len(rows) - 0.5, -1.1 if lines else -0.6)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, title)


def gains() -> None:
    """Show what ways to read add to the own picture, and how much is possible; committed runs, five seeds."""
    differences, own = _differences("reads"), f1_of("reads", "own")
    p, best = corrected(differences), ceilings(_runs("reads")["own"])
    rows = [(label, f1_of("reads", row), differences[row], p[row]) for row, label in READING.items()]
    lines = {
        100 * best["own_image"] - own: "possible:\nown picture",
        100 * best["mined"] - own: "possible:\nday's pictures",
    }
    title = f"Reading other posts' pictures: F1 {rows[0][1]:.1f} against {own:.1f} with the own picture only (5 seeds)"
    _few(title, rows, "F1 minus that with the own picture only, in points", lines)


def controls() -> None:
    """Show what is lost when one thing of the model that reads is changed; committed runs, their own seeds."""
    differences = _differences("reads-controls")
    p, seeds = corrected(differences), [run.seed for run in _runs("reads-controls")["texts"]]
    rows = [(label, f1_of("reads-controls", row), differences[row], p[row]) for row, label in CONTROLS.items()]
    reads = f1_of("reads", "sparsemax", seeds)
    lost = f1_of("reads", "own", seeds) - reads
    hurts = sum(concluded(difference, by) == "hurts" for _, _, difference, by in rows)
    title = f"{hurts} of these {len(rows)} changes hurt reading (F1 {reads:.1f} on the same {len(seeds)} seeds)"
    _few(title, rows, "F1 minus that of reading by sparsemax, in points", {lost: "own picture only"})


def dials() -> None:
    """Show what reading adds where stories have one post or four, and where few or many pictures are unrelated."""
    results = {**{row: _runs("reads")[other] for row, other in BORROWED.items()}}
    results |= {row: runs for row, runs in _runs("reads-dials").items() if runs}
    found = dial_gains(results, READS_DIALS, STORIES, "own", "reads")
    names = {point(row, STORIES): row.name for row in READS_DIALS if row.variant == "own"}
    places, p = sorted(found, key=lambda place: (place[1], place[0])), corrected(found)
    rows, marks = [], []
    for place in places:
        best, posts = ceilings(results[names[place]]), int(place[1])
        label = f"{posts} post{'s' * (posts > 1)} a story, {100 * place[0]:.0f} % unrelated"
        rows.append((label, None, found[place], p[place]))
        marks.append(100 * (best["mined"] - best["own_image"]))
    pays = [place for place in places if concluded(found[place], p[place]) == "helps"]
    title = f"Reading pays at {len(pays)} of {len(places)} settings"
    if pays == [place for place in places if place[1] > 1]:
        title += ": those where other posts tell the same story"
    _few(title, rows, "F1 minus that with the own picture only, in points (◇: possible)", {}, marks)


def _pool_counts(pool: str) -> list[np.ndarray]:
    """The tweet counts (300, 3) of sparsemax's committed runs with a pool, by seed."""
    return [np.array(run.record["pools"][pool]["counts"]) for run in _runs("reads")["sparsemax"]]


def pools() -> None:
    """Show F1 of the committed models by the pool that they read, against the day's; five seeds."""
    found = {name: paired_bootstrap(_pool_counts("day"), _pool_counts(name)) for name in POOLED}
    p = corrected(found)
    f1 = {name: 100 * float(np.mean([counts_f1(c) for c in _pool_counts(name)])) for name in ("day", *POOLED)}
    rows = [(label, f1[name], found[name], p[name]) for name, label in POOLED.items()]
    own = f1_of("reads", "own")
    title = f"With what was posted earlier F1 is {f1['past']:.1f}; with the own picture only it is {own:.1f}"
    axis = f"F1 minus that with the day's pictures ({f1['day']:.1f}), in points"
    _few(title, rows, axis, {own - f1["day"]: "own picture only"})


def past_told() -> str:
    """What the past alone gives, apart for the posts before which a picture that fits was posted, and for the others;
    committed runs against the same models without a pool."""
    counts: dict[tuple[str, bool], list[np.ndarray]] = {}
    share = []
    for run, past, none in zip(_runs("reads")["sparsemax"], _pool_counts("past"), _pool_counts("none"), strict=True):
        drawn = run.record["drawn"]
        posts = tinytweets(run.seed, **{**drawn, "sizes": (1, *drawn["sizes"][1:])}).test
        times, there = np.array([post.time for post in posts]), np.array([post.image is not None for post in posts])
        fit = (relevance_matrix(posts) & there & (times < times[:, None])).any(1)
        share.append(fit.mean())
        for name, of in (("past", past), ("none", none)):
            for kept in (True, False):
                counts.setdefault((name, kept), []).append(of[fit == kept])
    f1 = {key: 100 * float(np.mean([counts_f1(c) for c in each])) for key, each in counts.items()}
    changes = {kept: paired_bootstrap(counts["none", kept], counts["past", kept]) for kept in (True, False)}
    runs = _runs("reads")["sparsemax"]
    nothing = {name: 100 * np.mean([run.record["pools"][name]["nothing"] for run in runs]) for name in ("past", "32")}
    told = {
        kept: f"F1 {f1['past', kept]:.1f}, without a pool {f1['none', kept]:.1f}: {changes[kept]} points"
        for kept in changes
    }
    return f"""
- A picture that fits was posted earlier ({100 * np.mean(share):.0f} % of the posts): {told[True]}.
- None was: {told[False]}.
- Weight of the null: {nothing["past"]:.0f} % in "past", {nothing["32"]:.0f} % in "32 at random"."""


def minutes(*rows: str) -> dict[str, float]:
    """How long a committed run of each row of "reads" took, in minutes on one CPU core, median over seeds."""
    return {row: float(np.median([run.record["seconds"] for run in _runs("reads")[row]])) / 60 for row in rows}


def stored(model: MGIPS, posts: int) -> float:
    """Megabytes of a pool of so many posts: a key, a value, a time, and whether there is a picture."""
    width = model.encoder_configs["text"]["hidden_size"]
    return posts * (2 * 4 * width + 8 + 1) / 1e6


# ---- exercises ----


def _scores(cosines: Tensor, days: Tensor, penalty: float, tau: float, nothing: float) -> Tensor:
    return torch.cat([(cosines - penalty * (days >= 1)) / tau, torch.tensor([nothing / tau])])


def _sparsemax(scores: Tensor) -> Tensor:
    return sparsemax(scores, dim=-1)


def _all_in(scores: Tensor) -> Tensor:
    """The threshold of all scores, as if none were below it."""
    return (scores - (scores.sum() - 1) / len(scores)).clamp(min=0)


def _unclamped(scores: Tensor) -> Tensor:
    return scores - (scores - sparsemax(scores, dim=-1))[sparsemax(scores, dim=-1) > 0][0]


TOY = (torch.tensor([0.62, 0.55, 0.60, 0.10, -0.30]), torch.tensor([0, 0, 3, 0, 0]), 1.0, 0.1, 0.0)

EXERCISES: dict[str, Exercise] = {
    "scores": Exercise(
        right=_scores,
        mistakes={
            "τ has not reached the penalty: it is in units of the cosine, so subtract first and divide afterwards.": (
                lambda c, d, p, t, n: torch.cat([c / t - p * (d >= 1), torch.tensor([n / t])])
            ),
            "The penalty grows with the days here; in this toy another day costs the same, however far it is.": (
                lambda c, d, p, t, n: torch.cat([(c - p * d) / t, torch.tensor([n / t])])
            ),
            "The score of reading nothing is missing: the pictures are not the only choice.": (
                lambda c, d, p, t, n: (c - p * (d >= 1)) / t
            ),
            "You multiply by τ: a small τ should make differences large, not small.": (
                lambda c, d, p, t, n: torch.cat([(c - p * (d >= 1)) * t, torch.tensor([n * t])])
            ),
        },
        cases=[TOY],
        praise="The third picture fits as well as the first, and is of another day: its score falls below that of nothing.",
    ),
    "sparsemax": Exercise(
        right=_sparsemax,
        mistakes={
            "That is softmax: none of its weights is ever exactly 0.": lambda s: s.softmax(-1),
            "Negative scores are cut off and the rest is divided by its sum: the level has to be found, it is not 0.": (
                lambda s: s.clamp(min=0) / s.clamp(min=0).sum().clamp(min=1e-9)
            ),
            "The level comes from all scores, also from those below it; what sticks out then does not sum to 1.": _all_in,
            "Some weights are negative: what lies below the level gets 0.": _unclamped,
        },
        cases=[
            (torch.tensor([1.2, 0.9, 0.3, -0.5, 0.0]),),
            (torch.tensor([6.2, 5.5, -4.0, 1.0, -3.0, 0.0]),),
            (torch.tensor([0.4, 0.4, 0.4]),),
        ],
        praise="It is linear in the scores once the level is known, so gradients flow to all that is read and to nothing else.",
    ),
    "null": Exercise(
        right=lambda: [0.0, 1.0],
        mistakes={
            "Without the null the weights of the pictures still sum to 1: the model has to read something, fitting or not.": (
                lambda: [0.0, 0.0]
            ),
            "With the null these pictures lose: their scores are far below 0, the score of reading nothing.": (
                lambda: [1.0, 1.0]
            ),
            "The two are exchanged: the null is what allows the pictures a weight of 0.": lambda: [1.0, 0.0],
        },
        praise="Sparsemax makes zeros among the choices; only the null makes it possible that all pictures get zero.",
    ),
    "pools": Exercise(
        right=lambda: ["oracle", "past"],
        mistakes={
            "The first one uses no answers: the split's pictures carry no tags. Such a pool has to be named, but it is no leak.": (
                lambda: ["split", "past"]
            ),
            "The day's pictures are chosen by date alone. Look for the pool that is chosen by what the right answer is.": (
                lambda: ["day", "past"]
            ),
            "The first is right. But posts of the same day may come later: at the moment of the post they are not there.": (
                lambda: ["oracle", "day"]
            ),
            "The first is right. The training split is there in time, but newer posts before this one are there, too.": (
                lambda: ["oracle", "train"]
            ),
        },
        praise="One pool is chosen by the truth and shows only what is possible; the other is all that a live service has.",
    ),
}
