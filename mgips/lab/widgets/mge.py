"""What the MGEs weigh: eq. 6's row weights over word pieces and column weights over features, pass by pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mgips.data.corpus import Tweet
from mgips.errors import ConfigError
from mgips.lab.figures import style
from mgips.lab.figures.text import fitted, text_width
from mgips.lab.widgets.attention import draw_scale
from mgips.lab.widgets.base import PIXELS, USE_ARROWS, Inspected, ModelInspector, Page, loaded, slider, tint
from mgips.model.interweave import MGEWeights
from mgips.model.reading import Pool

MANY = 40
"""So many word pieces have their name below their bar; of more, those with at least half of the largest weight."""


class MGEInspector(ModelInspector):
    """The row and column weights of every pass through the interweave module.

    A click on a pass chooses it, a click on a word piece marks it in all of them.
    """

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
        self._mark: tuple[int, int] | None = None  # a post's place, and its piece
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

    @property
    def piece(self) -> int | None:
        """The marked word piece of the shown post, counted from 0; None where none is."""
        return self._mark[1] if self._mark is not None and self._mark[0] == self.post.value else None

    def pick(self, what: str) -> None:
        """Show the pass or the post that was picked, or mark a piece; a second time unmarks it."""
        kind, place, *piece = what.split()
        with self.setting():
            if kind == "post":
                self.post.value = int(place) + 1
            else:
                again = int(place) == self.step.value
                self.step.value = int(place)
                if piece:
                    mark = self.post.value, int(piece[1])
                    self._mark = None if again and self._mark == mark else mark
        self.redraw()

    def _tokens(self) -> list[str]:
        """The word pieces as they are."""
        return self.model.batcher.tokenizer.convert_ids_to_tokens(self.computed()[0].pieces[0].tolist())

    def _marked(self) -> str | None:
        """The marked piece's row weights."""
        rows = self.rows()
        if self.piece is None or rows is None:
            return None
        weights = [f"{name} {row[self.piece] * len(row):.2f}" for name, row in zip(self.passes, rows, strict=True)]
        return f"“{self._tokens()[self.piece]}” × 1/n: {', '.join(weights)}"

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
        told = [*self._titles(), *filter(None, [self._marked()])]
        return f"Post {self.selected.id}, pass {self.passes[self.step.value]}. {'. '.join(told)}."

    def draw(self) -> Figure:
        """The chosen pass above, all passes below, piece under piece; a dashed line marks uniform weights."""
        passes, width = len(self.passes), 9.0
        line = max(0.14, min(0.3, 1.4 / passes))
        height = 4.3 + line * passes
        name, guide = self.passes[self.step.value], self.guides[self.step.value]
        source = "text" if guide == "image" else "image"
        title = f"Pass {name}: the {guide} weighs the {source}, post {self.selected.id}"
        page = Page(width, height, fitted(title, 5.8, 11), margin=0.2, weight="bold")
        self._draw_ways(page, width - 2.3, height - 0.26)
        rows, columns = self._titles()
        page.write(0.2, height - 0.55, rows, 9, 5.3)
        page.write(5.75, height - 0.55, columns, 9)
        if (marked := self._marked()) is not None:
            page.write(0.2, height - 0.75, marked, 9, 5.3)
        if self.rows() is not None:
            self._draw_rows(page, line)
        if self.columns() is not None:
            self._draw_columns(page, line)
        return page

    def _draw_ways(self, page: Page, x: float, y: float) -> None:
        """To the post before, and to the next."""
        for step, text in ((-1, "◀ post before"), (1, "next post ▶")):
            place = self.post.value - 1 + step
            there = 0 <= place < len(self.tweets)
            page.write(x, y, text, 8, color=style.TEXT if there else "#9a9a9a")
            if there:
                says = f"{text.strip('◀▶ ')}: {self.tweets[place].id}"
                page.hit(x - 0.05, y - 0.07, 1.05, 0.24, f"post {place}", says, "Posts")
            x += 1.15

    def _draw_rows(self, page: Page, line: float) -> None:
        """A bar for each piece, its name below, and below that its weights in all passes."""
        weights, pieces = self.rows(), self.pieces()
        assert weights is not None
        n, step, left, wide = weights.shape[1], self.step.value, 0.6, 4.9
        cell, bottom = wide / n, line * len(weights) + 1.45
        row, units = weights[step], weights * n
        above = self._draw_axis(page, left, bottom, wide, max(row.max(), 1 / n), 1 / n, f"uniform, 1/n = {1 / n:.3f}")
        page.fill((left + (i + 0.1) * cell, bottom, 0.8 * cell, above * x, style.TEXT) for i, x in enumerate(row))
        named = range(n) if n <= MANY else np.flatnonzero(row >= row.max() / 2).tolist()[:MANY]
        for i in named:
            turned = {"rotation": 90, "ha": "center", "va": "top", "rotation_mode": "default"}
            page.write(left + (i + 0.5) * cell, bottom - 0.05, fitted(pieces[i], 0.7, 8), 8, math.inf, **turned)
        top = self._draw_passes(page, left, wide, units, line, style.TEXT, "1/n")
        for i, piece in enumerate(self._tokens()):
            marked = i == self.piece
            says = f"“{piece}”: {units[step, i]:.2f} × 1/n"
            tall = max(above * row[i], 0.12)
            page.hit(left + i * cell, bottom, cell, tall, f"pass {step} bar {i}", says, "Pieces", marked)
            if marked:
                page.outline(left + i * cell, bottom, cell, tall)
            for number, name in enumerate(self.passes):
                at = left + i * cell, top - (number + 1) * line, cell, line
                says = f"{name}, “{piece}”: {units[number, i]:.2f} × 1/n"
                chosen = marked and number == step
                page.hit(*at, f"pass {number} piece {i}", says, "All passes, pieces", chosen)
        if self.piece is not None:
            page.outline(left + self.piece * cell, top - line * len(weights), cell, line * len(weights))

    def _draw_columns(self, page: Page, line: float) -> None:
        """The weights from the largest down, and below that those of all features in all passes."""
        weights = self.columns()
        assert weights is not None
        item, uniform, unit = ("piece", 1.0, "1") if self._printed else ("feature", 1 / weights.shape[1], "1/d")
        row, left, wide, bottom = weights[self.step.value], 6.2, 2.6, line * len(weights) + 1.45
        label = "uniform, 1" if self._printed else f"uniform, 1/d = {uniform:.4f}"
        above = self._draw_axis(page, left, bottom, wide, max(row.max(), uniform), uniform, label)
        drawn = np.sort(row)[::-1]
        page.add_artist(
            Line2D(
                left + (np.arange(len(row)) + 0.5) * wide / len(row),
                bottom + above * drawn,
                color=style.IMAGE,
                lw=1.6,
                marker=".",
                markersize=3,
                transform=page.dpi_scale_trans,
            )  # fmt: skip
        )
        page.write(left, bottom - 0.2, f"{len(row)} {item}s, from the largest weight down", 8)
        units = weights / uniform
        top = self._draw_passes(page, left, wide, units, line, style.IMAGE, unit)
        for number, name in enumerate(self.passes):
            most = int(units[number].argmax())
            says = f"{name}: most on {item} {most + 1}, {units[number, most]:.2f} × {unit}"
            at = left, top - (number + 1) * line, wide, line
            page.hit(*at, f"pass {number}", says, f"All passes, {item}s", number == self.step.value)

    def _draw_axis(
        self, page: Page, left: float, bottom: float, wide: float, most: float, uniform: float, label: str
    ) -> float:
        """An axis of weights from 0 on, and the uniform weight; gives the inches to one unit."""
        high = 1.75
        above = high / (1.2 * most)  # room for the label
        ticks = [tick for tick in MaxNLocator(4).tick_values(0, most) if tick <= most * 1.15]
        page.fill((left, bottom + above * tick - 0.005, wide, 0.01, "#d0d0d0") for tick in ticks)
        for tick in ticks:
            page.write(left - 0.06, bottom + above * tick, f"{tick:g}", 8, math.inf, ha="right", va="center")
        ends, level = [left, left + wide], [bottom + above * uniform] * 2
        page.add_artist(Line2D(ends, level, color="black", ls="--", lw=1, transform=page.dpi_scale_trans))
        label = f"– – {label}"
        page.write(left + wide - text_width(label, 8) / 0.95, bottom + high - 0.02, label, 8)
        return above

    def _draw_passes(
        self, page: Page, left: float, wide: float, units: np.ndarray, line: float, hue: str, unit: str
    ) -> float:
        """A row for each pass, coloured by weights in units of the uniform one; gives the upper edge in inches."""
        passes, top, most = len(units), line * len(units) + 0.42, max(float(units.max()), 1e-9)
        columns = np.arange(round(wide * PIXELS)) * units.shape[1] // round(wide * PIXELS)
        shown = np.maximum.reduceat(units, columns, axis=1)  # of features that share a pixel, the largest
        pixels = tint(hue, shown / most).repeat(round(line * PIXELS), 0)
        page.paint(left, top, (255 * pixels).round().astype(np.uint8))
        for number, name in enumerate(self.passes):
            page.write(left - 0.06, top - (number + 0.5) * line, name, 8, math.inf, ha="right", va="center")
        page.fill([(left, top - passes * line - 0.01, wide, 0.01, "#808080"), (left, top, wide, 0.01, "#808080")])
        page.outline(left, top - (self.step.value + 1) * line, wide, line)
        scale = {part: f"{part * most:.1f}" for part in (0.25, 0.5, 1.0)}
        scale[1.0] += "" if unit == "1" else f" × {unit}"
        draw_scale(page, left, 0.2, scale, hue)
        return top


inspect_mge = MGEInspector
