"""Files of HALO (`.annotations`): XML with layers of polygons, rectangles and ellipses."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from nephroscale.glomeruli.annotation_formats.base import DrawnObject
from nephroscale.glomeruli.annotation_formats.regions import Shapes, read_layers

NAME = "HALO"
#: The other types are rulers and pins.
SHAPES = Shapes(polygon=("Polygon",), rectangle="Rectangle", ellipse="Ellipse", corner="V")


def matches(root: ET.Element) -> bool:
    """Whether the document is HALO's."""
    return root.tag == "Annotations" and root.find(".//V") is not None


def read(root: ET.Element) -> Iterable[DrawnObject]:
    """Read the regions of all layers.

    Parameters
    ----------
    root
        Of the document.
    """
    return read_layers(root, SHAPES, lambda layer, _: [layer.get("Name")])
