"""COCO object detection: `images`, `categories` and `annotations`.

References
----------
Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, and its data format on cocodataset.org.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from nephroscale.glomeruli.annotation_formats.base import (
    DrawnObject,
    UnreadableAnnotationError,
    frame_of,
    join,
    ring,
    to_object,
)
from nephroscale.glomeruli.contours import outline

NAME = "COCO"
MOST_DECODED = 2**26  # pixels of the columns of a mask


def matches(content: object) -> bool:
    """Whether the content is COCO."""
    return isinstance(content, dict) and isinstance(content.get("annotations"), list) and "categories" in content


def read(content: Any) -> Iterable[DrawnObject]:
    """Read the objects of one image.

    Parameters
    ----------
    content
        Of the JSON.

    Raises
    ------
    UnreadableAnnotationError
        When the file has several images, or objects of several.
    """
    images = {each.get("image_id") for each in content["annotations"]}
    if len(images) > 1:
        raise UnreadableAnnotationError(f"it has outlines of {len(images)} images; save one file for each slide")
    if len(content.get("images") or []) > 1:  # those without outlines may be the slide
        raise UnreadableAnnotationError(f"it is of {len(content['images'])} images; save one file for each slide")
    sizes = {
        image.get("id"): frame_of(image.get("width"), image.get("height")) for image in content.get("images") or []
    }
    names = {category["id"]: category.get("name") for category in content["categories"]}
    for each in content["annotations"]:
        labels = [names.get(each.get("category_id"))]
        drawn = each.get("segmentation")
        one = to_object(partial(_area_of, drawn), labels, otherwise="has no outline, only a box")
        of_mask = frame_of(*reversed(drawn["size"])) if isinstance(drawn, dict) and one.area else None
        yield replace(one, frame=of_mask or sizes.get(each.get("image_id")))


def _area_of(segmentation: Any) -> BaseGeometry | None:
    if isinstance(segmentation, list):
        if any(len(part) % 2 for part in segmentation):
            raise UnreadableAnnotationError("has a corner without two coordinates")
        return join([ring(list(zip(part[::2], part[1::2], strict=True))) for part in segmentation])
    if not segmentation:
        return None
    counts, (height, width) = segmentation["counts"], segmentation["size"]
    if not isinstance(counts, list):
        raise UnreadableAnnotationError("is a compressed mask; export polygons")
    runs = np.array([count if isinstance(count, int) else -1 for count in counts], np.int64)
    if (
        not all(isinstance(side, int) for side in (height, width))
        or runs.min(initial=0) < 0
        or (sum(runs.tolist()) != height * width)
    ):
        raise UnreadableAnnotationError("is a mask whose runs do not fill its size")
    return _outline_of_runs(runs, height)


def _outline_of_runs(runs: np.ndarray, height: int) -> BaseGeometry | None:
    """Trace a mask, of which only the columns with the object are decoded.

    Parameters
    ----------
    runs
        Lengths of background and object in turn, down the columns.
    height
        Of the mask.
    """
    ends = np.cumsum(runs)
    drawn = np.flatnonzero((np.arange(len(runs)) % 2 == 1) & (runs > 0))
    if not drawn.size:
        return None
    left, right = int(ends[drawn[0]] - runs[drawn[0]]) // height, int(ends[drawn[-1]] - 1) // height + 1
    if (right - left) * height > MOST_DECODED:
        raise UnreadableAnnotationError("is a mask too large to be decoded; export polygons")
    inside = np.zeros((right - left) * height, bool)
    for run in drawn:
        inside[ends[run] - runs[run] - left * height : ends[run] - left * height] = True
    columns = inside.reshape(right - left, height)
    rows = np.flatnonzero(columns.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    polygon = outline(columns[:, top:bottom].T)
    return polygon and translate(polygon, left, top)
