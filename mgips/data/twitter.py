"""Twitter-2015 and Twitter-2017 as they lie on disk: texts, images, crop maps and visual-grounding crops.

    FOLDER/{train,valid,test}.txt                                    (also val.txt, dev.txt)
    FOLDER/NAME_images/ID.jpg
    FOLDER/NAME_{train,val,test}_dict.pth                            {"ID.jpg": ["0_pred_yolo_crop_1.png", …]}
    FOLDER/NAME_aux_images/{train,val,test}/crops/0_pred_yolo_crop_1.png

Only the texts are needed. What else is missing falls back (§3.1.2) and is counted in one line.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import torch

from mgips.data.conll import read_conll, write_conll
from mgips.data.corpus import Corpus, Tweet
from mgips.data.crops import CROPS
from mgips.data.pictures import open_picture
from mgips.errors import DataError
from mgips.files import safe_name, write_atomically

SPLITS = {"train": ("train",), "dev": ("valid", "val", "dev"), "test": ("test",)}
"""Each split's names on disk."""

HELP = """\
There is no {name} in {folder}.
The corpora may not be redistributed, so you have to fetch them:
  texts     train.txt, valid.txt, test.txt: GitHub repository jefferyYu/UMT, folder data/{name}
  images    the archive that the README of jefferyYu/UMT links (without it every tweet gets the default image)
  crops     the archive with visual-grounding crops and *_dict.pth that the README of zjunlp/HVPNeT links
            (without it the whole image stands in for each crop)
Put them here:
  {folder}/train.txt, valid.txt, test.txt
  {folder}/{name}_images/*.jpg
  {folder}/{name}_train_dict.pth, {name}_val_dict.pth, {name}_test_dict.pth
  {folder}/{name}_aux_images/train/crops/*.png, and the same for val and test
or name another place with --root FOLDER or the environment variable MGIPS_DATA (it holds {name}/).
To try the package without them, use the corpus that it draws itself: tinytweets."""


def read_folder(folder: str | Path, name: str | None = None) -> Corpus:
    """A corpus in the published layout; `name` is the NAME in its file names (the folder's own by default).

    Raises:
        DataError: no texts (with all that is to be known about getting them), or a file that is wrong.
    """
    folder = Path(folder)
    name = name or folder.resolve().name
    texts = text_files(folder, name)

    images = _files(_first(folder, [f"{name}_images"]) or _only(folder, "*_images", f"{name}_images"))
    aux = _first(folder, [f"{name}_aux_images"]) or _only(folder, "*_aux_images", f"{name}_aux_images")
    splits: dict[str, tuple[Tweet, ...]] = {}
    maps = 0
    for split, path in texts.items():
        names = SPLITS[split]
        found = _first(folder, [f"{name}_{n}_dict.pth" for n in names]) or next(
            (p for n in names for p in sorted(folder.glob(f"*_{n}_dict.pth"))), None
        )
        crop_map = read_crop_map(found) if found else {}
        maps += found is not None
        crops = _files(_first(aux, [f"{n}/crops" for n in names]) if aux else None)
        splits[split] = tuple(_with_pictures(tweet, images, crop_map, crops) for tweet in read_conll(path))

    tweets = [tweet for split in splits.values() for tweet in split]
    have = sum(tweet.image is not None for tweet in tweets)
    crops_found = sum(len(tweet.crops) for tweet in tweets)
    note = (
        f"{have:,} of {len(tweets):,} images found; the default image stands in for the others. "
        f"{maps} of 3 crop maps and {crops_found:,} of {CROPS * len(tweets):,} crops found; "
        "the whole image stands in for missing crops."
    )
    return Corpus(name, **splits, source=folder, notes=(note,))


def text_files(folder: Path, name: str | None = None) -> dict[str, Path]:
    """The file of each split.

    Raises:
        DataError: none is there (with all that is to be known about getting them), or one is missing.
    """
    texts = {split: _first(folder, [f"{n}.txt" for n in names]) for split, names in SPLITS.items()}
    absent = [split for split, path in texts.items() if path is None]
    if len(absent) == 3:
        raise DataError(HELP.format(name=name or folder.name, folder=folder))
    if absent:
        wanted = " or ".join(f"{n}.txt" for n in SPLITS[absent[0]])
        raise DataError(f"{folder} has no {absent[0]} split; put {wanted} there.")
    return texts


def _first(folder: Path | None, names: list[str]) -> Path | None:
    """The first of some names that exists in a folder."""
    return next((folder / name for name in names if (folder / name).exists()), None)


def _only(folder: Path, pattern: str, usual: str) -> Path | None:
    """The one folder that fits a pattern, in a corpus whose folder was renamed."""
    aux = "_aux_" in usual
    found = [p for p in folder.glob(pattern) if p.is_dir() and p.name.endswith("_aux_images") == aux]
    return found[0] if len(found) == 1 else None


def _files(folder: Path | None) -> dict[str, Path]:
    """Every file of a folder by its name, in one look: no question to the disk for each tweet."""
    if folder is None or not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {entry.name: Path(entry.path) for entry in entries if entry.is_file()}


def _with_pictures(
    tweet: Tweet, images: dict[str, Path], crop_map: dict[str, list[str]], crops: dict[str, Path]
) -> Tweet:
    endings = ("", ".jpg", ".jpeg", ".png")
    image = next((images[tweet.id + e] for e in endings if tweet.id + e in images), None)
    listed = next((crop_map[tweet.id + e] for e in endings if tweet.id + e in crop_map), [])
    return replace(tweet, image=image, crops=tuple(crops[name] for name in listed[:CROPS] if name in crops))


def read_crop_map(path: str | Path) -> dict[str, list[str]]:
    """A published map image → names of its crops, loaded without running any code it may hold.

    Raises:
        DataError: the file is damaged, wants to run code, or is no map of plain names.
    """
    try:
        found = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds here
        raise DataError(
            f"{path} is no crop map: it is damaged, or holds code, which is not run; fetch it again from its publisher."
        ) from error
    good = isinstance(found, dict) and all(
        isinstance(image, str) and isinstance(names, list) and all(isinstance(n, str) and safe_name(n) for n in names)
        for image, names in found.items()
    )
    if not good:
        raise DataError(f"{path} is no crop map: expected image names with lists of plain file names.")
    return found


def save_corpus(corpus: Corpus, folder: str | Path) -> None:
    """Write a corpus in the published layout, pictures as PNG; `load_corpus` reads the same words, tags and pixels.

    Raises:
        DataError: a picture that cannot be read, or a folder that cannot be written.
    """
    folder, name = Path(folder), corpus.name
    for split, tweets in corpus.splits.items():
        on_disk = {"dev": "val"}.get(split, split)
        write_conll(tweets, folder / f"{'valid' if split == 'dev' else split}.txt")
        crop_map: dict[str, list[str]] = {}
        for number, tweet in enumerate(tweets):
            if tweet.image is not None:
                _save_png(tweet.image, folder / f"{name}_images" / f"{tweet.id}.png")
            if tweet.crops:
                names = [f"{number}_pred_yolo_crop_{place}.png" for place in range(len(tweet.crops))]
                for crop, crop_name in zip(tweet.crops, names, strict=True):
                    _save_png(crop, folder / f"{name}_aux_images" / on_disk / "crops" / crop_name)
                crop_map[f"{tweet.id}.png"] = names
        buffer = io.BytesIO()
        torch.save(crop_map, buffer)
        write_atomically(folder / f"{name}_{on_disk}_dict.pth", buffer.getvalue())


def _save_png(source, path: Path) -> None:
    buffer = io.BytesIO()
    open_picture(source).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
