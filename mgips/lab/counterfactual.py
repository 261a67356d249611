"""The same posts with other pictures: the change in a model's predictions shows how much it uses its images.

A caption goes where its picture goes, for models that read captions in place of pictures. Patching shows another
picture in one place of the model only: the change then shows what passes through that place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image
from torch import Tensor

from mgips.config import CAPTIONS, ModelConfig
from mgips.data.batch import Batch
from mgips.data.corpus import Tweet
from mgips.data.spans import spans
from mgips.errors import ConfigError
from mgips.model.mgips import MGIPS, Output
from mgips.model.mutual_attention import KeysValues

NOISE_SIDE = 32
"""Side of a picture of noise, in pixels: resizing it to a crop must not average it to an even grey."""


def seen(tweet: Tweet, config: ModelConfig) -> Any:
    """What a model's image side is shown of a post: its picture and crops, or its caption; None where there is nothing."""
    if config.image_encoder == CAPTIONS:
        return tweet.caption or None
    return (tweet.image, tweet.crops) if tweet.image is not None or tweet.crops else None


def blank(tweets: Sequence[Tweet]) -> list[Tweet]:
    """Every picture and caption removed; the model sees the default image, or an empty caption."""
    return [replace(tweet, image=None, crops=(), caption="") for tweet in tweets]


@dataclass(frozen=True)
class Noise:
    """A picture of random pixels, always the same for the same name (a `mgips.data.corpus.Drawing`)."""

    name: str

    def draw(self) -> Image.Image:
        """The picture, in RGB: every channel of every pixel uniform in 0 … 255."""
        words = np.frombuffer(hashlib.sha256(self.key()).digest(), dtype="<u4")
        pixels = np.random.RandomState(words).randint(0, 256, (NOISE_SIDE, NOISE_SIDE, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    def key(self) -> bytes:
        """Names the picture's content."""
        return b"noise " + self.name.encode()


def noise(tweets: Sequence[Tweet], seed: int = 0) -> list[Tweet]:
    """Every picture and crop replaced by random pixels of its own, seeded by `seed` and the post's id.

    Captions stay: random words are no counterpart of random pixels.
    """
    return [
        replace(
            tweet,
            image=None if tweet.image is None else Noise(f"{seed} {tweet.id} whole"),
            crops=tuple(Noise(f"{seed} {tweet.id} {place}") for place in range(len(tweet.crops))),
        )
        for tweet in tweets
    ]


def gives(tweet: Tweet) -> bool:
    """Whether a post has something to pass on: a picture or a caption."""
    return tweet.image is not None or bool(tweet.caption)


def shuffled(tweets: Sequence[Tweet], seed: int = 0) -> list[Tweet]:
    """Every picture given to another post, each used once; posts without a picture stay without."""
    owners = [i for i, tweet in enumerate(tweets) if gives(tweet)]
    return _passed_on(tweets, [owners], np.random.RandomState(seed))


def same_type(tweets: Sequence[Tweet], seed: int = 0) -> tuple[list[Tweet], np.ndarray]:
    """Every picture given to another post whose gold has the same set of entity types; posts without one stay without.

    Posts with a picture are grouped by the set of types of their gold entities (seqeval's default reading; no entity
    at all is a set too). In each group the pictures are passed on along one random cycle, so each is used exactly
    once and no post keeps its own.

    Returns:
        The posts; and (N,) bool, those that keep their picture because no other post with one has their set of types. A
        comparison should leave these out.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, tweet in enumerate(tweets):
        if gives(tweet):
            groups.setdefault(tuple(sorted({s.type for s in spans(tweet.words, tweet.tags)})), []).append(i)
    alone = np.zeros(len(tweets), dtype=bool)
    alone[[group[0] for group in groups.values() if len(group) == 1]] = True
    return _passed_on(tweets, list(groups.values()), np.random.RandomState(seed)), alone


def with_pictures_of(tweets: Sequence[Tweet], index: Iterable[int]) -> list[Tweet]:
    """Each post i with the picture, crops and caption of the post at place `index[i]`; N indices."""
    givers = [tweets[int(i)] for i in index]
    return [
        replace(tweet, image=giver.image, crops=giver.crops, caption=giver.caption)
        for tweet, giver in zip(tweets, givers, strict=True)
    ]


def _passed_on(tweets: Sequence[Tweet], groups: Sequence[Sequence[int]], rng: np.random.RandomState) -> list[Tweet]:
    """The pictures of each group of posts passed on along one cycle; all other posts as they are."""
    index = np.arange(len(tweets))
    for group in groups:
        cycle = rng.permutation(np.array(group, dtype=np.int64))
        index[cycle] = np.roll(cycle, 1)  # one cycle: no post keeps its own
    return with_pictures_of(tweets, index)


@dataclass(frozen=True)
class Handed:
    """What a model's text side gets of the pictures of a batch, and where."""

    layers: tuple[KeysValues, ...]
    """The keys and values that the text reads in each layer of the towers, from the first: (B, heads, m, e) each."""
    image: Tensor
    """H^v, (B, m, d): what the parts after the towers read."""


def handed(model: MGIPS, batch: Batch) -> Handed:
    """What the text side gets of a batch's pictures.

    Raises:
        ConfigError: a model whose text reads no picture in mutual attention, or reads captions.
    """
    encoder, plain = model.encoder, model.encoder.layer
    if encoder.image is None or not model.config.mutual_attention or model.config.image_encoder == CAPTIONS:
        raise ConfigError("Patching needs a model with pictures and mutual attention: variant full, for example.")
    read: list[KeysValues] = []

    def layer(tower: Any, index: int, hidden: Tensor, visible: Tensor, other: KeysValues | None, *more: Any) -> Any:
        if tower is encoder.text and other is not None:
            read.append(other)
        return plain(tower, index, hidden, visible, other, *more)

    with model.evaluating(), mock.patch.object(encoder, "layer", layer):
        image = model(batch, read_batch=False).towers[1]
    assert image is not None
    return Handed(tuple(read), image)


def patched(model: MGIPS, batch: Batch, given: Handed, layers: Collection[int] = (), after: bool = False) -> Output:
    """A forward pass in which the text reads other pictures in some places, and its own in all others.

    The image tower reads the batch's own pictures, and the text as it then is.

    Args:
        batch: B posts on the model's device.
        given: `handed` of a batch of the same words with other pictures.
        layers: the layers, counted from 0, in which the text attends to the other pictures' keys and values.
        after: whether the parts after the towers read the other pictures' H^v. With all layers and `after` the model
            sees nothing but the other pictures.

    Raises:
        ConfigError: a layer that the model does not have.
    """
    encoder, plain = model.encoder, model.encoder.layer
    if wrong := set(layers) - set(range(len(encoder.text))):
        raise ConfigError(f"There is no layer {min(wrong)}; this model has 0 to {len(encoder.text) - 1}.")

    def layer(tower: Any, index: int, hidden: Tensor, visible: Tensor, other: KeysValues | None, *more: Any) -> Any:
        if tower is encoder.text and other is not None and index in layers:
            other = given.layers[index]
        return plain(tower, index, hidden, visible, other, *more)

    def towers(_: Any, __: Any, out: tuple[Tensor, Tensor, list]) -> tuple[Tensor, Tensor, list] | None:
        return (out[0], given.image, out[2]) if after else None

    hook = encoder.register_forward_hook(towers)
    try:
        with model.evaluating(), mock.patch.object(encoder, "layer", layer):
            return model(batch, read_batch=False)
    finally:
        hook.remove()
