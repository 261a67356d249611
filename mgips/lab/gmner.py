"""Which entities of a post can be seen in its photo: GMNER's marks, and recall on seen and unseen entities apart.

People marked every named entity that is visible in the photo for 10,000 posts of Twitter-2015 and Twitter-2017 (Yu et
al., "Grounded Multimodal Named Entity Recognition on Social Media", ACL 2023). The marks are in the GitHub repository
NUSTM/GMNER, folder `Twitter10000_v2.0`; they may not be redistributed here. `read_marks` reads two tables made of them:

    FOLDER/ids.csv      id,split                            the posts, from txt/{train,dev,test}.txt
    FOLDER/boxes.csv    id,width,height,name,xmin,ymin,xmax,ymax    one line a box, from xml/ID.xml

A mark belongs to a gold entity of the post with that id and the same words; case, spacing and a # or @ in front do not
count. Where the same words are an entity of the post twice, the mark is for both. GMNER revised some words and tags, so
in a post with a mark that fits no gold entity the unmarked ones are left out: any of them may be the one that was meant.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mgips.data.corpus import Tweet
from mgips.data.spans import Span, spans
from mgips.errors import DataError, MGIPSError
from mgips.lab.stats import Difference, Estimate, f1_interval, paired_bootstrap

Group = Literal["seen", "unseen"]
GROUPS: tuple[Group, ...] = ("seen", "unseen")

Marks = Mapping[str, frozenset[str]]
"""For each listed post, by its id, the words (`key`) of what was marked in its photo; none where nothing was."""


def key(text: str) -> str:
    """The words of an entity, for comparing: lower case, without spaces and without # or @ in front."""
    return "".join(text.lower().split()).lstrip("#@")


def read_marks(folder: str | Path) -> Marks:
    """GMNER's marks from a folder with ids.csv and boxes.csv.

    Raises:
        DataError: a file is missing or damaged, or has a box of a post that is not listed.
    """
    folder = Path(folder)
    marks: dict[str, set[str]] = {row["id"]: set() for row in _table(folder / "ids.csv", "id")}
    for row in _table(folder / "boxes.csv", "id", "name"):
        if row["id"] not in marks:
            raise DataError(
                f"{folder / 'boxes.csv'} marks the post {row['id']!r}, which ids.csv does not list; add it."
            )
        marks[row["id"]].add(key(row["name"]))
    return {id: frozenset(names) for id, names in marks.items()}


def _table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file that has these columns."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read ({error}); make it from GitHub's NUSTM/GMNER, folder Twitter10000_v2.0."
        ) from error
    if any(row.get(column) is None for row in rows for column in columns) or not rows:
        raise DataError(f"{path} is not a table of GMNER's: expected a line for each mark with {', '.join(columns)}.")
    return rows


@dataclass(frozen=True)
class Visibility:
    """The gold entities of N posts, by whether the photo shows them."""

    seen: tuple[tuple[Span, ...], ...]
    """Of each post, those with a mark."""
    unseen: tuple[tuple[Span, ...], ...]
    """Of each listed post whose marks all fit, those without one."""
    unsure: int
    """Entities without a mark in posts with a mark that fits no entity; they are in neither group."""
    unlisted: tuple[str, ...]
    """Ids of posts that nobody looked at; their entities are in neither group."""
    marks: int
    """Different entities marked in these posts."""
    unjoined: int
    """Of those, the ones that fit no gold entity."""


def visibility(tweets: Sequence[Tweet], marks: Marks) -> Visibility:
    """Which gold entities of some posts can be seen, by id and words; see the top of this file for what fits."""
    seen, unseen = [], []
    unsure = unjoined = 0
    for tweet in tweets:
        names = marks.get(tweet.id)
        entities = spans(tweet.words, tweet.tags) if names is not None else []
        marked = tuple(entity for entity in entities if key(entity.text) in (names or ()))
        others = tuple(entity for entity in entities if entity not in marked)
        strange = len((names or frozenset()) - {key(entity.text) for entity in marked})
        unjoined += strange
        unsure += len(others) if strange else 0
        seen.append(marked)
        unseen.append(() if strange else others)
    listed = [tweet.id for tweet in tweets if tweet.id in marks]
    unlisted = tuple(tweet.id for tweet in tweets if tweet.id not in marks)
    return Visibility(tuple(seen), tuple(unseen), unsure, unlisted, sum(len(marks[id]) for id in listed), unjoined)


def visible_counts(tweets: Sequence[Tweet], predicted: Sequence[Sequence[str]], marks: Marks) -> dict[str, Any]:
    """How many of each post's gold entities are found, those in the photo and the others apart, for JSON.

    An entity is found if its words and its type are predicted, by seqeval's default reading. A wrong prediction is
    neither seen nor unseen, so only recall can be compared.

    Returns:
        "seen" and "unseen": [right, gold] of every post, (N, 2) each; both 0 for a post that is not listed. Then the
        counts of `Visibility`: "unsure", "unlisted", "marks", "unjoined".

    Raises:
        MGIPSError: not one prediction a post.
    """
    if len(tweets) != len(predicted):
        raise MGIPSError(f"There are {len(tweets)} posts and {len(predicted)} predictions; give one a post.")
    found = visibility(tweets, marks)
    guesses = [set(spans(tweet.words, tags)) for tweet, tags in zip(tweets, predicted, strict=True)]
    counts = {
        group: [
            [len(guess.intersection(entities)), len(entities)]
            for entities, guess in zip(getattr(found, group), guesses, strict=True)
        ]
        for group in GROUPS
    }
    more = {"unsure": found.unsure, "unlisted": len(found.unlisted), "marks": found.marks, "unjoined": found.unjoined}
    return {**counts, **more}


@dataclass(frozen=True)
class Recall:
    """A system's recall on the entities of one group."""

    system: str
    group: Group
    recall: Estimate
    """Over all seeds, with its 95 % interval; it rests on the group's gold entities, each seed's own."""
    gain: Difference | None
    """Recall minus the reference's on the same posts and seeds; None for the reference itself."""

    def __str__(self) -> str:
        gain = f"{self.gain}   {self.gain.verdict}" if self.gain else "reference"
        return f"{self.system:<20}{self.group:<8}{self.recall!s:>20}   {gain}"


def recall_table(
    systems: Mapping[str, Sequence[Mapping[str, Any]]], reference: str, draws: int = 5000, seed: int = 0
) -> list[Recall]:
    """Recall on seen and on unseen entities for some systems, and what each gains over one of them.

    Args:
        systems: for each system what `visible_counts` gave, one for each seed; the same seeds in the same order.
        reference: the system that the others are compared with.
        draws, seed: of the bootstrap over seeds and posts (`mgips.lab.stats.paired_bootstrap`).

    Raises:
        MGIPSError: no such reference, or systems that were not measured on the same posts and seeds.
    """
    if reference not in systems:
        raise MGIPSError(f"There is no system {reference!r}; the systems are {', '.join(systems)}.")
    if len({len(runs) for runs in systems.values()}) > 1:
        raise MGIPSError("The systems have different numbers of seeds; compare runs of the same seeds.")
    rows = []
    for group in GROUPS:
        counts = {name: [_as_f1(run[group]) for run in runs] for name, runs in systems.items()}
        for name, own in counts.items():
            gain = paired_bootstrap(counts[reference], own, draws, seed) if name != reference else None
            rows.append(Recall(name, group, f1_interval(own, draws, seed), gain))
    return rows


def _as_f1(pairs: Sequence[Sequence[int]]) -> np.ndarray:
    """Right and gold, (N, 2), as counts whose F1 is their recall: predicted = gold, so 2 right / (gold + gold)."""
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)[:, [0, 1, 1]]
