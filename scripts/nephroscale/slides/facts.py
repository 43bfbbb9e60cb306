"""Facts of a raw image: format, size, pixel type and scale, and whether it can be read."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.json_text import pretty_json
from nephroscale.slides.dye import full_scale
from nephroscale.slides.exposure import StatedExposure, read_exposure
from nephroscale.slides.perceptual_hash import perceptual_hash
from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.registry import MICROGRAPH, choose_reader, count_other_pages, open_slide
from nephroscale.slides.readers.stated_mpp import NOT_SQUARE, PLAUSIBLE_GENERIC_UM, Stretch
from nephroscale.slides.same_levels import find_other_picture
from nephroscale.slides.scale_bar import WITHOUT_OCR, BarScale, can_read_bars, read_bar
from nephroscale.slides.wrong_colours import colour_order_doubt, negative_fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nephroscale.cohort.image import ImageRow

# Plausible scales of a light microscope, µm per pixel: a 1x objective gives at most about 10.
PLAUSIBLE_UM = (0.05, 10.0)
PLAUSIBLE_NM = (0.05, 500.0)
CONFLICT = 0.05
MOST_BAR_PIXELS = 400_000_000  # of a photograph in which a scale bar is looked for
PROBE_PX = 256
GREY_SPREAD, GREY_CONTRAST = 3, 60  # levels of 255: most between the colours, and least between dark and bright
MIN_PX = 16
RESAMPLE = "resample it"

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
        `file` (the file's metadata, or a file beside it), `table`, `instrument`, `bar` (burned into the picture), or
        `whole` (unknown, one glomerulus fills the field).
    """

    value: float | None
    unit: str
    source: str

    def __str__(self) -> str:
        unit = {"um": "µm"}.get(self.unit, self.unit)
        return f"{self.source}: {self.value or math.nan:.4g} {unit} per pixel"


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
    page
        Page of a file of several (from 1), as the table names it.
    other_scales
        Scales of other sources that differ from `scale` by more than 5 %.
    scale_not_believed
        Implausible scale in the file, which is ignored, µm per pixel.
    unreadable_probes
        Fraction of the probed regions that could not be read; None where all could.
    stretch
        Square pixels per pixel of the file along x and y, where its pixels are not square, and are resampled; `scale`
        is then that of the square pixels, while `width` and `height` count those of the file.
    exposure_ms
        Exposure of the marker's channel as the file of an IM image states it, ms; None where it states none.
    doubts
        What a person should check, as the scale that a program copied from another picture.
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
    page: int | None = None
    other_scales: tuple[Scale, ...] = ()
    scale_not_believed: float | None = None
    unreadable_probes: float | None = None
    stretch: Stretch | None = None
    exposure_ms: float | None = None
    doubts: tuple[str, ...] = ()
    perceptual_hash: str | None = None

    @classmethod
    def rejected(cls, reason: str) -> Self:
        """Facts of an image that cannot be used."""
        return cls(status="rejected", reason=reason)

    @property
    def identity(self) -> tuple[object, ...]:
        """What decides whether two images have the same content (:mod:`nephroscale.slides.duplicates`)."""
        return self.status, self.digest, self.page, self.perceptual_hash, self.width, self.height

    @property
    def mpp(self) -> float | None:
        """µm per pixel of level 0; None where unknown, and for TEM."""
        return self.scale.value if self.scale is not None and self.scale.unit == "um" else None

    def to_json(self) -> dict[str, object]:
        """Convert to the JSON of the facts file, without the keys that do not apply."""
        if self.status == "rejected":
            return {"status": self.status, "reason": self.reason, "digest": self.digest}
        optional = {
            *("page", "scale", "other_scales", "scale_not_believed", "unreadable_probes"),
            *("stretch", "exposure_ms", "doubts", "perceptual_hash"),
        }
        content = asdict(self) | {"other_scales": [asdict(scale) for scale in self.other_scales]}
        del content["reason"]
        return {key: value for key, value in content.items() if value not in (None, [], ()) or key not in optional}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the JSON that :meth:`to_json` gives."""
        scale, stretch = content.get("scale"), content.get("stretch")
        parsed = {
            "scale": None if scale is None else Scale(**scale),
            "other_scales": tuple(Scale(**other) for other in content.get("other_scales", ())),
            "stretch": stretch and tuple(stretch),
            "doubts": tuple(content.get("doubts", ())),
        }
        return cls(**{**content, **parsed})


def write_facts(path: Path, facts: Mapping[str, ImageFacts]) -> None:
    """Write the facts of a patient's images, by image id."""
    path.write_text(pretty_json({name: one.to_json() for name, one in facts.items()}), encoding="utf-8")


def read_facts(path: Path) -> dict[str, ImageFacts]:
    """Read the facts of a patient's images, by image id."""
    return {name: ImageFacts.from_json(one) for name, one in json.loads(path.read_text(encoding="utf-8")).items()}


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
        Table row of the image (`modality`, `scale`, `roi`, `page`).

    Returns
    -------
    ImageFacts
        Facts without `digest`.

    Raises
    ------
    Rejected
        When the image cannot be read, does not match its modality, or has no scale.
    """
    reader = MICROGRAPH if row.modality == "TEM" else choose_reader(path, row.page)
    with open_slide(path, reader, row.page) as slide:
        if min(slide.width, slide.height) < MIN_PX:
            raise Rejected(f"the image has only {slide.width} x {slide.height} pixels")
        probes, failed = _probe(slide)
        if other := find_other_picture(slide):
            raise Rejected(f"{other}; save it again with levels that are made from the full resolution")
        facts = ImageFacts(
            reader=reader,
            vendor=slide.vendor,
            width=slide.width,
            height=slide.height,
            levels=len(slide.sizes),
            channels=slide.channels,
            dtype=slide.dtype.name,
            background=_background(slide, probes),
            page=row.page,
            unreadable_probes=round(failed, 3) if failed else None,
            perceptual_hash=_hash(slide),
        )
        if facts.perceptual_hash is None and row.page is None and (others := count_other_pages(path)) > 0:
            raise Rejected(
                f"its largest page is blank, but it has {others} more; name the one with the picture in the column "
                "path, as a.tif#2"
            )
        facts = with_scale(
            facts, slide.mpp, row, generic=slide.mpp_is_generic, fault=slide.scale_fault, bar=_read_bar(slide, row)
        )
        if slide.stretch != (1.0, 1.0) and facts.scale and facts.scale.source == "file" and row.modality != "TEM":
            facts = replace(facts, stretch=slide.stretch)
        of_file = facts.scale is not None and facts.scale.source == "file"
        exposure = read_exposure(slide, row) if row.modality == "IM" else StatedExposure()
        colour_doubt = slide.colour_doubt if row.modality == "OM" else ""
        doubts = (slide.scale_doubt if of_file else "", colour_doubt, exposure.doubt)
        facts = replace(facts, exposure_ms=exposure.ms, doubts=tuple(filter(None, doubts)))
    if row.modality != "TEM" and facts.perceptual_hash is None and not any(map(len, probes)):
        raise Rejected("none of its pixels counts: all are transparent, or their tiles are not in the file")
    if row.modality == "OM" and slide.dtype != np.uint8:
        bits = 8 * slide.dtype.itemsize
        what = f"it has {bits} bits in each colour" if slide.rgb else f"it has {bits} bits in grey"
        raise Rejected(f"{what}, but OM needs 8 in each colour; save it as RGB with 8 bits, or check the modality")
    expected = {"OM": "bright", "IM": "dark"}.get(row.modality)
    if expected and facts.background != expected:
        border = ", or cut off a bright border" if row.modality == "IM" else ", or whether its colours are inverted"
        raise Rejected(
            f"its background is {facts.background}, but {row.modality} images have a {expected} one; "
            f"check the modality in the table{border}"
        )
    if row.modality == "OM" and (not slide.rgb or _is_grey(probes)):
        raise Rejected("it is not an 8-bit colour image, which OM needs: it is grey; check the modality in the table")
    return _with_colours(facts, probes, row.stain) if row.modality == "OM" and row.stain else facts


def _with_colours(facts: ImageFacts, probes: list[np.ndarray], stain: str) -> ImageFacts:
    """Add the doubt whether the colours are those of the stain; reject those that cannot be."""
    pixels = np.concatenate(probes)
    if fault := negative_fault(pixels, stain):
        raise Rejected(fault)
    doubt = colour_order_doubt(pixels, stain)
    return replace(facts, doubts=(*facts.doubts, doubt)) if doubt else facts


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
        raise Rejected(
            f"opens, but no region of it can be read, as it is damaged or cut off: copy it again from its source "
            f"({reasons[0]})"
        )
    return probes, len(reasons) / len(regions)


def _hash(slide: SlideReader) -> str | None:
    try:
        return perceptual_hash(slide)
    except UnreadableSlide as fault:
        raise Rejected(f"opens, but cannot be read: {fault}") from fault


def _background(slide: SlideReader, probes: list[np.ndarray]) -> str:
    """Bright or dark."""
    pixels = np.concatenate(probes)
    if not len(pixels):
        return "bright"
    if slide.rgb and slide.dtype == np.uint8:
        # The mean of the channels: a single pseudo-colour stays below a third, however bright it is.
        return "bright" if np.percentile(pixels.mean(-1), 75) >= 100 else "dark"
    # A strong grey signal may fill much of a field, but not three quarters of it. Dim pictures of a camera with more
    # than 8 bits are only a little above its offset.
    full = 255.0 if slide.dtype == np.uint8 else max(full_scale(pixels), 4095.0)
    return "bright" if np.percentile(pixels.max(-1), 25) > full / 2 else "dark"


def _is_grey(probes: list[np.ndarray]) -> bool:
    """Whether a picture in colour has grey content alone."""
    pixels = np.concatenate(probes)
    spread = np.ptp(pixels, axis=-1)
    return bool(len(pixels) and np.ptp(pixels) > GREY_CONTRAST and np.percentile(spread, 99.9) <= GREY_SPREAD)


def _read_bar(slide: SlideReader, row: ImageRow) -> BarScale | None:
    """Read the burned-in bar of a photograph; None for a slide, whose scanner burns none in."""
    scanned = row.modality != "TEM" and slide.mpp is not None and not slide.mpp_is_generic
    photograph = len(slide.sizes) == 1 and slide.channels in {1, 3} and slide.width * slide.height <= MOST_BAR_PIXELS
    if scanned or not photograph or is_whole_field(row):
        return None
    if not can_read_bars():
        return WITHOUT_OCR
    try:
        pixels, _ = slide.read_level(0, 0, 0, slide.width, slide.height)
    except UnreadableRegion as fault:
        return BarScale(doubt=f"no scale bar could be read ({fault})")
    if pixels.dtype != np.uint8:  # a bar has the lowest or the highest value
        low, high = np.percentile(pixels, [1, 99])
        pixels = (np.clip((pixels - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8)
    return read_bar(pixels if slide.channels == 3 else pixels[..., 0])


def with_scale(
    facts: ImageFacts,
    stated: float | None,
    row: ImageRow,
    *,
    generic: bool,
    fault: str = "",
    bar: BarScale | None = None,
    bar_unread: bool = False,
) -> ImageFacts:
    """Add the scale that is believed; what is implausible never is.

    A field of the scanner or microscope comes before the table, and the table before a plain resolution tag and before
    the image's scale bar. A row with `scale_from: table` comes before all.

    Parameters
    ----------
    facts
        Without a scale.
    stated
        µm per pixel as the file states it; None where it states none.
    row
        Table row of the image (`modality`, `scale`, `roi`).
    generic
        Whether the file states it in a generic tag, which is never believed of an electron micrograph.
    fault
        Why a scale in the file cannot be used.
    bar
        What was read of a burned-in bar; None where it was not looked for.
    bar_unread
        Whether there may be a bar that is read later; the scale is then None where no other source gives one.

    Raises
    ------
    Rejected
        When there is no scale, or an implausible one.
    """
    tem = row.modality == "TEM"
    unit, name, factor, plausible = ("nm", "nm", 1000.0, PLAUSIBLE_NM) if tem else ("um", "µm", 1.0, PLAUSIBLE_UM)
    in_file: Scale | None = None
    if stated is not None and not (tem and generic):
        low, high = PLAUSIBLE_GENERIC_UM if generic else plausible
        if low <= stated * factor <= high:
            in_file = Scale(round(stated * factor, 6), unit, "file")
        else:
            facts = replace(facts, scale_not_believed=round(stated, 6))
    found = [in_file] if in_file and not generic else []
    wins = row.scale is not None and row.scale.wins
    if fault.startswith(NOT_SQUARE) and not generic and not wins:  # no single scale holds for it
        raise Rejected(f"{fault}, or give its scale in the table with scale_from: table where the file is wrong")
    if row.scale is not None:
        table = float(row.scale.value) * {"um": 1.0, "nm": 1e-3}[row.scale.unit] * factor
        if (wins or not found) and not plausible[0] <= table <= plausible[1]:
            kind = "an electron" if tem else "a light"
            raise Rejected(f"its scale of {table:g} {name} per pixel is implausible for {kind} micrograph")
        found.insert(0 if wins else len(found), Scale(round(table, 6), unit, row.scale.source))
    if in_file and generic:
        found.append(in_file)
    if bar is not None and bar.nm_per_px is not None:
        value = bar.nm_per_px / 1000 * factor
        if plausible[0] <= value <= plausible[1]:
            found.append(Scale(round(value, 6), unit, "bar"))
    if found:
        used, *others = found
        assert used.value is not None
        differing = [each for each in others if each.value and abs(each.value / used.value - 1) > CONFLICT]
        return replace(facts, scale=used, other_scales=tuple(differing))
    if is_whole_field(row):
        return replace(facts, scale=Scale(None, unit, "whole"))
    if bar_unread:
        return facts
    if fault:
        link = ", or" if fault.endswith(RESAMPLE) else ";"
        raise Rejected(f"it has no scale that can be used: {fault}{link} give {name} per pixel in the table")
    table_gives = f"{name} per pixel (or instrument and magnification)" if tem else f"{name} per pixel"
    reason = f"it has no scale: neither the file nor the table gives {table_gives}"
    if (ignored := facts.scale_not_believed) is not None:
        reason += f" (the file's {ignored:g} µm per pixel is implausible and was ignored)"
    raise Rejected(reason if bar is None else f"{reason}, and {bar.doubt}")
