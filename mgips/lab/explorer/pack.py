"""Models and posts as the files that a page computes with, and the engine's modules as one script."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from safetensors.torch import save

from mgips.config import RANDOM, ModelConfig
from mgips.data.corpus import Tweet
from mgips.data.crops import CROPS, crop_cache
from mgips.data.pictures import picture_of
from mgips.data.tinytweets.truth import Truth
from mgips.errors import ConfigError, DataError
from mgips.files import write_atomically
from mgips.model.mgips import MGIPS
from mgips.model.shipped import load

MOST = 3
"""Models that a page compares."""
DISPLAY = (128, 96)
"""Width and height of a post's picture on the page."""
QUALITY = 80
"""Of these, as WebP."""
SHEET = 16_383
"""Width and height of a WebP file at most."""
ONLY: dict[str, tuple[Any, str]] = {
    "text_encoder": (RANDOM, "the explorer computes text encoders from a random start"),
    "image_encoder": (RANDOM, "the explorer computes image encoders from a random start"),
    "bilstm": (False, "the explorer has no BiLSTM"),
}
"""Settings that the engine does not compute with another value, and why; the same as in model.js."""


@dataclass(frozen=True)
class Pack:
    """What a page needs, file by file."""

    files: dict[str, bytes]
    """Their content by name: posts.json, pictures.webp, crops-SIDE.webp, and NAME/config.json, NAME/tokenizer.json and
    NAME/model.safetensors of each model."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    def write(self, folder: str | Path) -> None:
        """Write the files.

        Raises:
            DataError: the folder cannot be written.
        """
        for name, content in self.files.items():
            write_atomically(Path(folder) / name, content)


def check(config: ModelConfig) -> None:
    """Refuse a model that the engine would compute otherwise than the package.

    Raises:
        ConfigError: naming the setting.
    """
    for name, (only, why) in ONLY.items():
        value = getattr(config, name)
        if value != only and (name != "image_encoder" or config.images):
            raise ConfigError(
                f"This model has {name} {json.dumps(value)}, and {why}; open one with {name} {json.dumps(only)}."
            )


def pack(models: Mapping[str, MGIPS | str | Path], posts: Sequence[Tweet], half: bool = True) -> Pack:
    """One to three models and some posts as a page's files; the same bytes each time.

    Args:
        models: by the names that the page shows: a model, a run folder, a saved model's folder, or a model of the package.
        posts: labelled or not. Their pictures are decoded to crops without loss, and reduced for the page.
        half: weights in float16, which halves their bytes; the models of the package have no others.

    Raises:
        ConfigError: no model or more than MOST, a name that cannot be a folder's, or a model that the engine refuses.
        DataError: no posts, or more than fit in one sheet of pictures.
        RunError: no model there.
    """
    if not 1 <= len(models) <= MOST:
        raise ConfigError(f"There are {len(models)} models; a page compares 1 to {MOST}.")
    if not posts:
        raise DataError("There are no posts; give the page some.")
    files: dict[str, bytes] = {}
    sides: set[int] = set()
    for name, place in models.items():
        if not re.fullmatch(r"[\w][\w .+-]*", name):
            raise ConfigError(f"A model is named {name!r}; use letters, digits, blanks and - . + only.")
        model = place if isinstance(place, MGIPS) else load(place)
        check(model.config)
        files |= {f"{name}/{file}": content for file, content in saved(model, half).items()}
        sides |= {model.config.crop_size} if model.config.images else set()
    pictures = [np.asarray(ImageOps.pad(picture_of(post), DISPLAY, color="white")) for post in posts]
    files["pictures.webp"] = sheet(np.stack(pictures), lossless=False, quality=QUALITY)
    there = [post.image is not None for post in posts]
    for side in sorted(sides):
        crops = crop_cache(posts, size=side, progress=False, keep=False)
        there = crops.has_image.tolist()
        files[f"crops-{side}.webp"] = sheet(crops[:].reshape(-1, side, side, 3), lossless=True, quality=75)
    about = {
        "models": list(models),
        "pictures": {"file": "pictures.webp", "width": DISPLAY[0], "height": DISPLAY[1]},
        "crops": {str(side): f"crops-{side}.webp" for side in sorted(sides)},
        "crops_per_post": CROPS,
        "posts": [described(post, real) for post, real in zip(posts, there, strict=True)],
    }
    files["posts.json"] = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
    return Pack(files)


def saved(model: MGIPS, half: bool = True) -> dict[str, bytes]:
    """A model's config.json, tokenizer.json and model.safetensors, as a saved model has them."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_description(Path(folder))
        files = {name: Path(folder, name).read_bytes() for name in ("config.json", "tokenizer.json")}
    weights = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    # A weight that float16 cannot hold stays as it is.
    rounded = {name: x.half() if half and x.half().isfinite().all() else x.float() for name, x in weights.items()}
    return {**files, "model.safetensors": save(rounded)}  # metadata would come in another order each time


def described(post: Tweet, pictured: bool) -> dict[str, Any]:
    """A post as the page reads it; what is unknown is left out."""
    truth = dataclasses.asdict(post.truth) if isinstance(post.truth, Truth) else None
    known = {
        "id": post.id,
        "words": post.words,
        "tags": post.tags,
        "time": None if math.isnan(post.time) else post.time,
        "group": post.group,
        "caption": post.caption,
        "truth": truth,
    }
    return {**{name: value for name, value in known.items() if value or value == 0.0}, "pictured": pictured}


def sheet(tiles: np.ndarray, lossless: bool, quality: int) -> bytes:
    """Pictures side by side as one WebP file, which is smaller than one file each: from left to right, then down.

    Args:
        tiles: (N, height, width, 3) uint8.

    Raises:
        DataError: more than fit in WebP's width and height.
    """
    count, height, width, _ = tiles.shape
    across = math.ceil(math.sqrt(count * height / width))  # a square
    down = math.ceil(count / across)
    if across * width > SHEET or down * height > SHEET:
        raise DataError(f"{count:,} pictures of {width} × {height} pixels do not fit in one sheet; take fewer posts.")
    filled = np.zeros((across * down, height, width, 3), np.uint8)
    filled[:count] = tiles
    whole = filled.reshape(down, across, height, width, 3).transpose(0, 2, 1, 3, 4)
    picture = Image.fromarray(np.ascontiguousarray(whole.reshape(down * height, across * width, 3)))
    file = BytesIO()
    picture.save(file, "WEBP", lossless=lossless, quality=quality, method=6)
    return file.getvalue()


IMPORT = re.compile(r"^import (?:\* as (?P<whole>\w+)|(?P<some>\{.*?\})) from \"\./(?P<module>\w+)\.js\";$", re.M)
EXPORT = re.compile(r"^export (?:async )?(?:function|class|const) (?P<name>\w+)", re.M)
AGAIN = re.compile(r"^export (?P<names>\{.*?\});$", re.M)


def script(module: str = "explorer") -> str:
    """A module and all that it imports as one script without imports, for a page without a server and for a worker made
    from text.

    Args:
        module: "explorer", which exports load, run, pool and gallery; or "worker".
    """
    parts: list[str] = []
    done: set[str] = set()

    def take(name: str) -> None:
        if name in done:
            return
        done.add(name)
        text = (Path(__file__).parent / f"{name}.js").read_text(encoding="utf-8")
        for found in IMPORT.finditer(text):
            take(found["module"])
        exported = [found["name"] for found in EXPORT.finditer(text)]
        exported += [each.strip() for found in AGAIN.finditer(text) for each in found["names"].strip("{}").split(",")]
        text = IMPORT.sub(lambda found: f"const {found['whole'] or found['some']} = modules.{found['module']};", text)
        text = re.sub(r"^export (?=async |function|class|const)", "", AGAIN.sub("", text), flags=re.M)
        parts.append(f"modules.{name} = (() => {{\n{text}\nreturn {{ {', '.join(exported)} }};\n}})();\n")

    take(module)
    end = "export const { load, run, pool, gallery, Refused } = modules.explorer;\n" if module == "explorer" else ""
    return "const modules = {};\n" + "".join(parts) + end
