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
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.lib.format import open_memmap
from PIL import Image
from tqdm.auto import tqdm

from mgips.data.corpus import Drawing, Picture, Tweet
from mgips.data.pictures import Unreadable, decode, default_image, silenced, source_name

CROPS = 3
"""Visual-grounding crops per tweet."""
CACHE_FORMAT = 2
"""Raised when the layout of a cache file changes."""
SMALL = 64
"""Fewer distinct rows than this are not worth a file in the default folder."""
THREADS = min(4, os.cpu_count() or 1)


def _square(image: Image.Image, size: int) -> np.ndarray:
    """Resized to size × size whatever its shape, as published code does with crops: (size, size, 3) uint8."""
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def crop_array(tweet: Tweet, crops: int = CROPS, size: int = 128) -> tuple[np.ndarray, list[str]]:
    """One tweet's crops, (crops, size, size, 3) uint8, and one message for each picture that could not be read."""
    with silenced():
        pixels, _, faults = _crops(tweet, crops, size)
    return pixels, [_message(tweet, source, fault) for source, fault in faults]


def _crops(tweet: Tweet, crops: int, size: int) -> tuple[np.ndarray, bool, list[tuple[Picture, str]]]:
    """The crops; whether any of them is really the tweet's; and what is wrong with which picture."""
    faults: list[tuple[Picture, str]] = []

    def read(source: Picture | None) -> np.ndarray | None:
        if source is None:
            return None
        try:
            return _square(decode(source), size)
        except Unreadable as fault:
            if all(known is not source and known != source for known, _ in faults):
                faults.append((source, str(fault)))
            return None

    found = [read(source) for source in tweet.crops[:crops]]
    found += [None] * (crops - len(found))
    real = any(crop is not None for crop in found)
    if any(crop is None for crop in found):
        whole = read(tweet.image)
        real |= whole is not None
        if whole is None:
            whole = _square(default_image(size), size)
        found = [whole if crop is None else crop for crop in found]
    return np.stack(found), real, faults


def _message(tweet: Tweet, source: Picture, fault: str) -> str:
    return f"{source_name(source, f'A picture of tweet {tweet.id!r}')} {fault}"


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

    def __getitem__(self, indices: Sequence[int]) -> np.ndarray:
        rows = self.rows[
            indices if isinstance(indices, slice | np.ndarray | int) else np.array(list(indices), dtype=int)
        ]
        return np.array(self.pixels[rows])

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
        folder: where the files are; $MGIPS_CACHE, $XDG_CACHE_HOME/mgips/crops or ~/.cache/mgips/crops by
            default, and there only for splits of some size.
        progress: show bars while reading and decoding.
    """
    with silenced(), ThreadPoolExecutor(THREADS) as pool:
        sources = {_identity(s): s for tweet in tweets for s in _sources(tweet, crops)}
        digests = dict(
            zip(sources, _watched(pool, _digest, sources.values(), "reading pictures", progress), strict=True)
        )
    contents = [tuple(digests[_identity(s)] for s in _sources(tweet, crops)) for tweet in tweets]
    distinct: dict[tuple[str, ...], Tweet] = {}
    for content, tweet in zip(contents, tweets, strict=True):
        distinct.setdefault(content, tweet)
    place = {content: row for row, content in enumerate(distinct)}
    rows = np.array([place[content] for content in contents], dtype=np.int64)
    shape = (len(distinct), crops, size, size, 3)

    settings = [CACHE_FORMAT, PIL.__version__.split(".")[0], shape, list(distinct)]
    name = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32] + ".crops"
    small = len(distinct) < SMALL if folder is None else not distinct
    target = (folder or cache_folder()) / name
    found = None if small else _load(target, shape)
    if found is None:

        def fill(pixels: np.ndarray) -> dict[str, Any]:
            def one(job: tuple[int, Tweet]) -> tuple[bool, list[tuple[Picture, str]]]:
                pixels[job[0]], real, faults = _crops(job[1], crops, size)
                return real, faults

            with silenced(), ThreadPoolExecutor(THREADS) as pool:
                done = list(_watched(pool, one, list(enumerate(distinct.values())), "decoding pictures", progress))
            faults = {digests[_identity(source)]: fault for _, bad in done for source, fault in bad}
            return {"real": [real for real, _ in done], "faults": faults}

        try:
            if not small:
                found = _build(target, shape, fill)
        except OSError as error:
            warnings.warn(
                f"The decoded pictures cannot be written to {target.parent} ({error.strerror}), so they stay in memory; "
                "set MGIPS_CACHE to a folder with space.",
                stacklevel=2,
            )
        if found is None:
            pixels = np.zeros(shape, np.uint8)
            found = pixels, fill(pixels)
            pixels.flags.writeable = False
    pixels, notes = found

    real = np.array(notes["real"], dtype=bool)
    named = [
        _message(tweet, source, notes["faults"][digests[_identity(source)]])
        for tweet in tweets
        for source in _sources(tweet, crops)
        if digests[_identity(source)] in notes["faults"]
    ]
    return CropCache(pixels, rows, real[rows] if len(rows) else np.zeros(0, bool), list(dict.fromkeys(named)))


def cache_folder() -> Path:
    """Where decoded crops are kept."""
    if os.environ.get("MGIPS_CACHE"):
        return Path(os.environ["MGIPS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mgips" / "crops"


def _sources(tweet: Tweet, crops: int) -> list[Picture]:
    """The pictures that a tweet's crops are made from."""
    return [*tweet.crops[:crops], *([tweet.image] if tweet.image is not None else [])]


def _identity(source: Picture) -> Any:
    """Tells sources apart while they are being read: files by path, drawings by recipe, images by object."""
    return source.key() if isinstance(source, Drawing) else source if isinstance(source, str | Path) else id(source)


def _digest(source: Picture) -> str:
    """A hash of a picture's content."""
    if isinstance(source, Drawing):
        content = b"drawing" + source.key()
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


def _watched(pool: ThreadPoolExecutor, work: Callable, jobs: Iterable, what: str, progress: bool) -> list:
    """`work` on every job in the pool, with a bar that shows only where it takes a while."""
    jobs = list(jobs)
    with tqdm(total=len(jobs), desc=what, disable=not progress, delay=1) as bar:
        results = []
        for result in pool.map(work, jobs):
            results.append(result)
            bar.update()
        return results


def _load(target: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[str, Any]] | None:
    """A finished cache file, mapped, and its line of JSON; None where there is none, or a damaged one."""
    try:
        pixels = open_memmap(target, "r")
        with open(target, "rb") as file:
            file.seek(pixels.offset + pixels.nbytes)
            notes = json.loads(file.read())
        complete = pixels.shape == shape and len(notes["real"]) == shape[0] and isinstance(notes["faults"], dict)
        if complete and notes["crc32"] == zlib.crc32(pixels):
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
            file.write(json.dumps({"crc32": zlib.crc32(pixels), **notes}).encode())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return _load(target, shape)
