"""The repository's figures: drawn by code, the same each time, nothing outside the page."""

import matplotlib
import pytest

matplotlib.use("agg")

from mgips.figures import style  # noqa: E402
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
