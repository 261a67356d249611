"""One look for every figure: colours that colour-blind readers can tell apart, readable sizes."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import matplotlib.pyplot as plt
from cycler import cycler

TEXT = "#0072B2"
"""Everything on the text side (blue of Okabe and Ito's palette)."""
IMAGE = "#D55E00"
"""Everything on the image side (vermilion)."""
LOSS = "#009E73"
"""Losses and what is trained (bluish green)."""
GREY = "#6E6E6E"
ENTITY = {"PER": "#0072B2", "LOC": "#009E73", "ORG": "#D55E00", "MISC": "#CC79A7"}
"""One colour per entity type."""
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6E6E6E")
OTHERS = ("#E69F00", "#56B4E9", "#882255", "#117733", "#332288", "#AA4499", "#999933")
"""Colours of entity types that are not the paper's."""
SEQUENTIAL = "cividis"
"""For amounts; readable in grey and by colour-blind readers."""


class Look(NamedTuple):
    """How an entity type is drawn: types can be told apart without colours."""

    colour: str
    marker: str
    """For matplotlib."""
    symbol: str
    """For plotly."""
    size: float
    """A factor that makes the markers look equally large."""


LOOKS = {
    "PER": Look(ENTITY["PER"], "o", "circle", 1.0),
    "LOC": Look(ENTITY["LOC"], "s", "square", 0.85),
    "ORG": Look(ENTITY["ORG"], "P", "cross", 1.15),
    "MISC": Look(ENTITY["MISC"], "D", "diamond", 0.75),
}
MARKERS = (("X", "x", 1.15), *(look[1:] for look in LOOKS.values()))


def look(kind: str) -> Look:
    """An entity type's look. One that is not the paper's has the same in every picture, given by its name."""
    place = zlib.crc32(kind.encode())
    return LOOKS.get(kind) or Look(OTHERS[place % len(OTHERS)], *MARKERS[place // len(OTHERS) % len(MARKERS)])


def use() -> None:
    """Set matplotlib's defaults for this process."""
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=CYCLE),
            "image.cmap": SEQUENTIAL,
            "image.interpolation": "nearest",
            "svg.hashsalt": "mgips",
        }
    )
