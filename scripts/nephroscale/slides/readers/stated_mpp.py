"""The scale that the metadata of a TIFF state: OME-XML, ImageJ, Aperio, and the plain resolution tags."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET  # documents with a DTD are not parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import tifffile

NOT_SQUARE = "its pixels are not square"
NO_LENGTH = "the file gives its scale in the unit"
SQUARE = 0.05  # relative difference of the sides of a pixel up to which a slide is resampled to square pixels
ALIKE = 0.005  # and up to which it is not, and their mean is its scale: half a pixel at the rim of a large glomerulus
_UNITS: Mapping[str, float] = {
    "pm": 1e-6,
    **dict.fromkeys(("å", "a", "angstrom", "ångstrom", "ångström"), 1e-4),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("μm", "um", "μ", "micron", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("in", "inch", "inche", '"'), 25400.0),
    **dict.fromkeys(("thou", "mil"), 25.4),
    **dict.fromkeys(("pt", "point"), 25400.0 / 72),
}
MOST_UNLIKE = 1.6  # MPP times magnification over 10 µm, as 40 x 0.25
PER_UNIT = {2: 25400.0, 3: 10000.0, 4: 1000.0, 5: 1.0}  # inch and cm, and beyond the standard mm and µm
PLAUSIBLE_GENERIC_UM = (0.05, 2.5)
"""Scales that a plain resolution tag may state, µm per pixel: 10160 dpi of a desktop scanner are 2.5."""
Stretch = tuple[float, float]


class StatedMpp(NamedTuple):
    """A scale as a file states it.

    Attributes
    ----------
    mpp
        µm per pixel, along the shorter side if `stretch` is not 1; None where the file states none, or one that cannot
        be used.
    generic
        Whether it is in a plain resolution tag.
    fault
        Why what the file states cannot be used; empty otherwise.
    stretch
        Square pixels per pixel of the file along x and y; one of them is 1.
    """

    mpp: float | None = None
    generic: bool = False
    fault: str = ""
    stretch: Stretch = (1.0, 1.0)

    @property
    def mean(self) -> float | None:
        """Mean of the sides of a pixel, µm."""
        return None if self.mpp is None else self.mpp * sum(self.stretch) / 2


def micrometres(unit: str) -> float | None:
    """Give the µm of a unit of length, however it is written; None for another unit."""
    text = re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), unit, flags=re.IGNORECASE)
    text = unicodedata.normalize("NFKC", text).strip(" \t\r\n\0'\"").casefold() or unit
    return _UNITS.get(text.removesuffix("s") if len(text) > 3 else text)


def square_pixels(x: float | str | None, y: float | str | None, *, generic: bool = False) -> StatedMpp:
    """Combine the sides of a pixel in µm.

    Parameters
    ----------
    x, y
        Numbers or texts, which may have a decimal comma; None where a side is not stated.
    generic
        Whether they are in plain tags.
    """
    stated = [side for side in (x, y) if side is not None and str(side).strip()]
    if not stated:
        return StatedMpp()
    if len(stated) == 1:
        text = f"the file gives the size of a pixel along one axis alone ({_short(stated[0])} µm)"
        return StatedMpp(fault=text, generic=generic)
    sides = [_number(side) for side in stated]
    if not all(0 < side < math.inf for side in sides):
        text = f"the file gives {' x '.join(map(_short, stated))} µm as the size of a pixel"
        return StatedMpp(fault=text, generic=generic)
    shorter = min(sides)
    unlike = max(sides) / shorter - 1
    if unlike > SQUARE + 1e-9:
        text = f"{NOT_SQUARE} ({sides[0]:g} x {sides[1]:g} µm); resample it"
        return StatedMpp(fault=text, generic=generic)
    if unlike > ALIKE:
        return StatedMpp(shorter, generic, stretch=(sides[0] / shorter, sides[1] / shorter))
    return StatedMpp(sum(sides) / 2 if sides[0] != sides[1] else sides[0], generic)


def _short(side: float | str) -> str:
    """A number without the digits that nobody needs; a text that is none, as it is."""
    number = _number(side)
    return str(side)[:20] if math.isnan(number) else f"{number:.4g}"


def _number(side: float | str) -> float:
    try:
        return float(side.replace(",", ".") if isinstance(side, str) else side)
    except (ValueError, OverflowError):
        return math.nan


def ome_pixels(tiff: tifffile.TiffFile, scene: int = 0) -> ET.Element | None:
    """Find the element `Pixels` of an image in the OME-XML of a TIFF."""
    text = tiff.ome_metadata if tiff.is_ome else None
    if not text or "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
        return None
    try:
        root = ET.fromstring(text)  # noqa: S314
    except ET.ParseError:
        return None
    found = [element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"]
    return found[scene] if scene < len(found) else None


def read_mpp(tiff: tifffile.TiffFile, page: tifffile.TiffPage | None = None, scene: int = 0) -> StatedMpp:
    """Read the scale of a TIFF: from OME-XML, ImageJ's or Aperio's description, otherwise from plain tags.

    Parameters
    ----------
    tiff
        The opened file.
    page
        Whose tags count; the first one if None.
    scene
        Image of an OME-TIFF.
    """
    pixels = ome_pixels(tiff, scene)
    page = tiff.pages.first if page is None else page
    stated = StatedMpp() if pixels is None else _of_ome(pixels, page)
    if stated.mpp is not None or stated.fault.startswith((NOT_SQUARE, NO_LENGTH)):
        return stated
    for other in (_of_aperio(page.description), _of_tags(tiff, page)):
        if stated.fault and other.mpp is not None and other.generic:
            low, high = PLAUSIBLE_GENERIC_UM
            if not low <= other.mpp <= high or not _agrees(pixels, other.mpp):  # 72 dpi, or 1 pixel per cm
                continue
        if other.mpp is not None or (other.fault and not stated.fault):
            stated = other
        if stated.mpp is not None:
            break
    return stated


def _agrees(pixels: ET.Element | None, mpp: float) -> bool:
    """Whether a plain tag has the scale of the axis for which alone OME-XML states a size."""
    sides = [] if pixels is None else [_side_of(pixels, axis) for axis in "XY"]
    known = [side for side in sides if 0 < side < math.inf]
    return len(known) != 1 or abs(known[0] / mpp - 1) <= SQUARE


def _side_of(pixels: ET.Element, axis: str) -> float:
    """Give the size of a pixel along an axis as OME-XML states it, µm; NaN where it states none."""
    factor = micrometres(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return _number(pixels.get(f"PhysicalSize{axis}", "")) * (math.nan if factor is None else factor)


def aperio_doubt(description: str, width: int, height: int) -> str:
    """Say why the MPP of a scanner of Aperio may be that of another picture than the one that bears its description.

    Programs copy a description onto a reduced copy of a slide. A description has the sizes of the picture and of those
    that it was cut from or reduced from, and the magnification, which times the MPP is 10 µm.

    Parameters
    ----------
    description
        Of the picture.
    width, height
        Of the picture, pixels.
    """
    mpp, power = (_last_number(description, name) for name in ("MPP", "AppMag"))
    if not description.startswith("Aperio") or mpp is None:
        return ""
    sizes = re.findall(r"(?<![\dx(])(\d{3,})x(\d{3,})(?![\dx)])", description)
    if sizes and (str(width), str(height)) not in sizes:
        return (
            f"its description has an MPP of {mpp:g}, but for a picture of {'x'.join(sizes[0])} pixels instead of "
            f"{width}x{height}: check the scale"
        )
    if power is not None and not 1 / MOST_UNLIKE < mpp * power / 10 < MOST_UNLIKE:
        return f"its description has an MPP of {mpp:g} at a magnification of {power:g}: check the scale"
    return ""


def _last_number(description: str, name: str) -> float | None:
    found = re.findall(rf"\|\s*{name}\s*=([^|\r\n]*)", description)
    number = _number(found[-1].strip()) if found else 0.0
    return number if 0 < number < math.inf else None


def _of_aperio(description: str) -> StatedMpp:
    """The scale in the description of a scanner of Aperio, where the last value of a name counts, as for OpenSlide."""
    found: list[str] = re.findall(r"\|\s*MPP\s*=([^|\r\n]*)", description)
    side = found[-1].strip() if found else ""
    stated = square_pixels(side, side)
    return StatedMpp(fault=f"the file gives {side[:20]!r} as its MPP") if stated.fault else stated


def _of_tags(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> StatedMpp:
    tags = [page.tags.valueof(tag) for tag in ("XResolution", "YResolution")]
    if not all(isinstance(tag, tuple) and len(tag) == 2 and all(tag) for tag in tags):
        return StatedMpp()
    sides = [below / above for above, below in tags]
    if tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        across = str(metadata.get("unit", ""))
        return _in_units(sides, (across, str(metadata.get("yunit", across))))
    unit = PER_UNIT.get(int(page.tags.valueof("ResolutionUnit", 1)))
    return StatedMpp() if unit is None else square_pixels(*(unit * side for side in sides), generic=True)


def _of_ome(pixels: ET.Element, page: tifffile.TiffPage) -> StatedMpp:
    sides: list[float | str | None] = []
    for axis in "XY":
        side, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
        factor = micrometres(unit)
        if side is not None and factor is None:
            return StatedMpp(fault=f"{NO_LENGTH} {unit[:20]!r}, which is not known as a length")
        number = math.nan if side is None else _number(side)
        sides.append(number * (factor or 0) if math.isfinite(number) else side)
    stated = square_pixels(*sides)
    size = pixels.get("SizeX", ""), pixels.get("SizeY", "")
    if stated.mpp is not None and all(size) and size != (str(page.imagewidth), str(page.imagelength)):
        text = f"its OME-XML describes a picture of {size[0][:9]} x {size[1][:9]} pixels"  # copied onto a reduced one
        return StatedMpp(fault=f"{text} instead of {page.imagewidth} x {page.imagelength}")
    return stated


def _in_units(sides: list[float], units: tuple[str, str]) -> StatedMpp:
    factors = [micrometres(unit) for unit in units]
    known = [factor for factor in factors if factor is not None]
    if len(known) == len(units):
        return square_pixels(*(factor * side for factor, side in zip(known, sides, strict=True)))
    unit = units[factors.index(None)]
    if unit.casefold() in {"", "pixel", "pixels"}:
        return StatedMpp()
    return StatedMpp(fault=f"{NO_LENGTH} {unit[:20]!r}, which is not known as a length")
