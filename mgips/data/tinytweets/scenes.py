"""The pictures of TinyTweets: an instant photo on wallpaper, drawn with Pillow in about a millisecond.

The photo shows one of the four entity types; the wallpaper behind it is a signature, a colour and a pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from mgips.data.corpus import TYPES

RGB = tuple[int, int, int]
Signature = tuple[str, str]
"""A colour and a pattern, by their names in the text: ("Teal", "Stripes")."""

# Okabe and Ito's palette, which people with any kind of colour vision can tell apart.
COLOURS: dict[str, RGB] = {
    "Amber": (232, 158, 0),
    "Sky": (92, 184, 238),
    "Teal": (0, 152, 120),
    "Lemon": (246, 222, 30),
    "Cobalt": (0, 90, 186),
    "Rust": (206, 78, 0),
    "Rose": (214, 122, 176),
    "Ink": (48, 48, 58),
}
PATTERNS = ("Stripes", "Bars", "Waves", "Dots", "Checks", "Grid")
SIGNATURES: tuple[Signature, ...] = tuple((colour, pattern) for colour in COLOURS for pattern in PATTERNS)

WIDTH, HEIGHT = 256, 192
PERIOD = 32
"""Pixels after which a wallpaper repeats: eight pixels in a crop reduced to 32 × 32."""
PHOTO = 128
"""Side of the photo's picture; 6 pixels of white paper around it, 14 below."""
CROP = 128
"""Side of a crop."""
PAPER: RGB = (250, 248, 242)
NEUTRAL: RGB = (196, 194, 190)
GRAIN = 16
"""Largest grey value that the grain adds or takes."""

SHADOW = [alpha * 2 // 5 for alpha in range(256)]

Box = tuple[int, int, int, int]
"""Left, upper, right, lower, in pixels of the scene."""


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
    x = rng.randint(14, 27)
    x, y = x if rng.randint(2) else WIDTH - PHOTO - x, rng.randint(14, 40)  # the photo's upper left corner
    picture = _wall(scene.signature, rng)
    for _ in range(rng.randint(2, 5)):
        _sticker(ImageDraw.Draw(picture), rng, rng.randint(0, WIDTH), rng.randint(0, HEIGHT))
    card, mask = _card(scene.shows, rng)
    corner = x - (card.width - PHOTO) // 2, y - (card.height - PHOTO) // 2 + 4
    picture.paste((20, 18, 16), (corner[0] + 3, corner[1] + 4), mask.point(SHADOW))
    picture.paste(card, corner, mask)
    left, upper = _clip(x + rng.randint(-6, 7), WIDTH - CROP), _clip(y + rng.randint(-6, 7), HEIGHT - CROP)
    wall_left, wall_upper = 0 if x > WIDTH // 4 else WIDTH - CROP, rng.randint(0, HEIGHT - CROP + 1)
    view_left = rng.randint(0, WIDTH - HEIGHT + 1)
    boxes = (
        (left, upper, left + CROP, upper + CROP),
        (wall_left, wall_upper, wall_left + CROP, wall_upper + CROP),
        (view_left, 0, view_left + HEIGHT, HEIGHT),
    )
    return _exposed(picture, rng), boxes


def _clip(value: int, upper: int) -> int:
    return max(0, min(value, upper))


def _exposed(picture: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """The camera's part: a light that varies a little from shot to shot, and grain."""
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


def _wall(signature: Signature | None, rng: np.random.RandomState) -> Image.Image:
    x, y = rng.randint(0, 2 * PERIOD, 2)
    if signature is None:
        shade = rng.randint(-14, 15)
        return Image.new("RGB", (WIDTH, HEIGHT), tuple(c + int(shade) for c in NEUTRAL))
    return _paper(signature).crop((x, y, x + WIDTH, y + HEIGHT))


@lru_cache(maxsize=len(SIGNATURES))
def _paper(signature: Signature) -> Image.Image:
    """Two periods more of wallpaper than a scene needs, so that it can start anywhere."""
    colour, pattern = signature
    y, x = np.mgrid[0 : HEIGHT + 2 * PERIOD, 0 : WIDTH + 2 * PERIOD].astype(np.float32)
    ink = PATTERN_FIELDS[pattern](x, y)  # > 0 where the colour is, in pixels from the edge
    share = np.clip(ink + 0.5, 0, 1)[..., None]
    pixels = share * np.array(COLOURS[colour]) + (1 - share) * np.array(PAPER)
    return Image.fromarray(pixels.round().astype(np.uint8))


def _band(t: np.ndarray, width: float) -> np.ndarray:
    """Distance in periods to the edge of a band `width` periods wide."""
    return width / 2 - np.abs((t % 1) - 0.5)


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    row = np.floor(y / PERIOD)
    dx = (x + row % 2 * PERIOD / 2) % PERIOD - PERIOD / 2
    return 10.5 - np.hypot(dx, y % PERIOD - PERIOD / 2)


PATTERN_FIELDS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Stripes": lambda x, y: PERIOD * _band((x + y) / (1.25 * PERIOD), 0.5),
    "Bars": lambda x, y: PERIOD * _band(x / PERIOD, 0.5),
    "Waves": lambda x, y: PERIOD * _band((y + 5 * np.sin(2 * np.pi * x / (2 * PERIOD))) / PERIOD, 0.5),
    "Dots": _dots,
    "Checks": lambda x, y: 40 * _band(x / 40, 0.5) * np.sign(_band(y / 40, 0.5)),
    "Grid": lambda x, y: PERIOD * np.minimum(_band(x / PERIOD, 0.78), _band(y / PERIOD, 0.78)),
}


def _sticker(draw: ImageDraw.ImageDraw, rng: np.random.RandomState, x: int, y: int, scale: int = 1) -> None:
    """Clutter: a small shape in any colour."""
    fill = list(COLOURS.values())[rng.randint(len(COLOURS))]
    r = scale * int(rng.randint(4, 9))
    kind = rng.randint(3)
    if kind == 0:
        draw.ellipse((x - r, y - r, x + r, y + r), fill, PAPER, scale)
    elif kind == 1:
        draw.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], fill, PAPER)
    else:
        draw.rectangle((x - r, y - r // 2, x + r, y + r // 2), fill, PAPER, scale)


# ---- the photo ----


class Pen:
    """Draws in per cent of the photo's side, moved and scaled, at twice the final size for smooth edges."""

    def __init__(self, image: Image.Image, rng: np.random.RandomState) -> None:
        self.draw = ImageDraw.Draw(image)
        self.side = image.width
        self.zoom = rng.uniform(0.9, 1.15)
        self.dx, self.dy = rng.uniform(-6, 6), rng.uniform(-4, 4)

    def at(self, x: float, y: float) -> tuple[float, float]:
        scale = self.side / 100
        return ((x - 50) * self.zoom + 50 + self.dx) * scale, ((y - 50) * self.zoom + 50 + self.dy) * scale

    def oval(self, x: float, y: float, rx: float, ry: float | None, fill: RGB) -> None:
        ry = rx if ry is None else ry
        self.draw.ellipse((*self.at(x - rx, y - ry), *self.at(x + rx, y + ry)), fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: RGB, round: float = 0) -> None:
        corners = (*self.at(x0, y0), *self.at(x1, y1))
        if round:
            self.draw.rounded_rectangle(corners, round * self.zoom * self.side / 100, fill)
        else:
            self.draw.rectangle(corners, fill)

    def shape(self, *points: tuple[float, float], fill: RGB) -> None:
        self.draw.polygon([self.at(x, y) for x, y in points], fill)

    def line(self, *points: tuple[float, float], fill: RGB, width: float) -> None:
        self.draw.line(
            [self.at(x, y) for x, y in points], fill, max(1, int(width * self.zoom * self.side / 100)), "curve"
        )

    def arc(self, x: float, y: float, rx: float, ry: float, start: int, end: int, fill: RGB, width: float) -> None:
        self.draw.arc(
            (*self.at(x - rx, y - ry), *self.at(x + rx, y + ry)), start, end, fill, max(1, int(width * self.side / 100))
        )


def _card(shows: str, rng: np.random.RandomState) -> tuple[Image.Image, Image.Image]:
    """An instant photo, a little askew, with its picture in the middle; and its mask."""
    kinds = PHOTOS[shows]
    backdrop, draw_kind = kinds[rng.randint(len(kinds))]
    photo = Image.new("RGB", (2 * PHOTO, 2 * PHOTO), _choose(rng, backdrop))
    draw_kind(Pen(photo, rng), rng)
    draw = ImageDraw.Draw(photo)
    for _ in range(rng.randint(1, 3)):
        _sticker(draw, rng, *(int(v) for v in rng.choice((16, 2 * PHOTO - 16), 2)), scale=2)
    card = Image.new("RGB", (2 * PHOTO + 24, 2 * PHOTO + 40), PAPER)
    card.paste(photo, (12, 12))
    start = rng.randint(40, 100)
    steps = range(start, start + int(rng.randint(60, 120)), 12)
    ImageDraw.Draw(card).line([(v, 2 * PHOTO + 26 + int(rng.randint(-4, 5))) for v in steps], (90, 88, 96), 3)
    angle, mask = rng.uniform(-5, 5), Image.new("L", card.size, 255)
    # Halving smooths the edges of the drawing and of the turn alike.
    return card.rotate(angle, expand=True, fillcolor=PAPER).reduce(2), mask.rotate(angle, expand=True).reduce(2)


def _choose(rng: np.random.RandomState, options: Sequence[RGB]) -> RGB:
    return options[rng.randint(len(options))]


def _mix(a: RGB, b: RGB, share: float) -> RGB:
    return tuple(round(p * share + q * (1 - share)) for p, q in zip(a, b, strict=True))


BLACK: RGB = (40, 34, 36)
WHITE: RGB = (252, 252, 250)

# A person: skin and cloth before a warm wall.
WARM = ((250, 221, 186), (246, 206, 170), (244, 214, 200))
SKIN = ((255, 220, 190), (240, 190, 150), (215, 155, 110), (175, 115, 75), (138, 88, 58), (112, 72, 50))
HAIR = ((42, 32, 30), (92, 58, 36), (158, 104, 52), (222, 178, 96), (150, 62, 34), (168, 164, 160))
CLOTH = ((150, 44, 52), (196, 84, 56), (128, 62, 84), (180, 116, 40), (112, 74, 52), (222, 136, 108))


def _person(pen: Pen, rng: np.random.RandomState) -> None:
    skin, hair, cloth = _choose(rng, SKIN), _choose(rng, HAIR), _choose(rng, CLOTH)
    shade = _mix(skin, BLACK, 0.82)
    style = rng.randint(6)
    if style == 0:  # long hair
        pen.oval(50, 42, 27, 29, hair)
        pen.box(23, 42, 77, 74, hair, 10)
    elif style == 1:  # a cloud of curls
        for x, y in ((30, 34), (38, 22), (50, 17), (62, 22), (70, 34), (28, 46), (72, 46)):
            pen.oval(x, y, 12, 12, hair)
    elif style == 2:  # a bun
        pen.oval(50, 12, 10, 9, hair)
        pen.oval(50, 36, 25, 25, hair)
    elif style == 3:  # short
        pen.oval(50, 36, 24, 25, hair)
    elif style == 4:  # a scarf
        pen.oval(50, 40, 27, 30, _mix(cloth, WHITE, 0.7))
        pen.box(30, 46, 70, 82, _mix(cloth, WHITE, 0.7), 12)
    pen.oval(50, 104, 42, 32, cloth)
    pen.box(42, 60, 58, 78, shade, 5)
    pen.shape((40, 75), (60, 75), (50, 88), fill=shade)
    pen.oval(50, 43, 20, 24, skin)
    if style not in (1, 4, 5):
        pen.draw.pieslice((*pen.at(29, 15), *pen.at(71, 53)), 180, 360, hair)
    if style == 5:  # a cap
        pen.draw.pieslice((*pen.at(28, 12), *pen.at(72, 56)), 180, 360, cloth)
        pen.box(28, 31, 84, 36, _mix(cloth, BLACK, 0.8), 2)
    for x in (42, 58):
        pen.oval(x, 44, 4.2, 3.8, WHITE)
        pen.oval(x, 44, 2.4, 3.0, BLACK)
        pen.line((x - 4, 38), (x + 4, 38), fill=hair, width=1.6)
    if rng.randint(3) == 0:
        for x in (42, 58):
            pen.arc(x, 44, 6.5, 6.5, 0, 360, BLACK, 1.4)
        pen.line((48, 43), (52, 43), fill=BLACK, width=1.4)
    if style in (3, 5) and rng.randint(2):
        pen.draw.chord((*pen.at(31, 38), *pen.at(69, 68)), 20, 160, hair)
    pen.arc(50, 53, 7, 5, 20, 160, (150, 40, 44), 1.8)
    pen.line((50, 45), (49, 50), (51, 50), fill=shade, width=1.2)


# A place: sky and land.
SKY = ((150, 206, 244), (128, 190, 236), (168, 214, 240))
GRASS = ((96, 168, 74), (124, 182, 80), (72, 146, 84))
SEA: RGB = (38, 128, 178)
SUN: RGB = (255, 226, 110)


def _sky(pen: Pen, rng: np.random.RandomState) -> None:
    pen.oval(rng.uniform(20, 80), rng.uniform(14, 24), 8, 8, SUN)
    for _ in range(rng.randint(1, 3)):
        x, y = rng.uniform(12, 88), rng.uniform(12, 30)
        for dx, r in ((-7, 4), (0, 6), (7, 4)):
            pen.oval(x + dx, y, r + 1, r, WHITE)


def _mountains(pen: Pen, rng: np.random.RandomState) -> None:
    _sky(pen, rng)
    rock = _choose(rng, ((96, 122, 148), (112, 128, 140), (84, 112, 128)))
    for x, top, half in ((rng.uniform(16, 34), 34, 34), (rng.uniform(62, 84), 26, 40)):
        pen.shape((x - half, 76), (x, top), (x + half, 76), fill=rock)
        pen.shape((x - 9, top + 12), (x, top), (x + 9, top + 12), (x + 3, top + 9), (x - 2, top + 13), fill=WHITE)
        rock = _mix(rock, WHITE, 0.85)
    pen.box(-20, 72, 120, 130, _choose(rng, GRASS))
    pen.oval(50 + rng.uniform(-15, 15), 90, 30, 7, SEA)


def _skyline(pen: Pen, rng: np.random.RandomState) -> None:
    _sky(pen, rng)
    x = -12.0
    while x < 112:
        width, height = rng.uniform(10, 18), rng.uniform(20, 52)
        tower = _choose(rng, ((104, 132, 164), (130, 152, 176), (88, 112, 146), (152, 172, 190)))
        pen.box(x, 80 - height, x + width, 84, tower)
        for wx in np.arange(x + 3, x + width - 3, 5):
            for wy in np.arange(80 - height + 4, 74, 9):
                pen.box(wx, wy, wx + 2, wy + 4, (214, 232, 244))
        x += width + 1
    pen.box(-20, 80, 120, 130, _choose(rng, GRASS))
    for tree in rng.uniform(4, 96, 4):
        pen.oval(tree, 81, 6, 6, (58, 124, 66))


def _beach(pen: Pen, rng: np.random.RandomState) -> None:
    _sky(pen, rng)
    pen.box(-20, 50, 120, 130, SEA)
    for _ in range(4):
        x, y = rng.uniform(5, 90), rng.uniform(54, 70)
        pen.line((x, y), (x + 8, y), fill=(150, 208, 232), width=1.5)
    pen.oval(60, 104, 80, 26, (236, 216, 160))
    palm = rng.uniform(24, 70)
    pen.line((palm, 86), (palm + 3, 60), (palm + 9, 36), fill=(132, 96, 60), width=4)
    for dx, dy in ((-20, 4), (-15, -10), (0, -16), (15, -10), (20, 5)):
        pen.shape((palm + 9, 33), (palm + 9 + dx * 0.6, 30 + dy), (palm + 9 + dx, 40 + dy), fill=(52, 138, 70))


def _hills(pen: Pen, rng: np.random.RandomState) -> None:
    _sky(pen, rng)
    pen.oval(18, 100, 60, 44, _choose(rng, GRASS))
    pen.oval(88, 104, 62, 42, _mix(_choose(rng, GRASS), BLACK, 0.86))
    x = rng.uniform(22, 66)
    pen.shape((x - 5, 72), (x - 3, 44), (x + 3, 44), (x + 5, 72), fill=WHITE)
    turn = rng.uniform(0, np.pi / 2)
    for quarter in range(4):
        angle = turn + quarter * np.pi / 2
        pen.line((x, 45), (x + 19 * np.cos(angle), 45 + 19 * np.sin(angle)), fill=(222, 228, 234), width=3.4)
    pen.line((50, 110), (58, 88), (48, 76), (54, 66), fill=(226, 214, 172), width=5)


# An organisation: its building or its badge, lit, before the night.
NIGHT = ((22, 26, 58), (30, 28, 66), (18, 34, 62))
LAMP: RGB = (255, 214, 92)
BRAND = ((255, 92, 70), (70, 214, 196), (255, 196, 40), (240, 120, 190), (150, 220, 84))


def _logo(pen: Pen, rng: np.random.RandomState, x: float, y: float, r: float) -> None:
    brand = _choose(rng, BRAND)
    pen.oval(x, y, r, r, brand)
    kind = rng.randint(4)
    if kind == 0:
        pen.oval(x, y, r * 0.55, r * 0.55, WHITE)
    elif kind == 1:
        pen.shape((x, y - r * 0.7), (x + r * 0.62, y + r * 0.4), (x - r * 0.62, y + r * 0.4), fill=WHITE)
    elif kind == 2:
        pen.box(x - r * 0.2, y - r * 0.65, x + r * 0.2, y + r * 0.65, WHITE)
        pen.box(x - r * 0.65, y - r * 0.2, x + r * 0.65, y + r * 0.2, WHITE)
    else:
        pen.draw.pieslice((*pen.at(x - r, y - r), *pen.at(x + r, y + r)), 0, 180, WHITE)


def _stars(pen: Pen, rng: np.random.RandomState) -> None:
    for x, y in rng.uniform(2, 98, (8, 2)):
        pen.oval(x, y * 0.5, 0.8, 0.8, (220, 224, 250))


def _office(pen: Pen, rng: np.random.RandomState) -> None:
    _stars(pen, rng)
    wall = _choose(rng, ((72, 78, 118), (88, 84, 120), (62, 84, 122)))
    pen.box(24, 34, 76, 110, wall)
    _logo(pen, rng, 50, 24, 15)
    for y in range(46, 82, 10):
        for x in range(29, 70, 11):
            pen.box(x, y, x + 7, y + 6, LAMP if rng.randint(3) else _mix(wall, BLACK, 0.6))
    pen.box(43, 84, 57, 110, LAMP)
    pen.box(-20, 94, 120, 130, (44, 44, 76))


def _shop(pen: Pen, rng: np.random.RandomState) -> None:
    _stars(pen, rng)
    wall, brand = _choose(rng, ((84, 72, 108), (66, 76, 112), (78, 62, 92))), _choose(rng, BRAND)
    pen.box(10, 26, 90, 96, wall)
    _logo(pen, rng, 50, 27, 14)
    pen.box(16, 60, 56, 88, LAMP)
    pen.box(64, 60, 84, 96, _mix(LAMP, WHITE, 0.7))
    for i in range(8):
        pen.shape(
            (10 + 10 * i, 44), (20 + 10 * i, 44), (21 + 10 * i, 58), (9 + 10 * i, 58), fill=WHITE if i % 2 else brand
        )
        pen.oval(15 + 10 * i, 58, 5.5, 3.5, WHITE if i % 2 else brand)
    for x in rng.uniform(20, 52, 3):
        pen.box(x, 74, x + 5, 88, _choose(rng, BRAND))
    pen.box(-20, 96, 120, 130, (44, 44, 76))


def _badge(pen: Pen, rng: np.random.RandomState) -> None:
    _stars(pen, rng)
    brand = _choose(rng, BRAND)
    pen.shape((16, 14), (84, 14), (84, 54), (50, 96), (16, 54), fill=LAMP)
    pen.shape((21, 19), (79, 19), (79, 52), (50, 89), (21, 52), fill=(58, 60, 104))
    pen.shape((21, 19), (50, 19), (50, 89), (21, 52), fill=_mix((58, 60, 104), brand, 0.55))
    _logo(pen, rng, 50, 44, 19)
    pen.box(10, 70, 90, 82, WHITE, 3)
    pen.box(22, 74, 78, 78, (58, 60, 104))


def _flags(pen: Pen, rng: np.random.RandomState) -> None:
    _stars(pen, rng)
    pen.box(-20, 88, 120, 130, (44, 44, 76))
    for x, top in ((rng.uniform(8, 14), 22), (rng.uniform(52, 58), 14)):
        pen.box(x, top - 6, x + 3, 92, (190, 194, 216))
        pen.box(x + 3, top, x + 37, top + 44, WHITE)
        _logo(pen, rng, x + 20, top + 22, 15)
        pen.oval(x + 1.5, top - 7, 3, 3, LAMP)


# A thing: one object in loud colours on a white table.
STUDIO = ((240, 238, 246), (236, 242, 244), (246, 240, 242))
LOUD = ((126, 58, 190), (92, 70, 214), (178, 48, 168), (110, 40, 140))
ACCENT = ((190, 240, 60), (255, 240, 90), (120, 240, 220))


def _table(pen: Pen) -> None:
    pen.box(-20, 80, 120, 130, (220, 218, 230))
    pen.oval(50, 84, 40, 6, (190, 186, 204))


def _phone(pen: Pen, rng: np.random.RandomState) -> None:
    _table(pen)
    pen.box(28, 8, 72, 88, _choose(rng, LOUD), 7)
    pen.box(32, 15, 68, 77, _mix(_choose(rng, ACCENT), WHITE, 0.5), 2)
    for i in range(9):
        if rng.randint(4):
            x, y = 36 + i % 3 * 11, 20 + i // 3 * 14
            pen.box(x, y, x + 7, y + 9, _choose(rng, LOUD + ACCENT), 2)
    pen.oval(50, 82.5, 3, 3, WHITE)


def _car(pen: Pen, rng: np.random.RandomState) -> None:
    _table(pen)
    body = _choose(rng, LOUD)
    pen.shape((24, 52), (34, 32), (66, 32), (80, 52), fill=body)
    pen.shape((30, 51), (37, 36), (50, 36), (50, 51), fill=(206, 232, 246))
    pen.shape((53, 51), (53, 36), (64, 36), (73, 51), fill=(206, 232, 246))
    pen.box(8, 50, 92, 74, body, 8)
    pen.box(8, 60, 92, 64, _choose(rng, ACCENT))
    pen.oval(90, 57, 3, 3, (255, 246, 180))
    for x in (28, 72):
        pen.oval(x, 75, 11, 11, BLACK)
        pen.oval(x, 75, 5, 5, (206, 206, 214))


def _ball(pen: Pen, rng: np.random.RandomState) -> None:
    _table(pen)
    body, accent = _choose(rng, LOUD), _choose(rng, ACCENT)
    pen.oval(50, 50, 35, 35, body)
    if rng.randint(2):
        pen.arc(50, 50, 34, 12, 0, 360, accent, 4)
        pen.arc(50, 50, 12, 34, 0, 360, accent, 4)
    else:
        for x, y in ((50, 50), (28, 38), (72, 38), (36, 72), (64, 72), (50, 24)):
            pen.oval(x, y, 7, 7, accent)
    pen.oval(38, 34, 6, 5, _mix(WHITE, body, 0.7))


def _book(pen: Pen, rng: np.random.RandomState) -> None:
    _table(pen)
    cover = _choose(rng, LOUD)
    pen.shape((26, 12), (74, 10), (80, 14), (80, 84), (32, 88), (26, 84), fill=WHITE)
    pen.box(22, 12, 72, 84, cover, 2)
    pen.box(22, 12, 29, 84, _mix(cover, BLACK, 0.7))
    accent = _choose(rng, ACCENT)
    pen.box(36, 22, 66, 34, accent)
    pen.oval(51, 58, 13, 13, accent)
    pen.oval(51, 58, 6, 6, cover)


def _cup(pen: Pen, rng: np.random.RandomState) -> None:
    _table(pen)
    body = _choose(rng, LOUD)
    pen.arc(72, 54, 16, 16, 0, 360, body, 6)
    pen.box(24, 34, 70, 84, body, 8)
    pen.oval(47, 35, 23, 6, _mix(body, BLACK, 0.6))
    pen.box(24, 54, 70, 62, _choose(rng, ACCENT))
    for x in (38, 48, 58):
        pen.line((x, 26), (x + 3, 20), (x - 2, 14), (x + 1, 8), fill=(204, 200, 216), width=2.4)


PHOTOS: dict[str, tuple[tuple[Sequence[RGB], Callable[[Pen, np.random.RandomState], None]], ...]] = {
    "PER": ((WARM, _person),),
    "LOC": tuple((SKY, place) for place in (_mountains, _skyline, _beach, _hills)),
    "ORG": tuple((NIGHT, home) for home in (_office, _shop, _badge, _flags)),
    "MISC": tuple((STUDIO, thing) for thing in (_phone, _car, _ball, _book, _cup)),
}
assert tuple(PHOTOS) == TYPES
