"""A notebook of one's own that opens the inspectors on a trained model: `mgips inspect RUN`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mgips.files import write_atomically
from mgips.model.mgips import MGIPS

INTRODUCTION = """\
# {name}

The inspectors for one trained model. Run the cells from the top (▶▶ in JupyterLab, or Shift+Enter for each). They read the
posts of `split`; another split of the same corpus: change its name and run the cells again."""
SETUP = """\
import mgips
from mgips.lab import widgets

run, split = {run!r}, "test"
model = mgips.load(run)
corpus = mgips.load_corpus({corpus!r}, {root!r})"""
CELLS: tuple[tuple[str, str, Callable[[MGIPS], Any]], ...] = (
    ("Which pictures are mined for which posts", "widgets.inspect_pairs(model, corpus, split)", lambda m: m.image_head),
    ("What attends to what", "widgets.inspect_attention(model, corpus.splits[split])", lambda m: m.image_embedding),
    ("What the MGEs weigh", "widgets.inspect_mge(model, corpus.splits[split])", lambda m: m.interweave),
    (
        "Another picture under the same words",
        'widgets.inspect_swap({"this model": model}, corpus.splits[split])',
        lambda m: m.image_embedding,
    ),
    ("Where entities lie", "widgets.inspect_tsne(model, corpus, split)", lambda m: m),
)
"""A heading, the call under it, and the part that a model must have for it."""


def write_inspection(path: Path, run: str | Path, model: MGIPS, corpus: str, root: str | Path | None = None) -> None:
    """Write a notebook with the inspectors that fit a model.

    Args:
        path: where it goes.
        run: where the model is.
        corpus: name or place of the posts.
        root: where the Twitter folders are.

    Raises:
        DataError: it cannot be written.
    """
    setup = SETUP.format(run=str(run), corpus=corpus, root=None if root is None else str(root))
    cells = [new_markdown_cell(INTRODUCTION.format(name=Path(run).name)), new_code_cell(setup)]
    for title, call, part in CELLS:
        if part(model) is not None:
            cells += [new_markdown_cell(f"## {title}"), new_code_cell(call)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    write_atomically(path, nbformat.writes(new_notebook(cells=cells, metadata={"kernelspec": kernel})).encode())
