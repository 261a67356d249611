"""The grids behind Tables 2-3, Figures 6-11 and the tests of trust: `python -m mgips sweep NAME`.

A grid is a list of rows; each row is trained with each seed, and each run leaves one JSON file. The files are the
source of every table and figure, and carry all that a number needs beside it: configuration, seed, corpus and its
hash, device, versions. What is there is not run again, so a grid that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from mgips.config import VARIANTS, preset
from mgips.data.conll import write_atomically
from mgips.data.corpus import Corpus, load_corpus
from mgips.errors import ConfigError, DataError, RunError

if TYPE_CHECKING:
    from mgips.model.mgips import MGIPS

RESULTS = Path("figures/data")
"""Where the committed results are."""


@dataclass(frozen=True)
class Row:
    """One setting of a grid."""

    name: str
    """Names its files; letters, digits, dots and dashes."""
    label: str
    """What tables and figures call it."""
    variant: str = "full"
    """A name of `mgips.config.VARIANTS`."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of ModelConfig or TrainConfig."""
    settings: dict[str, Any] = field(default_factory=dict)
    """More of them, which go with the grid's own preset and are left out where another is named."""
    share: float = 1.0
    """Share of the training split that is used: its first part, after a shuffle by the seed."""
    edit: str = ""
    """What the authors' released code does otherwise: a name of `mgips.integrity.EDITS`."""
    leak: tuple[float, float] = (0.0, 0.0)
    """Shares of dev and of test that are put into train, to measure what that does (`mgips.integrity.leaky`)."""
    seeds: tuple[int, ...] = ()
    """Its own seeds, where they are fewer than the grid's."""
    collect: tuple[str, ...] = ()
    """What its runs keep besides their scores: names of `COLLECTORS`."""
    x: float | None = None
    """Its place on the figure's axis."""


@dataclass(frozen=True)
class Grid:
    """A table or a figure of the paper."""

    name: str
    about: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    """Each seeds the weights, the batches and, for TinyTweets, the corpus itself."""
    base: str = "tiny"
    """The preset that every row starts from, unless another is named."""
    reference: tuple[str, str] = ("", "")
    """The grid and the row that its rows are compared with."""


# Table 2's text rows, with a small pretrained encoder in BERT's place: settings, and numbers of seeds, that two CPU
# cores can pay for. On a GPU ask for more: `--seeds 0 1 2 3 4`; what is there is counted.
TRANSFORMER = {"epochs": 4, "batch_size": 32, "lr_text": 2e-4, "precision": "bf16"}
FROM_SCRATCH = {"epochs": 15, "batch_size": 32}
TEXT_ROWS = (
    Row("bilstm-crf", "BiLSTM-CRF", "bilstm-crf", settings=FROM_SCRATCH, seeds=(0,)),
    Row("cnn-bilstm-crf", "CNN-BiLSTM-CRF", "cnn-bilstm-crf", FROM_SCRATCH, seeds=(0,)),
    Row("bert", "BERT", "bert", settings=TRANSFORMER, seeds=(0,)),
    Row("bert-crf", "BERT-CRF", "text", settings=TRANSFORMER, collect=("by_test", "readings")),
    Row("bert-bilstm-crf", "BERT-BiLSTM-CRF", "bert-bilstm-crf", settings=TRANSFORMER, seeds=(0,)),
)
"""Row names are those of `mgips.paper.TABLE2`'s text baselines in small letters. BERT-CRF is MGIPS-CL's text variant."""

GRIDS = {
    grid.name: grid
    for grid in (
        Grid(
            "table2-text",
            "Text rows of Table 2, on the Twitter corpora",
            TEXT_ROWS,
            (0, 1, 2),
            base="minilm",
            reference=("table2-text", "bert-crf"),
        ),
        Grid(
            "table3",
            "Ablation (Table 3), and the switches that the paper does not ablate",
            (
                Row("full", "full"),
                Row("no-ips", "w/o IPS-CL", "no-ips"),
                Row("no-mgi", "w/o MGI", "no-mgi"),
                Row("no-row", "w/o row weights", "no-row"),
                Row("no-column", "w/o column weights", "no-column"),
                Row("no-cl", "w/o CL", "no-cl"),
                Row("no-contrast", "w/o IPS-CL and CL", "no-contrast"),
                Row("no-mutual", "w/o mutual attention", "no-mutual"),
                Row("unimodal", "contrast on unimodal features", changes={"contrast_on": "unimodal"}),
                Row("tau-0.1", "τ = 0.1", changes={"temperature": 0.1}),
                Row("mean", "weights average 1", changes={"weight_scale": "mean"}),
                Row("mean-no-mutual", "weights average 1, w/o mutual att.", "no-mutual", {"weight_scale": "mean"}),
                Row("text", "text only", "text"),
            ),
            (0, 1, 2, 3, 4),
            reference=("table3", "full"),
        ),
        Grid(
            "fig5",
            "Relevance of one batch (Figure 5)",
            (Row("full", "full", collect=("relevance",)),),
            (0,),
        ),
        Grid(
            "fig6",
            "Number of implicit positives K (Figure 6)",
            tuple(Row(f"k{k}", f"K = {k}", changes={"k": k}, x=k) for k in range(1, 7)),
            (0, 1, 2),
            reference=("fig6", "k3"),
        ),
        Grid(
            "fig7",
            "Number of interweave encoders L (Figure 7)",
            tuple(Row(f"l{n}", f"L = {n}", changes={"interweave_encoders": n}, x=n) for n in range(1, 8)),
            (0, 1, 2),
            reference=("fig7", "l1"),
        ),
        Grid(
            "fig8",
            "Share of the training data (Figure 8)",
            tuple(
                Row(f"{variant}-{percent}", f"{variant}, {percent} %", variant, share=percent / 100, x=percent)
                for variant in ("full", "text")
                for percent in (10, 20, 30, 40, 50, 100)
            ),
            (0, 1, 2),
        ),
        Grid(
            "fig9",
            "What each variant predicts for each post (Figures 9 and 10)",
            (
                Row("full", "full", collect=("cases",)),
                Row("no-ips", "w/o IPS-CL", "no-ips", collect=("cases",)),
                Row("no-mgi", "w/o MGI", "no-mgi", collect=("cases",)),
                Row("text", "text only", "text", collect=("cases",)),
            ),
            (0, 1, 2),
        ),
        Grid(
            "fig11",
            "Entity vectors on their way through the model (Figure 11)",
            (
                Row("full", "full", collect=("representation",)),
                Row("text", "text only", "text", collect=("representation",)),
            ),
            (0, 1, 2),
        ),
        Grid(
            "probe",
            "What other pictures do to a trained model",
            (
                Row("full", "full", collect=("probe",)),
                Row("text", "text only", "text", collect=("probe",)),
            ),
            (0, 1, 2, 3, 4),
        ),
        Grid(
            "protocol",
            "Clean training against test posts in train, and against choosing the epoch by test F1",
            (
                Row("clean", "clean", collect=("by_test",)),
                # dev and test shares that the released reader's offsets give: Twitter-2015 with those named in a
                # comment there, Twitter-2017, and Twitter-2015 as shipped
                Row("leak-7.9", "7.9 % of test in train", leak=(0.130, 0.079), collect=("by_test",)),
                Row("leak-9.7", "9.7 % of test in train", leak=(0.097, 0.097), collect=("by_test",)),
                Row("leak-80", "80 % of test in train", leak=(0.347, 0.800), collect=("by_test",)),
            ),
            (0, 1, 2, 3, 4),
            reference=("protocol", "clean"),
        ),
        Grid(
            "switches",
            "What the authors' released code does otherwise, one at a time",
            (
                Row("printed-column", "eq. 6 as printed", changes={"column_weights": "printed"}),
                Row("column-shift", "column weights minus 0.05", edit="shift-columns"),
                Row("frozen-image-mge", "image-guided MGE without gradient", edit="detach-image-guided"),
                Row("scalar-gate", "one gate a token", changes={"gate": "scalar"}),
                Row("frozen-gate", "gate not trained", edit="freeze-gate"),
                Row("unmasked-pads", "padding visible", edit="show-padding"),
                Row("one-loss", "one contrastive loss", edit="one-loss"),
                Row("neftune", "NEFTune noise", edit="neftune"),
            ),
            (0, 1, 2),
            reference=("table3", "full"),
        ),
    )
}


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


def find_grid(name: str) -> Grid:
    """A grid by its name.

    Raises:
        ConfigError: there is none, naming those there are.
    """
    if name not in GRIDS:
        raise ConfigError(f"There is no grid {name!r}; the grids are {', '.join(GRIDS)}.")
    return GRIDS[name]


def grid_corpus(name: str, seed: int, root: str | Path | None = None) -> Corpus:
    """The corpus of a run: TinyTweets is drawn anew with each seed, the others are what they are."""
    from mgips.data.tinytweets import tinytweets

    return tinytweets(seed) if name == "tinytweets" else load_corpus(name, root)


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
    from mgips.data.tinytweets import VERSION
    from mgips.evaluate import tweet_counts
    from mgips.integrity import TestWatcher, edited, leaky
    from mgips.mining import mining_precision
    from mgips.training import describe_run, fresh_accelerator, one_thread, train

    started, date = time.perf_counter(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    data = part_of(grid_corpus(corpus, seed, root), row.share, seed)
    if any(row.leak):
        data = leaky(data, *row.leak)
    model, config = preset(base, row.variant, **{**row.changes, **row.settings, **_fitting(row, changes), "seed": seed})
    watcher = TestWatcher(data) if "by_test" in row.collect else None
    with one_thread():
        start = edited(row.edit, model, data.train, seed) if row.edit else model
        run = train(data, start, config, progress=False, on_epoch=watcher)
        predicted = run.model.predict_dataset(run.data["test"])
        mining = None
        if model.contrast and all(tweet.truth is not None for tweet in data.test):
            mining = vars(mining_precision(run.model, run.data["test"], config.batch_size))
        told = describe_run(data, run.model, config, fresh_accelerator(config))
        collected = {
            name: collect(run.model, data, seed) for name, collect in COLLECTORS.items() if name in row.collect
        }
    if watcher is not None:
        collected["by_test"] = watcher.record(run.epoch)
    for name in ("text_encoder", "image_encoder"):  # where a folder lies is nobody's business
        if Path(told["model"][name]).is_dir():
            told["model"][name] = Path(told["model"][name]).name
    if corpus == "tinytweets":
        told["corpus"]["generator"] = VERSION
    return {
        "row": row.name,
        "label": row.label,
        "seed": seed,
        "preset": base,
        "variant": row.variant,
        "share": row.share,
        "edit": row.edit,
        "leak": row.leak,
        **told,
        "started": date,
        "epoch": run.epoch,
        "dev_f1": run.dev.f1,
        "test": run.test.to_dict(),
        "mining": mining,
        "seconds": round(time.perf_counter() - started, 1),
        **collected,
        "counts": tweet_counts([tweet.tags for tweet in data.test], predicted).tolist(),
    }


def _fitting(row: Row, changes: dict[str, Any] | None) -> dict[str, Any]:
    """The changes that every row gets, less an encoder for a row that has none of that kind."""
    changes = dict(changes or {})
    if "text_encoder" in VARIANTS[row.variant]:
        changes.pop("text_encoder", None)
    return changes


def _relevance(model: MGIPS, corpus: Corpus, seed: int) -> dict[str, Any]:
    from mgips.mining import batch_relevance

    return batch_relevance(model, corpus.test)


def _cases(model: MGIPS, corpus: Corpus, seed: int) -> dict[str, Any]:
    from mgips.cases import collect

    return collect(model, corpus)


def _representation(model: MGIPS, corpus: Corpus, seed: int) -> dict[str, Any]:
    from mgips.representation import collect

    return collect(model, corpus, seed, coordinates=seed == 0)  # one seed is drawn, all are measured


def _probe(model: MGIPS, corpus: Corpus, seed: int) -> dict[str, Any]:
    from mgips.probe import probe

    return probe(model, corpus, seed=seed).to_dict()


def _readings(model: MGIPS, corpus: Corpus, seed: int) -> list[dict[str, Any]]:
    from mgips.integrity import readings

    return readings(model, corpus.test)


COLLECTORS = {
    "relevance": _relevance,
    "cases": _cases,
    "representation": _representation,
    "probe": _probe,
    "readings": _readings,
}
"""What a run may keep besides its scores. "by_test", which watches while it trains, is one more."""


def result_path(folder: str | Path, grid: str, row: str, seed: int, corpus: str = "tinytweets") -> Path:
    """Where a run's file is."""
    return Path(folder) / grid / corpus / f"{row}-s{seed}.json"


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
    """Run what a grid still lacks; returns how many runs that was.

    Args:
        corpus, root: which corpus, and where it is.
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
    unknown = set(rows) - {row.name for row in grid.rows}
    if unknown:
        raise ConfigError(
            f"{name} has no row {min(unknown)!r}; its rows are {', '.join(row.name for row in grid.rows)}."
        )
    wanted = [row for row in grid.rows if not rows or row.name in rows]
    if base and base != grid.base:
        wanted = [replace(row, settings={}) for row in wanted]
    cells = [
        (row, seed)
        for seed in seeds or grid.seeds
        for row in wanted
        if (seeds or seed in (row.seeds or grid.seeds))
        and not result_path(folder, name, row.name, seed, corpus).exists()
    ]
    failed = []
    with (
        ProcessPoolExecutor(jobs or default_jobs(), mp_context=multiprocessing.get_context("spawn")) as pool,
        tqdm(total=len(cells), desc=name, unit="run", disable=not progress) as bar,
    ):
        # One run a cell; tqdm's own estimate is the time that is left.
        running = {
            pool.submit(run_row, row, seed, corpus, root, base or grid.base, changes): (row, seed)
            for row, seed in cells
        }
        for future in as_completed(running):
            row, seed = running[future]
            try:
                record = future.result()
            except Exception as error:  # the others go on
                failed.append(f"{row.name} with seed {seed} ({error})")
            else:
                write_atomically(result_path(folder, name, row.name, seed, corpus), _as_json(record))
                bar.set_postfix_str(f"{row.name} s{seed}: F1 {100 * record['test']['f1']:.1f}")
            bar.update()
    if failed:
        raise RunError(
            f"{len(failed)} of {len(cells)} runs failed: {'; '.join(failed)}. The others are saved; run it again."
        )
    return len(cells)


def default_jobs() -> int:
    """Runs at a time: one per core, or one where a GPU does the work."""
    import torch

    return 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _as_json(record: dict[str, Any]) -> bytes:
    """Indented, but for what would fill a thousand lines: counts, and what was collected."""
    long = {name: record[name] for name in ("counts", "by_test", *COLLECTORS) if name in record}
    lines = [
        f' "{name}": {json.dumps(value, separators=(",", ":"), ensure_ascii=False)}' for name, value in long.items()
    ]
    text = json.dumps({name: value for name, value in record.items() if name not in long}, indent=1, ensure_ascii=False)
    return (text.removesuffix("\n}") + ",\n" + ",\n".join(lines) + "\n}\n").encode()


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
