"""What a number rests on: protocols, readings of the gold, and what the authors' released code does otherwise.

Everything here is for measuring (`mgips sweep protocol`, `mgips sweep switches`): it departs from the paper or from a
clean protocol on purpose. `mgips.train` reaches none of it, and refuses a corpus whose test posts are in train. The
item numbers are those of `mgips.lab.paper.released`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mgips.config import ModelConfig
from mgips.data.batch import Batch, Batcher, TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.errors import ConfigError
from mgips.evaluate import score
from mgips.lab.stats import tweet_counts
from mgips.model.contrastive import mine
from mgips.model.interweave import MGE, InterweaveEncoder
from mgips.model.mgips import MGIPS, Contrast, Loss, Output
from mgips.model.mutual_attention import MutualAttentionEncoder
from mgips.model.pretrained import reach

LEAK = "leaked:"
"""Marks the id of a dev or test post that was put into train on purpose."""


def leaky(corpus: Corpus, dev_share: float, test_share: float) -> Corpus:
    """A LEAKY corpus, for measuring what a leak does to F1: the first part of dev and of test is also in train.

    This is what the authors' released reader does (item 1): it appends the dev and the test file to the train file
    and drops only the last 653 rows of each. Dev and test stay as they are. The copies' ids begin with "leaked:".
    """
    shares = ((corpus.dev, dev_share), (corpus.test, test_share))
    added = [tweet for tweets, share in shares for tweet in tweets[: round(share * len(tweets))]]
    return replace(corpus, train=(*corpus.train, *(replace(tweet, id=LEAK + tweet.id) for tweet in added)))


class TestWatcher:
    """Scores test whenever a step of `mgips.Trainer` ends an epoch: what does choosing the epoch by test do (item 2)?"""

    __test__ = False  # not a test class of pytest

    def __init__(self, corpus: Corpus) -> None:
        self.tweets = corpus.test
        self.gold = [tweet.tags for tweet in corpus.test]
        self.epochs: list[dict[str, Any]] = []

    def __call__(self, epoch: int, model: MGIPS) -> None:
        if not self.epochs:
            self.data = TweetDataset(self.tweets, model.batcher, progress=False)
        predicted = model.predict_dataset(self.data)
        f1 = score(self.gold, predicted).f1
        self.epochs.append({"epoch": epoch, "f1": f1, "counts": tweet_counts(self.gold, predicted).tolist()})

    def record(self, chosen: int) -> dict[str, Any]:
        """Test F1 of every epoch, and the tweet counts of the epoch that dev chose and of the best on test."""
        best = max(self.epochs, key=lambda epoch: epoch["f1"])  # the first of equals, as in training
        return {"f1": [epoch["f1"] for epoch in self.epochs], "by_dev": self.epochs[chosen - 1], "by_test": best}


LENGTHS = (40, 64, 128)
"""Word pieces at which a text-only model's test scores are compared."""


def readings(model: MGIPS, tweets: Sequence[Tweet]) -> list[dict[str, Any]]:
    """Items 15 and 16: test F1 and support for each definition of the gold: seqeval's default reading or strict IOB2 ("scheme"), "whole" or
    "cut" with the text at `max_length`; for a text-only model at each of `LENGTHS` that its encoder reads."""
    gold = [tweet.tags for tweet in tweets]
    longest = reach(model.encoder_configs["text"])
    lengths = [model.config.max_length] if model.config.images else [n for n in LENGTHS if n <= longest]
    rows = []
    for length in lengths:
        batcher = Batcher(model.batcher.tokenizer, replace(model.config, max_length=length))
        data = TweetDataset(tweets, batcher, progress=False)
        predicted = model.predict_dataset(data)
        inside = [len(encoded.first) for encoded in data.encoded]
        cut = [[tags[:n] for tags, n in zip(side, inside, strict=True)] for side in (gold, predicted)]
        for scheme, (name, sides) in product(("default", "strict"), (("whole", (gold, predicted)), ("cut", cut))):
            result = score(sides[0], sides[1], scheme)
            reading = {"max_length": length, "scheme": scheme, "gold": name}
            rows.append({**reading, "f1": result.f1, "support": result.support})
    return rows


def versions(model: MGIPS, original: Sequence[Tweet], repaired: Sequence[Tweet]) -> dict[str, Any]:
    """F1 by two versions of the same posts' labels (Twitter-2015 circulates in two), and how many labels differ.

    Raises:
        ConfigError: the two are not the same posts.
    """
    if [t.words for t in original] != [t.words for t in repaired]:
        raise ConfigError("The two versions do not hold the same posts in the same order; give one split of each.")
    predicted = model.predict(original)
    first, second = ([tweet.tags for tweet in tweets] for tweets in (original, repaired))
    relabelled = sum(a != b for a, b in zip(first, second, strict=True))
    return {"original": score(first, predicted).f1, "repaired": score(second, predicted).f1, "relabelled": relabelled}


class OneLoss(MGIPS):
    """Items 12 and 19: one contrastive loss. Rows are images, so K texts an image are mined, and the own text is added
    to the numerator even where it is among them."""

    def loss(self, out: Output, batch: Batch) -> Loss:
        """The CRF's loss and the one contrastive loss."""
        loss = super().loss(out, batch)
        assert loss.contrast is not None, "a model with a contrastive part"
        scores = loss.contrast.relevance.T / self.config.temperature  # (N, N), rows are images
        positives = mine(scores, min(self.config.k, len(scores)))
        chosen = scores.masked_fill(~positives, torch.finfo(scores.dtype).min)
        numerator = torch.cat([chosen, scores.diagonal().unsqueeze(1)], 1)
        single = (scores.logsumexp(1) - numerator.logsumexp(1)).mean()
        return Loss({"crf": loss.terms["crf"], "one": single}, loss.contrast)


def freeze_gate(model: MGIPS) -> None:
    """Item 8: the pre-post gates are in no optimiser group, so they stay at their random start."""
    for gate in (model.text_gate, model.image_gate):
        assert gate is not None, "a model with MGI"
        gate.requires_grad_(False)


def _interweave(model: MGIPS) -> InterweaveEncoder:
    assert model.interweave is not None, "a model with MGI"
    return model.interweave


def detach_image_guided(model: MGIPS) -> None:
    """Item 6: the image-guided MGE's fused signal is detached, so its linear maps, weights and length maps get no
    gradient and stay at their random start. Its output half still learns."""
    _interweave(model).image_guided.project.register_forward_pre_hook(lambda _, inputs: (inputs[0].detach(),))


class ShiftedMGE(MGE):
    """Item 5: 0.05 is subtracted from the column weights, after their softmax."""

    def column_grained(self, matrix: Tensor, w4: Tensor, text_mask: Tensor) -> Tensor:
        """Eq. 6, second line, minus 0.05."""
        return super().column_grained(matrix, w4, text_mask) - 0.05


def shift_columns(model: MGIPS) -> None:
    """Item 5: the image-guided MGE becomes a `ShiftedMGE`, with the same weights."""
    _interweave(model).image_guided.__class__ = ShiftedMGE


class PaddingSeen(MutualAttentionEncoder):
    """Item 11: image queries see every text position. The text tower's own attention still masks its padding."""

    def layer(self, tower, index, hidden, visible, other, other_visible, attention):  # noqa: ANN001, ANN201
        """As in `MutualAttentionEncoder`, with all of the text visible to the image."""
        if tower is self.image and other_visible is not None:
            other_visible = torch.ones_like(other_visible)
        return super().layer(tower, index, hidden, visible, other, other_visible, attention)


class PaddingVisible(MGIPS):
    """Item 11: every text is padded to `max_length`, and the padding is visible to the image tower, to the MGEs with
    their length maps, and to the pooling in front of the contrast. The text tower's own attention masks it."""

    def forward(self, batch: Batch, attention: bool = False) -> Output:
        """The forward pass on the padded batch."""
        return super().forward(self.lengthened(batch), attention)

    def contrast(self, out: Output, batch: Batch) -> Contrast:
        """Texts compared with images, pooled over the padding too."""
        batch = self.lengthened(batch)
        return super().contrast(out, replace(batch, piece_mask=torch.ones_like(batch.piece_mask)))

    def lengthened(self, batch: Batch) -> Batch:
        """The batch, padded to `max_length`."""
        more = (0, self.config.max_length - batch.pieces.shape[1])
        padding: Any = self.batcher.tokenizer.pad_token_id
        padded = F.pad(batch.pieces, more, value=padding)
        return replace(batch, pieces=padded, piece_mask=F.pad(batch.piece_mask, more))


def show_padding(model: MGIPS) -> None:
    """Item 11: the parts of a `PaddingVisible` model that see the padding."""
    model.encoder.__class__ = PaddingSeen
    _interweave(model).register_forward_pre_hook(lambda _, inputs: (*inputs[:-1], torch.ones_like(inputs[-1])))


def add_noise(model: MGIPS, alpha: float = 5.0) -> None:
    """Item 13: NEFTune. In training, uniform noise of at most α / sqrt(positions × d) is added to both embeddings."""

    def noisy(module: nn.Module, _: Any, x: Tensor) -> Tensor:
        if not module.training:
            return x
        return x + torch.empty_like(x).uniform_(-1, 1) * alpha / (x.shape[1] * x.shape[2]) ** 0.5

    for embedding in (model.text_embedding, model.image_embedding):
        assert embedding is not None, "a model with images"
        embedding.register_forward_hook(noisy)


EDITS: dict[str, tuple[type[MGIPS], Callable[[MGIPS], None]]] = {
    "freeze-gate": (MGIPS, freeze_gate),
    "detach-image-guided": (MGIPS, detach_image_guided),
    "shift-columns": (MGIPS, shift_columns),
    "show-padding": (PaddingVisible, show_padding),
    "neftune": (MGIPS, add_noise),
    "one-loss": (OneLoss, lambda model: None),
}
"""What a grid's row may change in the model: its class, and a change to the built model."""


def edited(name: str, config: ModelConfig, tweets: Sequence[Tweet], seed: int) -> MGIPS:
    """A fresh model with one of `EDITS`."""
    kind, change = EDITS[name]
    model = kind.build(config, tweets, seed)
    change(model)
    return model
