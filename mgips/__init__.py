"""MGIPS-CL: multimodal named entity recognition with multi-granularity interweave and
implicit-positive-sample contrastive learning.

>>> import mgips
>>> corpus = mgips.load_corpus("tinytweets")
>>> model, config = mgips.preset("tiny")
>>> run = mgips.train(corpus, model, config)          # doctest: +SKIP
>>> run.model.predict(corpus.test[:1])                # doctest: +SKIP
>>> trained = mgips.load("tiny-full")                  # one that comes with the package
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mgips.version import __version__ as __version__

if TYPE_CHECKING:  # what an editor sees; at run time each name is imported when it is first used
    from mgips.config import ModelConfig as ModelConfig
    from mgips.config import TrainConfig as TrainConfig
    from mgips.config import preset as preset
    from mgips.data.corpus import Corpus as Corpus
    from mgips.data.corpus import Tweet as Tweet
    from mgips.data.load import load_corpus as load_corpus
    from mgips.data.twitter import save_corpus as save_corpus
    from mgips.errors import MGIPSError as MGIPSError
    from mgips.model.mgips import MGIPS as MGIPS
    from mgips.model.shipped import load as load
    from mgips.run import Run as Run
    from mgips.tagger import Entity as Entity
    from mgips.tagger import Tagger as Tagger
    from mgips.training import Step as Step
    from mgips.training import Trainer as Trainer
    from mgips.training import train as train

_HOMES = {
    "mgips.config": ("ModelConfig", "TrainConfig", "preset"),
    "mgips.data.corpus": ("Corpus", "Tweet"),
    "mgips.data.load": ("load_corpus",),
    "mgips.data.twitter": ("save_corpus",),
    "mgips.errors": ("MGIPSError",),
    "mgips.model.mgips": ("MGIPS",),
    "mgips.model.shipped": ("load",),
    "mgips.run": ("Run",),
    "mgips.tagger": ("Entity", "Tagger"),
    "mgips.training": ("Step", "Trainer", "train"),
}


def __getattr__(name: str) -> Any:
    # Torch and transformers take seconds to import; `mgips --help` should not.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'mgips' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *(name for names in _HOMES.values() for name in names)])
