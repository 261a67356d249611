"""The crops of a split, decoded once and kept on disk (§3.1.2).

A tweet has three visual-grounding crops. Where there are fewer, the whole image fills the missing places; where there
is no image, or none that can be read, the default image stands in and the tweet counts as having none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL
from numpy.lib.format import open_memmap
from PIL import Image
from tqdm.auto import tqdm

from mgips.data.corpus import Cropped, Drawing, Picture, Tweet, Whole
from mgips.data.pictures import Unreadable, cut, decode, default_image, silenced, source_name

CROPS = 3
"""Visual-grounding crops per tweet."""
CACHE_FORMAT = 2
"""Raised when the layout of a cache file changes."""
SMALL = 64
"""Fewer distinct rows than this are not worth a file in the default folder."""
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

    pixels: np.ndarray
    """Distinct rows, (R, crops, size, size, 3) uint8, read-only, mapped from disk where that is possible."""
    rows: np.ndarray
    """(N,) which row is each tweet's; tweets with the same pictures share one."""
    has_image: np.ndarray
    """(N,) bool, False where the default image stands in."""
    problems: list[str]
    """One message for each file that could not be read."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Sequence[int] | np.ndarray | slice | int) -> np.ndarray:
        return np.array(self.pixels[self.rows[indices]])

    def __getstate__(self) -> dict[str, Any]:
        """A worker process maps the file again instead of being sent its content."""
        state = dict(self.__dict__)
        if isinstance(self.pixels, np.memmap):
            state["pixels"] = self.pixels.filename
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not isinstance(self.pixels, np.ndarray):
            self.pixels = open_memmap(self.pixels, "r")


def crop_cache(
    tweets: Sequence[Tweet], size: int = 128, crops: int = CROPS, folder: Path | None = None, progress: bool = True
) -> CropCache:
    """Decode the crops of all tweets once; the next call with the same content and settings only maps a file.

    The file is named by a hash of the pictures' bytes and of the settings. It is an array in numpy's format (`np.load`
    reads it) followed by a line of JSON with its checksum, and is moved into place when it is complete, so several
    processes may build it at once. Where it cannot be written the crops stay in memory, with one warning.

    Args:
        tweets: any tweets; those with the same pictures share a row.
        size: side of a crop, in pixels.
        crops: crops per tweet.
        folder: where the files are; $MGIPS_CACHE, $XDG_CACHE_HOME/mgips/crops or ~/.cache/mgips/crops by default,
            where a file is written only for SMALL distinct rows or more.
        progress: show bars while reading and decoding.
    """
    # An image in memory that tweets or boxes share is hashed once: Pillow may load it late, and not from two threads.
    wholes = {id(whole): whole for tweet in tweets for whole in map(_whole, _sources(tweet, crops))}
    hashes = _in_threads(_digest, list(wholes.values()), "reading pictures", progress)
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

    def fill(pixels: np.ndarray) -> dict[str, Any]:
        """Decode every row; which are real, and what is wrong with which content."""

        def decode_row(job: tuple[int, Tweet]) -> tuple[bool, dict[int, str]]:
            row, tweet = job
            pixels[row], real, faults = _decode(tweet, crops, size)
            return real, faults

        decoded = _in_threads(decode_row, list(enumerate(distinct.values())), "decoding pictures", progress)
        faults = {
            content[place]: reason
            for content, (_, faults) in zip(distinct, decoded, strict=True)
            for place, reason in faults.items()
        }
        return {"real": [real for real, _ in decoded], "faults": faults}

    settings = [CACHE_FORMAT, PIL.__version__.split(".")[0], shape, list(distinct)]
    name = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32] + ".crops"
    target = (folder or cache_folder()) / name
    stored = None
    if len(distinct) >= (SMALL if folder is None else 1):
        try:
            stored = _load(target, shape) or _build(target, shape, fill)
        except OSError as error:
            warnings.warn(
                f"The decoded pictures cannot be written to {target.parent} ({error.strerror}), so they stay in memory; "
                "set MGIPS_CACHE to a folder with space.",
                stacklevel=2,
            )
    if stored is None:
        pixels = np.zeros(shape, np.uint8)
        stored = pixels, fill(pixels)
        pixels.flags.writeable = False
    pixels, notes = stored
    problems = [
        _message(tweet, source, notes["faults"][digest])
        for tweet, content in zip(tweets, contents, strict=True)
        for source, digest in zip(_sources(tweet, crops), content, strict=True)
        if digest in notes["faults"]
    ]
    return CropCache(pixels, rows, np.array(notes["real"], dtype=bool)[rows], list(dict.fromkeys(problems)))


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


def _in_threads(work: Callable[[Job], Result], jobs: Sequence[Job], label: str, progress: bool) -> list[Result]:
    """`work` on every job, with a bar that shows only where it takes a while."""
    with silenced(), ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(work, jobs)
        return list(tqdm(iterable=results, total=len(jobs), desc=label, disable=not progress, delay=1))


def _load(target: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[str, Any]] | None:
    """A finished cache file, mapped, and its line of JSON; None where there is none, or a damaged one."""
    try:
        pixels = open_memmap(target, "r")
        with open(target, "rb") as file:
            file.seek(pixels.offset + pixels.nbytes)
            notes = json.loads(file.read())
        complete = pixels.shape == shape and len(notes["real"]) == shape[0] and isinstance(notes["faults"], dict)
        if complete and notes["crc32"] == zlib.crc32(pixels.data):
            return pixels, notes
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _build(target: Path, shape: tuple[int, ...], fill: Callable) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Write a cache file beside its place and move it there; nothing is left behind where that fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in target.parent.glob("*.crops.*.part"):  # left by a build that was killed
        if time.time() - old.stat().st_mtime > 86_400:
            old.unlink(missing_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        pixels = open_memmap(part, "w+", np.uint8, shape)
        size = pixels.offset + pixels.nbytes
        with open(part, "rb+") as file:
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
