"""The figures of the repository and of its notebooks: `make figures`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show(figure: Figure, alt: str) -> None:
    """Show a figure in a notebook, and close it. `alt` is what a reader who cannot see the picture should know about it.

    Raises:
        ValueError: a figure without a title, or an empty `alt`.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    titles = [figure.get_suptitle(), *(ax.get_title(place) for ax in figure.axes for place in ("left", "center"))]
    if not any(titles) or not alt.strip():
        raise ValueError("Give the figure a title that says what it shows, and an alternative text.")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    display({"image/png": picture.getvalue(), "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})
    plt.close(figure)
