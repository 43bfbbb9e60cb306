"""A reader of ImageJ's ROI files: the areas among them."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
from shapely.geometry import Polygon

LARGEST_ROI = 16 * 2**20  # bytes; a contour of a million points is no contour
POLYGON, RECTANGLE, OVAL, FREEHAND, TRACED = 0, 1, 2, 7, 8
HEADER = 64
SUBPIXEL = 128


def read_rois(data: bytes) -> list[Polygon]:
    """Read the areas of an ImageJ ROI file or a zip of them, in the order of their names.

    Parameters
    ----------
    data
        Content of a `.roi` or of the `.zip` that ImageJ's ROI manager saves.

    Returns
    -------
    list of shapely.geometry.Polygon
        Polygons in pixels, perhaps not valid; lines, points and angles are left out.

    Raises
    ------
    ValueError
        When a file is broken, or is composed of several paths.

    References
    ----------
    ij.io.RoiDecoder of ImageJ describes the format.
    """
    if data[:4] == b"Iout":
        entries = {"": data}
    else:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                infos = sorted((i for i in archive.infolist() if i.filename.endswith(".roi")), key=lambda i: i.filename)
                if any(info.file_size > LARGEST_ROI for info in infos):
                    raise ValueError("a ROI in the zip is larger than 16 MB")
                entries = {info.filename: archive.read(info) for info in infos}
        except zipfile.BadZipFile as error:
            raise ValueError("the zip is damaged") from error
    polygons = []
    for name, content in entries.items():
        try:
            points = _points(content)
        except struct.error as error:
            raise ValueError(f"the ROI {name!r} is cut short") from error
        if points is not None and len(points) >= 3:
            polygons.append(Polygon(points))
    return polygons


def _points(data: bytes) -> np.ndarray | None:
    """Read one ROI's outline as [n, 2] x, y; None where it bears no area."""
    if data[:4] != b"Iout":
        raise ValueError("a ROI does not begin with 'Iout'")
    version, kind = struct.unpack_from(">hB", data, 4)
    top, left, bottom, right, count = struct.unpack_from(">4hH", data, 8)
    (parts,) = struct.unpack_from(">i", data, 36)
    (options,) = struct.unpack_from(">h", data, 50)
    if parts > 0:
        raise ValueError(
            "a ROI is composed of several paths; split it in ImageJ (Edit > Selection, or OR in the manager)"
        )
    exact = bool(options & SUBPIXEL)
    if kind in (RECTANGLE, OVAL):
        x, y, w, h = float(left), float(top), float(right - left), float(bottom - top)
        if exact and version >= 223:
            x, y, w, h = struct.unpack_from(">4f", data, 18)
        return _oval(x, y, w, h) if kind == OVAL else np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    if kind not in (POLYGON, FREEHAND, TRACED):
        return None
    count = count or struct.unpack_from(">i", data, 18)[0]  # contours of more than 65535 points
    if exact and version >= 222:
        values = struct.unpack_from(f">{2 * count}f", data, HEADER + 4 * count)
        return np.array(values).reshape(2, count).T
    values = struct.unpack_from(f">{2 * count}h", data, HEADER)
    return np.array(values, float).reshape(2, count).T + np.array([left, top])


def _oval(x: float, y: float, w: float, h: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack([x + w / 2 * (1 + np.cos(angle)), y + h / 2 * (1 + np.sin(angle))], axis=1)
