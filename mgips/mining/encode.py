"""Posts to the vectors that are mined (eq. 14), one part after the other into a folder: any number in little memory.

    encoded = encode_into("encoded", model, stream_posts("posts.jsonl"))
    mine_into("mined", encoded.texts, encoded.images, k=20, candidates=encoded.has_image)

The folder holds `texts.npy` and `images.npy`, (N, d) float32, which grow part by part; for each finished part
`part-FIRST-STOP-CHECKSUM.parquet` with its posts' `id`, `has_image` and `time`, and checksums of its vectors; and
`encoding.json`, which says of which weights they are.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap, write_array_header_1_0
from torch import Tensor
from tqdm.auto import tqdm

from mgips.data.batch import Batcher, TweetDataset
from mgips.data.corpus import Cropped, Tweet
from mgips.errors import ConfigError, DataError
from mgips.files import hold, let_go, write_atomically
from mgips.mining.result import gaps_between, parquet, parts_in, undamaged, write_table
from mgips.mining.split import contrast_vectors
from mgips.model.mgips import MGIPS, MINES_NOTHING
from mgips.model.pretrained import weights_hash

PART = 4096
"""Posts of a part, so that a killed run loses little."""
BATCHES = 8
"""Batches whose pictures are in memory at once."""
ABOUT = "encoding.json"
SIDES = ("texts", "images")


class EncodedFolder:
    """The vectors of N posts, mapped from a folder that `encode_into` has finished."""

    def __init__(self, folder: str | Path) -> None:
        """
        Raises:
            ConfigError: pyarrow is not installed.
            DataError: no such folder, or it is not finished or damaged.
        """
        self.folder = Path(folder)
        about = _read_about(self.folder)
        self._parts = parts_in(self.folder)
        if about is None or about["posts"] is None or gaps_between(self._parts, about["posts"]):
            raise DataError(
                f"{self.folder} does not hold all vectors of its posts; encode into it again, and it goes on."
            )
        self.about: dict[str, Any] = about
        """posts; d; and weights and settings, hashes of the model's."""
        try:
            self.texts, self.images = (open_memmap(self.folder / f"{side}.npy", "r") for side in SIDES)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder} is damaged ({error}); encode into it again.") from error
        columns = [_columns(file, "has_image", "time") for _, file in self._parts]
        self.has_image = torch.from_numpy(np.concatenate([np.zeros(0, bool), *(has for has, _ in columns)]))
        """(N,) bool: whose picture could be read."""
        self.times = torch.from_numpy(np.concatenate([np.zeros(0), *(time for _, time in columns)]))
        """(N,) float64: when each was posted, in days; not a number where that is unknown."""

    def __len__(self) -> int:
        return self.about["posts"]

    def ids(self, posts: slice | Sequence[int]) -> list[str]:
        """The ids of some posts, by their places; only the parts that hold them are read."""
        places = range(len(self))[posts] if isinstance(posts, slice) else [range(len(self))[place] for place in posts]
        found: dict[int, str] = {}
        for rows, file in self._parts:
            here = [place for place in places if rows.start <= place < rows.stop]
            if here:
                ids = _columns(file, "id")[0].tolist()
                found.update((place, ids[place - rows.start]) for place in here)
        return [found[place] for place in places]


def encode_into(
    folder: str | Path, model: MGIPS, posts: Iterable[Tweet], batch_size: int = 64, progress: bool = False
) -> EncodedFolder:
    """The vectors that eq. 14 compares, of any number of posts, into a folder; a call that was killed goes on where it was.

    Only some batches of posts are in memory at once, and no picture is kept. Parts that are there are checked, and their
    posts are read again and compared; a damaged part is encoded again. The vectors are those of `contrast_vectors` but
    for the last digits, which depend on the batches.

    Args:
        posts: labelled or not, such as a `PostStream` of `mgips.data.streaming`; the same at each call.

    Raises:
        ConfigError: a model without a contrastive part, or pyarrow is not installed.
        DataError: the folder holds vectors of other weights or posts, or cannot be written; or what `posts` raises.
        RunError: another process writes there.
    """
    parquet()
    if not model.config.relates or model.image_head is None:
        raise ConfigError(MINES_NOTHING)
    folder = Path(folder)
    settings = hashlib.sha256(repr(sorted(asdict(model.config).items())).encode()).hexdigest()
    about = {"d": model.image_head.linear.out_features, "weights": weights_hash(model), "settings": settings}
    kept = _read_about(folder)
    if kept is None:
        write_atomically(folder / ABOUT, json.dumps({"posts": None, **about}).encode())
    elif {**kept, "posts": None} != {"posts": None, **about}:
        raise DataError(f"{folder} holds vectors of another model; give another folder.")
    lock = hold(folder)
    try:
        count = _Encoding(folder, model, about["d"], batch_size).run(posts, progress)
        write_atomically(folder / ABOUT, json.dumps({"posts": count, **about}).encode())
    finally:
        let_go(lock)
    return EncodedFolder(folder)


class _Encoding:
    """Writes the parts of a folder that are not there yet."""

    def __init__(self, folder: Path, model: MGIPS, d: int, batch_size: int) -> None:
        self.folder, self.model, self.d, self.batch_size = folder, model, d, batch_size
        self.start = len(_header(0, d))
        """Bytes before the first vector."""
        self.problems, self.first_problem = 0, ""

    def run(self, posts: Iterable[Tweet], progress: bool) -> int:
        """Encodes what lacks; how many posts there are."""
        done, place, rest = self._done(), 0, iter(posts)
        total = len(posts) if isinstance(posts, Sized) else None
        with tqdm(total=total, desc="encoding posts", unit=" posts", disable=not progress, delay=1) as bar:
            for rows, file in [*done, (None, None)]:
                while rows is None or place < rows.start:
                    room = PART if rows is None else min(PART, rows.start - place)
                    count = self._encode(place, rest, room, bar)
                    place += count
                    if count < room:
                        break
                if rows is not None and file is not None:
                    there = _Digest()
                    there.over(itertools.islice(rest, rows.stop - place))
                    place += there.count
                    if place < rows.stop or there.hex() != _about_part(file)["posts"]:
                        raise DataError(f"{self.folder} holds vectors of other posts; give another folder.")
                    bar.update(there.count)
        for side in SIDES:
            with open(self.folder / f"{side}.npy", "rb+" if place else "wb") as vectors:
                vectors.write(_header(place, self.d))
                vectors.truncate(self.start + place * self.d * 4)
        if self.problems:
            warnings.warn(
                f"{self.problems:,} pictures could not be read, and count as missing; the first: {self.first_problem}",
                stacklevel=3,
            )
        return place

    def _done(self) -> list[tuple[slice, Path]]:
        """The finished parts whose vectors are what was written; others are removed."""
        done = []
        for rows, file in parts_in(self.folder):
            if self._whole(rows, file) and (not done or rows.start >= done[-1][0].stop):
                done.append((rows, file))
            else:
                warnings.warn(f"{file} or its vectors are damaged; they are encoded again.", stacklevel=4)
                file.unlink()
        return done

    def _whole(self, rows: slice, file: Path) -> bool:
        if not undamaged(file):
            return False
        told = _about_part(file)
        return all(told.get(side) == self._checksum(side, rows) for side in SIDES)

    def _checksum(self, side: str, rows: slice) -> str:
        """CRC-32 of some vectors as they are on the disk."""
        try:
            with open(self.folder / f"{side}.npy", "rb") as file:
                file.seek(self.start + rows.start * self.d * 4)
                return f"{zlib.crc32(file.read((rows.stop - rows.start) * self.d * 4)):08x}"
        except OSError:
            return ""

    def _encode(self, place: int, rest: Iterator[Tweet], room: int, bar: tqdm) -> int:
        """One part of at most `room` posts; how many it has."""
        vectors: list[tuple[Tensor, Tensor]] = []
        ids: list[str] = []
        has_image, times, digest = [], [], _Digest()
        while some := list(itertools.islice(rest, min(BATCHES * self.batch_size, room - len(ids)))):
            # A batcher remembers each word that it has met, so each block has one of its own.
            batcher = Batcher(self.model.batcher.tokenizer, self.model.config)
            bare = [replace(post, tags=()) for post in some]  # they may be of types that the model does not have
            data = TweetDataset(bare, batcher, progress=False, keep=False)
            vectors.append(contrast_vectors(self.model, data, self.batch_size, progress=False))
            ids += [post.id for post in some]
            has_image += data.has_image.tolist()
            times += [post.time for post in some]
            digest.over(some)
            if data.crops is not None and data.crops.problems:
                self.first_problem = self.first_problem or data.crops.problems[0]
                self.problems += len(data.crops.problems)
            bar.update(len(some))
        if ids:
            told = {"posts": digest.hex()}
            for side, parts in zip(SIDES, zip(*vectors, strict=True), strict=True):
                content = torch.cat(parts).numpy().astype("<f4").tobytes()
                told[side] = f"{zlib.crc32(content):08x}"
                self._write(side, place, content)
            _write_part(self.folder, slice(place, place + len(ids)), ids, has_image, times, told)
        return len(ids)

    def _write(self, side: str, place: int, content: bytes) -> None:
        """Vectors to their place in the file, and on the disk before the part that says that they are there.

        Raises:
            DataError: they cannot be written.
        """
        path = self.folder / f"{side}.npy"
        try:
            path.touch()
            with open(path, "rb+") as file:
                file.seek(self.start + place * self.d * 4)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"{path} cannot be written ({error.strerror}); make room, or make it writable, and call again: it goes on."
            ) from error


class _Digest:
    """A hash of posts as they are read: ids, words, times, captions, and where their pictures are, not their content."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    def over(self, posts: Iterable[Tweet]) -> None:
        for post in posts:
            self.count += 1
            pictures = [_name(picture) for picture in (post.image, *post.crops)]
            self._hash.update(repr((post.id, post.words, post.time, post.caption, pictures)).encode())

    def hex(self) -> str:
        return self._hash.hexdigest()


def _name(picture: Any) -> Any:
    """What tells a picture from others, at no cost."""
    if isinstance(picture, Cropped):
        return _name(picture.source), picture.box
    if isinstance(picture, bytes):
        return zlib.crc32(picture)
    return str(picture) if isinstance(picture, str | Path) else picture is not None


def _header(count: int, d: int) -> bytes:
    """The header of an .npy file; numpy leaves room for the number of rows to grow, so its length does not depend on it."""
    buffer = io.BytesIO()
    write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (count, d)})
    return buffer.getvalue()


def _write_part(
    folder: Path, rows: slice, ids: list[str], has_image: list[bool], times: list[float], told: dict[str, str]
) -> None:
    import pyarrow as pa

    table = pa.table({"id": ids, "has_image": has_image, "time": pa.array(times, pa.float64())})
    write_table(folder, rows, table.replace_schema_metadata({"mgips": json.dumps(told)}))


def _about_part(file: Path) -> dict[str, str]:
    """What an undamaged part says of its posts and vectors."""
    return json.loads((parquet().read_schema(file).metadata or {}).get(b"mgips", b"{}"))


def _columns(file: Path, *names: str) -> list[np.ndarray]:
    """Some columns of a part.

    Raises:
        DataError: it is damaged.
    """
    pq = parquet()
    try:
        table = pq.read_table(file, columns=list(names))
        return [table.column(name).to_numpy() for name in names]
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{file} is damaged ({reason}); encode into its folder again.") from error


def _read_about(folder: Path) -> dict[str, Any] | None:
    """What a folder says that it holds; None where it says nothing.

    Raises:
        DataError: what it says cannot be read, or there are parts without it.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if {"posts", "d", "weights", "settings"} <= about.keys():
            return about
    except FileNotFoundError:
        if not parts_in(folder):
            return None
    except (OSError, ValueError, AttributeError):
        pass
    raise DataError(f"{folder / ABOUT} cannot be read; give another folder, or remove this one and encode again.")
