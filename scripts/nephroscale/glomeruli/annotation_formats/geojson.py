"""GeoJSON as QuPath writes it, and as HuBMAP publishes it.

References
----------
RFC 7946; QuPath's "Exporting annotations": a feature has `properties.objectType` and `properties.classification`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from shapely.geometry.base import BaseGeometry

from nephroscale.glomeruli.annotation_formats.base import (
    DrawnObject,
    UnreadableAnnotationError,
    join,
    polygon_with_holes,
    to_object,
)

NAME = "GeoJSON"
GEOMETRIES = ("Polygon", "MultiPolygon", "GeometryCollection", "LineString", "MultiLineString", "Point", "MultiPoint")
#: Types of QuPath's objects that are no annotations. Detections may be outlines, if they have the class of one.
OTHER_OBJECTS = {"cell": "is a cell", "tmacore": "is a TMA core", "tile": "is a tile"}
DETECTION = "detection"
#: Properties in which other programs than QuPath write the class; case does not matter.
CLASSES = ("class", "classname", "class_name", "category", "label")


def matches(content: object) -> bool:
    """Whether the content is GeoJSON."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and ("geometry" in first or "features" in first or first.get("type") in GEOMETRIES)


def read(content: Any) -> Iterable[DrawnObject]:
    """Read a FeatureCollection, a feature, a geometry, or a list of these.

    Parameters
    ----------
    content
        Of the JSON.
    """
    for entry in content if isinstance(content, list) else [content]:
        yield from _objects_of(entry)


def _objects_of(entry: object) -> Iterable[DrawnObject]:
    """Read a feature, or those of a collection, which may hold collections, or be the geometry of a feature."""
    if not isinstance(entry, Mapping):
        raise UnreadableAnnotationError("one of its features is no object of JSON")
    geometry = entry.get("geometry")
    if "features" in entry:
        for part in entry["features"] or []:
            yield from _objects_of(part)
    elif isinstance(geometry, Mapping) and "features" in geometry:
        yield from _objects_of(geometry)
    else:
        yield _read_feature(entry)


def _read_feature(feature: Mapping[str, Any]) -> DrawnObject:
    properties = feature.get("properties") or {}
    labels, name = [_class_of(properties.get("classification")) or _class_elsewhere(properties)], properties.get("name")
    kind = str(properties.get("objectType") or properties.get("object_type") or feature.get("id") or "").casefold()
    kind = kind.removeprefix("path").removesuffix("object")
    other = "is a detection without class" if kind == DETECTION and not labels[0] else OTHER_OBJECTS.get(kind)
    if other:
        return to_object(lambda: None, labels, name, otherwise=other)
    geometry = (feature.get("geometry") if "properties" in feature or "geometry" in feature else feature) or {}
    return replace(to_object(partial(_area_of, geometry), labels, name), plane=_plane_of(geometry.get("plane")))


def _plane_of(plane: Any) -> tuple[int, ...]:
    """Give the place along Z and T that QuPath writes."""
    return tuple(int(plane.get(axis, 0)) for axis in "zt") if isinstance(plane, Mapping) else (0, 0)


def _class_of(value: Any) -> str:
    """Give the name of a class: of an object, a text, or an object that was turned into text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, Mapping):
        value = value.get("name") or ": ".join(value.get("names") or [])
    return str(value or "")


def _class_elsewhere(properties: Mapping[str, Any]) -> str:
    """Give the class that a program other than QuPath wrote."""
    found = {str(key).casefold(): value for key, value in properties.items()}
    return next(filter(None, (_class_of(found.get(key)) for key in CLASSES)), "")


def _area_of(geometry: Mapping[str, Any]) -> BaseGeometry | None:
    if not geometry:
        raise UnreadableAnnotationError("has no geometry")
    kind = {kind.casefold(): kind for kind in GEOMETRIES}.get(str(geometry.get("type")).casefold())
    if kind is None:
        raise UnreadableAnnotationError(f"has a geometry of the unknown type {str(geometry.get('type'))[:40]!r}")
    if kind == "GeometryCollection":
        return join([_area_of(part) for part in geometry["geometries"]])
    if kind not in {"Polygon", "MultiPolygon"}:
        return None
    coordinates = geometry["coordinates"]
    # Some programs write the coordinates of one polygon as those of several, or the reverse.
    return join([polygon_with_holes(rings) for rings in (coordinates if _depth(coordinates) > 3 else [coordinates])])


def _depth(coordinates: Any) -> int:
    depth = 0
    while isinstance(coordinates, list):
        depth += 1
        coordinates = next((part for part in coordinates if part != []), None)
    return depth
