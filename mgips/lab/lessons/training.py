"""Pictures and exercises of the lesson on training: what a step changes, what is learned first, what a stop costs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import clear_output
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mgips.config import preset
from mgips.data.batch import Batch
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import spans
from mgips.lab import doctor
from mgips.lab.figures import show
from mgips.lab.figures.grids import inflation
from mgips.lab.figures.style import CYCLE, GREY, IMAGE, LOSS, TEXT
from mgips.lab.gradients import reached
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.lessons.places import BENCHMARKS, COMMITTED
from mgips.lab.precision import MiningPrecision, mining_precision
from mgips.lab.results import load_results
from mgips.lab.widgets import StepPanel, step_through
from mgips.model.mgips import MGIPS
from mgips.training import PARTS, Step, Trainer, linear_schedule

TERMS = {"crf": TEXT, "softmax": TEXT, "ips": IMAGE, "cl": LOSS}


# ---- one step ----


def one_step() -> Figure:
    """The round that training goes, as six boxes and their arrows."""
    boxes = ("a batch\nof posts", "forward:\ntags, relevance", "loss: CRF\n+ IPS + CL", "backward: a\ngradient each", "clip the\nnorm to 1", "AdamW moves\nevery weight")  # fmt: skip
    figure = Figure(figsize=(9.3, 1.75))
    ax = figure.add_axes((0, 0, 1, 0.84), xlim=(0, 9.3), ylim=(0, 1.5))
    ax.axis("off")
    for place, (text, colour) in enumerate(zip(boxes, (GREY, "#5B4B8A", LOSS, LOSS, GREY, IMAGE), strict=True)):
        x = 0.15 + 1.54 * place
        ax.add_patch(FancyBboxPatch((x, 0.62), 1.25, 0.66, boxstyle="round,pad=0,rounding_size=0.07", facecolor=colour, edgecolor="none"))  # fmt: skip
        ax.text(x + 0.625, 0.95, text, ha="center", va="center", color="white", weight="bold", fontsize=8.3)
        if place:
            ax.annotate("", (x, 0.95), (x - 0.29, 0.95), arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.3})
    back = {"arrowstyle": "-|>", "color": GREY, "lw": 1.3, "connectionstyle": "bar,fraction=-0.045"}
    ax.annotate("", (0.77, 0.6), (8.48, 0.6), arrowprops=back)
    ax.text(4.62, 0.1, "next batch, with the new weights", ha="center", va="center", fontsize=8.5, color=GREY)
    figure.suptitle("One training step: six things, then again", x=0.012, ha="left", fontsize=10.5)
    return figure


def terms_before_and_after(before: Mapping[str, float], after: Mapping[str, float], posts: int, k: int) -> Figure:
    """Each term of the loss on one batch, untrained and trained, beside what equal relevance would give."""
    figure, ax = plt.subplots(figsize=(7.4, 2.7), layout="constrained")
    expected = {"ips": (math.log(posts / k), "log(N / K)"), "cl": (math.log(posts), "log N")}
    for place, name in enumerate(before):
        ax.plot([before[name], after[name]], [place] * 2, color="#CCCCCC", linewidth=2, zorder=1)
        for value, mark in ((before[name], "o"), (after[name], "D")):
            fill = "white" if mark == "o" else TERMS[name]
            ax.plot(value, place, mark, color=TERMS[name], markerfacecolor=fill, markersize=9)
            ax.annotate(f"{value:.2f}", (value, place), (0, 9), textcoords="offset points", ha="center", fontsize=9)
        if name in expected:
            at, formula = expected[name]
            ax.plot([at, at], [place, place + 0.22], color="black", linewidth=1.2, zorder=1)
            ax.annotate(formula, (at, place), (0, -20), textcoords="offset points", ha="center", fontsize=9)
    ax.set(xscale="log", yticks=range(len(before)), yticklabels=list(before), ylim=(len(before) - 0.4, -0.6), xlabel="value on this batch (log scale)")  # fmt: skip
    ax.xaxis.set_major_formatter("{x:g}")
    for mark, fill, label in (("o", "white", "untrained"), ("D", GREY, "trained")):
        ax.plot([], [], mark, color=GREY, markerfacecolor=fill, markersize=9, label=label)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    least = min(after, key=lambda name: after[name] / before[name])
    ax.set_title(f"Training shrinks the {least} term most: from {before[least]:.1f} to {after[least]:.2f}")
    return figure


def gradients(model: MGIPS, batch: Batch) -> dict[str, dict[str, float]]:
    """Norm of each part's gradient from each term of the loss alone, without dropout; the model stays as it is.

    Returns:
        term → part → norm; 0.0 where the term does not reach the part.
    """
    training = model.training
    model.eval()
    found = {name: reached(model, term) for name, term in model.loss(model(batch), batch).terms.items()}
    model.train(training)
    return found


def who_moves_what(norms: Mapping[str, Mapping[str, float]]) -> Figure:
    """The table of `gradients` as colours, with its numbers."""
    terms, parts = list(norms), [part for part in PARTS if part in next(iter(norms.values()))]
    values = np.array([[norms[term][part] for part in parts] for term in terms])
    figure, ax = plt.subplots(figsize=(7.2, 2.7), layout="constrained")
    shown = np.where(values > 0, values, np.nan)
    ax.imshow(shown, norm=LogNorm(np.nanmin(shown), np.nanmax(shown)), cmap="cividis", aspect="auto")
    middle = math.sqrt(np.nanmin(shown) * np.nanmax(shown))
    for row, column in np.ndindex(*values.shape):
        value = values[row, column]
        colour = "black" if value > middle or not value else "white"
        ax.text(
            column,
            row,
            (f"{value:.0f}" if value >= 100 else f"{value:.2g}") if value else "none",
            ha="center",
            va="center",
            color=colour,
        )
    ax.set(xticks=range(len(parts)), xticklabels=parts, yticks=range(len(terms)), yticklabels=terms)
    ax.spines[:].set_visible(False)
    none = [f"{term} never reaches {part}" for term in terms for part in parts if not norms[term][part]]
    ax.set_title("Norm of the gradient, by loss term and part" + (f":\n{', '.join(none)}" if none else ""), fontsize=10)
    return figure


def rates_of(names: Sequence[str] = ("tiny", "base")) -> Figure:
    """The learning rate of each part, for some presets."""
    figure, ax = plt.subplots(figsize=(7.2, 2.6), layout="constrained")
    for name, mark, colour in zip(names, "oDs", (GREY, IMAGE, TEXT), strict=False):
        rates = [getattr(preset(name)[1], f"lr_{part}") for part in PARTS]
        ax.plot(rates, range(len(PARTS)), mark, color=colour, markersize=8, linestyle="", label=name)
    base = preset(names[-1])[1]
    for place, part in enumerate(PARTS):
        rate = getattr(base, f"lr_{part}")
        ax.annotate(f"{rate:g}", (rate, place), (8, 0), textcoords="offset points", va="center", fontsize=9, color=IMAGE)  # fmt: skip
    ax.set(xscale="log", yticks=range(len(PARTS)), yticklabels=PARTS, ylim=(len(PARTS) - 0.5, -0.5), xlim=(1e-5, 2e-1), xlabel="learning rate (log scale)")  # fmt: skip
    ax.grid(axis="y", color="#EEEEEE")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    same = [part for part in PARTS if part != "text" and getattr(base, f"lr_{part}") == base.lr_text]
    shared = f"{' and '.join(same)} {'has' if len(same) == 1 else 'have'} the text tower's" if same else "all differ"
    title = f"Rates of preset {names[-1]}: {shared}, the head's is {base.lr_head / base.lr_text:,.0f} times as high"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


# ---- AdamW ----


def adamw(
    weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float = 0.01
) -> tuple[float, float, float]:
    """One step of AdamW for one weight (Loshchilov and Hutter 2019), with torch's β = .9, .999 and ε = 1e-8.

    Args:
        m, v: running means of the gradient and of its square, 0 before the first step.
        step: counted from 1.

    Returns:
        The new weight, m and v.
    """
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient**2
    moved = (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return weight - rate * decay * weight - rate * moved, m, v


@dataclass(frozen=True)
class Move:
    """What one step of a run did to one weight."""

    before: float
    gradient: float
    """After clipping, as the optimiser gets it."""
    rate: float
    after: float


def followed(corpus: Corpus, count: int = 12) -> list[Move]:
    """The first steps of a run of the tiny model, as one weight of its text tower sees them."""
    model, config = preset("tiny", epochs=1)
    trainer = Trainer(corpus, model, config, progress=False)
    weight = next(p for p in trainer.model.encoder.text.parameters() if p.ndim == 2)
    moves: list[Move] = []

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        rate = next(g["lr"] for g in optimizer.param_groups if any(p is weight for p in g["params"]))
        assert weight.grad is not None
        moves.append(Move(weight[0, 0].item(), weight.grad[0, 0].item(), rate, math.nan))

    def after(*_: Any) -> None:
        moves[-1] = Move(**{**vars(moves[-1]), "after": weight[0, 0].item()})

    hooks = trainer._adamw.register_step_pre_hook(before), trainer._adamw.register_step_post_hook(after)
    for step in trainer:
        if step.number == min(count, trainer.steps - 1):
            break
    for hook in hooks:
        hook.remove()
    return moves


def moved(moves: Sequence[Move]) -> Figure:
    """A weight's gradient and its movement, step by step; the second in units of the step's rate."""
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 2.7), layout="constrained")
    at = np.arange(1, len(moves) + 1)
    against = [(move.after - move.before) / move.rate for move in moves]
    for ax, values, name, colour in ((axes[0], [m.gradient for m in moves], "gradient", LOSS), (axes[1], against, "movement ÷ rate", IMAGE)):  # fmt: skip
        ax.bar(at, values, color=colour, edgecolor="black", linewidth=0.5)
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set(xlabel="step", title=name, xticks=at)
    axes[1].set_ylim(-1.15, 1.15)
    size = [abs(move.gradient) for move in moves]
    figure.suptitle(f"Gradients differ by a factor of {max(size) / max(min(size), 1e-12):,.0f}; the first step is {abs(against[0]):.2f} of the rate", x=0.01, ha="left")  # fmt: skip
    return figure


def schedule(warmup: float, steps: int = 100) -> Figure:
    """The learning rate over a run of `steps`, as a share of the full one."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    plan, values = linear_schedule(optimizer, steps, warmup), []
    for _ in range(steps):
        values.append(plan.get_last_lr()[0])
        optimizer.step()
        plan.step()
    figure, ax = plt.subplots(figsize=(6.6, 2.3), layout="constrained")
    ax.plot(range(1, steps + 1), values, color=LOSS)
    ax.plot(1, values[0], "o", color=LOSS)
    full = int(np.argmax(values))
    ax.set(xlabel=f"step of {steps}", ylabel="share of the full rate", ylim=(0, 1.08))
    ax.set_title(f"Warm-up {warmup:g}: the first step has {values[0]:.2f} of the rate, step {full + 1} all of it")
    return figure


# ---- a run, watched ----


def learned(tweets: Sequence[Tweet], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """What of the gold mentions is right, in [0, 1]: "names found" (their words, whatever the type), and with the right
    type, where the truth is known, "type, unambiguous" and "type, ambiguous"; "type" where it is not."""
    found: dict[str, list[bool]] = {"names found": []}
    for tweet, tags in zip(tweets, predicted, strict=True):
        has = {(span.start, span.end): span.type for span in spans(tweet.words, tags)}
        for span in spans(tweet.words, tweet.tags):
            place = span.start, span.end
            kind = "type"
            if tweet.truth is not None:
                kind = "type, ambiguous" if place in tweet.truth.ambiguous else "type, unambiguous"
            found["names found"].append(place in has)
            found.setdefault(kind, []).append(has.get(place) == span.type)
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def guessed(tweets: Sequence[Tweet]) -> float | None:
    """How often a guess at an ambiguous name's type is right; None where the truth is unknown."""
    options = [len(tweet.truth.options) or 3 for tweet in tweets if tweet.truth is not None and tweet.truth.ambiguous]
    return float(np.mean([1 / count for count in options])) if options else None


class Diary:
    """What a run's steps were, and what the model can do after each epoch; drawn anew after each."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.terms: dict[str, list[float]] = {}
        self.skills: list[dict[str, float]] = []
        """Of `learned` on dev, an epoch each."""
        self.mined: list[MiningPrecision] = []
        """On dev, an epoch each; empty where the truth is unknown."""

    def add(self, step: Step) -> None:
        """Write a step down; after an epoch's last, look at the model on dev and draw."""
        for name, value in step.loss.terms.items():
            self.terms.setdefault(name, []).append(float(value))
        if step.scores:
            data, model = self.trainer.data["dev"], self.trainer.model
            self.skills.append(learned(data.tweets, model.predict(data.tweets)))
            if all(tweet.truth is not None for tweet in data.tweets):
                self.mined.append(mining_precision(model, data))
            clear_output(wait=True)
            show(self.draw(), f"Loss terms, what is learned and what is mined, after {len(self.skills)} epochs.")

    def draw(self) -> Figure:
        """Loss terms; what is learned; how many of the mined others fit; how many places hubs fill."""
        figure, axes = plt.subplots(2, 2, figsize=(9.6, 5.4), layout="constrained")
        at = np.arange(1, len(self.skills) + 1)
        for name, values in self.terms.items():
            axes[0, 0].plot(range(1, len(values) + 1), values, color=TERMS[name], label=name)
        axes[0, 0].set(yscale="log", xlabel="step", title="loss terms, log scale")
        axes[0, 0].yaxis.set_major_formatter("{x:g}")
        axes[0, 0].legend(frameon=False, ncols=3)
        for name, mark, colour in zip(self.skills[0], "osD", CYCLE, strict=False):
            values = [100 * skills[name] for skills in self.skills]
            axes[0, 1].plot(at, values, marker=mark, color=colour, label=name)
        guess = guessed(self.trainer.data["dev"].tweets)
        if guess is not None:
            axes[0, 1].axhline(100 * guess, color="black", linestyle=":", linewidth=1)
            axes[0, 1].text(at[-1], 100 * guess - 2, "guessing an ambiguous type", ha="right", va="top", fontsize=8.5)
        axes[0, 1].set(xlabel="epoch", title="right on dev, in %", ylim=(0, 103))
        axes[0, 1].legend(frameon=False, fontsize=9, loc="center right", bbox_to_anchor=(1, 0.73))
        self._draw_mined(axes[1, 0], at, "others", "others_chance", "others_attainable", "mined others that fit, in %")
        self._draw_mined(axes[1, 1], at, "top_ten", "top_ten_chance", "", "places that the ten most mined fill, in %")
        for ax in axes.flat[1:]:
            ax.set_xticks(at)
        figure.suptitle(f"After epoch {len(at)}: {self._headline()}", x=0.01, ha="left")
        return figure

    def _draw_mined(self, ax: Axes, at: np.ndarray, found: str, chance: str, most: str, title: str) -> None:
        if not self.mined:
            ax.set_axis_off()
            ax.set_title("What fits is known of TinyTweets only")
            return
        lines = (found, "-", IMAGE, "mined"), (chance, ":", "black", "chance"), (most, "-", GREY, "attainable")
        for name, line, colour, label in lines:
            if name:
                values = [100 * (getattr(mined, name) or math.nan) for mined in self.mined]
                ax.plot(at, values, line, color=colour, marker="o" if line == "-" else None, markersize=4, label=label)
        ax.set(xlabel="epoch", title=title, ylim=(0, 103))
        ax.legend(frameon=False, ncols=3, fontsize=9)

    def _headline(self) -> str:
        return ", ".join(f"{name} {100 * value:.0f} %" for name, value in self.skills[-1].items())

    def told(self) -> str:
        """What was learned in which order, and how mining went, in two sentences."""
        told = []
        for name in self.skills[0]:
            values = [skills[name] for skills in self.skills]
            best = max(values)
            first = next(i for i, value in enumerate(values, 1) if value >= 0.95 * best)
            told.append(f"{name}: {100 * best:.0f} % at best, nearly there after epoch {first}")
        words = "; ".join(told) + "."
        if self.mined:
            below = sum((mined.others or 0) < (mined.others_chance or 0) for mined in self.mined)
            shares = [100 * (mined.others or 0) for mined in self.mined]
            words += (
                f"\nMining is below chance ({100 * (self.mined[0].others_chance or 0):.1f} %) after {below} of "
                f"{len(self.mined)} epochs: {min(shares):.1f} to {max(shares):.1f} % of the mined others fit."
            )
        return words


# ---- which epoch ----


def epochs_chosen() -> Figure:
    """Test F1 by epoch of the committed clean runs: the epoch that dev chooses, and the one that test would choose."""
    runs = load_results("protocol", folder=COMMITTED)["clean"]
    figure, ax = plt.subplots(figsize=(8.6, 3.6), layout="constrained")
    same = 0
    for run, colour in zip(runs, CYCLE, strict=False):
        kept = run.record["by_test"]
        f1 = [100 * value for value in kept["f1"]]
        dev, test = kept["by_dev"]["epoch"], kept["by_test"]["epoch"]
        same += f1[dev - 1] == f1[test - 1]
        ax.plot(range(1, len(f1) + 1), f1, color=colour, linewidth=1.2, alpha=0.7)
        ax.plot(dev, f1[dev - 1], "o", color=colour, markersize=11, markerfacecolor="none", markeredgewidth=1.8)
        ax.plot(test, f1[test - 1], "x", color=colour, markersize=7, markeredgewidth=1.8)
    ax.plot([], [], "o", color=GREY, markersize=10, markerfacecolor="none", label="chosen by dev: this is reported")
    ax.plot([], [], "x", color=GREY, label="the best on test: never seen by a fair run")
    ax.set(xlabel="epoch", ylabel="test F1")
    ax.legend(frameon=False, loc="lower right")
    ax.set_title(f"TinyTweets, {len(runs)} seeds: in {same} of them dev chooses an epoch that is best on test, too")
    return figure


def cost_of_peeking() -> str:
    """What choosing the epoch by test adds in the committed clean runs, in a sentence."""
    gain = inflation(folder=COMMITTED)["clean, by_test"]
    return (
        f"Choosing by test adds {gain} points here (95 % paired bootstrap over five seeds and their posts). It can never "
        "take anything away, by construction: the best of eight numbers is at least as high as any of them."
    )


# ---- stopped and resumed ----


def timeline(stopped: int, every: int, per_epoch: int, steps: int) -> Figure:
    """Steps on a line, with the checkpoints, the stop, and the part that is lost and done again."""
    saved = [n for n in range(1, stopped) if n % every == 0 or n % per_epoch == 0]
    last = saved[-1] if saved else 0
    figure, ax = plt.subplots(figsize=(8.8, 2.0), layout="constrained")
    for row, first, end, colour in ((1, 1, stopped, TEXT), (0, last + 1, steps, LOSS)):
        for number in range(first, end + 1):
            lost = row == 1 and number > last
            ax.plot(number, row, "s", markersize=13, color="white" if lost else colour, markeredgecolor=IMAGE if lost else colour)  # fmt: skip
            ax.text(number, row, str(number), ha="center", va="center", fontsize=7.5, color=IMAGE if lost else "white")
    for number in saved:
        ax.plot(number + 0.5, 1, "|", color="black", markersize=24)
    ax.text(stopped + 0.8, 1, "power cut", va="center", color=IMAGE, fontsize=9)
    ax.set(xlim=(0, steps + 1), ylim=(-0.6, 1.6), yticks=(1, 0), yticklabels=("first try", "resumed"), xticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    again = f"step {stopped} is" if last + 1 == stopped else f"steps {last + 1} to {stopped} are"
    ax.set_title(f"Bars: checkpoints. After the stop {again} lost, and done again from the checkpoint of step {last}")
    return figure


def panel(corpus: Corpus, epochs: int = 5) -> StepPanel:
    """The stepping panel of a new run of the tiny model, kept in memory."""
    model, config = preset("tiny", epochs=epochs)
    return step_through(Trainer(corpus, model, config, progress=False))


# ---- sizes ----


def sizes(posts: int) -> str:
    """A table of the presets' sizes and what 40 epochs of `base` over some posts cost, from committed measurements."""
    real = {each["preset"]: each["whole"] for each in json.loads((BENCHMARKS / "real_sizes.json").read_text())}
    card = json.loads((BENCHMARKS / "gpu_step.json").read_text())
    lines = ["| preset | d | layers | n | crops | posts a batch | parameters |", "|---|---|---|---|---|---|---|"]
    for name, (d, layers) in {"tiny": (64, 2), "minilm": (384, 6), "base": (768, 12)}.items():
        model, train = preset(name)
        count = f"{(doctor.parameters(name) or 0) / 1e6:.1f} M"
        lines.append(
            f"| `{name}` | {d} | {layers} | {model.max_length} | 3 × {model.crop_size}² | {train.batch_size} | {count} |"
        )
    epochs, base = preset("base")[1].epochs, real["base"]
    cpu = base["cpu_seconds_per_step"] / 8 * posts * epochs / 3600
    gpu = card["batch 32"]
    minutes = posts * epochs / gpu["samples_per_second"] / 60
    told = (
        f"`base`, measured and committed, not run here: on one CPU thread {base['cpu_seconds_per_step']:.1f} seconds a step "
        f"of 8 posts and {base['peak_memory_gib']:.1f} GiB; on an {card['device']} {gpu['samples_per_second']:.0f} posts a "
        f"second at batch 32 and {gpu['peak_memory_gib']:.1f} GiB. So {epochs} epochs over {posts:,} posts, training steps alone, are about "
        f"{cpu:.0f} hours of one CPU thread, or {minutes:.0f} minutes there. For `minilm` no such time is committed."
    )
    return "The shapes and the bill change, not one line of code:\n\n" + "\n".join(lines) + f"\n\n{told}"


# ---- exercises ----


def _adam_variant(bias: bool = True, root: bool = True, decay_how: str = "w", sign: int = -1, betas: tuple[float, float] = (0.9, 0.999)):  # fmt: skip
    def step(weight: float, gradient: float, m: float, v: float, step: int, rate: float, decay: float) -> Any:
        if decay_how == "l2":
            gradient = gradient + decay * weight
        m, v = betas[0] * m + (1 - betas[0]) * gradient, betas[1] * v + (1 - betas[1]) * gradient**2
        high, wide = (m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)) if bias else (m, v)
        moved = high / ((math.sqrt(wide) if root else wide) + 1e-8)
        return weight - (rate * decay * weight if decay_how == "w" else 0.0) + sign * rate * moved, m, v

    return step


def _rate(step: int, steps: int, warmup: int) -> float:
    return (step + 1) / (warmup + 1) if step < warmup else (steps - step) / (steps - warmup)


EXERCISES: dict[str, Exercise] = {
    "start": Exercise(
        right=lambda posts, k: [math.log(posts / k), math.log(posts)],
        mistakes={
            "These are the two shares of the weight; the loss is minus their logarithm.": lambda posts, k: [
                k / posts,
                1 / posts,
            ],
            "The sign is turned round: the logarithm of a share is negative, the loss is not.": lambda posts, k: [
                math.log(k / posts),
                math.log(1 / posts),
            ],
            "The order is exchanged: IPS has the larger set of positives, so the smaller loss, and comes first.": (
                lambda posts, k: [math.log(posts), math.log(posts / k)]
            ),
            "The base is 2; these losses use the natural logarithm.": lambda posts, k: [
                math.log2(posts / k),
                math.log2(posts),
            ],
            "You gave IPS one positive only: K of the N pictures count together.": lambda posts, k: [
                math.log(posts),
                math.log(posts),
            ],
        },
        cases=[(32, 3)],
        praise="A loss at its start should be near a number that you can work out. If it is not, something is wrong.",
        within=0.02,
    ),
    "adamw": Exercise(
        right=adamw,
        mistakes={
            "The correction of the start is missing: divide m by 1 - 0.9**step and v by 1 - 0.999**step.": (
                _adam_variant(bias=False)
            ),
            "The square root is missing: v is a mean of squares.": _adam_variant(root=False),
            "The decay went into the gradient. That is Adam with L2; AdamW takes it from the weight directly.": (
                _adam_variant(decay_how="l2")
            ),
            "The weight decay is missing.": _adam_variant(decay_how="none"),
            "The weight moves along the gradient: that is uphill.": _adam_variant(sign=1),
            "The two rates of forgetting are exchanged: m forgets faster than v.": _adam_variant(betas=(0.999, 0.9)),
            "This is plain gradient descent with decay: m and v are not used for the step.": (
                lambda weight, gradient, m, v, step, rate, decay: (
                    weight - rate * decay * weight - rate * gradient,
                    0.9 * m + 0.1 * gradient,
                    0.999 * v + 0.001 * gradient**2,
                )
            ),
        },
        cases=[
            (1.0, 0.5, 0.0, 0.0, 1, 0.1, 0.1),
            (-0.6, 0.02, 0.05, 0.00025, 2, 0.05, 0.1),
            (0.8, -3.0, 0.4, 0.6, 9, 0.1, 0.2),
        ],  # fmt: skip
        praise="Decay and gradient are two separate pulls; only the second is rescaled.",
        within=1e-6,
    ),
    "rate": Exercise(
        right=_rate,
        mistakes={
            "Your first step has rate 0: it would change nothing.": lambda step, steps, warmup: (
                step / warmup if step < warmup else (steps - step) / (steps - warmup)
            ),
            "It rises, and then stays up: the decay is missing.": lambda step, steps, warmup: min(
                1.0, (step + 1) / (warmup + 1)
            ),
            "The decay counts from the first step, so that the rate jumps down where the warm-up ends.": (
                lambda step, steps, warmup: (step + 1) / (warmup + 1) if step < warmup else (steps - step) / steps
            ),
            "The full rate comes one step too early: divide by warmup + 1.": lambda step, steps, warmup: (
                (step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup)
            ),
            "There is no warm-up: it begins with the full rate.": lambda step, steps, warmup: (steps - step) / steps,
        },
        cases=[(0, 100, 6), (3, 100, 6), (5, 100, 6), (6, 100, 6), (50, 100, 6), (99, 100, 6)],
        praise="Up in a straight line, down in a longer one.",
    ),
    "reported": Exercise(
        right=lambda dev, test: test[int(np.argmax(dev))],
        mistakes={
            "You took the best test score. Then test has chosen, and is no test any more.": lambda dev, test: max(test),
            "You took the last epoch. Nothing says that the last is the best.": lambda dev, test: test[-1],
            "That is the dev score of the chosen epoch; it was chosen for being high, so it says too much.": (
                lambda dev, test: max(dev)
            ),
            "You took the epoch that is worst on dev.": lambda dev, test: test[int(np.argmin(dev))],
        },
        cases=[([60.1, 71.4, 70.9, 71.2], [61.0, 69.8, 71.9, 70.3]), ([50.0, 66.0, 64.2], [52.2, 63.1, 65.5])],
        praise="Test is looked at once, at the place where dev points.",
    ),
}
"""Exercises of lesson 07."""
