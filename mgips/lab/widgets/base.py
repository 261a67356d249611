"""What the inspectors share: controls, errors that show, one page of a figure, and a picture where no widgets run."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import math
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ipywidgets as widgets
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, TransformedBbox

from mgips.data.batch import Batch, TweetDataset
from mgips.data.corpus import Tweet
from mgips.errors import ConfigError, MGIPSError
from mgips.lab.figures import as_png, show_png, style
from mgips.lab.figures.text import fitted, flow, printable, text_width
from mgips.lab.widgets.html import render
from mgips.lab.widgets.parts import Range, View
from mgips.model.mgips import MGIPS, READS_NOTHING, Output
from mgips.model.pretrained import weights_hash
from mgips.model.reading import Pool
from mgips.model.shipped import load
from mgips.run import Run

Result = TypeVar("Result")
Inspected = MGIPS | Run | str | Path
"""What the inspectors take: a model, a run, or the folder or name of either."""

FALLBACK_BYTES = 150_000
"""Largest picture that replaces a widget in a saved notebook."""

PIXELS = 100
"""Of a figure on the page, to the inch."""
PATIENCE = 0.3
"""Seconds of work between two words about it; what takes less is not spoken of."""
KEPT = "A picture of the inspector as it was first shown. Run this cell for its controls."
"""What stands below the picture where there is no kernel."""

USE_ARROWS = "Click the slider or tab to it; then the left and right arrow keys"
"""How a tooltip begins: a slider takes the arrow keys once it has the focus."""


def under_test() -> bool:
    """Whether errors are raised besides being shown: under pytest, or where $MGIPS_TEST is set."""
    return bool(os.environ.get("MGIPS_TEST") or os.environ.get("PYTEST_CURRENT_TEST"))


class Button(widgets.Button):
    """A button with one handler, whose errors reach the caller of `click`: ipywidgets' own dispatcher swallows them."""

    def __init__(self, press: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self.click = press


def control(kind: Callable[..., widgets.DOMWidget], name: str, width: str = "", label: str = "", **options: Any) -> Any:
    """A widget with the CSS class `mgips-<name>`, and the CSS widths of the widget and of its description.

    By default the widths are the theme's. The result is Any because ipywidgets does not type its values.
    """
    if width:
        options["layout"] = {"width": width}
    if label:
        options["style"] = {"description_width": label}
    widget = kind(**options)
    widget.add_class(f"mgips-{name}")
    return widget


def slider(name: str, width: str, **options: Any) -> Range:
    """A slider over whole numbers, or over the places that `names` names. Its value changes when it is released."""
    return control(Range, name, width, **options)


def post_slider(count: int) -> Range:
    """A slider over posts, counted from 1."""
    tooltip = f"{USE_ARROWS} go from post to post"
    return slider("position", "330px", description="Post", tooltip=tooltip, min=1, max=count)


def asked_on_the_page() -> bool:
    """Whether the kernel is answering a control that somebody uses, not running a cell."""
    try:
        from IPython.core.getipython import get_ipython

        kernel = getattr(get_ipython(), "kernel", None)
        return kernel is not None and kernel.get_parent("shell")["header"]["msg_type"] == "comm_msg"
    except (ImportError, LookupError, TypeError):
        return False


class Inspector(widgets.VBox):
    """Controls and views, one below the other, with a line for errors at the end.

    A subclass builds its parts, wraps what they call with `guard` or `on_change`, and hands them to `arrange`. It says
    what to draw in `draw` and `describe`.
    """

    def __init__(self, css_class: str) -> None:
        super().__init__()
        self.add_class(css_class)
        self.add_class("mgips-inspector")
        self.error = control(widgets.HTML, "error", layout={"display": "none"})
        """The last error, in red; hidden where there is none."""
        self.doing = control(widgets.HTML, "doing")
        """How far something is that takes long; beside it a button to give it up."""
        cancel = control(Button, "cancel", "auto", press=self.cancel, description="Cancel")
        wrap = {"display": "none", "flex_flow": "row wrap", "align_items": "center"}
        self._progress_row = widgets.Box([self.doing, cancel], layout=wrap)
        self._task: asyncio.Task[None] | None = None
        self._setting = False

    def arrange(self, *parts: widgets.Widget | Sequence[widgets.Widget]) -> None:
        """Show these below each other, a sequence of controls as a row that wraps; then the lines for progress, errors."""
        wrap = {"flex_flow": "row wrap", "align_items": "center"}
        rows = [part if isinstance(part, widgets.Widget) else widgets.Box(list(part), layout=wrap) for part in parts]
        self.children = [*rows, self._progress_row, self.error]

    def guard(self, callback: Callable[[], None]) -> Callable[..., None]:
        """`callback` as a handler for any event: its errors show in the inspector, and are raised under test."""

        @functools.wraps(callback)
        def handler(*_: Any) -> None:
            if self._setting:  # the inspector itself moves the control
                return
            self.error.layout.display, self.error.value = "none", ""
            with self.errors_shown():
                callback()

        return handler

    def on_change(self, callback: Callable[[], None], *controls: widgets.Widget) -> None:
        """Call `callback`, guarded, whenever one of these controls gets another value."""
        for changing in controls:
            changing.observe(self.guard(callback), "value")

    @contextlib.contextmanager
    def setting(self) -> Iterator[None]:
        """Inside this context, controls change without calling their handlers."""
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before

    @contextlib.contextmanager
    def errors_shown(self) -> Iterator[None]:
        """Errors inside this context go into their line; under test they are raised as well."""
        try:
            yield
        except Exception as error:
            message = str(error) if isinstance(error, MGIPSError) else f"{type(error).__name__}: {error}"
            self.error.value = render("error", message=message)
            self.error.layout.display = None
            if under_test():
                raise

    def picture(self) -> Figure:
        """What the inspector shows now, as a figure whose title says what is seen."""
        with look():
            return self.draw()

    def draw(self) -> Figure:
        """Draw `picture`; called with the look of the repository's figures."""
        raise NotImplementedError

    def describe(self) -> str:
        """The same in a sentence, for those who cannot see it."""
        raise NotImplementedError

    # ---- what takes long ----

    def work(self, what: str, steps: Iterable[float], then: Callable[[], None]) -> None:
        """Do what takes long step by step, and call `then`.

        Asked for on the page, it goes on beside the kernel's other work: what it does, how long it will take and a
        button to give it up show, and what was begun before is given up. Asked for from Python, it is done when this
        returns.

        Args:
            what: "mining 4,800 texts".
            steps: a generator that does a part, yields the share that is done, in [0, 1], and so on.
        """
        self._stop()
        if not asked_on_the_page():
            with self._undone():
                for _ in steps:
                    pass
                then()
            return
        self._task = asyncio.get_running_loop().create_task(self._work(what, steps, then))

    @property
    def working(self) -> bool:
        """Whether something goes on that `work` has begun."""
        return self._task is not None

    def cancel(self) -> None:
        """Give up what `work` has begun; nothing that is shown changes."""
        if self.working:
            self._stop()
            self.undo()

    def undo(self) -> None:
        """Put the controls back to what is shown; they asked for what was given up, or went wrong."""

    @contextlib.contextmanager
    def _undone(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.undo()
            raise

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._progress_row.layout.display = "none"

    async def _work(self, what: str, steps: Iterable[float], then: Callable[[], None]) -> None:
        started = told = time.perf_counter()
        task = asyncio.current_task()
        try:
            with self.errors_shown(), self._undone():
                for share in steps:
                    now = time.perf_counter()
                    if now - told > PATIENCE:
                        told, left = now, (now - started) * (1 / share - 1) if share > 0 else None
                        self.doing.value = render("doing", what=what, share=share, left=left)
                        self._progress_row.layout.display = "flex"
                    await asyncio.sleep(0)
                then()
        finally:
            if isinstance(steps, Generator):
                steps.close()
            if self._task is task:
                self._task = None
                self._progress_row.layout.display = "none"

    # ---- the page ----

    def as_html(self) -> str:
        """`picture` as HTML, with `describe` as its alternative text, and with what can be picked on it."""
        figure = self.picture()
        hits = figure.hits if isinstance(figure, Page) else []
        groups: dict[str, list[Hit]] = {}
        for hit in hits:
            groups.setdefault(hit.group, []).append(hit)
        return render("picture", picture=png(figure), alt=self.describe(), groups=groups)

    def leave(self) -> None:
        """Show what stays in a saved notebook: the picture of now."""
        show_png(png(self.picture(), limit=FALLBACK_BYTES), self.describe())

    def _ipython_display_(self, **_: Any) -> None:
        """Show the inspector, and leave what a reader sees where it has no kernel: a picture and a sentence.

        These are outputs of their own in front of the widget. On JupyterLab's pages a style in the second one hides
        both while the inspector lives, and hides the "model not found" that would otherwise stand in its place.
        """
        left = False
        with self.errors_shown():  # without the picture, the widget itself can still be shown
            self.leave()
            left = True
        show_behind(super()._repr_mimebundle_(), left)


def show_behind(bundle: Any, left: bool = True) -> None:
    """Show a widget; where a picture was `left` in front of it, behind the sentence that stays with that picture."""
    from IPython.display import display

    if left:
        display({"text/html": str(render("kept", kept=KEPT)), "text/plain": KEPT}, raw=True)
    data = bundle[0] if isinstance(bundle, tuple) else bundle  # anywidget gives metadata too
    display({**data, "text/plain": "(controls)"}, raw=True)


class ModelInspector(Inspector):
    """An inspector that runs a model on one post and draws the result. A subclass makes its controls and calls `begin`."""

    def __init__(
        self, css_class: str, model: MGIPS, tweets: Sequence[Tweet], pool: Pool | Sequence[Tweet] | None = None
    ) -> None:
        """
        Args:
            pool: what a model that reads may read, see `pool_of`; the pictures of `tweets` by default.

        Raises:
            ConfigError: no posts.
        """
        super().__init__(css_class)
        if not tweets:
            raise ConfigError("There are no posts to inspect; give at least one.")
        self.model, self.tweets = model, tuple(tweets)
        self.pool = functools.cache(lambda model: pool_of(model, pool, self.tweets))
        """What one of the models may read."""
        self._forward = functools.lru_cache(16)(self._run)  # 12 x 12 heads of 40 + 148 positions: 20 MB a post
        self.post = post_slider(len(self.tweets))
        self.post.add_class("mgips-post")
        self.view = control(View, "view", "100%", picked=self._picked)
        """The picture, and what can be picked on it."""

    @property
    def selected(self) -> Tweet:
        """The post that is shown."""
        return self.tweets[self.post.value - 1]

    def select(self, post: str | int) -> None:
        """Show a post, by its id or its place; a ConfigError says that there is none."""
        self.post.value = find(self.tweets, post) + 1

    def begin(self, *rows: Sequence[widgets.Widget]) -> None:
        """Put the controls, in rows, above the picture, and draw the first post."""
        self.on_change(self.redraw, *itertools.chain(*rows))
        self.arrange(*rows, self.view)
        self.redraw()

    def pick(self, what: str) -> None:
        """Do what a click on a place of the picture asks for: the `pick` of a `Page.hit`."""

    def _picked(self, what: str) -> None:
        self.guard(lambda: self.pick(what))()

    def adapt(self) -> None:
        """Make the controls fit the post and each other. Where they do, nothing changes."""

    def redraw(self) -> None:
        """Draw the picture again."""
        with self.setting():
            self.adapt()
        self.view.value = self.as_html()

    def computed(self, place: int | None = None, model: MGIPS | None = None) -> tuple[Batch, Output]:
        """The shown post as a batch of one (on the CPU), and the model's output for it (on the model's device).

        Args:
            place: another post's.
            model: another one. It reads nothing: the pool is for the inspected model.
        """
        return self._forward(self.post.value - 1 if place is None else place, self.model if model is None else model)

    def _run(self, place: int, model: MGIPS) -> tuple[Batch, Output]:
        batch = model.batcher([self.tweets[place]])
        reads = {"pool": self.pool(model)} if model is self.model else {"read_batch": False}
        with model.evaluating():
            return batch, model(batch.to(model.device), attention=True, **reads)

    def pieces(self) -> list[str]:
        """The n word pieces of the shown post, as they can be printed."""
        ids = self.computed()[0].pieces[0].tolist()
        return [printable(piece) for piece in self.model.batcher.tokenizer.convert_ids_to_tokens(ids)]


def in_thread(call: Callable[[], Result], share: Callable[[], float]) -> Generator[float, None, Result]:
    """A call that has no steps of its own, as steps for `Inspector.work`: it runs in a thread, and its result is returned.

    Given up, it runs to its end all the same; nobody hears of it.

    Args:
        share: how far it is, in [0, 1].
    """
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    while wait([future], timeout=0.005).not_done:
        yield share()
    return future.result()


@dataclass(frozen=True)
class Hit:
    """A place on a page that can be picked, in percent of the page from its upper left corner."""

    pick: str
    says: str
    group: str
    left: float
    top: float
    width: float
    height: float
    pressed: bool


class Page(Figure):
    """A white figure under a title, measured in inches from its lower left corner.

    pyplot does not know it, so nothing needs closing. Nothing written on it is read as mathematics. The title, `points`
    large and `top` below the upper edge, is cut to the page. `margin` is kept left and right of it, and right of texts.
    """

    def __init__(
        self, width: float, height: float, title: str, margin: float, top: float = 0.1, points: float = 11, **text: Any
    ) -> None:
        super().__init__(figsize=(width, height), facecolor="white")
        self.margin = margin
        self.hits: list[Hit] = []
        """The places that can be picked."""
        text.update(x=margin / width, y=1 - top / height, ha="left", va="top")
        self.suptitle(fitted(title, width - 2 * margin, points), fontsize=points, parse_math=False, **text)

    def write(self, x: float, y: float, line: str, points: float = 9, room: float = math.inf, **text: Any) -> None:
        """Write a line, cut to `room` and to the page."""
        width, height = self.get_size_inches()
        line = fitted(line, min(room, width - self.margin - x), points)
        self.text(x / width, y / height, line, fontsize=points, parse_math=False, **text)

    def passage(self, x: float, top: float, width: float, height: float, text: str, points: float = 8) -> None:
        """Write a text from its upper left corner on, on as many lines of `width` as `height` has room for."""
        wide, high = self.get_size_inches()
        step, gap = points / 50, text_width("n n", points) - text_width("nn", points)
        words = [fitted(word, width, points) for word in text.split()]
        places = flow([text_width(word, points) / 0.96 for word in words], [gap] * len(words), width)
        lines: dict[int, list[str]] = {}
        for word, (_, line) in zip(words, places, strict=True):
            lines.setdefault(line, []).append(word)
        room = int(height / step)
        shown = [" ".join(line) for line in lines.values()][:room]
        if len(lines) > room:
            shown[-1] += " …"
        for number, line in enumerate(shown):
            at = x / wide, (top - points / 72 - step * number) / high
            self.text(*at, fitted(line, width, points), fontsize=points, parse_math=False)

    def hit(
        self, x: float, y: float, width: float, height: float, pick: str, says: str, group: str, pressed: bool = False
    ) -> None:
        """A place that can be picked, (x, y) being its lower left corner.

        Args:
            pick: what `ModelInspector.pick` is then told.
            says: shows when the mouse is over it, and is its name for a screen reader.
            group: names those among which the arrow keys move: "Words".
            pressed: whether it is the one that is picked now.
        """
        wide, high = (float(x) for x in self.get_size_inches())
        place = 100 * x / wide, 100 * (1 - (y + height) / high), 100 * width / wide, 100 * height / high
        self.hits.append(Hit(pick, says, group, *place, pressed))

    def fill(self, boxes: Iterable[tuple[float, float, float, float, Any]]) -> None:
        """Fill boxes behind texts: left, bottom, width, height and colour of each. Far faster than axes with bars."""
        drawn = [(Rectangle((x, y), width, height), colour) for x, y, width, height, colour in boxes]
        if drawn:
            shapes, colours = zip(*drawn, strict=True)
            look = {"facecolors": colours, "linewidths": 0, "transform": self.dpi_scale_trans, "zorder": 0}
            self.add_artist(PatchCollection(shapes, **look))

    def paint(self, x: float, top: float, pixels: np.ndarray) -> None:
        """Put (height, width, 3) uint8 behind texts, `PIXELS` to the inch, from its upper left corner on."""
        height, width = len(pixels) / PIXELS, pixels.shape[1] / PIXELS
        place = TransformedBbox(Bbox.from_bounds(x, top - height, width, height), self.dpi_scale_trans)
        image = BboxImage(place, interpolation="nearest")
        image.set_data(pixels)
        self.add_artist(image)

    def outline(self, x: float, y: float, width: float, height: float) -> None:
        """Mark what is chosen: a black line with white around it, (x, y) being the lower left corner."""
        for colour, line in (("white", 4), ("black", 2)):
            edge = {"ec": colour, "lw": line, "transform": self.dpi_scale_trans}
            self.add_artist(Rectangle((x, y), width, height, fill=False, **edge))

    def panel(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes without ticks and lines, for a picture; (x, y) is their lower left corner."""
        wide, high = self.get_size_inches()
        axes = self.add_axes((x / wide, y / high, width / wide, height / high))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes


@contextlib.contextmanager
def look() -> Iterator[None]:
    """The look of the repository's figures, for as long as a figure is being drawn."""
    with matplotlib.rc_context():
        style.use()
        yield


def png(figure: Figure, limit: int | None = None) -> bytes:
    """A figure as PNG, in the look of the repository's figures; `limit` as in `as_png`."""
    with look():
        return as_png(figure, dpi=PIXELS, limit=limit)


def tint(hue: str, strength: np.ndarray | float) -> np.ndarray:
    """White at 0, `hue` from 1 on: (..., 3) in [0, 1]."""
    return 1 - np.clip(strength, 0, 1)[..., None] * (1 - np.array(to_rgb(hue)))


def loaded(model: Inspected) -> MGIPS:
    """A model as it is, a run's, or the one of a folder or a name, such as that of a model which comes with the package.

    Raises:
        RunError: a folder or name without a model.
    """
    if isinstance(model, MGIPS):
        return model
    return model.model if isinstance(model, Run) else load(model)


def pool_of(model: MGIPS, pool: Pool | Sequence[Tweet] | None, posts: Sequence[Tweet] | TweetDataset) -> Pool | None:
    """What a model may read: `pool`, or the pictures of `posts` where that is None; None for a model that reads none.

    Args:
        pool: one that the model has built, or posts to build one from.

    Raises:
        ConfigError: a pool for a model that does not read, or one that other weights have built.
    """
    if pool is None:
        return model.pool(posts) if model.reader is not None else None
    if not isinstance(pool, Pool):
        return model.pool(pool)
    if model.reader is None:
        raise ConfigError(READS_NOTHING)
    if pool.weights != weights_hash(model):
        raise ConfigError("This pool was built with other weights; build it with model.pool(posts).")
    return pool.to(model.device)


def find(tweets: Sequence[Tweet], wanted: str | int) -> int:
    """The place of a post by its id, or by its place.

    Raises:
        ConfigError: there is none.
    """
    ids = [tweet.id for tweet in tweets]
    place = ids.index(wanted) if wanted in ids else wanted
    if isinstance(place, str) or not 0 <= place < len(ids):
        raise ConfigError(f"There is no post {wanted!r} among these {len(ids)}; give an id, or a place counted from 0.")
    return int(place)
