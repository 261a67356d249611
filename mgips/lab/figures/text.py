"""Text in figures: what matplotlib's own font can draw, and how wide it is."""

from __future__ import annotations

import functools

from matplotlib import font_manager


@functools.cache
def _drawable(character: str) -> bool:
    return bool(_font().get_char_index(ord(character)))


@functools.cache
def _font() -> font_manager.FT2Font:
    return font_manager.get_font(font_manager.findfont("DejaVu Sans"))


def printable(text: str) -> str:
    """`text` with a box for every character that matplotlib's own font lacks, such as an emoji."""
    return "".join(c if _drawable(c) else "□" for c in text if c not in "\ufe0e\ufe0f\u200d")


def text_width(text: str, points: float) -> float:
    """How wide a line of matplotlib's own font is, in inches."""
    font = _font()
    font.set_size(points, 720)
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 720


def fitted(text: str, inches: float, points: float) -> str:
    """A printable text that is at most so wide, with … where some was left out."""
    text, inches = printable(text), 0.96 * inches  # a figure's resolution rounds every letter
    if text_width(text, points) <= inches:
        return text
    low, high = 0, len(text)  # the first `low` letters fit
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if text_width(text[:middle] + "…", points) <= inches else (low, middle)
    return text[:low].rstrip() + "…"
