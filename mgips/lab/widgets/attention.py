"""What a word or a patch attends to: attention (eqs 2-4) over the three crops and the words, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.lab.figures import style
from mgips.lab.figures.text import fitted, flow, text_width
from mgips.lab.widgets.base import USE_ARROWS, ModelInspector, Page, control, slider
from mgips.lab.widgets.html import shortened
from mgips.model.mgips import CROPS, MGIPS

WORDS, PICTURE = "words look at the picture", "picture looks at the words"
CLASS = "class token"


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
        """All of the image's positions together."""
        return float(self.patches.sum() + self.class_token)


class AttentionInspector(ModelInspector):
    """The attention of one layer and head, from a word or from a patch, over the crops and over the words."""

    def __init__(self, model: MGIPS, tweets: Sequence[Tweet]) -> None:
        """Raises a ConfigError for a model without images, and where there are no posts."""
        if model.image_embedding is None:
            raise ConfigError("This model has no images (variant text): no attention joins text and image.")
        super().__init__("mgips-attention", model, tweets)
        self.side = round(((len(model.image_embedding.positions) - 1) / CROPS) ** 0.5)
        """Patches along one side of a crop."""
        layers, heads = len(model.encoder.text), model.encoder.text.heads
        choices = {"value": layers, "min": 1, "max": layers}
        self.layer = control(widgets.IntSlider, "layer", "240px", "45px", description="Layer", **choices)
        choices = {"options": [("mean of heads", 0), *((f"head {head}", head) for head in range(1, heads + 1))]}
        self.head = control(widgets.Dropdown, "head", "200px", "45px", description="Head", **choices)
        choices = {"options": [WORDS, PICTURE]}
        self.direction = control(widgets.Dropdown, "direction", "300px", "65px", description="Direction", **choices)
        self.word = slider("word", "480px", "85px", options=[("", 0)], tooltip=f"The query. {USE_ARROWS} move it")
        self.begin([self.post, self.layer, self.head], [self.direction, self.word])

    def adapt(self) -> None:
        """Offer the post's words, or the image's positions, as queries."""
        batch, _ = self.computed()
        from_text = self.direction.value == WORDS
        if from_text:
            words = self.selected.words[: int(batch.word_mask.sum())]
            names = [f"{place + 1} {shortened(word, 12)}" for place, word in enumerate(words)]
            start = next((i for i, tag in enumerate(self.selected.tags[: len(words)]) if tag != "O"), 0)
        else:
            patches = np.ndindex(CROPS, self.side, self.side)
            names = [CLASS, *(f"crop {crop + 1}, row {row + 1}, col {column + 1}" for crop, row, column in patches)]
            start = 0
        self.word.description = "Word (← →)" if from_text else "Patch (← →)"
        options = tuple((name, place) for place, name in enumerate(names))
        if self.word.options != options:
            self.word.options, self.word.value = options, start

    def shares(self) -> Shares:
        """Where the attention of the chosen word (its first piece) or image position goes."""
        batch, out = self.computed()
        attention = out.attention[self.layer.value - 1]
        n, m = batch.pieces.shape[1], 1 + CROPS * self.side**2
        first: list[int] = batch.first[0].tolist()
        from_text = self.direction.value == WORDS
        weights = attention.text if from_text else attention.image
        assert weights is not None, "a model with images has attention on both sides"
        heads = weights[0, :, first[self.word.value] if from_text else self.word.value].float().cpu()  # (heads, keys)
        row = (heads.mean(0) if self.head.value == 0 else heads[self.head.value - 1]).numpy()
        row = np.pad(row, (m + n - len(row), 0))  # without mutual attention, the other side's keys are missing in front
        over_image, over_text = (row[:m], row[m:]) if from_text else (row[n:], row[:n])
        return Shares(
            patches=over_image[1:].reshape(CROPS, self.side, self.side),
            class_token=float(over_image[0]),
            words=np.array([over_text[a:b].sum() for a, b in zip(first, [*first[1:], n - 1], strict=True)]),
            special=float(over_text[0] + over_text[-1]),
        )

    def _query(self) -> str:
        if self.direction.value == PICTURE:
            return f"the {CLASS}" if self.word.value == 0 else self.word.label
        return f"“{shortened(self.selected.words[self.word.value], 24)}”"

    def describe(self) -> str:
        """The largest shares, in words."""
        shares = self.shares()
        crop, row, column = np.unravel_index(shares.patches.argmax(), shares.patches.shape)
        word = self.selected.words[int(shares.words.argmax())]
        return (
            f"Attention of layer {self.layer.value}, {self.head.label}, in post {self.selected.id}: {self._query()} gives "
            f"{shares.picture:.0%} to the picture, most to crop {crop + 1}, row {row + 1}, column {column + 1} "
            f"({shares.patches.max():.1%}), and {1 - shares.picture:.0%} to the text, most to “{word}” "
            f"({shares.words.max():.1%})."
        )

    def draw(self) -> Figure:
        """The crops and the words with their shares."""
        batch, _ = self.computed()
        assert batch.crops is not None
        shares = self.shares()
        from_text = self.direction.value == WORDS
        width, left, crop_side, gap, head, line = 9.0, 0.2, 2.6, 0.25, 0.75, 0.5
        words = [fitted(word, 3, 10) for word in self.selected.words[: len(shares.words)]]
        least = text_width("00.0", 7)
        places = flow([max(text_width(word, 10), least) for word in words], [0.14] * len(words), width - 2 * left)
        height = head + crop_side + 0.75 + line * (1 + places[-1][1]) + 0.1
        ends = f"the picture ({shares.picture:.0%}) and to the text ({1 - shares.picture:.0%})"
        title = f"Layer {self.layer.value}, {self.head.label}: {self._query()} attends to {ends}"
        page = Page(width, height, title, margin=left)
        colours = matplotlib.colormaps[style.SEQUENTIAL]
        top = height - head - crop_side
        extent = (0, self.side, self.side, 0)
        query = () if from_text or self.word.value == 0 else np.unravel_index(self.word.value - 1, shares.patches.shape)
        for crop, patches in enumerate(shares.patches):
            axes = page.panel(left + crop * (crop_side + gap), top, crop_side, crop_side)
            axes.imshow(batch.crops[0, crop].numpy(), extent=extent)
            axes.imshow(patches, cmap=colours, vmin=0, vmax=shares.patches.max(), alpha=0.6, extent=extent)
            axes.set_title(f"crop {crop + 1}: {patches.sum():.0%}", fontsize=10)
            box = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1}
            for (row, column), share in np.ndenumerate(patches):
                number = f"{100 * share:.1f}"
                axes.text(column + 0.5, row + 0.5, number, ha="center", va="center", fontsize=8, bbox=box)
                if query == (crop, row, column):
                    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, ec=style.IMAGE, lw=4, clip_on=False))
        top -= 0.22
        missing = "" if batch.has_image[0] else " No image: the default image is used."
        note = (
            f"Numbers are percent of the attention. Class token: {100 * shares.class_token:.1f}; "
            f"[CLS] and [SEP]: {100 * shares.special:.1f}. Framed: the query.{missing}"
        )
        page.write(left, top, note, va="top")
        top -= 0.58
        scale = Normalize(0, shares.words.max())
        for place, (word, share, (x, row)) in enumerate(zip(words, shares.words, places, strict=True)):
            colour = colours(scale(share))
            dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5
            x, y = (left + x) / width, (top - row * line) / height
            frame = style.IMAGE if from_text and place == self.word.value else "none"
            box = {"fc": colour, "ec": frame, "lw": 2.5, "pad": 2.5}
            page.text(x, y, word, fontsize=10, color="white" if dark else "black", parse_math=False, bbox=box)
            page.text(x, y - 0.16 / height, f"{100 * share:.1f}", fontsize=7, va="center")
        return page


inspect_attention = AttentionInspector
