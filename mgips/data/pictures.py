"""Pictures: reading them safely, the default image, and the crops of a split decoded once.

§3.1.2: three visual-grounding crops a tweet. Fewer crops: the whole image fills the missing places. No image,
or one that cannot be read: the default image, a flat mean colour, and the tweet is counted as missing one.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from mgips.data.corpus import Drawing, Picture, Tweet
from mgips.errors import DataError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""CLIP's image normalisation: mean of each channel, of pixels in [0, 1]. Applied on the device."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's image normalisation: standard deviation of each channel."""

MAX_PIXELS = 64_000_000
"""Larger pictures are refused by their header, before any of it is decoded."""
CACHE_VERSION = 1


def open_picture(source: Picture) -> Image.Image:
    """Any picture, decoded, upright, in RGB; transparency over white, animations by their first frame.

    Raises:
        DataError: a file that is missing, empty, truncated, no picture, or larger than MAX_PIXELS.
    """
    if isinstance(source, Drawing):
        return source.draw()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files; errors still raise
            image = source if isinstance(source, Image.Image) else Image.open(source)
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{source} has {image.width:,} × {image.height:,} pixels, more than {MAX_PIXELS:,}; make it smaller."
                )
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16") or image.mode == "I":  # Pillow would clip these to white
                image = Image.fromarray((np.asarray(image, dtype=np.int64) // 256).clip(0, 255).astype(np.uint8))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"There is no picture {source}; check its name.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{source} has more than {MAX_PIXELS:,} pixels; make it smaller.") from None
    except (OSError, ValueError, SyntaxError, TypeError, IndexError, EOFError, KeyError, OverflowError, MemoryError) as error:
        # Pillow's plugins raise all of these on broken files.
        reason = "it is empty" if _is_empty(source) else "it is damaged, or no picture"
        raise DataError(f"{source} cannot be read: {reason}; replace or remove it.") from error


def _is_empty(source: Picture) -> bool:
    return isinstance(source, Path) and source.is_file() and source.stat().st_size == 0


def default_image(size: int) -> Image.Image:
    """What stands in for a missing picture: CLIP's mean colour, which becomes zero once normalised."""
    return Image.new("RGB", (size, size), tuple(round(255 * c) for c in CLIP_MEAN))


def _square(image: Image.Image, size: int) -> np.ndarray:
    """Resized to size × size whatever its shape, as published code does with crops: (size, size, 3) uint8."""
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def crop_array(tweet: Tweet, crops: int = 3, size: int = 128) -> tuple[np.ndarray, bool, list[str]]:
    """One tweet's crops, (crops, size, size, 3) uint8; whether any of it is really the tweet's, and not the
    default image; and a message for each picture that could not be read."""
    problems: list[str] = []

    def read(source: Picture | None) -> np.ndarray | None:
        if source is None:
            return None
        try:
            return _square(open_picture(source), size)
        except DataError as error:
            problems.append(str(error))
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
    return np.stack(found), real, problems


@dataclass
class CropCache:
    """The crops of a split, decoded. `cache[indices]` gives (len(indices), crops, size, size, 3) uint8."""

    pixels: np.ndarray
    """Distinct rows, (R, crops, size, size, 3) uint8, mapped from disk where that is possible."""
    row: np.ndarray
    """(N,) which row is each tweet's; tweets without pictures share one."""
    has_image: np.ndarray
    """(N,) bool, False where the default image stands in."""
    problems: list[str]
    """One message for each picture that could not be read, each named once."""

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, indices: Sequence[int]) -> np.ndarray:
        return self.pixels[self.row[indices]]


def crop_cache(
    tweets: Sequence[Tweet], size: int = 128, crops: int = 3, folder: Path | None = None, progress: bool = True
) -> CropCache:
    """Decode the crops of all tweets once; the next call with the same content and settings only maps a file.

    The file is named by a hash of the pictures' bytes and of the settings, and moved into place when it is
    complete, so several processes may build it at once. Where it cannot be written the crops stay in memory.

    Args:
        tweets: any tweets; those with the same pictures share a row.
        size: side of a crop, in pixels.
        crops: crops per tweet.
        folder: where the files are; $MGIPS_CACHE, $XDG_CACHE_HOME/mgips or ~/.cache/mgips by default.
        progress: show a bar while decoding.
    """
    folder = folder or cache_folder()
    digests: dict[Path, bytes] = {}

    def content(source: Picture) -> bytes:
        if isinstance(source, Drawing):
            return source.key()
        if isinstance(source, Image.Image):
            return hashlib.sha256(f"{source.size}{source.mode}".encode() + source.tobytes()).digest()
        if source not in digests:
            try:
                digests[source] = hashlib.sha256(source.read_bytes()).digest()
            except OSError:
                digests[source] = b"unreadable"
        return digests[source]

    keys = [b"\0".join(map(content, _sources(tweet, crops))) for tweet in tweets]
    first: dict[bytes, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    place = {key: row for row, key in enumerate(first)}
    row = np.array([place[key] for key in keys], dtype=np.int64)
    chosen = [tweets[index] for index in first.values()]

    settings = f"{CACHE_VERSION} {size} {crops} Pillow {PIL.__version__.split('.')[0]}".encode()
    name = hashlib.sha256(b"\1".join([settings, *first])).hexdigest()[:32]
    shape = (len(chosen), crops, size, size, 3)
    target = folder / f"{name}.npy"
    pixels, readable, problems = _load(target, shape)
    if pixels is None:
        pixels, readable, problems = _decode(chosen, shape, target, progress)
    return CropCache(pixels, row, readable[row] if len(row) else np.zeros(0, bool), problems)


def cache_folder() -> Path:
    """Where decoded crops are kept."""
    if os.environ.get("MGIPS_CACHE"):
        return Path(os.environ["MGIPS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mgips" / "crops"


def _sources(tweet: Tweet, crops: int) -> list[Picture]:
    """The pictures that a tweet's crops are made from."""
    return [*tweet.crops[:crops], *([tweet.image] if tweet.image is not None else [])]


def _load(target: Path, shape: tuple[int, ...]) -> tuple[np.ndarray | None, np.ndarray, list[str]]:
    """A finished cache file, mapped; None where there is none, or none that can be trusted."""
    try:
        pixels = np.load(target, mmap_mode="r")
        with np.load(target.with_suffix(".npz"), allow_pickle=False) as told:
            readable, problems = told["readable"], told["problems"].tolist()
        if pixels.shape == shape and pixels.dtype == np.uint8 and readable.shape == shape[:1]:
            return pixels, readable, problems
    except (OSError, ValueError, KeyError, EOFError):
        pass
    return None, np.zeros(0, bool), []


def _decode(
    tweets: Sequence[Tweet], shape: tuple[int, ...], target: Path, progress: bool
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Decode into a new cache file, or into memory where none can be written."""
    crops, size = shape[1], shape[2]
    readable = np.zeros(len(tweets), dtype=bool)
    problems: dict[str, None] = {}  # ordered, each once
    lock = threading.Lock()

    def fill(pixels: np.ndarray) -> None:
        def one(index: int) -> None:
            pixels[index], readable[index], found = crop_array(tweets[index], crops, size)
            with lock:
                problems.update(dict.fromkeys(found))

        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            bar = tqdm(total=len(tweets), desc="decoding pictures", disable=not progress or len(tweets) < 100)
            with bar:
                for _ in pool.map(one, range(len(tweets))):
                    bar.update()

    beside: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=target.parent, prefix=".building-", suffix=".npy")
        beside = Path(path)
        with os.fdopen(handle, "wb") as file:
            np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            start = file.tell()
            end = start + math.prod(shape)
            file.truncate(end)
            if hasattr(os, "posix_fallocate"):
                # Claims the space now: writing to a mapped file on a full disk would kill the process.
                os.posix_fallocate(file.fileno(), 0, end)
        if len(tweets):
            pixels = np.memmap(beside, np.uint8, "r+", start, shape)
            fill(pixels)
            pixels.flush()
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".building-", suffix=".npz", delete=False) as file:
            np.savez(file, readable=readable, problems=np.array(list(problems), dtype=np.str_))
        os.replace(file.name, target.with_suffix(".npz"))
        os.replace(beside, target)
        loaded, readable, told = _load(target, shape)
        if loaded is not None:
            return loaded, readable, told
    except OSError as error:
        if beside is not None:
            beside.unlink(missing_ok=True)
        warnings.warn(
            f"Decoded pictures cannot be kept in {target.parent} ({error.strerror}); they stay in memory. "
            "Set MGIPS_CACHE to a folder with space.",
            stacklevel=3,
        )
    pixels = np.zeros(shape, np.uint8)
    fill(pixels)
    return pixels, readable, list(problems)
