"""Implicit positives compared with the truth: are the mined images the relevant ones? (§3.4, eq. 15)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mgips.data.batch import TweetDataset, training_batches
from mgips.data.corpus import Tweet
from mgips.data.tinytweets.truth import relevance_matrix
from mgips.errors import ConfigError
from mgips.model.mgips import MGIPS


@dataclass(frozen=True)
class MiningPrecision:
    """How often a mined image is truly relevant to the text that mined it."""

    precision: float
    """Share of relevant images among the K mined, averaged over texts."""
    chance: float
    """The same for K images drawn at random from the same batches."""
    others: float
    """Precision with each text's own image left out of what it mined: the implicit positives proper."""
    others_chance: float
    """Chance for that."""
    texts: int
    """Texts counted: those with a relevant image in their batch."""


def mining_precision(model: MGIPS, data: TweetDataset, batch_size: int = 32) -> MiningPrecision:
    """Mine inside batches drawn as in training, and compare with the truth, which only TinyTweets has (ConfigError)."""
    if any(tweet.truth is None for tweet in data.tweets):
        raise ConfigError("Mining precision needs to know which images are relevant, and only TinyTweets does.")
    rows = []
    for indices in training_batches(data.tweets, batch_size, seed=0, epoch=0):
        batch = data[indices].to(model.device)
        with model.evaluating():
            mined = model.contrast(model(batch), batch).positives.cpu()  # (N, N)
        relevant = torch.from_numpy(relevance_matrix([data.tweets[i] for i in indices]))  # (N, N)
        every, other = torch.ones_like(mined), ~torch.eye(len(indices), dtype=torch.bool)
        choices = torch.stack([mined, every, mined & other, other])  # (4, N, N)
        shares = (relevant & choices).sum(-1).double() / choices.sum(-1)  # (4, N); NaN where nothing was chosen
        rows.append(shares.T[relevant.any(1)])
    shares = torch.cat(rows)
    precision, chance, others, others_chance = shares.nanmean(0).tolist()
    return MiningPrecision(precision, chance, others, others_chance, len(shares))


def batch_relevance(model: MGIPS, tweets: Sequence[Tweet], batch_size: int = 32) -> dict[str, Any]:
    """One batch of N tweets, drawn as in training: relevance (eq. 14) and mined pairs (eq. 15), for JSON (Figure 5).

    Returns:
        ids: N, rows and columns alike; tweets of a story, where stories are known, side by side.
        scores: (N, N) cosines, rows are texts, to three digits.
        mined, relevant: the pairs [text, image] that are mined, and that truly fit (None where that is unknown).
    """
    batch = [tweets[i] for i in training_batches(tweets, batch_size, seed=0, epoch=0)[0]]
    known = all(tweet.truth is not None for tweet in batch)
    if known:
        batch.sort(key=lambda tweet: (tweet.truth.story == "", tweet.truth.story))
    together = model.batcher(batch).to(model.device)
    with model.evaluating():
        contrast = model.contrast(model(together), together)
    return {
        "ids": [tweet.id for tweet in batch],
        "scores": contrast.relevance.double().cpu().numpy().round(3).tolist(),
        "mined": contrast.positives.cpu().nonzero().tolist(),
        "relevant": np.argwhere(relevance_matrix(batch)).tolist() if known else None,
    }
