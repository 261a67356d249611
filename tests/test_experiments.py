"""Grids: rows that differ as they say, files that hold what a number needs, stopping and going on, failures that cost nothing else."""

import dataclasses
import itertools
import json
import os
import re
import shutil
import signal
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
from mgips.lab.results import grid_folder, load_results, missing, posts_key, result_path
from mgips.lab.stats import counts_f1
from mgips.lab.sweep import COLLECTORS, part_of, row_corpus, run_row, sweep
from mgips.lab.workers import Outcome

SMALL = {"epochs": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2}


class Here:
    """`Workers` in this process: a task is done as soon as it is started."""

    def __init__(self, function, count):
        self.function, self.done = function, []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    busy = property(lambda self: bool(self.done))
    free = property(lambda self: not self.done)

    def start(self, task):
        try:
            self.done.append(Outcome(task, self.function(*task), ""))
        except Exception as error:
            self.done.append(Outcome(task, None, str(error)))

    def finished(self, seconds):
        done, self.done = self.done, []
        return done


def declare_small(monkeypatch):
    """A grid of three rows and two seeds in this process, on a corpus of 64 posts."""
    rows = (Row("full", "full"), Row("text", "text only", "text"), Row("half", "half", share=0.5))
    monkeypatch.setitem(GRIDS, "small", Grid("small", "for the tests", rows, (0, 1)))
    monkeypatch.setattr(
        experiments, "grid_corpus", lambda name, seed, root=None, drawn=None: tinytweets(seed, (64, 32, 32))
    )
    monkeypatch.setattr(experiments, "Workers", Here)


@pytest.fixture
def small(monkeypatch):
    declare_small(monkeypatch)
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
    with pytest.raises(DataError, match="full-s0.json is not a result"):
        load_results(small, folder=tmp_path)
    assert main(["sweep", "fig4"]) == 2 and "no grid" in capsys.readouterr().err


def change(path, *keys, to):
    """Change one entry of a result file."""
    record = json.loads(path.read_text())
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to(inner.get(keys[-1]) if isinstance(inner, dict) else inner[keys[-1]])
    path.write_text(json.dumps(record))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The result files of one sweep; not to be changed."""
    folder = tmp_path_factory.mktemp("three")
    with pytest.MonkeyPatch.context() as patch:
        declare_small(patch)
        sweep("small", changes=SMALL, seeds=(0,), folder=folder, progress=False)
    return folder


@pytest.fixture
def there(three, small, tmp_path):
    """The same files, to be changed: the folder, and the path of the full model's."""
    shutil.copytree(three, tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "small/tinytweets/full-s0.json"


DAMAGE = {
    "f1": (("test", "f1"), lambda f1: f1 + 0.01, "f1 of test is .* follows from the rest"),
    "precision": (("test", "precision"), lambda value: value + 0.01, "precision of test"),
    "support": (("test", "support"), lambda count: count + 1, "support of test"),
    "a type": (("test", "per_type", "PER", "f1"), lambda f1: f1 + 0.01, "f1 of PER"),
    "a type's support": (("test", "per_type", "PER", "support"), lambda count: count + 1, "support of test"),
    "gold": (("counts", 3), lambda row: [row[0], row[1], row[2] + 1], "recall of test|f1 of test|support of test"),
    "a missing part": (("counts",), lambda counts: counts[0], "is not a result of a sweep"),
    "another seed": (("seed",), lambda seed: 7, "holds the run full-s7; call it full-s7.json"),
    "another preset": (("preset",), lambda name: "base", "was not made as its row is today"),
    "a setting": (("model", "k"), lambda k: k + 1, r"was not made as its row is today \(k is 4, not 3\)"),
    "a rate": (("train", "lr_head"), lambda rate: 0.5, r"lr_head is 0.5, not 0.002"),
    "a seed inside": (("train", "seed"), lambda seed: 5, r"seed is 5, not 0"),
    "a later version's setting": (("model", "later"), lambda none: 1, r"later is 1, not None"),
    "a share": (("share",), lambda share: 0.5, r"share is 0.5, not 1.0"),
    "a leak": (("leak",), lambda leak: [0.1, 0.1], r"leak is \[0.1, 0.1\], not \[0.0, 0.0\]"),
    "an edit": (("edit",), lambda edit: "one-loss", "edit is 'one-loss', not ''"),
    "a variant": (("variant",), lambda name: "text", "variant is 'text', not 'full'"),
    "a generator": (("corpus", "generator"), lambda version: version + 1, "generator is 2, not 1"),
    "a corpus": (("corpus", "name"), lambda name: "twitter2015", "corpus is 'twitter2015', not 'tinytweets'"),
    "other posts": (("corpus", "sha256"), lambda sha256: "0" * 64, "were made on different posts"),
    "an encoder": (("model", "text_encoder"), lambda name: "a/b", "text_encoder"),
    "types": (("model", "types"), lambda types: ["PER"], "types"),
    "a type without scores": (("test", "per_type", "PER"), lambda score: {}, "is not a result of a sweep"),
    "no number": (("test", "precision"), lambda value: "high", "is not a result of a sweep"),
    "no encoder": (("model", "text_encoder"), lambda name: 5, "text_encoder is 5; it must be text"),
    "changes of another kind": (("changes",), lambda changes: 5, "is not a result of a sweep"),
    "precision of numbers": (("train", "precision"), lambda name: "bf16", "precision"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_what_its_row_says_is_refused_and_not_overwritten(there, damage):
    folder, path = there
    keys, to, says = DAMAGE[damage]
    assert sum(map(len, load_results("small", folder=folder).values())) == 3
    change(path, *keys, to=to)
    before = path.read_bytes()
    for refuses in (
        lambda: load_results("small", folder=folder),
        lambda: missing("small", folder=folder),
        lambda: sweep("small", changes=SMALL, folder=folder, progress=False),
    ):
        with pytest.raises(DataError) as error:
            refuses()
        assert re.search(says, str(error.value)) and ".json" in str(error.value), error.value
        assert "\n" not in str(error.value) and re.search("remove|restore|--out", str(error.value))
    assert path.read_bytes() == before and len([*path.parent.iterdir()]) == 3


def test_files_of_another_preset_or_with_other_changes_are_not_taken_for_those_asked_for(there):
    folder, path = there
    wide = {**SMALL, "hidden_size": 32}
    with pytest.raises(DataError, match="made with hidden_size 16, not with 32 as is asked for"):
        sweep("small", changes=wide, folder=folder, progress=False)
    with pytest.raises(DataError, match="made with preset 'tiny', not with 'minilm' as is asked for"):
        sweep("small", base="minilm", changes=SMALL, rows=("half",), seeds=(1,), folder=folder, progress=False)
    other = folder / "other"
    sweep("small", changes=wide, seeds=(1,), rows=("full",), folder=other, progress=False)
    shutil.copy(result_path(other, "small", "full", 1), path.parent)
    with pytest.raises(DataError, match="made with hidden_size (16|32), other runs of the grid with (16|32)"):
        load_results("small", folder=folder)
    # Each alone is fine, and says what was changed.
    (run,) = load_results("small", folder=other)["full"]
    assert run.changes["preset"] == "tiny" and run.changes["hidden_size"] == 32


def test_a_row_that_is_declared_otherwise_now_has_no_runs_yet(there, monkeypatch):
    folder, _ = there
    rows = tuple(dataclasses.replace(row, share=0.25) if row.name == "half" else row for row in GRIDS["small"].rows)
    monkeypatch.setitem(GRIDS, "small", dataclasses.replace(GRIDS["small"], rows=rows))
    with pytest.raises(DataError, match=r"half-s0.json was not made as its row is today \(share is 0.5, not 0.25\)"):
        missing("small", folder=folder)


def test_new_runs_are_made_on_the_posts_of_those_that_are_there(there, monkeypatch):
    folder, _ = there
    changed = lambda name, seed, root=None, drawn=None: tinytweets(seed, (64, 32, 31))  # noqa: E731
    monkeypatch.setattr(experiments, "grid_corpus", changed)
    with pytest.raises(DataError, match="full-s0 .* on other posts"):
        sweep("small", changes=SMALL, folder=folder, progress=False)
    assert len(missing("small", folder=folder)) == 3


def test_an_encoders_folder_is_known_by_its_name_which_the_hubs_name_ends_with(there, tmp_path):
    grid, folder = GRIDS["captions"], tmp_path / "one"
    for name in ("all-MiniLM-L6-v2", "other"):
        for row in grid.rows:
            save_result(folder, "captions", row, 0, "twitter2017", preset="tiny", changes={"text_encoder": name})
        found = load_results("captions", "twitter2017", folder)
        assert found["reads"][0].changes["text_encoder"] == name
        with pytest.raises(DataError, match="text_encoder"):  # the preset's is another
            load_results("captions", "twitter2017", folder, "tiny", {"text_encoder": "a/third"})
        load_results("captions", "twitter2017", folder, "tiny", {"text_encoder": f"owner/{name}"})


def test_two_runs_with_different_encoders_or_precision_are_not_averaged(tmp_path):
    row = GRIDS["captions"].rows[0]
    for seed, changes in enumerate(({}, {"precision": "bf16"})):
        save_result(tmp_path, "captions", row, seed, "twitter2017", changes=changes)
    with pytest.raises(DataError, match=r"text-s\d.json was made with precision .*keep them apart"):
        load_results("captions", "twitter2017", tmp_path)


def test_a_row_keeps_the_encoder_that_it_is_about(tmp_path):
    row = next(row for row in GRIDS["captions"].rows if row.name == "full")
    model, train = experiments.configured(row, 3, "minilm", {"image_encoder": "a/b", "text_encoder": "c/d"})
    assert (model.image_encoder, model.text_encoder, train.seed) == ("captions", "c/d", 3)
    model, _ = experiments.configured(GRIDS["table2-text"].rows[0], 0, "minilm", {"text_encoder": "c/d"})
    assert model.text_encoder == "words"


def test_a_corpus_in_a_folder_has_its_results_among_the_others(tmp_path):
    path = result_path(tmp_path, "table3", "full", 0, "/somewhere/own posts/")
    assert path == tmp_path / "table3/own posts/full-s0.json"
    assert result_path(tmp_path, "table3", "full", 0) == tmp_path / "table3/tinytweets/full-s0.json"


def test_a_second_sweep_is_told_who_writes_there(small, tmp_path):
    folder = grid_folder(tmp_path, "small")
    with experiments._alone(folder):
        with pytest.raises(
            RunError, match=rf"is being written to by process {os.getpid()} on .*, since 20.*another folder"
        ):
            sweep(small, changes=SMALL, folder=tmp_path, progress=False)
    (folder / ".full-s0.json.99-99.part").write_text("{")  # left by a kill
    assert sweep(small, changes=SMALL, rows=("text",), seeds=(0,), folder=tmp_path, progress=False) == 1
    assert [path.name for path in folder.iterdir()] == ["text-s0.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_keeps_what_ends_while_it_stops_and_says_how_much(
    small, tmp_path, monkeypatch, listening, number
):
    real, begun = experiments.run_row, []

    def stopped(row, seed, *rest):
        begun.append(row.name)
        if len(begun) == 2:
            os.kill(os.getpid(), number)
        return real(row, seed, *rest)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(experiments, "run_row", stopped)
    with pytest.raises(KeyboardInterrupt, match="^2 of 6 runs are kept$"):
        sweep(small, changes=SMALL, folder=tmp_path, progress=False)
    assert len(begun) == 2 and len(missing(small, folder=tmp_path)) == 4
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


COMMITTED = Path(__file__).parent.parent / experiments.RESULTS
NOT_YET_RUN = {"reads-dials", "captions"}
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


def test_the_committed_runs_were_made_on_the_posts_that_this_version_draws():
    """One run for each way of drawing and sharing out the posts, with the first seed; all have the generator's version."""
    looked = set()
    for name, grid in GRIDS.items():
        found = load_results(name, folder=COMMITTED)
        for row in grid.rows:
            key = posts_key(row, 0, "tinytweets")
            runs = [run for run in found[row.name] if run.seed == 0 and key not in looked]
            for run in runs:
                assert row_corpus(row, 0).fingerprint() == run.record["corpus"]["sha256"], (name, row.name)
                looked.add(key)
    assert len(looked) > 8


@pytest.mark.parametrize("keys, to", [(("train", "lr_text"), lambda rate: 1e-3), (("test", "recall"), lambda r: r / 2)])
def test_a_change_of_a_committed_file_is_seen(tmp_path, keys, to):
    shutil.copytree(COMMITTED / "table3", tmp_path / "table3")
    assert missing("table3", folder=tmp_path) == []
    change(tmp_path / "table3/tinytweets/tau-0.1-s3.json", *keys, to=to)
    with pytest.raises(DataError, match=f"tau-0.1-s3.json .*{keys[-1]}"):
        missing("table3", folder=tmp_path)


@pytest.mark.slow
def test_processes_give_what_one_process_gives(tmp_path):
    """The real pool: spawned workers, each on one thread."""
    name = dict(rows=("k1", "k2"), seeds=(0,), changes={**SMALL, "epochs": 1}, folder=tmp_path, progress=False)
    assert sweep("fig6", jobs=2, **name) == 2
    found = load_results("fig6", folder=tmp_path)["k2"][0].record
    again = run_row(GRIDS["fig6"].rows[1], 0, changes=SMALL)
    assert found["test"] == json.loads(json.dumps(again["test"]))
