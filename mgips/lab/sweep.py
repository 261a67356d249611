"""Running the grids behind Tables 2-3, Figures 5-11 and the tests of trust: `mgips sweep NAME`.

A grid is a list of rows; each row is trained with each seed, and each run leaves one JSON file. The files are the
source of every table and figure, and hold all that a number needs beside it: configuration, seed, corpus and its
hash, device, versions. Finished runs are not run again, so an interrupted sweep resumes where it stopped: stopped by
Ctrl-C, SIGTERM or `kill -9`, it keeps every finished run and leaves no process behind; runs that had begun are lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus
from mgips.data.load import is_drawn
from mgips.data.tinytweets.posts import VERSION
from mgips.errors import DataError, RunError
from mgips.evaluate import predict_split
from mgips.files import hold, let_go, write_atomically
from mgips.lab import cases, gmner, representation
from mgips.lab.grids import Row, find_grid
from mgips.lab.integrity import TestWatcher, edited, leaky, readings
from mgips.lab.pools import read_pools
from mgips.lab.precision import batch_relevance, mining_precision
from mgips.lab.probe import probe
from mgips.lab.results import (
    RESULTS,
    Result,
    configured,
    grid_corpus,
    grid_folder,
    load_results,
    of_preset,
    portable,
    posts_key,
    result_path,
    still_to_run,
    wanted,
)
from mgips.lab.stats import tweet_counts
from mgips.lab.workers import Workers
from mgips.launch import fresh_accelerator
from mgips.model.mgips import MGIPS
from mgips.run import describe_run, one_thread
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


def row_corpus(
    row: Row, seed: int, corpus: str = "tinytweets", root: str | Path | None = None, whole: Corpus | None = None
) -> Corpus:
    """The posts of a run of a row. `whole` is the corpus, where it is read already."""
    data = part_of(whole or grid_corpus(corpus, seed, root, row.drawn), row.share, seed)
    return leaky(data, *row.leak) if any(row.leak) else data


def run_row(
    row: Row,
    seed: int,
    corpus: str = "tinytweets",
    root: str | Path | None = None,
    base: str = "tiny",
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train one row with one seed, on one CPU thread or on the GPU, and return what its file will hold."""
    started, date = time.perf_counter(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    data = row_corpus(row, seed, corpus, root)
    model, config = configured(row, seed, base, changes)
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
    basis["model"] = portable(basis["model"])
    if is_drawn(corpus):
        basis["corpus"]["generator"] = VERSION
    return {
        **{"row": row.name, "label": row.label, "seed": seed, "preset": base, "changes": portable(changes or {})},
        **{"variant": row.variant, "share": row.share, "edit": row.edit, "leak": row.leak},
        "drawn": row.drawn if corpus == "tinytweets" else {},  # no other corpus is drawn as the row says
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
    changes: Mapping[str, Any] | None = None,
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
        DataError: files are there that were made with another preset, other settings or on other posts, or that are
            damaged: none is overwritten. Or a file cannot be written.
        RunError: another sweep of this grid and corpus writes into the folder; or runs that failed, after all others
            were saved.
        KeyboardInterrupt: Ctrl-C or SIGTERM; it says how many runs are kept.
    """
    grid, changes = find_grid(name), changes or {}
    base = base or grid.base

    def lacking() -> list[tuple[Row, int]]:
        return still_to_run(name, corpus, folder, rows, seeds, base, changes)

    if not lacking():
        return 0
    if not jobs:
        one = torch.cuda.is_available() or not hasattr(os, "sched_getaffinity")
        jobs = 1 if one else len(os.sched_getaffinity(0))
    failed: dict[str, str] = {}

    def keep(row: Row, seed: int, record: dict[str, Any] | None, error: str) -> None:
        if record is None:  # the other runs continue
            failed[f"{row.name} with seed {seed}"] = error
        else:
            write_atomically(result_path(folder, name, row.name, seed, corpus), _as_json(record))
            bar.set_postfix_str(f"{row.name} s{seed}: F1 {100 * record['test']['f1']:.1f}")
        bar.update()

    with _alone(grid_folder(folder, name, corpus)):
        runs = lacking()  # another sweep may just have ended
        _check_posts(load_results(name, corpus, folder, base, changes), grid.rows, corpus, root)
        # Seed by seed: an interrupted sweep then has every row of the first seeds.
        queue = deque(sorted(((of_preset(row, grid, base), seed) for row, seed in runs), key=lambda run: run[1]))
        with (
            _stopping() as signals,
            Workers(run_row, min(jobs, len(runs))) as workers,
            tqdm(total=len(runs), desc=name, unit="run", disable=not progress) as bar,
        ):
            while (queue or workers.busy) and not signals:
                while queue and workers.free:
                    workers.start((*queue.popleft(), corpus, root, base, changes))
                for (row, seed, *_), record, error in workers.finished(0.2):
                    keep(row, seed, record, error)
            for (row, seed, *_), record, error in workers.finished(0):  # what ended while the sweep was told to stop
                keep(row, seed, record, error)
    if signals:
        whole = len(wanted(name, rows, seeds))
        raise KeyboardInterrupt(f"{whole - len(lacking())} of {whole} runs are kept")
    if failed:
        reasons = "; ".join(f"{run} ({error})" for run, error in failed.items())
        raise RunError(f"{len(failed)} of {len(runs)} runs failed: {reasons}. The others are saved; run it again.")
    return len(runs)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other sweep writes into the folder meanwhile."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    lock = hold(folder)
    if lock is None:  # better known before a run than after it
        raise DataError(f"{folder} cannot be written; give another folder (--out).")
    try:
        yield
    finally:
        let_go(lock)


@contextlib.contextmanager
def _stopping() -> Iterator[list[int]]:
    """The signals to stop that have come so far, Ctrl-C or SIGTERM; so that none comes in the middle of a file."""
    came: list[int] = []
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():  # no other one may handle signals, or gets any
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, lambda number, frame: came.append(number))
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _check_posts(
    there: Mapping[str, Sequence[Result]], rows: Sequence[Row], corpus: str, root: str | Path | None
) -> None:
    """That the runs which are there were made on the posts that new ones would be made on.

    Of TinyTweets only the first run is looked at: drawing takes time, and all files have the generator's version.

    Raises:
        DataError: naming a file that was not.
    """
    whole, seen = None, set()
    for row in rows:
        for run in there[row.name]:
            key = posts_key(row, run.seed, corpus)
            if key in seen or not run.record["corpus"].get("sha256") or is_drawn(corpus) and seen:
                continue
            seen.add(key)
            whole = whole or grid_corpus(corpus, run.seed, root, row.drawn)
            if row_corpus(row, run.seed, corpus, root, whole).fingerprint() != run.record["corpus"]["sha256"]:
                raise DataError(
                    f"The run {row.name}-s{run.seed} that is there was made on other posts than {corpus} has here; "
                    "remove its file, or give another folder (--out)."
                )


def _as_json(record: dict[str, Any]) -> bytes:
    """Indented, except for what would fill a thousand lines (counts, and what was collected): one line each, last."""
    long = [name for name in ("counts", "by_test", *COLLECTORS) if name in record]
    text = json.dumps({name: record[name] for name in record if name not in long}, indent=1, ensure_ascii=False)
    for name in long:
        value = json.dumps(record[name], separators=(",", ":"), ensure_ascii=False)
        text = text.removesuffix("\n}") + f',\n "{name}": {value}\n}}'
    return (text + "\n").encode()
