"""`python -m mgips.lab.figures FOLDER`: draw every figure from the committed result files."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import matplotlib

from mgips.errors import MGIPSError
from mgips.lab.figures import style
from mgips.lab.figures.architecture import architecture
from mgips.lab.figures.cases import fig9, fig10
from mgips.lab.figures.dials import parts_dials, reading_dials, two_by_two
from mgips.lab.figures.grids import fig6, fig7, fig8, protocol, switches, table2_text, table3
from mgips.lab.figures.mining import fig5
from mgips.lab.figures.probe import fig_probe
from mgips.lab.figures.reading import captions, pools, reading, reading_controls
from mgips.lab.figures.shared import write
from mgips.lab.figures.tsne import fig11, fig11_html

FIGURES = {
    "architecture": architecture,
    "table2_text_rows": table2_text,
    "table3_ablation": table3,
    "figure5_relevance": fig5,
    "figure6_positives": fig6,
    "figure7_interweave_encoders": fig7,
    "figure8_training_data": fig8,
    "figure9_cases": fig9,
    "figure10_failure": fig10,
    "figure11_tsne": fig11,
    "probe_images": fig_probe,
    "protocol": protocol,
    "switches": switches,
    "reading": reading,
    "reading_pools": pools,
    "reading_controls": reading_controls,
    "reading_dials": reading_dials,
    "parts_dials": parts_dials,
    "two_by_two": two_by_two,
    "captions_twitter2017": partial(captions, "twitter2017"),
    "captions_twitter2015": partial(captions, "twitter2015"),
}


def main(folder: Path) -> None:
    """Write each figure as PNG and SVG, and the turning t-SNE as a page that works offline."""
    matplotlib.use("agg")
    style.use()
    for name, draw in FIGURES.items():
        write(draw(), folder, name)
        print(folder / f"{name}.png")
    turning = fig11_html()
    if turning is not None:
        turning.write_html(folder / "figure11_tsne.html", include_plotlyjs=True, div_id="tsne", auto_play=False)
        print(folder / "figure11_tsne.html")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "figures"))
    except MGIPSError as error:
        sys.exit(f"mgips: {error}")
