"""The image-swap inspector: the same words with another picture, and what every variant then answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from mgips.data.batch import TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.pictures import open_picture
from mgips.data.spans import spans
from mgips.errors import ConfigError, DataError
from mgips.lab.counterfactual import blank, noise, same_type, shuffled, with_pictures_of
from mgips.lab.figures import style
from mgips.lab.figures.cases import draw_picture, draw_post, post_height, verdicts
from mgips.lab.figures.text import fitted
from mgips.lab.stats import flips
from mgips.lab.widgets.base import ModelInspector, figure, look
from mgips.lab.widgets.html import marked
from mgips.mining import best_of_others
from mgips.model.mgips import MGIPS

OWN, UPLOAD = "own", "upload"


def inspect_swap(models: Mapping[str, MGIPS], corpus_or_tweets: Corpus | Sequence[Tweet]) -> SwapInspector:
    """Give a post another picture, and see which variants answer otherwise, and what their gates and attention do.

    Args:
        models: trained models by what they are called, in the order in which they are shown.
        corpus_or_tweets: posts; of a corpus, its test split.

    Raises:
        ConfigError: no models, or no posts.
    """
    return SwapInspector(
        models, corpus_or_tweets.test if isinstance(corpus_or_tweets, Corpus) else tuple(corpus_or_tweets)
    )


@dataclass(frozen=True)
class Answer:
    """What one model makes of one post with one picture."""

    tags: list[str]
    """One a word."""
    gate: float | None
    """Mean of I over the post's words and over features (eq. 12): 1 keeps the features from before the fusion. None
    for a model without a gate."""
    image: float | None
    """Share of its words' attention that goes to the image, mean over layers and heads (eqs 2-4). None for a model
    without images."""


class SwapInspector(ModelInspector):
    """See `inspect_swap`. `selected` is the post as it is, `swapped` the same with the chosen picture."""

    def __init__(self, models: Mapping[str, MGIPS], tweets: Sequence[Tweet]) -> None:
        if not models:
            raise ConfigError("There are no models to compare; give at least one, by its name.")
        super().__init__("mgips-swap", next(iter(models.values())), tweets)
        self.models = dict(models)
        self._kinds: dict[str, Callable[[], Sequence[Tweet]]] = {
            OWN: lambda: self.tweets,
            "blank": lambda: blank(self.tweets),
            "noise": lambda: noise(self.tweets),
            "shuffled": lambda: shuffled(self.tweets),
            "same type": lambda: same_type(self.tweets)[0],
        }
        pictures = sum(tweet.image is not None for tweet in self.tweets)
        if pictures > 1 and any(model.config.contrast for model in models.values()):
            self._kinds["mined"] = self._mined
        self._swapped: dict[str, Sequence[Tweet]] = {}
        self._uploaded: object = None
        self._answers: dict[tuple[str, int, str], Answer] = {}
        self.image = widgets.Dropdown(
            options=list(self._kinds),
            description="Picture",
            tooltip="own; blank: the default image; noise: random pixels; shuffled: another post's; same type: of a post "
            "that names the same types; mined: the best that another post has, by the first model that mines",
            layout=widgets.Layout(width="220px"),
            style={"description_width": "60px"},
        )
        self.image.add_class("mgips-image")
        self.upload = widgets.FileUpload(
            accept="image/*", description="Upload a picture", layout=widgets.Layout(width="190px")
        )
        self.upload.add_class("mgips-upload")
        self.begin([[self.post, self.image, self.upload]])
        self.upload.observe(self.guard(self._take), "value")  # after `begin`'s, which would clear its error

    @property
    def swapped(self) -> Tweet:
        """The shown post with the chosen picture."""
        kind = self.image.value
        if kind == UPLOAD:
            return replace(self.selected, image=self._uploaded, crops=())
        if kind not in self._swapped:
            self._swapped[kind] = self._kinds[kind]()
        return self._swapped[kind][self.post.value - 1]

    def answers(self) -> dict[str, tuple[Answer, Answer]]:
        """What each model makes of the post with its own picture, and with the chosen one."""
        return {
            name: (self._answer(name, OWN, self.selected), self._answer(name, self.image.value, self.swapped))
            for name in self.models
        }

    def flipped(self) -> list[str]:
        """The models whose tags differ between the two pictures."""
        return [name for name, (own, other) in self.answers().items() if flips([own.tags], [other.tags])[0]]

    def _mined(self) -> list[Tweet]:
        """Each post with the most relevant picture of another post, by the first model that mines."""
        model = next(model for model in self.models.values() if model.config.contrast)
        data = TweetDataset(self.tweets, model.batcher, progress=False)
        return with_pictures_of(self.tweets, best_of_others(model, data, progress=False))

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
        self._answers = {key: answer for key, answer in self._answers.items() if key[2] != UPLOAD}
        with self.setting():
            self.image.options = [*self._kinds, UPLOAD]
            self.image.value = UPLOAD
        self.redraw()

    def _answer(self, name: str, kind: str, tweet: Tweet) -> Answer:
        key = name, self.post.value, kind
        if key not in self._answers:
            model = self.models[name]
            batch = model.batcher([tweet]).to(model.device)
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
            self._answers[key] = Answer(tags, gate, image)
        return self._answers[key]

    # ---- what is shown ----

    def _finding(self) -> str:
        if self.image.value == OWN:
            return f"Post {self.selected.id} with its own picture"
        flipped = self.flipped()
        told = f"{len(flipped)} of {len(self.models)} answer otherwise" + (f": {', '.join(flipped)}" if flipped else "")
        return f"Post {self.selected.id} with the picture “{self.image.value}”: {told}"

    def describe(self) -> str:
        """Every model's answer with the chosen picture, in words."""
        words = self.selected.words
        told = [f"{self._finding()}."]
        if self.selected.tags:
            told.append(f"Gold: {marked(words, spans(words, self.selected.tags))}.")
        for name, (own, other) in self.answers().items():
            entities = ", ".join(f"{s.text} {s.type}" for s in spans(words, other.tags)) or "no entity"
            numbers = [f"gate {own.gate:.3f} to {other.gate:.3f}"] if own.gate is not None else []
            numbers += [f"attention to the image {own.image:.1%} to {other.image:.1%}"] if own.image is not None else []
            told.append(f"{name}: {entities}" + (f" ({'; '.join(numbers)})" if numbers else "") + ".")
        return " ".join(told)

    def picture(self) -> Figure:
        """Both pictures, the post, and a row for each model."""
        with look():
            return self._draw()

    def _draw(self) -> Figure:
        width, margin, side, line = 10.0, 0.15, 1.45, 0.27
        tweet, found = self.selected, self.answers()
        gold, room = spans(tweet.words, tweet.tags), width - 2 * margin
        height = 1.2 + post_height(tweet.words, gold, room) + side + line * (len(found) + 1) + 0.2
        drawn = figure(width, height)

        def write(x: float, y: float, content: str, points: float = 9, room: float = width, **how) -> None:
            content = fitted(content, min(room, width - margin - x), points)
            drawn.text(x / width, y / height, content, fontsize=points, parse_math=False, va="center", **how)

        title = fitted(self._finding(), room, 11)
        drawn.suptitle(title, x=margin / width, y=1 - 0.1 / height, ha="left", va="top", fontsize=11, parse_math=False)
        y = height - 0.5
        y -= draw_post(drawn, margin, y, tweet.words, gold, room) + 0.05
        for column, (one, caption) in enumerate(((tweet, "own picture"), (self.swapped, f"shown: {self.image.value}"))):
            x = margin + column * (side + 0.4)
            write(x, y - 0.1, caption)
            draw_picture(drawn, x, y - 0.25, side, one, "black" if column else "#cccccc")
        y -= side + 0.55
        lefts = (margin, 1.6, 4.35, 7.1, 8.05, 9.1)
        for x, name in zip(
            lefts, ("", "with its own picture", "with the shown one", "gate", "to image", "flipped"), strict=True
        ):
            write(x, y, name, weight="bold")
        for number, (name, (own, other)) in enumerate(found.items(), 1):
            here = y - line * number
            write(lefts[0], here, name, room=lefts[1] - margin - 0.1)
            for x, one in zip(lefts[1:], (own, other), strict=False):
                write(x, here, self._told(one), room=2.65)
            for x, before, after, form in (
                (lefts[3], own.gate, other.gate, ".2f"),
                (lefts[4], own.image, other.image, ".0%"),
            ):
                write(x, here, "–" if before is None else f"{before:{form}} → {after:{form}}")
            turned = flips([own.tags], [other.tags])[0]
            write(lefts[5], here, "yes" if turned else "no", color=style.IMAGE if turned else style.GREY)
        note = (
            "✓ ✗ each gold entity. gate: mean of I, eq. 12; to image: share of the words' attention; both own → shown."
        )
        write(margin, 0.15, note, 8, color=style.GREY)
        return drawn

    def _told(self, answer: Answer) -> str:
        """An answer in a line: "✓ PER  ✗ LOC", or the entities where nobody has labelled the post."""
        if self.selected.tags:
            found = verdicts(self.selected.tags, answer.tags)
            told = "  ".join(f"{'✓' if right else '✗'} {said}" for said, right in found)
        else:
            told = ", ".join(f"{span.text} {span.type}" for span in spans(self.selected.words, answer.tags))
        return told or "no entity"
