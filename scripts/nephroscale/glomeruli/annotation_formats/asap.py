"""XML of ASAP: annotations with a group, which may be in another group.

References
----------
ASAP (Computational Pathology Group, Radboud UMC); the format of the CAMELYON challenges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from xml.etree import ElementTree as ET

from nephroscale.glomeruli.annotation_formats.base import DrawnObject, ring, to_number, to_object

NAME = "ASAP XML"
AREAS = {"polygon", "rectangle", "spline"}


def matches(root: ET.Element) -> bool:
    """Whether the document is ASAP's."""
    return root.tag == "ASAP_Annotations"


def read(root: ET.Element) -> Iterable[DrawnObject]:
    """Read the annotations; a spline is read as the polygon of its points.

    Parameters
    ----------
    root
        Of the document.
    """
    parents = {group.get("Name", ""): group.get("PartOfGroup", "") for group in root.iter("Group")}
    for annotation in root.iter("Annotation"):
        kind = annotation.get("Type", "")
        corners = sorted(annotation.iter("Coordinate"), key=lambda corner: to_number(corner.get("Order") or 0))
        points = [(corner.get("X"), corner.get("Y")) for corner in corners] if kind.casefold() in AREAS else []
        yield to_object(
            partial(ring, points),
            _groups(annotation.get("PartOfGroup", ""), parents),
            annotation.get("Name"),
            otherwise=f"is no area, but of the type {kind}",
        )


def _groups(group: str, parents: Mapping[str, str]) -> list[str]:
    """List a group and those that it is in, the innermost first."""
    found: list[str] = []
    while group and group != "None" and group not in found:
        found.append(group)
        group = parents.get(group, "")
    return found
