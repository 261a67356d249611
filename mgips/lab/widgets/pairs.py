"""The pair inspector: a post, its own image, and the K images of other posts that the model mines for its text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mgips.data.batch import TweetDataset
from mgips.data.corpus import TYPES, Corpus, Tweet
from mgips.data.spans import spans
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError
from mgips.files import write_atomically
from mgips.lab.figures import show, style
from mgips.lab.figures.text import fitted
from mgips.lab.widgets.base import Button, Inspector, figure, find, look, post_slider
from mgips.lab.widgets.html import GOOD, INK, Thumbnails, bar, decoded, img, marked, shortened, tinted
from mgips.mining import K_MAX, MINES_NOTHING, Mined, mine_dataset
from mgips.model.mgips import MGIPS
from mgips.run import Run

if TYPE_CHECKING:
    from pandas import DataFrame

ANY = "any"
CARD = 152
"""Width of a card, in pixels: a thumbnail and its margins."""


def inspect_pairs(
    model_or_run: MGIPS | Run | str | Path,
    corpus: Corpus,
    split: str = "test",
    k: int | None = None,
    k_max: int = K_MAX,
    progress: bool = True,
) -> PairInspector:
    """Mine a split of a corpus and look at what was mined.

    Args:
        model_or_run: a model, a finished run, or the folder or hub name of either. What is mined is kept in a run's
            folder, so that the next call finds it.
        split: "train", "dev" or "test".
        k: K to start with; the model's by default.
        k_max: the largest K on the slider.
        progress: show bars while reading pictures and mining.

    Raises:
        ConfigError: a model that mines nothing, no such split or an empty one, or a K that the split cannot fill.
        RunError: a folder or name without a model.
    """
    model, cache, data = model_or_run, None, None
    if isinstance(model_or_run, Run):
        model, cache, data = model_or_run.model, model_or_run.folder, model_or_run.data.get(split)
    elif not isinstance(model_or_run, MGIPS):
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
    minable = len(tweets) if model.config.mine_missing else int(data.crops.has_image.sum())
    k = model.config.k if k is None else k
    k_max = min(max(k, k_max), minable)
    found = mine_dataset(model, data, max(k, k_max), cache, progress=progress)
    return PairInspector(tweets, model.predict_dataset(data), found, k, name=f"{corpus.name}-{split}")


class PairInspector(Inspector):
    """See `inspect_pairs`. The filters choose among the posts; `selected`, `mined` and `k` say what is shown."""

    def __init__(
        self, tweets: Sequence[Tweet], predicted: Sequence[Sequence[str]], found: Mined, k: int, name: str = "split"
    ) -> None:
        """
        Args:
            tweets: N posts.
            predicted: their predicted tags.
            found: what was mined for each, at least K deep.
            k: K to start with.
            name: names the exported file.
        """
        super().__init__("mgips-pairs")
        self.tweets = tuple(tweets)
        self.name = name
        self.found = found
        self.gold = [spans(tweet.words, tweet.tags) for tweet in tweets]
        self.predicted = [spans(tweet.words, tags) for tweet, tags in zip(tweets, predicted, strict=True)]
        self.knows_truth = all(tweet.truth is not None for tweet in tweets)
        """Whether it is known which images are relevant (TinyTweets)."""
        self._index, self._score = found.index.numpy(), found.score.numpy()  # (N, K) each
        self._own_rank, self._own_score = found.own_rank.numpy(), found.own_score.numpy()
        self._thumbnails = Thumbnails(self.tweets)
        self._places = {tweet.id: place for place, tweet in enumerate(tweets)}
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
        if not 1 <= k <= self.found.k:
            raise ConfigError(
                f"k is {k}, but {self.found.k} images were mined a text; choose k between 1 and {self.found.k}, "
                "or give inspect_pairs a larger k_max."
            )
        self._k.value = k

    @property
    def mined(self) -> list[str]:
        """The ids of the posts whose images are shown, the best first."""
        return [self.tweets[other].id for other in self._index[self._at, : self.k]]

    @property
    def visible(self) -> list[str]:
        """The ids of the posts that the filters let through."""
        return [self.tweets[place].id for place in self._visible]

    def select(self, post: str | int) -> None:
        """Show a post, by its id or its place in the split. Filters that would hide it are cleared.

        Raises:
            ConfigError: there is no such post.
        """
        self._open(find(self.tweets, self._places, post))

    def to_frame(self) -> DataFrame:
        """What the filters let through, as a table: a row for each post and each of its K images.

        Columns: id, rank (from 1), mined (id), score, own (whether it is the post's own image), relevant (None where
        that is not known).
        """
        import pandas as pd

        rows = [
            {
                "id": self.tweets[place].id,
                "rank": rank + 1,
                "mined": self.tweets[other].id,
                "score": float(self._score[place, rank]),
                "own": bool(other == place),
                "relevant": self._relevant(place, other),
            }
            for place in self._visible
            for rank, other in enumerate(self._index[place, : self.k])
        ]
        return pd.DataFrame(rows, columns=["id", "rank", "mined", "score", "own", "relevant"])

    def to_csv(self, path: str | Path) -> Path:
        """`to_frame` as a CSV file in UTF-8.

        Raises:
            DataError: the file cannot be written.
        """
        write_atomically(path, self.to_frame().to_csv(index=False, lineterminator="\n").encode())
        return Path(path)

    def to_html(self, path: str | Path, limit: int = 100) -> Path:
        """A page of the first `limit` posts that the filters let through: one file, pictures inside, no scripts.

        Raises:
            DataError: the file cannot be written.
        """
        shown = self._visible[:limit]
        title = f"K = {self.k} images mined for {len(shown)} of {len(self.tweets):,} posts of {self.name}"
        parts = [
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            '<meta name="viewport" content="width=device-width">'
            "<style>body{font:14px/1.45 sans-serif;margin:1.5em;color:#1a1a1a;background:white}"
            "section{border-top:1px solid #bbb;padding:1em 0}.row{display:flex;flex-wrap:wrap;gap:8px;margin-top:8px}</style></head>"
            f"<body><h1>{html.escape(title)}</h1>"
        ]
        for place in shown:
            cards = "".join(self._card(place, rank) for rank in range(self.k))
            parts.append(f'<section>{self._post(place)}<div class="row">{self._own_card(place)}{cards}</div></section>')
        write_atomically(path, "\n".join([*parts, "</body></html>\n"]).encode())
        return Path(path)

    def static(self, count: int = 6, k: int | None = None) -> Figure:
        """A contact sheet: `count` posts from the one that is shown on, each with its own image and its K best.

        Args:
            k: images a post; K by default, and at most 8.
        """
        k = min(self.k if k is None else k, self.found.k, 8)
        order = np.concatenate([[self._at], self._visible[self._visible > self._at], self._visible])
        places = list(dict.fromkeys(order.tolist()))[:count]
        with look():
            return self._sheet(places, k)

    def show_static(self, count: int = 6, k: int | None = None) -> None:
        """Show the contact sheet as a picture, in a notebook."""
        show(self.static(count, k), f"Contact sheet. {self.describe()}")

    def picture(self) -> Figure:
        """The post that is shown and the next, small enough to be kept in a notebook."""
        return self.static(2, min(self.k, 6))

    def describe(self) -> str:
        """The post that is shown and what was mined for it, in words."""
        told = f"Post {self.selected.id}: {shortened(' '.join(self.selected.words), 120)} — mined images: "
        return told + ", ".join(
            f"{self.tweets[other].id} ({self._score[self._at, rank]:.2f}{self._told(self._at, other, ', ')})"
            for rank, other in enumerate(self._index[self._at, : self.k])
        )

    # ---- what is known about each post, once ----

    def _tabulate(self) -> dict[str, Any]:
        """What the filters ask, precomputed: (N,) bool arrays, and a text to search for each post."""
        named = [
            {e.type for e in (gold if tweet.tags else predicted)}
            for tweet, gold, predicted in zip(self.tweets, self.gold, self.predicted, strict=True)
        ]
        labelled = np.array([bool(tweet.tags) for tweet in self.tweets])
        right = np.array([g == p for g, p in zip(self.gold, self.predicted, strict=True)])
        missing = np.array([tweet.image is None and not tweet.crops for tweet in self.tweets])
        facts = {
            **{kind: np.array([kind in kinds for kinds in named]) for kind in TYPES},
            "right": labelled & right,
            "wrong": labelled & ~right,
            "missing": missing,
            "text": [f"{tweet.id} {' '.join(tweet.words)}".lower() for tweet in self.tweets],
        }
        if self.knows_truth:
            related = np.array([bool(tweet.truth.related) for tweet in self.tweets])
            facts.update(related=related & ~missing, unrelated=~related & ~missing)
        return facts

    def _relevant(self, place: int, other: int) -> bool | None:
        return relevant(self.tweets[place], self.tweets[other]) if self.knows_truth else None

    def _told(self, place: int, other: int, before: str = "") -> str:
        """ "relevant", "not relevant" or nothing."""
        known = self._relevant(place, other)
        return "" if known is None else before + ("relevant" if known else "not relevant")

    # ---- the page ----

    def _build(self, k: int) -> None:
        box = widgets.Layout
        wrap = {"flex_flow": "row wrap", "align_items": "center"}

        def named(widget: widgets.DOMWidget, name: str) -> Any:
            widget.add_class(f"mgips-{name}")
            return widget

        def choice(name: str, options: Sequence[str], description: str, tooltip: str) -> widgets.Dropdown:
            dropdown = widgets.Dropdown(
                options=[ANY, *options],
                description=description,
                tooltip=tooltip,
                layout=box(width="200px"),
                style={"description_width": "75px"},
            )
            dropdown.observe(self.guard(self._filter), "value")
            return named(dropdown, f"filter-{name}")

        self._previous = named(
            Button(self.guard(lambda: self._step(-1)), description="◀ Previous", layout=box(width="100px")), "prev"
        )
        self._next = named(
            Button(self.guard(lambda: self._step(1)), description="Next ▶", layout=box(width="100px")), "next"
        )
        self._position = post_slider(len(self.tweets))
        self._position.observe(self.guard(lambda: self._show(self._visible[self._position.value - 1])), "value")
        self._k = named(
            widgets.IntSlider(
                value=k,
                min=1,
                max=self.found.k,
                description="K",
                tooltip="How many mined images are shown",
                layout=box(width="260px"),
                style={"description_width": "20px"},
            ),
            "k",
        )
        self._k.observe(self.guard(self._draw_cards), "value")
        self._search = named(
            widgets.Text(
                placeholder="id or word, then Enter",
                description="Search",
                continuous_update=False,
                layout=box(width="260px"),
                style={"description_width": "55px"},
            ),
            "search",
        )
        self._search.observe(self.guard(self._filter), "value")
        self._type = choice("type", TYPES, "Entity", "Posts that name an entity of this type")
        self._right = choice("right", ("right", "wrong"), "Prediction", "right: exactly the gold entities")
        self._image = choice(
            "image",
            ("related", "unrelated", "missing") if self.knows_truth else ("missing",),
            "Image",
            "Whether the post's own image belongs to its text, where that is known",
        )
        self._status = named(widgets.HTML(), "status")
        self._post_view = named(widgets.HTML(layout=box(width="calc(100% - 8px)")), "post-view")
        self._own_view = named(widgets.HTML(layout=box(width=f"{CARD}px", margin="0 16px 0 0", flex="0 0 auto")), "own")
        self._cards = [widgets.HTML(layout=box(width=f"{CARD}px", margin="0 0 2px 0")) for _ in range(self.found.k)]
        self._opens = [
            named(
                Button(
                    self.guard(lambda rank=rank: self._open(int(self._index[self._at, rank]))),
                    description="Open this post",
                    layout=box(width=f"{CARD}px", margin="0"),
                ),
                "open",
            )
            for rank in range(self.found.k)
        ]
        self._pool = [
            named(
                widgets.VBox([card, button], layout=box(width=f"{CARD}px", margin="0 8px 8px 0", overflow="visible")),
                "mined",
            )
            for card, button in zip(self._cards, self._opens, strict=True)
        ]
        self._drawn: list[tuple[int, int] | None] = [None] * self.found.k  # what each card holds
        self._export_button = named(
            Button(
                self.guard(self._export),
                description="Export CSV",
                tooltip="Write what the filters let through into the working directory",
                layout=box(width="110px"),
            ),
            "export",
        )
        pairs = widgets.HBox(
            [
                self._own_view,
                widgets.Box(self._pool, layout=box(flex_flow="row wrap", align_items="flex-start", flex="1 1 0%")),
            ],
            layout=box(align_items="flex-start"),
        )
        self.arrange(
            [
                widgets.Box(
                    [self._previous, self._position, self._next, self._k, self._export_button], layout=box(**wrap)
                ),
                widgets.Box([self._type, self._right, self._image, self._search], layout=box(**wrap)),
                self._status,
                self._post_view,
                pairs,
            ]
        )

    def _filter(self) -> None:
        """Choose the posts that fit all filters, and stay at the shown one where it does."""
        fits = np.ones(len(self.tweets), dtype=bool)
        for dropdown in (self._type, self._right, self._image):
            if dropdown.value != ANY:
                fits &= self._facts[dropdown.value]
        needle = self._search.value.strip().lower()
        if needle:
            fits &= np.fromiter((needle in text for text in self._facts["text"]), dtype=bool, count=len(fits))
        self._visible = np.flatnonzero(fits)  # (V,) places
        with self.setting():
            self._position.max = max(1, len(self._visible))
        self._show(self._at if fits[self._at] or not fits.any() else self._visible[0])

    def _step(self, by: int) -> None:
        if len(self._visible):
            at = int(np.clip(np.searchsorted(self._visible, self._at) + by, 0, len(self._visible) - 1))
            self._show(self._visible[at])

    def _open(self, place: int) -> None:
        if place not in self._visible:
            with self.setting():
                self._type.value = self._right.value = self._image.value = ANY
                self._search.value = ""
            self._at = place
            self._filter()
        else:
            self._show(place)

    def _show(self, place: int) -> None:
        """Fill the page with one post. The widgets stay; only their content changes."""
        self._at = int(place)
        among = int(np.searchsorted(self._visible, self._at))
        there = bool(len(self._visible))
        with self.setting():
            self._position.value = among + 1 if there else 1
            self._position.disabled = not there
            self._previous.disabled = not there or among == 0
            self._next.disabled = not there or among == len(self._visible) - 1
        self._post_view.value = self._post(self._at)
        self._own_view.value = self._own_card(self._at)
        self._draw_cards()
        self._say()

    def _say(self, note: str = "") -> None:
        """The line below the filters."""
        found, count = len(self._visible), len(self.tweets)
        if not found:
            told = "<b>No post fits these filters and this search.</b> The last one is still shown."
        else:
            at = int(np.searchsorted(self._visible, self._at)) + 1
            told = f"Post <b>{at:,}</b> of {found:,}" + ("" if found == count else f" that fit, of {count:,}")
        if note:
            told += f" · {html.escape(note)}"
        self._status.value = f'<div role="status" style="line-height:1.5">{told}</div>'

    def _draw_cards(self) -> None:
        for rank, card in enumerate(self._pool):
            if rank < self.k:
                wanted = self._at, rank
                if self._drawn[rank] != wanted:
                    self._cards[rank].value = self._card(*wanted)
                    self._opens[rank].tooltip = f"Show post {self.tweets[self._index[wanted]].id}"
                    self._drawn[rank] = wanted
                card.layout.display = None
            else:
                card.layout.display = "none"

    def _export(self) -> None:
        target = self.to_csv(Path.cwd() / f"mgips-pairs-{self.name}.csv")
        self._say(f"{len(self._visible) * self.k:,} rows are in {target}")

    def _post(self, place: int) -> str:
        tweet = self.tweets[place]
        rows = [("gold", tinted(tweet.words, self.gold[place]) if tweet.tags else "(not labelled)")]
        rows.append(("predicted", tinted(tweet.words, self.predicted[place])))
        verdict = ""
        if tweet.tags:
            verdict = "✓ prediction right" if self._facts["right"][place] else "✗ prediction wrong"
        if self.knows_truth:
            kind = next(kind for kind in ("missing", "related", "unrelated") if self._facts[kind][place])
            verdict += f" · image {kind}"
        lines = "".join(
            f'<div style="display:flex;margin:2px 0"><span style="flex:0 0 80px;color:#555">{name}</span>'
            f'<span style="overflow-wrap:anywhere">{content}</span></div>'
            for name, content in rows
        )
        return (
            f'<div style="line-height:1.6;color:{INK};background:#fafafa;border:1px solid #ccc;padding:6px 10px">'
            f"<b>{html.escape(tweet.id)}</b> <span>{verdict}</span>{lines}</div>"
        )

    def _own_card(self, place: int) -> str:
        picture, note = self._thumbnails[place]
        alt = f"The post's own image: {note}" if note else f"The own image of post {self.tweets[place].id}"
        rank = f"rank {self._own_rank[place] + 1:,} of {len(self.tweets):,}"
        return (
            f'<div style="{_CARD_STYLE};border:2px solid {INK}"><b>Own image</b>{img(picture, alt)}'
            f"{bar(self._own_score[place])}<b>{self._own_score[place]:.3f}</b> · {rank}<br>"
            f'<span style="overflow-wrap:anywhere">{html.escape(self.tweets[place].id)}</span></div>'
        )

    def _card(self, place: int, rank: int) -> str:
        other = int(self._index[place, rank])
        tweet = self.tweets[other]
        picture, note = self._thumbnails[other]
        known = self._relevant(place, other)
        sign = {True: "✓ relevant", False: "✗ not relevant", None: ""}[known]
        frame = f"2px solid {GOOD}" if known else "2px solid #cccccc"
        score = self._score[place, rank]
        text = html.escape(" ".join(tweet.words))
        return (
            f'<div style="{_CARD_STYLE};border:{frame}"><b>{rank + 1}</b>{" · own image" if other == place else ""}'
            f"{img(picture, f'Image of post {tweet.id}' + (f': {note}' if note else ''))}{bar(score)}"
            f"<b>{score:.3f}</b>{' · ' if sign else ''}{sign}<br>"
            f'<span style="overflow-wrap:anywhere">{html.escape(tweet.id)}</span>'
            f'<div title="{text}" style="height:3.9em;overflow:hidden;overflow-wrap:anywhere;color:#444">{text}</div></div>'
        )

    # ---- the contact sheet ----

    def _sheet(self, places: Sequence[int], k: int) -> Figure:
        """A row of pictures for each post, below its text. Sizes in inches."""
        cell, gap, left, head, text, foot = 1.25, 0.12, 0.15, 0.42, 0.66, 0.48
        width = max(2 * left + (k + 1) * (cell + gap), 7.5)
        rows = [[place, *self._index[place, :k].tolist()] for place in places]
        pictures = [[decoded(self._thumbnails[other][0]) for other in row] for row in rows]
        tall = [cell * max(picture.height / picture.width for picture in row) for row in pictures]
        tall = [min(height, cell) for height in tall]
        height = head + sum(tall) + (text + foot) * len(rows)
        sheet = figure(width, height)

        def write(x: float, y: float, content: str, **how: Any) -> None:
            sheet.text(x / width, y / height, fitted(content, width - left - x, 8), fontsize=8, parse_math=False, **how)

        plural = "s" if len(places) > 1 else ""
        framed = "; framed in green: truly relevant" if self.knows_truth else ""
        title = f"The post's own image and the K = {k} mined for its text, {len(places)} post{plural}{framed}"
        sheet.suptitle(title, x=left / width, y=1 - 0.1 / height, ha="left", va="top", fontsize=11)
        top = height - head
        for place, row, shown, high in zip(places, rows, pictures, tall, strict=True):
            tweet = self.tweets[place]
            gold = marked(tweet.words, self.gold[place]) if tweet.tags else "(not labelled)"
            write(left, top - 0.14, tweet.id, weight="bold")
            lines = ("gold", gold), ("predicted", marked(tweet.words, self.predicted[place]))
            for line, (name, content) in enumerate(lines):
                write(left, top - 0.32 - 0.17 * line, name, color=style.GREY)
                write(left + 0.68, top - 0.32 - 0.17 * line, content)
            for column, (other, picture) in enumerate(zip(row, shown, strict=True)):
                x = left + column * (cell + gap)
                axes = sheet.add_axes((x / width, (top - text - high) / height, cell / width, high / height))
                axes.imshow(picture)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                known = self._relevant(place, other) if column else None
                frame = GOOD if known else "#cccccc" if column else INK
                outline = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, ec=frame, lw=2, clip_on=False)
                axes.add_patch(outline)
                sign = {True: "  ✓ relevant", False: "  ✗ not", None: ""}[known]
                score = self._score[place, column - 1] if column else self._own_score[place]
                name = f"{column}" if column else f"own, rank {self._own_rank[place] + 1:,}"
                caption = f"{name}: {score:.2f}{sign}\n{fitted(self.tweets[other].id, cell, 7.5)}"
                middle = (x + cell / 2) / width, (top - text - high - 0.06) / height
                sheet.text(*middle, caption, ha="center", va="top", fontsize=7.5, parse_math=False)
            top -= text + high + foot
        return sheet


_CARD_STYLE = (
    f"box-sizing:border-box;width:{CARD}px;padding:4px;line-height:1.3;font-size:12px;color:{INK};background:white"
)
