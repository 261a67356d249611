"""Posts, pictures and scores as HTML. Everything from a post is escaped."""

from __future__ import annotations

import base64
import html
import io
from collections import OrderedDict
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from mgips.data.corpus import Tweet
from mgips.data.pictures import default_image, open_picture
from mgips.data.spans import Span
from mgips.errors import MGIPSError
from mgips.lab.figures import style

SIDE = 140
"""Longer side of a thumbnail, in pixels."""
INK = "#1a1a1a"
"""Text on the light tints, whatever the page's theme."""
GOOD = "#009E73"
"""Frames what is truly relevant; always with the word."""


def tinted(words: Sequence[str], entities: Sequence[Span]) -> str:
    """A post's words with its entities in their type's colour, each followed by the type's name."""
    parts, at = [], 0
    for entity in entities:
        parts += map(html.escape, words[at : entity.start])
        colour = style.ENTITY.get(entity.type, style.GREY)
        parts.append(
            f'<span style="background:{colour}33;border-bottom:3px solid {colour};border-radius:3px;padding:0 3px">'
            f"{html.escape(' '.join(words[entity.start : entity.end]))}"
            f' <b style="font-size:75%">{html.escape(entity.type)}</b></span>'
        )
        at = entity.end
    parts += map(html.escape, words[at:])
    return " ".join(parts)


def marked(words: Sequence[str], entities: Sequence[Span]) -> str:
    """The same without colours: "[PER Ada Lovelace] was right"."""
    parts, at = [], 0
    for entity in entities:
        parts += words[at : entity.start]
        parts.append(f"[{entity.type} {' '.join(words[entity.start : entity.end])}]")
        at = entity.end
    return " ".join([*parts, *words[at:]])


def bar(score: float) -> str:
    """A cosine as a bar that is full at 1 and empty from 0 down; the number stands beside it."""
    width = round(100 * min(1.0, max(0.0, score)))
    return (
        '<div aria-hidden="true" style="background:#d9d9d9;height:7px;margin:3px 0">'
        f'<div style="background:{style.IMAGE};height:7px;width:{width}%"></div></div>'
    )


def img(picture: bytes, alt: str, side: int = SIDE) -> str:
    """A thumbnail in its frame, with its alternative text."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return (
        f'<img src="data:image/{kind};base64,{base64.b64encode(picture).decode()}" alt="{html.escape(alt)}" '
        f'style="width:{side}px;height:{side}px;object-fit:contain;background:#eeeeee;display:block;margin:0">'
    )


class Thumbnails:
    """Small JPEGs of posts' pictures. The last `keep` of them stay in memory."""

    def __init__(self, tweets: Sequence[Tweet], keep: int = 512) -> None:
        self.tweets = tweets
        self.keep = keep
        self._kept: OrderedDict[int, tuple[bytes, str]] = OrderedDict()

    def __getitem__(self, index: int) -> tuple[bytes, str]:
        """The JPEG of a post's picture; and "", or what a placeholder says: "no image", "image cannot be read"."""
        if index in self._kept:
            self._kept.move_to_end(index)
        else:
            self._kept[index] = thumbnail(self.tweets[index])
            if len(self._kept) > self.keep:
                self._kept.popitem(last=False)
        return self._kept[index]


def thumbnail(tweet: Tweet, side: int = SIDE) -> tuple[bytes, str]:
    """A post's picture as a small JPEG and "", or a placeholder and the words on it."""
    note = ""
    source = tweet.image if tweet.image is not None else next(iter(tweet.crops), None)
    if source is None:
        note = "no image"
    else:
        try:
            picture = open_picture(source)
            picture.thumbnail((side, side), Image.Resampling.BICUBIC)
        except MGIPSError:
            note = "image cannot\nbe read"
    if note:
        picture = default_image(side)
        ImageDraw.Draw(picture).multiline_text(
            (side / 2, side / 2), note, anchor="mm", align="center", fill="white", font=ImageFont.load_default(18)
        )
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue(), note.replace("\n", " ")


def decoded(picture: bytes) -> Image.Image:
    """A thumbnail as pixels."""
    return Image.open(io.BytesIO(picture)).convert("RGB")


def shortened(text: str, length: int) -> str:
    """At most `length` characters, with … where some were left out."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
