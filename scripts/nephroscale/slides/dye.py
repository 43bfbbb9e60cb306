"""The one dye of a fluorescence picture in colour, and what was drawn on the picture in other colours.

The picture of one dye is a line in RGB: from the background into the dye's colour, whatever its hue. Bars, text and
arrows in another colour lie off it, in few colours and with sharp edges. What else lies off it is a second picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.false_colour import colour_table
from nephroscale.slides.tint import fit_line

FITTED = 200_000  # pixels that the line is fitted on
BINS = 24  # of the strongest channel, each with equally many pixels, and as many of equal width
CLIPPED = 250.0  # level of 255 from which on a channel may be saturated, where the line bends
OFF = 18.0  # distance from the line, in levels of 255, from which on a pixel is not of the dye;
OFF_SHARE, LEAST_OFF = 0.25, 4.0  # in a dim picture this share of its range, but not less;
NOISES = 6.0  # and in standard deviations of the noise
NEIGHBOURS = 3  # pixels of 3 x 3 that are off the line, itself included: noise is alone
COLOURS, SHARE, LIKE = 4, 0.1, 24  # colours of marks: how many, their least share of the pixels off the line, reach
PEAKED = 0.45  # share of the pixels in a mark's colour that are within a third of the reach
DRAWN = 45.0  # distance of a mark
STEP = 0.5  # distance from the line beside a mark, as a share of that in it
MOST_DRAWN, LARGEST_REST = 0.06, 0.005  # shares of the picture in a mark's colour, and in neither that nor the dye's
COARSE = 4  # pixels
EXPOSURES = (1.4, 2.0, 2.8, 4.0)  # of clipped pixels, in terms of the one that would just clip
ROWS = 256  # that are computed at once, so that memory stays small
MERGE = (
    "its colours are not those of one dye: it is a merge of several channels, false-coloured, or has text in colour "
    "that JPEG has smeared; save the marker's channel alone, without text, or name it in the column channel"
)


class Dye(NamedTuple):
    """A picture in colour as that of one dye.

    Attributes
    ----------
    channel
        The colour channel with the largest range, which has the least rounding.
    drawn
        bool [h, w], pixels in other colours.
    """

    channel: int
    drawn: np.ndarray


def separate_dye(rgb: np.ndarray, valid: np.ndarray) -> Dye:
    """Separate the picture of one dye from what was drawn on it in other colours.

    Parameters
    ----------
    rgb
        uint8 or uint16 [h, w, 3].
    valid
        bool [h, w], pixels that the file has.

    Raises
    ------
    Rejected
        When structure is left off the dye's line: two pictures are merged, or the colours are false.
    """
    if not valid.any():
        return Dye(0, np.zeros(valid.shape, bool))
    sample = rgb[valid][:: max(1, int(valid.sum()) // FITTED)].astype(np.float32)
    full = full_scale(sample) / 255
    sample /= full
    if table := colour_table(sample):
        raise Rejected(
            f"it is false-coloured (by a colour table like {table}); save the marker's channel in grey or in one colour"
        )
    inside = sample[sample.max(axis=1) < CLIPPED]
    line = _fit_line(inside if len(inside) > len(sample) // 2 else sample)
    channel = int(np.argmax(np.round(line[1] + 1e-3 * line[0], 6)))
    noise = 1.4826 * float(np.median(_distances(sample, line)))
    low, high = np.percentile(sample.max(axis=1), [50, 99.5])
    limit = max(NOISES * noise, min(OFF, OFF_SHARE * float(high - low)), LEAST_OFF)
    distance = np.concatenate(
        [_distances(rgb[y : y + ROWS] / np.float32(full), line).astype(np.float16) for y in range(0, len(rgb), ROWS)]
    )
    distance[~valid] = 0
    off = _in_company(distance > max(limit, DRAWN))
    drawn = np.zeros_like(off)
    for window, part in components(off & _in_few_colours(rgb, off, max(1, int(LIKE * full))), NEIGHBOURS):
        ring = dilated(part, 3) & ~dilated(part, 2)
        if ring.any() and np.median(distance[window][ring]) <= STEP * np.median(distance[window][part]):
            drawn[window] |= part
    if drawn.mean() > MOST_DRAWN:
        raise Rejected(MERGE)
    near = dilated(drawn, 4)
    _refuse_merge(rgb, near | ~valid, full, line, limit)
    return Dye(channel, dilated(drawn | (near & (distance > limit)), 1) if drawn.any() else drawn)


def _refuse_merge(rgb: np.ndarray, known: np.ndarray, full: float, line: np.ndarray, limit: float) -> None:
    """Refuse structure off the line, in means of 4 x 4 pixels, in which the colours of JPEG are right."""
    size = (max(1, rgb.shape[1] // COARSE), max(1, rgb.shape[0] // COARSE))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) / np.float32(full)
    left = cv2.resize(known.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) == 0
    left &= ~dilated(~left, 1)
    if left.any() and float((_distances(small, line) > limit)[left].mean()) > LARGEST_REST:
        raise Rejected(MERGE)


def full_scale(counts: np.ndarray) -> float:
    """Give the highest value that a camera of 8, 10, 12, 14 or 16 bits can give, of the one that gave these counts."""
    top = float(counts.max()) if counts.size else 0.0
    return next((full for full in (255.0, 1023.0, 4095.0, 16383.0) if top <= full), 65535.0)


def dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Grow a mask by some pixels to all sides."""
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0)


def components(mask: np.ndarray, least: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield each connected part of at least so many pixels: a window with a margin of six pixels, and its mask."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    for index in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= least) + 1:
        x, y, w, h = (int(value) for value in stats[index, :4])
        window = np.s_[max(0, y - 6) : y + h + 6, max(0, x - 6) : x + w + 6]
        yield window, labels[window] == index


def _fit_line(sample: np.ndarray) -> np.ndarray:
    """Fit colour over strongest channel, [2, 3] (at 0, and per level), to the medians of pixels of like levels.

    Bins weigh as many as they have pixels, by least absolute residuals, so that few drawn pixels count little.
    """
    level = sample.max(axis=1)
    order = np.argsort(level, kind="stable")
    edges = np.linspace(level[order[0]], np.percentile(level, 99.9), BINS + 1)[1:-1]
    cuts = np.unique([*np.linspace(0, len(level), BINS + 1).astype(int)[1:-1], *np.searchsorted(level[order], edges)])
    parts = [part for part in np.split(order, cuts) if len(part)]
    levels = np.array([np.median(level[part]) for part in parts], float)
    medians = np.array([np.median(sample[part], axis=0) for part in parts])
    return fit_line(levels, medians, np.array([len(part) for part in parts], float))


def _distances(colours: np.ndarray, line: np.ndarray) -> np.ndarray:
    level = colours.max(axis=-1, keepdims=True)
    fitted = (line[0] + level * line[1]).astype(np.float32)
    apart: np.ndarray = np.linalg.norm(colours - fitted, axis=-1)
    clipped = level[..., 0] >= CLIPPED
    if clipped.any():  # more light goes into the other channels, too
        some, below = colours[clipped], fitted[clipped]
        ways = [apart[clipped], *(np.linalg.norm(some - np.minimum(more * below, 255), axis=-1) for more in EXPOSURES)]
        apart[clipped] = np.min(ways, axis=0)
    return apart


def _in_company(off: np.ndarray) -> np.ndarray:
    """Drop pixels that are alone."""
    counts = cv2.boxFilter(off.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return off & (counts >= NEIGHBOURS)


def _in_few_colours(rgb: np.ndarray, off: np.ndarray, width: int) -> np.ndarray:
    """Mark pixels in the colours that many pixels off the line share."""
    colours, found = rgb[off].astype(np.int32), np.zeros(off.shape, bool)
    left = np.ones(len(colours), bool)
    for _ in range(COLOURS):
        if left.sum() <= SHARE * len(colours):
            break
        kinds, counts = np.unique(colours[left] // width, axis=0, return_counts=True)
        kind = (kinds[counts.argmax()] + 0.5) * width
        centre = np.median(colours[left][(np.abs(colours[left] - kind) <= width).all(axis=1)], axis=0)
        like = left & (np.abs(colours - centre) <= width).all(axis=1)
        if like.sum() < SHARE * len(colours):
            break
        left &= ~like
        if (np.abs(colours[like] - centre) <= width / 3).all(axis=1).mean() >= PEAKED:
            found[off] |= like
    return found
