"""Loading a corpus by name or from a folder: the only file that knows every format."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mgips.data.boxes import with_box_file
from mgips.data.conll import read_conll
from mgips.data.corpus import Corpus, Tweet
from mgips.data.hub import from_datasets, from_disk, from_hub
from mgips.data.jsonlines import Remarks, read_jsonl
from mgips.data.table import names_text, read_table
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.twitter import ENDINGS, complete, read_folder, split_files
from mgips.errors import ConfigError, DataError

NAMES = ("tinytweets", "twitter2015", "twitter2017")
PICTURES_MISSING = "pictures are not there"
READERS = {".jsonl": read_jsonl, ".ndjson": read_jsonl, ".json": read_jsonl, ".csv": read_table}
"""What reads a file of posts, by the ending of its name. A .tsv is a table if it has a column `text`; all else is CoNLL."""
SHEETS = (".xlsx", ".xls", ".ods", ".numbers")
"""Endings of spreadsheets as their programs keep them."""


def load_corpus(name: Any, root: str | Path | None = None) -> Corpus:
    """A corpus by its name, from a folder or a file, or from the `datasets` library.

    Args:
        name: one of
            "tinytweets" (drawn by the package) or a specification of it, "tinytweets:train=4800,unrelated=0.5" (see
            `drawn_corpus`);
            "twitter2015" or "twitter2017" (read from `root`/name);
            a folder with a file for each split, train, dev (or valid, val, validation) and test: JSON Lines or JSON
            (`mgips.data.jsonlines`), tables (`mgips.data.table`) or CoNLL files, with pictures as the Twitter corpora have them
            (`mgips.data.twitter`), or a folder that `datasets` saved;
            one such file, whose posts are then all in train;
            "hub:OWNER/NAME" or a `DatasetDict` (`mgips.data.hub`).
        root: where the Twitter folders are; $MGIPS_DATA by default, else ./data.

    Raises:
        ConfigError: a specification with a wrong key or value (the message lists the keys).
        DataError: nothing is there (the message says what to fetch, from where, and where to put it); or a file that
            is wrong.
    """
    if not isinstance(name, str | Path):
        return from_datasets(name)
    if isinstance(name, str) and is_drawn(name):
        return drawn_corpus(name)
    if isinstance(name, str) and name.startswith("hub:"):
        return from_hub(name.removeprefix("hub:"))
    return with_box_file(_from_disk(name, root))


def _from_disk(name: str | Path, root: str | Path | None) -> Corpus:
    """A corpus of a folder or a file, without the boxes of `mgips crops`."""
    if name in NAMES:
        return replace(read_folder(data_root(root) / name, str(name)), called=str(name))
    path = _expanded(name)
    if path.is_file():
        tweets, notes = _posts(path)
        return Corpus(path.stem, tuple(tweets), (), (), path, tuple(notes))
    if not path.is_dir():
        raise DataError(
            f"There is no corpus {str(name)!r}; name one of {', '.join(NAMES)}, or a folder or file that exists."
        )
    if (path / "dataset_dict.json").exists():
        return from_disk(path)
    files = split_files(path, (*READERS, *ENDINGS)) or split_files(path, SHEETS)
    formats = {_is_conll(file): file.name for file in files.values()}
    if len(formats) > 1:
        raise DataError(f"{path} holds {' and '.join(formats.values())}; give all three splits in one format.")
    if formats.keys() <= {True}:
        return read_folder(path)
    posts = {split: _posts(file) for split, file in complete(path, files).items()}
    notes = [f"{split}: {note}" for split, (_, notes) in posts.items() for note in notes]
    notes.sort(key=lambda note: PICTURES_MISSING not in note)
    train, dev, test = (tuple(posts[split][0]) for split in ("train", "dev", "test"))
    return Corpus(path.resolve().name, train, dev, test, path, tuple(notes))


def _is_conll(path: Path) -> bool:
    """Whether a file is read as CoNLL."""
    ending = path.suffix.lower()
    return ending not in (*READERS, *SHEETS) and not (ending == ".tsv" and names_text(path))


def _posts(path: Path) -> tuple[list[Tweet], list[str]]:
    """The posts of one file, and remarks on it."""
    ending, remarks = path.suffix.lower(), Remarks()
    if ending in SHEETS:
        raise DataError(f"{path} is a spreadsheet; save it as CSV (UTF-8), and name that file.")
    if _is_conll(path):
        tweets = read_conll(path)
    else:
        tweets = READERS.get(ending, read_table)(path, remarks)
    tweets, note = _pictured(tweets)
    return tweets, [*([note] if note else []), *remarks.notes()]


def _expanded(name: str | Path) -> Path:
    """A path with ~ as the home folder."""
    return Path(os.path.expanduser(name))


def loads_again(corpus: Corpus) -> str | None:
    """What `load_corpus` takes to load a corpus again, from wherever; None for one that was made in memory."""
    if corpus.called or corpus.source is not None:
        return corpus.called or str(Path(str(corpus.source)).resolve())
    return corpus.name if is_drawn(corpus.name) else None


def place_in(record: Mapping[str, Any]) -> str | None:
    """The same, from what a run or a model of the package records of its corpus.

    Raises:
        DataError: it was made in memory.
    """
    if record.get("source", "") is None:
        raise DataError(
            f"The corpus {record.get('name')!r} was made in memory and cannot be loaded; name one with --corpus."
        )
    return record.get("source") or record.get("name")


def _pictured(tweets: list[Tweet]) -> tuple[list[Tweet], str]:
    """The posts without the pictures that are not there, and a line that counts those."""
    missing = {id(t) for t in tweets if isinstance(t.image, Path) and not t.image.is_file()}
    first = next((t.image for t in tweets if id(t) in missing), None)
    some = f"{len(missing):,} of {sum(t.image is not None for t in tweets):,} {PICTURES_MISSING} ({first}, …)"
    note = f"{some}; the default image stands in for them." if missing else ""
    return [replace(t, image=None) if id(t) in missing else t for t in tweets], note


def is_drawn(name: str) -> bool:
    """Whether the package draws this corpus: "tinytweets" or a specification of it."""
    return name.partition(":")[0] == "tinytweets"


def drawn_corpus(specification: str = "tinytweets", **changes: float) -> Corpus:
    """TinyTweets by a specification: "tinytweets", or "tinytweets:train=4800,seed=1,unrelated=0.5".

    The corpus is named by its specification, with the keys in their order and without those that have their default
    value, so that its name draws the very same corpus again. The name may be part of a file's name.

    Args:
        specification: its keys are seed, the sizes train, dev and test, and all other arguments of `tinytweets`.
        changes: keys with values that replace the specification's, as in drawn_corpus("tinytweets:kinds=2", seed=1).

    Raises:
        ConfigError: a wrong key or value.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(tinytweets).parameters.items()}
    sizes = dict(zip(("train", "dev", "test"), defaults.pop("sizes"), strict=True))
    defaults = {"seed": defaults.pop("seed"), **sizes, **defaults}
    name, colon, listed = specification.partition(":")
    given: dict[str, str] = {}
    try:
        if name != "tinytweets":
            raise ConfigError(f"only tinytweets is drawn, not {name!r}")
        for part in listed.split(",") if colon else ():
            key, _, text = part.partition("=")
            if key in given:
                raise ConfigError(f"{key} is given twice")
            given[key] = text
        given |= {key: str(value) for key, value in changes.items()}
        for key in given:
            if key not in defaults:
                raise ConfigError(f"there is no key {key!r}")
        values = {
            key: _number(key, given[key], default) if key in given else default for key, default in defaults.items()
        }
        arguments: dict[str, Any] = {key: value for key, value in values.items() if key not in sizes}
        corpus = tinytweets(sizes=(values["train"], values["dev"], values["test"]), **arguments)
    except ConfigError as error:
        reason = str(error).rstrip(".")
        raise ConfigError(
            f"{specification!r} cannot be drawn ({reason}); its keys are {', '.join(defaults)}."
        ) from None
    changed = [f"{key}={_shortest(value)}" for key, value in values.items() if value != defaults[key]]
    return replace(corpus, name=f"tinytweets:{','.join(changed)}" if changed else "tinytweets")


def _number(key: str, text: str, default: float) -> Any:
    """A value as its default is: whole or not."""
    try:
        return type(default)(text) + 0  # -0.0 becomes 0.0, so that equal corpora have equal names
    except ValueError:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ConfigError(f"{key} is {text!r}, and must be {kind}") from None


def _shortest(value: float) -> str:
    """The shortest text that gives this very number back."""
    return repr(value).removesuffix(".0")


def data_root(root: str | Path | None = None) -> Path:
    """The folder in which the Twitter corpora are looked for."""
    return _expanded(root or os.environ.get("MGIPS_DATA") or "data")
