"""From a trained model to entities: their places in the text, and how probable they are.

tagger = mgips.Tagger("tiny-full")                 # or a run folder, or a model's name on the hub
tagger("Ada speaks in London", "photo.jpg")        # [Entity(start=0, end=3, type="PER", text="Ada", …), …]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tqdm.auto import tqdm

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Picture, Tweet
from mgips.data.pictures import open_picture
from mgips.data.spans import spans
from mgips.data.text import placed
from mgips.errors import ConfigError
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

    Called with one text (and a photo) it gives the entities of it; with a list of posts or texts, a list of them each.
    """

    def __init__(
        self,
        model: MGIPS | str | Path,
        pool: Pool | Sequence[Tweet] | None = None,
        batch_size: int = 32,
        detector: Detector | None = None,
        recipe: Literal["umgf", "hvpnet"] = "umgf",
    ) -> None:
        self.model = model if isinstance(model, MGIPS) else load(model).to(best_device())
        self.pool = self.model.pool(pool) if pool is not None and not isinstance(pool, Pool) else pool
        self.batch_size = batch_size
        self.detector = detector
        self.recipe = make_recipe(recipe, detector, self.model.config.types) if detector is not None else None
        self.problems: list[str] = []
        """Pictures that could not be read so far, one sentence each."""

    def __call__(
        self, posts: str | Tweet | Sequence[str | Tweet], image: Picture | None = None
    ) -> list[Entity] | list[list[Entity]]:
        """The entities of one post, or of each of several.

        Args:
            posts: a text, a `Tweet`, or several.
            image: the photo of a single text.

        Raises:
            DataError: a text without words, or a photo that was named and cannot be read.
        """
        if isinstance(posts, str | Tweet):
            post = Tweet.from_text(posts) if isinstance(posts, str) else posts
            if image is not None:
                open_picture(image)  # a photo that was asked for and cannot be read is an error here
                post = replace(post, image=image)
            return next(self.stream([post]))[1]
        if image is not None:
            raise ConfigError("One photo cannot belong to several posts; give Tweets with an image each.")
        tweets = [Tweet.from_text(p, id=f"post-{i}") if isinstance(p, str) else p for i, p in enumerate(posts, 1)]
        return [entities for _, entities in self.stream(tweets)]

    def stream(self, tweets: Sequence[Tweet], progress: bool = False) -> Iterator[tuple[Tweet, list[Entity]]]:
        """The posts with their entities, in their order, some batches at a time: any number of posts in little memory."""
        step = BATCHES * self.batch_size
        with tqdm(total=len(tweets), desc="posts", disable=not progress) as bar:
            for start in range(0, len(tweets), step):
                some = tweets[start : start + step]
                if self.detector is not None and self.recipe is not None:
                    some = cropped(some, self.detector, self.recipe)
                data = TweetDataset(some, self.model.batcher, progress=False)
                if data.crops is not None:
                    self.problems += data.crops.problems
                for tweet, row in zip(some, self.model.tagged(data, self.batch_size, self.pool), strict=True):
                    yield tweet, _entities(tweet, row)
                bar.update(len(some))


def _entities(tweet: Tweet, row: Sequence[tuple[str, float]]) -> list[Entity]:
    text, starts = placed(tweet.text, tweet.words)
    found = []
    for span in spans(tweet.words, [tag for tag, _ in row]):
        start, end = starts[span.start], starts[span.end - 1] + len(tweet.words[span.end - 1])
        found.append(Entity(start, end, span.type, text[start:end], (span.start, span.end), row[span.start][1]))
    return found
