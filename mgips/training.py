"""The training loop (§4.3): train on train, choose the epoch on dev, score test once.

run = mgips.train(corpus, model, config, folder)        to the end, or

trainer = mgips.Trainer(corpus, model, config, folder)
for step in trainer:                                    a step at a time: stop anywhere, look, go on
    print(step.number, step.loss.total)
run = trainer.finish()

trainer = mgips.Trainer.resume(folder)                  a run that was stopped, in whatever way
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object, set_seed
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from mgips.config import ModelConfig, TrainConfig
from mgips.data.batch import Batch, TweetDataset, training_batches
from mgips.data.corpus import Corpus
from mgips.data.load import load_corpus, place_in
from mgips.data.windows import in_windows
from mgips.errors import ConfigError, DataError, MGIPSError, RunError
from mgips.evaluate import split_score
from mgips.launch import fresh_accelerator
from mgips.model.mgips import MGIPS, Loss
from mgips.model.reading import Pool, gathered, joined
from mgips.run import Run, RunFolder, describe_run, read_record, rng_state, set_rng

PARTS = "text", "image", "fusion", "contrast", "head"
"""The parts of a model that have a learning rate each."""
IN_THE_LOSS = "temperature", "k", "ips_loss", "cl_loss"
"""Settings of a model that only its loss reads, so that they can change during a run."""
CHANGEABLE = (*IN_THE_LOSS, *(f"lr_{part}" for part in PARTS), "epochs", "max_grad_norm", "patience", "ips_warmup")
"""Settings that may change between two steps (`Trainer.change`)."""


def train(
    corpus: Corpus,
    model: ModelConfig | MGIPS,
    config: TrainConfig | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Run:
    """Train on `corpus.train`, choose the epoch by dev F1, score the test split once with it. See `Trainer`."""
    return Trainer(corpus, model, config, folder, resume, progress).run()


@dataclass(frozen=True)
class Step:
    """One step of the optimiser."""

    number: int
    """Steps done, this one included."""
    epoch: int
    """Counted from 1."""
    batches: list[Batch]
    """What it was computed from, on the device: one, or as many as are accumulated; an epoch's last step has the rest."""
    loss: Loss
    """Its terms, averaged over the batches, and the last batch's contrast: without their gradients, still on the device.
    Reading one waits for it."""
    norm: Tensor
    """Norm of the gradient before clipping, on the device."""
    scores: dict[str, Any] | None
    """The epoch's line of metrics.jsonl, where this step was its last: losses, dev scores, seconds."""
    norms: dict[str, Tensor] = field(default_factory=dict)
    """Norm of each part's gradient before clipping, on the device; empty unless `Trainer.part_norms` is set."""


class Trainer:
    """A training run as an iterator over its steps.

    Between two steps anything may be done with `trainer.model`: evaluation, predictions, random numbers. None of it
    changes what the next step computes. A run continued from a checkpoint ends in bitwise the same weights as one
    that was never interrupted.

    Attributes: `model`, `config`, `data` (the splits as datasets), `number` (steps done), `history` (a record per
    epoch), `best` (epoch and dev F1 of the best so far), `folder`, `forks` (settings changed on the way, see `change`),
    `part_norms` (set it for `Step.norms`).
    """

    def __init__(
        self,
        corpus: Corpus,
        model: ModelConfig | MGIPS,
        config: TrainConfig | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> None:
        """
        Args:
            model: a configuration (the model is built and seeded here) or a model to go on training.
            folder: the run folder; without one nothing is written.
            resume: continue from the folder's checkpoint.
            progress: show bars.

        Raises:
            ConfigError: settings that do not fit the corpus.
            RunError: a folder that cannot be written or resumed.
        """
        self.config = config = config or TrainConfig()
        self.accelerator = accelerator = fresh_accelerator(config)
        set_seed(config.seed)
        check_corpus(corpus, model.config if isinstance(model, MGIPS) else model, config)
        if isinstance(model, MGIPS) and model.trained:
            warnings.warn(TRAINED, stacklevel=2)
        if not isinstance(model, MGIPS):
            model = MGIPS.build(replace(model, types=corpus.types), corpus.train)
        self.model = model
        self.model.encoder.gradient_checkpointing = config.gradient_checkpointing
        self.corpus = corpus
        self.folder: RunFolder | None = None
        self.forks: list[dict[str, Any]] = []
        self.part_norms = False
        state = None
        if folder:
            self.folder = RunFolder(folder, accelerator.is_main_process)
            problem: MGIPSError | None = None
            if accelerator.is_main_process:
                try:
                    state = self.folder.open(describe_run(corpus, self.model, config, accelerator), resume)
                    if state is None:
                        self.model.save_description(self.folder.path)
                except MGIPSError as error:  # the other processes wait for its word
                    problem = error
            forks = self.folder.forks() if accelerator.is_main_process and problem is None else []
            state, problem, self.forks = broadcast_object_list([state, problem, forks])
            if problem is not None:
                raise problem

        splits, overlap = dict(corpus.splits), self.model.config.overlap
        if overlap:
            splits["train"] = tuple(in_windows(corpus.train, self.model.batcher, overlap))
        self.data = {
            name: TweetDataset(split, self.model.batcher, progress, config.num_workers)
            for name, split in splits.items()
        }
        self.steps_per_epoch = math.ceil(len(self._epoch_batches(0)) / config.accumulate)
        self._adamw = torch.optim.AdamW(parameter_groups(self.model, config))
        self.schedule = linear_schedule(self._adamw, self.steps, config.warmup_ratio)
        self._wrapped, self.optimizer = accelerator.prepare(self.model, self._adamw)

        self.number = 0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"f1": -1.0, "epoch": 0}
        self._best_weights: dict[str, Tensor] | None = None
        self._sums: dict[str, Tensor] = {}  # of each loss term over the running epoch
        self._seconds = 0.0  # spent on the running epoch
        self._rng = rng_state()
        self._batches: Iterator[Batch] | None = None
        self._guard = LossGuard(config.log_every)
        self._warm = config.ips_warmup * self.steps_per_epoch
        self._memory: list[Pool] = []  # the pictures of past batches, for a model that reads
        self._complete = False
        self._start = self._settings  # before any change
        self._due: list[dict[str, Any]] = []  # changes that are still to come, when a run is done again
        if state is not None and self.folder:
            self._restore(state, self.forks)
            self.folder.write_history(self.history)
        else:
            self._due = list(self.forks)
        self._board = self.folder.tensorboard() if config.tensorboard and self.folder and self.folder.writer else None
        self._bar = tqdm(
            total=self.steps,
            initial=self.number,
            desc="training",
            mininterval=0.5,
            disable=not (progress and accelerator.is_main_process),
        )

    @classmethod
    def resume(
        cls, folder: str | Path, corpus: Corpus | None = None, root: str | Path | None = None, progress: bool = True
    ) -> Trainer:
        """Go on with a stopped run where its last checkpoint is, with the settings that its run.json has.

        Args:
            corpus: what it was trained on; loaded again by default.
            root: where the Twitter folders are, to load it from.

        Raises:
            RunError: no run that can be continued, or another corpus than it was begun with.
            DataError: its corpus was made in memory, and has to be given.
        """
        record = read_record(Path(folder) / "run.json")
        settings = {name: dict(record[name]) for name in ("model", "train")}
        try:
            model, config = ModelConfig(**settings["model"]), TrainConfig(**settings["train"])
        except TypeError as error:
            raise RunError(f"The run in {folder} has settings that this version does not know; train anew.") from error
        if corpus is None:
            try:
                place = place_in(record["corpus"])
            except DataError as error:
                raise DataError(
                    f"The corpus {record['corpus'].get('name')!r} was made in memory and cannot be loaded; give it: "
                    "Trainer.resume(folder, corpus)."
                ) from error
            corpus = load_corpus(place, root)
        return cls(corpus, model, config, folder, resume=True, progress=progress)

    @property
    def steps(self) -> int:
        """Steps of the whole run, if patience does not end it before."""
        return self.steps_per_epoch * self.config.epochs

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, the last ones brought no better dev F1 (`patience`), or `finish` was called."""
        done = len(self.history) >= self.config.epochs or out_of_patience(self.history, self.config.patience)
        return self._complete or done

    def __iter__(self) -> Iterator[Step]:
        self._end_epoch_if_due()
        while not self.finished:
            yield self.step()

    def step(self) -> Step:
        """One step; the last of an epoch also scores dev, keeps the best weights, and writes a checkpoint.

        Raises:
            RunError: the run is complete, a file cannot be written, or the loss is not finite.
        """
        self._end_epoch_if_due()
        if self.finished:
            raise RunError("This run is over; finish() gives its test scores, and a new Trainer trains on.")
        while self._due and self._due[0]["step"] <= self.number:
            fork = self._due.pop(0)
            self._follow(*self._changed(fork["changes"], self._settings, fork["step"]))
        started = time.perf_counter()
        batches = self._next_batches()
        with uninterrupted():
            set_rng(self._rng)
            self._wrapped.train()
            totals, losses, own = zip(*(self._backward(batch, batches) for batch in batches), strict=True)
            parts = self._part_norms() if self.part_norms else {}
            limit = self.config.max_grad_norm or math.inf
            norm: Tensor = self.accelerator.clip_grad_norm_(self._wrapped.parameters(), limit)  # pyright: ignore
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            self.number += 1
            self.model.trained = True
            terms = {name: torch.stack([loss.terms[name] for loss in losses]).mean() for name in losses[0].terms}
            for name, value in terms.items():
                self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._guard.add(torch.stack(totals).mean(), norm, tuple(id for batch in batches for id in batch.ids))
            for pool in own:
                self._remember(pool)
            self._rng = rng_state()
            self._seconds += time.perf_counter() - started
            self._bar.total = self.steps
            self._bar.update()
        if self._guard.due:
            self._bar.set_postfix(loss=f"{self._checked():.3f}")
        epoch = math.ceil(self.number / self.steps_per_epoch)
        scores = self._end_epoch_if_due()
        if scores is None and self.config.checkpoint_every and self.number % self.config.checkpoint_every == 0:
            self.save()
        return Step(self.number, epoch, batches, Loss(terms, losses[-1].contrast), norm, scores, parts)

    def save(self) -> None:
        """Write a checkpoint to continue from. Nothing without a run folder.

        Raises:
            RunError: the file cannot be written, or a loss since the last checkpoint was not finite.
        """
        state = self._state()
        if self.folder:
            self.folder.save_checkpoint(state)

    def state(self) -> dict[str, Any]:
        """A copy of all that `back` needs, for a run without a folder.

        Raises:
            RunError: a loss since the last checkpoint was not finite.
        """
        return {**copy.deepcopy(self._state()), "weights": copy.copy(self._best_weights)}

    def back(self, state: dict[str, Any] | None = None) -> None:
        """Return to what `state()` gave, or to the run folder's last checkpoint. Steps and changes after it are undone.

        Raises:
            RunError: there is no checkpoint, it is damaged, or the run is complete.
        """
        if self._complete:
            raise RunError("This run is complete, and its checkpoint is gone; a new Trainer trains on.")
        weights = None
        if state is not None:
            weights, state = state["weights"], copy.deepcopy(state)
        elif self.folder:
            state = self.folder.checkpoint()
        if state is None:
            raise RunError("There is no checkpoint to go back to; save() writes one, in a run with a folder.")
        self._guard.waiting.clear()
        self._batches, self._best_weights = None, weights
        self._restore(state, state.get("forks", []))
        self._bar.n = self.number
        self._bar.refresh()
        if self.folder:
            self.folder.write_forks(self.forks)
            self.folder.write_history(self.history)

    def quiet(self) -> None:
        """Show no bar from here on."""
        self._bar.disable = True

    def change(self, **changes: Any) -> None:
        """Other settings from the next step on (`CHANGEABLE`). The run is a fork of what it was: run.json says what
        changed after which step, the model card says so too, and a resumed run changes the same things at the same steps.

        Other `epochs` bend the rest of the learning rates' schedule.

        Raises:
            ConfigError: a setting that cannot change during a run, or a value that it cannot have.
            RunError: run.json cannot be written.
        """
        settings = self._changed(changes, self._settings, self.number)
        self.forks = [*self.forks, {"step": self.number, "changes": changes}]
        if self.folder:  # first: what is recorded is made again after a kill
            self.folder.write_forks(self.forks)
        self._follow(*settings)

    def what_if(self, batches: Sequence[Batch], **changes: Any) -> tuple[Loss, dict[str, Tensor]]:
        """The loss of a step's batches, and the norm of each part's gradient, under other settings (`IN_THE_LOSS`).

        Computed as the next step would compute them, with the same dropout; nothing is updated, and the run goes on as if it
        had never been asked.

        Raises:
            ConfigError: a setting that the loss does not read, or a value that it cannot have.
        """
        strange = sorted(changes.keys() - set(IN_THE_LOSS))
        if strange:
            raise ConfigError(f"{strange[0]} is not read by the loss; what can be tried is {', '.join(IN_THE_LOSS)}.")
        config, _ = self._changed(changes, self._settings, self.number)
        before, rng = self.model.config, rng_state()
        with uninterrupted():
            try:
                self.model.config = config
                set_rng(self._rng)
                self._wrapped.train()
                _, losses, _ = zip(*(self._backward(batch, [*batches]) for batch in batches), strict=True)
                norms = self._part_norms()
            finally:
                self.model.config = before
                self.optimizer.zero_grad()
                set_rng(rng)
        terms = {name: torch.stack([loss.terms[name] for loss in losses]).mean() for name in losses[0].terms}
        return Loss(terms, losses[-1].contrast), norms

    def run(self) -> Run:
        """Every step that is left, then `finish`. Ctrl-C, or SIGTERM in a command, ends it after the running step and
        saves a checkpoint first; with several processes, which may have stopped at different steps, the last one stays.

        Raises:
            RunError: a file cannot be written, or the loss is not finite.
        """
        if self.folder:
            self.folder.hold()
        try:
            for _ in self:
                pass
            return self.finish()
        except KeyboardInterrupt as stop:
            if self.accelerator.num_processes == 1 and not self._complete:
                self.save()
                if self.folder:
                    stop.add_note(
                        f"Stopped at step {self.number}. Trainer.resume({str(self.folder.path)!r}).run() goes on."
                    )
            raise
        finally:
            self._bar.close()
            if self.folder:
                self.folder.release()

    def finish(self) -> Run:
        """Score dev and test with the weights of the best epoch so far, and complete the run folder."""
        self._bar.close()
        if not self.history:
            raise RunError("No epoch of this run is done, so there is nothing to score; go on until one is.")
        model: MGIPS = self.accelerator.unwrap_model(self._wrapped, keep_fp32_wrapper=False)
        weights, self._complete = self._best_weights, True  # the model leaves the path that training was on
        model.load_state_dict(self.folder.load_weights() if weights is None and self.folder else weights or {})
        model.eval()
        dev, test = split_score(model, self.data["dev"]), split_score(model, self.data["test"])
        if self.folder and model.reader is not None:
            self.folder.save_pool(model.pool(self.data["test"]))
        path = self.folder.path if self.folder else None
        run = Run(model, test, dev, self.best["epoch"], self.history, path, self.data)
        if self.folder:
            self.folder.finish(run)
        if self._board:
            self._board.close()
        return run

    # ---- parts of a step ----

    def _backward(self, batch: Batch, step: list[Batch]) -> tuple[Tensor, Loss, Pool | None]:
        """Add the gradient of one of a step's batches, as its part of their mean. Its loss, the terms of it, and its
        pictures as others read them."""
        accelerator = self.accelerator
        # Processes exchange their gradients once a step.
        with contextlib.nullcontext() if batch is step[-1] else accelerator.no_sync(self._wrapped):
            with accelerator.autocast():
                out = self._wrapped(batch, **self._pool())
                loss = self.model.loss(out, batch, self_mined=self.number >= self._warm)
            total = loss.total
            if self.model.reader is not None and accelerator.num_processes > 1:
                # Each process waits for the gradient of every weight, and among strangers some have none.
                total = total + 0 * sum(p.sum() for p in self.model.parameters())
            accelerator.backward(total / len(step))
        return total.detach(), loss.detached(), out.own

    def _epoch_batches(self, epoch: int) -> list[list[int]]:
        """This process's batches of one epoch: a pure function of the seed, so that a resumed run draws the same."""
        config, data = self.config, self.data["train"]
        size, ranks, rank = config.batch_size, self.accelerator.num_processes, self.accelerator.process_index
        # With several processes every batch is full, so that all of them contrast equally many tweets.
        whole = training_batches(
            data.tweets, size * ranks, config.seed, epoch, ranks > 1, data.lengths, config.length_window
        )
        return [batch[rank * size : (rank + 1) * size] for batch in whole]

    def _next_batches(self) -> list[Batch]:
        """The next step's batches, on the device; assembled ahead of time where workers are asked for."""
        count = self.config.accumulate
        if self._batches is None:
            epoch, done = divmod(self.number, self.steps_per_epoch)
            loader = DataLoader(
                self.data["train"],
                batch_size=None,  # a list of indices in, a Batch out
                sampler=self._epoch_batches(epoch)[done * count :],
                num_workers=self.config.num_workers,
                pin_memory=self.accelerator.device.type == "cuda",
                generator=torch.Generator(),  # or each epoch would draw from the generator of dropout
            )
            self._batches = iter(loader)
        try:
            return [batch.to(self.accelerator.device) for batch in itertools.islice(self._batches, count)]
        except BaseException:
            self._batches = None  # interrupted: the next call starts from the same step
            raise

    def _pool(self) -> dict[str, Any]:
        """What this step reads besides its batch, for a model that reads: a pure function of seed, step and memory.

        In half of the steps also some of the past batches, at least one. In a share of the steps (`strangers`) none of
        the batch's own pictures, so that nothing in the pool fits.
        """
        config = self.config
        if self.model.reader is None or not (config.memory or config.strangers):
            return {}
        draw = np.random.RandomState([config.seed, self.number])
        past, strangers, count = draw.random_sample() < 0.5, draw.random_sample() < config.strangers, 0
        if past and self._memory:
            count = 1 + draw.randint(len(self._memory))
        return {"pool": joined(self._memory[-count:]) if count else None, "read_batch": not strangers}

    def _remember(self, own: Pool | None) -> None:
        """Keep a batch's pictures for later steps, as they are now."""
        if own is not None and self.config.memory:
            pool = gathered(own.detach())
            if not self.model.config.reads_own:  # then a post must know its picture, whoever remembers it
                pool = replace(pool, ids=tuple(gather_object(list(own.ids))))
            self._memory = [*self._memory, pool][-self.config.memory :]

    def _end_epoch_if_due(self) -> dict[str, Any] | None:
        """After an epoch's last step: score dev, keep the best weights, write everything. Its record, or None."""
        if self.number // self.steps_per_epoch == len(self.history):
            return None
        self._checked()
        started = time.perf_counter()
        score = split_score(self.model, self.data["dev"])
        epoch = len(self.history) + 1
        record = {
            "epoch": epoch,
            "step": self.number,
            **{f"loss_{name}": float(value) / self.steps_per_epoch for name, value in self._sums.items()},
            "dev_precision": score.precision,
            "dev_recall": score.recall,
            "dev_f1": score.f1,
            "seconds": round(self._seconds + time.perf_counter() - started, 2),
        }
        if score.f1 > self.best["f1"]:
            self._best_weights = snapshot(self.model)
            if self.folder:
                self.folder.save_weights(self._best_weights)
            self.best = {"f1": score.f1, "epoch": epoch}
        with uninterrupted():
            self.history, self._sums, self._seconds, self._batches = [*self.history, record], {}, 0.0, None
        self.save()
        if self.folder:
            self.folder.write_history(self.history)
        if self._board:
            for name, value in record.items():
                self._board.add_scalar(name, value, epoch)
        return record

    def _checked(self) -> float:
        """The mean loss since the last check. Where one was not finite, the run folder keeps what happened."""
        try:
            return self._guard.check()
        except RunError:
            if self.folder:
                self.folder.write_stop({**self._guard.found, "step": self.number - self._guard.after})
            raise

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds. Its tensors are those that the next step changes."""
        self._checked()  # never keep weights that a bad loss has touched
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.number,
            "history": self.history,
            "best": self.best,
            "sums": self._sums,
            "seconds": self._seconds,
            "rng": gather_object([self._rng]),
            "memory": [vars(pool.to("cpu")) for pool in self._memory],
            "forks": self.forks,
        }

    def _part_norms(self) -> dict[str, Tensor]:
        """Norm of the gradient of each part that has one, on the device."""
        found: dict[str, list[Tensor]] = {}
        for group in self._adamw.param_groups:
            found.setdefault(group["name"], []).extend(p.grad for p in group["params"] if p.grad is not None)
        return {part: torch.nn.utils.get_total_norm(gradients) for part, gradients in found.items() if gradients}

    @property
    def _settings(self) -> tuple[ModelConfig, TrainConfig]:
        return self.model.config, self.config

    def _changed(
        self, changes: dict[str, Any], settings: tuple[ModelConfig, TrainConfig], step: int
    ) -> tuple[ModelConfig, TrainConfig]:
        """Settings with some of them changed after a step, where that can be."""
        strange = sorted(changes.keys() - set(CHANGEABLE))
        if strange:
            raise ConfigError(
                f"{strange[0]} cannot change during a run; what can is {', '.join(CHANGEABLE)}. Start another run with it."
            )
        before, train = settings
        model = replace(before, **{k: v for k, v in changes.items() if k in IN_THE_LOSS})
        train = replace(train, **{k: v for k, v in changes.items() if k not in IN_THE_LOSS})
        if model.contrast and (self.model.image_head is None or self.model.text_head is None):
            raise ConfigError(
                "This model has no contrastive part, so there is no term to add; start another run with it."
            )
        if "temperature" in changes and self.model.learned_temperature is not None:
            raise ConfigError("This model learns its temperature; start another run with learned_temperature=False.")
        if before.contrast and not model.contrast and self.accelerator.num_processes > 1:
            raise ConfigError("Several processes wait for every gradient; leave one contrastive term in.")
        least = math.ceil(step / self.steps_per_epoch)
        if train.epochs < least:
            raise ConfigError(f"epochs is {train.epochs}, but {least} have begun; choose at least as many.")
        check_corpus(self.corpus, model, train)
        return model, train

    def _follow(self, model: ModelConfig, train: TrainConfig) -> None:
        """Go on with these settings from the present step."""
        self.model.config, self.config = model, train
        for group in self._adamw.param_groups:
            group["lr"] = group["initial_lr"] = getattr(train, f"lr_{group['name']}")
        self.schedule = linear_schedule(self._adamw, self.steps, train.warmup_ratio, done=self.number)
        self._warm = train.ips_warmup * self.steps_per_epoch
        if self.folder and self.folder.writer:
            self.model.save_description(self.folder.path)  # a saved model is told by what it was trained with last

    def _restore(self, state: dict[str, Any], forks: list[dict[str, Any]]) -> None:
        """Continue from a checkpoint of a run that changed, or will change, its settings where `forks` says."""
        step, scored = state["step"], len(state["history"])
        # A run that was stopped while dev was scored has done an epoch's last step, and not its score.
        if not isinstance(step, int) or step not in range(
            scored * self.steps_per_epoch, (scored + 1) * self.steps_per_epoch + 1
        ):
            raise RunError(
                f"The checkpoint says step {step} and has {scored} epochs of {self.steps_per_epoch} steps: "
                "it is damaged, or of another corpus. Remove it to start this run from the beginning."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.number, self.history, self.best = state["step"], state["history"], state["best"]
        self._sums = {name: value.to(self.accelerator.device) for name, value in state["sums"].items()}
        self._seconds = state["seconds"]
        self._rng = state["rng"][self.accelerator.process_index]
        self._memory = [Pool(**pool).to(self.accelerator.device) for pool in state.get("memory", [])]
        self.forks, settings = list(forks), self._start
        for fork in forks:
            if fork["step"] <= step:
                settings = self._changed(fork["changes"], settings, fork["step"])
        self._follow(*settings)
        self._due = [fork for fork in forks if fork["step"] > step]


TRAINED = (
    "This model is trained already: a new run trains on from its weights, with learning rates that start again. For "
    "another start give a ModelConfig; for the rest of a stopped run use Trainer.resume(folder)."
)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM inside take effect at the end, so that a step is done or not done and never half."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        handlers = {}
    came: list[tuple[int, Any]] = []
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        number, frame = came[0]
        handlers[signal.Signals(number)](number, frame)


def parameter_groups(model: MGIPS, config: TrainConfig) -> list[dict[str, Any]]:
    """Optimiser groups: one learning rate per part (§4.3), weight decay on matrices only.

    Every trainable parameter is in exactly one group; anything else is a programming error.
    """
    rates = {part: getattr(config, f"lr_{part}") for part in PARTS}
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
    optimizer: torch.optim.Optimizer, steps: int, warmup_ratio: float, done: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up over the first `warmup_ratio` of all steps, then linear decay to 0. `done` steps are behind it.

    Not `transformers.get_linear_schedule_with_warmup`, whose first step has rate 0 and changes nothing.
    """
    warmup = math.ceil(warmup_ratio * steps)

    def factor(step: int) -> float:
        return (step + 1) / (warmup + 1) if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=done - 1)


def check_corpus(corpus: Corpus, model: ModelConfig, config: TrainConfig) -> None:
    """Refuse settings that cannot work on this corpus, before anything is computed."""
    for name in corpus.splits:
        corpus.labelled(name)
    if not corpus.types:
        raise ConfigError(
            f"{corpus.name} has no entity in any split; there is nothing to learn from tags that are all O."
        )
    if not any(tag != "O" for tweet in corpus.train for tag in tweet.tags):
        raise ConfigError(
            f"The train split of {corpus.name} has no entity; there is nothing to learn from tags that are all O."
        )
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


def out_of_patience(history: list[dict[str, Any]], patience: int) -> bool:
    """Whether the last `patience` epochs brought no better dev F1."""
    if not patience or len(history) <= patience:
        return False
    scores = [record["dev_f1"] for record in history]
    return max(scores[-patience:]) <= max(scores[:-patience])


def snapshot(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


class LossGuard:
    """Stops a run whose loss or gradient is not finite, without making every step wait for the device.

    Both are read together every `every` steps, and before anything is saved. The gradient counts too: a finite loss
    with an infinite gradient ruins the weights one step before the loss shows it.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.waiting: list[tuple[Tensor, Tensor, tuple[str, ...]]] = []
        self.found: dict[str, Any] = {}
        """What a check has found: the number that is not finite, the losses read before it, and the tweets."""
        self.after = 0
        """Steps added since the one that it was found in."""

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
        for place, ((loss, norm), (_, _, ids)) in enumerate(zip(values, self.waiting, strict=True)):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what, value = ("gradient's norm", norm) if math.isfinite(loss) else ("loss", loss)
                losses = [before for before, _ in values[: place + math.isfinite(loss)]]
                self.found = {"what": what, "value": str(value), "losses": losses, "tweets": ids}
                self.after = len(values) - 1 - place
                raise RunError(
                    f"The {what} became {value} on the batch of tweets {', '.join(ids)}. Resuming from an earlier "
                    "checkpoint would repeat this, for the settings stay the same: start another run with lower learning "
                    "rates, or look at these tweets."
                )
        self.waiting.clear()
        return sum(loss for loss, _ in values) / len(values)
