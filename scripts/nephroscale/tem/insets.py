"""Find framed insets on a TEM image: a part at another magnification, or another picture, inside a drawn rectangle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nephroscale.tem.lines import Line
from nephroscale.tem.shapes import Window

LEAST, MOST_AREA = 48, 0.45  # pixels of a side, and share of the image
MOST = 40  # lines in each direction, the longest, that may be sides
ALIKE, GAP = 10, 4  # levels by which the sides of a frame may differ, and pixels of it in a row that differ by more
MEET, ALONG = 3, 0.9  # pixels between a side and the border, at which it is; share of a side that has its level
CORNER = 6  # pixels of a side at its ends that are not compared
NEAR, BEYOND, BESIDE = 2, 12, 12  # pixels from a line to those compared, to those beyond at most, and of a strip
LONG, TELLING, SAME = 96, 0.4, 0.4  # pixels of a side from which on lines are compared; correlation
# of lines on one side of the frame as far from each other; share of it across the frame
FINER = 1.5  # times as much fine texture on one side of the frame as on the other


def find_insets(image: np.ndarray, rows: list[Line], columns: list[Line]) -> Iterator[Window]:
    """Find rectangles with a drawn frame whose content does not go on outside.

    A frame drawn round a place of the tissue is no inset. Sides of an inset may lie at the border of the image. One
    side is a line that was found; the others have its level.

    Parameters
    ----------
    image
        uint8 [h, w].
    rows
        Lines along rows.
    columns
        Lines along columns, in the image with rows and columns exchanged.

    Yields
    ------
    tuple of slice
        Rows and columns of an inset, with the frame.
    """
    for picture, lines in ((image, rows), (image.T, columns)):
        for line in sorted(lines, key=lambda line: line.columns.start - line.columns.stop)[:MOST]:
            for inset in _rectangles_at(picture, line):
                thick = line.rows.stop - line.rows.start
                if _is_other(picture, inset, thick):
                    yield inset if picture is image else (inset[1], inset[0])


def _rectangles_at(image: np.ndarray, line: Line) -> Iterator[Window]:
    """Yield the rectangles below and above a line along a row that have sides of its level, or the image's border."""
    width = image.shape[1]
    thick = line.rows.stop - line.rows.start
    start, stop = line.columns.start, line.columns.stop
    if stop - start < LEAST:
        return
    for below in (True, False):
        onward = image[line.rows.start :] if below else image[: line.rows.stop][::-1]
        reach = [
            len(onward) if at_border else _length(onward, (first, last), line.level)
            for at_border, first, last in (
                (start <= MEET, start, start + thick),
                (stop >= width - MEET, stop - thick, stop),
            )
        ]
        length = min(reach)
        if length < LEAST or length * (stop - start) > MOST_AREA * image.size:
            continue
        if len(onward) - length > MEET:
            opposite = onward[max(0, length - thick) : length, start + CORNER : stop - CORNER].astype(np.float32)
            if (np.abs(np.median(opposite, axis=0) - line.level) <= ALIKE).mean() < ALONG:
                continue
        else:
            length = len(onward)
        first = line.rows.start if below else line.rows.stop - length
        yield np.s_[
            first : first + length,
            0 if start <= MEET else start : width if stop >= width - MEET else stop,
        ]


def _length(image: np.ndarray, columns: tuple[int, int], level: float) -> int:
    """Count the rows from the first on, in which a band of columns has a level; it may be a pixel to the side."""
    first, last = columns
    most = 0
    for aside in (-1, 0, 1):
        band = image[:, max(0, first + aside) : last + aside].astype(np.float32)
        own = np.abs(np.median(band, axis=1) - level) <= ALIKE
        places = np.flatnonzero(np.append(own, False))
        gaps = np.flatnonzero(np.diff(places) > GAP + 1)
        if places.size and places[0] <= GAP:
            most = max(most, int(places[gaps[0]] if gaps.size else places[-1]) + 1)
    return most


def _is_other(image: np.ndarray, inset: Window, thick: int) -> bool:
    """Whether the picture inside a frame is another than that outside, by its content or its fine texture."""
    (rows, columns), (height, width) = inset, image.shape
    sides = [
        (image, rows.start, rows.start + thick, columns),
        (image[::-1], height - rows.stop, height - rows.stop + thick, columns),
        (image.T, columns.start, columns.start + thick, rows),
        (image.T[::-1], width - columns.stop, width - columns.stop + thick, rows),
    ]
    usual, over, finer = [], [], []
    for picture, first, last, along in sides:
        outside, inside = first - NEAR, last - 1 + NEAR
        if outside - BEYOND < 0:
            continue
        some = slice(along.start + thick + CORNER, along.stop - thick - CORNER)
        beyond = min(inside - outside, BEYOND)
        far, one, other, farther = (
            picture[at, some].astype(np.float32) for at in (outside - beyond, outside, inside, inside + beyond)
        )
        usual += [_correlation(far, one), _correlation(other, farther)]
        over.append(_correlation(one, other))
        texture = [_texture(picture[at : at + BESIDE, some]) for at in (outside - BESIDE, inside + 1)]
        finer.append(texture[0] / max(texture[1], 1e-6))
    if len(over) < 2:
        return False
    expected = float(np.mean(usual))
    comparable = (
        len(over) > 2 and min(rows.stop - rows.start, columns.stop - columns.start) >= LONG and expected >= TELLING
    )
    breaks_off = float(np.mean(over)) <= SAME * expected and max(over) <= expected
    return (comparable and breaks_off) or min(finer) >= FINER or max(finer) <= 1 / FINER


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other) / max(1e-6, float(np.linalg.norm(one) * np.linalg.norm(other)))


def _texture(strip: np.ndarray) -> float:
    """Mean difference of neighbours along the longer side of a strip."""
    return float(np.abs(np.diff(strip.astype(np.float32), axis=1)).mean())
