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

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.pictures import open_picture
from mgips.data.spans import spans
from mgips.errors import ConfigError, DataError
from mgips.lab.counterfactual import blank, noise, same_type, shuffled, with_pictures_of
from mgips.lab.figures import style
from mgips.lab.figures.cases import draw_picture, draw_post, post_height, verdicts
from mgips.lab.widgets.base import ModelInspector, Page, control
from mgips.lab.widgets.html import marked
from mgips.mining import best_of_others
from mgips.model.mgips import MGIPS

OWN, MINED, UPLOAD = "own", "mined", "upload"
MAKERS: dict[str, Callable[[Sequence[Tweet]], Sequence[Tweet]]] = {
    OWN: tuple,
    "blank": blank,
    "noise": noise,
    "shuffled": shuffled,
    "same type": lambda tweets: same_type(tweets)[0],
}
"""Replace the pictures of all posts, one way for each kind of picture."""


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


class SwapInspector(ModelInspector):
    """A post with another picture: which variants change their prediction, their gate and their attention.

    `selected` is the post as it is, `swapped` the same with the chosen picture.
    """

    def __init__(self, models: Mapping[str, MGIPS], corpus_or_tweets: Corpus | Sequence[Tweet]) -> None:
        """
        Args:
            models: trained models by name, in the order in which they are shown.
            corpus_or_tweets: posts; of a corpus, its test split.

        Raises:
            ConfigError: no models, or no posts.
        """
        if not models:
            raise ConfigError("There are no models to compare; give at least one, by its name.")
        tweets = corpus_or_tweets.test if isinstance(corpus_or_tweets, Corpus) else corpus_or_tweets
        super().__init__("mgips-swap", next(iter(models.values())), tweets)
        self.models = dict(models)
        pictures = sum(tweet.image is not None for tweet in self.tweets)
        mines = pictures > 1 and any(model.config.contrast for model in models.values())
        self._kinds = [*MAKERS, MINED] if mines else [*MAKERS]
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
        self.begin([self.post, self.image, self.upload])
        self.on_change(self._take, self.upload)  # after `begin`, whose handler would clear this one's error

    @property
    def swapped(self) -> Tweet:
        """The shown post with the chosen picture."""
        return self._with_picture(self.image.value)

    def _with_picture(self, kind: str) -> Tweet:
        if kind == UPLOAD:
            return replace(self.selected, image=self._uploaded, crops=())
        return self._posts(kind)[self.post.value - 1]

    def answers(self) -> dict[str, tuple[Answer, Answer]]:
        """Each model's answer for the post with its own picture, and with the chosen one."""
        place, kind = self.post.value - 1, self.image.value
        return {name: (self._answer(name, place, OWN), self._answer(name, place, kind)) for name in self.models}

    def flipped(self) -> list[str]:
        """The models whose tags differ between the two pictures."""
        return [name for name, (own, other) in self.answers().items() if own.tags != other.tags]

    def _make(self, kind: str) -> Sequence[Tweet]:
        """All posts, each with a picture of this kind."""
        if kind in MAKERS:
            return MAKERS[kind](self.tweets)
        model = next(model for model in self.models.values() if model.config.contrast)
        data = TweetDataset(self.tweets, model.batcher, progress=False)
        return with_pictures_of(self.tweets, best_of_others(model, data, progress=False).tolist())

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

    def _predict(self, name: str, place: int, kind: str) -> Answer:
        model = self.models[name]
        batch = model.batcher([self._with_picture(kind)]).to(model.device)
        with model.evaluating():
            out = model(batch, attention=True)
            (tags,) = model.decode(out, batch)
        first = batch.first[0]
        gate = None if out.text_gate is None else float(out.text_gate[0, first].mean())
        image = None
        if model.image_embedding is not None:
            n = batch.pieces.shape[1]  # the last n keys are the text's own (eq. 2)
            shares = [layer.text[0][:, first, :-n].sum(-1).mean() for layer in out.attention]
            image = float(torch.stack(shares).mean())
        return Answer(tags, gate, image)

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
            sentences.append(f"{name}: {self._entities(other)}" + (f" ({'; '.join(numbers)})" if numbers else ""))
        return ". ".join(sentences) + "."

    def draw(self) -> Figure:
        """Both pictures, the post, and a row for each model."""
        width, margin, side, line = 10.0, 0.15, 1.45, 0.27
        tweet, answers = self.selected, self.answers()
        gold, room = spans(tweet.words, tweet.tags), width - 2 * margin
        height = 1.2 + post_height(tweet.words, gold, room) + side + line * (len(answers) + 1) + 0.2
        page = Page(width, height, self._title(), margin)
        write = functools.partial(page.write, va="center")
        y = height - 0.5
        y -= draw_post(page, margin, y, tweet.words, gold, room) + 0.05
        pictures = (tweet, "own picture", "#cccccc"), (self.swapped, f"shown: {self.image.value}", "black")
        for column, (pictured, caption, frame) in enumerate(pictures):
            x = margin + column * (side + 0.4)
            write(x, y - 0.1, caption)
            draw_picture(page, x, y - 0.25, side, pictured, frame)
        y -= side + 0.55
        lefts = (margin, 1.6, 4.35, 7.1, 8.05, 9.1)
        titles = ("", "with its own picture", "with the shown one", "gate", "to image", "flipped")
        for x, title in zip(lefts, titles, strict=True):
            write(x, y, title, weight="bold")
        for name, (own, other) in answers.items():
            y -= line
            write(lefts[0], y, name, room=lefts[1] - margin - 0.1)
            write(lefts[1], y, self._verdicts(own), room=2.65)
            write(lefts[2], y, self._verdicts(other), room=2.65)
            write(lefts[3], y, "–" if own.gate is None else f"{own.gate:.2f} → {other.gate:.2f}")
            write(lefts[4], y, "–" if own.image is None else f"{own.image:.0%} → {other.image:.0%}")
            flipped = own.tags != other.tags
            write(lefts[5], y, "yes" if flipped else "no", color=style.IMAGE if flipped else style.GREY)
        columns = "gate: mean of I, eq. 12; to image: share of the words' attention; both own → shown."
        write(margin, 0.15, f"✓ ✗ each gold entity. {columns}", 8, color=style.GREY)
        return page

    def _verdicts(self, answer: Answer) -> str:
        """An answer in a line: "✓ PER  ✗ LOC", or the entities where the post is not labelled."""
        if self.selected.tags:
            marks = [f"{'✓' if right else '✗'} {text}" for text, right in verdicts(self.selected.tags, answer.tags)]
            return "  ".join(marks) or "no entity"
        return self._entities(answer)

    def _entities(self, answer: Answer) -> str:
        entities = spans(self.selected.words, answer.tags)
        return ", ".join(f"{span.text} {span.type}" for span in entities) or "no entity"


inspect_swap = SwapInspector
