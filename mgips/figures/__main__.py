"""`python -m mgips.figures FOLDER`: draw every figure that needs no results of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

from mgips.figures import style
from mgips.figures.architecture import architecture

FIGURES = {"architecture": architecture}


def main(folder: Path) -> None:
    """Write each figure as PNG and SVG."""
    matplotlib.use("agg")
    style.use()
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        figure = draw()
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "figures"))
