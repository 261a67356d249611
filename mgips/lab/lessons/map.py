"""You are here: the model in ten boxes, with those of a lesson lit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mgips.lab.figures.style import GREY, IMAGE, LOSS, TEXT
from mgips.lab.lessons.contents import STAGES

COLOURS = {"text": TEXT, "image": IMAGE, "both": "#5B4B8A", "loss": LOSS}
UP, DOWN = 1.1, 0.4
PLACES = {
    "words": (0.55, UP, 0.58),
    "photo": (0.55, DOWN, 0.58),
    "embedding": (1.75, None, 1.28),
    "mutual attention": (3.15, None, 1.28),
    "interweave": (4.55, None, 1.28),
    "gate": (5.95, None, 1.28),
    "crf": (7.35, UP, 0.58),
    "tags": (8.75, UP, 0.58),
    "mining": (7.35, DOWN, 0.58),
    "losses": (8.75, DOWN, 0.58),
}
"""Each box's middle, and its height; a box of both sides stands between the two rows."""
WIDTH = 1.12


def here(stages: Collection[str], title: str) -> Figure:
    """The map with some boxes lit; all of them where none is named, for a lesson about the whole."""
    figure = Figure(figsize=(9.3, 1.95))
    ax = figure.add_axes((0, 0, 1, 0.84), xlim=(-0.06, 9.36), ylim=(0, 1.5))
    ax.axis("off")
    figure.suptitle(f"You are here: {title}", x=0.012, ha="left", fontsize=10.5)
    for name, place in PLACES.items():
        _box(ax, name, place, lit=not stages or name in stages)
    _arrows(ax)
    return figure


def described(stages: Collection[str]) -> str:
    """The map in words."""
    order = "words and photo, embedding, mutual attention, interweave, gate, CRF, tags; beside them mining and losses"
    return f"A map of the model: {order}. Lit: {', '.join(stages) or 'all of it'}."


def _box(ax: Axes, name: str, place: tuple[float, float | None, float], lit: bool) -> None:
    text, side = STAGES[name]
    x, y, height = place
    y = (UP + DOWN) / 2 if y is None else y
    colour = COLOURS[side] if lit else "#B5B5B5"
    look = {"facecolor": colour if lit else "#F4F4F4", "edgecolor": colour, "linewidth": 1.2}
    corner = (x - WIDTH / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(corner, WIDTH, height, boxstyle="round,pad=0,rounding_size=0.07", zorder=2, **look))
    shown: dict[str, Any] = {"color": "white", "weight": "bold"} if lit else {"color": GREY}
    ax.text(x, y, text, ha="center", va="center", fontsize=8.2, zorder=3, linespacing=1.3, **shown)


def _arrows(ax: Axes) -> None:
    order = ("embedding", "mutual attention", "interweave", "gate")
    for row, first, last in ((UP, "words", ("crf", "tags")), (DOWN, "photo", ("mining", "losses"))):
        names = (first, *order, *last)
        for left, right in zip(names, names[1:], strict=False):
            start, end = PLACES[left][0] + WIDTH / 2, PLACES[right][0] - WIDTH / 2
            look = {"arrowstyle": "-|>", "color": GREY, "lw": 1.1, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
            ax.annotate("", (end, row), (start, row), arrowprops=look, zorder=1)
