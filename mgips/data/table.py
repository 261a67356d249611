"""Posts in a spreadsheet saved as CSV or TSV: a row each, and a column for each entity type.

    text,image,PER,LOC
    "Ada met Bob in London, then Bob left",1.jpg,Ada; Bob; Bob,London

The columns `text`, `image`, `id`, `time`, `caption` and `group`, in small letters or capitals, mean what they mean in
`mgips.data.jsonlines`. The name of any other column is an entity type, and its cells list what has that type, as it stands
in the text, with semicolons between. What stands in the text more than once is marked from the left, as often as it is
listed; where several columns list it, from the left in the columns' order. Blank rows and columns are left alone.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import regex

from mgips.data.conll import read_text
from mgips.data.corpus import Tweet
from mgips.data.jsonlines import Remarks, post
from mgips.data.text import ALONE
from mgips.errors import ConfigError, DataError
from mgips.tags import TAG, check_types

KNOWN = ("id", "text", "image", "time", "caption", "group")
BETWEEN = ";"
ALONE_CHARACTER = regex.compile(f"[{ALONE}]")
LINE_END = re.compile(r"\r\n?|\n")


def read_table(path: str | Path, remarks: Remarks | None = None) -> list[Tweet]:
    """The posts of one file; one without an id is named by the file and its row's first line. Without a column for a type
    they have no tags.

    Args:
        remarks: takes what is not read as it stands there.

    Raises:
        DataError: naming file, line (the first of a row that has several) and remedy.
    """
    path = Path(path)
    content = read_text(path)
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=_delimiter(content), strict=True)
    tweets: list[Tweet] = []
    names: list[str] = []
    line = 1
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                if names:
                    row = _row(names, cells)
                    tweets.append(_post(row, f"{path.stem}-{line}", path.parent, remarks, f"line {line}"))
                else:
                    names = _header(cells)
            line = rows.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{line}: this row cannot be read ({error}); put a cell with commas, quotes or line ends between "
            "double quotes, and write each quote in it twice."
        ) from None
    except (ValueError, ConfigError) as error:
        raise DataError(f"{path}:{line}: {error}") from None
    if not tweets:
        raise DataError(f"{path} holds no posts; write the names of the columns, text among them, then a post a line.")
    return tweets


def names_text(path: Path) -> bool:
    """Whether a file's first line has a column `text`, as a table's has."""
    content = read_text(path)
    cells = [cell.strip().strip('"').lower() for cell in _first_line(content).split(_delimiter(content))]
    return "text" in cells and not TAG.fullmatch(cells[-1].upper())  # CoNLL may begin with this very word


def _first_line(content: str) -> str:
    return LINE_END.split(content, maxsplit=1)[0]


def _delimiter(content: str) -> str:
    return max(",;\t", key=_first_line(content).count)


def _header(cells: list[str]) -> list[str]:
    """The columns' names; those that are known may be in capitals, and a column without a name is a blank one."""
    names = [cell.strip() for cell in cells]
    names = [name.lower() if name.lower() in KNOWN else name for name in names]
    named = [name for name in names if name]
    if "text" not in named or len(set(named)) < len(named):
        raise ValueError(f"the columns are {', '.join(named)}; give each its name once, and one the name text.")
    kinds = [name for name in named if name not in KNOWN]
    if kinds:
        check_types(kinds)
    return names


def _row(names: list[str], cells: list[str]) -> dict[str, str]:
    """A row's cells by their columns' names. Excel leaves blank cells behind the last column."""
    if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
        raise ValueError(
            f"here are {len(cells)} cells, and {len(names)} columns in the first line; write a cell for each column, and put "
            "one with commas or line ends between double quotes."
        )
    for place, (name, cell) in enumerate(zip(names, cells, strict=False), 1):
        if not name and cell.strip():
            raise ValueError(
                f"column {place} has no name, and {cell.strip()[:40]!r} stands in it; name it in the first line."
            )
    return {name: cell for name, cell in zip(names, cells, strict=False) if name}


def _post(cells: dict[str, str], name: str, folder: Path, remarks: Remarks | None, place: str) -> Tweet:
    row: dict[str, object] = {key: cells[key] for key in KNOWN if cells.get(key, "").strip()}
    row["text"] = text = cells["text"]
    if "time" in row:
        try:
            row["time"] = float(cells["time"])
        except ValueError:
            row["time"] = cells["time"].strip()
    kinds = [key for key in cells if key not in KNOWN]
    if kinds:
        listed = [(kind, said.strip()) for kind in kinds for said in cells[kind].split(BETWEEN)]
        row["spans"] = _found(text, [(kind, said) for kind, said in listed if said])
    return post(row, name, folder, remarks, place)


def _found(text: str, listed: Sequence[tuple[str, str]]) -> list[tuple[int, int, str]]:
    """Where what is listed stands in the text: whole words, longer ones first, so that no part of them is taken."""
    marked: list[tuple[int, int, str]] = []
    for kind, said in sorted(listed, key=lambda entry: -len(entry[1])):
        at = -1
        while True:
            at = text.find(said, at + 1)
            end = at + len(said)
            if at < 0:
                raise ValueError(_lacking(text, said, listed, marked))
            whole = not (at and _joined(text[at - 1], said[0])) and not _joined(said[-1], text[end : end + 1])
            if whole and all(end <= start or at >= stop for start, stop, _ in marked):
                marked.append((at, end, kind))
                break
    return marked


def _lacking(text: str, said: str, listed: Sequence[tuple[str, str]], marked: Sequence[tuple[int, int, str]]) -> str:
    """Why there is no place for what is listed."""
    if said not in text:
        return f"{said!r} does not stand in the text; write it as it stands there."
    kinds = [kind for kind, other in listed if other == said]
    if len(kinds) > 1:
        count = sum(text[start:end] == said for start, end, _ in marked)
        times = "once" if count == 1 else f"{count} times"
        return (
            f"{said!r} is listed {len(kinds)} times ({', '.join(kinds)}), and stands in the text {times} as words of its "
            "own; list it once for each time."
        )
    return f"{said!r} stands in the text only within a word or within what else is listed; list whole words, each once."


def _joined(left: str, right: str) -> bool:
    """Whether two characters that follow one another are of one word; scripts without blanks have no such words."""
    return (
        left.isalnum() and right.isalnum() and not any(ALONE_CHARACTER.match(character) for character in (left, right))
    )
