"""Entity vectors in 2D and 3D by t-SNE (Figure 11), step by step, at any perplexity; one entity and its neighbours."""

from __future__ import annotations

import functools
import time
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus
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
from mgips.lab.widgets.base import USE_ARROWS, Inspected, Inspector, Page, control, loaded, slider
from mgips.lab.widgets.html import render, shortened

PERPLEXITIES = (2, 5, 10, 20, 30, 50, 100)
ITERATIONS = 400
"""Of t-SNE. 1,000, its default, move few points after that and take more than twice as long."""


def inspect_tsne(model: Inspected, corpus: Corpus, split: str = "test", limit: int = 500) -> TSNEInspector:
    """Look at the entity vectors of a split at each step through a model, in 2D and in 3D.

    Args:
        model: a model, a run, or the folder or name of either.
        limit: entities shown, spread evenly over the split; t-SNE takes seconds for some hundreds and minutes for
            thousands.

    Raises:
        ConfigError: no such split, or too few entities for neighbours.
        DataError: a split without gold entities.
    """
    if split not in corpus.splits:
        raise ConfigError(f"There is no split {split!r}; the splits are {', '.join(corpus.splits)}.")
    model = loaded(model)
    vectors = entity_vectors(model, TweetDataset(corpus.splits[split], model.batcher, progress=False))
    count = min(len(vectors), limit)
    if count <= NEIGHBOURS:
        raise ConfigError(f"There are {count} entities to show; {NEIGHBOURS} neighbours need more than that.")
    kept = np.linspace(0, len(vectors) - 1, count).round().astype(int)
    entities = tuple(vectors.entities[i] for i in kept)
    steps = {name: matrix[kept] for name, matrix in vectors.steps.items()}
    return TSNEInspector(EntityVectors(entities, steps, vectors.beyond), len(vectors))


class TSNEInspector(Inspector):
    """See `inspect_tsne`. `selected` and `neighbours` are the entities in rings."""

    def __init__(self, vectors: EntityVectors, total: int) -> None:
        """Of `total` entities, the vectors of those that are shown, which are more than ten."""
        super().__init__("mgips-tsne")
        self.vectors, self.total = vectors, total
        self._layout_of = functools.cache(self._compute)
        self._near = {name: neighbours(matrix) for name, matrix in vectors.steps.items()}  # (N, NEIGHBOURS) each
        names = list(vectors.steps)
        self.step = control(widgets.Dropdown, "step", label="40px", options=names, value=names[-1], description="Step")
        options = [perplexity for perplexity in PERPLEXITIES if perplexity < len(vectors)]
        tooltip = "About how many neighbours count. Each new value is computed once, which takes some seconds"
        bounds: dict[str, Any] = {"options": options, "value": min(PERPLEXITY, options[-1]), "tooltip": tooltip}
        self.perplexity = control(widgets.Dropdown, "perplexity", "160px", "75px", description="Perplexity", **bounds)
        bounds = {"min": 1, "max": len(vectors), "tooltip": f"{USE_ARROWS} go from entity to entity"}
        self.entity = slider("entity", "420px", description="Entity", **bounds)
        tooltip = "Degrees by which the 3D view is turned; the left and right arrow keys turn it"
        bounds = {"value": 300, "min": 0, "max": 345, "step": 15, "tooltip": tooltip}
        self.turn = slider("turn", "360px", description="Turn", **bounds)
        self.status = control(widgets.HTML, "status")
        self.view = control(widgets.HTML, "view", "100%")
        self.near = control(widgets.HTML, "neighbours", "calc(100% - 8px)")
        """The selected entity's post and its neighbours'."""
        self.on_change(self.redraw, self.step, self.perplexity, self.entity, self.turn)
        self.arrange([self.step, self.perplexity], [self.entity, self.turn], self.status, self.view, self.near)
        self.redraw()

    # ---- from Python ----

    @property
    def selected(self) -> Entity:
        """The selected entity."""
        return self.vectors.entities[self.entity.value - 1]

    def select(self, wanted: str | int) -> None:
        """Select an entity by its place, or the first one of a post by its id; a ConfigError says that there is none."""
        if isinstance(wanted, str):
            ids = [entity.tweet.id for entity in self.vectors.entities]
            wanted = ids.index(wanted) if wanted in ids else -1
        count = len(self.vectors)
        if not 0 <= wanted < count:
            raise ConfigError(f"There is no such entity among these {count}; give a post's id, or a place from 0 on.")
        self.entity.value = wanted + 1

    @property
    def neighbours(self) -> list[Entity]:
        """Its nearest others by the full vectors of the chosen step, the nearest first."""
        return [self.vectors.entities[i] for i in self._near[self.step.value][self.entity.value - 1]]

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """The t-SNE of the chosen step at the chosen perplexity: (N, 2) and (N, 3)."""
        return self._layout_of(self.step.value, self.perplexity.value)[:2]

    def _compute(self, step: str, perplexity: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Both layouts, and the seconds they took."""
        self.status.value = render("status", message=f"Computing t-SNE at perplexity {perplexity} …")
        started = time.perf_counter()
        flat, solid = (tsne(self.vectors.steps[step], dimensions, perplexity, ITERATIONS) for dimensions in (2, 3))
        return flat, solid, time.perf_counter() - started

    # ---- the page ----

    def redraw(self) -> None:
        """Draw the picture again, and list the neighbours."""
        seconds = self._layout_of(self.step.value, self.perplexity.value)[2]
        self.view.value = self.as_html()
        some = "" if len(self.vectors) == self.total else f" of {self.total:,}"
        work = f"{ITERATIONS} iterations in 2D and in 3D: {seconds:.1f} seconds, and kept."
        self.status.value = render("status", message=f"{len(self.vectors):,}{some} entities, {work}")
        self.near.value = render("neighbours", selected=self.selected, nearest=self.neighbours)

    def _title(self) -> str:
        types = self.vectors.types
        flat, solid = (purity(points, types).purity for points in self.coordinates())
        full = purity(self.vectors.steps[self.step.value], types).purity
        shares = f"{full:.0%} share its type by the full vectors, {flat:.0%} in 2D, {solid:.0%} in 3D"
        return f"Of an entity's {NEIGHBOURS} nearest neighbours {shares}"

    def describe(self) -> str:
        """How far the picture agrees with the vectors, and the selected entity, in words."""
        span = self.selected.span
        same = sum(entity.span.type == span.type for entity in self.neighbours)
        return (
            f"t-SNE of {len(self.vectors)} entity vectors in 2D and 3D, step {self.step.value}, perplexity "
            f"{self.perplexity.value}, turned by {self.turn.value}°. {self._title()}. Selected: “{span.text}”, {span.type}, "
            f"of post {self.selected.tweet.id}; {same} of its {NEIGHBOURS} nearest neighbours are {span.type}."
        )

    def draw(self) -> Figure:
        """Both views, with the selected entity in a large ring and its neighbours in small ones."""
        title = f"{self.step.value}, perplexity {self.perplexity.value}. {self._title()}"
        page = Page(9.6, 5.2, title, margin=0.144, top=0.078, points=10)
        at = self.entity.value - 1
        near = self._near[self.step.value][at]
        flat = page.add_axes((0.015, 0.09, 0.46, 0.83))
        solid = page.add_axes((0.5, 0.06, 0.49, 0.87), projection="3d")
        assert isinstance(solid, Axes3D)
        for axes, points in zip((flat, solid), self.coordinates(), strict=True):
            scatter(axes, points, self.vectors.types)
            rings = {"facecolors": "none", "edgecolors": "black", **({"depthshade": False} if axes is solid else {})}
            axes.scatter(*points[near].T, s=55, linewidths=1.1, **rings)
            axes.scatter(*points[[at]].T, s=210, linewidths=2.4, **rings)
        solid.view_init(elev=22, azim=self.turn.value)
        place = {
            "loc": "lower left",
            "bbox_to_anchor": (0.005, 0.0),
            "ncols": min(8, len(set(self.vectors.types))),
            "columnspacing": 1.2,
        }
        page.legend(*flat.get_legend_handles_labels(), **place, frameon=False, markerscale=1.6)
        span = self.selected.span
        rings = f"Large ring: “{shortened(span.text, 24)}”, {span.type}. Small rings: its {NEIGHBOURS} nearest."
        page.text(0.99, 0.03, fitted(rings, 5.4, 9), ha="right", fontsize=9, parse_math=False)
        return page
