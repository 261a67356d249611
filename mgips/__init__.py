"""MGIPS-CL: multimodal named entity recognition with multi-granularity interweave and
implicit-positive-sample contrastive learning.

>>> import mgips
>>> corpus = mgips.load_corpus("tinytweets")
>>> model, config = mgips.preset("tiny")
>>> run = mgips.train(corpus, model, config)          # doctest: +SKIP
>>> run.model.predict(corpus.test[:1])                # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mgips.version import __version__

if TYPE_CHECKING:
    from mgips.config import ModelConfig, TrainConfig, preset
    from mgips.data.corpus import Corpus, Tweet
    from mgips.data.load import load_corpus
    from mgips.data.twitter import save_corpus
    from mgips.errors import MGIPSError
    from mgips.model.mgips import MGIPS
    from mgips.run import Run
    from mgips.training import Step, Trainer, train

__all__ = [
    "MGIPS",
    "Corpus",
    "MGIPSError",
    "ModelConfig",
    "Run",
    "Step",
    "TrainConfig",
    "Trainer",
    "Tweet",
    "__version__",
    "load_corpus",
    "preset",
    "save_corpus",
    "train",
]

_HOMES = {
    "ModelConfig": "mgips.config",
    "TrainConfig": "mgips.config",
    "preset": "mgips.config",
    "Corpus": "mgips.data.corpus",
    "Tweet": "mgips.data.corpus",
    "load_corpus": "mgips.data.load",
    "save_corpus": "mgips.data.twitter",
    "MGIPSError": "mgips.errors",
    "MGIPS": "mgips.model.mgips",
    "Run": "mgips.run",
    "Step": "mgips.training",
    "Trainer": "mgips.training",
    "train": "mgips.training",
}


def __getattr__(name: str) -> Any:
    # Torch and transformers take seconds to import; `mgips --help` should not.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mgips' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
