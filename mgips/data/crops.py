"""The crops of a split, decoded once and kept on disk in shards (§3.1.2).

A tweet has three visual-grounding crops. Where there are fewer, the whole image fills the missing places; where there
is no image, or none that can be read, the default image stands in and the tweet counts as having none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import PIL
from numpy.lib.format import open_memmap
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from mgips.data.corpus import Cropped, Drawing, Picture, Tweet, Whole
from mgips.data.pictures import Unreadable, cut, decode, default_image, silenced, source_name

CROPS = 3
"""Visual-grounding crops per tweet."""
CACHE_FORMAT = 2
"""Raised when the layout of a cache file changes."""
SMALL = 64
"""Fewer distinct rows than this are not worth a file in the default folder."""
SHARD = 1 << 26
"""Bytes of a shard's pixels at most, so that a killed call loses little."""
MAPPED = 256
"""Shards of a cache that are mapped at once: each takes one of the files that a process may have open."""
THREADS = min(4, os.cpu_count() or 1)

Job = TypeVar("Job")
Result = TypeVar("Result")


def crop_array(tweet: Tweet, crops: int = CROPS, size: int = 128) -> tuple[np.ndarray, list[str]]:
    """One tweet's crops, (crops, size, size, 3) uint8, and one message for each picture that could not be read."""
    with silenced():
        pixels, _, faults = _decode(tweet, crops, size)
    sources = _sources(tweet, crops)
    return pixels, list(dict.fromkeys(_message(tweet, sources[place], reason) for place, reason in faults.items()))


def _sources(tweet: Tweet, crops: int) -> list[Picture]:
    """The pictures that a tweet's crops are made from: its crops, then its image, where there is one."""
    return [*tweet.crops[:crops], *([tweet.image] if tweet.image is not None else [])]


def _decode(tweet: Tweet, crops: int, size: int) -> tuple[np.ndarray, bool, dict[int, str]]:
    """The crops, whether any of them is really the tweet's, and the unreadable ones of `_sources` with the reason."""
    sources = _sources(tweet, crops)
    faults: dict[int, str] = {}
    wholes: dict[int, Image.Image] = {}  # a picture is decoded once for all its boxes

    def opened(source: Picture) -> Image.Image:
        if isinstance(source, Cropped):
            return cut(opened(source.source), source.box)
        if id(source) not in wholes:
            wholes[id(source)] = decode(source)
        return wholes[id(source)]

    def square(place: int) -> np.ndarray | None:
        """(size, size, 3), resized whatever its shape, as published code does with crops."""
        try:
            return np.asarray(opened(sources[place]).resize((size, size), Image.Resampling.BICUBIC))
        except Unreadable as reason:
            faults[place] = str(reason)
            return None

    views = [square(place) for place in range(len(tweet.crops[:crops]))]
    views += [None] * (crops - len(views))
    lacking = any(view is None for view in views)
    whole = square(len(sources) - 1) if lacking and tweet.image is not None else None
    real = any(view is not None for view in [*views, whole])
    stand_in = np.asarray(default_image(size)) if whole is None else whole
    return np.stack([stand_in if view is None else view for view in views]), real, faults


def _message(tweet: Tweet, source: Picture, reason: str) -> str:
    return f"{source_name(source, f'A picture of tweet {tweet.id!r}')} {reason}"


@dataclass
class CropCache:
    """The crops of a split, decoded. `cache[indices]` gives a copy, (len(indices), crops, size, size, 3) uint8."""

    shards: list[Path | np.ndarray]
    """Distinct rows, (R, crops, size, size, 3) uint8, read-only, in shards of `shard` rows: files, mapped when they are
    looked into, or arrays where there is no file."""
    shard: int
    """Rows of each shard but the last."""
    shape: tuple[int, ...]
    """(R, crops, size, size, 3)."""
    rows: np.ndarray
    """(N,) which row is each tweet's; tweets with the same pictures share one."""
    has_image: np.ndarray
    """(N,) bool, False where the default image stands in."""
    problems: list[str]
    """One message for each file that could not be read."""
    _mapped: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Sequence[int] | np.ndarray | slice | int) -> np.ndarray:
        rows = self.rows[indices]
        wanted = np.atleast_1d(rows)
        pixels = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        for number in np.unique(wanted // self.shard):
            here = wanted // self.shard == number
            pixels[here] = self.pixels(int(number))[wanted[here] % self.shard]
        return pixels if np.ndim(rows) else pixels[0]

    def pixels(self, number: int) -> np.ndarray:
        """A shard's rows, (at most `shard`, crops, size, size, 3) uint8, mapped from disk where they are a file."""
        shard = self.shards[number]
        if isinstance(shard, np.ndarray):
            return shard
        if number not in self._mapped:
            while len(self._mapped) >= MAPPED:
                self._mapped.pop(next(iter(self._mapped)))
            self._mapped[number] = open_memmap(shard, "r")
        return self._mapped[number]

    def __getstate__(self) -> dict[str, Any]:
        """A worker process maps the files again instead of being sent their content."""
        return {**self.__dict__, "_mapped": {}}


@dataclass(frozen=True)
class _Shard:
    """Some distinct rows of a cache."""

    tweets: list[Tweet]
    """A tweet with each row's pictures."""
    contents: list[tuple[str, ...]]
    """The hashes of these pictures."""
    crops: int
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.tweets), self.crops, self.size, self.size, 3

    @property
    def name(self) -> str:
        """Of its file: a hash of its pictures' content and of the settings."""
        settings = [CACHE_FORMAT, PIL.__version__.split(".")[0], self.shape, self.contents]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32] + ".crops"

    def decode(self, pixels: np.ndarray, threads: int, bar: tqdm | None = None) -> dict[str, Any]:
        """Every row; which are real, and what is wrong with which content."""

        def decode_row(job: tuple[int, Tweet]) -> tuple[bool, dict[int, str]]:
            row, tweet = job
            pixels[row], real, faults = _decode(tweet, self.crops, self.size)
            return real, faults

        decoded = _in_threads(decode_row, list(enumerate(self.tweets)), threads, bar)
        faults = {
            content[place]: reason
            for content, (_, faults) in zip(self.contents, decoded, strict=True)
            for place, reason in faults.items()
        }
        return {"real": [real for real, _ in decoded], "faults": faults}

    def stored(self, folder: Path, threads: int, bar: tqdm | None = None) -> tuple[dict[str, Any] | None, str]:
        """What `decode` says of its file, which is written where there is none; or None, and why there is none."""
        target = folder / self.name
        notes = _load(target, self.shape)
        if notes is not None:
            if bar is not None:
                bar.update(len(self.tweets))
            return notes, ""
        try:
            return _build(target, self.shape, lambda pixels: self.decode(pixels, threads, bar)), ""
        except OSError as error:
            return None, error.strerror or str(error)


class _Shards(Dataset):
    """What a worker process makes of each shard: `_Shard.stored`."""

    def __init__(self, shards: Sequence[_Shard], folder: Path) -> None:
        self.shards, self.folder = shards, folder

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, number: int) -> tuple[dict[str, Any] | None, str]:
        return self.shards[number].stored(self.folder, threads=1)


def crop_cache(
    tweets: Sequence[Tweet],
    size: int = 128,
    crops: int = CROPS,
    folder: Path | None = None,
    progress: bool = True,
    workers: int = 0,
    keep: bool = True,
) -> CropCache:
    """Decode the crops of all tweets once; the next call with the same content and settings only maps files.

    Each file holds at most SHARD bytes of pixels and is named by a hash of its pictures' bytes and of the settings, so
    a call that was killed goes on where it was, and posts that are added at the end leave the files before them as they
    are. It is an array in numpy's format (`np.load` reads it) followed by a line of JSON with its checksum, and is moved
    into place when it is complete, so several processes may build it at once. What cannot be written stays in memory,
    with one warning.

    Args:
        tweets: any tweets; those with the same pictures share a row.
        size: side of a crop, in pixels.
        crops: crops per tweet.
        folder: where the files are; $MGIPS_CACHE, $XDG_CACHE_HOME/mgips/crops or ~/.cache/mgips/crops by default,
            where files are written only for SMALL distinct rows or more.
        progress: show bars while reading and decoding.
        workers: processes that decode and check shards; 0: this one, in threads. The files are the same.
        keep: False writes no file; the crops stay in memory.
    """
    # An image in memory that tweets or boxes share is hashed once: Pillow may load it late, and not from two threads.
    wholes = {id(whole): whole for tweet in tweets for whole in map(_whole, _sources(tweet, crops))}
    with _bar(len(wholes), "reading pictures", progress) as bar:
        hashes = _in_threads(_digest, list(wholes.values()), THREADS, bar)
    digests = dict(zip(wholes, hashes, strict=True))
    contents = [
        tuple(_boxed(digests[id(_whole(source))], source) for source in _sources(tweet, crops)) for tweet in tweets
    ]
    distinct: dict[tuple[str, ...], Tweet] = {}
    for content, tweet in zip(contents, tweets, strict=True):
        distinct.setdefault(content, tweet)
    row_of = {content: row for row, content in enumerate(distinct)}
    rows = np.array([row_of[content] for content in contents], dtype=np.int64)
    shape = (len(distinct), crops, size, size, 3)
    length = max(1, SHARD // (crops * size * size * 3))
    all_contents, all_tweets = list(distinct), list(distinct.values())
    parts = [slice(start, start + length) for start in range(0, len(distinct), length)]
    shards = [_Shard(all_tweets[part], all_contents[part], crops, size) for part in parts]

    place = folder or cache_folder()
    keep = keep and len(distinct) >= (SMALL if folder is None else 1)
    stored, real, faults, fault = [], [], {}, ""
    with _bar(len(distinct), "decoding pictures", progress) as bar:
        for shard, (notes, why) in zip(shards, _stored(shards, place if keep else None, workers, bar), strict=True):
            stored.append(place / shard.name)
            fault = fault or why
            if notes is None:
                pixels = np.zeros(shard.shape, np.uint8)
                notes = shard.decode(pixels, THREADS, bar)
                pixels.flags.writeable = False
                stored[-1] = pixels
            real += notes["real"]
            faults |= notes["faults"]
    if fault:
        warnings.warn(
            f"The decoded pictures cannot be written to {place} ({fault}), so they stay in memory; "
            "set MGIPS_CACHE to a folder with space.",
            stacklevel=2,
        )
    problems = [
        _message(tweet, source, faults[digest])
        for tweet, content in zip(tweets, contents, strict=True)
        for source, digest in zip(_sources(tweet, crops), content, strict=True)
        if digest in faults
    ]
    has_image = np.array(real, dtype=bool)[rows]
    return CropCache(stored, length, shape, rows, has_image, list(dict.fromkeys(problems)))


def _stored(
    shards: Sequence[_Shard], folder: Path | None, workers: int, bar: tqdm
) -> Iterator[tuple[dict[str, Any] | None, str]]:
    """`_Shard.stored` of each, in order; (None, "") without a folder. After one that cannot be written no other is tried."""
    if folder is None:
        yield from ((None, "") for _ in shards)
        return
    _sweep(folder)
    workers = min(workers, len(shards))
    if workers:
        for shard, (notes, why) in zip(
            shards,
            DataLoader(_Shards(shards, folder), batch_size=None, num_workers=workers, collate_fn=_as_it_is),
            strict=True,
        ):
            bar.update(len(shard.tweets) if notes is not None else 0)
            yield notes, why
        return
    why = ""
    for shard in shards:
        notes = None
        if not why:
            notes, why = shard.stored(folder, THREADS, bar)
        yield notes, why


def _as_it_is(value: Any) -> Any:
    """Keeps a DataLoader from making tensors."""
    return value


def cache_folder() -> Path:
    """Where decoded crops are kept."""
    if os.environ.get("MGIPS_CACHE"):
        return Path(os.environ["MGIPS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mgips" / "crops"


def _whole(source: Picture) -> Whole:
    """The picture itself, or the one that a part is of."""
    return source.source if isinstance(source, Cropped) else source


def _boxed(digest: str, source: Picture) -> str:
    """The hash of a picture, given that of its whole picture's content."""
    if not isinstance(source, Cropped):
        return digest
    return hashlib.sha256(f"{digest} {[float(edge) for edge in source.box]}".encode()).hexdigest()


def _digest(source: Whole) -> str:
    """A hash of a whole picture's content."""
    if isinstance(source, Drawing):
        content = b"drawing" + source.key()
    elif isinstance(source, bytes):
        content = source
    elif isinstance(source, Image.Image):
        content = f"image {source.size} {source.mode}".encode()
        with contextlib.suppress(Exception):
            content += source.tobytes()
    else:
        try:
            content = Path(source).read_bytes()
        except (OSError, ValueError):
            content = b"unreadable"
    return hashlib.sha256(content).hexdigest()


def _bar(total: int, label: str, progress: bool) -> tqdm:
    """A bar with an estimate that shows only where it takes a while."""
    return tqdm(total=total, desc=label, disable=not progress, delay=1)


def _in_threads(
    work: Callable[[Job], Result], jobs: Sequence[Job], threads: int, bar: tqdm | None = None
) -> list[Result]:
    """`work` on every job."""
    results = []
    with silenced(), ThreadPoolExecutor(threads) as pool:
        for result in pool.map(work, jobs):
            results.append(result)
            if bar is not None:
                bar.update()
    return results


def _load(target: Path, shape: tuple[int, ...]) -> dict[str, Any] | None:
    """The line of JSON of a finished shard, whose pixels are checked; None where there is none, or a damaged one."""
    try:
        pixels = open_memmap(target, "r")
        with open(target, "rb") as file:
            file.seek(pixels.offset + pixels.nbytes)
            notes = json.loads(file.read())
        complete = pixels.shape == shape and len(notes["real"]) == shape[0] and isinstance(notes["faults"], dict)
        if complete and notes["crc32"] == zlib.crc32(pixels.data):
            return notes
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _sweep(folder: Path) -> None:
    """Remove what killed processes have left half written."""
    for part in folder.glob("*.crops.*.part"):
        with contextlib.suppress(OSError):
            if _abandoned(part):
                part.unlink()


def _abandoned(part: Path) -> bool:
    """Whether nobody holds the lock of a file that is being written; a day later, where there are no locks."""
    age = time.time() - part.stat().st_mtime
    if age > 86_400:
        return True
    if age < 1:  # it may not have its lock yet
        return False
    with open(part, "rb+") as file:
        return _locked(file)


def _locked(file: IO[bytes]) -> bool:
    """Lock a file until it is closed, or this process ends, however it ends. False where another process has done so,
    or there are no locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _build(target: Path, shape: tuple[int, ...], fill: Callable) -> dict[str, Any] | None:
    """Write a shard beside its place and move it there; nothing is left behind where that fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        pixels = open_memmap(part, "w+", np.uint8, shape)
        size = pixels.offset + pixels.nbytes
        with open(part, "rb+") as file:
            _locked(file)
            if hasattr(os, "posix_fallocate"):
                # Claims the space now: writing to a mapped file on a full disk would kill the process.
                os.posix_fallocate(file.fileno(), 0, size)
            notes = fill(pixels)
            pixels.flush()
            file.seek(size)
            file.write(json.dumps({"crc32": zlib.crc32(pixels.data), **notes}).encode())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return _load(target, shape)
