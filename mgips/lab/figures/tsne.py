"""Figure 11: the entity vectors in 3D and 2D by t-SNE, and beside the pictures what can be measured."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mgips.errors import DataError
from mgips.lab.figures.shared import CORPUS_LABELS, Results, chance_line, line, of_grid
from mgips.lab.figures.style import GREY, LOSS, TEXT, look
from mgips.lab.representation import EMBEDDING, MUTUAL, TOWER
from mgips.lab.results import RESULTS, Result, grid_corpus, load_results, missing
from mgips.lab.stats import t_difference
from mgips.tags import in_order

if TYPE_CHECKING:
    import plotly.graph_objects as go

TURN = 5
"""Degrees between two frames of the turning picture."""


def scatter(ax: Axes, points: np.ndarray, types: np.ndarray, size: float = 14) -> None:
    """Entities in 2D or, on 3D axes, in 3D: (N, 2) or (N, 3) points. t-SNE's axes have no unit, so no ticks are drawn."""
    for kind in in_order(types):
        mine = points[types == kind]
        if len(mine):
            colour, marker, _, factor = look(kind)
            ax.scatter(*mine.T, s=size * factor, label=kind, c=colour, marker=marker, alpha=0.75, linewidths=0)
    ax.set(xticks=[], yticks=[])
    if ax.name == "3d":
        solid: Any = ax  # matplotlib's stubs do not know 3D axes
        solid.set_zticks([])
        for axis in (solid.xaxis, solid.yaxis, solid.zaxis):
            axis.set_pane_color("#F4F4F4")
            axis.line.set_color("#BBBBBB")
        solid.set_box_aspect((1, 1, 0.9), zoom=1.1)
    else:
        ax.spines[:].set_visible(True)
        ax.spines[:].set_color("#BBBBBB")


@of_grid("fig11")
def fig11(results: Results, *_: Any) -> Figure:
    """The steps through a trained full model as 3D and 2D t-SNE, and below them purity and silhouette of all seeds."""
    drawn, types, seed = _drawn(results)
    trained = drawn["trained"]
    figure = plt.figure(figsize=(11, 10.6), layout="constrained")
    grid = figure.add_gridspec(3, len(trained), height_ratios=(1.25, 1.0, 1.1))
    for column, (step, numbers) in enumerate(trained.items()):
        solid = figure.add_subplot(grid[0, column], projection="3d")
        scatter(solid, np.array(numbers["xyz"]), types)
        solid.set_title(f"{step}: 3D t-SNE, seed {seed}", loc="left", y=0.97)
        flat = figure.add_subplot(grid[1, column])
        scatter(flat, np.array(numbers["xy"]), types, size=11)
        flat.set_title(f"{step}: 2D t-SNE, seed {seed}")
    legend = {"frameon": False, "columnspacing": 1}
    figure.axes[1].legend(loc="upper left", bbox_to_anchor=(-0.02, 0), ncols=len(set(types)), markerscale=1.6, **legend)
    share = f"own type among {drawn['k']} nearest, %"
    panels = [("purity", "all entities", share, 100), ("silhouette", "silhouette", "between -1 and 1", 1)]
    if trained[EMBEDDING]["ambiguous"]:
        panels.insert(1, ("ambiguous", "names that the text leaves open", share, 100))
    below = grid[2, :].subgridspec(1, len(panels))
    for column, (key, title, axis, scale) in enumerate(panels):
        ax = figure.add_subplot(below[column])
        _numbers(ax, results, key, scale)
        ax.set(title=title, ylabel=axis)
    figure.axes[-1].legend(loc="lower right", bbox_to_anchor=(1.02, 1.1), ncols=3, fontsize=9, **legend)
    figure.suptitle(_title(results), x=0.01, ha="left", fontsize=11)
    return figure


def _drawn(results: Results) -> tuple[dict[str, Any], np.ndarray, int]:
    """What the full model's run with coordinates collected, its entities' types, and its seed."""
    for run in results["full"]:
        record = run.record.get("representation", {})
        if "entities" in record:
            return record, np.array([kind for _, kind, _, _ in record["entities"]]), run.seed
    raise DataError("No run of fig11's row full holds coordinates; run it again: mgips sweep fig11.")


def _values(runs: Sequence[Result], which: str, step: str, key: str) -> list[float]:
    """One number a seed: "purity" or "silhouette" of all entities, or "ambiguous", the purity of those."""
    numbers = [run.record["representation"][which][step] for run in runs]
    return [measured["ambiguous"]["purity"] if key == "ambiguous" else measured[key] for measured in numbers]


def _numbers(ax: Axes, results: Results, key: str, scale: float) -> None:
    """A measure step by step: the full model, text only, and the full model before training; chance dotted."""
    full = results["full"]
    names = list(full[0].record["representation"]["trained"])
    place = {**{name: x for x, name in enumerate(names)}, TOWER: 1}  # the text tower stands where text meets image
    for shift, label, runs, which, colour in (
        (-0.05, "full", full, "trained", LOSS),
        (0.05, "text only", results["text"], "trained", TEXT),
        (0.0, "full, before training", full, "untrained", GREY),
    ):
        steps = runs[0].record["representation"][which]
        points = {place[step] + shift: [scale * v for v in _values(runs, which, step, key)] for step in steps}
        line(ax, points, colour, label)
    if key != "silhouette":
        measured = [run.record["representation"]["trained"][EMBEDDING] for run in full]
        chance = np.mean([(numbers["ambiguous"] if key == "ambiguous" else numbers)["chance"] for numbers in measured])
        chance_line(ax, scale * float(chance), 0.5, "top")
    labels = [f"{MUTUAL}\n(text only: {TOWER})" if name == MUTUAL else name for name in names]
    ax.set(xticks=range(len(names)), xticklabels=labels, xlim=(-0.3, len(names) - 0.7))
    ax.set_ylim(*((0, scale) if key != "silhouette" else (min(0, ax.get_ylim()[0]), None)))
    ax.yaxis.set_major_locator(MaxNLocator(5))


def _title(results: Results) -> str:
    """Purity step by step, and what the intervals over seeds allow to say about each step."""
    full, text = results["full"], results["text"]
    names, ends = (list(runs[0].record["representation"]["trained"]) for runs in (full, text))
    values = {name: np.array(_values(full, "trained", name, "purity")) for name in names}
    route = [f"{100 * values[name].mean():.0f} % {'in the' if name == EMBEDDING else 'after'} {name}" for name in names]
    changes = [(after, t_difference(list(values[after] - values[before]))) for before, after in pairwise(names)]
    alone = 100 * np.mean(_values(text, "trained", ends[-1], "purity"))
    return (
        f"Neighbours share an entity's type: {', '.join(route)} (text only {alone:.0f} %)\n"
        f"95 % t-intervals over seeds: {'; '.join(f'{name} {gain} points, {gain.verdict}' for name, gain in changes)}"
    )


def fig11_html(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> go.Figure | None:
    """The 3D t-SNE of every step, before and after training, to turn and to point at; None where runs are missing.

    Raises:
        DataError: no run has coordinates.
    """
    if missing("fig11", corpus, folder):
        return None
    record, types, seed = _drawn(load_results("fig11", corpus, folder))
    # Only invented posts are shown with their words; they are drawn again from the seed.
    posts = grid_corpus(corpus, seed).test if corpus == "tinytweets" else ()
    words = {tweet.id: tweet.words for tweet in posts}
    hovers = [hover(id, kind, words.get(id, ()), start, end) for id, kind, start, end in record["entities"]]
    views, titles = {}, {}
    for which, when in (("trained", "trained"), ("untrained", "before training")):
        for step, numbers in record[which].items():
            name, share = f"{step}, {when}", f"{100 * numbers['purity']:.0f} % of an entity's {record['k']} nearest"
            views[name] = np.array(numbers["xyz"])
            titles[name] = (
                f"{CORPUS_LABELS.get(corpus, corpus)}, seed {seed}, {name}: {share} neighbours share its type "
                f"(full vectors; chance {100 * numbers['chance']:.0f} %)"
            )
    return turning(views, types, hovers, titles, f"{list(record['trained'])[-1]}, trained")


def hover(id: str, kind: str, words: Sequence[str] = (), start: int = 0, end: int = 0) -> str:
    """The hover text of a point: type and id of an entity, and its post with the entity's words [start, end) in bold."""
    plain = [word.replace("\ue000", "").replace("\ue001", "") for word in words]  # two characters that mark bold words
    marked = [f"\ue000{word}\ue001" if start <= place < end else word for place, word in enumerate(plain)]
    lines = [html.escape(line) for line in textwrap.wrap(" ".join(marked), 64)]
    post = "<br>".join(lines).replace("\ue000", "<b>").replace("\ue001", "</b>")
    return f"{html.escape(kind)} · {html.escape(id)}" + (f"<br>{post}" if post else "")


def turning(
    views: Mapping[str, np.ndarray], types: np.ndarray, hovers: Sequence[str], titles: Mapping[str, str], start: str
) -> go.Figure:
    """A 3D scatter to turn by hand or by itself, with a list of views to choose from; `start` is shown first.

    Args:
        views: each (N, 3), by name, and a title for each in `titles`.
        types: (N,) the entities' types.
        hovers: N, what a point shows when the mouse is on it (`hover`).
    """
    import plotly.graph_objects as go

    titles = {name: html.escape(title, quote=False) for name, title in titles.items()}
    mine = {kind: np.flatnonzero(types == kind) for kind in in_order(types)}
    # One trace per type, not per view and type: hover texts are stored once, and a type hidden stays hidden.
    axes = {
        name: {axis: [points[rows, place].tolist() for rows in mine.values()] for place, axis in enumerate("xyz")}
        for name, points in views.items()
    }
    figure = go.Figure()
    for number, (kind, rows) in enumerate(mine.items()):
        figure.add_scatter3d(
            **{axis: values[number] for axis, values in axes[start].items()},
            mode="markers",
            name=html.escape(kind),
            marker={
                "size": 5 * look(kind).size,
                "color": look(kind).colour,
                "symbol": look(kind).symbol,
                "opacity": 0.8,
            },
            hovertext=[hovers[i] for i in rows.tolist()],
            hoverinfo="text",
        )

    def camera(degrees: float) -> dict[str, Any]:
        angle = np.deg2rad(degrees)
        return {"eye": {"x": round(1.5 * np.cos(angle), 3), "y": round(1.5 * np.sin(angle), 3), "z": 0.7}}

    angles = range(0, 360, TURN)
    figure.frames = [go.Frame(name=str(angle), layout={"scene": {"camera": camera(angle)}}) for angle in angles]
    choices = [{"label": n, "method": "update", "args": [axes[n], {"title.text": titles[n]}]} for n in views]
    now = {"mode": "immediate", "transition": {"duration": 0}}
    turn = [None, {**now, "frame": {"duration": 80, "redraw": True}, "fromcurrent": True}]
    stop = [[None], {**now, "frame": {"duration": 0, "redraw": False}}]
    labelled = {"▶ Turn": turn, "■ Stop": stop}
    buttons = [{"label": label, "method": "animate", "args": args} for label, args in labelled.items()]
    above = {"xanchor": "left", "y": 1.01, "yanchor": "bottom"}
    plain = {"showticklabels": False, "title": "", "showspikes": False, "backgroundcolor": "#F4F4F4"}
    figure.update_layout(
        template="none",
        hoverlabel={"bgcolor": "white", "font": {"color": "#1a1a1a"}},
        title={"text": titles[start], "x": 0.01, "xanchor": "left", "font": {"size": 15}},
        height=640,
        margin={"l": 0, "r": 0, "t": 100, "b": 0},
        scene={"xaxis": plain, "yaxis": plain, "zaxis": plain, "aspectmode": "cube", "camera": camera(0)},
        legend={"x": 1, "xanchor": "right", "y": 1, "itemsizing": "constant", "bgcolor": "rgba(255,255,255,0.7)"},
        updatemenus=[
            {"buttons": choices, "active": list(views).index(start), "x": 0.01, **above},
            {"type": "buttons", "direction": "left", "showactive": False, "buttons": buttons, "x": 0.35, **above},
        ],
    )
    return figure
