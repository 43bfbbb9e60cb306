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
        return join([ring(np.reshape(part, (-1, 2)).tolist()) for part in segmentation])
    if not segmentation:
        return None
    counts, (height, width) = segmentation["counts"], segmentation["size"]
    if not isinstance(counts, list) or sum(counts) != height * width:
        raise UnreadableAnnotationError("is a compressed mask; export polygons")
    values = np.arange(len(counts)) % 2 == 1  # runs of background and object in turn, down the columns
    return outline(np.repeat(values, counts).reshape(width, height).T)
