"""Lesson 00: a post whose name only the picture decides, what the pictures are worth, and the course's contents."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from mgips.data.corpus import Picture, Tweet
from mgips.data.crops import crop_array
from mgips.data.pictures import picture_of
from mgips.data.spans import Span, spans
from mgips.data.tinytweets import oracle
from mgips.data.tinytweets.scenes import Scene
from mgips.lab.counterfactual import blank, shuffled
from mgips.lab.figures import show
from mgips.lab.figures.cases import draw_post
from mgips.lab.figures.style import GREY, IMAGE, LOSS, TEXT, look
from mgips.lab.figures.text import printable
from mgips.lab.lessons.contents import CONTENTS, PARTS
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.opened import Opened
from mgips.model.mgips import MGIPS
from mgips.model.tagging import marginals
from mgips.tagger import Entity

LABELS = {
    "text": "text only",
    "full": "full model",
    "blank": "full model, blank pictures",
    "shuffled": "full model, shuffled pictures",
}
"""The four answers that the lesson compares."""
MEANS = {"PER": "a person", "LOC": "a place", "ORG": "an organisation", "MISC": "a thing"}
SMALL = 84
"""Longest side of a picture in a notebook, in pixels before it is drawn."""
NONE = "none"
"""Said of a name that was not found, or with other words."""


@dataclass(frozen=True)
class Showcase:
    """A post with one name to look at, and what each model says of it."""

    post: Tweet
    name: Span
    """The name to look at, with its gold type."""
    says: dict[str, str]
    """The type that each of LABELS gives it, or NONE."""
    twin: Tweet | None = None
    """A post with the same name, the same hashtag where there is one, and another type."""
    twin_says: str = NONE
    """The type that the full model gives `name` in the post with the twin's picture."""
    options: tuple[str, ...] = field(default=("PER", "LOC", "MISC"))
    """The types that the name can have."""

    @property
    def type(self) -> str:
        """The gold type."""
        return self.name.type


@functools.lru_cache(1)
def answers(lesson: Opened) -> dict[str, list[list[str]]]:
    """The tags of every test post, by each of LABELS."""
    posts = lesson.corpus.test
    return {
        "text": lesson.text.predict(posts),
        "full": lesson.model.predict(posts),
        "blank": lesson.model.predict(blank(posts)),
        "shuffled": lesson.model.predict(shuffled(posts)),
    }


def type_at(words: Sequence[str], tags: Sequence[str], name: Span) -> str:
    """The type that tags give exactly the words of a name; NONE where they have no such entity."""
    found = {(span.start, span.end): span.type for span in spans(words, tags)}
    return found.get((name.start, name.end), NONE)


def showcase(lesson: Opened) -> Showcase:
    """The shortest test post with one name that only its own picture gets right, if possible one with a twin.

    The full model is right on the post and on its twin, and wrong with a blank and with a shuffled picture; the model
    that reads the text alone is wrong. Where no post is like that, the first with a picture and a name.
    """
    posts, said = lesson.corpus.test, answers(lesson)
    named = [spans(post.words, post.tags) for post in posts]
    right = [list(post.tags) == list(tags) for post, tags in zip(posts, said["full"], strict=True)]
    alone = [i for i, names in enumerate(named) if len(names) == 1 and posts[i].image is not None]
    says = {i: {who: type_at(posts[i].words, said[who][i], named[i][0]) for who in LABELS} for i in alone}
    good = [i for i in alone if right[i] and all(says[i][who] != named[i][0].type for who in LABELS if who != "full")]
    twins = {i: _shortest([j for j in alone if right[j] and _twins(posts, named, i, j)], posts) for i in good}
    best = sorted(good, key=lambda i: (twins[i] is None, len(posts[i].words)))
    place = next(iter(best or [i for i in alone if right[i]] or alone))
    post, name, twin = posts[place], named[place][0], twins.get(place)
    other = None if twin is None else posts[twin]
    twin_says = NONE
    if other is not None:
        (tags,) = lesson.model.predict([replace(post, image=other.image, crops=other.crops, caption=other.caption)])
        twin_says = type_at(post.words, tags, name)
    options = post.truth.options if post.truth is not None else lesson.corpus.types
    return Showcase(post, name, says[place], other, twin_says, tuple(options))


def _shortest(places: Sequence[int], posts: Sequence[Tweet]) -> int | None:
    return min(places, key=lambda place: len(posts[place].words), default=None)


def _twins(posts: Sequence[Tweet], named: Sequence[list[Span]], i: int, j: int) -> bool:
    """Whether two posts have the same name with different types and, where the truth is known, the same hashtag."""
    (a,), (b,) = named[i], named[j]
    truths = posts[i].truth, posts[j].truth
    walls = {truth.signature for truth in truths if truth is not None}
    related = all(truth is None or truth.related for truth in truths)
    return a.text == b.text and a.type != b.type and len(walls) < 2 and related


# ---- the post, and other pictures for it ----


def pictures(lesson: Opened, shown: Showcase) -> dict[str, Tweet]:
    """The post with a picture of each type: drawn for it in TinyTweets, else another test post's."""
    if lesson.tiny:
        scenes = {kind: Scene(kind, shown.post.truth.signature, seed=1) for kind in lesson.corpus.types}
        return {kind: replace(shown.post, image=scene, crops=scene.crops) for kind, scene in scenes.items()}
    found = {}
    for kind in lesson.corpus.types:
        for other in lesson.corpus.test:
            if other.image is not None and {span.type for span in spans(other.words, other.tags)} == {kind}:
                found[kind] = replace(shown.post, image=other.image, crops=other.crops, caption=other.caption)
                break
    return found


def show_question(lesson: Opened, shown: Showcase) -> None:
    """The post's text without its picture, and below it pictures that it might have come with."""
    choices = {kind: post for kind, post in pictures(lesson, shown).items() if kind in shown.options}
    figure = Figure(figsize=(9.3, 3.2))
    asked = " or ".join(MEANS.get(kind, kind) for kind in choices)
    figure.suptitle(f"Is {printable(shown.name.text)} {asked}? The text does not say", x=0.016, ha="left", fontsize=11)
    draw_post(figure, 0.18, 2.78, shown.post.words, [replace_type(shown.name, "?")], 9)
    for place, (kind, post) in enumerate(choices.items()):
        ax = figure.add_axes((0.016 + place * 0.976 / max(1, len(choices)), 0.02, 0.94 / max(3, len(choices)), 0.6))
        _picture(ax, picture_of(post))
        ax.set_anchor("NW")
        ax.set_title(f"{MEANS.get(kind, kind)} ({kind})?", fontsize=10)
        _bare(ax)
    text = " ".join(shown.post.words)
    show(figure, f"The text “{text}” and {len(choices)} pictures that it might have come with: {', '.join(choices)}.")


def replace_type(span: Span, kind: str) -> Span:
    """A span with another type."""
    return Span(span.start, span.end, kind, span.text)


def show_picture(shown: Showcase) -> None:
    """The post's own picture, and the three crops of it that the model sees."""
    figure = Figure(figsize=(9.3, 2.7), layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=[4 / 3, 1, 1, 1])
    views = [picture_of(shown.post), *map(Image.fromarray, crop_array(shown.post, size=128)[0])]
    for ax, pixels, title in zip(axes, views, ("the picture", "crop 1", "crop 2", "crop 3"), strict=True):
        _picture(ax, pixels)
        ax.set_title(title, fontsize=10)
        _bare(ax)
    figure.suptitle("The post's own picture, and the three crops of it that the model sees", x=0.01, ha="left")
    what = f"it shows {MEANS.get(shown.type, shown.type)}" if shown.post.truth is not None else "the post's photo"
    show(figure, f"The post's picture ({what}) and three square crops of it.")


def tags_table(lesson: Opened, shown: Showcase) -> str:
    """Each word of the post with its gold tag and the tags of both models: a Markdown table."""
    post = shown.post
    rows = {
        "**gold**": post.tags,
        "text only": lesson.text.predict([post])[0],
        "full, blank picture": lesson.model.predict(blank([post]))[0],
        "full, own picture": lesson.model.predict([post])[0],
    }
    lines = ["| | " + " | ".join(word.replace("|", "\\|") for word in post.words) + " |"]
    lines += ["|" + "---|" * (len(post.words) + 1)]
    lines += [f"| {who} | " + " | ".join(tags) + " |" for who, tags in rows.items()]
    wrong = [who for who, tags in list(rows.items())[1:] if list(tags) != list(post.tags)]
    lines += ["", f"Wrong: {', '.join(wrong) or 'nobody'}."]
    return "\n".join(lines)


def type_shares(model: MGIPS, posts: Sequence[Tweet], name: Span) -> list[dict[str, float]]:
    """How probable each type is at a name's first word, one dict a post, by the CRF: P(B-type) + P(I-type)."""
    batch = model.batcher(list(posts)).to(model.device)
    with model.evaluating():
        out = model(batch)
    rows = marginals(model.crf, out.emissions, batch.word_mask)[:, name.start].cpu()
    shares = []
    for row in rows:
        kinds: dict[str, float] = {}
        for tag, share in zip(model.tags, row.tolist(), strict=True):
            kinds[tag[2:] or "O"] = kinds.get(tag[2:] or "O", 0.0) + share
        shares.append(kinds)
    return shares


def show_four(lesson: Opened, shown: Showcase) -> None:
    """The same words with a picture of each type: how probable each type then is."""
    posts = pictures(lesson, shown)
    shares = type_shares(lesson.model, list(posts.values()), shown.name)
    best = [max(row, key=lambda kind: row[kind]) for row in shares]
    figure = Figure(figsize=(9.3, 4.0), layout="constrained")
    axes = figure.subplots(2, len(posts), squeeze=False, height_ratios=[1, 1.1])
    for column, (kind, post) in enumerate(posts.items()):
        _picture(axes[0, column], picture_of(post))
        axes[0, column].set_title(f"{MEANS.get(kind, kind)} ({kind})", fontsize=9.5)
        _bare(axes[0, column])
        _bars(axes[1, column], shares[column], lesson.corpus.types)
    axes[1, 0].set_ylabel(f"P(type of {printable(shown.name.text)})")
    figure.suptitle(
        f"The same {len(shown.post.words)} words with {len(posts)} pictures: {len({*best})} different answers",
        x=0.01, ha="left",
    )  # fmt: skip
    told = "; ".join(
        f"{kind}: {answer} ({row[answer]:.2f})" for kind, answer, row in zip(posts, best, shares, strict=True)
    )
    show(figure, f"The most probable type of {shown.name.text} with a picture of each type. {told}.")


def _bars(ax: Axes, shares: Mapping[str, float], kinds: Sequence[str]) -> None:
    values = [shares.get(kind, 0.0) for kind in kinds]
    bars = ax.bar(range(len(kinds)), values, color=[look(kind).colour for kind in kinds])
    top = int(np.argmax(values))
    ax.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=8.5)
    ax.set(ylim=(0, 1.12), yticks=[0, 0.5, 1])
    ax.set_xticks(range(len(kinds)), [f"→ {k}" if i == top else k for i, k in enumerate(kinds)], fontsize=9)


def show_twin(lesson: Opened, shown: Showcase) -> None:
    """Two posts with one name and two types: each text with each picture, and what the full model says."""
    if shown.twin is None:
        _no_twin(shown)
        return
    texts = (shown.post, shown.twin)
    names = [next(s for s in spans(t.words, t.tags) if s.text == shown.name.text) for t in texts]
    figure = Figure(figsize=(9.3, 4.2))
    same = 0
    told = []
    for column, picture in enumerate(texts):
        ax = figure.add_axes((0.45 + 0.28 * column, 0.5, 0.25, 0.38))
        _picture(ax, picture_of(picture))
        ax.set_title(f"picture of the {('first', 'second')[column]} post", fontsize=9.5)
        _bare(ax)
    for row, (text, name) in enumerate(zip(texts, names, strict=True)):
        y = 0.41 - 0.17 * row
        figure.text(0.016, y, f"{('first', 'second')[row]} text", fontsize=9, color=GREY, va="center")
        draw_post(figure, 1.15, 4.2 * y + 0.1, text.words, [name], 2.8)
        for column, picture in enumerate(texts):
            seen = replace(text, image=picture.image, crops=picture.crops, caption=picture.caption)
            said = type_at(text.words, lesson.model.predict([seen])[0], name)
            same += said == names[column].type
            told.append(f"text {row + 1} with picture {column + 1}: {said}")
            colour = look(said).colour if said != NONE else GREY
            mark = "✓" if said == name.type else "✗"
            place = 0.575 + 0.28 * column, y
            figure.text(*place, f"{said} {mark}", ha="center", va="center", fontsize=13, weight="bold", color=colour)
    title = "The answer follows the picture" if same == 4 else f"The answer follows the picture in {same} of 4 cases"
    figure.suptitle(f"{title} (✓ ✗: right or wrong for the text on the left)", x=0.016, ha="left", fontsize=11)
    show(figure, f"What the full model says of {shown.name.text}: {'; '.join(told)}.")


def _no_twin(shown: Showcase) -> None:
    figure = Figure(figsize=(9.3, 0.8))
    figure.suptitle(
        f"No other post of this corpus has {printable(shown.name.text)} with another type", x=0.016, ha="left"
    )
    show(figure, "A line of text: there is no twin in this corpus.")


# ---- scores ----


def show_scores(f1: Mapping[str, float], lesson: Opened) -> None:
    """F1 in per cent of each of LABELS beside the ceilings, where the corpus has them."""
    figure = Figure(figsize=(9.3, 3.0), layout="constrained")
    ax = figure.subplots()
    colours = {"text": TEXT, "full": IMAGE}
    names = [LABELS[who] for who in f1]
    ax.barh(names, list(f1.values()), color=[colours.get(who, GREY) for who in f1], height=0.66)
    for row, value in enumerate(f1.values()):
        ax.text(1.5, row, f"{value:.1f}", color="white", va="center", fontsize=10.5, weight="bold")
    ax.set(xlim=(0, 100), xlabel="entity F1 on the test posts, per cent")
    ax.invert_yaxis()
    if lesson.tiny:
        ceilings = ceilings_of(lesson)
        for name, place in (
            ("text", "best reader\nof the text"),
            ("own_image", "best reader of text\nand own picture"),
        ):
            ax.axvline(ceilings[name], color="black", linestyle=":", linewidth=1.3)
            ax.text(ceilings[name], -0.45, place, ha="center", va="bottom", fontsize=8.5)
    gain = f1["full"] - f1["blank"]
    figure.suptitle(
        f"Of the full model's F1, {gain:.0f} points are read from the pictures" if gain > 2
        else f"Taking the pictures away changes F1 by {-gain:+.1f} points",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    show(figure, "Test F1: " + ", ".join(f"{LABELS[who]} {value:.1f}" for who, value in f1.items()) + ".")


def ceilings_of(lesson: Opened) -> dict[str, float]:
    """The ceilings of the test posts in per cent: "text", "own_image", "mined". TinyTweets only."""
    found = oracle(lesson.corpus.test)
    return {name: 100 * found[name] for name in ("text", "own_image", "mined")}


def said_scores(f1: Mapping[str, float], lesson: Opened) -> str:
    """What the four scores say, in a few sentences."""
    gain = f1["full"] - f1["blank"]
    told = f"With its own pictures the full model reaches {f1['full']:.1f}, with blank ones {f1['blank']:.1f}: {gain:+.1f} points."
    rest = abs(f1["blank"] - f1["text"])
    told += " Without pictures it falls back to " if rest < 5 else " Without pictures it differs from "
    told += f"the model that never saw one ({f1['text']:.1f})."
    if lesson.tiny:
        ceilings = ceilings_of(lesson)
        told += (
            f" The best reader of the text alone reaches {ceilings['text']:.1f}, and the best reader of text and own picture "
            f"{ceilings['own_image']:.1f}: the model is {ceilings['own_image'] - f1['full']:.1f} points below what its inputs hold."
        )
    return told


def kinds(lesson: Opened, said: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, dict[str, float]]:
    """The share of gold names found with the right type, in per cent, by kind of name, for "text" and "full"; and "n".

    In TinyTweets the kinds are: unambiguous, and ambiguous with a related, an unrelated and no picture. Elsewhere they are the types.
    """
    found: dict[str, dict[str, list[bool]]] = {}
    for i, post in enumerate(lesson.corpus.test):
        for name in spans(post.words, post.tags):
            row = found.setdefault(_kind(post, name), {"text": [], "full": []})
            for who in row:
                row[who].append(type_at(post.words, said[who][i], name) == name.type)
    order = [kind for kind in KINDS if kind in found] or sorted(found)
    return {
        kind: {who: 100 * float(np.mean(right)) for who, right in found[kind].items()} | {"n": len(found[kind]["text"])}
        for kind in order
    }


KINDS = ("unambiguous name", "ambiguous,\nrelated picture", "ambiguous,\nunrelated picture", "ambiguous,\nno picture")


def _kind(post: Tweet, name: Span) -> str:
    truth = post.truth
    if truth is None:
        return name.type
    if (name.start, name.end) not in truth.ambiguous:
        return KINDS[0]
    return KINDS[1] if truth.related else KINDS[3] if post.image is None else KINDS[2]


def show_kinds(found: Mapping[str, Mapping[str, float]], lesson: Opened) -> None:
    """Which names the pictures help with."""
    figure = Figure(figsize=(9.3, 3.4), layout="constrained")
    ax = figure.subplots()
    places = np.arange(len(found))
    for shift, who, colour in ((-0.2, "text", TEXT), (0.2, "full", IMAGE)):
        values = [row[who] for row in found.values()]
        bars = ax.bar(places + shift, values, 0.38, color=colour, label=LABELS[who])
        ax.bar_label(bars, fmt="%.0f", fontsize=9)
    ax.set_xticks(places, [f"{kind}\n({row['n']:.0f} names)" for kind, row in found.items()], fontsize=9)
    ax.set(ylim=(0, 112), yticks=[0, 50, 100], ylabel="right, per cent")
    if lesson.tiny:
        ax.plot([0.5, len(found) - 0.5], [100 / 3] * 2, color="black", linestyle=":", linewidth=1.3)
        ax.text(len(found) - 0.45, 100 / 3, "a guess among\nthree types", va="center", fontsize=8.5)
        ax.set_xlim(-0.6, len(found) + 0.35)
    gains = {kind: row["full"] - row["text"] for kind, row in found.items()}
    most = max(gains, key=lambda kind: gains[kind])
    ax.legend(loc="upper right", frameon=False)
    what = "ambiguous names whose own picture is related" if most == KINDS[1] else most.replace("\n", " ")
    figure.suptitle(f"Pictures help most with {what}: {gains[most]:+.0f} points", x=0.01, ha="left", fontsize=11)
    told = "; ".join(
        f"{kind.replace(chr(10), ' ')}: {row['text']:.0f} and {row['full']:.0f}" for kind, row in found.items()
    )
    show(figure, f"Names that are right, per cent, text only and full model. {told}.")


SEES = {
    "text only": (1, 0, 0, 0),
    "full model (the paper's)": (1, 1, 1, 0),
    "tiny-reads (lesson 14)": (1, 1, 1, 1),
}
"""What each model sees: own text, own picture, other posts' pictures in training, and the same when it answers."""


def show_sees() -> None:
    """Who sees which pictures, and when."""
    columns = (
        "own text",
        "own picture",
        "other posts' pictures\nin training (the loss)",
        "other posts' pictures\nwhen it answers",
    )
    figure = Figure(figsize=(9.3, 2.3))
    ax = figure.add_axes((0.25, 0.02, 0.74, 0.62), xlim=(-0.5, 3.5), ylim=(len(SEES) - 0.5, -0.5))
    for row, sees in enumerate(SEES.values()):
        for column, yes in enumerate(sees):
            colour = (TEXT, IMAGE, LOSS, LOSS)[column] if yes else "#F2F2F2"
            ax.barh(row, 0.92, left=column - 0.46, height=0.82, color=colour)
            ax.text(
                column,
                row,
                "yes" if yes else "no",
                ha="center",
                va="center",
                color="white" if yes else GREY,
                fontsize=10,
            )
    ax.set_yticks(range(len(SEES)), list(SEES))
    ax.set_xticks(range(4), columns, fontsize=9)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.suptitle(
        "Only in training does the paper's model look at other posts' pictures", x=0.016, ha="left", fontsize=11
    )
    told = "; ".join(f"{who}: {', '.join('yes' if yes else 'no' for yes in sees)}" for who, sees in SEES.items())
    show(figure, f"Own text, own picture, others' pictures in training, others' pictures when it answers. {told}.")


# ---- your own post ----


def show_own(text: str, picture: Picture | None, found: Sequence[Entity], without: Sequence[Entity]) -> None:
    """A reader's post: its picture, and the entities with and without it."""
    figure = Figure(figsize=(9.3, 2.4))
    ax = figure.add_axes((0.016, 0.03, 0.24, 0.8))
    _picture(ax, picture_of(Tweet.from_text(text, picture)))
    _bare(ax)
    figure.text(0.29, 0.72, printable(text), fontsize=11, weight="bold", parse_math=False)
    for line, (label, entities) in enumerate((("with this picture", found), ("without it", without))):
        said = (
            ", ".join(f"{entity.text}: {entity.type} ({entity.probability:.2f})" for entity in entities) or "no entity"
        )
        figure.text(0.29, 0.48 - 0.22 * line, f"{label}:", fontsize=10, color=GREY)
        figure.text(0.46, 0.48 - 0.22 * line, printable(said), fontsize=10, parse_math=False)
    changed = [(e.words, e.type) for e in found] != [(e.words, e.type) for e in without]
    title = "Your picture changes the answer" if changed else "Your picture does not change the answer"
    figure.suptitle(title, x=0.016, ha="left", fontsize=11)
    show(figure, f"Your post “{text}”: with its picture {_entities(found)}; without it {_entities(without)}.")


def _entities(found: Sequence[Entity]) -> str:
    return ", ".join(f"{entity.text} {entity.type} {entity.probability:.2f}" for entity in found) or "no entity"


def contents() -> str:
    """All lessons with links, questions and the time they take, by part: Markdown."""
    lines = []
    for part in PARTS:
        lines += [f"### {part}", "", "| lesson | its question | seconds |", "|---|---|---|"]
        for lesson in CONTENTS:
            if lesson.part == part:
                link = f"[`{lesson.name}`]({lesson.name}.ipynb) {lesson.title}"
                lines.append(f"| {link} | {lesson.question} | {lesson.seconds} |")
        lines.append("")
    return "\n".join(lines)


def _picture(ax: Axes, picture: Image.Image) -> None:
    """Show a picture without its grain, which would make the notebook's file twice as large."""
    small = picture.copy()
    small.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
    ax.imshow(np.asarray(small), interpolation="bicubic", interpolation_stage="rgba")


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


# ---- exercises ----

_POST = Tweet("toy", ("Jordan", "again"), ("B-MISC", "O"))
_TOY = Showcase(_POST, Span(0, 1, "MISC", "Jordan"), {"text": "PER", "full": "MISC", "blank": "LOC", "shuffled": "PER"},
                twin_says="LOC")  # fmt: skip
_F1: tuple[dict[str, float]] = ({"text": 60.0, "full": 80.0, "blank": 62.0, "shuffled": 58.0},)

EXERCISES: dict[str, Exercise] = {
    "type": Exercise(
        right=lambda shown: shown.type,
        mistakes={
            "The model that reads only the text says so too. What does the photo on the wall show?": lambda shown: (
                shown.says["text"]
            ),
            "That is what the full model says of a blank picture, so it is a guess from the words.": lambda shown: (
                shown.says["blank"]
            ),
        },
        cases=((_TOY,),),
        praise="You looked at the picture: the words leave it open.",
    ),
    "swapped": Exercise(
        right=lambda shown: shown.twin_says,
        mistakes={
            "That is its answer with the post's own picture; the words stayed, the picture did not.": lambda shown: (
                shown.says["full"]
            ),
            "That is what the words alone suggest to the text-only model. This model also has a picture.": lambda shown: (
                shown.says["text"]
            ),
        },
        cases=((_TOY,),),
        praise="The picture is the other post's, and so is the answer.",
    ),
    "worth": Exercise(
        right=lambda f1: f1["full"] - f1["blank"],
        mistakes={
            "Those are two models, trained apart. They differ in more than in what they are shown.": lambda f1: (
                f1["full"] - f1["text"]
            ),
            "A wrong picture can also mislead, so this mixes what a picture gives with what a wrong one destroys.": lambda f1: (
                f1["full"] - f1["shuffled"]
            ),
            "The size is right and the sign is turned round: a gain is positive here.": lambda f1: (
                f1["blank"] - f1["full"]
            ),
        },
        cases=(_F1,),
        praise="One model, the same posts, and only the pictures changed.",
    ),
}
