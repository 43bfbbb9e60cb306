"""Separate a probability map into single glomeruli."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from scipy import ndimage
from shapely import transform
from shapely.affinity import translate
from skimage.morphology import reconstruction
from skimage.segmentation import watershed

from nephroscale.glomeruli.contours import Glomerulus, outline, rank, rasterise
from nephroscale.glomeruli.shape import MAX_ELONGATION, is_round, to_convex, without_horns
from nephroscale.glomeruli.tile_view import GLASS, TileView
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapely.geometry import Polygon

    from nephroscale.glomeruli.outlines import Outline
    from nephroscale.glomeruli.settings import DetectionSettings

NECK = 0.75  # two regions are separate if the neck between them is narrower than this part of the smaller one
RIM_UM = 12.0  # width of the rim around a contour; the contour is complete where the rim is tissue
GAP_UM = 60.0  # glass that a disc of this diameter fits in is outside the tissue, not a lumen
MIN_SOLIDITY = 0.7  # a horseshoe around an infiltrate is filled; whatever is less convex is no glomerulus
MOST_UNDER_PEN = 0.25  # part of a contour that a pen mark may cover
SMOOTH = 20  # distances to the border are smoothed by the smallest diameter over this
BRIGHT = 0.9  # a pixel brighter than this part of the level of glass is empty


class ProbabilityMaps(NamedTuple):
    """What a detector sees in a slide.

    Attributes
    ----------
    glomerulus
        uint8 [h, w]: probability of glomerulus times 255, 0 outside tissue.
    sclerosed
        uint8 [h, w]: probability times 255 that a glomerulus is sclerosed; None where the detector cannot tell.
    """

    glomerulus: np.ndarray
    sclerosed: np.ndarray | None = None


@dataclass(frozen=True)
class FoundGlomeruli:
    """Glomeruli, the representative one first, and the numbers of contours that were left out."""

    glomeruli: list[Glomerulus]
    too_small: int
    too_large: int
    not_round: int
    under_pen: int


def find_instances(
    view: TileView, probability: np.ndarray, settings: DetectionSettings, sclerosed: np.ndarray | None = None
) -> FoundGlomeruli:
    """Separate a probability map into glomeruli.

    Parameters
    ----------
    view
        The slide at the scale of the map.
    probability
        uint8 [h, w], probability times 255.
    settings
        `threshold`, `min_diameter_um` and `max_diameter_um`. Holes and notches of a contour are filled, and parts
        narrower than its radius removed.
    sclerosed
        As in :class:`ProbabilityMaps`; of a glomerulus it is the mean within the outline.
    """
    mpp = view.mpp or 1.0
    smallest, largest = (np.pi / 4 * diameter**2 for diameter in (settings.min_diameter_um, settings.max_diameter_um))
    # The opening removes lines one or two pixels wide between glomeruli.
    mask = ndimage.binary_opening(probability >= max(1, round(255 * settings.threshold)), iterations=1)
    labels = split_touching(_fill_holes(mask), smallest_px=settings.min_diameter_um / mpp)
    outside = _outside(view)
    glomeruli: list[Glomerulus] = []
    too_small = too_large = not_round = under_pen = 0
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        part = without_horns(labels[box] == index)
        if part.any() and not _has_shape(part, box, view.shape):
            not_round += 1
            continue
        polygon = outline(to_convex(part)) if part.any() else None
        area = 0.0 if polygon is None else polygon.area * mpp**2
        if polygon is None or area < smallest:
            too_small += 1
            continue
        if area > largest:
            too_large += 1
            continue
        if view.pen[box][part].mean() > MOST_UNDER_PEN:
            under_pen += 1
            continue
        score = float(probability[box][part].mean()) / 255
        raw = _to_raw(polygon, view, (box[1].start, box[0].start))
        completeness = _completeness(part, box, outside, max(1, round(RIM_UM / mpp)))
        scarred = None if sclerosed is None else float(sclerosed[box][part].mean()) / 255
        glomeruli.append(Glomerulus(raw, score, completeness, area, scarred))
    return FoundGlomeruli(rank(glomeruli), too_small, too_large, not_round, under_pen)


def _has_shape(part: np.ndarray, box: tuple[slice, slice], shape: tuple[int, int]) -> bool:
    """Decide whether a region may be a glomerulus; of one cut by the border of the slide, how long it is is unknown."""
    is_cut = any(side.start == 0 or side.stop == size for side, size in zip(box, shape, strict=True))
    return is_round(part, MIN_SOLIDITY, np.inf if is_cut else MAX_ELONGATION)


def measure_outlines(view: TileView, outlines: Sequence[Outline]) -> list[Glomerulus]:
    """Measure outlines that a person drew; their score is 1, and their size is not limited.

    Parameters
    ----------
    view
        The slide; its scale is known.
    outlines
        In pixels of the view. If none is sclerosed, it is unknown whether some are.

    Returns
    -------
    list of Glomerulus
        The representative one first.
    """
    mpp = view.mpp or 1.0
    outside, rim = _outside(view), max(1, round(RIM_UM / mpp))
    glomeruli = []
    classified = any(outline.sclerosed for outline in outlines)
    for polygon, sclerosed, _ in outlines:
        left, top, right, bottom = polygon.bounds
        x, y = math.floor(left), math.floor(top)
        height, width = math.ceil(bottom) - y, math.ceil(right) - x
        part = rasterise([translate(polygon, -x, -y)], (height, width))
        completeness = _completeness(part, (slice(y, y + height), slice(x, x + width)), outside, rim)
        raw, area = _to_raw(polygon, view, (0, 0)), polygon.area * mpp**2
        glomeruli.append(Glomerulus(raw, 1.0, completeness, area, float(sclerosed) if classified else None))
    return rank(glomeruli)


def split_touching(mask: np.ndarray, smallest_px: float) -> np.ndarray:
    """Split touching regions at the necks between them, by a watershed.

    Seeds are the peaks of the distance to the border. Two peaks are merged if the ridge between them is not much lower
    than the lower peak.

    Parameters
    ----------
    mask
        bool [h, w].
    smallest_px
        Diameter of the smallest glomerulus, pixels.

    Returns
    -------
    numpy.ndarray
        int32 [h, w]: 0 outside, else the number of the region.
    """
    labels = np.zeros(mask.shape, np.int32)
    margin = math.ceil(4 * smallest_px / SMOOTH) + 2
    _, bodies, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    count = 0
    for index, (x, y, w, h, _) in enumerate(boxes[1:], start=1):
        place = slice(max(0, y - margin), y + h + margin), slice(max(0, x - margin), x + w + margin)
        body = bodies[place] == index
        parts = _split_body(body, smallest_px)
        labels[place][body] = parts[body] + count
        count += int(parts.max())
    return labels


def _split_body(mask: np.ndarray, smallest_px: float) -> np.ndarray:
    """Split one connected region, bool [h, w]: the number of each part, from 1 on, and 0 outside."""
    padded = np.pad(mask, 1, mode="edge")  # a glomerulus at the border of the slide keeps its full width
    distance = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    height = np.log(np.maximum(ndimage.gaussian_filter(distance, smallest_px / SMOOTH), 0.1))
    levelled = reconstruction(height + np.log(NECK), height)  # type: ignore[no-untyped-call]
    peaks = mask & (height - levelled > -np.log(NECK) - 1e-6)
    seeds, count = ndimage.label(peaks, structure=np.ones((3, 3)))  # flat peaks are plateaus
    if count < 2:
        return mask.astype(np.int32)
    return np.asarray(watershed(-distance, seeds, mask=mask), np.int32)  # type: ignore[no-untyped-call]


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill holes that are not connected with the border; faster than scipy's on whole slides."""
    around = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(around, None, (0, 0), 2)
    return np.asarray(around[1:-1, 1:-1] != 2)


def _outside(view: TileView) -> np.ndarray:
    """Mark pixels outside the tissue: other tiles, and in OM glass too wide for a lumen."""
    outside: np.ndarray = view.status != TileStatus.TISSUE
    if not view.bright:
        return outside
    empty = np.zeros(view.shape, np.uint8)
    for window in view.windows(1024):
        pixels = view.read(window)
        empty[window.y : window.y + window.h, window.x : window.x + window.w] = pixels.min(axis=2) > BRIGHT * GLASS
    radius = max(1, round(GAP_UM / 2 / (view.mpp or 1.0)))
    # An opening with a large disc, by distances.
    centres = cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > radius
    if centres.any():
        outside |= cv2.distanceTransform((~centres).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius
    return outside


def _completeness(part: np.ndarray, box: tuple[slice, slice], outside: np.ndarray, rim: int) -> float:
    """Compute the fraction of the rim around a contour that is tissue."""
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


def _to_raw(polygon: Polygon, view: TileView, corner: tuple[int, int]) -> Polygon:
    return transform(polygon, lambda points: view.to_raw(points + np.asarray(corner)))
