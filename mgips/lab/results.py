"""The runs of a grid, read back from their files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mgips.data.corpus import Corpus
from mgips.data.load import load_corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import ConfigError, DataError
from mgips.lab.grids import Row, find_grid

RESULTS = Path("figures/data")
"""Where the committed results are."""


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


def grid_corpus(name: str, seed: int, root: str | Path | None = None, drawn: dict[str, Any] | None = None) -> Corpus:
    """The corpus of a run: TinyTweets is drawn anew with each seed, the others do not depend on it.

    Args:
        drawn: more arguments of `tinytweets`.
    """
    return tinytweets(seed, **drawn or {}) if name == "tinytweets" else load_corpus(name, root)


def result_path(folder: str | Path, grid: str, row: str, seed: int, corpus: str = "tinytweets") -> Path:
    """Where a run's file is."""
    return Path(folder) / grid / corpus / f"{row}-s{seed}.json"


def load_results(name: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> dict[str, list[Result]]:
    """The existing runs of a grid, row by row in the grid's order, seeds in order; a DataError for an unreadable file."""
    results: dict[str, list[Result]] = {row.name: [] for row in find_grid(name).rows}
    for path in sorted((Path(folder) / name / corpus).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            result = Result(record["row"], record["seed"], record["test"]["f1"], np.array(record["counts"]), record)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path} is no result of a sweep ({error}); remove it and run the grid again.") from error
        if result.row in results:
            results[result.row].append(result)
    return {row: sorted(runs, key=lambda run: run.seed) for row, runs in results.items()}


def still_to_run(
    name: str, corpus: str, folder: str | Path, rows: Sequence[str] = (), seeds: Sequence[int] = ()
) -> list[tuple[Row, int]]:
    """The runs without a file, row by row: of these rows and seeds, or all of the grid's. ConfigError: no such row."""
    grid = find_grid(name)
    known = [row.name for row in grid.rows]
    if unknown := {*rows} - {*known}:
        raise ConfigError(f"{name} has no row {min(unknown)!r}; its rows are {', '.join(known)}.")
    return [
        (row, seed)
        for row in grid.rows
        for seed in seeds or row.seeds or grid.seeds
        if row.name in (rows or known) and not result_path(folder, name, row.name, seed, corpus).exists()
    ]


def missing(name: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> list[str]:
    """The runs that a grid still lacks, as "row-sSEED"."""
    return [f"{row.name}-s{seed}" for row, seed in still_to_run(name, corpus, folder)]
