"""The entities of a tweet: words with a type, read from its BIO tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqeval.metrics.sequence_labeling import get_entities


@dataclass(frozen=True)
class Span:
    """An entity in a tweet: words [start, end)."""

    start: int
    end: int
    type: str
    text: str


def spans(words: Sequence[str], tags: Sequence[str]) -> list[Span]:
    """The entities of one tweet, by seqeval's default reading: an I- tag without a B- before it begins an entity."""
    return [Span(a, b + 1, kind, " ".join(words[a : b + 1])) for kind, a, b in get_entities(list(tags))]
