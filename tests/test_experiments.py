"""Grids: rows that differ as they say, files that hold what a number needs, stopping and going on, failures that cost nothing else."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from builders import save_result, text_of

import mgips.lab.sweep as experiments
from mgips.cli import main
from mgips.config import preset
from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import ConfigError, DataError, RunError
from mgips.lab.figures.grids import fig6
from mgips.lab.grids import GRIDS, Grid, Row
from mgips.lab.integrity import EDITS
from mgips.lab.paper.tables import CORPORA
from mgips.lab.precision import MiningPrecision
from mgips.lab.results import load_results, missing
from mgips.lab.stats import counts_f1
from mgips.lab.sweep import COLLECTORS, part_of, run_row, sweep

SMALL = {"epochs": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2}


@pytest.fixture
def small(monkeypatch):
    """A grid of three runs in this process, on a corpus of 64 posts."""
    rows = (Row("full", "full"), Row("text", "text only", "text"), Row("half", "half", share=0.5))
    monkeypatch.setitem(GRIDS, "small", Grid("small", "for the tests", rows, (0, 1)))
    monkeypatch.setattr(
        experiments, "grid_corpus", lambda name, seed, root=None, drawn=None: tinytweets(seed, (64, 32, 32))
    )
    monkeypatch.setattr(experiments, "ProcessPoolExecutor", lambda jobs, mp_context: ThreadPoolExecutor(1))
    return "small"


def test_every_row_is_a_configuration_and_no_two_are_the_same():
    for grid in GRIDS.values():
        configs = [preset("tiny", row.variant, **row.changes, **row.settings) for row in grid.rows]
        others = [(row.share, row.edit, row.leak, row.drawn) for row in grid.rows]
        assert len(set(map(repr, zip(configs, others, strict=True)))) == len(configs)
        assert not grid.name.startswith("fig") or preset("tiny") in configs  # a sweep goes through the default
        assert len({row.name for row in grid.rows}) == len(grid.rows) and grid.seeds
        assert all(row.edit in EDITS for row in grid.rows if row.edit)
        assert all(name in {*COLLECTORS, "by_test"} for row in grid.rows for name in row.collect)
        other, row = grid.reference
        assert not other or row in {r.name for r in GRIDS[other].rows}


def test_a_sweep_writes_what_a_number_needs_and_goes_on_where_it_was(small, tmp_path):
    assert sweep(small, changes=SMALL, seeds=(0,), folder=tmp_path, progress=False) == 3
    assert missing(small, folder=tmp_path) == ["full-s1", "text-s1", "half-s1"]
    path = tmp_path / "small/tinytweets/full-s0.json"
    record, before = json.loads(path.read_text()), path.stat().st_mtime_ns
    assert {"model", "train", "versions", "device", "corpus", "seconds", "test", "dev_f1", "mining"} <= record.keys()
    assert record["model"]["hidden_size"] == 16 and record["train"]["seed"] == 0
    assert counts_f1(np.array(record["counts"])) == pytest.approx(record["test"]["f1"])
    assert sweep(small, changes=SMALL, folder=tmp_path, progress=False) == 3
    assert sweep(small, changes=SMALL, folder=tmp_path, progress=False) == 0 and path.stat().st_mtime_ns == before
    found = load_results(small, folder=tmp_path)
    seeds = {row: [run.seed for run in runs] for row, runs in found.items()}
    assert seeds == {"full": [0, 1], "text": [0, 1], "half": [0, 1]}
    assert found["text"][0].record["mining"] is None and found["full"][0].record["mining"]["texts"] > 0


def test_what_is_recorded_of_mining_can_be_read_back_with_or_without_the_newer_fields(small, tmp_path):
    assert sweep(small, changes=SMALL, seeds=(0,), rows=("full",), folder=tmp_path, progress=False) == 1
    text = (tmp_path / "small/tinytweets/full-s0.json").read_text()
    found = MiningPrecision(**json.loads(text)["mining"])
    assert "NaN" not in text and found.precision <= found.attainable <= 1 and found.at_one_attainable > 0
    assert found.top_ten >= 10 / 32 and found.skewness_chance > 0
    names = ("precision", "chance", "others", "others_chance", "texts")
    older = MiningPrecision(**{name: getattr(found, name) for name in names})
    assert older.attainable is None and older.others == found.others


def test_the_picture_of_k_shows_what_is_attainable_where_the_runs_know_it(tmp_path):
    grid = GRIDS["fig6"]
    for newer in ({}, {"others_attainable": 0.83}):
        for row, seed in itertools.product(grid.rows, grid.seeds):
            others = None if row.x == 1 and seed == 0 else 0.2  # all mined their own
            save_result(tmp_path, "fig6", row, seed, mining={"others": others, "others_chance": 0.07, **newer})
        figure = fig6(folder=tmp_path)
        assert len(figure.axes) == 2 and ("attainable" in text_of(figure)) == bool(newer)
    heights = [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    assert heights == pytest.approx([83])


def test_a_rows_settings_go_with_its_own_preset_only(small, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(experiments, "run_row", lambda row, *rest: seen.append((row.settings, rest[3])) or 1 / 0)
    rows = (Row("text", "text only", "text", {"dropout": 0.2}, {"epochs": 3}),)
    monkeypatch.setitem(GRIDS, "small", Grid("small", "for the tests", rows, (0,), base="minilm"))
    for base in ("", "minilm", "base"):
        with pytest.raises(RunError, match="division by zero"):
            sweep(small, base=base, folder=tmp_path, progress=False)
    assert seen == [({"epochs": 3}, "minilm"), ({"epochs": 3}, "minilm"), ({}, "base")]


def test_a_run_is_repeated_to_the_same_scores(small):
    one, two = (run_row(GRIDS[small].rows[0], 1, changes=SMALL) for _ in range(2))
    assert one["test"] == two["test"] and one["counts"] == two["counts"] and one["corpus"] == two["corpus"]


def test_a_failed_run_is_named_and_the_others_are_saved(small, tmp_path, monkeypatch):
    real = experiments.run_row

    def sometimes(row, *rest):
        if row.name == "text":
            raise RunError("the loss became nan")
        return real(row, *rest)

    monkeypatch.setattr(experiments, "run_row", sometimes)
    with pytest.raises(RunError, match=r"1 of 3 runs failed: text with seed 0 \(the loss became nan\)"):
        sweep(small, changes=SMALL, seeds=(0,), folder=tmp_path, progress=False)
    assert missing(small, folder=tmp_path) == ["full-s1", "text-s0", "text-s1", "half-s1"]


def test_a_smaller_share_is_part_of_a_larger_one():
    corpus = tinytweets(0, (320, 32, 32))
    parts = [part_of(corpus, share, seed=3) for share in (0.1, 0.5, 1)]
    assert [len(p.train) for p in parts] == [32, 160, 320]
    ids = [{t.id for t in p.train} for p in parts]
    assert ids[0] < ids[1] < ids[2] and parts[0].test == corpus.test
    assert {t.id for t in part_of(corpus, 0.1, seed=4).train} != ids[0]


def test_mistakes_are_named(small, tmp_path, capsys):
    with pytest.raises(ConfigError, match="no grid 'fig4'"):
        sweep("fig4")
    with pytest.raises(ConfigError, match="no row 'none'"):
        sweep(small, rows=("none",), folder=tmp_path)
    (tmp_path / "small/tinytweets").mkdir(parents=True)
    (tmp_path / "small/tinytweets/full-s0.json").write_text("{")
    with pytest.raises(DataError, match="full-s0.json is no result"):
        load_results(small, folder=tmp_path)
    assert main(["sweep", "fig4"]) == 2 and "no grid" in capsys.readouterr().err


COMMITTED = Path(__file__).parent.parent / experiments.RESULTS
NOT_YET_RUN = {"reads-controls", "reads-dials", "parts-dials", "neither", "captions"}
"""Grids that nobody has paid for, or only in part; figures/README.md says so."""


@pytest.mark.parametrize("name", GRIDS)
def test_the_committed_runs_are_all_there_and_say_what_they_rest_on(name):
    for corpus in CORPORA if name in ("table2-text", "captions") else ["tinytweets"]:
        assert missing(name, corpus, COMMITTED) == [] or name in NOT_YET_RUN
        for results in load_results(name, corpus, COMMITTED).values():
            for run in results:
                record = run.record
                assert counts_f1(run.counts) == pytest.approx(record["test"]["f1"])
                assert record["corpus"]["name"] == corpus and len(record["corpus"]["sha256"]) == 64
                assert {"model", "train", "device", "versions", "started", "seconds"} <= record.keys()
                assert record["train"]["seed"] == run.seed
                assert "/" not in record["model"]["text_encoder"], "a path of the machine"


@pytest.mark.slow
def test_processes_give_what_one_process_gives(tmp_path):
    """The real pool: spawned workers, each on one thread."""
    name = dict(rows=("k1", "k2"), seeds=(0,), changes={**SMALL, "epochs": 1}, folder=tmp_path, progress=False)
    assert sweep("fig6", jobs=2, **name) == 2
    found = load_results("fig6", folder=tmp_path)["k2"][0].record
    again = run_row(GRIDS["fig6"].rows[1], 0, changes=SMALL)
    assert found["test"] == json.loads(json.dumps(again["test"]))
