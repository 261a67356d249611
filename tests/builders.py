"""Small encoders, tweets and models that the tests share. Nothing here is downloaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from mgips.config import ModelConfig, preset
from mgips.data.batch import Batch
from mgips.data.corpus import Corpus, Tweet
from mgips.model.mgips import MGIPS, Contrast, Loss
from mgips.model.pretrained import wordpiece_tokenizer

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
TEXT_MODELS = {
    "bert": (BertModel, BertConfig, {"max_position_embeddings": 64}),
    "roberta": (RobertaModel, RobertaConfig, {"max_position_embeddings": 66, "pad_token_id": 1}),
    "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig, {"max_position_embeddings": 66, "pad_token_id": 1}),
}


def text_encoder(family: str = "bert", **changes) -> torch.nn.Module:
    """A random text encoder of a family, in evaluation mode."""
    kind, config, extra = TEXT_MODELS[family]
    return kind(config(**{"vocab_size": 99, **SIZES, **extra, **changes}), add_pooling_layer=False).eval()


def image_encoder(**changes) -> CLIPVisionModel:
    """A random CLIP vision encoder that reads 32 × 32 pixels, in evaluation mode."""
    return CLIPVisionModel(CLIPVisionConfig(**{**SIZES, "image_size": 32, "patch_size": 8, **changes})).eval()


def picture(seed: int, size: int = 40) -> Image.Image:
    """Some pixels."""
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (size, size, 3), dtype=np.uint8))


SENTENCES = [
    ("Jordan beats Chicago in overtime !", "B-PER O B-ORG O O O"),
    ("Meet me in Paris", "O O O B-LOC"),
    ("The new Amazon Echo is out # gadgets", "O O B-MISC I-MISC O O O O"),
    ("nothing to see here", "O O O O"),
    ("Washington Post on Washington", "B-ORG I-ORG O B-LOC"),
    ("Ada Lovelace was right", "B-PER I-PER O O"),
    ("go Lions", "O B-ORG"),
    ("rainy day in New York with Sam and Alex near the old harbour", "O O O B-LOC I-LOC O B-PER O B-PER O O O O"),
]


def tweets(count: int = 8, seed: int = 0) -> tuple[Tweet, ...]:
    """Invented posts, each with a picture and three crops but every fourth."""
    made = []
    for i in range(count):
        words, tags = SENTENCES[(i + seed) % len(SENTENCES)]
        pictures = [picture(100 * seed + 10 * i + j) for j in range(4)] if i % 4 != 3 else []
        made.append(
            Tweet(
                id=f"{seed}-{i}",
                words=tuple(words.split()),
                tags=tuple(tags.split()),
                image=pictures[0] if pictures else None,
                crops=tuple(pictures[1:]),
            )
        )
    return tuple(made)


def corpus(train: int = 16, other: int = 8) -> Corpus:
    """A corpus of invented posts."""
    return Corpus("invented", tweets(train, 0), tweets(other, 1), tweets(other, 2))


def tiny_config(**changes) -> ModelConfig:
    """The tiny preset, smaller still."""
    small = {"hidden_size": 32, "intermediate_size": 64, "max_length": 24}
    return dataclasses.replace(preset("tiny")[0], **{**small, **changes})


def tiny_model(seed: int = 0, **changes) -> MGIPS:
    """A random model in evaluation mode."""
    return MGIPS.build(tiny_config(**changes), tweets(), seed=seed).eval()


def save_text_checkpoint(folder: Path, family: str = "bert", **changes) -> Path:
    """A random text encoder with its tokenizer, saved in the hub's format."""
    tokenizer = wordpiece_tokenizer(word for tweet in tweets() for word in tweet.words)
    text_encoder(family, **{"vocab_size": len(tokenizer), **changes}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def loss_of(model: MGIPS, batch: Batch) -> Loss:
    """The loss of one batch."""
    return model.loss(model(batch), batch)


def contrast_of(model: MGIPS, batch: Batch) -> Contrast:
    """Texts and images of one batch compared."""
    return model.contrast(model(batch), batch)


def parameters_without_gradient(model: torch.nn.Module) -> list[str]:
    """Names of parameters that a backward pass left without any gradient."""
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
