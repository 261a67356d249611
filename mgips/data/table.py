"""Posts in a spreadsheet saved as CSV: a row each, and a column for each entity type.

    text,image,PER,LOC
    "Ada met Bob in London, then Bob left",1.jpg,Ada; Bob; Bob,London

The columns `text`, `image`, `id`, `time`, `caption` and `group` mean what they mean in `mgips.data.jsonlines`. The name of
any other column is an entity type, and its cells list what has that type, as it stands in the text, with semicolons
between. What stands in the text more than once is marked from the left, as often as it is listed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import regex

from mgips.data.conll import read_text
from mgips.data.corpus import Tweet
from mgips.data.jsonlines import post
from mgips.data.text import ALONE
from mgips.errors import ConfigError, DataError
from mgips.tags import check_types

KNOWN = ("id", "text", "image", "time", "caption", "group")
BETWEEN = ";"
ALONE_CHARACTER = regex.compile(f"[{ALONE}]")


def read_table(path: str | Path) -> list[Tweet]:
    """The posts of one file; one without an id is named by the file and its line. Without a column for a type they have
    no tags.

    Raises:
        DataError: naming file, line and remedy.
    """
    path = Path(path)
    content = read_text(path)
    header = content.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    tweets: list[Tweet] = []
    names: list[str] = []
    try:
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                _check_header(names)
                continue
            if len(cells) != len(names):
                raise ValueError(f"here are {len(cells)} cells, and {len(names)} columns in the first line.")
            tweets.append(_post(dict(zip(names, cells, strict=True)), f"{path.stem}-{rows.line_num}", path.parent))
    except (ValueError, csv.Error, ConfigError) as error:
        raise DataError(f"{path}:{rows.line_num}: {error}") from None
    if not tweets:
        raise DataError(f"{path} holds no posts; write the names of the columns, text among them, then a post a line.")
    return tweets


def _check_header(names: list[str]) -> None:
    if "text" not in names or len(set(names)) < len(names):
        raise ValueError(f"the columns are {', '.join(names)}; give each its name once, and one the name text.")
    kinds = [name for name in names if name not in KNOWN]
    if kinds:
        check_types(kinds)


def _post(cells: dict[str, str], name: str, folder: Path) -> Tweet:
    row: dict[str, object] = {key: cells[key] for key in KNOWN if cells.get(key, "").strip()}
    row["text"] = text = cells["text"]
    if "time" in row:
        try:
            row["time"] = float(cells["time"])
        except ValueError:
            row["time"] = cells["time"].strip()
    kinds = [key for key in cells if key not in KNOWN]
    if kinds:
        row["spans"] = _found(text, ((kind, said.strip()) for kind in kinds for said in cells[kind].split(BETWEEN)))
    return post(row, name, folder)


def _found(text: str, listed: Iterable[tuple[str, str]]) -> list[tuple[int, int, str]]:
    """Where what is listed stands in the text: whole words, longer ones first, so that no part of them is taken."""
    marked: list[tuple[int, int, str]] = []
    for kind, said in sorted(listed, key=lambda entry: -len(entry[1])):
        if not said:
            continue
        at = -1
        while True:
            at = text.find(said, at + 1)
            end = at + len(said)
            if at < 0:
                raise ValueError(f"{said!r} does not stand in the text (again); write it as it stands there.")
            whole = not (at and _joined(text[at - 1], said[0])) and not _joined(said[-1], text[end : end + 1])
            if whole and all(end <= start or at >= stop for start, stop, _ in marked):
                marked.append((at, end, kind))
                break
    return marked


def _joined(left: str, right: str) -> bool:
    """Whether two characters that follow one another are of one word; scripts without blanks have no such words."""
    return (
        left.isalnum() and right.isalnum() and not any(ALONE_CHARACTER.match(character) for character in (left, right))
    )
