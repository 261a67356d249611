"""Figure 5: the relevance of every text of a batch with every image, as dots; what is mined, and what truly fits."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgips.lab.figures.shared import Results, of_grid
from mgips.lab.figures.style import GREY, IMAGE, LOSS
from mgips.mining import hubs, hubs_by_chance


@of_grid("fig5")
def fig5(results: Results, *_: Any) -> Figure:
    """Figure 5 from the committed run."""
    return relevance_dots(results["full"][0].record["relevance"])


def relevance_dots(batch: dict[str, Any]) -> Figure:
    """What `mgips.lab.precision.batch_relevance` returns as a square of dots, a larger dot a higher relevance (eq. 14)."""
    scores = np.array(batch["scores"])  # (N, N), rows are texts
    known = batch["relevant"] is not None
    mined, relevant = np.zeros_like(scores, dtype=bool), np.zeros_like(scores, dtype=bool)
    for pairs, matrix in ((batch["mined"], mined), (batch["relevant"] or [], relevant)):
        matrix[tuple(np.array(pairs, dtype=int).reshape(-1, 2).T)] = True

    figure, ax = plt.subplots(figsize=(7.6, 7.2), layout="constrained")
    draw_relevance(ax, scores, mined, relevant if known else None)
    count = len(scores)
    title = mined_in_words(mined, relevant if known else None).replace("they mine ", "they mine\n")
    found = hubs(torch.from_numpy(mined.nonzero()[1]), count)
    random = hubs_by_chance(torch.full((count,), count), torch.full((count,), float(mined.mean())))
    title += f";\nten images fill {found.top_ten:.0%} of places (chance {random.top_ten:.0%}); "
    title += f"skewness {found.skewness:.1f} (chance {random.skewness:.1f})"
    ax.set_title(title, pad=32)
    return figure


def draw_relevance(ax: Axes, scores: np.ndarray, mined: np.ndarray, relevant: np.ndarray | None) -> None:
    """N texts × N images as dots, a larger dot a higher relevance: what is mined, and what truly fits, where that is known.

    Args:
        scores: (N, N), rows are texts.
        mined, relevant: (N, N) bool.
    """
    rows, columns = np.mgrid[: len(scores), : len(scores)]
    size = 4 + 90 * ((scores - scores.min()) / max(1e-9, np.ptp(scores))) ** 2
    ax.scatter(columns, rows, size, c=GREY, alpha=0.35, linewidths=0)
    known, fits = relevant is not None, np.zeros_like(mined) if relevant is None else relevant
    right, wrong, missed = mined & fits, mined & ~fits, fits & ~mined
    if known:
        ax.scatter(columns[right], rows[right], size[right], c=LOSS, label="mined, truly relevant")
    label = "mined, not relevant" if known else "mined"
    ax.scatter(columns[wrong], rows[wrong], size[wrong], c=IMAGE, marker="X", label=label)
    if known:
        rings: Any = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.8}
        ax.scatter(columns[missed], rows[missed], 60, **rings, label="relevant, not mined")
    count = len(scores)
    ax.set(xlabel="image (same order as the texts)", ylabel="text", xlim=(-1, count), ylim=(count, -1), aspect="equal")
    ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)


def mined_in_words(mined: np.ndarray, relevant: np.ndarray | None) -> str:
    """What was mined of a batch, (N, N) bool, and how much of it truly fits, as part of a title."""
    count = len(mined)
    title = f"{mined.diagonal().mean():.0%} of {count} texts mine their own image"
    if relevant is not None:
        other = ~np.eye(count, dtype=bool)
        share, chance = relevant[mined & other].mean(), relevant[other].mean()
        chosen = (mined & other).sum(1)
        best = np.minimum(chosen, (relevant & other).sum(1)).sum() / max(1, chosen.sum())
        title += (
            f"; of the others that they mine {share:.0%} are truly relevant (chance {chance:.0%}, at most {best:.0%})"
        )
    return title
