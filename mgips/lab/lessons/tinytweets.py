"""Lesson 01: how TinyTweets is made, how its entities are written and scored, and how well anyone could do."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from seqeval.scheme import IOB2, Entities

from mgips.data.corpus import Corpus, Tweet
from mgips.data.load import load_corpus
from mgips.data.pictures import picture_of
from mgips.data.spans import spans
from mgips.data.tinytweets import Truth, oracle, relevance_matrix, relevant
from mgips.evaluate import score
from mgips.lab.figures import show
from mgips.lab.figures.style import GREY, IMAGE, LOSS, TEXT, look
from mgips.lab.figures.text import flow, printable, text_width
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.opened import Opened

Place = tuple[int, int, str]
"""An entity: its first word, the word after its last, and its type."""
MEANS = {"PER": "a person", "LOC": "a place", "ORG": "an organisation", "MISC": "a thing"}
DIAL = (0.0, 0.2, 0.338, 0.6, 0.8, 1.0)
"""Shares of unrelated pictures that `show_dial` draws."""
CEILINGS = {"text": "text", "own_image": "text and own picture", "mined": "text and the day's pictures"}
SMALL = 110
"""Longest side of a picture in a notebook, in pixels before it is drawn."""
COLOURS = {"text": TEXT, "own_image": IMAGE, "mined": LOSS}


def world(lesson: Opened) -> Corpus:
    """TinyTweets: the lesson's corpus, or drawn for it where the reader has another."""
    return lesson.corpus if lesson.tiny else load_corpus("tinytweets")


# ---- a story, a post, a day ----


def stories(posts: Sequence[Tweet]) -> dict[str, list[Tweet]]:
    """The posts of each story, by its id."""
    found: dict[str, list[Tweet]] = {}
    for post in posts:
        if post.truth.story:
            found.setdefault(post.truth.story, []).append(post)
    return found


def story(posts: Sequence[Tweet]) -> list[Tweet]:
    """The first story of four posts that has related pictures, an unrelated one and a missing one."""
    for told in stories(posts).values():
        kinds = Counter(_kind(post) for post in told)
        unrelated = [post.truth for post in told if _kind(post) == "unrelated"]
        if len(told) == 4 and len(kinds) == 3 and kinds["related"] == 2:
            if all(truth.shows != truth.means and truth.wears for truth in unrelated):
                return told
    return max(stories(posts).values(), key=len)


def _kind(post: Tweet) -> str:
    return "related" if post.truth.related else "missing" if post.image is None else "unrelated"


def show_story(told: Sequence[Tweet]) -> None:
    """All posts of a story, with their pictures and whether these are related."""
    truth = told[0].truth
    name = _name(told[0])
    figure = Figure(figsize=(9.3, 3.0))
    for place, post in enumerate(told):
        kind = _kind(post)
        ax = figure.add_axes((0.016 + place * 0.985 / len(told), 0.29, 0.93 / len(told), 0.5))
        _thumb(ax, post, LOSS if kind == "related" else "#BBBBBB", 3)
        ax.set_anchor("W")
        ax.set_title({"related": "✓ related", "unrelated": "✗ unrelated", "missing": "✗ no picture"}[kind], fontsize=10)
        text = textwrap.fill(printable(" ".join(post.words)), 30)
        figure.text(0.016 + place * 0.985 / len(told), 0.25, text, fontsize=8.5, va="top", parse_math=False)
    wall = " ".join(truth.signature)
    figure.suptitle(
        f"One story: {name} is {MEANS[truth.means]} ({truth.means}), and its wall is {wall}",
        x=0.016,
        ha="left",
        fontsize=11,
    )
    told_ = "; ".join(f"“{' '.join(post.words)}”, picture {_kind(post)}" for post in told)
    show(figure, f"The {len(told)} posts of a story in which {name} is {MEANS[truth.means]}: {told_}.")


def _name(post: Tweet) -> str:
    """A post's ambiguous name."""
    start, end = post.truth.ambiguous[0]
    return " ".join(post.words[start:end])


def _thumb(ax: Axes, post: Tweet, frame: str, width: float = 2) -> None:
    small = picture_of(post) if post.image is not None else Image.new("RGB", (256, 192), (235, 235, 235))
    small.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)  # without grain the notebook's file is half as large
    ax.imshow(np.asarray(small), interpolation="bicubic", interpolation_stage="rgba")
    if post.image is None:
        ax.text(0.5, 0.5, "no picture", ha="center", va="center", fontsize=8, color=GREY, transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=frame, linewidth=width)


def parts(post: Tweet) -> list[tuple[str, str]]:
    """A post's words in groups, each with what it is."""
    words, truth = post.words, post.truth
    names = {span.start: span for span in spans(words, post.tags)}
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(words):
        word, size = words[place], 1
        if place in names:
            size = names[place].end - place
            what = "ambiguous name" if (place, place + size) in truth.ambiguous else "unambiguous name"
        elif word == "RT":
            size, what = 4, "somebody's post again"
        elif word == "@":
            size, what = 2, "a handle"
        elif word == "#":
            signed = truth.signature is not None and tuple(words[place + 1 : place + 3]) == truth.signature
            size, what = (3, "the story's hashtag") if signed else (2, "any hashtag")
        elif word.startswith("http"):
            what = "a link"
        elif not word.isascii() and word != "…":
            what = "emoji"
        else:
            what = "phrase"
        text = " ".join(words[place : place + size])
        if found and found[-1][1] == what and what in ("phrase", "emoji"):
            found[-1] = f"{found[-1][0]} {text}", what
        else:
            found.append((text, what))
        place += size
    return found


def show_anatomy(posts: Sequence[Tweet]) -> None:
    """The parts of a post: of all related ones the shortest that has the most kinds of parts."""
    whole = [p for p in posts if p.truth.related and len(spans(p.words, p.tags)) == 2 and p.truth.ambiguous]
    post = max(whole, key=lambda p: (len({what for _, what in parts(p)}), -len(p.words)))
    tints = {"ambiguous name": IMAGE, "unambiguous name": TEXT, "the story's hashtag": LOSS}
    written = [(printable(text), what) for text, what in parts(post)]
    widths = [max(text_width(text, 11), text_width(what, 8)) + 0.1 for text, what in written]
    room = 9.0
    places = flow(widths, [0.12] * len(widths), room)
    height = 0.75 + 0.68 * (1 + places[-1][1])
    figure = Figure(figsize=(9.3, height))
    for (text, what), (x, line) in zip(written, places, strict=True):
        y = height - 0.75 - 0.68 * line
        colour = tints.get(what)
        tint = {"bbox": {"fc": colour + "26", "ec": colour, "lw": 1, "pad": 2}} if colour else {}
        figure.text((0.17 + x) / 9.3, y / height, text, fontsize=11, va="center", parse_math=False, **tint)
        figure.text((0.17 + x) / 9.3, (y - 0.25) / height, what, fontsize=8, va="center", color=colour or GREY)
    figure.suptitle(
        "What a post is made of: names, a hashtag that names a wall, and the rest", x=0.016, ha="left", fontsize=11
    )
    show(figure, "A post's words with what each is: " + "; ".join(f"{text}: {what}" for text, what in written) + ".")


def by_heart(train: Sequence[Tweet], test: Sequence[Tweet]) -> float:
    """The share of ambiguous names in test that a reader gets right who answers the name's most frequent type in train."""
    seen: dict[str, Counter[str]] = {}
    for post in train:
        if post.truth.story:
            seen.setdefault(_name(post), Counter())[post.truth.means] += 1
    asked = [post for post in test if post.truth.story]
    return float(np.mean([seen[_name(post)].most_common(1)[0][0] == post.truth.means for post in asked]))


def show_deal(corpus: Corpus, names: int = 9) -> None:
    """How often ambiguous names have each of their types in train, and one name under each of its hashtags."""
    told = [post for post in corpus.train if post.truth.story]
    often = Counter(_name(post) for post in told)
    chosen = sorted(name for name, _ in often.most_common(names))
    left = {name: Counter(p.truth.means for p in told if _name(p) == name) for name in chosen}
    one = "Jordan" if "Jordan" in often else chosen[0]
    walls = sorted({p.truth.signature for p in told if _name(p) == one})
    right = {
        "# " + " ".join(wall): Counter(p.truth.means for p in told if _name(p) == one and p.truth.signature == wall)
        for wall in walls
    }
    figure = Figure(figsize=(9.3, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, width_ratios=[1, 0.9])
    for ax, rows, title in ((axes[0], left, "nine names"), (axes[1], right, f"{one}, by its hashtags")):
        _stacked(ax, rows, corpus.types)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("train posts")
    share = by_heart(corpus.train, corpus.test)
    guess = 1 / len(told[0].truth.options)
    figure.suptitle(
        f"Whoever learns train by heart gets {100 * share:.0f} % of the ambiguous names in test right "
        f"(a guess: {100 * guess:.0f} %)", x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    rows = "; ".join(f"{name}: {dict(counts)}" for name, counts in (left | right).items())
    show(figure, f"How many train posts give each name each of its types, and {one} under each hashtag. {rows}.")


def _stacked(ax: Axes, rows: Mapping[str, Counter[str]], kinds: Sequence[str]) -> None:
    start = np.zeros(len(rows))
    for kind in kinds:
        counts = np.array([row[kind] for row in rows.values()])
        ax.barh(list(rows), counts, left=start, color=look(kind).colour, height=0.74)
        for row, (at, count) in enumerate(zip(start, counts, strict=True)):
            if count:
                ax.text(at + count / 2, row, kind, ha="center", va="center", color="white", fontsize=7)
        start = start + counts
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0, labelsize=9)


@dataclass(frozen=True)
class Question:
    """A text, and numbered pictures of its day: which fit?"""

    text: Tweet
    choices: tuple[Tweet, ...]

    def numbers(self, fits: Callable[[Tweet], bool]) -> set[int]:
        """The numbers, from 1, of the choices for which something holds."""
        return {number for number, choice in enumerate(self.choices, 1) if fits(choice)}


def question(posts: Sequence[Tweet]) -> Question:
    """The first text with an unrelated picture for which its day has all that can be confused with a relevant one.

    Choices: two relevant pictures, the text's own one, one of the same type and another wall, one of the same colour and another
    pattern where the day has it, and others.
    """
    best: Question | None = None
    for text in posts:
        truth = text.truth
        if not truth.story or _kind(text) != "unrelated" or truth.shows == truth.means:
            continue
        rest = [post for post in posts if post.group == text.group and post.image is not None and post is not text]
        good = [post for post in rest if relevant(text, post)]
        same = [p for p in rest if p.truth.shows == truth.means and p.truth.wears and not relevant(text, p)]
        colour = [p for p in rest if p not in same and _colour(p) == truth.signature[0] and not relevant(text, p)]
        other = [p for p in rest if p not in (*good, *same, *colour)]
        if len(good) < 2 or not same or len(other) < 2:
            continue
        chosen = [*good[:2], text, same[0], *colour[:1], *other][:6]
        order = np.random.RandomState(0).permutation(6)
        found = Question(text, tuple(chosen[i] for i in order))
        if colour:
            return found
        best = best or found
    assert best is not None, "every corpus of this size has one"
    return best


def _colour(post: Tweet) -> str:
    return post.truth.wears[0] if post.truth.wears else ""


def show_choices(asked: Question) -> None:
    """A text and six numbered pictures of its day."""
    figure = Figure(figsize=(9.3, 4.2), layout="constrained")
    axes = figure.subplots(2, 3)
    for number, (ax, choice) in enumerate(zip(axes.flat, asked.choices, strict=True), 1):
        _thumb(ax, choice, "#CCCCCC", 1)
        own = ", the post's own" if choice is asked.text else ""
        ax.set_title(f"{number}{own}", fontsize=10)
    text = printable(" ".join(asked.text.words))
    figure.suptitle(f"Which of these pictures of the day fit “{text}”?", x=0.01, ha="left", fontsize=10.5)
    shown = "; ".join(
        f"{i}: {MEANS[p.truth.shows]} on {' '.join(p.truth.wears or ('a plain wall',))}"
        for i, p in enumerate(asked.choices, 1)
    )
    show(figure, f"Six pictures of one day beside the text “{' '.join(asked.text.words)}”. {shown}.")


def show_relevant(day: Sequence[Tweet]) -> None:
    """Which picture of a day is relevant to which text: the texts' stories side by side."""
    order = sorted(day, key=lambda post: (not post.truth.story, post.truth.story))
    matrix = relevance_matrix(order)
    figure = Figure(figsize=(9.3, 4.6), layout="constrained")
    ax = figure.subplots()
    ax.imshow(matrix, cmap="Greens", vmin=0, vmax=1.25)
    start = 0
    ticks, names = [], []
    for told in [*stories(order).values(), [post for post in order if not post.truth.story]]:
        size = len(told)
        if not size:
            continue
        if told[0].truth.story:
            ax.add_patch(Rectangle((start - 0.5, start - 0.5), size, size, fill=False, color="black", lw=1.2))
        ticks.append(start + (size - 1) / 2)
        names.append(f"{_name(told[0])} ({told[0].truth.means})" if told[0].truth.story else "chatter")
        start += size
    ax.set_yticks(ticks, names, fontsize=9)
    ax.set_xticks(range(len(order)), [_mark(post) for post in order], fontsize=8)
    ax.tick_params(length=0)
    ax.set(xlabel=f"{len(order)} pictures (×: unrelated or missing; o: related, but chatter)", ylabel="texts, by story")
    many = matrix.sum(1)[[bool(post.truth.story) for post in order]].mean()
    figure.suptitle(
        f"A text of this day with a story has {many:.1f} relevant pictures among {len(order)}",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    show(
        figure,
        f"A matrix of {len(order)} texts and pictures in which each story is a block; unrelated pictures are empty columns.",
    )


def _mark(post: Tweet) -> str:
    """Why no text finds a post's picture."""
    return "×" if not post.truth.related else "" if post.truth.story else "o"


# ---- tags and scores ----


def strict(tags: Sequence[str]) -> list[Place]:
    """The entities of a tag sequence by the strict reading (IOB2): each begins with B-."""
    return [(entity.start, entity.end, entity.tag) for entity in Entities([list(tags)], IOB2).entities[0]]


def default(tags: Sequence[str]) -> list[Place]:
    """The same by seqeval's default reading: an I- may begin one."""
    return [(span.start, span.end, span.type) for span in spans(["x"] * len(tags), tags)]


def show_readings(tags: Sequence[str]) -> None:
    """A tag sequence and its entities by both readings."""
    figure = Figure(figsize=(9.3, 2.5))
    ax = _board(figure, len(tags), 3.6)
    for place, tag in enumerate(tags):
        _cell(ax, place, 2.95, tag, tag[2:])
    readings = {"default reading": default(tags), "strict reading": strict(tags)}
    for row, (label, found) in enumerate(readings.items()):
        ax.text(-0.15, 1.6 - row, label, ha="right", va="center", fontsize=10)
        for start, end, kind in found:
            _bar(ax, start, end, 1.6 - row, kind, look(kind).colour)
    counts = ", ".join(f"{label} {len(found)}" for label, found in readings.items())
    figure.suptitle(f"The same tags, two readings: {counts} entities", x=0.016, ha="left", fontsize=11)
    show(figure, f"The tags {' '.join(tags)}. " + "; ".join(f"{label}: {found}" for label, found in readings.items()))


def show_match(gold: Sequence[Place], predicted: Sequence[Place]) -> None:
    """Gold and predicted entities below each other, with what is right."""
    size = max(end for _, end, _ in (*gold, *predicted))
    right = {*gold} & {*predicted}
    figure = Figure(figsize=(9.3, 2.3))
    ax = _board(figure, size, 3.0)
    for place in range(size):
        ax.text(place + 0.5, 2.6, str(place), ha="center", va="center", fontsize=8, color=GREY)
    for y, label, found in ((1.8, "gold", gold), (0.7, "predicted", predicted)):
        ax.text(-0.15, y, label, ha="right", va="center", fontsize=10)
        for entity in found:
            mark = "✓" if entity in right else "✗"
            _bar(ax, entity[0], entity[1], y, f"{entity[2]} {mark}", LOSS if entity in right else GREY)
    figure.suptitle(
        f"{len(right)} entities are right, of {len(predicted)} predicted and {len(gold)} gold ones",
        x=0.016,
        ha="left",
        fontsize=11,
    )
    show(figure, f"Gold entities {list(gold)}, predicted ones {list(predicted)}; right: {sorted(right)}.")


def _board(figure: Figure, size: int, height: float) -> Axes:
    ax = figure.add_axes((0.145, 0.02, 0.845, 0.84), xlim=(0, size), ylim=(0, height))
    ax.axis("off")
    return ax


def _cell(ax: Axes, x: float, y: float, text: str, kind: str) -> None:
    colour = look(kind).colour if kind else "#999999"
    ax.add_patch(Rectangle((x + 0.04, y - 0.36), 0.92, 0.72, facecolor=colour + "33", edgecolor=colour))
    ax.text(x + 0.5, y, text, ha="center", va="center", fontsize=10)


def _bar(ax: Axes, start: int, end: int, y: float, text: str, colour: str) -> None:
    ax.add_patch(Rectangle((start + 0.06, y - 0.3), end - start - 0.12, 0.6, facecolor=colour, edgecolor=colour))
    ax.text((start + end) / 2, y, text, ha="center", va="center", fontsize=9, color="white")


# ---- ceilings ----


def counts(posts: Sequence[Tweet]) -> dict[str, float]:
    """Unambiguous and ambiguous names of posts; the share of the ambiguous ones whose picture is related; their types."""
    names = sum(len(spans(post.words, post.tags)) for post in posts)
    told = [post for post in posts if post.truth.ambiguous]
    return {
        "unambiguous": names - len(told),
        "ambiguous": len(told),
        "related": float(np.mean([post.truth.related for post in told])),
        "types": len(told[0].truth.options),
    }


def ceiling(unambiguous: float, ambiguous: float, related: float, types: float) -> float:
    """The expected share of right names: all unambiguous ones, the ambiguous ones that the picture tells, and lucky guesses."""
    return (unambiguous + ambiguous * (related + (1 - related) / types)) / (unambiguous + ambiguous)


def show_ceilings(lesson: Opened, corpus: Corpus) -> None:
    """The three ceilings, and how near the package's models come."""
    found = oracle(corpus.test)
    models: dict[str, tuple[str, float]] = {}
    if lesson.tiny:
        gold = [post.tags for post in corpus.test]
        models = {
            "text": ("text only", score(gold, lesson.text.predict(corpus.test)).f1),
            "own_image": ("full model", score(gold, lesson.model.predict(corpus.test)).f1),
            "mined": ("tiny-reads", score(gold, lesson.reader.predict(corpus.test, pool=corpus.test)).f1),
        }
    figure = Figure(figsize=(9.3, 2.9), layout="constrained")
    ax = figure.subplots()
    for row, (name, label) in enumerate(CEILINGS.items()):
        value = 100 * found[name]
        ax.barh(row, value, color=COLOURS[name] + "40", edgecolor=COLOURS[name], height=0.62)
        ax.text(1, row, f"best reader of {label}: {value:.1f}", va="center", fontsize=10)
        if name in models:
            who, f1 = models[name]
            ax.plot([100 * f1] * 2, [row - 0.42, row + 0.42], color="black", lw=2.5)
            ax.text(101, row, f"{who}: {100 * f1:.1f}", va="center", fontsize=10)
    ax.set(xlim=(0, 125), yticks=[], xlabel="entity F1 on the test posts, per cent", xticks=range(0, 101, 20))
    ax.invert_yaxis()
    gaps = [100 * (found[name] - f1) for name, (_, f1) in models.items()]
    title = (
        f"Every model (line) ends within {max(map(abs, gaps)):.1f} points of its own ceiling (bar)"
        if gaps
        else "Three ceilings"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    told = "; ".join(f"{label} {100 * found[name]:.1f}" for name, label in CEILINGS.items())
    show(
        figure,
        f"Ceilings: {told}. Models: "
        + ("; ".join(f"{who} {100 * f1:.1f}" for who, f1 in models.values()) or "none")
        + ".",
    )


def said_ceilings(names: Mapping[str, float], best: Mapping[str, float]) -> str:
    """What the counts of names and the ceilings are, in a few sentences."""
    return (
        f"In test there are {names['unambiguous']:.0f} unambiguous and {names['ambiguous']:.0f} ambiguous names; of the ambiguous "
        f"ones {100 * names['related']:.0f} % have a related picture. Ceilings: text {100 * best['text']:.1f}, text and own picture "
        f"{100 * best['own_image']:.1f}, text and the day's pictures {100 * best['mined']:.1f}. A picture drawn at random from the "
        f"day is relevant in {100 * best['chance']:.0f} % of cases."
    )


def show_dial() -> None:
    """The three ceilings over the share of unrelated pictures; the posts are the same at every point."""
    found = [oracle(load_corpus(f"tinytweets:train=32,dev=32,unrelated={share}").test) for share in DIAL]
    figure = Figure(figsize=(9.3, 3.4), layout="constrained")
    ax = figure.subplots()
    for name, label in CEILINGS.items():
        values = [100 * each[name] for each in found]
        ax.plot(DIAL, values, marker="o", color=COLOURS[name], lw=2)
        ax.text(
            1.02, values[-1] + {"text": -4, "own_image": 0, "mined": 4}[name], label, va="center", color=COLOURS[name]
        )
    ax.axvline(0.338, color=GREY, linestyle=":", lw=1.2)
    ax.text(0.345, 52, "33.8 %, as on Twitter", fontsize=9, color=GREY)
    ax.set(xlim=(-0.02, 1.36), ylim=(50, 103), xticks=np.arange(0, 1.01, 0.2), ylabel="ceiling, F1 in per cent")
    ax.set_xlabel("share of unrelated pictures", loc="left")
    low, high = (100 * found[i]["own_image"] for i in (-1, 0))
    figure.suptitle(
        f"The own picture loses all of its {high - low:.0f} points; the day's pictures lose theirs last",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    told = "; ".join(
        f"{share}: " + ", ".join(f"{label} {100 * each[name]:.1f}" for name, label in CEILINGS.items())
        for share, each in zip(DIAL, found, strict=True)
    )
    show(figure, f"Ceilings for each share of unrelated pictures. {told}.")


def show_misled() -> None:
    """Three posts whose pictures mislead: all names are unambiguous, and the picture shows another type."""
    drawn = load_corpus("tinytweets:train=32,dev=32,test=200,chatter=0.5,misleading=1").test
    posts = sorted((post for post in drawn if post.truth.misleads), key=lambda post: len(post.words))[:3]
    figure = Figure(figsize=(9.3, 3.0))
    for place, post in enumerate(posts):
        x = 0.016 + place * 0.33
        ax = figure.add_axes((x, 0.27, 0.3, 0.5))
        _thumb(ax, post, IMAGE, 2)
        ax.set_anchor("NW")
        named = ", ".join(f"{span.text} {span.type}" for span in spans(post.words, post.tags))
        ax.set_title(f"{named}; shown: {post.truth.shows}", fontsize=9.5)
        text = textwrap.fill(printable(" ".join(post.words)), 40)
        figure.text(x, 0.23, text, fontsize=9, va="top", parse_math=False)
    figure.suptitle(
        "Misleading pictures: the words tell the type, the picture says another", x=0.016, ha="left", fontsize=11
    )
    told = "; ".join(f"“{' '.join(post.words)}”, the picture shows {post.truth.shows}" for post in posts)
    show(figure, f"Three posts with misleading pictures: {told}.")


def show_world(unrelated: float, posts_per_story: float, chatter: float) -> None:
    """A day of TinyTweets with these dials, one frame colour a story, and the ceilings of 96 posts."""
    drawn = load_corpus(
        f"tinytweets:train=32,dev=32,test=96,unrelated={unrelated},posts_per_story={posts_per_story},chatter={chatter}"
    ).test
    day = sorted(drawn[:32], key=lambda post: (not post.truth.story, post.truth.story))
    ids = list(dict.fromkeys(post.truth.story for post in day if post.truth.story))
    shades = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
    figure = Figure(figsize=(9.3, 3.6))
    for place, post in enumerate(day):
        ax = figure.add_axes((0.012 + place % 8 * 0.0885, 0.665 - place // 8 * 0.215, 0.082, 0.2))
        own = shades[ids.index(post.truth.story) % len(shades)] if post.truth.story else "#888888"
        frame = own if post.truth.related else "#DDDDDD"
        _thumb(ax, post, frame, 3 if post.truth.related else 1)
        for text in ax.texts:
            text.set_fontsize(6)
    ax = figure.add_axes((0.76, 0.2, 0.23, 0.62), xlim=(0, 109))
    found = oracle(drawn)
    for row, name in enumerate(CEILINGS):
        ax.barh(row, 100 * found[name], color=COLOURS[name], height=0.7)
        label = {"text": "text", "own_image": "own picture", "mined": "day's pictures"}[name]
        ax.text(3, row, f"{label} {100 * found[name]:.0f}", va="center", color="white", fontsize=9)
    ax.set(yticks=[], xlabel="ceiling, F1")
    ax.invert_yaxis()
    related = sum(post.truth.related for post in day)
    figure.suptitle(
        f"A day of {len(ids)} stories; {related} of {len(day)} pictures are related (thick frames: a colour a story, grey for chatter)",
        x=0.012,
        ha="left",
        fontsize=11,
    )
    told = ", ".join(f"{label} {100 * found[name]:.1f}" for name, label in CEILINGS.items())
    show(figure, f"The pictures of a day with {len(ids)} stories, {related} related. Ceilings: {told}.")


# ---- exercises ----

WORDS = ("@", "itskat", "met", "Ruby", "Weller", "backstage", "in", "Port", "Alder", "!")
"""The post that is tagged by hand."""
GOLD: tuple[Place, ...] = (
    (0, 2, "PER"),
    (4, 5, "LOC"),
    (6, 8, "ORG"),
    (9, 10, "MISC"),
    (11, 12, "PER"),
    (13, 15, "LOC"),
)
PREDICTED: tuple[Place, ...] = ((0, 2, "PER"), (4, 5, "LOC"), (6, 7, "ORG"), (9, 10, "PER"), (13, 14, "LOC"))


def _tagged(person: tuple[str, str], place: tuple[str, str]) -> list[str]:
    return ["O", "O", "O", *person, "O", "O", *place, "O"]


def _truth(shows: str, wears: tuple[str, str], story: str, related: bool) -> Truth:
    return Truth(story, "PER" if story else "", ("Teal", "Dots"), related, shows, wears, ((0, 1),))


def _toy() -> Question:
    """For the tests: 1 and 4 fit; 2 is the own picture, 3 has the type, 5 the colour."""
    rows = (
        ("PER", ("Teal", "Dots"), "a", True), ("LOC", ("Rust", "Bars"), "a", False), ("PER", ("Ink", "Grid"), "b", True),
        ("PER", ("Teal", "Dots"), "a", True), ("ORG", ("Teal", "Bars"), "c", True), ("MISC", ("Sky", "Waves"), "c", True),
    )  # fmt: skip
    posts = tuple(Tweet(str(i), ("Jordan",), ("B-PER",), truth=_truth(*row)) for i, row in enumerate(rows))
    return Question(posts[1], posts)


def _count(begins: Callable[[str, str], bool]) -> Callable[[Sequence[str]], int]:
    """A counter of entities that asks of each tag and the one before it whether an entity begins."""
    return lambda tags: sum(begins(before, tag) for before, tag in zip(["O", *tags], tags, strict=False))


def _scores(right: int, predicted: int, gold: int) -> tuple[float, float, float]:
    precision, recall = right / predicted, right / gold
    return precision, recall, 2 * precision * recall / (precision + recall)


def _f1(gold: Sequence[Place], predicted: Sequence[Place], same: Callable[[Place, Place], bool]) -> Any:
    return _scores(sum(any(same(p, g) for g in gold) for p in predicted), len(predicted), len(gold))


def _averaged(gold: Sequence[Place], predicted: Sequence[Place]) -> tuple[float, float, float]:
    precision, recall, _ = _f1(gold, predicted, lambda p, g: p == g)
    return precision, recall, (precision + recall) / 2


def _exchanged(gold: Sequence[Place], predicted: Sequence[Place]) -> tuple[float, float, float]:
    precision, recall, f1 = _f1(gold, predicted, lambda p, g: p == g)
    return recall, precision, f1


EXERCISES: dict[str, Exercise] = {
    "fits": Exercise(
        right=lambda asked: asked.numbers(lambda post: relevant(asked.text, post)),
        mistakes={
            "These all show the right type, but not all hang on the right wall: read the hashtag again.": lambda asked: (
                asked.numbers(lambda post: post.truth.shows == asked.text.truth.means)
            ),
            "The post's own picture is among them. It came with the text, but look at its wall.": lambda asked: (
                asked.numbers(lambda post: relevant(asked.text, post) or post is asked.text)
            ),
            "That is the post's own picture alone. It came with the text, but look at its wall.": lambda asked: (
                asked.numbers(lambda post: post is asked.text)
            ),
            "You went by the colour. The hashtag names a pattern, too.": lambda asked: (
                asked.numbers(lambda post: _colour(post) == asked.text.truth.signature[0])
            ),
        },
        cases=((_toy(),),),
        praise="Hashtag and wall agree, in colour and in pattern.",
    ),
    "bio": Exercise(
        right=lambda: _tagged(("B-PER", "I-PER"), ("B-LOC", "I-LOC")),
        mistakes={
            "Every word begins an entity of its own here, so there are four names. How is a name continued?": lambda: (
                _tagged(("B-PER", "B-PER"), ("B-LOC", "B-LOC"))
            ),
            "No entity begins anywhere. What does the first word of a name get?": lambda: (
                _tagged(("I-PER", "I-PER"), ("I-LOC", "I-LOC"))
            ),
            "The second word of each name is left out of it.": lambda: _tagged(("B-PER", "O"), ("B-LOC", "O")),
            "B says where a name begins, and I that it goes on; neither depends on the order of the two names.": lambda: (
                _tagged(("B-PER", "I-PER"), ("I-LOC", "I-LOC"))
            ),
        },
    ),
    "entities": Exercise(
        right=_count(lambda before, tag: tag != "O" and (tag[0] == "B" or before == "O" or before[2:] != tag[2:])),
        mistakes={
            "You count the tags with B-. That is near the strict reading; here an I- may begin an entity, too.": (
                _count(lambda before, tag: tag[0] == "B")
            ),
            "You count words, not entities: a name of two words is one entity.": _count(lambda before, tag: tag != "O"),
            "You count runs of words without an O between them. Two names may stand side by side.": (
                _count(lambda before, tag: tag != "O" and before == "O")
            ),
            "An I- behind a word of another type begins an entity. You let it go on with the one before.": (
                _count(lambda before, tag: tag != "O" and (tag[0] == "B" or before == "O"))
            ),
        },
        cases=(
            (["B-PER", "I-PER", "O", "B-LOC"],), (["I-PER", "I-PER", "O", "O"],), (["B-LOC", "B-LOC", "O"],),
            (["B-PER", "I-LOC", "I-LOC"],), (["I-ORG", "O", "I-ORG"],), (["O", "O"],),
        ),
        praise="This is what seqeval counts, and all published results of this task with it.",
    ),
    "f1": Exercise(
        right=lambda gold, predicted: _f1(gold, predicted, lambda p, g: p == g),
        mistakes={
            "You count an entity whose words are right and whose type is wrong. Both must be right.": lambda gold, predicted: (
                _f1(gold, predicted, lambda p, g: p[:2] == g[:2])
            ),
            "You count an entity that has only some of the words. They must be the same words.": lambda gold, predicted: (
                _f1(gold, predicted, lambda p, g: p[0] == g[0] and p[2] == g[2])
            ),
            "Precision and recall have changed places: which of the two divides by what was predicted?": _exchanged,
            "That is the usual mean of precision and recall. F1 is the harmonic one, which is nearer the smaller.": _averaged,
        },
        cases=((GOLD, PREDICTED),),
        praise="Half right names count nothing.",
    ),
    "ceiling": Exercise(
        right=ceiling,
        mistakes={
            "You leave out the guesses: a reader whom the picture tells nothing still answers, and is right now and then.": (
                lambda unambiguous, ambiguous, related, types: (unambiguous + ambiguous * related) / (unambiguous + ambiguous)
            ),
            "You let the reader guess about the names that its picture has told it already.": (
                lambda unambiguous, ambiguous, related, types: (
                    (unambiguous + ambiguous * (related + 1 / types)) / (unambiguous + ambiguous)
                )
            ),
            "You leave out the unambiguous names. The reader has all of them.": (
                lambda unambiguous, ambiguous, related, types: related + (1 - related) / types
            ),
            "This reader looks at no picture: it guesses all ambiguous names.": (
                lambda unambiguous, ambiguous, related, types: (unambiguous + ambiguous / types) / (unambiguous + ambiguous)
            ),
        },
        cases=((60, 40, 0.0, 3), (60, 40, 0.6, 3), (50, 50, 0.5, 2), (10, 30, 1.0, 3)),
        praise="With related = 0 it is the ceiling of the text alone.",
    ),
    "dial": Exercise(
        right=lambda: ("same", "falls", "falls"),
        mistakes={
            "The first reader never looks at a picture. What could unrelated ones do to it?": lambda: ("falls", "falls", "falls"),
            "The third reader borrows pictures of its story. What if all of a story's pictures are unrelated?": lambda: (
                "same", "falls", "same",
            ),
            "The second reader looks at its own picture only, and more and more of those say nothing.": lambda: (
                "same", "same", "falls",
            ),
            "All three readers do as before? Two of them look at pictures.": lambda: ("same", "same", "same"),
        },
        praise="The more pictures a reader may look at, the later it suffers.",
    ),
}  # fmt: skip
