"""A patient's bag of TEM instances: whole images, or patches of a fixed physical field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.tem.clean import Cleaned, clean_burned_in
from nephroscale.tem.read import read_tem

FEWEST_LEVELS = 4.0  # between the 5th and 95th percentile; an image of fewer grey levels shows nothing
BURNED_IN_MAXIMUM = 0.3  # share of the picture; an image of more marks than this is a screenshot
PAINTED_PATCH = 0.05  # share of painted-over pixels that a patch may have where every patch of an image has some
EMPTY_PATCH = 0.7  # share of a patch without structure above which it is a hole of the support film


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
        y, x, height, width: the part of `pixels` that is image rather than margin.
    nm_per_px
        Of `pixels`; NaN where the image's scale is unknown.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    valid: tuple[int, int, int, int]
    nm_per_px: float


def prepare_tem(images: list[dict[str, Any]], settings: dict[str, Any], out: Path) -> dict[str, Any]:
    """Make the bag of one patient's TEM images.

    Parameters
    ----------
    images
        One dict per image: `id`, `path`, `facts` (as in `register.json`) and `row` (of images.csv).
    settings
        The section `tem` of the configuration.
    out
        Zarr group to create: `images` [n, S, S] uint8, `image` [n] int16, `box` [n, 4] int32, `nm_per_px` [n] float32,
        `valid` [n, 4] int16; the attribute `dropped` tells which images are not in it and why.

    Returns
    -------
    dict
        `images` used, `instances`, `burned_in` (images that had marks) and `dropped` [{id, reason}].

    Raises
    ------
    Rejected
        When no image is left.
    """
    size = int(settings["size_px"])
    instances: list[Instance] = []
    owners: list[int] = []
    used: list[str] = []
    dropped: list[dict[str, str]] = []
    burned_in: list[str] = []
    for entry in sorted(images, key=lambda entry: str(entry["id"])):
        try:
            cleaned = load_image(entry, remove=settings["burned_in"] == "remove")
            made = make_instances(cleaned, _nm_per_px(entry["facts"]), settings, size)
        except Rejected as verdict:
            dropped.append({"id": str(entry["id"]), "reason": verdict.reason})
            continue
        if cleaned.mask.any():
            burned_in.append(str(entry["id"]))
        owners += [len(used)] * len(made)
        used.append(str(entry["id"]))
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
        "instance": settings["instance"],
        "images": used,
        "dropped": dropped,
        "burned_in": burned_in,
    }
    write_arrays(out, arrays, attributes)
    return {"images": len(used), "instances": len(instances), "burned_in": len(burned_in), "dropped": dropped}


def load_image(entry: dict[str, Any], *, remove: bool = True) -> Cleaned:
    """Read one TEM image and take burned-in marks off it.

    Parameters
    ----------
    entry
        `path` and `facts`.
    remove
        Whether burned-in marks are removed.

    Raises
    ------
    Rejected
        When `register` rejected it, it cannot be decoded, it is blank, or burned-in marks hide too much of it.
    """
    facts = entry["facts"]
    if facts.get("status") != "accepted":
        raise Rejected(str(facts.get("reason") or "rejected when registered"))
    image = read_tem(Path(entry["path"]))
    cleaned = clean_burned_in(image) if remove else Cleaned(image, np.zeros(image.shape, bool), 0)
    seen = cleaned.image[~cleaned.inner_mask]
    if seen.size < (1 - BURNED_IN_MAXIMUM) * cleaned.image.size:
        raise Rejected("burned-in marks cover too much of the image")
    low, high = np.percentile(seen, [5, 95])
    if high - low < FEWEST_LEVELS:
        raise Rejected("image is blank")
    return cleaned


def make_instances(cleaned: Cleaned, nm_per_px: float | None, settings: dict[str, Any], size: int) -> list[Instance]:
    """Make the instances of one image: itself, or its patches, of even contrast.

    Parameters
    ----------
    cleaned
        The image without burned-in marks.
    nm_per_px
        Its scale, nm per pixel; only patches need it.
    settings
        The section `tem` of the configuration.
    size
        Side of an instance, pixels.
    """
    picture = normalise_contrast(cleaned.image, cleaned.inner_mask)
    if settings["instance"] == "image":
        return [whole_image(picture, cleaned.top, nm_per_px, size)]
    return cut_patches(picture, cleaned, nm_per_px, settings, size)


def normalise_contrast(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Stretch grey levels between the 1st and 99th percentile of what is not burned in.

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w]: pixels not to be counted.
    """
    low, high = np.percentile(image[~mask], [1, 99])
    levels = np.clip((np.arange(256) - low) / max(high - low, 1.0), 0, 1)
    return np.rint(levels * 255).astype(np.uint8)[image]


def whole_image(picture: np.ndarray, top: int, nm_per_px: float | None, size: int) -> Instance:
    """Scale a whole image to a square, its aspect kept, on a margin of its median grey.

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
    picture: np.ndarray, cleaned: Cleaned, nm_per_px: float | None, settings: dict[str, Any], size: int
) -> list[Instance]:
    """Cut patches of a fixed physical field on an even grid.

    The field is what `size_px` pixels of `nm_per_px` show, or `patch_um` where that is wider. Patches with burned-in
    marks and holes of the support film are left out; where every patch has a mark, those of which it hides least stay.

    Raises
    ------
    Rejected
        When the scale is unknown, the image is smaller than the field, or no patch shows tissue.
    """
    if nm_per_px is None:
        raise Rejected("scale is unknown, so patches of a fixed field cannot be cut")
    field_nm = max(size * float(settings["nm_per_px"]), 1000 * float(settings["patch_um"]))
    side = field_nm / nm_per_px
    h, w = picture.shape
    if min(h, w) < 0.98 * side:
        raise Rejected(f"image shows less than the {field_nm / 1000:.2f} µm of a patch")
    edge = min(round(side), h, w)
    painted = cleaned.inner_mask
    boxes = [(y, x) for y in _grid(h, edge) for x in _grid(w, edge)]
    hidden = {(y, x): float(painted[y : y + edge, x : x + edge].mean()) for y, x in boxes}
    flat = _structureless(picture)
    boxes = [(y, x) for y, x in boxes if flat[y : y + edge, x : x + edge].mean() < EMPTY_PATCH]
    free = [box for box in boxes if hidden[box] == 0] or [box for box in boxes if hidden[box] <= PAINTED_PATCH]
    if not free:
        raise Rejected("no patch is free of burned-in marks and shows tissue")
    most = int(settings["maximum_patches"])
    if len(free) > most:
        free = [free[index] for index in np.round(np.linspace(0, len(free) - 1, most)).astype(int)]
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
    """Scale to a size: each pixel the mean of its area when made smaller, between neighbours when made larger."""
    smaller = height <= picture.shape[0] and width <= picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _grid(length: int, edge: int) -> list[int]:
    """Spread patches evenly over a length; neighbours overlap by a third at most."""
    count = max(1, int(length / edge + 0.67))
    return [round(start) for start in np.linspace(0, length - edge, count)]


def _structureless(picture: np.ndarray) -> np.ndarray:
    """Tell where an image has no structure at all: bright and even, as a hole of the support film is."""
    values = cv2.GaussianBlur(picture, (0, 0), 2).astype(np.float32)
    mean = cv2.blur(values, (31, 31))
    spread = np.sqrt(np.maximum(cv2.blur(values * values, (31, 31)) - mean * mean, 0))
    return (spread < 4) & (mean > 200)


def _nm_per_px(facts: dict[str, Any]) -> float | None:
    scale = facts.get("scale") or {}
    if scale.get("value") is None or scale.get("source") == "whole":
        return None
    if scale.get("unit", "nm") != "nm":
        raise NephroscaleError(
            f"A TEM image's scale is in {scale.get('unit')!r} instead of nm.", where="facts", todo="Register it again."
        )
    return float(scale["value"])
