"""The one tint of a picture without colours of its own, and what was drawn on it in other colours.

An electron micrograph has no colour: in a file with colours its pixels lie on a line in RGB, the grey one, or that of
an evenly tinted scan of a print. Pixels off that line were drawn: bars, text, arrows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.uneven_tint import distance_from_surroundings, keep_shapes

FALSE_COLOURED = "its colours are not one tint: it is false-coloured; export it in grey"
BLUE = 2  # channel
YELLOW = 0.7  # red of a yellow stain, as a share of its green, both above its blue
USUAL = 4.0  # times the median distance from the tint, up to which a colour may be that of a stain
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue (Rec. 601)."""

GREY = 3.0  # levels; farther from grey is a colour
BAND = 256  # rows
FITTED = 200_000  # pixels that the line is fitted on
BINS = 24  # of luma, each with equally many pixels
DRAWN = 18.0  # distance from the line, in levels of 255, from which on a pixel was drawn
EDGE = 7.0  # the same for pixels beside a drawn one: the smoothed edge of a letter
NOISES = 6.0  # both limits are at least this many, and half as many, standard deviations of the chroma's noise
SPREAD, THIN = 33, 0.3  # pixels, and the share of the strongest colour among them from which on a pixel was drawn
MOST_NOISE = 7.0  # a picture whose chroma scatters more has colours of its own, or is a print with large stains
NEUTRAL, FAINT = 1.0, 9.0  # levels of a grey picture's tint and noise, and distance from which on it has drawn pixels
ONE_HUE, ON_LINE = 0.9, 6.0  # share of the variance along one hue, and distance of usual colours from a line, of stains
MOST_DRAWN = 0.3
CAMERA_BITS = (10, 12, 14, 16)
LEAST_RISE, ABSENT = 0.05, 13  # slope of a channel over luma, and level of 255 up to which it may be level
LEAST_RANGE = 20  # levels of luma that show a slope


@dataclass(frozen=True)
class Tinted:
    """A picture without colours of its own.

    Parameters
    ----------
    luma
        float32 [h, w], in the units of the picture.
    drawn
        bool [h, w], pixels in another colour.
    """

    luma: np.ndarray
    drawn: np.ndarray


def separate_tint(pixels: np.ndarray) -> Tinted:
    """Separate a picture of one tint from what was drawn on it in colour.

    Parameters
    ----------
    pixels
        [h, w, 3] RGB of any type of number.

    Raises
    ------
    Rejected
        When the colours are neither one tint nor drawn marks: the picture is false-coloured.
    """
    luma = np.empty(pixels.shape[:2], np.float32)
    scale = _full_scale(pixels)
    farthest = 0.0
    for start in range(0, len(luma), BAND):  # most pictures are grey; the colours of a montage fill the memory
        band = np.s_[start : start + BAND]
        colours = pixels[band].astype(np.float32)
        luma[band] = colours @ LUMA
        farthest = max(farthest, float(np.abs(colours - luma[band][..., None]).max()))
    if farthest <= GREY * scale:
        return Tinted(luma, np.zeros(luma.shape, bool))
    chroma = pixels.astype(np.float32) - luma[..., None]
    tint = _fit_tint(luma, chroma, scale)
    colours = np.asarray(chroma - (tint.line[0] + luma[..., None] * tint.line[1]).astype(np.float32))
    distance = np.linalg.norm(colours, axis=-1) / scale
    noise = 1.4826 * float(np.median(distance))
    stained = noise > MOST_NOISE
    if stained and not _may_be_stained(colours, tint):
        raise Rejected(FALSE_COLOURED)
    # The colours of a scanned print scatter, those of a grey picture do not: all that has a colour there was drawn.
    neutral = noise <= NEUTRAL and tint.strongest <= NEUTRAL
    least, edge_least = (FAINT, FAINT / 2) if neutral else (max(DRAWN, NOISES * noise), max(EDGE, NOISES / 2 * noise))
    if not neutral and (distance > least).any():
        beyond = np.minimum(distance, distance_from_surroundings(luma, colours, scale) / scale)
        if stained:
            noise = 1.4826 * float(np.median(beyond))
            least, edge_least = max(DRAWN, NOISES * noise), max(EDGE, NOISES / 2 * noise)
            if noise > MOST_NOISE:
                raise Rejected(FALSE_COLOURED)
        else:
            beyond = np.where(_is_warm(colours), beyond, distance)
        distance = keep_shapes(distance, beyond, least)
    # JPEG spreads the colour of a mark thinly over its surroundings.
    strongest = cv2.dilate(distance, np.ones((SPREAD, SPREAD), np.uint8))
    off = (distance > np.maximum(least, THIN * strongest)).astype(np.uint8)
    edge = distance > np.maximum(edge_least, THIN / 2 * strongest)
    drawn = (off > 0) | ((cv2.dilate(off, np.ones((5, 5), np.uint8)) > 0) & edge)
    if drawn.mean() > MOST_DRAWN:
        raise Rejected(
            f"{drawn.mean():.0%} of it are in other colours than the rest: it is false-coloured or covered by marks; "
            "export it in grey, without marks"
        )
    return Tinted(luma, drawn)


def _full_scale(pixels: np.ndarray) -> float:
    """One level of 255, in the units of the picture, on the scale of the camera's bits where they are fewer."""
    if pixels.dtype == np.uint8:
        return 1.0
    if pixels.dtype.kind == "u":
        top = int(np.iinfo(pixels.dtype).max)
        some = pixels.reshape(-1, 3)[:: max(1, pixels.size // (3 * FITTED))]
        below = some[some < top]  # marks may be white in the file's bits
        high = float(np.percentile(below if below.size > some.size // 2 else some, 99.5))
        return float(min([top, *(2**bits - 1 for bits in CAMERA_BITS if 2**bits > high)])) / 255
    low, high = (float(level) for level in np.percentile(pixels, [0.5, 99.5]))
    return max(high - low, float(np.finfo(np.float32).tiny)) / 255


def fit_line(levels: np.ndarray, colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Fit a straight line through colours by least absolute distances, with iteratively reweighted squares.

    Parameters
    ----------
    levels
        Levels [N] along the line.
    colours
        Their colours [N, 3].
    counts
        Their weights [N].

    Returns
    -------
    np.ndarray
        Offset and slope [2, 3] of the line.
    """
    design = np.stack([np.ones(len(levels)), levels], axis=1)
    weights, line = counts, np.zeros((2, 3))
    for _ in range(20):
        weighted = design * weights[:, None]
        line = np.linalg.lstsq(weighted.T @ design, weighted.T @ colours, rcond=None)[0]
        weights = counts / np.maximum(np.linalg.norm(colours - design @ line, axis=1), 0.25)
    return line


def _refuse_falling(levels: np.ndarray, line: np.ndarray) -> None:
    """Reject colours of which one falls, or stays where it is, while the others rise: those of a table, not of a tint.

    The line is that of the chroma: luma is added to it. A channel that is absent may stay where it is.
    """
    spread = levels[-2] - levels[1]
    rise, middle = 1 + line[1], line[0] + (1 + line[1]) * float(np.median(levels))
    level = (rise < LEAST_RISE) & ((middle > ABSENT) | (rise < -LEAST_RISE))
    if spread >= LEAST_RANGE and level.any():
        raise Rejected(
            "its colours are not one tint, as one falls or stays where others rise: it is false-coloured; export it "
            "in grey"
        )


@dataclass(frozen=True)
class _Tint:
    """The tint of a picture.

    Parameters
    ----------
    line
        Offset and slope [2, 3] of the chroma over luma.
    strongest
        Largest distance of the usual colours from grey, in levels of 255.
    away
        Mean distance of the usual colours from the line, in levels of 255.
    """

    line: np.ndarray
    strongest: float
    away: float


def _fit_tint(luma: np.ndarray, chroma: np.ndarray, scale: float) -> _Tint:
    """Fit the picture's tint, a straight line over luma, to the chroma [h, w, 3].

    The line is fitted on the median chroma of pixels of like luma, with weights by which bins that are mostly drawn
    count little (iteratively reweighted least squares for absolute residuals).
    """
    step = max(1, luma.size // FITTED)
    some, colours = luma.ravel()[::step], chroma.reshape(-1, 3)[::step]
    parts = np.array_split(np.argsort(some, kind="stable"), BINS)
    levels = np.array([np.median(some[part]) for part in parts])
    medians = np.array([np.median(colours[part], axis=0) for part in parts])
    line = fit_line(levels, medians, np.ones(len(parts)))
    _refuse_falling(levels / scale, np.stack([line[0] / scale, line[1]]))
    tints = line[0] + levels[:, None] * line[1]
    strongest = float(np.linalg.norm(tints, axis=1).max()) / scale
    return _Tint(line, strongest, float(np.linalg.norm(medians - tints, axis=1).mean()) / scale)


def _may_be_stained(colours: np.ndarray, tint: _Tint) -> bool:
    """Whether colours beyond the tint [h, w, 3] are those of stains: one warm hue, whatever the level.

    False colours have several hues, or one that depends on the level.
    """
    some = colours.reshape(-1, 3)[:: max(1, colours.size // (3 * FITTED))]
    away = np.linalg.norm(some, axis=-1)
    some = some[away <= USUAL * np.median(away)]  # the colours of marks are farther away
    values, axes = np.linalg.eigh(np.cov(some, rowvar=False))
    hue = axes[:, -1] * np.sign(axes[0, -1])
    warm = hue[0] > 0 and int(hue.argmin()) == BLUE
    return tint.away <= ON_LINE and warm and bool(values[-1] >= ONE_HUE * values.sum())


def _is_warm(colours: np.ndarray) -> np.ndarray:
    """Whether pixels are redder or yellower than the tint, as stains and yellowed paper are: bool [h, w]."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    return np.asarray(red - blue >= YELLOW * np.maximum(0, green - blue))
