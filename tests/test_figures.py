"""The repository's figures: drawn by code, the same each time, nothing outside the page."""

import itertools
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from builders import assert_apart_on_the_page, save_result, text_of
from matplotlib.text import Text

from mgips.data.tinytweets.posts import tinytweets
from mgips.data.tinytweets.truth import oracle
from mgips.errors import DataError
from mgips.lab.figures import dials, grids, reading, style
from mgips.lab.figures.__main__ import FIGURES, main
from mgips.lab.grids import GRIDS
from mgips.lab.pools import POOLS
from mgips.lab.results import load_results, result_path
from mgips.lab.stats import paired_bootstrap


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


def invented_results(folder, spoil=(), better=(), names=tuple(GRIDS)):
    """Every run of some grids, with invented counts; rows in `spoil` find half as much, those in `better` more.

    A name in either may also be "ROW/POOL", for what a row's runs find with a pool, and "ROW/seen" or "ROW/unseen".
    """
    for grid in (GRIDS[name] for name in names):
        corpora = ("twitter2015", "twitter2017") if grid.name in ("table2-text", "captions") else ("tinytweets",)
        for corpus, row in itertools.product(corpora, grid.rows):
            for seed in row.seeds or grid.seeds:
                gold = np.random.RandomState(seed).randint(1, 4, 80)

                def counts(name, gold=gold, seed=seed, normal=0.8):
                    share = 0.4 if name in spoil else 0.95 if name in better else normal
                    return np.stack([np.random.RandomState(seed).binomial(gold, share), gold, gold], 1)

                found = counts(row.name)
                measured = {
                    "changes": {"text_encoder": "a-small-encoder"},
                    "by_test": {name: {"counts": found.tolist()} for name in ("by_dev", "by_test")},
                    "mining": {"others": 0.2, "others_chance": 0.07, "at_one_chance": 0.06, "at_one_attainable": 0.6},
                    "counts": found.tolist(),
                }
                if "pools" in row.collect:
                    usual = 0.4 if row.name in spoil else 0.95 if row.name in better else 0.8
                    read = {"size": 284, "pictures": 3.1, "nothing": 0.1, "mass": 0.81, "at_one": 0.77}
                    measured["pools"] = {
                        pool: {**read, "counts": counts(f"{row.name}/{pool}", normal=usual).tolist()} for pool in POOLS
                    }
                if "visible" in row.collect:
                    groups = {group: counts(f"{row.name}/{group}")[:, [0, 2]].tolist() for group in ("seen", "unseen")}
                    measured["visible"] = groups
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


def title_of(figure):
    return "\n".join([figure.get_suptitle(), *(ax.get_title("left") for ax in figure.axes)])


def all_labels(figure):
    titles = [figure.get_suptitle(), *(ax.get_title("left") for ax in figure.axes)]
    shown = figure.findobj(lambda artist: isinstance(artist, Text) and bool(artist.get_text()))
    return [text for text in shown if text.get_text() in titles or any(text in ax.texts for ax in figure.axes)]


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ({"better": ("sparsemax",)}, "Reading other posts' pictures lifts F1 by"),
        ({"spoil": ("sparsemax",)}, "Reading other posts' pictures lowers F1 by"),
        ({}, "Reading other posts' pictures makes no detectable difference to F1 (+0.0 [+0.0, +0.0])"),
    ],
)
def test_what_reading_gains_is_said_beside_the_ceilings_and_what_was_read(planted, told, tmp_path):
    style.use()
    invented_results(tmp_path, names=("reads",), **planted)
    figure = reading.reading(folder=tmp_path)
    assert told in title_of(figure) and ("none hurt" in title_of(figure)) == ("spoil" not in planted)
    drawn = text_of(figure)
    columns = [text.get_text() for text in figure.axes[0].texts]
    assert columns.count("3.1") == columns.count("81 %") == columns.count("77 %") == 6 and "10 % by chance" in drawn
    best = [oracle(tinytweets(seed, (64, 300, 300)).test) for seed in range(5)]
    for name, value in (("own picture, at best", "own_image"), ("day's pictures, at best", "mined")):
        mean = 100 * np.mean([ceiling[value] for ceiling in best])
        assert f"{name} {mean:.1f}" in drawn
        assert any(line.get_xdata()[0] == pytest.approx(mean) for line in figure.axes[0].lines)
    assert_apart_on_the_page(figure, all_labels(figure))


def test_a_difference_that_does_not_hold_after_correction_is_not_said_to(tmp_path):
    """Of one comparison p = .03 would do; of seven it does not."""
    row = reading.Difference(0.02, 0.001, 0.04, 0.03)
    others = dict.fromkeys("abcdef", reading.NOTHING)
    assert "1 helps" in grids.summary(reading.settled({"row": row}))
    assert "none help" in grids.summary(reading.settled({"row": row, **others}))
    assert reading.finding("It", row, 0.03) == "It lifts F1 by 2.0 points [+0.1, +4.0]"
    assert reading.finding("It", row, 0.21) == "It makes no detectable difference to F1 (+2.0 [+0.1, +4.0])"


def test_pools_are_compared_with_the_days_on_the_same_posts(tmp_path):
    style.use()
    good = ("sparsemax", *(f"sparsemax/{pool}" for pool in POOLS))
    invented_results(tmp_path, names=("reads",), better=good[:5] + good[6:], spoil=("softmax/mean",))
    runs = load_results("reads", folder=tmp_path)["sparsemax"]
    day, others = ([np.array(run.record["pools"][pool]["counts"]) for run in runs] for pool in ("day", "others"))
    found = reading.pool_differences(runs)
    assert [*found] == [name for name in POOLS if name != "day"]
    assert found["others"] == paired_bootstrap(day, others) and found["split"] == reading.NOTHING
    figure = reading.pools(folder=tmp_path)
    whole, both, nothing = title_of(figure).strip().split("\n")
    assert whole.startswith("The whole split as pool makes no detectable difference")
    assert "training split" in both and "makes no detectable difference" in both
    assert nothing.startswith("A pool without anything relevant") and "compared with own pictures only" in nothing
    drawn = text_of(figure)
    own = grids.compare("reads", folder=tmp_path)["sparsemax"].difference
    assert f"own picture only {-100 * own:+.1f}" in drawn and "softmax" in drawn
    assert_apart_on_the_page(figure, all_labels(figure))


def test_controls_are_compared_with_the_model_that_reads(tmp_path):
    style.use()
    invented_results(tmp_path, names=("reads", "reads-controls"), spoil=("no-time",))
    figure = reading.reading_controls(folder=tmp_path)
    told = title_of(figure)
    assert "Of 12 changes 1 hurts, none help, 11 make no detectable difference" in told
    assert "Lowest: without time lowers F1 by" in told and "own picture only +0.0" in text_of(figure)
    assert_apart_on_the_page(figure, all_labels(figure))


def test_the_map_of_reading_says_where_it_pays_and_brackets_the_rest(tmp_path):
    style.use()
    invented_results(
        tmp_path, names=("reads", "reads-dials"), better=("reads-0.6-2", "reads-0.1-4"), spoil=("own-0.6-2",)
    )
    for path in (tmp_path / "reads-dials/tinytweets").glob("*-0.338-4-s*.json"):
        path.unlink()  # then the runs of "reads" stand there
    for path in (tmp_path / "reads/tinytweets").glob("sparsemax-s*.json"):
        record = json.loads(path.read_text())
        record["counts"] = [[0, *rest] for _, *rest in record["counts"]]
        record["test"] = {"f1": 0.0}
        path.write_text(json.dumps(record))
    figure = dials.reading_dials(folder=tmp_path)
    assert "Reading pays at 2 of 9 points; most, +" in title_of(figure)
    assert "with 60 % unrelated\npictures and 2 posts a story" in title_of(figure)
    numbers = [text.get_text() for text in figure.axes[0].texts][::2]
    assert len(numbers) == 9 and numbers.count("(+0.0)") == 6
    fallen = numbers[[*dials.STORIES["unrelated"]].index(0.338) * 3 + 2]
    assert fallen.startswith("-") and "Not yet run" not in text_of(figure)
    assert figure.axes[0].images[0].get_array()[2, 1] == pytest.approx(float(numbers[7]), abs=0.06)
    assert text_of(figure).count("possible +0.0") == 3, "with one post a story there is no other picture to read"
    assert_apart_on_the_page(figure, all_labels(figure))


def test_the_maps_of_the_parts_say_at_how_many_points_each_pays(tmp_path):
    style.use()
    spoiled = ("no-mgi-0.7-1", "text-0-0", "text-0-0.5", "full-0.338-0")
    invented_results(tmp_path, names=("parts-dials",), spoil=spoiled)
    figure = dials.parts_dials(folder=tmp_path)
    told = title_of(figure)
    assert "interweave at 1 of 9 (hurts at 1), IPS-CL at none of 9 (hurts at 1), pictures at 2 of 9" in told
    assert "what pictures are worth" in told and len(figure.axes) == 3
    assert_apart_on_the_page(figure, all_labels(figure))


def test_captions_are_compared_with_the_own_one_and_seen_entities_apart(tmp_path):
    style.use()
    invented_results(tmp_path, names=("captions",), spoil=("reads/unseen", "text"))
    figure = reading.captions("twitter2015", tmp_path)
    told = title_of(figure)
    assert "Twitter-2015: reading other posts' captions makes no detectable difference" in told and "1 hurts" in told
    upper, lower = ([text.get_text() for text in ax.texts] for ax in figure.axes)
    assert sum("lower" in text for text in upper) == sum("lower" in text for text in lower) == 1
    assert "unseen: reads captions" in [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert_apart_on_the_page(figure, all_labels(figure))
    for path in (tmp_path / "captions/twitter2015").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "visible": None}))
    assert len(reading.captions("twitter2015", tmp_path).axes) == 1


def test_two_parts_that_replace_each_other_are_said_to_depend_on_each_other(tmp_path):
    invented_results(tmp_path / "a", names=("neither", "table3"), spoil=("neither",))
    told = title_of(dials.two_by_two(folder=tmp_path / "a"))
    assert "Interweave makes no detectable difference to F1 (+0.0 [+0.0, +0.0]) with mutual attention" in told
    assert "interweave lifts F1 by" in told and "they depend on each other: -" in told
    invented_results(tmp_path / "b", names=("neither", "table3"))
    assert "no detectable interaction: +0.0" in title_of(dials.two_by_two(folder=tmp_path / "b"))


def test_half_a_grid_is_drawn_and_its_gaps_are_named(tmp_path):
    invented_results(tmp_path, names=("reads", "reads-dials"), better=("sparsemax",))
    for row in ("softmax", "top3"):
        for seed in range(5):
            result_path(tmp_path, "reads", row, seed).unlink()
    figure = reading.reading(folder=tmp_path)
    assert "lifts F1" in title_of(figure) and "Of 5 changes" in title_of(figure)
    assert "Not yet run: 10 of this grid (softmax-s0" in text_of(figure) and "mgips sweep reads" in text_of(figure)
    for seed in range(3):
        result_path(tmp_path, "reads-dials", "own-0.6-1", seed).unlink()
    assert "of 8 points" in title_of(dials.reading_dials(folder=tmp_path))
    for seed in range(5):
        result_path(tmp_path, "reads", "own", seed).unlink()
    assert "15 runs are missing" in title_of(reading.reading(folder=tmp_path))


def test_runs_that_lack_what_a_figure_draws_are_named(tmp_path):
    invented_results(tmp_path, names=("reads",))
    for path in (tmp_path / "reads/tinytweets").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "pools": None}))
    with pytest.raises(DataError, match="reads lack what this figure draws"):
        reading.pools(folder=tmp_path)


@pytest.mark.parametrize("sizes", [(96, 40, 50), (320, 40, 50)])
def test_the_ceilings_of_a_run_do_not_need_its_training_posts(sizes):
    drawn = {"sizes": sizes, "unrelated": 0.5}
    run = reading.Result("own", 3, 0.0, np.zeros((1, 3)), {"drawn": drawn})
    assert reading.ceilings([run]) == pytest.approx(oracle(tinytweets(3, **drawn).test))
