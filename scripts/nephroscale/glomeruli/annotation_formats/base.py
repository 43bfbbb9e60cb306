"""What every format of annotations gives, and how their coordinates become polygons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from shapely import make_valid
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

ELLIPSE_POINTS = 64

Points = Sequence[Sequence[Any]] | np.ndarray
"""x, y of the corners of a ring, numbers or texts; further values of a corner are ignored."""


class UnreadableAnnotationError(ValueError):
    """The file is damaged, or of a kind that is not read; its text says why, without the name of the file."""


@dataclass(frozen=True)
class DrawnObject:
    """One object that a person drew.

    Parameters
    ----------
    area
        In raw level-0 pixels (x to the right, y down, the corner of the first pixel is 0, 0), of one or several parts;
        None where the object has no area.
    labels
        What the file calls it, most specific first: its class, group or layer.
    name
        Its own name, which may or may not be that of a class.
    fault
        Why the object cannot be an outline, for instance because it is a line; empty where it can.
    frame
        Width and height of the picture that it was drawn on, pixels; None where the file does not state them.
    mpp
        Scale of that picture, µm per pixel; None where the file does not state it.
    hidden
        Whether it is in a layer that the program did not show when it was saved.
    plane
        Numbers of the plane of a stack that it was drawn on; empty where the file does not state one.
    of_mask
        Whether it is a region of a mask of one or two values, in which glomeruli that touch are one region.
    """

    area: BaseGeometry | None
    labels: tuple[str, ...] = ()
    name: str = ""
    fault: str = ""
    frame: tuple[int, int] | None = None
    mpp: float | None = None
    hidden: bool = False
    plane: tuple[int, ...] = ()
    of_mask: bool = False


def frame_of(width: object, height: object) -> tuple[int, int] | None:
    """Give the size of a picture as a file states it; None if it states no two positive numbers."""
    sides = [side for side in (width, height) if isinstance(side, int) and side > 0]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def to_object(
    make: Callable[[], BaseGeometry | None], labels: Sequence[object], name: object = "", *, otherwise: str = ""
) -> DrawnObject:
    """Create an object; its coordinates may be wrong, which is a fault of this object alone.

    Parameters
    ----------
    make
        Gives its area.
    labels, name
        What the file calls it; empty labels are left out.
    otherwise
        The fault of an object that has no area.
    """
    texts = tuple(str(label).strip() for label in labels if label is not None and str(label).strip())
    try:
        area = make()
        fault = "" if area is not None and make_valid(area).area > 0 else otherwise or "has no area"
    except UnreadableAnnotationError as error:
        area, fault = None, str(error)
    return DrawnObject(area, texts, str(name or "").strip(), fault)


def ring(points: Points) -> Polygon | None:
    """Create the polygon of a ring; None if it has fewer than three corners.

    Raises
    ------
    UnreadableAnnotationError
        When a coordinate is no number.
    """
    corners = [tuple(to_number(value) for value in tuple(point)[:2]) for point in points]
    if any(len(corner) != 2 for corner in corners):
        raise UnreadableAnnotationError("has a corner without two coordinates")
    return Polygon(corners) if len(set(corners)) >= 3 else None


def polygon_with_holes(rings: Sequence[Points]) -> BaseGeometry | None:
    """Create a polygon of its outer ring and its holes; None if the outer ring has fewer than three corners."""
    outer, *holes = [ring(points) for points in rings] or [None]
    return None if outer is None else Polygon(outer.exterior, [hole.exterior for hole in holes if hole is not None])


def join(parts: Sequence[BaseGeometry | None]) -> BaseGeometry | None:
    """Join the parts of one object, which may overlap; None if it has none."""
    areas = [part for part in parts if part is not None]
    if len(areas) < 2:
        return areas[0] if areas else None
    return MultiPolygon([polygon for area in areas for polygon in getattr(area, "geoms", [area])])


def ellipse(x: float, y: float, width: float, height: float, rotation: float = 0.0) -> Polygon:
    """Create an ellipse around x, y; `rotation` in radians, from x to y."""
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)
    return _placed(np.stack([np.cos(angle) * width / 2, np.sin(angle) * height / 2], axis=1), x, y, rotation)


def rectangle(x: float, y: float, width: float, height: float, rotation: float = 0.0) -> Polygon:
    """Create a rectangle around x, y; `rotation` in radians, from x to y."""
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    return _placed(corners, x, y, rotation)


def between(corners: Points) -> tuple[float, float, float, float]:
    """Give centre, width and height of the box between two corners."""
    (left, top), (right, bottom) = ([to_number(value) for value in tuple(corner)[:2]] for corner in corners)
    return (left + right) / 2, (top + bottom) / 2, abs(right - left), abs(bottom - top)


def to_number(value: object) -> float:
    """Read a finite number, also one that has a decimal comma.

    Raises
    ------
    UnreadableAnnotationError
        When it is none.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value.replace(",", ".") if isinstance(value, str) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise UnreadableAnnotationError(f"has a coordinate that is no number: {str(value)[:40]!r}")
    return number


def _placed(corners: np.ndarray, x: float, y: float, rotation: float) -> Polygon:
    cos, sin = np.cos(rotation), np.sin(rotation)
    return Polygon(corners @ np.array([[cos, sin], [-sin, cos]]) + [x, y])
