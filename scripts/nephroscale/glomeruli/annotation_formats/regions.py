"""Layers of regions, as ImageScope and HALO have them in XML: areas, and negative regions that are holes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from xml.etree import ElementTree as ET

from shapely import make_valid
from shapely.geometry.base import BaseGeometry

from nephroscale.glomeruli.annotation_formats.base import (
    DrawnObject,
    between,
    ellipse,
    rectangle,
    ring,
    to_number,
    to_object,
)

YES, NO = {"1", "true", "yes"}, {"0", "false", "no"}


class Shapes(NamedTuple):
    """What a format calls a polygon, a rectangle and an ellipse (the latter two by two corners), and its corners."""

    polygon: tuple[str, ...]
    rectangle: str
    ellipse: str
    corner: str


def read_layers(
    root: ET.Element, shapes: Shapes, labels_of: Callable[[ET.Element, ET.Element], Sequence[object]]
) -> Iterable[DrawnObject]:
    """Read the regions of all layers.

    A negative region is a hole in the areas of its layer; in a layer that has no area it is one in those of all layers.

    Parameters
    ----------
    root
        Of the document.
    shapes
        Words of the format.
    labels_of
        Gives the labels of a region of a layer.
    """
    layers: list[tuple[ET.Element, list[ET.Element], list[BaseGeometry]]] = []
    everywhere: list[BaseGeometry] = []
    for layer in root.iter("Annotation"):
        regions: list[ET.Element] = []
        holes: list[BaseGeometry] = []
        for region in layer.iter("Region"):
            if region.get("NegativeROA", "").strip().casefold() in YES:
                hole = _area_of(region, shapes)
                holes += [] if hole is None else [hole]
            else:
                regions.append(region)
        layers.append((layer, regions, holes))
        everywhere += [] if regions else holes
    for layer, regions, holes in layers:
        hidden = layer.get("Visible", "").strip().casefold() in NO
        for region in regions:
            area = partial(_cut, region, shapes, [*holes, *everywhere])
            yield replace(to_object(area, labels_of(layer, region), otherwise="is a line or a point"), hidden=hidden)


def _cut(region: ET.Element, shapes: Shapes, holes: Sequence[BaseGeometry]) -> BaseGeometry | None:
    """Cut holes out of a region; a region inside a hole is an island, which the hole does not cut."""
    area = _area_of(region, shapes)
    if area is None or not holes:
        return area
    area = make_valid(area)
    for hole in map(make_valid, holes):
        if not hole.covers(area):
            area = area.difference(hole)
    return area


def _area_of(region: ET.Element, shapes: Shapes) -> BaseGeometry | None:
    points = [(corner.get("X"), corner.get("Y")) for corner in region.iter(shapes.corner)]
    kind = region.get("Type") or shapes.polygon[0]
    if kind == shapes.ellipse and len(points) in {2, 4}:  # of the box around it
        corners = [[to_number(value) for value in point] for point in points]
        lowest, highest = ([side(values) for values in zip(*corners, strict=True)] for side in (min, max))
        return ellipse(*between([lowest, highest]))
    if kind == shapes.rectangle and len(points) == 2:
        return rectangle(*between(points))
    return ring(points) if kind in {*shapes.polygon, shapes.rectangle, shapes.ellipse} else None
