"""Single posts: how many are like one, what a test of two counts says, and which other picture tells reading from luck.

Counts of posts rest on the committed runs of the grid "fig9" (`mgips.lab.cases`); what other pictures do is asked of a
model in hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Tweet
from mgips.data.pictures import picture_of
from mgips.data.spans import spans
from mgips.lab import counterfactual
from mgips.lab.cases import Answers, Case, Rule, Tally, tally
from mgips.lab.error_kinds import ERRORS, error_kinds
from mgips.lab.figures.cases import draw_picture, draw_post, post_height, verdicts
from mgips.lab.figures.style import CYCLE, GREY, IMAGE, LOSS, TEXT
from mgips.lab.grids import LABELS
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.paper import tables
from mgips.lab.stats import NO_DIFFERENCE
from mgips.lab.widgets.base import Page
from mgips.mining import best_of_others
from mgips.model.mgips import MGIPS

VARIANTS = ("full", "no-ips", "no-mgi", "text")
"""Rows of the grid "fig9"."""


# ---- exercises ----


def _both(first: Sequence[bool], second: Sequence[bool]) -> list[int]:
    pairs = list(zip(first, second, strict=True))
    return [sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)]


def mcnemar(b: int, c: int) -> float:
    """McNemar's exact test: the two-sided p-value of b posts that only one gets right, and c that only the other does."""
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    return min(1.0, 2 * tail)


def _tail(b: int, c: int) -> float:
    return sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)


EXERCISES: dict[str, Exercise] = {
    "like_reverse": Exercise(
        right=_both,
        mistakes={
            "The two are exchanged: first come the posts that only the full model gets right.": (
                lambda first, second: _both(first, second)[::-1]
            ),
            "These are all posts that each model gets right. Those that both get right say nothing about a difference.": (
                lambda first, second: [sum(first), sum(second)]
            ),
            "These are the posts on which the two agree. Count those on which they do not.": (
                lambda first, second: [
                    sum(a and b for a, b in zip(first, second, strict=True)),
                    sum(not a and not b for a, b in zip(first, second, strict=True)),
                ]
            ),
        },
        cases=[([True, True, False, True, True, True, False], [True, False, True, False, True, True, False])],
        praise="The posts on which both agree drop out.",
    ),
    "leaf": Exercise(
        right=lambda posts, like: (posts + 1) / (like + 1),
        mistakes={
            "That is the share of such posts. If one in so many is like it, how many do you turn over?": (
                lambda posts, like: like / posts
            ),
            "That is how many posts you have turned over at most before the first one turns up.": (
                lambda posts, like: posts - like + 1
            ),
            "You stopped half way there: on average it takes the whole distance between two such posts.": (
                lambda posts, like: posts / (2 * like)
            ),
        },
        cases=[(500, 19)],
        praise="A few minutes of leafing, and there is your case.",
        within=5.0,
    ),
    "mcnemar": Exercise(
        right=mcnemar,
        mistakes={
            "That is one side only. A surplus for the other model would have been as surprising: count both sides.": _tail,
            "That is the chance of exactly this split, twice. More extreme splits belong to it as well.": (
                lambda b, c: min(1.0, 2 * math.comb(b + c, min(b, c)) / 2 ** (b + c))
            ),
            "When both counts are equal the middle is counted twice, and the p-value is above 1. It ends at 1.": (
                lambda b, c: 2 * _tail(b, c)
            ),
            "That is the test statistic. What is asked for is the probability of one at least as large.": (
                lambda b, c: (b - c) ** 2 / (b + c)
            ),
        },
        cases=[(9, 1), (5, 5), (3, 8), (20, 34)],
        praise="Only the posts on which the two disagree count, and a coin decides each of them.",
    ),
    "base_rate": Exercise(
        right=lambda posts, types: posts / types,
        mistakes={
            "There are four types in the corpus, but this name can only have three of them.": (
                lambda posts, types: posts / (types + 1)
            ),
            "That would be two types to choose from.": lambda posts, types: posts / (types - 1),
            "A guess is sometimes right: it is not none.": lambda posts, types: 0,
            "That many are wrong.": lambda posts, types: posts * (types - 1) / types,
        },
        cases=[(90, 3)],
        praise="So many good-looking cards exist even if no model ever looks at a picture.",
        within=0.5,
    ),
    "counterfactual": Exercise(
        right=lambda: "other type",
        mistakes={
            "Without a picture a reader has to guess, and a guess may well be the answer from before. If it stays you "
            "know nothing, and if it changes you do not know what was read.": lambda: "blank",
            "No model here was trained on noise. An answer may jump because the input is strange.": lambda: "noise",
            "Some shuffled pictures show the right type all the same, so for one post it proves nothing. You want a "
            "picture for which you can say beforehand what a reader would answer, and a lucky one not.": (
                lambda: "shuffled"
            ),
            "There a reader's answer stays. So does a lucky one: the two cannot be told apart.": lambda: "same type",
        },
        praise="A reader follows the picture to its type; a lucky answer stays where it is.",
    ),
}


# ---- posts that are like one ----


def against(variant: str, unrelated: bool = False) -> Rule:
    """Posts that the full model gets right and a variant wrong, and the reverse."""
    label = LABELS[variant]
    return Rule("", f"only full is right, not {label}", f"only {label} is right", True, (variant,), unrelated)


def tallies(answers: Sequence[Answers]) -> dict[str, Tally]:
    """The counts of `against` each variant, by its label."""
    return {LABELS[variant]: tally(against(variant), answers) for variant in VARIANTS[1:]}


def counted(counts: Mapping[str, Tally]) -> str:
    """A Markdown table: both counts, McNemar's p, and the paired bootstrap over seeds and posts."""
    lines = ["| the full model against | only full right | only the other right | McNemar's p | paired bootstrap, points | verdict |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for label, t in counts.items():
        assert t.difference is not None, "one other variant"
        p = mcnemar(t.like, t.reverse)
        lines.append(
            f"| {label} | {t.like} | {t.reverse} | {'< .001' if p < 0.001 else f'{p:.3f}'} | {t.difference} | "
            f"{t.difference.verdict} (detectable: {100 * t.difference.detectable:.1f}) |"
        )
    return "\n".join(lines)


def beside_the_paper(counts: Mapping[str, Tally]) -> str:
    """What the paper reports for IPS-CL and MGI, and what could have been detected here, in two sentences."""
    sizes = [100 * t.difference.detectable for t in counts.values() if t.difference]
    return (
        f"On Twitter the paper reports {paper_range()} points of F1 for IPS-CL and MGI, without intervals. Here differences of "
        f"{min(sizes):.1f} points and more could be detected, in the share of right posts: a tiny model on invented posts neither "
        "confirms nor refutes the paper."
    )


def paper_range() -> str:
    """ "0.81 to 1.13": what the paper reports that IPS-CL and MGI are worth, on its two corpora."""
    full = tables.TABLE3["full"]
    gaps = [full[c][2] - tables.TABLE3[part][c][2] for part in ("no-ips", "no-mgi") for c in tables.CORPORA]
    return f"{min(gaps):.2f} to {max(gaps):.2f}"


def card(case: Case, title: str, rows: Sequence[str] = VARIANTS) -> Figure:
    """One post with its picture, and what each variant answered; nothing about other posts."""
    width, margin, side, line = 9.3, 0.15, 1.5, 0.27
    tweet, gold = case.tweet, spans(case.tweet.words, case.tweet.tags)
    room = width - 2 * margin
    size = picture_of(tweet).size
    tall = side * min(1, size[1] / size[0])
    height = 0.65 + post_height(tweet.words, gold, room) + max(tall + 0.3, line * (len(rows) + 1.5))
    page = Page(width, height, title, margin)
    y = height - 0.45
    y -= draw_post(page, margin, y, tweet.words, gold, room) + 0.1
    draw_picture(page, margin, y, side, tweet)
    page.write(margin, y - tall - 0.17, f"post {tweet.id}, seed {case.seed}", 8, color=GREY)
    left, first, step = margin + side + 0.4, 1.3, 1.9
    for place, entity in enumerate(gold):
        page.write(left + first + step * place, y - 0.2, entity.text, 9, room=step - 0.1, weight="bold")
    for number, row in enumerate(rows, 1):
        level = y - 0.2 - line * number
        page.write(left, level, LABELS[row], weight="bold" if row == "full" else "normal")
        for place, (says, right) in enumerate(verdicts(tweet.tags, case.tags[row])):
            page.write(
                left + first + step * place, level, f"{'✓' if right else '✗'} {says}", color=LOSS if right else CYCLE[1]
            )
    return page


def agreement(counted: Tally, other: str) -> Figure:
    """All posts as one square: where the full model and another agree, and the two strips where they do not."""
    same = counted.of - counted.like - counted.reverse
    right = counted.right - counted.like
    figure, ax = plt.subplots(figsize=(8.6, 1.9), layout="constrained")
    parts = ((right, "both right", "#D9E6DF"), (counted.like, "only full", LOSS), (counted.reverse, f"only {other}", CYCLE[1]),
             (same - right, "both wrong", "#E4E4E4"))  # fmt: skip
    left = 0
    for number, (size, name, colour) in enumerate(parts):
        ax.barh(0, size, left=left, color=colour, edgecolor="white", height=0.8)
        aside = number in (1, 2)
        at = left + size / 2
        ha = {1: "right", 2: "left"}.get(number, "center")
        ax.annotate(f"{name}: {size}", (at, 0.4 if aside else 0), ((-10, 10)[number == 2] if aside else 0, 12 if aside else 0),
                    textcoords="offset points", ha=ha, va="center", fontsize=9.5)  # fmt: skip
        left += size
    ax.set(yticks=[], xlabel=f"test posts of three seeds, {counted.of} in all", ylim=(-0.5, 0.9), xlim=(0, counted.of))
    ax.spines["left"].set_visible(False)
    figure.suptitle(
        f"{counted.like} posts are like the card, {counted.reverse} are its reverse", x=0.01, ha="left", fontsize=11
    )
    return figure


def leafing(answers: Sequence[Answers]) -> Figure:
    """How soon one who turns posts over finds a case for each part, and one against it."""
    rules = {
        "IPS-CL": against("no-ips"),
        "MGI (unrelated pictures)": against("no-mgi", unrelated=True),
        "pictures": against("text"),
    }
    counts = {part: tally(rule, answers) for part, rule in rules.items()}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.2), layout="constrained")
    first = {part: [(t.of + 1) / (n + 1) for n in (t.like, t.reverse)] for part, t in counts.items()}
    places = np.arange(len(counts))
    for shift, which, colour, label, hatch in ((-0.2, 0, LOSS, "for it", ""), (0.2, 1, CYCLE[1], "against it", "//")):
        values = [pair[which] for pair in first.values()]
        bars = left.barh(places + shift, values, 0.38, color=colour, label=label, hatch=hatch, edgecolor="white")
        left.bar_label(bars, [f"{value:.0f}" for value in values], padding=3, fontsize=9)
    left.set(yticks=places, yticklabels=list(counts), xlabel="posts turned over until the first case, on average")
    left.invert_yaxis()
    left.margins(x=0.15)
    left.legend(frameon=False, loc="lower right", fontsize=9)
    ns = np.arange(0, 151)
    for (part, t), colour in zip(counts.items(), (TEXT, IMAGE, GREY), strict=True):
        right.plot(ns, 100 * found_within(t.of, t.reverse, ns), color=colour, linewidth=5, alpha=0.3)
        right.plot(ns, 100 * found_within(t.of, t.like, ns), color=colour, linewidth=1.5, label=part)
    right.set(xlabel="posts turned over", ylabel="a case is found, %", ylim=(0, 103), xlim=(0, 150))
    right.legend(
        frameon=False, fontsize=9, loc="lower right", title="thin: for it, wide and pale: against", title_fontsize=9
    )
    soon, soon_not = first["IPS-CL"]
    figure.suptitle(f"After about {soon:.0f} posts there is a case that “proves” IPS-CL, after about {soon_not:.0f} one that “refutes” it",
                    x=0.01, ha="left", fontsize=11)  # fmt: skip
    return figure


def found_within(posts: int, like: int, turned: np.ndarray) -> np.ndarray:
    """Chance that at least one of `like` posts of `posts` is among the first `turned` in random order: (M,) in, (M,) out."""
    missed = np.ones(len(turned))
    for place, n in enumerate(turned):
        for k in range(int(n)):
            missed[place] *= max(0, posts - like - k) / (posts - k) if k < posts else 0.0
    return 1 - missed


def only_one(counts: Mapping[str, Tally]) -> Figure:
    """For each variant the posts that only the full model gets right, and those that only the variant does."""
    figure, ax = plt.subplots(figsize=(8.6, 2.5), layout="constrained")
    places, most = np.arange(len(counts)), max(t.like for t in counts.values())
    for values, colour, label, hatch in (
        ([t.like for t in counts.values()], LOSS, "only the full model is right", ""),
        ([-t.reverse for t in counts.values()], CYCLE[1], "only the variant is right", "//"),
    ):
        bars = ax.barh(places, values, 0.6, color=colour, label=label, hatch=hatch, edgecolor="white")
        ax.bar_label(bars, labels=[str(abs(v)) for v in values], padding=3)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=places, yticklabels=list(counts), xlim=(-0.45 * most, 1.12 * most))
    ax.set_xlabel(f"posts, of {next(iter(counts.values())).of}")
    ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    ax.invert_yaxis()
    ax.legend(frameon=False, loc="upper right")
    same = [label for label, t in counts.items() if t.difference and t.difference.verdict == NO_DIFFERENCE]
    figure.suptitle(f"{len(same) or 'None'} of {len(counts)} variants: {NO_DIFFERENCE} to the full model{': ' * bool(same)}{' and '.join(same)}",
                    x=0.01, ha="left", fontsize=11)  # fmt: skip
    return figure


def wrong_how(answers: Sequence[Answers]) -> Figure:
    """How often each variant is wrong in each of the five ways, on all seeds' test posts."""
    kinds = {row: dict.fromkeys(ERRORS, 0) for row in VARIANTS}
    for seed in answers:
        for row in VARIANTS:
            for kind, count in error_kinds([tweet.tags for tweet in seed.tweets], seed.tags[row]).items():
                if kind in ERRORS:
                    kinds[row][kind] += count
    values = np.array([list(counts.values()) for counts in kinds.values()])
    figure, ax = plt.subplots(figsize=(7.4, 2.3), layout="constrained")
    ax.imshow(values, cmap="Oranges", vmin=0, vmax=1.6 * max(1, values.max()), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ax.text(column, row, str(value), ha="center", va="center", fontsize=11, color="black" if value else GREY)
    ax.set_yticks(range(len(kinds)), [LABELS[row] for row in kinds])
    ax.set_xticks(range(len(ERRORS)), list(ERRORS))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    total, common = values.sum(), ERRORS[int(values.sum(0).argmax())]
    share = values.sum(0).max() / max(1, total)
    figure.suptitle(
        f"{'All' if share == 1 else f'{share:.0%} of'} {total:,} errors are {common} errors",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    return figure


def groups(answers: Sequence[Answers]) -> Figure:
    """Share of right posts by whether the text leaves a name open and whether the picture belongs, for each variant."""
    rows = [(open_, related) for open_ in (True, False) for related in (True, False)]
    names = {True: "text leaves a name open", False: "text decides all names"}, {True: "related", False: "unrelated"}
    figure, ax = plt.subplots(figsize=(8.8, 2.9), layout="constrained")
    shares, sizes = {}, []
    for open_, related in rows:
        chosen = [np.array([t.image is not None and t.truth.related == related and bool(t.truth.ambiguous) == open_ for t in seed.tweets])
                  for seed in answers]  # fmt: skip
        sizes.append(sum(int(c.sum()) for c in chosen))
        for row in VARIANTS:
            right = sum(int(seed.right[row][c].sum()) for seed, c in zip(answers, chosen, strict=True))
            shares.setdefault(row, []).append(100 * right / max(1, sizes[-1]))
    looks = zip(VARIANTS, (LOSS, CYCLE[4], CYCLE[3], TEXT), "osD^", strict=True)
    for number, (row, colour, marker) in enumerate(looks):
        ax.plot(
            shares[row],
            np.arange(len(rows)) + 0.16 * (number - 1.5),
            marker,
            color=colour,
            markersize=7,
            label=LABELS[row],
        )
    ax.axvline(100 / 3, color="black", linestyle=":", linewidth=1)
    ax.text(100 / 3, -0.62, "a guess among three", ha="center", va="bottom", fontsize=8.5)
    labels = [f"{names[0][o]},\n{names[1][r]} picture ({size})" for (o, r), size in zip(rows, sizes, strict=True)]
    ax.set(
        yticks=range(len(rows)),
        yticklabels=labels,
        xlim=(0, 104),
        ylim=(len(rows) - 0.5, -0.6),
        xlabel="posts that are right, %",
    )
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    luck = [shares[row][1] for row in VARIANTS]
    figure.suptitle(f"Open name, unrelated picture: {min(luck):.0f} to {max(luck):.0f} % are right, with pictures ({luck[0]:.0f} %) or without ({luck[-1]:.0f} %)",
                    x=0.01, ha="left", fontsize=11)  # fmt: skip
    return figure


# ---- other pictures ----

KINDS = ("own", "blank", "noise", "shuffled", "same type", "other type")
"""Pictures that a post is given: see `pictures`."""


@dataclass(frozen=True)
class Question:
    """A post with a picture, and a name in it whose type is asked for."""

    tweet: Tweet
    place: int
    """The name's first word."""
    kind: str
    """The name's gold type."""
    options: tuple[str, ...]
    """The types that it could have: of TinyTweets' open names three, otherwise all of the corpus."""
    shows: str
    """The type that the picture shows; of other corpora the only type that the post names, "" where there are several."""
    related: bool | None
    """Whether the picture belongs to the post, where the corpus knows."""


def questions(tweets: Sequence[Tweet]) -> list[Question]:
    """Posts with a picture and a name that the text leaves open; of other corpora than TinyTweets, their first name."""
    kinds = sorted({span.type for tweet in tweets for span in spans(tweet.words, tweet.tags)})
    asked = []
    for tweet in tweets:
        gold = spans(tweet.words, tweet.tags)
        if tweet.image is None or not gold:
            continue
        if tweet.truth is None:
            types = {span.type for span in gold}
            shows = next(iter(types)) if len(types) == 1 else ""
            asked.append(Question(tweet, gold[0].start, gold[0].type, tuple(kinds), shows, None))
        elif tweet.truth.ambiguous:
            place = tweet.truth.ambiguous[0][0]
            options = tweet.truth.options or tuple(kinds)
            asked.append(Question(tweet, place, tweet.truth.means, options, tweet.truth.shows, tweet.truth.related))
    return asked


def showing(asked: Sequence[Question], wanted: Sequence[str], seed: int = 0) -> list[Tweet]:
    """Each post with the picture of another post that shows the wanted type; its own where no other does."""
    rng, tweets = np.random.RandomState(seed), [question.tweet for question in asked]
    index = []
    for place, kind in enumerate(wanted):
        givers = [i for i, other in enumerate(asked) if other.shows == kind and i != place]
        index.append(givers[rng.randint(len(givers))] if givers else place)
    return counterfactual.with_pictures_of(tweets, index)


def others(question: Question) -> list[str]:
    """The types that the name could have but has not."""
    return [kind for kind in question.options if kind != question.kind]


def pictures(asked: Sequence[Question], seed: int = 0) -> dict[str, list[Tweet]]:
    """The posts with each of `KINDS` of pictures.

    blank, noise and shuffled as in `mgips.lab.counterfactual`; "same type" is another post's picture that shows the
    name's right type, "other type" one that shows the first of the types that it could have but has not.
    """
    tweets = [question.tweet for question in asked]
    return {
        "own": tweets,
        "blank": counterfactual.blank(tweets),
        "noise": counterfactual.noise(tweets, seed),
        "shuffled": counterfactual.shuffled(tweets, seed),
        "same type": showing(asked, [question.kind for question in asked], seed),
        "other type": showing(asked, [others(question)[0] for question in asked], seed + 1),
    }


def answered(model: MGIPS, asked: Sequence[Question], posts: Sequence[Tweet]) -> np.ndarray:
    """The type that a model gives each name, "O" for none: (N,) of text."""
    tags = model.predict(posts)
    return np.array([row[question.place][2:] or "O" for row, question in zip(tags, asked, strict=True)])


def strip(
    question: Question, shown: Mapping[str, Tweet], said: Mapping[str, Mapping[str, str]] | None = None
) -> Figure:
    """One post with each picture; below, what each model says of its name, where that is given."""
    side, gap, margin, width = 1.32, 0.15, 0.95, 9.7
    words, gold = question.tweet.words, spans(question.tweet.words, question.tweet.tags)
    name = next(span.text for span in gold if span.start == question.place)
    height = 0.75 + post_height(words, gold, width - 0.3) + side + (0.35 + 0.27 * len(said) if said else 0.1)
    title = f"“{name}” is {question.kind} here. Six pictures: which one tells a reader from a lucky guesser?"
    if said:
        model, first = next(iter(said.items()))
        moved = [kind for kind in shown if first[kind] != first["own"]]
        title = f"“{name}”: {model} answers {first['own']} with its own picture, and otherwise with {len(moved) or 'none'} of {len(shown) - 1} others"
    page = Page(width, height, title, 0.15)
    y = height - 0.42
    y -= draw_post(page, 0.15, y, words, gold, width - 0.3) + 0.1
    for column, (kind, post) in enumerate(shown.items()):
        x = margin + column * (side + gap)
        page.write(x, y - 0.05, kind, 9, room=side, weight="bold")
        draw_picture(page, x, y - 0.15, side, post, IMAGE if kind == "other type" and said else "#cccccc")
        for row, (_model, types) in enumerate((said or {}).items(), 1):
            changed = types[kind] != types["own"]
            page.write(
                x,
                y - side - 0.15 - 0.27 * row,
                types[kind],
                10,
                color=IMAGE if changed else "black",
                weight="bold" if changed else "normal",
            )
    for row, model in enumerate(said or {}, 1):
        page.write(0.15, y - side - 0.15 - 0.27 * row, model, 9, room=margin - 0.2)
    return page


def fates(asked: Sequence[Question], answers: Mapping[str, np.ndarray]) -> dict[str, tuple[int, int, int]]:
    """Of the answers that are right with the own picture: how many stay, go to the type shown, and change otherwise.

    Only "other type" shows one type to all; with the other kinds of pictures every change counts as "otherwise".
    """
    kinds = np.array([question.kind for question in asked])
    first = np.array([others(question)[0] for question in asked])
    right = answers["own"] == kinds
    result = {}
    for kind, said in answers.items():
        stay, follow = said[right] == kinds[right], said[right] == first[right]
        went = int(follow.sum()) if kind == "other type" else 0
        result[kind] = (int(stay.sum()), went, int(right.sum() - stay.sum() - went))
    return result


def followed(asked: Sequence[Question], said: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """`fates` of each model as bars, in per cent of its right answers."""
    by_model = {model: fates(asked, types) for model, types in said.items()}
    figure, axes = plt.subplots(1, len(by_model), figsize=(9.6, 3.0), layout="constrained", sharey=True, squeeze=False)
    parts = (
        ("stays right", "#BFD9CE", ""),
        ("goes to the type shown", IMAGE, ""),
        ("changes otherwise", "#BBBBBB", "//"),
    )
    for ax, (model, kinds) in zip(axes[0], by_model.items(), strict=True):
        shown = {kind: fate for kind, fate in kinds.items() if kind != "own"}
        left = np.zeros(len(shown))
        for part, (label, colour, hatch) in enumerate(parts):
            values = np.array([100 * fate[part] / max(1, sum(fate)) for fate in shown.values()])
            ax.barh(list(shown), values, left=left, color=colour, hatch=hatch, edgecolor="white", label=label)
            for place, value in enumerate(values):
                if value >= 8:
                    ax.text(left[place] + value / 2, place, f"{value:.0f}", ha="center", va="center", fontsize=9)
            left += values
        ax.set(xlim=(0, 100), title=f"{model}: {sum(next(iter(shown.values())))} right answers", xlabel="of them, %")
    axes[0][0].invert_yaxis()
    handles, labels = axes[0][0].get_legend_handles_labels()
    look = {"ncols": 3, "frameon": False, "fontsize": 9, "title_fontsize": 8.5, "alignment": "left"}
    note = blank_or_shuffled(next(iter(said.values())))
    figure.legend(handles, labels, loc="outside lower left", title=note, **look).get_title().set_color(GREY)
    model, kinds = next(iter(by_model.items()))
    follow, same = kinds["other type"], kinds["same type"]
    figure.suptitle(f"{model}: a picture of another type takes {100 * follow[1] / max(1, sum(follow)):.0f} % of the right answers to its type, "
                    f"one of the same type leaves {100 * same[0] / max(1, sum(same)):.0f} %", x=0.01, ha="left", fontsize=11)  # fmt: skip
    return figure


def tested(model: MGIPS, asked: Sequence[Question], seed: int = 0) -> np.ndarray:
    """Every name is shown a picture of each type that it could have: (N,) of "reads", "stays" or "mixed".

    "reads": each answer is the type shown. "stays": all answers are the same.
    """
    most = max(len(question.options) for question in asked)
    shown = [[question.options[number % len(question.options)] for question in asked] for number in range(most)]
    said = [answered(model, asked, showing(asked, kinds, seed + number)) for number, kinds in enumerate(shown)]
    follows = np.all([a == np.array(kinds) for a, kinds in zip(said, shown, strict=True)], 0)
    stays = np.all([a == said[0] for a in said], 0)
    return np.where(follows, "reads", np.where(stays, "stays", "mixed"))


def read_or_lucky(
    asked: Sequence[Question], right: Mapping[str, np.ndarray], tests: Mapping[str, np.ndarray]
) -> Figure:
    """Right answers of each model by what `tested` says of them, apart for related and unrelated pictures."""
    figure, ax = plt.subplots(figsize=(8.8, 2.6), layout="constrained")
    related = np.array([bool(question.related) for question in asked])
    known = asked[0].related is not None
    rows = [(model, own) for model in right for own in ((True, False) if known else (None,))]
    labels = []
    looks = (("reads", IMAGE, "", "follows each of the pictures"), ("mixed", "#BBBBBB", "//", "follows some"),
             ("stays", "#BFD9CE", "", "the same answer to all"))  # fmt: skip
    for place, (model, own) in enumerate(rows):
        chosen = right[model] & (np.ones(len(asked), bool) if own is None else related == own)
        labels.append(f"{model}{'' if own is None else ', related' if own else ', unrelated'} ({chosen.sum()})")
        left = 0
        for kind, colour, hatch, name in looks:
            size = int((tests[model][chosen] == kind).sum())
            ax.barh(
                place, size, left=left, color=colour, hatch=hatch, edgecolor="white", label=name if not place else None
            )
            if size >= 6:
                ax.text(left + size / 2, place, str(size), ha="center", va="center", fontsize=9)
            left += size
    ax.set(yticks=range(len(rows)), yticklabels=labels, xlabel="right answers")
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    model = next(iter(right))
    follow = {own: tests[model][right[model] & (related == own)] == "reads" for own in (True, False)}
    says = f"{share(follow[True])} with a related picture, {share(follow[False])} with an unrelated one"
    figure.suptitle(f"Right answers of {model} that follow every picture: {says if known else share(follow[False])}",
                    x=0.01, ha="left", fontsize=11)  # fmt: skip
    return figure


def share(chosen: np.ndarray) -> str:
    """ "81 %" of (N,) bool; "none" of none."""
    return f"{100 * chosen.mean():.0f} %" if len(chosen) else "none"


def blank_or_shuffled(answers: Mapping[str, np.ndarray]) -> str:
    """How many answers change with blank and with shuffled pictures, and whether that differs, by McNemar's test."""
    blank, shuffled = (answers[kind] != answers["own"] for kind in ("blank", "shuffled"))
    p = mcnemar(int((blank & ~shuffled).sum()), int((shuffled & ~blank).sum()))
    return (
        f"All {len(blank)} answers: blank changes {blank.sum()}, shuffled {shuffled.sum()}, on the same posts. McNemar's p = {p:.2f}, "
        f"{NO_DIFFERENCE if p >= 0.05 else 'a detectable difference'}."
    )


def mined_shows(model: MGIPS, tweets: Sequence[Tweet], asked: Sequence[Question], own: np.ndarray) -> Figure:
    """Where the model is wrong: does the picture that it mines from the other posts show its answer, or the right type?"""
    data = TweetDataset(tweets, model.batcher, progress=False)
    best, place_of = best_of_others(model, data, progress=False), {tweet.id: i for i, tweet in enumerate(tweets)}
    type_of = {question.tweet.id: question.shows for question in asked}
    shows = {tweet.id: tweet.truth.shows if tweet.truth else type_of.get(tweet.id, "") for tweet in tweets}
    mined = np.array([shows[tweets[best[place_of[question.tweet.id]]].id] for question in asked])
    kinds = np.array([question.kind for question in asked])
    wrong = own != kinds
    pool = np.array([kind for kind in shows.values() if kind])
    bars = {
        name: (float((mined == kind)[wrong].mean()), float((pool == kind[wrong, None]).mean()))
        if wrong.any()
        else (0.0, 0.0)
        for name, kind in (("its own wrong answer", own), ("the right type", kinds))
    }
    figure, ax = plt.subplots(figsize=(8.6, 2.1), layout="constrained")
    for place, (value, chance) in enumerate(bars.values()):
        ax.barh(place, 100 * value, 0.55, color=(CYCLE[1], LOSS)[place])
        ax.text(100 * value + 1, place, f"{100 * value:.0f} %", va="center")
        ax.plot([100 * chance] * 2, [place - 0.4, place + 0.4], color="black", linewidth=2)
    ax.set(yticks=range(2), yticklabels=[f"shows {name}" for name in bars], xlim=(0, 100))
    ax.set_xlabel(f"of {wrong.sum()} wrong answers, % (black: a random picture)")
    ax.invert_yaxis()
    more = "more" if bars["its own wrong answer"][0] > bars["the right type"][0] else "less"
    figure.suptitle(
        f"Where the model is wrong, the picture it mines shows its answer {more} often than the truth",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    return figure


def two_posts(
    asked: Sequence[Question], said: Mapping[str, np.ndarray], test: np.ndarray, text: np.ndarray
) -> list[int]:
    """Places of two right answers of a model that pass the test "reads": one that needs its own picture, one that does not.

    The first is another one without a picture, goes to the other type and not to that one, and the text-only model is wrong. The second is the same without, and where
    the corpus knows, the picture is unrelated. Where there is none, the first right answer, or the first post.
    """
    kinds = np.array([question.kind for question in asked])
    right = (said["own"] == kinds) & (test == "reads")
    away = (said["other type"] != kinds) & (said["other type"] != said["blank"])
    needs = right & (said["blank"] != kinds) & away & (text != kinds)
    idle = right & (said["blank"] == kinds) & away & np.array([not q.related for q in asked])
    return [int(np.flatnonzero(chosen)[0]) if chosen.any() else int(np.argmax(right)) for chosen in (needs, idle)]
