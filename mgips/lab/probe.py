"""Do a model's images matter? The same posts with other pictures: `python -m mgips probe RUN`.

A model that reads its pictures does worse without them, with noise, and with those of other posts; one that does not
predicts the same tags whatever it is shown. Every number comes with its 95 % interval and with what it rests on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mgips.data.batch import TweetDataset
from mgips.data.corpus import TYPES, Corpus, Tweet
from mgips.data.crops import crop_cache
from mgips.data.spans import Span, spans
from mgips.lab import counterfactual
from mgips.lab.stats import Difference, Estimate, f1_interval, flip_rate, paired_bootstrap, tweet_counts
from mgips.mining import MINES_NOTHING, best_of_others
from mgips.model.mgips import MGIPS
from mgips.run import weights_hash

NO_IMAGES = "This model has no images (variant text and its like), so there is nothing to swap."
DRAWS = 2000
"""Bootstrap samples an interval."""


@dataclass(frozen=True)
class Condition:
    """What becomes of the predictions with some kind of picture."""

    name: str
    """true, blank, noise, shuffled, same-type or mined: see `mgips.data.counterfactual`."""
    posts: int
    """Posts that are scored: all of the split, but in same-type those without a partner are left out."""
    f1: Estimate
    difference: Difference | None
    """F1 minus the F1 with true pictures on the same posts. None for the true pictures themselves."""
    flips: Estimate | None
    """Share of posts that get other tags than with their true pictures, among the scored posts whose pictures this
    condition changes. None for the true pictures themselves."""


@dataclass(frozen=True)
class Part:
    """F1 on a part of the split, with the true pictures and without any.

    By "type" or "mention" the entities are parted: gold ones by their own type and words, predicted ones by theirs. So
    a predicted entity of the wrong type is a wrong one for the type that was predicted, and its gold one a missed one
    for the type that was meant. A mention is "seen" if train has the same words (in lower case) with the same type, as
    `mgips audit` counts it, otherwise "unseen".

    By "picture" or "relation" the posts are parted, each with all of its entities: a picture is "present" or "missing";
    one that is present is "related" or "unrelated", where the corpus knows (`tweet.truth.related`).
    """

    by: str
    """type, mention, picture or relation."""
    name: str
    posts: int
    """Posts that the bootstrap draws from: the part's own, or for parts of entities all of the split."""
    true: Estimate
    blank: Estimate | None
    """None where there is nothing to take away: a model without images, a split without pictures."""
    difference: Difference | None
    """F1 with blank pictures minus F1 with true ones."""


@dataclass(frozen=True)
class Probe:
    """What a model makes of its pictures, measured on one split."""

    corpus: str
    sha256: str
    """The corpus's fingerprint."""
    weights: str
    """The model's."""
    images: bool
    """Whether the model has any."""
    split: str
    seed: int
    """Seeds the noise, the swaps and the bootstrap."""
    draws: int
    """Bootstrap samples an interval."""
    posts: int
    pictures: int
    """Posts with a picture."""
    entities: int
    """Gold entities."""
    conditions: tuple[Condition, ...]
    """The true pictures first."""
    parts: tuple[Part, ...]
    """Those with a gold entity."""
    notes: tuple[str, ...]
    """What was left out and why, a sentence each."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON; each difference with its verdict."""
        told = asdict(self)
        for name in ("conditions", "parts"):
            for row, one in zip(told[name], getattr(self, name), strict=True):
                if one.difference is not None:
                    row["difference"]["verdict"] = one.difference.verdict
        return told

    def __str__(self) -> str:
        rows = [("pictures", "entities", "F1", "minus true pictures'", "", "posts with other tags")]
        for one in self.conditions:
            flips = one.flips and f"{_percent(one.flips)} % of {one.flips.count:,}"
            rows.append((one.name, f"{one.f1.count:,}", _percent(one.f1), *_change(one.difference), flips or ""))
        compared = ("blank minus true", "", "F1, blank") if any(one.blank for one in self.parts) else ()
        rows += [(), ("part", "entities", "F1, true", *compared)]
        for one in self.parts:
            blank = _percent(one.blank) if one.blank else ""
            rows.append(
                (f"{one.by} {one.name}", f"{one.true.count:,}", _percent(one.true), *_change(one.difference), blank)
            )
        widths = (22, 10, 20, 23, 13, 0)
        lines = ["".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
        head = (
            f"{self.corpus}, {self.split} split: {self.posts:,} posts, {self.pictures:,} with a picture. "
            f"Entity F1 by seqeval's default reading; 95 % intervals, bootstrap of {self.draws:,} (seed {self.seed})."
        )
        return "\n".join([head, "", *lines, *(["", *self.notes] if self.notes else [])])


def _percent(one: Estimate) -> str:
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _change(one: Difference | None) -> tuple[str, str]:
    if one is None:
        return "", ""
    return f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]", one.verdict


def probe(
    model: MGIPS, corpus: Corpus, split: str = "test", seed: int = 0, draws: int = DRAWS, progress: bool = True
) -> Probe:
    """Predict a split with its true pictures, without pictures, with noise, and with three kinds of other posts' pictures.

    "mined" gives each post the picture that the model itself ranks highest for its text among all other posts' that
    have one (eq. 14 over the whole split).

    Args:
        split: train, dev or test.
        seed: seeds the noise, the swaps and the bootstrap.
        draws: bootstrap samples an interval.

    Raises:
        ConfigError: no such split, an empty one, or posts without tags.
    """
    tweets = corpus.labelled(split)
    data = TweetDataset(tweets, model.batcher, progress)
    truth = model.predict_dataset(data)
    pictured = np.array([_has_picture(tweet) for tweet in tweets])
    predicted, kept, notes = _conditions(model, data, seed, progress)

    conditions = [Condition("true", len(tweets), _interval(_counts(tweets, truth), draws, seed), None, None)]
    for name, (other, tags) in predicted.items():
        rows = np.flatnonzero(kept.get(name, np.ones(len(tweets), dtype=bool)))
        changed = [i for i in rows if (tweets[i].image, tweets[i].crops) != (other[i].image, other[i].crops)]
        if not changed:
            notes.append(f"{name} is left out: it changes no post's picture.")
            continue
        before, after = _counts(tweets, truth)[rows], _counts(tweets, tags)[rows]
        conditions.append(
            Condition(
                name,
                len(rows),
                _interval(after, draws, seed),
                paired_bootstrap([before], [after], draws, seed),
                flip_rate([truth[i] for i in changed], [tags[i] for i in changed]),
            )
        )
        if len(rows) < len(tweets):
            left = len(tweets) - len(rows)
            notes.append(f"{name} leaves out {left} posts: no other post with a picture has their set of entity types.")
    blank = predicted["blank"][1] if "blank" in {one.name for one in conditions} else None
    counts = _counts(tweets, truth)
    return Probe(
        corpus=corpus.name,
        sha256=corpus.fingerprint(),
        weights=weights_hash(model),
        images=model.config.images,
        split=split,
        seed=seed,
        draws=draws,
        posts=len(tweets),
        pictures=int(pictured.sum()),
        entities=int(counts[:, 2].sum()),
        conditions=tuple(conditions),
        parts=tuple(_parts(corpus, tweets, truth, blank, draws, seed)),
        notes=tuple(notes),
    )


def _has_picture(tweet: Tweet) -> bool:
    return tweet.image is not None or bool(tweet.crops)


Predicted = dict[str, tuple[list[Tweet], list[list[str]]]]


def _conditions(
    model: MGIPS, data: TweetDataset, seed: int, progress: bool
) -> tuple[Predicted, dict[str, np.ndarray], list[str]]:
    """Posts and predicted tags of every condition but the true one; the posts to score where not all; what to say."""
    if not model.config.images:
        return {}, {}, [NO_IMAGES]
    tweets, notes = data.tweets, []
    twins, alone = counterfactual.same_type(tweets, seed)
    others = {
        "blank": counterfactual.blank(tweets),
        "noise": counterfactual.noise(tweets, seed),
        "shuffled": counterfactual.shuffled(tweets, seed),
        "same-type": twins,
    }
    if not model.config.contrast:
        notes.append(f"mined is left out. {MINES_NOTHING}")
    elif data.crops.has_image.sum() < 2:
        notes.append("mined is left out: fewer than two posts have a picture.")
    else:
        others["mined"] = counterfactual.with_pictures_of(tweets, best_of_others(model, data, progress))
    swapped = ("shuffled", "same-type", "mined")
    predicted = {}
    for name, posts in others.items():
        shown = _with_pictures(data, posts, [*tweets, *posts] if name in swapped else posts, progress)
        predicted[name] = posts, model.predict_dataset(shown)
    return predicted, {"same-type": ~alone}, notes


def _with_pictures(data: TweetDataset, posts: list[Tweet], decoded: Sequence[Tweet], progress: bool) -> TweetDataset:
    """The same texts, in the same batches, with the pictures of `posts`, which are the last of `decoded`.

    Where pictures only change hands, decoding the split's own posts first finds its crops in the cache.
    """
    crops = crop_cache(decoded, size=data.batcher.config.crop_size, progress=progress)
    shown = copy.copy(data)
    shown.tweets = posts
    shown.crops = replace(crops, rows=crops.rows[-len(posts) :], has_image=crops.has_image[-len(posts) :])
    return shown


def _counts(tweets: Sequence[Tweet], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    return tweet_counts([tweet.tags for tweet in tweets], predicted)


def _interval(counts: np.ndarray, draws: int, seed: int) -> Estimate:
    return f1_interval([counts], draws, seed)


def part_counts(
    tweets: Sequence[Tweet], predicted: Sequence[Sequence[str]], belongs: Callable[[Span], bool]
) -> np.ndarray:
    """`tweet_counts` of some of the entities: (N, 3) of right, predicted and gold ones that `belongs` accepts.

    A right entity is the same span in both, so it belongs to both or to neither.
    """
    rows = []
    for tweet, tags in zip(tweets, predicted, strict=True):
        gold, found = ({s for s in spans(tweet.words, t) if belongs(s)} for t in (tweet.tags, tags))
        rows.append((len(gold & found), len(found), len(gold)))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _parts(
    corpus: Corpus,
    tweets: Sequence[Tweet],
    truth: Sequence[Sequence[str]],
    blank: Sequence[Sequence[str]] | None,
    draws: int,
    seed: int,
) -> list[Part]:
    """The split in parts, see `Part`; parts without a gold entity are left out."""
    known = {(s.text.lower(), s.type) for tweet in corpus.train for s in spans(tweet.words, tweet.tags)}
    entities: dict[tuple[str, str], Callable[[Span], bool]] = {
        **{("type", kind): (lambda s, kind=kind: s.type == kind) for kind in TYPES},
        ("mention", "seen"): lambda s: (s.text.lower(), s.type) in known,
        ("mention", "unseen"): lambda s: (s.text.lower(), s.type) not in known,
    }
    posts: dict[tuple[str, str], Callable[[Tweet], bool]] = {
        ("picture", "present"): _has_picture,
        ("picture", "missing"): lambda t: not _has_picture(t),
    }
    if all(tweet.truth is not None for tweet in tweets):
        posts["relation", "related"] = lambda t: _has_picture(t) and t.truth.related
        posts["relation", "unrelated"] = lambda t: _has_picture(t) and not t.truth.related
    found = []
    systems = [truth] if blank is None else [truth, blank]
    for by, name in (*entities, *posts):
        if (by, name) in entities:
            counts = [part_counts(tweets, tags, entities[by, name]) for tags in systems]
        else:
            rows = [i for i, tweet in enumerate(tweets) if posts[by, name](tweet)]
            counts = [_counts(tweets, tags)[rows] for tags in systems]
        if not counts[0][:, 2].any():
            continue
        f1 = [_interval(one, draws, seed) for one in counts]
        difference = paired_bootstrap([counts[0]], [counts[1]], draws, seed) if len(counts) > 1 else None
        found.append(Part(by, name, len(counts[0]), f1[0], f1[1] if len(f1) > 1 else None, difference))
    return found
