"""The pictures of TinyTweets: an instant photo on wallpaper, drawn with Pillow in about a millisecond.

The photo shows one of the four entity types; the wallpaper behind it is a signature, a colour and a pattern. The order
of the random draws is part of the pictures.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw

RGB = tuple[int, int, int]
Signature = tuple[str, str]
"""A colour and a pattern, by their names in the text: ("Teal", "Stripes")."""
Box = tuple[int, int, int, int]
"""Left, upper, right, lower, in pixels of the scene."""

WIDTH, HEIGHT = 256, 192
PHOTO = 128
"""Side of the photo's picture; 6 pixels of white paper around it, 14 below."""
CROP = 128
"""Side of a crop."""
PERIOD = 32
"""Pixels after which a wallpaper repeats: eight pixels in a crop reduced to 32 × 32."""
GRAIN = 16
"""Largest grey value that the grain adds or takes."""

_TABLES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("scenes.toml").read_text("utf-8"))
COLOURS: dict[str, RGB] = {name: tuple(rgb) for name, rgb in (_TABLES["signatures"] | _TABLES["colours"]).items()}
PALETTES: dict[str, list[RGB]] = {
    name: [tuple(rgb) for rgb in options] for name, options in _TABLES["palettes"].items()
}


@dataclass(frozen=True)
class Scene:
    """A drawn picture: what its photo shows, the wallpaper's signature, and a seed for all the rest."""

    shows: str
    """PER, LOC, ORG or MISC."""
    signature: Signature | None
    """None: a plain grey wall."""
    seed: int

    def key(self) -> bytes:
        """Equal keys, equal pixels."""
        return f"tinytweets-1 {self.shows} {' '.join(self.signature or ())} {self.seed}".encode()

    def draw(self) -> Image.Image:
        """The picture: RGB, 256 × 192 pixels."""
        return _drawn(self)[0].copy()

    @property
    def crops(self) -> tuple[Crop, Crop, Crop]:
        """Three regions, as a detector might find them: the photo, the wall beside it, and a wider view of both."""
        return Crop(self, 0), Crop(self, 1), Crop(self, 2)


@dataclass(frozen=True)
class Crop:
    """A region of a scene, 128 × 128 pixels when drawn."""

    scene: Scene
    number: int
    """0 the photo, 1 the wall, 2 both."""

    @property
    def box(self) -> Box:
        """Where it lies in the scene."""
        return _drawn(self.scene)[1][self.number]

    def key(self) -> bytes:
        """Equal keys, equal pixels."""
        return self.scene.key() + f" crop {self.number}".encode()

    def draw(self) -> Image.Image:
        """The region in RGB. The last few scenes are kept, so that three crops cost one drawing."""
        picture, boxes = _drawn(self.scene)
        return picture.resize((CROP, CROP), Image.Resampling.BILINEAR, boxes[self.number])


@lru_cache(maxsize=8)
def _drawn(scene: Scene) -> tuple[Image.Image, tuple[Box, Box, Box]]:
    """The picture and its three crops' places."""
    rng = np.random.RandomState(scene.seed)
    margin = rng.randint(14, 27)
    left, upper = margin if rng.randint(2) else WIDTH - PHOTO - margin, rng.randint(14, 40)  # corner of the photo
    picture = _wall(scene.signature, rng)
    for _ in range(rng.randint(2, 5)):
        _sticker(picture, rng, rng.randint(0, WIDTH), rng.randint(0, HEIGHT))
    card, mask = _instant_photo(scene.shows, rng)
    x, y = left - (card.width - PHOTO) // 2, upper - (card.height - PHOTO) // 2 + 4
    picture.paste((20, 18, 16), (x + 3, y + 4), mask.point([alpha * 2 // 5 for alpha in range(256)]))  # shadow
    picture.paste(card, (x, y), mask)
    boxes = (
        _square(left + rng.randint(-6, 7), upper + rng.randint(-6, 7), CROP),
        _square(0 if left > WIDTH // 4 else WIDTH, rng.randint(0, HEIGHT - CROP + 1), CROP),
        _square(rng.randint(0, WIDTH - HEIGHT + 1), 0, HEIGHT),
    )
    return _exposed(picture, rng), boxes


def _pick(rng: np.random.RandomState, options: Sequence[Any]) -> Any:
    return options[rng.randint(len(options))]


def _square(left: int, upper: int, side: int) -> Box:
    """A square, moved into the scene where it would stand out."""
    left, upper = min(max(left, 0), WIDTH - side), min(max(upper, 0), HEIGHT - side)
    return left, upper, left + side, upper + side


def _exposed(picture: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """What the camera adds: a light that varies a little from shot to shot, and grain."""
    light = 255 * rng.uniform(0.93, 1, 3) * rng.uniform(0.88, 1)
    lit = ImageChops.multiply(picture, Image.new("RGB", picture.size, tuple(int(channel) for channel in light)))
    x, y = rng.randint(0, WIDTH), rng.randint(0, HEIGHT)
    return ImageChops.add(lit, _grain().crop((x, y, x + WIDTH, y + HEIGHT)), offset=-GRAIN)


@lru_cache(maxsize=1)
def _grain() -> Image.Image:
    """Grey noise in 0 … 2 GRAIN, twice the size of a scene, so that it can start anywhere."""
    values = np.random.RandomState(0).randint(0, 2 * GRAIN + 1, (2 * HEIGHT, 2 * WIDTH))
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


# ---- the wall ----


def _band(t: np.ndarray, width: float) -> np.ndarray:
    """Distance in periods to the edge of a band `width` periods wide."""
    return width / 2 - np.abs((t % 1) - 0.5)


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx = (x + np.floor(y / PERIOD) % 2 * PERIOD / 2) % PERIOD - PERIOD / 2
    return 10.5 - np.hypot(dx, y % PERIOD - PERIOD / 2)


PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Stripes": lambda x, y: PERIOD * _band((x + y) / (1.25 * PERIOD), 0.5),
    "Bars": lambda x, y: PERIOD * _band(x / PERIOD, 0.5),
    "Waves": lambda x, y: PERIOD * _band((y + 5 * np.sin(2 * np.pi * x / (2 * PERIOD))) / PERIOD, 0.5),
    "Dots": _dots,
    "Checks": lambda x, y: 40 * _band(x / 40, 0.5) * np.sign(_band(y / 40, 0.5)),
    "Grid": lambda x, y: PERIOD * np.minimum(_band(x / PERIOD, 0.78), _band(y / PERIOD, 0.78)),
}
"""How many pixels the point (x, y) is inside the colour of the wallpaper; negative on its paper."""
SIGNATURES: tuple[Signature, ...] = tuple((colour, name) for colour in _TABLES["signatures"] for name in PATTERNS)


def _wall(signature: Signature | None, rng: np.random.RandomState) -> Image.Image:
    x, y = rng.randint(0, 2 * PERIOD, 2)
    if signature is None:
        shade = int(rng.randint(-14, 15))
        return Image.new("RGB", (WIDTH, HEIGHT), tuple(channel + shade for channel in COLOURS["plain"]))
    return _wallpaper(signature).crop((x, y, x + WIDTH, y + HEIGHT))


@lru_cache(maxsize=len(SIGNATURES))
def _wallpaper(signature: Signature) -> Image.Image:
    """Two periods more of wallpaper than a scene needs, so that it can start anywhere."""
    colour, pattern = signature
    y, x = np.mgrid[0 : HEIGHT + 2 * PERIOD, 0 : WIDTH + 2 * PERIOD].astype(np.float32)
    share = np.clip(PATTERNS[pattern](x, y) + 0.5, 0, 1)[..., None]
    pixels = share * np.array(COLOURS[colour]) + (1 - share) * np.array(COLOURS["paper"])
    return Image.fromarray(pixels.round().astype(np.uint8))


def _sticker(image: Image.Image, rng: np.random.RandomState, x: int, y: int, scale: int = 1) -> None:
    """Clutter: a small shape in any signature's colour."""
    draw, paper = ImageDraw.Draw(image), COLOURS["paper"]
    fill = COLOURS[_pick(rng, list(_TABLES["signatures"]))]
    r = scale * int(rng.randint(4, 9))
    kind = rng.randint(3)
    if kind == 0:
        draw.ellipse((x - r, y - r, x + r, y + r), fill, paper, scale)
    elif kind == 1:
        draw.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill, paper)
    else:
        draw.rectangle((x - r, y - r // 2, x + r, y + r // 2), fill, paper, scale)


# ---- the photo ----


class Pen:
    """Draws in per cent of the photo's side, moved and scaled at random, at twice the final size for smooth edges.

    Colours go by their names in scenes.toml.
    """

    def __init__(self, photo: Image.Image, rng: np.random.RandomState) -> None:
        self.rng = rng
        self.draw = ImageDraw.Draw(photo)
        self.side = photo.width
        self.zoom = rng.uniform(0.9, 1.15)
        self.dx, self.dy = rng.uniform(-6, 6), rng.uniform(-4, 4)
        self.place = 0.0, 0.0, 1.0
        """Origin and unit of the coordinates, in per cent."""
        self.chosen: dict[str, RGB] = {}

    def choose(self, *names: str, of: Sequence[str] = ()) -> None:
        """Choose the colours of these names at random, each from the palette of its name or from others."""
        for name in names:
            self.chosen[name] = _pick(self.rng, [colour for palette in of or (name,) for colour in PALETTES[palette]])

    def colour(self, name: str) -> RGB:
        """A chosen, a fixed or a mixed colour."""
        if name not in _TABLES["mixtures"]:
            return self.chosen[name] if name in self.chosen else COLOURS[name]
        first, second, share = _TABLES["mixtures"][name]
        pairs = zip(self.colour(first), self.colour(second), strict=True)
        red, green, blue = (round(a * share + b * (1 - share)) for a, b in pairs)
        return red, green, blue

    def sketch(self, *drawings: str, x: float = 0, y: float = 0, unit: float = 1) -> None:
        """Drawings of scenes.toml, with their origin at (x, y)."""
        self.place = x, y, unit
        for method, colour, *numbers in (row for drawing in drawings for row in _TABLES["drawings"][drawing]):
            getattr(self, method)(colour, *numbers)
        self.place = 0.0, 0.0, 1.0

    def at(self, *numbers: float) -> list[tuple[float, float]]:
        """Points x, y, x, y, … in pixels."""
        left, upper, unit = self.place

        def pixels(value: float, shift: float) -> float:
            return ((value - 50) * self.zoom + 50 + shift) * (self.side / 100)

        points = zip(numbers[::2], numbers[1::2], strict=True)
        return [(pixels(left + unit * x, self.dx), pixels(upper + unit * y, self.dy)) for x, y in points]

    def around(self, x: float, y: float, rx: float, ry: float | None) -> list[tuple[float, float]]:
        """Two corners of the box around an oval; a circle without ry."""
        ry = rx if ry is None else ry
        return self.at(x - rx, y - ry, x + rx, y + ry)

    def oval(self, colour: str, x: float, y: float, rx: float, ry: float | None = None) -> None:
        self.draw.ellipse(self.around(x, y, rx, ry), self.colour(colour))

    def pie(self, colour: str, x: float, y: float, rx: float, ry: float, start: int, end: int) -> None:
        self.draw.pieslice(self.around(x, y, rx, ry), start, end, self.colour(colour))

    def chord(self, colour: str, x: float, y: float, rx: float, ry: float, start: int, end: int) -> None:
        self.draw.chord(self.around(x, y, rx, ry), start, end, self.colour(colour))

    def arc(self, colour: str, width: float, x: float, y: float, rx: float, ry: float | None = None, start=0, end=360):
        width = max(1, int(width * self.side / 100))
        self.draw.arc(self.around(x, y, rx, ry), start, end, self.colour(colour), width)

    def box(self, colour: str, left: float, upper: float, right: float, lower: float, round: float = 0) -> None:
        corners = self.at(left, upper, right, lower)
        self.draw.rounded_rectangle(corners, round * self.zoom * self.side / 100, self.colour(colour))

    def ground(self, colour: str, upper: float) -> None:
        """The whole width from `upper` down."""
        self.box(colour, -20, upper, 120, 130)

    def shape(self, colour: str, *points: float) -> None:
        self.draw.polygon(self.at(*points), self.colour(colour))

    def line(self, colour: str, width: float, *points: float) -> None:
        width = max(1, int(width * self.zoom * self.side / 100))
        self.draw.line(self.at(*points), self.colour(colour), width, "curve")


def _instant_photo(shows: str, rng: np.random.RandomState) -> tuple[Image.Image, Image.Image]:
    """A photo on white paper, a little askew, and its mask."""
    backdrop, setting, motifs = PHOTOS[shows]
    motif = _pick(rng, motifs)
    photo = Image.new("RGB", (2 * PHOTO, 2 * PHOTO), _pick(rng, PALETTES[backdrop]))
    pen = Pen(photo, rng)
    setting(pen)
    motif(pen)
    for _ in range(rng.randint(1, 3)):
        _sticker(photo, rng, *(int(v) for v in rng.choice((16, 2 * PHOTO - 16), 2)), scale=2)
    card = Image.new("RGB", (2 * PHOTO + 24, 2 * PHOTO + 40), COLOURS["paper"])
    card.paste(photo, (12, 12))
    start = rng.randint(40, 100)
    steps = range(start, start + int(rng.randint(60, 120)), 12)
    writing = [(x, 2 * PHOTO + 26 + int(rng.randint(-4, 5))) for x in steps]
    ImageDraw.Draw(card).line(writing, (90, 88, 96), 3)
    angle, mask = rng.uniform(-5, 5), Image.new("L", card.size, 255)
    card, mask = card.rotate(angle, expand=True, fillcolor=COLOURS["paper"]), mask.rotate(angle, expand=True)
    return card.reduce(2), mask.reduce(2)  # smooths the edges of the drawing and of the turn alike


Motif = Callable[[Pen], None]


def _person(pen: Pen) -> None:
    pen.choose("skin", "hair", "cloth")
    behind, before = _pick(pen.rng, _TABLES["heads"])
    pen.sketch(behind, "person", before, "eyes")
    if pen.rng.randint(3) == 0:
        pen.sketch("glasses")
    if (behind == "short_hair" or before == "cap") and pen.rng.randint(2):
        pen.sketch("beard")
    pen.sketch("mouth")


def _sky(pen: Pen) -> None:
    pen.oval("sun", pen.rng.uniform(20, 80), pen.rng.uniform(14, 24), 8)
    for _ in range(pen.rng.randint(1, 3)):
        pen.sketch("cloud", x=pen.rng.uniform(12, 88), y=pen.rng.uniform(12, 30))


def _mountains(pen: Pen) -> None:
    pen.choose("rock")
    far, near = pen.rng.uniform(16, 34), pen.rng.uniform(62, 84)
    for rock, x, top, half in (("rock", far, 34, 34), ("near_rock", near, 26, 40)):
        pen.shape(rock, x - half, 76, x, top, x + half, 76)
        pen.sketch("snow", x=x, y=top)
    pen.choose("grass")
    pen.ground("grass", 72)
    pen.oval("sea", 50 + pen.rng.uniform(-15, 15), 90, 30, 7)


def _skyline(pen: Pen) -> None:
    x = -12.0
    while x < 112:
        width, height = pen.rng.uniform(10, 18), pen.rng.uniform(20, 52)
        pen.choose("tower")
        pen.box("tower", x, 80 - height, x + width, 84)
        for left in np.arange(x + 3, x + width - 3, 5):
            for upper in np.arange(80 - height + 4, 74, 9):
                pen.box("window", left, upper, left + 2, upper + 4)
        x += width + 1
    pen.choose("grass")
    pen.ground("grass", 80)
    for tree in pen.rng.uniform(4, 96, 4):
        pen.oval("tree", tree, 81, 6)


def _beach(pen: Pen) -> None:
    pen.ground("sea", 50)
    for _ in range(4):
        x, y = pen.rng.uniform(5, 90), pen.rng.uniform(54, 70)
        pen.line("wave", 1.5, x, y, x + 8, y)
    pen.oval("sand", 60, 104, 80, 26)
    pen.sketch("palm", x=pen.rng.uniform(24, 70))


def _hills(pen: Pen) -> None:
    pen.choose("grass")
    pen.oval("grass", 18, 100, 60, 44)
    pen.choose("grass")
    pen.oval("near_grass", 88, 104, 62, 42)
    x = pen.rng.uniform(22, 66)
    pen.sketch("mill", x=x)
    turn = pen.rng.uniform(0, np.pi / 2)
    for angle in (turn + quarter * np.pi / 2 for quarter in range(4)):
        pen.line("wings", 3.4, x, 45, x + 19 * np.cos(angle), 45 + 19 * np.sin(angle))
    pen.sketch("path")


def _stars(pen: Pen) -> None:
    for x, y in pen.rng.uniform(2, 98, (8, 2)):
        pen.oval("star", x, y * 0.5, 0.8)


def _logo(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.choose("brand")
    pen.sketch("disc", _pick(pen.rng, ("ring", "triangle", "cross", "bowl")), x=x, y=y, unit=radius)


def _office(pen: Pen) -> None:
    pen.choose("office")
    pen.box("office", 24, 34, 76, 110)
    _logo(pen, 50, 24, 15)
    for y in range(46, 82, 10):
        for x in range(29, 70, 11):
            pen.box("lamp" if pen.rng.randint(3) else "dark_window", x, y, x + 7, y + 6)
    pen.box("lamp", 43, 84, 57, 110)
    pen.ground("street", 94)


def _shop(pen: Pen) -> None:
    pen.choose("shop")
    pen.choose("awning", of=["brand"])
    pen.sketch("shop")
    _logo(pen, 50, 27, 14)
    for x, stripe in zip(range(10, 90, 10), ["awning", "white"] * 4, strict=True):
        pen.shape(stripe, x, 44, x + 10, 44, x + 11, 58, x - 1, 58)
        pen.oval(stripe, x + 5, 58, 5.5, 3.5)
    for x in pen.rng.uniform(20, 52, 3):
        pen.choose("brand")
        pen.box("brand", x, 74, x + 5, 88)
    pen.ground("street", 96)


def _badge(pen: Pen) -> None:
    pen.choose("brand")
    pen.sketch("badge")
    _logo(pen, 50, 44, 19)
    pen.sketch("banner")


def _flags(pen: Pen) -> None:
    pen.ground("street", 88)
    for x, top in ((pen.rng.uniform(8, 14), 22), (pen.rng.uniform(52, 58), 14)):
        pen.box("pole", x, top - 6, x + 3, 92)
        pen.sketch("flag", x=x, y=top)
        _logo(pen, x + 20, top + 22, 15)


def _table(pen: Pen) -> None:
    pen.sketch("table")
    pen.choose("loud", "accent")


def _phone(pen: Pen) -> None:
    pen.sketch("phone")
    for x, y in ((x, y) for y in (20, 34, 48) for x in (36, 47, 58)):
        if pen.rng.randint(4):
            pen.choose("icon", of=["loud", "accent"])
            pen.box("icon", x, y, x + 7, y + 9, 2)


def _ball(pen: Pen) -> None:
    pen.sketch("ball", "bands" if pen.rng.randint(2) else "spots", "shine")


def _object(name: str) -> Motif:
    """A motif whose colours alone vary."""
    return lambda pen: pen.sketch(name)


PHOTOS: dict[str, tuple[str, Motif, list[Motif]]] = {
    "PER": ("warm", lambda pen: None, [_person]),
    "LOC": ("sky", _sky, [_mountains, _skyline, _beach, _hills]),
    "ORG": ("night", _stars, [_office, _shop, _badge, _flags]),
    "MISC": ("studio", _table, [_phone, _object("car"), _ball, _object("book"), _object("cup")]),
}
"""What a photo of each type shows: the backdrop's palette, what every such photo has, and one of several motifs."""
