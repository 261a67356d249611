"""`mgips doctor`: what is installed and found on this machine, and how to get the rest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    CLIPConfig,
    CLIPModel,
    CLIPVisionModel,
    RobertaConfig,
    XLMRobertaConfig,
)

import mgips
from mgips.config import PRESETS, RANDOM
from mgips.data.load import NAMES, data_root, load_corpus
from mgips.errors import MGIPSError
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import load_image_encoder, load_text_encoder, wordpiece_tokenizer

INSTALL = "pip install -e '.[dev]'"
PACKAGES = {
    "torch": "training",
    "transformers": "training",
    "accelerate": "training",
    "pytorch-crf": "training",
    "seqeval": "scores",
    "jupyterlab": "the notebooks",
    "ipywidgets": "the inspectors",
    "anywidget": "the inspectors",
    "plotly": "the 3D pictures",
    "pytest": "the tests",
    "nbval": "the notebooks' tests",
}
MINI: dict[str, Any] = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
ROBERTA: dict[str, Any] = {"type_vocab_size": 1, "pad_token_id": 1}
SIZES: dict[str, Any] = {
    "google-bert/bert-base-uncased": BertConfig(),
    "sentence-transformers/all-MiniLM-L6-v2": BertConfig(**MINI),
    "vinai/bertweet-base": RobertaConfig(vocab_size=64001, max_position_embeddings=130, **ROBERTA),
    "FacebookAI/xlm-roberta-large": XLMRobertaConfig(
        vocab_size=250002, max_position_embeddings=514, **ROBERTA, **LARGE
    ),
    "openai/clip-vit-base-patch32": CLIPConfig(),
    "openai/clip-vit-large-patch14": CLIPConfig(
        text_config={
            "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": 768
        },
        vision_config={**LARGE, "patch_size": 14, "projection_dim": 768},
        projection_dim=768,
    ),
}  # fmt: skip
"""The configurations of the presets' encoders, as published: what is computed before anything is fetched."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json")
COMPUTED = "computed from the encoders' sizes"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Check:
    """The result of looking for one thing."""

    name: str
    ok: bool
    detail: str
    """What was found, or what it is needed for."""
    remedy: str = ""
    """What to do where it is missing."""


def check(root: str | Path | None = None) -> list[Check]:
    """Look for packages, a device, corpora, encoders and a browser, and compute what the presets need. Nothing is
    downloaded.

    Args:
        root: where the Twitter folders are; $MGIPS_DATA by default, else ./data.
    """
    slow = "" if torch.cuda.is_available() else " (no CUDA device: the tiny preset is fine, base needs a GPU)"
    chromium, needed = browser(), "needed only for `make test-browser`"
    writable = os.access("runs" if os.path.exists("runs") else ".", os.W_OK)
    return [
        Check("mgips", True, f"{mgips.__version__} on Python {platform.python_version()}, {platform.system()}"),
        *(_package(name, use) for name, use in PACKAGES.items()),
        _package("emoji", "the emoji of posts that BERTweet reads", "pip install emoji==0.6.0"),
        Check("device", True, device_name() + slow),
        *(_corpus(name, root) for name in NAMES),
        *(_encoder(name) for name in encoders()),
        *(_preset(name) for name in PRESETS),
        Check("Chromium", bool(chromium), chromium or needed, "apt install chromium, or set BROWSER_PATH"),
        Check(
            "run folders",
            writable,
            f"runs/ {'can' if writable else 'cannot'} be written",
            "name another: mgips train RUN",
        ),
    ]


def report(checks: list[Check]) -> str:
    """The checks as lines of text."""
    width = max(len(check.name) for check in checks) + 2
    lines = []
    for check in checks:
        lines.append(f"{'OK     ' if check.ok else 'missing'}  {check.name:<{width}}{check.detail}")
        if not check.ok:
            lines += [f"{'':{width + 9}}→ {line}" for line in check.remedy.splitlines()]
    return "\n".join(lines)


def encoders(presets: Iterable[str] = PRESETS) -> list[str]:
    """The pretrained encoders that some presets name."""
    models = [PRESETS[preset][0] for preset in presets]
    names = [name for model in models for name in (model.text_encoder, model.image_encoder)]
    return [name for name in dict.fromkeys(names) if name != RANDOM]


def device_name() -> str:
    """The device that models run on, in words: the first line of every notebook."""
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB, {bf16}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {cores} cores"


def browser() -> str | None:
    """A Chromium or Chrome on this machine: $BROWSER_PATH, or one of the usual names."""
    named = os.environ.get("BROWSER_PATH")
    return named if named and Path(named).is_file() else next(filter(None, map(shutil.which, BROWSERS)), None)


def _package(name: str, use: str, remedy: str = INSTALL) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"needed for {use}", remedy)


def _corpus(name: str, root: str | Path | None) -> Check:
    if name == "tinytweets":
        return Check(name, True, "drawn by the package")
    folder = data_root(root) / name
    try:
        corpus = load_corpus(name, root)
        for split in corpus.splits:
            corpus.labelled(split)
    except MGIPSError as error:
        if folder.is_dir():
            return Check(name, False, f"{folder} holds no corpus", str(error))
        return Check(name, False, f"not in {folder}", f"`mgips audit {name}` says what to get, and from where")
    return Check(name, True, f"{folder}: {corpus.notes[0]}")


def _weights(name: str) -> str | None:
    """The file with an encoder's weights in the Hugging Face cache."""
    found = (try_to_load_from_cache(name, file) for file in WEIGHTS)
    return next((path for path in found if isinstance(path, str)), None)


def _encoder(name: str) -> Check:
    path, size = _weights(name), checkpoint_bytes(name)
    to_fetch = f" (about {gigabytes(size)}, computed)" if size else ""
    remedy = f"fetched on first use{to_fetch}; offline, name a local folder instead"
    if path is None:
        return Check(name, False, "weights not in the Hugging Face cache", remedy)
    on_disk = "" if path.endswith(".json") else f", {gigabytes(os.path.getsize(path))}"
    return Check(name, True, f"weights in the Hugging Face cache{on_disk}")


def _preset(name: str) -> Check:
    model, _ = PRESETS[name]
    missing = [encoder for encoder in encoders([name]) if _weights(encoder) is None]
    count = parameters(name)
    words = " besides the words of its corpus" if model.text_encoder == RANDOM else ""
    detail = "sizes of its encoders are not known here"
    if count is not None:
        detail = (
            f"{count / 1e6:.1f} million parameters{words}: {gigabytes(4 * count)} of memory to predict, "
            f"{gigabytes(16 * count)} to train (weights, gradients and AdamW's two moments in float32), and activations "
            f"on top; {COMPUTED}"
        )
    sizes = [checkpoint_bytes(encoder) for encoder in missing]
    to_fetch = f": about {gigabytes(sum(filter(None, sizes)))} of disk, computed" if all(sizes) else ""
    return Check(f"preset {name}", not missing, detail, f"fetches {' and '.join(missing)} on first use{to_fetch}")


def gigabytes(count: float) -> str:
    """Bytes as text: 10^9 bytes are a GB."""
    return f"{count / 1e9:.2f} GB"


def checkpoint_bytes(name: str) -> int | None:
    """The size of a published checkpoint in float32, computed from its configuration: a text encoder comes with its
    language model's head, CLIP with its text encoder. None where the configuration is not known here."""
    config = SIZES.get(name)
    if config is None:
        return None
    with torch.device("meta"):
        whole = CLIPModel(config) if isinstance(config, CLIPConfig) else AutoModelForMaskedLM.from_config(config)
    return 4 * _count(whole)


def parameters(preset: str) -> int | None:
    """How many parameters a preset's full model has, computed from its configuration; a random text tower without the
    vocabulary that its corpus gives. None where an encoder's configuration is not known here."""
    config, _ = PRESETS[preset]
    if not SIZES.keys() >= set(encoders([preset])):
        return None
    tokenizer = wordpiece_tokenizer([])
    with torch.device("meta"):
        if config.text_encoder == RANDOM:
            text = load_text_encoder(config, len(tokenizer))
        else:
            text = AutoModel.from_config(SIZES[config.text_encoder], add_pooling_layer=False)
        if config.image_encoder == RANDOM:
            image = load_image_encoder(config, text.config)
        else:
            image = CLIPVisionModel(SIZES[config.image_encoder].vision_config)
        return _count(MGIPS(config, text, image, tokenizer))


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
