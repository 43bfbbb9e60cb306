"""Find tissue: by colour and darkness on bright glass, by signal on a dark background."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from skimage.filters import threshold_otsu, threshold_triangle

# Bounds of Otsu's threshold: glass of any stain is below the lower one, stained tissue above the upper one. Without
# them the threshold would divide the tissue itself in a field full of tissue.
SATURATION = (6, 20)
SEPARATE = 0.8  # fraction of the variance between two classes; within one uniform or normal class it is 0.64 to 0.75
DARKNESS = (40, 90)
ABSORBED = 10
ROUGHNESS = 1.5
ROUGHNESS_OF_INK = 4.0
# Hue (0 to 180) of felt pens, green to blue. Dyes in tissue are less saturated or textured.
PEN_HUE = (35, 128)
PEN_SATURATION = 90
# Red pens absorb green and blue alike; eosin, magenta and blood are less saturated.
RED_HUE = (8, 168)
RED_SATURATION = 150
RED_SATURATION_EDGE = 130
PEN_SATURATION_MASSON = 170
OTHER_SATURATION = 140
BLACK_PEN_VALUE = 75
# Pale pink ink has the colours of eosin and PAS. It is even, as no tissue is that is in focus, and lies on glass.
PINK_HUE = (8, 140)
PINK_SATURATION = 55
ROUGHNESS_OF_PINK = 2.0
GLASS_SATURATION = 40
BESIDE_PEN_UM = (16, 48)
# Widths of strokes and length of a thin one, µm. Thin ones are looked for in green and blue alone: blood is red, silver
# black, and collagen in Masson blue.
PEN_UM = 100
THIN_PEN_UM = 45
THIN_PEN_LENGTH_UM = 500
# A fill: levels within which it is even, levels from which on it is not background, and share of the picture.
EVEN = 4
FILL_ABSORBED = 25
FILL_SHARE = 0.01
FILL_ALONG = 0.5  # of a side of a fluorescence picture, in which saturated signal is even too
PEN_SHARE = 0.5


class TissueMask(NamedTuple):
    """Masks at the scale of the image that they were found in.

    Attributes
    ----------
    tissue
        bool [h, w].
    pen
        bool [h, w], marks of felt pens, which are never tissue.
    """

    tissue: np.ndarray
    pen: np.ndarray


def find_bright_tissue(rgb: np.ndarray, valid: np.ndarray, mpp: float, stain: str = "") -> TissueMask:
    """Find tissue on bright glass.

    Tissue has a saturation above Otsu's threshold, or (silver stains are nearly grey) a darkness above another. Pen
    marks and areas that were not scanned are removed, specks smaller than a glomerulus dropped and small holes filled.

    Parameters
    ----------
    rgb
        uint8 [h, w, 3].
    valid
        bool [h, w], pixels that the file has.
    mpp
        µm per pixel of the image.
    stain
        Name of the stain; blue and green of Masson are separated from pens by saturation.

    References
    ----------
    Otsu, A threshold selection method from gray-level histograms, IEEE Trans SMC 9:62 (1979).
    """
    smooth = cv2.medianBlur(rgb, 5) if min(rgb.shape[:2]) > 5 else rgb
    white = estimate_white_point(rgb, valid)
    absorbs = np.logical_or.reduce([white[n] - rgb[..., n] > FILL_ABSORBED for n in range(3)])
    fill = find_fill(rgb, valid & absorbs)
    valid = valid & ~fill
    pen = find_pen(np.where(fill[..., None], np.uint8(255), smooth), mpp, stain) & valid  # a dark fill is no ink
    usable = valid & ~pen
    if not usable.any():
        return TissueMask(np.zeros_like(valid), pen)
    smooth = _balance(smooth, usable)
    hsv = cv2.cvtColor(smooth, cv2.COLOR_RGB2HSV)
    brightest = int(np.percentile(hsv[..., 2][usable], 95))
    saturation = hsv[..., 1]
    darkness = np.clip(brightest - hsv[..., 2].astype(np.int16), 0, 255).astype(np.uint8)
    # Saturation is noise where nothing is absorbed.
    absorbed = brightest - np.minimum.reduce(cv2.split(smooth)).astype(np.int16) > ABSORBED
    tissue = (saturation > _threshold(saturation[usable], SATURATION)) & absorbed
    tissue |= (darkness > _threshold(darkness[usable], DARKNESS)) & _textured(smooth, mpp)
    return TissueMask(_tidy(tissue & usable, mpp) & usable, pen)


def find_dark_tissue(grey: np.ndarray, valid: np.ndarray, mpp: float) -> TissueMask:
    """Find bright tissue on a dark background.

    The image is smoothed over 10 µm; its darkest fifth is the background. The threshold is the lower of Otsu's and the
    triangle threshold, but above the noise. An image without signal above the noise has no tissue. Even areas along a
    side of the picture were not scanned.

    Parameters
    ----------
    grey
        uint8 or uint16 [h, w].
    valid
        bool [h, w], pixels that the file has.
    mpp
        µm per pixel of the image.

    References
    ----------
    Zack et al, Automatic measurement of sister chromatid exchange frequency, J Histochem Cytochem 25:741 (1977).
    """
    nothing = np.zeros(grey.shape, bool)
    if not valid.any():
        return TissueMask(nothing, nothing)
    low, high = np.percentile(grey[valid], [5, 99.9])
    levels = np.clip((grey.astype(np.float32) - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)
    valid = valid & ~find_fill(levels[..., None], valid & (levels > FILL_ABSORBED), FILL_ALONG)
    if not valid.any():
        return TissueMask(nothing, nothing)
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), max(0.8, 5 / mpp))
    values = smooth[valid]
    low = float(np.percentile(values, 5))
    dark = values[values <= np.percentile(values, 20)]
    noise = 1.4826 * float(np.median(np.abs(dark - np.median(dark))))
    top = float(np.percentile(values, 99.9))
    span = top - low
    floor = low + max(6 * noise, 0.02 * span)
    if span < 6 * max(noise, 0.5) or span < 0.1 * low:
        return TissueMask(nothing, nothing)
    clipped = np.clip(values, low, top)
    otsu = float(threshold_otsu(clipped, 256))  # type: ignore[no-untyped-call]
    triangle = float(threshold_triangle(clipped, 256))  # type: ignore[no-untyped-call]
    threshold = max(floor, min(otsu, triangle))
    return TissueMask(_tidy((smooth > threshold) & valid, mpp) & valid, nothing)


def find_fill(pixels: np.ndarray, possible: np.ndarray, along: float = 0.0) -> np.ndarray:
    """Find areas that were not scanned, and that a program has filled with one colour.

    Such an area is even, unlike tissue, at least 1 % of the picture, and reaches its border.

    Parameters
    ----------
    pixels
        uint8 [h, w, c], a slide at a coarse scale.
    possible
        bool [h, w], pixels that the file has and that are no background.
    along
        Smallest fraction of one side of the picture that the area touches.

    Returns
    -------
    ndarray
        bool [h, w], with the rim of pixels in which the fill and the picture mix.
    """
    side = 5
    fill = np.zeros(possible.shape, bool)
    if min(fill.shape) <= side:
        return fill
    kernel = np.ones((side, side), np.uint8)
    smooth = cv2.blur(pixels, (3, 3)).reshape(pixels.shape)
    spread = cv2.dilate(smooth, kernel) - cv2.erode(smooth, kernel)
    even = (spread.reshape(pixels.shape).max(axis=-1) <= EVEN) & possible
    _, labels, stats, _ = cv2.connectedComponentsWithStats(even.astype(np.uint8), connectivity=4)
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    for number in np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= FILL_SHARE * labels.size):
        touching = any((edge == number).sum() >= max(side, along * edge.size) for edge in edges)
        if number and touching and pixels[labels == number].std(axis=0).max() <= EVEN:
            fill |= labels == number
    # The filters end before the border of the fill.
    return cv2.dilate(fill.astype(np.uint8), np.ones((2 * side + 1, 2 * side + 1), np.uint8)) > 0


def find_pen(rgb: np.ndarray, mpp: float, stain: str = "") -> np.ndarray:
    """Find marks of felt pens: red, green, blue, black, vivid ones of other colours, and pale pink ones on glass.

    Parameters
    ----------
    rgb
        uint8 [h, w, 3].
    mpp
        µm per pixel.
    stain
        Name of the stain.

    Returns
    -------
    ndarray
        bool [h, w].
    """
    hue, saturation, value = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))
    blue_green, red = (hue >= PEN_HUE[0]) & (hue <= PEN_HUE[1]), (hue <= RED_HUE[0]) | (hue >= RED_HUE[1])
    black = (value < BLACK_PEN_VALUE) & ((saturation < 110) | (value < BLACK_PEN_VALUE // 2))
    absorbing = (saturation > SATURATION[1]) | (value < 255 - DARKNESS[1])
    textured = _textured(rgb, mpp)
    masson = stain.lower().startswith("masson")
    least, paler = (PEN_SATURATION_MASSON, None) if masson else (PEN_SATURATION, PEN_SATURATION // 3)
    inks, pale, coloured = black.copy(), black.copy(), np.zeros_like(black)
    for within, core, edge in ((blue_green, least, paler), (red, RED_SATURATION, RED_SATURATION_EDGE)):
        ink = within & (saturation >= core)
        if (ink & textured).sum() > PEN_SHARE * absorbing.sum():
            continue  # a larger fraction of textured pixels is the stain, not a mark
        inks |= ink
        if within is blue_green and not masson:
            coloured = ink
        if edge is not None:
            pale |= within & (saturation >= edge)
    # A stroke is broad and even; an opening of 100 µm removes nuclei and silver fibres.
    cores, grown = _strokes(inks, PEN_UM / mpp)
    thin, around = _strokes(coloured, THIN_PEN_UM / mpp, THIN_PEN_LENGTH_UM / mpp)
    # Violet, orange and brown are colours of dyes, too. In tissue of such a colour there is texture.
    vivid = (saturation >= OTHER_SATURATION) & ~blue_green & ~red
    vivid, beside = _strokes(vivid & ~_textured_within(rgb, vivid, mpp, ROUGHNESS_OF_INK), PEN_UM / mpp)
    beside = (cv2.dilate(beside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & (saturation >= PEN_SATURATION // 2)
    pink, edge_of_pink = _pink_strokes(rgb, hue, saturation, absorbing, mpp)
    cores, grown = cores | thin | vivid | pink, grown | around | beside | edge_of_pink
    if not cores.any():
        return np.zeros(cores.shape, bool)
    # The edge of a stroke is paler than its core.
    _, labels = cv2.connectedComponents(
        cv2.morphologyEx(pale.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    )
    touched = np.unique(labels[cores])
    return np.asarray(grown | np.isin(labels, touched[touched > 0]))


def _pink_strokes(
    rgb: np.ndarray, hue: np.ndarray, saturation: np.ndarray, absorbing: np.ndarray, mpp: float
) -> tuple[np.ndarray, np.ndarray]:
    """Areas of pale pink ink, and the same with their edges: even, long, and mostly beside glass."""
    pink = ((hue <= PINK_HUE[0]) | (hue >= PINK_HUE[1])) & (saturation >= PINK_SATURATION)
    even = pink & ~_textured_within(rgb, pink, mpp, ROUGHNESS_OF_PINK)
    if even.sum() > PEN_SHARE * absorbing.sum():  # a stain out of focus
        return np.zeros_like(even), np.zeros_like(even)
    cores, grown = _strokes(even, PEN_UM / mpp, THIN_PEN_LENGTH_UM / mpp)
    near, far = (
        cv2.dilate(grown.astype(np.uint8), np.ones((side, side), np.uint8))
        for side in (2 * max(1, round(um / mpp)) + 1 for um in BESIDE_PEN_UM)
    )
    _, marks = cv2.connectedComponents(far)
    ring = (far > 0) & (near == 0)
    glass = np.bincount(marks[ring & (saturation < GLASS_SATURATION)], minlength=int(marks.max()) + 1)
    beside_glass = glass > PEN_SHARE * np.bincount(marks[ring], minlength=len(glass))
    beside_glass[0] = False
    wanted = beside_glass[marks]
    return cores & wanted, grown & wanted & (saturation >= PINK_SATURATION // 2)


def _strokes(ink: np.ndarray, width: float, length: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Areas of ink at least as wide and as long as given in pixels, and the same dilated by half the width."""
    side = max(3, int(width) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    cores = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    if length:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(cores, connectivity=8)
        long = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) >= length
        cores *= (long & (np.arange(len(long)) > 0))[labels].astype(np.uint8)
    return cores > 0, cv2.dilate(cores, kernel) > 0


def estimate_white_point(rgb: np.ndarray, usable: np.ndarray) -> tuple[float, float, float]:
    """Estimate the colour of empty glass: mean of the brightest 2 % of the pixels, at least 200.

    Parameters
    ----------
    rgb
        uint8 [h, w, 3], a slide at a coarse scale or a field.
    usable
        bool [h, w], pixels to use.
    """
    if not usable.any():
        return 255.0, 255.0, 255.0
    grey = np.add(rgb[..., 0], rgb[..., 1], dtype=np.uint16) + rgb[..., 2]  # sum() along so short an axis is slow
    counts = np.cumsum(np.bincount(grey[usable])[::-1])  # from white on
    least = len(counts) - 1 - int(np.searchsorted(counts, -(-counts[-1] // 50)))
    red, green, blue = np.maximum(rgb[usable & (grey >= least)].mean(0), 200).tolist()
    return round(red, 3), round(green, 3), round(blue, 3)


def _balance(rgb: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Divide by the colour of the glass, so that glass has no saturation."""
    white = np.asarray(estimate_white_point(rgb, usable))
    table = np.clip(np.arange(256)[:, None] * (white.max() / white), 0, 255)
    return cv2.merge([cv2.LUT(rgb[..., n].copy(), table[:, n].round().astype(np.uint8)) for n in range(3)])


def _threshold(values: np.ndarray, bounds: tuple[int, int]) -> float:
    """Compute Otsu's threshold within bounds, or the lower bound if there are not two classes."""
    low, high = bounds
    spread = float(values.var())
    if spread == 0:
        return float(low)
    cut = float(threshold_otsu(values))  # type: ignore[no-untyped-call]
    upper = values > cut
    share = float(upper.mean())
    between = (
        share * (1 - share) * (float(values[upper].mean()) - float(values[~upper].mean())) ** 2
        if 0 < share < 1
        else 0.0
    )
    return float(np.clip(cut, low, high)) if between > SEPARATE * spread else float(low)


def _textured(rgb: np.ndarray, mpp: float) -> np.ndarray:
    """Mark where grey levels vary within 50 µm, as in tissue but not in a shadow or at the edge of a cover slip."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    side = max(5, int(50 / mpp) | 1)
    rough = grey - cv2.GaussianBlur(grey, (0, 0), side / 4)
    return np.asarray(cv2.blur(rough * rough, (side, side)) > ROUGHNESS**2)


def _textured_within(rgb: np.ndarray, mask: np.ndarray, mpp: float, roughness: float) -> np.ndarray:
    """Mark where grey levels of a mask vary by more than `roughness` within 50 µm, whatever lies outside it."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    side = max(5, int(50 / mpp) | 1)
    count = np.maximum(cv2.blur(inside, (side, side)), 1e-3)
    mean, square = (cv2.blur(values * inside, (side, side)) / count for values in (grey, grey * grey))
    return np.asarray(square - mean**2 > roughness**2)


def _tidy(mask: np.ndarray, mpp: float) -> np.ndarray:
    """Close gaps of 30 µm, drop specks below 2000 µm² and fill holes below 20000 µm²."""
    side = max(3, int(30 / mpp) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    kept = _drop_small(closed, 2000 / mpp**2)
    return np.asarray(_drop_small(1 - kept, 20000 / mpp**2) == 0)


def _drop_small(mask: np.ndarray, least: float) -> np.ndarray:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    return np.asarray(keep[labels].astype(np.uint8))
