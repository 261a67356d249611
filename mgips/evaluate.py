"""Entity-level scores by seqeval, each with the reading of tags that it rests on.

Twitter-2015 has gold entities that start with I-. seqeval's default reading counts them (5,207 in the test
file); strict IOB2 does not (5,072). All published code uses the default, and so does this package.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
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
    rng = np.random.RandomState(seed)
    total = np.zeros(draws)
    for _ in first:  # as many seeds as there are, each drawn with replacement
        chosen = rng.randint(len(first), size=draws)
        for place, (a, b) in enumerate(zip(first, second, strict=True)):
            mine = np.flatnonzero(chosen == place)
            # Multinomial weights stand for drawing tweets with replacement.
            weights = rng.multinomial(len(a), np.full(len(a), 1 / len(a)), size=len(mine))  # (samples, N)
            total[mine] += _weighted_f1(weights, b) - _weighted_f1(weights, a)
    samples = total / len(first)
    observed = float(np.mean([counts_f1(b) - counts_f1(a) for a, b in zip(first, second, strict=True)]))
    low, high = np.percentile(samples, [2.5, 97.5])
    p = 2 * min((samples <= 0).mean(), (samples >= 0).mean())
    return Difference(observed, float(low), float(high), float(min(1.0, p)))


def _weighted_f1(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    right, predicted, gold = (weights @ counts).T
    return 2 * right / np.maximum(1, predicted + gold)
