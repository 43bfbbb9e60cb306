"""The TEM bag of a patient: cleaned images of even contrast, as instances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.duplicates import find_original
from nephroscale.tem.clean import Cleaned, clean_burned_in
from nephroscale.tem.content import ShownContent
from nephroscale.tem.instances import Instance, make_instances
from nephroscale.tem.quality import (
    Quality,
    even_illumination,
    illumination,
    measure_quality,
    normalise_contrast,
    percentiles,
    quartered,
)
from nephroscale.tem.read import read_tem
from nephroscale.tem.shapes import share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nephroscale.slides.facts import ImageFacts
    from nephroscale.tem.settings import TemSettings

MIN_LEVELS = 4.0  # from the 5th to the 95th percentile; an image of fewer grey levels is blank
NO_PIXELS = np.empty((0, 0), np.uint8)


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
        `dropped` (ids, with reasons), `copies` (id of a copy to that of the image used) and `quality` (image id to
        :class:`~nephroscale.tem.quality.Quality`, and `marked`, the share of the image that marks cover).

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
    originals: dict[str, ImageFacts] = {}
    contents: dict[str, ShownContent] = {}
    copies: dict[str, str] = {}
    # The pixels of hundreds of images do not fit into memory.
    with TemporaryFile(dir=out.parent) as spool:
        for image in images:
            try:
                if original := find_original(image.facts, originals):  # a rejected image does not cost its copy
                    copies[image.id] = original
                    raise Rejected(f"has the same content as {original}, and counts once")
                cleaned = load_image(image, settings)
                picture, measured = normalise(cleaned, settings)
                content = ShownContent.of(cleaned.image)  # a blank one has been rejected
                if original := content.find_original(contents):
                    copies[image.id] = original
                    raise Rejected(f"shows the same as {original} but for marks, turning or mirroring, and counts once")
                made = make_instances(picture, cleaned, _nm_per_px(image.facts), settings)
            except Rejected as verdict:
                dropped.append({"id": image.id, "reason": verdict.reason})
                continue
            if cleaned.mask.any():
                burned_in.append(image.id)
            quality[image.id] = {**measured.to_mapping(), "marked": round(share(cleaned.inner_mask), 4)}
            owners += [len(used)] * len(made)
            used.append(image.id)
            originals[image.id] = image.facts
            contents[image.id] = content
            for instance in made:
                spool.write(instance.pixels.tobytes())
                instances.append(replace(instance, pixels=NO_PIXELS))
        if not images:
            raise Rejected("the table of images lists no TEM image of this patient")
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
            "copies": copies,
            "burned_in": burned_in,
            "quality": quality,
        }
        write_arrays(out, arrays, attributes)
    return {
        "images": len(used),
        "instances": len(instances),
        "burned_in": len(burned_in),
        "small": len({owner for owner, instance in zip(owners, instances, strict=True) if instance.small}),
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
        clean_burned_in(picture.grey, picture.drawn, network=settings.mark_network)
        if settings.remove_marks
        else Cleaned(picture.grey, np.zeros(picture.grey.shape, bool), 0)
    )
    marked = share(cleaned.inner_mask)
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
