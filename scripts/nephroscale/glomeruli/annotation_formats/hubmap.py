"""Polygons of HuBMAP's competitions: rings without any class, or lines of JSON with a type each.

References
----------
HuBMAP + HPA (2022): a list of rings for each image. HuBMAP Vasculature (2023): `polygons.jsonl`, one image a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from nephroscale.glomeruli.annotation_formats.base import DrawnObject, polygon_with_holes, ring, to_object

NAME = "HuBMAP polygons"


def matches(content: object) -> bool:
    """Whether the content is a list of rings, or an image with typed rings."""
    if isinstance(content, dict):
        drawn = content.get("annotations")
        return isinstance(drawn, list) and all(isinstance(each, dict) and "coordinates" in each for each in drawn)
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, list) and bool(first) and isinstance(first[0], list)


def read(content: Any) -> Iterable[DrawnObject]:
    """Read the polygons of one image.

    Parameters
    ----------
    content
        Of the JSON.
    """
    if isinstance(content, dict):
        yield from (
            to_object(partial(polygon_with_holes, each["coordinates"]), [each.get("type")])
            for each in content["annotations"]
        )
    else:
        yield from (to_object(partial(ring, points), []) for points in content)
