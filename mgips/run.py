"""A run folder, and what a number needs beside it: configuration, versions, device, data hash, checkpoints.

A run folder is a saved model (`MGIPS.from_pretrained(folder)`) and the record of how it came to be:

    run.json            configuration, versions, device, data hash: written first
    config.json, tokenizer…, model.safetensors    the weights of the best dev F1 so far
    metrics.jsonl       one line per epoch
    checkpoint.pt       everything needed to resume; removed when the run is complete
    stopped.json        where a loss or a gradient was not finite, and what came before it
    pool.safetensors    the pictures that the test split was read with, for a model that reads
    README.md           the model card
    results.json        dev and test scores of the chosen epoch: written last
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save
from torch import Tensor

from mgips.card import model_card
from mgips.config import ModelConfig, TrainConfig
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus
from mgips.data.load import NAMES
from mgips.errors import ConfigError, RunError
from mgips.evaluate import Score
from mgips.files import replacing
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool
from mgips.version import __version__

SAME_BITS = ("gradient_checkpointing", "log_every", "checkpoint_every", "num_workers", "tensorboard")
"""Settings that may change when a run is resumed: its result stays the same to the bit."""
PACKAGES = ("torch", "transformers", "accelerate", "pytorch-crf", "seqeval", "numpy", "pillow")
"""Whose versions are recorded with each run."""


@dataclass
class Run:
    """What a training run leaves behind."""

    model: MGIPS
    """With the weights of the best dev epoch, in evaluation mode."""
    test: Score
    """Test scores of that epoch, computed once."""
    dev: Score
    """Dev scores of that epoch."""
    epoch: int
    """The chosen epoch, counted from 1."""
    history: list[dict[str, Any]]
    """metrics.jsonl: one record per epoch."""
    folder: Path | None
    """The run folder, if one was asked for."""
    data: dict[str, TweetDataset] = field(default_factory=dict, repr=False)
    """The splits as tokenized and decoded for this run."""


class RunFolder:
    """Everything that is written during a run, each file atomically: old or new, never half."""

    def __init__(self, path: str | Path, writer: bool = True) -> None:
        self.path = Path(path)
        self.writer = writer

    def open(self, description: dict[str, Any], resume: bool) -> dict[str, Any] | None:
        """Make or reopen the folder; returns the checkpoint to resume from, if there is one.

        Raises:
            RunError: the folder cannot be written, holds another run, or was made with other settings.
        """
        run_json = self.path / "run.json"
        if run_json.exists() and not resume:
            raise RunError(f"{self.path} holds a run already; choose another folder, or continue it with --resume.")
        if (self.path / "results.json").exists():
            raise RunError(f"The run in {self.path} is complete; its scores are in {self.path / 'results.json'}.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for part in self.path.glob(".*.part"):  # left by a kill
                part.unlink(missing_ok=True)
            if not run_json.exists():
                self._write("run.json", json_bytes(description))
        except OSError as error:
            raise RunError(
                f"The run folder {self.path} cannot be written ({error.strerror}); choose another with --run."
            ) from error
        before = json.loads(run_json.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(description))
        before["corpus"], now["corpus"] = ({"sha256": told["corpus"]["sha256"]} for told in (before, now))
        for part, defaults in (("corpus", {}), ("model", vars(ModelConfig())), ("train", vars(TrainConfig()))):
            # A setting that the version which began the run did not have is as it was then, and one that changes no bit
            # of the result may change.
            told = json.loads(json.dumps(defaults)) | before[part]
            differs = sorted(k for k in now[part] if told.get(k) != now[part][k] and k not in SAME_BITS)
            if differs:
                raise RunError(
                    f"The run in {self.path} was started with another {part} ({', '.join(differs)}); "
                    "resume it with the same settings, or choose another folder."
                )
        (self.path / "stopped.json").unlink(missing_ok=True)  # written again if it happens again
        checkpoint = self.path / "checkpoint.pt"
        if not checkpoint.exists():
            return None
        try:
            return torch.load(checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds here
            raise RunError(f"{checkpoint} cannot be read; remove it to start this run from the beginning.") from error

    def _write(self, name: str, content: bytes | Callable[[Any], None]) -> None:
        """Replace one file; only one of several processes writes."""
        if not self.writer:
            return
        target = self.path / name
        try:
            with replacing(target) as file:
                file.write(content) if isinstance(content, bytes) else content(file)
        except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise RunError(
                f"{target} could not be written ({reason}). What was saved before is unharmed; free some space and resume."
            ) from error

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace checkpoint.pt."""
        self._write("checkpoint.pt", lambda file: torch.save(state, file))

    def save_weights(self, weights: dict[str, Tensor]) -> None:
        """Replace model.safetensors, the best weights so far."""
        self._write("model.safetensors", save(weights, metadata={"format": "pt"}))

    def load_weights(self) -> dict[str, Tensor]:
        """The best weights so far."""
        return load_file(self.path / "model.safetensors")

    def save_pool(self, pool: Pool) -> None:
        """Write pool.safetensors, the pictures that the test split was read with."""
        if self.writer:
            pool.save(self.path / "pool.safetensors")

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Replace metrics.jsonl."""
        self._write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in history).encode())

    def write_stop(self, found: dict[str, Any]) -> None:
        """Write stopped.json: why a run could not go on."""
        self._write("stopped.json", json_bytes(found))

    def finish(self, run: Run) -> None:
        """Write the results and drop the checkpoint: the run is complete."""
        seconds = round(sum(line["seconds"] for line in run.history), 1)
        results = {"epoch": run.epoch, "seconds": seconds, "dev": run.dev.to_dict(), "test": run.test.to_dict()}
        described = json.loads((self.path / "run.json").read_text(encoding="utf-8")) if self.writer else {}
        if described:
            run.model.card = model_card(self.path.resolve().name, described, results)
            self._write("README.md", run.model.card.encode())
        self._write("results.json", json_bytes(results))
        if self.writer:
            (self.path / "checkpoint.pt").unlink(missing_ok=True)

    def tensorboard(self) -> Any:
        """A TensorBoard writer in the run folder."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "tensorboard=True needs the tensorboard package: pip install 'mgips[tracking]'."
            ) from error
        return SummaryWriter(self.path / "tensorboard")


def describe_run(corpus: Corpus, model: MGIPS, config: TrainConfig, accelerator: Accelerator) -> dict[str, Any]:
    """What a number needs beside it: configuration, versions, device, data hash."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    # A published corpus is found by its name, wherever it is; any other by its place.
    place = {"source": str(corpus.source.resolve())} if corpus.source and corpus.name not in NAMES else {}
    return {
        "corpus": {"name": corpus.name, **place, "sha256": corpus.fingerprint(), "notes": list(corpus.notes)},
        "model": dataclasses.asdict(model.config),
        "train": dataclasses.asdict(config),
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": {
            "type": device.type,
            "name": name,
            "processes": accelerator.num_processes,
            "threads": torch.get_num_threads(),
        },
        "versions": {
            "mgips": __version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def fresh_accelerator(config: TrainConfig) -> Accelerator:
    """An accelerator for this run. Accelerate keeps one state per process; a second run in the same notebook must not
    inherit the first one's precision or device."""
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(mixed_precision=config.precision, cpu=config.cpu)


def best_device() -> str:
    """Where to compute here: "cuda" where there is a GPU, otherwise "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread inside: for tiny models as fast as two on an idle machine, many times faster than two on a busy
    one, and the same numbers whatever the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def rng_state() -> dict[str, Tensor]:
    """The state of torch's generators; nothing else is random inside an epoch."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng(state: dict[str, Tensor]) -> None:
    """Restore what `rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def json_bytes(value: Any) -> bytes:
    """Readable JSON."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
