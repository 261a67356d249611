"""Text in figures: what matplotlib's own font can draw, and how wide it is."""

from __future__ import annotations

import functools
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence

from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import FT2Font


@functools.cache
def _font() -> FT2Font:
    return get_font(findfont("DejaVu Sans"))


LONGEST_NAME = 22
"""Characters of a name in brackets, at most: "face with tears of joy" has as many."""


def printable(text: str) -> str:
    """`text` with the name of every character that matplotlib's own font lacks, in brackets: an emoji, a letter.

    >>> printable("so hot 🔥")
    'so hot [fire]'
    """
    return "".join(c if _font().get_char_index(ord(c)) else _named(c) for c in text if c not in "\ufe0e\ufe0f\u200d")


@functools.lru_cache(1024)
def _named(character: str) -> str:
    """A character's name in brackets; of a letter or syllable its sound, of one without a short name its number."""
    name = unicodedata.name(character, "").lower()
    if unicodedata.category(character) in ("Cf", "Sk"):  # invisible, or the skin colour of the emoji in front of it
        return ""
    if not name or "ideograph" in name:
        return f"[U+{ord(character):04X}]"
    for kind in (" letter ", " syllable "):
        name = name.split(kind)[-1]
    if len(name) > LONGEST_NAME:
        name = name[:LONGEST_NAME].rsplit(" ", 1)[0] + "…"
    return f"[{name}]"


def readable(text: str) -> str:
    """`text` with emoji and invisible characters as code points, where which character it is matters."""
    return "".join(c if ord(c) < 0x2000 or c == "…" else f"U+{ord(c):04X}" for c in text)


def listed(names: Sequence[str]) -> str:
    """ "blank, noise and shuffled"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def points(number: float) -> str:
    """ "1 point", "0.5 points"."""
    return f"{number:g} point{'s' * (number != 1)}"


def counted(number: int, thing: str) -> str:
    """ "1 row", "2 rows", "no row"."""
    return f"{number or 'no'} {thing}{'s' * (number > 1)}"


@functools.lru_cache(4096)
def text_width(text: str, points: float) -> float:
    """How wide a line of matplotlib's own font is, in inches."""
    font = _font()
    font.set_size(points, 720)
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 720


NARROW = 1000
"""More letters of one point than fit into an inch: of the narrowest, 260 do."""


def fitted(text: str, inches: float, points: float) -> str:
    """A printable text at most `inches` wide, with … in place of what was cut off."""
    inches *= 0.96  # a figure's resolution rounds every letter
    most = int(min(len(text), max(1, NARROW * inches / points)))  # to lay out a whole book takes seconds
    line = printable(text[:most])
    if most == len(text) and text_width(line, points) <= inches:
        return line
    fit = bisect_right(range(1, len(line)), inches, key=lambda letters: text_width(line[:letters] + "…", points))
    return line[:fit].rstrip() + "…"


def flow(widths: Sequence[float], gaps: Sequence[float], room: float) -> list[tuple[float, int]]:
    """Where boxes go that fill lines from left to right, with a gap after each: the start and the line of each box.

    All in inches. A box that is wider than the `room` of a line has a line of its own.
    """
    places, x, line = [], 0.0, 0
    for width, gap in zip(widths, gaps, strict=True):
        if x and x + width > room:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += width + gap
    return places
