"""JSON of the Digital Slide Archive (Girder, large_image, HistomicsUI): annotations with `elements`.

References
----------
large_image's annotation schema: polylines, rectangles, ellipses and circles with a label and a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from shapely.geometry.base import BaseGeometry

from nephroscale.glomeruli.annotation_formats.base import (
    DrawnObject,
    ellipse,
    polygon_with_holes,
    rectangle,
    to_number,
    to_object,
)

NAME = "Digital Slide Archive"


def matches(content: object) -> bool:
    """Whether the content is an annotation of Girder, or a list of them."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and ("elements" in first or isinstance(first.get("annotation"), dict))


def read(content: Any) -> Iterable[DrawnObject]:
    """Read the elements of all annotations.

    Parameters
    ----------
    content
        Of the JSON.
    """
    for entry in content if isinstance(content, list) else [content]:
        annotation = entry.get("annotation", entry)
        for element in annotation.get("elements") or []:
            labels = [(element.get("label") or {}).get("value"), element.get("group"), annotation.get("name")]
            yield to_object(
                partial(_area_of, element),
                labels,
                otherwise=f"is no closed outline, but of the type {element.get('type')}",
            )


def _area_of(element: Mapping[str, Any]) -> BaseGeometry | None:
    kind = element.get("type")
    if kind == "polyline":
        rings = [element["points"], *(element.get("holes") or [])]
        return polygon_with_holes(rings) if element.get("closed") else None
    if kind not in {"rectangle", "ellipse", "circle"}:
        return None
    x, y = (to_number(value) for value in element["center"][:2])
    if kind == "circle":
        diameter = 2 * to_number(element["radius"])
        return ellipse(x, y, diameter, diameter)
    width, height, rotation = (to_number(element.get(key) or 0) for key in ("width", "height", "rotation"))
    return (rectangle if kind == "rectangle" else ellipse)(x, y, width, height, rotation)
