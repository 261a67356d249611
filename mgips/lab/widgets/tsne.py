"""Entity vectors in 2D and 3D by t-SNE (Figure 11), step by step, at any perplexity; one entity and its neighbours."""

from __future__ import annotations

import base64
import html
import time

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgips.data.batch import TweetDataset
from mgips.data.corpus import TYPES, Corpus
from mgips.errors import ConfigError
from mgips.lab.figures.text import fitted
from mgips.lab.figures.tsne import scatter
from mgips.lab.representation import (
    NEIGHBOURS,
    PERPLEXITY,
    Entity,
    EntityVectors,
    entity_vectors,
    neighbours,
    purity,
    tsne,
)
from mgips.lab.widgets.base import Inspector, figure, look, png
from mgips.lab.widgets.html import INK, shortened, tinted
from mgips.model.mgips import MGIPS

PERPLEXITIES = (2, 5, 10, 20, 30, 50, 100)
ITERATIONS = 400
"""Of t-SNE. 1,000, its default, move few points after that and take more than twice as long."""


def inspect_tsne(model: MGIPS, corpus: Corpus, split: str = "test", limit: int = 500) -> TSNEInspector:
    """Look at the entity vectors of a split at each step through a model, in 2D and in 3D.

    Args:
        split: "train", "dev" or "test".
        limit: entities shown, evenly over the split; t-SNE takes seconds for some hundreds and minutes for thousands.

    Raises:
        ConfigError: no such split, or too few entities for neighbours.
        DataError: a split without gold entities.
    """
    if split not in corpus.splits:
        raise ConfigError(f"There is no split {split!r}; the splits are {', '.join(corpus.splits)}.")
    found = entity_vectors(model, TweetDataset(corpus.splits[split], model.batcher, progress=False))
    least = min(len(found), limit)
    if least <= NEIGHBOURS:
        raise ConfigError(f"There are {least} entities to show; {NEIGHBOURS} neighbours need more than that.")
    kept = np.linspace(0, len(found) - 1, least).round().astype(int)
    shown = EntityVectors(
        tuple(found.entities[i] for i in kept), {name: v[kept] for name, v in found.steps.items()}, found.beyond
    )
    return TSNEInspector(shown, len(found))


class TSNEInspector(Inspector):
    """See `inspect_tsne`. `selected` and `neighbours` say what is marked."""

    def __init__(self, found: EntityVectors, total: int) -> None:
        """
        Args:
            found: the entities that are shown, more than ten.
            total: how many there were before some were left out.
        """
        super().__init__("mgips-tsne")
        self.found = found
        self.total = total
        self._kept: dict[tuple[str, int], tuple[np.ndarray, np.ndarray, float]] = {}
        self._near = {name: neighbours(vectors) for name, vectors in found.steps.items()}  # (N, NEIGHBOURS) each
        names = list(found.steps)
        wide = {"description_width": "95px"}
        self.step = widgets.Dropdown(
            options=names, value=names[-1], description="Step", style={"description_width": "40px"}
        )
        options = [p for p in PERPLEXITIES if p < len(found)]
        self.perplexity = widgets.SelectionSlider(
            options=options,
            value=min(PERPLEXITY, options[-1]),
            description="Perplexity",
            continuous_update=False,
            tooltip="About how many neighbours count. Each new value is computed once, which takes some seconds",
            style=wide,
            layout=widgets.Layout(width="360px"),
        )
        self.entity = widgets.IntSlider(
            value=1,
            min=1,
            max=len(found),
            description="Entity (← →)",
            continuous_update=False,
            tooltip="Click the slider or tab to it; then the left and right arrow keys go from entity to entity",
            style=wide,
            layout=widgets.Layout(width="420px"),
        )
        self.turn = widgets.IntSlider(
            value=300,
            min=0,
            max=345,
            step=15,
            description="Turn (← →)",
            continuous_update=False,
            tooltip="Degrees that the 3D view is turned by; the left and right arrow keys turn it",
            style=wide,
            layout=widgets.Layout(width="360px"),
        )
        self.view = widgets.HTML(layout=widgets.Layout(width="100%"))
        """The picture."""
        self.status = widgets.HTML()
        self.near = widgets.HTML(layout=widgets.Layout(width="calc(100% - 8px)"))
        """The marked entity's post and its neighbours'."""
        for name in ("step", "perplexity", "entity", "turn", "view", "status"):
            getattr(self, name).add_class(f"mgips-{name}")
        self.near.add_class("mgips-neighbours")
        for control in (self.step, self.perplexity, self.entity, self.turn):
            control.observe(self.guard(self.redraw), "value")
        rows = [[self.step, self.perplexity], [self.entity, self.turn]]
        layout = {"flex_flow": "row wrap", "align_items": "center"}
        self.arrange(
            [*(widgets.Box(row, layout=widgets.Layout(**layout)) for row in rows), self.status, self.view, self.near]
        )
        self.redraw()

    # ---- from Python ----

    @property
    def selected(self) -> Entity:
        """The entity that is marked."""
        return self.found.entities[self.entity.value - 1]

    def select(self, which: str | int) -> None:
        """Mark an entity by its place, or the first one of a post by the post's id.

        Raises:
            ConfigError: there is none.
        """
        if isinstance(which, str):
            which = next((i for i, entity in enumerate(self.found.entities) if entity.tweet.id == which), -1)
        if not 0 <= which < len(self.found):
            raise ConfigError(
                f"There is no such entity among these {len(self.found)}; give a place counted from 0, or the id of a post with one."
            )
        self.entity.value = which + 1

    @property
    def neighbours(self) -> list[Entity]:
        """Its nearest others by the full vectors of the chosen step, the nearest first."""
        return [self.found.entities[i] for i in self._near[self.step.value][self.entity.value - 1]]

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """The t-SNE of the chosen step at the chosen perplexity: (N, 2) and (N, 3)."""
        return self._computed()[:2]

    def _computed(self) -> tuple[np.ndarray, np.ndarray, float]:
        wanted = self.step.value, self.perplexity.value
        if wanted not in self._kept:
            self.status.value = f'<div role="status">Computing t-SNE at perplexity {wanted[1]} …</div>'
            vectors, started = self.found.steps[wanted[0]], time.perf_counter()
            flat, solid = (tsne(vectors, dimensions, wanted[1], ITERATIONS) for dimensions in (2, 3))
            self._kept[wanted] = flat, solid, time.perf_counter() - started
        return self._kept[wanted]

    # ---- the page ----

    def redraw(self) -> None:
        """Draw anew."""
        seconds = self._computed()[2]
        picture = base64.b64encode(png(self.picture())).decode()
        self.view.value = (
            f'<img src="data:image/png;base64,{picture}" alt="{html.escape(self.describe())}" style="max-width:100%">'
        )
        some = "" if len(self.found) == self.total else f" of {self.total:,}"
        self.status.value = (
            f'<div role="status" style="line-height:1.5">{len(self.found):,}{some} entities, {ITERATIONS} iterations in 2D and '
            f"in 3D: {seconds:.1f} seconds, and kept.</div>"
        )
        self.near.value = self._posts()

    def _share(self, points: np.ndarray) -> float:
        return purity(points, self.found.types).purity

    def _title(self) -> str:
        flat, solid = self.coordinates()
        full = self.found.steps[self.step.value]
        return (
            f"Of an entity's {NEIGHBOURS} nearest neighbours {self._share(full):.0%} share its type by the full vectors, "
            f"{self._share(flat):.0%} in 2D, {self._share(solid):.0%} in 3D"
        )

    def describe(self) -> str:
        """How far the picture agrees with the vectors, and the marked entity, in words."""
        span = self.selected.span
        same = sum(entity.span.type == span.type for entity in self.neighbours)
        return (
            f"t-SNE of {len(self.found)} entity vectors in 2D and 3D, step {self.step.value}, perplexity "
            f"{self.perplexity.value}, turned by {self.turn.value}°. {self._title()}. Marked: “{span.text}”, {span.type}, of "
            f"post {self.selected.tweet.id}; {same} of its {NEIGHBOURS} nearest neighbours are {span.type}."
        )

    def _posts(self) -> str:
        """The marked entity's post, and those of its neighbours."""

        def line(entity: Entity, sign: str) -> str:
            return (
                f'<div style="display:flex;margin:1px 0"><span style="flex:0 0 150px">{sign} {html.escape(entity.tweet.id)}</span>'
                f'<span style="overflow-wrap:anywhere">{tinted(entity.tweet.words, [entity.span])}</span></div>'
            )

        kind = self.selected.span.type
        near = "".join(line(e, "✓" if e.span.type == kind else "✗") for e in self.neighbours)
        return (
            f'<div style="line-height:1.6;color:{INK};background:#fafafa;border:1px solid #ccc;padding:6px 10px">'
            f"<b>Marked</b>{line(self.selected, '○')}<b>Its {NEIGHBOURS} nearest neighbours by the full vectors</b> "
            f"(✓ the same type){near}</div>"
        )

    def picture(self) -> Figure:
        """Both views, with the marked entity in a large ring and its neighbours in small ones."""
        with look():
            return self._draw()

    def _draw(self) -> Figure:
        drawn = figure(9.6, 5.2)
        title = f"{self.step.value}, perplexity {self.perplexity.value}. {self._title()}"
        drawn.suptitle(fitted(title, 9.3, 10), x=0.015, y=0.985, ha="left", va="top", fontsize=10, parse_math=False)
        at = self.entity.value - 1
        near = self._near[self.step.value][at]
        flat = drawn.add_axes((0.015, 0.09, 0.46, 0.83))
        solid = drawn.add_axes((0.5, 0.06, 0.49, 0.87), projection="3d")
        for ax, points in zip((flat, solid), self.coordinates(), strict=True):
            scatter(ax, points, self.found.types)
            ring(ax, points[near], 55, 1.1)
            ring(ax, points[[at]], 210, 2.4)
        solid.view_init(elev=22, azim=self.turn.value)
        drawn.legend(
            *flat.get_legend_handles_labels(),
            loc="lower left",
            bbox_to_anchor=(0.005, 0.0),
            ncols=len(TYPES),
            frameon=False,
            markerscale=1.6,
            columnspacing=1.2,
        )
        told = f"Large ring: “{shortened(self.selected.span.text, 24)}”, {self.selected.span.type}. Small rings: its {NEIGHBOURS} nearest."
        drawn.text(0.99, 0.03, fitted(told, 5.4, 9), ha="right", fontsize=9, parse_math=False)
        return drawn


def ring(ax: Axes, points: np.ndarray, size: float, width: float) -> None:
    """Black rings around points, in 2D or 3D."""
    solid = {"depthshade": False} if points.shape[1] == 3 else {}
    ax.scatter(*points.T, s=size, facecolors="none", edgecolors="black", linewidths=width, **solid)
