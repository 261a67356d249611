"""Models that come with the package, loaded by name and without a connection.

What they are, and what they score: mgips/weights/README.md. `make weights` trains them anew.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from mgips.errors import RunError
from mgips.model.mgips import MGIPS

FOLDER = Path(str(importlib.resources.files("mgips"))) / "weights"
"""A folder each, named as the model: a saved model in float16, and its card.json."""


def shipped() -> tuple[str, ...]:
    """The names of the models that come with the package."""
    return tuple(sorted(card.parent.name for card in FOLDER.glob("*/card.json")))


def located(model: str | Path) -> str | Path:
    """The folder of a model that comes with the package, for its name; anything else as it is, and a folder of that
    name in the current one, too."""
    return FOLDER / model if str(model) in shipped() and not Path(model).is_dir() else model


def load(model: str | Path) -> MGIPS:
    """A trained model in float32 and evaluation mode, on the CPU.

    Args:
        model: the name of one that comes with the package ("tiny-text", "tiny-full", "tiny-reads"), a run folder, a
            saved model's folder, or a name on the hub.

    Raises:
        RunError: nothing there, with the names that there are; or not a saved model.
    """
    place = located(model)
    try:
        return MGIPS.from_pretrained(place)
    except RunError as error:
        if Path(place).is_dir():
            raise
        raise RunError(f"{str(error).rstrip('.')}, or one of {', '.join(shipped())}.") from error
