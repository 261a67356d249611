"""The notebooks in a real JupyterLab and a real Chromium: they run from top to bottom, and their inspectors work.

    python -m pytest -m browser tests/browser

Each test opens a copy of a notebook and runs all of its cells. The inspectors are used in the other files here.
"""

import json
import platform
import sys

import pytest
from pages import LOOK, ROOT, expect, finish

INSPECTORS = {
    "02_mutual_attention": "mgips-attention",
    "03_mge_row_column_weights": "mgips-mge",
    "05_pair_mining": "mgips-pairs",
    "06_training": "mgips-steps",
    "08_case_studies": "mgips-swap",
    "09_tsne_3d": "mgips-tsne",
}
"""The CSS class of the inspector in each notebook that has one."""

CELLS = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells, told = [];
    for (let i = 0; i < cells.length; i++) {
        const cell = cells.get(i);
        if (cell.type !== 'code') continue;
        const kinds = [];
        for (let j = 0; j < cell.outputs.length; j++) kinds.push(cell.outputs.get(j).type);
        told.push({count: cell.executionCount, kinds: kinds});
    }
    return told;
}"""


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("notebooks/*.ipynb")))
def test_it_runs_from_top_to_bottom(opened, name):
    page = opened(name)
    cells = page.evaluate(CELLS)
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("error" in cell["kinds"] for cell in cells)
    wide = page.locator(".jp-Notebook .jp-OutputArea-output img").evaluate_all(
        "all => all.map(picture => picture.getBoundingClientRect().right)"
    )
    assert all(right <= 1440 for right in wide)
    if name in INSPECTORS:
        inspector = page.locator(f".{INSPECTORS[name]}").first
        inspector.scroll_into_view_if_needed()
        expect(inspector.locator("img").first).to_be_visible(timeout=LOOK)
        finish(inspector)


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("notebooks/*.ipynb")))
def test_opening_it_changes_nothing_and_every_picture_has_a_description(opened, lab, name):
    path = lab[1] / f"{name}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    # JupyterLab writes the kernel's language there when it is another one, a Python of another version for example
    notebook["metadata"]["language_info"] = {
        "codemirror_mode": {"name": "ipython", "version": sys.version_info[0]},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": f"ipython{sys.version_info[0]}",
        "version": platform.python_version(),
    }
    path.write_text(json.dumps(notebook), encoding="utf-8")
    page = opened(name, run=False)
    page.wait_for_timeout(1500)
    assert not page.evaluate("window.jupyterapp.shell.currentWidget.context.model.dirty")
    pictures = page.locator(".jp-OutputArea-output:not(.js-plotly-plot) img")
    assert pictures.evaluate_all("all => all.filter(picture => picture.alt.length < 15).length") == 0
