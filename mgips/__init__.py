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
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ModelConfig": "mgips.config",
    "TrainConfig": "mgips.config",
    "preset": "mgips.config",
    "Corpus": "mgips.data.corpus",
    "Tweet": "mgips.data.corpus",
    "load_corpus": "mgips.data.corpus",
    "MGIPS": "mgips.model.mgips",
    "Run": "mgips.training",
    "train": "mgips.training",
    "MGIPSError": "mgips.errors",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    # Torch and transformers take seconds to import; `mgips --help` should not.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mgips' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
