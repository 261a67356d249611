"""The pair inspector: a post, its own image, and the K images of other posts that the model mines for its text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from mgips.data.batch import TweetDataset
from mgips.data.corpus import TYPES, Corpus, Tweet
from mgips.data.spans import spans
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError
from mgips.files import write_atomically
from mgips.lab.figures import show, style
from mgips.lab.figures.text import fitted
from mgips.lab.widgets.base import Button, Inspector, Page, control, find, look, post_slider
from mgips.lab.widgets.html import CARD, GOOD, INK, PALE, marked, render, shortened, thumbnails
from mgips.mining import K_MAX, MINES_NOTHING, Mined, mine_dataset
from mgips.model.mgips import MGIPS
from mgips.run import Run

if TYPE_CHECKING:
    from pandas import DataFrame

ANY = "any"


def inspect_pairs(
    model_or_run: MGIPS | Run | str | Path,
    corpus: Corpus,
    split: str = "test",
    k: int | None = None,
    k_max: int = K_MAX,
    progress: bool = True,
) -> PairInspector:
    """Mine a split of a corpus and look at the mined images.

    Args:
        model_or_run: a model, a finished run, or the folder or hub name of either. The mined images are kept in a
            run's folder, where the next call finds them.
        split: "train", "dev" or "test".
        k: K to start with; the model's by default.
        k_max: the largest K on the slider.
        progress: show bars while reading pictures and mining.

    Raises:
        ConfigError: a model that mines nothing, no such split or an empty one, or a K that the split cannot fill.
        RunError: a folder or name without a model.
    """
    cache = data = None
    if isinstance(model_or_run, Run):
        model, cache, data = model_or_run.model, model_or_run.folder, model_or_run.data.get(split)
    elif isinstance(model_or_run, MGIPS):
        model = model_or_run
    else:
        model = MGIPS.from_pretrained(model_or_run)
        cache = Path(model_or_run) if Path(model_or_run).is_dir() else None
    if not model.config.contrast:
        raise ConfigError(MINES_NOTHING)
    if split not in corpus.splits:
        raise ConfigError(f"There is no split {split!r}; the splits are {', '.join(corpus.splits)}.")
    tweets = corpus.splits[split]
    if not tweets:
        raise ConfigError(f"The {split} split of {corpus.name} is empty; there is nothing to inspect.")
    if data is None or data.tweets is not tweets:
        data = TweetDataset(tweets, model.batcher, progress)
    assert data.crops is not None, "a model that mines has images"
    minable = len(tweets) if model.config.mine_missing else int(data.crops.has_image.sum())
    k = model.config.k if k is None else k
    k_max = min(max(k, k_max), minable)
    mining = mine_dataset(model, data, max(k, k_max), cache, progress=progress)
    return PairInspector(tweets, model.predict_dataset(data), mining, k, name=f"{corpus.name}-{split}")


class PairInspector(Inspector):
    """See `inspect_pairs`. The filters choose among the posts; `selected`, `mined` and `k` say what is shown."""

    def __init__(
        self, tweets: Sequence[Tweet], predicted: Sequence[Sequence[str]], mining: Mined, k: int, name: str = "split"
    ) -> None:
        """
        Args:
            tweets: N posts.
            predicted: their predicted tags.
            mining: the images mined for each, at least K.
            k: K to start with.
            name: part of the exported file's name.
        """
        super().__init__("mgips-pairs")
        self.tweets = tuple(tweets)
        self.name = name
        self.mining = mining
        self.gold = [spans(tweet.words, tweet.tags) for tweet in tweets]
        self.predicted = [spans(tweet.words, tags) for tweet, tags in zip(tweets, predicted, strict=True)]
        self.knows_truth = all(tweet.truth is not None for tweet in tweets)
        """Whether it is known which images are relevant (TinyTweets)."""
        self._index, self._score = mining.index.numpy(), mining.score.numpy()  # (N, K) each
        self._own_rank, self._own_score = mining.own_rank.numpy(), mining.own_score.numpy()  # (N,) each
        self._thumbnail = thumbnails(self.tweets)
        self._facts = self._tabulate()
        self._build(k)
        self._at = 0
        self._filter()
        self.k = k

    # ---- from Python ----

    @property
    def selected(self) -> Tweet:
        """The post that is shown."""
        return self.tweets[self._at]

    @property
    def k(self) -> int:
        """K: the images shown. It can be set."""
        return self._k.value

    @k.setter
    def k(self, k: int) -> None:
        if not 1 <= k <= self.mining.k:
            raise ConfigError(
                f"k is {k}, but {self.mining.k} images were mined for each text; choose k between 1 and "
                f"{self.mining.k}, or give inspect_pairs a larger k_max."
            )
        self._k.value = k

    @property
    def mined(self) -> list[str]:
        """The ids of the posts whose images are shown, the best first."""
        return [self.tweets[other].id for other, _ in self._mined(self._at)]

    @property
    def visible(self) -> list[str]:
        """The ids of the posts that pass the filters."""
        return [self.tweets[place].id for place in self._visible]

    def select(self, post: str | int) -> None:
        """Show a post, by its id or its place in the split. Filters that would hide it are cleared.

        Raises:
            ConfigError: there is no such post.
        """
        self._open(find(self.tweets, post))

    def to_frame(self) -> DataFrame:
        """The posts that pass the filters as a table: a row for each post and each of its K images.

        Columns: id, rank (from 1), mined (id), score, own (whether it is the post's own image), relevant (None where
        that is not known).
        """
        import pandas as pd

        rows = []
        for place in self._visible.tolist():
            for rank, (other, score) in enumerate(self._mined(place), 1):
                ids = {"id": self.tweets[place].id, "rank": rank, "mined": self.tweets[other].id}
                rows.append({**ids, "score": score, "own": other == place, "relevant": self._relevant(place, other)})
        return pd.DataFrame(rows, columns=["id", "rank", "mined", "score", "own", "relevant"])

    def to_csv(self, path: str | Path) -> Path:
        """`to_frame` as a CSV file in UTF-8.

        Raises:
            DataError: the file cannot be written.
        """
        write_atomically(path, self.to_frame().to_csv(index=False, lineterminator="\n").encode())
        return Path(path)

    def to_html(self, path: str | Path, limit: int = 100) -> Path:
        """A page of the first `limit` posts that pass the filters: one file with its pictures inside, no scripts.

        Raises:
            DataError: the file cannot be written.
        """
        places = self._visible[:limit].tolist()
        title = f"K = {self.k} images mined for {len(places)} of {len(self.tweets):,} posts of {self.name}"
        sections = [
            (self._post(place), [self._card(place, rank) for rank in (None, *range(self.k))]) for place in places
        ]
        write_atomically(path, f"{render('page', title=title, sections=sections)}\n".encode())
        return Path(path)

    def static(self, count: int = 6, k: int | None = None) -> Figure:
        """A contact sheet: `count` posts from the one that is shown on, each with its own image and its K best.

        Args:
            k: images for each post; K by default, and at most 8.
        """
        k = min(self.k if k is None else k, self.mining.k, 8)
        order = np.concatenate([[self._at], self._visible[self._visible > self._at], self._visible])
        places = list(dict.fromkeys(order.tolist()))[:count]
        with look():
            return self._sheet(places, k)

    def show_static(self, count: int = 6, k: int | None = None) -> None:
        """Show the contact sheet as a picture, in a notebook."""
        show(self.static(count, k), f"Contact sheet. {self.describe()}")

    def draw(self) -> Figure:
        """The post that is shown and the next, small enough to be kept in a notebook."""
        return self.static(2, min(self.k, 6))

    def describe(self) -> str:
        """The post that is shown and the images mined for it, in words."""
        images = []
        for other, score in self._mined(self._at):
            truth = {True: ", relevant", False: ", not relevant", None: ""}[self._relevant(self._at, other)]
            images.append(f"{self.tweets[other].id} ({score:.2f}{truth})")
        words = shortened(" ".join(self.selected.words), 120)
        return f"Post {self.selected.id}: {words} — mined images: {', '.join(images)}"

    # ---- facts about each post, computed once ----

    def _tabulate(self) -> dict[str, Any]:
        """For each filter's value (N,) bool: the posts that pass; and under "text" the string that is searched."""
        types = [
            {entity.type for entity in (gold if tweet.tags else predicted)}
            for tweet, gold, predicted in zip(self.tweets, self.gold, self.predicted, strict=True)
        ]
        labelled = np.array([bool(tweet.tags) for tweet in self.tweets])
        right = np.array([gold == predicted for gold, predicted in zip(self.gold, self.predicted, strict=True)])
        missing = np.array([tweet.image is None and not tweet.crops for tweet in self.tweets])
        facts = {
            **{kind: np.array([kind in present for present in types]) for kind in TYPES},
            "right": labelled & right,
            "wrong": labelled & ~right,
            "missing": missing,
            "text": [f"{tweet.id} {' '.join(tweet.words)}".lower() for tweet in self.tweets],
        }
        if self.knows_truth:
            related = np.array([tweet.truth is not None and bool(tweet.truth.related) for tweet in self.tweets])
            facts.update(related=related & ~missing, unrelated=~related & ~missing)
        return facts

    def _mined(self, place: int) -> list[tuple[int, float]]:
        """The places and scores of a post's K images, the best first."""
        return list(zip(self._index[place, : self.k].tolist(), self._score[place, : self.k].tolist(), strict=True))

    def _relevant(self, place: int, other: int) -> bool | None:
        return relevant(self.tweets[place], self.tweets[other]) if self.knows_truth else None

    # ---- the page ----

    def _build(self, k: int) -> None:
        def button(name: str, press: Any, width: str, **options: Any) -> Any:
            return control(Button, name, width, press=self.guard(press), **options)

        def choice(name: str, options: Sequence[str], description: str, tooltip: str) -> Any:
            labels = {"description": description, "tooltip": tooltip}
            return control(widgets.Dropdown, f"filter-{name}", "200px", "75px", options=[ANY, *options], **labels)

        self._previous = button("prev", lambda: self._step(-1), "100px", description="◀ Previous")
        self._next = button("next", lambda: self._step(1), "100px", description="Next ▶")
        self._position = post_slider(len(self.tweets))
        tooltip = "How many mined images are shown"
        bounds = {"value": k, "min": 1, "max": self.mining.k}
        self._k = control(widgets.IntSlider, "k", "260px", "20px", **bounds, description="K", tooltip=tooltip)
        tooltip = "Write the posts that pass the filters into the working directory"
        self._export_button = button("export", self._export, "110px", description="Export CSV", tooltip=tooltip)
        self._type = choice("type", TYPES, "Entity", "Posts with an entity of this type")
        self._right = choice("right", ("right", "wrong"), "Prediction", "right: exactly the gold entities")
        images = ("related", "unrelated", "missing") if self.knows_truth else ("missing",)
        tooltip = "Whether the post's own image belongs to its text, where that is known"
        self._image = choice("image", images, "Image", tooltip)
        hint = {"placeholder": "id or word, then Enter", "continuous_update": False}
        self._search = control(widgets.Text, "search", "260px", "55px", description="Search", **hint)
        self._status = control(widgets.HTML, "status")
        self._post_view = control(widgets.HTML, "post-view", "calc(100% - 8px)")
        layout = {"width": f"{CARD}px", "margin": "0 16px 0 0", "flex": "0 0 auto"}
        self._own_view = control(widgets.HTML, "own", layout=layout)
        self._cards, self._opens, self._pool = [], [], []  # for each rank: the card, its button, and both in a box
        for rank in range(self.mining.k):
            card = widgets.HTML(layout={"width": f"{CARD}px", "margin": "0 0 2px 0"})
            opens = button("open", lambda rank=rank: self._open(int(self._index[self._at, rank])), f"{CARD}px")
            opens.description, opens.layout.margin = "Open this post", "0"
            layout = {"width": f"{CARD}px", "margin": "0 8px 8px 0", "overflow": "visible"}
            self._cards.append(card)
            self._opens.append(opens)
            self._pool.append(control(widgets.VBox, "mined", children=[card, opens], layout=layout))
        layout = {"flex_flow": "row wrap", "align_items": "flex-start", "flex": "1 1 0%"}
        pairs = [self._own_view, widgets.Box(self._pool, layout=layout)]
        self.arrange(
            [self._previous, self._position, self._next, self._k, self._export_button],
            [self._type, self._right, self._image, self._search],
            self._status,
            self._post_view,
            widgets.HBox(pairs, layout={"align_items": "flex-start"}),
        )
        self.on_change(lambda: self._show(int(self._visible[self._position.value - 1])), self._position)
        self.on_change(self._draw_cards, self._k)
        self.on_change(self._filter, self._type, self._right, self._image, self._search)

    def _filter(self) -> None:
        """Choose the posts that pass all filters, and stay at the shown one if it does."""
        passes = np.ones(len(self.tweets), dtype=bool)
        for dropdown in (self._type, self._right, self._image):
            if dropdown.value != ANY:
                passes &= self._facts[dropdown.value]
        needle = self._search.value.strip().lower()
        passes &= np.array([needle in text for text in self._facts["text"]])
        self._visible = np.flatnonzero(passes)  # (V,) places
        with self.setting():
            self._position.max = max(1, len(self._visible))
        self._show(self._at if passes[self._at] or not passes.any() else int(self._visible[0]))

    def _step(self, by: int) -> None:
        if len(self._visible):
            self._show(int(self._visible[np.clip(self._among + by, 0, len(self._visible) - 1)]))

    def _open(self, place: int) -> None:
        if place in self._visible:
            self._show(place)
            return
        with self.setting():
            self._type.value = self._right.value = self._image.value = ANY
            self._search.value = ""
        self._at = place
        self._filter()

    @property
    def _among(self) -> int:
        """The place of the shown post among the visible ones."""
        return int(np.searchsorted(self._visible, self._at))

    def _show(self, place: int) -> None:
        """Fill the page with one post. The widgets stay; only their content changes."""
        self._at = place
        count, among = len(self._visible), self._among
        with self.setting():
            self._position.value = among + 1 if count else 1
            self._position.disabled = not count
            self._previous.disabled = not count or among == 0
            self._next.disabled = not count or among == count - 1
        self._post_view.value = self._post(self._at)
        self._own_view.value = self._card(self._at)
        self._draw_cards()
        self._say()

    def _say(self, note: str = "") -> None:
        """Fill the line below the filters."""
        visible, count = len(self._visible), len(self.tweets)
        message = Markup("<b>No post fits these filters and this search.</b> The last one is still shown.")
        if visible:
            rest = "" if visible == count else f" that fit, of {count:,}"
            message = Markup("Post <b>{:,}</b> of {:,}{}").format(self._among + 1, visible, rest)
        self._status.value = render("status", message=message + (f" · {note}" if note else ""))

    def _draw_cards(self) -> None:
        for rank, box in enumerate(self._pool):
            box.layout.display = None if rank < self.k else "none"
            if rank < self.k:
                self._cards[rank].value = self._card(self._at, rank)
                self._opens[rank].tooltip = f"Show post {self.tweets[self._index[self._at, rank]].id}"

    def _export(self) -> None:
        target = self.to_csv(Path.cwd() / f"mgips-pairs-{self.name}.csv")
        self._say(f"{len(self._visible) * self.k:,} rows are in {target}")

    def _post(self, place: int) -> Markup:
        kinds = ("missing", "related", "unrelated") if self.knows_truth else ()
        image = next((kind for kind in kinds if self._facts[kind][place]), "")
        tags = {"gold": self.gold[place], "predicted": self.predicted[place], "right": self._facts["right"][place]}
        return render("post", tweet=self.tweets[place], image=image, **tags)

    def _card(self, place: int, rank: int | None = None) -> Markup:
        """The card of a mined image, by its rank from 0, or of the post's own image."""
        other = place if rank is None else int(self._index[place, rank])
        picture, note = self._thumbnail(other)
        return render(
            "card",
            tweet=self.tweets[other],
            rank=rank,
            own=other == place,
            picture=picture,
            note=note,
            score=self._own_score[place] if rank is None else self._score[place, rank],
            relevant=self._relevant(place, other),
            own_rank=self._own_rank[place],
            count=len(self.tweets),
        )

    # ---- the contact sheet ----

    def _sheet(self, places: Sequence[int], k: int) -> Figure:
        """A row of pictures for each post, below its text. Sizes in inches."""
        cell, gap, left, head, text, foot = 1.25, 0.12, 0.15, 0.42, 0.66, 0.48
        rows = [[place, *self._index[place, :k].tolist()] for place in places]
        pictures = [[Image.open(io.BytesIO(self._thumbnail(other)[0])) for other in row] for row in rows]
        heights = [cell * min(1, max(picture.height / picture.width for picture in row)) for row in pictures]
        plural = "s" if len(places) > 1 else ""
        framed = "; green frame: relevant" if self.knows_truth else ""
        title = f"The post's own image and the K = {k} mined for its text, {len(places)} post{plural}{framed}"
        width = max(2 * left + (k + 1) * (cell + gap), 7.5)
        sheet = Page(width, head + sum(heights) + (text + foot) * len(rows), title, margin=left)
        wide, high = sheet.get_size_inches()
        top = high - head
        for place, row, shown, height in zip(places, rows, pictures, heights, strict=True):
            tweet = self.tweets[place]
            gold = marked(tweet.words, self.gold[place]) if tweet.tags else "(not labelled)"
            sheet.write(left, top - 0.14, tweet.id, 8, weight="bold")
            lines = ("gold", gold), ("predicted", marked(tweet.words, self.predicted[place]))
            for line, (name, content) in enumerate(lines):
                sheet.write(left, top - 0.32 - 0.17 * line, name, 8, color=style.GREY)
                sheet.write(left + 0.68, top - 0.32 - 0.17 * line, content, 8)
            for column, (other, picture) in enumerate(zip(row, shown, strict=True)):
                x = left + column * (cell + gap)
                axes = sheet.panel(x, top - text - height, cell, height)
                axes.imshow(picture)
                known = self._relevant(place, other) if column else None
                frame = GOOD if known else PALE if column else INK
                outline = {"transform": axes.transAxes, "fill": False, "clip_on": False}
                axes.add_patch(Rectangle((0, 0), 1, 1, ec=frame, lw=2, **outline))
                sign = {True: "  ✓ relevant", False: "  ✗ not", None: ""}[known]
                score = self._score[place, column - 1] if column else self._own_score[place]
                name = f"{column}" if column else f"own, rank {self._own_rank[place] + 1:,}"
                caption = f"{name}: {score:.2f}{sign}\n{fitted(self.tweets[other].id, cell, 7.5)}"
                middle = (x + cell / 2) / wide, (top - text - height - 0.06) / high
                sheet.text(*middle, caption, ha="center", va="top", fontsize=7.5, parse_math=False)
            top -= text + height + foot
        return sheet
