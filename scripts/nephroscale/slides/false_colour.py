"""Colour tables by which programs show a grey picture in false colours, such as INFERNO, VIRIDIS and JET."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

TABLES = (
    "INFERNO",
    "MAGMA",
    "PLASMA",
    "VIRIDIS",
    "CIVIDIS",
    "JET",
    "TURBO",
    "HOT",
    "PARULA",
    "RAINBOW",
    "HSV",
    "OCEAN",
)
"""Tables of OpenCV whose colours do not lie on a straight line; those of matplotlib and MATLAB among them."""
NEAR = 16.0  # distance from a colour of the table, in levels of 255; JPEG changes colours
LEAST_NEAR = 0.85  # share of the pixels above the background that are so near
ABOVE = 0.15  # of the range of levels, from which on a pixel is above the background
BENT = 25.0  # distance of the table's used colours from a straight line
# The same for colours that are those of the table, in a dim picture without JPEG's noise.
EXACT, LEAST_EXACT = 2.0, 0.95
BENT_EXACT = 3.0
GAP, LEAST_USED = 25, 0.002  # colours of a table in a row, and the share of the pixels that uses them
SAMPLE = 4_000  # pixels
LEAST = 100  # pixels that suffice


def colour_table(sample: np.ndarray) -> str:
    """Name the colour table that the colours of a picture follow; empty where they follow none, or a straight part.

    Parameters
    ----------
    sample
        float [n, 3], pixels in RGB, in levels of 255.
    """
    level = sample.max(axis=1)
    low, high = np.percentile(level, [50, 99.5])
    signal = sample[level > low + ABOVE * max(1.0, float(high - low))]
    if len(signal) < LEAST:  # the picture is bright all over, or has no signal
        signal = sample
    signal = signal[:: max(1, len(signal) // SAMPLE)].astype(np.float32)
    squares = np.square(signal).sum(axis=1)
    for name in TABLES:
        table = _table(name)
        if _most_near(signal, squares, table) < LEAST_NEAR:
            continue
        apart = np.linalg.norm(signal[:, None] - table, axis=-1)
        nearest = apart.min(axis=1)
        if (nearest <= NEAR).mean() >= LEAST_NEAR:
            first, last = np.percentile(_in_one_piece(apart.argmin(axis=1)), [1, 99]).astype(int)
            exact = (nearest <= EXACT).mean() >= LEAST_EXACT
            if _bend(table[first : last + 1]) > (BENT_EXACT if exact else BENT):
                return name
    return ""


def _most_near(signal: np.ndarray, squares: np.ndarray, table: np.ndarray) -> float:
    """Give a bound above the share of the pixels near a table, which is much quicker to find than the share.

    Squared distances from products are off by less than 1, whatever the order of sums.
    """
    apart = (np.square(table).sum(axis=1) - 2 * (signal @ table.T)).min(axis=1) + squares
    return float((apart <= NEAR**2 + 1).mean())


def _in_one_piece(places: np.ndarray) -> np.ndarray:
    """Keep the places in a table that follow those of the median pixel without a gap: a white bar is beyond one."""
    counts = np.bincount(places, minlength=256)
    used = np.convolve(counts, np.ones(GAP), "same") >= LEAST_USED * len(places)
    middle = int(np.median(places))
    empty = np.flatnonzero(~used)
    low, high = empty[empty < middle].max(initial=-1), empty[empty > middle].min(initial=len(used))
    return np.asarray(places[(places > low) & (places < high)])


def _bend(colours: np.ndarray) -> float:
    """Largest distance of colours [n, 3] from the straight line through the first and the last."""
    along = colours[-1] - colours[0]
    length = float(np.linalg.norm(along))
    if length == 0:
        return 0.0
    from_first = colours - colours[0]
    feet = (from_first @ along / length**2)[:, None] * along
    return float(np.linalg.norm(from_first - feet, axis=1).max())


@cache
def _table(name: str) -> np.ndarray:
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], getattr(cv2, f"COLORMAP_{name}"))[:, 0, ::-1]
    return np.ascontiguousarray(colours, np.float32)
