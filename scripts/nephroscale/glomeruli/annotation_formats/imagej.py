"""ROI files of ImageJ and Fiji, one alone or several in a zip."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from shapely import make_valid
from shapely.geometry.base import BaseGeometry

from nephroscale.glomeruli.annotation_formats.base import (
    DrawnObject,
    UnreadableAnnotationError,
    ellipse,
    rectangle,
    ring,
    to_object,
)

NAME = "ImageJ ROI"
MAGIC = b"Iout"
OUTLINES = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
NO_AREAS = (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW)


def read(data: bytes, name: str = "") -> DrawnObject:
    """Read one ROI.

    Parameters
    ----------
    data
        Content of a `.roi`.
    name
        Of the file, for messages.

    Raises
    ------
    UnreadableAnnotationError
        When the file is damaged, or has curves.
    """
    try:
        roi = ImagejRoi.frombytes(data)
        area = _area_of(roi)
    except NotImplementedError as error:
        raise UnreadableAnnotationError(f"the ROI {name!r} has curves; convert it to a polygon in ImageJ") from error
    except Exception as error:  # roifile raises exceptions of several classes
        raise UnreadableAnnotationError(f"the ROI {name!r} is damaged or truncated") from error
    found = to_object(lambda: area, [], roi.name or name, otherwise="is a line, a point or a text")
    return replace(found, plane=(roi.position, roi.z_position, roi.t_position))


def _area_of(roi: ImagejRoi) -> BaseGeometry | None:
    if roi.subtype in NO_AREAS:
        return None
    if roi.shape_roi_size > 0:  # of several paths: a point is inside where an odd number of them is around it
        paths = [ring(path) for path in roi.coordinates(multi=True)]
        return reduce(lambda a, b: a.symmetric_difference(b), [make_valid(path) for path in paths if path])
    if roi.roitype in OUTLINES:
        return ring(np.asarray(roi.coordinates(), float))
    if roi.roitype not in {ROI_TYPE.RECT, ROI_TYPE.OVAL}:
        return None
    x, y, w, h = float(roi.left), float(roi.top), float(roi.right - roi.left), float(roi.bottom - roi.top)
    if roi.subpixelrect:
        x, y, w, h = roi.xd, roi.yd, roi.widthd, roi.heightd
    return (ellipse if roi.roitype == ROI_TYPE.OVAL else rectangle)(x + w / 2, y + h / 2, w, h)
