"""`mgips doctor RUN`: why a run does not learn, and what is wrong with what it has learned.

Every check compares a number with what it should exceed, and that comes from the run or its corpus where it can:
the tag loss with that of a model that never looks at the words, the way that the weights can go with the spread that
they begin with, a score with the bootstrap interval of another. What cannot be checked says why.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy import stats

from mgips.config import CHARACTERS, PRESETS, RANDOM, WORDS, TrainConfig
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Drawing, Tweet
from mgips.data.load import load_corpus, place_in
from mgips.data.spans import spans
from mgips.data.windows import in_windows
from mgips.errors import MGIPSError, RunError
from mgips.evaluate import predict_split
from mgips.lab.audit import LONGEST
from mgips.lab.counterfactual import seen
from mgips.lab.precision import split_hubs
from mgips.lab.probe import Condition, probe
from mgips.lab.stats import Estimate, f1_interval, tweet_counts
from mgips.mining import MINES_NOTHING, mine_dataset
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import reach
from mgips.model.shipped import load, located
from mgips.run import best_device, read_record
from mgips.training import linear_schedule

ENOUGH = 30
"""Gold entities, or images, below which a share says too little."""
PROBED = 300
"""Posts with a picture that are shown other pictures."""
UNUSED = 0.05
"""Pictures count as unused where surely fewer posts than this share get other tags with other posts' pictures: so few
can gain from them."""
FEW = 0.1
"""Predicted entities as a share of the gold ones, below which nearly all is O."""
CUT = 0.01
"""Share of the gold entities past the cut from which it matters: a point of recall."""
OVERFITTED = 3
"""Last epochs that must all lie below the interval of the best one."""
SURE = 0.01
"""p-value of Fisher's test below which posts that train holds too score better than the others."""

State = Literal["wrong", "fine", "not checked"]


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    state: State
    evidence: str
    """The numbers it rests on; or why nothing was checked."""
    remedy: str = ""
    """What to do, where something is wrong."""


@dataclass(frozen=True)
class Diagnosis:
    """All checks of one run."""

    run: str
    corpus: str
    """Its name; empty where it was not found."""
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The checks that found something wrong."""
        return tuple(finding for finding in self.findings if finding.state == "wrong")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "wrong": [finding.name for finding in self.wrong]}

    def __str__(self) -> str:
        names, states = (2 + max(map(len, texts)) for texts in ([f.name for f in self.findings], ("not checked",)))
        lines = [f"{self.run}{f', with {self.corpus}' if self.corpus else ''}", ""]
        for finding in self.findings:
            lines.append(f"{finding.state:<{states}}{finding.name:<{names}}{finding.evidence}")
            lines += [f"{'':{states + names}}→ {finding.remedy}"] if finding.remedy else []
        made = sum(finding.state != "not checked" for finding in self.findings)
        checks = f"{made} of {len(self.findings)} checks made"
        last = f"{len(self.wrong)} found something wrong" if self.wrong else "nothing wrong found"
        return "\n".join([*lines, "", f"{checks}, {last}."])


def diagnose(
    run: str | Path, corpus: Corpus | str | Path | None = None, root: str | Path | None = None, progress: bool = True
) -> Diagnosis:
    """Check a run folder, finished or not, or a saved model.

    Its best weights predict dev and test; up to PROBED posts of dev are also shown other pictures.

    Args:
        corpus: a corpus or what `load_corpus` takes; by default the one that the run was trained on, if it is found.
        root: where the Twitter folders are.

    Raises:
        RunError: neither a run nor a saved model.
        DataError, ConfigError: a corpus that is named here and cannot be loaded.
    """
    case = _Case(run, corpus, root, progress)
    findings = []
    for name, check in CHECKS.items():
        try:
            state, evidence, *remedy = check(case)
        except MGIPSError as error:
            state, evidence, remedy = "not checked", str(error), []
        findings.append(Finding(name, state, evidence, *remedy))
    return Diagnosis(str(run), case.found.name if isinstance(case.found, Corpus) else "", tuple(findings))


class _Unknown(MGIPSError):
    """Something that a check needs is not there."""


Result = tuple[State, str] | tuple[State, str, str]


class _Case:
    """A run's record, its model and its corpus. What is missing raises, with the reason, where a check asks for it."""

    def __init__(
        self, run: str | Path, corpus: Corpus | str | Path | None, root: str | Path | None, progress: bool
    ) -> None:
        self.folder, self.progress = Path(located(run)), progress
        self.record: dict[str, Any] = self._json("run.json") or self._json("card.json") or {}
        self.results, self.stop = self._json("results.json"), self._json("stopped.json")
        self._history = self._lines("metrics.jsonl")
        self._model: MGIPS | None = None
        try:
            self._model = load(run).to(best_device())
        except RunError:
            if not self.record or (self.folder / "model.safetensors").exists():
                raise
        known = {field.name for field in dataclasses.fields(TrainConfig)}
        self.config = TrainConfig(**{k: v for k, v in self.record.get("train", {}).items() if k in known})
        self.found = self._corpus(corpus, root)

    def _json(self, name: str) -> Any:
        file = self.folder / name
        return read_record(file) if file.is_file() else None

    def _lines(self, name: str) -> list[dict[str, Any]]:
        file = self.folder / name
        try:
            return (
                [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
            )
        except ValueError:
            raise RunError(f"{file} is damaged: it does not hold a line of JSON an epoch; restore it.") from None

    def _corpus(self, given: Corpus | str | Path | None, root: str | Path | None) -> Corpus | str:
        """The corpus, or why there is none."""
        if isinstance(given, Corpus):
            return given
        if given is not None:
            return load_corpus(given, root)
        try:
            name = place_in(self.record.get("corpus", {}))
            if name is None:
                return "It is not recorded which corpus it was trained on; name one with --corpus."
            return load_corpus(name, root)
        except MGIPSError as error:
            return f"Its corpus was not found: {error}"

    @property
    def history(self) -> list[dict[str, Any]]:
        """A record per epoch that is done."""
        if not self._history:
            raise _Unknown(
                "No epoch is done." if (self.folder / "run.json").exists() else "There is no metrics.jsonl here."
            )
        return self._history

    @property
    def model(self) -> MGIPS:
        """The model with its best weights."""
        if self._model is None:
            raise _Unknown("There are no weights: they are saved after an epoch.")
        return self._model

    @property
    def corpus(self) -> Corpus:
        """Its corpus, or the one that was named."""
        if isinstance(self.found, str):
            raise _Unknown(self.found)
        return self.found

    @property
    def own_corpus(self) -> Corpus:
        """The corpus, if it is the very one that the run was trained on."""
        if self.record.get("corpus", {}).get("sha256") != self.corpus.fingerprint():
            raise _Unknown(f"The run was not trained on the very posts of {self.corpus.name}.")
        return self.corpus

    # ---- how it was trained ----

    @property
    def rates(self) -> str:
        """The learning rates, as they are typed."""
        parts = ("text", *(("image", "fusion", "contrast") if self.images else ()), "head")
        return "now " + " ".join(f"--lr-{part} {getattr(self.config, f'lr_{part}'):g}" for part in parts)

    @property
    def images(self) -> bool:
        """Whether the model has an image side."""
        return bool(self.record.get("model", {}).get("images"))

    @cached_property
    def steps(self) -> tuple[int, int, int]:
        """Steps done in whole epochs; planned for the whole run; of these, steps of warm-up."""
        last = self.history[-1]
        planned = last["step"] // last["epoch"] * self.config.epochs
        return last["step"], planned, math.ceil(self.config.warmup_ratio * planned)

    @cached_property
    def way(self) -> tuple[float, float]:
        """How far the classifier's weights could go: the sum of their learning rates over the steps done, since a step
        of Adam moves a weight by about its rate at most. And their standard deviation at the start, 1 / sqrt(3d)."""
        done, planned, _ = self.steps
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], self.config.lr_head)
        schedule, way = linear_schedule(optimizer, planned, self.config.warmup_ratio), 0.0
        for _ in range(done):
            way += optimizer.param_groups[0]["lr"]
            optimizer.step()
            schedule.step()
        width = self._json("config.json")["encoders"]["text"]["hidden_size"]
        return way, 1 / math.sqrt(3 * width)

    @property
    def tag_losses(self) -> list[float]:
        """Of each epoch, in nats a post, averaged over its steps."""
        name = next((key for key in ("loss_crf", "loss_softmax") if key in self.history[0]), None)
        if name is None:
            raise _Unknown("metrics.jsonl has no loss of the tags.")
        return [line[name] for line in self.history]

    @cached_property
    def blind(self) -> float:
        """The tag loss of a model that never looks at the words, but knows how often each tag follows each (how often
        each tag occurs, for a model without CRF): nats a post of train."""
        train: Sequence[Tweet] = self.own_corpus.train
        if self.model.config.overlap:
            train = in_windows(train, self.model.batcher, self.model.config.overlap)
        rows = [encoded.tags or [] for encoded in map(self.model.batcher.encode, train)]
        pairs = Counter(
            (before if self.model.config.crf else -1, tag)
            for row in rows
            for before, tag in zip([-1, *row], row, strict=False)
        )
        total = Counter[int]()
        for (before, _), count in pairs.items():
            total[before] += count
        return sum(-count * math.log(count / total[before]) for (before, _), count in pairs.items()) / len(rows)

    def learned(self, otherwise: bool) -> bool:
        """Whether the tag loss of the last epoch is below that; `otherwise` where it is not known."""
        try:
            return self.tag_losses[-1] < self.blind
        except MGIPSError:
            return otherwise

    # ---- what it predicts ----

    @cached_property
    def _data(self) -> dict[str, TweetDataset]:
        return {}

    def data(self, split: str) -> TweetDataset:
        """A split, tokenized and decoded once."""
        if split not in self._data:
            self._data[split] = TweetDataset(self.corpus.labelled(split), self.model.batcher, self.progress)
        return self._data[split]

    @cached_property
    def _predicted(self) -> dict[str, list[list[str]]]:
        return {}

    def predicted(self, split: str) -> list[list[str]]:
        """The tags of a split, predicted once."""
        if split not in self._predicted:
            self._predicted[split] = predict_split(self.model, self.data(split))
        return self._predicted[split]

    def counts(self, split: str) -> np.ndarray:
        """Right, predicted and gold entities of each post: (N, 3)."""
        return tweet_counts([tweet.tags for tweet in self.corpus.labelled(split)], self.predicted(split))

    def f1(self, split: str) -> Estimate:
        """F1 with its bootstrap interval; enough entities for one are asked for."""
        counts = self.counts(split)
        if counts[:, 2].sum() < ENOUGH:
            raise _Unknown(f"{split} has {counts[:, 2].sum()} entities, too few for an interval (of {ENOUGH}).")
        return f1_interval([counts])

    @cached_property
    def in_train(self) -> dict[str, np.ndarray]:
        """For dev and test, (N,) bool: posts whose text or picture train has too."""
        known = {sign for tweet in self.corpus.train for sign in _signs(tweet)}
        return {
            split: np.array([not known.isdisjoint(_signs(tweet)) for tweet in self.corpus.labelled(split)])
            for split in ("dev", "test")
        }


# ---- the checks ----


def _end(case: _Case) -> Result:
    """Did it come to its end? A loss that was no number, or a run that was stopped."""
    if case.stop is not None:
        stop = case.stop
        before = ", ".join(f"{loss:.4g}" for loss in stop["losses"][-3:])
        evidence = f"The {stop['what']} became {stop['value']} at step {stop['step']}" + (
            f"; the losses before it: {before}." if before else ", the first that was looked at."
        )
        others = [] if case.config.precision == "no" else ["without --precision bf16"]
        others += [] if case.config.max_grad_norm else ["with --max-grad-norm 1"]
        return (
            "wrong",
            evidence,
            f"Start another run with a tenth of its learning rates ({case.rates})"
            + "".join(f", or {other}" for other in others)
            + ". To resume this one repeats it, for the settings stay the same.",
        )
    if not (case.folder / "run.json").exists():
        raise _Unknown("This is a saved model without the record of its run.")
    epochs = case.config.epochs
    if case.results is not None:
        done = len(case.history)
        early = f", ended by --patience {case.config.patience} or by hand" if done < epochs else ""
        return "fine", f"Complete, with test scores: {done} of {epochs} epochs{early}."
    done = len(case._history)
    return (
        "wrong",
        f"{done} of {epochs} epochs are done, and there are no test scores: it was stopped, or is still running.",
        "The command that started it goes on with --resume, "
        + ("from its checkpoint." if (case.folder / "checkpoint.pt").exists() else "from the beginning."),
    )


def _schedule(case: _Case) -> Result:
    """Were there enough steps, at rates high enough, for anything to be learned?"""
    done, planned, warmup = case.steps
    longer = f"--epochs {2 * case.config.epochs}"
    if done < warmup:
        return (
            "wrong",
            f"{done} steps are done, and the warm-up takes {warmup} of the {planned} planned: the learning rates "
            f"never came above {100 * done / (warmup + 1):.0f} % of their values.",
            f"Train to the end, or warm up for less (--warmup-ratio {TrainConfig.warmup_ratio}).",
        )
    way, spread = case.way
    moves = f"in {done} steps a weight of the classifier moves by about {way:.2g} at most"
    learns = case.learned(max(line["dev_f1"] for line in case.history) > 0)
    if way < spread and not learns:
        return (
            "wrong",
            f"Too few steps, or too small ones: {moves}, which is less than the spread of {spread:.2g} it begins with.",
            f"Train for longer ({longer}, or a smaller --batch-size), or raise --lr-head (now {case.config.lr_head:g}).",
        )
    scores = [line["dev_f1"] for line in case.history]
    complete = case.results is not None and len(scores) > 1
    if complete and 1 > scores[-1] > max(scores[:-1]):
        try:
            low = case.f1("dev").low
        except MGIPSError:
            low = -math.inf  # without an interval it cannot be told from noise
        if max(scores[:-1]) < low:
            return (
                "wrong",
                f"Dev F1 still rose when it ended: {100 * scores[-1]:.1f} in the last epoch, with an interval from "
                f"{100 * low:.1f}, and {100 * max(scores[:-1]):.1f} at best before.",
                f"Train for longer: {longer}.",
            )
    warm = f"{warmup} of them warm-up" if warmup else "without warm-up"
    return "fine", f"{done} steps, {warm}; {moves}, and begins with a spread of {spread:.2g}."


def _tag_loss(case: _Case) -> Result:
    """Does the loss say that the words were looked at?"""
    losses, blind = case.tag_losses, case.blind
    course = f"the tag loss went from {losses[0]:.3g} to {losses[-1]:.3g} nats a post in {len(losses)} {'epochs' if len(losses) > 1 else 'epoch'}"
    knows = f"{blind:.3g}, what the frequencies of the tags alone give"
    if losses[-1] < blind:
        return "fine", f"T{course[1:]}, and is below {knows}."
    if losses[-1] > losses[0] + blind or min(losses) < blind:  # what is stuck wavers by less
        return (
            "wrong",
            f"It diverges: {course}, {min(losses):.3g} at its lowest, and ended above {knows}.",
            f"Lower the learning rates to a tenth ({case.rates})"
            + ("." if case.config.max_grad_norm else ", and clip the gradient: --max-grad-norm 1."),
        )
    way, spread = case.way
    return (
        "wrong",
        f"Flat, or stuck: {course} ({100 * (1 - losses[-1] / losses[0]):.1f} % down), and is not below {knows}: "
        "nothing is learned from the words.",
        f"Raise the learning rates tenfold ({case.rates}) or train for longer."
        if way < spread
        else f"Try other learning rates ({case.rates}): the presets have {PRESETS['tiny'][1].lr_text:g} for towers from a "
        f"random start and {PRESETS['base'][1].lr_text:g} for pretrained ones. And look whether the tags of train belong "
        "to its words.",
    )


def _overfitting(case: _Case) -> Result:
    """Did dev fall while the loss fell?"""
    losses, scores = case.tag_losses, [line["dev_f1"] for line in case.history]
    best = scores.index(max(scores))
    if len(scores) <= OVERFITTED:
        raise _Unknown(f"{len(scores)} epochs are too few to see it; it takes more than {OVERFITTED}.")
    low = case.f1("dev").low if case.own_corpus else 0.0  # the history was scored on these very posts
    after = scores[max(best + 1, len(scores) - OVERFITTED) :]
    if len(after) == OVERFITTED and max(after) < low and losses[-1] < losses[best]:
        return (
            "wrong",
            f"Overfitting: from epoch {best + 1} to {len(scores)} the tag loss fell from {losses[best]:.3g} to "
            f"{losses[-1]:.3g}, and dev F1 from {100 * scores[best]:.1f} to {100 * scores[-1]:.1f}, below its interval "
            f"for {OVERFITTED} epochs.",
            f"The weights of epoch {best + 1} were kept. --patience {OVERFITTED} saves the time; more --dropout, "
            "--weight-decay or posts may raise the peak.",
        )
    return (
        "fine",
        f"Dev F1 {100 * scores[best]:.1f} at its best (epoch {best + 1}), {100 * scores[-1]:.1f} in the last.",
    )


def _entities(case: _Case) -> Result:
    """Is anything predicted at all, and anything right?"""
    right, predicted, gold = case.counts("dev").sum(0).tolist()
    if not gold:
        raise _Unknown("dev has no entity.")
    if not right or predicted < FEW * gold:
        words = sum(len(tweet.words) for tweet in case.corpus.train)
        tagged = sum(tag != "O" for tweet in case.corpus.train for tag in tweet.tags)
        more = (
            "See the tag loss above."
            if not case.learned(True)
            else f"Train for longer, or raise the learning rates ({case.rates})."
        )
        return (
            "wrong",
            f"All O, or nearly: {predicted} entities are predicted on dev, which has {gold}."
            if predicted < FEW * gold
            else f"None of the {predicted} entities predicted on dev is right; it has {gold}.",
            f"{more} {100 * tagged / max(1, words):.1f} % of train's words have a tag other than O: look whether that is so.",
        )
    return "fine", f"{predicted} entities are predicted on dev, {right} of them right; it has {gold}."


def _types(case: _Case) -> Result:
    """Is a type of the corpus never predicted?"""
    tweets = case.corpus.labelled("dev")

    def count(rows: Sequence[Sequence[str]]) -> Counter[str]:
        return Counter(span.type for tweet, tags in zip(tweets, rows, strict=True) for span in spans(tweet.words, tags))

    gold, predicted = count([tweet.tags for tweet in tweets]), count(case.predicted("dev"))
    if not predicted:
        raise _Unknown("Nothing is predicted.")
    right = int(case.counts("dev")[:, 0].sum())
    recall = right / max(1, sum(gold[kind] for kind in predicted))
    # Were it found as often as the others, it would be missed altogether with a probability of (1 - recall) ** gold.
    never = [kind for kind in gold if kind not in predicted and (1 - recall) ** gold[kind] < 0.05]
    train = Counter(span.type for tweet in case.corpus.train for span in spans(tweet.words, tweet.tags))
    if never:
        missing = ", ".join(f"{kind} (gold: {gold[kind]} in dev, {train[kind]} in train)" for kind in never)
        only = f"Only {', '.join(predicted)} is predicted, {predicted.total()} times; " if len(predicted) == 1 else ""
        none = [kind for kind in never if not train[kind]]
        return (
            "wrong",
            f"{only}never predicted: {missing}, though {100 * recall:.0f} % of the other types' entities are found.",
            f"Train has no {', '.join(none)}: add posts with it, or leave the type out."
            if none
            else "See the tag loss above."
            if not case.learned(True)
            else "Add posts with these types to train, or repeat those that it has; and look whether they are tagged alike "
            "in train and dev.",
        )
    absent = [kind for kind in gold if kind not in predicted]
    rare = f"; {', '.join(absent)} never, too rare in dev to tell" if absent else ""
    return "fine", "Predicted on dev: " + ", ".join(f"{kind} {n}" for kind, n in predicted.items()) + rare + "."


def _dev_and_test(case: _Case) -> Result:
    """Does dev score far above test?"""
    dev, test = case.f1("dev"), case.f1("test")
    both = f"dev F1 {dev}, test F1 {test}"
    if dev.low > test.high:
        dev_in, test_in = (f"{int(case.in_train[s].sum())} of {len(case.in_train[s])}" for s in ("dev", "test"))
        return (
            "wrong",
            f"Dev lies far above test, their intervals apart: {both}. Of dev's posts {dev_in} share their text or "
            f"picture with train, of test's {test_in}.",
            "Take from train what dev has too."
            if case.in_train["dev"].mean() > case.in_train["test"].mean()
            else "Look whether test is tagged as train and dev are, and comes from the same time and place; "
            "`mgips split` draws the three anew.",
        )
    return "fine", f"Their intervals meet, or test is above: {both}."


def _leak(case: _Case) -> Result:
    """Do posts that train holds too score better?"""
    seen_texts, wrong = [], []
    for split, shared in case.in_train.items():
        counts, n = case.counts(split), int(shared.sum())
        seen_texts.append(f"{n} of {len(shared)} posts of {split}")
        inside, outside = counts[shared].sum(0), counts[~shared].sum(0)
        if min(inside[2], outside[2]) < ENOUGH:
            continue
        table = [[part[0], part[2] - part[0]] for part in (inside, outside)]
        if stats.fisher_exact(table, "greater").pvalue < SURE:  # pyright: ignore[reportAttributeAccessIssue]
            found = [100 * part[0] / part[2] for part in (inside, outside)]
            wrong.append(f"{n} of {len(shared)} posts of {split}: {found[0]:.1f} % of their entities are found, "
                         f"{found[1]:.1f} % of the others'")  # fmt: skip
    if wrong:
        return (
            "wrong",
            f"Posts whose text or picture train has too score better: {'; '.join(wrong)}.",
            "Take them from train, or draw the splits anew with `mgips split`; the scores are too high until then.",
        )
    return "fine", f"Text or picture in train too: {', '.join(seen_texts)}; no sign that they score better."


def _pictures(case: _Case) -> Result:
    """Do the pictures matter to it?"""
    config = case.model.config
    if not config.images:
        raise _Unknown("This model sees no pictures.")
    data = case.data("dev")
    tweets = [tweet for tweet, there in zip(data.tweets, data.has_image.tolist(), strict=True) if there]
    share = np.mean([seen(tweet, config) is not None for tweet in case.corpus.train])
    text = "Train the text-only model (--variant text), or look why they are not found: `mgips audit`."
    if not tweets or not share:
        return (
            "wrong",
            f"Pictures unused: {100 * share:.1f} % of train's posts have one, and {len(tweets)} of dev's {len(data)}.",
            text,
        )
    some = dataclasses.replace(case.corpus, dev=tuple(tweets[:PROBED]))
    conditions = {c.name: c for c in probe(case.model, some, "dev", draws=500, progress=False).conditions}
    shuffled, blank = conditions.get("shuffled"), conditions.get("blank")
    if shuffled is None or blank is None or shuffled.flips is None:
        raise _Unknown("Dev's pictures are all alike, so there is nothing to exchange.")

    def told(condition: Condition) -> str:
        return f"{condition.flips} % (F1 {condition.difference})"

    evidence = (
        f"{told(shuffled)} of {shuffled.flips.count} posts get other tags with other posts' pictures, "
        f"{told(blank)} with none."
    )
    if shuffled.flips.high < UNUSED:
        return (
            "wrong",
            f"Pictures unused: {evidence}",
            f"Look whether pictures belong to their posts (`mgips audit`), and raise the image side's rates "
            f"(now --lr-image {case.config.lr_image:g} --lr-fusion {case.config.lr_fusion:g}); compare with --variant text.",
        )
    if not shuffled.flips.value:
        raise _Unknown(f"{shuffled.flips.count} posts with a picture are too few to say that none changes.")
    return "fine", evidence


def _cut(case: _Case) -> Result:
    """Are gold entities past the cut?"""
    batcher, config = case.model.batcher, case.model.config
    if config.overlap:
        return "fine", f"Posts longer than {config.max_length} word pieces are read in windows."
    gold = past = longest = 0
    for tweets in case.corpus.splits.values():
        batcher.learn_words(tweets)
        for tweet in tweets:
            inside = len(batcher.encode(tweet).first)
            ends = [span.end for span in spans(tweet.words, tweet.tags)]
            gold, past = gold + len(ends), past + sum(end > inside for end in ends)
            longest = max(longest, sum(batcher.word_lengths(tweet)) + 2)  # [CLS] and [SEP]
    if not gold:
        raise _Unknown("No post has an entity.")
    evidence = f"{past} of {gold} gold entities ({100 * past / gold:.1f} %) are past the cut at {config.max_length} word pieces"
    if past / gold > CUT:
        wanted = -(-longest // 8) * 8
        ours = config.text_encoder in (RANDOM, WORDS, CHARACTERS)  # built as long as it is asked to be
        most = LONGEST if ours else reach(case.model.encoder_configs["text"])
        return (
            "wrong",
            f"Words are cut: {evidence}; no prediction can find them.",
            f"--max-length {wanted} holds the longest post, of {longest}."
            if wanted <= most
            else f"--max-length {most} --overlap 16 reads posts, the longest of {longest} pieces, in windows.",
        )
    return "fine", f"{evidence}; the longest post has {longest}."


def _hubs(case: _Case) -> Result:
    """Do a few images fill most mined places?"""
    config = case.model.config
    if not config.relates or case.model.image_head is None:
        raise _Unknown(MINES_NOTHING)
    if not (config.ips_loss or case.model.reader):
        raise _Unknown("What it would mine enters neither its loss nor what it reads.")
    data = case.data("dev")
    candidates = None if config.mine_missing and case.model.reader is None else data.has_image
    images = len(data) if candidates is None else int(candidates.sum())
    if data.has_image.sum() < ENOUGH:
        raise _Unknown(f"dev has {int(data.has_image.sum())} pictures, too few to tell hubs from chance (of {ENOUGH}).")
    mined = mine_dataset(case.model, data, min(config.k, images), progress=case.progress)
    found, chance = split_hubs(mined.index, candidates)
    evidence = (
        f"the ten most mined of dev's {images} images fill {100 * found.top_ten:.1f} % of the places "
        f"({100 * chance.top_ten:.1f} % by chance); skewness {found.skewness:.1f} ({chance.skewness:.1f} by chance)"
    )
    if found.top_ten > max(0.5, 2 * chance.top_ten):
        remedies = [
            option
            for option, on in (("--contrast-norm", config.contrast_norm), ("--csls", config.csls))
            if not on
        ]  # fmt: skip
        return (
            "wrong",
            f"Hubs: {evidence}.",
            f"Try {' and '.join(remedies) or 'a lower --temperature'}, and a lower --lr-contrast "
            f"(now {case.config.lr_contrast:g}); or mine nothing until it is settled (--ips-warmup).",
        )
    return "fine", f"{evidence[0].upper()}{evidence[1:]}."


CHECKS: dict[str, Callable[[_Case], Result]] = {
    "end of the run": _end,
    "schedule": _schedule,
    "tag loss": _tag_loss,
    "overfitting": _overfitting,
    "entities": _entities,
    "types": _types,
    "dev and test": _dev_and_test,
    "leak": _leak,
    "pictures": _pictures,
    "cut words": _cut,
    "hubs": _hubs,
}
"""In the order in which they are read: what stops a run comes before what it learned."""


def _signs(tweet: Tweet) -> list[tuple[str, Any]]:
    """A post's text, without capitals, punctuation and links, and the content of its picture."""
    words = tuple(word.casefold() for word in tweet.words if any(map(str.isalnum, word)) and word[:4] != "http")
    signs: list[tuple[str, Any]] = [("text", words)] if words else []
    source = tweet.image
    try:
        if isinstance(source, str | Path):
            source = Path(source).read_bytes()
        if isinstance(source, Drawing):
            source = b"drawing" + source.key()
    except OSError:
        source = None
    return [*signs, ("picture", hashlib.sha256(source).hexdigest())] if isinstance(source, bytes) else signs
