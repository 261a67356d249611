"""The pair inspector: a post, its own image, and the K images of other posts that the model mines for its text."""

from __future__ import annotations

import bisect
import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from mgips.config import CAPTIONS
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.spans import spans
from mgips.data.tinytweets.truth import relevant
from mgips.errors import ConfigError
from mgips.files import write_atomically
from mgips.lab.figures import show, style
from mgips.lab.figures.text import fitted
from mgips.lab.pools import READ
from mgips.lab.precision import split_hubs, split_precision
from mgips.lab.widgets.base import (
    Button,
    Inspected,
    Inspector,
    Page,
    control,
    find,
    loaded,
    look,
    pool_of,
    post_slider,
)
from mgips.lab.widgets.html import CARD, GOOD, INK, PALE, marked, render, shortened, thumbnails
from mgips.mining import K_MAX, MINES_NOTHING, Mined, MinedFolder, mine_dataset
from mgips.model.mgips import MGIPS
from mgips.model.reading import Pool
from mgips.run import Run
from mgips.tags import in_order

if TYPE_CHECKING:
    from pandas import DataFrame

ANY = "any"
OWN_IMAGE = "related", "unrelated", "missing"


def inspect_pairs(
    model_or_run: Inspected,
    corpus: Corpus,
    split: str = "test",
    k: int | None = None,
    k_max: int = K_MAX,
    progress: bool = True,
    pool: Pool | Sequence[Tweet] | None = None,
    mined: MinedFolder | str | Path | None = None,
) -> PairInspector:
    """Mine a split of a corpus and look at the mined images.

    For a model that reads the images are ranked by relevance and time together, as it does itself, and each comes with
    the weight with which it is read.

    Args:
        model_or_run: a model, a finished run, or the folder or name of either, as `mgips.load` takes them. The mined
            images are kept in a run's folder, where the next call finds them.
        k: K to start with; the model's by default.
        k_max: the largest K on the slider.
        pool: what a model that reads may read, a pool or posts to build one from; by default the split's own pictures.
            The images shown are the split's, whatever is in the pool.
        mined: what `mgips mine` or `mine_into` has left of this very split, instead of mining it now. Only what is shown is
            read from there: no line sums up the whole split, and weights of reading are not shown.

    Raises:
        ConfigError: a model that mines nothing, no such split or an empty one, a K that the split cannot fill, a
            pool for a model that does not read or that other weights have built, or a mined folder of as many texts as
            another split has.
        DataError: a mined folder that is not there, not finished or damaged.
        RunError: a folder or name without a model.
    """
    cache = data = None
    model = loaded(model_or_run)
    if isinstance(model_or_run, Run):
        cache, data = model_or_run.folder, model_or_run.data.get(split)
    elif not isinstance(model_or_run, MGIPS) and Path(model_or_run).is_dir():
        cache = Path(model_or_run)
    if model.image_head is None:
        raise ConfigError(MINES_NOTHING)
    if split not in corpus.splits:
        raise ConfigError(f"There is no split {split!r}; the splits are {', '.join(corpus.splits)}.")
    tweets = corpus.splits[split]
    if not tweets:
        raise ConfigError(f"The {split} split of {corpus.name} is empty; there is nothing to inspect.")
    if data is None or data.tweets is not tweets:
        data = TweetDataset(tweets, model.batcher, progress)
    k = model.config.k if k is None else k
    if mined is not None:
        folder = mined if isinstance(mined, MinedFolder) else MinedFolder(mined)
        if len(folder) != len(tweets):
            raise ConfigError(
                f"{folder.folder} holds what was mined for {len(folder):,} texts, and the {split} split of {corpus.name} has "
                f"{len(tweets):,}; name the corpus and the split that were mined."
            )
        predicted = model.predict_dataset(data, pool=pool_of(model, pool, data))
        captions = model.config.image_encoder == CAPTIONS
        return PairInspector(tweets, predicted, folder, min(k, folder.k), f"{corpus.name}-{split}", captions=captions)
    pool = pool_of(model, pool, data)
    candidates = data.has_image | (model.config.mine_missing and model.reader is None)
    minable = int(candidates.sum())
    mining = mine_dataset(model, data, max(k, min(k_max, minable)), cache, progress=progress)
    predicted, read = _predict(model, data, mining, pool)
    captions = model.config.image_encoder == CAPTIONS
    return PairInspector(tweets, predicted, mining, k, f"{corpus.name}-{split}", candidates, read, captions)


@dataclass(frozen=True)
class Read:
    """The weights with which each of N posts reads the images mined for it; what a post reads sums to 1."""

    mined: Tensor
    """(N, K) float32; 0 for an image that is dropped, or is not in the pool."""
    own: Tensor
    """(N,) float32: of its own image."""
    nothing: Tensor
    """(N,) float32: of reading nothing."""
    size: int
    """Images in the pool."""


def _predict(model: MGIPS, data: TweetDataset, mining: Mined, pool: Pool | None) -> tuple[list[list[str]], Read | None]:
    """The tags of N posts, and what they read to get there; None for a model that reads nothing."""
    if pool is None:
        return model.predict_dataset(data), None
    tags: list[list[str]] = [[] for _ in range(len(data))]
    columns = pool.places([tweet.id for tweet in data.tweets])  # (N,), -1 for a post that is not in the pool
    mined, own, nothing = torch.zeros(mining.index.shape), torch.zeros(len(data)), torch.zeros(len(data))
    for indices, batch, out in model.outputs(data, pool=pool):
        for index, path in zip(indices, model.decode(out, batch), strict=True):
            tags[index] = path
        assert out.reading is not None
        weights = out.reading.weights.float().cpu()
        weights, nothing[indices] = weights[:, :-1], weights[:, -1]
        weights = torch.cat([weights, torch.zeros(len(indices), 1)], 1)  # where -1 points to
        chosen = mining.index[indices]
        mined[indices] = weights.gather(1, (columns[chosen].where(chosen >= 0, -1)) % weights.shape[1])
        own[indices] = weights.gather(1, columns[indices, None] % weights.shape[1])[:, 0]
    return tags, Read(mined, own, nothing, len(pool))


class PairInspector(Inspector):
    """See `inspect_pairs`. The filters choose among the posts; `selected`, `mined` and `k` say what is shown."""

    def __init__(
        self,
        tweets: Sequence[Tweet],
        predicted: Sequence[Sequence[str]],
        mining: Mined | MinedFolder,
        k: int,
        name: str = "split",
        candidates: Tensor | None = None,
        read: Read | None = None,
        captions: bool = False,
    ) -> None:
        """N posts, the predicted tags of each, and the images mined for each, at least K.

        Args:
            mining: in memory, or in a folder, of which only what is shown is read.
            name: names the export.
            candidates: (N,) bool, the images that could be mined; all by default.
            read: with which weights they are read, where they are.
            captions: whether captions stand for images; they are then shown in their place.
        """
        super().__init__("mgips-pairs")
        self.tweets, self.mining, self.name = tuple(tweets), mining, name
        self.read, self._captions, self._candidates = read, captions, candidates
        self._summaries: dict[int, list[str]] = {}
        self.gold = [spans(tweet.words, tweet.tags) for tweet in tweets]
        self.predicted = [spans(tweet.words, tags) for tweet, tags in zip(tweets, predicted, strict=True)]
        self.knows_truth = all(tweet.truth is not None for tweet in tweets)
        """Whether it is known which images are relevant (TinyTweets)."""
        self._found: dict[int, Mined] = {}
        """What was mined for the posts that have been shown."""
        rows = [] if read is None else torch.cat([read.own[:, None], read.mined], 1).tolist()
        self._weights = [
            dict(zip((i for i, _ in self._images(place)), row, strict=False)) for place, row in enumerate(rows)
        ]
        """For each post the weights with which these are read, by place; empty where nothing is."""
        self._types = in_order(
            s.type for post in (*self.predicted, *(spans(t.words, t.tags) for t in tweets)) for s in post
        )
        self._thumbnail = thumbnails(self.tweets)
        self._kinds = [self._kinds_of(place) for place in range(len(self.tweets))]
        """For each post the values of the filters that choose it."""
        self._texts = [f"{tweet.id} {' '.join(tweet.words)}".lower() for tweet in tweets]
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
            choices = f"choose k between 1 and {self.mining.k}, or give inspect_pairs a larger k_max."
            raise ConfigError(f"k is {k}, but {self.mining.k} images were mined for each text; {choices}")
        self._k.value = k

    @property
    def mined(self) -> list[str]:
        """The ids of the posts whose images are shown, the best first."""
        return [self.tweets[other].id for other, _ in self._mined(self._at)]

    @property
    def visible(self) -> list[str]:
        """The ids of the posts that pass the filters."""
        return [self.tweets[place].id for place in self._visible]

    def summary(self, k: int | None = None) -> list[str]:
        """The whole split in some lines, whatever the filters: is what was mined relevant, where that is known; hubs;
        and what is read, by a model that reads.

        Args:
            k: K; the shown one by default.
        """
        k = k or self.k
        if k not in self._summaries:
            self._summaries[k] = self._summarise(k)
        return self._summaries[k]

    def _summarise(self, k: int) -> list[str]:
        if isinstance(self.mining, MinedFolder):
            return []
        lines = []
        if self.knows_truth:
            p = split_precision(self.tweets, self.mining, k, self._candidates)
            shares = (
                ("relevant", p.precision, p.chance, p.attainable),
                ("own left out", p.others, p.others_chance, p.others_attainable),
                ("best other", p.at_one, p.at_one_chance, p.at_one_attainable),
            )
            words = iter((("chance ", "at most "),))  # said once: the line has to fit on the contact sheet
            parts = []
            for name, share, chance, best in shares:
                if share is not None and chance is not None and best is not None:
                    low, high = next(words, ("", ""))
                    parts.append(f"{name} {share:.0%} ({low}{chance:.0%}, {high}{best:.0%})")
            lines.append(f"Whole split, K = {k}: {'; '.join(parts) or 'no image is relevant to any text'}")
        found, chance = split_hubs(self.mining.top(k).index, self._candidates)
        top = f"the ten most mined images fill {found.top_ten:.0%} of all places (chance {chance.top_ten:.0%})"
        skewness = f"skewness of N_k {found.skewness:.1f} (chance {chance.skewness:.1f})"
        lines.append(f"Hubs, K = {k}: {top}, {skewness}")
        return [*lines, *self._reads(k)]

    def _reads(self, k: int) -> list[str]:
        """What is read, over the whole split: how many of the shown pairs are relevant, and where the weight goes."""
        if self.read is None:
            return []
        lines, places = [], range(len(self.tweets))
        pairs = [(i, other, self._weights[i][other]) for i in places for other, _ in self._images(i)[1 : k + 1]]
        if self.knows_truth:
            fits = [bool(self._relevant(i, other)) for i, other, _ in pairs]
            others = [fit for fit, (i, other, _) in zip(fits, pairs, strict=True) if other != i]
            read = [fit for fit, (*_, weight) in zip(fits, pairs, strict=True) if weight >= READ]
            weights = [weight for *_, weight in pairs]
            lines.append(
                f"Of the {len(fits):,} shown pairs {_share(fits)} truly fit, own left out {_share(others)}; "
                f"of the {len(read):,} that are read {_share(read)}, by weight {_share(fits, weights)}"
            )
        ends = torch.tensor([self._ends(i, k) for i in places]).mean(0).tolist()
        named = zip(("the shown", "others of the pool", "nothing"), ends, strict=True)
        parts = ", ".join(f"{name} {share:.0%}" for name, share in named)
        return [*lines, f"Mean weight in reading a pool of {self.read.size:,}: {parts}"]

    def _ends(self, place: int, k: int) -> tuple[float, float, float]:
        """Where a post's weight goes when it reads: to its own image and the K mined ones, to others, to nothing."""
        assert self.read is not None
        shown = sum(self._weights[place][other] for other in {other for other, _ in self._images(place)[: k + 1]})
        nothing = float(self.read.nothing[place])
        return shown, max(0.0, 1 - shown - nothing), nothing

    def select(self, post: str | int) -> None:
        """Show a post, by its id or its place in the split; a ConfigError says that there is none.

        Filters that would hide it are cleared.
        """
        self._open(find(self.tweets, post))

    def to_frame(self) -> DataFrame:
        """The posts that pass the filters as a table: a row for each post and each of its K images.

        Columns: id, rank (from 1), mined (id), score, own (whether it is the post's own image), relevant (None where
        that is not known); and weight, with which it is read, for a model that reads.
        """
        import pandas as pd

        rows = [
            (self.tweets[place].id, rank, self.tweets[other].id, score, other == place, self._relevant(place, other))
            for place in self._visible
            for rank, (other, score) in enumerate(self._mined(place), 1)
        ]
        table = pd.DataFrame(rows, columns=["id", "rank", "mined", "score", "own", "relevant"])
        if self.read is not None:
            table["weight"] = [
                self._weights[place][other] for place in self._visible for other, _ in self._mined(place)
            ]
        return table

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
        places = self._visible[:limit]
        title = f"K = {self.k} images mined for {len(places)} of {len(self.tweets):,} posts of {self.name}"
        ranks = {place: range(1 + len(self._mined(place))) for place in places}
        sections = [(self._post(place), [self._card(place, rank) for rank in ranks[place]]) for place in places]
        write_atomically(path, f"{render('page', title=title, summary=self.summary(), sections=sections)}\n".encode())
        return Path(path)

    @look()
    def static(self, count: int = 6, k: int | None = None) -> Figure:
        """A contact sheet: `count` posts from the shown one on, the images of each below its text: its own and the K best.

        Args:
            k: images for each post; K by default, and at most 8.
        """
        k = min(self.k if k is None else k, self.mining.k, 8)
        later = [place for place in self._visible if place > self._at]
        places = list(dict.fromkeys([self._at, *later, *self._visible]))[:count]
        summary = self.summary(k)
        more = 0 if self.read is None else 0.17  # a line below the post, and one below each image
        cell, gap, left, head, text, foot = (
            1.25,
            0.12,
            0.15,
            0.46 + 0.17 * len(summary),
            0.66 + more,
            0.48 + more,
        )  # inches
        rows = [self._images(place)[: k + 1] for place in places]
        pictures = [[Image.open(io.BytesIO(self._thumbnail(other)[0])) for other, _ in row] for row in rows]
        shapes = [[1.0 if self._captions else picture.height / picture.width for picture in row] for row in pictures]
        heights = [cell * min(1, max(row)) for row in shapes]
        plural = "s" if len(places) > 1 else ""
        framed = "; green frame: relevant" if self.knows_truth else ""
        title = f"The post's own image and the K = {k} mined for its text, {len(places)} post{plural}{framed}"
        width = max(2 * left + (k + 1) * (cell + gap), 7.5)
        sheet = Page(width, head + sum(heights) + (text + foot) * len(rows), title, margin=left)
        wide, high = sheet.get_size_inches()
        for number, line in enumerate(summary):
            sheet.write(left, high - 0.44 - 0.17 * number, line, 8, color=style.GREY)
        top = high - head
        for place, row, shown, height in zip(places, rows, pictures, heights, strict=True):
            tweet = self.tweets[place]
            gold = marked(tweet.words, self.gold[place]) if tweet.tags else "(not labelled)"
            predicted = marked(tweet.words, self.predicted[place])
            sheet.write(left, top - 0.14, tweet.id, 8, weight="bold")
            reads = [] if self.read is None else [(top - 0.66, "reads", self._reading(place, k))]
            for y, name, content in ((top - 0.32, "gold", gold), (top - 0.49, "predicted", predicted), *reads):
                sheet.write(left, y, name, 8, color=style.GREY)
                sheet.write(left + 0.68, y, content, 8)
            for rank, ((other, score), picture) in enumerate(zip(row, shown, strict=True)):
                x, y = left + rank * (cell + gap), top - text - height
                axes = sheet.panel(x, y, cell, height)
                if self._captions:
                    sheet.passage(x + 0.06, y + height - 0.06, cell - 0.1, height - 0.1, self._caption(other))
                else:
                    axes.imshow(picture)
                known = self._relevant(place, other) if rank else None
                frame = GOOD if known else PALE if rank else INK
                axes.spines[:].set(visible=True, color=frame, linewidth=2)
                sign = {True: "  ✓ relevant", False: "  ✗ not", None: ""}[known]
                name = f"{rank}" if rank else f"own, rank {self._own_rank(place):,}"
                caption = f"{name}: {score:.2f}{sign}\n{fitted(self.tweets[other].id, cell, 7.5)}"
                if self.read is not None:
                    caption += f"\n{_with(self._weights[place][other])}"
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
        images = []
        for other, score in self._mined(self._at):
            truth = {True: ", relevant", False: ", not relevant", None: ""}[self._relevant(self._at, other)]
            read = "" if self.read is None else f", {_with(self._weights[self._at][other])}"
            images.append(f"{self.tweets[other].id} ({score:.2f}{truth}{read})")
        words = shortened(" ".join(self.selected.words), 120)
        reads = [] if self.read is None else [f"Reads {self._reading(self._at, self.k)}"]
        sentences = ". ".join([*reads, *self.summary()])
        return f"Post {self.selected.id}: {words} — mined images: {', '.join(images)}. {sentences}"

    # ---- facts about each post ----

    def _kinds_of(self, place: int) -> set[str]:
        """What the filters choose a post by: its entity types, "right" or "wrong", what its own image is, and "any"."""
        tweet, gold, predicted = self.tweets[place], self.gold[place], self.predicted[place]
        kinds = {ANY, *(entity.type for entity in (gold if tweet.tags else predicted))}
        if tweet.tags:
            kinds.add("right" if gold == predicted else "wrong")
        if not tweet.caption if self._captions else tweet.image is None and not tweet.crops:
            kinds.add("missing")
        elif self.knows_truth:
            kinds.add("related" if tweet.truth is not None and tweet.truth.related else "unrelated")
        return kinds

    def _row(self, place: int) -> Mined:
        """What was mined for a post."""
        if place not in self._found:
            self._found[place] = self.mining[[place]]
        return self._found[place]

    def _own_rank(self, place: int) -> int:
        """The rank of a post's own image, from 1."""
        return int(self._row(place).own_rank) + 1

    def _images(self, place: int) -> list[tuple[int, float]]:
        """The places and scores of a post's images: its own, then the mined ones, the best first."""
        row = self._row(place)
        pairs = zip(row.index[0].tolist(), row.score[0].tolist(), strict=True)
        return [(place, float(row.own_score)), *(pair for pair in pairs if pair[0] >= 0)]

    def _mined(self, place: int) -> list[tuple[int, float]]:
        """The places and scores of a post's K images, the best first."""
        return self._images(place)[1 : self.k + 1]

    def _reading(self, place: int, k: int) -> str:
        """Where a post's weight goes when it reads."""
        shown, others, nothing = self._ends(place, k)
        return f"nothing: {nothing:.0%}; the images shown: {shown:.0%}; others of the pool: {others:.0%}"

    def _caption(self, place: int) -> str:
        return self.tweets[place].caption or "(no caption)"

    def _relevant(self, place: int, other: int) -> bool | None:
        return relevant(self.tweets[place], self.tweets[other]) if self.knows_truth else None

    # ---- the page ----

    def _build(self, k: int) -> None:
        def button(name: str, press: Callable[[], None], width: str, **options: Any) -> Any:
            return control(Button, name, width, press=self.guard(press), **options)

        def choice(name: str, description: str, tooltip: str, *options: str) -> Any:
            labels = {"options": (ANY, *options), "description": description, "tooltip": tooltip}
            return control(widgets.Dropdown, f"filter-{name}", "200px", "75px", **labels)

        self._previous = button("prev", lambda: self._step(-1), "100px", description="◀ Previous")
        self._next = button("next", lambda: self._step(1), "100px", description="Next ▶")
        self._position = post_slider(len(self.tweets))
        bounds = {"value": k, "min": 1, "max": self.mining.k, "tooltip": "How many mined images are shown"}
        self._k = control(widgets.IntSlider, "k", "260px", "20px", description="K", **bounds)
        tooltip = "Write the posts that pass the filters into the working directory"
        self._export_button = button("export", self._export, "110px", description="Export CSV", tooltip=tooltip)
        self._type = choice("type", "Entity", "Posts with an entity of this type", *self._types)
        self._right = choice("right", "Prediction", "right: exactly the gold entities", "right", "wrong")
        images = OWN_IMAGE if self.knows_truth else ("missing",)
        tooltip = "Whether the post's own image belongs to its text, where that is known"
        self._image = choice("image", "Image", tooltip, *images)
        hint = {"placeholder": "id or word, then Enter", "continuous_update": False}
        self._search = control(widgets.Text, "search", "260px", "55px", description="Search", **hint)
        self._status = control(widgets.HTML, "status")
        self._post_view = control(widgets.HTML, "post-view", "calc(100% - 8px)")
        card = {"width": f"{CARD}px"}
        self._own_view = control(widgets.HTML, "own", layout={**card, "margin": "0 16px 0 0", "flex": "0 0 auto"})
        self._cards, self._opens, self._pool = [], [], []  # for each rank: the card, its button, and both in a box
        for rank in range(1, self.mining.k + 1):
            self._cards.append(widgets.HTML(layout={**card, "margin": "0 0 2px 0"}))
            opens = button("open", lambda rank=rank: self._open(self._images(self._at)[rank][0]), f"{CARD}px")
            opens.description, opens.layout.margin = "Open this post", "0"
            self._opens.append(opens)
            layout = {**card, "margin": "0 8px 8px 0", "overflow": "visible"}
            self._pool.append(control(widgets.VBox, "mined", children=[self._cards[-1], opens], layout=layout))
        top = {"align_items": "flex-start"}
        pool = widgets.Box(self._pool, layout={**top, "flex_flow": "row wrap", "flex": "1 1 0%"})
        self.arrange(
            [self._previous, self._position, self._next, self._k, self._export_button],
            [self._type, self._right, self._image, self._search],
            self._status,
            self._post_view,
            widgets.HBox([self._own_view, pool], layout=top),
        )
        self.on_change(lambda: self._show(self._visible[self._position.value - 1]), self._position)
        self.on_change(self._draw_cards, self._k)
        self.on_change(self._filter, self._type, self._right, self._image, self._search)

    def _filter(self) -> None:
        """Choose the posts that pass all filters, and stay at the shown one if it does."""
        chosen = {self._type.value, self._right.value, self._image.value}
        needle = self._search.value.strip().lower()
        posts = enumerate(zip(self._kinds, self._texts, strict=True))
        self._visible = [place for place, (kinds, text) in posts if chosen <= kinds and needle in text]
        with self.setting():
            self._position.max = max(1, len(self._visible))
        self._show(self._at if self._at in self._visible or not self._visible else self._visible[0])

    def _step(self, by: int) -> None:
        self._position.value += by  # stops at either end

    def _open(self, place: int) -> None:
        if place in self._visible:
            self._show(place)
            return
        with self.setting():
            self._type.value = self._right.value = self._image.value = ANY
            self._search.value = ""
        self._at = place
        self._filter()

    def _show(self, place: int) -> None:
        """Fill the page with one post. The widgets stay; only their content changes."""
        self._at = place
        count = len(self._visible)
        with self.setting():
            self._position.value = bisect.bisect(self._visible, place)  # from 1; the slider's least where none fits
            self._position.disabled = not count
            self._previous.disabled = self._position.value == 1
            self._next.disabled = self._position.value == max(1, count)
        self._own_view.value = self._card(self._at)
        self._draw_cards()

    def _say(self, note: str = "") -> None:
        """Fill the lines below the filters."""
        counts = {"place": self._position.value, "visible": len(self._visible), "count": len(self.tweets)}
        self._status.value = render("place", note=note, summary=self.summary(), **counts)

    def _draw_cards(self) -> None:
        self._post_view.value = self._post(self._at)  # what is read of the shown depends on K
        for rank, box in enumerate(self._pool, 1):
            box.layout.display = None if rank <= len(self.mined) else "none"
        self._say()
        for rank, other in enumerate(self.mined, 1):
            self._cards[rank - 1].value = self._card(self._at, rank)
            self._opens[rank - 1].tooltip = f"Show post {other}"

    def _export(self) -> None:
        target = self.to_csv(Path.cwd() / f"mgips-pairs-{self.name}.csv")
        self._say(f"{len(self._visible) * self.k:,} rows are in {target}")

    def _post(self, place: int) -> Markup:
        kinds = self._kinds[place]
        image = next((kind for kind in OWN_IMAGE if kind in kinds), "") if self.knows_truth else ""
        tags = {"gold": self.gold[place], "predicted": self.predicted[place], "right": "right" in kinds}
        reads = "" if self.read is None else self._reading(place, self.k)
        return render("post", tweet=self.tweets[place], image=image, reads=reads, **tags)

    def _card(self, place: int, rank: int = 0) -> Markup:
        """The card of a mined image, by its rank from 1, or of the post's own image."""
        other, score = self._images(place)[rank]
        image = {"thumbnail": self._thumbnail(other), "own": other == place, "relevant": self._relevant(place, other)}
        numbers = {"rank": rank, "score": score, "own_rank": self._own_rank(place), "count": len(self.tweets)}
        image["caption"] = self._caption(other) if self._captions else None
        image["read"] = "" if self.read is None else _with(self._weights[place][other])
        return render("card", tweet=self.tweets[other], **image, **numbers)


def _with(weight: float) -> str:
    """A weight in words."""
    return f"read with {weight:.0%}" if weight else "not read"


def _share(chosen: Sequence[bool], weights: Sequence[float] | None = None) -> str:
    """The share of those that are chosen, of all or of all their weights."""
    weights = [1.0] * len(chosen) if weights is None else weights
    total = sum(weights)
    return f"{sum(itertools.compress(weights, chosen)) / total:.0%}" if total else "none"
