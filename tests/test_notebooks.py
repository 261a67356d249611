"""Committed notebooks: executed in order, complete, small, pictures with alternative text, no traces of a machine."""

import copy
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MACHINE = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|work|Users|usr|opt|var|mnt)/[\w.-]+|[A-Z]:\\\\Users|ipykernel_\d+")
WIDGET = "application/vnd.jupyter.widget-view+json"


def problems(book: dict) -> list[str]:
    """What is wrong with a notebook, one line each."""
    faults = []
    if "widgets" in book["metadata"]:
        faults.append("widget state is saved")
    cells = book["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in code]
    if counts != list(range(1, len(code) + 1)):
        faults.append(f"cells were not run once each, in order: {counts}")
    if not any(cell["outputs"] for cell in code):
        faults.append("there are no outputs")
    if any(re.search(r"^\s*[!%]?\s*pip install", "".join(cell["source"]), re.M) for cell in code):
        faults.append("a cell installs something")
    if any(re.search(r"^class \w+\(.*Module\)", "".join(cell["source"]), re.M) for cell in code):
        faults.append("a module is defined a second time; import it from mgips")
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        for alt in re.findall(r"!\[([^\]]*)\]\(", source if cell["cell_type"] == "markdown" else ""):
            if len(alt) < 10:
                faults.append(f"cell {number}: a picture in the text has no alternative text")
        outputs = cell.get("outputs", [])
        if MACHINE.search(json.dumps([source, outputs], ensure_ascii=False)):
            faults.append(f"cell {number}: names a machine's path")
        shows = re.search(r"^\s*(show\(|print\()", source, re.M) and not re.search(r"^(def|interact)", source, re.M)
        if shows and not outputs:
            faults.append(f"cell {number}: its output is missing")
        for output in outputs:
            if output["output_type"] == "error":
                faults.append(f"cell {number}: an error is committed")
            if output.get("name") == "stderr":
                faults.append(f"cell {number}: a warning or a progress bar is committed")
            data = output.get("data", {})
            if WIDGET in data:
                faults.append(f"cell {number}: a widget without its state is committed")
            if "image/png" in data:
                alt = "".join(data.get("text/plain", ""))
                if len(alt) < 10 or alt.startswith("<"):
                    faults.append(f"cell {number}: a picture has no alternative text")
    return faults


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def test_nothing_is_wrong_with_it(notebook):
    assert problems(json.loads(notebook.read_text(encoding="utf-8"))) == []


def test_it_is_small_and_shows_pictures(notebook):
    assert notebook.stat().st_size < 1_500_000
    book = json.loads(notebook.read_text(encoding="utf-8"))
    assert sum("image/png" in o.get("data", {}) for c in book["cells"] for o in c.get("outputs", [])) >= 3


GOOD = {
    "metadata": {},
    "cells": [
        {"cell_type": "markdown", "source": ["![A picture of it.](a.png)"]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "source": ["print(1)"],
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["1\n"]},
                {"output_type": "display_data", "data": {"image/png": "iVBO", "text/plain": ["A line that rises."]}},
            ],
        },
    ],
}
BREAKS = {
    "widget state": lambda b: b["metadata"].update(widgets={}),
    "in order": lambda b: b["cells"][1].update(execution_count=7),
    "no outputs": lambda b: b["cells"][1].update(outputs=[]),
    "installs": lambda b: b["cells"][1].update(source=["!pip install mgips"]),
    "second time": lambda b: b["cells"][1].update(source=["class CRF(nn.Module):\n", "    x = 1"]),
    "picture in the text": lambda b: b["cells"][0].update(source=["![](a.png)"]),
    "machine's path": lambda b: b["cells"][1]["outputs"][0].update(text=["/home/" + "ann/x.py"]),
    "an error": lambda b: b["cells"][1]["outputs"].append({"output_type": "error"}),
    "progress bar": lambda b: b["cells"][1]["outputs"][0].update(name="stderr"),
    "without its state": lambda b: b["cells"][1]["outputs"][1]["data"].update({WIDGET: {}}),
    "no alternative text": lambda b: b["cells"][1]["outputs"][1]["data"].update({"text/plain": ["<Figure>"]}),
    "output is missing": lambda b: b["cells"].append(
        {"cell_type": "code", "execution_count": 2, "source": ["print(2)"], "outputs": []}
    ),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_each_fault_is_seen(fault):
    assert problems(GOOD) == []
    book = copy.deepcopy(GOOD)
    BREAKS[fault](book)
    assert any(fault in line for line in problems(book))
