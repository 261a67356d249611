"""Do images matter? One figure for one model's probe, or for the mean over the seeds of a grid of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgips.files import write_atomically
from mgips.lab.figures import style
from mgips.lab.figures.shared import CORPUS_LABELS, MARK, Results, caption, dot, of_grid, write
from mgips.lab.figures.style import GREY, IMAGE, TEXT
from mgips.lab.figures.text import listed
from mgips.lab.probe import NO_POOL
from mgips.lab.stats import NO_DIFFERENCE, Difference, Estimate, t_difference, t_interval

SHOWN = {
    "same-type": "same-type\n(another post's)",
    "mined": "mined\n(best of the others)",
    "shuffled": "shuffled\n(any other post's)",
    NO_POOL: "true, no pool\n(nothing is read)",
}
"""What the figure adds to a condition's name."""
PARTS = {
    "seen": "mention seen in train",
    "unseen": "mention not in train",
    "present": "post with a picture",
    "missing": "post without one",
    "related": "picture related",
    "unrelated": "picture unrelated",
}
"""What the figure calls a part of the split; types are called by their names."""


def probe_figure(record: dict[str, Any]) -> Figure:
    """What one model makes of its pictures: `Probe.to_dict()` in, figure out.

    Left: how F1 changes with other pictures; middle: how many posts get other tags; right: F1 with and without
    pictures on parts of the split. All with 95 % intervals.
    """
    figure = _draw(record)
    corpus = CORPUS_LABELS.get(record["corpus"], record["corpus"])
    caption(
        figure,
        f"Measured on {corpus}, {record['split']} split: {record['posts']:,} posts, {record['pictures']:,} with a "
        f"picture, {record['entities']:,} entities; one model, seed {record['seed']} of swaps and noise.\n"
        f"95 % intervals: bootstrap over posts ({record['draws']:,} draws) for F1, Wilson's for rates. "
        "seqeval, default reading.",
    )
    return figure


@of_grid("probe", more="Means over seeds, with 95 % t-intervals. Entities are those of all seeds.")
def fig_probe(results: Results, *_: Any) -> Figure:
    """The same as a mean over the seeds of the grid "probe", with the text-only model beside the full one."""
    full, text = (average([run.record["probe"] for run in results[row]]) for row in ("full", "text"))
    return _draw(full, text)


def average(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Probes of several seeds as one: each number their mean, with its 95 % t-interval over the seeds.

    Conditions and parts that not all of them have are left out. Counts are sums.
    """

    def mean(numbers: Sequence[Any]) -> dict[str, Any] | None:
        """Estimates or differences as one, its interval cut to what is possible; None where one is None."""
        if None in numbers:
            return None
        if "difference" in numbers[0]:
            gain = t_difference([number["difference"] for number in numbers])
            return replace(gain, low=max(-1, gain.low), high=min(1, gain.high)).to_dict()
        value = t_interval([number["value"] for number in numbers])
        count = sum(number["count"] for number in numbers)
        return asdict(replace(value, low=max(0, value.low), high=min(1, value.high), count=count))

    def joined(kind: str, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of one kind that every record has, each with the means of its `keys`."""
        by_name = [{(row.get("by"), row["name"]): row for row in record[kind]} for record in records]
        common = [[rows[name] for rows in by_name] for name in by_name[0] if all(name in rows for rows in by_name)]
        return [
            {**same[0], "posts": sum(row["posts"] for row in same)} | {k: mean([row[k] for row in same]) for k in keys}
            for same in common
        ]

    return {
        **records[0],
        **{key: sum(record[key] for record in records) for key in ("posts", "pictures", "entities")},
        "conditions": joined("conditions", ("f1", "flips", "difference")),
        "parts": joined("parts", ("true", "blank", "difference")),
    }


def save(record: dict[str, Any], folder: str | Path) -> None:
    """Write probe.json, probe.png and probe.svg; a DataError where the folder cannot be written."""
    folder = Path(folder)
    write_atomically(folder / "probe.json", (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    matplotlib.use("agg")
    style.use()
    write(probe_figure(record), folder, "probe")


def _differences(rows: Sequence[dict[str, Any]]) -> dict[str, Difference]:
    """By the names of conditions or parts; those without one are left out."""
    return {row["name"]: Difference.from_dict(row["difference"]) for row in rows if row["difference"] is not None}


def _draw(record: dict[str, Any], text: dict[str, Any] | None = None) -> Figure:
    swaps = _differences(record["conditions"])
    if swaps:
        figure, axes = plt.subplots(
            1, 3, figsize=(13.6, max(5.8, 1.16 * len(swaps))), layout="constrained", width_ratios=(1.2, 0.9, 1.3)
        )
        left, middle, right = axes
        _swaps(left, middle, swaps, record, text)
    else:
        figure, right = plt.subplots(figsize=(8.5, 4.8), layout="constrained")
    _parts(right, record, text)
    figure.suptitle(finding(record), x=0.01, ha="left")
    return figure


def _swaps(
    left: Axes, middle: Axes, swaps: dict[str, Difference], record: dict[str, Any], text: dict[str, Any] | None
) -> None:
    """F1 with other pictures minus F1 with the true ones, and how many posts get other tags."""
    flips = {row["name"]: row["flips"] for row in record["conditions"]}
    labels = []
    for place, (name, difference) in enumerate(swaps.items()):
        dot(left, difference, place, *MARK[difference.verdict], markersize=6)
        dot(middle, Estimate(**flips[name]), place, "o", GREY, markersize=6)
        verdict: str = difference.verdict
        if verdict == NO_DIFFERENCE:
            verdict = f"no detectable\ndifference (< {100 * difference.detectable:.1f})"
        labels.append(f"{SHOWN.get(name, name)}\n{100 * difference.difference:+.1f}, {verdict}")
    left.axvline(0, color="black", linewidth=0.8)
    if text is not None:
        below = 100 * (text["conditions"][0]["f1"]["value"] - record["conditions"][0]["f1"]["value"])
        left.axvline(below, color=TEXT, linestyle=":")
        left.text(below, len(swaps) - 0.45, " text-only model", color=TEXT, fontsize=8, va="center")
    power = "(< x): x would be detected with 80 % power"
    left.set(xlabel=f"F1 minus F1 with the true pictures, points\n{power}", title="What other pictures cost")
    left.set_yticks(range(len(swaps)), labels)
    middle.set(xlabel="posts that get other tags than with\ntheir true picture, %", title="How often they change tags")
    middle.set(yticks=range(len(swaps)), yticklabels=[""] * len(swaps), xlim=(0, 100))
    for ax in (left, middle):
        ax.set_ylim(len(swaps) - 0.3, -0.7)
        ax.grid(axis="x", alpha=0.3)


def _parts(ax: Axes, record: dict[str, Any], text: dict[str, Any] | None) -> None:
    """F1 on each part of the split: with the true pictures, without any, and by the text-only model."""
    series = [("true", record, "true pictures", "o", IMAGE), ("blank", record, "no picture", "s", GREY)]
    if text is not None or not record["images"]:
        series = [*(series if record["images"] else []), ("true", text or record, "text-only model", "^", TEXT)]
    names = [(part["by"], part["name"]) for part in record["parts"]]
    # A gap between two ways of splitting.
    gaps = np.cumsum([0, *(0.6 * (a[0] != b[0]) for a, b in pairwise(names))])
    places = {name: place + gap for place, (name, gap) in enumerate(zip(names, gaps, strict=False))}
    for number, (key, source, label, marker, colour) in enumerate(series):
        shift = 0.22 * (number - (len(series) - 1) / 2)
        legend = {"label": label}  # once is enough for the legend
        for part in source["parts"]:
            if part[key] is not None and (part["by"], part["name"]) in places:
                place = places[part["by"], part["name"]] + shift
                dot(ax, Estimate(**part[key]), place, marker, colour, markersize=6, **legend)
                legend = {}
    labels = [f"{PARTS.get(part['name'], part['name'])} ({part['true']['count']:,})" for part in record["parts"]]
    ax.set_yticks(list(places.values()), labels)
    ax.set(xlabel="F1 (gold entities in brackets)", xlim=(0, 102), title=_worth(record))
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.3)
    ax.legend(frameon=False, loc="best", fontsize=8)


def _worth(record: dict[str, Any]) -> str:
    """What taking pictures away says of related and of unrelated ones, or of any."""
    differences = _differences(record["parts"])
    names = [name for name in ("related", "unrelated") if name in differences]
    sentences = []
    for name in names or [name for name in ("present",) if name in differences]:
        points, verdict = _points([differences[name]]), differences[name].verdict
        effect = {"hurts": f" are worth {points}", "helps": f" cost {points}", NO_DIFFERENCE: f": {NO_DIFFERENCE}"}
        sentences.append(f"{'' if name == 'present' else name} pictures{effect[verdict]}".strip())
    text = ",\n".join(sentences) or "by part of the split"
    return text[0].upper() + text[1:]


def finding(record: dict[str, Any]) -> str:
    """What the intervals allow to say, in a sentence or two."""
    swaps = _differences(record["conditions"])
    if not swaps:
        return "No picture could be swapped" if record["images"] else "The model has no images: nothing to swap"
    alone = swaps.pop(NO_POOL, None)
    names = {verdict: [name for name in swaps if swaps[name].verdict == verdict] for verdict in MARK}
    sentences = [
        f"{listed(names[verdict]).capitalize()} pictures {verb} {_points([swaps[name] for name in names[verdict]])}"
        for verdict, verb in (("hurts", "cost"), ("helps", "gain"))
        if names[verdict]
    ]
    # A model was never trained on noise: that noise hurts says nothing about what true pictures are worth.
    if {*names["hurts"]} - {"noise"}:
        sentences[0] += ": the model uses its images"
    if same := listed(names[NO_DIFFERENCE]):
        sentences.append(f"{NO_DIFFERENCE.capitalize()} between F1 with {same} pictures and with the true ones")
    if alone is not None:
        effect = {"hurts": f" costs {_points([alone])}", "helps": f" gains {_points([alone])}"}
        sentences.append(f"Reading no pool{effect.get(alone.verdict, f': {NO_DIFFERENCE}')}")
    return "\n".join(sentences)


def _points(differences: Sequence[Difference]) -> str:
    """ "1 point", "18 to 21 points"; less than a point with a decimal."""
    sizes = [100 * abs(difference.difference) for difference in differences]
    low, high = (f"{size:.0f}" if size >= 0.95 else f"{size:.1f}" for size in (min(sizes), max(sizes)))
    return f"{low} point{'s' * (low != '1')}" if low == high else f"{low} to {high} points"
