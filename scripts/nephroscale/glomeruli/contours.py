"""Outlines of glomeruli, their masks, and GeoJSON for QuPath."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from shapely.geometry import Polygon, mapping
from shapely.geometry.polygon import orient
from skimage.draw import polygon as draw_polygon
from skimage.measure import find_contours

PIXEL_DIGITS, MEASURE_DIGITS = 2, 4
#: Namespace of the ids of outlines.
OUTLINES = uuid.uuid5(uuid.NAMESPACE_OID, "nephroscale outlines")
COLOUR, SCLEROSED_COLOUR = [255, 196, 0], [90, 110, 200]


@dataclass(frozen=True)
class Glomerulus:
    """The outline of a glomerulus and its measurements.

    Parameters
    ----------
    polygon
        Outline without holes, raw level-0 pixels.
    score
        Mean probability within the outline, 0 to 1.
    completeness
        Fraction of the outline that is not cut by a border of slide or tissue, 0 to 1.
    area_um2
        Area in µm²; None where the scale is unknown.
    sclerosed
        Probability that it is globally sclerosed, 0 to 1; None where unknown.
    """

    polygon: Polygon
    score: float
    completeness: float
    area_um2: float | None
    sclerosed: float | None = None

    @property
    def is_sclerosed(self) -> bool:
        """Whether it is more likely sclerosed than not."""
        return self.sclerosed is not None and self.sclerosed >= 0.5

    @property
    def diameter_um(self) -> float | None:
        """Diameter of the disc of equal area, µm; None where the scale is unknown."""
        return None if self.area_um2 is None else 2 * math.sqrt(self.area_um2 / math.pi)

    @property
    def centre(self) -> tuple[float, float]:
        """Centroid x, y of the outline, raw level-0 pixels."""
        return self.polygon.centroid.x, self.polygon.centroid.y


def rank(glomeruli: Sequence[Glomerulus]) -> list[Glomerulus]:
    """Sort glomeruli, the representative one first: by score times completeness times diameter, then y, x.

    Scores of well-visible glomeruli hardly differ, so that they alone would make the order depend on the last bit of a
    weight. Diameters differ, and the largest section is the one nearest to the middle of its glomerulus.

    Parameters
    ----------
    glomeruli
        In any order.
    """

    def key(one: Glomerulus) -> tuple[float, float, float]:
        x, y = one.centre
        return -round(one.score * one.completeness * math.sqrt(one.polygon.area), 2), round(y, 2), round(x, 2)

    return sorted(glomeruli, key=key)


def outline(mask: np.ndarray) -> Polygon | None:
    """Trace the largest outline of a mask; holes are filled, and the outline is smoothed by one pixel.

    Parameters
    ----------
    mask
        bool [h, w].

    Returns
    -------
    shapely.geometry.Polygon or None
        In pixels; the corner of the first pixel is 0, 0. None if the mask is empty.
    """
    soft = ndimage.gaussian_filter(np.pad(ndimage.binary_fill_holes(mask), 4).astype(np.float32), 1.0)
    candidates = [Polygon(line[:, ::-1] - 3.5) for line in find_contours(soft, 0.5) if len(line) >= 4]  # type: ignore[no-untyped-call]
    candidates = [polygon if polygon.is_valid else polygon.buffer(0) for polygon in candidates]
    whole = [polygon for polygon in candidates if isinstance(polygon, Polygon) and polygon.area > 0]
    if not whole:
        return None
    height, width = mask.shape
    largest = Polygon(max(whole, key=lambda polygon: polygon.area).exterior)
    clipped = largest.simplify(0.2).intersection(Polygon([(0, 0), (width, 0), (width, height), (0, height)]))
    return orient(clipped) if isinstance(clipped, Polygon) and clipped.area > 0 else None


def rasterise(polygons: Sequence[Polygon], shape: tuple[int, int]) -> np.ndarray:
    """Mark the pixels whose centres are in a polygon, but not in its holes.

    Parameters
    ----------
    polygons
        In pixels; the corner of the first pixel is 0, 0.
    shape
        Height and width.

    Returns
    -------
    numpy.ndarray
        bool [h, w].
    """
    mask = np.zeros(shape, bool)
    for polygon in polygons:
        part = np.zeros(shape, bool)
        for ring, value in [(polygon.exterior, True), *((hole, False) for hole in polygon.interiors)]:
            x, y = np.asarray(ring.coords)[:, :2].T
            part[draw_polygon(y - 0.5, x - 0.5, shape)] = value  # type: ignore[no-untyped-call]
        mask |= part
    return mask


def write_geojson(path: Path, glomeruli: Sequence[Glomerulus], slide: str) -> None:
    """Write outlines for QuPath (File > Import objects), in the given order and with fixed precision.

    The id of an outline is a UUID (version 5) of the slide and the coordinates.

    Parameters
    ----------
    path
        File to write.
    glomeruli
        In raw level-0 pixels, the representative one first.
    slide
        Digest of the slide's raw file.
    """
    content = {
        "type": "FeatureCollection",
        "features": [_feature(index, one, slide) for index, one in enumerate(glomeruli, start=1)],
    }
    Path(path).write_text(json.dumps(content, sort_keys=True, separators=(",", ":")) + "\n", encoding="utf-8")


def _feature(index: int, one: Glomerulus, slide: str) -> dict[str, object]:
    geometry = mapping(orient(Polygon(one.polygon.exterior)))
    rings = [[[round(float(v), PIXEL_DIGITS) for v in point[:2]] for point in ring] for ring in geometry["coordinates"]]
    measurements = {
        "score": one.score,
        "completeness": one.completeness,
        "area_um2": one.area_um2,
        "diameter_um": one.diameter_um,
        "sclerosed": one.sclerosed,
    }
    name, colour = ("Sclerosed", SCLEROSED_COLOUR) if one.is_sclerosed else ("Glomerulus", COLOUR)
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(OUTLINES, f"{slide} {json.dumps(rings)}")),
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {
            "objectType": "annotation",
            "name": f"glomerulus-{index:04d}",
            "classification": {"name": name, "color": colour},
            "isLocked": False,
            "measurements": {k: round(v, MEASURE_DIGITS) for k, v in measurements.items() if v is not None},
        },
    }


def read_geojson(path: Path) -> list[Glomerulus]:
    """Read the outlines that :func:`write_geojson` wrote, in their order.

    Parameters
    ----------
    path
        The file.
    """
    return [
        Glomerulus(
            Polygon(feature["geometry"]["coordinates"][0]),
            known["score"],
            known["completeness"],
            known.get("area_um2"),
            known.get("sclerosed"),
        )
        for feature in json.loads(Path(path).read_text(encoding="utf-8"))["features"]
        for known in [feature["properties"]["measurements"]]
    ]
