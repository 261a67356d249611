"""The explorer in JupyterLab: the page of `mgips explorer` as a widget, computed in the browser, without the kernel."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import anywidget
from PIL import Image

from mgips.data.corpus import Corpus, Tweet
from mgips.lab.explorer.build import named, page, page_script, page_style
from mgips.lab.figures import show_png
from mgips.lab.widgets.base import Inspected, loaded, show_behind
from mgips.lab.widgets.parts import CHUNK

KEPT_SIDE = 480
"""Longer side of the picture that stays in a notebook, in pixels."""


class Explorer(anywidget.AnyWidget):
    """The page. Its files go there on request, part by part, so that they are in no saved notebook: what stays there is a
    picture and a sentence.
    """

    _esm = page_script()
    _css = page_style()

    def __init__(self, data: dict[str, bytes]) -> None:
        """
        Args:
            data: the files of the page by name.
        """
        super().__init__()
        self.data = data
        self.add_class("mgips-inspector")
        self.on_msg(self._hear)

    def _hear(self, _: Any, message: dict[str, Any], __: Any) -> None:
        name, at = str(message.get("name")), int(message.get("at", 0))
        if (content := self.data.get(name)) is not None:
            told = {"name": name, "at": at, "of": len(content)}
            self.send(told, buffers=[content[at : at + CHUNK]])

    def _ipython_display_(self, **_: Any) -> None:
        """Show the page, behind what a reader sees who has no kernel."""
        with Image.open(io.BytesIO(self.data["pictures.webp"])) as sheet:
            file, small = io.BytesIO(), sheet.convert("RGB")
            small.thumbnail((KEPT_SIDE, KEPT_SIDE))
            small.quantize(64).save(file, "PNG", optimize=True)
        show_png(file.getvalue(), "The pictures of the posts that the explorer shows.")
        show_behind(super()._repr_mimebundle_())


def explore(
    run: Inspected | Sequence[Inspected], corpus: Corpus | Sequence[Tweet], day: str | None = None, split: str = "test"
) -> Explorer:
    """A page on which a post can be changed while the real model answers.

    Args:
        run: a model, a run, or the folder or name of either; or up to three of them that are compared.
        corpus: whose posts are shown, or posts. One day of them, or the first 32 where they are in no days.
        day: which one; otherwise the one with the clearest post that only a picture decides.
        split: of a corpus.

    Raises:
        ConfigError: no model or more than three, a setting that the explorer does not compute, or no such day.
        DataError: no posts, or more than a page holds.
        RunError: no model there.
    """
    runs = run if isinstance(run, Sequence) and not isinstance(run, str) else [run]
    posts = corpus.splits[split] if isinstance(corpus, Corpus) else corpus
    return Explorer(page(named([loaded(one) for one in runs]), posts, day).data)
