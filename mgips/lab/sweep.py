"""Running the grids behind Tables 2-3, Figures 5-11 and the tests of trust: `mgips sweep NAME`.

A grid is a list of rows; each row is trained with each seed, and each run leaves one JSON file. The files are the
source of every table and figure, and hold all that a number needs beside it: configuration, seed, corpus and its
hash, device, versions. Finished runs are not run again, so an interrupted sweep resumes where it stopped.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from mgips.config import VARIANTS, preset
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus
from mgips.data.tinytweets.posts import VERSION
from mgips.errors import RunError
from mgips.evaluate import predict_split
from mgips.files import write_atomically
from mgips.lab import cases, gmner, representation
from mgips.lab.grids import Row, find_grid
from mgips.lab.integrity import TestWatcher, edited, leaky, readings
from mgips.lab.pools import read_pools
from mgips.lab.precision import batch_relevance, mining_precision
from mgips.lab.probe import probe
from mgips.lab.results import RESULTS, grid_corpus, result_path, still_to_run
from mgips.lab.stats import tweet_counts
from mgips.model.mgips import MGIPS
from mgips.run import describe_run, fresh_accelerator, one_thread
from mgips.training import Trainer


def part_of(corpus: Corpus, share: float, seed: int) -> Corpus:
    """The corpus with a share of its training tweets. A smaller share is part of a larger one with the same seed;
    tweets of one group (a day of TinyTweets) are kept or left out together."""
    if share == 1:
        return corpus
    groups = sorted({tweet.group or tweet.id for tweet in corpus.train})
    order = np.random.RandomState(seed).permutation(len(groups))
    kept = {groups[i] for i in order[: max(1, round(share * len(groups)))]}
    return replace(corpus, train=tuple(t for t in corpus.train if (t.group or t.id) in kept))


def run_row(
    row: Row,
    seed: int,
    corpus: str = "tinytweets",
    root: str | Path | None = None,
    base: str = "tiny",
    changes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train one row with one seed, on one CPU thread or on the GPU, and return what its file will hold."""
    started, date = time.perf_counter(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    data = part_of(grid_corpus(corpus, seed, root, row.drawn), row.share, seed)
    if any(row.leak):
        data = leaky(data, *row.leak)
    changes = dict(changes or {})
    if "text_encoder" in VARIANTS[row.variant]:  # the variant brings its own
        changes.pop("text_encoder", None)
    model, config = preset(base, row.variant, **{**row.changes, **row.settings, **changes, "seed": seed})
    watcher = TestWatcher(data) if "by_test" in row.collect else None
    with one_thread():
        start = edited(row.edit, model, data.train, seed) if row.edit else model
        trainer = Trainer(data, start, config, progress=False)
        for step in trainer:
            if step.scores and watcher is not None:
                watcher(step.epoch, trainer.model)
        run = trainer.finish()
        predicted = predict_split(run.model, run.data["test"])
        mining = None
        if model.relates and all(tweet.truth is not None for tweet in data.test):
            mining = vars(mining_precision(run.model, run.data["test"], config.batch_size))
        basis = describe_run(data, run.model, config, fresh_accelerator(config))
        collected = {n: collect(run.model, data, seed) for n, collect in COLLECTORS.items() if n in row.collect}
    if watcher is not None:
        collected["by_test"] = watcher.record(run.epoch)
    for name in ("text_encoder", "image_encoder"):  # a folder's name is enough: its path says nothing about the model
        if Path(basis["model"][name]).is_dir():
            basis["model"][name] = Path(basis["model"][name]).name
    if corpus == "tinytweets":
        basis["corpus"]["generator"] = VERSION
    return {
        **{"row": row.name, "label": row.label, "seed": seed, "preset": base},
        **{"variant": row.variant, "share": row.share, "edit": row.edit, "leak": row.leak, "drawn": row.drawn},
        **basis,
        **{"started": date, "epoch": run.epoch, "dev_f1": run.dev.f1, "test": run.test.to_dict(), "mining": mining},
        "seconds": round(time.perf_counter() - started, 1),
        **collected,
        "counts": tweet_counts([tweet.tags for tweet in data.test], predicted).tolist(),
    }


def visible(model: MGIPS, corpus: Corpus) -> dict[str, Any] | None:
    """Right and gold entities of each test post, of those that can be seen in its photo and those that cannot; None
    where GMNER's marks are not beside the corpus (ROOT/gmner)."""
    marks = corpus.source.parent / "gmner" if corpus.source is not None else None
    if marks is None or not marks.is_dir():
        return None
    data = TweetDataset(corpus.test, model.batcher, progress=False)
    return gmner.visible_counts(corpus.test, predict_split(model, data), gmner.read_marks(marks))


COLLECTORS: dict[str, Callable[[MGIPS, Corpus, int], Any]] = {
    "relevance": lambda model, corpus, seed: batch_relevance(model, corpus.test),
    "cases": lambda model, corpus, seed: cases.collect(model, corpus),
    # all seeds are measured, but only one is drawn
    "representation": lambda model, corpus, seed: representation.collect(model, corpus, seed, coordinates=seed == 0),
    "probe": lambda model, corpus, seed: probe(model, corpus, seed=seed).to_dict(),
    "pools": lambda model, corpus, seed: {n: asdict(read) for n, read in read_pools(model, corpus, seed=seed).items()},
    "visible": lambda model, corpus, seed: visible(model, corpus),
    "readings": lambda model, corpus, seed: readings(model, corpus.test),
}
"""What a run may keep besides its scores. One more is "by_test", which is recorded during training."""


def sweep(
    name: str,
    corpus: str = "tinytweets",
    root: str | Path | None = None,
    base: str = "",
    changes: dict[str, Any] | None = None,
    rows: Sequence[str] = (),
    seeds: Sequence[int] = (),
    jobs: int = 0,
    folder: str | Path = RESULTS,
    progress: bool = True,
) -> int:
    """Run what a grid still lacks; returns the number of runs.

    Args:
        base: the preset that every row starts from; the grid's own by default.
        changes: fields of ModelConfig or TrainConfig for every row: an encoder's folder, say.
        rows, seeds: only these; the grid's own by default.
        jobs: runs at a time; one per CPU core by default, one on a GPU.
        folder: where the files go.

    Raises:
        ConfigError: no such grid or row.
        RunError: runs that failed, after all others were saved.
    """
    grid = find_grid(name)
    if not jobs:
        one = torch.cuda.is_available() or not hasattr(os, "sched_getaffinity")
        jobs = 1 if one else len(os.sched_getaffinity(0))
    runs = [
        (row if base in ("", grid.base) else replace(row, settings={}), seed)
        for row, seed in still_to_run(name, corpus, folder, rows, seeds)
    ]
    runs.sort(key=lambda run: run[1])  # seed by seed: an interrupted sweep then has every row of the first seeds
    failed = []
    with (
        ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool,
        tqdm(total=len(runs), desc=name, unit="run", disable=not progress) as bar,
    ):
        running = {pool.submit(run_row, *run, corpus, root, base or grid.base, changes): run for run in runs}
        for future in as_completed(running):
            row, seed = running[future]
            try:
                record = future.result()
            except Exception as error:  # the other runs continue
                failed.append(f"{row.name} with seed {seed} ({error})")
            else:
                write_atomically(result_path(folder, name, row.name, seed, corpus), _as_json(record))
                bar.set_postfix_str(f"{row.name} s{seed}: F1 {100 * record['test']['f1']:.1f}")
            bar.update()
    if failed:
        reasons = "; ".join(failed)
        raise RunError(f"{len(failed)} of {len(runs)} runs failed: {reasons}. The others are saved; run it again.")
    return len(runs)


def _as_json(record: dict[str, Any]) -> bytes:
    """Indented, except for what would fill a thousand lines (counts, and what was collected): one line each, last."""
    long = [name for name in ("counts", "by_test", *COLLECTORS) if name in record]
    text = json.dumps({name: record[name] for name in record if name not in long}, indent=1, ensure_ascii=False)
    for name in long:
        value = json.dumps(record[name], separators=(",", ":"), ensure_ascii=False)
        text = text.removesuffix("\n}") + f',\n "{name}": {value}\n}}'
    return (text + "\n").encode()
