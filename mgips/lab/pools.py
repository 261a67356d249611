"""What a model that reads makes of different pools: the day's pictures, a whole split's, others', wrong ones.

A number for such a model means little without the pool that it read. The controls here change the pool alone, on one
trained model; those that need a training of their own are rows of the grid "reads".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgips.data.batch import Batch, TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.tinytweets.truth import relevance_matrix
from mgips.lab.stats import tweet_counts
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool, joined

POOLS = {
    "day": "the pictures of the same day",
    "split": "all pictures of the split",
    "split+train": "those and all of the training split",
    "train": "the training split's alone",
    "none": "none",
    "others": "the day's without the own one",
    "past": "those posted earlier, from the whole split",
    "32": "32 of the split's, at random",
    "100": "100 of the split's, at random",
    "shuffled days": "the split's, each post's day exchanged with another's",
    "random": "the day's, each read as a random one of them",
    "mean": "the day's, each read as the mean of them",
    "oracle": "the day's that truly fit",
}
"""The pools of `read_pools`, and what is in them."""
READ = 0.01
"""A picture counts as read from this weight on."""


@dataclass(frozen=True)
class PoolReading:
    """One pool, read for every post of a split."""

    size: int
    """Pictures in it."""
    counts: list[list[int]]
    """`mgips.lab.stats.tweet_counts` of the predictions, (N, 3)."""
    pictures: float
    """Pictures read a post: those of a weight of READ or more."""
    nothing: float
    """Weight of reading nothing, averaged over posts."""
    mass: float | None
    """Share of the weight on pictures that lies on relevant ones, over posts with a relevant one in reach; None
    where the truth is unknown, or there is no such post."""
    at_one: float | None
    """Share of posts whose best-scored other picture is relevant, over those with a relevant other one in reach."""


def read_pools(model: MGIPS, corpus: Corpus, split: str = "test", seed: int = 0) -> dict[str, PoolReading]:
    """A model's predictions of a split with each of the pools of POOLS that the corpus allows.

    "past" and "shuffled days" need posts that carry a time, "oracle" a corpus whose truth is known. Where no post
    carries a time, the whole split stands for the day.
    """
    data = TweetDataset(corpus.labelled(split), model.batcher, progress=False)
    posts = {tweet.id: tweet for tweet in (*corpus.train, *data.tweets)}
    here = model.pool(data)
    rng = np.random.RandomState(seed)
    timed = not bool(here.times.isnan().all())
    known = all(tweet.truth is not None for tweet in data.tweets)

    pools = {"split": replace(here, days=None), "none": model.pool(())}
    if split != "train":
        train = pools["train"] = replace(model.pool(corpus.train), days=None)
        pools["split+train"] = replace(joined([here, train]), days=None)
    day = replace(here, days=0 if timed else None)
    pools["day"] = day
    pools["others"] = replace(day, rule=others)
    pools["random"] = replace(day, values=here.values[_shuffled_inside(here.times, rng)])
    pools["mean"] = replace(day, values=_day_means(here))
    for size in (32, 100):
        if size < len(here):
            pools[str(size)] = replace(here.take(torch.from_numpy(rng.permutation(len(here))[:size])), days=None)
    if timed:
        pools["past"] = replace(here, days=None, rule=earlier)
        pools["shuffled days"] = replace(
            here, days=None, times=here.times[torch.from_numpy(rng.permutation(len(here)))]
        )
    if known:
        relevant = torch.from_numpy(relevance_matrix([posts[id] for id in (*here.ids, *(t.id for t in data.tweets))]))
        rows = {tweet.id: relevant[len(here) + i, : len(here)] for i, tweet in enumerate(data.tweets)}
        pools["oracle"] = replace(
            day, rule=lambda batch, pool: torch.stack([rows[id] for id in batch.ids]).to(pool.keys.device)
        )
    return {name: read_pool(model, data, pools[name], posts if known else {}) for name in POOLS if name in pools}


def others(batch: Batch, pool: Pool) -> Tensor:
    """A rule for pools: any picture but the post's own."""
    return ~pool.own(batch.ids)


def earlier(batch: Batch, pool: Pool) -> Tensor:
    """A rule for pools: what was posted before. Not what carries no time."""
    times = pool.times.new_full((len(batch),), torch.nan) if batch.times is None else batch.times
    return pool.times < times[:, None]


def read_pool(model: MGIPS, data: TweetDataset, pool: Pool, posts: dict[str, Tweet]) -> PoolReading:
    """Predict a split with one pool, and say what was read.

    Args:
        posts: the pool's posts by their ids, where their truth is known.
    """
    tags: list[list[str]] = [[] for _ in range(len(data))]
    found: dict[str, list[float]] = {"pictures": [], "nothing": [], "mass": [], "at_one": []}
    stories = np.array([posts[id].truth.story for id in pool.ids] if posts else [], dtype=str)
    related = np.array([posts[id].truth.related for id in pool.ids] if len(stories) else [], dtype=bool)
    for indices, batch, out in model.outputs(data, pool=pool):
        for index, path in zip(indices, model.decode(out, batch), strict=True):
            tags[index] = path
        assert out.reading is not None
        weights, scores = out.reading.weights.cpu(), out.reading.scores[:, :-1].cpu()
        found["pictures"] += (weights[:, :-1] >= READ).sum(1).tolist()
        found["nothing"] += weights[:, -1].tolist()
        if not len(stories):
            continue
        reach = pool.readable(batch, own=model.config.reads_own).cpu()
        own = pool.own(batch.ids).cpu()
        for row, index in enumerate(indices):
            story = data.tweets[index].truth.story
            fits = torch.from_numpy((stories == story) & related) & reach[row] & bool(story)
            read = weights[row, :-1]
            if fits.any() and read.sum() > 0:
                found["mass"].append(float(read[fits].sum() / read.sum()))
            fits &= ~own[row]
            if fits.any():
                best = scores[row].masked_fill(~reach[row] | own[row], -torch.inf).argmax()
                found["at_one"].append(float(fits[best]))
    counts = tweet_counts([list(tweet.tags) for tweet in data.tweets], tags).tolist()
    means: dict[str, Any] = {name: float(np.mean(values)) if values else None for name, values in found.items()}
    return PoolReading(len(pool), counts, **means)


def _days(times: Tensor) -> np.ndarray:
    """Each post's day, as a label; posts without a time share one."""
    return np.nan_to_num(np.floor(times.cpu().numpy()), nan=-np.inf)


def _shuffled_inside(times: Tensor, rng: np.random.RandomState) -> Tensor:
    """A permutation that exchanges posts of the same day only."""
    order = np.arange(len(times))
    for day in np.unique(_days(times)):
        places = np.flatnonzero(_days(times) == day)
        order[places] = rng.permutation(places)
    return torch.from_numpy(order).to(times.device)


def _day_means(pool: Pool) -> Tensor:
    """The mean of each day's values in place of each: (N, d)."""
    days = torch.from_numpy(np.unique(_days(pool.times), return_inverse=True)[1]).to(pool.values.device)
    same = (days[:, None] == days).to(pool.values.dtype)
    return same @ pool.values / same.sum(1, keepdim=True)
