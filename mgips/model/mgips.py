"""§3.5: the whole model, assembled (eqs 18-19).

out = model(batch)                  emissions, and the states on the way to them
loss = model.loss(out, batch)       CRF negative log-likelihood, mean per tweet + IPS loss + CL loss      (19)
tags = model.decode(out, batch)     the most likely tags
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mgips.config import CHARACTERS, ModelConfig
from mgips.data.batch import Batch, Batcher, TweetDataset, evaluation_batches
from mgips.data.corpus import TAGS, Tweet
from mgips.data.crops import CROPS
from mgips.errors import ConfigError
from mgips.model.baselines import BiLSTM, IndependentTags, LetterEmbedding
from mgips.model.contrastive import ContrastHead, cl_loss, gather_with_gradient, ips_loss, mine, relevance
from mgips.model.crf import CRF, bio_allowed
from mgips.model.embedding import ImageEmbedding, TextEmbedding
from mgips.model.interweave import MGE, InterweaveEncoder, Interwoven, PrePostGate
from mgips.model.mutual_attention import LayerAttention, MutualAttentionEncoder
from mgips.model.pretrained import (
    Encoder,
    HubModel,
    ImageLayers,
    TextLayers,
    check_fit,
    load_image_encoder,
    load_text_encoder,
    load_tokenizer,
)

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


MINES_NOTHING = "This model has no contrastive part (variant text or no-contrast): it mines nothing."


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
            image: a Hugging Face CLIP vision encoder; None where `config.images` is off.
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
        self.image_embedding = ImageEmbedding(image, CROPS, config.crop_size) if image is not None else None
        self.encoder = MutualAttentionEncoder(TextLayers(text), ImageLayers(image) if image is not None else None)

        # Only modules that contribute to the loss are built.
        fused_contrast = config.contrast and config.contrast_on == "fused"
        self.interweave = self.text_gate = self.image_gate = None
        if self.image_embedding is not None and config.mgi:
            m = len(self.image_embedding.positions)
            shared = (d, n, m, config.row_weights, config.column_weights, config.weight_scale, config.mge_ffn_ratio)
            self.interweave = InterweaveEncoder(
                MGE("image", *shared, dropout=config.dropout),
                MGE("text", *shared, dropout=config.dropout),
                config.interweave_encoders,
                last_image_pass=fused_contrast,
            )
            self.text_gate = PrePostGate(d, config.gate)
            self.image_gate = PrePostGate(d, config.gate) if fused_contrast else None
        self.text_head = ContrastHead(d) if config.contrast else None
        self.image_head = ContrastHead(d) if config.contrast else None
        self.bilstm = BiLSTM(d, config.dropout) if config.bilstm else None
        self.classifier = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(d, len(TAGS)))
        allowed = bio_allowed(TAGS) if config.bio_constraint else None
        self.crf = CRF(len(TAGS), batch_first=True, allowed=allowed) if config.crf else IndependentTags()

    @classmethod
    def build(cls, config: ModelConfig, tweets: Iterable[Tweet] = (), seed: int | None = None) -> MGIPS:
        """The model that `config` describes, its encoders loaded or, where they say "random", started.

        Args:
            tweets: where a random text tower takes its vocabulary from: the training split.
            seed: seeds every random start.
        """
        if seed is not None:
            torch.manual_seed(seed)
        tokenizer = load_tokenizer(config, tweets)
        text = load_text_encoder(config, vocabulary=len(tokenizer))
        image = load_image_encoder(config, text.config) if config.images else None
        return cls(config, text, image, tokenizer)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, batch: Batch, attention: bool = False) -> Output:
        """Emissions of every tag for every word, and the states on the way to them.

        Args:
            batch: B tweets on the model's device.
            attention: also return the towers' attention weights, which fused kernels do not give.
        """
        config, mask = self.config, batch.piece_mask
        text = self.text_embedding(batch)  # §3.1: (B, n, d)
        image = self.image_embedding(batch.crops) if self.image_embedding is not None else None  # (B, m, d)
        embedded = text, image
        text, image, weights = self.encoder(text, image, mask, config.mutual_attention, attention)  # §3.2
        towers = text, image

        walk = text_gate = image_gate = None
        if self.interweave is not None and self.text_gate is not None and image is not None:  # §3.3
            walk = self.interweave(text, image, mask)
            text, text_gate = self.text_gate(walk.text[0], walk.text[-1])  # z, eq. 13
            if self.image_gate is not None:
                image, image_gate = self.image_gate(walk.image[-2], walk.image[-1])

        words = text.gather(1, batch.first.unsqueeze(-1).expand(-1, -1, text.shape[-1]))  # (B, w, d)
        if self.bilstm is not None:
            words = self.bilstm(words, batch.word_mask)
        emissions = self.classifier(words).float()  # §3.5: (B, w, C)
        return Output(emissions, text, image, embedded, towers, weights, walk, text_gate, image_gate)

    def contrast(self, out: Output, batch: Batch) -> Contrast:
        """Compare this process's texts with the images of all processes, and mine (§3.4, eqs 14-15).

        Raises:
            ConfigError: a model without a contrastive part.
        """
        config = self.config
        text, image = out.text, out.image
        if config.contrast_on == "unimodal":
            text, image = out.towers
            if config.mutual_attention:  # as strangers: the towers run again, without their exchange
                text, image, _ = self.encoder(*out.embedded, batch.piece_mask, exchange=False)
        if self.text_head is None or self.image_head is None or image is None:
            raise ConfigError(MINES_NOTHING)
        texts = self.text_head(text, batch.piece_mask)  # (B, d)
        images = self.image_head(image, batch.piece_mask.new_ones(image.shape[:2]))  # (B, d)
        everyone, offset = gather_with_gradient(images)  # (N, d)
        scores = relevance(texts, everyone)  # (B, N)
        candidates = None if config.mine_missing else gather_with_gradient(batch.has_image)[0]
        # A last batch smaller than K takes all of its images.
        positives = mine(scores, min(config.k, everyone.shape[0]), candidates)
        own = torch.arange(texts.shape[0], device=texts.device) + offset
        return Contrast(texts, images, scores, positives, own)

    def loss(self, out: Output, batch: Batch) -> Loss:
        """Eq. 19, from what `model(batch)` computed and the batch's gold tags.

        Raises:
            ConfigError: a batch without tags.
        """
        if batch.tags is None:
            raise ConfigError("This batch holds a tweet without tags; the loss needs tags for every tweet.")
        config = self.config
        likelihood = self.crf(out.emissions, batch.tags, batch.word_mask, reduction="mean")
        terms = {"crf" if config.crf else "softmax": -likelihood}  # eq. 18
        contrast = self.contrast(out, batch) if config.contrast else None
        if contrast is not None and config.ips_loss:
            terms["ips"] = ips_loss(contrast.relevance, contrast.positives, config.temperature)  # eq. 16
        if contrast is not None and config.cl_loss:
            terms["cl"] = cl_loss(contrast.relevance, config.temperature, contrast.own)  # eq. 17
        return Loss(terms, contrast)

    def decode(self, out: Output, batch: Batch) -> list[list[str]]:
        """The most likely tags: one for every word of every tweet, O for words past the cut."""
        paths = self.crf.decode(out.emissions, batch.word_mask)
        return [
            [TAGS[tag] for tag in path] + ["O"] * (len(words) - len(path))
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

    def predict(self, tweets: Sequence[Tweet], batch_size: int = 32, progress: bool = False) -> list[list[str]]:
        """One tag for every word of every tweet, in the tweets' order; O for words past `max_length`.

        `tweets` may be unlabelled, and may lack pictures.
        """
        if not tweets:
            return []
        return self.predict_dataset(TweetDataset(tweets, self.batcher, progress=progress), batch_size)

    def predict_dataset(self, data: TweetDataset, batch_size: int = 32) -> list[list[str]]:
        """`predict` for a split that is tokenized and decoded already."""
        tags: list[list[str]] = [[] for _ in range(len(data))]
        with self.evaluating():
            for indices in evaluation_batches(data.lengths, batch_size):
                batch = data[indices].to(self.device)
                for index, path in zip(indices, self.decode(self(batch), batch), strict=True):
                    tags[index] = path
        return tags

    def parts(self) -> dict[str, list[nn.Module]]:
        """The modules by the learning rate they share (§4.3): text, image, fusion, contrast, head."""
        parts = {
            "text": [self.text_embedding, self.encoder.text],
            "image": [self.image_embedding, self.encoder.image],
            "fusion": [self.interweave, self.text_gate, self.image_gate],
            "contrast": [self.text_head, self.image_head],
            "head": [self.bilstm, self.classifier, self.crf],
        }
        return {name: [m for m in modules if m is not None] for name, modules in parts.items()}
