"""Glomeruli that touch in a mask: one region is two round bodies with a neck between them."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from shapely import affinity
from shapely.geometry import Polygon
from skimage.segmentation import watershed

from nephroscale.glomeruli.contours import outline, rasterise

SIDE = 96  # pixels of the square of equal area, at which regions are looked at
SOLID = 0.93  # share of the convex hull: regions above have no neck
NARROW = 0.65  # largest width of a neck, of that of the narrower body
ROUND = 0.55  # share of the area of a body that its largest disc has, at least
BODY_SOLID = 0.88  # share of the convex hull of a body, at least
STEPS = 48


def split_at_necks(polygon: Polygon) -> list[Polygon]:
    """Split an outline of several round bodies at the necks between them; an outline of one body is its only part.

    Parameters
    ----------
    polygon
        Valid, in any unit.
    """
    whole = Polygon(polygon.exterior)
    if whole.area >= SOLID * whole.convex_hull.area:
        return [polygon]
    factor = SIDE / math.sqrt(whole.area)
    x, y = (float(side) for side in whole.bounds[:2])
    scaled = affinity.scale(affinity.translate(whole, -x, -y), factor, factor, origin=(0, 0))
    width, height = (math.ceil(side) + 4 for side in scaled.bounds[2:])
    if max(width, height) > 12 * SIDE:
        return [polygon]
    parts = _split(rasterise([affinity.translate(scaled, 2, 2)], (height, width)))
    if len(parts) < 2:
        return [polygon]
    traced = [outline(part) for part in parts]
    return [
        affinity.translate(affinity.scale(affinity.translate(one, -2, -2), 1 / factor, 1 / factor, origin=(0, 0)), x, y)
        for one in traced
        if one is not None
    ]


def _split(mask: np.ndarray) -> list[np.ndarray]:
    """Split a mask at its narrowest neck, and its parts in the same way; all parts have to be round bodies."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    for level in np.linspace(0, float(depth.max()), STEPS, endpoint=False)[1:]:
        regions, count = ndimage.label(depth > level)
        if count < 2:
            continue
        peaks = ndimage.maximum(depth, regions, np.arange(1, count + 1))
        bodies = [number for number, peak in enumerate(peaks, start=1) if level <= NARROW * peak]
        if len(bodies) < 2:
            continue
        markers = np.zeros(mask.shape, np.int32)
        for number in bodies:
            markers[regions == number] = number
        basins = watershed(-depth, markers, mask=mask)  # type: ignore[no-untyped-call]
        parts = [part for number in bodies for part in _split(basins == number)]
        return parts if all(map(_is_body, parts)) else [mask]
    return [mask]


def _is_body(mask: np.ndarray) -> bool:
    traced = outline(mask)
    disc = math.pi * float(ndimage.distance_transform_edt(np.pad(mask, 1)).max()) ** 2
    return traced is not None and disc >= ROUND * mask.sum() and traced.area >= BODY_SOLID * traced.convex_hull.area
