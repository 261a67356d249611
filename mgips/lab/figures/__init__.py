"""The figures of the repository and of its notebooks: `make figures`."""

from __future__ import annotations

import base64
import html
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

    titles = [figure.get_suptitle(), *(ax.get_title(place) for ax in figure.axes for place in ("left", "center"))]
    if not any(titles) or not alt.strip():
        raise ValueError("Give the figure a title that says what it shows, and an alternative text.")
    show_png(as_png(figure, dpi=110, colours=256), alt)
    plt.close(figure)


def show_png(picture: bytes, alt: str) -> None:
    """Show a PNG in a notebook, with an alternative text.

    JupyterLab and nbconvert know of one in HTML only; other readers of notebooks want the picture by itself.
    """
    from IPython.display import display

    image = f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}" alt="{html.escape(alt)}">'
    bundle = {"text/html": image, "image/png": picture, "text/plain": alt}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def as_png(figure: Figure, dpi: int, colours: int | None = None, limit: int | None = None) -> bytes:
    """A figure as PNG.

    Args:
        colours: at most so many colours, which makes it less than half as large.
        limit: in fewer colours and then smaller until it has at most so many bytes.
    """
    from PIL import Image, ImageOps

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    if colours is None and (limit is None or len(buffer.getvalue()) <= limit):
        return buffer.getvalue()
    whole = Image.open(buffer).convert("RGB")
    for share in (1, 0.8, 0.64, 0.5, 0.4, 0.3, 0.2):
        buffer = io.BytesIO()
        smaller = whole if share == 1 else ImageOps.scale(whole, share, Image.Resampling.LANCZOS)
        smaller.quantize(colours or 128).save(buffer, format="PNG", optimize=True)
        if limit is None or len(buffer.getvalue()) <= limit:
            break
    return buffer.getvalue()
