"""The stepping panel: a training run step by step, with what each step saw, mined and changed.

The run goes on inside the kernel's own event loop, a step at a time: cells and other widgets have their turn between
two steps, and the stop button pauses it. Nothing is read from the device except when the panel is drawn.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from torch import Tensor

from mgips.data.batch import Batch
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import spans
from mgips.data.tinytweets.truth import relevance_matrix
from mgips.errors import ConfigError
from mgips.lab.figures.mining import draw_relevance, mined_in_words
from mgips.lab.figures.style import GREY, IMAGE, LOSS, TEXT
from mgips.lab.widgets.base import Button, Inspector, control, slider
from mgips.lab.widgets.html import render, thumbnail
from mgips.model.mgips import Loss
from mgips.run import Run
from mgips.training import CHANGEABLE, IN_THE_LOSS, Step, Trainer

MEAN_OVER = 20
"""Steps that the running mean of a loss looks back on."""
LEAST_SECONDS = 0.5
"""Between two drawings while it runs; more where drawing takes long, so that most of the time is spent training."""
POSTS = 6
"""Posts of the batch on one page."""
TERMS = {"crf": TEXT, "softmax": TEXT, "ips": IMAGE, "cl": LOSS}
"""Colours of the loss's terms."""
OTHERS = tuple(name for name in CHANGEABLE if name not in IN_THE_LOSS)


class StepPanel(Inspector):
    """A run and its buttons. `trainer` is the run, `last` its last step, `run` what it left once it is complete.

    From Python: `step()`, `epoch()`, `go()`, `pause()`, `back()`, `save()`, `what_if(…)`, `change(…)`.
    """

    def __init__(
        self, trainer: Trainer | str | Path, corpus: Corpus | None = None, root: str | Path | None = None
    ) -> None:
        """
        Args:
            trainer: a run, begun or not, or the folder of one that was stopped.
            corpus: for a folder: what it was trained on; loaded again by default.
            root: where the Twitter folders are, to load it from.

        Raises:
            RunError: a folder without a run that can be continued.
            DataError: its corpus was made in memory, and is not given.
        """
        super().__init__("mgips-steps")
        self.trainer = trainer if isinstance(trainer, Trainer) else Trainer.resume(trainer, corpus, root, False)
        self.trainer.part_norms = True
        self.trainer.quiet()
        self.last: Step | None = None
        self.run: Run | None = None
        self.task: asyncio.Task[None] | None = None
        """What goes on by itself; None while it is paused."""
        self._posts = {tweet.id: tweet for tweet in self.trainer.data["train"].tweets}
        self._pausing = False
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []  # losses still on the device
        self._losses: list[tuple[int, dict[str, float]]] = []
        self._pace, self._steps, self._since = 0.0, 0, 0.0  # seconds a step; steps and moment since the last drawing
        self._drawing = 0.0  # seconds that it took
        self._kept = None if self.trainer.folder else self.trainer.state()
        self._build()
        self.redraw()

    # ---- from Python ----

    def step(self) -> None:
        """One step."""
        self._start(lambda: True)

    def epoch(self) -> None:
        """To the end of the epoch, with its dev score."""
        self._start(lambda: self.last is not None and self.last.scores is not None)

    def go(self) -> None:
        """To the end of the run, and score the test split once."""
        self._start(lambda: False)

    def pause(self) -> None:
        """Stop after the running step."""
        self._pausing = True

    def save(self) -> None:
        """Keep this moment, to come back to: a checkpoint in the run's folder, or in memory where it has none."""
        if self.trainer.folder:
            self.trainer.save()
            self.say(f"Step {self.trainer.number} is saved in {self.trainer.folder.path / 'checkpoint.pt'}.")
        else:
            self._kept = self.trainer.state()
            self.say(f"Step {self.trainer.number} is kept, in memory: this run has no folder.")

    def back(self) -> None:
        """To the last moment that was saved; steps and changes after it are undone."""
        self.trainer.back(self._kept)
        self._waiting.clear()
        self._losses = [(number, terms) for number, terms in self._losses if number <= self.trainer.number]
        self.last = None
        self._show_settings()
        self.redraw()
        self.say(f"Back at step {self.trainer.number}; what came after it is undone.")

    def what_if(self, **changes: Any) -> tuple[Loss, Loss]:
        """The loss of the last step's batch with the weights of now: as it is, and with other settings of the loss.

        Nothing is updated. Both have the dropout of the coming step.

        Raises:
            ConfigError: no step was made yet, or a setting that cannot be tried.
        """
        if self.last is None:
            raise ConfigError("There is no batch yet; make a step first.")
        (now, norms), (other, others) = (self.trainer.what_if(self.last.batches, **c) for c in ({}, changes))
        rows = []
        for name, one, two in (
            *((f"loss {t}", now.terms.get(t), other.terms.get(t)) for t in dict.fromkeys((*now.terms, *other.terms))),
            ("loss, all terms", now.total, other.total),
            *((f"gradient {p}", norms.get(p), others.get(p)) for p in dict.fromkeys((*norms, *others))),
        ):
            values = [None if x is None else float(x) for x in (one, two)]
            rows.append((name, *values))
        mined = [loss.contrast.positives.cpu() for loss in (now, other) if loss.contrast is not None]
        moved = (
            ""
            if len(mined) < 2
            else f"{int((mined[0] & mined[1]).sum())} of {int(mined[1].sum())} mined pairs are the same."
        )
        told = ", ".join(f"{name} = {value}" for name, value in changes.items()) or "nothing changed"
        self.tried.value = render("what_if", rows=rows, told=told, moved=moved, number=self.trainer.number)
        return now, other

    def change(self, **changes: Any) -> None:
        """Other settings from the next step on (`Trainer.change`); the run's record says so."""
        self.trainer.change(**changes)
        self._show_settings()
        self.redraw()
        told = ", ".join(f"{name} = {value}" for name, value in changes.items())
        where = f", as {self.trainer.folder.path / 'run.json'} says" if self.trainer.folder else ""
        self.say(f"From the next step on {told}. This run is a fork after step {self.trainer.number}{where}.")

    def say(self, note: str) -> None:
        """A line below the buttons."""
        self.note.value = render("status", message=note)

    # ---- what goes on by itself ----

    @property
    def running(self) -> bool:
        """Whether steps are being made."""
        return self.task is not None

    def _start(self, enough: Callable[[], bool]) -> None:
        """Make steps until it is enough, in the background where an event loop runs, else before this returns."""
        if self.running:
            return
        self._pausing = False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self._steps_until(enough))
            return
        self.task = loop.create_task(self._steps_until(enough))

    async def _steps_until(self, enough: Callable[[], bool]) -> None:
        """Steps, with a turn for everything else between two of them; errors show in the panel."""
        try:
            self.say("")  # what was said of an earlier pause
            self._enable(running=True)
            with self.errors_shown(), stoppable(self.pause):
                self._steps, self._since = 0, time.perf_counter()
                if self.trainer.folder:
                    self.trainer.folder.hold()
                while not self.trainer.finished and not self._pausing:
                    self.last = self.trainer.step()
                    self._steps += 1
                    self._waiting.append((self.last.number, self.last.loss.terms))
                    if enough():
                        break
                    if time.perf_counter() - self._since > max(LEAST_SECONDS, 4 * self._drawing):
                        self.redraw()
                    await asyncio.sleep(0)
                self._paused()
        finally:
            self.task = None
            self._enable(running=False)

    def _paused(self) -> None:
        """Say why there are no more steps; complete a run that is over."""
        trainer, place = self.trainer, self.trainer.folder and self.trainer.folder.path
        if trainer.finished and self.run is None:
            self.run = trainer.finish()
            kept = f" All is in {place}." if place else ""
            self.say(f"The run is complete. Epoch {self.run.epoch} has the best dev F1, {100 * self.run.dev.f1:.1f}; "
                     f"test F1 with its weights: {100 * self.run.test.f1:.1f}.{kept}")  # fmt: skip
        elif self._pausing and place:
            trainer.save()
            self.say(f"Paused after step {trainer.number}, and saved. After a restart of the kernel this goes on: "
                     f"step_through({str(place)!r}).")  # fmt: skip
        elif self._pausing:
            self.say(f"Paused after step {trainer.number}.")
        else:
            self.say("")
        self.redraw()

    def _enable(self, running: bool) -> None:
        over = self.trainer.finished
        for button in self._while_paused:
            button.disabled = running or (over and button is not self._back) or (self.run is not None)
        self._pause.disabled = not running

    # ---- the page ----

    def _build(self) -> None:
        def button(name: str, press: Callable[[], None], tooltip: str) -> Any:
            label = {"description": name, "tooltip": tooltip}
            return control(Button, name.split()[0].lower(), "auto", press=self.guard(press), **label)

        steps = [
            button("Step", self.step, "One step of the optimiser"),
            button("Epoch", self.epoch, "To the end of the epoch, and score dev"),
            button("Run", self.go, "To the end of the run"),
        ]
        self._pause = button("Pause", self.pause, "Stop after the running step; the kernel's stop button does the same")
        self._back = button("Back to checkpoint", self.back, "Undo the steps and changes since the last saved moment")
        saving = button("Save", self.save, "Keep this moment to come back to")
        self.tau = control(widgets.FloatText, "tau", "150px", "90px", description="Temperature", step=0.05)
        self.k = control(widgets.BoundedIntText, "k", "110px", "20px", description="K", min=1, max=9999)
        self.ips = control(widgets.Checkbox, "ips", "85px", description="IPS loss", indent=False)
        self.cl = control(widgets.Checkbox, "cl", "80px", description="CL loss", indent=False)
        self.other = control(widgets.Dropdown, "other", "220px", "60px", description="Setting", options=OTHERS)
        self.to = control(widgets.Text, "to", "140px", "20px", description="to", placeholder="unchanged")
        trying = button("What if", self._try, WHAT_IF)
        changing = button("Change", lambda: self.change(**self._asked(CHANGEABLE)), CHANGE)
        self._while_paused = [*steps, self._back, saving, trying, changing]
        self.status = control(widgets.HTML, "status")
        self.note = control(widgets.HTML, "note")
        self.view = control(widgets.HTML, "view", "100%")
        self.tried = control(widgets.HTML, "tried", "100%")
        size = self.trainer.config.batch_size
        page = {"min": 1, "max": max(1, -(-size // POSTS)), "tooltip": "Other posts of this batch"}
        self.page = slider("page", "330px", description="Posts of batch", **page)
        self.posts = control(widgets.HTML, "posts", "100%")
        self.on_change(self._draw_posts, self.page)
        self._show_settings()
        self.arrange(
            [*steps, self._pause, self._back, saving], self.status, self.note, self.view,
            [
                widgets.HBox([self.tau, self.k, self.ips, self.cl, trying]),
                widgets.HBox([self.other, self.to, changing]),
            ],
            self.tried,
            [self.page], self.posts,
        )  # fmt: skip
        self._enable(running=False)

    def _try(self) -> None:
        self.what_if(**self._asked(IN_THE_LOSS))

    def _show_settings(self) -> None:
        """Put the settings that the loss has now into their controls."""
        config = self.trainer.model.config
        learned = self.trainer.model.learned_temperature is not None
        for box, value, there in (
            (self.tau, config.temperature, config.contrast and not learned),
            (self.k, config.k, config.contrast and config.ips_loss),
            (self.ips, config.ips_loss, self.trainer.model.image_head is not None),
            (self.cl, config.cl_loss, self.trainer.model.image_head is not None),
        ):
            box.value, box.disabled = value, not there
        self.to.value = ""

    def _asked(self, names: tuple[str, ...]) -> dict[str, Any]:
        """What the controls say other than what is.

        Raises:
            ConfigError: nothing, or something that is not a number.
        """
        config, train = self.trainer.model.config, self.trainer.config
        boxes = dict(zip(IN_THE_LOSS, (self.tau, self.k, self.ips, self.cl), strict=True))
        asked = {
            name: box.value for name, box in boxes.items() if not box.disabled and box.value != getattr(config, name)
        }
        if self.to.value.strip() and self.other.value in names:
            kind = type(getattr(train, self.other.value))
            try:
                asked[self.other.value] = kind(self.to.value)
            except ValueError as error:
                raise ConfigError(f"{self.other.value} cannot be {self.to.value!r}; give a number.") from error
        if not asked:
            raise ConfigError("Nothing differs from the settings of now; choose another value first.")
        return asked

    def redraw(self) -> None:
        """Read what has been computed, and draw it."""
        started = time.perf_counter()
        if self._waiting:  # the one time that this waits for the device
            numbers, terms = zip(*self._waiting, strict=True)
            rows = [dict(zip(t, torch.stack([*t.values()]).tolist(), strict=True)) for t in terms]
            self._losses.extend(zip(numbers, rows, strict=True))
            self._waiting.clear()
            now = time.perf_counter()
            self._pace, self._steps, self._since = (now - self._since) / max(1, self._steps), 0, now
        self.status.value = render("status", message=self._progress())
        self._draw_posts()
        self.view.value = self.as_html()
        self._since = time.perf_counter()
        self._drawing = self._since - started

    def _progress(self) -> str:
        trainer = self.trainer
        device = trainer.accelerator.device
        parts = [
            f"Step {trainer.number:,} of {trainer.steps:,}",
            f"epoch {min(len(trainer.history) + 1, trainer.config.epochs)} of {trainer.config.epochs}",
            *([f"{1000 * self._pace:,.0f} ms a step"] if self._pace else []),
            str(device),
        ]
        if device.type == "cuda":
            parts.append(f"{torch.cuda.memory_allocated(device) / 2**30:.1f} GiB of GPU memory")
        if trainer.best["epoch"]:
            parts.append(f"best dev F1 {100 * trainer.best['f1']:.1f} (epoch {trainer.best['epoch']})")
        parts += [
            f"after step {fork['step']:,} " + ", ".join(f"{k} = {v}" for k, v in fork["changes"].items())
            for fork in trainer.forks
        ]
        return " · ".join(parts)

    def _batch(self) -> Batch | None:
        return self.last.batches[-1] if self.last is not None else None

    def _tweets(self) -> list[Tweet]:
        batch = self._batch()
        return [] if batch is None else [self._posts[name] for name in batch.ids]

    def _draw_posts(self) -> None:
        """The batch's posts with what the model says of them now."""
        batch, tweets = self._batch(), self._tweets()
        if batch is None:
            self.posts.value = ""
            return
        with self.setting():
            self.page.max = max(1, -(-len(tweets) // POSTS))
        model = self.trainer.model
        with model.evaluating():
            reads = {"read_batch": True} if model.reader is not None else {}
            tags = model.decode(model(batch, **reads), batch)
        first = POSTS * (self.page.value - 1)
        shown = [
            (tweet, thumbnail(tweet), spans(tweet.words, tweet.tags), spans(tweet.words, tags[place]))
            for place, tweet in enumerate(tweets)
            if first <= place < first + POSTS
        ]
        right = sum(list(tweet.tags) == tags[place] for place, tweet in enumerate(tweets))
        self.posts.value = render("steps_posts", shown=shown, right=right, count=len(tweets), first=first + 1)

    def describe(self) -> str:
        """Where the run is, its losses, and what the last step mined, in words."""
        if not self._losses:
            return f"{self._progress()}. No step has been made here yet."
        terms = ", ".join(
            f"{name} {value:.3f} (mean {self._mean(name):.3f})" for name, value in self._losses[-1][1].items()
        )
        mined = self._mined()
        found = "" if mined is None else f" Mined in this step: {mined_in_words(*mined[1:])}."
        return f"{self._progress()}. Losses: {terms}.{found}"

    def _mean(self, name: str) -> float:
        return float(np.mean([terms[name] for _, terms in self._losses[-MEAN_OVER:] if name in terms]))

    def _mined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
        """Relevance, mined pairs, and pairs that truly fit, of the last batch; None where nothing is compared."""
        contrast = self.last.loss.contrast if self.last is not None else None
        if contrast is None:
            return None
        tweets = self._tweets()
        truth = relevance_matrix(tweets) if all(tweet.truth is not None for tweet in tweets) else None
        scores, mined = (x.float().cpu().numpy() for x in (contrast.relevance, contrast.positives))
        start = int(contrast.own[0])  # of several processes: this one's images
        columns = slice(start, start + len(tweets))
        return scores[:, columns], mined[:, columns] > 0, truth

    def draw(self) -> Figure:
        """Losses, dev F1, gradients and rates, and the pairs mined in the last step."""
        figure = Figure(figsize=(11, 5.6))
        losses, f1, mining, parts = _axes(figure)
        self._draw_losses(losses)
        self._draw_f1(f1)
        self._draw_parts(parts)
        mined = self._mined()
        if mined is None:
            mining.set_axis_off()
            told = (
                "No step has been made here yet"
                if self.last is None
                else "This model has no contrastive part: it mines nothing"
            )
            mining.text(0.5, 0.5, told, ha="center", color=GREY)
        else:
            draw_relevance(mining, *mined)
            told = mined_in_words(*mined[1:]).replace("; of", ";\nof", 1)
            mining.set_title(f"Mined in step {self.trainer.number:,}: {told}", pad=24, fontsize=9, x=-0.14)
            mining.legend(
                frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8, columnspacing=1
            )
        figure.suptitle(f"Step {self.trainer.number:,}: {self._headline()}", x=0.01, ha="left", fontsize=11)
        return figure

    def _headline(self) -> str:
        if len(self._losses) < 2:
            return "the run begins" if self.trainer.number < 2 else "go on with Step, Epoch or Run"
        total = [sum(terms.values()) for _, terms in self._losses]
        now, first = float(np.mean(total[-MEAN_OVER:])), total[0]
        return f"loss {first:.2f} at step {self._losses[0][0]:,}, {now:.2f} over the last {min(MEAN_OVER, len(total))} steps"

    def _draw_losses(self, ax: Axes) -> None:
        numbers = np.array([number for number, _ in self._losses])
        for name in dict.fromkeys(name for _, terms in self._losses for name in terms):
            values = np.array([terms.get(name, np.nan) for _, terms in self._losses])
            sums = np.cumsum(np.nan_to_num(np.concatenate([[0], values])))
            back = np.maximum(0, np.arange(1, len(values) + 1) - MEAN_OVER)
            mean = (sums[1:] - sums[back]) / (np.arange(1, len(values) + 1) - back)
            colour = TERMS.get(name, GREY)
            ax.plot(numbers, values, color=colour, alpha=0.35, linewidth=0.8)
            ax.plot(numbers, mean, color=colour, linewidth=1.6, label=f"{name} {values[-1]:.2f}, mean {mean[-1]:.2f}")
        ax.set_title(f"Loss terms, log scale; thick: mean of {MEAN_OVER} steps", fontsize=9)
        if len(numbers):
            ax.set_yscale("log")
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.yaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            found = [value for _, terms in self._losses for value in terms.values() if value > 0]
            if found:  # whole decades, so that there are numbers at the axis
                ax.set_ylim(10 ** np.floor(np.log10(min(found))), 10 ** np.ceil(np.log10(max(found)) + 1e-9))
            ax.set_xlim(numbers[0] - 0.5, max(numbers[-1], numbers[0] + 1) + 0.5)
            ax.legend(fontsize=7.5, loc="upper right", framealpha=0.85, edgecolor="none")
        else:
            ax.set(xticks=[], yticks=[])
        for fork in self.trainer.forks:
            ax.axvline(fork["step"], color=GREY, linestyle=":", linewidth=1)

    def _draw_f1(self, ax: Axes) -> None:
        history = self.trainer.history
        ax.plot(
            [row["epoch"] for row in history], [100 * row["dev_f1"] for row in history], "o-", color=TEXT, markersize=4
        )
        ax.set(xlim=(0.5, self.trainer.config.epochs + 0.5), ylim=(0, 100))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        last = f", {100 * history[-1]['dev_f1']:.1f} after epoch {len(history)}" if history else ": none yet"
        ax.set_title(f"Dev F1 by epoch{last}", fontsize=9)

    def _draw_parts(self, ax: Axes) -> None:
        """Bars of the gradient's norm by part, with the rate of each written beside it."""
        norms = {} if self.last is None else self.last.norms
        rates = {group["name"]: group["lr"] for group in self.trainer.optimizer.param_groups}
        names = [*rates]
        values = torch.stack([*norms.values()]).tolist() if norms else []
        known = dict(zip(norms, values, strict=True))
        bars = [known.get(name, 0.0) for name in names]
        ax.barh(names, bars, color=LOSS, height=0.6)
        ax.invert_yaxis()
        for place, (name, bar) in enumerate(zip(names, bars, strict=True)):
            gradient = f"{bar:.3g}" if name in known else "no gradient"
            ax.text(bar, place, f"  {gradient}, rate {rates[name]:.2g}", va="center", fontsize=7.5)
        ax.set_xlim(0, 1.9 * max(bars) if any(bars) else 1)
        ax.tick_params(labelsize=8)
        if not values:
            ax.set_xticks([])
        limit = self.trainer.config.max_grad_norm
        whole = f"; all {float(np.linalg.norm(bars)):.3g}{f', cut to {limit:g}' if limit else ''}" if values else ""
        ax.set_title(f"Gradient's norm by part{whole}", fontsize=9)


WHAT_IF = "The loss of this batch with these settings, beside the loss as it is; nothing is updated"
CHANGE = "These settings from the next step on; the run is then recorded as a fork"


def _axes(figure: Figure) -> tuple[Axes, Axes, Axes, Axes]:
    """Losses, dev F1 and mining, and parts: three on the left, one large on the right."""
    # Places by hand: to lay them out anew takes as long as all the drawing.
    places = (0.045, 0.66, 0.43, 0.24), (0.045, 0.40, 0.43, 0.16), (0.535, 0.08, 0.455, 0.76), (0.075, 0.06, 0.40, 0.24)
    losses, f1, mining, parts = (figure.add_axes(place) for place in places)
    return losses, f1, mining, parts


@contextlib.contextmanager
def stoppable(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, the kernel's stop button calls `stop`; outside a cell ipykernel would ignore it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


step_through = StepPanel
