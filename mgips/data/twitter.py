"""Twitter-2015 and Twitter-2017 on disk: texts, images, crop maps, visual-grounding crops, and captions of the images.

    FOLDER/{train,valid,test}.txt             (also val, validation and dev, and .conll, .bio, .iob, .bioes or .tsv)
    FOLDER/NAME_images/ID.jpg
    FOLDER/NAME_{train,val,test}_dict.pth                            {"ID.jpg": ["0_pred_yolo_crop_1.png", …]}
    FOLDER/NAME_aux_images/{train,val,test}/crops/0_pred_yolo_crop_1.png
    FOLDER/captions.json                                             {"ID.jpg": "A man on a stage."}
        or FOLDER/NAME_captions.json, or FOLDER/../captions/NAME_images.json
    FOLDER/boxes.jsonl                        (crops of one's own, `mgips.data.boxes`, for posts without published ones)

Only the texts are needed. What else is missing falls back (§3.1.2) and is counted in one line. An id that begins with a
day, as 16_05_13_157 does in Twitter-2017, gives the post's time.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TypeVar

import torch

from mgips.data.conll import read_conll, write_conll
from mgips.data.corpus import Corpus, Picture, Tweet
from mgips.data.crops import CROPS
from mgips.data.pictures import open_picture
from mgips.errors import DataError
from mgips.files import safe_name, write_atomically
from mgips.tags import found_types

SPLITS = {"train": ("train",), "dev": ("valid", "val", "validation", "dev"), "test": ("test",)}
"""Each split's names on disk."""
ENDINGS = (".txt", ".conll", ".bio", ".iob", ".bioes", ".tsv")
"""What CoNLL files are called."""

DAY = re.compile(r"(\d\d)_(\d\d)_(\d\d)_\d+")
"""An id of Twitter-2017 that says when it was posted: year, month, day, number."""

Value = TypeVar("Value")

HELP = """\
There is no {name} in {folder}.
The corpora may not be redistributed, so you have to fetch them:
  texts     train.txt, valid.txt, test.txt: GitHub repository jefferyYu/UMT, folder data/{name}
  images    the archive that the README of jefferyYu/UMT links (without it every tweet gets the default image)
  crops     the archive with visual-grounding crops and *_dict.pth that the README of zjunlp/HVPNeT links
            (without it the whole image stands in for each crop)
  captions  GitHub repository codezakh/exploiting-BERT-thru-translation, folder captions: {name}_images.json
            (only for a model that reads captions in place of images)
Put them here:
  {folder}/train.txt, valid.txt, test.txt
  {folder}/{name}_images/*.jpg
  {folder}/{name}_train_dict.pth, {name}_val_dict.pth, {name}_test_dict.pth
  {folder}/{name}_aux_images/train/crops/*.png, and the same for val and test
  {folder}/captions.json
or name another place with --root FOLDER or the environment variable MGIPS_DATA (it holds {name}/).
To try the package without them, use the corpus that it draws itself: tinytweets."""


def read_folder(folder: str | Path, name: str | None = None) -> Corpus:
    """A corpus in the published layout; `name` is the NAME in its file names (the folder's own by default).

    Raises:
        DataError: there are no texts (the message says how to get them), or a file is wrong.
    """
    folder = Path(folder)
    name = name or folder.resolve().name
    texts = text_files(folder, name)
    captions = read_captions(folder, name)
    images = _files(_find(folder, name, "images"))
    aux = _find(folder, name, "aux_images")
    splits: dict[str, tuple[Tweet, ...]] = {}
    maps = 0
    for split, path in texts.items():
        map_path = _find(folder, name, *(f"{n}_dict.pth" for n in SPLITS[split]))
        crop_map = read_crop_map(map_path) if map_path else {}
        maps += map_path is not None
        crops = _files(_first(aux, [f"{n}/crops" for n in SPLITS[split]]) if aux else None)
        splits[split] = tuple(_completed(tweet, images, crop_map, crops, captions) for tweet in read_conll(path))
    if set(found_types(t.tags for tweets in splits.values() for t in tweets)) == {"PER", "LOC", "ORG", "OTHER"}:
        for split, tweets in splits.items():  # Twitter-2015 says OTHER where Twitter-2017 and the paper say MISC
            splits[split] = tuple(
                replace(t, tags=tuple(tag.replace("-OTHER", "-MISC") for tag in t.tags)) for t in tweets
            )

    tweets = [tweet for split in splits.values() for tweet in split]
    image_count = sum(tweet.image is not None for tweet in tweets)
    crop_count = sum(len(tweet.crops) for tweet in tweets)
    captioned = sum(bool(tweet.caption) for tweet in tweets)
    notes = [
        f"{image_count:,} of {len(tweets):,} images found; the default image stands in for the others. "
        f"{maps} of 3 crop maps and {crop_count:,} of {CROPS * len(tweets):,} crops found; "
        "the whole image stands in for missing crops."
    ]
    if captioned:
        notes.append(f"{captioned:,} of {len(tweets):,} captions of images found.")
    return Corpus(name, splits["train"], splits["dev"], splits["test"], source=folder, notes=tuple(notes))


def text_files(folder: Path, name: str | None = None) -> dict[str, Path]:
    """The file of each split.

    Raises:
        DataError: none is there (the message says how to get them), or one is missing.
    """
    texts = split_files(folder, ENDINGS)
    if not texts:
        raise DataError(HELP.format(name=name or folder.name, folder=folder))
    return complete(folder, texts)


def split_files(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """The files of the splits that are in a folder, by split; capitals in their names count as small letters.

    Raises:
        DataError: a split has two.
    """
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    texts = {}
    for split, names in SPLITS.items():
        found = [path for path in there if path.stem.lower() in names and path.suffix.lower() in endings]
        if len(found) > 1:
            some = " and ".join(path.name for path in found)
            raise DataError(f"{folder} holds {some}, all for the {split} split; keep one of them there.")
        if found:
            texts[split] = found[0]
    return texts


def complete(folder: Path, texts: dict[str, Path]) -> dict[str, Path]:
    """The same files, where there is one of each split.

    Raises:
        DataError: one is missing.
    """
    for split, names in SPLITS.items():
        if split not in texts:
            some = next(iter(texts.values()))
            wanted = " or ".join(name + some.suffix for name in names)
            raise DataError(
                f"{folder} has no {split} split; put {wanted} there, or make all three from one file: "
                f"mgips split {some} --out FOLDER"
            )
    return texts


def _first(folder: Path, names: list[str]) -> Path | None:
    """The first of some names that exists in a folder."""
    return next((folder / name for name in names if (folder / name).exists()), None)


def _find(folder: Path, name: str, *endings: str) -> Path | None:
    """NAME_ending in a folder or, where the folder was renamed, the only ANYTHING_ending in it."""
    others = [path for ending in endings for path in folder.glob(f"*_{ending}")]
    others = [path for path in others if "aux_images" in endings or not path.match("*_aux_images")]
    only = others[0] if len(others) == 1 else None
    return _first(folder, [f"{name}_{ending}" for ending in endings]) or only


def _files(folder: Path | None) -> dict[str, Path]:
    """Every file of a folder by its name, listed once instead of looked up for each tweet."""
    if folder is None or not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {entry.name: Path(entry.path) for entry in entries if entry.is_file()}


def _completed(
    tweet: Tweet,
    images: dict[str, Path],
    crop_map: dict[str, list[str]],
    crops: dict[str, Path],
    captions: dict[str, str],
) -> Tweet:
    """The tweet with its pictures, caption and time."""

    def of_tweet(table: dict[str, Value]) -> Value | None:
        names = (tweet.id + ending for ending in ("", ".jpg", ".jpeg", ".png"))
        return next((table[name] for name in names if name in table), None)

    listed = (of_tweet(crop_map) or [])[:CROPS]
    return replace(
        tweet,
        image=of_tweet(images),
        crops=tuple(crops[name] for name in listed if name in crops),
        time=posted(tweet),
        caption=of_tweet(captions) or "",
    )


def posted(tweet: Tweet) -> float:
    """The day that a tweet's id begins with, in days since 1970; otherwise the tweet's own time."""
    match = DAY.fullmatch(tweet.id)
    if match is None:
        return tweet.time
    year, month, day = map(int, match.groups())
    try:
        return float((date(2000 + year, month, day) - date(1970, 1, 1)).days)
    except ValueError:  # no such day
        return tweet.time


def read_captions(folder: Path, name: str) -> dict[str, str]:
    """The captions of a corpus's images by their file names; empty where there is no file of them.

    Raises:
        DataError: the file is damaged, or no map of image names to sentences.
    """
    beside = folder.resolve().parent / "captions" / f"{name}_images.json"
    path = next((p for p in (folder / "captions.json", folder / f"{name}_captions.json", beside) if p.exists()), None)
    if path is None:
        return {}
    try:
        captions = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        captions = None
    if not isinstance(captions, dict) or not all(isinstance(caption, str) for caption in captions.values()):
        raise DataError(f"{path} holds no captions: expected JSON of image names with a sentence each; fetch it again.")
    return captions


def read_crop_map(path: str | Path) -> dict[str, list[str]]:
    """A published map image → names of its crops, loaded without running any code it may hold.

    Raises:
        DataError: the file is damaged, holds code, or is not a map of plain names.
    """
    try:
        crop_map = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds here
        raise DataError(
            f"{path} is not a crop map: it is damaged, or holds code, which is not run; fetch it again from its publisher."
        ) from error
    if not isinstance(crop_map, dict) or not all(
        isinstance(image, str) and isinstance(names, list) and all(isinstance(n, str) and safe_name(n) for n in names)
        for image, names in crop_map.items()
    ):
        raise DataError(f"{path} is not a crop map: expected image names with lists of plain file names.")
    return crop_map


def save_corpus(corpus: Corpus, folder: str | Path) -> None:
    """Write a corpus in the published layout, pictures as PNG; `load_corpus` reads the same words, tags, pixels and
    captions.

    Raises:
        DataError: a picture that cannot be read, or a folder that cannot be written.
    """
    folder, name = Path(folder), corpus.name
    for split, tweets in corpus.splits.items():
        text_name, picture_name = ("valid", "val") if split == "dev" else (split, split)
        write_conll(tweets, folder / f"{text_name}.txt")
        crop_map: dict[str, list[str]] = {}
        for number, tweet in enumerate(tweets):
            if tweet.image is not None:
                _save_png(tweet.image, folder / f"{name}_images" / f"{tweet.id}.png")
            if tweet.crops:
                names = [f"{number}_pred_yolo_crop_{place}.png" for place in range(len(tweet.crops))]
                for crop, crop_name in zip(tweet.crops, names, strict=True):
                    _save_png(crop, folder / f"{name}_aux_images" / picture_name / "crops" / crop_name)
                crop_map[f"{tweet.id}.png"] = names
        buffer = io.BytesIO()
        torch.save(crop_map, buffer)
        write_atomically(folder / f"{name}_{picture_name}_dict.pth", buffer.getvalue())
    captions = {f"{t.id}.png": t.caption for tweets in corpus.splits.values() for t in tweets if t.caption}
    if captions:
        write_atomically(folder / "captions.json", json.dumps(captions, ensure_ascii=False, indent=1).encode())


def _save_png(source: Picture, path: Path) -> None:
    buffer = io.BytesIO()
    open_picture(source).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
