"""Entity-level scores by seqeval, each with the reading of tags that it rests on.

Twitter-2015 has gold entities that start with I-. seqeval's default reading counts them (5,207 in the test
file); strict IOB2 does not (5,072). All published code uses the default, and so does this package.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from mgips.data.batch import TweetDataset
from mgips.errors import MGIPSError
from mgips.model.mgips import MGIPS
from mgips.tags import in_order

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
        rows = [["", "P", "R", "F1", "entities"]]
        for name, row in {**self.per_type, "all": self}.items():
            rows.append([name, *(f"{100 * x:.2f}" for x in (row.precision, row.recall, row.f1)), f"{row.support:,}"])
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
    options: dict[str, Any] = {"mode": "strict", "scheme": IOB2} if scheme == "strict" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a type without predictions scores 0
        try:
            report: Any = classification_report(gold, predicted, output_dict=True, **{"zero_division": 0, **options})
        except ValueError:  # strict reading of sequences without a single valid entity on either side
            return Score(0.0, 0.0, 0.0, 0, scheme)

    def as_score(row: dict[str, float], **more: Any) -> Score:
        numbers = float(row["precision"]), float(row["recall"]), float(row["f1-score"])
        return Score(*numbers, int(row["support"]), scheme, **more)

    kinds = in_order(kind for kind in report if not kind.endswith(" avg"))  # a type has no blank
    return as_score(report["micro avg"], per_type={kind: as_score(report[kind]) for kind in kinds})


def predict_split(model: MGIPS, data: TweetDataset, batch_size: int = 64) -> list[list[str]]:
    """A model's tags of a split. A model that reads has the split's own pictures as its pool."""
    pool = model.pool(data) if model.reader is not None else None
    return model.predict_dataset(data, batch_size, pool)


def split_score(model: MGIPS, data: TweetDataset, batch_size: int = 64) -> Score:
    """A model's scores on a split, by `predict_split`: gold never cut, seqeval's default reading."""
    return score([tweet.tags for tweet in data.tweets], predict_split(model, data, batch_size))
