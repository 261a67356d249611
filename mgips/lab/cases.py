"""Case studies (§4.8, Figures 9 and 10): what each variant answered, and posts chosen as cases by a stated rule.

Any two trained models disagree on some posts, in both directions. So a case is chosen by a written rule, the same way
each time, and is shown with the number of posts that are like it and the number that are the reverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError, DataError
from mgips.evaluate import predict_split
from mgips.lab.error_kinds import error_kinds
from mgips.lab.results import RESULTS, grid_corpus, load_results
from mgips.lab.stats import Difference, paired_bootstrap, tweet_counts
from mgips.mining import mine_dataset
from mgips.model.mgips import MGIPS
from mgips.tags import tag_set

GRID = "fig9"
"""The grid whose runs hold what `collect` gives; its rows are full, no-ips, no-mgi and text."""


def collect(model: MGIPS, corpus: Corpus) -> dict[str, Any]:
    """What a run's file keeps for the case studies, ready for JSON.

    Returns:
        tags: for each test post the ids of its predicted tags, one digit a word (in the order of `tag_set`). A
            model that reads has the test split's pictures as its pool.
        mined: for each test post its K most relevant images of the test split, as [place in the split, cosine]; []
            for a model without a contrastive part. A model that reads ranks by the cosine less the penalty for days.
        errors: see `mgips.lab.error_kinds.error_kinds`.
    """
    data = TweetDataset(corpus.test, model.batcher, progress=False)
    predicted = predict_split(model, data, batch_size=32)
    rows: Iterable[tuple[list[int], list[float]]] = ()
    if model.image_head is not None:
        mined = mine_dataset(model, data, model.config.k, progress=False)
        rows = zip(mined.index.tolist(), mined.score.tolist(), strict=True)
    return {
        "tags": ["".join(str(model.batcher.tag_ids[tag]) for tag in tags) for tags in predicted],
        "mined": [[[i, round(score, 4)] for i, score in zip(*row, strict=True) if i >= 0] for row in rows],
        "errors": error_kinds([tweet.tags for tweet in corpus.test], predicted),
    }


@dataclass(frozen=True)
class Answers:
    """What every variant answered on the N test posts of one seed."""

    seed: int
    tweets: Sequence[Tweet]
    tags: dict[str, list[list[str]]]
    """Predicted tags, by the row of the grid."""
    mined: list[list[tuple[int, float]]]
    """The full model's mined images for each post: place and cosine, the best first."""

    @property
    def right(self) -> dict[str, np.ndarray]:
        """Posts whose predicted entities are exactly the gold ones (seqeval's default reading): (N,) bool by row."""
        gold = [tweet.tags for tweet in self.tweets]
        return {row: (np.ptp(tweet_counts(gold, tags), axis=1) == 0) for row, tags in self.tags.items()}


def answers(seed: int, tweets: Sequence[Tweet], kept: Mapping[str, Mapping[str, Any]]) -> Answers:
    """Read back what `collect` returned for each row, "full" among them. Only TinyTweets' posts, else ConfigError."""
    if any(tweet.truth is None for tweet in tweets):
        raise ConfigError("The cases need to know which pictures are unrelated, and only TinyTweets does.")
    tags = {row: [[tag_set()[int(digit)] for digit in post] for post in record["tags"]] for row, record in kept.items()}
    return Answers(seed, tweets, tags, [[(int(i), s) for i, s in row] for row in kept["full"]["mined"]])


def load_answers(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> list[Answers]:
    """What the runs of the grid answered, one entry per seed, on TinyTweets drawn anew.

    Raises:
        DataError: a run was made on other posts than this version draws, or kept no answers.
    """
    by_seed: dict[int, dict[str, dict[str, Any]]] = {}
    for row, results in load_results(GRID, corpus, folder).items():
        for result in results:
            by_seed.setdefault(result.seed, {})[row] = result.record
    seeds = []
    for seed, records in sorted(by_seed.items()):
        drawn = grid_corpus(corpus, seed)
        for row, record in records.items():
            if "cases" not in record or record["corpus"]["sha256"] != drawn.fingerprint():
                fault = f"{row}-s{seed} of {GRID} was not made on the posts of seed {seed}, or kept no answers"
                raise DataError(f"{fault}; remove its file and run the grid again.")
        seeds.append(answers(seed, drawn.test, {row: record["cases"] for row, record in records.items()}))
    return seeds


@dataclass(frozen=True)
class Rule:
    """Which posts are a case. `says` and `reverse` name both sides of one coin; a card shows the count of either."""

    letter: str
    """The paper's case that it mirrors."""
    says: str
    reverse: str
    full_right: bool
    """Whether the full model is right, and one of the others wrong; or the full model is wrong, and one right."""
    against: tuple[str, ...]
    """Rows of the grid: the others."""
    unrelated: bool = False
    """Only posts that have a picture which does not belong to them."""


# fmt: off
RULES = (
    Rule("a", "the full model is right, w/o IPS-CL wrong", "w/o IPS-CL right, the full model wrong", True, ("no-ips",)),
    Rule("b", "the picture is unrelated, the full model right, w/o MGI wrong", "w/o MGI right, the full model wrong",
         True, ("no-mgi",), unrelated=True),
    Rule("c", "the full model is wrong, another variant right", "the full model right, another variant wrong",
         False, ("no-ips", "no-mgi", "text")),
)
# fmt: on


@dataclass(frozen=True)
class Tally:
    """How often a rule holds, over all seeds."""

    like: int
    reverse: int
    of: int
    """Posts that fit, that fit the reverse, and that could have."""
    right: int
    """Of those that could, posts that the full model gets right."""
    difference: Difference | None
    """Share of right posts, the full model's minus the other's, for a rule with a single other row."""


def fitting(rule: Rule, answered: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posts that fit a rule, posts that fit its reverse, and posts that could: (N,) bool each."""
    full, *others = (answered.right[row] == rule.full_right for row in ("full", *rule.against))
    could = np.array([not rule.unrelated or (t.image is not None and not t.truth.related) for t in answered.tweets])
    return could & full & ~np.all(others, 0), could & ~full & np.any(others, 0), could


def tally(rule: Rule, seeds: Sequence[Answers]) -> Tally:
    """Count a rule over all seeds, with the interval of `paired_bootstrap` over seeds and posts."""
    totals = np.zeros(4, dtype=int)
    first, second = [], []
    for answered in seeds:
        fits, turned, could = fitting(rule, answered)
        rows = {row: right[could] for row, right in answered.right.items()}
        totals += fits.sum(), turned.sum(), could.sum(), rows["full"].sum()
        if len(rule.against) == 1 and could.any():
            # One "entity" per post, predicted by all: F1 is then the share of posts that are right.
            for side, row in ((first, rule.against[0]), (second, "full")):
                side.append(np.stack([rows[row], *np.ones((2, could.sum()))], 1))
    like, reverse, of, right = totals.tolist()
    return Tally(like, reverse, of, right, paired_bootstrap(first, second) if first else None)


@dataclass(frozen=True)
class Case:
    """One post that fits a rule."""

    rule: Rule
    seed: int
    place: int
    """In the test split of that seed."""
    tweet: Tweet
    tags: dict[str, list[str]]
    """Predicted tags, by the row of the grid."""
    mined: list[tuple[Tweet, float, bool]]
    """The K images that the full model mined: the post of each, its cosine, and whether it is truly relevant."""


def choose(rule: Rule, seeds: Sequence[Answers]) -> Case | None:
    """The case that a card shows, of all that fit; None where none does.

    Order of preference: posts with a picture; the fewest variants on the full model's side (right with it, or wrong);
    the most truly relevant images among those mined; the earliest seed and place. No case is picked by hand.
    """
    cases = []
    for answered in seeds:
        right = answered.right
        for place in np.flatnonzero(fitting(rule, answered)[0]).tolist():
            tweet = answered.tweets[place]
            mined = [(answered.tweets[i], score) for i, score in answered.mined[place]]
            images = [(other, score, relevant(tweet, other)) for other, score in mined]
            tags = {row: predicted[place] for row, predicted in answered.tags.items()}
            beside = sum(bool(values[place]) == rule.full_right for values in right.values())
            order = tweet.image is None, beside, -sum(known for *_, known in images), answered.seed, place
            cases.append((order, Case(rule, answered.seed, place, tweet, tags, images)))
    return min(cases, key=lambda pair: pair[0])[1] if cases else None
