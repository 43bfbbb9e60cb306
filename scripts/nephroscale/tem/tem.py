"""The TEM instances of a patient: whole images, or patches of a fixed physical field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import cv2
import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.duplicates import find_copies_within
from nephroscale.tem.clean import Cleaned, clean_burned_in
from nephroscale.tem.read import read_tem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nephroscale.slides.facts import ImageFacts
    from nephroscale.tem.settings import TemSettings

MIN_LEVELS = 4.0  # from the 5th to the 95th percentile; an image of fewer grey levels is blank
MAX_MARKED_PATCH = 0.05  # fraction of a patch that marks may cover if every patch of the image has some
MAX_EMPTY_PATCH = 0.7  # fraction of a patch without structure; more is a hole of the support film


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
    """Number of images used, of instances, and of images with burned-in marks; images that are not used."""

    images: int
    instances: int
    burned_in: int
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
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    valid: tuple[int, int, int, int]
    nm_per_px: float


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
        `valid` [n, 4] int16; attributes `images`, `burned_in` and `dropped` (ids, with reasons).

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
    images = sorted(images, key=lambda image: image.id)
    copies = find_copies_within([(image.id, image.facts) for image in images])
    for image in images:
        try:
            if original := copies.get(image.id):
                raise Rejected(f"has the same content as {original}, and counts once")
            cleaned = load_image(image, settings)
            made = make_instances(cleaned, _nm_per_px(image.facts), settings)
        except Rejected as verdict:
            dropped.append({"id": image.id, "reason": verdict.reason})
            continue
        if cleaned.mask.any():
            burned_in.append(image.id)
        owners += [len(used)] * len(made)
        used.append(image.id)
        instances += made
    if not instances:
        raise Rejected("patient has no usable TEM image", dropped=dropped)
    arrays = {
        "images": np.stack([instance.pixels for instance in instances]),
        "image": np.asarray(owners, np.int16),
        "box": np.asarray([instance.box for instance in instances], np.int32),
        "valid": np.asarray([instance.valid for instance in instances], np.int16),
        "nm_per_px": np.asarray([instance.nm_per_px for instance in instances], np.float32),
    }
    attributes = {
        "modality": "TEM",
        "instance": settings.instance,
        "images": used,
        "dropped": dropped,
        "burned_in": burned_in,
    }
    write_arrays(out, arrays, attributes)
    return {"images": len(used), "instances": len(instances), "burned_in": len(burned_in), "dropped": dropped}


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
    seen = cleaned.image[~cleaned.inner_mask]
    marked = 1 - seen.size / cleaned.image.size
    if marked > settings.max_marked_fraction:
        raise Rejected(f"marks cover {marked:.0%} of the image, more than tem.max_marked_fraction")
    low, high = np.percentile(seen, [5, 95])
    if high - low < MIN_LEVELS:
        raise Rejected("image is blank")
    return cleaned


def make_instances(cleaned: Cleaned, nm_per_px: float | None, settings: TemSettings) -> list[Instance]:
    """Make the instances of one image, with normalised contrast: the whole image, or patches of it.

    Parameters
    ----------
    cleaned
        The image without burned-in marks.
    nm_per_px
        Its scale, nm per pixel; needed for patches only.
    settings
        Kind and size of the instances.
    """
    picture = normalise_contrast(cleaned.image, cleaned.inner_mask)
    if settings.instance == "image":
        return [whole_image(picture, cleaned.top, nm_per_px, settings.size_px)]
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
    low, high = np.percentile(image[~mask], [1, 99])
    levels = np.clip((np.arange(256) - low) / max(high - low, 1.0), 0, 1)
    stretched: np.ndarray = np.rint(levels * 255).astype(np.uint8)[image]
    return stretched


def whole_image(picture: np.ndarray, top: int, nm_per_px: float | None, size: int) -> Instance:
    """Fit a whole image into a square, with its aspect ratio and a margin of its median grey.

    Parameters
    ----------
    picture
        uint8 [h, w].
    top
        Row of the raw image that is row 0 of `picture`.
    nm_per_px
        Scale of the raw image.
    size
        Side of the square, pixels.
    """
    h, w = picture.shape
    factor = size / max(h, w)
    height, width = max(1, round(h * factor)), max(1, round(w * factor))
    y, x = (size - height) // 2, (size - width) // 2
    square = np.full((size, size), int(np.median(picture)), np.uint8)
    square[y : y + height, x : x + width] = resample(picture, height, width)
    return Instance(square, (top, 0, h, w), (y, x, height, width), np.nan if nm_per_px is None else nm_per_px / factor)


def cut_patches(
    picture: np.ndarray, cleaned: Cleaned, nm_per_px: float | None, settings: TemSettings
) -> list[Instance]:
    """Cut patches of a fixed physical field on an even grid.

    The field is `size_px` pixels of `nm_per_px`, or `patch_um` if that is wider. Patches with burned-in marks and holes
    of the support film are left out. If every patch has marks, those with at most 5 % of them are used.

    Raises
    ------
    Rejected
        When the scale is unknown, the image is smaller than the field, or no patch shows tissue.
    """
    if nm_per_px is None:
        raise Rejected("scale is unknown, so patches of a fixed field cannot be cut")
    size = settings.size_px
    field_nm = max(size * settings.nm_per_px, 1000 * settings.patch_um)
    side = field_nm / nm_per_px
    h, w = picture.shape
    if min(h, w) < 0.98 * side:
        raise Rejected(f"image is smaller than a patch of {field_nm / 1000:.2f} µm")
    edge = min(round(side), h, w)
    painted = cleaned.inner_mask
    boxes = [(y, x) for y in _grid(h, edge) for x in _grid(w, edge)]
    hidden = {(y, x): float(painted[y : y + edge, x : x + edge].mean()) for y, x in boxes}
    flat = _structureless(picture)
    boxes = [(y, x) for y, x in boxes if flat[y : y + edge, x : x + edge].mean() < MAX_EMPTY_PATCH]
    free = [box for box in boxes if hidden[box] == 0] or [box for box in boxes if hidden[box] <= MAX_MARKED_PATCH]
    if not free:
        raise Rejected("no patch is free of burned-in marks and shows tissue")
    if len(free) > settings.max_patches:
        free = [free[index] for index in np.round(np.linspace(0, len(free) - 1, settings.max_patches)).astype(int)]
    return [
        Instance(
            resample(picture[y : y + edge, x : x + edge], size, size),
            (cleaned.top + y, x, edge, edge),
            (0, 0, size, size),
            nm_per_px * edge / size,
        )
        for y, x in free
    ]


def resample(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image: by area averages if it gets smaller, by linear interpolation if larger."""
    smaller = height <= picture.shape[0] and width <= picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _grid(length: int, edge: int) -> list[int]:
    """Spread patches evenly over a length; neighbours overlap by at most a third."""
    count = max(1, int(length / edge + 0.67))
    return [round(start) for start in np.linspace(0, length - edge, count)]


def _structureless(picture: np.ndarray) -> np.ndarray:
    """Mark pixels without structure, bright and even, as in a hole of the support film."""
    values = cv2.GaussianBlur(picture, (0, 0), 2).astype(np.float32)
    mean = cv2.blur(values, (31, 31))
    spread = np.sqrt(np.maximum(cv2.blur(values * values, (31, 31)) - mean * mean, 0))
    flat: np.ndarray = (spread < 4) & (mean > 200)
    return flat


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
