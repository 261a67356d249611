"""One training loop, readable in one sitting (§4.3): train on train, choose the epoch on dev, score test once.

A run folder is a saved model (`MGIPS.from_pretrained(run)`) and the record of how it came to be:

    run.json            configuration, versions, device, data hash: written first
    config.json, tokenizer…, model.safetensors    the weights of the best dev F1 so far
    metrics.jsonl       one line per epoch
    checkpoint.pt       everything to go on from; gone when the run is complete
    results.json        dev and test scores of the chosen epoch: written last
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, gather_object, set_seed
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

import mgips
from mgips.config import ModelConfig, TrainConfig
from mgips.data.batch import Batch, TweetDataset, training_batches
from mgips.data.corpus import Corpus
from mgips.errors import ConfigError, RunError
from mgips.evaluate import Score, score
from mgips.model.mgips import MGIPS

PACKAGES = ("torch", "transformers", "accelerate", "pytorch-crf", "seqeval", "numpy", "pillow")


@dataclass
class Run:
    """What a training run leaves behind."""

    model: MGIPS
    """With the weights of the best dev epoch, in evaluation mode."""
    test: Score
    """Test scores of that epoch, computed once."""
    dev: Score
    """Its dev scores."""
    epoch: int
    """The chosen epoch, counted from 1."""
    history: list[dict[str, Any]]
    """metrics.jsonl: one record per epoch."""
    folder: Path | None
    """The run folder, if one was asked for."""
    data: dict[str, TweetDataset] = field(default_factory=dict, repr=False)
    """The splits as tokenized and decoded for this run."""


def parameter_groups(model: MGIPS, config: TrainConfig) -> list[dict[str, Any]]:
    """Optimiser groups: one learning rate per part (§4.3), weight decay on matrices only.

    Every trainable parameter is in exactly one group; anything else is our own mistake.
    """
    rates = {part: getattr(config, f"lr_{part}") for part in ("text", "image", "fusion", "contrast", "head")}
    groups, seen = [], set()
    for part, modules in model.parts().items():
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        for decay, members in (
            (config.weight_decay, [p for p in parameters if p.ndim >= 2]),
            (0.0, [p for p in parameters if p.ndim < 2]),
        ):
            if members:
                groups.append({"name": part, "params": members, "lr": rates[part], "weight_decay": decay})
        assert seen.isdisjoint(map(id, parameters)), f"{part} shares a parameter with another group"
        seen.update(map(id, parameters))
    assert seen == {id(p) for p in model.parameters() if p.requires_grad}, "a parameter is in no group"
    return groups


def linear_schedule(
    optimizer: torch.optim.Optimizer, steps: int, warmup_ratio: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up over the first `warmup_ratio` of all steps, then linear decay to 0."""
    warmup = math.ceil(warmup_ratio * steps)

    def factor(step: int) -> float:
        return (step + 1) / (warmup + 1) if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def train(
    corpus: Corpus,
    model: ModelConfig | MGIPS,
    config: TrainConfig | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    on_step: Callable[[int, Batch, dict[str, Tensor]], None] | None = None,
    on_epoch: Callable[[int, MGIPS], None] | None = None,
) -> Run:
    """Train on `corpus.train`, choose the epoch by dev F1, score the test split once with it.

    Args:
        model: a configuration (the model is built and seeded here) or a model to go on training.
        folder: the run folder; without one nothing is written.
        resume: go on from the folder's checkpoint; the weights come out bitwise as if never interrupted.
        on_step: called after each step with its number, its batch and its loss terms (still on the device).
        on_epoch: called after each epoch, once its dev scores are known, with its number and the model.

    Raises:
        ConfigError: settings that do not fit the corpus.
        RunError: a folder that cannot be written or resumed, or a loss that is not finite.
    """
    config = config or TrainConfig()
    accelerator = fresh_accelerator(config)
    set_seed(config.seed)
    if isinstance(model, ModelConfig):
        model = MGIPS.build(model, corpus.train)
    check_corpus(corpus, model.config, config)
    record, state = None, None
    if folder:
        record = RunFolder(folder, accelerator.is_main_process)
        if accelerator.is_main_process:
            state = record.open(describe_run(corpus, model, config, accelerator), resume)
            if state is None:
                model.save_description(record.path)
        state = broadcast_object_list([state])[0]

    # ---- data: batches are a pure function of (seed, epoch), so a resumed run draws the same ones ----
    data = {name: TweetDataset(tweets, model.batcher, progress) for name, tweets in corpus.splits.items()}
    ranks, rank = accelerator.num_processes, accelerator.process_index

    def epoch_batches(epoch: int) -> list[list[int]]:
        # Across processes every batch is full, so that all of them contrast equally many tweets.
        whole = training_batches(corpus.train, config.batch_size * ranks, config.seed, epoch, drop_last=ranks > 1)
        return [batch[rank * config.batch_size : (rank + 1) * config.batch_size] for batch in whole]

    steps_per_epoch = len(epoch_batches(0))
    optimizer = torch.optim.AdamW(parameter_groups(model, config))
    schedule = linear_schedule(optimizer, steps_per_epoch * config.epochs, config.warmup_ratio)
    wrapped, optimizer = accelerator.prepare(model, optimizer)

    # ---- where to start ----
    step, history, best = 0, [], {"f1": -1.0, "epoch": 0, "weights": None}
    sums: dict[str, Tensor] = {}  # of each loss term over the running epoch
    seconds, started = 0.0, time.perf_counter()  # spent on the running epoch before `started`
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        step, history, best = state["step"], state["history"], {**best, **state["best"]}
        sums, seconds = {name: x.to(accelerator.device) for name, x in state["sums"].items()}, state["seconds"]
        record.write_history(history)
        set_rng(state["rng"][rank])
    board = tensorboard(record) if config.tensorboard and record else None
    guard = LossGuard(config.log_every)

    def checkpoint() -> None:
        guard.check()  # never keep weights that a bad loss has touched
        rng = gather_object([rng_state()])
        if record:
            record.save_checkpoint(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "step": step,
                    "history": history,
                    "best": {k: best[k] for k in ("f1", "epoch")},
                    "sums": sums,
                    "seconds": seconds + time.perf_counter() - started,
                    "rng": rng,
                }
            )

    bar = tqdm(
        total=steps_per_epoch * config.epochs,
        initial=step,
        desc="training",
        mininterval=0.5,
        disable=not (progress and rank == 0),
    )
    stop = bool(history) and out_of_patience(history, config.patience)
    with bar:
        while step < steps_per_epoch * config.epochs and not stop:
            epoch, done = divmod(step, steps_per_epoch)
            wrapped.train()
            for batch in loader(data["train"], epoch_batches(epoch)[done:], config, accelerator):
                batch = batch.to(accelerator.device)
                with accelerator.autocast():
                    out = wrapped(batch)
                accelerator.backward(out.loss)
                norm = accelerator.clip_grad_norm_(wrapped.parameters(), config.max_grad_norm or math.inf)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                step += 1
                terms = {name: value.detach() for name, value in out.terms.items()}
                for name, value in terms.items():
                    sums[name] = sums[name] + value if name in sums else value
                guard.add(out.loss.detach(), norm, batch.ids)
                bar.update()
                if guard.due:
                    bar.set_postfix(loss=f"{guard.check():.3f}")
                if on_step is not None:
                    on_step(step, batch, terms)
                if config.checkpoint_every and step % config.checkpoint_every == 0 and step % steps_per_epoch:
                    checkpoint()
            guard.check()

            # ---- the epoch is over: look at dev, keep the best ----
            found = split_score(model, data["dev"])
            line = {
                "epoch": epoch + 1,
                "step": step,
                **{f"loss_{name}": float(value) / steps_per_epoch for name, value in sums.items()},
                "dev_precision": found.precision,
                "dev_recall": found.recall,
                "dev_f1": found.f1,
                "seconds": round(seconds + time.perf_counter() - started, 2),
            }
            history = [*history, line]
            if found.f1 > best["f1"]:
                best = {"f1": found.f1, "epoch": epoch + 1, "weights": snapshot(model)}
                if record:
                    record.save_weights(best["weights"])
            if on_epoch is not None:
                on_epoch(epoch + 1, model)
            sums, seconds, started = {}, 0.0, time.perf_counter()
            checkpoint()
            if record:
                record.write_history(history)
            if board:
                for name, value in line.items():
                    board.add_scalar(name, value, epoch + 1)
            stop = out_of_patience(history, config.patience)

    # ---- test, once, with the weights that dev chose ----
    model = accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
    model.load_state_dict(best["weights"] if best["weights"] is not None else record.load_weights())
    model.eval()
    dev, test = split_score(model, data["dev"]), split_score(model, data["test"])
    if record:
        record.finish(dev, test, best["epoch"], history)
    if board:
        board.close()
    return Run(model, test, dev, best["epoch"], history, record.path if record else None, data)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread inside: for tiny models as fast as two on an idle machine and many times faster than two on a
    busy one, and the same numbers whatever the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fresh_accelerator(config: TrainConfig) -> Accelerator:
    """An accelerator for this run. Accelerate keeps one state a process: a notebook's second run must not
    be bound by the first one's precision or device."""
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(mixed_precision=config.precision, cpu=config.cpu)


def check_corpus(corpus: Corpus, model: ModelConfig, config: TrainConfig) -> None:
    """Refuse settings that cannot work on this corpus, before anything is computed."""
    for name in corpus.splits:
        corpus.labelled(name)
    known = {(tweet.id, tweet.words) for tweet in corpus.train}
    for name in ("dev", "test"):
        leak = next((tweet.id for tweet in corpus.splits[name] if (tweet.id, tweet.words) in known), None)
        if leak is not None:
            raise ConfigError(
                f"Tweet {leak!r} of the {name} split of {corpus.name} is in train too, and would be scored on what it "
                "was trained on; remove it from train."
            )
    size = min(config.batch_size, len(corpus.train))
    if model.contrast and model.ips_loss and model.k > size:
        raise ConfigError(
            f"k is {model.k}, but a batch holds only {size} images to mine from; lower k or raise batch_size."
        )


def split_score(model: MGIPS, data: TweetDataset, batch_size: int = 64) -> Score:
    """Scores of a split, gold never shortened, seqeval's default reading."""
    return score([tweet.tags for tweet in data.tweets], model.predict_dataset(data, batch_size))


def loader(
    data: TweetDataset, batches: list[list[int]], config: TrainConfig, accelerator: Accelerator
) -> Iterable[Batch]:
    """The batches of one epoch, assembled ahead of time where workers are asked for."""
    return DataLoader(
        data,
        batch_size=None,  # a list of indices in, a Batch out
        sampler=batches,
        num_workers=config.num_workers,
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator(),  # or each epoch would draw from the generator of dropout
    )


def out_of_patience(history: list[dict[str, Any]], patience: int) -> bool:
    """Whether the last `patience` epochs brought no better dev F1."""
    if not patience or len(history) <= patience:
        return False
    scores = [h["dev_f1"] for h in history]
    return max(scores[-patience:]) <= max(scores[:-patience])


def snapshot(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


class LossGuard:
    """Stops a run whose loss or gradient is no number, without making every step wait for the device.

    They are read together every `every` steps, and before anything is saved. The gradient counts too: a
    finite loss with an infinite slope ruins the weights one step before the loss shows it.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.waiting: list[tuple[Tensor, Tensor, tuple[str, ...]]] = []

    @property
    def due(self) -> bool:
        """Whether it is time to read."""
        return len(self.waiting) >= self.every

    def add(self, loss: Tensor, norm: Tensor, ids: tuple[str, ...]) -> None:
        """Remember one step's loss, its gradient's norm, and the tweets they came from."""
        self.waiting.append((loss, norm, ids))

    def check(self) -> float:
        """The mean loss since the last check.

        Raises:
            RunError: naming the tweets of the first batch whose loss or gradient is not finite.
        """
        if not self.waiting:
            return math.nan
        values = torch.stack([torch.stack([loss, norm.to(loss)]) for loss, norm, _ in self.waiting]).tolist()
        for (loss, norm), (_, _, ids) in zip(values, self.waiting, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = f"gradient's norm became {norm}" if math.isfinite(loss) else f"loss became {loss}"
                raise RunError(
                    f"The {what} on the batch of tweets {', '.join(ids)}. The last good checkpoint is kept; "
                    "look at these tweets, or lower the learning rates and resume."
                )
        self.waiting.clear()
        return sum(loss for loss, _ in values) / len(values)


def rng_state() -> dict[str, Tensor]:
    """The state of torch's generators; nothing else is random inside an epoch."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng(state: dict[str, Tensor]) -> None:
    """Put back what `rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def weights_hash(model: torch.nn.Module) -> str:
    """SHA-256 over every weight's name and bytes: equal hashes, equal weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def tensorboard(record: RunFolder) -> Any:
    """A TensorBoard writer in the run folder."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("tensorboard=True needs the tensorboard package: pip install 'mgips[tracking]'.") from error
    return SummaryWriter(record.path / "tensorboard")


def describe_run(corpus: Corpus, model: MGIPS, config: TrainConfig, accelerator: Accelerator) -> dict[str, Any]:
    """What a number needs beside it: configuration, versions, device, data hash."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    return {
        "corpus": {"name": corpus.name, "sha256": corpus.fingerprint(), "notes": list(corpus.notes)},
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
            "mgips": mgips.__version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class RunFolder:
    """Everything that is written during a run, each file atomically: old or new, never half."""

    def __init__(self, path: str | Path, writer: bool = True) -> None:
        self.path = Path(path)
        self.writer = writer  # only one of several processes writes

    def open(self, description: dict[str, Any], resume: bool) -> dict[str, Any] | None:
        """Make or reopen the folder; returns the checkpoint to go on from, if there is one.

        Raises:
            RunError: the folder cannot be written, holds another run, or was made with other settings.
        """
        told = self.path / "run.json"
        if told.exists() and not resume:
            raise RunError(f"{self.path} holds a run already; choose another folder, or go on with it by --resume.")
        if (self.path / "results.json").exists():
            raise RunError(f"The run in {self.path} is complete; its scores are in {self.path / 'results.json'}.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not told.exists():
                self._write("run.json", json_bytes(description))
        except OSError as error:
            raise RunError(
                f"The run folder {self.path} cannot be written ({error.strerror}); choose another with --run."
            ) from error
        before = json.loads(told.read_text(encoding="utf-8"))
        for part in ("corpus", "model", "train"):
            if before[part] != json.loads(json.dumps(description[part])):
                differs = sorted(
                    k for k in description[part] if before[part].get(k) != json.loads(json.dumps(description[part][k]))
                )
                raise RunError(
                    f"The run in {self.path} was started with another {part} ({', '.join(differs)}); "
                    "resume it with the same settings, or choose another folder."
                )
        checkpoint = self.path / "checkpoint.pt"
        if not checkpoint.exists():
            return None
        try:
            return torch.load(checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds here
            raise RunError(f"{checkpoint} cannot be read; remove it to start this run from the beginning.") from error

    def _write(self, name: str, content: bytes | Callable[[Any], None]) -> None:
        """Write beside the target, flush to the disk, then swap: a kill or a full disk leaves the old file."""
        if not self.writer:
            return
        target, beside = self.path / name, self.path / f".{name}.part"
        try:
            with open(beside, "wb") as file:
                file.write(content) if isinstance(content, bytes) else content(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
            beside.unlink(missing_ok=True)
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

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Replace metrics.jsonl."""
        self._write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in history).encode())

    def finish(self, dev: Score, test: Score, epoch: int, history: list[dict[str, Any]]) -> None:
        """Write the results and drop the checkpoint: the run is complete."""
        seconds = round(sum(line["seconds"] for line in history), 1)
        results = {"epoch": epoch, "seconds": seconds, "dev": dev.to_dict(), "test": test.to_dict()}
        self._write("results.json", json_bytes(results))
        if self.writer:
            (self.path / "checkpoint.pt").unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """Readable JSON."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
