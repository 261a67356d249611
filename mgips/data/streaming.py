"""Posts read one at a time, of files and data sets larger than memory.

    for post in stream_posts("posts.jsonl"): …

Files of JSON Lines are read line by line; everything else is left to the `datasets` library: Parquet files, folders of
them, folders that it saved, data sets of the hub, and what its own streams make of them (`filter`, `shuffle`, `shard`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgips.data.corpus import Tweet
from mgips.data.hub import SPLITS, datasets_library, posts_of
from mgips.data.jsonlines import LIKE_LABELS, objects, post
from mgips.data.twitter import split_files
from mgips.errors import ConfigError, DataError, said_by

LINES = (".jsonl", ".ndjson")
"""Endings of what is read line by line."""


@dataclass(frozen=True)
class PostStream(Iterable[Tweet]):
    """Unlabelled posts that are read while they are iterated, anew each time."""

    name: str
    """Where they come from, for messages."""
    read: Callable[[], Iterator[Tweet]]

    def __iter__(self) -> Iterator[Tweet]:
        return self.read()


def stream_posts(source: Any, split: str = "train") -> PostStream:
    """Posts that are read one at a time. Their tags are left alone, and so are boxes that `mgips crops` has found.

    Args:
        source: a file of JSON Lines (`mgips.data.jsonlines`) or a Parquet file; a folder with such a file for each split;
            a folder of Parquet files, or one that `datasets` saved; "hub:OWNER/NAME" or "hub:OWNER/NAME:CONFIGURATION"; or
            a `Dataset`, an `IterableDataset` or a map of splits to them.
        split: train, dev or test, of a source that has splits.

    Raises:
        ConfigError: something else, which cannot be read so; or `datasets` is not installed.
        DataError: nothing is there, or it cannot be read; while reading, a row that is not a post (naming its place).
    """
    if not isinstance(source, str | Path):
        return _of_datasets(source, "The data set", split)
    if isinstance(source, str) and source.startswith("hub:"):
        path, _, configuration = source.removeprefix("hub:").partition(":")
        found = _loaded(source, lambda library: library.load_dataset(path, configuration or None, streaming=True))
        return _of_datasets(found, source, split)
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"There is no file or folder {str(path)!r}; name one with posts.")
    if path.is_dir() and any((path / name).exists() for name in ("dataset_dict.json", "state.json")):
        return _of_datasets(_loaded(path, lambda library: library.load_from_disk(str(path))), str(path), split)
    if path.is_dir():
        file = split_files(path, (*LINES, ".parquet")).get(split)
        if file is None and any(path.rglob("*.parquet")):
            found = _loaded(path, lambda library: library.load_dataset(str(path), streaming=True))
            return _of_datasets(found, str(path), split, path)
        if file is None:
            raise ConfigError(
                f"{path} has no {split}.jsonl or {split}.parquet, and only these are read post by post; write one, or read "
                "all posts at once."
            )
        path = file
    if path.suffix.lower() in LINES:
        return PostStream(str(path), lambda: _of_lines(path))
    if path.suffix.lower() == ".parquet":
        files = {"data_files": str(path), "split": "train", "streaming": True}
        found = _loaded(path, lambda library: library.load_dataset("parquet", **files))
        return _of_datasets(found, str(path), split, path.parent)
    raise ConfigError(f"{path} cannot be read post by post; write JSON Lines (.jsonl) or Parquet, or read all at once.")


def _loaded(name: str | Path, load: Callable[[Any], Any]) -> Any:
    """What the library opens.

    Raises:
        DataError: it cannot be opened.
    """
    library = datasets_library()
    try:
        return load(library)
    except Exception as error:  # a dozen kinds
        raise DataError(
            f"{name} cannot be opened as a data set ({said_by(error)}); check its name and its format."
        ) from error


def _of_datasets(found: Any, name: str, split: str, folder: Path = Path()) -> PostStream:
    """The posts of a data set, or of a split of several."""
    if isinstance(found, Mapping):
        named = {SPLITS.get(str(given), str(given)): data for given, data in found.items()}
        if split not in named:
            raise ConfigError(f"{name} has no split {split!r}; its splits are {', '.join(named)}.")
        found, name = named[split], f"{name}, {split}"
    if not hasattr(found, "features"):
        raise ConfigError(f"{type(found).__name__} cannot be read post by post; give a file, a folder or a data set.")

    def read() -> Iterator[Tweet]:
        try:
            yield from posts_of(found, name, split, labels=False, folder=folder)
        except (DataError, GeneratorExit):
            raise
        except Exception as error:  # of pyarrow, of the network
            raise DataError(
                f"{name} cannot be read ({said_by(error)}); check the file, or the connection, and start again."
            ) from error

    return PostStream(name, read)


def _of_lines(path: Path) -> Iterator[Tweet]:
    """The posts of a file, as `read_jsonl` names them."""
    try:
        with open(path, "rb") as file:
            for number, row in objects(path, _decoded(path, file)):
                if isinstance(row, Mapping):
                    row = {key: value for key, value in row.items() if key.lower() not in LIKE_LABELS}
                try:
                    yield post(row, f"{path.stem}-{number}", path.parent)
                except ValueError as error:
                    raise DataError(f"{path}:{number}: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give a file that can be.") from error


def _decoded(path: Path, lines: Iterable[bytes]) -> Iterator[str]:
    """Lines in UTF-8, the first with or without a byte-order mark."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{path}:{number}: this is not UTF-8; save the file as UTF-8.") from None
