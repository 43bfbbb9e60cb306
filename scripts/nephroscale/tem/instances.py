"""Instances of a bag from an electron micrograph: the whole image, or patches of a fixed physical field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.tem.quality import flat_places, percentiles, quartered
from nephroscale.tem.shapes import share

if TYPE_CHECKING:
    from nephroscale.tem.clean import Cleaned
    from nephroscale.tem.settings import TemSettings

MAX_MARKED_PATCH = 0.05  # fraction of a patch that marks may cover if every patch of the image has some
MOST_ENLARGED = 1.5  # times; beyond, a network would see interpolation


@dataclass(frozen=True)
class Instance:
    """One instance of a bag.

    Parameters
    ----------
    pixels
        uint8 [S, S].
    box
        y, x, height, width in pixels of the raw image.
    valid
        y, x, height, width of the part of `pixels` that is image, not margin.
    nm_per_px
        Scale of `pixels`; NaN where unknown.
    small
        Whether the image is smaller than the field of a patch.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    valid: tuple[int, int, int, int]
    nm_per_px: float
    small: bool = False


def make_instances(
    picture: np.ndarray, cleaned: Cleaned, nm_per_px: float | None, settings: TemSettings
) -> list[Instance]:
    """Make the instances of one image: the whole image, or patches of it.

    Parameters
    ----------
    picture
        uint8 [h, w], the image with normalised contrast.
    cleaned
        The image without burned-in marks.
    nm_per_px
        Its scale, nm per pixel; needed for patches only.
    settings
        Kind and size of the instances.
    """
    if settings.instance == "image":
        return [whole_image(picture, (cleaned.top, cleaned.left), nm_per_px, settings.size_px)]
    return cut_patches(picture, cleaned, nm_per_px, settings)


def whole_image(picture: np.ndarray, corner: tuple[int, int], nm_per_px: float | None, size: int) -> Instance:
    """Fit a whole image into a square, with its aspect ratio and a margin of its median grey.

    Parameters
    ----------
    picture
        uint8 [h, w].
    corner
        Row and column of the raw image that are row 0 and column 0 of `picture`.
    nm_per_px
        Scale of the raw image.
    size
        Side of the square, pixels.
    """
    h, w = picture.shape
    factor = size / max(h, w)
    square, valid = _in_square(picture, factor, size, _median(picture))
    return Instance(square, (*corner, h, w), valid, np.nan if nm_per_px is None else nm_per_px / factor)


def _in_square(part: np.ndarray, factor: float, size: int, margin: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Scale a part of an image and put it into the middle of a square of one grey level; give its place there, too."""
    height, width = (min(size, max(1, round(side * factor))) for side in part.shape)
    y, x = (size - height) // 2, (size - width) // 2
    square = np.full((size, size), margin, np.uint8)
    square[y : y + height, x : x + width] = resample(part, height, width)
    return square, (y, x, height, width)


def cut_patches(
    picture: np.ndarray, cleaned: Cleaned, nm_per_px: float | None, settings: TemSettings
) -> list[Instance]:
    """Cut patches of a fixed physical field on an even grid.

    The field is `size_px` pixels of `nm_per_px`, or `patch_um` if that is wider; wider still where the image would be
    enlarged more than 1.5 times. An image smaller than the field is one instance (or several along its longer side) at
    the scale of a patch, with a margin of its median grey. Patches with burned-in marks or without tissue are left out.
    If every patch has marks, those with at most 5 % of them are used.

    Raises
    ------
    Rejected
        When the scale is unknown, or no patch shows tissue.
    """
    if nm_per_px is None:
        raise Rejected("scale is unknown, so patches of a fixed field cannot be cut")
    size = settings.size_px
    side = max(size * settings.nm_per_px / nm_per_px, 1000 * settings.patch_um / nm_per_px, size / MOST_ENLARGED)
    h, w = picture.shape
    small = min(h, w) < 0.98 * side
    high, wide = min(round(side), h), min(round(side), w)
    edge = side if small else min(high, wide)
    if not small:
        high = wide = min(high, wide)
    painted, empty = cleaned.inner_mask, flat_places(quartered(picture))
    views = [np.s_[y : y + high, x : x + wide] for y in _grid(h, high) for x in _grid(w, wide)]
    views = [view for view in views if empty[_quarter_of(view)].mean() <= settings.max_empty_fraction]
    hidden = [share(painted[view]) for view in views]
    most = 0.0 if 0.0 in hidden else max(MAX_MARKED_PATCH, settings.max_marked_fraction if small else 0.0)
    free = [view for view, marked in zip(views, hidden, strict=True) if marked <= most]
    if not free:
        raise Rejected("no patch is free of burned-in marks and shows tissue")
    if len(free) > settings.max_patches:
        free = [free[index] for index in np.round(np.linspace(0, len(free) - 1, settings.max_patches)).astype(int)]
    factor, margin = size / edge, _median(picture)
    made = []
    for rows, columns in free:
        pixels, valid = _in_square(picture[rows, columns], factor, size, margin)
        box = (cleaned.top + rows.start, cleaned.left + columns.start, high, wide)
        made.append(Instance(pixels, box, valid, nm_per_px / factor, small))
    return made


def resample(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image: by area averages if it gets smaller, by linear interpolation if larger."""
    while 4 * height <= picture.shape[0] and 4 * width <= picture.shape[1]:  # halves are quick
        rows, columns = (side // 2 for side in picture.shape)
        picture = cv2.resize(picture[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    smaller = height <= picture.shape[0] and width <= picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _grid(length: int, edge: int) -> list[int]:
    """Spread patches evenly over a length; neighbours overlap by at most a third."""
    return [round(start) for start in np.linspace(0, length - edge, max(1, int(length / edge + 0.67)))]


def _quarter_of(view: tuple[slice, slice]) -> tuple[slice, ...]:
    """The place of a view in an image of a quarter of its sides, of at least one pixel."""
    return tuple(slice(part.start // 4, max(part.start // 4 + 1, part.stop // 4)) for part in view)


def _median(picture: np.ndarray) -> int:
    return int(percentiles(picture, np.zeros(picture.shape, bool), 50)[0])
