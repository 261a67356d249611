"""What a word or a patch attends to: attention (eqs 2-4) over the three crops and the words, in both directions.

A model that reads captions attends to a caption's word pieces where others attend to patches.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from mgips.data.batch import Batch
from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.lab.figures import style
from mgips.lab.figures.text import fitted, flow, printable, text_width
from mgips.lab.widgets.base import (
    PIXELS,
    USE_ARROWS,
    Inspected,
    ModelInspector,
    Page,
    control,
    loaded,
    slider,
    tint,
)
from mgips.lab.widgets.html import shortened
from mgips.lab.widgets.parts import Range
from mgips.model.embedding import CaptionEmbedding
from mgips.model.mgips import CROPS, MGIPS, Output
from mgips.model.reading import Pool
from mgips.run import Run

WORDS, PICTURE = "words look at the picture", "picture looks at the words"
CLASS = "class token"
WIDTH, MARGIN, APART = 9.0, 0.2, 0.3
"""Of the page, left and right of it, and between two panels; in inches, like all lengths of this module."""
BETWEEN = 0.15
"""Between two crops."""
LINE, STRIP = 0.42, 0.1
"""From line to line of words with a number below each; height of the words in a miniature."""
COVER = 0.75
"""How much of a patch the frame of the largest share covers. The middle stays free: the photo is seen in its colours."""
FEW = 6
"""At most so many numbers stand on the patches, and as many below the words; all others show on hover."""
ALL_LAYERS = 4
"""A model of at most so many layers shows every head of every layer. A deeper one shows the mean of each layer and the
heads of the chosen one: 12 x 12 heads would be too small to see a patch in, and writing their numbers would take longer
than everything else."""


@dataclass(frozen=True)
class Shares:
    """Where one query's attention goes. All of it sums to 1."""

    patches: np.ndarray
    """(crops, side, side); of a caption (pieces,), those after its [CLS]."""
    before: np.ndarray
    """What stands before the patches: the image's class token and registers, or the caption's [CLS]."""
    words: np.ndarray
    """(w,) the words inside the cut, each with all of its pieces."""
    special: float
    """[CLS] and [SEP]."""

    @property
    def class_token(self) -> float:
        """All that stands before the patches."""
        return float(self.before.sum())

    @property
    def picture(self) -> float:
        """All of the image's positions together."""
        return float(self.patches.sum()) + self.class_token


@dataclass(frozen=True)
class Places:
    """The m positions of a model's image side."""

    length: int
    """m."""
    captions: bool
    """Whether they are a caption's word pieces."""
    first: int
    """Positions in front of the patches: a class token, where the encoder has one, and registers; or the [CLS]."""
    side: int
    """Patches along one side of a crop; 0 where captions are read."""

    @staticmethod
    def of(model: MGIPS) -> Places:
        """Those of a model with images."""
        embedding = model.image_embedding
        assert embedding is not None
        if isinstance(embedding, CaptionEmbedding):
            return Places(embedding.length, True, 1, 0)
        side = round(((embedding.length - embedding.first) / CROPS) ** 0.5)
        return Places(embedding.length, False, embedding.first, side)

    def names(self, caption: Sequence[str]) -> list[str]:
        """What each position is called, given the caption's pieces."""
        if self.captions:
            return [f"{place} {piece}" for place, piece in enumerate(caption)]
        patches = np.ndindex(CROPS, self.side, self.side)
        names = [CLASS, *(f"register {place}" for place in range(1, self.first))][: self.first]
        return names + [f"crop {crop + 1}, row {row + 1}, col {column + 1}" for crop, row, column in patches]

    def like(self, place: int, other: Places) -> int:
        """The position of another model's image side that lies where `place` lies in this one's."""
        if self == other or (self.captions and other.captions):
            return place
        if self.captions or other.captions or place < self.first or not other.side:
            return min(place, max(other.first - 1, 0))
        crop, *at = np.unravel_index(place - self.first, (CROPS, self.side, self.side))
        row, column = (int((x + 0.5) * other.side / self.side) for x in at)
        return other.first + (int(crop) * other.side + row) * other.side + column


class Panel:
    """One post as one model sees it: where its query's attention goes, as numbers, in words and drawn."""

    def __init__(
        self,
        name: str,
        model: MGIPS,
        computed: tuple[Batch, Output],
        query: int,
        layer: int,
        head: int,
        from_text: bool,
    ) -> None:
        """
        Args:
            name: of the panel.
            computed: the post as a batch of one, and the model's output for it, with attention.
            query: a word, or a position of the image side. Where there are fewer, the last.
            layer: from 1 on. Where there are fewer, the last; heads likewise.
            head: from 1 on; 0 for their mean.
            from_text: whether the query is a word.
        """
        batch, out = computed
        self.name, self.places, self.attention = name, Places.of(model), out.attention
        self.words = batch.words[0][: int(batch.word_mask.sum())]
        self.first: list[int] = batch.first[0, : len(self.words)].tolist()
        self.n = batch.pieces.shape[1]
        self.missing = not batch.has_image[0]
        self.crops = None if batch.crops is None else batch.crops[0].numpy()
        self.caption: list[str] = []
        """The caption's word pieces, as they can be printed, from [CLS] to [SEP]."""
        if self.places.captions:
            assert batch.captions is not None and batch.caption_mask is not None
            ids = batch.captions[0][batch.caption_mask[0]].tolist()
            self.caption = [printable(piece) for piece in model.batcher.tokenizer.convert_ids_to_tokens(ids)]
        self._over = functools.cache(self._over)
        self.from_text = from_text
        self.query = min(query, len(self.choices()) - 1)
        self.layer, self.head = min(layer, len(self.attention)), min(head, self.attention[0].text.shape[1])

    def choices(self) -> list[str]:
        """The queries that there are: the words, or the image side's positions."""
        if self.from_text:
            return [f"{place + 1} {shortened(word, 12)}" for place, word in enumerate(self.words)]
        return self.places.names(self.caption)

    def shares(self, layer: int, head: int) -> Shares:
        """Where the attention of the query (a word's first piece) goes in one head."""
        over_image, over_text = self._over(layer)
        return self._shares(over_image[head], over_text[head])

    def _over(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """The attention to image positions (1 + heads, m) and text pieces (1 + heads, n); first the mean of the heads."""
        weights = self.attention[layer - 1].text if self.from_text else self.attention[layer - 1].image
        assert weights is not None, "a model with images has attention on both sides"
        heads = weights[0, :, self.first[self.query] if self.from_text else self.query].float().cpu().numpy()
        rows = np.concatenate([heads.mean(0, keepdims=True), heads])
        n, m = self.n, self.places.length
        # without mutual attention, the other side's keys are missing in front
        rows = np.pad(rows, ((0, 0), (m + n - rows.shape[1], 0)))
        return (rows[:, :m], rows[:, m:]) if self.from_text else (rows[:, n:], rows[:, :n])

    def _shares(self, over_image: np.ndarray, over_text: np.ndarray) -> Shares:
        first, side = self.places.first, self.places.side
        patches = over_image[first : len(self.caption) if self.places.captions else None]
        return Shares(
            patches=patches if self.places.captions else patches.reshape(CROPS, side, side),
            before=over_image[:first],
            words=np.add.reduceat(over_text[: self.n - 1], self.first),
            special=float(over_text[0] + over_text[-1]),
        )

    # ---- in words ----

    @property
    def asked(self) -> str:
        """The query."""
        if self.from_text:
            return f"“{shortened(self.words[self.query], 24)}”"
        if self.places.captions:
            return f"“{self.caption[self.query]}” of the caption"
        name = self.places.names(())[self.query]
        return f"the {CLASS}" if name == CLASS else name

    @property
    def side(self) -> str:
        """What the image side reads."""
        return "caption" if self.places.captions else "picture"

    @property
    def heading(self) -> str:
        """The panel's name, and whether its post has no picture or caption of its own."""
        none = "no caption" if self.places.captions else "no image of its own"
        return f"{self.name} ({none})" if self.missing else self.name

    def describe(self) -> str:
        """The largest shares, in words."""
        shares = self.shares(self.layer, self.head)
        most = np.unravel_index(shares.patches.argmax(), shares.patches.shape)
        place = ", ".join(f"{name} {at + 1}" for name, at in zip(("crop", "row", "column"), most, strict=False))
        if self.places.captions:
            place = f"“{self.caption[1 + int(most[0])]}”"
        word = self.words[int(shares.words.argmax())]
        return (
            f"{self.name}: {self.asked} gives {shares.picture:.0%} to the {self.side}, most to {place} "
            f"({shares.patches.max():.1%}), and {1 - shares.picture:.0%} to the text, most to “{word}” "
            f"({shares.words.max():.1%})."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _ink(colour: np.ndarray) -> str:
    """The colour of text on this one."""
    return "white" if np.dot(colour, (0.299, 0.587, 0.114)) < 0.45 else "black"


def _full(shares: np.ndarray) -> float:
    """The share that is drawn in full strength: the largest, or twice the mean, so that even attention looks pale."""
    return float(max(shares.max(), 2 * shares.mean(), 1e-9))


def _few(shares: np.ndarray) -> set[int]:
    """The places, in the flattened array, whose number is written: at least half of the largest, where they are few."""
    places = np.flatnonzero(shares >= max(shares.max() / 2, 1e-9))
    return set(places.tolist()) if len(places) <= FEW else set()


def framed(photo: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """A photo with a frame inside each patch, whose area is proportional to the patch's strength.

    A white line inside the frame keeps it visible on a photo of its own colour.

    Args:
        photo: (side * k, side * k, 3) uint8, k pixels for each patch.
        strength: (side, side) in [0, 1]; 1 covers `COVER` of its patch.
    """
    k = len(photo) // len(strength)
    edge = np.minimum(np.arange(k), np.arange(k)[::-1]).astype(np.float32)
    depth = np.tile(np.minimum.outer(edge, edge), strength.shape)  # pixels from the patch's edge
    width = (k * (1 - np.sqrt(1 - COVER * strength.astype(np.float32))) / 2).repeat(k, 0).repeat(k, 1)
    inside = np.clip(width + np.minimum(width, 1) - depth, 0, 1)[..., None]
    frame = np.clip(width - depth, 0, 1)[..., None]
    hue = 255 * np.array(to_rgb(style.IMAGE), np.float32)
    return ((photo * (1 - inside) + 255 * inside) * (1 - frame) + hue * frame).round().astype(np.uint8)


@dataclass
class _Text:
    """Words or pieces on lines, which can be picked."""

    group: str
    kind: str
    """"word" or "place": what is picked."""
    names: Sequence[str]
    first: int
    """The number of the first among those of its kind."""
    hue: str
    placed: list[tuple[str, float, int]] = field(default_factory=list)
    """Each as it is written, and where, in inches: from the left, and on which line."""

    def lay_out(self, room: float) -> float:
        """Find places in a column, and give the height."""
        words, least = [fitted(word, min(3, room), 10) for word in self.names], text_width("00.0", 7)
        places = flow([max(text_width(word, 10), least) for word in words], [0.14] * len(words), room)
        self.placed = [(word, *place) for word, place in zip(words, places, strict=True)]
        return LINE * (1 + places[-1][-1])


def draw_scale(page: Page, x: float, y: float, values: dict[float, str], hue: str, frames: bool = False) -> None:
    """Samples of how a strength in [0, 1] looks, each with its value behind it; (x, y) is the middle of the left edge."""
    for strength, value in values.items():
        if frames:
            page.paint(x, y + 0.11, framed(np.full((22, 22, 3), 225, np.uint8), np.array([[strength]])))
        else:
            page.fill([(x, y - 0.09, 0.22, 0.18, tint(hue, strength))])
        page.write(x + 0.27, y, value, 8, va="center")
        x += 0.39 + text_width(value, 8)


def _scale(full: float) -> dict[float, str]:
    """What a quarter, a half and all of the share in full strength are."""
    return {part: _percent(part * full) for part in (0.25, 0.5, 1.0) if full > 1e-6}


class _Drawing:
    """A panel, laid out in a column `room` inches wide; all in inches."""

    def __init__(self, panel: Panel, room: float, number: int, count: int) -> None:
        """
        Args:
            number: of the panel among the `count` on its page, from 0 on.
        """
        self.panel, self.room, self.number, self.alone = panel, room, number, count == 1
        self.shares = panel.shares(panel.layer, panel.head)
        places = panel.places
        self.words = _Text("Words", "word", panel.words, 0, style.TEXT)
        self.caption = _Text("Caption", "place", panel.caption[1:], 1, style.IMAGE)
        self.crop = 0.0
        if not places.captions:  # a crop's side: whole painted pixels for each patch
            self.crop = int(PIXELS * min(2.6, (room - 2 * BETWEEN) / CROPS) / places.side) * places.side / PIXELS
        self.chips = ["[CLS] of the caption"] if places.captions else places.names(())[: places.first]
        widths = [text_width(f"{name} 00.0 %", 8) + 0.1 for name in self.chips]
        self.chip_places = flow([*widths, 2.2], [BETWEEN] * (len(widths) + 1), room)  # the last is the scale
        self._lay_out_heads()
        self.above = 0.56 + (self.caption.lay_out(room) if places.captions else self.crop + 0.22)
        self.below, self.high = 0.3 * (1 + self.chip_places[-1][1]), self.words.lay_out(room)
        self.height = self.above + self.below + 0.27 + self.high + 0.1 + self.head_line * len(self.heads)

    def _lay_out_heads(self) -> None:
        """Rows of layers and heads, broken where they are longer than a line."""
        panel, places = self.panel, self.panel.places
        layers, heads = len(panel.attention), panel.attention[0].text.shape[1]
        names = ["mean", *map(str, range(1, heads + 1))]
        shown = range(1, layers + 1) if layers <= ALL_LAYERS else [panel.layer]
        rows = [(f"layer {layer}", names, [(layer, head) for head in range(heads + 1)]) for layer in shown]
        if layers > ALL_LAYERS:
            all_layers = range(1, layers + 1)
            rows.insert(0, ("layers", [str(layer) for layer in all_layers], [(layer, 0) for layer in all_layers]))
        cells = len(panel.caption) - 1 if places.captions else CROPS * places.side + CROPS - 1
        longest, room = max(len(row) for _, _, row in rows), self.room - 0.65
        width = min(1.5, max(0.48, room / longest - 0.1))
        self.pixel = max(1, int(PIXELS * width / cells))
        """Painted pixels along a side of a patch in a miniature."""
        self.head_width = max(self.pixel * cells / PIXELS, 0.2)
        self.head_height = (12 if places.captions else self.pixel * places.side) / PIXELS + STRIP
        self.head_line = self.head_height + 0.24
        most = max(1, int((room + 0.1) / (self.head_width + 0.1)))
        self.heads: list[tuple[str, list[str], list[tuple[int, int]]]] = []
        """For each line its name, and the names, layers and heads of its miniatures."""
        for name, labels, row in rows:
            count = math.ceil(len(row) / math.ceil(len(row) / most))
            for i in range(0, len(row), count):
                self.heads.append((name if i == 0 else "", labels[i : i + count], row[i : i + count]))

    def draw(self, page: Page, left: float, top: float) -> None:
        """Draw the panel from an upper left corner on."""
        panel, shares = self.panel, self.shares
        query = -1 if panel.from_text else panel.query - panel.places.first
        page.write(left, top, panel.heading, 9, 0.88 * self.room, weight="bold", va="top")
        given = f"{panel.asked} gives {shares.picture:.0%} to the {panel.side}, {1 - shares.picture:.0%} to the text"
        page.write(left, top - 0.2, given, 9, self.room, va="top")
        if panel.places.captions:
            self._draw_text(page, left, top - 0.5, self.caption, shares.patches, query)
        else:
            self._draw_crops(page, left, top - 0.7, query)
        top -= self.above
        self._draw_chips(page, left, top)
        top -= self.below
        special = f"[CLS] and [SEP] {_percent(shares.special)}"
        page.write(left, top - 0.08, special, 8, va="center")
        scale = left + text_width(special, 8) + 0.25
        draw_scale(page, scale, top - 0.08, _scale(_full(shares.words)), style.TEXT)
        top -= 0.27
        self._draw_text(page, left, top, self.words, shares.words, panel.query if panel.from_text else -1)
        self._draw_heads(page, left, top - self.high - 0.1)

    def _group(self, name: str) -> str:
        """The name of a group of places that can be picked."""
        return name if self.alone else f"{name} of panel {self.number + 1}, {self.panel.name}"

    def _draw_crops(self, page: Page, left: float, top: float, query: int) -> None:
        """The crops side by side, in each patch a frame whose area is its share; from their upper edge on."""
        panel, patches = self.panel, self.shares.patches
        assert panel.crops is not None
        pixels, patch = round(self.crop * PIXELS), self.crop / panel.places.side
        written, full = _few(patches) if patch > 0.36 else set(), _full(patches)
        for crop, shares in enumerate(patches):
            x = left + crop * (self.crop + BETWEEN)
            photo = np.asarray(Image.fromarray(panel.crops[crop]).resize((pixels, pixels), Image.Resampling.BOX))
            page.paint(x, top, framed(photo, shares / full))
            page.write(x, top + 0.06, f"crop {crop + 1}: {_percent(shares.sum())}", 8)
            for place, ((row, column), share) in enumerate(np.ndenumerate(shares)):
                at, place = (x + column * patch, top - (row + 1) * patch), crop * shares.size + place
                says = f"row {row + 1}, column {column + 1}: {_percent(share)}"
                pick = f"{self.number} place {panel.places.first + place}"
                page.hit(*at, patch, patch, pick, says, self._group(f"Crop {crop + 1}"), place == query)
                if place in written:
                    centred = {"ha": "center", "va": "center", "bbox": {"fc": "white", "ec": "none", "pad": 1}}
                    page.write(at[0] + patch / 2, at[1] + patch / 2, f"{100 * share:.1f}", 8, **centred)
                if place == query:
                    page.outline(*at, patch, patch)

    def _draw_chips(self, page: Page, left: float, top: float) -> None:
        """What stands before the patches, and the scale of these."""
        panel, full = self.panel, _full(self.shares.patches)
        boxes = []
        for place, (name, share) in enumerate(zip(self.chips, self.shares.before, strict=True)):
            (x, line), colour = self.chip_places[place], tint(style.IMAGE, share / full)
            label, says = f"{name} {_percent(share)}", f"{name}: {_percent(share)}"
            at = left + x, top - 0.3 * line - 0.2, text_width(label, 8) + 0.12, 0.2
            boxes.append((*at, colour))
            page.write(at[0] + 0.05, at[1] + 0.1, label, 8, va="center", color=_ink(colour))
            pressed = not panel.from_text and panel.query == place
            page.hit(*at, f"{self.number} place {place}", says, self._group("Before the patches"), pressed)
            if pressed:
                page.outline(*at)
        page.fill(boxes)
        x, line = self.chip_places[-1]
        at, frames = top - 0.3 * line - 0.1, not panel.places.captions
        draw_scale(page, left + x, at, _scale(full), style.IMAGE, frames)

    def _draw_text(self, page: Page, left: float, top: float, text: _Text, shares: np.ndarray, query: int) -> None:
        """Words or pieces on the colours of their shares; the largest have their number below."""
        written, full, boxes = _few(shares), _full(shares), []
        for place, ((word, x, line), share) in enumerate(zip(text.placed, shares, strict=True)):
            x, colour = left + x, tint(text.hue, share / full)
            at = x - 0.04, top - line * LINE - 0.2, max(text_width(word, 10) / 0.96, 0.1) + 0.08, 0.22
            boxes.append((*at, colour))
            page.write(x, at[1] + 0.06, word, 10, color=_ink(colour))
            says = f"“{shortened(text.names[place], 40)}”: {_percent(share)}"
            page.hit(
                *at, f"{self.number} {text.kind} {text.first + place}", says, self._group(text.group), place == query
            )
            if place in written:
                page.write(x, at[1] - 0.1, f"{100 * share:.1f}", 7, va="center")
            if place == query:
                page.outline(*at)
        page.fill(boxes)

    def _draw_heads(self, page: Page, left: float, top: float) -> None:
        """Every head's picture and words in small, each on a scale of its own; a click chooses one."""
        panel, width, height, above = self.panel, self.head_width, self.head_height, None
        for name, labels, row in self.heads:
            page.write(left, top - 0.2 - height / 2, name, 8, va="center")
            line = np.full((round(height * PIXELS), round((width + 0.1) * PIXELS) * len(row), 3), 255, np.uint8)
            for place, (layer, head) in enumerate(row):
                x, shares = left + 0.65 + place * (width + 0.1), panel.shares(layer, head)
                start = place * round((width + 0.1) * PIXELS)
                line[:, start : start + round(width * PIXELS)] = self._miniature(shares)
                if labels != above:
                    page.write(x, top - 0.14, labels[place], 8)
                which = f"layer {layer}, {f'head {head}' if head else 'mean of heads'}"
                says = f"{which}: {_percent(shares.picture)} to the {panel.side}"
                chosen = (layer, head) == (panel.layer, panel.head)
                at = x, top - 0.2 - height, width, height
                page.hit(*at, f"{self.number} head {layer} {head}", says, self._group("Heads"), chosen)
                if chosen:
                    page.outline(x - 0.03, at[1] - 0.03, width + 0.06, height + 0.06)
            page.paint(left + 0.65, top - 0.2, line)
            above, top = labels, top - self.head_line

    def _miniature(self, shares: Shares) -> np.ndarray:
        """One head: its crops, or the caption, above its words. (height, width, 3) uint8."""
        width, height, strip = (round(x * PIXELS) for x in (self.head_width, self.head_height, STRIP))
        colours, columns = np.ones((height, width, 3)), np.arange(width)
        patches, words = (x / _full(x) for x in (shares.patches, shares.words))
        if patches.ndim == 1:
            colours[: height - strip] = tint(style.IMAGE, patches)[columns * len(patches) // width]
        else:
            crops = np.pad(patches, ((0, 0), (0, 0), (0, 1)))  # white between them
            row = crops.transpose(1, 0, 2).reshape(len(crops[0]), -1)[:, :-1]
            row = tint(style.IMAGE, row).repeat(self.pixel, 0).repeat(self.pixel, 1)
            colours[: len(row), : row.shape[1]] = row
        colours[height - strip + 2 :] = tint(style.TEXT, words)[columns * len(words) // width]
        return (255 * colours).round().astype(np.uint8)


class AttentionInspector(ModelInspector):
    """The attention of one layer and head, from a word or from a patch, over the crops and over the words.

    A click on a word or on a patch makes it the query, one on a miniature chooses its layer and head. A second post
    or a second model is shown beside the first, with the same layer and head.
    """

    def __init__(
        self,
        model: Inspected,
        tweets: Sequence[Tweet],
        pool: Pool | Sequence[Tweet] | None = None,
        other: Inspected | None = None,
    ) -> None:
        """
        Args:
            model: a model, a run, or the folder or name of either.
            pool: what a model that reads may read; the pictures of `tweets` by default. It is read after attention.
            other: a second model, given likewise, to be shown beside the first.

        Raises:
            ConfigError: a model without images, or no posts.
        """
        given = [model] if other is None else [model, other]
        self.models = [loaded(each) for each in given]
        if any(each.image_embedding is None for each in self.models):
            raise ConfigError("This model has no images (variant text): no attention joins text and image.")
        super().__init__("mgips-attention", self.models[0], tweets, pool)
        self.names = [
            _name(each, default) for each, default in zip(given, ("first model", "other model"), strict=False)
        ]
        if len(set(self.names)) < len(given):
            self.names = [f"{name} ({which})" for name, which in zip(self.names, ("first", "other"), strict=True)]
        self.places = Places.of(self.model)
        """The positions of the first model's image side."""
        layers = max(len(each.encoder.text) for each in self.models)
        heads = max(each.encoder.text.heads for each in self.models)
        tooltip = f"Another post below or beside this one. {USE_ARROWS} choose it"
        self.beside = slider("beside", "330px", description="Beside", names=["none"], max=len(tweets), tooltip=tooltip)
        self.layer = slider("layer", "240px", description="Layer", value=layers, min=1, max=layers)
        choices = {"options": [("mean of heads", 0), *((f"head {head}", head) for head in range(1, heads + 1))]}
        self.head = control(widgets.Dropdown, "head", "200px", "45px", description="Head", **choices)
        choices = {"options": [WORDS, PICTURE]}
        self.direction = control(widgets.Dropdown, "direction", "300px", "65px", description="Direction", **choices)
        tooltip = f"The query. {USE_ARROWS} move it"
        self.word = slider("word", "390px", names=[""], tooltip=tooltip)
        self.word_beside = slider("word-beside", "390px", names=[""], tooltip=tooltip)
        self.word.layout.margin = "2px 20px 2px 2px"
        self.begin([self.post, self.beside], [self.layer, self.head, self.direction], [self.word, self.word_beside])

    def panels(self) -> list[Panel]:
        """What is shown: for each post each model, with the chosen layer, head and queries."""
        models = range(len(self.models))
        return [self._panel(model, place, query.value) for place, query in self._posts() for model in models]

    def _posts(self) -> list[tuple[int, Range]]:
        """The places of the shown posts, and the sliders of their queries."""
        beside = [(self.beside.value - 1, self.word_beside)] if self.beside.value else []
        return [(self.post.value - 1, self.word), *beside]

    def _panel(self, number: int, place: int, query: int) -> Panel:
        model, from_text = self.models[number], self.direction.value == WORDS
        if not from_text:
            query = self.places.like(query, Places.of(model))
        name = f"Post {self.tweets[place].id}"
        if len(self.models) > 1:
            name = f"{self.names[number]}, post {self.tweets[place].id}"
        computed = self.computed(place, model)
        return Panel(name, model, computed, query, self.layer.value, self.head.value, from_text)

    def adapt(self) -> None:
        """Offer the words of each post, or the image's positions, as queries."""
        from_text = self.direction.value == WORDS
        name = "Word" if from_text else "Piece" if self.places.captions else "Patch"
        self.word.description, self.word_beside.description = name, f"{name} beside"
        self.word_beside.layout.display = None if self.beside.value else "none"
        for place, query in self._posts():
            tags = self.tweets[place].tags if from_text else ()
            names = self._panel(0, place, 0).choices()
            entity = next((i for i, tag in enumerate(tags[: len(names)]) if tag != "O"), 0)
            query.offer(names, entity)

    def pick(self, what: str) -> None:
        """Ask the word or the place that was picked, or show the head."""
        number, kind, *at = what.split()
        panel, first = self.panels()[int(number)], int(at[0])
        with self.setting():
            if kind == "head":
                self.layer.value, self.head.value = first, int(at[1])
            else:
                _, query = self._posts()[int(number) // len(self.models)]
                self.direction.value = WORDS if kind == "word" else PICTURE
                self.adapt()
                query.value = first if kind == "word" else panel.places.like(first, self.places)
        self.redraw()

    def shares(self) -> Shares:
        """Where the attention of the chosen word (its first piece) or image position of the post goes."""
        panel = self.panels()[0]
        return panel.shares(panel.layer, panel.head)

    def describe(self) -> str:
        """The largest shares, in words."""
        told = " ".join(panel.describe() for panel in self.panels())
        return f"Attention of layer {self.layer.value}, {self.head.label}. {told}"

    def draw(self) -> Figure:
        """The panels, two in a row: models side by side, posts below each other where there are two models."""
        panels = self.panels()
        columns = min(2, len(panels))
        room = (WIDTH - 2 * MARGIN - APART * (columns - 1)) / columns
        drawings = [_Drawing(panel, room, number, len(panels)) for number, panel in enumerate(panels)]
        rows = [drawings[i : i + columns] for i in range(0, len(drawings), columns)]
        heights = [max(drawing.height for drawing in row) for row in rows]
        title = (
            f"Attention of layer {self.layer.value}, {self.head.label}: {self.direction.value}. Black: what is chosen"
        )
        page = Page(WIDTH, 0.45 + sum(heights) + 0.15 * len(rows), title, margin=MARGIN)
        top = page.get_size_inches()[1] - 0.45
        for row, height in zip(rows, heights, strict=True):
            for column, drawing in enumerate(row):
                drawing.draw(page, MARGIN + column * (room + APART), top)
            top -= height + 0.15
        return page


def _name(model: Inspected, default: str) -> str:
    """What a model is called: by its folder or name, where it was given by one."""
    folder = model.folder if isinstance(model, Run) else model
    return Path(folder).name if isinstance(folder, (str, Path)) else default


inspect_attention = AttentionInspector
