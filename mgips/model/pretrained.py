"""The one place that knows Hugging Face's encoders: loading them, and their layers taken apart.

Mutual attention (§3.2) changes only the attention call of a pretrained layer, so each tower offers a
layer's two halves: `project` (hidden states to queries, keys, values) and `finish` (attention's result
to the layer's output), both computed by the pretrained modules themselves.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    CLIPVisionConfig,
    CLIPVisionModel,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from mgips.config import CAPTIONS, CHARACTERS, RANDOM, WORDS, ModelConfig
from mgips.data.batch import CAPTION_PIECES, Batcher
from mgips.data.corpus import TAGS, Tweet
from mgips.errors import ConfigError, RunError
from mgips.model.baselines import WordEncoder, word_tokenizer

TEXT_FAMILY = ("bert", "roberta", "xlm-roberta")
IMAGE_FAMILY = ("clip", "clip_vision_model")
QKV = tuple[Tensor, Tensor, Tensor]
Encoder = Any
"""A Hugging Face encoder. Its parts are modules that are read by name, which types cannot follow."""


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, p, d) → (B, heads, p, d / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, p, d / heads) → (B, p, d)."""
    return x.transpose(1, 2).flatten(2)


class TextLayers(nn.ModuleList):
    """BERT's layers (post-norm): attention, add and norm, feed-forward, add and norm."""

    def __init__(self, model: Encoder) -> None:
        super().__init__(model.encoder.layer)
        self.heads: int = model.config.num_attention_heads
        self.attention_dropout: float = model.config.attention_probs_dropout_prob

    def project(self, index: int, hidden: Tensor) -> QKV:
        """Queries, keys and values of layer `index`: (B, n, d) → three of (B, heads, n, d / heads)."""
        layer: Any = self[index]
        attention = layer.attention.self
        q, k, v = attention.query(hidden), attention.key(hidden), attention.value(hidden)
        return split_heads(q, self.heads), split_heads(k, self.heads), split_heads(v, self.heads)

    def finish(self, index: int, hidden: Tensor, context: Tensor) -> Tensor:
        """The rest of layer `index`, from its input and its attention's result: (B, n, d)."""
        layer: Any = self[index]
        attended = layer.attention.output(merge_heads(context), hidden)
        return layer.output(layer.intermediate(attended), attended)


class ImageLayers(nn.ModuleList):
    """CLIP's layers (pre-norm): norm, attention, add; norm, feed-forward, add."""

    def __init__(self, model: Encoder) -> None:
        super().__init__(model.encoder.layers)
        self.heads: int = model.config.num_attention_heads
        self.attention_dropout: float = model.config.attention_dropout

    def project(self, index: int, hidden: Tensor) -> QKV:
        """Queries, keys and values of layer `index`: (B, m, d) → three of (B, heads, m, d / heads)."""
        layer: Any = self[index]
        normed, attention = layer.layer_norm1(hidden), layer.self_attn
        q, k, v = attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed)
        return split_heads(q, self.heads), split_heads(k, self.heads), split_heads(v, self.heads)

    def finish(self, index: int, hidden: Tensor, context: Tensor) -> Tensor:
        """The rest of layer `index`, from its input and its attention's result: (B, m, d)."""
        layer: Any = self[index]
        attended = hidden + layer.self_attn.out_proj(merge_heads(context))
        return attended + layer.mlp(layer.layer_norm2(attended))


def _read(what: str, name: str, read: Any, **options: Any) -> Any:
    """Call a `from_pretrained`, and turn what it raises into one sentence."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # silence the notice about an unused pooler; missing weights are refused below
    try:
        return read(name, **options)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"The {what} {name!r} could not be loaded ({reason}) Give a folder in Hugging Face's format, "
            f'the name of a model on the hub (the first use needs a connection), or "{RANDOM}".'
        ) from error
    finally:
        logging.set_verbosity(level)


def _weights(what: str, name: str, kinds: Sequence[str], read: Any, **options: Any) -> Encoder:
    """A pretrained encoder in float32, by its folder or hub name.

    Raises:
        ConfigError: not there, of a kind that mutual attention is not written for, or a checkpoint that would leave
            weights at random.
    """
    kind = _read(what, name, AutoConfig.from_pretrained).model_type
    if kind not in kinds:
        raise ConfigError(
            f"The {what} {name!r} is of kind {kind!r}; mutual attention is written for {', '.join(kinds)}."
        )
    model, info = _read(what, name, read, output_loading_info=True, dtype=torch.float32, **options)
    # A pooler and CLIP's last norm feed only pooled outputs, which are not used here.
    missing = sorted(k for k in info["missing_keys"] if "pooler" not in k and "post_layernorm" not in k)
    if missing:
        raise ConfigError(
            f"The {what} {name!r} lacks {len(missing)} weights ({missing[0]}, …): not a checkpoint of this kind."
        )
    return model


def load_text_encoder(config: ModelConfig, vocabulary: int, stored: dict[str, Any] | None = None) -> Encoder:
    """A BERT-family encoder without pooler, in float32.

    `stored` is a saved model's text configuration: the architecture is rebuilt from it, unloaded.
    """
    if config.text_encoder in (WORDS, CHARACTERS):
        if stored is not None:
            return WordEncoder(BertConfig(**stored), config.text_encoder == CHARACTERS)
        return WordEncoder.build(config, vocabulary)
    if stored is not None:
        stored = dict(stored)
        return AutoModel.from_config(AutoConfig.for_model(stored.pop("model_type"), **stored), add_pooling_layer=False)
    if config.text_encoder == RANDOM:
        shape = BertConfig(
            vocab_size=vocabulary,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.intermediate_size,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=0.0,  # as CLIP's: fused attention kernels are slow with it
            max_position_embeddings=max(config.max_length, 64),
        )
        return AutoModel.from_config(shape, add_pooling_layer=False)
    return _weights(
        "text encoder", config.text_encoder, TEXT_FAMILY, AutoModel.from_pretrained, add_pooling_layer=False
    )


def load_image_encoder(config: ModelConfig, text: PretrainedConfig, stored: dict[str, Any] | None = None) -> Encoder:
    """CLIP's vision encoder in float32; a random start takes the text tower's depth, width and heads.

    Where captions stand for pictures: a second text encoder, started as the first was.
    """
    if config.image_encoder == CAPTIONS:
        return load_text_encoder(config, text.vocab_size, stored)
    if stored is not None:
        return CLIPVisionModel(CLIPVisionConfig(**stored))
    if config.image_encoder == RANDOM:
        shape = CLIPVisionConfig(
            hidden_size=text.hidden_size,
            num_hidden_layers=text.num_hidden_layers,
            num_attention_heads=text.num_attention_heads,
            intermediate_size=text.intermediate_size,
            image_size=config.crop_size,
            patch_size=config.patch_size,
        )
        return CLIPVisionModel(shape)
    return _weights("image encoder", config.image_encoder, IMAGE_FAMILY, CLIPVisionModel.from_pretrained)


def reach(text: dict[str, Any]) -> int:
    """The longest text, in pieces, that a text encoder of this configuration reads."""
    return text["max_position_embeddings"] - (0 if text["model_type"] == "bert" else text["pad_token_id"] + 1)


def check_fit(text: PretrainedConfig, image: PretrainedConfig | None, config: ModelConfig) -> None:
    """Both towers need the same depth, width and heads, since keys and values pass between them.

    Raises:
        ConfigError: naming the first two numbers that differ.
    """
    if config.max_length > reach(text.to_dict()):
        raise ConfigError(
            f"max_length is {config.max_length}, but {config.text_encoder!r} reads at most {reach(text.to_dict())} pieces."
        )
    if image is None:
        return
    captions = config.image_encoder == CAPTIONS
    if captions and CAPTION_PIECES > reach(image.to_dict()):
        raise ConfigError(
            f"A caption has {CAPTION_PIECES} pieces, but {config.text_encoder!r} reads at most {reach(image.to_dict())}."
        )
    for name, what in (
        ("num_hidden_layers", "layers"),
        ("hidden_size", "hidden units"),
        ("num_attention_heads", "attention heads"),
    ):
        if getattr(text, name) != getattr(image, name):
            raise ConfigError(
                f"The encoders do not fit: {config.text_encoder!r} has {getattr(text, name)} {what}, "
                f"{config.image_encoder!r} has {getattr(image, name)}. Mutual attention needs equal depth, width and "
                f'heads; choose others, or image_encoder="{RANDOM}".'
            )
    if not captions and config.crop_size % image.patch_size:
        raise ConfigError(
            f"crop_size {config.crop_size} is no multiple of the image encoder's patch size {image.patch_size}."
        )


def load_tokenizer(config: ModelConfig, tweets: Iterable[Tweet] = ()) -> PreTrainedTokenizerBase:
    """The text encoder's tokenizer, or, for a random start, one whose vocabulary is made from `tweets`: from their
    words and, where captions stand for pictures, from those."""
    if config.text_encoder in (WORDS, CHARACTERS):
        return word_tokenizer(word for tweet in tweets for word in tweet.words)
    if config.text_encoder != RANDOM:
        # RoBERTa's family marks a word's start by the space before it, and words come to it one by one.
        options = {} if Path(config.text_encoder).joinpath("vocab.txt").exists() else {"add_prefix_space": True}
        return _read("tokenizer of", config.text_encoder, AutoTokenizer.from_pretrained, **options)
    captions = config.images and config.image_encoder == CAPTIONS
    return wordpiece_tokenizer(
        text for tweet in tweets for text in (*tweet.words, *([tweet.caption] if captions else []))
    )


def wordpiece_tokenizer(words: Iterable[str], least: int = 2) -> PreTrainedTokenizerBase:
    """A lower-casing WordPiece tokenizer: every character, and every word seen `least` times.

    Counting instead of merging keeps it deterministic; a rarer word falls apart into characters.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts = Counter(
        part for word in words for part, _ in splitter.pre_tokenize_str(normalizer.normalize_str(word)) if part
    )
    characters = sorted({c for part in counts for c in part})
    entries = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *characters,
        *(f"##{c}" for c in characters),
        *sorted(part for part, count in counts.items() if count >= least and len(part) > 1),
    ]
    tokenizer = Tokenizer(models.WordPiece({e: i for i, e in enumerate(entries)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


# ---- whole models, saved and loaded ----


class HubModel(nn.Module, PyTorchModelHubMixin):
    """Saving and loading of a whole model in the hub's format: config.json, the tokenizer's files, model.safetensors."""

    config: ModelConfig
    encoder_configs: dict[str, Any]
    batcher: Batcher

    def _save_pretrained(self, save_directory: Path) -> None:
        """config.json, tokenizer and model.safetensors (the hub mixin's hook behind `save_pretrained`)."""
        folder = Path(save_directory)
        self.save_description(folder)
        save_file(self.state_dict(), folder / "model.safetensors")

    def save_description(self, folder: Path) -> None:
        """config.json and the tokenizer: a pretrained folder but for its weights."""
        description = {"model": dataclasses.asdict(self.config), "encoders": self.encoder_configs, "tags": list(TAGS)}
        (folder / "config.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        self.batcher.tokenizer.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
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
    def _from_pretrained(cls, *, model_id: str, **_: Any) -> Self:
        """Rebuild from a local folder (the hub mixin's hook behind `from_pretrained`)."""
        folder = Path(model_id)
        missing = [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]
        if missing:
            raise RunError(
                f"{folder} is no saved model: {' and '.join(missing)} not found; give a run folder or a saved model's."
            )
        description = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "model" not in description or description.get("tags") != list(TAGS):
            raise RunError(
                f"{folder / 'config.json'} does not describe an mgips model with the tags {', '.join(TAGS)}."
            )
        known = {field.name for field in dataclasses.fields(ModelConfig)}
        strange = sorted(set(description["model"]) - known)
        if strange:
            raise RunError(
                f"{folder / 'config.json'} has the setting {strange[0]!r}, which this version of mgips does not know."
            )
        config = ModelConfig(**description["model"])
        text = load_text_encoder(config, 0, description["encoders"]["text"])
        image = load_image_encoder(config, text.config, description["encoders"]["image"]) if config.images else None
        model = cls(config, text, image, AutoTokenizer.from_pretrained(folder))
        try:
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except RuntimeError as error:
            raise RunError(
                f"{folder / 'model.safetensors'} does not fit its config.json: save the model again."
            ) from error
        return model.eval()


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over every weight's name and bytes: equal hashes, equal weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
