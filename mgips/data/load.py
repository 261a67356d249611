"""Loading a corpus by name or from a folder: the only file that knows every format."""

from __future__ import annotations

import os
from pathlib import Path

from mgips.data.corpus import Corpus
from mgips.data.tinytweets.posts import tinytweets
from mgips.data.twitter import read_folder
from mgips.errors import DataError

NAMES = ("tinytweets", "twitter2015", "twitter2017")


def load_corpus(name: str | Path, root: str | Path | None = None) -> Corpus:
    """A corpus by its name, or from a folder.

    Args:
        name: "tinytweets" (drawn by the package), "twitter2015" or "twitter2017" (read from `root`/name), or the
            path of a folder in their layout (`mgips.data.twitter`).
        root: where the Twitter folders are; $MGIPS_DATA by default, else ./data.

    Raises:
        DataError: nothing is there (the message says what to fetch, from where, and where to put it); or a file that
            is wrong.
    """
    if name == "tinytweets":
        return tinytweets()
    if name in NAMES:
        return read_folder(data_root(root) / name, str(name))
    if not Path(name).is_dir():
        raise DataError(f"There is no corpus {str(name)!r}; name one of {', '.join(NAMES)}, or a folder that exists.")
    return read_folder(name)


def data_root(root: str | Path | None = None) -> Path:
    """The folder in which the Twitter corpora are looked for."""
    return Path(root or os.environ.get("MGIPS_DATA") or "data")
