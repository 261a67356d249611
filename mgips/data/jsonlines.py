"""Posts in JSON Lines, one object a line, or in JSON, an array of the same objects.

    {"text": "Ada in #London", "spans": [{"start": 0, "end": 3, "type": "PER"}], "image": "photos/1.jpg"}
    {"words": ["Ada", "in", "London"], "tags": ["B-PER", "O", "B-LOC"], "image": null}

A post has either its `text`, with or without `spans` (characters [start, end)), or its `words`, with or without `tags`
(BIO, IOB1 or BIOES). Other names are known too: `label`, `labels` and `entities` for `spans`, as doccano exports them
(`[0, 3, "PER"]`, or `start_offset`, `end_offset` and `label`), `tokens` for `words`, `ner_tags` and `labels` for `tags`.

A text is split into words without a look at its spans, as it is when it is predicted. A span that begins or ends inside a
word is taken as the whole words; of two that then share a word the second is left out. Both are remarked.

What else a post may have: `image` (a file, seen from the folder of the JSON file, or {"bytes": BASE64}), `id`, `time`
(days from any one origin, or a date such as 2026-05-13T18:30), `caption`, and `group` (posts of one group are trained in
the same batches). Other keys are left alone; one that looks like labels, in a post without any, is remarked.
"""

from __future__ import annotations

import base64
import errno
import io
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from mgips.data.conll import read_text
from mgips.data.corpus import Picture, Tweet, Whole
from mgips.data.pictures import open_picture
from mgips.data.spans import Span, spans
from mgips.data.text import half_character, placed, words_of
from mgips.errors import DataError
from mgips.files import write_atomically
from mgips.tags import TAG, to_bio

MOST_DAYS = 1_000_000
"""Larger numbers are not days."""
LINK = re.compile(r"https?://", re.IGNORECASE)
NO_FILE_NAME = '"image" is not a file name; write a path, or {"bytes": BASE64}.'
SPANS = ("spans", "entities", "label", "labels")
"""Names of what is marked in a text."""
TAGS = ("tags", "ner_tags", "labels")
"""Names of the tags of words."""
LIKE_LABELS = {
    *SPANS,
    *TAGS,
    "annotation",
    "annotations",
    "bio",
    "ents",
    "entity",
    "iob",
    "named_entities",
    "ner",
    "result",
}
"""Keys, in small letters, under which a post without labels may have some that are not read."""
SPAN = '{"start": 0, "end": 3, "type": "PER"}'


@dataclass
class Remarks:
    """What was read otherwise than it stands in a file, for the corpus's notes. Each list says where: a line or a row."""

    entities: int = 0
    """Marked spans."""
    widened: list[str] = field(default_factory=list)
    """Spans that begin or end inside a word."""
    left_out: list[str] = field(default_factory=list)
    """Spans that then share a word with the one before."""
    unread: dict[str, list[str]] = field(default_factory=dict)
    """Posts without labels, by a key that looks like some."""

    def notes(self) -> list[str]:
        """One line for each kind."""

        def of_all(places: list[str], one: str, several: str) -> str:
            some = f"{places[0]}, …" if len(places) > 1 else places[0]
            return f"{len(places):,} of {self.entities:,} entities {one if len(places) == 1 else several} ({some})."

        notes = []
        if self.widened:
            does = ("begins or ends inside a word, and is", "begin or end inside a word, and are")
            notes.append(of_all(self.widened, *(f"{verb} taken as whole words" for verb in does)))
        if self.left_out:
            does = ("shares its word with another, and is", "share their word with another, and are")
            notes.append(of_all(self.left_out, *(f"{verb} left out" for verb in does)))
        for key, places in self.unread.items():
            notes.append(
                f'"{key}" is not read, and {len(places):,} posts with it have no labels ({places[0]}, …); '
                f'mark a text by "spans", as [{SPAN}], or words by "tags".'
            )
        return notes


def read_jsonl(path: str | Path, remarks: Remarks | None = None) -> list[Tweet]:
    """The posts of one file; one without an id is named by the file and its line.

    Args:
        remarks: takes what is not read as it stands there.

    Raises:
        DataError: naming file, line and remedy.
    """
    path = Path(path)
    text, tweets = read_text(path), []
    for place, row in _array(path, text) if text.lstrip()[:1] == "[" else _lines(path, text):
        try:
            tweets.append(post(row, f"{path.stem}-{place.split()[-1]}", path.parent, remarks, place))
        except ValueError as error:
            raise DataError(f"{path}{_at(place)}: {error}") from None
    if not tweets:
        raise DataError(f'{path} holds no posts; write one JSON object a line, as {{"text": "Ada in London"}}.')
    return with_bio(tweets)


def _lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """The object of each line, and which line."""
    yield from ((f"line {number}", row) for number, row in objects(path, text.split("\n")))


def objects(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """The number, from 1, and the object of each line that is not blank.

    Raises:
        DataError: a line that is not JSON, naming it.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise DataError(f"{path}:{number}: this is not JSON; write one object a line.") from None
            yield number, row


def _array(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """The objects of an array, and which of them each is."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        line, reason = getattr(error, "lineno", 1), getattr(error, "msg", "nested too deeply")
        raise DataError(
            f"{path}:{line}: this is not JSON ({reason}); write an array of objects, or one object a line."
        ) from None
    yield from ((f"object {number}", row) for number, row in enumerate(rows, 1))


def _at(place: str) -> str:
    """A place in a file, as a message names it."""
    return f":{place.removeprefix('line ')}" if place.startswith("line ") else f", {place}"


def with_bio(tweets: Sequence[Tweet]) -> list[Tweet]:
    """The posts of one file with their tags in BIO."""
    labelled = iter(to_bio([tweet.tags for tweet in tweets if tweet.tags]))
    return [replace(tweet, tags=next(labelled)) if tweet.tags else tweet for tweet in tweets]


def post(row: Any, name: str, folder: Path = Path(), remarks: Remarks | None = None, place: str = "") -> Tweet:
    """A post from an object of the file; its tags are still as they stand there.

    Args:
        name: its id, where it has none.
        folder: what its image's path is seen from.
        remarks: takes what is not read as it stands there.
        place: where that is, in the file.

    Raises:
        ValueError: what is wrong with it, as a sentence.
    """
    if not isinstance(row, Mapping):
        raise ValueError("this is not an object; write {…}.")
    remarks = Remarks() if remarks is None else remarks
    known = {key: value for key, value in row.items() if value is not None}
    if "words" not in known and _texts(known.get("tokens")):
        known["words"] = known["tokens"]
    if ("text" in known) == ("words" in known):
        raise ValueError('a post needs either "text" or "words".')
    if "text" in known:
        text, words, tags = _marked(known["text"], _labels(known, SPANS), remarks, place)
    else:
        text, (words, tags) = "", _tagged(known["words"], _labels(known, TAGS))
    if not tags:
        for key in known:
            if isinstance(key, str) and key.lower() in LIKE_LABELS and known[key] not in ("", [], {}):
                remarks.unread.setdefault(key, []).append(place)
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


def _texts(value: Any) -> bool:
    """Whether this is a list of texts."""
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, str) for v in value)


def _labels(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """What stands under the first of some names or, as a list of what belongs there, under another."""
    own = names[0]

    def fits(value: Any) -> bool:
        if names is TAGS:
            return _texts(value)
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        return listed and all(isinstance(v, Mapping | list | tuple) for v in value)

    there = [name for name in names if name in row and (name == own or fits(row[name]))]
    if len(there) > 1:
        raise ValueError(f'both "{there[0]}" and "{there[1]}" say what is marked; keep one of them.')
    return row[there[0]] if there else None


def _marked(text: Any, spans: Any, remarks: Remarks, place: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """A text, its words, and the tags that its marked spans give them; no tags without spans."""
    if not isinstance(text, str):
        raise ValueError(f'"text" is {text!r}; give a text.')
    _whole_characters([text])
    if spans is not None and (isinstance(spans, str) or not isinstance(spans, Sequence)):
        raise ValueError(f'"spans" is not a list; write [{SPAN}].')
    marked = sorted(_span(span, text) for span in spans or ())
    for before, after in pairwise(marked):
        if after[0] < before[1]:
            raise ValueError(f"the spans {before!r} and {after!r} overlap; keep one of them.")
    found = words_of(text)
    if not found:
        raise ValueError("the text has no words; leave the post out.")
    words, tags, free = tuple(word for word, _ in found), ["O"] * len(found), 0
    for start, end, kind in marked:
        inside = [i for i, (word, at) in enumerate(found) if at < end and start < at + len(word)]
        if not inside:
            raise ValueError(f"the span {start} to {end} holds no word; leave it out.")
        first, last = inside[0], inside[-1]
        remarks.entities += 1
        if first < free:
            remarks.left_out.append(place)
            continue
        if found[first][1] < start or end < found[last][1] + len(words[last]):
            remarks.widened.append(place)
        tags[first : last + 1], free = [f"B-{kind}", *[f"I-{kind}"] * (last - first)], last + 1
    return text, words, tuple(tags) if spans is not None else ()


def _span(span: Any, text: str) -> tuple[int, int, str]:
    """Where a marked span begins and ends, and its type."""
    try:
        if isinstance(span, Mapping):
            keys = (("start", "start_offset"), ("end", "end_offset"), ("type", "label"))
            start, end, kind = (span[key if key in span else other] for key, other in keys)
        else:
            start, end, kind = span
    except (KeyError, TypeError, ValueError):
        start, end, kind = None, None, ""
    if type(start) is not int or type(end) is not int or isinstance(span, str):
        raise ValueError(f"{span!r} is not a span; write {SPAN}.")
    if not 0 <= start < end <= len(text):
        raise ValueError(f"the span {start!r} to {end!r} does not lie in the text, which has {len(text)} characters.")
    if not isinstance(kind, str) or not TAG.fullmatch(f"B-{kind}"):
        raise ValueError(
            f"{kind!r} is not an entity type ({text[start:end]!r} has it); write a name without blanks, as in work-of-art."
        )
    return start, end, kind


def _tagged(words: Any, tags: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    for name, value in (("words", words), ("tags", tags)):
        if value is not None and not _texts(value):
            raise ValueError(f'"{name}" is not a list of texts.')
    if not words or not all(word.strip() for word in words):
        raise ValueError("there are no words, or one of them is empty; leave it out.")
    _whole_characters(words)
    if tags is not None and len(tags) != len(words):
        raise ValueError(f"there are {len(words)} words and {len(tags)} tags; give one tag a word.")
    for tag in tags or ():
        if not TAG.fullmatch(tag):
            raise ValueError(f"{tag[:40]!r} is not a tag; write O, or B- and I- with an entity type, as in B-PER.")
    return tuple(words), tuple(tags or ())


def _whole_characters(texts: Sequence[str]) -> None:
    """Refuse half a character, as cutting a text in other languages may leave."""
    for text in texts:
        if half_character(text):
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
        raise ValueError(NO_FILE_NAME)
    if LINK.match(image):
        raise ValueError(f'"image" is a link ({image[:60]}); fetch the picture, and name its file.')
    path = folder / image
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f'"image" is {image}, which cannot be a file ({error.strerror}); shorten it.') from None
    except ValueError:  # NUL, or half a character
        raise ValueError(NO_FILE_NAME) from None
    return path


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
    if image is None:
        return None
    if isinstance(image, str | Path):  # ".." of a linked folder leads out of what it is linked to
        return os.path.relpath(Path(image).parent.resolve() / Path(image).name, path.parent.resolve())
    buffer = io.BytesIO()
    open_picture(image).save(buffer, "PNG")
    name = f"images/{path.stem}-{number}.png"
    write_atomically(path.parent / name, buffer.getvalue())
    return name
