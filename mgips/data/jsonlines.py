"""Posts in JSON Lines, one object a line.

    {"text": "Ada in #London", "spans": [{"start": 0, "end": 3, "type": "PER"}], "image": "photos/1.jpg"}
    {"words": ["Ada", "in", "London"], "tags": ["B-PER", "O", "B-LOC"], "image": null}

A post has either its `text`, with or without `spans` (characters [start, end)), or its `words`, with or without `tags`
(BIO, IOB1 or BIOES). What else it may have: `image` (a file, seen from the folder of the JSON file, or
{"bytes": BASE64}), `id`, `time` (days from any one origin, or a date such as 2026-05-13T18:30), `caption`, and `group`
(posts of one group are trained in the same batches). Other keys are left alone.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mgips.data.conll import read_text
from mgips.data.corpus import Picture, Tweet, Whole
from mgips.data.pictures import open_picture
from mgips.data.spans import Span, spans
from mgips.data.text import placed, words_of
from mgips.errors import DataError
from mgips.files import write_atomically
from mgips.tags import TAG, check_types, to_bio

MOST_DAYS = 1_000_000
"""Larger numbers are no days."""
LINK = re.compile(r"https?://", re.IGNORECASE)


def read_jsonl(path: str | Path) -> list[Tweet]:
    """The posts of one file; one without an id is named by the file and its line.

    Raises:
        DataError: naming file, line and remedy.
    """
    path = Path(path)
    tweets, lines = [], []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"{path}:{number}: this is no JSON; write one object a line.") from None
        try:
            tweets.append(post(row, f"{path.stem}-{number}", path.parent))
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}") from None
        lines.append(number)
    if not tweets:
        raise DataError(f'{path} holds no posts; write one JSON object a line, as {{"text": "Ada in London"}}.')
    return with_bio(tweets)


def with_bio(tweets: Sequence[Tweet]) -> list[Tweet]:
    """The posts of one file with their tags in BIO."""
    labelled = iter(to_bio([tweet.tags for tweet in tweets if tweet.tags]))
    return [replace(tweet, tags=next(labelled)) if tweet.tags else tweet for tweet in tweets]


def post(row: Any, name: str, folder: Path = Path()) -> Tweet:
    """A post from an object of the file; its tags are still as they stand there.

    Args:
        name: its id, where it has none.
        folder: what its image's path is seen from.

    Raises:
        ValueError: what is wrong with it, as a sentence.
    """
    if not isinstance(row, Mapping):
        raise ValueError("this is no object; write {…}.")
    known = {key: value for key, value in row.items() if value is not None}
    if ("text" in known) == ("words" in known):
        raise ValueError('a post needs either "text" or "words".')
    if "text" in known:
        text, words, tags = _marked(known["text"], known.get("spans"))
    else:
        text, (words, tags) = "", _tagged(known["words"], known.get("tags"))
    identity = known.get("id", name)
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        raise ValueError(f'"id" is {identity!r}; give a text or a whole number.')
    strings = {}
    for key in ("caption", "group"):
        strings[key] = known.get(key, "")
        if not isinstance(strings[key], str):
            raise ValueError(f'"{key}" is {strings[key]!r}; give a text.')
    image = _image(known.get("image"), folder)
    return Tweet(str(identity), words, tags, image, text=text, time=_time(known.get("time")), **strings)


def _marked(text: Any, spans: Any) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """A text, its words, and the tags that its marked spans give them; no tags without spans."""
    if not isinstance(text, str):
        raise ValueError(f'"text" is {text!r}; give a text.')
    _whole_characters([text])
    marked: list[tuple[int, int, str]] = []
    if spans is not None and not isinstance(spans, Sequence):
        raise ValueError('"spans" is no list; write [{"start": 0, "end": 3, "type": "PER"}].')
    for span in spans or ():
        try:
            start, end, kind = (span[key] for key in ("start", "end", "type")) if isinstance(span, Mapping) else span
            check_types([kind])
        except Exception:
            raise ValueError(f'{span!r} is no span; write {{"start": 0, "end": 3, "type": "PER"}}.') from None
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)):
            raise ValueError(
                f"the span {start!r} to {end!r} does not lie in the text, which has {len(text)} characters."
            )
        marked.append((start, end, kind))
    marked.sort()
    for before, after in zip(marked, marked[1:], strict=False):
        if after[0] < before[1]:
            raise ValueError(f"the spans {before!r} and {after!r} overlap; keep one of them.")
    found = words_of(text, (edge for start, end, _ in marked for edge in (start, end)))
    if not found:
        raise ValueError("the text has no words; leave the post out.")
    words, tags = tuple(word for word, _ in found), ["O"] * len(found)
    for start, end, kind in marked:
        inside = [place for place, (_, at) in enumerate(found) if start <= at < end]
        if not inside:
            raise ValueError(f"the span {start} to {end} holds no word; leave it out.")
        tags[inside[0] : inside[-1] + 1] = [f"B-{kind}", *[f"I-{kind}"] * (len(inside) - 1)]
    return text, words, tuple(tags) if spans is not None else ()


def _tagged(words: Any, tags: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    for name, value in (("words", words), ("tags", tags)):
        listed = isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, str) for v in value)
        if value is not None and not listed:
            raise ValueError(f'"{name}" is no list of texts.')
    if not words or not all(word.strip() for word in words):
        raise ValueError("there are no words, or one of them is empty; leave it out.")
    _whole_characters(words)
    if tags is not None and len(tags) != len(words):
        raise ValueError(f"there are {len(words)} words and {len(tags)} tags; give one tag a word.")
    for tag in tags or ():
        if not TAG.fullmatch(tag):
            raise ValueError(f"{tag[:40]!r} is no tag; write O, or B- and I- with an entity type, as in B-PER.")
    return tuple(words), tuple(tags or ())


def _whole_characters(texts: Sequence[str]) -> None:
    """Refuse half a character, as cutting a text in other languages may leave."""
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("half a character (a lone surrogate) is in the text; remove it.")


def _image(image: Any, folder: Path) -> Whole | None:
    if isinstance(image, Mapping) and isinstance(image.get("bytes"), str):
        try:
            return base64.b64decode(image["bytes"], validate=True)
        except ValueError:
            raise ValueError('the bytes of "image" are not in base64.') from None
    if image is None:
        return None
    if not isinstance(image, str) or not image:
        raise ValueError('"image" is no file name; write a path, or {"bytes": BASE64}.')
    if LINK.match(image):
        raise ValueError(f'"image" is a link ({image[:60]}); fetch the picture, and name its file.')
    return folder / image


def _time(time: Any) -> float:
    if time is None:
        return math.nan
    if isinstance(time, int | float) and not isinstance(time, bool) and math.isfinite(time):
        if abs(time) > MOST_DAYS:
            raise ValueError(
                f'"time" is {time}, which looks like seconds; give days, or a date such as 2026-05-13T18:30.'
            )
        return float(time)
    try:
        moment = datetime.fromisoformat(str(time))
    except ValueError:
        raise ValueError(f'"time" is {time!r}; give days as a number, or a date such as 2026-05-13T18:30.') from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / 86_400


def marks(tweet: Tweet, found: Iterable[Span]) -> list[dict[str, Any]]:
    """Entities of a post as the format has them: characters [start, end) of its text and, for a post that has none, of
    its words with a blank between them."""
    _, starts = placed(tweet.text, tweet.words)
    return [
        {"start": starts[s.start], "end": starts[s.end - 1] + len(tweet.words[s.end - 1]), "type": s.type}
        for s in found
    ]


def write_jsonl(tweets: Sequence[Tweet], path: str | Path) -> None:
    """Write posts; `read_jsonl` reads the same words, tags and pictures.

    A picture that is a file is named by its path from the folder of `path`; any other is written into `images` there.
    Crops are left out: `mgips crops` makes them anew.

    Raises:
        DataError: a picture that cannot be read, or a folder that cannot be written.
    """
    path = Path(path)
    rows = [_row(tweet, _stored(tweet.image, path, number)) for number, tweet in enumerate(tweets, 1)]
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def _row(tweet: Tweet, image: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"id": tweet.id}
    if tweet.text:
        row["text"] = tweet.text
        if tweet.tags:
            row["spans"] = marks(tweet, spans(tweet.words, tweet.tags))
    else:
        row["words"] = tweet.words
        if tweet.tags:
            row["tags"] = tweet.tags
    extras = {"image": image, "caption": tweet.caption, "group": tweet.group}
    if not math.isnan(tweet.time):
        row["time"] = tweet.time
    return row | {key: value for key, value in extras.items() if value}


def _stored(image: Picture | None, path: Path, number: int) -> str | None:
    """Where a post's picture is, seen from the folder of `path`."""
    if image is None or isinstance(image, str | Path):
        return None if image is None else os.path.relpath(image, path.parent)
    buffer = io.BytesIO()
    open_picture(image).save(buffer, "PNG")
    name = f"images/{path.stem}-{number}.png"
    write_atomically(path.parent / name, buffer.getvalue())
    return name
