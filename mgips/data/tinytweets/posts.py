"""TinyTweets: a corpus that the package draws from a seed, so that the right answer to every question is known.

A post names something that could be a person, a place, an organisation or a thing ("Jordan"). The story that the post
belongs to decides which: the text does not say, but the picture shows it, unless the picture is an unrelated one. A
story has a signature, a colour and a pattern: a hashtag names it ("# Teal Stripes") and every related picture has it
as wallpaper, so that another post's picture can be recognised as one of the same story. This is the situation that
implicit positive samples are meant for (§1, §3.4), with the relevance of every image to every text known.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from mgips.data.corpus import Corpus, Tweet
from mgips.data.tinytweets.scenes import SIGNATURES, Scene, Signature
from mgips.data.tinytweets.truth import Truth
from mgips.data.tinytweets.words import AMBIGUOUS, WORDS
from mgips.errors import ConfigError
from mgips.tags import TYPES

VERSION = 1
"""Raised with any change of the words, tags, truth or pictures that a seed gives."""

DAY = 32
"""Posts per day; a split's last day has what is left."""
PLAIN = 1 / 4
"""Share of unrelated pictures with a plain wall; the others have a signature that no story of the day has."""
KEPT_BACK = 20
"""Two-word names of each type, of 80, that train never uses; both of their words occur there in other names."""
QUARTERS = {"train": slice(0, 2), "dev": slice(2, 3), "test": slice(3, 4)}
"""The quarters of a name's signatures that each split uses: no name has a signature in test that it had in train."""


class Mention(NamedTuple):
    """A name in a text, and its type there."""

    name: str
    kind: str


class Story(NamedTuple):
    """What some posts of one day are about, by default three to five."""

    id: str
    mention: Mention
    """The ambiguous name, with the type that it has in this story."""
    signature: Signature
    """Named by the posts' hashtag and worn by their related pictures."""


def tinytweets(
    seed: int = 0,
    sizes: tuple[int, int, int] = (1200, 300, 300),
    unrelated: float = 0.338,
    missing: float = 0.05,
    *,
    chatter: float = 0.125,
    kinds: int = 3,
    posts_per_story: float = 4.0,
    signatures: int = 48,
    misleading: float = 0.0,
) -> Corpus:
    """Draw a corpus: the same arguments and version give the same posts and pictures.

    `unrelated`, `missing` and `misleading` change pictures only; every other argument gives other posts.
    `mgips.data.load.drawn_corpus` draws by one string, and names the corpus by it.

    Args:
        seed: 0 … 2³² - 1.
        sizes: posts in train, dev and test.
        unrelated: share of pictures that do not belong to their post; 33.8 % on Twitter (the paper's ref. 30).
        missing: share of posts without a picture.
        chatter: share of posts without a story; all the others have an ambiguous name.
        kinds: of how many of its three types an ambiguous name is drawn, the same ones in all splits. 1: the name alone
            tells its type; 2: a coin decides.
        posts_per_story: about how many posts a story has, at least 1; all lie within a day of 32 posts.
        signatures: how many of the 48 signatures there are: 4, 8, … A name has half of them in train, a quarter in dev
            and a quarter in test. The fewer, the more stories wear one wall, on different days. No two stories of one
            day do, so that a day has at most as many stories.
        misleading: of the posts whose names are all unambiguous and whose picture would show the first of them, the
            share whose picture shows a type that the post does not name. Posts with a story are never misled.

    Raises:
        ConfigError: an argument outside its range.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed is {seed}; it must lie in 0 … 2³² - 1.")
    if len(sizes) != 3 or min(sizes) < 1:
        raise ConfigError(f"sizes is {sizes}; give three numbers of posts, each at least 1.")
    shares = {"unrelated": unrelated, "missing": missing, "chatter": chatter, "misleading": misleading}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} is {share}; a share lies in [0, 1].")
    if kinds not in (1, 2, 3):
        raise ConfigError(f"kinds is {kinds}; a name is of 1, 2 or 3 types.")
    if not 1 <= posts_per_story < math.inf:
        raise ConfigError(f"posts_per_story is {posts_per_story}; a story has at least 1 post.")
    if signatures not in range(4, len(SIGNATURES) + 1, 4):
        raise ConfigError(f"signatures is {signatures}; give a multiple of 4 in 4 … {len(SIGNATURES)}.")
    world = np.random.RandomState([seed, VERSION])
    double = {
        kind: _shuffled(world, [f"{a} {b}" for a in parts["first"] for b in parts["second"]])
        for kind, parts in WORDS["double"].items()
    }
    shuffled = {name: _shuffled(world, SIGNATURES) for name in AMBIGUOUS}
    # In the order of words.toml, so that all three are the same list whatever is drawn here.
    options = {name: [types[i] for i in sorted(world.permutation(3)[:kinds])] for name, types in AMBIGUOUS.items()}
    chosen = {*_shuffled(world, SIGNATURES)[:signatures]}
    walls = {name: [signature for signature in own if signature in chosen] for name, own in shuffled.items()}
    splits: list[tuple[Tweet, ...]] = []
    first_day = 0
    for number, (split, size) in enumerate(zip(QUARTERS, sizes, strict=True)):
        rng = np.random.RandomState([seed, VERSION, number])
        names = {kind: names[KEPT_BACK if split == "train" else 0 :] for kind, names in double.items()}
        part = slice(QUARTERS[split].start * signatures // 4, QUARTERS[split].stop * signatures // 4)
        writer = Writer(
            rng=rng,
            dealer=Dealer(rng, {name: own[part] for name, own in walls.items()}, options),
            walls=[signature for signature in SIGNATURES if signature in chosen],
            names={"single": WORDS["single"], "double": names},
            unrelated=unrelated,
            missing=missing,
            chatter=chatter,
            posts_per_story=posts_per_story,
            misleading=misleading,
            aside=np.random.RandomState([seed, VERSION, number, 1]),
        )
        days = range(-(-size // DAY))
        posts = (writer.day(f"{split}-{i:02d}", first_day + i, i * DAY, min((i + 1) * DAY, size)) for i in days)
        splits.append(tuple(tweet for day in posts for tweet in day))
        first_day += len(days)
    train, dev, test = splits
    return Corpus(
        "tinytweets", train, dev, test, notes=(f"Drawn with seed {seed}; the posts are invented.",), label_set=TYPES
    )


class Dealer:
    """Deals out stories, like cards. A name keeps a signature until it has had each of its types with it.

    So neither a name, nor its hashtag, nor both together tell the type, even to a model that learns train by heart.
    """

    def __init__(
        self, rng: np.random.RandomState, signatures: dict[str, list[Signature]], options: dict[str, list[str]]
    ) -> None:
        self.rng = rng
        self.signatures = signatures
        self.options = options
        """The types that each name is dealt with."""
        self.dealt = dict.fromkeys(options, 0)
        self.order = {name: _shuffled(rng, kinds) for name, kinds in options.items()}

    def deal(self, day: str, count: int) -> list[Story]:
        """The stories of a day: all names and signatures differ, and the colours until they run out.

        Fewer than `count` where no name that is left has a signature that is left.
        """
        stories: list[Story] = []
        while len(stories) < count:
            used = {story.mention.name for story in stories}
            worn = {story.signature for story in stories}
            colours = {colour for colour, _ in worn}
            names = [name for name in _shuffled(self.rng, sorted(self.options)) if name not in used]
            free = [name for name in names if self._signature(name) not in worn]
            free = free or list(islice((name for name in names if self._exchange(name, worn)), 1))
            if not free:
                break
            name = min(free, key=lambda name: (self._signature(name)[0] in colours, self.dealt[name]))
            place = self.dealt[name] % len(self.order[name])
            stories.append(Story(f"{day}-{name}", Mention(name, self.order[name][place]), self._signature(name)))
            self.dealt[name] += 1
            if place + 1 == len(self.order[name]):
                self.order[name] = _shuffled(self.rng, self.options[name])
        return stories

    def _place(self, name: str) -> int:
        return self.dealt[name] // len(self.options[name]) % len(self.signatures[name])

    def _signature(self, name: str) -> Signature:
        return self.signatures[name][self._place(name)]

    def _exchange(self, name: str, worn: set[Signature]) -> bool:
        """Let a name's signature change places with another of its own that nobody wears; whether there is one."""
        own, place = self.signatures[name], self._place(name)
        other = next((i for i, signature in enumerate(own) if signature not in worn), None)
        if other is not None:
            own[place], own[other] = own[other], own[place]
        return other is not None


@dataclass
class Writer:
    """Writes a split, one day after the other. The order of its random draws is part of the corpus."""

    rng: np.random.RandomState
    dealer: Dealer
    walls: list[Signature]
    """All signatures of the corpus."""
    names: dict[str, dict[str, list[str]]]
    """The unambiguous names, "single" and "double", by type."""
    unrelated: float
    missing: float
    chatter: float
    posts_per_story: float
    misleading: float
    aside: np.random.RandomState
    """Draws what misleads, so that it takes no draw from the rest."""

    def day(self, day: str, number: int, start: int, stop: int) -> list[Tweet]:
        """The posts of a day, the corpus's day `number` and the split's posts from `start` on, in random order."""
        rng = self.rng
        # Counted from the split's first post, so that what a day rounds off does not add up.
        without_story = round(stop * self.chatter) - round(start * self.chatter)
        with_story = stop - start - without_story
        stories = self.dealer.deal(day, min(with_story, max(1, round(with_story / self.posts_per_story))))
        posts: list[Story | None] = [None] * without_story
        posts += [stories[i % len(stories)] for i in range(with_story)]
        # One story of each two may give a post to the other, by default three, four or five posts each; not its only one.
        for giver, taker in zip(stories[0::2], stories[1::2], strict=False):
            if rng.randint(2) and posts.count(giver) > 1:
                posts[posts.index(giver)] = taker
        worn = {story.signature for story in stories}
        free = [signature for signature in self.walls if signature not in worn]
        return [
            self._post(day, f"{day}-{place:02d}", number + place / DAY, story, free)
            for place, story in enumerate(_shuffled(rng, posts))
        ]

    def _post(self, day: str, id: str, time: float, story: Story | None, free: list[Signature]) -> Tweet:
        """One post, with a signature out of `free` where its picture is unrelated."""
        rng = self.rng
        words, mentions = self._text(story)
        # Drawn whether used or not, so that the shares change which pictures are unrelated and nothing else.
        is_missing, is_unrelated = rng.random_sample() < self.missing, rng.random_sample() < self.unrelated
        any_kind = _pick(rng, TYPES)
        any_wall = None if rng.random_sample() < PLAIN or not free else _pick(rng, free)
        scene_seed = int(rng.randint(2**31 - 1))
        is_misleading = self.aside.random_sample() < self.misleading
        named = {mention.kind for mention in mentions}
        wrong_kind = next(kind for kind in _shuffled(self.aside, TYPES) if kind not in named)
        topic = story.mention if story else next(iter(mentions), None)
        belongs = topic is not None and not is_missing and not is_unrelated
        misleads = belongs and story is None and is_misleading
        related = belongs and not misleads
        shows = topic.kind if topic and related else wrong_kind if misleads else any_kind
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
            options=tuple(self.dealer.options[story.mention.name]) if story else (),
            misleads=misleads,
        )
        crops = scene.crops if scene else ()
        return Tweet(id, tuple(words), tuple(tags), image=scene, crops=crops, group=day, time=time, truth=truth)

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
