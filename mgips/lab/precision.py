"""Implicit positives compared with the truth: are the mined images the relevant ones? (§3.4, eq. 15)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgips.data.batch import TweetDataset, training_batches
from mgips.data.corpus import Tweet
from mgips.data.tinytweets.truth import relevance_matrix
from mgips.errors import ConfigError
from mgips.mining import Hubs, Mined, hubs, hubs_by_chance
from mgips.model.mgips import MGIPS


@dataclass(frozen=True)
class MiningPrecision:
    """How often a mined image is truly relevant to the text that mined it, and whether a few images take all places.

    Shares in [0, 1], averaged over texts. None is what cannot be said, or was not measured when the file was written.
    """

    precision: float | None
    """Share of relevant images among the K mined."""
    chance: float | None
    """The same for K images drawn at random from the same batches."""
    others: float | None
    """Precision with each text's own image left out of what it mined: the implicit positives proper."""
    others_chance: float | None
    """Chance for that."""
    texts: int
    """Texts counted: those with a relevant image in their batch. Hubs are counted over all texts."""
    attainable: float | None = None
    """The highest precision that any model could reach with this K: a batch may hold fewer than K relevant images."""
    others_attainable: float | None = None
    """The same for `others`. Such a model mines a text's own image where fewer than K others are relevant: the own
    one is left out of the count, an irrelevant other is not."""
    at_one: float | None = None
    """Share of texts whose best-ranked other image is relevant, whether it is among the K or not."""
    at_one_chance: float | None = None
    """Chance for that."""
    at_one_attainable: float | None = None
    """The highest value for that: the share of texts with a relevant other image."""
    skewness: float | None = None
    """See `mgips.mining.Hubs`; over all batches together, of the images that may be mined."""
    skewness_chance: float | None = None
    """The skewness if each text mined its K at random."""
    top_ten: float | None = None
    """See `mgips.mining.Hubs`."""
    top_ten_chance: float | None = None
    """Chance for that."""


def mining_precision(model: MGIPS, data: TweetDataset, batch_size: int = 32) -> MiningPrecision:
    """Mine inside batches drawn as in training, and compare with the truth, which only TinyTweets has (ConfigError)."""
    _check_truth(data.tweets)
    pool = _pictured(model, data)  # (N,)
    shares, mined_places = [], []
    met, share = torch.zeros(len(data), dtype=torch.int64), torch.zeros(len(data), dtype=torch.float64)
    for indices in training_batches(data.tweets, batch_size, seed=0, epoch=0):
        batch = data[indices].to(model.device)
        with model.evaluating():
            contrast = model.contrast(model(batch, read_batch=model.reader is not None), batch)
        mined, places = contrast.positives.cpu(), torch.tensor(indices)
        relevant = torch.from_numpy(relevance_matrix([data.tweets[i] for i in indices]))  # (B, B)
        own, candidates = torch.eye(len(indices), dtype=torch.bool), pool[places]
        ranked = contrast.relevance.cpu().masked_fill(own | ~candidates, -torch.inf)
        first = torch.zeros_like(mined).scatter(1, ranked.argmax(1, keepdim=True), True) & ~own & candidates
        shares.append(_shares(mined, relevant, own, candidates, first))
        mined_places.append(places[mined.nonzero()[:, 1]])
        met[places], share[places] = len(indices), mined.sum().double() / (len(indices) * candidates.sum()).clamp(min=1)
    return _summary(
        torch.cat(shares), hubs(torch.cat(mined_places), len(data), pool), hubs_by_chance(met[pool], share[pool])
    )


def split_precision(
    tweets: Sequence[Tweet], mined: Mined, k: int | None = None, candidates: Tensor | None = None
) -> MiningPrecision:
    """The same where all images of a split were candidates for every text, as `mgips.mining` mines.

    Args:
        tweets: N, with their truth.
        mined: what was mined for them.
        k: K; all that was mined by default. `at_one` is None where that is one image, and some text's own.
        candidates: (N,) bool, the images that could be mined; all by default.

    Raises:
        ConfigError: another corpus than TinyTweets, or fewer than K were mined.
    """
    _check_truth(tweets)
    count, chosen = len(tweets), mined.top(k or mined.k).index
    pool = torch.ones(count, dtype=torch.bool) if candidates is None else candidates
    relevant = torch.from_numpy(relevance_matrix(tweets))
    shares = []
    for rows in torch.arange(count).split(256):
        own = rows[:, None] == torch.arange(count)  # (rows, N)
        two = mined.index[rows, :2]  # the best other image is one of them
        best = two.gather(1, (two[:, :1] == rows[:, None]).long().clamp(max=two.shape[1] - 1))
        first = _matrix(best, count) & ~own
        shares.append(_shares(_matrix(chosen[rows], count), relevant[rows], own, pool, first))
    found = _summary(torch.cat(shares), *split_hubs(chosen, pool))
    blind = mined.k == 1 and bool((mined.index[:, 0] == torch.arange(count)).any())
    return replace(found, at_one=None, at_one_chance=None, at_one_attainable=None) if blind else found


def split_hubs(index: Tensor, candidates: Tensor | None = None) -> tuple[Hubs, Hubs]:
    """The hubs of a split, and what chance gives: of the (N, K) images mined for N texts, `candidates` being (N,) bool."""
    pool = torch.ones(len(index), dtype=torch.bool) if candidates is None else candidates
    images = int(pool.sum())
    texts, share = torch.full((images,), len(index)), (index >= 0).sum().double() / (len(index) * images)
    return hubs(index, len(index), pool), hubs_by_chance(texts, share.expand(images))


def _check_truth(tweets: Sequence[Tweet]) -> None:
    if any(tweet.truth is None for tweet in tweets):
        raise ConfigError("Mining precision needs to know which images are relevant, and only TinyTweets does.")


def _pictured(model: MGIPS, data: TweetDataset) -> Tensor:
    """(N,) bool, the images that this model may mine."""
    return torch.ones(len(data), dtype=torch.bool) if model.config.mine_missing else data.has_image


def _matrix(index: Tensor, count: int) -> Tensor:
    """(B, K) numbers of images, -1 for none → (B, count) bool."""
    matrix = torch.zeros(len(index), count + 1, dtype=torch.bool)
    return matrix.scatter(1, index.where(index >= 0, count), True)[:, :count]


def _shares(mined: Tensor, relevant: Tensor, own: Tensor, candidates: Tensor, first: Tensor) -> Tensor:
    """What `_summary` averages: a row for each text with a relevant image, NaN where nothing was chosen.

    All (B, N) bool, rows are texts, but for `candidates`, (N,); `first` is the best-ranked other image of each.
    """
    choices = torch.stack([mined, torch.ones_like(mined), mined & ~own, ~own, first, ~own & candidates])  # (6, B, N)
    shares = (relevant & choices).sum(-1).double() / choices.sum(-1)  # (6, B)
    count, others = mined.sum(1), (relevant & ~own).sum(1)  # (B,)
    room = count - ((own & candidates).any(1) & (others < count)).long()  # the own image takes a place if it is of use
    pairs = (count, relevant.sum(1)), (room, others), (first.sum(1), others)
    best = torch.stack([torch.minimum(places, there).double() / places for places, there in pairs])  # (3, B)
    return torch.cat([shares, best]).T[relevant.any(1)]


def _summary(shares: Tensor, found: Hubs, random: Hubs) -> MiningPrecision:
    precision, chance, others, others_chance, at_one, at_one_chance, *best = map(_known, shares.nanmean(0).tolist())
    return MiningPrecision(
        **{"precision": precision, "chance": chance, "others": others, "others_chance": others_chance},
        **dict(zip(("attainable", "others_attainable", "at_one_attainable"), best, strict=True)),
        **{"at_one": at_one, "at_one_chance": at_one_chance},
        **{"skewness": _known(found.skewness), "skewness_chance": _known(random.skewness)},
        **{"top_ten": _known(found.top_ten), "top_ten_chance": _known(random.top_ten)},
        texts=len(shares),
    )


def _known(number: float) -> float | None:
    """NaN is no JSON."""
    return None if np.isnan(number) else number


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
        contrast = model.contrast(model(together, read_batch=model.reader is not None), together)
    return {
        "ids": [tweet.id for tweet in batch],
        "scores": contrast.relevance.double().cpu().numpy().round(3).tolist(),
        "mined": contrast.positives.cpu().nonzero().tolist(),
        "relevant": np.argwhere(relevance_matrix(batch)).tolist() if known else None,
    }
