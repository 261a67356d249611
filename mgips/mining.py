"""Implicit positives measured: are the mined images the truly relevant ones? (§3.4, eq. 15)"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mgips.data.batch import TweetDataset, training_batches
from mgips.data.tinytweets import relevance_matrix
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


@torch.no_grad()
def mining_precision(model: MGIPS, data: TweetDataset, batch_size: int = 32) -> MiningPrecision:
    """Mine inside batches drawn as in training, and compare with what the generator knows.

    Only for a corpus whose tweets carry their truth (TinyTweets).
    """
    if not model.config.contrast:
        raise ConfigError("This model has no contrastive part (variant text or no-contrast): it mines nothing.")
    if any(tweet.truth is None for tweet in data.tweets):
        raise ConfigError("Mining precision needs to know which images are relevant, and only TinyTweets does.")
    model.eval()
    rows = []
    for indices in training_batches(data.tweets, batch_size, seed=0, epoch=0):
        out = model(data[indices].to(model.device))
        mined = out.positives.cpu()  # (N, N)
        relevant = torch.from_numpy(relevance_matrix([data.tweets[i] for i in indices]))  # (N, N)
        other = ~torch.eye(len(indices), dtype=torch.bool)
        for text in range(len(indices)):
            if relevant[text].any():
                rows.append(
                    [
                        share(relevant[text], mined[text]),
                        share(relevant[text], torch.ones_like(other[text])),
                        share(relevant[text], mined[text] & other[text]),
                        share(relevant[text], other[text]),
                    ]
                )
    precision, chance, others, others_chance = torch.tensor(rows, dtype=torch.float64).nanmean(0).tolist()
    return MiningPrecision(precision, chance, others, others_chance, len(rows))


def share(relevant: torch.Tensor, chosen: torch.Tensor) -> float:
    """Share of relevant among chosen; NaN where nothing was chosen."""
    return (relevant & chosen).sum().item() / chosen.sum().item() if chosen.any() else float("nan")
