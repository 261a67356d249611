"""Do a model's images matter? The same posts with other pictures: `mgips probe RUN`.

A model that reads its pictures does worse without them, with noise, and with those of other posts; one that does not
predicts the same tags whatever it is shown. Every number comes with its 95 % interval and with what it rests on.

A model that looks pictures up in a pool (`mgips.model.reading`) sees pictures in two ways, so every condition changes
both: its pool is made of the posts as the condition shows them. Blank leaves nothing to read; shuffled leaves each
picture under the post that got it; and a post never reads the picture that is truly its own from another post's place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from mgips.config import CAPTIONS
from mgips.data.batch import Batch, TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.crops import crop_cache
from mgips.data.spans import Span, spans
from mgips.lab import counterfactual
from mgips.lab.audit import mentions
from mgips.lab.counterfactual import seen
from mgips.lab.stats import Difference, Estimate, entity_counts, f1_interval, flip_rate, paired_bootstrap
from mgips.mining import MINES_NOTHING, best_of_others
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import weights_hash
from mgips.model.reading import Pool, Rule

NO_IMAGES = "This model has no images (variant text, for example), so there is nothing to swap."
NO_NOISE = "noise is left out: this model reads captions, where random pixels have no counterpart."
READS = "This model reads a pool: the pictures of the split's posts, as each condition shows them."
NO_POOL = "no pool"
DRAWS = 2000
"""Bootstrap samples per interval."""


@dataclass(frozen=True)
class Condition:
    """What happens to the predictions with one kind of picture."""

    name: str
    """true, blank, noise, shuffled, same-type, mined or no pool: see `probe` and `mgips.lab.counterfactual`."""
    posts: int
    """Posts that are scored: all of the split, except that same-type leaves out those without a partner."""
    f1: Estimate
    difference: Difference | None
    """F1 minus the F1 with true pictures on the same posts. None for the true pictures themselves."""
    flips: Estimate | None
    """Share of posts that get other tags than with their true pictures, among the scored posts whose pictures this
    condition changes: all of them where the model reads other posts'. None for the true pictures themselves."""


@dataclass(frozen=True)
class Part:
    """F1 on a part of the split, with the true pictures and without any, be it to see or to read.

    "type" and "mention" select entities: gold ones by their own type and words, predicted ones by theirs. So a
    predicted entity of the wrong type counts as wrong for the predicted type, and its gold one as missed for the gold
    type. A mention is "seen" if train has the same words (in lower case) with the same type, as `mgips audit` counts
    it, otherwise "unseen".

    "picture" and "relation" select posts, each with all of its entities: a picture is "present" or "missing"; one that
    is present is "related" or "unrelated", where the corpus knows (`tweet.truth.related`).
    """

    by: str
    """type, mention, picture or relation."""
    name: str
    posts: int
    """Posts that the bootstrap draws from: the part's own, or the whole split where entities are selected."""
    true: Estimate
    blank: Estimate | None
    """None where no picture can be taken away: a model without images, a split without pictures."""
    difference: Difference | None
    """F1 with blank pictures minus F1 with true ones."""


@dataclass(frozen=True)
class Probe:
    """How much a model's predictions depend on its pictures, measured on one split."""

    corpus: str
    sha256: str
    weights: str
    """Fingerprints of the corpus and of the model's weights."""
    images: bool
    """Whether the model has any."""
    split: str
    seed: int
    draws: int
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
        record = asdict(self)
        for name in ("conditions", "parts"):
            for row, own in zip(record[name], getattr(self, name), strict=True):
                row["difference"] = own.difference and own.difference.to_dict()
        return record

    def __str__(self) -> str:
        def cells(name: str, f1: Estimate, difference: Difference | None, last: str) -> tuple[str, ...]:
            verdict = difference.verdict if difference else ""
            return name, f"{f1.count:,}", str(f1), str(difference or ""), verdict, last

        rows: list[tuple[str, ...]] = [
            ("pictures", "entities", "F1", "minus true pictures'", "", "posts with other tags")
        ]
        for row in self.conditions:
            flips = f"{row.flips} % of {row.flips.count:,}" if row.flips else ""
            rows.append(cells(row.name, row.f1, row.difference, flips))
        compared = ("blank minus true", "", "F1, blank") if any(row.blank for row in self.parts) else ()
        rows += [(), ("part", "entities", "F1, true", *compared)]
        rows += [cells(f"{row.by} {row.name}", row.true, row.difference, str(row.blank or "")) for row in self.parts]
        widths = (22, 10, 20, 23, 26, 0)
        lines = ["".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
        head = (
            f"{self.corpus}, {self.split} split: {self.posts:,} posts, {self.pictures:,} with a picture. "
            f"Entity F1 by seqeval's default reading; 95 % intervals, bootstrap of {self.draws:,} (seed {self.seed}). "
            f"SHA-256 of the posts {self.sha256[:12]}."
        )
        return "\n".join([head, "", *lines, *(["", *self.notes] if self.notes else [])])


def probe(
    model: MGIPS, corpus: Corpus, split: str = "test", seed: int = 0, draws: int = DRAWS, progress: bool = True
) -> Probe:
    """Predict a split with its true pictures, without pictures, with noise, and with three kinds of other posts' pictures.

    "mined" gives each post the picture that the model itself ranks highest for its text among all other posts' that
    have one (eq. 14 over the whole split). For a model that reads captions, a caption takes a picture's part.

    A model that reads has a pool: with its true pictures the split's own; in every other condition that of the posts as
    they are shown, without what is truly the reader's own. Blank posts therefore leave it nothing to read; with "mined"
    it sees, and may read, what it finds best among the others', but not its own. "no pool" is for such a model alone:
    each post has its true picture, and nothing is read.

    Args:
        seed: seeds the noise, the swaps and the bootstrap.
        draws: bootstrap samples per interval.

    Raises:
        ConfigError: no such split, an empty one, or posts without tags.
    """
    tweets = corpus.labelled(split)
    if model.config.image_encoder == CAPTIONS:  # a picture that it does not see is nothing to exchange
        tweets = tuple(replace(tweet, image=None, crops=()) for tweet in tweets)
    data = TweetDataset(tweets, model.batcher, progress)
    pool = model.pool(data) if model.reader is not None else None
    truth = model.predict_dataset(data, pool=pool)
    counts = part_counts(tweets, truth)
    twins, alone = counterfactual.same_type(tweets, seed)
    shown, notes = _shown(model, data, twins, seed, progress)

    conditions, blank = [Condition("true", len(tweets), f1_interval([counts], draws, seed), None, None)], None
    for name, other in shown.items():
        if name == NO_POOL:
            assert pool is not None
            tags = model.predict_dataset(data, pool=pool.take(torch.zeros(len(pool), dtype=torch.bool)))
        else:
            tags = _predict_with(model, data, other, progress, swapped=name not in ("blank", "noise"))
        rows = [i for i in range(len(tweets)) if name != "same-type" or not alone[i]]
        changed = [i for i in rows if seen(tweets[i], model.config) != seen(other[i], model.config)]
        if name == NO_POOL or (pool is not None and changed):
            changed = rows  # every post reads the others'
        if not changed:
            notes.append(f"{name} is left out: it changes no post's picture.")
            continue
        before, after = counts[rows], part_counts(tweets, tags)[rows]
        f1, difference = f1_interval([after], draws, seed), paired_bootstrap([before], [after], draws, seed)
        flips = flip_rate([truth[i] for i in changed], [tags[i] for i in changed])
        conditions.append(Condition(name, len(rows), f1, difference, flips))
        if left := len(tweets) - len(rows):
            notes.append(f"{name} leaves out {left} posts: no other post with a picture has their set of entity types.")
        if name == "blank":
            blank = tags
    return Probe(
        corpus=corpus.name,
        sha256=corpus.fingerprint(),
        weights=weights_hash(model),
        images=model.config.images,
        split=split,
        seed=seed,
        draws=draws,
        posts=len(tweets),
        pictures=sum(seen(tweet, model.config) is not None for tweet in tweets),
        entities=int(counts[:, 2].sum()),
        conditions=tuple(conditions),
        parts=tuple(_parts(model, corpus, tweets, truth, blank, draws, seed)),
        notes=tuple(notes),
    )


def _shown(
    model: MGIPS, data: TweetDataset, twins: list[Tweet], seed: int, progress: bool
) -> tuple[dict[str, list[Tweet]], list[str]]:
    """The posts of every condition except the true one, and notes on those left out."""
    if not model.config.images:
        return {}, [NO_IMAGES]
    shown, notes = {"blank": counterfactual.blank(data.tweets)}, []
    if model.config.image_encoder == CAPTIONS:
        notes.append(NO_NOISE)
    else:
        shown["noise"] = counterfactual.noise(data.tweets, seed)
    shown |= {"shuffled": counterfactual.shuffled(data.tweets, seed), "same-type": twins}
    if model.image_head is None:
        notes.append(f"mined is left out. {MINES_NOTHING}")
    elif data.has_image.sum() < 2:
        notes.append("mined is left out: fewer than two posts have a picture.")
    else:
        shown["mined"] = counterfactual.with_pictures_of(data.tweets, best_of_others(model, data, progress))
    if model.reader is not None:
        notes.append(READS)
        if data.has_image.any():
            shown[NO_POOL] = list(data.tweets)
        else:
            notes.append(f"{NO_POOL} is left out: there is no picture to read.")
    return shown, notes


def _predict_with(
    model: MGIPS, data: TweetDataset, posts: list[Tweet], progress: bool, swapped: bool
) -> list[list[str]]:
    """Tags of the same texts, in the same batches, with the pictures of `posts`, which are also what may be read.

    Where posts only exchange pictures, decoding the split's own posts first finds its crops in the cache; and equal
    rows there are equal pictures, which tells where each post's true one is now.
    """
    shown = copy.copy(data)
    shown.tweets = posts
    decoded = [*data.tweets, *posts] if swapped else posts
    if data.captions is not None:
        shown.captions = data.batcher.captions(posts)
        contents = np.array([tweet.caption for tweet in decoded])
    else:
        crops = crop_cache(decoded, size=data.batcher.config.crop_size, progress=progress)
        shown.crops = replace(crops, rows=crops.rows[-len(posts) :], has_image=crops.has_image[-len(posts) :])
        contents = crops.rows
    if model.reader is None:
        return model.predict_dataset(shown)
    rule = _not_the_true_one(posts, contents[: len(posts)], contents[-len(posts) :]) if swapped else None
    return model.predict_dataset(shown, pool=model.pool(shown, rule=rule))


def _not_the_true_one(posts: Sequence[Tweet], true: np.ndarray, shown: np.ndarray) -> Rule:
    """A rule for pools of these N posts: any picture but the reader's true one; both (N,), equal where pictures are."""
    places = {tweet.id: place for place, tweet in enumerate(posts)}

    def rule(batch: Batch, pool: Pool) -> torch.Tensor:
        readers, read = (np.array([places[id] for id in ids], dtype=np.int64) for ids in (batch.ids, pool.ids))
        return torch.from_numpy(true[readers][:, None] != shown[read]).to(pool.keys.device)

    return rule


def part_counts(
    tweets: Sequence[Tweet], predicted: Sequence[Sequence[str]], belongs: Callable[[Span], bool] = lambda span: True
) -> np.ndarray:
    """`tweet_counts` of some of the entities: (N, 3) of right, predicted and gold ones that `belongs` accepts.

    A right entity is the same span in both, so it belongs to both or to neither.
    """
    gold = [list(filter(belongs, spans(tweet.words, tweet.tags))) for tweet in tweets]
    found = [list(filter(belongs, spans(tweet.words, tags))) for tweet, tags in zip(tweets, predicted, strict=True)]
    return entity_counts(gold, found)


def _parts(
    model: MGIPS,
    corpus: Corpus,
    tweets: Sequence[Tweet],
    truth: Sequence[Sequence[str]],
    blank: Sequence[Sequence[str]] | None,
    draws: int,
    seed: int,
) -> list[Part]:
    """The split in parts, see `Part`; parts without a gold entity are left out."""
    known = {*mentions(corpus.train)}

    def pictured(tweet: Tweet) -> bool:
        return seen(tweet, model.config) is not None

    entities: dict[tuple[str, str], Callable[[Span], bool]] = {
        **{("type", kind): (lambda s, kind=kind: s.type == kind) for kind in corpus.types},
        ("mention", "seen"): lambda s: (s.text.lower(), s.type) in known,
        ("mention", "unseen"): lambda s: (s.text.lower(), s.type) not in known,
    }
    posts: dict[tuple[str, str], Callable[[Tweet], bool]] = {
        ("picture", "present"): pictured,
        ("picture", "missing"): lambda t: not pictured(t),
    }
    if all(tweet.truth is not None for tweet in tweets):
        posts["relation", "related"] = lambda t: pictured(t) and t.truth.related
        posts["relation", "unrelated"] = lambda t: pictured(t) and not t.truth.related
    systems = [truth] if blank is None else [truth, blank]
    counts = {place: [part_counts(tweets, tags, rule) for tags in systems] for place, rule in entities.items()}
    for place, rule in posts.items():
        rows = [i for i, tweet in enumerate(tweets) if rule(tweet)]
        counts[place] = [part_counts(tweets, tags)[rows] for tags in systems]
    parts = []
    for (by, name), (first, *second) in counts.items():
        if first[:, 2].any():
            f1, *without = (f1_interval([system], draws, seed) for system in (first, *second))
            difference = paired_bootstrap([first], second, draws, seed) if second else None
            parts.append(Part(by, name, len(first), f1, without[0] if without else None, difference))
    return parts
