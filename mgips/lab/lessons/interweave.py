"""Pictures, measurements and exercises of the lesson on excavators, the interweave walk and the gate (§3.3).

A function that draws returns the figure and its alternative text, for `mgips.lab.figures.show`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from torch import Tensor, nn
from torch.nn import functional as F

from mgips.data.batch import TweetDataset, evaluation_batches
from mgips.data.corpus import Tweet
from mgips.data.spans import spans
from mgips.errors import ConfigError
from mgips.lab.counterfactual import with_pictures_of
from mgips.lab.figures import show, style
from mgips.lab.figures.text import readable
from mgips.lab.lessons.exercises import Exercise
from mgips.model.interweave import MGE, InterweaveEncoder, column_weights, printed_column_weights, row_weights
from mgips.model.mgips import MGIPS

Drawing = tuple[Figure, str]
"""A figure and what a reader who cannot see it should know about it."""
SIDES = {"image": style.IMAGE, "text": style.TEXT}
BOTH = "#5B4B8A"
BATCH = 32
CUT = 30
"""So many word pieces of a post are drawn."""


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.012, ha="left", fontsize=11)


# --- the walk, drawn


def walk(rounds: int = 1) -> Drawing:
    """The states and passes of the interweave encoder and the two gates behind it, for L `rounds`."""
    order = [guide for _ in range(rounds) for guide in ("image", "text")] + ["image"]
    end = 1.7 * len(order) + 1.4
    wide, high = end + 2.9, 3.2
    figure = Figure(figsize=(9.3, 9.1 * high / wide + 0.35))
    ax = figure.add_axes(
        (0.01, 0.0, 0.98, 1 - 0.35 / figure.get_figheight()), xlim=(-0.6, wide - 0.6), ylim=(-0.5, 2.7)
    )
    ax.axis("off")
    rows, state, places = {"text": 2.0, "image": 0.35}, {"text": 0, "image": 0}, {"text": 0.0, "image": 0.0}
    for side, name in (("text", "T"), ("image", "X")):
        _state(ax, 0, rows[side], f"${name}_0$", side)
        ax.text(
            -0.02, rows[side] + 0.42, {"text": "$H^t$, text", "image": "$H^v$, image"}[side], fontsize=9, ha="center"
        )
    for number, guide in enumerate(order):
        x, source = 1.7 * number + 1.1, "text" if guide == "image" else "image"
        _arrow(ax, (places[guide] + 0.25, rows[guide]), (x - 0.42, rows[guide]), SIDES[guide])
        up = 0.26 if source == "text" else -0.26
        _arrow(ax, (places[source], rows[source] - up), (x - 0.1, rows[guide] + 1.15 * up), SIDES[source])
        _box(ax, x, rows[guide], f"{guide}-\nguided", SIDES[guide])
        state[guide] += 1
        places[guide] = x + 0.95
        _arrow(ax, (x + 0.42, rows[guide]), (places[guide] - 0.24, rows[guide]), SIDES[guide])
        ax.text(x, rows[guide] + (0.34 if guide == "text" else -0.34), f"pass {number + 1}", ha="center", va="bottom" if guide == "text" else "top", fontsize=8, color=style.GREY)  # fmt: skip
        _state(ax, places[guide], rows[guide], f"${'T' if guide == 'text' else 'X'}_{state[guide]}$", guide)
    for side, goes_on in (("text", "$z$: tags"), ("image", "losses\n(mining)")):
        y, away = rows[side], 1 if side == "text" else -1
        _arrow(ax, (places[side] + 0.25, y), (end - 0.42, y), SIDES[side])
        # The state before goes round the passes to the gate: T_0 on the text side, X_L on the image side.
        before = 0.0 if side == "text" else places[side] - 1.7 * (2 if rounds else 1)
        look = {"arrowstyle": "-|>", "color": SIDES[side], "lw": 1.2, "mutation_scale": 9,
                "connectionstyle": f"arc3,rad={-0.12 * min(1.0, 9.4 / wide) if side == 'text' else 0.22}"}  # fmt: skip
        ax.annotate("", (end - 0.1, y + 0.29 * away), (before + 0.1, y + 0.24 * away), arrowprops=look)
        _box(ax, end, y, "pre-post\ngate", BOTH)
        _arrow(ax, (end + 0.42, y), (end + 0.85, y), SIDES[side])
        ax.text(end + 0.95, y, goes_on, va="center", fontsize=9.5)
    passes = len(order)
    _title(figure, f"L = {rounds}: {passes} passes in turn, and only the text's lane reaches the tags")
    return figure, (
        f"Two lanes, text above and image below. {passes} excavators stand on them in turn, image-guided first and last; "
        "each reads the newest state of the other lane and adds its result to its own. A pre-post gate on each lane mixes two "
        "states: the text's mixes the first and the last and goes on to the tags, the image's the last two, for the losses."
    )


def _state(ax: Axes, x: float, y: float, name: str, side: str) -> None:
    ax.add_patch(Circle((x, y), 0.25, facecolor="white", edgecolor=SIDES[side], linewidth=1.8, zorder=3))
    ax.text(x, y, name, ha="center", va="center", fontsize=10.5, zorder=4)


def _box(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    size = 8.5 * min(1.0, 9.4 / np.ptp(ax.get_xlim()))  # a longer walk has smaller boxes
    look = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": colour, "edgecolor": colour, "zorder": 3}
    ax.add_patch(FancyBboxPatch((x - 0.42, y - 0.28), 0.84, 0.56, **look))
    ax.text(x, y, text, ha="center", va="center", color="white", fontsize=size, weight="bold", zorder=4)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    look = {"arrowstyle": "-|>", "color": colour, "lw": 1.4, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 10}
    ax.annotate("", end, start, arrowprops=look, zorder=2)


# --- one pass on a toy

WORDS = ("Jordan", "again", "!")
FEATURES = "abcd"


def excavator(source: Tensor, guide: Tensor) -> Drawing:
    """One pass in a picture: source ⊙ guide = M with blanks, one weight a row, one weight a column.

    Args:
        source, guide: (3, 4) both.
    """
    figure = Figure(figsize=(9.3, 2.75))
    grid = figure.add_gridspec(2, 4, width_ratios=(4, 4, 4, 1.2), height_ratios=(3, 0.8), left=0.075, right=0.93,
                               top=0.76, bottom=0.04, wspace=0.22, hspace=0.25)  # fmt: skip
    first = [[f"{x:g}" for x in (source * guide)[0].tolist()], ["?"] * 4, ["?"] * 4]
    tables = (
        ("source: what there is to find", [[f"{x:g}" for x in row] for row in source.tolist()], style.TEXT),
        ("guide: what to look for", [[f"{x:g}" for x in row] for row in guide.tolist()], style.IMAGE),
        ("M = source ⊙ guide", first, BOTH),
    )
    for place, (name, cells, colour) in enumerate(tables):
        ax = figure.add_subplot(grid[0, place])
        _table(ax, cells, colour)
        ax.set_title(name, fontsize=9.5, color=colour)
        if not place:
            for row, word in enumerate(WORDS):
                ax.text(-0.15, 2.5 - row, word, ha="right", va="center", fontsize=9.5)
        for column, feature in enumerate(FEATURES):
            ax.text(column + 0.5, -0.05, feature, ha="center", va="top", fontsize=9, color=style.GREY)
        if place < 2:
            ax.text(4.42, 1.5, "⊙="[place], fontsize=15, ha="center", va="center", color=style.GREY)
    for spot, cells, name in ((grid[0, 3], [["?"]] * 3, "rows"), (grid[1, 2], [["?"] * 4], "")):
        ax = figure.add_subplot(spot)
        _table(ax, cells, style.GREY)
        ax.set_title(name and "row weights", fontsize=9.5)
        if not name:
            ax.text(-0.15, 0.5, "column weights", ha="right", va="center", fontsize=9.5)
    _title(figure, "One pass: where source and guide agree, M is large; rows and columns are weighted by M")
    return figure, (
        "Tables of 3 tokens by 4 features: source times guide, cell by cell, gives M, of which the first row is filled in. "
        "Right of M one empty box for each token, the row weights; below it one for each feature, the column weights."
    )


def _table(ax: Axes, cells: Sequence[Sequence[str]], colour: str) -> None:
    rows, columns = len(cells), len(cells[0])
    ax.set(xlim=(-0.02, columns + 0.02), ylim=(-0.02, rows + 0.02))
    ax.axis("off")
    for i, row in enumerate(cells):
        for j, text in enumerate(row):
            box = FancyBboxPatch((j + 0.05, rows - 1 - i + 0.06), 0.9, 0.88, boxstyle="round,pad=0,rounding_size=0.1")
            box.set(facecolor="white", edgecolor=colour, linewidth=1.2, linestyle="--" if text == "?" else "-")
            ax.add_patch(box)
            ax.text(j + 0.5, rows - 0.5 - i, text, ha="center", va="center", fontsize=10.5)


def weighted(source: Tensor, m: Tensor, w3: Tensor, w4: Tensor, sharpness: float = 1.0) -> None:
    """Show eqs 6-8 on a toy: the source, V_C, V_F and their sum, with both score vectors multiplied by `sharpness`.

    Args:
        source, m: (n, d).
        w3, w4: (d,) and (n,).
    """
    mask = torch.ones(1, len(m), dtype=torch.bool)
    row, column = row_weights(m[None], sharpness * w3, mask)[0], column_weights(m[None], sharpness * w4, mask)[0]
    tables = {
        "source": source,
        "$V_C$: weighted rows": row * source,
        "$V_F$: weighted columns": column * source,
        "$V_C + V_F$": row * source + column * source,
    }
    figure = Figure(figsize=(9.3, 2.4), layout="constrained")
    axes = figure.subplots(1, 4)
    limit = max(float(table.abs().max()) for table in tables.values())
    for ax, (name, table) in zip(axes, tables.items(), strict=True):
        ax.imshow(table, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
        for i, j in np.ndindex(*table.shape):
            dark = abs(float(table[i, j])) > 0.6 * limit
            ax.text(
                j, i, f"{table[i, j]:.2f}", ha="center", va="center", fontsize=8.5, color="white" if dark else "black"
            )
        ax.set(xticks=range(table.shape[1]), xticklabels=FEATURES[: table.shape[1]])
        ax.set(yticks=range(len(table)), yticklabels=WORDS if ax is axes[0] else [])
        ax.tick_params(length=0)
        ax.set_title(name, fontsize=9.5)
    word, feature = WORDS[int(row.argmax())], f"feature {FEATURES[int(column.argmax())]}"
    title = f"The rows favour “{word}” ({100 * row.max():.0f} %), the columns {feature} ({100 * column.max():.0f} %)"
    _title(figure, title)
    show(figure, f"Four tables of 3 tokens by 4 features: source, weighted rows, weighted columns, their sum. {title}.")


# --- a trained model: how much comes out of a pass


def passes(model: MGIPS) -> list[str]:
    """The passes of a model's walk by their results: X1, T1, …, X2.

    Raises:
        ConfigError: it has no interweave module.
    """
    if model.interweave is None:
        raise ConfigError(
            "This model has no interweave module; give MGIPS_RUN a run of a variant that has one, such as full."
        )
    names = [f"{side}{number}" for number in range(1, model.interweave.rounds + 1) for side in "XT"]
    return names + ([f"X{model.interweave.rounds + 1}"] if model.interweave.last_image_pass else [])


def _named(names: Sequence[str]) -> list[str]:
    """A pass and the state that it makes, on two lines."""
    return [f"pass {number}\n(makes {name})" for number, name in enumerate(names, 1)]


def message(model: MGIPS, posts: Sequence[Tweet]) -> np.ndarray:
    """How long what a pass adds to its guide inside f3 is, beside the guide: mean of ‖message‖ / ‖guide‖, (passes,).

    Only the part that depends on the input counts: `project` has a bias, and so has the map back to image positions.
    """
    names, found = passes(model), []
    assert model.interweave is not None
    seen: list[tuple[MGE, Tensor, Tensor]] = []

    def entering(excavator: MGE) -> Iterator[Any]:
        guides: list[Tensor] = []
        yield excavator.register_forward_pre_hook(lambda _, inputs: guides.append(inputs[0]))
        yield excavator.norm1.register_forward_pre_hook(
            lambda _, inputs: seen.append((excavator, guides[-1], inputs[0]))
        )

    hooks = [hook for each in (model.interweave.image_guided, model.interweave.text_guided) for hook in entering(each)]
    try:
        for _, batch, _ in model.outputs(TweetDataset(posts, model.batcher, progress=False)):
            for number, (excavator, guide, summed) in enumerate(seen):
                real = batch.piece_mask if excavator.guide == "text" else batch.piece_mask.new_ones(guide.shape[:2])
                empty = guide.new_zeros(1, batch.piece_mask.shape[1], guide.shape[-1])
                with torch.no_grad():
                    back = excavator.text_to_image(empty, guide.shape[1]) if excavator.text_to_image else empty
                    constant = excavator.project(back)
                ratio = (summed - guide - constant).norm(dim=-1) / guide.norm(dim=-1)
                found.append((number, ratio[real].mean().item(), len(batch)))
            seen.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return np.array([_mean([(x, n) for k, x, n in found if k == number]) for number in range(len(names))])


def _mean(pairs: Sequence[tuple[Any, int]]) -> Any:
    """The mean of values over batches of n posts each."""
    return np.average([value for value, _ in pairs], axis=0, weights=[n for _, n in pairs])


@dataclass(frozen=True)
class Walked:
    """The text's states on a longer walk than the model was trained for; one number a state, T_0 … T_L."""

    lengths: np.ndarray
    """‖T_l‖ / ‖T_0‖."""
    cosines: np.ndarray
    """Of T_l and T_0."""
    steps: np.ndarray
    """(L - 1,): the cosine of each increment and the one before it."""


def walked(model: MGIPS, posts: Sequence[Tweet], rounds: int = 7) -> Walked:
    """Let the walk go on for `rounds` with the same excavators, and compare the text's states with the first.

    Means over the pieces of a batch, then over the batches by their posts.
    """
    passes(model)
    assert model.interweave is not None
    longer = InterweaveEncoder(model.interweave.image_guided, model.interweave.text_guided, rounds)
    found = []
    for _, batch, out in model.outputs(TweetDataset(posts, model.batcher, progress=False)):
        assert out.interwoven is not None
        with model.evaluating():
            states = longer(out.interwoven.text[0], out.interwoven.image[0], batch.piece_mask, batch.caption_mask).text
        real = torch.stack([state[batch.piece_mask] for state in states])  # (L + 1, pieces, d)
        steps = real.diff(dim=0)
        numbers = (
            (real.norm(dim=-1) / real[0].norm(dim=-1)).mean(-1),
            F.cosine_similarity(real, real[:1], dim=-1).mean(-1),
            F.cosine_similarity(steps[1:], steps[:-1], dim=-1).mean(-1),
        )
        found.append((numbers, len(batch)))
    return Walked(*(_mean([(numbers[i].cpu().numpy(), n) for numbers, n in found]) for i in range(3)))


def draw_message(names: Sequence[str], start: np.ndarray, trained: np.ndarray, walk: Walked) -> Drawing:
    """How much a pass adds, at the random start and trained; how long the text's state gets, and where it points."""
    figure = Figure(figsize=(9.3, 3.0), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1.35, 1, 1))
    for shift, values, colour, label in (
        (-0.2, start, style.GREY, "random start"),
        (0.2, trained, style.LOSS, "trained"),
    ):
        bars = axes[0].bar(np.arange(len(names)) + shift, 100 * values, 0.38, color=colour, label=label)
        axes[0].bar_label(bars, fmt="%.1f", fontsize=8.5)
    axes[0].set(
        xticks=range(len(names)), xticklabels=_named(names), ylim=(0, 1.3 * 100 * max(start.max(), trained.max()))
    )
    axes[0].set_title("message in % of the guide's length", fontsize=9.5)
    axes[0].legend(frameon=False, fontsize=8.5)
    states = range(len(walk.lengths))
    for ax, values, name, top in (
        (axes[1], walk.lengths, "length of $T_l$, in lengths of $T_0$", None),
        (axes[2], walk.cosines, "cosine of $T_l$ and $T_0$", 1.09),
    ):
        ax.plot(states, values, marker="o", color=style.TEXT)
        ax.set(xticks=states, ylim=(0, top), xlabel="state l")
        ax.annotate(f"{values[-1]:.2f}", (len(values) - 1, values[-1]), (-9, 1 if top is None else -14), textcoords="offset points", ha="right", fontsize=9)  # fmt: skip
        ax.set_title(name, fontsize=9.5)
    grows, turns = walk.lengths[-1], walk.cosines[-1]
    finding = "the walk mostly lengthens the state" if turns > 0.8 and grows > 2 else "the walk changes the state"
    _title(
        figure,
        f"{finding.capitalize()}: after {len(states) - 1} rounds it is {grows:.1f} times as long, with cosine {turns:.2f} to its start",
    )
    both = "; ".join(
        f"{n}: {100 * a:.1f} % at the start, {100 * b:.1f} % trained"
        for n, a, b in zip(names, start, trained, strict=True)
    )
    return figure, f"Message beside guide, {both}. The text's state grows to {grows:.1f} lengths; its cosine to the start falls to {turns:.2f}."  # fmt: skip


# --- a trained model: what the row weights pick


def weights_of(model: MGIPS, posts: Sequence[Tweet]) -> list[tuple[list[str], np.ndarray]]:
    """Each post's word pieces and the row weights of every pass on them, (passes, n).

    Raises:
        ConfigError: a model without row weights.
    """
    passes(model)
    assert model.interweave is not None
    if model.interweave.image_guided.w3 is None:
        raise ConfigError("This model has no row weights (variant no-row); give MGIPS_RUN a run that has them.")
    found: list[tuple[list[str], np.ndarray]] = [([], np.empty(0))] * len(posts)
    for indices, batch, out in model.outputs(TweetDataset(posts, model.batcher, progress=False)):
        assert out.interwoven is not None
        rows = (
            torch.stack([w.row.squeeze(-1) for w in out.interwoven.weights if w.row is not None]).float().cpu().numpy()
        )
        for place, index in enumerate(indices):
            n = int(batch.piece_mask[place].sum())
            pieces = model.batcher.tokenizer.convert_ids_to_tokens(batch.pieces[place, :n].tolist())
            found[index] = [readable(piece) for piece in pieces], rows[:, place, :n]
    return found


def moved(post: Tweet, word: str = "so") -> Tweet:
    """The post with one more word in front, so that every other word stands one place later."""
    return replace(post, words=(word, *post.words), tags=("O", *post.tags) if post.tags else ())


@dataclass(frozen=True)
class Picks:
    """What the row weights of each pass pick, on average; all but `places` are (passes,) in [0, 1]."""

    stays: np.ndarray
    """Posts whose largest weight stays at its place when one more word stands in front."""
    follows: np.ndarray
    """Posts whose largest weight moves with its word."""
    most: np.ndarray
    """The largest weight of a post, mean."""
    entities: np.ndarray
    """The weight on the pieces of gold entities, mean; 0 without tags."""
    share: float
    """The share of pieces that belong to gold entities."""
    posts: int
    """Posts that `stays` and `follows` count: those that one more word does not cut off."""


def picked(model: MGIPS, posts: Sequence[Tweet]) -> Picks:
    """Measure `Picks` over posts: once as they are, once with one more word in front.

    Raises:
        ConfigError: a model without row weights, or posts that are all cut.
    """
    before, after = weights_of(model, posts), weights_of(model, [moved(post) for post in posts])
    pairs = [(a, b) for (_, a), (_, b) in zip(before, after, strict=True) if b.shape[1] > a.shape[1]]
    if not pairs:
        raise ConfigError("All of these posts are cut at the longest length; give shorter ones.")
    extra = np.array([[b.shape[1] - a.shape[1]] for a, b in pairs])
    first = np.array([a.argmax(1) for a, _ in pairs])
    second = np.array([b.argmax(1) for _, b in pairs])
    on, share = [], []
    for post, (_, rows) in zip(posts, before, strict=True):
        starts = [*model.batcher.encode(post).first, rows.shape[1] - 1]
        inside = np.zeros(rows.shape[1], bool)
        for span in spans(post.words, post.tags):
            inside[starts[min(span.start, len(starts) - 1)] : starts[min(span.end, len(starts) - 1)]] = True
        on.append(rows[:, inside].sum(1))
        share.append(inside.mean())
    return Picks(
        (first == second).mean(0),
        (second == first + extra).mean(0),
        np.mean([rows.max(1) for _, rows in before], axis=0),
        np.mean(on, axis=0),
        float(np.mean(share)),
        len(pairs),
    )


def draw_picks(model: MGIPS, post: Tweet, picks: Picks) -> Drawing:
    """The row weights of one post, and of the same with one more word in front; and what happens over many posts."""
    names = passes(model)
    figure = Figure(figsize=(9.3, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(3.4, 1))
    says, weights, shades = [], [], ScalarMappable()
    for place, (shown, name) in enumerate(((post, "as it is"), (moved(post), "one more word in front"))):
        ax = figure.add_subplot(grid[place, 0])
        ((pieces, rows),) = weights_of(model, [shown])
        drawn, best = rows[:, :CUT], int(rows[0].argmax())
        weights.append(ax)
        shades = ax.imshow(100 * drawn, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        ax.set_yticks(range(len(names)), _named(names), fontsize=8.5)
        ax.set_xticks(range(drawn.shape[1]), [_short(piece) for piece in pieces[:CUT]], rotation=90, fontsize=8)
        numbers = ax.secondary_xaxis("top")
        numbers.set_xticks(range(drawn.shape[1]), [f"{i}" for i in range(drawn.shape[1])], fontsize=7, color=style.GREY)
        numbers.spines["top"].set_visible(False)
        numbers.tick_params(length=0, pad=1)
        ax.tick_params(length=0)
        rest = f"; {len(pieces) - CUT} more pieces are not drawn" if len(pieces) > CUT else ""
        ax.set_title(f"{name}: pass 1 picks “{pieces[best]}”, place {best}{rest}", fontsize=9.5)
        most = (f"{n} “{pieces[r.argmax()]}” ({100 * r.max():.0f} %)" for n, r in zip(names, rows, strict=True))
        says.append(f"{name}, most on " + ", ".join(most))
    figure.colorbar(shades, ax=weights, location="left", aspect=40, pad=0.01, label="row weight, % of the post's")
    numbered = [f"pass {number + 1}" for number in range(len(names))]
    _draw_goes(figure.add_subplot(grid[0, 1]), numbered, picks)
    ax = figure.add_subplot(grid[1, 1])
    bars = ax.barh(numbered, 100 * picks.entities, 0.6, color=style.LOSS)
    white = {"facecolor": "white", "linewidth": 0, "pad": 0.8}
    ax.bar_label(bars, fmt="%.1f", fontsize=8.5, padding=3, bbox=white, zorder=4)
    ax.axvline(100 * picks.share, color="black", linestyle=":", linewidth=1.2)
    ax.text(100 * picks.share, -0.62, " their share", fontsize=8.5, va="bottom")
    ax.set(ylim=(len(names) - 0.5, -0.9), xlim=(0, 200 * max(picks.share, float(picks.entities.max()), 0.01)))
    ax.set_title("weight on entities, %", fontsize=9.5)
    stays, follows = (f"{100 * x.min():.0f} to {100 * x.max():.0f} %" for x in (picks.stays, picks.follows))
    finding = "The weight stays at its place" if (picks.stays > picks.follows).all() else "The weight moves" if (picks.stays < picks.follows).all() else "Place or word: it depends on the pass"  # fmt: skip
    _title(
        figure,
        f"{finding} when words move: it stays in {stays} of the posts, follows its word in {follows}",
    )
    whole = "; ".join(
        f"{n}: same place {100 * a:.0f} %, same word {100 * b:.0f} %"
        for n, a, b in zip(names, picks.stays, picks.follows, strict=True)
    )
    on = ", ".join(f"{n} {100 * x:.1f} %" for n, x in zip(names, picks.entities, strict=True))
    return figure, (
        f"Row weights of a post {'; '.join(says)}. Over {picks.posts} posts with one more word in front, {whole}. "
        f"Weight on the entities' pieces: {on}; they are {100 * picks.share:.1f} % of the pieces."
    )


def _draw_goes(ax: Axes, names: Sequence[str], picks: Picks) -> None:
    """A bar for each pass: posts whose largest weight stays at its place, follows its word, or goes elsewhere."""
    y, left = np.arange(len(names)), np.zeros(len(names))
    sides = {"same place": (picks.stays, style.IMAGE), "same word": (picks.follows, style.TEXT)}
    for label, (values, colour) in (sides | {"elsewhere": (1 - picks.stays - picks.follows, "#C8C8C8")}).items():
        ax.barh(y, 100 * values, 0.6, left=left, color=colour, label=label)
        for row, value in enumerate(values):
            if label == "same word" and 0 < value <= 0.12:
                ax.text(left[row] + 100 * value + 1.5, row, f"{100 * value:.0f}", va="center", fontsize=8.5)
            elif value > 0.12:
                ink = "black" if label == "elsewhere" else "white"
                ax.text(
                    left[row] + 50 * value, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8.5, color=ink
                )
        left = left + 100 * values
    ax.set(yticks=y, yticklabels=names, xlim=(0, 100), ylim=(len(names) - 0.5, -0.5))
    ax.set_title("then it is at, % of posts", fontsize=9.5)
    ax.legend(frameon=False, fontsize=7.5, ncols=3, loc="upper center", bbox_to_anchor=(0.42, -0.2), handlelength=0.9, columnspacing=0.8, handletextpad=0.4)  # fmt: skip


def _short(piece: str) -> str:
    return piece if len(piece) <= 11 else piece[:10] + "…"


# --- the gate, and patching


class Gates(NamedTuple):
    """The gate's mean over features at each ambiguous name, related and unrelated pictures apart."""

    related: np.ndarray
    unrelated: np.ndarray
    difference: float
    """Cohen's d: mean of unrelated less related, in standard deviations."""
    low: float
    high: float
    """95 % bootstrap interval of it, over posts."""

    @property
    def verdict(self) -> str:
        """What it says of the gate."""
        if self.low > 0.2:
            return "The gate keeps more of T0 where the picture is unrelated"
        if self.high < -0.2:
            return "The gate keeps less of T0 where the picture is unrelated: the opposite of its purpose"
        return "The gate hardly tells related from unrelated pictures"

    @property
    def says(self) -> str:
        """A plain answer, Cohen's d with its interval, and which sizes of a difference the interval rules out."""
        which = "more" if self.difference > 0 else "less"
        answer = (
            f"Perhaps a little {which} of T0 is kept where the picture is unrelated, but the interval holds zero."
            if self.low <= 0 <= self.high
            else f"Where the picture is unrelated, {which} of T0 is kept."
        )
        largest = max(abs(self.low), abs(self.high))
        rules_out = (
            "even a small difference (0.2) can be ruled out"
            if largest < 0.2
            else "a large difference (0.8) can be ruled out, a small one (0.2) cannot"
            if largest < 0.8
            else "not even a large difference (0.8) can be ruled out"
        )
        return f"{answer} Cohen's d = {self.difference:+.2f} [{self.low:+.2f}, {self.high:+.2f}]: {rules_out}."


def gates(model: MGIPS, posts: Sequence[Tweet]) -> Gates:
    """The gate at the ambiguous names of TinyTweets' posts with a picture."""
    passes(model)
    sides: tuple[list[float], list[float]] = [], []
    for indices, batch, out in model.outputs(TweetDataset(posts, model.batcher, progress=False)):
        assert out.text_gate is not None
        opened = out.text_gate.mean(-1).float().cpu()
        for row, post in enumerate(posts[i] for i in indices):
            if post.image is not None and post.truth.ambiguous:
                at = [opened[row, batch.first[row, start]].item() for start, _ in post.truth.ambiguous]
                sides[0 if post.truth.related else 1].append(float(np.mean(at)))
    a, b = map(np.array, sides)
    rng = np.random.RandomState(0)
    drawn = [_cohen(rng.choice(b, len(b)), rng.choice(a, len(a))) for _ in range(2000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Gates(a, b, _cohen(b, a), float(low), float(high))


def _cohen(a: np.ndarray, b: np.ndarray) -> float:
    """The difference of the means over the pooled standard deviation."""
    pooled = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2))
    return float((a.mean() - b.mean()) / pooled)


def draw_gates(found: Gates) -> Drawing:
    """Both groups' gates as histograms."""
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    ax = figure.subplots()
    both = np.concatenate(found[:2])
    bins = np.linspace(both.min(), both.max(), 25).tolist()
    for values, label, colour in ((found.related, "related", style.LOSS), (found.unrelated, "unrelated", style.GREY)):
        ax.hist(values, bins, density=True, alpha=0.55, color=colour, label=f"{label} picture ({len(values)} posts)")
        ax.axvline(values.mean(), color=colour, linewidth=2)
    ax.set(xlabel="gate I at the ambiguous name, mean over features (1: only $T_0$)", ylabel="posts (density)")
    ax.legend(frameon=False, fontsize=9)
    says = f"{found.verdict}: Cohen's d = {found.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
    _title(figure, says)
    return figure, f"Two histograms that lie over each other or apart. {says} (95 % interval)."


Change = Callable[[Any, Any, tuple[Any, ...]], Any]
"""(a module's own output, its output with the other picture, its own inputs) → what is to go on."""


def _other_gate(own: Any, other: Any, inputs: tuple[Any, ...]) -> Any:
    pre, post = inputs[:2]
    return other[1] * pre + (1 - other[1]) * post, other[1]


PARTS: dict[str, tuple[Callable[[MGIPS], nn.Module | None], Change]] = {
    "text state T0": (lambda model: model.encoder, lambda own, other, _: (other[0], *own[1:])),
    "image state X0": (lambda model: model.encoder, lambda own, other, _: (own[0], other[1], *own[2:])),
    "image-guided passes": (
        lambda model: model.interweave and model.interweave.image_guided,
        lambda _, other, __: other,
    ),
    "text-guided passes": (lambda model: model.interweave and model.interweave.text_guided, lambda _, other, __: other),
    "gate": (lambda model: model.text_gate, _other_gate),
}
"""What can be patched: the module that computes it, and what takes the place of its output."""


def patched(model: MGIPS, posts: Sequence[Tweet], others: Sequence[Tweet], part: str) -> list[list[str]]:
    """Tags of `posts`, where one part of the computation is the one that `others` bring about.

    The model first reads each of `others`, and what the part gives is kept. Then it reads each of `posts`, and the
    part gives what was kept; all that comes after it is computed anew.

    Args:
        posts: the posts whose tags are asked for.
        others: the same words with other pictures, post by post.
        part: a name of PARTS, or "everything" for the tags of `others` themselves.

    Raises:
        ConfigError: no such part, a model without it, or other words in `others`.
    """
    if [post.words for post in posts] != [other.words for other in others]:
        raise ConfigError("Patching takes the same words with other pictures; these are other words.")
    if part == "everything":
        return _tags(model, others)
    if part not in PARTS:
        raise ConfigError(f"There is no part {part!r}; choose everything, {', '.join(PARTS)}.")
    of, change = PARTS[part]
    module = of(model)
    if module is None:
        raise ConfigError(f"This model has no {part}: it has no interweave module.")
    kept: list[Any] = []
    with _hooked(module, lambda _, __, output: kept.append(output)):
        _tags(model, others)
    replay = iter(kept)
    with _hooked(module, lambda _, inputs, output: change(output, next(replay), inputs)):
        return _tags(model, posts)


@contextlib.contextmanager
def _hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _tags(model: MGIPS, posts: Sequence[Tweet]) -> list[list[str]]:
    """The tags of posts, in batches that depend on their words alone."""
    data, found = TweetDataset(posts, model.batcher, progress=False), [list[str]()] * len(posts)
    for indices in evaluation_batches(data.lengths, BATCH):
        batch = data[indices].to(model.device)
        with model.evaluating():
            out = model(batch, read_batch=False if model.reader is not None else None)
        for index, tags in zip(indices, model.decode(out, batch), strict=True):
            found[index] = tags
    return found


@dataclass(frozen=True)
class Patched:
    """What the tags do when one part comes from another picture; shares in [0, 1] of `names`, by part."""

    own: dict[str, float]
    """The name still has the type that its own picture shows."""
    other: dict[str, float]
    """The name has the type that the other picture shows. Without known truth: the post has other tags."""
    names: int
    """How many there are: names that the model gets right with their own, related picture; or posts."""
    truth: bool
    """Whether it is known what the pictures show."""

    @property
    def gives(self) -> str:
        """Of whom, and what another picture's part gives them."""
        return "of the names the other picture's type" if self.truth else "of the posts other tags"

    @property
    def says(self) -> str:
        """How many change when the image state X0 alone comes from another picture."""
        share = 1 - self.own["image state X0"]
        verdict = "hardly any" if share < 0.05 else "some" if share < 0.4 else "about half" if share < 0.6 else "most"
        who = (
            f"of the names change their type, {100 * self.other['image state X0']:.0f} % to the other picture's"
            if self.truth
            else "of the posts get other tags"
        )
        return f"Guess 2: {verdict}. With X0 alone from another picture {100 * share:.0f} % {who}."


def patch_all(model: MGIPS, posts: Sequence[Tweet]) -> Patched:
    """Patch every part in turn, and count.

    On TinyTweets: posts with a related picture and an ambiguous name that the model gets right; the other picture is
    the next one among them that shows another of the name's types. On other corpora: the next post's picture.
    """
    parts = ["everything", *(part for part, (of, _) in PARTS.items() if of(model) is not None)]
    if posts[0].truth is None:
        others = with_pictures_of(posts, np.roll(np.arange(len(posts)), -1))
        before = _tags(model, posts)
        changed = {part: float(np.mean([a != b for a, b in zip(before, patched(model, posts, others, part), strict=True)])) for part in parts}  # fmt: skip
        return Patched({part: 1 - share for part, share in changed.items()}, changed, len(posts), truth=False)
    asked = [post for post in posts if post.truth.related and post.truth.ambiguous]
    asked = [
        post for post, tags in zip(asked, _tags(model, asked), strict=True) if _type(post, tags) == post.truth.means
    ]
    givers = [_giver(asked, index) for index in range(len(asked))]
    asked, givers = (
        [p for p, g in zip(asked, givers, strict=True) if g is not None],
        [g for g in givers if g is not None],
    )
    others = [replace(post, image=giver.image, crops=giver.crops) for post, giver in zip(asked, givers, strict=True)]
    own, other = {}, {}
    for part in parts:
        kinds = [_type(post, tags) for post, tags in zip(asked, patched(model, asked, others, part), strict=True)]
        own[part] = float(np.mean([kind == post.truth.means for kind, post in zip(kinds, asked, strict=True)]))
        other[part] = float(np.mean([kind == giver.truth.shows for kind, giver in zip(kinds, givers, strict=True)]))
    return Patched(own, other, len(asked), truth=True)


def _giver(posts: Sequence[Tweet], index: int) -> Tweet | None:
    """The next post whose picture shows another of the name's types."""
    truth = posts[index].truth
    around = [*posts[index + 1 :], *posts[:index]]
    return next((p for p in around if p.truth.shows != truth.means and p.truth.shows in truth.options), None)


def _type(post: Tweet, tags: list[str] | tuple[str, ...]) -> str:
    """The type of the first ambiguous name in a tagging, "" where it is no entity."""
    return tags[post.truth.ambiguous[0][0]].partition("-")[2]


def draw_patched(found: Patched) -> Drawing:
    """A bar for each part: how many names keep their type, and how many take on the other picture's."""
    figure = Figure(figsize=(8.4, 0.9 + 0.4 * len(found.own)), layout="constrained")
    ax = figure.subplots()
    y = np.arange(len(found.own))
    own, other = (100 * np.array([*side.values()]) for side in (found.own, found.other))
    labels = ("own picture's type", "other picture's type") if found.truth else ("same tags", "other tags")
    left = np.zeros(len(y))
    for values, colour, label in ((other, style.IMAGE, labels[1]), (own, style.TEXT, labels[0])):
        ax.barh(y, values, 0.62, left=left, color=colour, label=label)
        for row, value in enumerate(values):
            if value > 4:
                ax.text(left[row] + value / 2, row, f"{value:.0f}", ha="center", va="center", color="white", fontsize=9)
        left = left + values
    if (left < 99.5).any():
        ax.barh(y, 100 - left, 0.62, left=left, color="#C8C8C8", label="neither")
    ax.set(yticks=y, yticklabels=[*found.own], xlim=(0, 100), ylim=(len(y) - 0.5, -0.5))
    ax.set_xlabel(f"% of {found.names} {'ambiguous names' if found.truth else 'posts'}", fontsize=9)
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    parts = {part: share for part, share in found.other.items() if part != "everything"}
    most = max(parts, key=lambda part: parts[part])
    least = f"the gate {100 * parts['gate']:.0f} %" if "gate" in parts else "nothing else was tried"
    says = f"From another picture, the {most} gives {100 * parts[most]:.0f} % {found.gives}; {least}"
    _title(figure, says)
    return figure, f"{says}. " + "; ".join(f"{part}: {100 * share:.0f} %" for part, share in found.other.items()) + "."


# --- exercises


def _case(
    seed: int, posts: int, n: int, d: int, lengths: Sequence[int], longest: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    mask = torch.arange(n) < torch.tensor(lengths)[:, None]
    return (
        torch.randn(posts, n, d, generator=random),
        torch.randn(d, generator=random),
        torch.randn(longest, generator=random),
        mask,
    )


_CASES = [_case(0, 2, 5, 4, (5, 3), 9), _case(1, 3, 4, 6, (2, 4, 1), 7)]
_ROWS = [(m, w3, mask) for m, w3, _, mask in _CASES]
_COLUMNS = [(m, w4, mask) for m, _, w4, mask in _CASES]
_SOURCE = torch.tensor([[2.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [-2.0, 1.0, 1.0, 1.0]])
_GUIDE = torch.tensor([[2.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0], [-1.5, 0.0, 1.0, 1.0]])


def _gated(h: Tensor, t: Tensor, w1: Tensor, w2: Tensor, b: Tensor) -> Tensor:
    gate = torch.sigmoid(w1 @ t + w2 @ h + b)
    return gate * h + (1 - gate) * t


def _mixed(gate: Tensor, h: Tensor, t: Tensor) -> Tensor:
    return gate * h + (1 - gate) * t


EXERCISES: dict[str, Exercise] = {
    "walk": Exercise(
        right=lambda: (7, "T3"),
        mistakes={
            "Six are the turns of three rounds; look again at how the walk ends.": lambda: (6, "T3"),
            "The passes are right. But the tags belong to words: which lane are the words on?": lambda: (7, "X4"),
            "Look at the end of both lanes: the walk has one more pass than its rounds, and the tags belong to words.": lambda: (6, "X4"),
            "The passes are right. The state that you name is that of one round; how many rounds are there?": lambda: (7, "T1"),
            "The passes are right. A state is counted by its rounds, not by the passes.": lambda: (7, "T7"),
            "You counted the rounds; each has a turn of either side, and the walk ends with one more.": lambda: (3, "T3"),
            "The passes are right. T0 goes to the gate as well, but as the state before the walk.": lambda: (7, "T0"),
        },
        praise="2L + 1 passes: image-guided ones outnumber text-guided ones by one, and the last one serves the losses alone.",
    ),
    "matrix": Exercise(
        right=lambda source, guide: source * guide,
        mistakes={
            "You multiplied matrices, so each number is a sum; ⊙ takes cell by cell.": lambda source, guide: source @ guide.T,
            "You added; where one side is 0, M must be 0, however large the other is.": lambda source, guide: source + guide,
            "Minus times minus: the last row of the first column has the wrong sign.": lambda source, guide: source * guide * torch.where((source < 0) & (guide < 0), -1.0, 1.0),
        },
        cases=[(_SOURCE, _GUIDE)],
        praise="Two negatives make a large plus: M says how strongly both sides agree, not how large they are.",
    ),
    "row_weights": Exercise(
        right=row_weights,
        mistakes={
            "The weights are right, but one axis is missing: they come as (B, n, 1), so that they can multiply (B, n, d).": lambda m, w, mask: row_weights(m, w, mask)[..., 0],
            "Padding has got weights: mask the scores before the softmax.": lambda m, w, mask: (m @ w).softmax(-1).unsqueeze(-1),
            "The weights of a post no longer sum to 1: padding took part in the softmax and was erased afterwards.": lambda m, w, mask: ((m @ w).softmax(-1) * mask).unsqueeze(-1),
            "Erased scores are 0, and e to the 0 is 1: padding still takes part in the softmax.": lambda m, w, mask: ((m @ w) * mask).softmax(-1).unsqueeze(-1),
            "Your softmax runs over the posts of the batch: a post's weights depend on its neighbours.": lambda m, w, mask: (m @ w).masked_fill(~mask, -1e9).softmax(0).unsqueeze(-1),
            "Your softmax runs over a single number, so every weight is 1.": lambda m, w, mask: (m @ w).unsqueeze(-1).softmax(-1),
            "These are scores; a softmax makes weights of them.": lambda m, w, mask: (m @ w).unsqueeze(-1),
        },
        cases=_ROWS,
        praise="One weight a token, from one dot product with w3, and padding takes no part.",
    ),
    "printed_gradient": Exercise(
        right=lambda: 0,
        mistakes={
            "All four would get one if the weights could change. How many numbers does the softmax of one row run over?": lambda: 4,
            "One row gives one weight, but what is that weight, whatever w4 is?": lambda: 1,
            "You counted the tokens; w4 has a number for each feature, as printed. And can the weights change at all?": lambda: 3,
        },
        praise="The softmax of a single number is 1 whatever w4 is: a constant has no slope, so w4 is never trained.",
    ),
    "column_weights": Exercise(
        right=column_weights,
        mistakes={
            "The weights are right, but the axis of the tokens is missing: they come as (B, 1, d), the same for every token.": lambda m, w, mask: column_weights(m, w, mask)[:, 0],
            "Padding takes part: it has to add nothing to a feature's score.": lambda m, w, mask: torch.einsum("bnd,n->bd", m, w[: m.shape[1]]).softmax(-1).unsqueeze(1),
            "Your softmax runs over the tokens; columns are features.": lambda m, w, mask: (m * (w[: m.shape[1]] * mask)[..., None]).softmax(1),
            "Your softmax runs over the posts of the batch.": lambda m, w, mask: torch.einsum("bnd,bn->bd", m, w[: m.shape[1]] * mask).softmax(0).unsqueeze(1),
            "These are scores; a softmax makes weights of them.": lambda m, w, mask: torch.einsum("bnd,bn->bd", m, w[: m.shape[1]] * mask).unsqueeze(1),
            "You averaged over the tokens without w4.": lambda m, w, mask: ((m * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).softmax(-1).unsqueeze(1),
            "This is eq. 6 as printed: every weight is 1.": lambda m, w, mask: printed_column_weights(m, m.new_ones(m.shape[-1])),
        },
        cases=_COLUMNS,
        praise="One weight a feature, the same for all tokens, in which w4 says how much each position counts.",
    ),
    "gate": Exercise(
        right=_gated,
        mistakes={
            "You have it the wrong way round: look in eq. 13 which state is multiplied by I.": lambda h, t, w1, w2, b: _mixed(torch.sigmoid(w1 @ t + w2 @ h + b), t, h),
            "The bias is missing in the gate.": lambda h, t, w1, w2, b: _mixed(torch.sigmoid(w1 @ t + w2 @ h), h, t),
            "W1 and W2 have changed places: eq. 12 gives W1 to the state after the walk.": lambda h, t, w1, w2, b: _mixed(torch.sigmoid(w1 @ h + w2 @ t + b), h, t),
            "The sigmoid is missing: a gate lies between 0 and 1.": lambda h, t, w1, w2, b: _mixed(w1 @ t + w2 @ h + b, h, t),
            "A softmax makes the features share one sum; each feature has a gate of its own.": lambda h, t, w1, w2, b: _mixed(torch.softmax(w1 @ t + w2 @ h + b, 0), h, t),
            "This is the gate I; z is what it mixes.": lambda h, t, w1, w2, b: torch.sigmoid(w1 @ t + w2 @ h + b),
            "You added both states in full; what I keeps of one, it takes from the other.": lambda h, t, w1, w2, b: torch.sigmoid(w1 @ t + w2 @ h + b) * h + t,
        },
        cases=[(torch.tensor([1.0, 0.0]), torch.tensor([3.0, 4.0]), 0.5 * torch.eye(2), torch.eye(2), torch.tensor([-2.5, -4.0]))],
        praise="Each feature has a gate of its own.",
    ),
}  # fmt: skip
"""What the lesson asks."""
