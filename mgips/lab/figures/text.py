"""Text in figures: what matplotlib's own font can draw, and how wide it is."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Sequence

from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import FT2Font


@functools.cache
def _font() -> FT2Font:
    return get_font(findfont("DejaVu Sans"))


def printable(text: str) -> str:
    """`text` with a box for every character that matplotlib's own font lacks, such as an emoji."""
    return "".join(c if _font().get_char_index(ord(c)) else "□" for c in text if c not in "\ufe0e\ufe0f\u200d")


def text_width(text: str, points: float) -> float:
    """How wide a line of matplotlib's own font is, in inches."""
    font = _font()
    font.set_size(points, 720)
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 720


def fitted(text: str, inches: float, points: float) -> str:
    """A printable text at most `inches` wide, with … in place of what was cut off."""
    text, inches = printable(text), 0.96 * inches  # a figure's resolution rounds every letter
    if text_width(text, points) <= inches:
        return text
    fit = bisect_right(range(1, len(text)), inches, key=lambda letters: text_width(text[:letters] + "…", points))
    return text[:fit].rstrip() + "…"


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
