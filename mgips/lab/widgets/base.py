"""What the inspectors share: errors that show, buttons that do not swallow them, a picture to fall back on."""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ipywidgets as widgets
import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from mgips.data.batch import Batch
from mgips.data.corpus import Tweet
from mgips.errors import ConfigError, MGIPSError
from mgips.lab.figures import style
from mgips.lab.figures.text import printable
from mgips.model.mgips import MGIPS, Output

KEPT = 64
"""Posts whose forward pass an inspector remembers."""

FALLBACK_BYTES = 150_000
"""Largest picture that stands in for a widget in a saved notebook."""


def under_test() -> bool:
    """Whether errors are raised besides being shown: under pytest, or where $MGIPS_TEST is set."""
    return bool(os.environ.get("MGIPS_TEST") or os.environ.get("PYTEST_CURRENT_TEST"))


class Button(widgets.Button):
    """A button with one handler, whose errors reach the caller of `click`: ipywidgets' own dispatcher swallows them."""

    def __init__(self, press: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._press = press

    def click(self) -> None:
        """Press it."""
        self._press()


class Inspector(widgets.VBox):
    """Controls and views, one below the other, with a line for errors at the end.

    A subclass builds its parts, wraps what they call with `guard`, and hands them to `arrange`.
    """

    def __init__(self, css_class: str) -> None:
        super().__init__()
        self.add_class(css_class)
        self.error = widgets.HTML(layout=widgets.Layout(display="none"))
        """The last error, in red; hidden where there is none."""
        self.error.add_class("mgips-error")
        self._setting = False

    def arrange(self, parts: Sequence[widgets.Widget]) -> None:
        """Show these, and the line for errors."""
        self.children = [*parts, self.error]

    def guard(self, callback: Callable[[], None]) -> Callable[..., None]:
        """`callback` as a handler for any event: its errors show in the inspector, and are raised under test."""

        @functools.wraps(callback)
        def handler(*_: Any) -> None:
            if self._setting:  # the inspector itself moves the control
                return
            try:
                callback()
            except Exception as error:
                self.show_error(error)
                if under_test():
                    raise
            else:
                self.show_error(None)

        return handler

    @contextlib.contextmanager
    def setting(self) -> Iterator[None]:
        """While it lasts, a control that changes calls nobody."""
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before

    def show_error(self, error: Exception | None) -> None:
        """Put an error into its line, or clear it."""
        if error is None:
            self.error.layout.display, self.error.value = "none", ""
            return
        told = str(error) if isinstance(error, MGIPSError) else f"{type(error).__name__}: {error}"
        self.error.value = (
            f'<div role="alert" style="color:#B00020;line-height:1.4"><b>Error</b> {html.escape(told)}</div>'
        )
        self.error.layout.display = None

    def picture(self) -> Figure:
        """What the inspector shows now, as a figure whose title says what is seen."""
        raise NotImplementedError

    def describe(self) -> str:
        """The same in a sentence, for those who cannot see it."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> Any:
        data = super()._repr_mimebundle_(**options)
        told = self.describe()
        data["text/plain"] = told
        try:
            data["image/png"] = png(self.picture(), limit=FALLBACK_BYTES)
        except Exception as error:  # the widget itself can still be shown
            self.show_error(error)
            if under_test():
                raise
            return data
        return data, {"image/png": {"alt": told}}


class ModelInspector(Inspector):
    """An inspector that runs a model on one post and draws what it finds.

    A subclass fills `controls`, calls `begin`, and says what to draw in `picture` and `describe`.
    """

    def __init__(self, css_class: str, model: MGIPS, tweets: Sequence[Tweet]) -> None:
        super().__init__(css_class)
        if not tweets:
            raise ConfigError("There are no posts to inspect; give at least one.")
        self.model = model
        self.tweets = tuple(tweets)
        self._places = {tweet.id: place for place, tweet in enumerate(self.tweets)}
        self._seen: dict[int, tuple[Batch, Output]] = {}
        self.post = post_slider(len(self.tweets))
        self.post.add_class("mgips-post")
        self.post.observe(self.guard(self._move), "value")
        self.view = widgets.HTML(layout=widgets.Layout(width="100%"))
        """The picture."""
        self.view.add_class("mgips-view")

    @property
    def selected(self) -> Tweet:
        """The post that is shown."""
        return self.tweets[self.post.value - 1]

    def select(self, post: str | int) -> None:
        """Show a post, by its id or its place.

        Raises:
            ConfigError: there is no such post.
        """
        self.post.value = find(self.tweets, self._places, post) + 1

    def begin(self, rows: Sequence[Sequence[widgets.Widget]]) -> None:
        """Put the controls, in rows, above the picture, and draw the first post."""
        layout = {"flex_flow": "row wrap", "align_items": "center"}
        boxes = [widgets.Box(list(row), layout=widgets.Layout(**layout)) for row in rows]
        for row in rows:
            for control in row:
                if control is not self.post:
                    control.observe(self.guard(self.redraw), "value")
        self.arrange([*boxes, self.view])
        self._move()

    def _move(self) -> None:
        with self.setting():
            self.adapt()
        self.redraw()

    def adapt(self) -> None:
        """Make the controls fit the post."""

    def redraw(self) -> None:
        """Draw anew."""
        picture = base64.b64encode(png(self.picture())).decode()
        self.view.value = (
            f'<img src="data:image/png;base64,{picture}" alt="{html.escape(self.describe())}" style="max-width:100%">'
        )

    def computed(self) -> tuple[Batch, Output]:
        """The shown post as a batch of one (on the CPU), and the model's output for it (where the model is)."""
        place = self.post.value - 1
        if place not in self._seen:
            if len(self._seen) >= KEPT:
                self._seen.pop(next(iter(self._seen)))
            batch = self.model.batcher([self.selected])
            with self.model.evaluating():
                self._seen[place] = batch, self.model(batch.to(self.model.device), attention=True)
        return self._seen[place]

    def pieces(self) -> list[str]:
        """The n word pieces of the shown post, as they can be printed."""
        batch, _ = self.computed()
        return [printable(piece) for piece in self.model.batcher.tokenizer.convert_ids_to_tokens(batch.pieces[0])]


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; pyplot does not know it, so nothing needs closing."""
    return Figure(figsize=(width, height), facecolor="white")


@contextlib.contextmanager
def look() -> Iterator[None]:
    """The look of the repository's figures, for as long as a figure is being drawn."""
    with matplotlib.rc_context():
        style.use()
        yield


def png(drawn: Figure, dpi: int = 100, limit: int | None = None) -> bytes:
    """A figure as PNG; with `limit`, in fewer colours and then smaller until it has at most as many bytes."""
    with look():
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png", dpi=dpi)
    content = buffer.getvalue()
    if limit is None or len(content) <= limit:
        return content
    whole = Image.open(buffer).convert("RGB")
    for share in (1, 0.8, 0.64, 0.5, 0.4, 0.3, 0.2):
        size = max(1, round(whole.width * share)), max(1, round(whole.height * share))
        buffer = io.BytesIO()
        whole.resize(size, Image.Resampling.LANCZOS).quantize(128).save(buffer, format="PNG", optimize=True)
        content = buffer.getvalue()
        if len(content) <= limit:
            break
    return content


def post_slider(count: int) -> widgets.IntSlider:
    """A slider over posts, counted from 1. A slider takes the arrow keys once it has the focus."""
    slider = widgets.IntSlider(
        value=1,
        min=1,
        max=max(1, count),
        description="Post (← →)",
        continuous_update=False,
        tooltip="Click the slider or tab to it; then the left and right arrow keys go from post to post",
        layout=widgets.Layout(width="330px"),
        style={"description_width": "80px"},
    )
    slider.add_class("mgips-position")
    return slider


def find(tweets: Sequence[Tweet], places: dict[str, int], wanted: str | int) -> int:
    """The place of a post by its id, or by its place.

    Raises:
        ConfigError: there is none.
    """
    if isinstance(wanted, str):
        if wanted not in places:
            raise ConfigError(
                f"There is no post {wanted!r} among these {len(tweets)}; its id may belong to another split."
            )
        return places[wanted]
    if not 0 <= wanted < len(tweets):
        raise ConfigError(f"There is no post {wanted}; the {len(tweets)} posts are counted from 0.")
    return int(wanted)
