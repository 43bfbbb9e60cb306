"""JSON of labelme: `shapes` with a label, a type and points.

References
----------
Wada, labelme: image polygonal annotation with Python, doi:10.5281/zenodo.5711226.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from shapely.geometry.base import BaseGeometry

from nephroscale.glomeruli.annotation_formats.base import (
    DrawnObject,
    between,
    ellipse,
    frame_of,
    rectangle,
    ring,
    to_number,
    to_object,
)

NAME = "labelme"
RINGS = ("polygon", "oriented_rectangle", "rotation", "quadrilateral")
"""Types whose points are corners; the last three are those of rectangles that are turned."""


def matches(content: object) -> bool:
    """Whether the content is labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def read(content: Any) -> Iterable[DrawnObject]:
    """Read the shapes.

    Parameters
    ----------
    content
        Of the JSON.
    """
    frame = frame_of(content.get("imageWidth"), content.get("imageHeight"))
    for shape in content["shapes"]:
        kind = shape.get("shape_type") or "polygon"
        area = partial(_area_of, kind, shape["points"])
        fault = (
            "is a mask, which is not read; save polygons" if kind == "mask" else f"is no area, but of the type {kind}"
        )
        yield replace(to_object(area, [shape.get("label")], otherwise=fault), frame=frame)


def _area_of(kind: str, points: Any) -> BaseGeometry | None:
    if kind in RINGS:
        return ring(points)
    if kind == "rectangle":
        return rectangle(*between(points)) if len(points) == 2 else ring(points)
    if kind == "circle" and len(points) == 2:
        (x, y), rim = ([to_number(value) for value in point] for point in points)
        radius = math.dist((x, y), rim)
        return ellipse(x, y, 2 * radius, 2 * radius)
    return None
