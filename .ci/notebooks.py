"""Execute notebooks in place, and keep only what a hosted page can show: `python .ci/notebooks.py [NOTEBOOK ...]`."""

import json
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
TIMEOUT = 600
"""Seconds a cell may take."""


def kept(output: dict) -> bool:
    """Drops widget views, and outputs that hold nothing else; progress bars and warnings."""
    data = output.get("data", {})
    is_widget = data.pop(WIDGET, None) is not None
    return output.get("name") != "stderr" and not (is_widget and set(data) <= {"text/plain"})


def execute(path: Path) -> None:
    """Run a notebook from top to bottom in its folder. An error is raised, and the file stays as it was."""
    book = nbformat.read(path, as_version=4)
    metadata = {key: book.metadata[key] for key in ("kernelspec", "language_info")}
    NotebookClient(
        book, timeout=TIMEOUT, coalesce_streams=True, resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    book.metadata = metadata
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if kept(output)]
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("MGIPS_DATA", None)
    for path in map(Path, sys.argv[1:] or sorted(FOLDER.glob("*.ipynb"))):
        started = time.monotonic()
        execute(path)
        print(f"{path.name}: {time.monotonic() - started:.0f} seconds", flush=True)
