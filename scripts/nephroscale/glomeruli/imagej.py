"""Areas in the ROI files of ImageJ."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np
from roifile import ROI_TYPE, ImagejRoi
from shapely.geometry import Polygon

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ROI_BYTES = 16 * 2**20
OUTLINES = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)


def read_rois(data: bytes) -> list[Polygon]:
    """Read the areas of an ImageJ ROI file or a zip of them, in the order of their names.

    Parameters
    ----------
    data
        Content of a `.roi`, or of a `.zip` by the ROI manager of ImageJ.

    Returns
    -------
    list of shapely.geometry.Polygon
        Polygons in pixels, possibly invalid; lines, points and angles are ignored.

    Raises
    ------
    ValueError
        When a file is damaged, or a ROI consists of several paths.
    """
    polygons = []
    for name, content in [("", data)] if data[:4] == b"Iout" else _unzip(data):
        try:
            roi = ImagejRoi.frombytes(content)
        except (ValueError, TypeError) as error:  # numpy raises TypeError if coordinates are missing
            raise ValueError(f"the ROI {name!r} is damaged or truncated") from error
        points = _points(roi)
        if points is not None and len(points) >= 3:
            polygons.append(Polygon(points))
    return polygons


def _unzip(data: bytes) -> Iterable[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = sorted((i for i in archive.infolist() if i.filename.endswith(".roi")), key=lambda i: i.filename)
            if any(info.file_size > MAX_ROI_BYTES for info in infos):
                raise ValueError("a ROI in the zip is larger than 16 MB")
            return [(info.filename, archive.read(info)) for info in infos]
    except zipfile.BadZipFile as error:
        raise ValueError("the zip is damaged") from error


def _points(roi: ImagejRoi) -> np.ndarray | None:
    """Give the outline of a ROI as [n, 2] x, y; None if it has no area."""
    if roi.shape_roi_size > 0:
        raise ValueError(
            "a ROI consists of several paths; split it in ImageJ (Edit > Selection, or OR in the ROI manager)"
        )
    if roi.roitype in OUTLINES:
        return np.asarray(roi.coordinates(), float)
    if roi.roitype not in {ROI_TYPE.RECT, ROI_TYPE.OVAL}:
        return None
    x, y, w, h = float(roi.left), float(roi.top), float(roi.right - roi.left), float(roi.bottom - roi.top)
    if roi.subpixelrect:
        x, y, w, h = roi.xd, roi.yd, roi.widthd, roi.heightd
    return (
        _oval(x, y, w, h)
        if roi.roitype == ROI_TYPE.OVAL
        else np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    )


def _oval(x: float, y: float, w: float, h: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack([x + w / 2 * (1 + np.cos(angle)), y + h / 2 * (1 + np.sin(angle))], axis=1)
