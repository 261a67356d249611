"""Lesson 08: five models with a planted fault each, and the five measurements that find them.

The faults stand further down. Who wants to find them by measuring stops reading at SUSPECTS.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from mgips.data.batch import Batch
from mgips.data.corpus import Corpus, Tweet
from mgips.errors import ConfigError
from mgips.evaluate import score
from mgips.lab.diagnosis import Diagnosis, diagnose
from mgips.lab.figures import show
from mgips.lab.figures.shared import headed
from mgips.lab.figures.style import GREY, IMAGE, LOSS, TEXT
from mgips.lab.gradients import reached
from mgips.lab.lessons.exercises import Exercise
from mgips.lab.stats import corrected, f1_interval, paired_bootstrap, tweet_counts
from mgips.model.contrastive import relevance
from mgips.model.crf import CRF
from mgips.model.interweave import PrePostGate
from mgips.model.mgips import MGIPS, Contrast, Loss, Output

NAMES = (
    "dropout left on",
    "gate frozen",
    "gradient cut",
    "own pair counted twice",
    "padding visible",
    "picture not read",
    "tags off by one",
)
"""What a suspect may have; two of them none has."""
LETTERS = ("A", "B", "C", "D", "E")
SHIFTS = (-2, -1, 0, 1, 2)
DECIMALS = 1e-3
"""Rounding makes two ways of computing the same thing differ by less than this."""


# ---- the measurements ----


def batch_of(model: MGIPS, posts: Sequence[Tweet]) -> Batch:
    """Posts as one batch, on the model's device."""
    return model.batcher(posts).to(model.device)


def apart(model: MGIPS, posts: Sequence[Tweet]) -> list[float]:
    """For each post the largest difference between its emissions in a batch of all of them and alone."""
    with model.evaluating():
        together = model(batch_of(model, posts)).emissions
        alone = [model(batch_of(model, [post])).emissions[0] for post in posts]
    return [float((one - row[: len(one)]).abs().max()) for one, row in zip(alone, together, strict=True)]


def gate_values(model: MGIPS, posts: Sequence[Tweet]) -> Tensor:
    """The text gate's values at all positions that exist, (positions × d,), on the CPU."""
    batch = batch_of(model, posts)
    with model.evaluating():
        gate = model(batch).text_gate
    assert gate is not None
    return gate[batch.piece_mask].flatten().cpu()


def gradients(model: MGIPS, posts: Sequence[Tweet]) -> dict[str, float]:
    """The norm of the loss's gradient in each part of the model; the model keeps nothing of it."""
    batch, training = batch_of(model, posts), model.training
    model.eval()
    with torch.enable_grad():
        norms = reached(model, model.loss(model(batch), batch).total)
    model.train(training)
    return norms


def shifted(rows: Sequence[Sequence[str]], shift: int) -> list[list[str]]:
    """Tags moved to the left by `shift` words (to the right below 0); O where nothing comes from."""
    return [[row[word + shift] if 0 <= word + shift < len(row) else "O" for word in range(len(row))] for row in rows]


def alignment(model: MGIPS, posts: Sequence[Tweet]) -> dict[int, float]:
    """F1 in per cent with the predicted tags moved by each of SHIFTS."""
    rows, gold = model.predict(posts), [post.tags for post in posts]
    return {shift: 100 * score(gold, shifted(rows, shift)).f1 for shift in SHIFTS}


@torch.no_grad()
def by_hand(model: MGIPS, out: Output, batch: Batch) -> dict[str, float]:
    """Eq. 19's terms worked out from emissions and relevance, post by post."""
    crf, rows = model.crf, []
    assert batch.tags is not None and isinstance(crf, CRF)
    for emissions, tags, words in zip(out.emissions, batch.tags, batch.word_mask.sum(1).tolist(), strict=True):
        path, scores = tags[:words], crf.start_transitions + emissions[0]
        gold = emissions[range(words), path].sum() + crf.transitions[path[:-1], path[1:]].sum()
        gold = gold + crf.start_transitions[path[0]] + crf.end_transitions[path[-1]]
        for now in emissions[1:words]:
            scores = torch.logsumexp(scores[:, None] + crf.transitions, 0) + now
        rows.append(torch.logsumexp(scores + crf.end_transitions, 0) - gold)
    terms = {"crf": float(torch.stack(rows).mean())}
    contrast = model.contrast(out, batch)
    weights = (contrast.relevance / model.temperature).exp()
    own = torch.arange(len(weights), device=weights.device)
    if model.config.ips_loss:
        chosen = (weights * contrast.positives).sum(1)
        terms["ips"] = float((-(chosen / weights.sum(1)).log())[contrast.positives.any(1)].sum() / len(weights))
    if model.config.cl_loss:
        sides = [weights]
        if model.config.symmetric:
            sides.append((relevance(contrast.images, contrast.texts) / model.temperature).exp())
        terms["cl"] = float(torch.stack([-(side[own, own] / side.sum(1)).log().mean() for side in sides]).mean())
    return terms


def terms(model: MGIPS, posts: Sequence[Tweet]) -> dict[str, tuple[float, float]]:
    """Each term of the loss: what the model says, and what it is by hand."""
    batch = batch_of(model, posts)
    with model.evaluating():
        out = model(batch)
        said, hand = model.loss(out, batch).terms, by_hand(model, out, batch)
    return {name: (float(said[name]), value) for name, value in hand.items()}


@dataclass(frozen=True)
class Measure:
    """One of the five measurements."""

    question: str
    measured: Callable[[MGIPS, Sequence[Tweet]], Any]
    wrong: Callable[[Any], bool]
    """Whether what was measured cannot be of a healthy model."""
    told: Callable[[Any], str]
    """What was measured, in a few characters."""
    finds: str
    """The name of the fault that it finds."""


def _emptiest(norms: Mapping[str, float]) -> str:
    name = min(norms, key=lambda part: norms[part])
    return f"{name}: {norms[name]:.2g}"


def _farthest(found: Mapping[str, tuple[float, float]]) -> str:
    name = max(found, key=lambda term: abs(found[term][0] - found[term][1]))
    off = abs(found[name][0] - found[name][1])
    return f"{name}: off by {off:.2f}" if off > DECIMALS else "equal"


MEASURES: dict[str, Measure] = {
    "batch and loop": Measure(
        "Does a post get the same scores in a batch as alone?",
        apart,
        lambda found: max(found) > DECIMALS,
        lambda found: f"off by {max(found):.1g}" if max(found) > DECIMALS else "equal",
        "padding visible",
    ),
    "gate": Measure(
        "Does the gate differ from word to word?",
        gate_values,
        lambda found: float(found.std()) < DECIMALS,
        lambda found: f"sd {float(found.std()):.2f}",
        "gate frozen",
    ),
    "gradient": Measure(
        "Does the loss reach every part?",
        gradients,
        lambda found: min(found.values()) == 0,
        _emptiest,
        "gradient cut",
    ),
    "alignment": Measure(
        "Do the tags stand on their own words?",
        alignment,
        lambda found: max(found, key=lambda shift: found[shift]) != 0,
        lambda found: f"best moved by {max(found, key=lambda shift: found[shift])}",
        "tags off by one",
    ),
    "loss by hand": Measure(
        "Is each term of the loss what its equation says?",
        terms,
        lambda found: any(abs(said - hand) > DECIMALS for said, hand in found.values()),
        _farthest,
        "own pair counted twice",
    ),
}
"""In the order in which the lesson teaches them."""


# ---- their pictures ----


def _draw_apart(ax: Axes, found: list[float]) -> str:
    rounding = torch.finfo(torch.float32).eps
    ax.bar(range(len(found)), [max(value, rounding) for value in found], color=TEXT)
    ax.axhline(DECIMALS, color=GREY, ls=":", lw=1.2, label="rounding stays below")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.set(yscale="log", ylim=(rounding, 20), xlabel="post", ylabel="batch against alone")
    return f"The largest difference between batch and loop is {max(found):.1g}"


def _draw_gate(ax: Axes, found: Tensor) -> str:
    ax.hist(found.numpy(), bins=[place / 40 for place in range(41)], color=TEXT)
    ax.set(xlim=(0, 1), xlabel="gate: 0 takes what came after the fusion, 1 what was there before", ylabel="values")
    return f"The gate's values have mean {float(found.mean()):.2f} and standard deviation {float(found.std()):.2f}"


def _draw_gradients(ax: Axes, found: Mapping[str, float]) -> str:
    floor = 1e-4
    ax.bar(list(found), [max(value, floor) for value in found.values()], color=LOSS)
    for place, value in enumerate(found.values()):
        ax.text(place, max(value, floor) * 1.15, f"{value:.2g}", ha="center", fontsize=9)
    ax.set(yscale="log", ylim=(floor, 20 * max(*found.values(), 1)), ylabel="norm of the gradient")
    return f"One backward pass: the smallest gradient is that of {_emptiest(found)}"


def _draw_alignment(ax: Axes, found: Mapping[int, float]) -> str:
    best = max(found, key=lambda shift: found[shift])
    ax.bar(list(found), list(found.values()), color=[TEXT if shift == best else GREY for shift in found])
    for shift, value in found.items():
        ax.text(shift, value + 1, f"{value:.1f}", ha="center", fontsize=9)
    ax.set(ylim=(0, 108), xlabel="tags moved to the left by so many words", ylabel="F1", xticks=list(found))
    return f"F1 is best with the tags {'where they are' if best == 0 else f'moved by {best}'}"


def _draw_terms(ax: Axes, found: Mapping[str, tuple[float, float]]) -> str:
    for side, (name, colour) in enumerate((("the model says", LOSS), ("by hand", GREY))):
        places = [place + 0.4 * side - 0.2 for place in range(len(found))]
        ax.bar(places, [pair[side] for pair in found.values()], width=0.38, color=colour, label=name)
        for place, pair in zip(places, found.values(), strict=True):
            ax.text(place, pair[side], f"{pair[side]:.3f}", ha="center", va="bottom", fontsize=9)
    ax.set_xticks(range(len(found)), list(found))
    ax.set(ylabel="nats a post")
    ax.margins(y=0.15)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    off = max(abs(said - hand) for said, hand in found.values())
    return f"Terms of the loss, as the model says and by hand: at most {off:.2g} apart"


DRAWN: dict[str, Callable[[Axes, Any], str]] = dict(
    zip(MEASURES, (_draw_apart, _draw_gate, _draw_gradients, _draw_alignment, _draw_terms), strict=True)
)


def picture(measure: str, found: Any, whose: str = "healthy") -> None:
    """Show what a measurement found.

    Args:
        measure: a name of MEASURES.
        found: what its function returned.
        whose: the model's name.
    """
    figure, ax = plt.subplots(figsize=(8.6, 2.7), layout="constrained")
    title = f"{whose}: {DRAWN[measure](ax, found)}"
    headed(figure, title)
    show(figure, f"{MEASURES[measure].question} {title}.")


def bench(model: MGIPS, posts: Sequence[Tweet]) -> Callable[[str, str], None]:
    """A function of a suspect's letter, or "healthy", and a measurement, which shows what comes out."""

    def measured(suspect: str, measurement: str) -> None:
        chosen = model if suspect == "healthy" else faulty(suspect, model)
        picture(measurement, MEASURES[measurement].measured(chosen, posts), suspect)

    return measured


def places() -> None:
    """Show where in the model the five measurements look."""
    figure, ax = plt.subplots(figsize=(9.3, 2.9), layout="constrained")
    ax.set(xlim=(-0.2, 10.3), ylim=(-1.45, 1.35))
    ax.axis("off")
    stages = ("posts,\npadded", "towers,\ninterweave", "gate", "words to\ntags", "loss")
    probes = ("batch\nand loop", "gate's\ndistribution", "tags against\nwords", "loss\nby hand")
    for place, name in enumerate(stages):
        x = 2.1 * place
        colour = LOSS if name == "loss" else TEXT
        ax.add_patch(
            FancyBboxPatch(
                (x, -0.3), 1.55, 0.7, boxstyle="round,pad=0,rounding_size=0.08", facecolor=colour, edgecolor=colour
            )
        )
        ax.text(x + 0.77, 0.05, name, ha="center", va="center", color="white", weight="bold", fontsize=9)
        if place:
            ax.annotate("", (x, 0.05), (x - 0.55, 0.05), arrowprops={"arrowstyle": "-|>", "color": GREY})
    for x, name in zip((1.8, 4.97, 7.07, 9.17), probes, strict=True):
        ax.annotate(name, (x, 0.42), (x, 1.05), ha="center", va="center", fontsize=9, color=IMAGE, weight="bold", arrowprops={"arrowstyle": "-|>", "color": IMAGE})  # fmt: skip
    ax.annotate("", (0.5, -0.75), (9.2, -0.75), arrowprops={"arrowstyle": "-|>", "color": IMAGE, "lw": 1.6})
    ax.text(
        4.9,
        -1.1,
        "gradient by part: the loss walks back through everything",
        ha="center",
        color=IMAGE,
        weight="bold",
        fontsize=9,
    )
    headed(figure, "Five places to look, and a measurement for each")
    show(
        figure,
        "A chain from padded posts over towers, gate and tags to the loss, with a measurement at each of five places.",
    )


def scores(model: MGIPS, posts: Sequence[Tweet]) -> str:
    """Show F1 of the healthy model and of the five suspects, with intervals.

    Returns:
        How many suspects say just what the healthy model says, in a sentence.
    """
    gold = [post.tags for post in posts]
    models = {"healthy": model, **{letter: faulty(letter, model) for letter in LETTERS}}
    rows = {name: each.predict(posts) for name, each in models.items()}
    counts = {name: tweet_counts(gold, each) for name, each in rows.items()}
    differences = {
        name: paired_bootstrap([counts["healthy"]], [each]) for name, each in counts.items() if name != "healthy"
    }
    p = corrected(differences)
    seen = [name for name, value in p.items() if value < 0.05]
    figure, ax = plt.subplots(figsize=(8.6, 2.9), layout="constrained")
    for place, (name, each) in enumerate(counts.items()):
        estimate = f1_interval([each])
        value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
        colour = LOSS if name == "healthy" else IMAGE if name in seen else TEXT
        ax.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=3)
        beside = f"{value:.1f}" if name == "healthy" else f"{value:.1f}   difference {differences[name]}"
        ax.text(1.02, place, beside, transform=ax.get_yaxis_transform(), va="center", fontsize=9)
    ax.set(yticks=range(len(counts)), yticklabels=list(counts), xlabel="test F1, with 95 % intervals", xlim=(-2, 100))
    ax.invert_yaxis()
    title = (
        f"By F1 alone, {len(seen)} of {len(differences)} broken models {'is' if len(seen) == 1 else 'are'} found out"
    )
    headed(figure, title)
    show(figure, f"F1 of the healthy model and five suspects. {title} (paired bootstrap, Holm).")
    same = [name for name in LETTERS if rows[name] == rows["healthy"]]
    dearest = max(100 * differences[name].detectable for name in LETTERS if name not in seen)
    return (
        f"{len(same)} of {len(LETTERS)} suspects ({', '.join(same) or 'none'}) give every word of every post the tag that the "
        f"healthy model gives it. Where F1 finds nothing, a true difference of {dearest:.1f} would have been detected with a "
        "probability of 80 %."
    )


def table(model: MGIPS, posts: Sequence[Tweet]) -> dict[str, dict[str, Any]]:
    """What each measurement finds in the healthy model and in each suspect: {model: {measurement: found}}."""
    models = {"healthy": model, **{letter: faulty(letter, model) for letter in LETTERS}}
    return {
        name: {measure: each.measured(suspect, posts) for measure, each in MEASURES.items()}
        for name, suspect in models.items()
    }


def answer_sheet(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Show `table`: each measurement and each model, with what is wrong in colour."""
    figure, ax = plt.subplots(figsize=(9.3, 3.1), layout="constrained")
    ax.set(xlim=(0, len(MEASURES)), ylim=(len(found), 0))
    caught = {
        name: [measure for measure in MEASURES if MEASURES[measure].wrong(row[measure])] for name, row in found.items()
    }
    for (y, (name, row)), (x, measure) in itertools.product(enumerate(found.items()), enumerate(MEASURES)):
        wrong = measure in caught[name]
        ax.add_patch(Rectangle((x, y), 1, 1, facecolor=IMAGE if wrong else "#F2F2F2", edgecolor="white", lw=2))
        look: dict[str, Any] = {"color": "white", "weight": "bold"} if wrong else {"color": "black"}
        ax.text(x + 0.5, y + 0.5, MEASURES[measure].told(row[measure]), ha="center", va="center", fontsize=9, **look)
    ax.set_xticks([x + 0.5 for x in range(len(MEASURES))], list(MEASURES))
    ax.set_yticks([y + 0.5 for y in range(len(found))], list(found))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    once = sum(len(caught[name]) == 1 for name in LETTERS)
    passes = "passes all" if not caught["healthy"] else f"fails {len(caught['healthy'])}"
    title = f"{once} of {len(LETTERS)} suspects are caught by exactly one measurement; the healthy model {passes}"
    headed(figure, title)
    show(figure, f"A table of models and measurements. {title}.")


def diagnosed(model: MGIPS, corpus: Corpus) -> Diagnosis:
    """What `mgips doctor` says of a model once it is saved and loaded again."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return replace(diagnose(folder, corpus, progress=False), run="the suspect")


# ---- the exercises ----

ALONE = torch.tensor([0.5, -1.0, 2.0])
"""One tag's emissions of three words, of a post that was read alone."""
TOGETHER = torch.tensor([0.5, -1.4, 2.1, 0.9, 0.9])
"""The same in a batch: two more places, which are padding."""
ROW = torch.tensor([0.8, 0.4, 0.1, -0.2, 0.0])
"""Relevance of a text to five pictures; its own comes first."""


def _cl(row: Tensor, tau: float) -> Tensor:
    return -(row / tau).softmax(0)[0].log()


def _twice(row: Tensor, tau: float) -> Tensor:
    """The own pair twice below the line."""
    return _cl(torch.cat([row, row[:1]]), tau)


# Everything below gives the answers away.
SUSPECTS: dict[str, str] = {
    "A": "tags off by one",
    "B": "padding visible",
    "C": "own pair counted twice",
    "D": "gate frozen",
    "E": "gradient cut",
}
HINTS = {
    "dropout left on": "Dropout left on draws anew in every pass, so two passes over one batch would differ. Make two: here they "
    "are equal.",
    "gate frozen": "With a frozen gate all values would be the same, whatever the word. Measure the gate: here they spread "
    "as in the healthy model.",
    "gradient cut": "With a cut gradient one of the five parts would have a norm of exactly 0. Measure the gradient by "
    "part: here each part gets some.",
    "own pair counted twice": "Then the contrastive loss would be larger than eq. 17 says. Work the loss out by hand: here "
    "all terms agree.",
    "padding visible": "Then a post would get other scores beside longer posts than alone. Compare batch and loop: here "
    "they agree to rounding.",
    "picture not read": "Then a blank picture under the same words would change nothing. Predict with blank pictures "
    "(mgips.lab.counterfactual.blank): here tags change.",
    "tags off by one": "Then F1 would jump once all tags are moved by a word. Try the alignment: here it is best where the "
    "tags are.",
}
"""Why a wrong name is wrong: what one would see, and how to look for it."""


def _suspect(letter: str) -> Exercise:
    def named(name: str) -> Callable[[], str]:
        return lambda: name

    truth = SUSPECTS[letter]
    mistakes = {hint: named(name) for name, hint in HINTS.items() if name != truth}
    return Exercise(named(truth), mistakes, praise=f"{letter} it is, and one measurement shows it.")


EXERCISES: dict[str, Exercise] = {
    "apart": Exercise(
        lambda alone, together: (together[: len(alone)] - alone).abs().max(),
        {
            "You kept the sign: a difference below zero is as wrong as one above. Take absolute values first.":
                lambda alone, together: (together[: len(alone)] - alone).max(),
            "An average hides one bad word among many good ones. Ask for the worst word.":
                lambda alone, together: (together[: len(alone)] - alone).abs().mean(),
            "You compared padding, too: with zeros in place of the missing words it always differs. Cut the batch's row first.":
                lambda alone, together: torch.cat([together[: len(alone)] - alone, together[len(alone) :]]).abs().max(),
        },
        [(ALONE, TOGETHER)],
        "Where this is more than rounding, something looks at what it should not see.",
    ),
    "own_pair": Exercise(
        _cl,
        {
            "The own pair stands twice below the line: once by itself, and once among all.": _twice,
            "The temperature is missing: divide each relevance by τ before exp.": lambda row, tau: _cl(row, 1.0),
            "Only the other pictures stand below the line. Eq. 17 sums over all of them, the own one included.":
                lambda row, tau: -(row[0] / tau) + torch.logsumexp(row[1:] / tau, 0),
            "That is the share itself. The loss is minus its logarithm.": lambda row, tau: (row / tau).softmax(0)[0],
            "The sign: a logarithm of a share is negative, and a loss is not.": lambda row, tau: -_cl(row, tau),
        },
        [(ROW, 0.5)],
        "A check by hand needs one row of numbers and no faith.",
    ),
    **{letter.lower(): _suspect(letter) for letter in LETTERS},
}  # fmt: skip


# ---- the faults ----


class _PieceBefore(MGIPS):
    """Forgets [CLS]: each word is represented by the piece in front of its own first one."""

    def forward(self, batch: Batch, *arguments: Any, **options: Any) -> Output:
        return super().forward(replace(batch, first=(batch.first - 1).clamp(min=0)), *arguments, **options)


class _Unmasked(MGIPS):
    """Takes padding for pieces."""

    def forward(self, batch: Batch, *arguments: Any, **options: Any) -> Output:
        whole = torch.ones_like(batch.piece_mask)
        return super().forward(replace(batch, piece_mask=whole), *arguments, **options)


class _Twice(MGIPS):
    """Has the own pair twice among the pictures of eq. 17."""

    def loss(self, out: Output, batch: Batch, self_mined: bool = True) -> Loss:
        found = super().loss(out, batch, self_mined)
        if found.contrast is None or "cl" not in found.terms:
            return found
        scores, own = found.contrast.relevance / self.temperature, found.contrast.own[:, None]
        more = torch.cat([scores, scores.gather(1, own)], 1)
        return Loss({**found.terms, "cl": torch.nn.functional.cross_entropy(more, own[:, 0])}, found.contrast)


class _Cut(MGIPS):
    """Detaches the relevance for the losses, where only mining should read it detached."""

    def contrast(self, out: Output, batch: Batch) -> Contrast:
        found = super().contrast(out, batch)
        images, texts = found.images.detach(), found.texts.detach()
        return replace(found, relevance=found.relevance.detach(), images=images, texts=texts)


class _Stuck(PrePostGate):
    """A gate whose weights are never asked."""

    def forward(self, pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
        gate = torch.full_like(pre, 0.5)
        return gate * pre + (1 - gate) * post, gate


KINDS: dict[str, type[MGIPS]] = {
    "tags off by one": _PieceBefore,
    "padding visible": _Unmasked,
    "own pair counted twice": _Twice,
    "gradient cut": _Cut,
}


def faulty(letter: str, model: MGIPS) -> MGIPS:
    """A copy of a model with one planted fault; the model stays as it is.

    Args:
        letter: one of LETTERS.
        model: a full model, with gate and contrastive losses.

    Raises:
        ConfigError: another letter, or a model that lacks what a fault needs.
    """
    if letter not in SUSPECTS:
        raise ConfigError(f"There is no suspect {letter!r}; choose one of {', '.join(LETTERS)}.")
    config = model.config
    if model.text_gate is None or not (config.cl_loss and config.crf and config.contrast_on == "fused"):
        raise ConfigError(
            "The suspects are made of a full model; this one lacks the gate, the CRF or the contrastive loss."
        )
    fault, suspect = SUSPECTS[letter], copy.deepcopy(model)
    changed, kind = (suspect.text_gate, _Stuck) if fault == "gate frozen" else (suspect, KINDS[fault])
    if isinstance(changed, kind):
        raise ConfigError(f"This model has the fault of {letter} already.")
    name = "PrePostGate" if kind is _Stuck else "MGIPS"  # what it calls itself does not say what it does
    changed.__class__ = type(name, (kind, type(changed)) if type(changed) not in kind.__bases__ else (kind,), {})
    return suspect


def pairs(model: MGIPS, posts: Sequence[Tweet]) -> dict[str, list[str]]:
    """Which measurements find something in a model with two faults: {"A + B": [measurement, …], …}."""
    found = {}
    for first, second in itertools.combinations(LETTERS, 2):
        both = faulty(second, faulty(first, model))
        found[f"{first} + {second}"] = [
            name for name, each in MEASURES.items() if each.wrong(each.measured(both, posts))
        ]
    return found
