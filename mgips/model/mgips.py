"""§3.5: the whole model, assembled (eqs 18-19).

loss = CRF negative log-likelihood, mean per tweet  +  IPS loss  +  CL loss        (19)
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mgips.config import ModelConfig
from mgips.data.batch import Batch, Batcher, TweetDataset, evaluation_batches
from mgips.data.corpus import TAGS, Tweet
from mgips.errors import RunError
from mgips.model.baselines import BiLSTM, IndependentTags
from mgips.model.contrastive import ContrastHead, cl_loss, gather_with_gradient, ips_loss, mine, relevance
from mgips.model.crf import CRF, bio_allowed
from mgips.model.embedding import ImageEmbedding, TextEmbedding
from mgips.model.encoders import (
    ImageLayers,
    TextLayers,
    check_fit,
    load_image_encoder,
    load_text_encoder,
    load_tokenizer,
)
from mgips.model.interweave import MGE, InterweaveEncoder, Interwoven, PrePostGate
from mgips.model.mutual_attention import LayerAttention, MutualAttentionEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CROPS = 3
"""Visual-grounding crops per tweet (§3.1.2)."""


@dataclass
class Details:
    """What the notebooks show. Computed only on request."""

    attention: list[LayerAttention]
    """Per layer."""
    interwoven: Interwoven | None
    """T_l, X_l and the MGEs' weights."""
    text_gate: Tensor | None
    """I of eq. 12, (B, n, d) or (B, n, 1)."""
    image_gate: Tensor | None
    """The image side's gate, (B, m, d) or (B, m, 1)."""
    text: Tensor
    """z, what the CRF's classifier reads: (B, n, d)."""
    image: Tensor | None
    """The image features that are contrasted: (B, m, d)."""


@dataclass
class Output:
    """One forward pass."""

    emissions: Tensor
    """(B, w, C), float32: scores of every tag for every word inside the cut."""
    loss: Tensor | None = None
    """Eq. 19; None where the batch has no tags."""
    terms: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    """The loss's terms by name: crf (softmax without one), ips, cl. Their sum is `loss`."""
    relevance: Tensor | None = None
    """Eq. 14: (B, N), rows are texts, columns images; N = B × processes."""
    positives: Tensor | None = None
    """Eq. 15: (B, N) bool, the mined images of each text."""
    vectors: tuple[Tensor, Tensor] | None = None
    """What eq. 14 compares: the texts' and the images' heads, (B, d) each, of length 1."""
    details: Details | None = None


class MGIPS(nn.Module, PyTorchModelHubMixin, library_name="mgips", tags=["multimodal", "named-entity-recognition"]):
    """Multi-granularity interweave with implicit-positive-sample contrastive learning.

    Build one with `MGIPS.build(config, tweets)`, load one with `MGIPS.from_pretrained(folder_or_name)`.
    The constructor takes its encoders, so that tests and lessons can hand it small ones.
    """

    def __init__(
        self, config: ModelConfig, text: nn.Module, image: nn.Module | None, tokenizer: PreTrainedTokenizerBase
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
        d, n = text.config.hidden_size, config.max_length

        self.text_embedding = TextEmbedding(text)
        self.image_embedding = ImageEmbedding(image, CROPS, config.crop_size) if image is not None else None
        self.encoder = MutualAttentionEncoder(TextLayers(text), ImageLayers(image) if image is not None else None)

        # A part that nothing would read is not built: every parameter takes part in the loss.
        fused_contrast = config.contrast and config.contrast_on == "fused"
        self.interweave = self.text_gate = self.image_gate = None
        if image is not None and config.mgi:
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
        return self.classifier[-1].weight.device

    def forward(self, batch: Batch, details: bool = False, contrast: bool = False) -> Output:
        """Emissions, and with gold tags the loss and its terms.

        Args:
            batch: B tweets on the model's device.
            details: also keep what the notebooks show; attention is then computed in the open.
            contrast: compare texts with images and mine, even where neither tags nor details ask for it.
        """
        config, mask = self.config, batch.piece_mask
        text = self.text_embedding(batch.pieces, batch.characters)  # §3.1: (B, n, d)
        image = self.image_embedding(batch.crops) if self.image_embedding is not None else None  # (B, m, d)

        meet = config.mutual_attention
        embedded = text, image
        text, image, attention = self.encoder(text, image, mask, exchange=meet, attention=details)  # §3.2
        met = text, image

        walk = text_gate = image_gate = None
        if self.interweave is not None:  # §3.3
            walk = self.interweave(text, image, mask)
            text, text_gate = self.text_gate(walk.text[0], walk.text[-1])  # z, eq. 13
            if self.image_gate is not None:
                image, image_gate = self.image_gate(walk.image[-2], walk.image[-1])

        words = text.gather(1, batch.first.unsqueeze(-1).expand(-1, -1, text.shape[-1]))  # (B, w, d)
        if self.bilstm is not None:
            words = self.bilstm(words, batch.word_mask)
        out = Output(emissions=self.classifier(words).float())
        if details:
            out.details = Details(attention, walk, text_gate, image_gate, text, image)
        if batch.tags is not None:
            likelihood = self.crf(out.emissions, batch.tags, batch.word_mask, reduction="mean")
            out.terms["crf" if config.crf else "softmax"] = -likelihood  # eq. 18
        if config.contrast and (contrast or details or batch.tags is not None):  # §3.4
            if config.contrast_on == "fused":
                pair = text, image
            else:  # the towers' outputs as strangers: with mutual attention on, that is a second run
                pair = self.encoder(*embedded, mask, exchange=False)[:2] if meet else met
            self._contrast(out, *pair, batch)
        if batch.tags is not None:
            out.loss = sum(out.terms.values())  # eq. 19
        return out

    def _contrast(self, out: Output, text: Tensor, image: Tensor, batch: Batch) -> None:
        """Eqs 14-17: local texts against the images of all processes."""
        config = self.config
        texts = self.text_head(text, batch.piece_mask)  # (B, d)
        own_images = self.image_head(image, batch.piece_mask.new_ones(image.shape[:2]))  # (B, d)
        out.vectors = texts, own_images
        images, offset = gather_with_gradient(own_images)  # (N, d)
        out.relevance = relevance(texts, images)
        candidates = None
        if not config.mine_missing:
            candidates, _ = gather_with_gradient(batch.has_image)
        # A last batch smaller than K takes all of its images.
        out.positives = mine(out.relevance, min(config.k, len(images)), candidates)
        if config.ips_loss:
            out.terms["ips"] = ips_loss(out.relevance, out.positives, config.temperature)
        if config.cl_loss:
            own = torch.arange(len(texts), device=texts.device) + offset
            out.terms["cl"] = cl_loss(out.relevance, config.temperature, own)

    @torch.no_grad()
    def predict(self, tweets: Sequence[Tweet], batch_size: int = 32, progress: bool = False) -> list[list[str]]:
        """One tag for every word of every tweet, in the tweets' order; O for words past `max_length`.

        `tweets` may be unlabelled, and may lack pictures.
        """
        if not tweets:
            return []
        return self.predict_dataset(TweetDataset(tweets, self.batcher, progress=progress), batch_size)

    @torch.no_grad()
    def predict_dataset(self, data: TweetDataset, batch_size: int = 32) -> list[list[str]]:
        """`predict` for a split that is tokenized and decoded already."""
        training = self.training
        self.eval()
        tags: list[list[str]] = [[] for _ in range(len(data))]
        try:
            for indices in evaluation_batches(data.lengths, batch_size):
                batch = data[indices].to(self.device)
                paths = self.crf.decode(self.emissions(batch), batch.word_mask)
                for index, path in zip(indices, paths, strict=True):
                    past = len(data.tweets[index].words) - len(path)
                    tags[index] = [TAGS[tag] for tag in path] + ["O"] * past
        finally:
            self.train(training)
        return tags

    def emissions(self, batch: Batch) -> Tensor:
        """(B, w, C): the forward pass without losses and without what only they read."""
        return self(dataclasses.replace(batch, tags=None)).emissions

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

    # ---- saving and loading ----

    def describe(self) -> dict[str, Any]:
        """Everything but the weights and the tokenizer, for config.json."""
        return {"model": dataclasses.asdict(self.config), "encoders": self.encoder_configs, "tags": list(TAGS)}

    def _save_pretrained(self, save_directory: Path) -> None:
        """config.json, tokenizer and model.safetensors (the hub mixin's hook behind `save_pretrained`)."""
        folder = Path(save_directory)
        self.save_description(folder)
        save_file(self.state_dict(), folder / "model.safetensors")

    def save_description(self, folder: Path) -> None:
        """config.json and the tokenizer: a pretrained folder but for its weights."""
        (folder / "config.json").write_text(json.dumps(self.describe(), indent=2) + "\n", encoding="utf-8")
        self.batcher.tokenizer.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> MGIPS:
        """Load a saved model, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a run folder, a folder from `save_pretrained`, or a name on the hub.
            options: for a name on the hub, what `huggingface_hub.snapshot_download` takes: revision, token, …

        Raises:
            RunError: nothing there, or not a saved model.
        """
        path = Path(pretrained_model_name_or_path)
        if not path.is_dir():
            try:
                path = Path(snapshot_download(str(pretrained_model_name_or_path), **options))
            except Exception as error:  # the hub's client raises a dozen kinds
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
                raise RunError(
                    f"{pretrained_model_name_or_path} is no folder here, and could not be fetched from the hub ({reason}); "
                    "give a run folder or a saved model's."
                ) from error
        return super().from_pretrained(path)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **_: Any) -> MGIPS:
        """Rebuild from a local folder (the hub mixin's hook behind `from_pretrained`)."""
        from transformers import AutoTokenizer

        folder = Path(model_id)
        missing = [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]
        if missing:
            raise RunError(
                f"{folder} is no saved model: {' and '.join(missing)} not found; give a run folder or a saved model's."
            )
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "model" not in told or told.get("tags") != list(TAGS):
            raise RunError(
                f"{folder / 'config.json'} does not describe an mgips model with the tags {', '.join(TAGS)}."
            )
        known = {field.name for field in dataclasses.fields(ModelConfig)}
        strange = sorted(set(told["model"]) - known)
        if strange:
            raise RunError(
                f"{folder / 'config.json'} has the setting {strange[0]!r}, which this version of mgips does not know."
            )
        config = ModelConfig(**told["model"])
        text = load_text_encoder(config, 0, told["encoders"]["text"])
        image = load_image_encoder(config, text.config, told["encoders"]["image"]) if config.images else None
        model = cls(config, text, image, AutoTokenizer.from_pretrained(folder))
        try:
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except RuntimeError as error:
            raise RunError(
                f"{folder / 'model.safetensors'} does not fit its config.json: save the model again."
            ) from error
        return model.eval()
