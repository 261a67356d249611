"""What a word or a patch looks at: eqs 2-4's attention over the three crops and over the words, both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.lab.figures import style
from mgips.lab.figures.text import fitted, text_width
from mgips.lab.widgets.base import ModelInspector, figure, look
from mgips.lab.widgets.html import shortened
from mgips.model.mgips import CROPS, MGIPS

WORDS, PICTURE = "words look at the picture", "picture looks at the words"
CLASS = "class token"


def inspect_attention(model: MGIPS, tweets: Sequence[Tweet]) -> AttentionInspector:
    """Look at the attention of one layer and head, from a word or from a patch, over the crops and over the words.

    Raises:
        ConfigError: a model without images, or no posts.
    """
    return AttentionInspector(model, tweets)


@dataclass(frozen=True)
class Shares:
    """Where one query's attention goes. All of it sums to 1."""

    patches: np.ndarray
    """(crops, side, side)."""
    class_token: float
    """The image's class token."""
    words: np.ndarray
    """(w,) the words inside the cut, each with all of its pieces."""
    special: float
    """[CLS] and [SEP]."""

    @property
    def picture(self) -> float:
        """The image's side together."""
        return float(self.patches.sum() + self.class_token)


class AttentionInspector(ModelInspector):
    """See `inspect_attention`."""

    def __init__(self, model: MGIPS, tweets: Sequence[Tweet]) -> None:
        if model.image_embedding is None:
            raise ConfigError("This model has no images (variant text): no side looks at the other.")
        super().__init__("mgips-attention", model, tweets)
        self.side = round(((len(model.image_embedding.positions) - 1) / CROPS) ** 0.5)
        """Patches a side of a crop."""
        layers, heads = len(model.encoder.text), model.encoder.text.heads
        wide = {"description_width": "45px"}
        self.layer = widgets.IntSlider(
            value=layers, min=1, max=layers, description="Layer", style=wide, layout=widgets.Layout(width="240px")
        )
        self.head = widgets.Dropdown(
            options=[("mean of heads", 0), *((f"head {head + 1}", head + 1) for head in range(heads))],
            description="Head",
            style=wide,
            layout=widgets.Layout(width="200px"),
        )
        self.direction = widgets.Dropdown(
            options=[WORDS, PICTURE],
            description="Direction",
            style={"description_width": "65px"},
            layout=widgets.Layout(width="300px"),
        )
        self.word = widgets.SelectionSlider(
            options=[("", 0)],
            description="Word (← →)",
            continuous_update=False,
            style={"description_width": "85px"},
            tooltip="Who looks. Click the slider or tab to it; then the left and right arrow keys move it",
            layout=widgets.Layout(width="480px"),
        )
        for name in ("layer", "head", "direction", "word"):
            getattr(self, name).add_class(f"mgips-{name}")
        self.direction.observe(self.guard(self._turn), "value")
        self.begin([[self.post, self.layer, self.head], [self.direction, self.word]])

    def _turn(self) -> None:
        with self.setting():
            self.adapt()

    def adapt(self) -> None:
        """The slider of queries holds the post's words, or the image's positions."""
        batch, _ = self.computed()
        if self.direction.value == WORDS:
            words = self.selected.words[: int(batch.word_mask.sum())]
            options = [(f"{place + 1} {shortened(word, 12)}", place) for place, word in enumerate(words)]
            start = next((i for i, tag in enumerate(self.selected.tags[: len(words)]) if tag != "O"), 0)
        else:
            names = [CLASS] + [
                f"crop {crop + 1}, row {row + 1}, col {column + 1}"
                for crop in range(CROPS)
                for row in range(self.side)
                for column in range(self.side)
            ]
            options, start = [(name, place) for place, name in enumerate(names)], 0
        self.word.description = "Word (← →)" if self.direction.value == WORDS else "Patch (← →)"
        if list(self.word.options) != options:
            self.word.options = options
            self.word.value = start

    def shares(self) -> Shares:
        """Where the attention of the chosen word (its first piece) or image position goes."""
        batch, out = self.computed()
        attention = out.attention[self.layer.value - 1]
        n, m = batch.pieces.shape[1], 1 + CROPS * self.side**2
        from_text = self.direction.value == WORDS
        weights = (attention.text if from_text else attention.image)[0].float().cpu()  # (heads, q, k)
        weights = weights.mean(0) if self.head.value == 0 else weights[self.head.value - 1]
        first = batch.first[0].tolist()
        row = weights[first[self.word.value] if from_text else self.word.value].numpy()
        if len(row) < m + n:  # the towers do not meet: each sees only itself
            over_text, over_image = (row, np.zeros(m)) if from_text else (np.zeros(n), row)
        else:
            over_image, over_text = (row[:m], row[m:]) if from_text else (row[n:], row[:n])
        ends = [*first[1:], n - 1]
        words = np.array([over_text[a:b].sum() for a, b in zip(first, ends, strict=True)])
        return Shares(
            over_image[1:].reshape(CROPS, self.side, self.side),
            float(over_image[0]),
            words,
            float(over_text[0] + over_text[-1]),
        )

    def _query(self) -> str:
        if self.direction.value == PICTURE:
            return f"the {CLASS}" if self.word.value == 0 else self.word.label
        return f"“{shortened(self.selected.words[self.word.value], 24)}”"

    def _head(self) -> str:
        return self.head.label

    def describe(self) -> str:
        """Where most of it goes, in words."""
        shares = self.shares()
        crop, row, column = np.unravel_index(shares.patches.argmax(), shares.patches.shape)
        word = self.selected.words[int(shares.words.argmax())]
        return (
            f"Attention of layer {self.layer.value}, {self._head()}, in post {self.selected.id}: {self._query()} gives "
            f"{shares.picture:.0%} to the picture, most to crop {crop + 1}, row {row + 1}, column {column + 1} "
            f"({shares.patches.max():.1%}), and {1 - shares.picture:.0%} to the text, most to “{word}” "
            f"({shares.words.max():.1%})."
        )

    def picture(self) -> Figure:
        """The crops and the words under their shares."""
        with look():
            return self._draw()

    def _draw(self) -> Figure:
        batch, _ = self.computed()
        shares = self.shares()
        from_text = self.direction.value == WORDS
        width, left, crop_side, gap = 9.0, 0.2, 2.6, 0.25
        words = [fitted(word, 3, 10) for word in self.selected.words[: len(shares.words)]]
        places = flow(words, width - 2 * left)
        head, line = 0.75, 0.5
        height = head + crop_side + 0.75 + line * (1 + places[-1][1]) + 0.1
        drawn = figure(width, height)
        drawn.suptitle(
            fitted(
                f"Layer {self.layer.value}, {self._head()}: {self._query()} looks at the picture ({shares.picture:.0%}) "
                f"and at the text ({1 - shares.picture:.0%})",
                width - 2 * left,
                11,
            ),
            x=left / width,
            y=1 - 0.1 / height,
            ha="left",
            va="top",
            fontsize=11,
            parse_math=False,
        )
        colours = matplotlib.colormaps[style.SEQUENTIAL]
        top = height - head
        largest = max(float(shares.patches.max()), 1e-12)
        for crop in range(CROPS):
            x = left + crop * (crop_side + gap)
            axes = drawn.add_axes((x / width, (top - crop_side) / height, crop_side / width, crop_side / height))
            axes.imshow(batch.crops[0, crop].numpy(), extent=(0, self.side, self.side, 0))
            axes.imshow(
                shares.patches[crop], cmap=colours, vmin=0, vmax=largest, alpha=0.6, extent=(0, self.side, self.side, 0)
            )
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_title(f"crop {crop + 1}: {shares.patches[crop].sum():.0%}", fontsize=10)
            for (row, column), share in np.ndenumerate(shares.patches[crop]):
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    f"{100 * share:.1f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1},
                )
            query = self.word.value - 1 - crop * self.side**2
            if not from_text and 0 <= query < self.side**2:
                row, column = divmod(query, self.side)
                axes.add_patch(Rectangle((column, row), 1, 1, fill=False, ec=style.IMAGE, lw=4, clip_on=False))
        top -= crop_side + 0.22
        note = (
            f"Numbers are percent of the attention. Class token: {100 * shares.class_token:.1f}; "
            f"[CLS] and [SEP]: {100 * shares.special:.1f}. Framed: who looks."
        )
        if not bool(batch.has_image[0]):
            note += " No image: the default one stands in."
        drawn.text(left / width, top / height, note, fontsize=9, va="top")
        top -= 0.58
        largest = max(float(shares.words.max()), 1e-12)
        for place, (word, (x, row)) in enumerate(zip(words, places, strict=True)):
            colour = colours(shares.words[place] / largest)
            dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5
            x, y = (left + x) / width, (top - row * line) / height
            frame = style.IMAGE if from_text and place == self.word.value else "none"
            drawn.text(
                x,
                y,
                word,
                fontsize=10,
                color="white" if dark else "black",
                parse_math=False,
                bbox={"fc": colour, "ec": frame, "lw": 2.5, "pad": 2.5},
            )
            drawn.text(x, y - 0.16 / height, f"{100 * shares.words[place]:.1f}", fontsize=7, va="center")
        return drawn


def flow(words: Sequence[str], width: float, points: float = 10, gap: float = 0.14) -> list[tuple[float, int]]:
    """Where words go that fill lines of a width, in inches: the start and the line of each."""
    places, x, line = [], 0.0, 0
    for word in words:
        room = max(text_width(word, points), text_width("00.0", 7))
        if x and x + room > width:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += room + gap
    return places
