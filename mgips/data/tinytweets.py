"""TinyTweets: a corpus that the package draws, with a seed, whose every answer is known.

A post names something that could be a person, a place, an organisation or a thing ("Jordan"), and a story
decides which. Nothing in the text says so; the post's picture shows it, unless the picture is an unrelated
one. A story has a signature, a colour and a pattern: a hashtag names it ("# Teal Stripes") and every related
picture wears it, so another post's picture can be known to belong to the same story. That is the situation
that implicit positive samples are meant for (§1, §3.4), with the relevance of every image to every text known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from seqeval.metrics import f1_score

from mgips.data.corpus import TYPES, Corpus, Tweet
from mgips.data.scenes import SIGNATURES, Scene, Signature
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

Span = tuple[int, int]
"""A mention: its first word, and the word after its last."""


@dataclass(frozen=True)
class Truth:
    """What the generator knows about a post."""

    story: str
    """The story's id, "" for chatter."""
    means: str
    """The type that the story gives its ambiguous name, "" for chatter."""
    signature: Signature | None
    """Colour and pattern of the story; None for chatter."""
    related: bool
    """Whether the post has a picture and it belongs to the post."""
    shows: str
    """The type that the picture shows, "" where there is none."""
    wears: Signature | None
    """Colour and pattern of the picture's wall; None for a plain one."""
    ambiguous: tuple[Span, ...]
    """The mentions whose type the text leaves open."""


# ---- names ----

AMBIGUOUS: dict[str, tuple[str, str, str]] = {
    **dict.fromkeys(
        ("Paris", "Washington", "Chelsea", "Madison", "Victoria", "Orlando", "Houston", "Lancaster"),
        ("PER", "LOC", "ORG"),
    ),
    **dict.fromkeys(
        ("Jordan", "Lincoln", "Sydney", "Brooklyn", "Florence", "Eden", "Georgia", "Savannah"),
        ("PER", "LOC", "MISC"),
    ),
    **dict.fromkeys(
        ("Mercedes", "Ford", "Tesla", "Bentley", "Porsche", "Wilson", "Chanel", "Disney"),
        ("PER", "ORG", "MISC"),
    ),
    **dict.fromkeys(
        ("Amazon", "Phoenix", "Dallas", "Patagonia", "Fuji", "Barcelona", "Bordeaux", "Monaco"),
        ("LOC", "ORG", "MISC"),
    ),
}
"""Three types a name and 24 names a type, each as likely as the others: a guess is right one time in three."""

SINGLE: dict[str, tuple[str, ...]] = {
    "PER": ("Lena", "Amara", "Theo", "Jonas", "Maeve", "Bruno", "Imani", "Odile", "Kwame", "Soraya", "Milo", "Petra"),
    "LOC": (
        "Lisbon", "Oslo", "Kyoto", "Peru", "Nairobi", "Toronto", "Vienna", "Chile", "Mumbai", "Glasgow", "Malta", "Seoul",
    ),
    "ORG": (
        "Northwind", "Ovalworks", "Solara", "Vantage", "Helix", "Tidewater", "Oakline", "Foxglove", "Copperleaf",
        "Ironbridge", "Brightmoor", "Kestrel",
    ),
    "MISC": (
        "Nimbus", "Glimmer", "Skyfarer", "Sundial", "Orbit", "Tilt", "Wobble", "Frostbyte", "Zipline", "Moonlit",
        "Puddle", "Quizzle",
    ),
}  # fmt: skip
"""Names of one type and one word."""

DOUBLE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "PER": (
        ("Mira", "Otis", "Priya", "Tomas", "Ines", "Kofi", "Ruby", "Hugo", "Nadia", "Felix"),
        ("Solano", "Grant", "Nair", "Weller", "Duarte", "Mensah", "Brandt", "Moreau"),
    ),
    "LOC": (
        ("Port", "Lake", "Cape", "Mount", "Upper", "Little", "West", "Saint", "Fort", "Old"),
        ("Alder", "Corin", "Maribel", "Haven", "Tamsin", "Rowan", "Ebony", "Linden"),
    ),
    "ORG": (
        ("Lumen", "Harbor", "Redfield", "Granite", "Pinecrest", "Metro", "Rivertown", "Eastgate", "Juniper", "Zenith"),
        ("Labs", "Bank", "United", "Radio", "Motors", "College", "Records", "Foods"),
    ),
    "MISC": (
        ("Pocket", "Star", "Silent", "Turbo", "Paper", "Pixel", "Velvet", "Golden", "Rocket", "Marble"),
        ("Dragon", "Harvest", "Awards", "Kart", "Crowns", "Quest", "Festival", "Drone"),
    ),
}  # fmt: skip
"""Names of one type and two words: any first with any second."""

# ---- phrases; {} is the name ----

OPEN = (
    "so much {} today", "{} again", "can not stop thinking about {}", "it is all about {} now", "{} , obviously",
    "everyone talks about {}", "still my favourite : {}", "look , {} !", "this is {} , folks", "{} never disappoints",
    "nothing beats {}", "one more of {}", "say hello to {}", "my day in one word : {}", "guess what , {}",
    "{} made my week", "throwback to {}", "{} like you have never seen", "big news about {}", "we love {}",
)  # fmt: skip
"""Say nothing about the type."""

TOLD: dict[str, tuple[str, ...]] = {
    "PER": (
        "met {} backstage", "{} scored twice", "happy birthday {}", "interview with {} tonight", "{} sings it live",
        "dinner with my friend {}", "{} says sorry", "proud of my sister {}",
    ),
    "LOC": (
        "landed in {} this morning", "sunset over {}", "road trip to {}", "rain in {} all week", "greetings from {}",
        "moving to {} in May", "the streets of {}", "traffic near {} is awful",
    ),
    "ORG": (
        "{} is hiring", "shares of {} are up", "{} fired their coach", "a spokesman for {} said no", "new deal for {}",
        "{} opens a store", "the board of {} met", "work at {} starts monday",
    ),
    "MISC": (
        "playing {} all night", "just ordered the new {}", "tickets for {} sold out", "season two of {} is out",
        "my {} broke again", "won a prize at {}", "reviews of {} are in", "the trailer of {} is wild",
    ),
}  # fmt: skip
"""Say which type it is."""

IDLE = (
    "good morning everyone", "coffee first", "who else is awake ?", "what a week", "so tired right now",
    "best day ever", "i can not even", "monday again", "thanks for all the love", "new post is up",
)  # fmt: skip
HANDLES = tuple(
    f"{a}{b}" for a in ("real", "its", "the", "ask", "hey") for b in ("_milo", "juno88", "kat", "dj", "bex")
)
HASHTAGS = ("tbt", "NowPlaying", "love", "WeekendVibes", "photo", "news", "FollowFriday", "mood")
EMOJI = (("😂",), ("🔥",), ("😍", "😍"), ("❤", "\ufe0f"), ("👀",), ("🙌", "🙌"), ("✨",), ("☀", "\ufe0f"))
MARKS = ("!", "!!", ".", "…", "...", "?!")
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


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
) -> tuple[list[str], list[tuple[Mention, Span]]]:
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
    mentions: list[tuple[Mention, Span]] = []
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
        words.append("http://t.co/" + "".join(LETTERS[i] for i in rng.randint(len(LETTERS), size=10)))
    return words, mentions


def _one(rng: np.random.RandomState, options: Sequence[str]) -> str:
    return options[rng.randint(len(options))]


def _shuffled(rng: np.random.RandomState, items: Sequence) -> list:
    return [items[i] for i in rng.permutation(len(items))]


# ---- what is known ----


def relevant(a: Tweet, b: Tweet) -> bool:
    """Whether b's image is relevant to a's text: one story, and b's image is there and belongs to it."""
    return bool(a.truth.story) and a.truth.story == b.truth.story and b.truth.related


def relevance_matrix(tweets: Sequence[Tweet]) -> np.ndarray:
    """`relevant` for all pairs: (N, N) bool, rows are texts, columns are images."""
    stories = np.array([tweet.truth.story for tweet in tweets], dtype=str)
    related = np.array([tweet.truth.related for tweet in tweets], dtype=bool)
    return (stories[:, None] == stories) & (stories != "")[:, None] & related


def oracle(tweets: Sequence[Tweet], batches: Sequence[Sequence[int]] | None = None) -> dict[str, float]:
    """How well readers who know the generator can do: entity-level F1 in [0, 1] (seqeval), and chance.

    Every reader finds all mentions and knows the unambiguous names. For an ambiguous one

    - "text" guesses among the name's three types;
    - "own_image" sees the type where the post's own image is there and related, and else guesses;
    - "mined" sees it where any image of the same batch is relevant, and else guesses.

    A guess is taken all three ways and the F1 averaged, so that it has no luck. "chance" is the probability that an
    image drawn from the batch is relevant, averaged over the posts with an ambiguous name.

    Args:
        batches: lists of indices into `tweets`, as `mgips.data.batch.training_batches` gives them; days if None.
    """
    if batches is None:
        days: dict[str, list[int]] = {}
        for index, tweet in enumerate(tweets):
            days.setdefault(tweet.group, []).append(index)
        batches = list(days.values())
    mined = np.zeros(len(tweets), dtype=bool)
    chance = []
    for batch in batches:
        matrix = relevance_matrix([tweets[i] for i in batch])  # (N, N)
        pictures = sum(tweets[i].image is not None for i in batch)
        for index, row in zip(batch, matrix, strict=True):
            mined[index] |= row.any()
            if tweets[index].truth.ambiguous and pictures:
                chance.append(row.sum() / pictures)
    own = [tweet.truth.related for tweet in tweets]
    gold = [list(tweet.tags) for tweet in tweets]

    def f1(known: Sequence[bool]) -> float:
        guesses = ([_guess(t, sees, way) for t, sees in zip(tweets, known, strict=True)] for way in range(3))
        return float(np.mean([f1_score(gold, guess, zero_division=0) for guess in guesses]))

    return {
        "text": f1([False] * len(tweets)),
        "own_image": f1(own),
        "mined": f1(mined.tolist()),
        "chance": float(np.mean(chance)) if chance else 0.0,
    }


def _guess(tweet: Tweet, sees: bool, way: int) -> list[str]:
    """The tags of a reader who sees the story's type, or takes one of the name's three."""
    tags = list(tweet.tags)
    if not sees:
        for start, end in tweet.truth.ambiguous:
            kind = AMBIGUOUS[" ".join(tweet.words[start:end])][way]
            tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags
