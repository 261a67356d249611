"""Loading Hugging Face's encoders and tokenizers, and saving and loading whole models.

Which kinds of encoder there are, and how their layers are taken apart: `mgips.model.encoders`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertweetTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    ImageProcessingMixin,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SiglipVisionModel,
)
from transformers.utils import logging

from mgips.config import CAPTIONS, CHARACTERS, RANDOM, WORDS, ModelConfig
from mgips.data.batch import CAPTION_PIECES, Batcher
from mgips.data.corpus import Tweet
from mgips.errors import ConfigError, DataError, RunError, said_by
from mgips.files import CHECKSUM, read_tensors, tensors_hash, with_checksum, write_atomically
from mgips.model.baselines import WordEncoder, word_tokenizer
from mgips.model.embedding import pixel_statistics
from mgips.model.encoders import IMAGE, PAIRS, REFUSED, TEXT, WHOLE, Encoder
from mgips.tags import tag_set


def _read(what: str, name: str, read: Any, **options: Any) -> Any:
    """Call a `from_pretrained`, and turn what it raises into one sentence."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # silence the notice about an unused pooler; missing weights are refused below
    try:
        return read(name, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"The {what} {name!r} could not be loaded ({said_by(error)}). Give a folder in Hugging Face's format, "
            f'the name of a model on the hub (the first use needs a connection), or "{RANDOM}".'
        ) from error
    finally:
        logging.set_verbosity(level)


def _kind(what: str, name: str, kinds: Iterable[str]) -> str:
    """The `model_type` of an encoder, by its folder or hub name.

    Raises:
        ConfigError: not there, or of a kind that mutual attention is not written for.
    """
    found: str = _read(what, name, AutoConfig.from_pretrained).model_type or "none"
    kind = WHOLE.get(found, found)
    if kind not in kinds:
        reason = REFUSED.get(kind.removesuffix("_vision_model"))
        raise ConfigError(
            f"The {what} {name!r} is of kind {kind!r}; mutual attention is written for {', '.join(kinds)}"
            f"{f', and not for this one: {reason}' if reason else ''}."
        )
    return kind


def _weights(what: str, name: str, unused: str, read: Any, **options: Any) -> Encoder:
    """A pretrained encoder in float32, by its folder or hub name.

    Args:
        unused: part of the names of weights that a checkpoint may lack, since nothing here reads them.

    Raises:
        ConfigError: a checkpoint that would leave other weights at random.
    """
    model, info = _read(what, name, read, output_loading_info=True, dtype=torch.float32, **options)
    missing = sorted(key for key in info["missing_keys"] if unused not in key)
    if missing:
        raise ConfigError(
            f"The {what} {name!r} lacks {len(missing)} weights ({missing[0]}, …): not a checkpoint of this kind."
        )
    return model


def load_text_encoder(config: ModelConfig, vocabulary: int, stored: dict[str, Any] | None = None) -> Encoder:
    """A text encoder without pooler, in float32, of any kind in `mgips.model.encoders.TEXT`.

    `stored` is a saved model's text configuration: the architecture is rebuilt from it, unloaded.
    """
    if config.text_encoder in (WORDS, CHARACTERS):
        if stored is not None:
            return WordEncoder(BertConfig(**stored), config.text_encoder == CHARACTERS)
        return WordEncoder.build(config, vocabulary)
    if stored is not None:
        shape = _config(stored)
        return AutoModel.from_config(shape, **_without_pooler(shape.model_type))
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
    kind = _kind("text encoder", config.text_encoder, TEXT)
    return _weights("text encoder", config.text_encoder, "pooler", AutoModel.from_pretrained, **_without_pooler(kind))


def _without_pooler(kind: str) -> dict[str, bool]:
    return {} if kind == "modernbert" else {"add_pooling_layer": False}


def _config(stored: dict[str, Any]) -> PretrainedConfig:
    """A saved model's configuration of one encoder."""
    return AutoConfig.for_model(stored["model_type"], **{k: v for k, v in stored.items() if k != "model_type"})


UNUSED = {"clip_vision_model": "post_layernorm", "siglip_vision_model": "head.", "dinov2": "mask_token"}
"""Weights of image encoders that nothing here reads; DINOv3's are DINOv2's."""


def load_image_encoder(config: ModelConfig, text: PretrainedConfig, stored: dict[str, Any] | None = None) -> Encoder:
    """An image encoder in float32, of any kind in `mgips.model.encoders.IMAGE`.

    A random start is a CLIP of the text tower's depth, width and heads. Where captions stand for pictures: a second text
    encoder, started as the first was.
    """
    if config.image_encoder == CAPTIONS:
        return load_text_encoder(config, text.vocab_size, stored)
    if stored is not None:
        return AutoModel.from_config(_config(stored))
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
    what, name = "image encoder", config.image_encoder
    kind = _kind(what, name, IMAGE)
    classes = {"clip_vision_model": CLIPVisionModel, "siglip_vision_model": SiglipVisionModel}
    model = _weights(what, name, UNUSED.get(kind, "mask_token"), classes.get(kind, AutoModel).from_pretrained)
    _take_pixel_statistics(name, model.config)
    return model


def _take_pixel_statistics(name: str, config: Any) -> None:
    """Write the mean and standard deviation of the encoder's own preprocessor into its configuration, which is saved
    with the model; nothing where they are its kind's, or where there is no preprocessor."""
    try:
        own, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        return
    for field, usual in zip(("image_mean", "image_std"), pixel_statistics(config), strict=True):
        value = own.get(field)
        if value is None or list(value) == list(usual):
            continue
        if len(value) != 3:
            raise ConfigError(
                f"The preprocessor of {name!r} gives {len(value)} numbers as {field}; images have 3 channels."
            )
        setattr(config, field, list(value))


def reach(text: dict[str, Any]) -> int:
    """The longest text, in pieces, that a text encoder of this configuration reads."""
    # RoBERTa counts positions from its padding's id on.
    before = text["pad_token_id"] + 1 if text["model_type"] in ("roberta", "xlm-roberta") else 0
    return text["max_position_embeddings"] - before


def check_fit(text: PretrainedConfig, image: PretrainedConfig | None, config: ModelConfig) -> None:
    """Both towers need the same depth, width and heads, since keys and values pass between them.

    Raises:
        ConfigError: naming the first two numbers that differ, and known encoders that fit; a text longer, or crops of
            another size, than an encoder reads.
    """
    if config.max_length > reach(text.to_dict()):
        raise ConfigError(
            f"max_length is {config.max_length}, but {config.text_encoder!r} reads at most {reach(text.to_dict())} pieces; "
            "lower it."
        )
    if image is None:
        return
    captions = config.image_encoder == CAPTIONS
    if captions and CAPTION_PIECES > reach(image.to_dict()):
        raise ConfigError(
            f"A caption has {CAPTION_PIECES} pieces, but {config.text_encoder!r} reads at most {reach(image.to_dict())}; "
            "choose another one."
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
                f'heads; choose {_partners(text, image)}others, or image_encoder="{RANDOM}".'
            )
    if not captions and config.crop_size % image.patch_size:
        fitting = max(round(config.crop_size / image.patch_size), 1) * image.patch_size
        raise ConfigError(
            f"crop_size {config.crop_size} is not a multiple of the image encoder's patch size {image.patch_size}; "
            f"use crop_size={fitting}."
        )


def _partners(text: PretrainedConfig, image: PretrainedConfig) -> str:
    """Published encoders that fit one of two that do not fit each other, as part of a sentence; "" where none is known."""
    for own, side in ((text, 1), (image, 0)):
        shape = own.num_hidden_layers, own.hidden_size, own.num_attention_heads
        if shape in PAIRS:
            other = ("a text encoder", "an image encoder")[side]
            return f"{other} that fits ({', '.join(PAIRS[shape][side])}), "
    return ""


WITHOUT_EMOJI = (
    "BERTweet reads emoji by their names, such as :fire:, and without the package emoji they are unknown pieces: "
    "pip install emoji==0.6.0 (later versions name some of them otherwise)."
)


def check_memory(config: ModelConfig) -> None:
    """Refuse random towers whose weights alone are more than this machine's memory, before it is all taken.

    Raises:
        ConfigError: with both numbers.
    """
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    needed = 4 * layer * config.num_layers * (1 + config.images) / 2**30
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return  # not every system says
    if needed > there:
        raise ConfigError(
            f"Encoders of these sizes have {needed:,.0f} GiB of weights, and this machine {there:,.0f} GiB of memory; "
            "lower hidden_size, intermediate_size or num_layers."
        )


def load_tokenizer(config: ModelConfig, tweets: Iterable[Tweet] = ()) -> PreTrainedTokenizerBase:
    """The text encoder's tokenizer, or, for a random start, one whose vocabulary is made from `tweets`: from their
    words and, where captions stand for pictures, from those."""
    if config.text_encoder in (WORDS, CHARACTERS):
        return word_tokenizer(word for tweet in tweets for word in tweet.words)
    if config.text_encoder != RANDOM:
        # RoBERTa's family and ModernBERT mark a word's start by the space before it, and words come to them one by one.
        options = {} if Path(config.text_encoder).joinpath("vocab.txt").exists() else {"add_prefix_space": True}
        tokenizer = _read("tokenizer of", config.text_encoder, AutoTokenizer.from_pretrained, **options)
        splitter = tokenizer.backend_tokenizer.pre_tokenizer if tokenizer.is_fast else None
        if isinstance(splitter, pre_tokenizers.ByteLevel):
            splitter.add_prefix_space = True  # ModernBERT's tokenizer class has no such option
        if isinstance(tokenizer, BertweetTokenizer) and tokenizer.demojizer is None:
            warnings.warn(WITHOUT_EMOJI, stacklevel=2)
        return tokenizer
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


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a tokenizer's files.

    `BertweetTokenizer` saves its merges without the count that it expects, and drops, when it reads them; one is added.
    """
    tokenizer.save_pretrained(folder)
    if isinstance(tokenizer, BertweetTokenizer):
        merges = (" ".join([*pair, "0"]) + "\n" for pair in tokenizer.bpe_ranks)  # in the order of their ranks
        (folder / "bpe.codes").write_text("".join(merges), encoding="utf-8")


# ---- whole models, saved and loaded ----

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "bpe.codes")
"""Those that decide what a text's pieces are; each tokenizer has some."""
MOST_LAYERS = 1000
"""More are taken for a damaged file."""


class HubModel(nn.Module, PyTorchModelHubMixin):
    """Saving and loading of a whole model in the hub's format: config.json, the tokenizer's files, model.safetensors."""

    config: ModelConfig
    encoder_configs: dict[str, Any]
    batcher: Batcher
    card: str = ""
    """The model card, README.md in its folder; "" where there is none."""
    trained: bool = False
    """Whether its weights come from training: a step of it, or a saved model."""

    def _save_pretrained(self, save_directory: Path) -> None:
        """config.json, tokenizer and model.safetensors (the hub mixin's hook behind `save_pretrained`)."""
        folder = Path(save_directory)
        self.save_description(folder)
        if self.card:  # otherwise the mixin writes one that says little
            (folder / "README.md").write_text(self.card, encoding="utf-8")
        write_atomically(folder / "model.safetensors", with_checksum(self.state_dict()))

    def save_description(self, folder: Path) -> None:
        """config.json and the tokenizer: a pretrained folder but for its weights."""
        save_tokenizer(self.batcher.tokenizer, folder)
        description = {
            "model": dataclasses.asdict(self.config),
            "encoders": self.encoder_configs,
            "tags": tag_set(self.config.types),
            "vocabulary": vocabulary_hash(self.batcher.tokenizer),
            "files": {name: _file_hash(folder / name) for name in TOKENIZER_FILES if (folder / name).is_file()},
        }
        description[CHECKSUM] = _description_hash(description)
        write_atomically(folder / "config.json", (json.dumps(description, indent=2) + "\n").encode())

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
                raise RunError(
                    f"{pretrained_model_name_or_path} is not a folder here, and could not be fetched from the hub ({said_by(error)}); "
                    "give a run folder or a saved model's."
                ) from error
        missing = [name for name in ("config.json", "model.safetensors") if not (path / name).is_file()]
        if missing:
            raise RunError(
                f"{path} is not a saved model: {' and '.join(missing)} not found; give a run folder or a saved model's."
            )
        _described(path / "config.json")  # the mixin reads it too, and says less
        return super().from_pretrained(path)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **_: Any) -> Self:
        """Rebuild from a local folder (the hub mixin's hook behind `from_pretrained`)."""
        folder = Path(model_id)
        config, description = _described(folder / "config.json")
        weights = _finite(folder / "model.safetensors")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            if None in (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id):
                raise ValueError("a special piece is missing")
        except Exception as error:  # a dozen kinds, from three libraries
            raise RunError(f"{folder} has no tokenizer that can be read; save the model again.") from error
        if description.get("vocabulary", written := vocabulary_hash(tokenizer)) != written:
            raise RunError(f"The tokenizer in {folder} has another vocabulary than its model; save the model again.")
        misfit = RunError(f"{folder / 'model.safetensors'} does not fit its config.json: save the model again.")
        try:
            build = lambda: cls._rebuilt(config, description["encoders"], tokenizer)  # noqa: E731
            with torch.device("meta"):  # sizes that do not fit are found before memory is taken for them
                shapes = {name: value.shape for name, value in build().state_dict().items()}
            if shapes != {name: value.shape for name, value in weights.items()}:
                raise misfit
            model = build()
            model.load_state_dict(weights)
        except RunError:
            raise
        except Exception as error:  # an architecture that is none raises a dozen kinds
            raise misfit from error
        _check_saved(folder, description)
        if (folder / "README.md").is_file():
            model.card = (folder / "README.md").read_text(encoding="utf-8")
        model.trained = True
        return model.eval()

    @classmethod
    def _rebuilt(cls, config: ModelConfig, encoders: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> Self:
        """A saved model before its weights are loaded."""
        text = load_text_encoder(config, 0, encoders["text"])
        image = load_image_encoder(config, text.config, encoders["image"]) if config.images else None
        return cls(config, text, image, tokenizer)


def _described(file: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """A saved model's configuration, and all of its config.json.

    Raises:
        RunError: naming the file, and what is wrong with it.
    """
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} cannot be read; save the model again.") from error
    parts = ("model", "encoders", "tags")
    if not isinstance(description, dict) or not all(isinstance(description.get(p), dict | list) for p in parts):
        raise RunError(f"{file} does not describe an mgips model; give a folder that mgips saved.")
    settings, encoders = description["model"], description["encoders"]
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    strange = sorted(set(settings) - known)
    if strange:
        raise RunError(
            f"{file} has the setting {strange[0]!r}, which this version of mgips does not know; update mgips."
        )
    try:
        config = ModelConfig(**settings)
        layers = [encoders[side]["num_hidden_layers"] for side in ("text", "image")[: 1 + config.images]]
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from error
    except (TypeError, KeyError) as error:
        raise RunError(f"{file} does not describe an mgips model; give a folder that mgips saved.") from error
    if description["tags"] != list(tag_set(config.types)):
        raise RunError(f"{file} has tags that are not those of its types; save the model again.")
    if not all(isinstance(count, int) and count <= MOST_LAYERS for count in layers):
        raise RunError(f"{file}: an encoder of {max(map(str, layers), key=len)} layers; save the model again.")
    return config, description


def _file_hash(file: Path) -> str:
    """SHA-256 of a file; of JSON, whatever its indentation."""
    content = file.read_bytes()
    if file.suffix == ".json":
        with contextlib.suppress(ValueError, RecursionError):
            content = json.dumps(json.loads(content), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _description_hash(description: Mapping[str, Any]) -> str:
    """SHA-256 over all that config.json says, but for the hash itself."""
    told = json.loads(json.dumps({name: value for name, value in description.items() if name != CHECKSUM}))
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _check_saved(folder: Path, description: Mapping[str, Any]) -> None:
    """That config.json and the tokenizer's files are those that the model was saved with, where it says so: a change that
    fits the weights would give other answers.

    Raises:
        RunError: naming the file that was changed.
    """
    if CHECKSUM not in description:
        return
    changed = [] if description[CHECKSUM] == _description_hash(description) else ["config.json"]
    if not changed:
        kept = description["files"].items()
        changed = [name for name, told in kept if not (folder / name).is_file() or _file_hash(folder / name) != told]
    if changed:
        raise RunError(
            f"{folder / changed[0]} was changed after the model was saved; restore it, or save the model again."
        )


def _finite(file: Path) -> dict[str, Tensor]:
    """A saved model's weights.

    Raises:
        RunError: a damaged file, or numbers that are not finite.
    """
    try:
        weights, _ = read_tensors(file)
    except DataError as error:
        raise RunError(f"{str(error).rstrip('.')}. Save the model again, or fetch it again.") from error
    bad = next((name for name, value in weights.items() if not value.isfinite().all()), None)
    if bad is not None:
        raise RunError(f"{file} holds numbers that are not finite (in {bad}); train this model again.")
    return weights


def vocabulary_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of a tokenizer's pieces and their numbers."""
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
    return hashlib.sha256(json.dumps(pieces).encode()).hexdigest()[:16]


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over every weight's name and bytes: equal hashes, equal weights."""
    return tensors_hash(model.state_dict())
