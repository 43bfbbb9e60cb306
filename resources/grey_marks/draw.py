"""Draw tissue-like pictures and marks on them, to fit and to judge the network that finds grey marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Place = tuple[float, float]
SUPER = 3  # subpixels of a pixel, for smooth edges
WORDS = ("GBM", "Pod", "EDD", "Mes", "L", "US", "RBC", "end", "foot", "N", "Ep", "TBM", "cap", "IgA", "x", "Nuc")
UNITS = ("nm", "um", "µm", "kx", "kV", "mm")
SIGNS = "ABCDEFGHIKLMNOPRSTUVWXYZabcdefghiklmnoprstuvwxyz0123456789+-*#/:.,()=%&?"


@dataclass(frozen=True)
class Marked:
    """A picture with marks, uint8 [h, w], and how much of each pixel a mark covers, float32 [h, w], 0 to 1."""

    picture: np.ndarray
    cover: np.ndarray


@cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


class Pen:
    """Draws shapes of one level on an empty sheet, with or without smooth edges."""

    def __init__(self, shape: tuple[int, int], fonts: Sequence[Path], *, smooth: bool) -> None:
        self.shape, self.fonts = shape, fonts
        self.scale = SUPER if smooth else 1
        self.sheet = Image.new("L", (shape[1] * self.scale, shape[0] * self.scale), 0)
        self.pen = ImageDraw.Draw(self.sheet)
        self.words = Image.new("L", (shape[1], shape[0]), 0)
        self.halo = Image.new("L", (shape[1], shape[0]), 0)

    def cover(self) -> np.ndarray:
        """How much of each pixel is covered: float32 [h, w]."""
        drawn = np.asarray(self.sheet)
        if self.scale > 1:
            drawn = cv2.resize(drawn, self.shape[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.max(drawn, np.asarray(self.words)).astype(np.float32) / 255)

    def outline(self) -> np.ndarray:
        """How much of each pixel the outline of text covers."""
        return np.asarray(self.halo, np.float32) / 255

    def line(self, points: Sequence[Place], width: float) -> None:
        """Draw a line through points."""
        at = [(x * self.scale, y * self.scale) for x, y in points]
        self.pen.line(at, fill=255, width=max(1, round(width * self.scale)), joint="curve")

    def area(self, points: Sequence[Place]) -> None:
        """Fill a polygon."""
        self.pen.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=255)

    def ellipse(self, x: float, y: float, across: float, down: float, width: float) -> None:
        """Draw an ellipse; filled where its width is 0."""
        box = [self.scale * each for each in (x, y, x + across, y + down)]
        if width:
            self.pen.ellipse(box, outline=255, width=max(1, round(width * self.scale)))
        else:
            self.pen.ellipse(box, fill=255)

    def text(
        self, x: float, y: float, words: str, font: Path, size: int, *, upright: bool = False, halo: int = 0
    ) -> None:
        """Write words; upright ones run from below to above."""
        letters = _font(font, size)
        if not upright:
            ImageDraw.Draw(self.words).text((x, y), words, fill=255, font=letters)
            if halo:
                ImageDraw.Draw(self.halo).text(
                    (x, y), words, fill=255, font=letters, stroke_width=halo, stroke_fill=255
                )
            return
        _, _, right, bottom = letters.getbbox(words)
        own = Image.new("L", (int(right) + 2, int(bottom) + 2), 0)
        ImageDraw.Draw(own).text((0, 0), words, fill=255, font=letters)
        own = own.rotate(90, expand=True)
        self.words.paste(255, (int(x), int(y)), own)


Kind = Callable[[Pen, np.random.Generator, float, float], None]


def _word(random: np.random.Generator) -> str:
    which = random.random()
    if which < 0.35:
        return str(random.choice(WORDS))
    if which < 0.6:
        return f"{random.choice([1, 2, 5, 10, 20, 50, 100, 200, 500, 0.5, 0.2])} {random.choice(UNITS)}"
    if which < 0.7:
        return f"{random.integers(1, 40)},{random.integers(100, 999)} x"
    return "".join(random.choice(list(SIGNS), int(random.integers(1, 9))))


def _text(low: int, high: int, *, halo: bool = False, upright: bool = False) -> Kind:
    def draw(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
        font, size = pen.fonts[int(random.integers(len(pen.fonts)))], int(random.integers(low, high + 1))
        rows = 2 if random.random() < 0.15 else 1
        for row in range(rows):
            pen.text(
                x,
                y + 1.2 * size * row,
                _word(random),
                font,
                size,
                upright=upright,
                halo=int(random.integers(1, 3)) * halo,
            )

    return draw


def _words(low: int, high: int) -> Kind:
    def draw(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
        font, size = pen.fonts[int(random.integers(len(pen.fonts)))], int(random.integers(low, high + 1))
        pen.text(x - random.uniform(0, 60), y, " ".join(_word(random) for _ in range(4)), font, size)

    return draw


def _turned(points: Sequence[Place], angle: float, x: float, y: float) -> list[Place]:
    c, s = np.cos(angle), np.sin(angle)
    return [(float(x + c * a - s * b), float(y + s * a + c * b)) for a, b in points]


def _arrow(*, solid: bool) -> Kind:
    def draw(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
        angle, length = random.uniform(0, 2 * np.pi), random.uniform(22, 80)
        head = random.uniform(7, min(26, length / 2))
        half = head * random.uniform(0.3, 0.6)
        if solid:
            shaft = random.uniform(1.5, half * 0.7)
            notch = head * random.uniform(0.7, 1)
            points = [
                (0, 0),
                (head, half),
                (notch, shaft),
                (length, shaft),
                (length, -shaft),
                (notch, -shaft),
                (head, -half),
            ]
            pen.area(_turned(points, angle, x, y))
            return
        width = random.uniform(1, 3.5)
        pen.line(_turned([(0, 0), (length, 0)], angle, x, y), width)
        if random.random() < 0.5:
            pen.line(_turned([(head, half), (0, 0), (head, -half)], angle, x, y), width)
        else:
            pen.area(_turned([(0, 0), (head, half), (head, -half)], angle, x, y))

    return draw


def _arrowhead(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    length = random.uniform(8, 36)
    half = length * random.uniform(0.25, 0.6)
    points = [(0, 0), (length, half), (length * random.uniform(0.6, 1), 0), (length, -half)]
    pen.area(_turned(points, random.uniform(0, 2 * np.pi), x, y))


def _double_arrow(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    angle, length, width = random.uniform(0, 2 * np.pi), random.uniform(25, 90), random.uniform(1, 3.5)
    head = random.uniform(6, 13)
    half = head * random.uniform(0.3, 0.6)
    pen.line(_turned([(head / 2, 0), (length - head / 2, 0)], angle, x, y), width)
    for at, way in ((0.0, head), (length, -head)):
        pen.area(_turned([(at, 0), (at + way, half), (at + way, -half)], angle, x, y))


def _star(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    reach, inner, points = random.uniform(6, 20), random.uniform(0.35, 0.6), int(random.choice([4, 5, 5, 6]))
    corners = [(reach * (inner if at % 2 else 1.0), np.pi * at / points) for at in range(2 * points)]
    around = [(float(far * np.sin(turn)), float(-far * np.cos(turn))) for far, turn in corners]
    pen.area(_turned(around, random.choice([0, random.uniform(0, np.pi)]), x, y))


def _asterisk(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    reach, width, arms = random.uniform(5, 18), random.uniform(1, 5), int(random.choice([3, 3, 4, 2]))
    for arm in range(arms):
        pen.line(_turned([(-reach, 0), (reach, 0)], np.pi * (arm + 0.5) / arms, x, y), width)


def _ellipse(low: float, high: float) -> Kind:
    def draw(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
        across = random.uniform(14, 90)
        down = across if random.random() < 0.5 else random.uniform(14, 90)
        pen.ellipse(x, y, across, down, random.uniform(low, high))

    return draw


def _dot(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    side = random.uniform(5, 18)
    if random.random() < 0.6:
        pen.ellipse(x, y, side, side, 0)
    else:
        pen.area([(x, y), (x + side, y), (x + side, y + side), (x, y + side)])


def _frame(low: float, high: float) -> Kind:
    def draw(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
        across, down = random.uniform(16, 110, 2)
        corners = [(x, y), (x + across, y), (x + across, y + down), (x, y + down)]
        pen.line([*corners, corners[0], corners[1]], random.uniform(low, high))

    return draw


def _dashes(pen: Pen, points: Sequence[Place], width: float, dash: float, gap: float) -> None:
    for (x, y), (right, below) in pairwise(points):
        length = float(np.hypot(right - x, below - y))
        for start in np.arange(0, length, dash + gap):
            stop = min(length, start + dash)
            pen.line([(x + (right - x) * at / length, y + (below - y) * at / length) for at in (start, stop)], width)


def _dashed(*, closed: bool) -> Kind:
    def draw(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
        width = random.uniform(1, 4)
        dash, gap = random.uniform(3, 14), random.uniform(2.5, 10) + width / 2
        if closed:
            across, down = random.uniform(24, 110, 2)
            points = [(x, y), (x + across, y), (x + across, y + down), (x, y + down), (x, y)]
        else:
            angle = random.choice([0, np.pi / 2, random.uniform(0, np.pi)])
            points = _turned([(0, 0), (random.uniform(35, 150), 0)], angle, x, y)
        _dashes(pen, points, width, dash, gap)

    return draw


def _dashed_circle(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    radius, width = random.uniform(10, 45), random.uniform(1, 4)
    number = max(5, int(radius * random.uniform(0.3, 0.7)))
    for dash in range(number):
        turns = (dash + np.linspace(0, random.uniform(0.45, 0.65), 6)) * (2 * np.pi / number)
        pen.line([(x + radius * float(np.cos(at)), y + radius * float(np.sin(at))) for at in turns], width)


def _line(low: float, high: float) -> Kind:
    def draw(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
        angle = random.choice([0, np.pi / 2, random.uniform(0, np.pi), random.uniform(0, np.pi)])
        pen.line(_turned([(0, 0), (random.uniform(25, 160), 0)], angle, x, y), random.uniform(low, high))

    return draw


def _dimension(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    angle = random.choice([0, np.pi / 2, random.uniform(0, np.pi)])
    length, tick, width = random.uniform(20, 90), random.uniform(3, 9), random.uniform(1, 2.5)
    pen.line(_turned([(0, 0), (length, 0)], angle, x, y), width)
    if random.random() < 0.6:
        for at in (0, length):
            pen.line(_turned([(at, -tick), (at, tick)], angle, x, y), width)
    else:
        for at, way in ((0, 1), (length, -1)):
            pen.line(_turned([(at + way * tick, -tick / 2), (at, 0), (at + way * tick, tick / 2)], angle, x, y), width)
    font = pen.fonts[int(random.integers(len(pen.fonts)))]
    words = f"{random.integers(20, 999)} nm" if random.random() < 0.7 else f"{random.uniform(0.1, 3):.2f} µm"
    pen.text(x + random.uniform(-4, 10), y + random.uniform(6, 14), words, font, int(random.integers(10, 22)))


def _bar(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    length, height = random.uniform(35, 150), random.uniform(1, 8)
    pen.area([(x, y), (x + length, y), (x + length, y + height - 1), (x, y + height - 1)])
    if random.random() < 0.3:
        for at in (x, x + length):
            pen.line([(at, y - 5), (at, y + height + 5)], max(1, height / 2))
    font, size = pen.fonts[int(random.integers(len(pen.fonts)))], int(random.integers(10, 30))
    below = random.random() < 0.4
    pen.text(x + random.uniform(0, length / 2), y + 7 if below else y - 1.4 * size - 3, _word(random), font, size)


def _curve(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    steps = np.arange(0, random.uniform(30, 110), 4.0)
    angle = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, 0.12, len(steps)))
    points = [
        (float(a), float(b))
        for a, b in zip(x + np.cumsum(4 * np.cos(angle)), y + np.cumsum(4 * np.sin(angle)), strict=True)
    ]
    width = random.uniform(1, 4)
    if random.random() < 0.3:
        for one, other in zip(points[::3], points[1::3], strict=False):
            pen.line([one, other], width)
    else:
        pen.line(points, width)


def _bracket(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    length, tick = random.uniform(20, 80), random.uniform(4, 14)
    points = [(0, tick), (0, 0), (length, 0), (length, tick)]
    pen.line(_turned(points, random.choice([0, np.pi / 2, np.pi, random.uniform(0, 6)]), x, y), random.uniform(1, 3))


def _cross(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    reach, width, turn = random.uniform(5, 16), random.uniform(1, 4), random.choice([0, np.pi / 4])
    for angle in (turn, turn + np.pi / 2):
        pen.line(_turned([(-reach, 0), (reach, 0)], angle, x, y), width)


def _ruler(pen: Pen, random: np.random.Generator, x: float, y: float) -> None:
    step, width, upright = random.uniform(5, 14), random.uniform(1, 2.2), random.random() < 0.5
    for number in range(int(random.integers(4, 12))):
        long = 10 if number % 5 == 0 else 6
        at = number * step
        pen.line([(x, y + at), (x + long, y + at)] if upright else [(x + at, y), (x + at, y + long)], width)


KINDS: dict[str, Kind] = {
    "text of 8 or 9": _text(8, 9),
    "text of 10 to 12": _text(10, 12),
    "text of 13 to 15": _text(13, 15),
    "text of 16 to 20": _text(16, 20),
    "text of 22 to 30": _text(22, 30),
    "text of 32 to 44": _text(32, 44),
    "text of 46 to 60": _text(46, 60),
    "several words": _words(12, 26),
    "outlined text": _text(16, 40, halo=True),
    "upright text": _text(12, 30, upright=True),
    "solid arrow": _arrow(solid=True),
    "line arrow": _arrow(solid=False),
    "arrowhead": _arrowhead,
    "double arrow": _double_arrow,
    "star": _star,
    "asterisk": _asterisk,
    "ellipse, 1 to 2 wide": _ellipse(1, 2),
    "ellipse, 3 to 6 wide": _ellipse(3, 6),
    "dot": _dot,
    "frame, 1 to 2 wide": _frame(1, 2),
    "frame, 3 to 6 wide": _frame(3, 6),
    "dashed line": _dashed(closed=False),
    "dashed frame": _dashed(closed=True),
    "dashed circle": _dashed_circle,
    "line, 1 wide": _line(1, 1.4),
    "line, 2 wide": _line(1.6, 2.4),
    "line, 3 to 6 wide": _line(3, 6),
    "dimension line": _dimension,
    "bar with text": _bar,
    "curve": _curve,
    "bracket": _bracket,
    "cross": _cross,
    "ruler": _ruler,
}


def burn(picture: np.ndarray, cover: np.ndarray, tone: float, opacity: float) -> np.ndarray:
    """Cover a picture, float32 [h, w], with a tone."""
    return np.asarray(picture * (1 - opacity * cover) + tone * opacity * cover)


def draw_mark(
    picture: np.ndarray,
    kind: str,
    random: np.random.Generator,
    fonts: Sequence[Path],
    *,
    place: Place,
    tone: float,
    opacity: float = 1.0,
    smooth: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a mark of a kind on a picture, float32 [h, w]; return the picture and what is covered."""
    pen = Pen((picture.shape[0], picture.shape[1]), fonts, smooth=smooth)
    KINDS[kind](pen, random, *place)
    cover, outline = pen.cover(), pen.outline()
    if outline.any():
        other = 0.0 if tone > 128 else 255.0
        picture = burn(picture, outline, float(np.clip(other + random.uniform(-60, 60), 0, 255)), 1.0)
    return burn(picture, cover, tone, opacity), np.maximum(cover, outline)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Save and read a uint8 picture as JPEG; quality 0 leaves it as it is."""
    if not quality:
        return picture
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
