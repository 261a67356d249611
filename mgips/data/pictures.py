"""Reading pictures safely: any file, PIL image or drawing as an upright RGB image; and what stands in for a missing one."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mgips.data.corpus import Cropped, Drawing, Picture, Tweet
from mgips.errors import DataError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""CLIP's image normalisation: mean of each channel, of pixels in [0, 1]. Applied on the device."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's image normalisation: standard deviation of each channel."""

MAX_PIXELS = 64_000_000
"""Larger pictures are refused by their header, before any of it is decoded."""
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
"""What a file may be, whatever its name: Pillow's other readers start programs or are rarely tested."""

DAMAGED = "is damaged or cut short; fetch the picture again."
TOO_LARGE = f"has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller."


class Unreadable(Exception):
    """What is wrong with a picture, as the end of a sentence that begins with its name."""


def open_picture(source: Picture) -> Image.Image:
    """Any picture, decoded, upright, in RGB; transparency over white, animations by their first frame.

    Raises:
        DataError: a file that is missing, empty, cut short, no picture, or larger than MAX_PIXELS.
    """
    with silenced():
        try:
            return decode(source)
        except Unreadable as fault:
            raise DataError(f"{source_name(source)} {fault}") from None


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Silence Pillow's warnings; errors still raise. Not thread-safe, so only around a whole pool of threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def source_name(source: Picture, owner: str = "A picture") -> str:
    """What a message calls a picture: its file, or `owner` where there is none."""
    source = source.source if isinstance(source, Cropped) else source
    return str(source) if isinstance(source, str | Path) else getattr(source, "filename", "") or owner


def decode(source: Picture) -> Image.Image:
    """`open_picture` without the silence, for threads.

    Raises:
        Unreadable: with the reason.
    """
    if isinstance(source, Cropped):
        return cut(decode(source.source), source.box)
    if isinstance(source, Drawing):
        return source.draw()
    if isinstance(source, Image.Image):
        return _to_rgb(source)
    file = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
    try:
        if isinstance(file, Path) and ("\0" in str(file) or file.exists() and not file.is_file()):
            raise Unreadable("is not a file; give a picture.")
        if not (file.stat().st_size if isinstance(file, Path) else source):
            raise Unreadable("is an empty file; fetch the picture again.")
        with Image.open(file, formats=FORMATS) as image:
            return _to_rgb(image)
    except Image.UnidentifiedImageError:
        raise Unreadable("is not a picture that can be read, or is cut short; save it as JPEG or PNG.") from None
    except Image.DecompressionBombError:
        raise Unreadable(TOO_LARGE) from None
    except FileNotFoundError:
        raise Unreadable("is not there; check its name.") from None
    except PermissionError:
        raise Unreadable("may not be read; change its permissions.") from None
    except (OSError, ValueError, SyntaxError) as error:
        reason = getattr(error, "strerror", None)  # the system's, as for a name that is too long; or a broken header
        raise Unreadable(f"cannot be read ({reason})." if reason else DAMAGED) from error


def cut(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """What a box holds of an upright picture. Edges between pixels are rounded, as Pillow does.

    Raises:
        Unreadable: no pixel of the picture is in the box.
    """
    width, height = image.size
    # Clamped before rounding, since an edge may be infinite.
    left, right = (round(min(width, max(0, edge))) for edge in box[::2])
    upper, lower = (round(min(height, max(0, edge))) for edge in box[1::2])
    if left >= right or upper >= lower:
        edges = ", ".join(f"{edge:g}" for edge in box)
        raise Unreadable(f"is {width} × {height} pixels and has none in the box [{edges}]; correct the box.")
    return image.crop((left, upper, right, lower))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(TOO_LARGE)
    if not image.width * image.height:
        raise Unreadable("has no pixels.")
    try:
        image.load()
        # Broken orientation data loses no picture.
        with contextlib.suppress(Exception):
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits: Pillow would clip them to white
            values = np.asarray(image).astype(np.int64)
            high = image.mode.startswith("I;16") or values.max() > 255
            image = Image.fromarray((values // 256 if high else values).clip(0, 255).astype(np.uint8))
        if image.mode in ("RGBa", "La"):  # premultiplied
            image = image.convert(image.mode.upper())
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return (image.getchannel("L") if image.mode == "LAB" else image).convert("RGB")
    except Exception as error:  # Pillow's readers raise nearly everything on broken files
        raise Unreadable(DAMAGED) from error


def default_image(size: int) -> Image.Image:
    """What stands in for a missing picture (§3.1.2): CLIP's mean colour, which becomes zero once normalised."""
    return Image.new("RGB", (size, size), tuple(round(255 * channel) for channel in CLIP_MEAN))


def picture_of(tweet: Tweet) -> Image.Image:
    """A tweet's whole picture, or the default image where there is none or it cannot be read."""
    with contextlib.suppress(DataError):
        if tweet.image is not None:
            return open_picture(tweet.image)
    return default_image(256)
