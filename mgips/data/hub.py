"""Corpora of the `datasets` library: from the hub, from a folder that it saved, or as they are in memory.

Of each split the columns are read that `mgips.data.jsonlines` knows, under all their names: `text`, `spans`; `words` or
`tokens`, `tags` or `ner_tags` (texts, or numbers with names); `image` (an Image feature, kept as it is stored until it
is looked at), `id`, `time`, `caption`, `group`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mgips.data.corpus import Corpus, Tweet
from mgips.data.jsonlines import LIKE_LABELS, SPANS, TAGS, Remarks, post, with_bio
from mgips.errors import ConfigError, DataError, said_by

SPLITS = {"train": "train", "validation": "dev", "valid": "dev", "val": "dev", "dev": "dev", "test": "test"}
"""What a split may be called, and what it is called here."""


def datasets_library() -> Any:
    """The `datasets` package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise ConfigError("This corpus needs the datasets package: pip install 'mgips[hub]'.") from None
    return datasets


def from_hub(name: str) -> Corpus:
    """A data set of the hub by its name, "OWNER/NAME" or "OWNER/NAME:CONFIGURATION".

    Raises:
        DataError: it cannot be fetched.
    """
    path, _, configuration = name.partition(":")
    try:
        found = datasets_library().load_dataset(path, configuration or None)
    except ConfigError:
        raise
    except Exception as error:  # a dozen kinds
        raise DataError(
            f"The data set {name!r} could not be fetched from the hub ({said_by(error)}); check its name, and that there is a connection."
        ) from error
    return replace(from_datasets(found, path.rpartition("/")[2]), called=f"hub:{name}")


def from_disk(folder: Path) -> Corpus:
    """A folder that `DatasetDict.save_to_disk` wrote.

    Raises:
        DataError: it cannot be read.
    """
    try:
        found = datasets_library().load_from_disk(str(folder))
    except ConfigError:
        raise
    except Exception as error:
        raise DataError(f"{folder} cannot be read as a data set ({said_by(error)}); save it again.") from error
    return from_datasets(found, folder.resolve().name, folder)


def from_datasets(found: Mapping[str, Any], name: str = "datasets", source: Path | None = None) -> Corpus:
    """A `DatasetDict`, or any map of splits to `Dataset`s.

    Raises:
        DataError: a split that is missing, or a row that is not a post (naming split and row).
    """
    if not isinstance(found, Mapping):
        raise DataError(f"{name} is one split; give a DatasetDict with train, validation and test.")
    splits: dict[str, Any] = {}
    for given, data in found.items():
        if given in SPLITS:
            splits[SPLITS[given]] = data
    lacking = [split for split in ("train", "dev", "test") if split not in splits]
    if lacking:
        raise DataError(
            f"{name} has the splits {', '.join(found)}, and no {lacking[0]}; name one so, or make it with train_test_split."
        )
    posts: dict[str, tuple[Tweet, ...]] = {}
    notes: list[str] = []
    for split, data in splits.items():
        remarks = Remarks()
        posts[split] = tuple(with_bio(list(posts_of(data, f"{name}, {split}", split, remarks))))
        notes += [f"{split}: {note}" for note in remarks.notes()]
    return Corpus(name, posts["train"], posts["dev"], posts["test"], source, tuple(notes))


def posts_of(
    data: Any, where: str, split: str, remarks: Remarks | None = None, labels: bool = True, folder: Path = Path()
) -> Iterator[Tweet]:
    """The posts of a `Dataset` or an `IterableDataset`, one after the other; their tags are still as they stand there.

    Args:
        where: what messages call it.
        split: names posts without an id.
        remarks: takes what is not read as it stands there.
        labels: False leaves tags and spans alone.
        folder: what an image's path is seen from.

    Raises:
        DataError: a row that is not a post, naming it.
    """
    datasets = datasets_library()
    features = data.features or {}  # a stream may not know its own
    if isinstance(features.get("image"), datasets.Image):
        data = data.cast_column("image", datasets.Image(decode=False))
    names: dict[str, list[str]] = {}
    for column in TAGS:
        inner: Any = getattr(features.get(column), "feature", None)
        if labels and isinstance(inner, datasets.ClassLabel):
            names[column] = list(inner.names)
    for number_of_row, stored in enumerate(data):
        row = {key: value for key, value in stored.items() if labels or key.lower() not in LIKE_LABELS}
        for column, known in names.items():
            numbers = row[column]
            if numbers is not None and not all(0 <= number < len(known) for number in numbers):
                if any(number != -1 for number in numbers):  # -1 alone is how unlabelled rows are stored
                    raise DataError(f"{where}, row {number_of_row}: a tag is not a number of its {len(known)} names.")
                numbers = None
            row[column] = None if numbers is None else [known[number] for number in numbers]
        image = row.pop("image", None)
        for column in SPANS:
            lists = row.get(column)
            if isinstance(lists, Mapping) and isinstance(lists.get("start", lists.get("start_offset")), list):
                # A list of objects is stored as an object of lists.
                row[column] = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=False)]
        try:
            tweet = post(row, f"{split}-{number_of_row + 1}", remarks=remarks, place=f"row {number_of_row}")
        except ValueError as error:
            raise DataError(f"{where}, row {number_of_row}: {error}") from None
        picture = None
        if isinstance(image, Mapping):
            picture = image["bytes"] or (folder / image["path"] if image["path"] else None)
        elif isinstance(image, str) and image:
            picture = folder / image
        yield Tweet(**{**vars(tweet), "image": picture})
