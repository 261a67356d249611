"""What a lesson opens: a corpus, and the models to look into. By default TinyTweets and the models of the package.

MGIPS_RUN      a run folder, or two separated as in PATH: its model in place of the package's; a text-only one beside it
MGIPS_PRESET   a preset, trained on the corpus when a lesson first needs it, and kept
MGIPS_DATA     where the Twitter corpora are; MGIPS_CORPUS names one (twitter2017 by default), or a folder of posts
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from mgips.config import ModelConfig, TrainConfig, preset
from mgips.data.corpus import Corpus
from mgips.data.load import load_corpus, place_in
from mgips.errors import DataError, RunError
from mgips.lab import doctor
from mgips.lab.figures import show, style
from mgips.lab.lessons.contents import Lesson, lesson_of
from mgips.lab.lessons.map import described, here
from mgips.lab.lessons.places import KEPT
from mgips.lab.lessons.prose import say
from mgips.model.mgips import MGIPS
from mgips.model.shipped import load, shipped
from mgips.run import SAME_BITS, best_device, one_thread, recorded_corpus
from mgips.training import train

PACKAGE = {"full": "tiny-full", "text": "tiny-text"}
"""The package's model of a variant."""


HAS: dict[str, Callable[[ModelConfig], bool]] = {
    "photo": lambda config: config.images,
    "mutual attention": lambda config: config.images and config.mutual_attention,
    "interweave": lambda config: config.images and config.mgi,
    "gate": lambda config: config.images and config.mgi,
    "crf": lambda config: config.crf,
    "mining": lambda config: config.contrast,
}
"""Whether a model has a box of the map."""
WORDS_DO = ("crf",)
"""Lessons that a model without pictures can open."""
FEWEST = 30
"""Test posts from which on a share or an interval says something."""


class Opened:
    """A lesson's corpus and models; a model is loaded, or trained, when it is first used."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.runs = [_found(run) for run in os.environ.get("MGIPS_RUN", "").split(os.pathsep) if run]
        for run in self.runs:
            if str(run) not in shipped() and not run.is_dir():
                here = "" if run.is_absolute() else f" (counted from {Path.cwd()})"
                raise RunError(f"MGIPS_RUN names {run}{here}, which is no folder; give run folders, or names of {', '.join(shipped())}.")  # fmt: skip
        self.preset = os.environ.get("MGIPS_PRESET")

    @cached_property
    def corpus(self) -> Corpus:
        """TinyTweets, or the reader's own posts: those that MGIPS_DATA or MGIPS_CORPUS names, or MGIPS_RUN's."""
        named, root = os.environ.get("MGIPS_CORPUS"), os.environ.get("MGIPS_DATA")
        if named or root:
            return load_corpus(str(_found(named)) if named else "twitter2017", _found(root) if root else None)
        record = recorded_corpus(self.runs[0]) if self.runs else None
        return load_corpus(place_in(record or {}) or "tinytweets")

    @property
    def tiny(self) -> bool:
        """Whether it is TinyTweets, where the truth behind each post is known."""
        return self.corpus.name == "tinytweets"

    @property
    def own(self) -> bool:
        """Whether the model is the reader's: another run, preset or corpus than the package's."""
        return bool(self.runs or self.preset) or not self.tiny

    @cached_property
    def model(self) -> MGIPS:
        """The model to look into: the full one of the package by default; of two runs the one that has images.

        Raises:
            RunError: the run lacks what the lesson looks into, or does not know the posts' entity types.
        """
        model = self._given(images=True) or self._given(images=False) or self.trained("full")
        if not model.config.images and self.lesson.topic not in WORDS_DO:
            raise RunError(f"The run {self.runs[0]} reads the text alone, and this lesson is about pictures; name a run of a full model in MGIPS_RUN, the text-only one beside it.")  # fmt: skip
        tags = {tag[2:] for post in self.corpus.test for tag in post.tags or () if tag != "O"}
        if self.runs and (unknown := sorted(tags - set(model.config.types))):
            raise RunError(f"The run {self.runs[0]} knows no {', '.join(unknown)}, which the posts of {self.corpus.name} have; give MGIPS_RUN a run that was trained on them, or leave MGIPS_CORPUS and MGIPS_DATA out.")  # fmt: skip
        for stage in self.lesson.stages:
            if stage in HAS and not HAS[stage](model.config):
                run = f"the run {self.runs[0]}" if self.runs else f"preset {self.preset}"
                raise RunError(f"This lesson looks into {stage}, and {run} has none; name another run in MGIPS_RUN.")
        return model

    @cached_property
    def text(self) -> MGIPS:
        """The model that reads the text alone."""
        return self._given(images=False) or self.trained("text")

    @cached_property
    def _loaded(self) -> list[MGIPS]:
        """The models of MGIPS_RUN."""
        return [load(run).to(best_device()) for run in self.runs]

    def _given(self, images: bool) -> MGIPS | None:
        """The first model of MGIPS_RUN that has images, or has none."""
        return next((model for model in self._loaded if model.config.images is images), None)

    @cached_property
    def reader(self) -> MGIPS:
        """The package's model that reads other posts' pictures, too; of TinyTweets, whatever the corpus is."""
        return load("tiny-reads").to(best_device())

    def trained(self, variant: str = "full", **changes: Any) -> MGIPS:
        """A variant, loaded where it comes with the package or was trained before, and trained now where not.

        Args:
            variant: a name of `mgips.config.VARIANTS`.
            changes: fields of ModelConfig or TrainConfig.
        """
        if not self.own and variant in PACKAGE and not changes:
            return load(PACKAGE[variant]).to(best_device())
        return trained(self.corpus, variant, self.preset or "tiny", **changes)

    def __repr__(self) -> str:
        return f"lesson {self.lesson.name}: {self.corpus.name}"


def _found(place: str) -> Path:
    """A path as the reader wrote it; one that is not in the notebooks' folder is counted from the one above, from where
    `make lab` is called."""
    path = Path(place).expanduser()
    above = Path("..") / path
    return above if not path.is_absolute() and not path.exists() and above.exists() else path


def start(name: str) -> Opened:
    """Open a lesson: show where in the model it is, and say what it works with and how long that takes.

    Args:
        name: the notebook's name, number or topic.

    Raises:
        ConfigError: there is no such lesson.
        RunError, DataError: what MGIPS_RUN, MGIPS_PRESET, MGIPS_DATA or MGIPS_CORPUS names is not there.
    """
    lesson = lesson_of(name)
    opened = Opened(lesson)
    if opened.own and lesson.opens:
        count = len(opened.corpus.test)
        if count < FEWEST:
            raise DataError(f"{opened.corpus.name} has {count} test posts, and a lesson needs {FEWEST}; give it more posts.")  # fmt: skip
        if lesson.topic not in WORDS_DO and not any(post.image is not None for post in opened.corpus.test):
            raise DataError(f"The test posts of {opened.corpus.name} have no pictures, and this lesson is about them.")
        if opened.runs:
            _ = opened.model  # what it lacks is said before anything is shown
    style.use()
    show(here(lesson.stages, lesson.title), described(lesson.stages))
    say(told(opened))
    return opened


def told(opened: Opened) -> str:
    """What a lesson works with, in a few sentences."""
    corpus, lesson = opened.corpus, opened.lesson
    sizes = " / ".join(f"{len(posts):,}" for posts in corpus.splits.values())
    posts = f"**Posts:** {'TinyTweets' if opened.tiny else corpus.name} ({sizes} in {', '.join(corpus.splits)})"
    if opened.runs:
        model = "the run " + " and ".join(f"`{run.name}`" for run in opened.runs)
    elif opened.own:
        model = f"preset `{opened.preset or 'tiny'}`, trained on these posts when first needed, then kept"
    else:
        model = "`tiny-full`, which comes with the package"
    there = f"**Model:** {model} · **Device:** {doctor.device_name()}"
    times = f"**Time:** about {lesson.seconds} seconds on two CPU cores with the package's models. {lesson.gpu}"
    notice = (
        ""
        if not opened.own
        else "\n\nThe text speaks of TinyTweets and the package's models where it gives numbers or names posts. What the cells "
        "print is of your model and posts, except where they read committed runs and say so."
    )
    return f"{posts} · {there}\n\n{times}{notice}"


def trained(
    corpus: Corpus, variant: str = "full", size: str = "tiny", folder: str | Path = KEPT, **changes: Any
) -> MGIPS:
    """A model trained on a corpus: trained now (tiny: a minute on two cores for TinyTweets) or loaded from `folder`.

    Args:
        variant: a name of `mgips.config.VARIANTS`.
        size: a preset.
        changes: fields of ModelConfig or TrainConfig.

    Returns:
        The model of the best dev epoch, in evaluation mode, on the GPU where there is one.
    """
    model, config = preset(size, variant, **changes)
    # Only what differs from the defaults is in the name, so that a new setting does not train all of them again.
    made = {**asdict(model), **asdict(config)}
    defaults = {**asdict(ModelConfig()), **asdict(TrainConfig())}
    settings = repr(
        (corpus.fingerprint(), sorted((k, v) for k, v in made.items() if v != defaults[k] and k not in SAME_BITS))
    )
    name = f"{corpus.name}-{variant}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
    place = Path(folder) / name
    if not (place / "results.json").exists():
        # Two notebooks may train the same model at once: the first to finish gives the folder its name.
        part = place.with_name(f".{name}-{os.getpid()}")
        shutil.rmtree(part, ignore_errors=True)
        with one_thread():
            train(corpus, model, config, part)
        try:
            part.rename(place)
        except OSError:
            shutil.rmtree(part)
    return MGIPS.from_pretrained(place).to(best_device())
