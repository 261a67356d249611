"""What a number allows to say: paired bootstrap over seeds and posts, t-intervals, rates, verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest
from seqeval.metrics.sequence_labeling import get_entities

from mgips.errors import MGIPSError

# ---- significance ----


def tweet_counts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """What micro scores are made of, tweet by tweet: (N, 3) int64 of right, predicted and gold entities (default reading)."""
    rows = []
    for a, b in zip(gold, predicted, strict=True):
        a, b = set(get_entities(list(a))), set(get_entities(list(b)))
        rows.append((len(a & b), len(b), len(a)))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def counts_f1(counts: np.ndarray) -> np.ndarray:
    """Micro F1 of tweet counts, (…, N, 3) → (…)."""
    right, predicted, gold = np.moveaxis(counts.sum(-2), -1, 0)
    return 2 * right / np.maximum(1, predicted + gold)


@dataclass(frozen=True)
class Difference:
    """Two systems compared on the same tweets: F1 of the second minus F1 of the first."""

    difference: float
    low: float
    """95 % interval, lower end."""
    high: float
    """95 % interval, upper end."""
    p: float
    """Two-sided: how often a bootstrap sample lands on the other side of zero, twice."""

    @property
    def verdict(self) -> Literal["helps", "hurts", "cannot tell"]:
        """What the interval allows to say about the second system."""
        return "helps" if self.low > 0 else "hurts" if self.high < 0 else "cannot tell"


def paired_bootstrap(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], draws: int = 5000, seed: int = 0
) -> Difference:
    """F1 of `second` minus F1 of `first`, with tweets and seeds resampled together for both systems.

    Args:
        first, second: one array of `tweet_counts` a seed, (N, 3) each, of the same tweets in the same order.
        draws: bootstrap samples. Each draws seeds with replacement, and within a seed tweets with replacement.

    Raises:
        MGIPSError: the two were not measured on the same tweets.
    """
    if len(first) != len(second) or any(
        len(a) != len(b) or (a[:, 2] != b[:, 2]).any() for a, b in zip(first, second, strict=False)
    ):
        raise MGIPSError(
            "The two systems were not scored on the same tweets; compare runs of the same seeds and corpus."
        )
    samples = np.zeros(draws)
    for mine, place, weights in _resampled([len(a) for a in first], draws, seed):
        samples[mine] += _weighted_f1(weights, second[place]) - _weighted_f1(weights, first[place])
    samples /= len(first)
    observed = float(np.mean([counts_f1(b) - counts_f1(a) for a, b in zip(first, second, strict=True)]))
    low, high = np.percentile(samples, [2.5, 97.5])
    p = 2 * min((samples <= 0).mean(), (samples >= 0).mean())
    return Difference(observed, float(low), float(high), float(min(1.0, p)))


@dataclass(frozen=True)
class Estimate:
    """A share or a score in [0, 1], with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int
    """What it rests on: posts for a rate, gold entities for an F1 (each seed's own)."""


def f1_interval(counts: Sequence[np.ndarray], draws: int = 5000, seed: int = 0) -> Estimate:
    """One system's F1, averaged over seeds, with a percentile bootstrap interval over seeds and tweets.

    Where a system makes no mistake the bootstrap draws none, and the interval is a point.

    Args:
        counts: one array of `tweet_counts` a seed, (N, 3) each.
        draws: bootstrap samples, drawn as in `paired_bootstrap`. A sample without any entity counts as F1 = 0.
    """
    samples = np.zeros(draws)
    for mine, place, weights in _resampled([len(a) for a in counts], draws, seed):
        samples[mine] += _weighted_f1(weights, counts[place])
    low, high = np.percentile(samples / len(counts), [2.5, 97.5])
    gold = sum(int(a[:, 2].sum()) for a in counts)
    return Estimate(float(np.mean([counts_f1(a) for a in counts])), float(low), float(high), gold)


def flips(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> np.ndarray:
    """Posts whose predicted tags differ in any word: (N,) bool."""
    return np.array([list(a) != list(b) for a, b in zip(first, second, strict=True)], dtype=bool)


def flip_rate(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> Estimate:
    """Share of posts whose predicted tags differ, with Wilson's interval for a share of independent posts.

    Of no posts at all nothing is known: 0, between 0 and 1.
    """
    changed = flips(first, second)
    if not len(changed):
        return Estimate(0.0, 0.0, 1.0, 0)
    low, high = binomtest(int(changed.sum()), len(changed)).proportion_ci(method="wilson")
    return Estimate(float(changed.mean()), float(low), float(high), len(changed))


def _resampled(sizes: Sequence[int], draws: int, seed: int) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """A bootstrap over seeds and tweets, as (places among the samples, a seed's place, how often each tweet is drawn).

    Each sample draws as many seeds as there are, with replacement, and within each as many tweets as it has.
    """
    rng = np.random.RandomState(seed)
    for _ in sizes:
        chosen = rng.randint(len(sizes), size=draws)
        for place, size in enumerate(sizes):
            mine = np.flatnonzero(chosen == place)
            # Multinomial weights stand for drawing tweets with replacement.
            yield mine, place, rng.multinomial(size, np.full(size, 1 / size), size=len(mine))  # (samples, N)


def _weighted_f1(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    right, predicted, gold = (weights @ counts).T
    return 2 * right / np.maximum(1, predicted + gold)
