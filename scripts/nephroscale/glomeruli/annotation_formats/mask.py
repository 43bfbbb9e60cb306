"""Masks: pictures as large as level 0 of the slide, in which each connected region of one value is an outline."""

from __future__ import annotations

import io
from collections.abc import Iterable

import cv2
import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage
from shapely.affinity import translate
from skimage.measure import label

from nephroscale.glomeruli.annotation_formats.base import DrawnObject, UnreadableAnnotationError
from nephroscale.glomeruli.contours import outline

NAME = "mask"
MAGIC = (b"\x89PNG", b"II*\0", b"MM\0*", b"BM")
MOST_REGIONS = 50_000
MOST_BACKGROUND = 0.5  # share of the pixels that have the value of all corners, from which on it is the background
ORIENTATION, UPRIGHT = 274, (0, 1)
CLASSES = 2  # values of a mask of classes; one of more values has a value for each glomerulus
SMALL, MOST_SMALL = 12, 0.02  # pixels of a region that smoothing leaves, and share of the pixels in such regions


def read(data: bytes) -> Iterable[DrawnObject]:
    """Read the regions of a mask, in the order of their first pixels.

    Parameters
    ----------
    data
        PNG, TIFF or BMP, grey or in colours; black is background, and so is what is transparent. If the colours are all
        the same, the mask is its opacity.

    Raises
    ------
    UnreadableAnnotationError
        When the pixels cannot be decoded, or are those of a picture rather than of a mask, or of a smoothed mask.
    """
    _refuse_turned_or_stacked(data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # too many pixels
        pixels = None
    if pixels is None:
        raise UnreadableAnnotationError("its pixels cannot be decoded")
    if pixels.ndim == 3:
        opaque = pixels[..., 3] > 0 if pixels.shape[2] == 4 else np.ones(pixels.shape[:2], bool)
        colours = pixels[..., :3].astype(np.int64)
        values = (colours[..., 0] << 32) | (colours[..., 1] << 16) | colours[..., 2]
        if opaque.any() and not opaque.all():
            values = opaque.astype(np.int64) if (values == values[0, 0]).all() else np.where(opaque, values, 0)
        pixels = values
    if pixels.dtype.kind == "f":
        pixels = np.rint(pixels).astype(np.int64)
    corner = pixels[0, 0]
    if corner and (pixels[[0, -1, -1], [-1, 0, -1]] == corner).all() and (pixels == corner).mean() > MOST_BACKGROUND:
        raise UnreadableAnnotationError(
            "its background is not black, as in an inverted mask; save the mask with a black background"
        )
    regions, count = label(pixels, background=0, connectivity=1, return_num=True)  # type: ignore[no-untyped-call]
    if count > MOST_REGIONS:
        raise UnreadableAnnotationError(f"it has {count} regions of equal value: it is a picture, not a mask")
    sizes = np.bincount(regions.ravel())[1:]
    if sizes.size and sizes[sizes < SMALL].sum() > MOST_SMALL * sizes.sum():
        raise UnreadableAnnotationError(
            f"it has {int((sizes < SMALL).sum())} regions of a few pixels: its edges are smoothed, or it is a picture; "
            "save the mask with one value inside each outline"
        )
    of_classes = np.unique(pixels[regions > 0]).size <= CLASSES
    for number, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
        polygon = outline(regions[rows, columns] == number)
        yield DrawnObject(
            polygon and translate(polygon, columns.start, rows.start),
            fault="" if polygon else "has no area",
            frame=(pixels.shape[1], pixels.shape[0]),
            of_mask=of_classes,
        )


def _refuse_turned_or_stacked(data: bytes) -> None:
    """Refuse masks that their orientation tag turns, which programs do or do not, and those of several pages."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            turned = image.getexif().get(ORIENTATION, 1) not in UPRIGHT
            pages = _pages_of_one_size(data) if image.format == "TIFF" else 1
    except Exception:  # Pillow raises exceptions of any class; reading the pixels gives the reason
        return
    if turned:
        raise UnreadableAnnotationError("its orientation tag rotates it; save it upright")
    if pages > 1:
        raise UnreadableAnnotationError(f"it has {pages} pages of one size; save one mask for each slide")


def _pages_of_one_size(data: bytes) -> int:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        first = tiff.pages.get(0).aspage().shape
        return sum(tiff.pages.get(number).aspage().shape == first for number in range(len(tiff.pages)))
