"""Agreement of outlines with a reference: by area and by object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shapely import STRtree, union_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from shapely.geometry import Polygon


def dice(found: np.ndarray, true: np.ndarray) -> float:
    """Compute the Dice coefficient of two masks; it is 1 if both are empty.

    Parameters
    ----------
    found, true
        bool, of the same shape.
    """
    total = int(found.sum()) + int(true.sum())
    return 1.0 if total == 0 else 2 * float((found & true).sum()) / total


def dice_of_polygons(found: Sequence[Polygon], true: Sequence[Polygon]) -> float:
    """Compute the Dice coefficient of the areas covered by two sets of polygons.

    Parameters
    ----------
    found, true
        Valid polygons in one coordinate system.
    """
    a, b = union_all(list(found)), union_all(list(true))
    total = a.area + b.area
    return 1.0 if total == 0 else 2 * float(a.intersection(b).area) / total


def detection(found: Sequence[Polygon], true: Sequence[Polygon], iou: float = 0.5) -> dict[str, float]:
    """Compute precision, recall and F1 of detected objects.

    Each polygon is matched at most once; pairs are matched in descending order of intersection over union. All three
    figures are 1 if both sets are empty.

    Parameters
    ----------
    found, true
        Valid polygons in one coordinate system.
    iou
        Lowest intersection over union of a match.

    Returns
    -------
    dict
        `precision`, `recall`, `f1`, and the counts `matched`, `found`, `true`.

    References
    ----------
    Everingham et al., "The Pascal visual object classes challenge", IJCV 88 (2010).
    """
    matched = len(match(found, true, iou))
    precision = matched / len(found) if found else float(not true)
    recall = matched / len(true) if true else float(not found)
    counts = {"matched": float(matched), "found": float(len(found)), "true": float(len(true))}
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        **counts,
    }


def match(found: Sequence[Polygon], true: Sequence[Polygon], iou: float = 0.5) -> list[tuple[int, int]]:
    """Match each polygon at most once, in descending order of intersection over union.

    Parameters
    ----------
    found, true
        Valid polygons in one coordinate system.
    iou
        Lowest intersection over union of a match.

    Returns
    -------
    list of tuple
        Index in `found` and index in `true`.
    """
    tree = STRtree(list(true))
    pairs = []
    for i, polygon in enumerate(found):
        for j in sorted(int(k) for k in tree.query(polygon)) if true else []:
            overlap = polygon.intersection(true[j]).area
            pairs.append((overlap / (polygon.area + true[j].area - overlap), i, j))
    matched: dict[int, int] = {}
    for value, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if value >= iou and i not in matched and j not in matched.values():
            matched[i] = j
    return list(matched.items())
