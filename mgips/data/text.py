"""Raw text to words, with the place of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import regex

ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that are written without blanks between words: each character of them is a word of its own."""
INNER = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--[{ALONE}]]"
WORD = regex.compile(rf"(?V1)https?://\S+|[{ALONE}]\p{{M}}*|{INNER}+(?:['’.&-]{INNER}+)*|\S\ufe0f?")
"""A link, a character of a script without blanks, a word, or one other character (with its variation selector)."""


def words_of(text: str, cuts: Iterable[int] = ()) -> list[tuple[str, int]]:
    """The words of a text and the character that each begins at: # and @ and punctuation stand alone, as in the Twitter
    corpora.

    Args:
        cuts: characters before which a word ends in any case: where marked entities begin and end.
    """
    found = [(match[0], match.start()) for match in WORD.finditer(text)]
    for cut in sorted(set(cuts)):
        for place, (word, start) in enumerate(found):
            if start < cut < start + len(word):
                found[place : place + 1] = [(word[: cut - start], start), (word[cut - start :], cut)]
                break
    return found


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
