"""Posts longer than the text encoder reads, in windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from mgips.data.batch import Batcher
from mgips.data.corpus import Tweet

Value = TypeVar("Value")


def window_bounds(tweet: Tweet, batcher: Batcher, overlap: int, whole_entities: bool = False) -> list[tuple[int, int]]:
    """The words [start, end) of each window of a post: one for a post that fits.

    A window holds as many words as `max_length` has room for, and begins `overlap` words before the end of the one
    before it, or nearer to that end where it would otherwise not move on.

    Args:
        whole_entities: for training, move the edges of windows to the left, out of gold entities that fit in a window.
    """
    sizes, room = batcher.word_lengths(tweet), batcher.config.max_length - 2  # [CLS] and [SEP]
    inside = [whole_entities and tag.startswith("I-") for tag in tweet.tags] or [False] * len(sizes)

    def reach(start: int) -> int:
        """The end of the window that begins at a word."""
        end = start + 1
        while end < len(sizes) and sum(sizes[start : end + 1]) <= room:
            end += 1
        return end if end == len(sizes) else _left(inside, end, start) or end

    bounds: list[tuple[int, int]] = []
    start = 0
    while True:
        end = reach(start)
        if bounds and end <= bounds[-1][1]:  # it would show nothing new: begin where the last one ended
            start = bounds[-1][1]
            end = reach(start)
        bounds.append((start, end))
        if end == len(sizes):
            return bounds
        start = _left(inside, max(end - overlap, start + 1), start) or end


def _left(inside: Sequence[bool], place: int, least: int) -> int:
    """The nearest place at or left of `place`, and right of `least`, that is not inside an entity; 0 if there is none."""
    while place > least and inside[place]:
        place -= 1
    return place if place > least else 0


def windows(tweet: Tweet, bounds: Sequence[tuple[int, int]]) -> list[Tweet]:
    """The parts of a post as posts of its id, picture and time."""
    return [replace(tweet, words=tweet.words[a:b], tags=tweet.tags[a:b], text="") for a, b in bounds]


def in_windows(tweets: Sequence[Tweet], batcher: Batcher, overlap: int) -> list[Tweet]:
    """A training split with its long posts in windows that cut no gold entity; the others as they are."""
    parts = []
    for tweet in tweets:
        bounds = window_bounds(tweet, batcher, overlap, whole_entities=True)
        parts += [tweet] if len(bounds) == 1 else windows(tweet, bounds)
    return parts


def merged(bounds: Sequence[tuple[int, int]], rows: Sequence[Sequence[Value]]) -> list[Value]:
    """What each word of a post is given, from what it is given in the windows: by the one that shows the most words on
    both of its sides."""
    length = bounds[-1][1]

    def margin(window: int, place: int) -> int:
        start, end = bounds[window]
        return min(place - start if start else length, end - 1 - place if end < length else length)

    return [
        rows[window][place - bounds[window][0]]
        for place in range(length)
        for window in [max((w for w, (a, b) in enumerate(bounds) if a <= place < b), key=lambda w: margin(w, place))]
    ]
