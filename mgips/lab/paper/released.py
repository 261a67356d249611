"""What the authors' released code does, item by item, beside the paper and this package.

Facts read in the code, or measured by running it with random weights. They say neither why, nor how the paper's
numbers were made: see `PROVENANCE`. `mgips.lab.integrity` builds the variants that the grids "switches" and "protocol"
measure. The items themselves are in released.toml.
"""

from __future__ import annotations

import html
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mgips.errors import ConfigError

_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
REPOSITORY, COMMIT = _DATA["repository"], _DATA["commit"]
PROVENANCE = _DATA["provenance"]
"""To be said wherever an item is cited."""


@dataclass(frozen=True)
class Item:
    """One topic in the paper, in the released code and here."""

    number: int
    topic: str
    paper: str
    place: str
    """Where the paper says it, or where it could have."""
    released: str
    mgips: str
    home: str
    """The module, function or setting that does it."""
    switches: Sequence[str] = ()
    """Rows of the grids "switches" and "protocol" that measure what it changes; τ is a row of "table3"."""


ITEMS = tuple(Item(**entry) for entry in _DATA["items"])
"""All differences, numbered as everywhere in this repository."""


def leak_gain(share: float, f1: float) -> float:
    """An ESTIMATE, by arithmetic, of what trained-on test posts can add to F1, in points.

    It assumes that the model predicts those posts perfectly and the rest as well as before, and that they hold the
    same share of all entities, gold and predicted, as of all posts; F1 over all is then the mean of 100 and `f1`,
    weighted by that share. Models rarely learn their training posts perfectly, so this is an upper bound; what was
    measured is in the grid "protocol".

    Args:
        share: of the test posts that are trained on, in [0, 1].
        f1: on test posts that are not, in percent.

    >>> round(leak_gain(0.097, 87.4), 1)
    1.2
    """
    return share * (100 - f1)


def rows(effects: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """The items as rows of a table: number, topic, paper, released code, mgips, and with `effects` also measured.

    Args:
        effects: one of the items' `switches` → a sentence that says what it measured.

    Raises:
        ConfigError: a name that no item has.
    """
    known = {name for item in ITEMS for name in item.switches}
    unknown = sorted(set(effects or ()) - known)
    if unknown:
        raise ConfigError(f"No item is measured by {unknown[0]!r}; the rows are {', '.join(sorted(known))}.")
    table = []
    for item in ITEMS:
        row = {
            "#": str(item.number),
            "topic": item.topic,
            "paper": f"{item.paper} ({item.place})",
            "released code": item.released,
            "mgips": f"{item.mgips} ({item.home})",
        }
        if effects is not None:
            sentences = [effects[name] for name in item.switches if name in effects]
            row["measured"] = " ".join(sentences) or ("not yet measured" if item.switches else "-")
        table.append(row)
    return table


def markdown(effects: Mapping[str, str] | None = None) -> str:
    """`rows` as Markdown: a line for each that opens. As a table, one row would fill a small screen."""
    lines = []
    for row in rows(effects):
        told = {name: html.escape(cell) for name, cell in row.items()}
        rest = [f"<li><b>{name}</b>: {cell}</li>" for name, cell in told.items() if name not in ("#", "topic")]
        lines.append(f"<details><summary>{told['#']} · {told['topic']}</summary><ul>{''.join(rest)}</ul></details>")
    return "\n".join(lines)
