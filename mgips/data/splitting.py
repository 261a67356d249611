"""Train, dev and test from posts that are in one heap, without leaks between them."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Hashable, Sequence
from pathlib import Path

from mgips.data.corpus import Corpus, Tweet
from mgips.errors import ConfigError

SHARES = (0.8, 0.1, 0.1)
"""Of train, dev and test."""
LINKS = ("http", "www.")
"""What links begin with."""


def split_corpus(
    tweets: Sequence[Tweet],
    shares: Sequence[float] = SHARES,
    days: bool | None = None,
    seed: int = 0,
    name: str = "split",
) -> Corpus:
    """Posts as a corpus. What belongs together comes into one split: posts of one id, one group, one picture, one text
    (links, capitals and punctuation aside), and, with `days`, one day.

    Args:
        tweets: with or without tags.
        shares: of train, dev and test, as far as what belongs together allows.
        days: keep days whole; by default where every post has a time and there are at least 20 days.
        seed: seeds which goes where.

    Raises:
        ConfigError: shares that are not three above 0, or a split that would be empty.
    """
    if len(shares) != 3 or not all(share > 0 and math.isfinite(share) for share in shares):
        raise ConfigError(
            f"The shares are {', '.join(map(str, shares))}; give three numbers above 0, as in 0.8 0.1 0.1."
        )
    if days is None:
        times = [tweet.time for tweet in tweets]
        days = not any(map(math.isnan, times)) and len({math.floor(time) for time in times}) >= 20
    heaps = list(together(tweets, days))
    random.Random(seed).shuffle(heaps)
    heaps.sort(key=len, reverse=True)  # the largest first, so that the small ones can level what they left
    wanted = [share / sum(shares) * len(tweets) for share in shares]
    parts: list[list[int]] = [[], [], []]
    for heap in heaps:
        emptiest = max(range(3), key=lambda part: 1 - (len(parts[part]) + len(heap)) / wanted[part])
        parts[emptiest] += heap
    if not all(parts):
        raise ConfigError(
            f"{len(tweets)} posts in {len(heaps)} heaps that belong together do not fill three splits; "
            f"{'mix the days (--mix-days)' if days else 'give more posts'}."
        )
    train, dev, test = (tuple(tweets[i] for i in sorted(part)) for part in parts)
    note = f"{len(tweets):,} posts, {len(heaps):,} heaps that belong together" + (", days kept whole" if days else "")
    return Corpus(name, train, dev, test, notes=(f"Split with seed {seed}: {note}.",))


def together(tweets: Sequence[Tweet], days: bool = False) -> list[list[int]]:
    """The places of posts that belong together, each place in one heap."""
    heap = list(range(len(tweets)))

    def root(place: int) -> int:
        while heap[place] != place:
            heap[place] = heap[heap[place]]
            place = heap[place]
        return place

    first: dict[Hashable, int] = {}
    for place, tweet in enumerate(tweets):
        for sign in _signs(tweet, days):
            heap[root(place)] = root(first.setdefault(sign, place))
    heaps: dict[int, list[int]] = {}
    for place in range(len(tweets)):
        heaps.setdefault(root(place), []).append(place)
    return list(heaps.values())


def _signs(tweet: Tweet, days: bool) -> list[Hashable]:
    """What a post shares with those that belong to it."""
    words = tuple(w.casefold() for w in tweet.words if any(map(str.isalnum, w)) and not w.casefold().startswith(LINKS))
    signs: list[Hashable] = [("id", tweet.id)]
    if words:
        signs.append(("text", words))
    if tweet.group:
        signs.append(("group", tweet.group))
    if days and not math.isnan(tweet.time):
        signs.append(("day", math.floor(tweet.time)))
    content = _content(tweet)
    return [*signs, ("picture", content)] if content else signs


def _content(tweet: Tweet) -> str:
    """A hash of a picture's file; empty where there is none to compare."""
    source = tweet.image
    if isinstance(source, str | Path):
        try:
            source = Path(source).read_bytes()
        except OSError:
            return ""
    return hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else ""
