"""XML of Aperio ImageScope: layers with a name or a description, regions with a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from xml.etree import ElementTree as ET

from nephroscale.glomeruli.annotation_formats.base import DrawnObject, UnreadableAnnotationError, to_number
from nephroscale.glomeruli.annotation_formats.regions import Shapes, read_layers

NAME = "Aperio ImageScope XML"
#: Numbers of the types of a region; the others are arrows, rulers and pen strokes.
SHAPES = Shapes(polygon=("0", "Polygon"), rectangle="1", ellipse="2", corner="Vertex")


def matches(root: ET.Element) -> bool:
    """Whether the document is ImageScope's."""
    return root.tag == "Annotations" and root.find(".//V") is None


def read(root: ET.Element) -> Iterable[DrawnObject]:
    """Read the regions of all layers, with the scale that ImageScope had for the slide.

    Parameters
    ----------
    root
        Of the document.
    """
    mpp = _scale_of(root)
    return [replace(one, mpp=mpp) for one in read_layers(root, SHAPES, _labels_of)]


def _scale_of(root: ET.Element) -> float | None:
    """The scale of the slide, µm per pixel; ImageScope writes 0 where it is unknown."""
    try:
        mpp = to_number(root.get("MicronsPerPixel", "0"))
    except UnreadableAnnotationError:
        return None
    return mpp if mpp > 0 else None


def _labels_of(layer: ET.Element, region: ET.Element) -> list[str | None]:
    described = [a.get("Value") for a in layer.findall("Attributes/Attribute") if a.get("Name") == "Description"]
    return [region.get("Text"), layer.get("Name"), *described]
