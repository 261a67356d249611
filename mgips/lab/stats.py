"""Every inference of the lab: paired bootstrap over seeds and posts, t-intervals over seeds, rates, verdicts, power."""

from __future__ import annotations

import functools
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from scipy import stats
from seqeval.metrics.sequence_labeling import get_entities

from mgips.errors import MGIPSError


def entity_counts(gold: Iterable[Collection[Hashable]], predicted: Iterable[Collection[Hashable]]) -> np.ndarray:
    """Right, predicted and gold entities of each post: (N, 3) int64. An entity is right if both hold it."""
    rows = [(len({*a} & {*b}), len({*b}), len({*a})) for a, b in zip(gold, predicted, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def tweet_counts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """`entity_counts` of BIO tags, by seqeval's default reading: (N, 3) int64 of right, predicted and gold entities."""
    return entity_counts(*([get_entities(list(tags)) for tags in tweets] for tweets in (gold, predicted)))


def counts_f1(counts: np.ndarray) -> np.ndarray:
    """Micro F1 of tweet counts, (…, N, 3) → (…)."""
    return _f1(counts.sum(-2))


def _f1(totals: np.ndarray) -> np.ndarray:
    """(…, 3) → (…); 0 where there is no entity."""
    right, predicted, gold = np.moveaxis(totals, -1, 0)
    return 2 * right / np.maximum(1, predicted + gold)


Name = TypeVar("Name", bound=Hashable)
NO_DIFFERENCE = "no detectable difference"
Verdict = Literal["helps", "hurts", "no detectable difference"]


@dataclass(frozen=True)
class Difference:
    """Two systems compared on the same posts or seeds: the second's score minus the first's, in [-1, 1]."""

    difference: float
    low: float
    high: float
    """Ends of the 95 % interval."""
    p: float
    """Two-sided p-value of no difference. Bootstrap: twice the share of samples on the other side of zero."""

    @property
    def verdict(self) -> Verdict:
        """What the interval allows to say about the second system."""
        return "helps" if self.low > 0 else "hurts" if self.high < 0 else NO_DIFFERENCE

    @property
    def detectable(self) -> float:
        """The smallest true difference that this comparison would detect with 80 % power.

        (z.975 + z.80) · SE, with SE = (high - low) / (2 · z.975): a two-sided test at 5 %, normal approximation. A
        t-interval over few seeds is wider than its SE says here, so the value is then slightly too high.
        """
        return _detectable(self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with the verdict."""
        return {**asdict(self), "verdict": self.verdict}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Difference:
        """From JSON. A verdict stored there is ignored: it follows from the interval."""
        return cls(*(record[name] for name in ("difference", "low", "high", "p")))

    def __str__(self) -> str:
        return f"{100 * self.difference:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def _detectable(low: float, high: float) -> float:
    z = stats.norm.ppf(0.975)
    return float((z + stats.norm.ppf(0.8)) * (high - low) / (2 * z))


@dataclass(frozen=True)
class Estimate:
    """A share, a score or a mean, with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int
    """What it rests on: posts for a rate, gold entities for an F1 (each seed's own), seeds for a mean over seeds."""

    @property
    def detectable(self) -> float:
        """For a value that may be 0, such as a correlation: the smallest true one that 80 % power would tell from 0.

        By the same formula as `Difference.detectable`.
        """
        return _detectable(self.low, self.high)

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def paired_bootstrap(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], draws: int = 5000, seed: int = 0
) -> Difference:
    """F1 of `second` minus F1 of `first`, with posts and seeds resampled together for both systems.

    Args:
        first, second: one array of `tweet_counts` per seed, (N, 3) each, of the same posts in the same order.
        draws: bootstrap samples. Each draws seeds with replacement, and within a seed posts with replacement.

    Raises:
        MGIPSError: the two were not measured on the same posts.
    """
    golds = [[counts[:, 2].tolist() for counts in system] for system in (first, second)]
    if golds[0] != golds[1]:
        raise MGIPSError(
            "The two systems were not scored on the same tweets; compare runs of the same seeds and corpus."
        )
    samples = np.zeros(draws)
    for rows, place, weights in _resampled([len(a) for a in first], draws, seed):
        samples[rows] += _f1(weights @ second[place]) - _f1(weights @ first[place])
    samples /= len(first)
    observed = float(np.mean([counts_f1(b) - counts_f1(a) for a, b in zip(first, second, strict=True)]))
    low, high = np.percentile(samples, [2.5, 97.5])
    p = 2 * min((samples <= 0).mean(), (samples >= 0).mean())
    return Difference(observed, float(low), float(high), float(min(1.0, p)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values of which any below .05 means at most 5 % for even one false finding among all.

    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics, 1979. The
    i-th smallest of m is multiplied by m - i + 1, and none may be below a smaller one's. Any dependence is allowed.
    """
    p, count = np.array(p_values, dtype=float), len(p_values)
    order = np.argsort(p, kind="stable")
    p[order] = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(count, 0, -1)))
    return p.tolist()


def p_value(p: float) -> str:
    """ "< .001" or ".042"."""
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def corrected(differences: Mapping[Name, Difference]) -> dict[Name, float]:
    """The p-values of several comparisons that are read together, after Holm's correction.

    Each `Difference` keeps its own interval; what the whole table allows to say of a row is `concluded`.
    """
    return dict(zip(differences, holm([difference.p for difference in differences.values()]), strict=True))


def concluded(difference: Difference, p: float) -> Verdict:
    """The verdict that is left when the corrected p-value counts: a row's difference holds if p < .05."""
    return difference.verdict if p < 0.05 else NO_DIFFERENCE


def f1_interval(counts: Sequence[np.ndarray], draws: int = 5000, seed: int = 0) -> Estimate:
    """One system's F1, averaged over seeds, with a percentile bootstrap interval; arguments as in `paired_bootstrap`.

    A sample without any entity counts as F1 = 0. A system without a mistake has none in any sample: a point.
    """
    samples = np.zeros(draws)
    for rows, place, weights in _resampled([len(a) for a in counts], draws, seed):
        samples[rows] += _f1(weights @ counts[place])
    low, high = np.percentile(samples / len(counts), [2.5, 97.5])
    gold = sum(int(a[:, 2].sum()) for a in counts)
    return Estimate(float(np.mean([counts_f1(a) for a in counts])), float(low), float(high), gold)


def _resampled(sizes: Sequence[int], draws: int, seed: int) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """A bootstrap over seeds and posts, as (indices of samples, index of a seed, how often each post is drawn).

    Each sample draws as many seeds as there are, with replacement, and within each as many posts as it has.
    """
    for rows, place, weights in _drawn(tuple(sizes), draws, seed):
        yield rows, place, weights.astype(float)  # whose products are fast, and exact


@functools.lru_cache(4)
def _drawn(sizes: tuple[int, ...], draws: int, seed: int) -> list[tuple[np.ndarray, int, np.ndarray]]:
    """The same, kept: the rows of one table all draw alike, and drawing takes most of the time."""
    rng, drawn = np.random.RandomState(seed), []
    for _ in sizes:
        chosen = rng.randint(len(sizes), size=draws)
        for place, size in enumerate(sizes):
            rows = np.flatnonzero(chosen == place)
            # Multinomial weights stand for drawing posts with replacement.
            weights = rng.multinomial(size, np.full(size, 1 / size), size=len(rows))  # (samples, N)
            small = np.uint8 if weights.max(initial=0) < 256 else np.int64
            drawn.append((rows, place, weights.astype(small)))
    return drawn


def t_interval(values: Sequence[float]) -> Estimate:
    """The mean of one value per seed, with its 95 % t-interval; a single seed gives a point."""
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)) if len(values) > 1 else 0.0
    return Estimate(mean, mean - half, mean + half, len(values))


def t_difference(differences: Sequence[float]) -> Difference:
    """The mean of one paired difference per seed, with its 95 % t-interval and the p-value of the paired t-test.

    The t-test is undefined where all seeds agree exactly: p is then 1 for no difference, 0 for any other.
    """
    mean = t_interval(differences)
    agree = len(differences) < 2 or not np.ptp(differences)
    p = float(not any(differences)) if agree else stats.ttest_1samp(differences, 0).pvalue  # pyright: ignore[reportAttributeAccessIssue]
    return Difference(mean.value, mean.low, mean.high, float(p))


def flips(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> np.ndarray:
    """Posts whose predicted tags differ in any word: (N,) bool."""
    return np.array([list(a) != list(b) for a, b in zip(first, second, strict=True)], dtype=bool)


def flip_rate(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> Estimate:
    """Share of posts whose predicted tags differ, with Wilson's interval; without any post 0, between 0 and 1."""
    changed = flips(first, second)
    if not len(changed):
        return Estimate(0.0, 0.0, 1.0, 0)
    low, high = stats.binomtest(int(changed.sum()), len(changed)).proportion_ci(method="wilson")
    return Estimate(float(changed.mean()), float(low), float(high), len(changed))


def rank_correlation(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, draws: int = 2000, seed: int = 0
) -> Estimate:
    """Spearman's rank correlation of two lists, with a percentile bootstrap interval over their places.

    Equal values share their mean rank. A list of equal values has no order: its correlation counts as 0.

    Raises:
        MGIPSError: lists of different lengths, or of fewer than two places.
    """
    if len(x) != len(y) or len(x) < 2:
        raise MGIPSError(
            f"A rank correlation needs two lists of one length, two places at least; got {len(x)} and {len(y)}."
        )
    drawn = np.random.RandomState(seed).randint(len(x), size=(draws, len(x)))
    ours, theirs = np.asarray(x), np.asarray(y)
    low, high = np.percentile(_rank_correlation(ours[drawn], theirs[drawn]), [2.5, 97.5])
    return Estimate(float(_rank_correlation(ours, theirs)), float(low), float(high), len(x))


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(…, N) twice → (…)."""
    a, b = (stats.rankdata(each, axis=-1) for each in (x, y))
    a, b = (each - each.mean(-1, keepdims=True) for each in (a, b))
    size = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.where(size > 0, (a * b).sum(-1) / np.maximum(size, 1e-12), 0.0)
