"""`python -m mgips doctor`: what is installed and found here, and what to do about the rest."""

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
from mgips.data.corpus import NAMES, data_root, load_corpus
from mgips.errors import DataError

INSTALL = "pip install -e '.[notebooks,dev]'"
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
class Finding:
    """One thing looked for."""

    what: str
    ok: bool
    told: str
    """What was found, or for what it is missing."""
    remedy: str = ""
    """What to do where it is missing."""


def check(root: str | Path | None = None) -> list[Finding]:
    """Look for packages, a device, corpora, encoders and a browser. Nothing is downloaded.

    Args:
        root: where the Twitter folders are; $MGIPS_DATA by default, else ./data.
    """
    return [
        Finding("mgips", True, f"{mgips.__version__} on Python {platform.python_version()}, {platform.system()}"),
        *(_package(name, use) for name, use in PACKAGES.items()),
        _device(),
        *(_corpus(name, root) for name in NAMES),
        *(_encoder(name) for name in encoders()),
        _browser(),
        _writable(Path("runs")),
    ]


def report(findings: list[Finding]) -> str:
    """The findings as lines of text."""
    width = max(len(finding.what) for finding in findings) + 2
    lines = []
    for finding in findings:
        lines.append(f"{'OK     ' if finding.ok else 'missing'}  {finding.what:<{width}}{finding.told}")
        if not finding.ok:
            lines += [f"{'':{width + 9}}→ {line}" for line in finding.remedy.splitlines()]
    return "\n".join(lines)


def encoders() -> list[str]:
    """The pretrained encoders that the presets name."""
    named = [name for model, _ in PRESETS.values() for name in (model.text_encoder, model.image_encoder)]
    return [name for name in dict.fromkeys(named) if name != RANDOM]


def device() -> str:
    """The device that models run on here, in words: the first line of every notebook."""
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


def _package(name: str, use: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, f"needed for {use}", INSTALL)


def _device() -> Finding:
    slow = "" if torch.cuda.is_available() else " (no CUDA device: the tiny preset is fine, base needs a GPU)"
    return Finding("device", True, device() + slow)


def _corpus(name: str, root: str | Path | None) -> Finding:
    if name == "tinytweets":
        return Finding(name, True, "drawn by the package")
    folder = data_root(root) / name
    try:
        corpus = load_corpus(name, root)
    except DataError as error:
        if folder.is_dir():
            return Finding(name, False, f"{folder} holds no corpus", str(error))
        return Finding(
            name, False, f"not in {folder}", f"`mgips audit --corpus {name}` says what to get, and from where"
        )
    return Finding(name, True, f"{folder}: {corpus.notes[0]}")


def _encoder(name: str) -> Finding:
    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        return Finding(name, True, "in the Hugging Face cache")
    return Finding(
        name, False, "not in the Hugging Face cache", "fetched on first use; offline, name a local folder instead"
    )


def _browser() -> Finding:
    path = browser()
    if path:
        return Finding("Chromium", True, path)
    return Finding(
        "Chromium", False, "needed only for `make test-browser`", "apt install chromium, or set BROWSER_PATH"
    )


def _writable(folder: Path) -> Finding:
    place = folder if folder.exists() else folder.absolute().parent
    if os.access(place, os.W_OK):
        return Finding("run folders", True, f"{folder}/ can be written")
    return Finding("run folders", False, f"{folder}/ cannot be written", "name another place with --run")
