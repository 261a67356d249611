"""The repository's figures: drawn by code, the same each time, nothing outside the page."""

import itertools
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from builders import assert_apart_on_the_page, save_result, text_of

from mgips.lab.figures import grids, style
from mgips.lab.figures.__main__ import FIGURES, main
from mgips.lab.grids import GRIDS
from mgips.lab.results import load_results, result_path
from mgips.lab.stats import counts_f1


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", FIGURES)
def test_every_label_lies_on_the_page_and_on_no_other(name):
    style.use()
    figure = FIGURES[name]()
    assert_apart_on_the_page(figure, [text for axes in figure.axes for text in axes.texts if text.get_text()])


@pytest.mark.slow
def test_the_files_are_written_and_do_not_change_from_one_time_to_the_next(tmp_path):
    for place in ("a", "b"):
        main(tmp_path / place)
    for name in FIGURES:
        for ending in ("png", "svg"):
            a, b = ((tmp_path / place / f"{name}.{ending}").read_bytes() for place in "ab")
            assert a == b and len(a) > 10_000


def invented_results(folder, spoil=(), better=()):
    """Every run of every grid, with invented counts; rows in `spoil` find half as much, those in `better` more."""
    for grid in GRIDS.values():
        corpora = ("twitter2015", "twitter2017") if grid.name == "table2-text" else ("tinytweets",)
        for corpus, row in itertools.product(corpora, grid.rows):
            for seed in row.seeds or grid.seeds:
                rng = np.random.RandomState(seed)
                gold = rng.randint(1, 4, 80)
                right = rng.binomial(gold, 0.4 if row.name in spoil else 0.95 if row.name in better else 0.8)
                counts = np.stack([right, gold, gold], 1)
                measured = {
                    "model": {"text_encoder": "a-small-encoder"},
                    "by_test": {name: {"counts": counts.tolist()} for name in ("by_dev", "by_test")},
                    "mining": {"others": 0.2, "others_chance": 0.07},
                    "test": {"f1": float(counts_f1(counts))},
                    "counts": counts.tolist(),
                }
                save_result(folder, grid.name, row, seed, corpus, **measured)


def test_what_hurts_is_said_to_hurt(tmp_path):
    invented_results(tmp_path, spoil=("no-mgi", "k1", "text-100"))
    table = text_of(grids.table3(folder=tmp_path))
    assert "1 hurts" in table and table.count("hurts") >= 2 and "seeds 0-4" in table
    assert "K = 1 hurts" in text_of(grids.fig6(folder=tmp_path))
    assert "K = 2 hurts" not in text_of(grids.fig6(folder=tmp_path))
    assert "Against L = 1" in text_of(grids.fig7(folder=tmp_path))
    assert "none hurt, none help, 9 make no detectable difference" in text_of(grids.switches(folder=tmp_path))
    assert "with all" in text_of(grids.fig8(folder=tmp_path))


def test_a_corpus_without_truth_has_no_mining_precision_to_draw(tmp_path):
    invented_results(tmp_path)
    assert len(grids.fig6(folder=tmp_path).axes) == 2
    for path in (tmp_path / "fig6/tinytweets").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "mining": None}))
    assert len(grids.fig6(folder=tmp_path).axes) == 1


def test_what_reads_higher_is_said_to(tmp_path):
    """Only leaks that lift F1 are called detectable differences; the estimate stands beside them."""
    invented_results(tmp_path, better=("leak-80",))
    drawn = text_of(grids.protocol(folder=tmp_path))
    assert "2 of 7 differences are detectable" in drawn and "epoch chosen by test" in drawn
    assert drawn.count(" higher ") == 2
    clean = np.mean([run.f1 for run in load_results("protocol", folder=tmp_path)["clean"]])
    assert f"{0.8 * (100 - 100 * clean):+5.1f}" in drawn
    found = grids.inflation(folder=tmp_path)
    assert found["clean, by_test"].difference == 0 and found["leak-80, by_dev"].low > 0


def test_the_text_rows_stand_beside_the_papers(tmp_path):
    invented_results(tmp_path)
    figure = grids.table2_text(tmp_path)
    drawn = text_of(figure)
    assert all(name in drawn for name in ("Twitter-2015", "Twitter-2017", "BERT-BiLSTM-CRF", "a-small-encoder"))
    diamonds = [
        [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D" and len(line.get_xdata()) == 1]
        for ax in figure.axes
    ]
    assert diamonds == [[64.42, 67.15, 71.32, 71.81, 72.27], [76.31, 79.37, 82.95, 83.44, 83.93]]


@pytest.mark.parametrize("name", ["table3", "fig6", "fig7", "fig8", "protocol", "switches"])
def test_one_missing_result_is_named_in_the_figures_place(name, tmp_path):
    invented_results(tmp_path)
    row = GRIDS[name].rows[1].name
    result_path(tmp_path, name, row, 1).unlink()
    told = text_of(getattr(grids, name)(folder=tmp_path))
    assert "1 run is missing" in told and f"{row}-s1" in told and f"sweep {name}" in told
