"""The same posts with other pictures: what a model does with them shows what its images are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mgips.data.corpus import Tweet


def blank(tweets: Sequence[Tweet]) -> list[Tweet]:
    """Every picture taken away; the model sees the default image."""
    return [replace(tweet, image=None, crops=()) for tweet in tweets]


def shuffled(tweets: Sequence[Tweet], seed: int = 0) -> list[Tweet]:
    """Every picture given to another post, each used once; posts without a picture stay without."""
    owners = [i for i, tweet in enumerate(tweets) if tweet.image is not None]
    cycle = np.random.RandomState(seed).permutation(owners)
    others = dict(zip(cycle.tolist(), np.roll(cycle, 1).tolist(), strict=True))  # one cycle: nobody keeps theirs
    return [
        replace(tweet, image=tweets[others[i]].image, crops=tweets[others[i]].crops) if i in others else tweet
        for i, tweet in enumerate(tweets)
    ]
