"""Posts, pictures and scores as HTML, from the jinja2 templates in this folder. Everything from a post is escaped."""

from __future__ import annotations

import base64
import functools
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, ImageDraw, ImageFont

from mgips.data.corpus import Tweet
from mgips.data.pictures import default_image, open_picture
from mgips.data.spans import Span
from mgips.errors import MGIPSError
from mgips.lab.figures import style

SIDE = 140
"""Longer side of a thumbnail, in pixels."""
SMALL = 70
"""The same where many are shown."""
CARD = 152
"""Width of a card, in pixels: a thumbnail and its margins."""
INK = "#1a1a1a"
"""Text on the light tints, whatever the page's theme."""
GOOD = "#009E73"
"""Frames a relevant image; always together with the word."""
PALE = "#cccccc"
"""Frames an image that is not known to be relevant."""


def data_url(picture: bytes) -> str:
    """A PNG or a JPEG as a URL that contains it."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


NOT_HTML = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What no HTML page may hold, escaped or not; a replacement character takes its place."""


def clean(value: Any) -> Any:
    """A string from a post without what no page may hold; what is HTML already, and what is no string, as it is."""
    return NOT_HTML.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value


ENVIRONMENT = Environment(
    finalize=clean,
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
ENVIRONMENT.filters["data_url"] = data_url
ENVIRONMENT.globals.update(
    side=SIDE, card=CARD, small_side=SMALL, ink=INK, good=GOOD, pale=PALE, score_colour=style.IMAGE
)


def render(template: str, **values: Any) -> Markup:
    """A template filled in. Strings among the values are escaped, unless they are `Markup` already."""
    return Markup(ENVIRONMENT.get_template(f"{template}.html").render(**values))


def tinted(words: Sequence[str], entities: Sequence[Span]) -> Markup:
    """A post's words with its entities in their type's colour, each followed by the type's name; templates call it."""
    parts = [(text, kind, style.look(kind).colour) for text, kind in _parts(words, entities)]
    return render("tinted", parts=parts)


ENVIRONMENT.globals["tinted"] = tinted


def marked(words: Sequence[str], entities: Sequence[Span]) -> str:
    """The same as plain text: "[PER Ada Lovelace] was right"."""
    return " ".join(f"[{kind} {text}]" if kind else text for text, kind in _parts(words, entities))


def _parts(words: Sequence[str], entities: Sequence[Span]) -> Iterator[tuple[str, str]]:
    """The words between entities one by one, with "", and each entity as a whole, with its type."""
    at = 0
    for entity in entities:
        yield from ((word, "") for word in words[at : entity.start])
        yield " ".join(words[entity.start : entity.end]), entity.type
        at = entity.end
    yield from ((word, "") for word in words[at:])


class Thumbnails:
    """`thumbnail` of a post by its place. The `keep` last used stay in memory."""

    def __init__(self, tweets: Sequence[Tweet], keep: int = 1024) -> None:
        self.tweets, self.keep = tweets, keep
        self._kept: dict[int, tuple[bytes, str]] = {}

    def __contains__(self, place: int) -> bool:
        """Whether it is in memory."""
        return place in self._kept

    def __call__(self, place: int) -> tuple[bytes, str]:
        self._kept[place] = self._kept.pop(place, None) or thumbnail(self.tweets[place])
        if len(self._kept) > self.keep:
            del self._kept[next(iter(self._kept))]
        return self._kept[place]


def thumbnail(tweet: Tweet) -> tuple[bytes, str]:
    """A post's picture as a small JPEG and "", or a placeholder and its words: "no image", "image cannot be read"."""
    picture, note = default_image(SIDE), "no image"
    source = tweet.image if tweet.image is not None else next(iter(tweet.crops), None)
    if source is not None:
        try:
            picture, note = open_picture(source), ""
            picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
        except MGIPSError:
            note = "image cannot\nbe read"
    if note:
        centred = {"anchor": "mm", "align": "center", "fill": "white", "font": ImageFont.load_default(18)}
        ImageDraw.Draw(picture).multiline_text((SIDE / 2, SIDE / 2), note, **centred)
    return _jpeg(picture), note.replace("\n", " ")


@functools.lru_cache(1024)
def smaller(picture: bytes) -> bytes:
    """A thumbnail for where many are shown."""
    opened = Image.open(io.BytesIO(picture))
    opened.thumbnail((SMALL, SMALL), Image.Resampling.BICUBIC)
    return _jpeg(opened)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=75)
    return buffer.getvalue()


def shortened(text: str, length: int) -> str:
    """At most `length` characters, with … where some were left out."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
