"""§3.5: the whole model, assembled (eqs 18-19).

out = model(batch)                  emissions, and the states on the way to them
out = model(batch, pool=pool)       the same, with other posts' pictures to read (mgips.model.reading)
loss = model.loss(out, batch)       CRF negative log-likelihood, mean per tweet + IPS loss + CL loss      (19)
tags = model.decode(out, batch)     the most likely tags
"""

from __future__ import annotations

import contextlib
import functools
import math
import operator
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mgips.config import CAPTIONS, CHARACTERS, RANDOM, CountOrZero, ModelConfig, check
from mgips.data.batch import Batch, Batcher, TweetDataset, evaluation_batches
from mgips.data.corpus import Tweet
from mgips.data.crops import CROPS
from mgips.data.spans import spans
from mgips.data.windows import merged, window_bounds, windows
from mgips.errors import ConfigError
from mgips.model.baselines import BiLSTM, IndependentTags, LetterEmbedding
from mgips.model.contrastive import (
    ContrastHead,
    Temperature,
    cl_loss,
    csls,
    gather_with_gradient,
    ips_loss,
    mean,
    mine,
    relevance,
)
from mgips.model.crf import CRF, bio_allowed
from mgips.model.embedding import CaptionEmbedding, ImageEmbedding, TextEmbedding
from mgips.model.encoders import Encoder, ImageLayers, TextLayers
from mgips.model.interweave import MGE, InterweaveEncoder, Interwoven, PrePostGate
from mgips.model.mutual_attention import LayerAttention, MutualAttentionEncoder
from mgips.model.pretrained import (
    HubModel,
    check_fit,
    check_memory,
    load_image_encoder,
    load_text_encoder,
    load_tokenizer,
    weights_hash,
)
from mgips.model.reading import Pool, Reader, Reading, Rule, empty, gathered, joined
from mgips.model.tagging import entity_probabilities
from mgips.tags import tag_set

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass
class Output:
    """One forward pass: the emissions, and every state on the way to them."""

    emissions: Tensor
    """(B, w, C), float32: scores of every tag for every word inside the cut."""
    text: Tensor
    """z of eq. 13, what the classifier reads: (B, n, d)."""
    image: Tensor | None
    """The image features that are contrasted, gated where there is a gate: (B, m, d)."""
    embedded: tuple[Tensor, Tensor | None]
    """S^e (B, n, d) and V^e (B, m, d) of §3.1."""
    towers: tuple[Tensor, Tensor | None]
    """H^t (B, n, d) and H^v (B, m, d) of §3.2."""
    attention: list[LayerAttention]
    """Of each layer of the towers; empty unless asked for."""
    interwoven: Interwoven | None = None
    """T_l, X_l and the MGEs' weights of §3.3."""
    text_gate: Tensor | None = None
    """I of eq. 12, (B, n, d) or (B, n, 1)."""
    image_gate: Tensor | None = None
    """The image side's gate, (B, m, d) or (B, m, 1)."""
    alone: tuple[Tensor, Tensor] | None = None
    """The towers' outputs had they not met, (B, n, d) and (B, m, d); where both were needed."""
    own: Pool | None = None
    """The batch's own pictures, as others read them; where they were needed."""
    reading: Reading | None = None
    """What was read of the pool."""


@dataclass
class Contrast:
    """Texts compared with images, and what is mined (eqs 14-15)."""

    texts: Tensor
    """(B, d), of length 1."""
    images: Tensor
    """(B, d), of length 1."""
    relevance: Tensor
    """Eq. 14: (B, N), rows are texts, columns images; N = B × processes."""
    positives: Tensor
    """Eq. 15: (B, N) bool, the mined images of each text."""
    own: Tensor
    """(B,) int64: the column of each text's own image."""


@dataclass
class Loss:
    """Eq. 19, term by term."""

    terms: dict[str, Tensor]
    """By name: crf (softmax without one), ips, cl."""
    contrast: Contrast | None
    """What the contrastive terms were computed from; None for a model without them."""

    @property
    def total(self) -> Tensor:
        """The sum of all terms."""
        return functools.reduce(operator.add, self.terms.values())

    def detached(self) -> Loss:
        """The same numbers without their gradients, so that keeping them keeps no graph."""
        contrast = self.contrast and Contrast(**{name: x.detach() for name, x in vars(self.contrast).items()})
        return Loss({name: x.detach() for name, x in self.terms.items()}, contrast)


READS_NOTHING = "This model reads no pool of pictures; train one that does: variant reads."
WITHOUT_POOL = "No pool was given, so this model reads no other post's picture and falls back to the own one."
MINES_NOTHING = "This model has no contrastive part (variant text or no-contrast): it mines nothing."


def image_mask(batch: Batch, image: Tensor) -> Tensor:
    """Which of the image side's positions exist: (B, m) bool; all of a picture's."""
    return batch.piece_mask.new_ones(image.shape[:2]) if batch.caption_mask is None else batch.caption_mask


class MGIPS(HubModel, library_name="mgips", tags=["multimodal", "named-entity-recognition"]):
    """Multi-granularity interweave with implicit-positive-sample contrastive learning.

    Build one with `MGIPS.build(config, tweets)`, load one with `MGIPS.from_pretrained(folder_or_name)`.
    The constructor takes its encoders, so that tests and lessons can hand it small ones.
    """

    def __init__(
        self, config: ModelConfig, text: Encoder, image: Encoder | None, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        """
        Args:
            config: which parts there are.
            text: a Hugging Face encoder of the BERT family, without pooler.
            image: a Hugging Face CLIP vision encoder, or a second text encoder where captions stand for pictures; None
                where `config.images` is off.
            tokenizer: the text encoder's.

        Raises:
            ConfigError: the encoders differ in depth, width or heads.
        """
        super().__init__()
        check_fit(text.config, image.config if image is not None else None, config)
        self.config = config
        self.encoder_configs = {"text": text.config.to_dict(), "image": image.config.to_dict() if image else None}
        self.batcher = Batcher(tokenizer, config)
        d: int = text.config.hidden_size
        n = config.max_length

        self.text_embedding = (LetterEmbedding if config.text_encoder == CHARACTERS else TextEmbedding)(text)
        self.image_embedding = image_layers = None
        if image is not None and config.image_encoder == CAPTIONS:
            self.image_embedding, image_layers = CaptionEmbedding(image), TextLayers(image)
        elif image is not None:
            self.image_embedding, image_layers = ImageEmbedding(image, CROPS, config.crop_size), ImageLayers(image)
        self.encoder = MutualAttentionEncoder(TextLayers(text), image_layers)

        # Only modules that contribute to the loss are built.
        fused_contrast = config.contrast and config.contrast_on == "fused"
        self.interweave = self.text_gate = self.image_gate = None
        if self.image_embedding is not None and config.mgi:
            m = self.image_embedding.length
            shared = (d, n, m, config.row_weights, config.column_weights, config.weight_scale, config.mge_ffn_ratio)
            self.interweave = InterweaveEncoder(
                MGE("image", *shared, dropout=config.dropout),
                MGE("text", *shared, dropout=config.dropout),
                config.interweave_encoders,
                last_image_pass=fused_contrast,
            )
            self.text_gate = PrePostGate(d, config.gate)
            self.image_gate = PrePostGate(d, config.gate) if fused_contrast else None
        self.text_head = ContrastHead(d, config.pooling, config.contrast_norm) if config.relates else None
        compared = config.contrast or (config.relates and config.read_by == "image")
        self.image_head = ContrastHead(d, config.pooling, config.contrast_norm) if compared else None
        learned = config.relates and config.learned_temperature
        self.learned_temperature = Temperature(config.temperature) if learned else None
        self.reader = Reader(d, config) if config.read != "off" else None
        self._told = False  # that there is no pool
        self.bilstm = BiLSTM(d, config.dropout) if config.bilstm else None
        self.tags = tag_set(config.types)
        self.classifier = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(d, len(self.tags)))
        allowed = bio_allowed(self.tags) if config.bio_constraint else None
        self.crf = CRF(len(self.tags), batch_first=True, allowed=allowed) if config.crf else IndependentTags()

    @classmethod
    def build(cls, config: ModelConfig, tweets: Iterable[Tweet] = (), seed: int | None = None) -> MGIPS:
        """The model that `config` describes, its encoders loaded or, where they say "random", started.

        Args:
            tweets: where a random text tower takes its vocabulary from: the training split.
            seed: seeds every random start.

        Raises:
            ConfigError: encoders that cannot be loaded or do not fit, or more than this machine's memory.
        """
        if seed is not None:
            torch.manual_seed(seed)
        tokenizer = load_tokenizer(config, tweets)
        if config.text_encoder == RANDOM:  # its sizes are as somebody typed them
            check_memory(config)
        text = load_text_encoder(config, vocabulary=len(tokenizer))
        image = load_image_encoder(config, text.config) if config.images else None
        return cls(config, text, image, tokenizer)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """§3.1: S^e (B, n, d) and V^e (B, m, d)."""
        text = self.text_embedding(batch)
        return text, self.image_embedding(batch.shown) if self.image_embedding is not None else None

    @property
    def temperature(self) -> float | Tensor:
        """τ of eqs 16-17, and of the scores of what is read."""
        return self.config.temperature if self.learned_temperature is None else self.learned_temperature()

    def forward(
        self,
        batch: Batch,
        attention: bool = False,
        pool: Pool | None = None,
        read_batch: bool | None = None,
    ) -> Output:
        """Emissions of every tag for every word, and the states on the way to them.

        Args:
            batch: B tweets on the model's device.
            attention: also return the towers' attention weights, which fused kernels do not give.
            pool: pictures to read, on the same device, for a model that reads; without any it has the own picture.
            read_batch: whether the batch's own pictures are read too; by default while training. False says that
                doing without any is meant.
        """
        config, mask = self.config, batch.piece_mask
        embedded = text, image = self._embed(batch)
        shown = batch.caption_mask  # nothing of a picture is padding
        text, image, weights = self.encoder(text, image, mask, config.mutual_attention, attention, shown)  # §3.2
        towers = text, image

        walk = text_gate = image_gate = None
        if self.interweave is not None and self.text_gate is not None and image is not None:  # §3.3
            walk = self.interweave(text, image, mask, image_mask=shown)
            text, text_gate = self.text_gate(walk.text[0], walk.text[-1])  # z, eq. 13
            if self.image_gate is not None:
                image, image_gate = self.image_gate(walk.image[-2], walk.image[-1])

        alone = own = reading = None
        if self.reader is not None and self.text_head is not None:  # beyond the paper
            if self.training if read_batch is None else read_batch:
                alone = self._alone(embedded, batch)
                own, queries = self._as_pool(alone, batch), self.text_head(alone[0], mask)
                pool = joined([gathered(own), *([pool] if pool is not None else [])])
            else:
                queries = self.text_head(self.encoder.alone(self.encoder.text, embedded[0], mask), mask)
                if pool is None and read_batch is None and not self._told:
                    warnings.warn(WITHOUT_POOL, stacklevel=2)
                    self._told = True
            if pool is None:
                pool = empty(text.shape[-1], text.device)
            text, reading = self.reader(text, queries, batch, pool, self.temperature)

        words = text.gather(1, batch.first.unsqueeze(-1).expand(-1, -1, text.shape[-1]))  # (B, w, d)
        if self.bilstm is not None:
            words = self.bilstm(words, batch.word_mask)
        emissions = self.classifier(words).float()  # §3.5: (B, w, C)
        return Output(
            emissions, text, image, embedded, towers, weights, walk, text_gate, image_gate, alone, own, reading
        )

    def _alone(self, embedded: tuple[Tensor, Tensor | None], batch: Batch) -> tuple[Tensor, Tensor]:
        """What the towers make of S^e and V^e as strangers: (B, n, d) and (B, m, d)."""
        text, image = embedded
        assert image is not None and self.encoder.image is not None
        return (
            self.encoder.alone(self.encoder.text, text, batch.piece_mask),
            self.encoder.alone(self.encoder.image, image, image_mask(batch, image)),
        )

    def _as_pool(self, alone: tuple[Tensor, Tensor], batch: Batch) -> Pool:
        """A batch as others read it, with gradients."""
        (text, image), config = alone, self.config
        shown = image_mask(batch, image)
        head, looked_up = (
            (self.text_head, (text, batch.piece_mask))
            if config.read_by == "text"
            else (self.image_head, (image, shown))
        )
        assert head is not None
        keys = head(*looked_up)
        values = mean(text, batch.piece_mask) if config.read_what == "text" else mean(image, shown)
        there = batch.has_image if "image" in (config.read_by, config.read_what) else torch.ones_like(batch.has_image)
        times = batch.times if batch.times is not None else keys.new_full((len(keys),), math.nan).double()
        return Pool(keys, values, times, there, batch.ids, config.read_days)

    def pool(
        self,
        posts: Sequence[Tweet] | TweetDataset,
        days: int | None = None,
        rule: Rule | None = None,
        batch_size: int = 64,
        progress: bool = False,
    ) -> Pool:
        """A pool of some posts' pictures, built in batches, on the model's device; posts without a picture are left out.

        Args:
            posts: labelled or not.
            days: read only pictures at most so many days before or after a post; the model's own `read_days` by default.
            rule: any other rule, from a batch and the pool to (B, N) bool.

        Raises:
            ConfigError: a model that does not read, or days below 0.
        """
        if self.reader is None:
            raise ConfigError(READS_NOTHING)
        check("days", days, CountOrZero | None)
        data = posts if isinstance(posts, TweetDataset) else TweetDataset(posts, self.batcher, progress=progress)
        parts, order = [], []
        with self.evaluating():
            for indices in evaluation_batches(data.lengths, batch_size):
                batch = data[indices].to(self.device)
                parts.append(self._as_pool(self._alone(self._embed(batch), batch), batch))
                order += indices
        whole = empty(self.encoder_configs["text"]["hidden_size"], self.device)
        if parts:
            whole = joined(parts).take(torch.tensor(order).argsort())
        days = self.config.read_days if days is None else days
        return replace(whole.take(whole.there), days=days, rule=rule, weights=weights_hash(self))

    def contrast(self, out: Output, batch: Batch) -> Contrast:
        """Compare this process's texts with the images of all processes, and mine (§3.4, eqs 14-15).

        Raises:
            ConfigError: a model without a contrastive part.
        """
        config = self.config
        text, image = out.text, out.image
        if out.alone is not None:
            text, image = out.alone
        elif config.contrast_on == "unimodal":
            text, image = out.towers
            if config.mutual_attention:  # as strangers: the towers run again, without their exchange
                text, image, _ = self.encoder(
                    *out.embedded, batch.piece_mask, exchange=False, image_mask=batch.caption_mask
                )
        if self.text_head is None or self.image_head is None or image is None:
            raise ConfigError(MINES_NOTHING)
        texts = self.text_head(text, batch.piece_mask)  # (B, d)
        images = self.image_head(image, image_mask(batch, image))  # (B, d)
        everyone, offset = gather_with_gradient(images)  # (N, d)
        scores = relevance(texts, everyone)  # (B, N)
        candidates = None if config.mine_missing else gather_with_gradient(batch.has_image)[0]
        # A last batch smaller than K takes all of its images.
        ranked = csls(scores.detach()) if config.csls else scores
        positives = mine(ranked, min(config.k, everyone.shape[0]), candidates)
        own = torch.arange(texts.shape[0], device=texts.device) + offset
        return Contrast(texts, images, scores, positives, own)

    def loss(self, out: Output, batch: Batch, self_mined: bool = True) -> Loss:
        """Eq. 19, from what `model(batch)` computed and the batch's gold tags.

        Args:
            self_mined: off while training warms up on own pictures: without the loss of eq. 16.

        Raises:
            ConfigError: a batch without tags.
        """
        if batch.tags is None:
            raise ConfigError("This batch holds a tweet without tags; the loss needs tags for every tweet.")
        config = self.config
        likelihood = self.crf(out.emissions, batch.tags, batch.word_mask, reduction="mean")
        terms = {"crf" if config.crf else "softmax": -likelihood}  # eq. 18
        contrast = self.contrast(out, batch) if config.contrast else None
        if contrast is not None and config.ips_loss and self_mined:
            terms["ips"] = ips_loss(contrast.relevance, contrast.positives, self.temperature)  # eq. 16
        if contrast is not None and config.cl_loss:
            terms["cl"] = cl_loss(contrast.relevance, self.temperature, contrast.own)  # eq. 17
        if contrast is not None and config.cl_loss and config.symmetric:
            scores = relevance(contrast.images, gather_with_gradient(contrast.texts)[0])  # rows are images
            terms["cl"] = (terms["cl"] + cl_loss(scores, self.temperature, contrast.own)) / 2
        return Loss(terms, contrast)

    def decode(self, out: Output, batch: Batch) -> list[list[str]]:
        """The most likely tags: one for every word of every tweet, O for words past the cut."""
        paths = self.crf.decode(out.emissions, batch.word_mask)
        return [
            [self.tags[tag] for tag in path] + ["O"] * (len(words) - len(path))
            for path, words in zip(paths, batch.words, strict=True)
        ]

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[MGIPS]:
        """Evaluation mode and no gradients, for as long as it lasts; then the mode from before."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield self
        finally:
            self.train(training)

    def predict(
        self,
        tweets: Sequence[Tweet],
        batch_size: int = 32,
        progress: bool = False,
        pool: Pool | Sequence[Tweet] | None = None,
    ) -> list[list[str]]:
        """One tag for every word of every tweet, in the tweets' order; O for words past `max_length`.

        Args:
            tweets: may be unlabelled, and may lack pictures.
            pool: whose pictures a model that reads may read: a pool, or posts to build one from. Without any it falls
                back to the own picture, and says so once.

        Raises:
            ConfigError: a pool for a model that does not read, or one that other weights have built.
        """
        if not tweets:
            return []
        return self.predict_dataset(TweetDataset(tweets, self.batcher, progress=progress), batch_size, pool)

    def predict_dataset(
        self, data: TweetDataset, batch_size: int = 32, pool: Pool | Sequence[Tweet] | None = None
    ) -> list[list[str]]:
        """`predict` for a split that is tokenized and decoded already."""
        return [[tag for tag, _ in row] for row in self.tagged(data, batch_size, pool, probable=False)]

    def tagged(
        self,
        data: TweetDataset,
        batch_size: int = 32,
        pool: Pool | Sequence[Tweet] | None = None,
        probable: bool = True,
    ) -> list[list[tuple[str, float]]]:
        """Every word's tag and, where an entity begins at it, how probable that entity is; otherwise 0.

        Posts longer than `max_length` are read in windows where the configuration has an `overlap`, and are cut where it
        has none.

        Args:
            probable: off to save the work, for 0 everywhere.
        """
        pool = self._pool_of(pool)
        rows: list[list[tuple[str, float]]] = [[] for _ in range(len(data))]
        for indices, batch, out in self.outputs(data, batch_size, pool):
            paths = self.decode(out, batch)
            found = [(i, s.start, s.end, s.type) for i, path in enumerate(paths) for s in spans(path, path)]
            chances = (
                entity_probabilities(self.crf, self.tags, out.emissions, batch.word_mask, found) if probable else ()
            )
            starts = {(row, start): chance for (row, start, *_), chance in zip(found, chances, strict=False)}
            for row, (index, path) in enumerate(zip(indices, paths, strict=True)):
                rows[index] = [(tag, starts.get((row, place), 0.0)) for place, tag in enumerate(path)]
        if self.config.overlap:
            bounds = [window_bounds(tweet, self.batcher, self.config.overlap) for tweet in data.tweets]
            long = [index for index, parts in enumerate(bounds) if len(parts) > 1]
            parts = [part for index in long for part in windows(data.tweets[index], bounds[index])]
            if parts:
                whole = TweetDataset(parts, self.batcher, progress=False)
                read = iter(self.tagged(whole, batch_size, pool, probable))
                for index in long:
                    rows[index] = merged(bounds[index], [next(read) for _ in bounds[index]])
        return rows

    def _pool_of(self, pool: Pool | Sequence[Tweet] | None) -> Pool | None:
        """A pool on the model's device, from one or from posts."""
        if pool is not None and self.reader is None:
            raise ConfigError(READS_NOTHING)
        if pool is not None and not isinstance(pool, Pool):
            pool = self.pool(pool)
        if pool is not None and pool.weights != weights_hash(self):
            raise ConfigError(
                "This pool was built with other weights, whose pictures mean nothing here; build it anew."
            )
        return pool and pool.to(self.device)

    def outputs(
        self, data: TweetDataset, batch_size: int = 32, pool: Pool | Sequence[Tweet] | None = None
    ) -> Iterator[tuple[list[int], Batch, Output]]:
        """Forward passes over a split, in evaluation mode: the places of a batch's posts in it, the batch, its output."""
        pool = self._pool_of(pool)
        with self.evaluating():
            for indices in evaluation_batches(data.lengths, batch_size):
                batch = data[indices].to(self.device)
                yield indices, batch, self(batch, pool=pool)

    def parts(self) -> dict[str, list[nn.Module]]:
        """The modules by the learning rate they share (§4.3): text, image, fusion, contrast, head."""
        parts = {
            "text": [self.text_embedding, self.encoder.text],
            "image": [self.image_embedding, self.encoder.image],
            "fusion": [self.interweave, self.text_gate, self.image_gate, self.reader],
            "contrast": [self.text_head, self.image_head, self.learned_temperature],
            "head": [self.bilstm, self.classifier, self.crf],
        }
        return {name: [m for m in modules if m is not None] for name, modules in parts.items()}
