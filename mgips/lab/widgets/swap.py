"""The image-swap inspector: the same words with another picture, and what every variant then predicts."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from PIL import Image

from mgips.config import CAPTIONS
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.pictures import open_picture
from mgips.data.spans import spans
from mgips.errors import ConfigError, DataError
from mgips.lab.counterfactual import blank, noise, same_type, seen, shuffled, with_pictures_of
from mgips.lab.figures import style
from mgips.lab.figures.cases import draw_picture, draw_post, post_height, verdicts
from mgips.lab.widgets.base import Inspected, ModelInspector, Page, control, loaded
from mgips.lab.widgets.html import marked
from mgips.mining import best_of_others
from mgips.model.mgips import MGIPS, READS_NOTHING
from mgips.model.reading import Pool, joined

OWN, NOISE, MINED, UPLOAD = "own", "noise", "mined", "upload"
MAKERS: dict[str, Callable[[Sequence[Tweet]], Sequence[Tweet]]] = {
    OWN: tuple,
    "blank": blank,
    NOISE: noise,
    "shuffled": shuffled,
    "same type": lambda tweets: same_type(tweets)[0],
}
"""Replace the pictures of all posts, one way for each kind of picture."""


@dataclass(frozen=True)
class Looked:
    """What a model that reads has read for one post."""

    nothing: float
    """The weight of reading nothing, in [0, 1]."""
    best: tuple[str, float] | None
    """The id of the post whose picture has the largest weight, and that weight; None where no picture is read."""
    without: list[str]
    """The tags without a pool, from the shown picture alone."""


@dataclass(frozen=True)
class Answer:
    """What one model predicts for one post with one picture, and how much it uses the picture."""

    tags: list[str]
    """One for each word."""
    gate: float | None
    """Mean of I over the post's words and over features (eq. 12): 1 keeps the features from before the fusion. None
    for a model without a gate."""
    image: float | None
    """Share of its words' attention that goes to the image, mean over layers and heads (eqs 2-4). None for a model
    without images."""
    read: Looked | None = None
    """None for a model that reads nothing."""


class SwapInspector(ModelInspector):
    """A post with another picture: which variants change their prediction, their gate and their attention.

    `selected` is the post as it is, `swapped` the same with the chosen picture. A model that reads finds the post as it
    is shown among all others as they are: its true picture is not in the pool while another is shown.
    """

    def __init__(
        self,
        models: Mapping[str, Inspected],
        corpus_or_tweets: Corpus | Sequence[Tweet],
        pool: Pool | Sequence[Tweet] | None = None,
    ) -> None:
        """
        Args:
            models: trained models by name, in the order in which they are shown; or runs, or folders or names of either.
            corpus_or_tweets: posts; of a corpus, its test split.
            pool: what those that read may read, a pool or posts to build one from; by default the pictures of all
                these posts.

        Raises:
            ConfigError: no models, no posts, a pool where no model reads, or one that other weights have built.
        """
        if not models:
            raise ConfigError("There are no models to compare; give at least one, by its name.")
        tweets = corpus_or_tweets.test if isinstance(corpus_or_tweets, Corpus) else corpus_or_tweets
        self.models = {name: loaded(model) for name, model in models.items()}
        readers = [model for model in self.models.values() if model.reader is not None]
        if pool is not None and not readers:
            raise ConfigError(READS_NOTHING)
        super().__init__("mgips-swap", next(iter(self.models.values())), tweets, pool)
        self._whole = pool is None
        """Whether every post is in the pool, if it has a picture."""
        for model in readers:
            self.pool(model)  # now, where an error can be raised
        looks = [model.config.image_encoder == CAPTIONS for model in self.models.values() if model.config.images]
        self._sees = [
            side for side, there in (("picture", not all(looks) or not looks), ("caption", any(looks))) if there
        ]
        """What is drawn of a post: its picture, its caption, or both, as the models look at them."""
        self._miner = next(filter(self._mines, self.models.values()), None)
        self._kinds = [kind for kind in MAKERS if kind != NOISE or "picture" in self._sees]
        self._kinds += [MINED] if self._miner is not None else []
        self._posts = functools.cache(self._make)
        self._uploaded: Image.Image | None = None
        self._answer = functools.cache(self._predict)
        tooltip = (
            "own; blank: the default image; noise: random pixels; shuffled: another post's; same type: from a post with "
            "the same entity types; mined: the most relevant one of another post, by the first model that mines"
        )
        choice = {"options": self._kinds, "description": "Picture", "tooltip": tooltip}
        self.image = control(widgets.Dropdown, "image", "220px", "60px", **choice)
        self.upload = control(widgets.FileUpload, "upload", "190px", accept="image/*", description="Upload a picture")
        self.upload.disabled = "picture" not in self._sees
        self.begin([self.post, self.image, self.upload])
        self.on_change(self._take, self.upload)  # after `begin`, whose handler would clear this one's error

    @property
    def swapped(self) -> Tweet:
        """The shown post with the chosen picture."""
        return self._with_picture(self.image.value)

    def _with_picture(self, kind: str) -> Tweet:
        if kind == UPLOAD:
            return replace(self.selected, image=self._uploaded, crops=(), caption="")
        return self._posts(kind)[self.post.value - 1]

    def answers(self) -> dict[str, tuple[Answer, Answer]]:
        """Each model's answer for the post with its own picture, and with the chosen one."""
        place, kind = self.post.value - 1, self.image.value
        return {name: (self._answer(name, place, OWN), self._answer(name, place, kind)) for name in self.models}

    def flipped(self) -> list[str]:
        """The models whose tags differ between the two pictures."""
        return [name for name, (own, other) in self.answers().items() if own.tags != other.tags]

    def _mines(self, model: MGIPS) -> bool:
        return model.image_head is not None and sum(seen(t, model.config) is not None for t in self.tweets) > 1

    def _make(self, kind: str) -> Sequence[Tweet]:
        """All posts, each with a picture of this kind."""
        if kind in MAKERS:
            return MAKERS[kind](self.tweets)
        assert self._miner is not None
        data = TweetDataset(self.tweets, self._miner.batcher, progress=False)
        return with_pictures_of(self.tweets, best_of_others(self._miner, data, progress=False).tolist())

    def _take(self) -> None:
        """Read the file that was uploaded, and show it; a file that cannot be read changes nothing."""
        if not self.upload.value:
            return
        file = self.upload.value[-1]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload"
            path.write_bytes(file["content"])
            try:
                self._uploaded = open_picture(path)
            except DataError as error:
                raise DataError(str(error).replace(str(path), file["name"])) from None
        self._answer.cache_clear()  # it may hold answers for the upload before this one
        with self.setting():
            self.image.options = [*self._kinds, UPLOAD]
            self.image.value = UPLOAD
        self.redraw()

    def _pool_with(self, model: MGIPS, tweet: Tweet) -> Pool | None:
        """What a model may read while a post is shown: the post as it is shown, and all others of the pool."""
        pool = None if model.reader is None else self.pool(model)
        if pool is None or tweet is self.selected:
            return pool
        rest = pool.take(torch.tensor([id != tweet.id for id in pool.ids], dtype=torch.bool))
        return joined([rest, model.pool([tweet])]) if self._whole or len(rest) < len(pool) else pool

    def _predict(self, name: str, place: int, kind: str) -> Answer:
        model, tweet = self.models[name], self._with_picture(kind)
        batch = model.batcher([tweet]).to(model.device)
        pool = self._pool_with(model, tweet)
        read = None
        with model.evaluating():
            out = model(batch, attention=True, pool=pool)
            (tags,) = model.decode(out, batch)
            if out.reading is not None and pool is not None:
                *weights, nothing = out.reading.weights[0].tolist()
                most = max(range(len(weights)), key=weights.__getitem__, default=0)
                best = (pool.ids[most], weights[most]) if any(weights) else None
                (without,) = model.decode(model(batch, read_batch=False), batch)
                read = Looked(nothing, best, without)
        first = batch.first[0]
        gate = None if out.text_gate is None else float(out.text_gate[0, first].mean())
        image = None
        if model.image_embedding is not None:
            n = batch.pieces.shape[1]  # the last n keys are the text's own (eq. 2)
            shares = [layer.text[0][:, first, :-n].sum(-1).mean() for layer in out.attention]
            image = float(torch.stack(shares).mean())
        return Answer(tags, gate, image, read)

    # ---- the picture ----

    def _title(self) -> str:
        if self.image.value == OWN:
            return f"Post {self.selected.id} with its own picture"
        flipped = self.flipped()
        names = f": {', '.join(flipped)}" if flipped else ""
        change = f"{len(flipped)} of {len(self.models)} models change their prediction{names}"
        return f"Post {self.selected.id} with the picture “{self.image.value}”: {change}"

    def describe(self) -> str:
        """Every model's answer with the chosen picture, in words."""
        words = self.selected.words
        sentences = [self._title()]
        if self.selected.tags:
            sentences.append(f"Gold: {marked(words, spans(words, self.selected.tags))}")
        for name, (own, other) in self.answers().items():
            numbers = [f"gate {own.gate:.3f} to {other.gate:.3f}"] if own.gate is not None else []
            numbers += [f"attention to the image {own.image:.1%} to {other.image:.1%}"] if own.image is not None else []
            sentences.append(f"{name}: {self._entities(other.tags)}" + (f" ({'; '.join(numbers)})" if numbers else ""))
        sentences += [f"{name}: {line}" for name, line in self._readings().items()]
        return ". ".join(sentences) + "."

    def _readings(self) -> dict[str, str]:
        """For each model that reads, what it reads for the shown picture and whether that changes its answer."""
        lines = {}
        for name, (_, answer) in self.answers().items():
            if (read := answer.read) is not None:
                change = "the answer is the same without a pool"
                if read.without != answer.tags:
                    change = f"the answer changes through what is read, without a pool: {self._verdicts(read.without)}"
                best = f"“{read.best[0]}” with {read.best[1]:.0%}, " if read.best else ""
                lines[name] = f"it reads {best}nothing with {read.nothing:.0%}; {change}"
        return lines

    def draw(self) -> Figure:
        """Both pictures, the post, a row for each model, and a line for each that reads."""
        width, margin, side, line = 10.0, 0.15, 1.45, 0.27
        tweet, answers, readings = self.selected, self.answers(), self._readings()
        gold, room = spans(tweet.words, tweet.tags), width - 2 * margin
        below = line * len(readings) + (0.1 if readings else 0)
        height = 1.2 + post_height(tweet.words, gold, room) + side + line * (len(answers) + 1) + 0.2 + below
        page = Page(width, height, self._title(), margin)
        write = functools.partial(page.write, va="center")
        y = height - 0.5
        y -= draw_post(page, margin, y, tweet.words, gold, room) + 0.05
        pictures = (tweet, "own picture", "#cccccc"), (self.swapped, f"shown: {self.image.value}", "black")
        for column, (pictured, caption, frame) in enumerate(pictures):
            x = margin + column * ((side + 0.1) * len(self._sees) + 0.3)
            write(x, y - 0.1, caption)
            for place, shows in enumerate(self._sees):
                left = x + place * (side + 0.1)
                if shows == "picture":
                    draw_picture(page, left, y - 0.25, side, pictured, frame)
                else:
                    box = page.panel(left, y - 0.25 - side, side, side)
                    box.spines[:].set(visible=True, color=frame, linewidth=2)
                    says = pictured.caption or "(no caption)"
                    page.passage(left + 0.08, y - 0.33, side - 0.14, side - 0.14, says, 9)
        y -= side + 0.55
        lefts = (margin, 1.6, 4.35, 7.1, 8.05, 9.1)
        titles = ("", "with its own picture", "with the shown one", "gate", "to image", "flipped")
        for x, title in zip(lefts, titles, strict=True):
            write(x, y, title, weight="bold")
        for name, (own, other) in answers.items():
            y -= line
            write(lefts[0], y, name, room=lefts[1] - margin - 0.1)
            write(lefts[1], y, self._verdicts(own.tags), room=2.65)
            write(lefts[2], y, self._verdicts(other.tags), room=2.65)
            write(lefts[3], y, "–" if own.gate is None else f"{own.gate:.2f} → {other.gate:.2f}")
            write(lefts[4], y, "–" if own.image is None else f"{own.image:.0%} → {other.image:.0%}")
            flipped = own.tags != other.tags
            write(lefts[5], y, "yes" if flipped else "no", color=style.IMAGE if flipped else style.GREY)
        y -= 0.1
        for name, reading in readings.items():
            y -= line
            write(margin, y, f"{name}: {reading}")
        columns = "gate: mean of I, eq. 12; to image: share of the words' attention; both own → shown."
        write(margin, 0.15, f"✓ ✗ each gold entity. {columns}", 8, color=style.GREY)
        return page

    def _verdicts(self, tags: Sequence[str]) -> str:
        """An answer in a line: "✓ PER  ✗ LOC", or the entities where the post is not labelled."""
        if self.selected.tags:
            marks = [f"{'✓' if right else '✗'} {text}" for text, right in verdicts(self.selected.tags, tags)]
            return "  ".join(marks) or "no entity"
        return self._entities(tags)

    def _entities(self, tags: Sequence[str]) -> str:
        entities = spans(self.selected.words, tags)
        return ", ".join(f"{span.text} {span.type}" for span in entities) or "no entity"


inspect_swap = SwapInspector
