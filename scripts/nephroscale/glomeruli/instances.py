"""From a probability map to single glomeruli."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from scipy import ndimage
from shapely import transform
from skimage.morphology import reconstruction
from skimage.segmentation import watershed

from nephroscale.glomeruli.contours import Glomerulus, outline, rank
from nephroscale.glomeruli.view import GLASS, View

if TYPE_CHECKING:
    from shapely.geometry import Polygon

NECK = 0.75  # width of a neck, against the narrower of the two bodies it joins, below which they are two
RIM_UM = 12.0  # width of the rim around a contour that has to be tissue for the contour to be whole there
GAP_UM = 60.0  # an empty place that a disc of this diameter fits in is outside the tissue, not a lumen
BRIGHT = 0.9  # share of glass's brightness above which a pixel is empty


@dataclass(frozen=True)
class Found:
    """Glomeruli, the representative one first, and how many contours were of no glomerulus's size."""

    glomeruli: list[Glomerulus]
    too_small: int
    too_large: int


def find_instances(view: View, probability: np.ndarray, settings: dict[str, Any]) -> Found:
    """Cut a probability map into glomeruli.

    Parameters
    ----------
    view
        The slide at the scale of the map.
    probability
        uint8 [h, w], 255ths.
    settings
        The section `glomeruli` of the configuration: `threshold`, `minimum_diameter_um`, `maximum_diameter_um`.
    """
    mpp = view.mpp or 1.0
    smallest, largest = (np.pi / 4 * settings[f"{which}_diameter_um"] ** 2 for which in ("minimum", "maximum"))
    mask = probability >= max(1, round(255 * settings["threshold"]))
    # A hair between two glomeruli is no part of them; this opening is finer than any glomerulus.
    mask = ndimage.binary_opening(mask, iterations=1)
    labels = split_touching(ndimage.binary_fill_holes(mask), smallest_px=settings["minimum_diameter_um"] / mpp)
    outside = _outside(view)
    glomeruli: list[Glomerulus] = []
    too_small = too_large = 0
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        part = labels[box] == index
        polygon = outline(part)
        area = 0.0 if polygon is None else polygon.area * mpp**2
        if polygon is None or area < smallest:
            too_small += 1
            continue
        if area > largest:
            too_large += 1
            continue
        score = float(probability[box][part].mean()) / 255
        raw = _to_raw(polygon, view, (box[1].start, box[0].start))
        completeness = _completeness(part, box, outside, max(1, round(RIM_UM / mpp)))
        glomeruli.append(Glomerulus(raw, score, completeness, area))
    return Found(rank(glomeruli), too_small, too_large)


def split_touching(mask: np.ndarray, smallest_px: float) -> np.ndarray:
    """Split bodies that touch, along the necks between them.

    The seeds are the peaks of the distance to the border; two peaks are one where the ridge between them is not much
    narrower than the lower of them.

    Parameters
    ----------
    mask
        bool [h, w].
    smallest_px
        Diameter of the smallest glomerulus, pixels.

    Returns
    -------
    numpy.ndarray
        int32 [h, w]: 0 outside, else the number of the body.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    padded = np.pad(mask, 1, mode="edge")  # a glomerulus cut by the border keeps its full width there
    distance = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    height = np.log(np.maximum(ndimage.gaussian_filter(distance, smallest_px / 20), 0.1))
    levelled = reconstruction(height + np.log(NECK), height)
    peaks = mask & (height - levelled > -np.log(NECK) - 1e-6)
    # Peaks level with their surroundings come as plateaus; each body keeps at least one seed.
    seeds, count = ndimage.label(peaks, structure=np.ones((3, 3)))
    bodies, total = ndimage.label(mask)
    without = np.setdiff1d(np.arange(1, total + 1), np.unique(bodies[peaks]))
    for body in without:
        count += 1
        seeds[bodies == body] = count
    return watershed(-distance, seeds, mask=mask).astype(np.int32)


def _outside(view: View) -> np.ndarray:
    """Mark what is no tissue: absent tiles, and in OM empty places too wide for a lumen."""
    outside = view.status != 1
    if not view.bright:
        return outside
    empty = np.zeros(view.shape, np.uint8)
    for window in view.windows(1024):
        pixels = view.read(window)
        empty[window.y : window.y + window.h, window.x : window.x + window.w] = pixels.min(axis=2) > BRIGHT * GLASS
    radius = max(1, round(GAP_UM / 2 / (view.mpp or 1.0)))
    disc = (np.hypot(*np.ogrid[-radius : radius + 1, -radius : radius + 1]) <= radius).astype(np.uint8)
    return outside | (cv2.morphologyEx(empty, cv2.MORPH_OPEN, disc) > 0)


def _completeness(part: np.ndarray, box: tuple[slice, slice], outside: np.ndarray, rim: int) -> float:
    """Share of the rim around a contour that lies on the slide and in tissue."""
    reach = rim + 1
    y, x = box[0].start - reach, box[1].start - reach
    height, width = part.shape[0] + 2 * reach, part.shape[1] + 2 * reach
    gone = np.ones((height, width), bool)
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + height, outside.shape[0]), min(x + width, outside.shape[1])
    gone[top - y : bottom - y, left - x : right - x] = outside[top:bottom, left:right]
    body = np.pad(part, reach)
    around = ndimage.binary_dilation(body, ndimage.generate_binary_structure(2, 2), iterations=rim) & ~body
    return float(1 - gone[around].mean())


def _to_raw(polygon: Polygon, view: View, corner: tuple[int, int]) -> Polygon:
    return transform(polygon, lambda points: view.to_raw(points + np.asarray(corner)))
