"""Where the crops of one's own photos are: boxes in a file, never pixels.

A file of boxes is JSON Lines: one JSON object a line, UTF-8. `mgips crops` writes one; so can a person or a program:

    {"recipe": {"preset": "hvpnet", "detector": "google/owlv2-base-patch16-ensemble", "threshold": 0.1, …}}
    {"id": "17_06_4983", "picture": "17_06_4983.jpg", "text": "Kevin Love at the # NBAFinals", "size": [640, 480],
     "boxes": [{"box": [31, 12, 208, 477], "score": 0.41, "phrase": "Kevin Love"}, …]}

    id        the post's id
    picture   the file name of its photo
    text      optional: the post's words with a space between each two. Without it the line holds for every post with
              this id and photo; with it for this one alone, since the same photo may be under several texts
    size      optional: width and height of the upright photo in pixels (as it is seen, after its EXIF orientation)
    boxes     the first three are the post's crops; the whole photo stands in for missing ones
      box     left, upper, right and lower edge in pixels of the upright photo, from its upper left corner
      score   optional: the detector's confidence in [0, 1]
      phrase  optional: what the box shows
    fault     written instead of boxes where the photo could not be read

Each object stands on a single line in the file. Boxes made by hand need no first line with a recipe. Where two lines
are about the same post the later one counts. `FOLDER/boxes.jsonl` is read with the corpus in FOLDER.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mgips.data.corpus import Corpus, Cropped, Tweet
from mgips.data.crops import CROPS
from mgips.errors import ConfigError, DataError
from mgips.files import write_atomically

FILE = "boxes.jsonl"
"""What a corpus's file of boxes is called."""

Key = tuple[str, str, str | None]
"""A post's id, its photo's file name, and its text where boxes hold for this text alone."""


@dataclass(frozen=True)
class Box:
    """A part of a photo."""

    box: tuple[float, float, float, float]
    """Left, upper, right and lower edge, in pixels of the upright photo."""
    score: float | None = None
    """The detector's confidence in [0, 1]; None for a box made by hand."""
    phrase: str = ""
    """What it shows."""


@dataclass(frozen=True)
class PostBoxes:
    """The boxes of one post's photo: a line of the file."""

    id: str
    picture: str
    """The photo's file name."""
    boxes: tuple[Box, ...] = ()
    text: str | None = None
    """The post's words; None where the boxes hold for every post with this id and photo."""
    size: tuple[int, int] | None = None
    """Width and height of the upright photo, in pixels."""
    fault: str = ""
    """Why there are no boxes: what is wrong with the photo."""

    @property
    def key(self) -> Key:
        """What the line is about."""
        return self.id, self.picture, self.text


@dataclass(frozen=True)
class BoxFile:
    """A file of boxes, read."""

    posts: dict[Key, PostBoxes] = field(default_factory=dict)
    recipe: dict[str, Any] | None = None
    """How the boxes were found; None for boxes made by hand."""

    def of(self, tweet: Tweet) -> PostBoxes | None:
        """A tweet's line: one with its very text, otherwise one without a text; None where there is neither."""
        if not isinstance(tweet.image, str | Path):
            return None
        picture = Path(tweet.image).name
        return self.posts.get((tweet.id, picture, text_of(tweet))) or self.posts.get((tweet.id, picture, None))


def text_of(tweet: Tweet) -> str:
    """A tweet's words with a space between each two, as a file of boxes has them."""
    return " ".join(tweet.words)


def with_boxes(tweets: Sequence[Tweet], boxes: BoxFile) -> tuple[Tweet, ...]:
    """The tweets, with the first boxes of their photo as crops; a tweet that has crops keeps them."""

    def completed(tweet: Tweet) -> Tweet:
        post = boxes.of(tweet)
        if tweet.crops or post is None or not isinstance(tweet.image, str | Path):
            return tweet
        return replace(tweet, crops=tuple(Cropped(tweet.image, box.box) for box in post.boxes[:CROPS]))

    return tuple(completed(tweet) for tweet in tweets)


def read_boxes(path: str | Path) -> BoxFile:
    """A file of boxes. A last line that a kill of `mgips crops` cut short is left out.

    Raises:
        DataError: the file cannot be read, or a line is wrong, naming file, line and remedy.
    """
    path = Path(path)
    return _parsed(path, _content(path))[0]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); make it readable, or remove it.") from error


def _parsed(path: Path, content: bytes) -> tuple[BoxFile, int]:
    """What a file holds, and the length in bytes of its complete lines."""
    posts: dict[Key, PostBoxes] = {}
    recipe = None
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) and recipe is not None:  # cut short by a kill
                return BoxFile(posts, recipe), len(content) - len(line)
            raise DataError(f"{path}:{number}: this is not a line of JSON; correct it or remove it.") from None
        try:
            if number == 1 and isinstance(value, dict) and set(value) == {"recipe"}:
                recipe = dict(value["recipe"])
            else:
                post = _post(value)
                posts[post.key] = post
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{path}:{number}: {error}; correct the line or remove it.") from None
    return BoxFile(posts, recipe), len(content)


def _post(value: Any) -> PostBoxes:
    """A line's value, checked; what is wrong with it is raised as a ValueError."""
    if not isinstance(value, dict) or not {"id", "picture", "boxes"} <= set(value):
        raise ValueError("expected an object with id, picture and boxes")
    for name, kind in (("id", str), ("picture", str), ("boxes", list), ("text", str | None), ("fault", str)):
        if name in value and not isinstance(value[name], kind):
            raise ValueError(f"{name} is {_short(value[name])}, and must be {'a list' if kind is list else 'a text'}")
    size = value.get("size")
    if size is not None and not (_numbers(size, 2) and all(isinstance(s, int) and s > 0 for s in size)):
        raise ValueError(f"size is {_short(size)}, and must be the width and height in pixels")
    return PostBoxes(
        value["id"],
        value["picture"],
        tuple(_box(box) for box in value["boxes"]),
        value.get("text"),
        tuple(size) if size else None,
        value.get("fault", ""),
    )


def _box(value: Any) -> Box:
    box = value.get("box") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(box, list) or not _numbers(box, 4):
        raise ValueError(f"a box is {_short(value)}, and must be an object whose box has four numbers")
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"the box {_short(box)} holds nothing; its numbers are the left, upper, right and lower edge")
    score, phrase = value.get("score"), value.get("phrase", "")
    if score is not None and not _numbers([score], 1):
        raise ValueError(f"a score is {_short(score)}, and must be a number")
    if not isinstance(phrase, str):
        raise ValueError(f"a phrase is {_short(phrase)}, and must be a text")
    return Box((box[0], box[1], box[2], box[3]), score, phrase)


def _numbers(value: Any, count: int) -> bool:
    """Whether this is a list of so many finite numbers."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in value)
    )


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]


def _line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def _post_line(post: PostBoxes) -> bytes:
    """A line of the file; what is unknown is left out."""

    def known(value: dict[str, Any]) -> dict[str, Any]:
        return {name: item for name, item in value.items() if item not in (None, "")}

    boxes = [known(dataclasses.asdict(box)) for box in post.boxes]
    names = ("text", "size", "fault")
    rest = known({name: getattr(post, name) for name in names})
    return _line({"id": post.id, "picture": post.picture, **rest, "boxes": boxes})


def write_boxes(path: str | Path, boxes: BoxFile) -> None:
    """Write a whole file of boxes.

    Raises:
        DataError: it cannot be written.
    """
    head = b"" if boxes.recipe is None else _line({"recipe": boxes.recipe})
    write_atomically(path, head + b"".join(map(_post_line, boxes.posts.values())))


def growing_boxes(
    path: str | Path, recipe: dict[str, Any], anew: bool = False
) -> tuple[BoxFile, Callable[[PostBoxes], None]]:
    """A file of boxes to go on with, or a new one: what it holds, and a function that adds a line that is not there yet.

    Each line is handed to the system when it is added, so a kill costs at most the line being written; the next call
    removes what is left of it.

    Args:
        recipe: how the boxes are found. It must be that of the file, but for the version of mgips.
        anew: replace the file, whatever it holds.

    Raises:
        ConfigError: the file was made by another recipe, or by hand.
        DataError: a line is wrong, or the file cannot be written.
    """
    path, head = Path(path), _line({"recipe": recipe})
    content = b"" if anew or not path.exists() else _content(path)
    if head.startswith(content):  # nothing yet, or a first line that was cut short
        boxes = BoxFile({}, recipe)
        write_boxes(path, boxes)
    else:
        boxes, length = _parsed(path, content)
        _check_recipe(path, boxes.recipe, recipe)
        try:
            with open(path, "r+b") as file:
                file.truncate(length)
                file.seek(length)
                file.write(b"" if content[:length].endswith(b"\n") else b"\n")
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error.strerror}).") from error

    def add(post: PostBoxes) -> None:
        if post == boxes.posts.get(post.key):
            return
        try:
            with open(path, "ab") as file:
                file.write(_post_line(post))
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error.strerror}); what was found before is kept.") from error
        boxes.posts[post.key] = post

    return boxes, add


def _check_recipe(path: Path, before: dict[str, Any] | None, now: dict[str, Any]) -> None:
    if before is None:
        raise ConfigError(
            f"{path} was not made by this command; name another file with --out, or replace it with --anew."
        )
    now = json.loads(_line(now))
    names = {**before, **now}
    differs = [name for name in names if name != "mgips" and before.get(name) != now.get(name)]
    if differs:
        name = differs[0]
        raise ConfigError(
            f"{path} was made with another {name} ({_short(before.get(name))}, now {_short(now.get(name))}); make it anew "
            "with --anew, or name another file with --out."
        )


def with_box_file(corpus: Corpus) -> Corpus:
    """The corpus with the boxes that its folder has a file of, and a note that counts them.

    Raises:
        DataError: the file is damaged.
    """
    if corpus.source is None:
        return corpus
    file = (corpus.source if corpus.source.is_dir() else corpus.source.parent) / FILE
    if not file.exists():
        return corpus
    boxes = read_boxes(file)
    splits = {split: with_boxes(tweets, boxes) for split, tweets in corpus.splits.items()}
    posts = [tweet for tweets in splits.values() for tweet in tweets]
    boxed = sum(isinstance(crop, Cropped) for tweet in posts for crop in tweet.crops)
    strange = len(boxes.posts) - len({post.key for tweet in posts if (post := boxes.of(tweet)) is not None})
    note = f"{boxed:,} crops by the boxes in {FILE}." + (
        f" {strange:,} of its lines fit no post: id, picture or text differ." if strange else ""
    )
    return replace(corpus, **splits, notes=(*corpus.notes, note))
