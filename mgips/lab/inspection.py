"""A notebook of one's own that opens the inspectors on a trained model: `mgips inspect RUN`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mgips.errors import DataError
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
    ("Which pictures are mined for which posts", "widgets.inspect_pairs(run, corpus, split)", lambda m: m.image_head),
    ("What attends to what", "widgets.inspect_attention(model, corpus.splits[split])", lambda m: m.image_embedding),
    ("What the MGEs weigh", "widgets.inspect_mge(model, corpus.splits[split])", lambda m: m.interweave),
    (
        "Another picture under the same words",
        "widgets.inspect_swap(run, corpus.splits[split])",
        lambda m: m.image_embedding,
    ),
    ("Where entities lie", "widgets.inspect_tsne(model, corpus, split)", lambda m: m),
)
"""A heading, the call under it, and the part that a model must have for it."""


def write_inspection(
    path: Path,
    run: str | Path,
    model: MGIPS,
    corpus: str,
    root: str | Path | None = None,
    mined: str | Path | None = None,
) -> bool:
    """Write a notebook with the inspectors that fit a model. One that is there is kept with its outputs where it is the
    same or was edited, and replaced where it was made for another run or corpus.

    Args:
        path: where it goes.
        run: where the model is.
        corpus: name or place of the posts.
        root: where the Twitter folders are.
        mined: what `mgips mine` has left of the test split, which is then not mined anew.

    Returns:
        Whether the notebook is now the one that was asked for; False for one that was edited.

    Raises:
        DataError: it cannot be written, or something else is there.
    """
    setup = SETUP.format(run=str(run), corpus=corpus, root=None if root is None else str(root))
    cells = [new_markdown_cell(INTRODUCTION.format(name=Path(run).name)), new_code_cell(setup)]
    for title, call, part in CELLS:
        if part(model) is not None:
            if mined is not None and title == CELLS[0][0]:
                call = f"{call.removesuffix(')')}, mined={str(mined)!r})"
            cells += [new_markdown_cell(f"## {title}"), new_code_cell(call)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    notebook.metadata["mgips"] = {"written": _hash(notebook)}
    if path.exists():
        try:
            there = nbformat.read(path, as_version=4)
            now = _hash(there)
        except Exception as error:  # nbformat raises many kinds
            raise DataError(f"{path} is not a notebook that can be read; name another file with --out.") from error
        if now == notebook.metadata["mgips"]["written"]:
            return True
        if now != there.metadata.get("mgips", {}).get("written"):
            return False
    write_atomically(path, nbformat.writes(notebook).encode())
    return True


def _hash(notebook: nbformat.NotebookNode) -> str:
    """SHA-256 over what stands in the cells, without the empty ones that JupyterLab adds at the end."""
    return hashlib.sha256(repr([cell.source for cell in notebook.cells if cell.source.strip()]).encode()).hexdigest()
