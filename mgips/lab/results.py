"""The runs of a grid, read back from their files, each checked against the row that it claims to be.

A file is taken for a run of its row only if it was made with what the row says today, on the same corpus, and if its
scores follow from its counts. What may differ is what a sweep changes for every row (preset, encoders, precision), and
then all runs of the grid on this corpus must agree on it. Anything else is refused and not overwritten.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mgips.config import PRESETS, VARIANTS, ModelConfig, TrainConfig, preset
from mgips.data.corpus import Corpus
from mgips.data.load import NAMES, is_drawn, load_corpus
from mgips.data.tinytweets.posts import VERSION, tinytweets
from mgips.errors import ConfigError, DataError
from mgips.lab.grids import Grid, Row, find_grid
from mgips.run import settings

RESULTS = Path("figures/data")
"""Where the committed results are."""
ENCODERS = ("text_encoder", "image_encoder")
CHANGEABLE = (*ENCODERS, "precision", "types")
"""What a sweep may change for every row; in a file that does not say what was changed, nothing else may differ. The types
are those of the corpus."""
ABOUT = ("variant", "share", "edit", "leak", "drawn")
"""Fields of `Row` that are recorded beside the configuration."""


@dataclass(frozen=True)
class Result:
    """One run of a grid, read back."""

    row: str
    seed: int
    f1: float
    """Test F1 in [0, 1]."""
    counts: np.ndarray
    """(N, 3), see `mgips.lab.stats.tweet_counts`."""
    record: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    """The preset, and what was changed for every row of the grid."""


def grid_corpus(name: str, seed: int, root: str | Path | None = None, drawn: dict[str, Any] | None = None) -> Corpus:
    """The corpus of a run: TinyTweets is drawn anew with each seed, the others do not depend on it.

    Args:
        drawn: more arguments of `tinytweets`.
    """
    return tinytweets(seed, **drawn or {}) if name == "tinytweets" else load_corpus(name, root)


def grid_folder(folder: str | Path, grid: str, corpus: str = "tinytweets") -> Path:
    """Where a grid's files are; a corpus that is a folder is called as that folder is."""
    return Path(folder) / grid / Path(os.path.abspath(corpus)).name


def result_path(folder: str | Path, grid: str, row: str, seed: int, corpus: str = "tinytweets") -> Path:
    """Where a run's file is."""
    return grid_folder(folder, grid, corpus) / f"{row}-s{seed}.json"


def of_preset(row: Row, grid: Grid, base: str = "") -> Row:
    """The row as it is run from a preset: its settings belong to the grid's own."""
    return row if base in ("", grid.base) else replace(row, settings={})


def configured(
    row: Row, seed: int, base: str = "tiny", changes: Mapping[str, Any] | None = None
) -> tuple[ModelConfig, TrainConfig]:
    """The configuration of a run of a row, before the corpus gives its types. A row that brings an encoder keeps it.

    Raises:
        ConfigError: no such preset, or no such setting.
    """
    own = {**VARIANTS[row.variant], **row.changes}
    changes = {name: value for name, value in (changes or {}).items() if name not in ENCODERS or name not in own}
    return preset(base, row.variant, **{**row.changes, **row.settings, **changes, "seed": seed})


def portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with a folder's name in place of its path, which says nothing about the model."""
    folders = {n: Path(settings[n]).name for n in ENCODERS if n in settings and Path(str(settings[n])).is_dir()}
    return {**settings, **folders}


def load_results(
    name: str,
    corpus: str = "tinytweets",
    folder: str | Path = RESULTS,
    base: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, list[Result]]:
    """The existing runs of a grid, row by row in the grid's order, seeds in order.

    Args:
        base, changes: what all of them must have been made with, as `mgips.lab.sweep.sweep` takes it; by default
            whatever they agree on.

    Raises:
        DataError: a file that cannot be read, is not of its row as the row is today, or whose scores do not follow from
            its counts; runs with different changes.
    """
    grid = find_grid(name)
    rows = {row.name: row for row in grid.rows}
    files = [
        File(path, rows[record["row"]], record, _settings(record))
        for path in sorted(grid_folder(folder, name, corpus).glob("*.json"))
        if (record := _read(path))["row"] in rows
    ]
    for file in files:
        try:
            _check_scores(file)
            _check_row(file, grid, corpus)
        except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(_no_result(file.path, error)) from error
    agreed = _agreed(files, grid, base, changes)
    _check_posts(files, corpus)
    results: dict[str, list[Result]] = {row: [] for row in rows}
    for file in sorted(files, key=lambda file: file.record["seed"]):
        record = file.record
        counts = np.array(record["counts"], dtype=np.int64)
        results[file.row.name].append(
            Result(file.row.name, record["seed"], record["test"]["f1"], counts, record, agreed)
        )
    return results


def still_to_run(
    name: str,
    corpus: str,
    folder: str | Path,
    rows: Sequence[str] = (),
    seeds: Sequence[int] = (),
    base: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[tuple[Row, int]]:
    """The runs without a file, row by row: of these rows and seeds, or all of the grid's.

    Raises:
        ConfigError: no such row.
        DataError: a file that is there is not of its row; see `load_results`, also for `base` and `changes`.
    """
    there = load_results(name, corpus, folder, base, changes)
    return [
        (row, seed)
        for row, seed in wanted(name, rows, seeds)
        if seed not in {result.seed for result in there[row.name]}
    ]


def wanted(name: str, rows: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[tuple[Row, int]]:
    """All runs of a grid, row by row, or those of these rows and seeds. ConfigError: no such row."""
    grid = find_grid(name)
    known = [row.name for row in grid.rows]
    if unknown := {*rows} - {*known}:
        raise ConfigError(f"{name} has no row {min(unknown)!r}; its rows are {', '.join(known)}.")
    return [
        (row, seed)
        for row in grid.rows
        for seed in dict.fromkeys(seeds or row.seeds or grid.seeds)
        if row.name in (rows or known)
    ]


def missing(name: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> list[str]:
    """The runs that a grid still lacks, as "row-sSEED"; a DataError as `load_results` raises it."""
    return [f"{row.name}-s{seed}" for row, seed in still_to_run(name, corpus, folder)]


# ---- what a file says, and whether it is true ----


class File(NamedTuple):
    """A result file of a row of the grid."""

    path: Path
    row: Row
    record: dict[str, Any]
    settings: dict[str, Any]
    """What it was made with, the preset among it."""


def _read(path: Path) -> dict[str, Any]:
    """A file's record, with all that every reader of results relies on."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        row, seed, f1, counts = record["row"], record["seed"], record["test"]["f1"], np.array(record["counts"])
        known = isinstance(row, str) and type(seed) is int and isinstance(f1, float | int)
        parts = all(isinstance(record[part], dict) for part in ("corpus", "model", "train"))
        parts = parts and isinstance(record["preset"], str)
        if not (known and parts and counts.ndim == 2 and counts.shape[1] == 3 and counts.dtype.kind == "i"):
            raise ValueError("its entries are of other kinds")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(_no_result(path, error)) from error
    if path.name != f"{row}-s{seed}.json":
        raise DataError(f"{path} holds the run {row}-s{seed}; call it {row}-s{seed}.json, or remove it.")
    return record


def _no_result(path: Path, error: Exception) -> str:
    return f"{path} is not a result of a sweep ({str(error).rstrip('.')}); remove it and run the grid again."


def _check_scores(file: File) -> None:
    """That scores follow from counts of entities, and each type's F1 from its precision and recall."""
    record, wrong = file.record, []

    def compare(what: str, has: Mapping[str, Any], follows: Mapping[str, float]) -> None:
        for name, value in follows.items():
            if name in has and not math.isclose(has[name], value, rel_tol=1e-9, abs_tol=1e-12):
                wrong.append(f"{name} of {what} is {has[name]}, and {value:.6g} follows from the rest of the file")

    compare("test", record["test"], _scores(record["counts"]))
    for split, chosen in record.get("by_test", {}).items():
        if isinstance(chosen, dict):
            compare(split, chosen, _scores(chosen["counts"]))
    kinds = record["test"].get("per_type", {})
    for kind, score in kinds.items():
        both = score["precision"] + score["recall"]
        compare(kind, score, {"f1": 2 * score["precision"] * score["recall"] / both if both else 0.0})
    if kinds:
        compare("test", record["test"], {"support": sum(score["support"] for score in kinds.values())})
    if wrong:
        raise DataError(f"{file.path} is damaged ({wrong[0]}); restore it, or remove it and run the grid again.")


def _scores(counts: Sequence[Sequence[int]]) -> dict[str, float]:
    """Micro-averaged scores of right, predicted and gold entities of each post."""
    right, predicted, gold = np.array(counts).sum(0).tolist()
    shares = {"precision": right / max(1, predicted), "recall": right / max(1, gold)}
    return {**shares, "f1": 2 * right / max(1, predicted + gold), "support": gold}


def _check_row(file: File, grid: Grid, corpus: str) -> None:
    """That a file was made as its row says today, but for what a sweep may change for every row."""
    path, row, record, settings = file
    default = Row("", "")
    told = {name: record.get(name, _plain(getattr(default, name))) for name in ABOUT}
    says = {name: _plain(getattr(row, name)) for name in ABOUT}
    if corpus != "tinytweets":  # no other corpus is drawn as the row says
        told["drawn"] = says["drawn"] = {}
    if is_drawn(corpus):
        told["generator"], says["generator"] = record["corpus"].get("generator", VERSION), VERSION
    if corpus in NAMES:
        told["corpus"], says["corpus"] = record["corpus"].get("name", corpus), corpus
    if settings["preset"] not in PRESETS:
        told["preset"], says["preset"] = settings["preset"], grid.base
    else:
        may = {*CHANGEABLE, *record.get("changes", {})}
        own = {name: value for name, value in settings.items() if name in may}
        told, says = told | settings, says | _planned(file, grid, settings["preset"], own)
    if differs := [name for name in told | says if told.get(name) != says.get(name)]:
        name, more = differs[0], f", and {len(differs) - 1} more" if len(differs) > 1 else ""
        raise DataError(
            f"{path} was not made as its row is today ({name} is {told.get(name)!r}, not {says.get(name)!r}{more}); "
            "remove it and run the grid again, or give another folder (--out)."
        )


def _agreed(files: Sequence[File], grid: Grid, base: str | None, changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """The preset and the changes that every file was made with.

    Raises:
        DataError: there are none, or others than those asked for.
    """
    if not files:
        return {}
    asked = changes is not None
    start = files[0].settings["preset"] if base is None else base or grid.base
    shared = _plain(portable(changes or {}))
    for file in files:
        for name, value in _planned(file, grid, start, shared).items():
            if name in (("types",) if asked else CHANGEABLE + tuple(file.record.get("changes", {}))):
                if not _same(name, file.settings[name], value):
                    shared.setdefault(name, file.settings[name])
    how = (
        "not with {!r} as is asked for; ask for the same"
        if asked
        else "other runs of the grid with {!r}; keep them apart"
    )
    for file in files:
        for name, value in _planned(file, grid, start, shared).items():
            if not _same(name, has := file.settings[name], value):
                raise DataError(
                    f"{file.path} was made with {name} {has!r}, {how.format(value)}, or give another folder (--out)."
                )
    return {"preset": start, **shared}


def _planned(file: File, grid: Grid, base: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a run of this row and seed would be made with now."""
    model, train = configured(of_preset(file.row, grid, base), file.record["seed"], base, changes)
    return _settings({"preset": base, "model": vars(model), "train": vars(train)})


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was made with, the preset among it."""
    return {"preset": record["preset"], **settings(record)}


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))


def _same(name: str, one: Any, other: Any) -> bool:
    """Whether two values of a setting are equal. An encoder's folder is known by its name, which the hub's name ends with."""
    if name in ENCODERS and ("/" in str(one)) != ("/" in str(other)):
        return str(one).rpartition("/")[2] == str(other).rpartition("/")[2]
    return one == other


def _check_posts(files: Sequence[File], corpus: str) -> None:
    """That runs which should be of the same posts have the same hash."""
    first: dict[Any, File] = {}
    for file in files:
        if sha256 := file.record["corpus"].get("sha256"):
            other = first.setdefault(posts_key(file.row, file.record["seed"], corpus), file)
            if other.record["corpus"]["sha256"] != sha256:
                raise DataError(
                    f"{file.path} and {other.path.name} were made on different posts, which their hashes say; "
                    "keep them in folders of their own (--out), or remove the wrong one."
                )


def posts_key(row: Row, seed: int, corpus: str) -> tuple[Any, ...]:
    """Equal for runs on the same posts."""
    drawn = (seed, repr(row.drawn)) if corpus == "tinytweets" else ()
    return (*drawn, row.share, row.leak, seed if row.share != 1 else None)
