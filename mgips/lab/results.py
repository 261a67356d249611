"""The runs of a grid, read back from their files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mgips.data.corpus import Corpus
from mgips.data.load import load_corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import DataError
from mgips.lab.grids import find_grid

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
    """(N, 3), see `mgips.evaluate.tweet_counts`."""
    record: dict[str, Any]
    """The whole file."""


def grid_corpus(name: str, seed: int, root: str | Path | None = None) -> Corpus:
    """The corpus of a run: TinyTweets is drawn anew with each seed, the others are what they are."""

    return tinytweets(seed) if name == "tinytweets" else load_corpus(name, root)


def result_path(folder: str | Path, grid: str, row: str, seed: int, corpus: str = "tinytweets") -> Path:
    """Where a run's file is."""
    return Path(folder) / grid / corpus / f"{row}-s{seed}.json"


def load_results(name: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> dict[str, list[Result]]:
    """The runs of a grid that are there, row by row in the grid's order, seeds in order.

    Raises:
        ConfigError: there is no such grid.
        DataError: a file that cannot be read.
    """
    grid = find_grid(name)
    found: dict[str, list[Result]] = {row.name: [] for row in grid.rows}
    for path in sorted((Path(folder) / name / corpus).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            result = Result(record["row"], record["seed"], record["test"]["f1"], np.array(record["counts"]), record)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path} is no result of a sweep ({error}); remove it and run the grid again.") from error
        if result.row in found:
            found[result.row].append(result)
    return {row: sorted(results, key=lambda r: r.seed) for row, results in found.items()}


def missing(name: str, corpus: str = "tinytweets", folder: str | Path = RESULTS) -> list[str]:
    """The runs that a grid still lacks, as "row-sSEED"."""
    grid = find_grid(name)
    return [
        f"{row.name}-s{seed}"
        for row in grid.rows
        for seed in row.seeds or grid.seeds
        if not result_path(folder, name, row.name, seed, corpus).exists()
    ]
