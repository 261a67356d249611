"""What a word or a patch attends to: attention (eqs 2-4) over the three crops and the words, in both directions.

A model that reads captions attends to a caption's word pieces where others attend to patches.
"""

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
from mgips.lab.figures.text import fitted, flow, printable, text_width
from mgips.lab.widgets.base import USE_ARROWS, Inspected, ModelInspector, Page, control, loaded, slider
from mgips.lab.widgets.html import shortened
from mgips.model.embedding import CaptionEmbedding
from mgips.model.mgips import CROPS
from mgips.model.reading import Pool

WORDS, PICTURE = "words look at the picture", "picture looks at the words"
CLASS = "class token"
LINE = 0.5
"""From line to line of words with a number below each, in inches."""


@dataclass(frozen=True)
class Shares:
    """Where one query's attention goes. All of it sums to 1."""

    patches: np.ndarray
    """(crops, side, side); of a caption (pieces,), those after its [CLS]."""
    class_token: float
    """The image's class token, or the caption's [CLS]."""
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

    def __init__(self, model: Inspected, tweets: Sequence[Tweet], pool: Pool | Sequence[Tweet] | None = None) -> None:
        """
        Args:
            model: a model, a run, or the folder or name of either.
            pool: what a model that reads may read; the pictures of `tweets` by default. It is read after attention.

        Raises:
            ConfigError: a model without images, or no posts.
        """
        model = loaded(model)
        if model.image_embedding is None:
            raise ConfigError("This model has no images (variant text): no attention joins text and image.")
        super().__init__("mgips-attention", model, tweets, pool)
        self.length: int = model.image_embedding.length
        """m, the image side's positions."""
        self.captions = isinstance(model.image_embedding, CaptionEmbedding)
        self.first = 1 if isinstance(model.image_embedding, CaptionEmbedding) else model.image_embedding.first
        """Positions in front of the patches: a class token, where the encoder has one, and registers."""
        self.side = 0 if self.captions else round(((self.length - self.first) / CROPS) ** 0.5)
        """Patches along one side of a crop; 0 where captions are read."""
        layers, heads = len(model.encoder.text), model.encoder.text.heads
        self.layer = slider("layer", "240px", description="Layer", value=layers, min=1, max=layers)
        choices = {"options": [("mean of heads", 0), *((f"head {head}", head) for head in range(1, heads + 1))]}
        self.head = control(widgets.Dropdown, "head", "200px", "45px", description="Head", **choices)
        choices = {"options": [WORDS, PICTURE]}
        self.direction = control(widgets.Dropdown, "direction", "300px", "65px", description="Direction", **choices)
        self.word = slider("word", "480px", names=[""], tooltip=f"The query. {USE_ARROWS} move it")
        self.begin([self.post, self.layer, self.head], [self.direction, self.word])

    def adapt(self) -> None:
        """Offer the post's words, or the image's positions, as queries."""
        batch, _ = self.computed()
        from_text = self.direction.value == WORDS
        if from_text:
            words = self.selected.words[: int(batch.word_mask.sum())]
            names = [f"{place + 1} {shortened(word, 12)}" for place, word in enumerate(words)]
            start = next((i for i, tag in enumerate(self.selected.tags[: len(words)]) if tag != "O"), 0)
        elif self.captions:
            names, start = [f"{place} {piece}" for place, piece in enumerate(self._caption())], 0
        else:
            patches = np.ndindex(CROPS, self.side, self.side)
            names = [CLASS, *(f"register {place}" for place in range(1, self.first))][: self.first]
            names += [f"crop {crop + 1}, row {row + 1}, col {column + 1}" for crop, row, column in patches]
            start = 0
        name = "Word" if from_text else "Piece" if self.captions else "Patch"
        self.word.description = name
        self.word.offer(names, start)

    def _caption(self) -> list[str]:
        """The word pieces of the shown post's caption, as they can be printed, from [CLS] to [SEP]."""
        batch, _ = self.computed()
        assert batch.captions is not None and batch.caption_mask is not None
        ids = batch.captions[0][batch.caption_mask[0]].tolist()
        return [printable(piece) for piece in self.model.batcher.tokenizer.convert_ids_to_tokens(ids)]

    def shares(self) -> Shares:
        """Where the attention of the chosen word (its first piece) or image position goes."""
        batch, out = self.computed()
        attention = out.attention[self.layer.value - 1]
        n, m = batch.pieces.shape[1], self.length
        first: list[int] = batch.first[0].tolist()
        from_text = self.direction.value == WORDS
        weights = attention.text if from_text else attention.image
        assert weights is not None, "a model with images has attention on both sides"
        heads = weights[0, :, first[self.word.value] if from_text else self.word.value].float().cpu()  # (heads, keys)
        row = (heads.mean(0) if self.head.value == 0 else heads[self.head.value - 1]).numpy()
        row = np.pad(row, (m + n - len(row), 0))  # without mutual attention, the other side's keys are missing in front
        over_image, over_text = (row[:m], row[m:]) if from_text else (row[n:], row[:n])
        patches = over_image[self.first : len(self._caption()) if self.captions else None]
        return Shares(
            patches=patches if self.captions else patches.reshape(CROPS, self.side, self.side),
            class_token=float(over_image[: self.first].sum()),
            words=np.array([over_text[a:b].sum() for a, b in zip(first, [*first[1:], n - 1], strict=True)]),
            special=float(over_text[0] + over_text[-1]),
        )

    def _query(self) -> str:
        if self.direction.value == PICTURE and self.captions:
            return f"“{self._caption()[self.word.value]}” of the caption"
        if self.direction.value == PICTURE:
            return f"the {CLASS}" if self.word.label == CLASS else self.word.label
        return f"“{shortened(self.selected.words[self.word.value], 24)}”"

    def describe(self) -> str:
        """The largest shares, in words."""
        shares = self.shares()
        most = np.unravel_index(shares.patches.argmax(), shares.patches.shape)
        side, place = (
            "picture",
            ", ".join(f"{name} {at + 1}" for name, at in zip(("crop", "row", "column"), most, strict=False)),
        )
        if self.captions:
            side, place = "caption", f"“{self._caption()[1 + int(most[0])]}”"
        word = self.selected.words[int(shares.words.argmax())]
        return (
            f"Attention of layer {self.layer.value}, {self.head.label}, in post {self.selected.id}: {self._query()} gives "
            f"{shares.picture:.0%} to the {side}, most to {place} ({shares.patches.max():.1%}), and {1 - shares.picture:.0%} to the text, most to “{word}” "
            f"({shares.words.max():.1%})."
        )

    def draw(self) -> Figure:
        """The crops, or the caption, and the words with their shares."""
        batch, _ = self.computed()
        shares = self.shares()
        from_text = self.direction.value == WORDS
        width, left, crop_side, gap, head = 9.0, 0.2, 2.6, 0.25, 0.75
        words = _on_lines(self.selected.words[: len(shares.words)], width - 2 * left)
        caption = _on_lines(self._caption()[1:], width - 2 * left) if self.captions else []
        above = LINE * (1 + caption[-1][-1]) + 0.1 if self.captions else crop_side
        height = head + above + 0.75 + LINE * (1 + words[-1][-1]) + 0.1
        ends = f"the {'caption' if self.captions else 'picture'} ({shares.picture:.0%})"
        ends += f" and to the text ({1 - shares.picture:.0%})"
        title = f"Layer {self.layer.value}, {self.head.label}: {self._query()} attends to {ends}"
        page = Page(width, height, title, margin=left)
        top = height - head - above
        if self.captions:
            framed = None if from_text else self.word.value - 1
            _draw_words(page, left, height - head - 0.05, caption, shares.patches, framed)
        else:
            self._draw_crops(page, left, top, crop_side, gap, shares, from_text)
        top -= 0.22
        missing = " No caption." if self.captions else " No image: the default image is used."
        name = (
            "[CLS] of the caption"
            if self.captions
            else "Class token and registers"
            if self.first > 1
            else "Class token"
        )
        first = f"{name}: {100 * shares.class_token:.1f}; " if self.first else ""
        note = (
            f"Numbers are percent of the attention. {first}"
            f"[CLS] and [SEP]: {100 * shares.special:.1f}. Framed: the query.{'' if batch.has_image[0] else missing}"
        )
        page.write(left, top, note, va="top")
        _draw_words(page, left, top - 0.58, words, shares.words, self.word.value if from_text else None)
        return page

    def _draw_crops(
        self, page: Page, left: float, top: float, crop_side: float, gap: float, shares: Shares, from_text: bool
    ) -> None:
        """The crops side by side, tinted by their patches' shares; `top` is their lower edge, all in inches."""
        crops = self.computed()[0].crops
        assert crops is not None
        colours = matplotlib.colormaps[style.SEQUENTIAL]
        extent = (0, self.side, self.side, 0)
        place = -1 if from_text else self.word.value - self.first
        query = np.unravel_index(place, shares.patches.shape) if place >= 0 else ()
        for crop, patches in enumerate(shares.patches):
            axes = page.panel(left + crop * (crop_side + gap), top, crop_side, crop_side)
            axes.imshow(crops[0, crop].numpy(), extent=extent)
            axes.imshow(patches, cmap=colours, vmin=0, vmax=shares.patches.max(), alpha=0.6, extent=extent)
            axes.set_title(f"crop {crop + 1}: {patches.sum():.0%}", fontsize=10)
            box = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1}
            for (row, column), share in np.ndenumerate(patches):
                number = f"{100 * share:.1f}"
                axes.text(column + 0.5, row + 0.5, number, ha="center", va="center", fontsize=8, bbox=box)
                if query == (crop, row, column):
                    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, ec=style.IMAGE, lw=4, clip_on=False))


def _on_lines(words: Sequence[str], room: float) -> list[tuple[str, float, int]]:
    """Words as they are written, and where, in inches: from the left, and on which line."""
    words, least = [fitted(word, 3, 10) for word in words], text_width("00.0", 7)
    places = flow([max(text_width(word, 10), least) for word in words], [0.14] * len(words), room)
    return [(word, *place) for word, place in zip(words, places, strict=True)]


def _draw_words(
    page: Page, left: float, top: float, words: list[tuple[str, float, int]], shares: np.ndarray, framed: int | None
) -> None:
    """Words on the colours of their shares, each with its share below; one of them framed."""
    width, height = page.get_size_inches()
    colours, scale = matplotlib.colormaps[style.SEQUENTIAL], Normalize(0, shares.max())
    for place, ((word, x, row), share) in enumerate(zip(words, shares, strict=True)):
        colour = colours(scale(share))
        dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5
        x, y = (left + x) / width, (top - row * LINE) / height
        frame = style.IMAGE if place == framed else "none"
        box = {"fc": colour, "ec": frame, "lw": 2.5, "pad": 2.5}
        page.text(x, y, word, fontsize=10, color="white" if dark else "black", parse_math=False, bbox=box)
        page.text(x, y - 0.16 / height, f"{100 * share:.1f}", fontsize=7, va="center")


inspect_attention = AttentionInspector
