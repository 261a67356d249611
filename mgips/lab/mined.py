"""The posts of a split and what a model mines for them: pools to mine from, filters, orders, hubs, an analyst's tags."""

from __future__ import annotations

import itertools
import json
import math
import unicodedata
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from scipy.sparse import csr_matrix
from torch import Tensor

from mgips.config import CAPTIONS
from mgips.data.batch import Batch, TweetDataset, evaluation_batches, training_batches
from mgips.data.corpus import Tweet
from mgips.data.spans import Span, spans
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError, DataError
from mgips.files import write_atomically
from mgips.lab.audit import mentions
from mgips.lab.error_kinds import matched
from mgips.lab.pools import READ
from mgips.lab.precision import split_hubs, split_precision
from mgips.mining import Mined, MinedFolder, mine_split
from mgips.mining.split import settings_of
from mgips.mining.streamed import joined
from mgips.model.mgips import MGIPS, Output
from mgips.model.reading import Pool
from mgips.model.reading import joined as joined_pools
from mgips.tags import in_order

ANY = "any"
OWN_IMAGE = "related", "unrelated", "missing"
"""What a post's own image can be."""
SEEN = "all in train", "some not in train"
"""Whether all gold entities of a post stand in the training split, the same words with the same type, or not all."""
FOUND = "relevant found", "none relevant"
"""Whether one of the K pictures that are shown is relevant."""
UNTAGGED = "(untagged)"

SPLIT, DAY, BATCH, TRAIN, FOLDER = "split", "same day", "batch", "train", "folder"
"""The pools, see `sources`."""
CHUNK = 64
"""Posts that are embedded, and texts that are mined, between two words about it; eight times as many are mined."""
FOLDER_ROWS = 65_536
"""Texts of a mined folder that are read at once."""

ORDERS = {
    "split order": "as in the split",
    "best score": "of the best picture that is shown",
    "margin": "best other picture's score minus the own picture's: above 0, another post's fits the text better",
    "own rank": "of the post's own picture among all of the pool",
    "hub count": "how many texts have the post's own picture among the K that are shown",
    "wrong entities": "missed, spurious, or with other words or another type than the gold one",
}
"""What posts can be sorted by, and what it is."""

TAG_LENGTH = 40
"""Characters of a tag at most."""
SEARCH_LENGTH = 30
"""Characters of a search that the name of a file tells."""
FOUND_ROWS = 1024
"""Texts of a mined folder whose images stay in memory after they were shown."""


# ---- where pictures come from ----


@dataclass(frozen=True)
class Source:
    """A pool: posts whose pictures can be mined."""

    name: str
    posts: Sequence[Tweet]
    """M."""
    own: bool = False
    """Whether they are the split's posts, so that picture i is text i's own."""
    group: Tensor | None = None
    """(N,) float64: a text mines only pictures of its own group, or any where one of the two is not a number."""


def sources(
    tweets: Sequence[Tweet], train: Sequence[Tweet], batch_size: int, pictures: str | Path | None = None
) -> dict[str, Source]:
    """The pools of a split by name: the split; the same day, where posts carry a time; a batch as in training, with the post
    in it; the training split; a folder of pictures.

    Raises:
        ConfigError: no such folder, or an empty one.
    """
    found = [Source(SPLIT, tweets, own=True)]
    times = torch.tensor([tweet.time for tweet in tweets], dtype=torch.float64)
    if not bool(times.isnan().all()):
        found.append(Source(DAY, tweets, own=True, group=times.floor()))
    batches = torch.zeros(len(tweets), dtype=torch.float64)
    for number, places in enumerate(training_batches(tweets, batch_size, seed=0, epoch=0)):
        batches[places] = number
    found.append(Source(BATCH, tweets, own=True, group=batches))
    if train and train is not tweets:
        found.append(Source(TRAIN, train))
    if pictures is not None:
        found.append(Source(FOLDER, picture_posts(pictures)))
    return {source.name: source for source in found}


def picture_posts(folder: str | Path) -> list[Tweet]:
    """The files of a folder as posts of one picture each, in the order of their names; hidden files are left out.

    The text of each is a full stop: a model whose features are fused wants a text beside every picture.

    Raises:
        ConfigError: no such folder, or an empty one.
    """
    folder = Path(folder)
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise ConfigError(
            f"The folder of pictures {folder} cannot be read ({error.strerror}); check its name."
        ) from None
    if not files:
        raise ConfigError(f"The folder of pictures {folder} holds no file; put pictures there, or give another.")
    return [Tweet(file.name, (".",), image=file) for file in files]


@dataclass(frozen=True)
class Embedded:
    """The vectors that eq. 14 compares, of length 1, of M posts."""

    texts: Tensor
    """(M, d) float32."""
    images: Tensor
    """(M, d) float32."""
    has_image: Tensor
    """(M,) bool: whose picture is there and can be read."""


def embedding(
    model: MGIPS, posts: Sequence[Tweet], data: TweetDataset | None = None
) -> Generator[float, None, Embedded]:
    """Embed some posts in steps, yielding the share that is done; `Embedded` is what the generator returns.

    Args:
        data: the posts, tokenized and decoded, where that is at hand.
    """
    texts: list[Tensor] = []
    images: list[Tensor] = []
    order: list[int] = []
    has_image = torch.zeros(len(posts), dtype=torch.bool)

    def parts() -> Iterator[tuple[list[int], Batch]]:
        if data is not None:
            yield from ((indices, data[indices]) for indices in evaluation_batches(data.lengths, CHUNK))
            return
        for start in range(0, len(posts), CHUNK):
            some = posts[start : start + CHUNK]
            part = TweetDataset(some, model.batcher, progress=False, keep=False)
            yield list(range(start, start + len(some))), part[range(len(some))]

    for indices, batch in parts():
        with model.evaluating():
            batch = batch.to(model.device)
            contrast = model.contrast(model(batch, read_batch=False), batch)
        texts.append(contrast.texts.float().cpu())
        images.append(contrast.images.float().cpu())
        has_image[indices] = batch.has_image.cpu()
        order += indices
        yield len(order) / len(posts)
    back = torch.tensor(order).argsort()
    return Embedded(torch.cat(texts)[back], torch.cat(images)[back], has_image)


# ---- what was read ----


class Read:
    """The weights with which each of N posts reads each of a pool's P pictures; what a post reads sums to 1."""

    def __init__(self, ids: Sequence[str], rows: Sequence[np.ndarray]) -> None:
        """
        Args:
            ids: P, of the pool's posts.
            rows: N of (P + 1,) weights each, the last that of reading nothing.
        """
        self.columns = {id: column for column, id in enumerate(ids)}
        self.size = len(ids)
        """P."""
        self.nothing = np.array([row[-1] for row in rows])
        """(N,): of reading nothing."""
        sparse = [csr_matrix(np.where(np.arange(len(row)) < len(row) - 1, row, 0)) for row in rows]
        starts = np.cumsum([0, *(row.nnz for row in sparse)])
        values, columns = (np.concatenate([getattr(r, name) for r in sparse]) for name in ("data", "indices"))
        self._weights = csr_matrix((values, columns, starts), shape=(len(rows), self.size + 1))  # the last is 0

    def weights(self, posts: Sequence[int], ids: Sequence[str]) -> np.ndarray:
        """With what weight each of some posts reads the picture of the post beside it; 0 for one that is not in the pool."""
        if not len(posts):
            return np.zeros(0)
        columns = [self.columns.get(id, self.size) for id in ids]
        return np.asarray(self._weights[np.asarray(posts), np.asarray(columns)]).ravel()


def predicted_and_read(
    model: MGIPS, data: TweetDataset, pool: Pool | None, weights: bool = True
) -> tuple[list[list[str]], Read | None]:
    """The tags of N posts, and what they read to get there; None for a model that reads nothing, or without `weights`."""
    if pool is None or not weights:
        return model.predict_dataset(data, pool=pool), None
    tags: list[list[str]] = [[] for _ in range(len(data))]
    rows: list[np.ndarray] = [np.zeros(0)] * len(data)
    for indices, batch, out in model.outputs(data, pool=pool):
        assert out.reading is not None
        for index, path, row in zip(
            indices, model.decode(out, batch), out.reading.weights.float().cpu().numpy(), strict=True
        ):
            tags[index], rows[index] = path, row
    return tags, Read(pool.ids, rows)


# ---- the table ----


@dataclass(frozen=True)
class Pictures:
    """A pool, and what was mined from it for N texts."""

    source: Source
    mining: Mined | MinedFolder
    """Whose images are places in the pool."""
    candidates: Tensor | None = None
    """(M,) bool, those that can be mined; all by default."""
    images: Tensor | None = None
    """(M, d) float32, where they were embedded for it."""


@dataclass(frozen=True)
class Row:
    """A post and the pictures mined for it."""

    tweet: Tweet
    predicted: list[Span]
    images: list[tuple[int, float]]
    """Place in the pool and score of all that were mined, the best first, the own one left out where it is kept apart."""
    own_score: float
    """Of the post's own image; not a number without one."""
    own_rank: int | None
    """Its rank in the pool, from 1; None where it is not in the pool."""
    place: int | None = None
    """In the split; None for a post of one's own."""
    read: Read | None = None
    """With what weights it reads, where it does, as post `read_at`."""
    read_at: int = 0

    def weight(self, id: str) -> float:
        """With what weight the picture of a post is read."""
        assert self.read is not None
        return float(self.read.weights([self.read_at], [id])[0])


@dataclass(frozen=True)
class Filter:
    """Which posts are shown. "any", None and "" leave a filter off."""

    prediction: str = ANY
    type: str = ANY
    image: str = ANY
    seen: str = ANY
    found: str = ANY
    tag: str = ANY
    least: float | None = None
    """The score of the best picture that is shown is at least this."""
    search: str = ""
    """In the id or the words; capital letters do not matter."""
    mines: int | None = None
    """Only texts that have this picture of the pool among their K."""

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """Those that `MinedPosts.kinds` decides."""
        chosen = ("prediction", "type", "image", "seen")
        return {(name, getattr(self, name)) for name in chosen if getattr(self, name) != ANY}

    def words(self) -> list[str]:
        """Those that are set, for a file's name."""
        names = ("prediction", "type", "image", "seen", "found", "tag")
        set_ones = [value for name in names if (value := getattr(self, name)) != ANY]
        set_ones += [] if self.least is None else [f"from{self.least:g}"]
        set_ones += [self.search[:SEARCH_LENGTH]] if self.search else []
        return [*set_ones, *([] if self.mines is None else ["hub"])]


class MinedPosts:
    """N posts of a split, what a model predicts for them, and the pictures that it mines for them from a pool."""

    def __init__(
        self,
        tweets: Sequence[Tweet],
        predicted: Sequence[Sequence[str]],
        mining: Mined | MinedFolder,
        candidates: Tensor | None = None,
        read: Read | None = None,
        name: str = "model",
        train: Sequence[Tweet] = (),
        model: MGIPS | None = None,
        data: TweetDataset | None = None,
        pool: Pool | None = None,
    ) -> None:
        """
        Args:
            predicted: N, one tag for each word.
            mining: of the split itself, in memory or in a folder, of which only what is shown is read.
            candidates: (N,) bool, the images that could be mined; all by default.
            read: with which weights they are read, where they are.
            name: the model's.
            train: the training split, which says what entities are seen there.
            model, data: to mine from other pools and for other posts; not at all without them.
            pool: what a model that reads may read.
        """
        self.tweets, self.read, self.name = tuple(tweets), read, name
        self.model, self.data, self.pool = model, data, pool
        self.captions = model is not None and model.config.image_encoder == CAPTIONS
        self.split = self.pictures = Pictures(Source(SPLIT, self.tweets, own=True), mining, candidates)
        """`pictures` is the pool that is mined from, `split` the one that was at first."""
        self.own_too = False
        """Whether a post's own picture may be one of the K that are shown."""
        self.gold = [spans(tweet.words, tweet.tags) for tweet in self.tweets]
        self.predicted = [spans(tweet.words, tags) for tweet, tags in zip(self.tweets, predicted, strict=True)]
        self.types = in_order(span.type for post in (*self.gold, *self.predicted) for span in post)
        known = set(mentions(train))
        self.kinds = [self._kinds(place, known) for place in range(len(self.tweets))]
        """For each post what `Filter.kinds` chooses it by."""
        self._texts = [f"{tweet.id} {' '.join(tweet.words)}".lower() for tweet in self.tweets]
        self._wrong = torch.tensor(
            [
                sum(kind != "right" for kind, *_ in matched(t.tags, tags)) if t.tags else math.nan
                for t, tags in zip(self.tweets, predicted, strict=True)
            ],
            dtype=torch.float64,
        )
        self._found: dict[int, Mined] = {}  # of a folder, what was read
        self._whole: Mined | None = mining if isinstance(mining, Mined) else None
        self._embedded: dict[str, Embedded] = {}
        self._mined: dict[tuple[str, int], Pictures] = {}
        self._summaries: dict[Any, list[str]] = {}

    @property
    def knows_truth(self) -> bool:
        """Whether it is known which images are relevant (TinyTweets)."""
        return all(tweet.truth is not None for tweet in (*self.tweets, *self.pictures.source.posts))

    def _kinds(self, place: int, known: set[tuple[str, str]]) -> set[tuple[str, str]]:
        tweet, gold, predicted = self.tweets[place], self.gold[place], self.predicted[place]
        kinds = {("type", span.type) for span in (gold if tweet.tags else predicted)}
        if tweet.tags:
            kinds.add(("prediction", "right" if gold == predicted else "wrong"))
        if gold:
            kinds.add(("seen", SEEN[not known.issuperset(mentions([tweet]))]))
        if not tweet.caption if self.captions else tweet.image is None and not tweet.crops:
            kinds.add(("image", "missing"))
        elif tweet.truth is not None:
            kinds.add(("image", "related" if tweet.truth.related else "unrelated"))
        return kinds

    # ---- one post ----

    def row(self, place: int) -> Row:
        """A post of the split."""
        if self._whole is not None:
            mined = self._whole[[place]]
        else:
            if place not in self._found:
                if len(self._found) >= FOUND_ROWS:
                    del self._found[next(iter(self._found))]
                self._found[place] = self.pictures.mining[[place]]
            mined = self._found[place]
        own = self.pictures.source.own
        rank = int(mined.own_rank) + 1 if own and int(mined.own_rank) >= 0 else None
        apart = place if own and not self.own_too else -1
        pairs = zip(mined.index[0].tolist(), mined.score[0].tolist(), strict=True)
        images = [(other, score) for other, score in pairs if other >= 0 and other != apart]
        score = float(mined.own_score if own else self._of_split(place).own_score)
        return Row(self.tweets[place], self.predicted[place], images, score, rank, place, self.read, place)

    def _of_split(self, place: int) -> Mined:
        return self.split.mining[[place]]

    def relevant(self, tweet: Tweet, other: int) -> bool | None:
        """Whether a picture of the pool is relevant to a text; None where that is not known."""
        posted = self.pictures.source.posts[other]
        return None if tweet.truth is None or posted.truth is None else relevant(tweet, posted)

    @property
    def unreadable(self) -> list[str]:
        """The files of a folder of pictures that are none."""
        pictures = self.pictures
        if pictures.source.name != FOLDER or pictures.candidates is None:
            return []
        pairs = zip(pictures.source.posts, pictures.candidates.tolist(), strict=True)
        return [post.id for post, there in pairs if not there]

    # ---- all posts ----

    @property
    def at_hand(self) -> bool:
        """Whether all that was mined is in memory; otherwise `gather` reads it."""
        return self._whole is not None

    def gather(self) -> Iterator[float]:
        """Read a mined folder as a whole, yielding the share that is done."""
        parts = []
        for start in range(0, len(self.tweets) if not self.at_hand else 0, FOLDER_ROWS):
            parts.append(self.pictures.mining[slice(start, start + FOLDER_ROWS)])
            yield min(1.0, (start + FOLDER_ROWS) / len(self.tweets))
        if parts:
            self._whole = joined(parts)

    def chosen(self, k: int) -> tuple[Tensor, Tensor]:
        """The K pictures that are shown for each post: (N, K) int64 places in the pool, -1 for none, and (N, K) scores."""
        for _ in self.gather():
            pass
        assert self._whole is not None
        index, score = self._whole.index, self._whole.score
        if self.pictures.source.own and not self.own_too:
            own = index == torch.arange(len(index))[:, None]
            last = own.int().argsort(dim=1, stable=True)  # the own one goes behind the others
            index, score = index.masked_fill(own, -1).gather(1, last), score.gather(1, last)
        index = index[:, :k]
        return index, score[:, :k].masked_fill(index < 0, -torch.inf)

    def counts(self, k: int) -> Tensor:
        """N_k: how many texts have each of the pool's M pictures among their K: (M,) int64."""
        index, _ = self.chosen(k)
        return torch.bincount(index[index >= 0], minlength=len(self.pictures.source.posts))

    def hubs(self, k: int) -> tuple[list[tuple[int, int]], float]:
        """The pictures that are mined, by place and number of texts, the most mined first; and the number that each had if
        all were mined equally often."""
        counts = self.counts(k)
        order = counts.sort(descending=True, stable=True)
        candidates = self.pictures.candidates
        images = len(counts) if candidates is None else int(candidates.sum())
        pairs = zip(order.indices.tolist(), order.values.tolist(), strict=True)
        return [(place, count) for place, count in pairs if count], float(counts.sum()) / max(1, images)

    def values(self, order: str, k: int) -> Tensor:
        """What posts are sorted by, see ORDERS: (N,) float64, not a number where it is not known."""
        count, own = len(self.tweets), self.pictures.source.own
        if order == "split order":
            return torch.arange(count).double()
        if order == "wrong entities":
            return self._wrong
        if order == "hub count":
            return self.counts(k)[:count].double() if own else torch.full((count,), math.nan, dtype=torch.float64)
        index, score = self.chosen(max(k, 2))
        assert self._whole is not None
        if order == "own rank":
            rank = self._whole.own_rank.double() + 1
            return rank.masked_fill((rank < 1) | (not own), math.nan)
        if order == "best score":
            return score[:, 0].double().masked_fill(index[:, 0] < 0, math.nan)
        if own:
            score = score.masked_fill((index < 0) | (index == torch.arange(count)[:, None]), -torch.inf)
        best = score.double().max(1).values if score.shape[1] else torch.full((count,), -torch.inf).double()
        mine = self._whole.own_score if own else self.split.mining[slice(0, count)].own_score
        return best.masked_fill(best == -torch.inf, math.nan) - mine.double()

    def fitting(self, k: int) -> list[bool]:
        """Whether a relevant picture is among the K that are shown, for each post."""
        index, _ = self.chosen(k)
        return [
            any(self.relevant(tweet, other) for other in row if other >= 0)
            for tweet, row in zip(self.tweets, index.tolist(), strict=True)
        ]

    def choose(
        self, chosen: Filter, k: int, order: str = "split order", high_first: bool = True, tags: Tags | None = None
    ) -> list[int]:
        """The places of the posts that pass all filters, sorted; those without a value come last."""
        needle, kinds = chosen.search.strip().lower(), chosen.kinds
        passing = [kinds <= self.kinds[place] and needle in text for place, text in enumerate(self._texts)]
        keep = torch.tensor(passing)
        if chosen.found != ANY:
            keep &= (torch.tensor(self.fitting(k)) == (chosen.found == FOUND[0])) & self.knows_truth
        if chosen.least is not None:
            keep &= self.values("best score", k) >= chosen.least
        if chosen.mines is not None:
            keep &= (self.chosen(k)[0] == chosen.mines).any(1)
        places = keep.nonzero()[:, 0].tolist()
        if chosen.tag != ANY and tags is not None:
            places = [p for p in places if (chosen.tag in (tags.of(self.tweets[p].id) or [UNTAGGED]))]
        if order == "split order":
            return places if high_first else places[::-1]
        values = (self.values(order, k) * (-1 if high_first else 1)).nan_to_num(math.inf).tolist()
        return sorted(places, key=values.__getitem__)

    def same_pairs(self, other: MinedPosts, k: int) -> float:
        """The share of this model's pairs that another one has too, in [0, 1]."""
        pairs = [
            {(text, image) for text, row in enumerate(posts.chosen(k)[0].tolist()) for image in row if image >= 0}
            for posts in (self, other)
        ]
        return len(pairs[0] & pairs[1]) / max(1, len(pairs[0]))

    # ---- in words ----

    def summary(self, k: int) -> list[str]:
        """The whole split in some lines: is what was mined relevant, where that is known; hubs; and what is read, by a model
        that reads. Nothing for a mined folder."""
        key = (k, self.own_too, self.pictures.source.name)
        if key not in self._summaries:
            self._summaries[key] = self._summarise(k)
        return self._summaries[key]

    def _summarise(self, k: int) -> list[str]:
        mining, candidates = self.pictures.mining, self.pictures.candidates
        if isinstance(mining, MinedFolder):
            return []
        lines, index = [], self.chosen(k)[0]
        if self.knows_truth and self.pictures is self.split:
            p = split_precision(self.tweets, mining, min(k, mining.k), candidates)
            shares = (
                ("relevant", p.precision, p.chance, p.attainable),
                ("own left out", p.others, p.others_chance, p.others_attainable),
                ("best other", p.at_one, p.at_one_chance, p.at_one_attainable),
            )
            words = iter((("chance ", "at most "),))  # said once: the line has to fit on the contact sheet
            parts = []
            for name, share, chance, best in shares:
                if share is not None and chance is not None and best is not None:
                    low, high = next(words, ("", ""))
                    parts.append(f"{name} {share:.0%} ({low}{chance:.0%}, {high}{best:.0%})")
            lines.append(f"Whole split, K = {k}: {'; '.join(parts) or 'no image is relevant to any text'}")
        elif self.knows_truth:
            fits = [bool(self.relevant(self.tweets[i], other)) for i, other in _pairs(index)]
            lines.append(f"Of the {len(fits):,} pairs {_share(fits)} truly fit")
        found, chance = split_hubs(index, candidates) if self.pictures.source.own else (None, None)
        if found is not None and chance is not None and not math.isnan(chance.top_ten):  # of a handful nothing is said
            top = f"the ten most mined images fill {found.top_ten:.0%} of all places (chance {chance.top_ten:.0%})"
            skewness = f"skewness of N_k {found.skewness:.1f} (chance {chance.skewness:.1f})"
            lines.append(f"Hubs, K = {k}: {top}, {skewness}")
        return [*lines, *self._reads(k, list(_pairs(index)))]

    def _reads(self, k: int, pairs: list[tuple[int, int]]) -> list[str]:
        """What is read, over the whole split: how many of the shown pairs are relevant, and where the weight goes."""
        if self.read is None:
            return []
        lines, posts = [], self.pictures.source.posts
        weights = self.read.weights([i for i, _ in pairs], [posts[other].id for _, other in pairs])
        if self.knows_truth:
            fits = [bool(self.relevant(self.tweets[i], other)) for i, other in pairs]
            others = [fit for fit, (i, other) in zip(fits, pairs, strict=True) if other != i]
            left = f", own left out {_share(others)}" if self.own_too and self.pictures.source.own else ""
            read = list(itertools.compress(fits, weights >= READ))
            lines.append(
                f"Of the {len(fits):,} shown pairs {_share(fits)} truly fit{left}; "
                f"of the {len(read):,} that are read {_share(read)}, by weight {_share(fits, weights.tolist())}"
            )
        ends = np.array([self.ends(self.row(i), k) for i in range(len(self.tweets))]).mean(0)
        named = zip(("the shown", "others of the pool", "nothing"), ends.tolist(), strict=True)
        parts = ", ".join(f"{name} {share:.0%}" for name, share in named)
        return [*lines, f"Mean weight in reading a pool of {self.read.size:,}: {parts}"]

    def ends(self, row: Row, k: int) -> tuple[float, float, float]:
        """Where a post's weight goes when it reads: to its own image and the K mined ones, to others, to nothing."""
        assert row.read is not None
        posts = self.pictures.source.posts
        ids = {row.tweet.id, *(posts[other].id for other, _ in row.images[:k])}
        shown = float(row.read.weights([row.read_at] * len(ids), list(ids)).sum())
        nothing = float(row.read.nothing[row.read_at])
        return shown, max(0.0, 1 - shown - nothing), nothing

    # ---- other pools, other posts ----

    def embed(self, source: Source) -> Generator[float, None, Embedded]:
        """The vectors of a pool, or of the split; once."""
        assert self.model is not None
        key = SPLIT if source.own else source.name
        if key not in self._embedded:
            data = self.data if source.own else None
            self._embedded[key] = yield from embedding(self.model, source.posts, data)
        return self._embedded[key]

    def mine(self, source: Source, depth: int) -> Generator[float, None, Pictures]:
        """Mine the split from another pool in steps, yielding the share that is done, and return what was mined.

        Args:
            depth: images per text, where there are that many.

        Raises:
            ConfigError: no picture of the pool can be mined.
        """
        if (source.name, depth) in self._mined:
            return self._mined[source.name, depth]
        if source.name == SPLIT:
            return self.split
        assert self.model is not None
        here = yield from within(self.embed(self.split.source), 0, 0.5)
        there = yield from within(self.embed(source), 0.5, 0.9)
        candidates, csls = self._candidates(source, there)
        images = len(there.images) if candidates is None else int(candidates.sum())
        if not images:
            raise ConfigError(f"The pool “{source.name}” holds no picture that can be mined; choose another.")
        k, count = min(depth, images), len(self.tweets)
        own = torch.arange(count) if source.own else torch.full((count,), -1)
        step = count if csls else 8 * CHUNK  # CSLS wants all texts at once
        parts = []
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            bias = self._bias(source, rows)
            texts, whose = here.texts[rows], own[rows]
            parts.append(mine_split(texts, there.images, k, candidates, csls=csls, bias=bias, own=whose))
            yield 0.9 + 0.1 * rows.stop / count
        pictures = self._mined[source.name, depth] = Pictures(source, joined(parts), candidates, there.images)
        return pictures

    def _candidates(self, source: Source, there: Embedded) -> tuple[Tensor | None, int]:
        assert self.model is not None
        candidates, csls = settings_of(self.model, there.has_image)
        return (there.has_image if source.name == FOLDER else candidates), csls

    def _bias(self, source: Source, texts: slice, times: Tensor | None = None) -> Any:
        """What is added to the cosines of some texts: the price of distance in time, and -inf for other groups.

        Args:
            times: the texts' own, in days, where they are not the split's.
        """
        assert self.model is not None
        reader = self.model.reader
        told = None if reader is None else reader.time
        if told is None and source.group is None:
            return None
        here = torch.tensor([t.time for t in self.tweets[texts]], dtype=torch.float64) if times is None else times
        there = torch.tensor([t.time for t in source.posts], dtype=torch.float64)

        def bias(rows: slice) -> Tensor:
            added = torch.zeros(len(here[rows]), len(there), dtype=torch.float64)
            if reader is not None and told is not None:
                with torch.no_grad():
                    penalty = reader.penalty(here[rows].double().to(told.device), there.to(told.device))
                assert penalty is not None
                added -= penalty.double().cpu()
            if source.group is not None and times is None:
                mine = source.group[texts][rows]
                added.masked_fill_((mine[:, None] - source.group).abs() > 0, -torch.inf)
            return added

        return bias

    def use(self, pictures: Pictures) -> None:
        """Show another pool's pictures."""
        self.pictures = pictures
        self._found = {}
        self._whole = pictures.mining if isinstance(pictures.mining, Mined) else None

    def mine_post(self, tweet: Tweet, depth: int) -> Generator[float, None, Row]:
        """Mine a post that is in no split from the pool that is shown; it has no day and no batch, so of those the whole
        split is its pool."""
        assert self.model is not None
        model, source = self.model, self.pictures.source
        there = yield from self.embed(source)
        batch = model.batcher([tweet]).to(model.device)
        pool = self.pool
        if pool is not None and batch.has_image.all():
            pool = joined_pools([pool, model.pool([tweet])])
        with model.evaluating():
            out: Output = model(batch, pool=pool)
            contrast = model.contrast(out if model.reader is None else model(batch, read_batch=False), batch)
            (tags,) = model.decode(out, batch)
        text, image = contrast.texts.float().cpu(), contrast.images.float().cpu()
        candidates, csls = self._candidates(source, there)
        images = len(there.images) if candidates is None else int(candidates.sum())
        texts = text
        if csls:  # an image's neighbours are the split's texts
            split = yield from self.embed(self.split.source)
            texts = torch.cat([text, split.texts])
        own = torch.full((len(texts),), -1)
        bias = None if csls else self._bias(source, slice(0, 1), torch.tensor([tweet.time]))
        mined = mine_split(texts, there.images, min(depth, images), candidates, csls=csls, bias=bias, own=own)[[0]]
        found = list(zip(mined.index[0].tolist(), mined.score[0].tolist(), strict=True))
        score = float(text.double() @ image.double().T) if batch.has_image.all() else math.nan
        read = None
        if self.read is not None and out.reading is not None and pool is not None:
            read = Read(pool.ids, list(out.reading.weights.float().cpu().numpy()))
        return Row(tweet, spans(tweet.words, tags), [pair for pair in found if pair[0] >= 0], score, None, None, read)


def within(steps: Generator[float, None, Any], low: float, high: float) -> Generator[float, None, Any]:
    """The steps of a part of some work, as shares of the whole."""
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            return end.value
        yield low + (high - low) * share


def _pairs(index: Tensor) -> Iterator[tuple[int, int]]:
    """The (text, picture) pairs of an (N, K) table."""
    return ((i, other) for i, row in enumerate(index.tolist()) for other in row if other >= 0)


def _share(chosen: Sequence[bool], weights: Sequence[float] | None = None) -> str:
    """The share of those that are chosen, of all or of all their weights."""
    weights = [1.0] * len(chosen) if weights is None else weights
    total = sum(weights)
    return f"{sum(itertools.compress(weights, chosen)) / total:.0%}" if total else "none"


# ---- tags ----


class Tags:
    """An analyst's own words on posts, in a JSON file: {"id": ["mislabelled", …]}.

    Each change is made to what the file then holds, so two windows that tag do not undo each other.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the file, where there is one."""
        self.path = Path(path)
        self._tags: dict[str, list[str]] = {}
        self._state: tuple[int, int] | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Read what another window has changed; whether there was anything.

        Raises:
            DataError: the file is damaged; it is left as it is.
        """
        try:
            there = self.path.stat()
        except OSError:
            state = None
        else:
            state = (there.st_mtime_ns, there.st_size)
        if state == self._state:
            return False
        tags = {} if state is None else self._read()
        self._tags, self._state = tags, state
        return True

    def _read(self) -> dict[str, list[str]]:
        try:
            tags = json.loads(self.path.read_text(encoding="utf-8"))
            if not isinstance(tags, dict) or not all(
                isinstance(row, list) and all(isinstance(tag, str) for tag in row) for row in tags.values()
            ):
                raise ValueError("it does not hold lists of tags")
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(
                f"The tags in {self.path} cannot be read ({error}), so none is added; repair the file or move it away."
            ) from None
        return tags

    def of(self, id: str) -> list[str]:
        """The tags of a post, in the order in which they were given."""
        return self._tags.get(id, [])

    @property
    def all(self) -> list[str]:
        """Every tag that a post has, by name."""
        return sorted({tag for row in self._tags.values() for tag in row})

    def add(self, id: str, tag: str) -> None:
        """Give a post a tag.

        Raises:
            ConfigError: a tag without letters, too long a one, one that no file should hold, or a name of the tag filter's.
            DataError: the file is damaged, or cannot be written.
        """
        tag = " ".join(tag.split())
        odd = tag in ("", ANY, UNTAGGED) or any(unicodedata.category(c) in ("Cc", "Cs") for c in tag)
        if odd or len(tag) > TAG_LENGTH:
            raise ConfigError(f"A tag is a word or some, of at most {TAG_LENGTH} characters; {tag[:60]!r} is not.")
        self._change(id, lambda tags: tags if tag in tags else [*tags, tag])

    def remove(self, id: str, tag: str) -> None:
        """Take a tag from a post.

        Raises:
            DataError: the file is damaged, or cannot be written.
        """
        self._change(id, lambda tags: [other for other in tags if other != tag])

    def _change(self, id: str, change: Any) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=5):
                tags = self._read() if self.path.exists() else {}
                tags = {**tags, id: change(tags.get(id, []))}
                tags = {id: row for id, row in tags.items() if row}
                write_atomically(self.path, (json.dumps(tags, indent=1, ensure_ascii=True) + "\n").encode())
        except (OSError, Timeout) as error:
            raise DataError(
                f"The tags in {self.path} cannot be written ({error}); give another place: tags=."
            ) from None
        self.refresh()
