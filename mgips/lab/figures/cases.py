"""Figures 9 and 10: case cards from the result files of a sweep, each with how many posts are like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mgips.data.corpus import Tweet
from mgips.data.pictures import picture_of
from mgips.data.spans import Span, spans
from mgips.lab.cases import GRID, RULES, Answers, Case, Rule, Tally, choose, load_answers, tally
from mgips.lab.error_kinds import matched
from mgips.lab.figures.shared import Results, of_grid
from mgips.lab.figures.style import CYCLE, GREY, LOSS, look
from mgips.lab.figures.text import fitted, flow, text_width

WIDTH, MARGIN = 11.0, 0.2
"""Of a card, in inches."""
SIDE, GAP = 1.3, 0.12
"""Of its pictures."""
LINE = 0.24
"""From line to line."""


@of_grid(GRID)
def fig9(results: Results, corpus: str, folder: str | Path) -> Figure:
    """Cases (a) and (b): right only with IPS-CL; right in spite of an unrelated picture."""
    return _figure(RULES[:2], results, load_answers(corpus, folder))


@of_grid(GRID)
def fig10(results: Results, corpus: str, folder: str | Path) -> Figure:
    """Case (c): the full model is wrong, and another variant is right."""
    return _figure(RULES[2:], results, load_answers(corpus, folder))


def _figure(rules: Sequence[Rule], results: Results, answers: Sequence[Answers]) -> Figure:
    labels = {row: runs[0].record["label"] for row, runs in results.items()}
    return cards([(rule, choose(rule, answers), tally(rule, answers)) for rule in rules], labels)


def cards(cases: Sequence[tuple[Rule, Case | None, Tally]], labels: Mapping[str, str]) -> Figure:
    """A card for each case, below each other, under a title that says how often each pattern and its reverse occur.

    Cases are a rule, the case chosen by it (None where no post fits) and its count over all seeds; `labels` are those
    of the variants, by the row of the grid, in the order of the table.
    """
    heights = [_card_height(case, labels) for _, case, _ in cases]
    head = 0.2 + 0.22 * len(cases)
    height = head + sum(heights) + 0.35
    figure = plt.figure(figsize=(WIDTH, height))
    title = "\n".join(_headline(rule, counted) for rule, _, counted in cases)
    figure.suptitle(title, x=MARGIN / WIDTH, y=1 - 0.08 / height, ha="left", va="top", fontsize=11)
    top = height - head
    for (rule, case, counted), tall in zip(cases, heights, strict=True):
        _card(figure, top, rule, case, counted, labels)
        top -= tall
    return figure


def _headline(rule: Rule, counted: Tally) -> str:
    like = f"({rule.letter}) {counted.like} of {counted.of} posts: {rule.says}; {counted.reverse}"
    return f"{like} the reverse ({counted.difference.verdict})" if counted.difference else f"{like}: {rule.reverse}"


def _card_height(case: Case | None, labels: Mapping[str, str]) -> float:
    if case is None:
        return 0.9
    text = post_height(case.tweet.words, _gold(case.tweet), WIDTH - 2 * MARGIN)
    tallest = max(_tall(tweet) for tweet in (case.tweet, *(other for other, *_ in case.mined)))
    return 0.95 + text + max(tallest + 0.45, LINE * (len(labels) + 2))


def _tall(tweet: Tweet) -> float:
    """Height of a picture that is SIDE inches wide, or less where it would be taller."""
    picture = picture_of(tweet)
    return SIDE * min(1, picture.height / picture.width)


def _gold(tweet: Tweet) -> list[Span]:
    return spans(tweet.words, tweet.tags)


def _card(figure: Figure, top: float, rule: Rule, case: Case | None, counted: Tally, labels: Mapping[str, str]) -> None:
    width, height = figure.get_size_inches()

    def write(x: float, y: float, content: str, points: float = 9, room: float = WIDTH, **how: Any) -> None:
        content = fitted(content, min(room, WIDTH - MARGIN - x), points)
        figure.text(x / width, y / height, content, fontsize=points, parse_math=False, **how)

    figure.add_artist(Rectangle((MARGIN / width, top / height), 1 - 2 * MARGIN / width, 0, color="#cccccc", lw=0.8))
    place = f", post {case.tweet.id} of seed {case.seed}" if case else ": no post fits"
    write(MARGIN, top - 0.24, f"Case ({rule.letter}): {rule.says}{place}", 10, weight="bold")
    counts = f"{counted.like} of {counted.of} posts are like this one, {counted.reverse} are the reverse. "
    counts += f"The full model is right in {counted.right} of the {counted.of}"
    if difference := counted.difference:
        size = f"detectable: {100 * difference.detectable:.1f}"
        counts += f", {difference} points against {labels[rule.against[0]]} ({size})"
    write(MARGIN, top - 0.46, counts + ".", color=GREY)
    if case is None:
        return
    tweet, gold = case.tweet, _gold(case.tweet)
    y = top - 0.8 - draw_post(figure, MARGIN, top - 0.75, tweet.words, gold, WIDTH - 2 * MARGIN)

    kind = "no image" if tweet.image is None else "related" if tweet.truth.related else "unrelated"
    shown = [(tweet, f"own picture: {kind}", "black")]
    for rank, (other, score, known) in enumerate(case.mined, 1):
        caption = f"mined {rank}{' (own)' if other.id == tweet.id else ''}: {score:.2f}\n"
        caption += "✓ relevant" if known else "✗ not relevant"
        shown.append((other, caption, LOSS if known else "#cccccc"))
    for column, (other, caption, frame) in enumerate(shown):
        x = MARGIN + column * (SIDE + GAP)
        draw_picture(figure, x, y, SIDE, other, frame)
        below = (y - _tall(other) - 0.06) / height
        figure.text((x + SIDE / 2) / width, below, caption, ha="center", va="top", fontsize=8)

    left = MARGIN + len(shown) * (SIDE + GAP) + 0.15
    answers = {row: verdicts(tweet.tags, case.tags[row]) for row in labels}
    first = 1.0
    room = (WIDTH - MARGIN - left - first) / max(1, *map(len, answers.values()))

    head = {"points": 8.5, "room": room - 0.08, "weight": "bold"}
    table = [("", [(entity.text, head) for entity in gold]), ("gold", [(entity.type, {}) for entity in gold])]
    for row, label in labels.items():
        looks = [{"color": LOSS if right else CYCLE[1]} for _, right in answers[row]]
        signed = [f"{'✓' if right else '✗'} {answer}" for answer, right in answers[row]]
        table.append((label, list(zip(signed, looks, strict=True))))
    for number, (label, cells) in enumerate(table):
        level = y - 0.12 - LINE * number
        write(left, level, label, room=first - 0.05, weight="bold" if label == labels["full"] else "normal")
        for column, (content, font) in enumerate(cells):
            write(left + first + column * room, level, content, **{"room": room - 0.05, **font})


def verdicts(gold: Sequence[str], predicted: Sequence[str]) -> list[tuple[str, bool]]:
    """For each gold entity, in order, what was predicted for it and whether that is right; then what is spurious.

    A wrong answer is the predicted type, with "…" where its words differ, or "none". The pairs are those of
    `mgips.lab.error_kinds.matched`.
    """
    answers, spurious = [], []
    for kind, true, answer in matched(gold, predicted):
        if true is None:
            assert answer is not None, "of a pair at most one is missing"
            spurious.append((f"+ {answer[0]}", False))
        else:
            words = "none" if answer is None else answer[0] + (" …" if answer[1:] != true[1:] else "")
            answers.append((words, kind == "right"))
    return answers + spurious


def draw_picture(figure: Figure, x: float, top: float, side: float, tweet: Tweet, frame: str = "#cccccc") -> None:
    """A post's picture (the default one where it has none) in the upper left of a square of `side` inches, framed."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((x / width, (top - side) / height, side / width, side / height))
    axes.imshow(picture_of(tweet))
    axes.set(xticks=[], yticks=[])
    axes.set_anchor("NW")
    axes.spines[:].set(visible=True, color=frame, linewidth=2)


def draw_post(
    figure: Figure, x: float, top: float, words: Sequence[str], entities: Sequence[Span], width: float
) -> float:
    """A post's words, its entities tinted by type and followed by the type's name; returns its height.

    Its upper left corner is (x, top); all lengths are inches, from the lower left corner of the figure.
    """
    wide, high = figure.get_size_inches()
    for content, kind, at, line in _laid_out(words, entities, width):
        colour = look(kind).colour if kind else GREY
        tint = {"bbox": {"fc": colour + "33", "ec": colour, "lw": 0.8, "pad": 1.5}} if kind else {}
        place = (x + at) / wide, (top - 0.1 - 0.29 * line) / high
        figure.text(*place, content, fontsize=10, va="center", parse_math=False, **tint)
    return post_height(words, entities, width)


def post_height(words: Sequence[str], entities: Sequence[Span], width: float) -> float:
    """Inches that `draw_post` needs."""
    return 0.29 * (1 + _laid_out(words, entities, width)[-1][-1])


def _laid_out(words: Sequence[str], entities: Sequence[Span], width: float) -> list[tuple[str, str, float, int]]:
    """Words and whole entities on lines of a width: what is written, the entity's type or "", its start, its line."""
    inside = {place for entity in entities for place in range(entity.start, entity.end)}
    pieces = [(entity.start, f"{entity.text} {entity.type}", entity.type) for entity in entities]
    pieces += [(place, word, "") for place, word in enumerate(words) if place not in inside]
    written = [(fitted(content, width, 10), kind) for _, content, kind in sorted(pieces)]
    gaps = [0.14 if kind else 0.09 for _, kind in written]
    places = flow([text_width(content, 10) for content, _ in written], gaps, width)
    return [(*piece, *place) for piece, place in zip(written, places, strict=True)]
