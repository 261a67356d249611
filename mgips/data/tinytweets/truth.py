"""What is known about TinyTweets: which image is relevant to which text, and the best F1 a reader can reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from seqeval.metrics import f1_score

from mgips.data.corpus import Tweet
from mgips.data.tinytweets.scenes import Signature


@dataclass(frozen=True)
class Truth:
    """What the generator knows about a post."""

    story: str
    """The story's id, "" for chatter."""
    means: str
    """The type that the story gives its ambiguous name, "" for chatter."""
    signature: Signature | None
    """Colour and pattern of the story; None for chatter."""
    related: bool
    """Whether the post has a picture and it belongs to the post."""
    shows: str
    """The type that the picture shows, "" where there is none."""
    wears: Signature | None
    """Colour and pattern of the picture's wall; None for a plain one."""
    ambiguous: tuple[tuple[int, int], ...]
    """The mentions of names that can have several types, as (first word, word after the last)."""
    # These two stay out of the repr, which is pinned for VERSION 1.
    options: tuple[str, ...] = field(default=(), repr=False)
    """The types of which the ambiguous name is drawn in this corpus, each as likely; with one, the name tells it."""
    misleads: bool = field(default=False, repr=False)
    """Whether all names are unambiguous and the picture, which would show one of them, shows another type instead."""


def relevant(a: Tweet, b: Tweet) -> bool:
    """Whether b's image is relevant to a's text: both belong to one story, and b's image is there and shows it."""
    return bool(a.truth.story) and a.truth.story == b.truth.story and b.truth.related


def relevance_matrix(tweets: Sequence[Tweet]) -> np.ndarray:
    """`relevant` for all pairs: (N, N) bool, rows are texts, columns are images."""
    stories = np.array([tweet.truth.story for tweet in tweets], dtype=str)
    related = np.array([tweet.truth.related for tweet in tweets], dtype=bool)
    return (stories[:, None] == stories) & (stories != "")[:, None] & related


def oracle(tweets: Sequence[Tweet], batches: Sequence[Sequence[int]] | None = None) -> dict[str, float]:
    """The best that readers who know the generator can do: entity-level F1 in [0, 1] (seqeval), and chance.

    Every reader finds all mentions and knows the types of the unambiguous names. Of an ambiguous name,

    - "text" guesses one of the types that the corpus gives the name (`Truth.options`; three by default);
    - "own_image" sees the type if the post's own image is there and related, and guesses otherwise;
    - "mined" sees it if any image of the same batch is relevant, and guesses otherwise.

    The F1 is the average over all guesses, so luck plays no part. "chance" is the probability that an image drawn
    from the batch is relevant, averaged over the posts with an ambiguous name.

    Args:
        batches: lists of indices into `tweets`, as `mgips.data.batch.training_batches` gives them; the days if None.
    """
    if batches is None:
        days: dict[str, list[int]] = {}
        for index, tweet in enumerate(tweets):
            days.setdefault(tweet.group, []).append(index)
        batches = list(days.values())
    mined = np.zeros(len(tweets), dtype=bool)
    chance = []
    for batch in batches:
        matrix = relevance_matrix([tweets[i] for i in batch])  # (N, N)
        pictures = sum(tweets[i].image is not None for i in batch)
        for index, row in zip(batch, matrix, strict=True):
            mined[index] |= row.any()
            if tweets[index].truth.ambiguous and pictures:
                chance.append(row.sum() / pictures)
    own = [tweet.truth.related for tweet in tweets]
    gold = [list(tweet.tags) for tweet in tweets]
    ways = math.lcm(*(len(tweet.truth.options) or 1 for tweet in tweets))  # each name meets its guesses equally often

    def f1(known: Sequence[bool]) -> float:
        guesses = ([_guess(t, sees, way) for t, sees in zip(tweets, known, strict=True)] for way in range(ways))
        scores = [f1_score(gold, guess, zero_division=0) for guess in guesses]  # pyright: ignore[reportArgumentType]
        return float(np.mean(scores))

    return {
        "text": f1([False] * len(tweets)),
        "own_image": f1(own),
        "mined": f1(mined.tolist()),
        "chance": float(np.mean(chance)) if chance else 0.0,
    }


def _guess(tweet: Tweet, sees: bool, way: int) -> list[str]:
    """The tags of a reader who sees the story's type, or guesses the name's option number `way`, counted round."""
    tags = list(tweet.tags)
    if not sees:
        for start, end in tweet.truth.ambiguous:
            kind = tweet.truth.options[way % len(tweet.truth.options)]
            tags[start:end] = [tag[:2] + kind for tag in tags[start:end]]
    return tags
