"""Read manual outlines of glomeruli: of QuPath, HuBMAP, Aperio ImageScope and ImageJ, and masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET  # _parse_xml rejects documents with a DTD
from xml.parsers import expat

import cv2
import numpy as np
from scipy import ndimage
from shapely import make_valid, transform, union_all
from shapely.affinity import translate
from shapely.geometry import Polygon, box, shape

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli import imagej
from nephroscale.glomeruli.contours import outline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shapely.geometry.base import BaseGeometry

    from nephroscale.glomeruli.tile_view import TileView

GLOMERULUS = ("glom", "肾小球")
GEOJSON_AREAS = ("Polygon", "MultiPolygon")
APERIO_ELLIPSE = "2"
ON_SLIDE = 0.2  # smallest part of an outline that is on the slide's tiles
MASKS = (b"\x89PNG", b"II*\0", b"MM\0*", b"BM")
SLIVER = 0.02  # smallest piece of a repaired outline, as a fraction of the largest


def read_annotations(path: Path, names: tuple[str, ...] | None = GLOMERULUS) -> list[Polygon]:
    """Read outlines of glomeruli.

    Formats are QuPath GeoJSON (a FeatureCollection, a Feature or a list of them, as in HuBMAP), Aperio ImageScope XML
    and ImageJ ROIs (`.roi`, or several in a `.zip`). Points, lines and rulers are ignored. In a mask (PNG, TIFF or BMP,
    as large as level 0 of the image) every connected region of one value other than 0 is an outline.

    Parameters
    ----------
    path
        The file; the format is detected by content.
    names
        An outline with a class is used only if the name of the class contains one of these (ignoring case); outlines
        without class are always used. None uses every outline.

    Returns
    -------
    list of shapely.geometry.Polygon
        Valid polygons in raw level-0 pixels (x to the right, y down, the corner of the first pixel is 0, 0), in the
        order of the file; an outline of several parts gives several polygons.

    Raises
    ------
    NephroscaleError
        When the file cannot be read, or has no outline of a glomerulus.
    """
    path = Path(path)
    data = path.read_bytes()
    head = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:4]
    try:
        if data[:4] in (b"PK\x03\x04", b"Iout"):
            outlines: Iterable[tuple[str, BaseGeometry]] = [("", polygon) for polygon in imagej.read_rois(data)]
        elif data.startswith(MASKS):
            outlines = [("", polygon) for polygon in _read_mask(data)]
        elif head[:1] in (b"{", b"["):
            outlines = _read_geojson(json.loads(data.decode("utf-8-sig")))
        elif head[:1] == b"<" or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            outlines = _read_aperio(_parse_xml(data))
        else:
            raise ValueError("it is neither GeoJSON, Aperio XML, ImageJ ROIs nor a mask")
        outlines = list(outlines)
    except (ValueError, KeyError, TypeError, IndexError, expat.ExpatError) as error:
        raise NephroscaleError(
            f"This annotation cannot be read: {error}.",
            where=path.name,
            fix="Export it again from QuPath (GeoJSON), ImageScope (XML) or ImageJ (ROI zip).",
        ) from error
    wanted = [geometry for name, geometry in outlines if names is None or not name or _matches(name, names)]
    polygons = [polygon for geometry in wanted for polygon in polygons_of(geometry)]
    if not polygons:
        classes = sorted({name for name, _ in outlines if name})
        raise NephroscaleError(
            f"This annotation has no outline of a glomerulus (its classes: {', '.join(classes) or 'none'}).",
            where=path.name,
            fix=f"Give outlines no class, or one whose name contains {' or '.join(map(repr, names or ()))}.",
        )
    return polygons


def outlines_on(view: TileView, path: Path, where: str) -> list[Polygon]:
    """Read the outlines of glomeruli that lie on a slide.

    Parameters
    ----------
    view
        The slide at any scale.
    path
        The file, as in :func:`read_annotations`.
    where
        Name of the slide, for the error.

    Returns
    -------
    list of shapely.geometry.Polygon
        In pixels of the view; outlines of which less than a fifth is on the slide's tiles are left out.

    Raises
    ------
    NephroscaleError
        When the file cannot be read, or no outline is on the slide.
    """
    height, width = view.shape
    frame = box(0, 0, width, height)
    polygons = [transform(polygon, view.from_raw) for polygon in read_annotations(path)]
    inside = [polygon for polygon in polygons if polygon.intersection(frame).area > ON_SLIDE * polygon.area]
    if not inside:
        raise NephroscaleError(
            "All outlines of this annotation are outside its slide.",
            where=where,
            fix="Give outlines in pixels of full resolution; check that the file belongs to this slide.",
        )
    return inside


def polygons_of(geometry: BaseGeometry) -> list[Polygon]:
    """Split a geometry into valid polygons; self-intersections are repaired, points and lines dropped.

    Parameters
    ----------
    geometry
        Any geometry.
    """
    polygons: list[Polygon] = []
    for part in getattr(geometry, "geoms", [geometry]):
        if isinstance(part, Polygon) and part.is_valid:
            polygons += [part] if part.area > 0 else []
        elif isinstance(part, Polygon):
            repaired = polygons_of(make_valid(part))
            # Repairing an outline that intersects itself at its ends leaves slivers.
            polygons += [piece for piece in repaired if piece.area > SLIVER * max(other.area for other in repaired)]
        elif hasattr(part, "geoms"):
            polygons += polygons_of(part)
    return polygons


def _matches(name: str, names: tuple[str, ...]) -> bool:
    return any(wanted in name.casefold() for wanted in names)


def _read_mask(data: bytes) -> Iterable[Polygon]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("its pixels cannot be decoded")
    mask = pixels if pixels.ndim == 2 else pixels[..., :3].max(-1)  # without transparency
    for value in np.unique(mask[mask > 0]):
        regions, _ = ndimage.label(mask == value)
        for number, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
            polygon = outline(regions[rows, columns] == number)
            if polygon is not None:
                yield translate(polygon, columns.start, rows.start)


def _read_geojson(content: Any) -> Iterable[tuple[str, BaseGeometry]]:
    features = content if isinstance(content, list) else content.get("features", [content])
    for feature in features:
        geometry = feature.get("geometry", feature)
        if geometry is None or geometry["type"] == "GeometryCollection":
            raise ValueError("a feature has no single geometry")
        if geometry["type"] not in GEOJSON_AREAS:
            continue
        properties = feature.get("properties") or {}
        label = properties.get("classification") or {}
        name = label.get("name") or ": ".join(label.get("names", [])) if isinstance(label, dict) else str(label)
        yield str(name), shape(geometry)


def _parse_xml(data: bytes) -> ET.Element:
    """Parse XML without a document type, as expanding and external entities require one."""

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type (DTD), which is not allowed")

    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = refuse
    guard.Parse(data, True)
    return ET.fromstring(data)  # noqa: S314


def _read_aperio(root: ET.Element) -> Iterable[tuple[str, BaseGeometry]]:
    if root.tag != "Annotations":
        raise ValueError(f"its root is <{root.tag}>, not <Annotations>")
    for layer in root.iter("Annotation"):
        areas: list[BaseGeometry] = []
        holes: list[BaseGeometry] = []
        for region in layer.iter("Region"):
            points = [(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in region.iter("Vertex")]
            if region.get("Type") == APERIO_ELLIPSE and len(points) == 2:
                points = _ellipse(points)
            if len(points) >= 3:
                polygon = make_valid(Polygon(points))
                (holes if region.get("NegativeROA") == "1" else areas).append(polygon)
        cut = union_all(holes) if holes else None
        for area in areas:
            yield layer.get("Name", ""), area if cut is None else area.difference(cut)


def _ellipse(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    (left, top), (right, bottom) = corners
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = (left + right) / 2 + (right - left) / 2 * np.cos(angle)
    y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angle)
    return list(zip(x.tolist(), y.tolist(), strict=True))
