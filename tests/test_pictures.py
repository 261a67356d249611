"""Pictures of every kind and every kind of damage; crops; the crop cache."""

import fcntl
import multiprocessing
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import time
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from builders import encoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from mgips.data import crops as crops_module
from mgips.data.corpus import Tweet
from mgips.data.crops import CropCache, crop_array, crop_cache
from mgips.data.pictures import CLIP_MEAN, default_image, open_picture, picture_of
from mgips.errors import DataError

MEAN_PIXEL = (123, 117, 104)


@pytest.fixture(autouse=True)
def _no_warning_escapes(tmp_path, monkeypatch):
    """Every warning is an error here, and the default cache folder is a temporary one."""
    monkeypatch.setenv("MGIPS_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def noise(seed: int = 0, width: int = 40, height: int = 30) -> Image.Image:
    """Pixels that no two seeds share."""
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8))


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def tweet(number: int = 0, image=None, crops=()) -> Tweet:
    return Tweet(id=str(number), words=("word",), tags=("O",), image=image, crops=tuple(crops))


def resized(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and carries hardly any pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@dataclass(frozen=True)
class Flat:
    """A drawing: one colour."""

    colour: tuple[int, int, int]

    def draw(self) -> Image.Image:
        return Image.new("RGB", (16, 16), self.colour)

    def key(self) -> bytes:
        return bytes(self.colour)


# ---- pictures that load ----


def test_a_path_a_pil_image_and_a_drawing_open(tmp_path):
    image = noise()
    for source in (saved(tmp_path / "a.png", image), image, str(tmp_path / "a.png")):
        opened = open_picture(source)
        assert opened.mode == "RGB" and np.array_equal(opened, image)
    assert open_picture(Flat((1, 2, 3))).getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_the_content_decides_and_not_the_name(tmp_path, kind):
    path = saved(tmp_path / "picture.jpg", noise(), format=kind)
    with Image.open(path) as expected:
        assert np.array_equal(open_picture(path), expected.convert("RGB"))


def test_cmyk_loads(tmp_path):
    path = saved(tmp_path / "cmyk.jpg", Image.new("CMYK", (8, 8), (255, 0, 0, 0)))
    red, green, blue = open_picture(path).getpixel((4, 4))
    assert red < 10 and green > 245 and blue > 245  # cyan


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparency_is_laid_over_white(tmp_path, alpha):
    expected = round((alpha * 100 + (255 - alpha) * 255) / 255)
    rgba = Image.new("RGBA", (4, 4), (100, 100, 100, alpha))
    grey = Image.new("LA", (4, 4), (100, alpha))
    files = saved(tmp_path / "rgba.png", rgba), saved(tmp_path / "la.png", grey)
    for source in (*files, rgba, grey, rgba.convert("RGBa"), grey.convert("La")):
        assert np.abs(np.asarray(open_picture(source), int) - expected).max() <= 1


def test_palette_with_transparency_loads(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((0, 0), 1)
    one = open_picture(saved(tmp_path / "one.png", image, transparency=0))  # one transparent colour
    assert one.getpixel((0, 0)) == (0, 200, 0) and one.getpixel((3, 3)) == (255, 255, 255)
    table = open_picture(saved(tmp_path / "table.png", image, transparency=bytes([255, 0])))  # alpha per colour
    assert table.getpixel((0, 0)) == (255, 255, 255) and table.getpixel((3, 3)) == (200, 0, 0)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_the_first_frame_of_an_animation(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], **options)
    assert open_picture(path).getpixel((4, 4)) == (250, 0, 0)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.ppm"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, name):
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    image = Image.fromarray(values.astype(np.int32) if name.endswith("ppm") else values)
    for source in (saved(tmp_path / name, image), image):
        assert np.asarray(open_picture(source))[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert open_picture(Image.new("I", (1, 1), 200)).getpixel((0, 0)) == (200, 200, 200)


@pytest.mark.parametrize("mode", ["1", "L", "YCbCr", "LAB", "HSV", "F", "PA", "RGBX"])
def test_other_modes_load(mode):
    assert open_picture(Image.new(mode, (3, 2))).size == (3, 2)


def test_one_pixel_loads(tmp_path):
    path = saved(tmp_path / "one.png", Image.new("RGB", (1, 1), (9, 8, 7)))
    assert open_picture(path).getpixel((0, 0)) == (9, 8, 7)
    array, problems = crop_array(tweet(image=path), size=5)
    assert (array == np.array([9, 8, 7])).all() and not problems


def test_exif_turns_a_picture_upright(tmp_path):
    image = noise(width=20, height=10)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn 90° clockwise to view"
    turned = open_picture(saved(tmp_path / "turned.png", image, exif=exif))
    assert np.array_equal(turned, image.transpose(Image.Transpose.ROTATE_270))


def test_broken_exif_loses_no_picture(tmp_path):
    path = saved(tmp_path / "a.jpg", noise(), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff nonsense")
    assert open_picture(path).size == (40, 30)


def test_a_pil_image_is_left_as_it_was():
    image = Image.new("RGBA", (3, 3), (1, 2, 3, 4))
    image.getexif()[0x0112] = 6
    open_picture(image)
    assert image.mode == "RGBA" and image.getpixel((0, 0)) == (1, 2, 3, 4) and image.getexif()[0x0112] == 6


# ---- pictures that do not ----


def broken(folder: Path) -> dict[Path, str]:
    """A file of every kind of damage, each with a part of its message."""
    jpeg = encoded(noise(), "JPEG")
    damage = {
        "empty.jpg": (b"", "empty file"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "cut short"),
        "cut.png": (encoded(noise(), "PNG")[:900], "cut short"),
        "head.jpg": (jpeg[:40], "cut short"),
        "page.jpg": (b"<html>404 Not Found</html>", "save it as JPEG or PNG"),
        "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "save it as JPEG or PNG"),
        "bomb.png": (png_header(20_000, 20_000), "million pixels"),
    }
    for name, (content, _) in damage.items():
        (folder / name).write_bytes(content)
    return {folder / name: part for name, (_, part) in damage.items()} | {folder / "no.jpg": "is not there"}


def test_each_kind_of_damage_is_one_sentence_that_names_the_file(tmp_path):
    for path, part in broken(tmp_path).items():
        with pytest.raises(DataError) as caught:
            open_picture(path)
        message = str(caught.value)
        assert message.startswith(str(path)) and part in message
        assert message.endswith(".") and "\n" not in message and caught.value.__suppress_context__


def test_folders_and_bad_paths_are_no_pictures(tmp_path):
    for path in (tmp_path, tmp_path / "a\0b.jpg", Path(os.devnull)):
        with pytest.raises(DataError, match="is not a file"):
            open_picture(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission(tmp_path):
    path = saved(tmp_path / "a.png", noise())
    path.chmod(0)
    with pytest.raises(DataError, match="permissions"):
        open_picture(path)


# Pillow itself warns from 89 million pixels on and raises from 179 million on.
@pytest.mark.parametrize("side", [8_001, 9_000, 12_000, 20_000, 60_000])
def test_a_huge_picture_is_refused_from_its_header(tmp_path, monkeypatch, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(DataError, match="bomb.png has more than 64 million pixels"):
        open_picture(path)


def test_a_huge_picture_is_refused_whatever_pillow_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(20_000, 20_000))
    with pytest.raises(DataError, match="64 million"):
        open_picture(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = Image.open(path)
    with lazy, pytest.raises(DataError, match="bomb.png has more than 64 million pixels"):
        open_picture(lazy)


def test_a_picture_without_pixels():
    with pytest.raises(DataError, match="has no pixels"):
        open_picture(Image.new("RGB", (0, 5)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"]))
def test_any_damage_gives_a_picture_or_a_data_error(tmp_path, data, kind):
    content = bytearray(encoded(noise(1, 9, 7), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert open_picture(path).mode == "RGB"
    except DataError as error:
        assert str(error).startswith(str(path))


# ---- the crops of one tweet ----


def test_the_default_image_is_clips_mean():
    image = default_image(7)
    assert image.size == (7, 7) and image.getcolors() == [(49, MEAN_PIXEL)]
    assert all(abs(pixel - 255 * mean) <= 0.5 for pixel, mean in zip(MEAN_PIXEL, CLIP_MEAN, strict=True))


@pytest.mark.parametrize("have", [0, 1, 2, 3, 5])
def test_the_whole_image_fills_the_missing_places(have):
    whole, crops = noise(9), [noise(i) for i in range(have)]
    array, problems = crop_array(tweet(image=whole, crops=crops), size=12)
    assert array.shape == (3, 12, 12, 3) and array.dtype == np.uint8 and not problems
    for place, view in zip(array, ([*crops, whole, whole, whole])[:3], strict=True):
        assert np.array_equal(place, resized(view, 12))


def test_resizing_averages_what_it_leaves_out():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    array, _ = crop_array(tweet(image=Image.fromarray(stripes)), size=8)
    assert abs(array.astype(int) - 127).max() <= 6  # without antialias: all black or all white


def test_without_a_picture_the_default_image():
    array, problems = crop_array(tweet(), size=6)
    assert (array == np.array(MEAN_PIXEL)).all() and problems == []


def test_a_broken_crop_falls_back_to_the_whole_image(tmp_path):
    whole = noise(9)
    for path in broken(tmp_path):
        array, problems = crop_array(tweet(image=whole, crops=[noise(0), path, noise(2)]), size=8)
        expected = np.stack([resized(view, 8) for view in (noise(0), whole, noise(2))])
        assert np.array_equal(array, expected)
        assert len(problems) == 1 and problems[0].startswith(str(path))


def test_a_broken_image_falls_back_to_the_default_image(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded(noise(), "JPEG")[:300])
    array, problems = crop_array(tweet(image=path, crops=[path]), size=8)
    assert (array == np.array(MEAN_PIXEL)).all()
    assert len(problems) == 1 and str(path) in problems[0]
    array, _ = crop_array(tweet(image=path, crops=[noise(1)]), size=8)
    assert np.array_equal(array[0], resized(noise(1), 8)) and (array[1:] == np.array(MEAN_PIXEL)).all()


def test_a_broken_picture_without_a_file_is_named_by_its_tweet():
    _, problems = crop_array(tweet(17, image=Image.new("RGB", (0, 0))))
    assert problems == ["A picture of tweet '17' has no pixels."]


@pytest.mark.released(17)
def test_the_whole_image_is_not_opened_where_nothing_needs_it(tmp_path):
    array, problems = crop_array(tweet(image=tmp_path / "no.jpg", crops=[noise(i) for i in range(3)]), size=8)
    assert not problems and np.array_equal(array[1], resized(noise(1), 8))


# ---- the cache ----


def posts(folder: Path, count: int = 6) -> list[Tweet]:
    """Files with 0, 1, … crops, then a drawing, an image in memory, two posts without, a broken one."""
    made = []
    for i in range(count):
        files = [saved(folder / f"{i}-{j}.png", noise(10 * i + j)) for j in range(1 + i % 4)]
        made.append(tweet(i, files[0], files[1:]))
    cut = folder / "cut.png"
    cut.write_bytes(encoded(noise(), "PNG")[:500])
    extra = [{"image": Flat((7, 8, 9))}, {"image": noise(99)}, {}, {}, {"image": cut, "crops": [cut]}]
    return made + [tweet(count + i, **pictures) for i, pictures in enumerate(extra)]


@pytest.fixture
def tweets(tmp_path):
    return posts(tmp_path)


@pytest.fixture
def cache(tweets, tmp_path):
    return crop_cache(tweets, size=16, folder=tmp_path / "c", progress=False)


def check(cache: CropCache, tweets: list[Tweet], size: int = 16) -> None:
    """The cache holds what `crop_array` makes of each tweet."""
    expected = [crop_array(t, size=size) for t in tweets]
    assert len(cache) == len(tweets)
    for i, (array, _) in enumerate(expected):
        assert np.array_equal(cache[[i]][0], array)
        assert cache.has_image[i] == (array != np.array(MEAN_PIXEL)).any()
    assert cache.problems == list(dict.fromkeys(line for _, lines in expected for line in lines))


def test_the_cache_holds_every_tweets_crops(tweets, cache):
    check(cache, tweets)
    assert isinstance(cache.pixels(0), np.memmap) and not cache.pixels(0).flags.writeable
    assert cache.has_image.dtype == bool and cache.has_image.tolist() == [True] * 8 + [False] * 3
    assert len(cache.problems) == 1 and "cut.png" in cache.problems[0]


def test_indexing_gives_copies_in_the_order_asked(cache):
    chosen = cache[[3, 0, 3]]
    assert chosen.shape == (3, 3, 16, 16, 3) and np.array_equal(chosen[0], chosen[2])
    assert np.array_equal(chosen[1], cache[0]) and np.array_equal(cache[np.array([3, 0])], chosen[:2])
    assert cache[2:4].shape[0] == 2 and cache[[]].shape == (0, 3, 16, 16, 3)
    chosen[:] = 0  # writable, and nobody else's
    assert cache[[3]].any()


def test_the_second_build_opens_no_picture(tweets, cache, tmp_path, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").iterdir()}

    forbidden = Mock(side_effect=AssertionError("a picture was opened"))
    monkeypatch.setattr(Image, "open", forbidden)
    monkeypatch.setattr(Flat, "draw", forbidden)
    for epoch in range(2):
        again = crop_cache(tweets, size=16, folder=tmp_path / "c", progress=False)
        assert np.array_equal(again[range(len(tweets))], cache[range(len(tweets))]), epoch
        assert again.problems == cache.problems and np.array_equal(again.has_image, cache.has_image)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "c").iterdir()} == before


@pytest.mark.released(17)
def test_an_epoch_after_the_build_touches_no_picture(tweets, cache, tmp_path):
    first = cache[range(len(tweets))]
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert np.array_equal(cache[range(len(tweets))], first)


def test_tweets_with_the_same_pictures_share_a_row(tmp_path):
    path = saved(tmp_path / "a.png", noise())
    copy = saved(tmp_path / "copy.png", noise())
    tweets = [tweet(0, path), tweet(1), tweet(2, copy), tweet(3), tweet(4, path, [copy]), tweet(5, Flat((1, 2, 3)))]
    tweets += [tweet(i) for i in range(6, 2000)] + [tweet(2000, tmp_path / "no.jpg"), tweet(2001, tmp_path / "no2.jpg")]
    cache = crop_cache(tweets, size=16, folder=tmp_path / "c", progress=False)
    assert cache.rows[:6].tolist() == [0, 1, 0, 1, 2, 3] and len(cache.pixels(0)) == 5
    (file,) = (tmp_path / "c").iterdir()
    assert file.stat().st_size < 5 * 3 * 16 * 16 * 3 + 500
    assert [line.split(" ")[0] for line in cache.problems] == [str(tmp_path / "no.jpg"), str(tmp_path / "no2.jpg")]


def test_every_bad_file_is_named_and_none_twice(tmp_path):
    for name in ("a.jpg", "b.jpg"):  # equal content, two files to replace
        (tmp_path / name).write_bytes(b"")
    tweets = [tweet(i, tmp_path / name) for i, name in enumerate(["a.jpg", "b.jpg", "a.jpg"])]
    for _ in ("built", "loaded"):
        cache = crop_cache(tweets, size=8, folder=tmp_path / "c", progress=False)
        assert cache.problems == [
            f"{tmp_path / name} is an empty file; fetch the picture again." for name in ("a.jpg", "b.jpg")
        ]


def test_the_key_is_the_content_and_the_settings(tmp_path, monkeypatch):
    folder = tmp_path / "c"
    path = saved(tmp_path / "a.png", noise(0))
    tweets = [tweet(0, path), tweet(1, Flat((1, 1, 1)))]

    def build(**changes):
        crop_cache(tweets, **{"size": 8, "crops": 3, "folder": folder, "progress": False, **changes})
        return len(list(folder.iterdir()))

    assert build() == 1
    assert build() == 1
    assert build(size=9) == 2
    assert build(crops=2) == 3
    path.rename(tmp_path / "moved.png")
    tweets[0] = tweet(0, tmp_path / "moved.png")
    assert build() == 3  # the same content elsewhere
    stamp = (tmp_path / "moved.png").stat()
    saved(tmp_path / "moved.png", noise(1))
    os.utime(tmp_path / "moved.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert build() == 4  # other content at the same time and place
    tweets[1] = tweet(1, Flat((1, 1, 2)))
    assert build() == 5
    monkeypatch.setattr(crops_module, "CACHE_FORMAT", 1000)
    assert build() == 6
    monkeypatch.setattr(crops_module.PIL, "__version__", "99.0")
    assert build() == 7


def test_a_picture_that_turns_up_later_is_seen(tmp_path):
    tweets = [tweet(0, tmp_path / "late.png")]
    assert not crop_cache(tweets, size=8, folder=tmp_path / "c", progress=False).has_image[0]
    saved(tmp_path / "late.png", noise())
    cache = crop_cache(tweets, size=8, folder=tmp_path / "c", progress=False)
    assert cache.has_image[0] and not cache.problems
    check(cache, tweets, size=8)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "no trailer", "garbage", "longer"])
@pytest.mark.usefixtures("cache")
def test_a_damaged_cache_file_is_built_anew(tweets, tmp_path, damage):
    (file,) = (tmp_path / "c").iterdir()
    whole = file.read_bytes()
    pixels = whole.index(b'{"crc32"')
    flipped = bytearray(whole)
    flipped[pixels // 2] ^= 1
    file.write_bytes(
        {
            "cut": whole[:1000],
            "empty": b"",
            "flipped": bytes(flipped),
            "no trailer": whole[:pixels],
            "garbage": whole[:pixels] + b"[1, 2]",
            "longer": whole + b"{}",
        }[damage]
    )
    check(crop_cache(tweets, size=16, folder=tmp_path / "c", progress=False), tweets)
    assert file.read_bytes() == whole and len(list((tmp_path / "c").iterdir())) == 1


def test_a_folder_that_cannot_be_written(tweets, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be written.*stay in memory") as caught:
        cache = crop_cache(tweets, size=16, folder=tmp_path / "file" / "c", progress=False)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert not isinstance(cache.pixels(0), np.memmap) and not cache.pixels(0).flags.writeable
    check(cache, tweets)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(tweets, tmp_path):
    (tmp_path / "c").mkdir(mode=0o500)
    with pytest.warns(UserWarning, match="cannot be written"):
        check(crop_cache(tweets, size=16, folder=tmp_path / "c", progress=False), tweets)


def test_a_disk_that_fills_up_leaves_no_part_of_a_file(tweets, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.warns(UserWarning, match="cannot be written") as caught:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # each write past this fails
        try:
            cache = crop_cache(tweets, size=16, folder=tmp_path / "c", progress=False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(caught) == 1 and list((tmp_path / "c").iterdir()) == []
    check(cache, tweets)


def test_what_a_killed_build_left_is_swept(tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    old, dead, running, new = (folder / f"{name}.crops.1.part" for name in ("a", "b", "c", "d"))
    other = folder / "notes.txt"
    for path in (old, dead, running, new, other):
        path.write_text("x")
    for path, age in ((old, 90_000), (dead, 60), (running, 60), (other, 90_000)):
        os.utime(path, (time.time() - age,) * 2)
    with open(running) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        crop_cache([tweet(0, noise())], size=8, folder=folder, progress=False)
    assert not old.exists() and not dead.exists(), "nobody writes these"
    assert running.exists() and new.exists() and other.exists()


@pytest.fixture
def in_shards(monkeypatch):
    """Shards of two rows, two of which are mapped at once."""
    monkeypatch.setattr(crops_module, "SHARD", 2 * 3 * 16 * 16 * 3 + 1)
    monkeypatch.setattr(crops_module, "MAPPED", 2)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("in_shards")
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_shards_hold_the_same_whoever_decodes_them(tweets, tmp_path, workers):
    made = crop_cache(tweets, size=16, folder=tmp_path / "c", progress=False, workers=workers)
    check(made, tweets)
    assert len(made.shards) == 5 and len(made._mapped) == 2  # 10 distinct rows
    assert np.array_equal(made[::-1], made[:][::-1]) and made[7].shape == (3, 16, 16, 3)
    received = pickle.loads(pickle.dumps(made))
    assert not received._mapped and np.array_equal(received[:], made[:])
    alone = crop_cache(tweets, size=16, folder=tmp_path / "alone", progress=False)
    assert contents(tmp_path / "c") == contents(tmp_path / "alone") and alone.problems == made.problems
    bare = crop_cache(tweets, size=16, folder=tmp_path / "none", progress=False, workers=workers, keep=False)
    check(bare, tweets)
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("in_shards")
@pytest.mark.parametrize("workers", [0, 2])
def test_only_the_shards_that_lack_are_decoded(tweets, tmp_path, monkeypatch, workers):
    folder = tmp_path / "c"
    crop_cache(tweets, size=16, folder=folder, progress=False)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    whole = contents(folder)
    lost, cut, *_ = sorted(folder.iterdir())
    lost.unlink()
    cut.write_bytes(whole[cut.name][:-9])
    made = crop_cache(tweets, size=16, folder=folder, progress=False, workers=workers)
    check(made, tweets)
    assert contents(folder) == whole
    assert {path for path in before if path.stat().st_mtime_ns == before[path]} == {*before} - {lost, cut}
    more = [*tweets, tweet(90, noise(90)), tweet(91, noise(91))]
    check(crop_cache(more, size=16, folder=folder, progress=False, workers=workers), more)
    assert len(contents(folder).keys() - whole.keys()) == 1, "posts that are added at the end change what is there"


@pytest.mark.usefixtures("in_shards")
@pytest.mark.parametrize("workers", [0, 2])
def test_shards_that_cannot_be_written_stay_in_memory_with_one_warning(tweets, tmp_path, workers):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be written.*Not a directory.*stay in memory") as caught:
        made = crop_cache(tweets, size=16, folder=tmp_path / "file" / "c", progress=False, workers=workers)
    assert len(caught) == 1 and caught[0].filename == __file__
    check(made, tweets)


SLOWLY = """
import sys, time
from pathlib import Path
from mgips.data import crops
from mgips.data.corpus import Tweet
decode = crops.decode
crops.decode = lambda source: (time.sleep(0.1), decode(source))[1]
crops.SHARD = 2 * 3 * 16 * 16 * 3
folder, *files = sys.argv[1:]
posts = [Tweet(file, ("word",), image=Path(file)) for file in files]
crops.crop_cache(posts, size=16, folder=Path(folder), progress=False, workers=2)
"""


def test_a_build_that_was_killed_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(crops_module, "SHARD", 2 * 3 * 16 * 16 * 3)
    files = [str(saved(tmp_path / f"{i}.png", noise(i))) for i in range(40)]
    folder = tmp_path / "c"
    with subprocess.Popen([sys.executable, "-c", SLOWLY, str(folder), *files], start_new_session=True) as process:
        while process.poll() is None and len([*folder.glob("*.crops")]) < 3:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*.crops")}
    assert 3 <= len(done) < 20
    tweets = [tweet(i, Path(file)) for i, file in enumerate(files)]
    time.sleep(1)  # younger files are left alone
    check(crop_cache(tweets, size=16, folder=folder, progress=False), tweets)
    assert {path.suffix for path in folder.iterdir()} == {".crops"} and len([*folder.iterdir()]) == 20
    assert {path: path.stat().st_mtime_ns for path in done} == done


def _build(folder: str, files: list[str], barrier, results) -> None:
    tweets = [tweet(i, Path(file)) for i, file in enumerate(files)]
    barrier.wait()
    cache = crop_cache(tweets, size=16, folder=Path(folder), progress=False)
    results.put(zlib.crc32(cache[range(len(tweets))]))


def test_processes_that_build_at_once_do_not_hurt_each_other(tmp_path):
    files = [str(saved(tmp_path / f"{i}.png", noise(i))) for i in range(30)]
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    arguments = (str(tmp_path / "c"), files, barrier, results)
    processes = [context.Process(target=_build, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    sums = {results.get(timeout=300) for _ in processes}  # each imports torch
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0] and len(sums) == 1
    assert [path.suffix for path in (tmp_path / "c").iterdir()] == [".crops"]


def test_a_pickled_cache_maps_the_file_again(tmp_path):
    tweets = posts(tmp_path, 60)
    cache = crop_cache(tweets, size=32, folder=tmp_path / "c", progress=False)
    sent = pickle.dumps(cache)
    assert len(sent) < cache.pixels(0).nbytes / 50
    received = pickle.loads(sent)
    assert isinstance(received.pixels(0), np.memmap) and np.array_equal(received[[3, 1]], cache[[3, 1]])
    in_memory = crop_cache(tweets[:2], size=8, progress=False)
    assert np.array_equal(pickle.loads(pickle.dumps(in_memory))[[1]], in_memory[[1]])


def test_the_default_folder(tmp_path, monkeypatch):
    many = [tweet(i, Flat((i, 0, 0))) for i in range(crops_module.SMALL)]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    crop_cache(many[1:], size=4, progress=False)  # too few to be worth a file
    assert not (tmp_path / "cache").exists()
    for unset, folder in (
        ("", "cache"),
        ("MGIPS_CACHE", "xdg/mgips/crops"),
        ("XDG_CACHE_HOME", "home/.cache/mgips/crops"),
    ):
        monkeypatch.delenv(unset, raising=False)
        crop_cache(many, size=4, progress=False)
        assert len(list((tmp_path / folder).glob("*.crops"))) == 1


def test_no_tweets(tmp_path):
    cache = crop_cache([], size=8, folder=tmp_path / "c")
    assert len(cache) == 0 and cache[[]].shape == (0, 3, 8, 8, 3) and cache.has_image.shape == (0,)


def test_the_bar_counts_pictures_only_when_asked(tmp_path, monkeypatch, capsys):
    made = []
    real = crops_module.tqdm
    monkeypatch.setattr(crops_module, "tqdm", lambda **more: made.append(real(**{**more, "delay": 0})) or made[-1])
    crop_cache([tweet(i, noise(i)) for i in range(3)], size=8, progress=True)
    assert [bar.n for bar in made] == [3, 3] and "decoding pictures" in capsys.readouterr().err
    crop_cache([tweet(i, noise(i)) for i in range(3)], size=8, progress=False)
    assert capsys.readouterr().err == ""


def test_the_real_photos_load():
    folder = Path(os.environ.get("MGIPS_DATA", Path(__file__).parents[2] / "shared" / "data")) / "twitter2015"
    photos = sorted((folder / "twitter2015_images").glob("*.jpg"))
    if not photos:
        pytest.skip("no photos of Twitter-2015; put them there or name their folder with MGIPS_DATA")
    cache = crop_cache([tweet(i, path) for i, path in enumerate(photos)], progress=False)
    assert cache.has_image.all() and not cache.problems and cache.shape[1:] == (3, 128, 128, 3)


def test_a_tweets_whole_picture_or_the_default_image(tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    green = Image.new("RGB", (9, 5), (0, 200, 0))
    assert picture_of(Tweet("1", ("a",), image=green)).size == (9, 5)
    default = default_image(256).tobytes()
    assert picture_of(Tweet("1", ("a",))).tobytes() == default
    assert picture_of(Tweet("1", ("a",), image=tmp_path / "cut.png")).tobytes() == default
