"""Entity-level scores by seqeval, each with the reading of tags that it rests on.

Twitter-2015 has gold entities that start with I-. seqeval's default reading counts them (5,207 in the test
file); strict IOB2 does not (5,072). All published code uses the default, and so does this package.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.stats import binomtest
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2

from mgips.data.corpus import TYPES
from mgips.errors import MGIPSError

Scheme = Literal["default", "strict"]


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1 in [0, 1], micro-averaged over entities."""

    precision: float
    recall: float
    f1: float
    support: int
    """Gold entities."""
    scheme: Scheme = "default"
    """"default": seqeval's own reading. "strict": IOB2, where an entity starts with B-."""
    per_type: dict[str, Score] = field(default_factory=dict)
    """The same for each entity type, in the order of Table 1."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [("", "P", "R", "F1", "entities")]
        for name, one in {**self.per_type, "all": self}.items():
            rows.append((name, *(f"{100 * x:.2f}" for x in (one.precision, one.recall, one.f1)), f"{one.support:,}"))
        lines = ["".join(f"{cell:>9}" for cell in row) for row in rows]
        return "\n".join([*lines, f"(seqeval, {self.scheme} reading)"])


def score(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: Scheme = "default") -> Score:
    """Compare predicted with gold tags, one sequence a tweet.

    Args:
        gold, predicted: BIO tags of the same tweets, in the same order and of the same lengths.
        scheme: the reading, see `Score.scheme`.

    Raises:
        MGIPSError: the two do not have the same shape, naming where, or an unknown scheme.
    """
    if scheme not in ("default", "strict"):
        raise MGIPSError(f"There is no reading {scheme!r}; the readings are 'default' and 'strict'.")
    if len(gold) != len(predicted):
        raise MGIPSError(
            f"There are {len(gold)} tweets in gold and {len(predicted)} in the prediction; give the same ones."
        )
    for index, (a, b) in enumerate(zip(gold, predicted, strict=True)):
        if len(a) != len(b):
            raise MGIPSError(f"Tweet {index} has {len(a)} gold tags and {len(b)} predicted ones; give one a word.")
    gold, predicted = [list(tags) for tags in gold], [list(tags) for tags in predicted]
    if not any(tag != "O" for tags in (*gold, *predicted) for tag in tags):
        return Score(0.0, 0.0, 0.0, 0, scheme)
    options = {"mode": "strict", "scheme": IOB2} if scheme == "strict" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a type without predictions scores 0, and that is no news
        try:
            report = classification_report(gold, predicted, output_dict=True, zero_division=0, **options)
        except ValueError:  # strict reading of sequences without a single valid entity on either side
            return Score(0.0, 0.0, 0.0, 0, scheme)

    def one(row: dict[str, float], **more: Any) -> Score:
        numbers = float(row["precision"]), float(row["recall"]), float(row["f1-score"])
        return Score(*numbers, int(row["support"]), scheme, **more)

    kinds = [*TYPES, *sorted(k for k in report if k not in TYPES and not k.endswith(" avg"))]
    return one(report["micro avg"], per_type={kind: one(report[kind]) for kind in kinds if kind in report})


@dataclass(frozen=True)
class Span:
    """An entity in a tweet: words [start, end)."""

    start: int
    end: int
    type: str
    text: str


def spans(words: Sequence[str], tags: Sequence[str]) -> list[Span]:
    """The entities of one tweet, by seqeval's default reading."""
    return [Span(a, b + 1, kind, " ".join(words[a : b + 1])) for kind, a, b in get_entities(list(tags))]


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


# ---- kinds of error ----

Entity = tuple[str, int, int]
"""As seqeval has it: type, first and last word."""
ERRORS = ("boundary", "type", "boundary and type", "missed", "spurious")
"""What an entity that is not right can be, see `matched`."""


def matched(gold: Sequence[str], predicted: Sequence[str]) -> list[tuple[str, Entity | None, Entity | None]]:
    """The gold and the predicted entities of one tweet (default reading), paired off, in the order of their words.

    Each entity is used once. Pairs are made in four rounds: the same words and type ("right"); the same words, another
    type ("type"); words in common, the same type ("boundary"); words in common, another type ("boundary and type").
    Within a round the pair with the most words in common goes first, of these the one whose gold entity starts first,
    then the one whose predicted entity does. Gold entities that are left over are "missed", predicted ones "spurious".

    Returns:
        (kind, gold entity or None, predicted entity or None).
    """
    left = get_entities(list(gold)), get_entities(list(predicted))
    rounds = {
        (True, True): "right",
        (True, False): "type",
        (False, True): "boundary",
        (False, False): "boundary and type",
    }
    found = []
    for (words, type_), kind in rounds.items():
        pairs = [
            (g, p)
            for g in left[0]
            for p in left[1]
            if _common(g, p) > 0 and (g[1:] == p[1:]) == words and (g[0] == p[0]) == type_
        ]
        for g, p in sorted(pairs, key=lambda pair: (-_common(*pair), pair[0][1], pair[1][1])):
            if g in left[0] and p in left[1]:
                left[0].remove(g)
                left[1].remove(p)
                found.append((kind, g, p))
    found += [("missed", g, None) for g in left[0]] + [("spurious", None, p) for p in left[1]]
    return sorted(found, key=lambda pair: (pair[1] or pair[2])[1:])


def _common(a: Entity, b: Entity) -> int:
    """Words in both."""
    return min(a[2], b[2]) - max(a[1], b[1]) + 1


def error_kinds(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, int]:
    """How many entities are right, and how many wrong in which way, by the rule of `matched`.

    All but "spurious" add up to the gold entities, all but "missed" to the predicted ones.
    """
    counts = Counter(kind for a, b in zip(gold, predicted, strict=True) for kind, _, _ in matched(a, b))
    return {kind: counts[kind] for kind in ("right", *ERRORS)}
