"""The architecture as one picture: Figure 3 of the paper, redrawn with this package's names."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from mgips.data.crops import crop_array
from mgips.data.tinytweets.posts import tinytweets
from mgips.lab.figures.style import ENTITY, GREY, IMAGE, LOSS, TEXT

WIDE, HIGH = 16.0, 7.8
UP, DOWN, MIDDLE = 5.9, 1.9, 3.9
"""Heights of the text side, the image side, and what lies between them."""


def architecture() -> Figure:
    """A post's path through the model, from words and crops to tags and losses."""
    figure = Figure(figsize=(WIDE, HIGH))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDE), ylim=(0, HIGH))
    ax.axis("off")
    for part in (_inputs, _towers, _interweave, _outputs):
        part(ax)
    return figure


def box(ax: Axes, x: float, y: float, width: float, height: float, text: str, colour: str, size: float = 10.5) -> None:
    """A rounded box with its middle at (x, y)."""
    place, look = (x - width / 2, y - height / 2), {"facecolor": colour + "1F", "edgecolor": colour, "linewidth": 1.5}
    ax.add_patch(FancyBboxPatch(place, width, height, boxstyle="round,pad=0,rounding_size=0.12", zorder=2, **look))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, zorder=3, linespacing=1.35)


def arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = GREY, bend: float = 0, **more: Any
) -> None:
    """An arrow from start to end; `more` goes to matplotlib's `arrowprops`."""
    style = {"arrowstyle": "-|>", "color": colour, "lw": 1.6, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 13}
    ax.annotate("", end, start, arrowprops={**style, "connectionstyle": f"arc3,rad={bend}", **more}, zorder=1)


def stage(ax: Axes, left: float, right: float, title: str, section: str) -> None:
    """A named part of the model, as a pale panel behind its boxes."""
    ax.add_patch(Rectangle((left, 0.35), right - left, 7.05, facecolor="#F4F4F4", edgecolor="none", zorder=0))
    ax.text((left + right) / 2, 7.16, title, ha="center", va="center", fontsize=12, weight="bold")
    ax.text((left + right) / 2, 0.56, section, ha="center", va="center", fontsize=9.5, color=GREY)


def _inputs(ax: Axes) -> None:
    stage(ax, 0.15, 3.75, "Embedding", "§3.1, eq. 1")
    posts = tinytweets(sizes=(96, 1, 1)).train
    tweet = next(t for t in posts if t.truth.related and t.truth.ambiguous and len(t.words) < 9)
    (start, end), kind = tweet.truth.ambiguous[0], tweet.truth.means
    for i, word in enumerate(tweet.words):
        look: dict[str, Any] = {"color": ENTITY[kind], "weight": "bold"} if start <= i < end else {}
        height = UP + 0.14 * len(tweet.words) - 0.28 * i - 0.14
        ax.text(0.95, height, word, ha="center", va="center", fontsize=9.5, **look)
    crops, _ = crop_array(tweet, size=96)
    left, side = 0.42, 0.95
    for i, crop in enumerate(crops):
        low = DOWN + 0.7 - 1.02 * i
        ax.imshow(np.asarray(crop), extent=(left, left + side, low, low + side), aspect="auto", zorder=2)
        for k in range(5):
            ax.plot([left, left + side], [low + k * side / 4] * 2, color="white", lw=0.7, zorder=3)
            ax.plot([left + k * side / 4] * 2, [low, low + side], color="white", lw=0.7, zorder=3)
    ax.set(xlim=(0, WIDE), ylim=(0, HIGH))
    box(ax, 2.75, UP, 1.7, 1.1, "BERT\nembedding\n(n positions)", TEXT)
    box(ax, 2.75, DOWN, 1.7, 1.1, "CLIP patches\n1 + 3 × 16\npositions", IMAGE)
    arrow(ax, (1.6, UP), (1.88, UP), TEXT)
    arrow(ax, (1.4, DOWN), (1.88, DOWN), IMAGE)


def _towers(ax: Axes) -> None:
    stage(ax, 3.95, 7.35, "Mutual attention", "§3.2, eqs 2-4")
    for x, name in ((4.85, "layer 1"), (6.45, "layer 12")):
        box(ax, x, UP, 1.25, 1.1, f"BERT\n{name}", TEXT)
        box(ax, x, DOWN, 1.25, 1.1, f"CLIP\n{name}", IMAGE)
    for y, colour in ((UP, TEXT), (DOWN, IMAGE)):
        arrow(ax, (3.62, y), (4.21, y), colour)
        ax.text(5.65, y, "…", ha="center", va="center", fontsize=16, color=colour)
    # Keys and values go across between layers.
    arrow(ax, (3.85, UP), (4.62, DOWN + 0.57), TEXT, bend=0.12)
    arrow(ax, (3.85, DOWN), (4.62, UP - 0.57), IMAGE, bend=-0.12)
    arrow(ax, (5.5, UP - 0.22), (6.22, DOWN + 0.57), TEXT, bend=0.12)
    arrow(ax, (5.5, DOWN + 0.22), (6.22, UP - 0.57), IMAGE, bend=-0.12)
    ax.text(6.76, MIDDLE, "keys and\nvalues go\nacross", ha="center", va="center", fontsize=9.5, color=GREY)


def _interweave(ax: Axes) -> None:
    stage(ax, 7.55, 12.35, "Multi-granularity interweave", "§3.3, eqs 5-13")
    for x, guide, colour in ((8.45, "image", IMAGE), (9.95, "text", TEXT), (11.45, "image", IMAGE)):
        box(ax, x, MIDDLE, 1.2, 1.5, f"MGE\n{guide}-guided\n\nrow weights,\ncolumn weights", colour, 8.8)
    box(ax, 11.45, UP, 1.3, 1.0, "pre-post\ngate", TEXT)
    box(ax, 11.45, DOWN, 1.3, 1.0, "pre-post\ngate", IMAGE)
    top, bottom = MIDDLE + 0.76, MIDDLE - 0.76
    # T0 and X0 into the first excavator, X1 out of it; T0 and X1 into the second, T1 out of it; and so on.
    arrow(ax, (7.08, UP), (10.79, UP), TEXT)
    arrow(ax, (8.45, UP), (8.45, top), TEXT)
    arrow(ax, (9.75, UP), (9.75, top), TEXT)
    ax.text(7.75, UP + 0.18, "$T_0$", fontsize=12, color=TEXT)
    _line(ax, [(7.08, DOWN), (8.25, DOWN), (8.25, bottom)], IMAGE)
    ax.text(7.65, DOWN + 0.16, "$X_0$", fontsize=12, color=IMAGE)
    _line(ax, [(8.65, MIDDLE - 0.75), (8.65, DOWN), (10.79, DOWN)], IMAGE)
    arrow(ax, (9.95, DOWN), (9.95, bottom), IMAGE)
    _line(ax, [(10.65, DOWN), (10.65, MIDDLE - 0.45), (10.84, MIDDLE - 0.45)], IMAGE)
    ax.text(9.1, DOWN + 0.16, "$X_1$", fontsize=12, color=IMAGE)
    _line(ax, [(10.15, MIDDLE + 0.75), (10.15, MIDDLE + 1.2), (11.45, MIDDLE + 1.2), (11.45, UP - 0.52)], TEXT)
    arrow(ax, (11.45, MIDDLE + 1.2), (11.45, top), TEXT)
    ax.text(10.65, MIDDLE + 1.3, "$T_1$", fontsize=12, color=TEXT)
    arrow(ax, (11.45, MIDDLE - 0.75), (11.45, DOWN + 0.52), IMAGE)
    ax.text(11.55, MIDDLE - 1.2, "$X_2$", fontsize=12, color=IMAGE)


def _line(ax: Axes, points: list[tuple[float, float]], colour: str) -> None:
    """Straight pieces, an arrow's head at the last point."""
    ax.plot(*zip(*points[:-1], strict=True), color=colour, lw=1.6, zorder=1, solid_joinstyle="round")
    arrow(ax, points[-2], points[-1], colour)


def _outputs(ax: Axes) -> None:
    stage(ax, 12.55, 15.85, "Losses", "§3.4-3.5, eqs 14-19")
    box(ax, 14.2, UP, 2.5, 1.0, "classifier and CRF\n→ one tag a word", TEXT)
    arrow(ax, (12.11, UP), (12.94, UP), TEXT)
    ax.text(12.47, UP + 0.17, "$z$", fontsize=12, color=TEXT, ha="center")
    side, left, low = 1.9, 13.25, 2.6
    rng = np.random.RandomState(2)
    score = 0.25 * rng.rand(6, 6) + 0.55 * np.kron(np.eye(3), np.ones((2, 2))) * rng.uniform(0.7, 1.2, (6, 6))
    cell = side / 6
    for (i, j), value in np.ndenumerate(score):
        x, y = left + j * cell, low + (5 - i) * cell
        shade = f"{1 - value / 1.1:.2f}"
        ax.add_patch(Rectangle((x, y), cell, cell, facecolor=shade, edgecolor="white", lw=0.6, zorder=2))
        if value >= np.sort(score[i])[-2]:
            inner = (x + 0.03, y + 0.03), cell - 0.06, cell - 0.06
            ax.add_patch(Rectangle(*inner, facecolor="none", edgecolor="#E69F00", lw=2, zorder=3))
    small = {"fontsize": 9.5, "ha": "center", "va": "center"}
    ax.text(left + side / 2, low + side + 0.17, "images of the batch", color=IMAGE, **small)
    ax.text(left - 0.14, low + side / 2, "texts", color=TEXT, rotation=90, **small)
    ax.text(left + side / 2, low - 0.17, "framed: the K mined positives", color="#8A5F00", **small)
    arrow(ax, (12.11, UP - 0.3), (13.15, low + side - 0.25), TEXT, bend=-0.1)
    arrow(ax, (12.11, DOWN), (13.2, low + 0.25), IMAGE, bend=0.1)
    box(ax, 14.2, 1.3, 2.9, 0.9, "loss = CRF + IPS-CL + CL", LOSS, 11)
    arrow(ax, (left + side / 2, low - 0.33), (left + side / 2, 1.77), LOSS)
    ax.plot([15.45, 15.72, 15.72], [UP, UP, 1.3], color=LOSS, lw=1.6, zorder=1)
    arrow(ax, (15.72, 1.3), (15.66, 1.3), LOSS)
