"""The swap inspector: another picture or other words, and what every variant then predicts, and how surely."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from mgips.config import CAPTIONS
from mgips.data.batch import Batch, TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.pictures import Unreadable, decode, silenced
from mgips.data.spans import Span, spans
from mgips.data.text import half_character, words_of
from mgips.errors import ConfigError, DataError
from mgips.lab.counterfactual import blank, noise, same_type, seen, shuffled, with_pictures_of
from mgips.lab.figures import style
from mgips.lab.figures.cases import draw_picture, draw_post, post_height, verdicts
from mgips.lab.widgets.base import Button, Inspected, ModelInspector, Page, control, in_thread, loaded
from mgips.lab.widgets.html import marked, render, thumbnail
from mgips.lab.widgets.parts import Photo
from mgips.mining import best_of_others
from mgips.model.mgips import MGIPS, READS_NOTHING
from mgips.model.reading import Pool, joined
from mgips.model.tagging import marginals
from mgips.run import Run

OWN, NOISE, MINED, UPLOAD = "own", "noise", "mined", "upload"
MAKERS: dict[str, Callable[[Sequence[Tweet]], Sequence[Tweet]]] = {
    OWN: tuple,
    "blank": blank,
    NOISE: noise,
    "shuffled": shuffled,
    "same type": lambda tweets: same_type(tweets)[0],
}
"""Replace the pictures of all posts, one way for each kind of picture."""
PROBABLE = 0.01
"""Tags that are less probable everywhere are left out where several words are shown."""


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
    probabilities: tuple[dict[str, float], ...] = ()
    """P(y_t | X) of each tag, for each word inside the cut."""


class Counted(TweetDataset):
    """A split that counts how many of its posts were taken, and ends the call that takes them."""

    taken, ended = 0, False

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        if self.ended:
            raise CancelledError
        self.taken += len(indices)
        return super().__getitem__(indices)


class SwapInspector(ModelInspector):
    """A post with another picture or other words: which variants change their prediction, how probable each tag is, and
    what the gate and the attention do.

    `selected` is the post with its own picture, `swapped` the same with the chosen one; both have the words that were
    typed. A model that reads finds the post as it is shown among all others as they are: its true picture is not in the
    pool while another is shown.
    """

    def __init__(
        self,
        models: Inspected | Mapping[str, Inspected],
        corpus_or_tweets: Corpus | Sequence[Tweet],
        pool: Pool | Sequence[Tweet] | None = None,
    ) -> None:
        """
        Args:
            models: a model, a run, or the folder or name of either; or several by name, in the order to be shown in.
            corpus_or_tweets: posts; of a corpus, its test split.
            pool: what those that read may read, a pool or posts to build one from; by default the pictures of all
                these posts.

        Raises:
            ConfigError: no models, no posts, a pool where no model reads, or one that other weights have built.
            RunError: a folder or name without a model.
        """
        named = models if isinstance(models, Mapping) else {_name_of(models): models}
        if not named:
            raise ConfigError("There are no models to compare; give at least one, by its name.")
        tweets = corpus_or_tweets.test if isinstance(corpus_or_tweets, Corpus) else corpus_or_tweets
        self.models = {name: loaded(model) for name, model in named.items()}
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
        """What is shown of a post: its picture, its caption, or both, as the models look at them."""
        self._miner = next(filter(self._mines, self.models.values()), None)
        self._kinds = [kind for kind in MAKERS if kind != NOISE or "picture" in self._sees]
        self._kinds += [MINED] if self._miner is not None else []
        self._made = functools.cache(lambda kind: MAKERS[kind](self.tweets))
        self._mined: Sequence[Tweet] | None = None
        self._mining = False
        """Whether the work that was begun last mines."""
        self._photo: tuple[str, Image.Image] | None = None
        """The uploaded one: the name of its file, and its pixels."""
        self._edits: dict[int, tuple[str, ...]] = {}
        """The words that were typed, by the place of their post."""
        self._word: int | None = None
        """The place of the word that was picked."""
        self._answer = functools.lru_cache(1024)(self._predict)
        tooltip = (
            "own; blank: the default image; noise: random pixels; shuffled: another post's; same type: from a post with "
            "the same entity types; mined: the most relevant one of another post, by the first model that mines"
        )
        choice = {"options": self._kinds, "description": "Picture", "tooltip": tooltip}
        self.image = control(widgets.Dropdown, "image", "220px", "60px", **choice)
        photo = {"taken": self._take, "refused": self._refuse, "description": "Upload a photo"}
        self.upload = control(Photo, "upload", disabled="picture" not in self._sees, **photo)
        tooltip = "Type other words and press Enter: every model answers for them"
        typed = {"description": "Words", "continuous_update": False, "tooltip": tooltip}
        self.words = control(widgets.Text, "words", "min(760px, 80%)", "60px", **typed)
        self.reset = control(Button, "reset", "auto", press=self.guard(self._reset), description="Reset the words")
        self._shown: tuple[int, str, tuple[str, ...] | None, Any] = (0, OWN, None, None)
        """The post, the kind of picture, the typed words and the uploaded photo of what is shown."""
        self.on_change(self.redraw, self.post, self.image)
        self.on_change(self._edit, self.words)
        self.arrange([self.post, self.image, self.upload], [self.words, self.reset], self.view)
        self.redraw()

    @property
    def selected(self) -> Tweet:
        """The shown post with its own picture."""
        return self._with_picture(OWN)

    @property
    def swapped(self) -> Tweet:
        """The shown post with the chosen picture."""
        return self._with_picture(self.image.value)

    def _with_picture(self, kind: str) -> Tweet:
        place = self.post.value - 1
        tweet = self.tweets[place]
        if kind == UPLOAD:
            assert self._photo is not None, "only then is there such an option"
            tweet = replace(tweet, image=self._photo[1], crops=(), caption="")
        elif kind == MINED:
            assert self._mined is not None, "it is not shown before it is mined"
            tweet = self._mined[place]
        else:
            tweet = self._made(kind)[place]
        if (words := self._edits.get(place)) is None:
            return tweet
        tags = tweet.tags if len(words) == len(tweet.words) else ()
        return replace(tweet, words=words, tags=tags, text="", truth=None)

    def answers(self) -> dict[str, tuple[Answer, Answer]]:
        """Each model's answer for the post with its own picture, and with the chosen one."""
        return {name: (self._answer(*own), self._answer(*shown)) for name, (own, shown) in self._asked().items()}

    def _asked(self) -> dict[str, list[tuple[str, int, str, tuple[str, ...] | None]]]:
        """What `answers` asks each model: its name, the post's place, a kind of picture, and words that were typed."""
        place = self.post.value - 1
        rest = [(place, kind, self._edits.get(place)) for kind in (OWN, self.image.value)]
        return {name: [(name, *asked) for asked in rest] for name in self.models}

    def flipped(self) -> list[str]:
        """The models whose tags differ between the two pictures."""
        return [name for name, (own, other) in self.answers().items() if own.tags != other.tags]

    def _mines(self, model: MGIPS) -> bool:
        return model.image_head is not None and sum(seen(t, model.config) is not None for t in self.tweets) > 1

    # ---- what the controls do ----

    def adapt(self) -> None:
        """Write the post's words, or those that were typed in their place, into their field."""
        self.words.value = " ".join(self.selected.words)
        self.reset.disabled = self.post.value - 1 not in self._edits

    def redraw(self) -> None:
        """Ask the models what they have not been asked yet, and show their answers."""
        with self.setting():
            self.adapt()
        if self._shown[0] != self.post.value - 1:
            self._word = None
        mines = self.image.value == MINED and self._mined is None
        if mines and self._mining and self.working:
            return  # it goes on, and what is then shown is the post of then
        self._mining = mines
        models = f"asking {len(self.models)} model{'s' * (len(self.models) > 1)}"
        what = f"mining a picture for each of {len(self.tweets):,} posts" if mines else models
        self.work(what, self._steps(), self._show)

    def _steps(self) -> Iterator[float]:
        if self.image.value == MINED and self._mined is None:
            yield from self._mine()
        asked = [question for both in self._asked().values() for question in both]
        for done, question in enumerate(asked, 1):
            self._answer(*question)
            yield done / len(asked)

    def _mine(self) -> Iterator[float]:
        assert (miner := self._miner) is not None
        data = None
        try:
            data = yield from in_thread(lambda: Counted(self.tweets, miner.batcher, progress=False), lambda: 0.0)
            rest = in_thread(
                lambda: best_of_others(miner, data, progress=False), lambda: 0.95 * data.taken / len(self.tweets)
            )
            best = yield from rest
            self._mined = with_pictures_of(self.tweets, best.tolist())
        finally:
            if data is not None:
                data.ended = True

    def _show(self) -> None:
        place = self.post.value - 1
        self._shown = place, self.image.value, self._edits.get(place), self._photo
        self.view.value = self.as_html()

    def undo(self) -> None:
        """Back to the post, the picture and the words that are shown."""
        place, kind, words, photo = self._shown
        self._edits.pop(place, None)
        if words is not None:
            self._edits[place] = words
        with self.setting():
            if photo is not self._photo:
                self._photo = photo
                self._answer.cache_clear()
                self.image.options = [*self._kinds, UPLOAD] if photo is not None else self._kinds
            self.post.value, self.image.value = place + 1, kind
            self.adapt()

    def pick(self, what: str) -> None:
        """Choose a word, or no longer."""
        place, words = int(what), self._edits.get(self.post.value - 1)
        if (self._shown[0], self._shown[2]) != (self.post.value - 1, words):
            return  # it stands in a post, or in words, that are about to go
        self._word = None if self._word == place else place
        if not self.working:  # otherwise it is shown with what is being computed
            self._show()

    def _edit(self) -> None:
        """Take the words that were typed. Those of the post stay as they are; others are cut as a post's text is."""
        place = self.post.value - 1
        own = self.tweets[place].words
        typed = self.words.value
        with self.setting():
            self.adapt()  # what follows may refuse them
        words = [[word] if word in own else [part for part, _ in words_of(word)] for word in typed.split()]
        words = tuple(part for parts in words for part in parts)
        if not words:
            raise DataError("No words were typed, so the post stays as it is; type at least one.")
        if half_character(typed):
            raise DataError(
                "Half a character (a lone surrogate) is in the words, so the post stays as it is; remove it."
            )
        self._edits.pop(place, None)
        if typed != " ".join(own) and words != own:
            self._edits[place] = words
        self._word = None
        self.redraw()

    def _reset(self) -> None:
        self._edits.pop(self.post.value - 1, None)
        self._word = None
        self.redraw()

    def _take(self, name: str, content: bytes) -> None:
        self.guard(lambda: self._taken(name, content))()

    def _taken(self, name: str, content: bytes) -> None:
        """Show a photo; a file that cannot be read changes nothing."""
        with silenced():
            try:
                photo = decode(content)
            except Unreadable as fault:
                raise DataError(f"{name} {fault}") from None
        self._photo = name, photo
        self._answer.cache_clear()  # it may hold answers for the photo before this one
        with self.setting():
            self.image.options = [*self._kinds, UPLOAD]
            self.image.value = UPLOAD
        self.redraw()

    def _refuse(self, sentence: str) -> None:
        def refuse() -> None:
            raise DataError(sentence)

        self.guard(refuse)()

    def _pool_with(self, model: MGIPS, tweet: Tweet) -> Pool | None:
        """What a model may read while a post is shown: the post as it is shown, and all others of the pool."""
        pool = None if model.reader is None else self.pool(model)
        if pool is None or tweet is self.tweets[self.post.value - 1]:
            return pool
        rest = pool.take(torch.tensor([id != tweet.id for id in pool.ids], dtype=torch.bool))
        return joined([rest, model.pool([tweet])]) if self._whole or len(rest) < len(pool) else pool

    def _predict(self, name: str, place: int, kind: str, words: tuple[str, ...] | None) -> Answer:
        del place, words  # of the shown post, by which answers are kept
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
        shares = marginals(model.crf, out.emissions, batch.word_mask)[0].tolist()
        return Answer(tags, gate, image, read, tuple(dict(zip(model.tags, row, strict=True)) for row in shares))

    # ---- what is shown ----

    def _kind(self) -> str:
        """The kind of picture; of an upload, with the file's name, as another file may have been refused since."""
        kind = self.image.value
        return f"{kind} {self._photo[0]}" if kind == UPLOAD and self._photo is not None else kind

    def _title(self) -> str:
        edited = " with other words" if self.post.value - 1 in self._edits else ""
        if self.image.value == OWN:
            return f"Post {self.selected.id}{edited} with its own picture"
        flipped = self.flipped()
        names = f": {', '.join(flipped)}" if flipped else ""
        change = f"{len(flipped)} of {len(self.models)} models change their prediction{names}"
        return f"Post {self.selected.id}{edited} with the picture “{self._kind()}”: {change}"

    def _note(self) -> str:
        """What typing other words has done to the gold tags, and has not done to the picture."""
        if (place := self.post.value - 1) not in self._edits:
            return ""
        note = "The words were changed."
        if self.selected.tags:
            note += " As many as before, so they keep the gold tags."
        elif self.tweets[place].tags:
            note += " More or fewer than before, so they have no gold tags."
        return f"{note} The picture was mined for the words from before." if self.image.value == MINED else note

    def matter(self) -> list[int]:
        """The places of the words inside an entity, of the gold or of any answer, that some model has not cut off."""
        tweet, answers = self.selected, [answer for both in self.answers().values() for answer in both]
        found = [spans(tweet.words, tags) for tags in (tweet.tags, *(answer.tags for answer in answers)) if tags]
        places = {place for entities in found for span in entities for place in range(span.start, span.end)}
        return sorted(place for place in places if place < max(len(answer.probabilities) for answer in answers))

    @property
    def word(self) -> int:
        """The place of the word that was picked; otherwise of the one of those that matter whose tags' probabilities the
        picture changes most."""

        def change(place: int) -> float:
            """Total variation between the two pictures, the largest of all models."""
            both = [(own.probabilities, shown.probabilities) for own, shown in self.answers().values()]
            pairs = [(own[place], shown[place]) for own, shown in both if place < len(own)]
            return max(sum(abs(own[tag] - shown[tag]) for tag in own) / 2 for own, shown in pairs)

        return self._word if self._word is not None else max(self.matter(), key=change, default=0)

    def probable(self, place: int, least: float = 0.0) -> dict[str, dict[str, tuple[float, float]]]:
        """Of a word, for each tag that some model gives at least `least` to: each model's probability with the own
        picture, and with the shown one. Models that have cut the word off, or lack the tag, are missing."""
        table: dict[str, dict[str, tuple[float, float]]] = {}
        for name, (own, shown) in self.answers().items():
            if place < len(own.probabilities):
                for tag, share in own.probabilities[place].items():
                    table.setdefault(tag, {})[name] = share, shown.probabilities[place][tag]
        return {tag: row for tag, row in table.items() if max(max(both) for both in row.values()) >= least}

    def as_html(self) -> str:
        """All of it as HTML: the words to pick from, both pictures, the answers, and the probabilities as bars."""
        tweet, own = self.selected, self.image.value == OWN
        gold = spans(tweet.words, tweet.tags)
        inside = {place: span for span in gold for place in range(span.start, span.end)}
        places = self.matter() if self._word is None else [self._word]
        least = PROBABLE if self._word is None else 0.0
        rows = [
            (name, self._marks(before.tags), self._marks(after.tags), before, after, before.tags != after.tags)
            for name, (before, after) in self.answers().items()
        ]
        pictured = (
            [("own picture", tweet)] if own else [("own picture", tweet), (f"shown: {self._kind()}", self.swapped)]
        )
        return render(
            "swap_view",
            title=self._title(),
            note=self._note(),
            words=[(place, word, *_tint(place, inside)) for place, word in enumerate(tweet.words)],
            picked=self._word,
            pictures=[
                (
                    caption,
                    thumbnail(post) if "picture" in self._sees else None,
                    post.caption if "caption" in self._sees else None,
                )
                for caption, post in pictured
            ],
            rows=rows,
            readings=self._readings(),
            own=own,
            models=list(self.models),
            tables=[(tweet.words[place], self.probable(place, least)) for place in places],
            look=lambda tag: style.look(tag[2:]).colour if tag != "O" else style.GREY,
        )

    def describe(self) -> str:
        """Every model's answer with the chosen picture, in words."""
        words = self.selected.words
        sentences = [self._title()]
        if note := self._note():
            sentences.append(note.rstrip("."))
        if self.selected.tags:
            sentences.append(f"Gold: {marked(words, spans(words, self.selected.tags))}")
        for name, (own, other) in self.answers().items():
            numbers = [f"gate {own.gate:.3f} to {other.gate:.3f}"] if own.gate is not None else []
            numbers += [f"attention to the image {own.image:.1%} to {other.image:.1%}"] if own.image is not None else []
            sentences.append(f"{name}: {self._entities(other.tags)}" + (f" ({'; '.join(numbers)})" if numbers else ""))
        sentences += [f"{name}: {line}" for name, line in self._readings().items()]
        for tag, row in self.probable(self.word, 0.1).items():
            shares = ", ".join(f"{name} {before:.0%} to {after:.0%}" for name, (before, after) in row.items())
            sentences.append(f"P({tag}) of “{words[self.word]}”: {shares}")
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
        """Both pictures, the post, a row for each model, a line for each that reads, and the probabilities of one word."""
        width, margin, side, line = 10.0, 0.15, 1.45, 0.27
        tweet, answers, readings = self.selected, self.answers(), self._readings()
        gold, room = spans(tweet.words, tweet.tags), width - 2 * margin
        table, step = self.probable(self.word, PROBABLE), 0.17
        below = line * len(readings) + (0.1 if readings else 0) + (step * len(table) + 0.65 if table else 0)
        height = 1.2 + post_height(tweet.words, gold, room) + side + line * (len(answers) + 1) + 0.2 + below
        page = Page(width, height, self._title(), margin)
        write = functools.partial(page.write, va="center")
        y = height - 0.5
        y -= draw_post(page, margin, y, tweet.words, gold, room) + 0.05
        pictures = (tweet, "own picture", "#cccccc"), (self.swapped, f"shown: {self._kind()}", "black")
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
        if table:
            y -= 0.35
            which = "grey with its own picture, orange with the shown one"
            write(margin, y, f"P(tag) of “{tweet.words[self.word]}”: {which}", room=room, weight="bold")
            high, wide = step * len(table), (width - margin - 0.9) / len(answers)
            for place, name in enumerate(answers):
                write(0.9 + wide * place, y - 0.2, name, 8, room=wide - 0.1)
            levels = np.arange(len(table))[::-1]
            bars = page.panel(0.9, y - 0.3 - high, width - margin - 0.9, high)
            for shift, colour, which in ((0.2, style.GREY, 0), (-0.2, style.IMAGE, 1)):
                for place, name in enumerate(answers):
                    shares = [row[name][which] if name in row else 0.0 for row in table.values()]
                    bars.barh(levels + shift, shares, height=0.36, left=1.15 * place, color=colour)
            bars.set(xlim=(0, 1.15 * len(answers)), ylim=(-0.5, len(table) - 0.5))
            for level, tag in zip(levels, table, strict=True):
                write(margin, y - 0.3 - high + step * (level + 0.5), tag, 8, room=0.7)
        columns = "gate: mean of I, eq. 12; to image: share of the words' attention; both own → shown."
        write(margin, 0.15, f"✓ ✗ each gold entity. {columns}", 8, color=style.GREY)
        return page

    def _marks(self, tags: Sequence[str]) -> list[str]:
        """An answer in parts: "✓ PER", "✗ LOC", or the entities where the post is not labelled."""
        if self.selected.tags:
            return [f"{'✓' if right else '✗'} {text}" for text, right in verdicts(self.selected.tags, tags)]
        return [f"{span.text} {span.type}" for span in spans(self.selected.words, tags)]

    def _verdicts(self, tags: Sequence[str]) -> str:
        return "  ".join(self._marks(tags)) or "no entity"

    def _entities(self, tags: Sequence[str]) -> str:
        entities = spans(self.selected.words, tags)
        return ", ".join(f"{span.text} {span.type}" for span in entities) or "no entity"


def _name_of(model: Inspected) -> str:
    """What a single model is called: its folder's name."""
    if isinstance(model, MGIPS | Run):
        folder = model.folder if isinstance(model, Run) else None
        return folder.name if folder is not None else "this model"
    return Path(model).name


def _tint(place: int, inside: Mapping[int, Span]) -> tuple[str, str]:
    """A word's colour, and the entity type that is written behind it; "" for none."""
    if (span := inside.get(place)) is None:
        return "", ""
    return style.look(span.type).colour, span.type if place == span.end - 1 else ""


inspect_swap = SwapInspector
