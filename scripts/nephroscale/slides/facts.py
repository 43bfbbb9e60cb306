"""Facts of a raw image: format, size, pixel type and scale, and whether it can be read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.json_text import pretty_json
from nephroscale.slides.perceptual_hash import perceptual_hash
from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.registry import choose_reader, open_slide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nephroscale.cohort.image import ImageRow

# Plausible scales of a light microscope, µm per pixel: a 1x objective gives at most about 10.
PLAUSIBLE_UM = (0.05, 10.0)
# A generic resolution tag may come from a printer or desktop scanner, whose 10160 dpi are 2.5 µm per pixel.
PLAUSIBLE_GENERIC_UM = (0.05, 2.5)
PLAUSIBLE_NM = (0.05, 500.0)
CONFLICT = 0.05
PROBE_PX = 256
MIN_PX = 16

Status = Literal["accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Physical size of a pixel.

    Parameters
    ----------
    value
        `unit` per pixel; None for a field of unknown scale that one glomerulus fills.
    unit
        `um` (OM, IM) or `nm` (TEM).
    source
        `file`, `table`, `instrument`, or `whole` (unknown, one glomerulus fills the field).
    """

    value: float | None
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class ScaleConflict:
    """Two scales that differ by more than 5 %, µm per pixel; the facts' `scale` has the source of the one used."""

    file: float
    table: float


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of one raw image. A rejected image has only `status`, `reason` and `digest`.

    Parameters
    ----------
    status
        `accepted` or `rejected`.
    reason
        Why the image is rejected; None for an accepted one.
    digest
        BLAKE3 of the raw bytes, 64 hexadecimal digits.
    reader
        Key of :data:`nephroscale.slides.readers.registry.READERS`.
    vendor
        Manufacturer of the scanner, or file format.
    width, height
        Size of level 0, pixels.
    levels
        Number of resolution levels.
    channels, dtype
        Of the pixels as read.
    background
        `bright` or `dark`.
    scale
        Physical size of a pixel of level 0; None in rejected images.
    scale_conflict
        The scales of file and table where they disagree.
    scale_not_believed
        Implausible scale in the file, which is ignored, µm per pixel.
    unreadable_probes
        Fraction of the probed regions that could not be read; None where all could.
    perceptual_hash
        What the image shows, 64 hexadecimal digits (:func:`~nephroscale.slides.perceptual_hash.perceptual_hash`); None
        for an image without content.
    """

    status: Status = "accepted"
    reason: str | None = None
    digest: str = ""
    reader: str = ""
    vendor: str = ""
    width: int = 0
    height: int = 0
    levels: int = 0
    channels: int = 0
    dtype: str = ""
    background: str = ""
    scale: Scale | None = None
    scale_conflict: ScaleConflict | None = None
    scale_not_believed: float | None = None
    unreadable_probes: float | None = None
    perceptual_hash: str | None = None

    @classmethod
    def rejected(cls, reason: str) -> Self:
        """Facts of an image that cannot be used."""
        return cls(status="rejected", reason=reason)

    @property
    def identity(self) -> tuple[object, ...]:
        """What decides whether two images have the same content (:mod:`nephroscale.slides.duplicates`)."""
        return self.status, self.digest, self.perceptual_hash, self.width, self.height

    @property
    def mpp(self) -> float | None:
        """µm per pixel of level 0; None where unknown, and for TEM."""
        return self.scale.value if self.scale is not None and self.scale.unit == "um" else None

    def to_json(self) -> dict[str, object]:
        """Convert to the JSON of the facts file, without the keys that do not apply."""
        if self.status == "rejected":
            return {"status": self.status, "reason": self.reason, "digest": self.digest}
        optional = {"reason", "scale", "scale_conflict", "scale_not_believed", "unreadable_probes", "perceptual_hash"}
        return {key: value for key, value in asdict(self).items() if value is not None or key not in optional}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the JSON that :meth:`to_json` gives."""
        scale, conflict = content.get("scale"), content.get("scale_conflict")
        parsed = {
            "scale": None if scale is None else Scale(**scale),
            "scale_conflict": None if conflict is None else ScaleConflict(**conflict),
        }
        return cls(**{**content, **parsed})


def write_facts(path: Path, facts: Mapping[str, ImageFacts]) -> None:
    """Write the facts of a patient's images, by image id."""
    path.write_text(pretty_json({name: one.to_json() for name, one in facts.items()}), encoding="utf-8")


def read_facts(path: Path) -> dict[str, ImageFacts]:
    """Read the facts of a patient's images, by image id."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: ImageFacts.from_json(one) for name, one in content.items()}


def is_whole_field(row: ImageRow) -> bool:
    """Whether one glomerulus fills the image, so that the whole field is the crop (`roi: whole`)."""
    return row.roi == "whole"


def describe_image(path: Path, row: ImageRow) -> ImageFacts:
    """Determine the facts of one raw image from samples of its pixels.

    Parameters
    ----------
    path
        File that the format is opened by (a link, see :func:`nephroscale.slides.raw.link_raw`).
    row
        Table row of the image (`modality`, `scale`, `roi`).

    Returns
    -------
    ImageFacts
        Facts without `digest`.

    Raises
    ------
    Rejected
        When the image cannot be read, does not match its modality, or has no scale.
    """
    reader = choose_reader(path, row.modality)
    with open_slide(path, reader) as slide:
        if min(slide.width, slide.height) < MIN_PX:
            raise Rejected(f"the image has only {slide.width} x {slide.height} pixels")
        probes, failed = _probe(slide)
        facts = ImageFacts(
            reader=reader,
            vendor=slide.vendor,
            width=slide.width,
            height=slide.height,
            levels=len(slide.sizes),
            channels=slide.channels,
            dtype=slide.dtype.name,
            background=_background(slide, probes),
            unreadable_probes=round(failed, 3) if failed else None,
            perceptual_hash=_hash(slide),
        )
        facts = with_scale(facts, slide.mpp, row, generic=slide.mpp_is_generic, fault=slide.scale_fault)
    expected = {"OM": "bright", "IM": "dark"}.get(row.modality)
    if expected and facts.background != expected:
        raise Rejected(
            f"its background is {facts.background}, but {row.modality} images have a {expected} one; "
            "check the modality in the table"
        )
    if row.modality == "OM" and not (slide.rgb and slide.dtype == np.uint8):
        raise Rejected("it is not an 8-bit colour image, which OM needs")
    return facts


def _probe(slide: SlideReader) -> tuple[list[np.ndarray], float]:
    """Read nine regions of level 0 and, if small, the coarsest level; give their pixels and the failed fraction."""
    across, along = (
        sorted({0, max(0, (n - PROBE_PX) // 2), max(0, n - PROBE_PX)}) for n in (slide.width, slide.height)
    )
    regions = [(0, x, y, PROBE_PX) for y in along for x in across]
    last = len(slide.sizes) - 1
    if last and max(slide.sizes[last]) <= 8 * PROBE_PX:
        regions.append((last, 0, 0, max(slide.sizes[last])))
    probes, reasons = [], []
    for level, x, y, side in regions:
        width, height = min(side, slide.sizes[level][0] - x), min(side, slide.sizes[level][1] - y)
        try:
            pixels, valid = slide.read_level(level, x, y, width, height)
            probes.append(pixels[valid])
        except UnreadableRegion as fault:
            reasons.append(str(fault))
        except UnreadableSlide as fault:
            raise Rejected(f"opens, but cannot be read: {fault}") from fault
    if not probes:
        raise Rejected(f"opens, but no region of it can be read: {reasons[0]}")
    return probes, len(reasons) / len(regions)


def _hash(slide: SlideReader) -> str | None:
    try:
        return perceptual_hash(slide)
    except UnreadableSlide as fault:
        raise Rejected(f"opens, but cannot be read: {fault}") from fault


def _background(slide: SlideReader, probes: list[np.ndarray]) -> str:
    """Bright or dark."""
    if slide.dtype != np.uint8:
        return "dark"  # cameras of more than 8 bits are used for fluorescence, which never fills their range
    pixels = np.concatenate(probes)
    if not len(pixels):
        return "bright"
    if slide.rgb:  # the mean of the channels: a single pseudo-colour stays below a third, however bright it is
        return "bright" if np.percentile(pixels.mean(-1), 75) >= 100 else "dark"
    # A strong grey signal may fill much of a field, but not three quarters of it.
    return "bright" if np.percentile(pixels.max(-1), 25) >= 128 else "dark"


def _with_tem_scale(facts: ImageFacts, row: ImageRow) -> ImageFacts:
    """Add the table's scale in nm."""
    if row.scale is None:
        raise Rejected("it has no scale: the table gives neither nm per pixel nor instrument and magnification")
    value = float(row.scale.value) * (1000.0 if row.scale.unit == "um" else 1.0)
    if not PLAUSIBLE_NM[0] <= value <= PLAUSIBLE_NM[1]:
        raise Rejected(f"its scale of {value:g} nm per pixel is implausible for an electron micrograph")
    return replace(facts, scale=Scale(value, "nm", row.scale.source))


def with_scale(facts: ImageFacts, stated: float | None, row: ImageRow, *, generic: bool, fault: str = "") -> ImageFacts:
    """Add the scale that is believed; what is implausible is never.

    A scanner's or microscope's own field is believed before the table, and the table before a plain resolution tag. Of
    TEM images the table is believed.

    Parameters
    ----------
    facts
        Without a scale.
    stated
        µm per pixel as the file states it; None where it states none.
    row
        Table row of the image (`modality`, `scale`, `roi`).
    generic
        Whether the file states it in a generic tag.
    fault
        Why a scale in the file cannot be used.

    Raises
    ------
    Rejected
        When there is no scale, or an implausible one.
    """
    if row.modality == "TEM":
        return _with_tem_scale(facts, row)
    given = row.scale
    low, high = PLAUSIBLE_GENERIC_UM if generic else PLAUSIBLE_UM
    if stated is not None and not low <= stated <= high:
        facts = replace(facts, scale_not_believed=round(stated, 6))
        stated = None
    table = float(given.value) / (1000.0 if given.unit == "nm" else 1.0) if given else None
    if stated is not None and table is not None and abs(table / stated - 1) > CONFLICT:
        facts = replace(facts, scale_conflict=ScaleConflict(round(stated, 6), round(table, 6)))
    if stated is not None and (table is None or not generic):
        return replace(facts, scale=Scale(round(stated, 6), "um", "file"))
    if given and table is not None:
        if not PLAUSIBLE_UM[0] <= table <= PLAUSIBLE_UM[1]:
            raise Rejected(f"its scale of {table:g} µm per pixel is implausible for a light micrograph")
        return replace(facts, scale=Scale(round(table, 6), "um", given.source))
    if is_whole_field(row):
        return replace(facts, scale=Scale(None, "um", "whole"))
    ignored = facts.scale_not_believed
    if fault:
        raise Rejected(f"it has no scale that can be used: {fault}, or give µm per pixel in the table")
    detail = "" if ignored is None else f" (the file's {ignored:g} µm per pixel is implausible and was ignored)"
    raise Rejected(f"it has no scale: neither the file nor the table gives µm per pixel{detail}")
