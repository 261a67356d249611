"""Tweet and Corpus: what everything else works on. `load_corpus` gives one."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from mgips.data.text import half_character, words_of
from mgips.errors import ConfigError, DataError
from mgips.tags import found_types


@runtime_checkable
class Drawing(Protocol):
    """A picture that the package draws instead of reading (TinyTweets)."""

    def draw(self) -> Image.Image:
        """The picture, in RGB."""
        ...

    def key(self) -> bytes:
        """Names the picture's content, for the crop cache: equal keys, equal pixels."""
        ...


Whole = str | Path | bytes | Image.Image | Drawing
"""Where a whole picture comes from: a file, the bytes of one, an open PIL image, or a drawing."""


@dataclass(frozen=True)
class Cropped:
    """A part of a picture, cut out when it is read."""

    source: Whole
    box: tuple[float, float, float, float]
    """Left, upper, right and lower edge, in pixels of the upright picture; what lies outside the picture is left out."""


Picture = Whole | Cropped
"""A whole picture, or a part of one."""


@dataclass(frozen=True)
class Tweet:
    """One post: words, their BIO tags, its picture and the crops of it.

    `tags` is as long as `words`, or empty for an unlabelled post. `image` is None where the picture is missing: the
    model then sees the default image. `crops` holds up to three visual-grounding crops; the whole image fills the
    missing places (§3.1.2).
    """

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...] = ()
    image: Picture | None = None
    crops: tuple[Picture, ...] = ()
    group: str = ""
    """Posts of one group are drawn into the same batches (TinyTweets: a day). Empty: any batch."""
    time: float = math.nan
    """When it was posted, in days from any one origin; not a number where that is unknown."""
    caption: str = ""
    """A sentence that says what the picture shows, for a model that reads captions in place of pictures."""
    text: str = field(default="", compare=False)
    """The text that the words were cut from; empty for a post that came in words."""
    truth: Any = field(default=None, compare=False)
    """What the generator knows about the post (TinyTweets). The model never sees it."""

    @classmethod
    def from_text(cls, text: str, image: Picture | None = None, id: str = "post") -> Tweet:
        """An unlabelled post from raw text, split as the Twitter corpora are: # and @ and punctuation stand alone.

        Raises:
            DataError: the text has no words, or holds half a character.
        """
        if half_character(text):
            raise DataError("Half a character (a lone surrogate) is in the text; remove it.")
        words = tuple(word for word, _ in words_of(text))
        if not words:
            raise DataError("The text has no words; give a post's text.")
        return cls(id, words, image=image, text=text)


@dataclass(frozen=True)
class Corpus:
    """Three splits of tweets and where they come from."""

    name: str
    train: tuple[Tweet, ...]
    dev: tuple[Tweet, ...]
    test: tuple[Tweet, ...]
    source: Path | None = None
    """The folder or file it was read from; None for a corpus that the package draws, or of the `datasets` library."""
    notes: tuple[str, ...] = ()
    """Remarks of the reader, one line each: how many pictures were found."""
    label_set: tuple[str, ...] = ()
    """Its entity types, where it has them whether or not its posts do."""
    called: str = field(default="", compare=False)
    """What `load_corpus` loads it by, where that is not a folder or a file: a published corpus's name, or one of the hub."""

    @functools.cached_property
    def types(self) -> tuple[str, ...]:
        """Its entity types: its label set or, without one, those of its tags, in `mgips.tags.in_order`."""
        return self.label_set or found_types(tweet.tags for tweets in self.splits.values() for tweet in tweets)

    @property
    def splits(self) -> dict[str, tuple[Tweet, ...]]:
        """The three splits by name, in the order train, dev, test."""
        return {"train": self.train, "dev": self.dev, "test": self.test}

    def labelled(self, split: str) -> tuple[Tweet, ...]:
        """A split's tweets, for training and scoring.

        Raises:
            ConfigError: no such split, an empty one, or a tweet without tags.
        """
        if split not in self.splits:
            raise ConfigError(f"There is no split {split!r}; the splits are {', '.join(self.splits)}.")
        tweets = self.splits[split]
        if not tweets and self.source is not None and self.source.is_file():
            raise ConfigError(
                f"{self.source} is one file, all of which is train; make three splits of it: mgips split {self.source} "
                "--out FOLDER"
            )
        if not tweets:
            raise ConfigError(f"The {split} split of {self.name} is empty; give it tweets with tags.")
        for tweet in tweets:
            if not tweet.tags:
                raise ConfigError(
                    f"Tweet {tweet.id!r} of the {split} split of {self.name} has no tags; training and scoring need them: tag it, or leave it out."
                )
        return tweets

    def fingerprint(self) -> str:
        """SHA-256 over every split's ids, words, tags, whether a picture is there, the number of crops, and their boxes.

        Saved beside each result, to show which results rest on the same data.
        """
        digest = hashlib.sha256()
        for name, tweets in self.splits.items():
            for tweet in tweets:
                row = (name, tweet.id, tweet.words, tweet.tags, tweet.image is not None, len(tweet.crops))
                boxes = tuple(crop.box for crop in tweet.crops if isinstance(crop, Cropped))
                digest.update(repr((*row, boxes) if boxes else row).encode())
        return digest.hexdigest()
