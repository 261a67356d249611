"""A run folder, and what a number needs beside it: configuration, versions, device, data hash, checkpoints.

A run folder is a saved model (`MGIPS.from_pretrained(folder)`) and the record of how it came to be:

    run.json            configuration, versions, device, data hash: written first; and settings changed on the way
    config.json, tokenizer…, model.safetensors    the weights of the best dev F1 so far
    metrics.jsonl       one line per epoch
    checkpoint.pt       everything needed to resume; removed when the run is complete
    .lock, .holder    while a run goes on: whose it is
    stopped.json        where a loss or a gradient was not finite, and what came before it
    pool.safetensors    the pictures that the test split was read with, for a model that reads
    README.md           the model card
    results.json        dev and test scores of the chosen epoch: written last
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib.metadata
import json
import os
import platform
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from filelock import BaseFileLock
from torch import Tensor

from mgips.card import model_card
from mgips.config import ModelConfig, TrainConfig
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus
from mgips.data.load import loads_again
from mgips.errors import ConfigError, DataError, RunError
from mgips.evaluate import Score
from mgips.files import hold, let_go, read_tensors, replacing, with_checksum
from mgips.launch import several
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool
from mgips.model.shipped import located
from mgips.version import __version__

SAME_BITS = ("gradient_checkpointing", "log_every", "checkpoint_every", "num_workers", "tensorboard")
"""Settings that may change when a run is resumed: its result stays the same to the bit."""
CHECKPOINT = {"model", "optimizer", "step", "history", "best", "sums", "seconds", "rng"}
"""What a checkpoint holds at least; one of a model that reads has its memory too."""
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
        self._lock: BaseFileLock | None = None

    def open(self, description: dict[str, Any], resume: bool) -> dict[str, Any] | None:
        """Make or reopen the folder; returns the checkpoint to resume from, if there is one.

        Raises:
            RunError: the folder cannot be written, is held by another process, holds another run, or was made with other
                settings or with another number of processes.
        """
        try:
            return self._open(description, resume)
        except BaseException:
            self.release()
            raise

    def _open(self, description: dict[str, Any], resume: bool) -> dict[str, Any] | None:
        run_json = self.path / "run.json"
        if run_json.exists() and not resume:
            raise RunError(f"{self.path} holds a run already; choose another folder, or continue it with --resume.")
        if (self.path / "results.json").exists():
            raise RunError(f"The run in {self.path} is complete; its scores are in {self.path / 'results.json'}.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.hold()
            if not run_json.exists():
                self._write("run.json", json_bytes(description))
        except OSError as error:
            raise RunError(
                f"The run folder {self.path} cannot be written ({error.strerror}); choose another."
            ) from error
        before = read_record(run_json)
        now = json.loads(json.dumps(description))
        if not all(isinstance(before.get(part), dict) for part in now if isinstance(now[part], dict)):
            raise RunError(f"{run_json} is damaged: parts of it are missing; choose another folder.")
        processes = before["device"].get("processes", 1)
        if processes != now["device"]["processes"]:
            # Each step's batches, and the random numbers of each process, depend on how many there are.
            raise RunError(
                f"The run in {self.path} was started with {several(processes)}, and not with "
                f"{now['device']['processes']}; resume it with as many, or choose another folder."
            )
        told, asked = ({"corpus": run["corpus"].get("sha256"), **settings(run)} for run in (before, now))
        if differs := [name for name in asked if told.get(name) != asked[name]]:
            changes = ", ".join(f"{name} was {_short(told.get(name))}, is {_short(asked[name])}" for name in differs)
            raise RunError(
                f"The run in {self.path} was started with other settings ({changes}); "
                "resume it with the same, or choose another folder."
            )
        (self.path / "stopped.json").unlink(missing_ok=True)  # written again if it happens again
        return self.checkpoint()

    def checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, on the CPU; None where there is none.

        Raises:
            RunError: it is damaged.
        """
        checkpoint = self.path / "checkpoint.pt"
        if not checkpoint.exists():
            return None
        try:
            with zipfile.ZipFile(checkpoint) as archive:  # torch.load does not look at the checksums of its parts
                if archive.testzip() is not None:
                    raise ValueError("a checksum differs")
            # Mapped, a checkpoint does not take its size of memory a second time; Windows would not replace a mapped file.
            state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=os.name == "posix")
            if not isinstance(state, dict) or not CHECKPOINT <= set(state):
                raise ValueError("its parts are not those of a checkpoint")
            return state
        except Exception as error:  # torch raises many kinds here
            raise RunError(
                f"{checkpoint} is damaged or was written by another version; remove it to start this run from the beginning."
            ) from error

    def hold(self) -> None:
        """Keep other processes out of the folder, until `release` or the end of this process.

        Raises:
            RunError: another process holds it, and which.
        """
        if not self.writer:
            return
        # The same process may come back to its folder, as from another cell of a notebook.
        self._lock = hold(self.path, again=True)

    def release(self) -> None:
        """Let others into the folder."""
        let_go(self._lock)
        self._lock = None

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
            full = getattr(error, "errno", errno.ENOSPC) in (errno.ENOSPC, errno.EDQUOT)
            remedy = "free some space" if full else "make it writable"
            raise RunError(
                f"{target} could not be written ({reason}). What was saved before is unharmed; {remedy} and resume."
            ) from error

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace checkpoint.pt."""
        self._write("checkpoint.pt", lambda file: torch.save(state, file))

    def save_weights(self, weights: dict[str, Tensor]) -> None:
        """Replace model.safetensors, the best weights so far."""
        self._write("model.safetensors", with_checksum(weights))

    def load_weights(self) -> dict[str, Tensor]:
        """The best weights so far.

        Raises:
            RunError: the file is damaged.
        """
        try:
            return read_tensors(self.path / "model.safetensors")[0]
        except DataError as error:
            raise RunError(f"{str(error).rstrip('.')}. The run cannot be completed; train it anew.") from error

    def save_pool(self, pool: Pool) -> None:
        """Write pool.safetensors, the pictures that the test split was read with."""
        if self.writer:
            pool.save(self.path / "pool.safetensors")

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Replace metrics.jsonl."""
        self._write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in history).encode())

    def forks(self) -> list[dict[str, Any]]:
        """The settings that were changed on the way, and after which step each.

        Raises:
            RunError: run.json is damaged.
        """
        forks = read_record(self.path / "run.json").get("forks", [])
        if not isinstance(forks, list) or not all(
            isinstance(fork, dict) and isinstance(fork.get("step"), int) and isinstance(fork.get("changes"), dict)
            for fork in forks
        ):
            raise RunError(
                f"{self.path / 'run.json'} is damaged: its forks are not steps with changes; restore it from a copy."
            )
        return forks

    def write_forks(self, forks: list[dict[str, Any]]) -> None:
        """Write them into run.json, which else stays as the run began."""
        record = {k: v for k, v in read_record(self.path / "run.json").items() if k != "forks"}
        self._write("run.json", json_bytes({**record, **({"forks": forks} if forks else {})}))

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
        self.release()

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
    # A published or drawn corpus is found by its name, wherever it is; any other by its source, if it has one.
    source = loads_again(corpus)
    place = {} if source == corpus.name else {"source": source}
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


def settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run was made with, as JSON has them, by its record's "model" and "train"; without those that change
    no bit of its result. One that the version which began the run did not have is as it was then: the default."""
    whole = {**vars(ModelConfig()), **record["model"], **vars(TrainConfig()), **record["train"]}
    return json.loads(json.dumps({name: value for name, value in whole.items() if name not in SAME_BITS}))


def _short(value: Any) -> str:
    """A setting's value as a message has it; of a hash the beginning."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else json.dumps(value, ensure_ascii=False)


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


def recorded_corpus(run: str | Path) -> dict[str, Any] | None:
    """Name, place and hash of the corpus that a run or a model of the package was trained on; None where that is not
    recorded."""
    records = (Path(located(run)) / name for name in ("run.json", "card.json"))
    record = next((record for record in records if record.exists()), None)
    return read_record(record).get("corpus") if record else None


def read_record(path: Path) -> dict[str, Any]:
    """What a JSON file of a run folder holds.

    Raises:
        RunError: it is damaged.
    """
    with contextlib.suppress(OSError, ValueError, RecursionError):
        record = json.loads(path.read_text(encoding="utf-8"))
        parts = ("corpus", "model", "train")
        if isinstance(record, dict) and all(isinstance(record.get(part, {}), dict) for part in parts):
            return record
    raise RunError(f"{path} is damaged: it does not hold JSON of a run; restore it from a copy, or train again.")


def json_bytes(value: Any) -> bytes:
    """Readable JSON."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
