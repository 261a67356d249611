"""From a trained model to entities: their places in the text, and how probable they are.

tagger = mgips.Tagger("tiny-full")                 # or a run folder, or a model's name on the hub
tagger("Ada speaks in London", "photo.jpg")        # [Entity(start=0, end=3, type="PER", text="Ada", …), …]
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from mgips.config import Count, check
from mgips.data.batch import Batcher, TweetDataset
from mgips.data.corpus import Picture, Tweet
from mgips.data.pictures import open_picture
from mgips.data.spans import spans
from mgips.data.text import placed
from mgips.errors import ConfigError, DataError
from mgips.model.detector import Detector, cropped, make_recipe
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool
from mgips.model.shipped import load
from mgips.run import best_device

BATCHES = 8
"""Batches that are sorted by length together."""


@dataclass(frozen=True)
class Entity:
    """An entity that a model has found in a post."""

    start: int
    """The character of the post's text that it begins at; of its words with a blank between them, for a post without."""
    end: int
    """The character behind it."""
    type: str
    text: str
    """The characters [start, end)."""
    words: tuple[int, int]
    """Its words [first, last)."""
    probability: float
    """Of exactly this entity with this type, by the CRF, over everything that the other words may be."""


class Tagger:
    """A trained model that takes texts with photos and gives entities.

    Args:
        model: a model, a run folder, a saved model's folder, a model of the package, or a name on the hub.
        pool: pictures that a model which reads may read, or posts to build a pool from; see `MGIPS.predict`.
        batch_size: posts at a time.
        detector: finds crops of photos that have none, as `mgips crops` does; without one the whole photo stands in.
        recipe: what it looks for, see `mgips.model.detector.make_recipe`.

    Called with one text (and a photo) it gives the entities of it; with several posts or texts, a list of them each.

    Raises:
        ConfigError: a batch size below 1, or a pool for a model that does not read.
        RunError: no model there.
    """

    def __init__(
        self,
        model: MGIPS | str | Path,
        pool: Pool | Sequence[Tweet] | None = None,
        batch_size: int = 32,
        detector: Detector | None = None,
        recipe: Literal["umgf", "hvpnet"] = "umgf",
    ) -> None:
        check("batch_size", batch_size, Count)
        self.model = model if isinstance(model, MGIPS) else load(model).to(best_device())
        self.pool = self.model.pool(pool) if pool is not None and not isinstance(pool, Pool) else pool
        self.batch_size = batch_size
        self.detector = detector
        self.recipe = make_recipe(recipe, detector, self.model.config.types) if detector is not None else None
        self.problems: list[str] = []
        """What was not read so far, one sentence each: pictures, and words past the model's `max_length`."""

    def __call__(
        self, posts: str | Tweet | Iterable[str | Tweet], image: Picture | None = None
    ) -> list[Entity] | list[list[Entity]]:
        """The entities of one post, or of each of several.

        Args:
            posts: a text, a `Tweet`, or several.
            image: the photo of a single text.

        Raises:
            DataError: a text without words, something that is not a post, or a photo that was named and cannot be read.
            ConfigError: one photo for several posts.
        """
        if isinstance(posts, str | Tweet):
            post = _post(posts, "post")
            if image is not None:
                _check_photo(image)
                open_picture(image)  # a photo that was asked for and cannot be read is an error here
                post = replace(post, image=image)
            return next(self.stream([post]))[1]
        if not isinstance(posts, Iterable) or isinstance(posts, Mapping | bytes):
            raise DataError(f"The posts are {_shown(posts)}; give a text, a Tweet, or several of them.")
        if image is not None:
            raise ConfigError("One photo cannot belong to several posts; give Tweets with an image each.")
        tweets = [_post(post, f"post-{i}") for i, post in enumerate(posts, 1)]
        return [entities for _, entities in self.stream(tweets)]

    def stream(self, tweets: Iterable[Tweet], progress: bool = False) -> Iterator[tuple[Tweet, list[Entity]]]:
        """The posts with their entities, in their order, some batches at a time: any number of posts in little memory."""
        rest, total = iter(tweets), len(tweets) if isinstance(tweets, Sized) else None
        with tqdm(total=total, desc="posts", disable=not progress) as bar:
            while some := list(itertools.islice(rest, BATCHES * self.batch_size)):
                if self.detector is not None and self.recipe is not None:
                    some = cropped(some, self.detector, self.recipe)
                # Of a stream neither the words nor the pictures are kept, as there may be any number.
                batcher = (
                    self.model.batcher
                    if total is not None
                    else Batcher(self.model.batcher.tokenizer, self.model.config)
                )
                data = TweetDataset(some, batcher, progress=False, keep=total is not None)
                if data.crops is not None:
                    self.problems += data.crops.problems
                config = self.model.config
                for tweet, encoded in zip(some, data.encoded, strict=True):
                    if not config.overlap and (past := len(tweet.words) - len(encoded.first)):
                        self.problems.append(
                            f"Post {tweet.id}: the last {past:,} of {len(tweet.words):,} words lie past the {config.max_length} "
                            "word pieces that this model reads, and no entity is found there; split the post, or train with --overlap."
                        )
                for tweet, row in zip(some, self.model.tagged(data, self.batch_size, self.pool), strict=True):
                    yield tweet, _entities(tweet, row)
                bar.update(len(some))


def _post(post: Any, name: str) -> Tweet:
    """A post from what a user calls one.

    Raises:
        DataError: naming it.
    """
    if isinstance(post, str):
        try:
            return Tweet.from_text(post, id=name)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
    if not isinstance(post, Tweet):
        raise DataError(
            f"{name} is {_shown(post)}; give a text, or Tweet.from_text(text, photo) for one with its photo."
        )
    if not post.words:
        raise DataError(f"Tweet {post.id!r} has no words; leave it out.")
    if post.image is not None:
        _check_photo(post.image)
    return post


def _check_photo(image: Any) -> None:
    """Refuse what cannot be a photo, readable or not."""
    if not isinstance(image, Picture) or image == "":
        raise DataError(f"The photo is {_shown(image)}; give a file's name, its bytes, or a PIL image.")


def _shown(value: Any) -> str:
    """A value of a wrong kind, for a message."""
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def _entities(tweet: Tweet, row: Sequence[tuple[str, float]]) -> list[Entity]:
    text, starts = placed(tweet.text, tweet.words)
    found = []
    for span in spans(tweet.words, [tag for tag, _ in row]):
        start, end = starts[span.start], starts[span.end - 1] + len(tweet.words[span.end - 1])
        found.append(Entity(start, end, span.type, text[start:end], (span.start, span.end), row[span.start][1]))
    return found
