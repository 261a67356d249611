"""Tweets to tensors: words to pieces, pictures to uint8 crops, and `Batch`, the only thing that the model reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mgips.config import CAPTIONS, ModelConfig
from mgips.data.corpus import Tweet
from mgips.data.crops import CropCache, crop_cache
from mgips.data.text import half_character
from mgips.errors import DataError
from mgips.tags import tag_set

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CAPTION_PIECES = 20
"""m, where captions stand for pictures: word pieces of a caption with [CLS] and [SEP]."""


@dataclass(frozen=True)
class Batch:
    """B tweets, padded to the batch's longest text. All tensors sit on one device."""

    ids: tuple[str, ...]
    """B tweet ids."""
    words: tuple[tuple[str, ...], ...]
    """The words of each tweet, including those past `max_length`."""
    pieces: Tensor
    """(B, n) int64: word pieces with [CLS] and [SEP]."""
    piece_mask: Tensor
    """(B, n) bool, False on padding."""
    first: Tensor
    """(B, w) int64: position of each word's first piece; 0 on padding."""
    word_mask: Tensor
    """(B, w) bool: words inside `max_length`. The first word of a tweet always is."""
    tags: Tensor | None
    """(B, w) int64: tag ids of those words; None unless all tweets are labelled."""
    crops: Tensor | None
    """(B, crops, side, side, 3) uint8; None for a model that reads no pictures."""
    has_image: Tensor
    """(B,) bool: False where the default image, or an empty caption, stands in."""
    times: Tensor | None = None
    """(B,) float64: when each was posted, in days; not a number where that is unknown."""
    captions: Tensor | None = None
    """(B, m) int64: word pieces of the captions, with [CLS] and [SEP]; None for a model that reads none."""
    caption_mask: Tensor | None = None
    """(B, m) bool, False on padding."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shown(self) -> Tensor | None:
        """What the image side reads: crops, or captions; None for a model without images."""
        return self.crops if self.captions is None else self.captions

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(value) for name, value in values.items() if isinstance(value, Tensor)})

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device; the copy is asynchronous from pinned memory."""
        return self._map(lambda x: x.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in pinned memory (the DataLoader calls this)."""
        return self._map(Tensor.pin_memory)


@dataclass(frozen=True)
class Encoded:
    """The text of one tweet in numbers."""

    pieces: list[int]
    """With [CLS] and [SEP], at most `max_length`."""
    first: list[int]
    """Position of the first piece of each word inside `max_length`."""
    tags: list[int] | None
    """Tag ids of those words; None where the tweet is not labelled."""


class Batcher:
    """Turns tweets into batches for one tokenizer and one ModelConfig.

    A word is represented by its first piece (§3.1). A word without pieces, like a lone U+FE0F, becomes one [UNK], so
    that words and tags always align. Words past `max_length` are left out of the batch: they are predicted O, and
    their gold tags still count.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: ModelConfig) -> None:
        self.tokenizer: Any = tokenizer  # its stubs are wider than what a fast tokenizer returns
        self.config = config
        self.tag_ids = {tag: i for i, tag in enumerate(tag_set(config.types))}
        self._pieces: dict[str, list[int]] = {}
        """Pieces of each word that has been met."""

    def learn_words(self, tweets: Sequence[Tweet]) -> None:
        """Tokenize every new word of `tweets` in one call: much faster than word by word.

        Raises:
            DataError: a tweet with half a character.
        """
        new = sorted({word for tweet in tweets for word in tweet.words if word not in self._pieces})
        if new:
            if half_character("".join(new)):
                whose = next(tweet.id for tweet in tweets if any(map(half_character, tweet.words)))
                raise DataError(f"Tweet {whose!r} holds half a character (a lone surrogate); remove it.")
            texts = self._normalised(new)
            pieces = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
            unknown = [self.tokenizer.unk_token_id]
            self._pieces.update((word, ids or unknown) for word, ids in zip(new, pieces, strict=True))

    def word_lengths(self, tweet: Tweet) -> list[int]:
        """Word pieces of each word."""
        self.learn_words([tweet])
        return [len(self._pieces[word]) for word in tweet.words]

    def _normalised(self, texts: Sequence[str]) -> list[str]:
        """Texts as the encoder met them in its training. BERTweet's had @USER for mentions, HTTPURL for links, names for
        emoji, and contractions split; its normaliser splits them only before another word, so one is added and taken off.
        Other tokenizers, bertweet-large's among them, have no normaliser.
        """
        normalise = getattr(self.tokenizer, "normalizeTweet", None)
        return list(texts) if normalise is None else [normalise(f"{text} x").removesuffix(" x") for text in texts]

    def encode(self, tweet: Tweet) -> Encoded:
        """One tweet's pieces and the words they start.

        Raises:
            DataError: a tweet without words, or with a number of tags other than its number of words, or a tag that the model
                does not have.
        """
        if not tweet.words:
            raise DataError(f"Tweet {tweet.id!r} has no words; leave it out.")
        if tweet.tags and len(tweet.tags) != len(tweet.words):
            raise DataError(
                f"Tweet {tweet.id!r} has {len(tweet.words)} words and {len(tweet.tags)} tags; give one tag a word."
            )
        self.learn_words([tweet])
        room = self.config.max_length - 1  # [SEP] takes the last place
        pieces, first = [self.tokenizer.cls_token_id], []
        for word in tweet.words:
            if len(pieces) >= room:
                break
            first.append(len(pieces))
            pieces.extend(self._pieces[word])
        pieces = [*pieces[:room], self.tokenizer.sep_token_id]
        try:
            tags = [self.tag_ids[tag] for tag in tweet.tags[: len(first)]] if tweet.tags else None
        except KeyError as error:
            raise DataError(
                f"Tweet {tweet.id!r} has the tag {error.args[0]!r}, and this model's entity types are "
                f"{', '.join(self.config.types)}; train one on such tags, or leave them out to predict."
            ) from None
        return Encoded(pieces, first, tags)

    def captions(self, tweets: Sequence[Tweet]) -> tuple[Tensor, Tensor]:
        """The tweets' captions, cut or padded to m pieces: (N, m) int64, and (N, m) bool, False on padding."""
        rows = [[] for _ in tweets]
        if tweets:
            texts = self._normalised([tweet.caption for tweet in tweets])
            rows = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        pieces = torch.full((len(rows), CAPTION_PIECES), self.tokenizer.pad_token_id)
        lengths = torch.zeros(len(rows), dtype=torch.int64)
        for number, row in enumerate(rows):
            row = [self.tokenizer.cls_token_id, *row[: CAPTION_PIECES - 2], self.tokenizer.sep_token_id]
            pieces[number, : len(row)] = torch.tensor(row)
            lengths[number] = len(row)
        return pieces, torch.arange(CAPTION_PIECES) < lengths[:, None]

    def collate(
        self,
        tweets: Sequence[Tweet],
        encoded: Sequence[Encoded],
        crops: Tensor | None,
        has_image: Tensor,
        captions: tuple[Tensor, Tensor] | None = None,
    ) -> Batch:
        """Pad encoded tweets to the longest of them."""

        def pad(rows: list[list[int]], value: int = 0) -> Tensor:
            width = max(map(len, rows))
            return torch.tensor([row + [value] * (width - len(row)) for row in rows])

        def mask(rows: list[list[int]]) -> Tensor:
            lengths = torch.tensor([len(row) for row in rows])
            return torch.arange(int(lengths.max())) < lengths[:, None]

        pieces, first = [e.pieces for e in encoded], [e.first for e in encoded]
        tags = [e.tags for e in encoded if e.tags is not None]
        return Batch(
            ids=tuple(tweet.id for tweet in tweets),
            words=tuple(tweet.words for tweet in tweets),
            pieces=pad(pieces, self.tokenizer.pad_token_id),
            piece_mask=mask(pieces),
            first=pad(first),
            word_mask=mask(first),
            tags=pad(tags) if len(tags) == len(encoded) else None,
            crops=crops,
            has_image=has_image,
            times=torch.tensor([tweet.time for tweet in tweets], dtype=torch.float64),
            captions=captions[0] if captions else None,
            caption_mask=captions[1] if captions else None,
        )

    def __call__(self, tweets: Sequence[Tweet]) -> Batch:
        """Some tweets as one batch; their pictures are decoded now."""
        return TweetDataset(tweets, self, progress=False)[range(len(tweets))]


class TweetDataset(Dataset):
    """A split, tokenized once and its crops cached; an item is the batch of a list of indices."""

    def __init__(
        self, tweets: Sequence[Tweet], batcher: Batcher, progress: bool = True, workers: int = 0, keep: bool = True
    ) -> None:
        """
        Args:
            workers, keep: see `mgips.data.crops.crop_cache`.
        """
        self.tweets = tweets
        self.batcher = batcher
        batcher.learn_words(tweets)
        self.encoded = [batcher.encode(tweet) for tweet in tweets]
        self.crops: CropCache | None = None
        self.captions: tuple[Tensor, Tensor] | None = None
        if batcher.config.images and batcher.config.image_encoder == CAPTIONS:
            self.captions = batcher.captions(tweets)
        elif batcher.config.images:
            size = batcher.config.crop_size
            self.crops = crop_cache(tweets, size=size, progress=progress, workers=workers, keep=keep)

    def __len__(self) -> int:
        return len(self.tweets)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        indices = list(indices)
        crops = torch.from_numpy(self.crops[indices]) if self.crops is not None else None
        captions = (self.captions[0][indices], self.captions[1][indices]) if self.captions is not None else None
        chosen = [self.tweets[i] for i in indices]
        encoded = [self.encoded[i] for i in indices]
        return self.batcher.collate(chosen, encoded, crops, self.has_image[indices], captions)

    @property
    def has_image(self) -> Tensor:
        """(N,) bool: whose picture, or caption, is there for the model to see."""
        if self.captions is not None:
            return self.captions[1][:, 2]  # a piece besides [CLS] and [SEP]
        if self.crops is not None:
            return torch.from_numpy(np.array(self.crops.has_image))
        return torch.zeros(len(self), dtype=torch.bool)

    @property
    def lengths(self) -> list[int]:
        """Word pieces of each tweet, as the model sees it."""
        return [len(e.pieces) for e in self.encoded]


def training_batches(
    tweets: Sequence[Tweet],
    size: int,
    seed: int,
    epoch: int,
    drop_last: bool = False,
    lengths: Sequence[int] | None = None,
    window: int = 1,
) -> list[list[int]]:
    """One epoch's batches as lists of indices: a pure function of its arguments, which makes runs resumable.

    Tweets are shuffled; those of one group stay together, so that posts of a story meet in a batch.

    Args:
        drop_last: leave out a last batch that is not full.
        lengths: word pieces of each tweet; needed where the window is wider than 1.
        window: within so many batches of the shuffled order tweets are sorted by length, which saves padding, and these
            batches are then shuffled. The epoch holds the same tweets, but those of a group may no longer meet. Not the
            default: windows of two saved a third of the padding on Twitter-2017, but dev F1 was 83.3 instead of 85.0
            (one seed, text only).
    """
    draw = np.random.RandomState([seed, epoch])
    order = draw.permutation(len(tweets)).tolist()
    rank: dict[str, int] = {}
    for index in order:
        rank.setdefault(tweets[index].group, len(rank))
    order.sort(key=lambda index: rank[tweets[index].group])  # stable: the shuffle stays inside a group
    full = len(order) - len(order) % size  # a last batch that is not full stays the last, of the same tweets
    batches = []
    for start in range(0, full, window * size):
        near = order[start : min(start + window * size, full)]
        if window > 1 and lengths is not None:
            near.sort(key=lambda index: lengths[index])  # stable: the shuffle stays inside a length
        within = [near[i : i + size] for i in range(0, len(near), size)]
        batches += [within[i] for i in draw.permutation(len(within))] if window > 1 else within
    return batches if drop_last or full == len(order) else [*batches, order[full:]]


def evaluation_batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Batches of tweets of similar length, longest first: little padding, and the first batch needs the most memory."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for start in range(0, len(order), size):
        yield order[start : start + size]
