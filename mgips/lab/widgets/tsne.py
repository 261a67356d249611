"""Entity vectors by t-SNE (Figure 11) and PCA, step by step, at any perplexity; one entity and its neighbours, or some."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
from markupsafe import escape
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from sklearn.decomposition import PCA

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus
from mgips.errors import ConfigError
from mgips.lab.figures.style import look
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
from mgips.lab.widgets.base import USE_ARROWS, Inspected, Inspector, Page, control, in_thread, loaded, slider
from mgips.lab.widgets.html import clean, render, shortened, thumbnail
from mgips.lab.widgets.parts import View
from mgips.tags import in_order

PERPLEXITIES = (2, 5, 10, 20, 30, 50, 100)
ITERATIONS = 400
"""Of t-SNE. 1,000, its default, move few points after that and take more than twice as long."""
FLAT, SOLID, COMPONENTS = "2D t-SNE", "3D t-SNE", "PCA"
ELEVATION = 22
"""Degrees from which the 3D view is looked down on."""
NEAR = 0.04
"""A click selects the nearest point within so much of the picture's side."""
PAGE = 10
"""Posts of a list that are shown at once."""
SHAPES = {
    "o": "M-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0z",
    "s": "M-8-8h16v16h-16z",
    "P": "M-4-11h8v7h7v8h-7v7h-8v-7h-7v-8h7z",
    "D": "M0-11 11 0 0 11-11 0z",
    "X": "M-5-10 0-5 5-10 10-5 5 0 10 5 5 10 0 5-5 10-10 5-5 0-10-5z",
}
"""The markers of `mgips.lab.figures.style` as paths, on a picture of 1,000 × 1,000."""


class Layout(NamedTuple):
    """Where the entities lie in one view."""

    points: np.ndarray
    """(N, 2) or (N, 3)."""
    purity: float
    """Share of an entity's neighbours in this view that have its type."""
    seconds: float
    explained: float | None = None
    """Of PCA, the share of the variance along these components."""


def inspect_tsne(model: Inspected, corpus: Corpus, split: str = "test", limit: int = 500) -> TSNEInspector:
    """Look at the entity vectors of a split at each step through a model: t-SNE in 2D, and beside it PCA or 3D t-SNE.

    Args:
        model: a model, a run, or the folder or name of either.
        limit: entities shown, spread evenly over the split; t-SNE takes seconds for some hundreds and minutes for
            thousands.

    Raises:
        ConfigError: no such split, or too few entities for neighbours.
        DataError: a split without gold entities.
        RunError: a folder or name without a model.
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
    """See `inspect_tsne`. `selected` and `neighbours` are the entities in rings, `chosen` those of a box or a search."""

    def __init__(self, vectors: EntityVectors, total: int) -> None:
        """Of `total` entities, the vectors of those that are shown, which are more than ten."""
        super().__init__("mgips-tsne")
        self.vectors, self.total = vectors, total
        self._layouts: dict[tuple[str, str, int], Layout] = {}
        """By step, view and perplexity (0 for PCA)."""
        self._near = {name: neighbours(matrix) for name, matrix in vectors.steps.items()}  # (N, NEIGHBOURS) each
        self._purity = {name: purity(matrix, vectors.types).purity for name, matrix in vectors.steps.items()}
        self._says = [escape(clean(f"{e.span.type} · {e.span.text} · post {e.tweet.id}")) for e in vectors.entities]
        self._thumbnail = functools.lru_cache(512)(lambda place: thumbnail(vectors.entities[place].tweet))
        self._chosen: list[int] = []
        self._why, self._page = "", 0
        names = list(vectors.steps)
        self.step = control(widgets.Dropdown, "step", label="40px", options=names, value=names[-1], description="Step")
        options = [perplexity for perplexity in PERPLEXITIES if perplexity < len(vectors)]
        tooltip = "About how many neighbours count. Each new value is computed once, which may take some seconds"
        # with more than a third of the entities as neighbours, t-SNE draws everything into a point
        sound = [perplexity for perplexity in options if perplexity <= min(PERPLEXITY, (len(vectors) - 1) / 3)]
        bounds: dict[str, Any] = {"options": options, "value": sound[-1], "tooltip": tooltip}
        self.perplexity = control(widgets.Dropdown, "perplexity", "160px", "75px", description="Perplexity", **bounds)
        beside = {"options": [COMPONENTS, SOLID], "description": "Beside it"}
        self.beside = control(widgets.Dropdown, "beside", "190px", "65px", **beside)
        bounds = {"min": 1, "max": len(vectors), "tooltip": f"{USE_ARROWS} go from entity to entity"}
        self.entity = slider("entity", "420px", description="Entity", **bounds)
        tooltip = "Degrees by which the 3D view is turned; the left and right arrow keys turn it, all the way round"
        bounds = {"value": 300, "min": 0, "max": 360, "step": 15, "circle": True, "tooltip": tooltip}
        self.turn = slider("turn", "360px", description="Turn", **bounds)
        tooltip = "Words of an entity, or a post's id; press Enter"
        typed = {"description": "Find", "continuous_update": False, "placeholder": tooltip, "tooltip": tooltip}
        self.find = control(widgets.Text, "find", "420px", "40px", **typed)
        self.status = control(widgets.HTML, "status")
        self.view = control(View, "view", "100%", boxed=self._boxed)
        self.near = control(View, "neighbours", "100%", picked=self._picked)
        """The selected entity's post, its neighbours', and those of a box or a search."""
        self._shown = self._wanted()
        self.on_change(self.redraw, self.step, self.perplexity, self.beside)
        self.on_change(self._show, self.entity, self.turn)
        self.on_change(self._search, self.find)
        controls = [self.step, self.perplexity, self.beside], [self.entity, self.find, self.turn]
        self.arrange(*controls, self.status, self.view, self.near)
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
        return [self.vectors.entities[i] for i in self._nearest()]

    @property
    def chosen(self) -> list[Entity]:
        """The entities that a box or a search has chosen, in the split's order."""
        return [self.vectors.entities[i] for i in self._chosen]

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the chosen step, t-SNE at the chosen perplexity, (N, 2), and what is beside it: (N, 2) of PCA, or (N, 3)."""
        flat, beside = self._views()
        return flat.points, beside.points

    # ---- what takes long ----

    def _wanted(self) -> tuple[str, int, str]:
        return self.step.value, self.perplexity.value, self.beside.value

    def redraw(self) -> None:
        """Compute what the controls ask for, where it is new, and show it."""
        self.work(f"computing t-SNE at perplexity {self.perplexity.value}", self._steps(), self._arrive)

    def _keys(self, step: str, perplexity: int, beside: str) -> list[tuple[str, str, int]]:
        """Of both views in `_layouts`."""
        return [(step, FLAT, perplexity), (step, beside, perplexity if beside == SOLID else 0)]

    def _steps(self) -> Iterator[float]:
        new = [key for key in self._keys(*self._wanted()) if key not in self._layouts]
        for done, key in enumerate(new):
            for share in self._compute(*key):
                yield (done + share) / len(new)

    def _compute(self, step: str, view: str, perplexity: int) -> Iterator[float]:
        started, matrix, explained = time.perf_counter(), self.vectors.steps[step], None
        if view == COMPONENTS:
            found = PCA(2).fit(matrix)
            points, explained = found.transform(matrix), float(found.explained_variance_ratio_.sum())
        else:
            # as long as the last one took; the first one in 3D twice as long as in 2D
            past = [layout.seconds * (1 + (view != of)) for (_, of, some), layout in self._layouts.items() if some]
            expected, dimensions = (past or [1.0])[-1], 2 if view == FLAT else 3
            points = yield from in_thread(
                lambda: tsne(matrix, dimensions, perplexity, ITERATIONS),
                lambda: min(0.95, (time.perf_counter() - started) / expected),
            )
        share = purity(points, self.vectors.types).purity
        self._layouts[step, view, perplexity] = Layout(points, share, time.perf_counter() - started, explained)

    def _arrive(self) -> None:
        self._shown = self._wanted()
        self._show()

    def undo(self) -> None:
        """Back to the step, the perplexity and the view that are shown."""
        with self.setting():
            self.step.value, self.perplexity.value, self.beside.value = self._shown

    # ---- what the page asks for ----

    def _boxed(self, area: str, *edges: float) -> None:
        self.guard(lambda: self.box(area, *edges))()

    def _picked(self, what: str) -> None:
        self.guard(lambda: self.pick(what))()

    def box(self, area: str, left: float, top: float, right: float, bottom: float) -> None:
        """Choose the entities in a box of a view ("flat" or "beside"), or select the one at a click; edges in [0, 1]."""
        points = self._places(area)
        if left == right and top == bottom:
            away = np.hypot(*(points - (left, top)).T)
            if away.min() <= NEAR:
                self.select(int(away.argmin()))
            return
        inside = ((points >= (left, top)) & (points <= (right, bottom))).all(1)
        self._choose(np.flatnonzero(inside).tolist(), "in the box")

    def pick(self, what: str) -> None:
        """What the buttons of the lists do: select an entity by its place, turn the page, or let go of what is chosen."""
        if what == "clear":
            with self.setting():
                self.find.value = ""
            self._choose([], "")
        elif what.startswith("page "):
            self._page = int(what.removeprefix("page "))
            self._list()
        else:
            self.select(int(what))

    def _search(self) -> None:
        wanted = self.find.value.strip()
        if not wanted:
            self._choose([], "")
            return
        found = [
            place
            for place, (tweet, span) in enumerate(self.vectors.entities)
            if wanted.casefold() in span.text.casefold() or wanted == tweet.id
        ]
        if not found:
            raise ConfigError(f"No entity has “{wanted}” in it, and no post is called so; try fewer letters.")
        with self.setting():
            self.entity.value = found[0] + 1
        self._choose(found, f"that “{wanted}” finds")

    def _choose(self, places: list[int], why: str) -> None:
        self._chosen, self._why, self._page = places, why, 0
        self._show()

    # ---- the page ----

    def _nearest(self) -> list[int]:
        return self._near[self._shown[0]][self.entity.value - 1].tolist()

    def _views(self) -> list[Layout]:
        return [self._layouts[key] for key in self._keys(*self._shown)]

    def _places(self, area: str) -> np.ndarray:
        """Where the entities are in a view, (N, 2) in [0, 1] from its upper left corner."""
        return self._projected(self._views()[area == "beside"].points)[0]

    def _projected(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places in a view, (N, 2); how near each is to whoever looks, (N,) in [0, 1]; and the 12 edges of the cube
        around them, (12, 2, 2), none in 2D. One scale for all axes."""
        low, high = points.min(0), points.max(0)
        middle, scale = (low + high) / 2, max(float((high - low).max()), 1e-9)
        if points.shape[1] == 2:
            places = (points - middle) / scale * (0.92, -0.92) + 0.5
            return places, np.ones(len(points)), np.zeros((0, 2, 2))
        turn, up = np.deg2rad((self.turn.value, ELEVATION))
        right = np.array((-np.sin(turn), np.cos(turn), 0))
        upwards = np.array((-np.sin(up) * np.cos(turn), -np.sin(up) * np.sin(turn), np.cos(up)))
        away = np.cross(right, upwards)  # towards whoever looks
        axes = np.stack((right, -upwards)).T * 0.6
        corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
        edges = [(a, b) for i, a in enumerate(corners) for b in corners[i + 1 :] if (a != b).sum() == 1]
        inside = (points - middle) / scale
        depth = inside @ away
        return (
            inside @ axes + 0.5,
            (depth - depth.min()) / max(float(np.ptp(depth)), 1e-9),
            np.array(edges) @ axes + 0.5,
        )

    def _show(self) -> None:
        """Draw both views again, and list the posts."""
        self.turn.layout.display = None if self._shown[2] == SOLID else "none"
        some = "" if len(self.vectors) == self.total else f" of {self.total:,}"
        took = " and ".join(
            f"{view} took {self._layouts[step, view, perplexity].seconds:.1f} s"
            for step, view, perplexity in self._keys(*self._shown)
            if perplexity
        )
        work = f"{took}, for {ITERATIONS} iterations; once computed, it is kept."
        self.status.value = render("status", message=f"{len(self.vectors):,}{some} entities; {work}")
        self.view.value = self.as_html()
        self._list()

    def _list(self) -> None:
        def row(place: int) -> dict[str, Any]:
            entity = self.vectors.entities[place]
            return {"place": place, "tweet": entity.tweet, "span": entity.span, "thumbnail": self._thumbnail(place)}

        pages = -(-len(self._chosen) // PAGE)
        self.near.value = render(
            "neighbours",
            selected=row(self.entity.value - 1),
            nearest=[row(place) for place in self._nearest()],
            chosen=[row(place) for place in self._chosen[PAGE * self._page : PAGE * (self._page + 1)]],
            why=self._why,
            mix=f"{len(self._chosen):,} {self._why}: {self._mix()}" if self._chosen else "",
            page=self._page,
            pages=pages,
        )

    def _mix(self) -> str:
        """How many of the chosen entities have each type."""
        counts = Counter(entity.span.type for entity in self.chosen)
        return ", ".join(f"{counts[kind]:,} {kind}" for kind in in_order(counts))

    def as_html(self) -> str:
        """Both views as drawings of HTML, which turn and mark in no time, and of which every point says what it is."""
        maps, types = [], self.vectors.types
        at, near, chosen = self.entity.value - 1, self._nearest(), set(self._chosen)
        for area, layout, title in zip(("flat", "beside"), self._views(), self._titles(), strict=True):
            places, depth, edges = self._projected(layout.points)
            spots = np.round(1000 * places).astype(int).tolist()
            kinds = [
                (
                    look(kind).colour,
                    SHAPES[look(kind).marker],
                    [
                        (*spots[i], 1 if depth[i] > 0.5 else 0.55, self._says[i], i in chosen)
                        for i in np.flatnonzero(types == kind).tolist()
                    ],
                )
                for kind in in_order(types)
            ]
            cube = [np.round(1000 * edge).astype(int).flatten().tolist() for edge in edges]
            rings = [(*spots[at], 26, 6), *((*spots[i], 15, 3) for i in near)]
            maps.append((area, title, kinds, cube, rings))
        legend = [
            (kind, look(kind).colour, SHAPES[look(kind).marker], int((types == kind).sum())) for kind in in_order(types)
        ]
        return render(
            "tsne_maps", title=self._title(), maps=maps, legend=legend, rings=self._rings(), alt=self.describe()
        )

    def _title(self) -> str:
        step = self._shown[0]
        return f"{step}: of an entity's {NEIGHBOURS} nearest neighbours {self._purity[step]:.0%} share its type by the full vectors"

    def _titles(self) -> list[str]:
        """What each view is, how pure it is, and how much of the variance it shows."""
        step, perplexity, beside = self._shown
        flat, other = self._views()
        titles = [f"{FLAT}, perplexity {perplexity}: {flat.purity:.0%} in this view"]
        if other.explained is not None:
            return [
                *titles,
                f"{COMPONENTS}, {other.explained:.0%} of the variance: {other.purity:.0%} in this view",
            ]
        return [*titles, f"{SOLID}, perplexity {perplexity}: {other.purity:.0%} in this view"]

    def _rings(self) -> str:
        span = self.selected.span
        return f"Large ring: “{shortened(span.text, 24)}”, {span.type}. Small rings: its {NEIGHBOURS} nearest."

    def describe(self) -> str:
        """How far the pictures agree with the vectors, and the selected entity, in words."""
        span, turned = self.selected.span, f", turned by {self.turn.value}°" if self._shown[2] == SOLID else ""
        same = sum(entity.span.type == span.type for entity in self.neighbours)
        chosen = f" {len(self._chosen)} entities {self._why}: {self._mix()}." if self._chosen else ""
        return (
            f"{len(self.vectors)} entity vectors, step {self._title()}. {'. '.join(self._titles())}{turned}. Selected: "
            f"“{span.text}”, {span.type}, of post {self.selected.tweet.id}; {same} of its {NEIGHBOURS} nearest neighbours "
            f"are {span.type}.{chosen}"
        )

    def draw(self) -> Figure:
        """Both views, with the selected entity in a large ring and its neighbours in small ones."""
        page = Page(9.6, 5.4, self._title(), margin=0.144, top=0.078, points=10)
        at, near = self.entity.value - 1, self._nearest()
        turns = self._shown[2] == SOLID
        axes = [page.add_axes((0.015, 0.09, 0.475, 0.79))]
        axes.append(
            page.add_axes(
                (0.51, 0.06 if turns else 0.09, 0.475, 0.82 if turns else 0.79), projection="3d" if turns else None
            )
        )
        for ax, points, title in zip(axes, self.coordinates(), self._titles(), strict=True):
            scatter(ax, points, self.vectors.types)
            rings = {"facecolors": "none", "edgecolors": "black", **({"depthshade": False} if ax.name == "3d" else {})}
            ax.scatter(*points[near].T, s=55, linewidths=1.1, **rings)
            ax.scatter(*points[[at]].T, s=210, linewidths=2.4, **rings)
            page.text(0.015 if ax is axes[0] else 0.51, 0.9, fitted(title, 4.5, 9), fontsize=9, parse_math=False)
        if isinstance(axes[1], Axes3D):
            axes[1].view_init(elev=ELEVATION, azim=self.turn.value)
        place = {
            "loc": "lower left",
            "bbox_to_anchor": (0.005, 0.0),
            "ncols": min(8, len(set(self.vectors.types))),
            "columnspacing": 1.2,
        }
        page.legend(*axes[0].get_legend_handles_labels(), **place, frameon=False, markerscale=1.6)
        page.text(0.99, 0.03, fitted(self._rings(), 5.4, 9), ha="right", fontsize=9, parse_math=False)
        return page
