"""The notebooks in a real JupyterLab and a real Chromium: they run from top to bottom, and their inspectors work.

    python -m pytest -m browser tests/browser

Each test opens a copy of a notebook and runs all of its cells. The inspectors are used in the other files here.
"""

import json
import platform
import sys

import pytest
from pages import LOOK, ROOT, command, expect, finish

INSPECTORS = {
    "00_tour": "mgips-swap",
    "03_mutual_attention": "mgips-attention",
    "04_interweave": "mgips-mge",
    "06_pair_mining": "mgips-pairs",
    "07_training": "mgips-steps",
    "10_cases": "mgips-swap",
    "11_entity_vectors": "mgips-tsne",
    "16_your_posts": "mgips-swap",
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


ANSWERS = {
    "return ...": "○ Not yet answered.",
    "return torch.zeros(len(start))": "✗ The shape is not right",
    "return (start + emissions.sum(0) + end).logsumexp(0)": "✗",
    "a = start + emissions[0]\n    for e in emissions[1:]:\n"
    "        a = torch.logsumexp(a[:, None] + transitions, 0) + e\n    return torch.logsumexp(a + end, 0)": "✓ Right.",
}
"""What a reader may write into the forward algorithm, and how the check begins to answer."""


def test_an_exercise_is_filled_in_wrongly_and_rightly(opened):
    page = opened("05_crf")
    for body, answer in ANSWERS.items():
        code = (
            f"import torch\ndef forward(emissions, transitions, start, end):\n    {body}\n"
            'lessons.check("crf.forward", forward)'
        )
        page.evaluate(
            """code => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                const at = notebook.widgets.findIndex(cell => cell.model.sharedModel.source.includes('"crf.forward"'));
                notebook.activeCellIndex = at;
                notebook.widgets[at].model.sharedModel.source = code;
            }""",
            code,
        )
        command(page, "notebook:run-cell", LOOK)
        expect(page.locator(".jp-Notebook .jp-Cell.jp-mod-active .jp-OutputArea-output")).to_contain_text(
            answer, timeout=LOOK
        )


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
    # Plotly draws pictures of its own; until its script is there, its output is a picture, too.
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-OutputArea-output img')]"
        ".every(picture => picture.alt.length >= 15 || picture.closest('.js-plotly-plot'))",
        timeout=LOOK,
    )
