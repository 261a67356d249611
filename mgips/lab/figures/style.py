"""One look for every figure: colours that colour-blind readers can tell apart, readable sizes."""

from __future__ import annotations

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
SEQUENTIAL = "cividis"
"""For amounts; readable in grey and by colour-blind readers."""


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
