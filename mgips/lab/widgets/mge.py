"""What the MGEs weigh: eq. 6's row weights over word pieces and column weights over features, pass by pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.lab.figures import style
from mgips.lab.figures.text import fitted
from mgips.lab.widgets.base import USE_ARROWS, Inspected, ModelInspector, Page, loaded, slider
from mgips.model.interweave import MGEWeights
from mgips.model.reading import Pool


class MGEInspector(ModelInspector):
    """The row and column weights of every pass through the interweave module."""

    def __init__(self, model: Inspected, tweets: Sequence[Tweet], pool: Pool | Sequence[Tweet] | None = None) -> None:
        """
        Args:
            model: a model, a run, or the folder or name of either.
            pool: what a model that reads may read; the pictures of `tweets` by default. It is read after this module.

        Raises:
            ConfigError: a model without an interweave module, or no posts.
        """
        model = loaded(model)
        if model.interweave is None:
            raise ConfigError("This model has no interweave module (mgi=False, or no images): there are no weights.")
        super().__init__("mgips-mge", model, tweets, pool)
        self.guides = [weights.guide for weights in self._weights()]
        self.passes = [f"{'X' if guide == 'image' else 'T'}{i // 2 + 1}" for i, guide in enumerate(self.guides)]
        """The result of each pass, in order: X1, T1, X2, … (eqs 10-11)."""
        names = [f"{self.passes[i]}, {guide}-guided" for i, guide in enumerate(self.guides)]
        tooltip = f"{USE_ARROWS} move it"
        self.step = slider("pass", "400px", names=names, description="Pass", tooltip=tooltip)
        self._printed = model.config.column_weights == "printed"
        self.begin([self.post, self.step])

    def _weights(self) -> list[MGEWeights]:
        interwoven = self.computed()[1].interwoven
        assert interwoven is not None, "the model has an interweave module"
        return interwoven.weights

    def rows(self) -> np.ndarray | None:
        """Row weights of all passes, (passes, n); None where the model has none."""
        rows = [w.row[0].flatten().float().cpu().numpy() for w in self._weights() if w.row is not None]
        return np.stack(rows) if rows else None

    def columns(self) -> np.ndarray | None:
        """Column weights of all passes, (passes, d), or (passes, n) as printed; None where the model has none."""
        columns = [w.column[0].flatten().float().cpu().numpy() for w in self._weights() if w.column is not None]
        return np.stack(columns) if columns else None

    def _titles(self) -> list[str]:
        """What is largest in the chosen pass, for the row and for the column weights."""
        titles = [f"{side} weights are off in this model" for side in ("Row", "Column")]
        if (rows := self.rows()) is not None:
            row = rows[self.step.value]
            piece = fitted(self.pieces()[int(row.argmax())], 1.2, 10)
            titles[0] = f"Row weights of {len(row)} pieces: largest on “{piece}”, {row.max() * len(row):.2f} × 1/n"
        if (columns := self.columns()) is not None:
            column = columns[self.step.value]
            printed = f"Column weights as printed: {column.min():g} for every piece"
            titles[1] = printed if self._printed else f"Column weights: up to {column.max() * len(column):.2f} × 1/d"
        return titles

    def describe(self) -> str:
        """The largest weights, in words."""
        return f"Post {self.selected.id}, pass {self.passes[self.step.value]}. {'. '.join(self._titles())}."

    def draw(self) -> Figure:
        """The chosen pass above, all passes below; a dashed line marks uniform weights."""
        width, height = 9.0, 6.0 + 0.12 * max(0, len(self.passes) - 5)
        name, guide = self.passes[self.step.value], self.guides[self.step.value]
        source = "text" if guide == "image" else "image"
        title = f"Pass {name}: the {guide} weighs the {source}, post {self.selected.id}"
        page = Page(width, height, title, margin=0.2, top=0.015 * height, weight="bold")
        edges = {"left": 0.085, "right": 0.985, "top": 0.88, "bottom": 0.1, "hspace": 0.62, "wspace": 0.2}
        grid = page.add_gridspec(2, 2, **edges, height_ratios=(3, 2), width_ratios=(3, 2))
        columns = ("piece", "1") if self._printed else ("feature", "1/d")
        grains = (self.rows(), "piece", "1/n"), (self.columns(), *columns)
        for place, ((weights, item, unit), title) in enumerate(zip(grains, self._titles(), strict=True)):
            chosen, all_passes = page.add_subplot(grid[0, place]), page.add_subplot(grid[1, place])
            chosen.set_title(title, fontsize=9, parse_math=False)
            all_passes.set_title(f"All passes: {item}s, in units of {unit}", fontsize=9)
            if weights is None:
                for axes in (chosen, all_passes):
                    axes.text(0.5, 0.5, "none in this model", color=style.GREY, ha="center", va="center")
                    axes.set_axis_off()
                continue
            row = weights[self.step.value]
            uniform = 1.0 if unit == "1" else 1 / len(row)
            label = {"1": "1", "1/n": f"1/n = {uniform:.3f}", "1/d": f"1/d = {uniform:.4f}"}[unit]
            if unit == "1/n":
                chosen.bar(range(len(row)), row, color=style.TEXT, width=0.8)
                pieces = [fitted(piece, 0.7, 8) for piece in self.pieces()]
                points = 8 if len(row) <= 40 else 5.5
                chosen.set_xticks(range(len(row)), pieces, rotation=90, fontsize=points, parse_math=False)
                chosen.set_ylabel("weight")
            else:
                chosen.plot(range(1, len(row) + 1), np.sort(row)[::-1], color=style.IMAGE, marker=".", markersize=3)
                chosen.set_xlabel(item if unit == "1" else f"{item}, from the largest weight down")
            chosen.axhline(uniform, color="black", linestyle="--", linewidth=1, label=f"uniform, {label}")
            chosen.set_ylim(0, 1.25 * max(row.max(), uniform))  # room for the legend
            chosen.legend(loc="upper right", frameon=False, fontsize=8, borderaxespad=0)
            image = all_passes.imshow(weights / uniform, aspect="auto", vmin=0, cmap=style.SEQUENTIAL)
            page.colorbar(image, ax=all_passes, pad=0.02)
            marks = [f"▶ {name}" if i == self.step.value else name for i, name in enumerate(self.passes)]
            all_passes.set_yticks(range(len(marks)), marks, fontsize=8)
            all_passes.set_xlabel(item)
        return page


inspect_mge = MGEInspector
