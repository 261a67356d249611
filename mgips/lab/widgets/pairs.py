"""The pair inspector: a post, its own image, and the K images of other posts that the model mines for its text."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from mgips.config import TrainConfig
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Picture, Tweet
from mgips.data.pictures import open_picture
from mgips.data.spans import Span
from mgips.errors import ConfigError, DataError
from mgips.files import write_atomically
from mgips.lab.figures import show, style
from mgips.lab.figures.text import fitted
from mgips.lab.mined import (
    ANY,
    FOUND,
    ORDERS,
    OWN_IMAGE,
    SEEN,
    SPLIT,
    UNTAGGED,
    Filter,
    MinedPosts,
    Pictures,
    Row,
    Source,
    Tags,
    predicted_and_read,
    sources,
    within,
)
from mgips.lab.widgets.base import (
    Button,
    Inspected,
    Inspector,
    Page,
    control,
    find,
    loaded,
    look,
    png,
    pool_of,
    post_slider,
    slider,
)
from mgips.lab.widgets.html import GOOD, INK, PALE, Thumbnails, marked, render, shortened, smaller, thumbnail, tinted
from mgips.lab.widgets.parts import Download, Field, Photo, View, file_name
from mgips.mining import K_MAX, MINES_NOTHING, MinedFolder, mine_dataset
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool
from mgips.run import Run, read_record

if TYPE_CHECKING:
    from pandas import DataFrame

POST, GRID, HUBS = "Post", "Grid", "Hubs"
PAGE = 24
"""Posts of a page of the grid."""
MOST_HUBS = 48
"""Hubs that are shown."""
MANY = 24
"""More thumbnails than this are made step by step, so that the page stays free."""
COMPACT = 48
"""More cards than this are small ones."""
PHOTO = 672
"""Longer side of a photo that is kept, in pixels."""
YOURS = "your post"
"""The id of a post that was typed in."""


def inspect_pairs(
    model_or_run: Inspected,
    corpus: Corpus,
    split: str = "test",
    k: int | None = None,
    k_max: int = K_MAX,
    progress: bool = True,
    pool: Pool | Sequence[Tweet] | None = None,
    mined: MinedFolder | str | Path | None = None,
    other: Inspected | None = None,
    pictures: str | Path | None = None,
    tags: str | Path | None = None,
) -> PairInspector:
    """Mine a split of a corpus and look at the mined images.

    A post's own image stands apart, and K others are shown beside it. For a model that reads the images are ranked by
    relevance and time together, as it does itself, and each comes with the weight with which it is read.

    Args:
        model_or_run: a model, a finished run, or the folder or name of either, as `mgips.load` takes them. The mined
            images are kept in a run's folder, where the next call finds them.
        k: K to start with; the model's by default.
        k_max: the largest K on the slider.
        pool: what a model that reads may read, a pool or posts to build one from; by default the split's own pictures.
            The images shown are the split's, whatever is in the pool.
        mined: what `mgips mine` or `mine_into` has left of this very split, instead of mining it now. Only what is shown is
            read from there, unless a filter, an order or the hubs need all of it: no line sums up the whole split, and
            weights of reading are not shown. Of its K images of a text one may be the text's own; then K - 1 are shown.
        other: a second model, given as the first: what it mines and predicts is shown beside the first one's.
        pictures: a folder of pictures to mine from.
        tags: the file of the tags; by default one in the run's folder, or in the current one, named by corpus and split.

    Raises:
        ConfigError: a model that mines nothing, no such split or an empty one, a K below 1 or that the split cannot fill, a
            pool for a model that does not read or that other weights have built, a mined folder of as many texts as
            another split has, or a folder of pictures that is not there or empty.
        DataError: a mined folder that is not there, not finished or damaged; or tags that cannot be read.
        RunError: a folder or name without a model.
    """
    if k is not None and k < 1:
        raise ConfigError(f"k is {k}, but at least one image has to be shown; choose k from 1 on.")
    first, folder, batch_size = _prepared(model_or_run, corpus, split, k, k_max, progress, pool, mined)
    sides = [first]
    if other is not None:
        posts = None if isinstance(pool, Pool) else pool  # a pool serves the weights that it was built with
        sides.append(_prepared(other, corpus, split, k, k_max, progress, posts, second=True)[0])
        if sides[1].name == first.name:
            sides[1].name = f"other {first.name}"
    assert first.model is not None
    pools = sources(first.tweets, corpus.train, batch_size, pictures)
    if pictures is not None and first.captions:
        raise ConfigError("This model reads captions in place of pictures, and a folder of pictures has none.")
    if tags is None:
        tags = (folder or Path.cwd()) / file_name(f"pair-tags-{corpus.name}-{split}.json")
    k = first.model.config.k if k is None else k
    return PairInspector(sides, k, f"{corpus.name}-{split}", max(k, k_max), pools, Tags(tags))


def _prepared(
    model_or_run: Inspected,
    corpus: Corpus,
    split: str,
    k: int | None,
    k_max: int,
    progress: bool,
    pool: Pool | Sequence[Tweet] | None,
    mined: MinedFolder | str | Path | None = None,
    second: bool = False,
) -> tuple[MinedPosts, Path | None, int]:
    """What a model predicts and mines; the folder of its run, if it has one; and the size of its batches in training.

    The pool of a `second` model is that of the first, and left out where it reads none.
    """
    folder = data = None
    model, name = loaded(model_or_run), "model"
    if isinstance(model_or_run, Run):
        folder, data = model_or_run.folder, model_or_run.data.get(split)
    elif not isinstance(model_or_run, MGIPS):
        folder = Path(model_or_run) if Path(model_or_run).is_dir() else None
        name = Path(model_or_run).name
    name = folder.resolve().name if folder is not None else name
    if model.image_head is None:
        raise ConfigError(MINES_NOTHING)
    if split not in corpus.splits:
        raise ConfigError(f"There is no split {split!r}; the splits are {', '.join(corpus.splits)}.")
    tweets = corpus.splits[split]
    if not tweets:
        raise ConfigError(f"The {split} split of {corpus.name} is empty; there is nothing to inspect.")
    if data is None or data.tweets is not tweets:
        data = TweetDataset(tweets, model.batcher, progress)
    candidates = None
    if mined is None:
        k = model.config.k if k is None else k
        candidates = data.has_image | (model.config.mine_missing and model.reader is None)
        deep = max(k, min(max(k, k_max) + 1, int(candidates.sum())))  # one more, as one may be the text's own
        mining = mine_dataset(model, data, deep, folder, progress=progress)
    else:
        mining = mined if isinstance(mined, MinedFolder) else MinedFolder(mined)
        if len(mining) != len(tweets):
            raise ConfigError(
                f"{mining.folder} holds what was mined for {len(mining):,} texts, and the {split} split of {corpus.name} has "
                f"{len(tweets):,}; name the corpus and the split that were mined."
            )
    read_from = pool_of(model, None if second and model.reader is None else pool, data)
    predicted, read = predicted_and_read(model, data, read_from, weights=mined is None)
    size = TrainConfig.batch_size
    if folder is not None and (folder / "run.json").exists():
        size = read_record(folder / "run.json").get("train", {}).get("batch_size", size)
    about = {"name": name, "train": corpus.train, "model": model, "data": data, "pool": read_from}
    return MinedPosts(tweets, predicted, mining, candidates, read, **about), folder, size


def choice(name: str, width: str, label: str, description: str, options: Sequence[Any], tooltip: str) -> Any:
    """A list to choose from."""
    about = {"options": options, "description": description, "tooltip": tooltip}
    return control(widgets.Dropdown, name, width, label, **about)


def field(name: str, width: str, label: str, description: str, **options: Any) -> Any:
    """A line to type into."""
    return control(widgets.Text, name, width, label, description=description, **options)


class PairInspector(Inspector):
    """See `inspect_pairs`. The filters choose among the posts; `selected`, `mined` and `k` say what is shown."""

    def __init__(
        self,
        sides: Sequence[MinedPosts],
        k: int,
        name: str = "split",
        k_max: int | None = None,
        pools: dict[str, Source] | None = None,
        tags: Tags | None = None,
    ) -> None:
        """
        Args:
            sides: what one model, or each of two, predicts and mines for the same posts.
            name: the corpus's and the split's, for the names of files.
            k_max: the largest K; by default all that was mined.
            pools: what can be mined from besides the split.
            tags: posts cannot be tagged without them.
        """
        super().__init__("mgips-pairs")
        self.sides, self.name, self.tags = tuple(sides), name, tags
        self.tweets = self.sides[0].tweets
        deep = self.mining.k - (not isinstance(self.mining, MinedFolder))  # one may be the own image
        self._deepest = max(1, min(deep, k_max or deep))
        self._sources = pools if pools is not None and self.sides[0].model is not None else {SPLIT: self._source}
        self._shots = {SPLIT: Thumbnails(self.tweets)}
        self._at, self._mines = 0, None
        self._photo: Picture | None = None
        self._yours: list[Row] | None = None
        self._history: list[tuple[str, int, list[Row] | None, int | None]] = []
        self._lines: dict[tuple[int, bool, str], list[str]] = {}
        self._build(min(k, self._deepest))
        self._filter()

    # ---- from Python ----

    @property
    def selected(self) -> Tweet:
        """The post that is shown."""
        return self._row.tweet

    @property
    def mining(self) -> Any:
        """What was mined, its images as places in the pool: `Mined`, or a `MinedFolder`."""
        return self.sides[0].pictures.mining

    @property
    def predicted(self) -> list[list[Span]]:
        """The entities that the model predicts, for each post of the split."""
        return self.sides[0].predicted

    @property
    def read(self) -> Any:
        """What a model that reads has read (`mgips.lab.mined.Read`); None for others."""
        return self.sides[0].read

    @property
    def k(self) -> int:
        """K: the images shown. It can be set."""
        return self._k.value

    @k.setter
    def k(self, k: int) -> None:
        if not 1 <= k <= self._deepest:
            choices = f"choose k between 1 and {self._deepest}, or give inspect_pairs a larger k_max."
            raise ConfigError(f"k is {k}, but {self._deepest} images can be shown for each text; {choices}")
        self._k.value = k

    @property
    def mined(self) -> list[str]:
        """The ids of the posts whose images are shown, the best first."""
        return [self._posts[other].id for other, _ in self._row.images[: self.k]]

    @property
    def visible(self) -> list[str]:
        """The ids of the posts that pass the filters, sorted."""
        return [self.tweets[place].id for place in self._visible]

    def summary(self, k: int | None = None) -> list[str]:
        """The whole split in some lines, whatever the filters: is what was mined relevant, where that is known; hubs;
        what is read, by a model that reads; and what two models have in common.

        Args:
            k: K; the shown one by default.
        """
        k = k or self.k
        for _ in self._summing(k):
            pass
        return self._lines[self._lines_key(k)]

    def _lines_key(self, k: int) -> tuple[int, bool, str]:
        return k, self._own.value, self._source.name

    def _summing(self, k: int) -> Iterator[float]:
        """Sum up the split, once, yielding the share that is done."""
        if self._lines_key(k) in self._lines:
            return
        lines = []
        for number, side in enumerate(self.sides, 1):
            before = f"{side.name}: " if len(self.sides) > 1 else ""
            lines += [f"{before}{line}" for line in side.summary(k)]
            yield number / (len(self.sides) + 1)
        if len(self.sides) > 1 and all(side.at_hand for side in self.sides):
            first, second = self.sides
            same = sum(a == b for a, b in zip(first.predicted, second.predicted, strict=True))
            lines.append(
                f"{first.same_pairs(second, k):.0%} of the pairs of {first.name} are mined by {second.name} too, K = {k}; "
                f"{same:,} of {len(self.tweets):,} posts are predicted alike"
            )
        self._lines[self._lines_key(k)] = lines

    def select(self, post: str | int) -> None:
        """Show a post, by its id or its place in the split; a ConfigError says that there is none.

        Filters stay, whether it passes them or not.
        """
        self._open(find(self.tweets, post))

    def mine(self, text: str, photo: Picture | None = None) -> list[str]:
        """Mine images for a text of one's own, show them, and give the ids of their posts.

        Args:
            photo: a file, the bytes of one, or a PIL image.

        Raises:
            DataError: a text without words, or a photo that cannot be read.
        """
        with self.setting():
            self._text.value = text
        self._photo = None if photo is None else _reduced(photo)
        self._mine_yours()
        return self.mined

    def to_frame(self) -> DataFrame:
        """The posts that pass the filters as a table: a row for each post and each of its K images.

        Columns: id, rank (from 1), mined (id), score, own (whether it is the post's own image), relevant (None where
        that is not known), tags (with "; " between them); weight, with which it is read, for a model that reads; and
        model, where there are two.
        """
        import pandas as pd

        tables = []
        for side in self.sides:
            posts, own = side.pictures.source.posts, side.pictures.source.own
            rows, places = [], []
            for place in self._visible:
                for rank, (other, score) in enumerate(side.row(place).images[: self.k], 1):
                    tweet = self.tweets[place]
                    fits, tags = side.relevant(tweet, other), "; ".join(self._tags_of(tweet))
                    rows.append((tweet.id, rank, posts[other].id, score, own and other == place, fits, tags))
                    places.append(place)
            table = pd.DataFrame(rows, columns=["id", "rank", "mined", "score", "own", "relevant", "tags"])
            if side.read is not None:
                table["weight"] = side.read.weights(places, table["mined"].tolist())
            if len(self.sides) > 1:
                table["model"] = side.name
            tables.append(table)
        return pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]

    def to_csv(self, path: str | Path, overwrite: bool = False) -> Path:
        """`to_frame` as a CSV file in UTF-8.

        Raises:
            DataError: the file is there already, or cannot be written.
        """
        return _written(path, self._csv, overwrite)

    def to_html(self, path: str | Path, limit: int = 100, overwrite: bool = False) -> Path:
        """A page of the first `limit` posts that pass the filters: one file with its pictures inside, no scripts.

        Raises:
            DataError: the file is there already, or cannot be written.
        """
        return _written(path, lambda: self._page(limit), overwrite)

    def _csv(self) -> bytes:
        return self.to_frame().to_csv(index=False, lineterminator="\n").encode()

    def _page(self, limit: int = 100) -> bytes:
        places = self._visible[:limit]
        title = f"K = {self.k} images mined for {len(places)} of {len(self.tweets):,} posts of {self.name}"
        sections = []
        for place in places:
            rows = [side.row(place) for side in self.sides]
            sections.append((self._post(rows), self._side_views(rows)))
        return f"{render('page', title=title, summary=self.summary(), sections=sections)}\n".encode()

    @look()
    def static(self, count: int = 6, k: int | None = None) -> Figure:
        """A contact sheet: `count` posts from the shown one on, the images of each below its text: its own and the K best.

        Args:
            k: images for each post; K by default, and at most 8.
        """
        side = self.sides[0]
        k = min(self.k if k is None else k, self._deepest, 8)
        later = self._visible[self._visible.index(self._at) :] if self._at in self._visible else []
        places = list(dict.fromkeys([self._at, *later, *self._visible]))
        shown = [side.row(place) for place in places[:count]]
        if self._yours is not None:
            shown = [self._yours[0], *shown[: count - 1]]
        summary = self.summary(k)
        more = 0 if side.read is None else 0.17  # a line below the post, and one below each image
        cell, gap, left, text, foot = 1.25, 0.12, 0.15, 0.66 + more, 0.48 + more  # inches
        head = 0.46 + 0.17 * len(summary)
        pictures = [
            [Image.open(io.BytesIO(picture)) for picture, _ in (self._own_shot(row), *map(self._shot, places))]
            for row in shown
            for places in [[other for other, _ in row.images[:k]]]
        ]
        shapes = [[1.0 if side.captions else picture.height / picture.width for picture in row] for row in pictures]
        heights = [cell * min(1, max(row)) for row in shapes]
        plural = "s" if len(shown) > 1 else ""
        framed = "; green frame: relevant" if side.knows_truth else ""
        title = f"The post's own image and the K = {k} mined for its text, {len(shown)} post{plural}{framed}"
        width = max(2 * left + (k + 1) * (cell + gap), 7.5)
        sheet = Page(width, head + sum(heights) + (text + foot) * len(shown), title, margin=left)
        wide, high = sheet.get_size_inches()
        for number, line in enumerate(summary):
            sheet.write(left, high - 0.44 - 0.17 * number, line, 8, color=style.GREY)
        top = high - head
        for row, drawn, height in zip(shown, pictures, heights, strict=True):
            tweet = row.tweet
            gold = marked(tweet.words, self._gold(row)) if tweet.tags else "(not labelled)"
            predicted = marked(tweet.words, row.predicted)
            sheet.write(left, top - 0.14, tweet.id, 8, weight="bold")
            reads = [] if row.read is None else [(top - 0.66, "reads", self._reading(row, k))]
            for y, name, content in ((top - 0.32, "gold", gold), (top - 0.49, "predicted", predicted), *reads):
                sheet.write(left, y, name, 8, color=style.GREY)
                sheet.write(left + 0.68, y, content, 8)
            images = [(None, row.own_score), *row.images[:k]]
            for rank, ((other, score), picture) in enumerate(zip(images, drawn, strict=True)):
                posted = tweet if other is None else self._posts[other]
                x, y = left + rank * (cell + gap), top - text - height
                axes = sheet.panel(x, y, cell, height)
                if side.captions:
                    sheet.passage(x + 0.06, y + height - 0.06, cell - 0.1, height - 0.1, _caption(posted))
                else:
                    axes.imshow(picture)
                known = None if other is None else side.relevant(tweet, other)
                frame = GOOD if known else PALE if rank else INK
                axes.spines[:].set(visible=True, color=frame, linewidth=2)
                sign = {True: "  ✓ relevant", False: "  ✗ not", None: ""}[known]
                own = "own" if row.own_rank is None else f"own, rank {row.own_rank:,}"
                number = f"{score:.2f}" if score == score else "no score"
                caption = f"{rank or own}: {number}{sign}\n{fitted(posted.id, cell, 7.5)}"
                if row.read is not None:
                    caption += f"\n{_with(row.weight(posted.id))}"
                below = (x + cell / 2) / wide, (y - 0.06) / high
                sheet.text(*below, caption, ha="center", va="top", fontsize=7.5, parse_math=False)
            top -= text + height + foot
        return sheet

    def show_static(self, count: int = 6, k: int | None = None) -> None:
        """Show the contact sheet as a picture, in a notebook."""
        show(self.static(count, k), f"Contact sheet. {self.describe()}")

    def draw(self) -> Figure:
        """The post that is shown and the next, small enough to be kept in a notebook."""
        return self.static(2, min(self.k, 6))

    def describe(self) -> str:
        """The post that is shown and the images mined for it, in words."""
        row, images = self._row, []
        for other, score in row.images[: self.k]:
            truth = {True: ", relevant", False: ", not relevant", None: ""}[self.sides[0].relevant(row.tweet, other)]
            read = "" if row.read is None else f", {_with(row.weight(self._posts[other].id))}"
            images.append(f"{self._posts[other].id} ({score:.2f}{truth}{read})")
        words = shortened(" ".join(row.tweet.words), 120)
        reads = [] if row.read is None else [f"Reads {self._reading(row, self.k)}"]
        sentences = ". ".join([*reads, *self.summary()])
        return f"Post {row.tweet.id}: {words} — mined images: {', '.join(images) or 'none'}. {sentences}"

    # ---- what is shown ----

    @property
    def _rows(self) -> list[Row]:
        """The post that is shown, once for each model."""
        return self._yours if self._yours is not None else [side.row(self._at) for side in self.sides]

    @property
    def _row(self) -> Row:
        return self._rows[0]

    @property
    def _source(self) -> Source:
        return self.sides[0].pictures.source

    @property
    def _posts(self) -> Sequence[Tweet]:
        """Those whose images can be mined."""
        return self._source.posts

    @property
    def _thumbnails(self) -> Thumbnails:
        name = SPLIT if self._source.own else self._source.name
        return self._shots.setdefault(name, Thumbnails(self._posts))

    def _shot(self, other: int) -> tuple[bytes, str]:
        """The thumbnail of a mined image."""
        return self._thumbnails(other)

    def _own_shot(self, row: Row) -> tuple[bytes, str]:
        return thumbnail(row.tweet) if row.place is None else self._shots[SPLIT](row.place)

    def _gold(self, row: Row) -> list[Span]:
        return [] if row.place is None else self.sides[0].gold[row.place]

    def _tags_of(self, tweet: Tweet) -> list[str]:
        return self.tags.of(tweet.id) if self.tags is not None else []

    def _reading(self, row: Row, k: int, side: MinedPosts | None = None) -> str:
        """Where a post's weight goes when a model, the first one by default, reads."""
        shown, others, nothing = (side or self.sides[0]).ends(row, k)
        return f"nothing: {nothing:.0%}; the images shown: {shown:.0%}; others of the pool: {others:.0%}"

    # ---- the page ----

    def _build(self, k: int) -> None:
        self._show_controls(k)
        self._filter_controls()
        self._own_controls()
        first = self.sides[0]
        yours = [self._text, self._photo_button, self._mine_button] if first.model is not None else []
        tagging = [self._word, self._add] if self.tags is not None else []
        pools = [self._pool] if len(self._sources) > 1 else []
        self.arrange(
            [self._view, self._previous, self._position, self._next, self._back, self._k],
            [*pools, self._order, self._own, *self._downloads.values()],
            [self._right, self._type, self._image, self._seen, self._fits, self._tag]
            + [self._least, self._search, self._clear],
            [*tagging, *yours],
            self._status,
            self._main,
        )
        self.on_change(self._go_to, self._position)
        self.on_change(self._filter, self._view, self._k, self._own, self._order)
        self.on_change(self._filter, *self._filters, self._least, self._search)
        self.on_change(self._change_pool, self._pool)

    def _button(self, name: str, press: Callable[[], None], width: str = "auto", **options: Any) -> Any:
        return control(Button, name, width, press=self.guard(press), **options)

    def _show_controls(self, k: int) -> None:
        """What is shown, how much of it, in which order, and what can be downloaded."""
        tooltip = (
            "Post: one post and what was mined for it. Grid: posts side by side. Hubs: images that many texts mine"
        )
        self._view = choice("show", "125px", "35px", "View", (POST, GRID, HUBS), tooltip)
        self._previous = self._button("prev", lambda: self._step(-1), "95px", description="◀ Previous")
        self._next = self._button("next", lambda: self._step(1), "75px", description="Next ▶")
        self._position = post_slider(len(self.tweets))
        self._position.layout.width = "205px"
        self._back = self._button("back", self.back, "75px", description="↩ Back", tooltip="Where you were before")
        bounds = {"value": k, "min": 1, "max": self._deepest, "tooltip": "How many mined images are shown"}
        self._k = slider("k", "175px", description="K", **bounds)
        tooltip = (
            "Where images are mined. split: all posts of it; same day: of the post's day; batch: as in training; train: the "
            "training split's; folder: your pictures"
        )
        self._pool = choice("pool", "150px", "35px", "Pool", tuple(self._sources), tooltip)
        orders = [("split order", ("split order", True))]
        orders += [(f"{o}, {w} first", (o, w == "high")) for o in list(ORDERS)[1:] for w in ("high", "low")]
        tooltip = "; ".join(f"{name}: {what}" for name, what in ORDERS.items())
        self._order = choice("order", "225px", "32px", "Sort", orders, tooltip)
        tooltip = "Let the post's own image be one of the K, as the paper mines"
        self._own = control(widgets.Checkbox, "own-too", "auto", description="own among them", tooltip=tooltip)
        self._own.indent = False
        passing = "All posts that pass the filters"
        files = (("csv", "CSV", self._csv, passing), ("png", "PNG", lambda: png(self.static()), "The contact sheet"))
        files += (("html", "HTML", self._page, "The first 100 posts that pass the filters, in one file"),)
        self._downloads = {
            kind: control(Download, kind, make=self._file(kind, make), description=description, tooltip=tooltip)
            for kind, description, make, tooltip in files
        }

    def _filter_controls(self) -> None:
        """Which posts pass."""

        def filters(name: str, description: str, tooltip: str, *options: str) -> Any:
            return choice(f"filter-{name}", "175px", "70px", description, (ANY, *options), tooltip)

        first = self.sides[0]
        rights = ("right", "wrong")
        self._right = filters("right", "Prediction", "right: exactly the gold entities", *rights)
        self._type = filters("type", "Entity", "Posts with an entity of this type", *first.types)
        images = OWN_IMAGE if first.knows_truth else ("missing",)
        tooltip = "Whether the post's own image belongs to its text, where that is known"
        self._image = filters("image", "Image", tooltip, *images)
        tooltip = "Whether the training split has the gold entities: the same words with the same type"
        self._seen = filters("seen", "Entities", tooltip, *SEEN)
        tooltip = "Whether a relevant image is among the K that are shown, where that is known"
        self._fits = filters("found", "Mined", tooltip, *(FOUND if first.knows_truth else ()))
        self._tag = filters("tag", "Tag", "Posts with this tag", UNTAGGED)
        hint = {"placeholder": "0.5", "continuous_update": False}
        self._least = field("least", "115px", "55px", "Score ≥", tooltip="Of the best image that is shown", **hint)
        hint = {"placeholder": "id or word, then Enter", "continuous_update": False}
        self._search = field("search", "230px", "50px", "Search", **hint)
        self._clear = self._button("clear", self.clear, "70px", description="Clear", tooltip="Take all filters away")

    def _own_controls(self) -> None:
        """What the reader adds: tags, and posts of their own; and the page."""
        hint = {"placeholder": "your word on this post", "tooltip": "Kept beside the run, or in the current folder"}
        tell = {"submitted": self.guard(self._tag_it), "description": "New tag"}
        self._word = control(Field, "tag", "225px", **tell, **hint)
        self._add = self._button("add", self._tag_it, "60px", description="Add")
        tell = {"submitted": self.guard(self._mine_yours), "description": "Your own post"}
        self._text = control(Field, "text", "345px", placeholder="a text to mine images for", **tell)
        tooltip = "Your post may have a photo"
        taken = {"taken": self._take, "refused": self._refuse, "description": "Photo", "tooltip": tooltip}
        self._photo_button = control(Photo, "photo", **taken)
        self._photo_button.disabled = any(side.captions for side in self.sides)
        self._mine_button = self._button("mine", self._mine_yours, "65px", description="Mine")
        self._status = control(View, "status", "calc(100% - 4px)")
        self._main = control(
            View, "view", "calc(100% - 4px)", picked=lambda what: self.guard(lambda: self._picked(what))()
        )

    @property
    def _filters(self) -> tuple[Any, ...]:
        return self._right, self._type, self._image, self._seen, self._fits, self._tag

    @property
    def _settings(self) -> tuple[Any, ...]:
        """The controls that say what is shown, but for the pool."""
        return self._view, self._k, self._own, self._order, *self._filters, self._least, self._search, self._position

    @property
    def _chosen(self) -> Filter:
        """What the controls ask for.

        Raises:
            ConfigError: the least score is no number.
        """
        least = self._least.value.strip().replace(",", ".")
        try:
            least = float(least) if least else None
            if least is not None and not math.isfinite(least):
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"“Score ≥” is {self._least.value!r}; give a number such as 0.5, or leave it empty."
            ) from None
        prediction, type_, image, seen, found, tag = (chosen.value for chosen in self._filters)
        return Filter(prediction, type_, image, seen, found, tag, least, self._search.value.strip(), self._mines)

    def clear(self) -> None:
        """Take all filters away."""
        with self.setting():
            for chosen in self._filters:
                chosen.value = ANY
            self._least.value = self._search.value = ""
        self._mines = None
        self._filter()

    def _filter(self) -> None:
        """Choose the posts that pass all filters, and stay at the shown one if it does."""
        chosen, (order, high) = self._chosen, self._order.value
        for side in self.sides:
            side.own_too = self._own.value
        needs = chosen.found != ANY or chosen.least is not None or chosen.mines is not None or self._view.value == HUBS
        side = self.sides[0]
        if not side.at_hand and (needs or order not in ("split order", "wrong entities")):
            self.work("reading what was mined", side.gather(), self._filter)
            return
        self._visible = side.choose(chosen, self.k, order, high, self.tags)
        with self.setting():
            self._position.max = max(1, len(self._visible))
        if self._yours is not None:
            self._draw()
        elif self._at in self._visible or not self._visible:
            self._show(self._at)
        else:
            self._show(self._visible[0])

    def _go_to(self) -> None:
        """Where the slider says."""
        self._yours = None
        if self._visible:
            self._show(self._visible[self._position.value - 1])

    def _step(self, by: int) -> None:
        """To a neighbour: a post's, or a page's of the grid."""
        before = self._position.value
        self._position.value += by * (PAGE if self._view.value == GRID else 1)  # stops at either end
        if self._position.value == before:  # from a post that is not among those
            self._go_to()

    def _remember(self) -> None:
        self._history.append((self._view.value, self._at, self._yours, self._mines))

    def _open(self, place: int) -> None:
        """Show a post, and remember where one was."""
        self._remember()
        self._yours = None
        with self.setting():
            self._view.value = POST
        self._show(place)

    def back(self) -> None:
        """Where one was before a post, or a hub, was opened."""
        if not self._history:
            return
        view, self._at, self._yours, self._mines = self._history.pop()
        with self.setting():
            self._view.value = view
            if self._yours is not None:
                self._text.value, self._photo = self._yours[0].tweet.text, self._yours[0].tweet.image
        at = self._at
        self._filter()
        if self._at != at:
            self._show(at)

    def _show(self, place: int) -> None:
        self._at = place
        with self.setting():
            if place in self._visible:  # otherwise it stays where one was among those
                self._position.value = self._visible.index(place) + 1
        self._draw()

    def _picked(self, what: str) -> None:
        kind, _, rest = what.partition(" ")
        if kind == "untag" and self.tags is not None:
            self.tags.remove(self.selected.id, rest)  # by its name: a second click takes no other tag away
            self._tags_changed()
            return
        place = int(rest)
        if kind == "post" and place == self._at and self._view.value == POST and self._yours is None:
            self.back()
        elif kind == "post":
            self._open(place)
        elif kind == "yours":
            self.back()
        elif kind == "unphoto":
            self._photo = None
            self._mine_yours()
        elif kind == "hub" and place == self._mines and self._view.value == GRID:
            while len(self._history) > 1 and self._history[-1][-1] == place:  # posts that were opened among these
                self._history.pop()
            self.back()
        elif kind == "hub":
            self._remember()
            self._mines = place
            with self.setting():
                self._view.value = GRID
            self._filter()

    # ---- pools ----

    def _change_pool(self) -> None:
        source, found = self._sources[self._pool.value], []

        def steps() -> Iterator[float]:
            for number, side in enumerate(self.sides):
                share = number / len(self.sides), (number + 1) / len(self.sides)
                found.append((yield from within(side.mine(source, self._deepest + 1), *share)))

        def then() -> None:
            self._use(found)

        super().work(f"mining from the pool “{source.name}”", steps(), then)

    def _use(self, found: Sequence[Pictures]) -> None:
        for side, pictures in zip(self.sides, found, strict=True):
            side.use(pictures)
        self._history = [(view, at, None, None) for view, at, yours, _ in self._history if yours is None]
        self._mines, yours, self._yours = None, self._yours, None
        self._filter()
        if yours is not None:
            self._mine_post(yours[0].tweet, remember=False)

    def work(self, what: str, steps: Iterable[float], then: Callable[[], None]) -> None:
        """As in every inspector; a pool that is being mined is given up."""
        with self.setting():
            self._pool.value = self._source.name
        super().work(what, steps, then)

    def undo(self) -> None:
        """Put the controls back to what is shown."""
        values, pictures, self._visible, self._at, self._yours, self._mines = self._shown
        for side, shown in zip(self.sides, pictures, strict=True):
            if side.pictures is not shown:
                side.use(shown)
            side.own_too = values[self._own]
        with self.setting():
            self._position.max = max(1, len(self._visible))
            for setting, value in values.items():
                if setting is not self._tag or value in self._tag.options:
                    setting.value = value
            self._pool.value = self._source.name

    # ---- a post of one's own ----

    def _take(self, name: str, content: bytes) -> None:
        def take() -> None:
            try:
                self._photo = _reduced(content)
            except DataError as error:
                raise DataError(str(error).replace("A picture", name, 1)) from None
            if self._text.value.strip():
                self._mine_yours()
            else:
                self._say(f"{name} will be your post's photo")

        self.guard(take)()

    def _refuse(self, sentence: str) -> None:
        def refuse() -> None:
            raise DataError(sentence)

        self.guard(refuse)()

    def _mine_yours(self) -> None:
        """Mine images for the text that was typed in."""
        self._mine_post(Tweet.from_text(self._text.value, self._photo, YOURS), remember=self._yours is None)

    def _mine_post(self, tweet: Tweet, remember: bool) -> None:
        rows: list[Row] = []

        def steps() -> Iterator[float]:
            for number, side in enumerate(self.sides):
                share = number / len(self.sides), (number + 1) / len(self.sides)
                rows.append((yield from within(side.mine_post(tweet, self._deepest), *share)))

        def then() -> None:
            if remember:
                self._remember()
            self._yours = rows
            with self.setting():
                self._view.value = POST
            self._draw()

        self.work("comparing your text with the images", steps(), then)

    # ---- tags ----

    def _tag_it(self) -> None:
        """Give the shown post the tag that was typed in."""
        if self.tags is None:
            return
        if self._yours is not None:
            raise ConfigError("A post that is in no split cannot be tagged; show one of the split.")
        self.tags.add(self.selected.id, self._word.value)
        with self.setting():
            self._word.value = ""
        self._tags_changed()

    def _tags_changed(self) -> None:
        filtered = self._tag.value != ANY
        self._offer_tags()
        if filtered:
            kept = self._at  # the shown post stays, even where it no longer passes
            self._filter()
            self._at = kept
        self._draw()

    def _offer_tags(self) -> None:
        assert self.tags is not None
        options = (ANY, UNTAGGED, *(tag for tag in self.tags.all if tag not in (ANY, UNTAGGED)))
        if options != self._tag.options:
            with self.setting():
                now = self._tag.value
                self._tag.options = options
                self._tag.value = now if now in options else ANY

    # ---- drawing ----

    def _draw(self) -> None:
        """Fill the page. Many thumbnails are made first, beside the kernel's other work."""
        if self.tags is not None:
            tag = self._tag.value
            self.tags.refresh()
            self._offer_tags()
            if self._tag.value != tag:  # nobody has it any more
                self._filter()
                return
        wanted = [(shots, place) for shots, place in self._needed() if place not in shots]
        if len(wanted) <= MANY:
            self._fill()
            return

        def steps() -> Iterator[float]:
            for number, (shots, place) in enumerate(wanted, 1):
                shots(place)
                yield number / len(wanted)

        self.work(f"reading {len(wanted)} pictures", steps(), self._fill)

    def _needed(self) -> Iterator[tuple[Thumbnails, int]]:
        """The thumbnails that the page shows."""
        if self.sides[0].captions:
            return
        if self._view.value == GRID:
            yield from ((self._shots[SPLIT], place) for place in self._on_page())
        elif self._view.value == HUBS:
            yield from ((self._thumbnails, place) for place, _ in self.sides[0].hubs(self.k)[0][:MOST_HUBS])
        else:
            yield from ((self._thumbnails, other) for row in self._rows for other, _ in row.images[: self.k])

    def _on_page(self) -> list[int]:
        """The posts of the grid's page."""
        start = (self._position.value - 1) // PAGE * PAGE
        return self._visible[start : start + PAGE]

    def _fill(self) -> None:
        views = {POST: self._detail, GRID: self._grid, HUBS: self._hub_view}
        value = views[self._view.value]()
        with self.setting():
            count, at = len(self._visible), self._position.value
            outside = self._yours is not None or self._at not in self._visible
            self._position.disabled = not count
            self._previous.disabled = at == 1 and (not outside or not count)
            self._next.disabled = at == max(1, count) and (not outside or not count)
            self._back.disabled = not self._history
        self._main.value = value
        self._say()
        values = {setting: setting.value for setting in self._settings}
        self._shown = values, [side.pictures for side in self.sides], self._visible, self._at, self._yours, self._mines
        mining = self._pool.value != self._source.name  # another pool, which goes on, and is summed up when it is there
        if self._lines_key(self.k) not in self._lines and not mining:
            self.work("summing up the split", self._summing(self.k), self._say)

    def _say(self, note: str = "") -> None:
        """Fill the lines below the filters."""
        count, notes = len(self._visible), [note] if note else []
        what, place = "Post", f"{self._position.value:,}"
        total = len(self.tweets)
        if self._view.value == HUBS:
            count = total = len(self.sides[0].hubs(self.k)[0])
            what, place = "Images that texts mine, the most mined first:", f"1 to {min(count, MOST_HUBS):,}"
        if self._view.value == GRID:
            shown = self._on_page()
            start = (self._position.value - 1) // PAGE * PAGE
            what, place = "Posts", f"{start + 1:,} to {start + len(shown):,}"
        if self._source.name != SPLIT:
            notes.append(f"mined from the pool “{self._source.name}”")
        if lacking := self.sides[0].unreadable:
            notes.append(f"no picture that can be read: {shortened(', '.join(lacking), 200)}")
        if self._view.value == POST and self._yours is not None:
            notes.append("your own post is shown")
            if self._source.group is not None:
                notes.append(f"it has no {self._source.name.removeprefix('same ')}: mined from the whole split")
        elif self._at not in self._visible and self._visible and self._view.value == POST:
            notes.append(f"{self.tweets[self._at].id} is shown, which lies outside these filters")
        mining = self.mining
        if isinstance(mining, MinedFolder) and not self._own.value and self.k == mining.k:
            notes.append(f"{mining.k} images were mined for each text: {mining.k - 1} where its own is one of them")
        yours = self._yours is not None and self._view.value == POST
        summary = [] if yours else self._lines.get(self._lines_key(self.k), [])
        counts = {"what": what, "place": place, "visible": count, "count": total}
        self._status.value = render("place", notes=notes, summary=summary, **counts)

    def _detail(self) -> Markup:
        rows = self._rows
        pick = ("yours 0" if self._yours is not None else f"post {self._at}") if self._history else ""
        post = self._post(rows, pick, removable=True)
        photo = self._yours is not None and rows[0].tweet.image is not None
        return render("pairs_post", post=post, sides=self._side_views(rows, opens=True), photo=photo)

    def _post(self, rows: Sequence[Row], pick: str = "", removable: bool = False) -> Markup:
        row, place = rows[0], rows[0].place
        tweet, side = row.tweet, self.sides[0]
        kinds = set() if place is None else side.kinds[place]
        image = next((kind for kind in OWN_IMAGE if ("image", kind) in kinds), "") if side.knows_truth else ""
        right = ("prediction", "right") in kinds if tweet.tags else None
        lines: list[tuple[str, Any]] = []
        if place is not None:
            lines.append(("gold", tinted(tweet.words, self._gold(row)) if tweet.tags else "(not labelled)"))
        for number, (by, other) in enumerate(zip(self.sides, rows, strict=True)):
            name = "predicted" if len(rows) == 1 else f"by {by.name}"
            lines.append((name, tinted(tweet.words, other.predicted)))
            if other.read is not None:
                lines.append(("reads" if number == 0 else f"{by.name} reads", self._reading(other, self.k, by)))
        about = {"image": image, "right": right, "lines": lines, "tags": self._tags_of(tweet)}
        return render("post", tweet=tweet, pick=pick, removable=removable, **about)

    def _side_views(self, rows: Sequence[Row], opens: bool = False) -> list[Markup]:
        """What each model mined for a post: its own image on the left, the others beside it."""
        views = []
        for side, row in zip(self.sides, rows, strict=True):
            cards = [self._card(side, row, rank, opens) for rank in range(1, 1 + len(row.images[: self.k]))]
            name = side.name if len(self.sides) > 1 else ""
            views.append(render("pairs_side", name=name, own=self._card(side, row), cards=cards))
        return views

    def _card(self, side: MinedPosts, row: Row, rank: int = 0, opens: bool = False) -> Markup:
        """The card of a mined image, by its rank from 1, or of the post's own image."""
        other, score = row.images[rank - 1] if rank else (None, row.own_score)
        posts, own = side.pictures.source.posts, side.pictures.source.own
        tweet = row.tweet if other is None else posts[other]
        picture = self._own_shot(row) if other is None else self._shot(other)
        small = other is not None and self.k > COMPACT
        picture = (smaller(picture[0]), picture[1]) if small else picture
        known = None if other is None else side.relevant(row.tweet, other)
        image = {"thumbnail": picture, "own": own and other == row.place, "relevant": known}
        numbers = {"rank": rank, "score": score, "own_rank": row.own_rank, "count": len(posts)}
        caption = _caption(tweet) if side.captions else None
        read = "" if row.read is None else _with(row.weight(tweet.id))
        pick = f"post {other}" if opens and own and other is not None else ""
        return render("card", tweet=tweet, caption=caption, read=read, pick=pick, small=small, **image, **numbers)

    def _item(self, tweet: Tweet, shot: tuple[bytes, str] | None, **more: Any) -> dict[str, Any]:
        text = " ".join(tweet.words)
        picture = {"thumbnail": shot or (b"", ""), "caption": None if shot else _caption(tweet)}
        return {"id": tweet.id, "text": text, "short": shortened(text, 70), **picture, **more}

    def _grid(self) -> Markup:
        side, items = self.sides[0], []
        for place in self._on_page():
            tweet, row = self.tweets[place], side.row(place)
            right = {True: "✓ right", False: "✗ wrong"}[("prediction", "right") in side.kinds[place]]
            says = [right] if tweet.tags else []
            says += [f"best {row.images[0][1]:.3f}"] if row.images else []
            if self._order.value[0] not in ("split order", "best score"):
                value = float(side.values(self._order.value[0], self.k)[place])
                says.append(f"{self._order.value[0]} {value:.4g}" if value == value else "")
            more = {"says": " · ".join(filter(None, says)), "tags": ", ".join(self._tags_of(tweet))}
            more |= {"pick": f"post {place}", "current": place == self._at}
            items.append(self._item(tweet, None if side.captions else self._shots[SPLIT](place), **more))
        hub = (f"hub {self._mines}", self._posts[self._mines].id) if self._mines is not None else None
        return render("pairs_grid", items=items, hub=hub, label="Posts")

    def _hub_view(self) -> Markup:
        side, items = self.sides[0], []
        hubs, chance = side.hubs(self.k)
        for place, count in hubs[:MOST_HUBS]:
            says = f"{count:,} texts, {count / chance:.1f} × chance"
            more = {"says": says, "tags": None, "pick": f"hub {place}", "current": False}
            items.append(self._item(self._posts[place], None if side.captions else self._shot(place), **more))
        return render("pairs_grid", items=items, hub=None, label="Images that many texts mine")

    def _file(self, kind: str, make: Callable[[], bytes]) -> Callable[[], tuple[str, bytes] | None]:
        """What a download gives: named by the model, the split, K, the pool and the filters that are set."""

        def made() -> tuple[str, bytes] | None:
            with self.errors_shown():
                pool = [] if self._source.name == SPLIT else [self._source.name]
                own = ["own"] if self._own.value else []
                words = [self.sides[0].name, self.name, f"k{self.k}", *pool, *own, *self._chosen.words()]
                if len(self.sides) > 1:
                    words.insert(1, self.sides[1].name)
                return f"{file_name('-'.join(words))}.{kind}", make()
            return None

        return made


def _reduced(photo: Picture) -> Image.Image:
    """A photo, no larger than a model can use.

    Raises:
        DataError: it cannot be read.
    """
    picture = open_picture(photo)
    picture.thumbnail((PHOTO, PHOTO), Image.Resampling.BICUBIC)
    return picture


def _written(path: str | Path, make: Callable[[], bytes], overwrite: bool) -> Path:
    path = Path(path)
    if path.exists() and not overwrite:
        raise DataError(f"{path} is there already; give another name, or overwrite=True.")
    write_atomically(path, make())
    return path


def _caption(tweet: Tweet) -> str:
    return tweet.caption or "(no caption)"


def _with(weight: float) -> str:
    """A weight in words."""
    return f"read with {weight:.0%}" if weight else "not read"
