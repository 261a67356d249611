"""What the notebooks start with: a corpus, and a model trained on it."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mgips.config import ModelConfig, TrainConfig, preset
from mgips.data.corpus import Corpus
from mgips.data.load import load_corpus
from mgips.model.mgips import MGIPS
from mgips.run import SAME_BITS, best_device, one_thread
from mgips.training import train


def lesson_corpus() -> Corpus:
    """TinyTweets; or, where $MGIPS_DATA is set, the real corpus that $MGIPS_CORPUS names (twitter2017 by default)."""
    real = os.environ.get("MGIPS_CORPUS", "twitter2017")
    return load_corpus(real if "MGIPS_DATA" in os.environ else "tinytweets")


def trained(corpus: Corpus, variant: str = "full", folder: str | Path = "../runs/lessons", **changes: Any) -> MGIPS:
    """A tiny model trained on a corpus: trained now (a minute on two cores for TinyTweets) or loaded from `folder`.

    Args:
        variant: a name of `mgips.config.VARIANTS`.
        changes: fields of ModelConfig or TrainConfig.

    Returns:
        The model of the best dev epoch, in evaluation mode, on the GPU where there is one.
    """
    model, config = preset("tiny", variant, **changes)
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
