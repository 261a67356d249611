"""Do images matter? One figure for one model's probe, or for the mean over the seeds of a grid of them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from mgips.files import write_atomically
from mgips.lab.figures import style
from mgips.lab.figures.grids import CORPUS_LABELS, MARK, incomplete, measured_on
from mgips.lab.figures.style import GREY, IMAGE, TEXT
from mgips.lab.results import RESULTS, load_results
from mgips.lab.stats import Difference

SHOWN = {
    "same-type": "same-type\n(another post's)",
    "mined": "mined\n(best of the others)",
    "shuffled": "shuffled\n(any other post's)",
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
    _caption(
        figure,
        f"Measured on {CORPUS_LABELS.get(record['corpus'], record['corpus'])}, {record['split']} split: {record['posts']:,} posts, "
        f"{record['pictures']:,} with a picture, {record['entities']:,} entities; one model, seed {record['seed']} of swaps and noise.\n"
        f"95 % intervals: bootstrap over posts ({record['draws']:,} draws) for F1, Wilson's for rates. seqeval, default reading.",
    )
    return figure


def fig_probe(corpus: str = "tinytweets", folder: str | Path = RESULTS) -> Figure:
    """The same as a mean over the seeds of the grid "probe", with the text-only model beside the full one."""
    if gap := incomplete("probe", corpus, folder):
        return gap
    results = load_results("probe", corpus, folder)
    full, text = (average([run.record["probe"] for run in results[row]]) for row in ("full", "text"))
    figure = _draw(full, text)
    measured_on(figure, [run for runs in results.values() for run in runs])
    _caption(
        figure, f"{figure.get_supxlabel()}\nMeans over seeds, with 95 % t-intervals. Entities are those of all seeds."
    )
    return figure


def _caption(figure: Figure, text: str) -> None:
    figure.supxlabel(text, fontsize=8, color=GREY, x=0.01, ha="left")


def average(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Probes of several seeds as one: each number their mean, with its 95 % t-interval over the seeds.

    Conditions and parts that not all of them have are left out. Counts are sums.
    """

    def mean(values: Sequence[float], low: float, high: float) -> tuple[float, float, float]:
        middle = float(np.mean(values))
        half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)) if len(values) > 1 else 0.0
        return middle, max(low, middle - half), min(high, middle + half)

    def estimates(found: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
        if any(one is None for one in found):
            return None
        value, low, high = mean([one["value"] for one in found], 0, 1)
        return {"value": value, "low": low, "high": high, "count": sum(one["count"] for one in found)}

    def differences(found: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
        if any(one is None for one in found):
            return None
        values = [one["difference"] for one in found]
        # The t-test knows no p where all seeds agree to the last digit.
        p = float(stats.ttest_1samp(values, 0).pvalue) if len(values) > 1 and np.ptp(values) else float(not any(values))
        one = Difference(*mean(values, -1, 1), p)
        return {**asdict(one), "verdict": one.verdict}

    def joined(name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
        """One kind of row, the same place in each record, its estimates by `keys`."""
        rows = [{(one.get("by"), one["name"]): one for one in record[name]} for record in records]
        found = []
        for place in rows[0]:
            if all(place in row for row in rows):
                same = [row[place] for row in rows]
                one = {**same[0], "posts": sum(row["posts"] for row in same)}
                one |= {key: estimates([row[key] for row in same]) for key in keys}
                found.append({**one, "difference": differences([row["difference"] for row in same])})
        return found

    return {
        **records[0],
        **{key: sum(record[key] for record in records) for key in ("posts", "pictures", "entities")},
        "conditions": joined("conditions", ("f1", "flips")),
        "parts": joined("parts", ("true", "blank")),
    }


def save(record: dict[str, Any], folder: str | Path) -> None:
    """Write probe.json, probe.png and probe.svg.

    Raises:
        DataError: the folder cannot be written.
    """
    folder = Path(folder)
    write_atomically(folder / "probe.json", (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    matplotlib.use("agg")
    style.use()
    figure = probe_figure(record)
    for ending, told in (("png", {"Software": None}), ("svg", {"Date": None})):
        page = io.BytesIO()
        figure.savefig(page, format=ending, metadata=told)
        write_atomically(folder / f"probe.{ending}", page.getvalue())
    plt.close(figure)


def _draw(record: dict[str, Any], text: dict[str, Any] | None = None) -> Figure:
    swaps = [one for one in record["conditions"] if one["difference"] is not None]
    if not swaps:
        figure, ax = plt.subplots(figsize=(8.5, 4.8), layout="constrained")
        _parts(ax, record, text)
        figure.suptitle(finding(record), x=0.01, ha="left")
        return figure
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(13, 5.2), layout="constrained", width_ratios=(1.2, 0.9, 1.3)
    )
    labels = []
    for place, one in enumerate(swaps):
        found = one["difference"]
        _dot(left, found["difference"], found, place, *MARK[found["verdict"]])
        _dot(middle, one["flips"]["value"], one["flips"], place, "o", GREY)
        labels.append(f"{SHOWN.get(one['name'], one['name'])}\n{100 * found['difference']:+.1f}, {found['verdict']}")
    left.axvline(0, color="black", linewidth=0.8)
    if text is not None:
        below = 100 * (text["conditions"][0]["f1"]["value"] - record["conditions"][0]["f1"]["value"])
        left.axvline(below, color=TEXT, linestyle=":")
        left.text(below, len(swaps) - 0.45, " text-only model", color=TEXT, fontsize=8, va="center")
    left.set(xlabel="F1 minus F1 with the true pictures, points", title="What other pictures cost")
    left.set_yticks(range(len(swaps)), labels)
    middle.set(xlabel="posts that get other tags than with\ntheir true picture, %", title="How often they change tags")
    middle.set_yticks(range(len(swaps)), [""] * len(swaps))
    middle.set_xlim(0, 100)
    for ax in (left, middle):
        ax.set_ylim(len(swaps) - 0.3, -0.7)
        ax.grid(axis="x", alpha=0.3)
    _parts(right, record, text)
    figure.suptitle(finding(record), x=0.01, ha="left")
    return figure


def _parts(ax: Axes, record: dict[str, Any], text: dict[str, Any] | None) -> None:
    """F1 on each part of the split: with the true pictures, without any, and by the text-only model."""
    if not record["images"]:
        series = [("true", record, "text-only model", "^", TEXT)]
    else:
        series = [("true", record, "true pictures", "o", IMAGE), ("blank", record, "no picture", "s", GREY)]
    if text is not None:
        series.append(("true", text, "text-only model", "^", TEXT))
    names = [(one["by"], one["name"]) for one in record["parts"]]
    # A gap between two ways of parting.
    gaps = np.cumsum([0, *(0.6 * (a[0] != b[0]) for a, b in zip(names, names[1:], strict=False))])
    places = {name: place + gap for place, (name, gap) in enumerate(zip(names, gaps, strict=False))}
    for number, (key, source, label, marker, colour) in enumerate(series):
        for one in source["parts"]:
            if one[key] is not None and (one["by"], one["name"]) in places:
                place = places[one["by"], one["name"]] + 0.22 * (number - (len(series) - 1) / 2)
                _dot(ax, one[key]["value"], one[key], place, marker, colour, label)
                label = None  # once is enough for the legend
    labels = [f"{PARTS.get(one['name'], one['name'])} ({one['true']['count']:,})" for one in record["parts"]]
    ax.set_yticks(list(places.values()), labels)
    ax.set(xlabel="F1 (gold entities in brackets)", xlim=(0, 102), title=_worth(record))
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.3)
    ax.legend(frameon=False, loc="best", fontsize=8)


def _worth(record: dict[str, Any]) -> str:
    """What taking pictures away says of related and of unrelated ones, or of any."""
    found = {one["name"]: one["difference"] for one in record["parts"] if one["difference"] is not None}
    names = [name for name in ("related", "unrelated") if name in found] or [n for n in ("present",) if n in found]
    said = []
    for name in names:
        points = _points([found[name]])
        told = {"hurts": f" are worth {points}", "helps": f" cost {points}", "cannot tell": ": cannot tell"}
        said.append(f"{'' if name == 'present' else name} pictures{told[found[name]['verdict']]}".strip())
    text = ",\n".join(said) or "by part of the split"
    return text[0].upper() + text[1:]


def _dot(
    ax: Axes, value: float, ends: dict[str, Any], y: float, marker: str, colour: str, label: str | None = None
) -> None:
    """A number in [-1, 1] in points, with its interval."""
    reach = [[100 * (value - ends["low"])], [100 * (ends["high"] - value)]]
    ax.errorbar(100 * value, y, xerr=np.maximum(reach, 0), fmt=marker, color=colour, markersize=6, capsize=3, label=label)  # fmt: skip


def finding(record: dict[str, Any]) -> str:
    """What the intervals allow to say, in a sentence or two."""
    swaps = {one["name"]: one["difference"] for one in record["conditions"] if one["difference"] is not None}
    if not swaps:
        return "No picture could be swapped" if record["images"] else "The model has no images: nothing to swap"
    told = {verdict: [name for name in swaps if swaps[name]["verdict"] == verdict] for verdict in MARK}
    said = []
    for verdict, verb in (("hurts", "cost"), ("helps", "gain")):
        if told[verdict]:
            said.append(
                f"{_listed(told[verdict]).capitalize()} pictures {verb} {_points([swaps[name] for name in told[verdict]])}"
            )
    # Noise is nothing the model was trained on: that it hurts says nothing of what true pictures are worth.
    if set(told["hurts"]) - {"noise"}:
        said[0] += ": the model uses its images"
    if told["cannot tell"]:
        said.append(f"F1 with {_listed(told['cannot tell'])} pictures cannot be told from F1 with the true ones")
    return "\n".join(said)


def _points(differences: Sequence[dict[str, Any]]) -> str:
    """ "1 point", "18 to 21 points"; less than a point with a decimal."""
    sizes = [100 * abs(one["difference"]) for one in differences]
    low, high = (f"{size:.0f}" if size >= 0.95 else f"{size:.1f}" for size in (min(sizes), max(sizes)))
    return f"{low} point{'s' * (low != '1')}" if low == high else f"{low} to {high} points"


def _listed(names: Sequence[str]) -> str:
    """ "blank, noise and shuffled"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
