"""Find air bubbles under the cover glass, by the dark line that refraction draws along their edge."""

from __future__ import annotations

import cv2
import numpy as np

from nephroscale.slides.stain import channel_densities
from nephroscale.slides.tissue import TissueMask, estimate_white_point

LINE_UM = 100  # greatest width of the line
DENSER = (0.25, 0.8)  # optical density of the line above its surroundings, in each channel, is above the smaller,
QUANTILE = 90  # and above this percentile of the tissue, or the larger: lines may be much of a small tissue
DIAMETER_UM = 280  # of the smallest bubble: glomeruli and their capsules are smaller
GAP_UM = 24  # that the line may have
SOLID = 0.92  # least area by that of the convex hull
ROUND = 0.8  # least roundness of the hull, 4 pi area / perimeter²: that of a square is 0.785,
CUT_ROUND = 0.7  # and of a bubble that the border of the picture cuts
MOST_BORDER = 0.5  # of the edge, that the border of the picture may be


def find_bubbles(rgb: np.ndarray, valid: np.ndarray, mask: TissueMask, mpp: float) -> np.ndarray:
    """Find bubbles: smooth convex areas that a thin line encloses, which is dark in all channels.

    What lies under a bubble may look as anything: glass, tissue, or tissue out of focus. A dye darkens one or two
    channels; refraction darkens all.

    Parameters
    ----------
    rgb
        uint8 [h, w, 3], an OM slide at about 8 µm per pixel.
    valid
        bool [h, w], pixels that the file has.
    mask
        Tissue and pen marks.
    mpp
        µm per pixel.

    Returns
    -------
    numpy.ndarray
        bool [h, w], bubbles with their edges, within the tissue.
    """
    found = np.zeros(mask.tissue.shape, np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(1 - _lines(rgb, valid, mask, mpp), connectivity=4)
    least = np.pi * (DIAMETER_UM / 2 / mpp) ** 2
    for number, (x, y, width, height, area) in enumerate(boxes.tolist()):
        # The line takes some pixels of a small bubble. The largest area is what surrounds them.
        if number == 0 or not least / 2 <= area <= found.size / 2:
            continue
        inside = (labels[y : y + height, x : x + width] == number).astype(np.uint8)
        outline = _outline(cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT))
        if outline is not None and _is_bubble(outline, (x - 1, y - 1), found.shape, least / 2):
            cv2.drawContours(found, [cv2.convexHull(outline)], -1, 1, -1, offset=(x - 1, y - 1))
    side = 2 * max(1, round(LINE_UM / 4 / mpp)) + 1
    edged = cv2.dilate(found, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    bubbles: np.ndarray = (edged > 0) & mask.tissue
    return bubbles


def _lines(rgb: np.ndarray, valid: np.ndarray, mask: TissueMask, mpp: float) -> np.ndarray:
    """Thin dark lines, as 0 and 1, with small gaps closed."""
    least = np.full(mask.tissue.shape, np.inf, np.float32)
    for density in channel_densities(rgb, estimate_white_point(rgb, valid & ~mask.pen)):
        least = np.minimum(least, density)
    above = cv2.morphologyEx(least, cv2.MORPH_TOPHAT, _disc(LINE_UM / mpp))
    plain = mask.tissue & ~mask.pen
    usual = float(np.percentile(above[plain], QUANTILE)) if plain.any() else 0.0
    lines = ((above > np.clip(usual, *DENSER)) & valid & ~mask.pen).astype(np.uint8)
    return cv2.morphologyEx(lines, cv2.MORPH_CLOSE, _disc(GAP_UM / mpp))


def _disc(side: float) -> np.ndarray:
    size = max(3, round(side) | 1)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _outline(inside: np.ndarray) -> np.ndarray | None:
    """The longest outline [n, 1, 2] of an area without its thin branches; None where nothing is left."""
    opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, _disc(7))
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(outlines, key=cv2.contourArea, default=None)


def _is_bubble(outline: np.ndarray, corner: tuple[int, int], shape: tuple[int, ...], least: float) -> bool:
    """Whether an outline, counted from a corner, is large, smooth and round, and mostly inside the picture."""
    area, hull = cv2.contourArea(outline), cv2.convexHull(outline)
    whole = cv2.contourArea(hull)
    if area < least or area < SOLID * whole:
        return False
    x, y = outline[:, 0].T + np.array(corner)[:, None]
    border = float(((np.minimum(x, y) < 2) | (x > shape[1] - 3) | (y > shape[0] - 3)).mean())
    roundness = 4 * np.pi * whole / cv2.arcLength(hull, closed=True) ** 2
    return border < MOST_BORDER and roundness > (CUT_ROUND if border else ROUND)
