"""Lesson 02: words become pieces, crops become patches, and both become rows of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from mgips.data.batch import Batcher, TweetDataset, evaluation_batches
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import spans
from mgips.lab.figures import show, style
from mgips.lab.figures.text import readable
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.opened import Opened
from mgips.lab.stats import Difference, paired_bootstrap, tweet_counts
from mgips.model.embedding import crop_positions
from mgips.model.mgips import MGIPS

POST = Tweet(
    id="a post",
    words=("so", "proud", "of", "Jordan", "Nairwick", "\u2764", "\ufe0f", "at", "the", "Harbor", "Bank", "!"),
    tags=("O", "O", "O", "B-PER", "I-PER", "O", "O", "O", "O", "B-ORG", "I-ORG", "O"),
)
"""Invented, and split as the Twitter corpora are: the heart's variation selector is a word with a tag of its own."""
SILENT_TWITTER = 116, 102
"""Words of Twitter-2017's training split that BERT's tokenizer leaves without a piece; those that are a lone U+FE0F."""
CUT_TWITTER = 1911, 3257, 7
"""Twitter-2015 at 40 of BERT's pieces: test posts that are cut, test posts, and gold entities that start past the cut."""
VOCABULARY = frozenset({"jordan", "nair", "##w", "##i", "##ick", "##wick"})
WIDE = 88
"""Letters in a line of pieces."""


def plain(model: MGIPS) -> bool:
    """Whether its embeddings are those of the paper, which the lesson works out by hand: BERT's and CLIP's."""
    kinds = [(config or {}).get("model_type") for config in model.encoder_configs.values()]
    return kinds == ["bert", "clip_vision_model"]


# Exercises.


def word_pieces(word: str, vocabulary: Collection[str] = VOCABULARY) -> list[str]:
    """A word's pieces: the longest known beginning, then the longest known beginning of the rest, and so on."""
    rest, pieces = word.lower(), []
    while rest:
        mark = "##" if pieces else ""
        size = next((k for k in range(len(rest), 0, -1) if mark + rest[:k] in vocabulary), None)
        if size is None:
            return ["[UNK]"]
        pieces.append(mark + rest[:size])
        rest = rest[size:]
    return pieces


def first_pieces(lengths: Sequence[int]) -> list[int]:
    """Where each word's first piece stands, from the number of pieces of each; [CLS] stands at 0."""
    return [1 + sum(max(1, before) for before in lengths[:word]) for word in range(len(lengths))]


def moved(tweet: Tweet = POST) -> int:
    """How many words get a wrong tag when the words without a piece are left out and the tags are not."""
    heard = [tag for word, tag in zip(tweet.words, tweet.tags, strict=True) if word != "\ufe0f"]
    return sum(gold != got for gold, got in zip(heard, tweet.tags, strict=False))


def patch_of(crop: int, row: int, column: int, side: int, patch: int) -> int:
    """The image position of a pixel: crops counted from 0, read line by line, behind the class token at 0."""
    grid = side // patch
    return 1 + crop * grid**2 + row // patch * grid + column // patch


EXERCISES: dict[str, Exercise] = {
    "pieces": Exercise(
        right=lambda: word_pieces("Nairwick"),
        mistakes={
            "You take the shortest piece that fits; the tokenizer is greedy the other way round.": lambda: [
                "nair",
                "##w",
                "##ick",
            ],
            "The letters are right, but one piece does not begin a word, and nothing in it says so.": lambda: [
                "nair",
                "wick",
            ],
            "The whole word is not in the vocabulary, but its parts are: [UNK] is only for words that get stuck.": (
                lambda: ["[UNK]"]
            ),
        },
        praise="The longest piece first, and what does not begin a word is marked.",
    ),
    "moved": Exercise(
        right=moved,
        mistakes={
            "You count the invisible word alone; everything behind it moves, too.": lambda: 1,
            "You count every word behind the heart; some of them get a stranger's tag that happens to be the same.": (
                lambda: 5
            ),
            "You count the two words of the name; look at the word behind the name as well.": lambda: 2,
        },
        praise="One invisible character, and the name Harbor Bank is gone.",
    ),
    "first_pieces": Exercise(
        right=first_pieces,
        mistakes={
            "The first word starts where [CLS] stands.": lambda lengths: [x - 1 for x in first_pieces(lengths)],
            "Two words share a position: a word without a piece has to take up a place of its own.": lambda lengths: [
                1 + sum(lengths[:word]) for word in range(len(lengths))
            ],
            "These are the last pieces of the words.": lambda lengths: [
                1 + sum(max(1, x) for x in lengths[: word + 1]) - 1 for word in range(len(lengths))
            ],
            "You count words, as if each had one piece.": lambda lengths: [1 + word for word in range(len(lengths))],
        },
        cases=(([1, 3, 1],), ([2, 0, 1, 4, 1],), ([1, 1, 0, 0, 2, 1],)),
        praise="Every word has one place where its tag is read, and no two share it.",
    ),
    "positions": Exercise(
        right=lambda crops, side, patch: 1 + crops * (side // patch) ** 2,
        mistakes={
            "These are the patches alone; something stands in front of them.": lambda crops, side, patch: (
                crops * (side // patch) ** 2
            ),
            "You put a class token in front of each crop; the whole image side has one.": lambda crops, side, patch: (
                crops * (1 + (side // patch) ** 2)
            ),
            "These are the patches along one side of a crop; a crop has rows and columns.": lambda crops, side, patch: (
                1 + crops * (side // patch)
            ),
            "This is one crop; the crops stand side by side.": lambda crops, side, patch: 1 + (side // patch) ** 2,
        },
        cases=((3, 128, 32), (3, 32, 8), (3, 224, 16), (1, 224, 32), (5, 64, 32)),
        praise="For the paper's crops and for those of the tiny preset it is 49.",
    ),
    "patch_of": Exercise(
        right=patch_of,
        mistakes={
            "You count from the first patch, but position 0 is the class token's.": lambda *case: patch_of(*case) - 1,
            "You go down the columns; patches are read line by line, as a text is.": (
                lambda crop, row, column, side, patch: patch_of(crop, column, row, side, patch)
            ),
            "All crops begin at the same number; those before this one need their places.": (
                lambda crop, row, column, side, patch: patch_of(0, row, column, side, patch)
            ),
            "You count pixels; a whole patch of them is one position.": (
                lambda crop, row, column, side, patch: 1 + crop * side**2 + row * side + column
            ),
        },
        cases=((0, 0, 0, 32, 8), (0, 9, 30, 32, 8), (2, 31, 2, 32, 8), (1, 40, 100, 128, 32)),
        praise="The same numbers stand on the patches in the next picture.",
    ),
}


# The text side.


def sketch() -> None:
    """Show the whole lesson in one drawing: words to rows of numbers, crops to rows of numbers, of one width."""
    figure = plt.figure(figsize=(9.3, 3.1))
    ax = figure.add_axes((0, 0, 1, 0.9), xlim=(0, 93), ylim=(0, 31))
    ax.axis("off")
    mono: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5, "family": "monospace"}
    words, pieces = ("proud", "Nairwick", "!"), ("[CLS]", "proud", "nair", "##wick", "!", "[SEP]")
    for place, word in zip((1, 2, 4), words, strict=True):  # beside its first piece
        ax.text(6, 27.5 - 4.2 * place, word, color=style.TEXT, **mono)
    for place, piece in enumerate(pieces):
        y = 27.5 - 4.2 * place
        _box(ax, 16, y, 9, 3.2, piece, "#D6E8F5", style.TEXT)
        _row(ax, 30, y, place, style.TEXT)
    for crop in range(3):
        y = 22 - 9 * crop
        ax.add_patch(Rectangle((82, y), 7.2, 7.2, facecolor="#F7DCCB", edgecolor=style.IMAGE, linewidth=1.4))
        for line in range(1, 4):
            ax.plot((82, 89.2), (y + 1.8 * line,) * 2, color=style.IMAGE, linewidth=0.6)
            ax.plot((82 + 1.8 * line,) * 2, (y, y + 7.2), color=style.IMAGE, linewidth=0.6)
    for place, patch in enumerate(("class", "1", "2", "…", "47", "48")):
        y = 27.5 - 4.2 * place
        _box(ax, 68, y, 7, 3.2, patch, "#F7DCCB", style.IMAGE)
        if patch != "…":
            _row(ax, 48, y, place + 7, style.IMAGE)
    arrow = {"arrowstyle": "-|>", "color": style.GREY, "lw": 1.2}
    for start, end in ((11, 15.4), (25.4, 29.6), (81.4, 75.6), (67.4, 63.4)):
        ax.annotate("", (end, 19.1), (start, 19.1), arrowprops=arrow)
    ax.text(37.5, 0.6, "n rows of d numbers", color=style.TEXT, ha="center", fontsize=9)
    ax.text(55.5, 0.6, "m rows of d numbers", color=style.IMAGE, ha="center", fontsize=9)
    ax.text(6, 0.6, "words", color=style.TEXT, ha="center", fontsize=9)
    ax.text(20.5, 0.6, "pieces", color=style.TEXT, ha="center", fontsize=9)
    ax.text(71.5, 0.6, "positions", color=style.IMAGE, ha="center", fontsize=9)
    ax.text(85.6, 0.6, "three crops", color=style.IMAGE, ha="center", fontsize=9)
    figure.suptitle("From both sides come rows of d numbers, so that words and patches can be compared", x=0.012, ha="left")  # fmt: skip
    alt = "A drawing. From the left, words are split into pieces and each piece becomes a row of numbers. From the right, "
    show(
        figure,
        alt + "three crops are cut into patches, and a class token and each patch become a row of as many numbers.",
    )


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, face: str, edge: str) -> None:
    ax.add_patch(Rectangle((x, y - height / 2), width, height, facecolor=face, edgecolor=edge, linewidth=0.9))
    ax.text(x + width / 2, y, text, ha="center", va="center", fontsize=8.2, family="monospace")


def _row(ax: Axes, x: float, y: float, seed: int, hue: str) -> None:
    """Eight cells of some strength: a row of numbers."""
    for cell, strength in enumerate(np.random.RandomState(seed).uniform(0.08, 0.85, 8)):
        place = (x + 1.85 * cell, y - 1.2)
        ax.add_patch(Rectangle(place, 1.85, 2.4, facecolor=hue, alpha=strength, edgecolor="white", linewidth=0.5))


@dataclass(frozen=True)
class _Piece:
    """A box of the drawing."""

    text: str
    word: int | None
    """The word that it starts; None for the later pieces of a word, [CLS] and [SEP]."""
    inside: bool
    """Whether it reaches the model."""


def _boxes(tweet: Tweet, batcher: Batcher) -> list[_Piece]:
    encoded = batcher.encode(tweet)
    room, boxes = len(encoded.pieces) - 2, list[_Piece]()
    for index, word in enumerate(tweet.words):
        for number, piece in enumerate(batcher.tokenizer.tokenize(word) or ["[UNK]"]):
            inside = len(boxes) < room and index < len(encoded.first)
            boxes.append(_Piece(readable(piece), None if number else index, inside))
    return [_Piece("[CLS]", None, True), *boxes, _Piece("[SEP]", None, True)]


def _places(boxes: Sequence[_Piece], words: Sequence[str]) -> list[tuple[float, int, float]]:
    """Start, line and width of each box, in letters; a word has the room that its own letters need above its pieces."""
    widths = [max(len(box.text), 2) + 1.6 for box in boxes]
    starts = [i for i, box in enumerate(boxes) if box.word is not None or box.text in ("[CLS]", "[SEP]")]
    places, x, line = list[tuple[float, int, float]](), 0.0, 0
    for start, end in itertools.pairwise([*starts, len(boxes)]):
        word = boxes[start].word
        need = max(sum(widths[start:end]), 0 if word is None else len(readable(words[word])) + 1.2)
        if x and x + need > WIDE:
            x, line = 0.0, line + 1
        inner = x
        for i in range(start, end):
            places.append((inner, line, widths[i]))
            inner += widths[i]
        x += need
    return places


def draw_pieces(tweet: Tweet, batcher: Batcher) -> None:
    """Show a post's pieces as boxes in reading order; words above, tags below, and what the cut removes without colour.

    A first piece, where a tag is read, has a strong frame.
    """
    boxes = _boxes(tweet, batcher)
    placed = _places(boxes, tweet.words)
    kinds = {i: s.type for s in spans(tweet.words, tweet.tags) for i in range(s.start, s.end)} if tweet.tags else {}
    lines = placed[-1][1] + 1
    figure, ax = plt.subplots(figsize=(9.3, 0.75 + 0.85 * lines), layout="constrained")
    mono: dict[str, Any] = {"family": "monospace", "fontsize": 9, "va": "center"}
    for box, (x, line, width) in zip(boxes, placed, strict=True):
        y = -2.2 * line
        face = "white" if not box.inside else "#DDDDDD" if box.text in ("[CLS]", "[SEP]", "[UNK]") else "#D6E8F5"
        strong = box.word is not None and box.inside
        look = {"edgecolor": style.TEXT if box.inside else "#AAAAAA", "linewidth": 1.7 if strong else 0.7}
        ax.add_patch(Rectangle((x, y - 0.4), width - 0.5, 0.8, facecolor=face, **look))
        ax.text(x + width / 2 - 0.25, y, box.text, ha="center", color="black" if box.inside else "#8A8A8A", **mono)
        if box.word is None:
            continue
        kind = kinds.get(box.word)
        colour = style.look(kind).colour if kind else style.GREY
        weight = "bold" if kind else "normal"
        ax.text(x, y + 0.68, readable(tweet.words[box.word]), ha="left", color=colour, weight=weight, **mono)
        if kind:
            ax.text(x, y - 0.68, tweet.tags[box.word], ha="left", color=colour, **{**mono, "fontsize": 8})
    ax.set(xlim=(-0.5, WIDE + 0.5), ylim=(-2.2 * (lines - 1) - 1.1, 1.1))
    ax.axis("off")
    title, alt = _pieces_said(tweet, boxes)
    figure.suptitle(title, x=0.01, ha="left")
    show(figure, alt)


def _pieces_said(tweet: Tweet, boxes: Sequence[_Piece]) -> tuple[str, str]:
    inside = sum(box.inside for box in boxes)
    lost = sum(box.word is not None and not box.inside for box in boxes)
    title = f"{len(tweet.words)} words become {inside} pieces; each word's tag is read at its first piece"
    if lost:
        title = f"With room for {inside} pieces, {lost} of {len(tweet.words)} words never reach the model"
    return title, f"{title}. The boxes: {' '.join(box.text for box in boxes if box.inside)}."


def silent_words(corpus: Corpus, batcher: Batcher) -> int:
    """Words of the training split without a piece of their own."""
    tokenize = {word: not batcher.tokenizer.tokenize(word) for tweet in corpus.train for word in tweet.words}
    return sum(tokenize[word] for tweet in corpus.train for word in tweet.words)


@dataclass(frozen=True)
class Cuts:
    """What a cut costs a split."""

    posts: int
    """Posts that lose pieces."""
    lost: int
    """Gold entities that cannot be found whole."""


def cuts(tweets: Sequence[Tweet], batcher: Batcher, lengths: Sequence[int]) -> list[Cuts]:
    """What each `max_length` of `lengths` costs."""
    sizes = [np.cumsum([1, *batcher.word_lengths(tweet)]) for tweet in tweets]  # where each word starts, and the end
    entities = [[s.end for s in spans(tweet.words, tweet.tags)] for tweet in tweets]
    found = []
    for length in lengths:
        # A word is inside if its first piece is: the last place is [SEP]'s.
        reach = [int((ends[:-1] < length - 1).sum()) for ends in sizes]
        cut = sum(int(ends[-1]) > length - 1 for ends in sizes)
        found.append(Cuts(cut, sum(end > r for r, ends in zip(reach, entities, strict=True) for end in ends)))
    return found


def draw_cuts(corpus: Corpus, batcher: Batcher) -> None:
    """Show what each `max_length` costs the test split, in posts that are cut and in gold entities out of reach."""
    lengths = list(range(12, 68, 4))
    found, total = cuts(corpus.test, batcher, lengths), _entities(corpus)
    lines = (
        ([100 * c.posts / len(corpus.test) for c in found], style.TEXT, "o", "posts that are cut"),
        ([100 * c.lost / max(total, 1) for c in found], style.IMAGE, "s", "gold entities out of reach"),
    )
    figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for values, colour, marker, label in lines:
        ax.plot(lengths, values, color=colour, marker=marker, label=label)
    ax.axvline(40, color=style.GREY, linestyle=":", linewidth=1)
    ax.text(40.6, 97, "the paper's 40", color=style.GREY, va="top")
    ax.set(xlabel="max_length, in pieces", ylabel="% of the test split", ylim=(-3, 100), xticks=lengths)
    ax.legend(frameon=False, loc="center right")
    at = found[lengths.index(40)]
    title = f"At 40 pieces, {at.posts} of {len(corpus.test):,} posts are cut and {at.lost} of {total:,} entities are out of reach"
    figure.suptitle(title, x=0.01, ha="left")
    show(figure, f"Two falling curves over max_length from 12 to 64. {title}; at 64, {found[-1].posts} and {found[-1].lost}.")  # fmt: skip


def _entities(corpus: Corpus) -> int:
    return sum(len(spans(tweet.words, tweet.tags)) for tweet in corpus.test)


def said_of_text(lesson: Opened) -> str:
    """How many words have no piece, and what the cut costs: here, and on Twitter with BERT's pieces."""
    corpus, batcher = lesson.corpus, lesson.model.batcher
    here = cuts(corpus.test, batcher, [40])[0]
    silent, (all_silent, selectors) = silent_words(corpus, batcher), SILENT_TWITTER
    cut, posts, lost = CUT_TWITTER
    name = "TinyTweets" if lesson.tiny else corpus.name
    return (
        f"**Without a piece:** {silent} words of the training split of {name}. BERT's tokenizer leaves {all_silent} words of "
        f"Twitter-2017's training split without one; {selectors} of these are a lone U+FE0F.\n\n**The cut at 40:** "
        f"{here.posts} of {len(corpus.test):,} test posts of {name} are cut, and {here.lost} of {_entities(corpus):,} gold "
        f"entities cannot be found whole. On Twitter-2015 with BERT's pieces, {cut:,} of {posts:,} test posts are cut, mostly "
        f"in the links at their ends, and {lost} gold entities start past the cut."
    )


# The image side.


def chosen_post(lesson: Opened) -> Tweet:
    """A test post whose picture belongs to it; in a corpus without truth, the first one with a picture."""
    test = lesson.corpus.test
    shown = [t for t in test if t.truth and t.truth.related and t.truth.ambiguous] if lesson.tiny else []
    return next(iter(shown or [t for t in test if t.image is not None] or test))


def draw_crops(crops: Tensor, grid: int) -> None:
    """Show three crops with the number of each patch, and the positions in their order.

    Args:
        crops: (3, side, side, 3) uint8.
        grid: patches along one side.
    """
    side = crops.shape[1]
    patch, few = side // grid, grid <= 4
    figure = plt.figure(figsize=(9.3, 4.7), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(3.1, 1.35))
    for number, ax in enumerate(parts[0].subplots(1, len(crops), squeeze=False)[0]):
        ax.imshow(crops[number].cpu())
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"crop {number + 1}", fontsize=10)
        for line in range(1, grid):
            ax.axhline(line * patch - 0.5, color="white", linewidth=1)
            ax.axvline(line * patch - 0.5, color="white", linewidth=1)
        for index in range(grid * grid):
            y, x = divmod(index, grid)
            if few or index in (0, grid * grid - 1):
                box = {"facecolor": "black", "alpha": 0.6, "pad": 1.2, "linewidth": 0}
                place = ((x + 0.5) * patch - 0.5, (y + 0.5) * patch - 0.5)
                ax.text(*place, str(1 + number * grid * grid + index), ha="center", va="center", fontsize=8.5, color="white", bbox=box)  # fmt: skip
    _draw_line(parts[1], crops[:, : grid * patch, : grid * patch].cpu(), grid, patch)
    count = len(crops) * grid**2
    title = f"{len(crops)} crops become {count} patches, read line by line; with the class token 0 these are {1 + count} positions"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    show(figure, f"{title}. Above, the crops of a post with a grid and numbers; below, the same patches in lines of sixteen.")  # fmt: skip


def _draw_line(figure: Any, crops: Tensor, grid: int, patch: int) -> None:
    """The first sixteen patches of each crop, one line a crop, with the class token in front."""
    shown = crops.reshape(len(crops), grid, patch, grid, patch, 3).permute(0, 1, 3, 2, 4, 5).flatten(1, 2)
    axes = figure.subplots(len(crops), 17)
    for row, column in np.ndindex(len(crops), 17):
        ax: Any = axes[row, column]
        ax.set(xticks=[], yticks=[])
        for edge in ax.spines.values():
            edge.set_visible(False)
        if column:
            ax.imshow(shown[row, column - 1])
            if column in (1, 16):
                ax.set_title(str(row * grid**2 + column), fontsize=7, loc="center", pad=1.5)
        elif not row:
            ax.imshow(torch.full((patch, patch, 3), 221))
            ax.text(patch / 2 - 0.5, patch / 2 - 0.5, "0", ha="center", va="center", fontsize=9)


def resize_matrix(new: int, old: int) -> np.ndarray:
    """Bicubic weights along one side, (new, old): row i has those of the old cells for new cell i.

    A new cell's middle lies among the old ones; the two old cells on each side of it count, by a cubic curve of their
    distance. A cell past the edge is the edge's.
    """

    def weight(distance: float, a: float = -0.75) -> float:  # PyTorch's curve
        t = abs(distance)
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0

    weights = np.zeros((new, old))
    for i in range(new):
        middle = (i + 0.5) * old / new - 0.5
        for j in range(int(np.floor(middle)) - 1, int(np.floor(middle)) + 3):
            weights[i, min(max(j, 0), old - 1)] += weight(middle - j)
    return weights


def made_up_table() -> tuple[Tensor, dict[str, np.ndarray]]:
    """A CLIP-like table of positions with four features that an eye knows: (1 + 7 × 7, 4), and the features, 7 × 7."""
    rows, columns = np.mgrid[0:7, 0:7]
    features = {
        "row": rows / 6,
        "column": columns / 6,
        "a bump": np.exp(-((rows - 2) ** 2 + (columns - 4) ** 2) / 4),
        "a checkerboard": (rows + columns) % 2 * 1.0,
    }
    table = torch.zeros(50, len(features))
    table[0] = 9  # the class token's
    table[1:] = torch.tensor(np.stack([feature.ravel() for feature in features.values()], 1))
    return table, features


def draw_resize(grid: int = 4) -> None:
    """Show what becomes of four made-up features of a 7 × 7 table at another grid."""
    table, features = made_up_table()
    resized = crop_positions(table, 1, grid)[1:].T.reshape(-1, grid, grid).numpy()
    low, high = min(0.0, resized.min()), max(1.0, resized.max())
    figure, axes = plt.subplots(2, len(features), figsize=(9, 4.4), layout="constrained")
    drawn = None
    for column, (name, feature) in enumerate(features.items()):
        for row, values in enumerate((feature, resized[column])):
            ax = axes[row, column]
            drawn = ax.imshow(values, vmin=low, vmax=high)
            ax.set(xticks=[], yticks=[])
            ax.set_title((f"{name}\n" if row == 0 else "") + f"{len(values)} × {len(values)}", fontsize=9.5)
    assert drawn is not None
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="value of the feature")
    kept = np.ptp(resized[3])
    title = f"From 7 × 7 to {grid} × {grid}: slopes and bumps survive, a checkerboard keeps {100 * kept:.0f} % of its contrast"
    figure.suptitle(title, x=0.01, ha="left")
    show(figure, f"{title}. Four made-up features of positions, above as 7 by 7 pictures and below at the new size.")


ORDERS = tuple(itertools.permutations(range(3)))
"""All orders of three crops; the first is the post's own."""


def predictions_by_order(model: MGIPS, tweets: Sequence[Tweet]) -> dict[tuple[int, ...], list[list[str]]]:
    """A model's tags of posts whose crops stand in each order: by order, one list a post."""
    data = TweetDataset(tweets, model.batcher, progress=False)
    tags = {order: [[]] * len(data) for order in ORDERS}
    with model.evaluating():
        for indices in evaluation_batches(data.lengths, 50):
            batch = data[indices].to(model.device)
            assert batch.crops is not None
            for order in ORDERS:
                turned = replace(batch, crops=batch.crops[:, list(order)])
                for i, row in zip(indices, model.decode(model(turned, read_batch=False), turned), strict=True):
                    tags[order][i] = row
    return tags


@dataclass(frozen=True)
class CropsTold:
    """Whether a trained model tells its crops apart: by its positions, and by what their order does."""

    cosines: np.ndarray
    """Of all positions of patches, (3 × grid², 3 × grid²)."""
    alike: float
    """Mean cosine of the same place in two crops; 1 at the start."""
    apart: float
    """Mean cosine of two places in one crop."""
    orders: dict[tuple[int, ...], Difference]
    """F1 with the crops in this order minus F1 with their own."""
    changed: int
    """Posts that get other tags in any order."""
    posts: int

    @property
    def largest(self) -> Difference:
        """The difference that is farthest from 0."""
        return max(self.orders.values(), key=lambda difference: abs(difference.difference))


def crops_told(model: MGIPS, tweets: Sequence[Tweet]) -> CropsTold:
    """Compare a model's positions of its three crops, and its tags with the crops in all six orders."""
    embedding = model.image_embedding
    positions: Tensor = embedding.positions.detach()[embedding.first :].cpu()  # pyright: ignore
    unit = torch.nn.functional.normalize(positions, dim=-1)
    cosines = (unit @ unit.T).numpy()
    size = len(cosines) // 3
    blocks = cosines.reshape(3, size, 3, size)
    same = np.mean([blocks[a, i, b, i] for a, b in itertools.combinations(range(3), 2) for i in range(size)])
    other = np.mean([blocks[a, :, a][~np.eye(size, dtype=bool)].mean() for a in range(3)])
    tags = predictions_by_order(model, tweets)
    gold = [tweet.tags for tweet in tweets]
    counts = {order: tweet_counts(gold, rows) for order, rows in tags.items()}
    own = counts[ORDERS[0]]
    orders = {order: paired_bootstrap([own], [counts[order]], 2000) for order in ORDERS[1:]}
    changed = sum(any(tags[order][i] != tags[ORDERS[0]][i] for order in ORDERS) for i in range(len(tweets)))
    return CropsTold(cosines, float(same), float(other), orders, changed, len(tweets))


def draw_crops_told(told: CropsTold) -> None:
    """Show the cosines of all positions, and the F1 that another order of the crops costs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.3, 3.9), layout="constrained", width_ratios=(1.1, 1))
    size = len(told.cosines) // 3
    drawn = left.imshow(told.cosines, vmin=-1, vmax=1, cmap="RdBu_r")
    for edge in (size, 2 * size):
        left.axhline(edge - 0.5, color="black", linewidth=0.8)
        left.axvline(edge - 0.5, color="black", linewidth=0.8)
    middles = [size * (crop + 0.5) - 0.5 for crop in range(3)]
    names = [f"crop {crop + 1}" for crop in range(3)]
    left.set(xticks=middles, xticklabels=names, yticks=middles, yticklabels=names)
    left.tick_params(length=0)
    left.set_title("cosine of two position vectors", fontsize=9.5)
    figure.colorbar(drawn, ax=left, shrink=0.85)
    for y, difference in enumerate(told.orders.values()):
        ends = [[100 * (difference.difference - difference.low)], [100 * (difference.high - difference.difference)]]
        right.errorbar(100 * difference.difference, y, xerr=ends, fmt="o", color=style.IMAGE, capsize=3)
    right.axvline(0, color="black", linewidth=0.8)
    right.set(
        yticks=range(len(told.orders)), yticklabels=[" ".join(str(c + 1) for c in order) for order in told.orders]
    )
    right.set(xlabel="points of F1, with 95 % interval", xlim=(-3, 3), ylim=(len(told.orders) - 0.5, -0.5))
    right.set_title("crops in another order: difference to 1 2 3", fontsize=9.5)
    title = told_title(told)
    figure.suptitle(title, x=0.01, ha="left")
    show(
        figure,
        f"{title}. Left, cosines of all position vectors, crop by crop; right, differences of F1 for five orders.",
    )


def told_title(told: CropsTold) -> str:
    """The finding in one line."""
    lost = told.largest.verdict == "hurts"
    if lost:
        return f"The order of the crops matters: F1 changes by up to {100 * told.largest.difference:+.1f} points"
    return f"The crops' positions stayed alike (cosine {told.alike:.2f}), and the crops' order hardly matters"


def said_of_crops(told: CropsTold) -> str:
    """The numbers of that finding."""
    worst = told.largest
    return (
        f"The same place in two crops has position vectors with a mean cosine of {told.alike:.2f} (it was 1 at the start); two "
        f"places in one crop, {told.apart:.2f}. Over all six orders of the crops, {told.changed} of {told.posts:,} posts get other "
        f"tags in at least one. The largest change of F1 is {worst} points (a true change of {100 * worst.detectable:.1f} would "
        "have been detected with a chance of 80 %): "
        + (
            "this model tells its crops apart by their place."
            if worst.verdict == "hurts"
            else "the model goes by what a crop shows, and not by which crop it is."
        )
    )
