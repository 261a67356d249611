"""`python -m mgips.figures FOLDER`: draw every figure, from the result files that are committed."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from mgips.figures import style
from mgips.figures.architecture import architecture
from mgips.figures.grids import fig6, fig7, fig8, table3

FIGURES = {
    "architecture": architecture,
    "table3_ablation": table3,
    "figure6_positives": fig6,
    "figure7_interweave_encoders": fig7,
    "figure8_training_data": fig8,
}


def main(folder: Path) -> None:
    """Write each figure as PNG and SVG."""
    matplotlib.use("agg")
    style.use()
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        figure = draw()
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "figures"))
