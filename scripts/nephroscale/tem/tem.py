"""The TEM instances of a patient: whole images, or patches of a fixed physical field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, TypedDict

import cv2
import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.duplicates import find_copies_within
from nephroscale.tem.clean import Cleaned, clean_burned_in
from nephroscale.tem.quality import (
    Quality,
    even_illumination,
    flat_places,
    illumination,
    measure_quality,
    quartered,
)
from nephroscale.tem.read import read_tem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nephroscale.slides.facts import ImageFacts
    from nephroscale.tem.settings import TemSettings

MIN_LEVELS = 4.0  # from the 5th to the 95th percentile; an image of fewer grey levels is blank
MAX_MARKED_PATCH = 0.05  # fraction of a patch that marks may cover if every patch of the image has some
NO_PIXELS = np.empty((0, 0), np.uint8)
SAMPLED = 1_000_000  # pixels on which percentiles are measured
MOST_ENLARGED = 1.5  # times; beyond, a network would see interpolation


@dataclass(frozen=True)
class TemImage:
    """A TEM image of a patient.

    Parameters
    ----------
    id
        Image id.
    path
        Link to the raw file.
    facts
        Its facts, with its scale in nm per pixel.
    """

    id: str
    path: Path
    facts: ImageFacts


class DroppedImage(TypedDict):
    """An image that cannot be used, and why."""

    id: str
    reason: str


class TemFigures(TypedDict):
    """Number of images used, of instances, of images with burned-in marks or smaller than a patch; images not used."""

    images: int
    instances: int
    burned_in: int
    small: int
    dropped: list[DroppedImage]


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


def prepare_tem(images: Sequence[TemImage], settings: TemSettings, out: Path) -> TemFigures:
    """Write the instances of a patient's TEM images.

    Parameters
    ----------
    images
        In any order.
    settings
        Kind and size of the instances.
    out
        Zarr group to create: `images` [n, S, S] uint8, `image` [n] int16, `box` [n, 4] int32, `nm_per_px` [n] float32,
        `valid` [n, 4] int16, `small` [n] bool (its image is smaller than a patch); attributes `images`, `burned_in`,
        `dropped` (ids, with reasons) and `quality` (image id to :class:`~nephroscale.tem.quality.Quality`).

    Raises
    ------
    Rejected
        When no image can be used.
    """
    instances: list[Instance] = []
    owners: list[int] = []
    used: list[str] = []
    dropped: list[DroppedImage] = []
    burned_in: list[str] = []
    quality: dict[str, dict[str, float]] = {}
    images = sorted(images, key=lambda image: image.id)
    copies = find_copies_within([(image.id, image.facts) for image in images])
    # The pixels of hundreds of images do not fit into memory.
    with TemporaryFile(dir=out.parent) as spool:
        for image in images:
            try:
                if original := copies.get(image.id):
                    raise Rejected(f"has the same content as {original}, and counts once")
                cleaned = load_image(image, settings)
                picture, measured = normalise(cleaned, settings)
                made = make_instances(picture, cleaned, _nm_per_px(image.facts), settings)
            except Rejected as verdict:
                dropped.append({"id": image.id, "reason": verdict.reason})
                continue
            if cleaned.mask.any():
                burned_in.append(image.id)
            quality[image.id] = measured.to_mapping()
            owners += [len(used)] * len(made)
            used.append(image.id)
            for instance in made:
                spool.write(instance.pixels.tobytes())
                instances.append(replace(instance, pixels=NO_PIXELS))
        if not instances:
            raise Rejected("patient has no usable TEM image", dropped=dropped)
        spool.flush()
        arrays: dict[str, np.ndarray] = {
            "images": np.memmap(spool, np.uint8, "r", shape=(len(instances), settings.size_px, settings.size_px)),
            "image": np.asarray(owners, np.int16),
            "box": np.asarray([instance.box for instance in instances], np.int32),
            "valid": np.asarray([instance.valid for instance in instances], np.int16),
            "nm_per_px": np.asarray([instance.nm_per_px for instance in instances], np.float32),
            "small": np.asarray([instance.small for instance in instances], bool),
        }
        attributes = {
            "modality": "TEM",
            "instance": settings.instance,
            "images": used,
            "dropped": dropped,
            "burned_in": burned_in,
            "quality": quality,
        }
        write_arrays(out, arrays, attributes)
    small = {owner for owner, instance in zip(owners, instances, strict=True) if instance.small}
    return {
        "images": len(used),
        "instances": len(instances),
        "burned_in": len(burned_in),
        "small": len(small),
        "dropped": dropped,
    }


def load_image(image: TemImage, settings: TemSettings) -> Cleaned:
    """Read one TEM image and remove what was drawn on it.

    Parameters
    ----------
    image
        The image.
    settings
        Whether marks are removed, and how much of the image they may cover.

    Raises
    ------
    Rejected
        When it was rejected at registration, cannot be decoded, is blank, or is mostly covered by burned-in marks.
    """
    if image.facts.status != "accepted":
        raise Rejected(image.facts.reason or "rejected when registered")
    picture = read_tem(image.path, image.facts.page)
    cleaned = (
        clean_burned_in(picture.grey, picture.drawn)
        if settings.remove_marks
        else Cleaned(picture.grey, np.zeros(picture.grey.shape, bool), 0)
    )
    marked = _share(cleaned.inner_mask)
    if marked > settings.max_marked_fraction:
        raise Rejected(f"marks cover {marked:.0%} of the image, more than tem.max_marked_fraction")
    low, high = percentiles(cleaned.image, cleaned.inner_mask, 5, 95)
    if high - low < MIN_LEVELS:
        raise Rejected("image is blank")
    return cleaned


def normalise(cleaned: Cleaned, settings: TemSettings) -> tuple[np.ndarray, Quality]:
    """Normalise the contrast of an image, measure its quality, and even its illumination.

    Parameters
    ----------
    cleaned
        The image without burned-in marks.
    settings
        Limits of the quality, and whether the illumination is evened.

    Returns
    -------
    tuple
        uint8 [h, w], and the quality before the evening.

    Raises
    ------
    Rejected
        When the quality is beyond a limit.
    """
    picture = normalise_contrast(cleaned.image, cleaned.inner_mask)
    quarter = quartered(picture)
    light = illumination(picture, cleaned.inner_mask, quarter)
    quality = measure_quality(picture, light, quarter)
    if quality.empty > settings.max_empty_fraction:
        raise Rejected(
            f"{quality.empty:.0%} of it is empty resin, hole or grid bar, more than tem.max_empty_fraction allows"
        )
    if quality.sharpness < settings.min_sharpness:
        raise Rejected(f"out of focus: a sharpness of {quality.sharpness:.2f}, less than tem.min_sharpness")
    for what, value, limit in (
        ("drift", quality.drift, settings.max_drift),
        ("knife_marks", quality.knife_marks, settings.max_knife_marks),
    ):
        if value > limit:
            raise Rejected(f"{what.replace('_', ' ')} of {value:.2f}, more than tem.max_{what} allows")
    if settings.even_illumination:
        picture = normalise_contrast(even_illumination(picture, light), cleaned.inner_mask)
    return picture, quality


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


def normalise_contrast(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Stretch grey levels from the 1st to the 99th percentile of the pixels without marks.

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w], pixels of burned-in marks.
    """
    low, high = percentiles(image, mask, 1, 99)
    levels = np.clip((np.arange(256) - low) / max(high - low, 1.0), 0, 1)
    return cv2.LUT(image, np.rint(levels * 255).astype(np.uint8))


def percentiles(image: np.ndarray, mask: np.ndarray, *shares: float) -> list[float]:
    """Give percentiles of the pixels that are not masked, as `numpy.percentile` does, by their histogram.

    Of an image with more than two million pixels, every second row or fewer rows are used.

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w].
    shares
        From 0 to 100.
    """
    step = max(1, image.size // SAMPLED)  # whole rows, so many that more would not change a level
    image, mask = image[::step], mask[::step]
    seen = (~mask).view(np.uint8) if mask.any() else None
    below = cv2.calcHist([image], [0], seen, [256], [0, 256]).ravel().astype(np.int64).cumsum()
    places = np.asarray(shares) / 100 * (below[-1] - 1)
    lower, upper = (np.searchsorted(below, rounded, side="right") for rounded in (np.floor(places), np.ceil(places)))
    values: list[float] = (lower + (upper - lower) * (places % 1)).tolist()
    return values


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
    hidden = [_share(painted[view]) for view in views]
    most = 0.0 if 0.0 in hidden else max(MAX_MARKED_PATCH, settings.max_marked_fraction if small else 0.0)
    free = [view for view, share in zip(views, hidden, strict=True) if share <= most]
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


def _share(mask: np.ndarray) -> float:
    return cv2.countNonZero(mask.view(np.uint8)) / mask.size


def _median(picture: np.ndarray) -> int:
    return int(percentiles(picture, np.zeros(picture.shape, bool), 50)[0])


def _nm_per_px(facts: ImageFacts) -> float | None:
    """Give the scale of a TEM image; None where unknown."""
    scale = facts.scale
    if scale is None or scale.value is None or scale.source == "whole":
        return None
    if scale.unit != "nm":
        raise NephroscaleError(
            f"The scale of a TEM image is in {scale.unit!r} instead of nm.", where="facts", fix="Register it again."
        )
    return scale.value
