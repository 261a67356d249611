"""TinyTweets: a corpus that the package draws, with a seed, whose every answer is known.

A post names something that could be a person, a place, an organisation or a thing ("Jordan"), and a story
decides which. Nothing in the text says so; the post's picture shows it, unless the picture is an unrelated
one. A story has a signature, a colour and a pattern: a hashtag names it ("# Teal Stripes") and every related
picture wears it, so another post's picture can be known to belong to the same story. That is the situation
that implicit positive samples are meant for (§1, §3.4), with the relevance of every image to every text known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mgips.data.corpus import TYPES, Corpus, Tweet
from mgips.data.tinytweets.scenes import SIGNATURES, Scene, Signature
from mgips.data.tinytweets.truth import Truth
from mgips.data.tinytweets.words import (
    AMBIGUOUS,
    DOUBLE,
    EMOJI,
    HANDLES,
    HASHTAGS,
    IDLE,
    MARKS,
    OPEN,
    SINGLE,
    TOLD,
    URL_CHARACTERS,
)
from mgips.errors import ConfigError

VERSION = 1
"""Raised with any change of the words, tags, truth or pictures that a seed gives."""

DAY = 32
"""Posts of a day; a split's last day has what is left."""
CHATTER = 1 / 8
"""Share of posts without a story."""
POSTS_A_STORY = 4
"""On average."""
PLAIN = 1 / 4
"""Share of unrelated pictures before a plain wall, where the others wear a signature of no story of the day."""
KEPT_BACK = 20
"""Two-word names of each type, of 80, that train never uses; it knows their words from other names."""


class Mention(NamedTuple):
    name: str
    kind: str


class Story(NamedTuple):
    id: str
    mention: Mention
    signature: Signature


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
        kind: _shuffled(world, [f"{a} {b}" for a in first for b in second]) for kind, (first, second) in DOUBLE.items()
    }
    signatures = {name: _shuffled(world, SIGNATURES) for name in AMBIGUOUS}
    splits = {}
    for number, (split, size) in enumerate(zip(("train", "dev", "test"), sizes, strict=True)):
        rng = np.random.RandomState([seed, VERSION, number])
        names = double if split != "train" else {kind: names[KEPT_BACK:] for kind, names in double.items()}
        # Half of the signatures, a quarter, a quarter: no name meets in test a signature it had in train.
        own = slice(*((0, 24), (24, 36), (36, 48))[number])
        dealer = Dealer(rng, {name: signatures[name][own] for name in AMBIGUOUS})
        tweets: list[Tweet] = []
        while len(tweets) < size:
            day = f"{split}-{len(tweets) // DAY:02d}"
            tweets += _day(rng, day, min(DAY, size - len(tweets)), dealer, names, unrelated, missing)
        splits[split] = tuple(tweets)
    return Corpus("tinytweets", **splits, notes=(f"Drawn with seed {seed}; the posts are invented.",))


class Dealer:
    """Deals out stories. A name keeps a signature until each of its types has had it.

    So neither a name nor a name with its hashtag tells the type, not even to a reader who learns train by heart.
    """

    def __init__(self, rng: np.random.RandomState, signatures: dict[str, list[Signature]]) -> None:
        self.rng = rng
        self.signatures = signatures
        self.dealt = dict.fromkeys(AMBIGUOUS, 0)
        self.order = {name: _shuffled(rng, kinds) for name, kinds in AMBIGUOUS.items()}

    def deal(self, day: str, count: int) -> list[Story]:
        """The stories of a day: names and signatures differ, colours too as far as they reach."""
        stories: list[Story] = []
        for _ in range(count):
            used = {story.mention.name for story in stories}
            worn = {story.signature for story in stories}
            colours = {colour for colour, _ in worn}
            free = [
                n for n in _shuffled(self.rng, sorted(AMBIGUOUS)) if n not in used and self._signature(n) not in worn
            ]
            name = min(free, key=lambda n: (self._signature(n)[0] in colours, self.dealt[n]))
            kind = self.order[name][self.dealt[name] % 3]
            stories.append(Story(f"{day}-{name}", Mention(name, kind), self._signature(name)))
            self.dealt[name] += 1
            if self.dealt[name] % 3 == 0:
                self.order[name] = _shuffled(self.rng, AMBIGUOUS[name])
        return stories

    def _signature(self, name: str) -> Signature:
        own = self.signatures[name]
        return own[self.dealt[name] // 3 % len(own)]


def _day(
    rng: np.random.RandomState,
    day: str,
    size: int,
    dealer: Dealer,
    names: dict[str, list[str]],
    unrelated: float,
    missing: float,
) -> list[Tweet]:
    told = size - round(size * CHATTER)
    stories = dealer.deal(day, max(1, round(told / POSTS_A_STORY)))
    posts: list[Story | None] = [None] * (size - told)
    posts += [stories[i % len(stories)] for i in range(told)]
    # Every story but the last may pass a post on to the next: three, four or five posts each.
    for i in range(0, len(stories) - 1, 2):
        if rng.randint(2):
            posts[posts.index(stories[i])] = stories[i + 1]
    free = [signature for signature in SIGNATURES if signature not in {story.signature for story in stories}]
    tweets = []
    for story in _shuffled(rng, posts):
        words, mentions = _text(rng, story, names)
        # Drawn whether used or not, so that the shares change which pictures are unrelated and nothing else.
        is_missing, is_unrelated = rng.random_sample() < missing, rng.random_sample() < unrelated
        any_kind = TYPES[rng.randint(4)]
        any_wall = None if rng.random_sample() < PLAIN else free[rng.randint(len(free))]
        scene_seed = int(rng.randint(2**31 - 1))
        topic = story.mention if story else mentions[0][0] if mentions else None
        related = not is_missing and not is_unrelated and topic is not None
        shows = topic.kind if related else any_kind
        wears = (any_wall if not related else story.signature) if story else None
        scene = None if is_missing else Scene(shows, wears, scene_seed)
        tags = ["O"] * len(words)
        for mention, (start, end) in mentions:
            tags[start:end] = [f"B-{mention.kind}", *[f"I-{mention.kind}"] * (end - start - 1)]
        truth = Truth(
            story=story.id if story else "",
            means=story.mention.kind if story else "",
            signature=story.signature if story else None,
            related=related,
            shows=scene.shows if scene else "",
            wears=scene.signature if scene else None,
            ambiguous=tuple(span for mention, span in mentions if story and mention is story.mention),
        )
        tweets.append(
            Tweet(
                id=f"{day}-{len(tweets):02d}",
                words=tuple(words),
                tags=tuple(tags),
                image=scene,
                crops=scene.crops if scene else (),
                group=day,
                truth=truth,
            )
        )
    return tweets


def _text(
    rng: np.random.RandomState, story: Story | None, names: dict[str, list[str]]
) -> tuple[list[str], list[tuple[Mention, tuple[int, int]]]]:
    """Words, and the mentions with their places; a story's mention comes as the very object."""
    clear = []
    for kind in rng.choice(
        4, size=(0, 0, 1, 2)[rng.randint(4)] if story else (0, 1, 2, 3)[rng.randint(4)], replace=False
    ):
        clear.append(Mention(_one(rng, (SINGLE, names)[rng.randint(2)][TYPES[kind]]), TYPES[kind]))
    parts = [(mention, _one(rng, TOLD[mention.kind])) for mention in clear]
    if story:
        parts.append((story.mention, _one(rng, OPEN)))
    elif not clear or rng.randint(3) == 0:
        parts.append((None, _one(rng, IDLE)))
    words: list[str] = []
    mentions: list[tuple[Mention, tuple[int, int]]] = []
    if rng.randint(5) == 0:
        words += ["RT", "@", _one(rng, HANDLES), ":"]
    elif rng.randint(6) == 0:
        words += ["@", _one(rng, HANDLES)]
    cue = ["#", *story.signature] if story else []
    early = rng.randint(3) == 0
    if early:
        words += cue
    for number, (mention, phrase) in enumerate(_shuffled(rng, parts)):
        if number:
            words += [_one(rng, (",", "and", ".", "-", "while"))]
        for word in phrase.split():
            if word == "{}":
                name = mention.name.split()
                mentions.append((mention, (len(words), len(words) + len(name))))
                words += name
            else:
                words.append(word)
    if rng.randint(2):
        words.append(_one(rng, MARKS))
    if not early:
        words += cue
    if rng.randint(4) == 0:
        words += ["#", _one(rng, HASHTAGS)]
    if rng.randint(3) == 0:
        words += EMOJI[rng.randint(len(EMOJI))]
    if rng.randint(3) == 0:
        words.append("http://t.co/" + "".join(URL_CHARACTERS[i] for i in rng.randint(len(URL_CHARACTERS), size=10)))
    return words, mentions


def _one(rng: np.random.RandomState, options: Sequence[str]) -> str:
    return options[rng.randint(len(options))]


def _shuffled(rng: np.random.RandomState, items: Sequence) -> list:
    return [items[i] for i in rng.permutation(len(items))]
