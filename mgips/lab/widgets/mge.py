"""What the excavators weigh: eq. 6's row weights over word pieces and column weights over features, pass by pass."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.lab.figures import style
from mgips.lab.figures.text import fitted
from mgips.lab.widgets.base import ModelInspector, figure, look
from mgips.model.mgips import MGIPS


def inspect_mge(model: MGIPS, tweets: Sequence[Tweet]) -> MGEInspector:
    """Look at the row and column weights of every pass through the interweave module.

    Raises:
        ConfigError: a model without an interweave module, or no posts.
    """
    return MGEInspector(model, tweets)


class MGEInspector(ModelInspector):
    """See `inspect_mge`."""

    def __init__(self, model: MGIPS, tweets: Sequence[Tweet]) -> None:
        if model.interweave is None:
            raise ConfigError("This model has no interweave module (mgi=False, or no images): there are no weights.")
        super().__init__("mgips-mge", model, tweets)
        _, out = self.computed()
        guides = [weights.guide for weights in out.interwoven.weights]
        self.passes = [f"{'X' if guide == 'image' else 'T'}{place // 2 + 1}" for place, guide in enumerate(guides)]
        """What each pass brings forth, in order: X1, T1, X2, … (eqs 10-11)."""
        self.guides = guides
        self.step = widgets.SelectionSlider(
            options=[
                (f"{name}, {guide}-guided", i) for i, (name, guide) in enumerate(zip(self.passes, guides, strict=True))
            ],
            description="Pass (← →)",
            continuous_update=False,
            tooltip="Click the slider or tab to it; then the left and right arrow keys move it",
            style={"description_width": "80px"},
            layout=widgets.Layout(width="400px"),
        )
        self.step.add_class("mgips-pass")
        self.begin([[self.post, self.step]])

    def rows(self) -> np.ndarray | None:
        """Row weights of all passes, (passes, n); None where the model has none."""
        _, out = self.computed()
        found = [weights.row for weights in out.interwoven.weights]
        return None if found[0] is None else np.stack([row[0, :, 0].float().cpu().numpy() for row in found])

    def columns(self) -> np.ndarray | None:
        """Column weights of all passes, (passes, d), or (passes, n) as printed; None where the model has none."""
        _, out = self.computed()
        found = [weights.column for weights in out.interwoven.weights]
        return None if found[0] is None else np.stack([column[0].flatten().float().cpu().numpy() for column in found])

    def describe(self) -> str:
        """The largest weights, in words."""
        told = f"Post {self.selected.id}, pass {self.passes[self.step.value]}. {self._row_title()}"
        return f"{told}. {self._column_title()}."

    def _row_title(self) -> str:
        rows = self.rows()
        if rows is None:
            return "Row weights are off in this model"
        row = rows[self.step.value]
        piece = fitted(self.pieces()[int(row.argmax())], 1.2, 10)
        return f"Row weights of {len(row)} pieces: most on “{piece}”, {row.max() * len(row):.2f} × 1/n"

    def _column_title(self) -> str:
        columns = self.columns()
        if columns is None:
            return "Column weights are off in this model"
        column = columns[self.step.value]
        if self.model.config.column_weights == "printed":
            return f"Column weights as printed: {column.min():g} for every piece"
        return f"Column weights: up to {column.max() * len(column):.2f} × 1/d"

    def picture(self) -> Figure:
        """The chosen pass above, all passes below; a uniform weight is drawn as a line."""
        with look():
            return self._draw()

    def _draw(self) -> Figure:
        drawn = figure(9.0, 6.0 + 0.12 * max(0, len(self.passes) - 5))
        name, guide = self.passes[self.step.value], self.guides[self.step.value]
        source = "text" if guide == "image" else "image"
        drawn.suptitle(
            fitted(f"Pass {name}: the {guide} weighs the {source}, post {self.selected.id}", 8.6, 11),
            x=0.2 / 9,
            y=0.985,
            ha="left",
            va="top",
            fontsize=11,
            weight="bold",
            parse_math=False,
        )
        grid = drawn.add_gridspec(
            2,
            2,
            left=0.085,
            right=0.985,
            top=0.88,
            bottom=0.1,
            hspace=0.62,
            wspace=0.2,
            height_ratios=(3, 2),
            width_ratios=(3, 2),
        )
        pieces = [fitted(piece, 0.7, 8) for piece in self.pieces()]
        rows, columns = self.rows(), self.columns()

        axes = drawn.add_subplot(grid[0, 0])
        axes.set_title(self._row_title(), fontsize=9, parse_math=False)
        if rows is None:
            empty(axes)
        else:
            row = rows[self.step.value]
            axes.bar(range(len(row)), row, color=style.TEXT, width=0.8)
            axes.set_ylim(0, 1.25 * row.max())  # room for the legend
            level(axes, 1 / len(row), f"1/n = {1 / len(row):.3f}")
            axes.set_xticks(
                range(len(row)), pieces, rotation=90, fontsize=8 if len(row) <= 40 else 5.5, parse_math=False
            )
            axes.set_ylabel("weight")

        axes = drawn.add_subplot(grid[0, 1])
        axes.set_title(self._column_title(), fontsize=9)
        if columns is None:
            empty(axes)
        else:
            column = np.sort(columns[self.step.value])[::-1]
            printed = self.model.config.column_weights == "printed"
            axes.plot(range(1, len(column) + 1), column, color=style.IMAGE, marker=".", markersize=3)
            uniform = 1.0 if printed else 1 / len(column)
            level(axes, uniform, "1" if printed else f"1/d = {uniform:.4f}")
            axes.set_ylim(0, 1.25 * max(column.max(), uniform))
            axes.set_xlabel("piece" if printed else "feature, from the largest weight down")

        for place, (table, what) in enumerate(
            ((rows, "pieces, in units of 1/n"), (columns, "features, in units of 1/d"))
        ):
            axes = drawn.add_subplot(grid[1, place])
            axes.set_title(f"All passes: {what}", fontsize=9)
            if table is None:
                empty(axes)
                continue
            scale = 1 if place and self.model.config.column_weights == "printed" else table.shape[1]
            seen = axes.imshow(table * scale, aspect="auto", vmin=0, cmap=style.SEQUENTIAL)
            drawn.colorbar(seen, ax=axes, pad=0.02)
            marks = [f"▶ {p}" if i == self.step.value else p for i, p in enumerate(self.passes)]
            axes.set_yticks(range(len(marks)), marks, fontsize=8)
            axes.set_xlabel("piece" if not place else "feature")
        return drawn


def level(axes: Axes, at: float, name: str) -> None:
    """A line where a uniform weight would be."""
    axes.axhline(at, color="black", linestyle="--", linewidth=1, label=f"uniform, {name}")
    axes.legend(loc="upper right", frameon=False, fontsize=8, borderaxespad=0)


def empty(axes: Axes) -> None:
    """Nothing to draw."""
    axes.text(0.5, 0.5, "none in this model", ha="center", va="center", transform=axes.transAxes, color=style.GREY)
    axes.set_axis_off()
