"""The parts that ipywidgets lacks: a slider with the whole keyboard, HTML that can be clicked, a photo, a download.

Their page side is `parts.js`, one module for all. Each is built on what a browser has itself (`<input type=range>`,
`<button>`, `<input type=file>`, `<a download>`), so names, keys and focus are those that every screen reader knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

CHUNK = 400_000
"""Bytes of a download that travel at once: a Jupyter server drops what exceeds a megabyte a second."""
PHOTO_SIDE = 1600
"""Longest side of a photo that leaves the browser, in pixels; no encoder sees more."""
PHOTO_MIB = 50
"""Largest photo that is taken, in MiB."""


class Part(anywidget.AnyWidget):
    """One of the parts; `kind` names the function of `parts.js` that draws it."""

    _esm = Path(__file__).with_name("parts.js")
    _css = Path(__file__).with_name("parts.css")
    kind = traitlets.Unicode().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    """Its name, on the page and for screen readers."""
    tooltip = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)


class Range(Part):
    """A slider over whole numbers, or over named places. Its value changes when it is released or by a key."""

    kind = traitlets.Unicode("range").tag(sync=True)
    value = traitlets.Int(0).tag(sync=True)
    min = traitlets.Int(0).tag(sync=True)
    max = traitlets.Int(100).tag(sync=True)
    step = traitlets.Int(1).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """What is written for each value, from `min` on; the number where there is none."""
    circle = traitlets.Bool(False).tag(sync=True)
    """Whether the last value is the first one again, as 360° is 0°: the arrow keys then go on from there."""

    def __init__(self, **options: Any) -> None:
        if names := options.get("names"):
            options.setdefault("max", options.get("min", 0) + len(names) - 1)
        options.setdefault("value", options.get("min", 0))
        super().__init__(**options)

    @traitlets.validate("value")
    def _inside(self, proposal: Any) -> int:
        return max(self.min, min(self.max, proposal["value"]))

    @traitlets.observe("min", "max")
    def _clamp(self, _: Any) -> None:
        self.value = max(self.min, min(self.max, self.value))

    def offer(self, names: list[str], value: int = 0) -> None:
        """Other named places, and the one to be at. Where these are the names of now, nothing changes."""
        if names != self.names:
            with self.hold_trait_notifications():
                self.names, self.max = names, self.min + len(names) - 1
                self.value = value

    @property
    def label(self) -> str:
        """What is written for the value."""
        place = self.value - self.min
        return self.names[place] if place < len(self.names) else str(self.value)


class View(Part):
    """HTML, of which each element with `data-pick` can be picked by mouse and by keyboard.

    Elements to be picked are best `<button>`s. Inside an element with `data-roving` the arrow keys go from one to the
    next, and the tab key leaves; the one in `aria-pressed="true"` is where it enters. An element with `data-box` is an
    area, such as a picture: a click tells its place, and a drag a box. Focus stays at an element of the same `data-pick`
    when the HTML changes. What comes from a post must be escaped; `mgips.lab.widgets.html.render` does it.
    """

    kind = traitlets.Unicode("view").tag(sync=True)
    value = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        picked: Callable[[str], None] | None = None,
        boxed: Callable[[str, float, float, float, float], None] | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            picked: is called with the `data-pick` of what was picked.
            boxed: is called with the `data-box` of an area, and left, top, right and bottom in it, each in [0, 1]; of a
                click, right is left and bottom is top.
        """
        super().__init__(**options)
        self.picked, self.boxed = picked, boxed
        self.on_msg(self._hear)

    def _hear(self, _: Any, message: dict[str, Any], __: Any) -> None:
        if "pick" in message and self.picked is not None:
            self.picked(str(message["pick"]))
        if "box" in message and self.boxed is not None:
            self.boxed(str(message["area"]), *(min(1.0, max(0.0, float(x))) for x in message["box"]))


class Field(Part):
    """A line to type in. `value` follows when it is left; the enter key submits what stands there, to the last letter.

    ipywidgets' own `Text` may tell of the enter key before it tells of the last letters.
    """

    kind = traitlets.Unicode("field").tag(sync=True)
    value = traitlets.Unicode().tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)

    def __init__(self, submitted: Callable[[], None], **options: Any) -> None:
        """
        Args:
            submitted: is called after the enter key; `value` is then what was typed.
        """
        super().__init__(**options)
        self.submitted = submitted
        self.on_msg(self._hear)

    def _hear(self, _: Any, message: dict[str, Any], __: Any) -> None:
        if "submit" in message:
            self.value = str(message["submit"])
            self.submitted()


class Photo(Part):
    """A button that takes a photo from the reader's disk. The browser makes it smaller, so that any photo can travel."""

    kind = traitlets.Unicode("photo").tag(sync=True)
    side = traitlets.Int(PHOTO_SIDE).tag(sync=True)
    mib = traitlets.Int(PHOTO_MIB).tag(sync=True)

    def __init__(self, taken: Callable[[str, bytes], None], refused: Callable[[str], None], **options: Any) -> None:
        """
        Args:
            taken: is called with the photo's file name and content.
            refused: is called with a sentence, where a file is too large.
        """
        super().__init__(**options)
        self.taken, self.refused = taken, refused
        self.on_msg(self._hear)

    def _hear(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        name = str(message.get("name", "the photo"))
        if "size" in message:
            size = float(message["size"]) / 2**20
            self.refused(f"{name} has {size:,.0f} MiB; choose a picture of at most {self.mib} MiB.")
        elif buffers:
            self.taken(name, bytes(buffers[0]))


class Download(Part):
    """A button that gives the reader a file, through the browser: nothing is written where the kernel runs."""

    kind = traitlets.Unicode("download").tag(sync=True)

    def __init__(self, make: Callable[[], tuple[str, bytes] | None], **options: Any) -> None:
        """
        Args:
            make: gives the file's name and content when the button is pressed; None where there is none.
        """
        super().__init__(**options)
        self.make = make
        self._content = b""
        self.on_msg(self._hear)

    def click(self) -> None:
        """What a press does: make the file, and send its first part."""
        if (made := self.make()) is not None:
            name, self._content = made
            self._give(0, file_name(name))

    def _give(self, at: int, name: str = "") -> None:
        told = {"name": name, "at": at, "of": len(self._content)}
        self.send(told, buffers=[self._content[at : at + CHUNK]])

    def _hear(self, _: Any, message: dict[str, Any], __: Any) -> None:
        if message.get("press"):
            self.click()
        elif 0 < (at := int(message.get("next", 0))) < len(self._content):
            self._give(at)


def file_name(name: str) -> str:
    """A name that every file system takes: other characters become a hyphen, and of a long one the end is kept.

    >>> file_name("tweets 2017/test, wrong.csv")
    'tweets-2017-test-wrong.csv'
    """
    name = re.sub(r"[^\w.+=]+", "-", name)[-120:]
    return name.encode()[-240:].decode(errors="ignore").strip("-.") or "file"  # most take 255 bytes
