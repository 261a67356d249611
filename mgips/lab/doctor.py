"""`mgips doctor`: what is installed and found on this machine, and how to get the rest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache

import mgips
from mgips.config import PRESETS, RANDOM
from mgips.data.load import NAMES, data_root, load_corpus
from mgips.errors import DataError

INSTALL = "pip install -e '.[dev]'"
PACKAGES = {
    "torch": "training",
    "transformers": "training",
    "accelerate": "training",
    "pytorch-crf": "training",
    "seqeval": "scores",
    "jupyterlab": "the notebooks",
    "ipywidgets": "the inspectors",
    "plotly": "the 3D pictures",
    "pytest": "the tests",
    "nbval": "the notebooks' tests",
}
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
    """Look for packages, a device, corpora, encoders and a browser. Nothing is downloaded.

    Args:
        root: where the Twitter folders are; $MGIPS_DATA by default, else ./data.
    """
    slow = "" if torch.cuda.is_available() else " (no CUDA device: the tiny preset is fine, base needs a GPU)"
    chromium, needed = browser(), "needed only for `make test-browser`"
    writable = os.access("runs" if os.path.exists("runs") else ".", os.W_OK)
    return [
        Check("mgips", True, f"{mgips.__version__} on Python {platform.python_version()}, {platform.system()}"),
        *(_package(name, use) for name, use in PACKAGES.items()),
        Check("device", True, device_name() + slow),
        *(_corpus(name, root) for name in NAMES),
        *(_encoder(name) for name in encoders()),
        Check("Chromium", bool(chromium), chromium or needed, "apt install chromium, or set BROWSER_PATH"),
        Check(
            "run folders",
            writable,
            f"runs/ {'can' if writable else 'cannot'} be written",
            "name another place with --run",
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


def encoders() -> list[str]:
    """The pretrained encoders that the presets name."""
    names = [name for model, _ in PRESETS.values() for name in (model.text_encoder, model.image_encoder)]
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


def _package(name: str, use: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"needed for {use}", INSTALL)


def _corpus(name: str, root: str | Path | None) -> Check:
    if name == "tinytweets":
        return Check(name, True, "drawn by the package")
    folder = data_root(root) / name
    try:
        corpus = load_corpus(name, root)
    except DataError as error:
        if folder.is_dir():
            return Check(name, False, f"{folder} holds no corpus", str(error))
        return Check(name, False, f"not in {folder}", f"`mgips audit --corpus {name}` says what to get, and from where")
    return Check(name, True, f"{folder}: {corpus.notes[0]}")


def _encoder(name: str) -> Check:
    cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    remedy = "fetched on first use; offline, name a local folder instead"
    return Check(name, cached, f"{'' if cached else 'not '}in the Hugging Face cache", remedy)
