"""The repository's figures: drawn by code, the same each time, nothing outside the page."""

import json

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

matplotlib.use("agg")

from mgips.evaluate import counts_f1  # noqa: E402
from mgips.experiments import GRIDS, result_path  # noqa: E402
from mgips.figures import grids, style  # noqa: E402
from mgips.figures.__main__ import FIGURES, main  # noqa: E402


@pytest.mark.parametrize("name", FIGURES)
def test_every_label_lies_on_the_page_and_on_no_other(name):
    style.use()
    figure = FIGURES[name]()
    figure.canvas.draw()
    page = figure.bbox
    texts = [t for ax in figure.axes for t in ax.texts if t.get_text()]
    boxes = [t.get_window_extent() for t in texts]
    for text, box in zip(texts, boxes, strict=True):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()
    for i, a in enumerate(boxes):
        for j in range(i):
            assert not a.overlaps(boxes[j]), (texts[i].get_text(), texts[j].get_text())


def test_the_files_are_written_and_do_not_change_from_one_time_to_the_next(tmp_path):
    for place in ("a", "b"):
        main(tmp_path / place)
    for name in FIGURES:
        for ending in ("png", "svg"):
            a, b = ((tmp_path / place / f"{name}.{ending}").read_bytes() for place in "ab")
            assert a == b and len(a) > 10_000


def invented_results(folder, spoil=()):
    """Every run of every grid, with invented counts; rows in `spoil` find half as much."""
    for grid in GRIDS.values():
        for row in grid.rows:
            for seed in grid.seeds:
                rng = np.random.RandomState(seed)
                gold = rng.randint(1, 4, 80)
                right = rng.binomial(gold, 0.4 if row.name in spoil else 0.8)
                counts = np.stack([right, gold, gold], 1)
                record = {
                    "row": row.name,
                    "label": row.label,
                    "seed": seed,
                    "preset": "tiny",
                    "corpus": {"name": "tinytweets"},
                    "train": {"epochs": 8, "batch_size": 32},
                    "device": {"name": "a CPU"},
                    "mining": {"others": 0.2, "others_chance": 0.07},
                    "test": {"f1": float(counts_f1(counts))},
                    "counts": counts.tolist(),
                }
                path = result_path(folder, grid.name, row.name, seed)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(record))


def words(figure):
    return " ".join(t.get_text() for t in figure.findobj(Text))


def test_what_hurts_is_said_to_hurt(tmp_path):
    invented_results(tmp_path, spoil=("no-mgi", "k1", "text-100"))
    table = words(grids.table3(folder=tmp_path))
    assert "1 hurts" in table and table.count("hurts") >= 2 and "seeds 0-4" in table
    assert "K = 1 hurts" in words(grids.fig6(folder=tmp_path))
    assert "K = 2 hurts" not in words(grids.fig6(folder=tmp_path))
    assert "Against L = 1" in words(grids.fig7(folder=tmp_path))
    assert "with all" in words(grids.fig8(folder=tmp_path))


@pytest.mark.parametrize("name", ["table3", "fig6", "fig7", "fig8"])
def test_one_missing_result_is_named_in_the_figures_place(name, tmp_path):
    invented_results(tmp_path)
    row = GRIDS[name].rows[1].name
    result_path(tmp_path, name, row, 1).unlink()
    told = words(getattr(grids, name)(folder=tmp_path))
    assert "1 runs are missing" in told and f"{row}-s1" in told and f"sweep {name}" in told
