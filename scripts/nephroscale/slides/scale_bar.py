"""The scale off the bar that is burned into a picture: its length by image analysis, its text by character recognition.

Character recognition (`rapidocr`) is an optional extra. Without it no bar is read.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, starmap
from typing import Any

import cv2
import numpy as np

SHORTEST = 24  # pixels of a bar
LONGEST = 0.9  # of the width
STEP = (14, 26)  # levels between neighbours in a bar: in grey, and in colours, which JPEG stores coarsely
LEVEL = (24, 36)  # levels by which the rows of a bar differ
UNEVEN, ALIKE = 16, 0.9  # levels from the median within which this share of a bar lies
CONTRAST = 40  # levels between a bar and what surrounds it
SURROUNDED = 0.8  # share of each side of a bar that has this contrast
ENDS = 2  # pixels by which the rows of a bar begin and end differently
THICKEST = 0.25  # of the length
FRINGE = 6  # pixels by which the smoothed edge of a bar, a row high, differs in length
GAP = 3  # pixels beyond a bar, past its smoothed edge, where its surroundings begin
ROWS = 1024  # searched at once
MOST_BARS = 6
PARTS_APART = 2.0  # lengths of a bar, within which another on its line is a part of it
AGREE = 0.02
CERTAIN = 0.7  # least confidence of a text
SIDES_PX = (960, 640, 1280)  # to which the surroundings of a bar are resized for reading
MARGIN_PX = 48  # round them, since text at the edge of a picture is read badly
MOST_ENLARGED = 4.0
NM = {"nm": 1.0, "µm": 1e3, "mm": 1e6}
LENGTH = re.compile(
    r"(?:(?:scale\s*)?bar\s*[:=]?\s*)?(?P<number>[1-9][0-9]*(?:[.,][0-9]+)?|0[.,][0-9]+)\s*"
    r"(?P<unit>[nm]m|[µμup]m|(?:micro|nano|milli)met(?:er|re)s?|microns?)",
    re.IGNORECASE,
)
THOUSANDS = re.compile(r"[1-9][0-9]*[.,][0-9]{3}")  # 1,000 is a thousand, and 1.000 may be one
ROUND = (1.0, 1.2, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 7.5, 8.0, 9.0)

Box = tuple[float, float, float, float]
"""x, y, right, bottom."""


@dataclass(frozen=True)
class Bar:
    """A horizontal bar: a rectangle of even level on other levels.

    Attributes
    ----------
    x, y, length, height
        In pixels.
    """

    x: int
    y: int
    length: int
    height: int

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.x + self.length


@dataclass(frozen=True)
class BarScale:
    """What the bar of a picture says.

    Attributes
    ----------
    nm_per_px
        nm per pixel; None where the bar was not read.
    doubt
        Why it was not read; empty where it was.
    """

    nm_per_px: float | None = None
    doubt: str = ""


@dataclass(frozen=True)
class Text:
    """A line of text that was recognised, with its confidence, 0 to 1."""

    box: Box
    text: str
    confidence: float


def find_bars(pixels: np.ndarray) -> list[Bar]:
    """Find horizontal bars.

    Parameters
    ----------
    pixels
        uint8 [h, w] or [h, w, 3].

    Returns
    -------
    list of Bar
        The longest first, six at most. Of a bar and its outline or its box only the bar.
    """
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    found = [bar for bar in _rectangles(pixels, max(SHORTEST, pixels.shape[1] // 100)) if _stands_out(pixels, bar)]
    separate = [bar for bar in found if not any(_frames(other, bar) for other in found)]
    return sorted(separate, key=lambda bar: (-bar.length, bar.y, bar.x))[:MOST_BARS]


WITHOUT_OCR = BarScale(doubt="a scale bar is read only with the extra `ocr`")


def read_bar(pixels: np.ndarray, read_text: Callable[[np.ndarray], Sequence[Text]] | None = None) -> BarScale:
    """Read the scale off a burned-in bar.

    The text beside a bar gives its length. It is read at several sizes, which have to agree, and has to be a round
    number with a unit. Where several bars have such a text, their scales have to agree within 2 %.

    Parameters
    ----------
    pixels
        uint8 [h, w] or [h, w, 3].
    read_text
        Recognises the text of a small uint8 picture [h, w, 3]; `rapidocr` by default.

    Returns
    -------
    BarScale
        Without a scale, and with the reason, where there is no bar or doubt about it.
    """
    read_text = read_text or load_recogniser()
    if read_text is None:
        return WITHOUT_OCR
    bars = find_bars(pixels)
    if not bars:
        return BarScale(doubt="no scale bar was found")
    if any(_are_parts(bar, other) for bar, other in combinations(bars, 2)):
        return BarScale(doubt="its scale bar has several parts, and the text may be the length of one or of all")
    scales = [(nm / measure_length(pixels, bar), bar) for bar in bars if (nm := _length_beside(pixels, bar, read_text))]
    if not scales:
        return BarScale(doubt="no round length was read beside its scale bar")
    best, _ = max(scales, key=lambda scale: scale[1].height)
    if any(abs(other / best - 1) > AGREE for other, _ in scales):
        values = ", ".join(f"{value:.4g}" for value in sorted({round(value, 4) for value, _ in scales}))
        return BarScale(doubt=f"its scale bars differ ({values} nm per pixel)")
    return BarScale(best)


def measure_length(pixels: np.ndarray, bar: Bar) -> float:
    """Length of a bar in pixels, between the places where its ends are half as bright as it and what lies beyond."""
    rows = pixels[bar.y : bar.y + bar.height].reshape(bar.height, pixels.shape[1], -1)
    level = np.median(rows[:, bar.x : bar.right].reshape(-1, rows.shape[2]), axis=0)
    away = np.abs(np.median(rows, axis=0) - level).max(axis=1)

    def reach(edge: int, step: int) -> float:
        """Pixels beyond an edge of the bar that belong to it; less than none where the edge itself does in part."""
        profile = away[edge + step * np.arange(-GAP, GAP + 1)]
        half = profile[-1] / 2
        outside = max(1, int(np.argmax(profile > half)))
        inner, outer = profile[outside - 1], profile[outside]
        beyond = outside - 1 + (half - inner) / max(outer - inner, 1.0) - GAP - 0.5
        return float(np.clip(beyond, -GAP, GAP))

    return bar.length + reach(bar.x, -1) + reach(bar.right - 1, 1)


def parse_length(text: str) -> float | None:
    """Length in nm that a text states: a round number and a unit; None for anything else.

    None, too, for a point or comma before three digits, as in `1,000 nm`, which can separate thousands or decimals.

    Examples
    --------
    >>> parse_length("0.5 µm"), parse_length("Bar = 500nm"), parse_length("2 microns"), parse_length("37 nm")
    (500.0, 500.0, 2000.0, None)
    """
    found = LENGTH.fullmatch(text.strip())
    if found is None or THOUSANDS.fullmatch(found["number"]):
        return None
    number, unit = float(found["number"].replace(",", ".")), found["unit"].lower()
    unit = {"nano": "nm", "mill": "mm"}.get(unit[:4], unit if unit in NM else "µm")
    if number <= 0:
        return None
    leading = number / 10 ** math.floor(math.log10(number) + 1e-9)
    return number * NM[unit] if any(abs(leading / each - 1) < 1e-6 for each in ROUND) else None


def can_read_bars() -> bool:
    """Whether the extra `ocr` is installed."""
    return importlib.util.find_spec("rapidocr") is not None


@cache
def load_recogniser() -> Callable[[np.ndarray], list[Text]] | None:
    """Load the recognition of text; None where `rapidocr` is not installed. Its models come with the package."""
    if not can_read_bars():
        return None
    from rapidocr import RapidOCR

    settings = {
        "Global.log_level": "error",
        "Global.use_cls": False,
        "Det.limit_type": "max",
        "Det.limit_side_len": max(SIDES_PX),
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    }
    engine: Any = RapidOCR(params=settings)

    def read(picture: np.ndarray) -> list[Text]:
        found = engine(picture)
        if found.boxes is None or found.txts is None:
            return []
        corners = [np.asarray(box, float) for box in found.boxes]
        boxes = [(box[:, 0].min(), box[:, 1].min(), box[:, 0].max(), box[:, 1].max()) for box in corners]
        return [Text(*each) for each in zip(boxes, found.txts, map(float, found.scores), strict=True)]

    return read


def _rectangles(pixels: np.ndarray, least: int) -> Iterator[Bar]:
    """Yield runs of even level over consecutive rows with equal ends."""
    open_: dict[tuple[int, int], tuple[int, int, np.ndarray]] = {}  # ends to first row, last row, level
    for top in range(0, len(pixels), ROWS):
        for y, x, end in _runs(pixels[top : top + ROWS], least):
            row = top + y
            level = np.median(pixels[row, x:end], axis=0)
            near = [
                ends
                for ends, (_, last, other) in open_.items()
                if last == row - 1
                and abs(ends[0] - x) <= ENDS
                and abs(ends[1] - end) <= ENDS
                and np.abs(other - level).max() <= LEVEL[pixels.shape[2] > 1]
            ]
            first = open_.pop(near[0])[0] if near else row
            for ends in [ends for ends, (_, last, _) in open_.items() if last < row - 1 or ends == (x, end)]:
                yield _rectangle(ends, open_.pop(ends))
            open_[near[0] if near else (x, end)] = (first, row, level)
    yield from starmap(_rectangle, open_.items())


def _rectangle(ends: tuple[int, int], rows: tuple[int, int, np.ndarray]) -> Bar:
    return Bar(ends[0], rows[0], ends[1] - ends[0], rows[1] - rows[0] + 1)


def _runs(pixels: np.ndarray, least: int) -> Iterator[tuple[int, int, int]]:
    """Yield row, first column and the column after the last of runs of even level, in the order of rows."""
    steps = np.zeros(pixels.shape[:2], np.uint8)
    steps[:, 1:] = cv2.absdiff(pixels[:, 1:], pixels[:, :-1]).reshape(len(pixels), -1, pixels.shape[2]).max(axis=2)
    rough = np.ones((len(pixels), pixels.shape[1] + 1), bool)  # a column where no run goes on
    rough[:, 1:-1] = steps[:, 1:] > STEP[pixels.shape[2] > 1]
    rows, columns = np.nonzero(rough)
    lengths = np.diff(columns)
    inside = (columns[:-1] >= GAP) & (columns[1:] + GAP <= pixels.shape[1])
    found = np.flatnonzero((np.diff(rows) == 0) & (lengths >= least) & (lengths <= LONGEST * pixels.shape[1]) & inside)
    rows, columns, ends = rows[found], columns[found], columns[found + 1]
    levels = pixels[rows, (columns + ends) // 2].astype(np.int16)
    sharp = [np.abs(pixels[rows, at] - levels).max(axis=1) >= CONTRAST for at in (columns - GAP, ends + GAP - 1)]
    for place in np.flatnonzero(sharp[0] & sharp[1]):
        yield int(rows[place]), int(columns[place]), int(ends[place])


def _stands_out(pixels: np.ndarray, bar: Bar) -> bool:
    """Whether a rectangle is a bar: thin, and on other levels on each of its four sides."""
    height, width = pixels.shape[:2]
    top, bottom, left, right = bar.y - GAP, bar.y + bar.height + GAP - 1, bar.x - GAP, bar.x + bar.length + GAP - 1
    if bar.height > THICKEST * bar.length or min(top, left) < 0 or bottom >= height or right >= width:
        return False
    across, along = slice(bar.x, bar.x + bar.length), slice(bar.y, bar.y + bar.height)
    inside = pixels[along, across].reshape(-1, pixels.shape[2])
    level = np.median(inside, axis=0)
    if (np.abs(inside - level).max(axis=1) <= UNEVEN).mean() < ALIKE:  # tissue that changes gradually
        return False
    sides = (pixels[top, across], pixels[bottom, across], pixels[along, left], pixels[along, right])
    return all((np.abs(side - level).max(axis=-1) >= CONTRAST).mean() >= SURROUNDED for side in sides)


def _length_beside(pixels: np.ndarray, bar: Bar, read_text: Callable[[np.ndarray], Sequence[Text]]) -> float | None:
    """Length in nm that the text nearest to a bar states; None where none does, or it reads differently by size."""
    reach = int(max(40, 12 * bar.height, 0.35 * bar.length))
    aside = int(max(reach, 280))
    y, x = max(0, bar.y - reach), max(0, bar.x - aside)
    part = pixels[y : bar.y + bar.height + reach, x : bar.x + bar.length + aside]
    part = np.ascontiguousarray(
        np.broadcast_to(part, (*part.shape[:2], 3)) if pixels.ndim == 3 else part[..., None].repeat(3, 2)
    )
    read = []
    for side in SIDES_PX:
        factor = min(MOST_ENLARGED, side / max(part.shape[:2]))
        kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        resized = cv2.resize(part, None, fx=factor, fy=factor, interpolation=kind)
        framed = np.pad(resized, ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0)), mode="edge")
        corners = (bar.x - x, bar.y - y, bar.x - x + bar.length, bar.y - y + bar.height)
        place = [factor * corner + MARGIN_PX for corner in corners]
        texts = read_text(framed)
        if not any("m" in text.text.casefold() for text in texts):  # no unit
            break
        lengths = [
            (_distance(text.box, place), length)
            for text in texts
            if text.confidence >= CERTAIN and (length := parse_length(text.text))
        ]
        if lengths:
            read.append(min(lengths)[1])
    return read[0] if len(read) > 1 and len(set(read)) == 1 else None


def _frames(other: Bar, bar: Bar) -> bool:
    """Whether another rectangle shows that one is the outline, the smoothed edge or the box of a bar, not the bar."""
    apart = max(other.y - (bar.y + bar.height), bar.y - (other.y + other.height))
    common = min(bar.right, other.right) - max(bar.x, other.x)
    if other is bar or apart > GAP or common < min(bar.length, other.length) - FRINGE:
        return False
    thinner = bar if bar.height < other.height else other
    if abs(bar.length - other.length) <= FRINGE and thinner.height == 1:
        return (other.height, -other.y) > (bar.height, -bar.y)
    return (bar.length, other.height, -other.y) > (other.length, bar.height, -bar.y)


def _are_parts(bar: Bar, other: Bar) -> bool:
    """Whether two bars lie on one line, one soon after the other: halves beside a text, or steps of a ruler."""
    apart = max(bar.x, other.x) - min(bar.right, other.right)
    level = abs(2 * (bar.y - other.y) + bar.height - other.height) <= 2 * ENDS
    return level and -ENDS <= apart <= PARTS_APART * max(bar.length, other.length)


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Distance between two boxes; 0 where they overlap."""
    across = max(0.0, one[0] - other[2], other[0] - one[2])
    along = max(0.0, one[1] - other[3], other[1] - one[3])
    return math.hypot(across, along)
