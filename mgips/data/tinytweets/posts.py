"""TinyTweets: a corpus that the package draws from a seed, so that the right answer to every question is known.

A post names something that could be a person, a place, an organisation or a thing ("Jordan"). The story that the post
belongs to decides which: the text does not say, but the picture shows it, unless the picture is an unrelated one. A
story has a signature, a colour and a pattern: a hashtag names it ("# Teal Stripes") and every related picture has it
as wallpaper, so that another post's picture can be recognised as one of the same story. This is the situation that
implicit positive samples are meant for (§1, §3.4), with the relevance of every image to every text known.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mgips.data.corpus import TYPES, Corpus, Tweet
from mgips.data.tinytweets.scenes import SIGNATURES, Scene, Signature
from mgips.data.tinytweets.truth import Truth
from mgips.data.tinytweets.words import AMBIGUOUS, WORDS
from mgips.errors import ConfigError

VERSION = 1
"""Raised with any change of the words, tags, truth or pictures that a seed gives."""

DAY = 32
"""Posts per day; a split's last day has what is left."""
CHATTER = 1 / 8
"""Share of posts without a story."""
POSTS_PER_STORY = 4
"""On average."""
PLAIN = 1 / 4
"""Share of unrelated pictures with a plain wall; the others have a signature that no story of the day has."""
KEPT_BACK = 20
"""Two-word names of each type, of 80, that train never uses; both of their words occur there in other names."""
SIGNATURES_OF = {"train": slice(0, 24), "dev": slice(24, 36), "test": slice(36, 48)}
"""The part of a name's 48 signatures that each split uses: no name has a signature in test that it had in train."""


class Mention(NamedTuple):
    """A name in a text, and its type there."""

    name: str
    kind: str


class Story(NamedTuple):
    """What three to five posts of one day are about."""

    id: str
    mention: Mention
    """The ambiguous name, with the type that it has in this story."""
    signature: Signature
    """Named by the posts' hashtag and worn by their related pictures."""


def tinytweets(
    seed: int = 0, sizes: tuple[int, int, int] = (1200, 300, 300), unrelated: float = 0.338, missing: float = 0.05
) -> Corpus:
    """Draw a corpus: the same arguments and version give the same posts and pictures.

    Args:
        seed: 0 … 2³² - 1.
        sizes: posts in train, dev and test.
        unrelated: share of pictures that do not belong to their post; 33.8 % on Twitter (the paper's ref. 30).
        missing: share of posts without a picture.

    Raises:
        ConfigError: a seed, a size or a share outside its range.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed is {seed}; it must lie in 0 … 2³² - 1.")
    if len(sizes) != 3 or min(sizes) < 1:
        raise ConfigError(f"sizes is {sizes}; give three numbers of posts, each at least 1.")
    for name, share in (("unrelated", unrelated), ("missing", missing)):
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} is {share}; a share lies in [0, 1].")
    world = np.random.RandomState([seed, VERSION])
    double = {
        kind: _shuffled(world, [f"{a} {b}" for a in parts["first"] for b in parts["second"]])
        for kind, parts in WORDS["double"].items()
    }
    signatures = {name: _shuffled(world, SIGNATURES) for name in AMBIGUOUS}
    splits: list[tuple[Tweet, ...]] = []
    for number, (split, size) in enumerate(zip(SIGNATURES_OF, sizes, strict=True)):
        rng = np.random.RandomState([seed, VERSION, number])
        names = {kind: names[KEPT_BACK if split == "train" else 0 :] for kind, names in double.items()}
        dealer = Dealer(rng, {name: signatures[name][SIGNATURES_OF[split]] for name in AMBIGUOUS})
        writer = Writer(rng, dealer, {"single": WORDS["single"], "double": names}, unrelated, missing)
        days = [writer.day(f"{split}-{i // DAY:02d}", min(DAY, size - i)) for i in range(0, size, DAY)]
        splits.append(tuple(tweet for day in days for tweet in day))
    train, dev, test = splits
    return Corpus("tinytweets", train, dev, test, notes=(f"Drawn with seed {seed}; the posts are invented.",))


class Dealer:
    """Deals out stories, like cards. A name keeps a signature until it has had each of its three types with it.

    So neither a name, nor its hashtag, nor both together tell the type, even to a model that learns train by heart.
    """

    def __init__(self, rng: np.random.RandomState, signatures: dict[str, list[Signature]]) -> None:
        self.rng = rng
        self.signatures = signatures
        self.dealt = dict.fromkeys(AMBIGUOUS, 0)
        self.order = {name: _shuffled(rng, kinds) for name, kinds in AMBIGUOUS.items()}

    def deal(self, day: str, count: int) -> list[Story]:
        """The stories of a day: all names and signatures differ, and the colours until they run out."""
        stories: list[Story] = []
        for _ in range(count):
            used = {story.mention.name for story in stories}
            worn = {story.signature for story in stories}
            colours = {colour for colour, _ in worn}
            names = _shuffled(self.rng, sorted(AMBIGUOUS))
            free = [name for name in names if name not in used and self._signature(name) not in worn]
            name = min(free, key=lambda name: (self._signature(name)[0] in colours, self.dealt[name]))
            kind = self.order[name][self.dealt[name] % 3]
            stories.append(Story(f"{day}-{name}", Mention(name, kind), self._signature(name)))
            self.dealt[name] += 1
            if self.dealt[name] % 3 == 0:
                self.order[name] = _shuffled(self.rng, AMBIGUOUS[name])
        return stories

    def _signature(self, name: str) -> Signature:
        own = self.signatures[name]
        return own[self.dealt[name] // 3 % len(own)]


@dataclass
class Writer:
    """Writes a split, one day after the other. The order of its random draws is part of the corpus."""

    rng: np.random.RandomState
    dealer: Dealer
    names: dict[str, dict[str, list[str]]]
    """The unambiguous names, "single" and "double", by type."""
    unrelated: float
    missing: float

    def day(self, day: str, size: int) -> list[Tweet]:
        """The posts of a day, in random order."""
        rng = self.rng
        with_story = size - round(size * CHATTER)
        stories = self.dealer.deal(day, max(1, round(with_story / POSTS_PER_STORY)))
        posts: list[Story | None] = [None] * (size - with_story)
        posts += [stories[i % len(stories)] for i in range(with_story)]
        # One story of each two may give a post to the other: three, four or five posts each.
        for giver, taker in zip(stories[0::2], stories[1::2], strict=False):
            if rng.randint(2):
                posts[posts.index(giver)] = taker
        worn = {story.signature for story in stories}
        free = [signature for signature in SIGNATURES if signature not in worn]
        return [
            self._post(day, f"{day}-{number:02d}", story, free) for number, story in enumerate(_shuffled(rng, posts))
        ]

    def _post(self, day: str, id: str, story: Story | None, free: list[Signature]) -> Tweet:
        """One post, with a signature out of `free` where its picture is unrelated."""
        rng = self.rng
        words, mentions = self._text(story)
        # Drawn whether used or not, so that the shares change which pictures are unrelated and nothing else.
        is_missing, is_unrelated = rng.random_sample() < self.missing, rng.random_sample() < self.unrelated
        any_kind = _pick(rng, TYPES)
        any_wall = None if rng.random_sample() < PLAIN else _pick(rng, free)
        scene_seed = int(rng.randint(2**31 - 1))
        topic = story.mention if story else next(iter(mentions), None)
        related = topic is not None and not is_missing and not is_unrelated
        shows = topic.kind if topic and related else any_kind
        wall = None if story is None else story.signature if related else any_wall
        scene = None if is_missing else Scene(shows, wall, scene_seed)
        tags = ["O"] * len(words)
        for mention, (start, end) in mentions.items():
            tags[start:end] = [f"B-{mention.kind}", *[f"I-{mention.kind}"] * (end - start - 1)]
        truth = Truth(
            story=story.id if story else "",
            means=story.mention.kind if story else "",
            signature=story.signature if story else None,
            related=related,
            shows=scene.shows if scene else "",
            wears=scene.signature if scene else None,
            ambiguous=tuple(place for mention, place in mentions.items() if mention.name in AMBIGUOUS),
        )
        crops = scene.crops if scene else ()
        return Tweet(id, tuple(words), tuple(tags), image=scene, crops=crops, group=day, truth=truth)

    def _text(self, story: Story | None) -> tuple[list[str], dict[Mention, tuple[int, int]]]:
        """A post's words, and the place of each mention in them: (first word, word after the last)."""
        rng = self.rng
        kinds = [TYPES[i] for i in rng.choice(4, size=max(0, rng.randint(4) - bool(story)), replace=False)]
        clear = [Mention(_pick(rng, self.names[_pick(rng, ("single", "double"))][kind]), kind) for kind in kinds]
        parts: list[tuple[Mention | None, str]] = [(m, _pick(rng, WORDS["telling"][m.kind])) for m in clear]
        if story:
            parts.append((story.mention, _pick(rng, WORDS["open"])))
        elif not clear or rng.randint(3) == 0:
            parts.append((None, _pick(rng, WORDS["idle"])))
        words: list[str] = []
        places: dict[Mention, tuple[int, int]] = {}
        if rng.randint(5) == 0:
            words += ["RT", "@", _pick(rng, WORDS["handles"]), ":"]
        elif rng.randint(6) == 0:
            words += ["@", _pick(rng, WORDS["handles"])]
        hashtag = ["#", *story.signature] if story else []
        hashtag_first = rng.randint(3) == 0
        if hashtag_first:
            words += hashtag
        for number, (mention, phrase) in enumerate(_shuffled(rng, parts)):
            if number:
                words.append(_pick(rng, WORDS["joints"]))
            for word in phrase.split():
                if mention and word == "{}":
                    name = mention.name.split()
                    places[mention] = len(words), len(words) + len(name)
                    words += name
                else:
                    words.append(word)
        if rng.randint(2):
            words.append(_pick(rng, WORDS["marks"]))
        if not hashtag_first:
            words += hashtag
        if rng.randint(4) == 0:
            words += ["#", _pick(rng, WORDS["hashtags"])]
        if rng.randint(3) == 0:
            words += _pick(rng, WORDS["emoji"])
        if rng.randint(3) == 0:
            characters = string.ascii_letters + string.digits
            words.append("http://t.co/" + "".join(characters[i] for i in rng.randint(len(characters), size=10)))
        return words, places


def _pick(rng: np.random.RandomState, options: Sequence[Any]) -> Any:
    return options[rng.randint(len(options))]


def _shuffled(rng: np.random.RandomState, items: Sequence[Any]) -> list[Any]:
    return [items[i] for i in rng.permutation(len(items))]
