"""Formats of annotations that are not read, with what to export instead."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

NDPA = (
    "it is an NDPA file of Hamamatsu, whose coordinates are nm from the centre of the slide; open both in QuPath and "
    "export GeoJSON"
)


def foreign_xml(root: ET.Element) -> str:
    """Name the format of an XML document and say what to export; empty for another one."""
    name = root.tag.rpartition("}")[2]
    if root.find(".//ndpviewstate") is not None:
        return NDPA
    if name == "annotations" and root.find("image") is not None:
        return "it is an XML of CVAT, which is not read; export COCO"
    if name == "annotation" and root.find("object") is not None:
        return "it is an XML of Pascal VOC, which has boxes; export COCO with polygons"
    return "it is a drawing (SVG), which is not read; export GeoJSON from QuPath" if name == "svg" else ""


def foreign_json(content: Any) -> str:
    """Name the format of a JSON text and say what to export; empty for another one."""
    if isinstance(content, dict) and content.get("type") == "Topology":
        return "it is TopoJSON, which is not read; export GeoJSON"
    entries = content.get("_via_img_metadata", content) if isinstance(content, dict) else {}
    first = next(iter(entries.values()), None) if isinstance(entries, dict) else None
    if isinstance(first, dict) and {"filename", "regions"} <= first.keys():
        return "it is a JSON of the VGG Image Annotator, which is not read; export COCO"
    return ""
