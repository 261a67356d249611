"""Raw text to words, with the place of each."""

from __future__ import annotations

from collections.abc import Sequence

import regex

ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}\u30fc\uff70\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that are written without blanks between words: each character of them is a word of its own."""
INNER = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{ALONE}]]"
LINK = rf"(?i:https?://|www\.)(?:\([^\s()]*\)|[[!-~]--[()]]|{INNER})+(?<![.,;:!?'\"])"
WORD = regex.compile(
    rf"(?V1){LINK}|[{ALONE}]\p{{M}}*|(?<!_)_*+{INNER}(?:{INNER}|_|[\u200c\u200d](?={INNER})|(?<=\p{{Nd}})[.,:](?=\p{{Nd}}))*|\S\p{{M}}*"
)
"""A link; a character of a script without blanks; letters and digits, with `_`, with joiners inside, and with `.` `,` `:`
between digits; or one other character. Marks stay with what they follow. A run of `_` is tried
from its first one only: from each of them it would take time that grows with the square of its length."""


def half_character(text: str) -> bool:
    """Whether half a character (a lone surrogate) is in a text, as cutting it in other languages may leave."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def words_of(text: str) -> list[tuple[str, int]]:
    """The words of a text and the character that each begins at.

    As in Twitter-2017, # and @ and every punctuation mark stand alone, also inside what blanks enclose (`Trump ' s`,
    `3 - 1`, `U . S .`), except `.` `,` `:` between digits (`9.30`, `12,000`), `_` at a letter or digit (`x_y`), and in links.
    """
    return [(match[0], match.start()) for match in WORD.finditer(text)]


def placed(text: str, words: Sequence[str]) -> tuple[str, list[int]]:
    """The text and the character that each of its words begins at. Where it does not have the words in their order, it is
    the words with a blank between them."""
    starts, at = [], 0
    for word in words:
        at = text.find(word, at)
        if at < 0:
            return placed(" ".join(words), words)
        starts.append(at)
        at += len(word)
    return text, starts
