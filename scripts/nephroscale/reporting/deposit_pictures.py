"""Pictures of the page on deposits: an image, whole or joined from its patches, and where the network looks in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import shapely

from nephroscale.arrays import read_array, read_attributes
from nephroscale.deposits.localisation import Heat
from nephroscale.deposits.predictions import Prediction

PICTURE_PX = 336


def read_deposit_picture(bags: Mapping[str, Path], row: Prediction) -> np.ndarray | None:
    """Read an image, uint8 [S, S]; of patches, [PICTURE_PX, PICTURE_PX] with all of them in their places."""
    path = bags.get(row.patient)
    if path is None:
        return None
    index = [str(name) for name in read_attributes(path)["images"]].index(row.image)
    own = np.flatnonzero(np.asarray(read_array(path, "image")) == index)
    pixels, box, valid = (np.asarray(read_array(path, name)[own]) for name in ("images", "box", "valid"))
    return join_instances(pixels, box, valid / pixels.shape[1])[0]


def join_instances(maps: np.ndarray, box: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put the patches of an image together. Where they overlap, the larger value is kept; elsewhere it is 0.

    Parameters
    ----------
    maps
        [k, g, g], pixels or heat of the instances.
    box
        int [k, 4]: y, x, height, width of each in pixels of the raw image.
    valid
        float [k, 4]: y, x, height, width of the part of each that is image, as fractions of its side.

    Returns
    -------
    tuple
        Map [PICTURE_PX, PICTURE_PX] (of one instance, its own map), its box and its valid part.
    """
    if len(maps) == 1:
        return maps[0], box[0], valid[0]
    first, size = box[:, :2].min(axis=0), np.ptp(np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]]), axis=0)
    scale = PICTURE_PX / size.max()
    joined = np.zeros((PICTURE_PX, PICTURE_PX), maps.dtype)
    for one, place, part in zip(maps, box, valid, strict=True):
        top, left = np.rint((place[:2] - first) * scale).astype(int)
        bottom, right = np.maximum(np.rint((place[:2] + place[2:] - first) * scale).astype(int), (top + 1, left + 1))
        y, x, height, width = np.rint(part * len(one)).astype(int)
        image = one[y : y + max(height, 1), x : x + max(width, 1)]
        resized = cv2.resize(image, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        target = joined[top:bottom, left:right]
        np.maximum(target, resized[: target.shape[0], : target.shape[1]], out=target)
    return joined, np.array([*first, *size]), np.array([0, 0, *size / size.max()])


def draw_heat(picture: np.ndarray, heat: Heat, outlines: shapely.Geometry) -> np.ndarray:
    """Draw the heat (orange) and the outlines (blue) of an image on it, [PICTURE_PX, PICTURE_PX, 3] uint8."""
    size = (PICTURE_PX, PICTURE_PX)
    grey = np.repeat(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)[:, :, None], 3, axis=2)
    maps, box, valid = join_instances(heat.maps, heat.box, heat.valid)
    share = cv2.resize(maps / max(float(maps.max()), 1e-12), size, interpolation=cv2.INTER_LINEAR)[:, :, None] * 0.65
    drawn: np.ndarray = np.rint(grey * (1 - share) + np.array([240, 110, 20]) * share).astype(np.uint8)
    for polygon in shapely.get_parts(outlines):
        if polygon.geom_type != "Polygon":
            continue
        points = np.asarray(polygon.exterior.coords)[:, :2]
        x = (valid[1] + (points[:, 0] - box[1]) / box[3] * valid[3]) * PICTURE_PX
        y = (valid[0] + (points[:, 1] - box[0]) / box[2] * valid[2]) * PICTURE_PX
        line = np.rint(np.stack([x, y], axis=1)).astype(np.int32)
        cv2.polylines(drawn, [line], isClosed=True, color=(60, 170, 255), thickness=1, lineType=cv2.LINE_AA)
    return drawn
