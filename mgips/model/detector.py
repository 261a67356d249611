"""Boxes for the crops of one's own photos, by a zero-shot detector: OWLv2 or Grounding DINO.

The published crops of the Twitter corpora come from a visual-grounding model of 2019 by two recipes, which differ in what
they look for in a photo:

    umgf      the names of the entity types, the same in every photo (UMGF: Zhang et al., AAAI 2021)
    hvpnet    the noun phrases of the post (HVPNeT: Chen et al., NAACL 2022 Findings)

Each phrase gives at most one box, its best, where the detector is more confident than a threshold. The first three boxes
are the crops; the whole photo stands in for missing ones (§3.1.2). Departures from 2019: the detector; a threshold (that
model gave a box for every phrase, and the photo where the box was empty); UMGF's four boxes become the three with the
highest scores, since this model reads three crops; HVPNeT's noun phrases come from TextBlob, whose tagger lies in its
package, and not from NLTK's parser, whose tagger is a download of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm
from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor
from transformers.utils import logging

from mgips.data.boxes import Box, BoxFile, PostBoxes, text_of
from mgips.data.corpus import Cropped, Tweet
from mgips.data.crops import CROPS
from mgips.data.pictures import open_picture
from mgips.errors import ConfigError, DataError, said_by
from mgips.tags import TYPES
from mgips.version import __version__

DETECTOR = "google/owlv2-base-patch16-ensemble"
"""The detector by default."""
THRESHOLDS = {"owlv2": 0.1, "grounding-dino": 0.25}
"""The kinds of detector, each with the confidence from which its authors keep a box."""
BATCH = 8
"""Photos at a time by default."""
MOST_SIDE = 2000
"""A larger photo is made smaller before the detector's own preprocessing, whose memory grows with the longer side."""
MOST_OBLONG, LEAST_SIDE = 20, 16
"""A photo is padded where one side is more than so many times as long as the other, of which preprocessing would leave
no pixel; or where a side is shorter than so many pixels, which preprocessing may take for the colours."""

Preset = Literal["umgf", "hvpnet"]
TYPE_WORDS = {"LOC": "location", "ORG": "organization", "PER": "person", "MISC": "miscellaneous"}
"""What UMGF looked for, in its order: `my_grounding.py` of TransformersWsz/onestage_grounding."""
SKIPPED = {"RT", "rt"}
"""What Twitter puts before a repeated post; taggers take it for a noun."""
INSTALL = "pip install 'mgips[crops]'"


# ---- what is looked for ----


@dataclass(frozen=True)
class Recipe:
    """How boxes are found: the first line of a file of boxes."""

    preset: Preset
    detector: str
    """Hub name or folder."""
    threshold: float
    """The confidence from which a box is kept."""
    phrases: tuple[str, ...] = ()
    """What is looked for in every photo; empty where it is the post's noun phrases."""
    nouns: str = ""
    """What finds the noun phrases: a library and its version."""
    mgips: str = __version__

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"The threshold is {self.threshold:g}; give one from 0 to less than 1.")

    def phrases_of(self, words: Sequence[str]) -> list[str]:
        """What to look for in the photo of a post with these words."""
        return list(self.phrases) or noun_phrases(words)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def make_recipe(
    preset: Preset, detector: Detector, types: Sequence[str] = TYPES, threshold: float | None = None
) -> Recipe:
    """One of the two recipes, for a detector.

    Args:
        types: the corpus's entity types. UMGF's words stand for PER, LOC, ORG and MISC; another type is looked for by
            its own name, lower-cased, with a space for each of - _ /.
        threshold: the confidence from which a box is kept; by default what the detector's authors use.

    Raises:
        ConfigError: no such recipe or threshold, or the library for noun phrases is not installed.
    """
    if preset not in ("umgf", "hvpnet"):
        raise ConfigError(f"There is no recipe {preset!r}; the recipes are umgf and hvpnet.")
    threshold = detector.threshold if threshold is None else threshold
    if preset == "umgf":
        return Recipe(preset, detector.name, threshold, phrases=type_words(types))
    noun_phrases(["photo"])  # is the library there?
    return Recipe(preset, detector.name, threshold, nouns=f"textblob {importlib.metadata.version('textblob')}")


def type_words(types: Sequence[str]) -> tuple[str, ...]:
    """Entity types as words to look for, UMGF's first and in its order.

    >>> type_words(["PER", "creative-work", "LOC"])
    ('location', 'person', 'creative work')
    """
    words = [word for kind, word in TYPE_WORDS.items() if kind in types]
    return (*words, *(re.sub("[-_/]+", " ", kind).strip().lower() for kind in types if kind not in TYPE_WORDS))


def noun_phrases(words: Sequence[str]) -> list[str]:
    """The noun phrases of a post, in its order and each once: TextBlob's noun chunks that hold a noun.

    Links, retweet marks and what has no letter are left out.

    Raises:
        ConfigError: TextBlob is not installed.
    """
    try:
        from textblob.en import parse
    except ImportError:
        raise ConfigError(f"Noun phrases need TextBlob: {INSTALL}; the recipe umgf does without.") from None
    kept = [word for word in words if not word.isspace() and word not in SKIPPED and "://" not in word]
    text = " ".join("".join(word.split()) for word in kept)
    phrases: list[list[tuple[str, str]]] = [[]]
    sentences: Any = parse(text, tokenize=False, collapse=False)
    for sentence in sentences:
        for token, tag, chunk, *_ in sentence:
            inside = chunk.endswith("-NP") and any(letter.isalpha() for letter in token)
            if not inside or chunk.startswith("B"):
                phrases.append([])
            if inside:
                phrases[-1].append((token, tag))
    found: dict[str, str] = {}
    for phrase in phrases:
        if any(tag.startswith("NN") for _, tag in phrase):
            text = " ".join(token for token, _ in phrase)
            found.setdefault(text.lower(), text)
    return list(found.values())


# ---- looking ----


@dataclass(frozen=True)
class Detector:
    """A zero-shot detector, in evaluation mode. `load_detector` gives one."""

    name: str
    """Hub name or folder."""
    kind: str
    """A key of THRESHOLDS."""
    model: Any
    processor: Any

    @property
    def threshold(self) -> float:
        """The confidence from which its authors keep a box."""
        return THRESHOLDS[self.kind]

    @property
    def most_pieces(self) -> int:
        """Word pieces of the longest text that it reads, with those that every text has at its ends."""
        config = self.model.config
        reach = config.text_config.max_position_embeddings
        return reach if self.kind == "owlv2" else min(reach, config.max_text_len)


def load_detector(name: str | Path = DETECTOR, device: str | None = None) -> Detector:
    """OWLv2 or Grounding DINO, by a hub name or from a folder in Hugging Face's format.

    Args:
        device: where to compute; a GPU by default, where there is one.

    Raises:
        ConfigError: not there, of another kind, or a checkpoint that would leave weights at random.
    """
    name = str(name)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # missing weights are refused below
    try:
        kind = AutoConfig.from_pretrained(name).model_type
        if kind not in THRESHOLDS:
            raise ConfigError(f"The detector {name!r} is of kind {kind!r}; give one of kind {' or '.join(THRESHOLDS)}.")
        processor = AutoProcessor.from_pretrained(name)
        model, info = AutoModelForZeroShotObjectDetection.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        raise ConfigError(
            f"The detector {name!r} could not be loaded ({said_by(error)}); give a folder in Hugging Face's format, or the name "
            f"of a model on the hub, as {DETECTOR} (the first use needs a connection)."
        ) from error
    finally:
        logging.set_verbosity(level)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ConfigError(
            f"The detector {name!r} lacks {len(missing)} weights ({missing[0]}, …): not a checkpoint of this kind."
        )
    return Detector(name, kind, model.to(device).eval(), processor)


def detect(
    detector: Detector,
    photos: Sequence[Image.Image],
    phrases: Sequence[Sequence[str]],
    threshold: float | None = None,
    batch_size: int = BATCH,
) -> list[list[Box]]:
    """The best box of each phrase in each photo.

    The library's own post-processing gives a box to a single phrase, the one that fits it best; a phrase that comes
    second everywhere would have none. Here each phrase has its own best box: the highest score among the boxes that
    have a pixel in the photo. The score is the sigmoid of the phrase's logit (OWLv2), or the highest among those of its
    word pieces (Grounding DINO). Photos that preprocessing makes equally large share a batch, so that none is padded
    and a photo's boxes do not depend on its neighbours.

    Args:
        photos: upright, in RGB.
        phrases: what to look for in each photo. A phrase is cut where it is longer than the detector reads; where all
            of them together are (Grounding DINO reads them as one text), they are looked for one part after another.
        threshold: a box is kept where its score is higher; by default what the detector's authors use.
        batch_size: photos at a time.

    Returns:
        For each photo the boxes found, in the order of its phrases: whole pixels, the smallest that hold the box,
        clamped to the photo.

    Raises:
        ConfigError: a package is missing that the detector's preprocessing needs.
    """
    threshold = detector.threshold if threshold is None else threshold
    jobs = [(place, part) for place, asked in enumerate(phrases) for part in _parts(detector, asked)]
    found: list[list[Box]] = [[] for _ in photos]
    for start in range(0, len(jobs), batch_size):
        batch = jobs[start : start + batch_size]
        views = {place: _view(detector, photos[place]) for place, _ in batch}
        shapes = {views[place][0].shape for place, _ in batch}
        boxes_of_job: dict[int, list[Box]] = {}
        for shape in shapes:
            group = [i for i, (place, _) in enumerate(batch) if views[place][0].shape == shape]
            pixels = torch.stack([views[batch[i][0]][0] for i in group])  # (B, 3, h, w)
            scores, boxes = _look(detector, pixels, [batch[i][1] for i in group])
            for row, i in enumerate(group):
                place, part = batch[i]
                boxes_of_job[i] = _best(photos[place].size, views[place][1], part, scores[row], boxes[row], threshold)
        for i, (place, _) in enumerate(batch):
            found[place] += boxes_of_job[i]
    return found


def _parts(detector: Detector, phrases: Sequence[str]) -> list[list[str]]:
    """Phrases as the detector reads them, in lists that are short enough for it."""
    tokenizer, parts, room = detector.processor.tokenizer, [], 0
    for phrase in phrases:
        if detector.kind == "grounding-dino":  # a full stop or a question mark ends a phrase
            phrase = phrase.replace(".", " ").replace("?", " ")
        phrase = " ".join(phrase.split())
        pieces = tokenizer(phrase, add_special_tokens=False, return_offsets_mapping=True)
        ends = [end for _, end in pieces["offset_mapping"]]
        if not ends:
            continue
        if detector.kind == "owlv2":  # each phrase is a text of its own, cut by its tokenizer
            parts = parts or [[]]
            parts[0].append(phrase)
            continue
        most = detector.most_pieces - 2  # without [CLS] and [SEP]
        length = min(len(ends) + 1, most)  # with the full stop behind it
        if length > room:
            parts.append([])
            room = most
        parts[-1].append(phrase[: ends[length - 2]])
        room -= length
    return parts


def _view(detector: Detector, photo: Image.Image) -> tuple[Tensor, tuple[float, float]]:
    """A photo as the detector reads it, (3, h, w), and the size in the photo's pixels of what that shows."""
    view = photo
    if max(view.size) > MOST_SIDE:
        view = view.copy()
        view.thumbnail((MOST_SIDE, MOST_SIDE))
    scale = max(photo.size) / max(view.size)
    least = max(LEAST_SIDE, math.ceil(max(view.size) / MOST_OBLONG))
    if min(view.size) < least:
        padded = Image.new("RGB", (max(view.width, least), max(view.height, least)))
        padded.paste(view)
        view = padded
    try:
        pixels = detector.processor.image_processor(images=view, return_tensors="pt")["pixel_values"][0]
    except ImportError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"The detector {detector.name!r} needs a package that is missing ({reason}): {INSTALL}."
        ) from error
    width, height = view.width * scale, view.height * scale
    if detector.kind == "owlv2":  # whose preprocessing pads a photo to a square
        width = height = max(width, height)
    return pixels, (width, height)


@torch.no_grad()
def _look(detector: Detector, pixels: Tensor, phrases: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
    """The detector's score for each of its Q boxes and each of at most P phrases, (B, Q, P), and the boxes, (B, Q, 4),
    as centre, width and height relative to what the pixels show. pixels: (B, 3, h, w)."""
    tokenizer, device = detector.processor.tokenizer, detector.model.device
    most = max(len(asked) for asked in phrases)
    if detector.kind == "owlv2":
        texts = [phrase for asked in phrases for phrase in (*asked, *[""] * (most - len(asked)))]
        options = {"padding": "max_length", "truncation": True, "max_length": detector.most_pieces}
        pieces = tokenizer(texts, return_tensors="pt", **options).to(device)  # (B * P, n)
        output = detector.model(
            input_ids=pieces["input_ids"], attention_mask=pieces["attention_mask"], pixel_values=pixels.to(device)
        )
        return output.logits.sigmoid().cpu(), output.pred_boxes.cpu()
    texts, places = [], []
    for asked in phrases:
        text, spans = "", []
        for phrase in asked:
            spans.append((len(text), len(text) + len(phrase)))
            text += f"{phrase}. "
        texts.append(text.strip())
        places.append(spans)
    pieces = tokenizer(
        texts, padding=True, return_offsets_mapping=True, return_token_type_ids=True, return_tensors="pt"
    )
    starts, ends = pieces.pop("offset_mapping").unbind(-1)  # (B, n), in characters
    output = detector.model(pixel_values=pixels.to(device), **pieces.to(device))
    of_piece = output.logits[..., : starts.shape[1]].sigmoid().cpu()  # (B, Q, n)
    scores = torch.zeros(*of_piece.shape[:2], most)
    for row, spans in enumerate(places):
        for column, (first, last) in enumerate(spans):
            inside = (starts[row] >= first) & (ends[row] <= last) & (starts[row] < ends[row])  # [CLS] and padding: 0, 0
            if inside.any():
                scores[row, :, column] = of_piece[row][:, inside].amax(-1)
    return scores, output.pred_boxes.cpu()


def _best(
    size: tuple[int, int],
    shown: tuple[float, float],
    phrases: Sequence[str],
    scores: Tensor,
    boxes: Tensor,
    threshold: float,
) -> list[Box]:
    """The best box of each phrase in one photo. scores: (Q, P); boxes: (Q, 4)."""
    centre, extent = boxes.double().split(2, -1)
    corners = torch.cat([centre - extent / 2, centre + extent / 2], -1) * torch.tensor(shown * 2)
    # Whole pixels: outwards, but for rounding errors of single precision.
    corners = torch.cat([(corners[:, :2] + 1e-3).floor(), (corners[:, 2:] - 1e-3).ceil()], -1)
    corners = corners.clamp(min=0).minimum(torch.tensor(size * 2))
    scores = scores.where(((corners[:, 2:] - corners[:, :2]) >= 1).all(-1, keepdim=True), 0)
    found = []
    for column, phrase in enumerate(phrases):
        score, place = scores[:, column].max(0)
        if score > threshold:
            left, upper, right, lower = (int(edge) for edge in corners[place])
            found.append(Box((left, upper, right, lower), round(score.item(), 4), phrase))
    return found


# ---- crops of posts ----


def cropped(tweets: Sequence[Tweet], detector: Detector, recipe: Recipe, batch_size: int = BATCH) -> list[Tweet]:
    """Tweets with up to three crops of their photo, where they have one and no crops. A photo that cannot be read is left
    as it is."""
    photos: dict[int, Image.Image] = {}
    for place, tweet in enumerate(tweets):
        if tweet.image is not None and not tweet.crops:
            with contextlib.suppress(DataError):
                photos[place] = open_picture(tweet.image)
    asked = [recipe.phrases_of(tweets[place].words) for place in photos]
    found = detect(detector, list(photos.values()), asked, recipe.threshold, batch_size)
    made = list(tweets)
    for place, boxes in zip(photos, found, strict=True):
        source: Any = tweets[place].image
        crops = tuple(Cropped(source, box.box) for box in in_use(boxes, recipe)[:CROPS])
        made[place] = dataclasses.replace(tweets[place], crops=crops)
    return made


def in_use(boxes: Sequence[Box], recipe: Recipe) -> list[Box]:
    """The boxes of one photo in the order in which they become crops: HVPNeT's as in the text, UMGF's by their score."""
    if recipe.preset == "hvpnet":
        return list(boxes)
    return sorted(boxes, key=lambda box: -(box.score or 0))


def find_boxes(
    tweets: Sequence[Tweet],
    detector: Detector,
    recipe: Recipe,
    batch_size: int = BATCH,
    done: BoxFile | None = None,
    progress: bool = True,
) -> Iterator[PostBoxes]:
    """The boxes of each tweet whose photo is a file, in order; a photo that cannot be read gives a line with its fault.

    Args:
        tweets: tweets with equal id and photo are looked at once, or once a text where the recipe reads the text.
        batch_size: photos at a time.
        done: a file of boxes; what it has is left out, but for photos that could not be read then.
        progress: show a bar with the time that is left.

    Raises:
        ConfigError: see `detect`.
    """
    jobs: dict[Any, tuple[PostBoxes, Tweet]] = {}
    for tweet in tweets:
        if isinstance(tweet.image, str | Path):
            post = PostBoxes(tweet.id, Path(tweet.image).name, text=None if recipe.phrases else text_of(tweet))
            before = done.posts.get(post.key) if done else None
            if before is None or before.fault:
                jobs.setdefault(post.key, (post, tweet))
    todo = list(jobs.values())
    with tqdm(total=len(todo), desc="finding boxes", unit="photo", disable=not progress) as bar:
        for start in range(0, len(todo), batch_size):
            batch = todo[start : start + batch_size]
            photos: dict[int, Image.Image] = {}
            posts = [post for post, _ in batch]
            for place, (post, tweet) in enumerate(batch):
                assert tweet.image is not None
                try:
                    photos[place] = open_picture(tweet.image)
                    posts[place] = dataclasses.replace(post, size=photos[place].size)
                except DataError as error:
                    posts[place] = dataclasses.replace(post, fault=str(error))
            asked = [recipe.phrases_of(batch[place][1].words) for place in photos]
            boxes = detect(detector, list(photos.values()), asked, recipe.threshold, batch_size)
            for place, found in zip(photos, boxes, strict=True):
                posts[place] = dataclasses.replace(posts[place], boxes=tuple(in_use(found, recipe)))
            yield from posts
            bar.update(len(batch))
