"""The scale that an electron microscope's program wrote into a picture's metadata, or into a file beside it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.slides.raw import find_sidecar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import tifffile

NM = {
    "å": 0.1, "a": 0.1, "angstrom": 0.1, "nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "microns": 1e3,
    "mm": 1e6, "cm": 1e7, "m": 1e9,
}  # fmt: skip
"""Nanometres in a unit."""

GATAN_UNIT, GATAN_SCALE = (65003, 65004), (65009, 65010)
SIS, ZEISS, FEI, TVIPS = 33560, 34118, (34680, 34682), 37706
DESCRIPTION = 270
LEAST, MOST = 1e-3, 1e6  # nm per pixel; beyond, it is no length, as in files of diffraction patterns
SQUARE = 0.02
MOST_BYTES = 1 << 20

UNLIKE = 0.05  # relative difference of the sides of a pixel from which on no single scale holds

_NUMBER = r"\s*[:=]?\s*([0-9.,]+(?:[eE][-+]?[0-9]+)?)"
_LENGTH = re.compile(r"([0-9.,]+)\s*([a-zµμ]+)", re.IGNORECASE)


class MicroscopeScale(NamedTuple):
    """The scale that the program of a microscope or its camera wrote.

    Attributes
    ----------
    nm_per_px
        nm per pixel.
    source
        Whose metadata it is.
    """

    nm_per_px: float
    source: str


def read_tiff_scale(chosen: tifffile.TiffPage, pages: Iterable[tifffile.TiffPage] = ()) -> MicroscopeScale | None:
    """Read the scale from the metadata of FEI, Thermo Fisher, Olympus SIS, Zeiss, Gatan, TVIPS, AMT or JEOL in a TIFF.

    Parameters
    ----------
    chosen
        The page with the picture; of its pixels none is read.
    pages
        All pages. Those of the size of the picture are searched after it: programs write the metadata on one of them.

    Returns
    -------
    MicroscopeScale or None
        None where the file has no such metadata, or pixels are not square.
    """
    for page in (chosen, *(page for page in pages if page.shape[:2] == chosen.shape[:2])):
        for nm, across, source in _page_scales(page):
            if is_scale(nm) and is_scale(across) and abs(nm / across - 1) <= SQUARE:
                return MicroscopeScale(nm, source)
    return None


def unequal_sides(page: tifffile.TiffPage) -> str:
    """Give the sides of a pixel, as `4 x 6 nm`, where the metadata of a microscope state that it is not square."""
    for nm, across, _ in _page_scales(page):
        if is_scale(nm) and is_scale(across) and max(nm, across) / min(nm, across) > 1 + UNLIKE:
            return f"{nm:.4g} x {across:.4g} nm"
    return ""


def read_sidecar_scale(path: Path, width: int) -> MicroscopeScale | None:
    """Read the scale from the file that a microscope's program wrote beside a picture.

    Parameters
    ----------
    path
        The picture (see :func:`nephroscale.slides.raw.find_sidecar`).
    width
        Of the picture, pixels. A sidecar that states another width is of another picture, or this one was resized.

    Returns
    -------
    MicroscopeScale or None
        None where there is no such file, or it is of another width.
    """
    text = _sidecar(path)
    return None if _other_width(text, width) else parse_scale(text)


def sidecar_fault(path: Path, width: int) -> str:
    """Say why the file beside a picture gives no scale; empty where there is none.

    Parameters
    ----------
    path, width
        As in :func:`read_sidecar_scale`.
    """
    text = _sidecar(path)
    if other := _other_width(text, width):
        return f"the microscope's file beside it is of a picture {other} pixels wide instead of {width}"
    return "the microscope's file beside it has no size of a pixel that can be read" if text else ""


def _sidecar(path: Path) -> str:
    sidecar = find_sidecar(path)
    if sidecar is None:
        return ""
    data = sidecar.open("rb").read(MOST_BYTES)
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", errors="replace")


def _other_width(text: str, width: int) -> int | None:
    stated = re.search(r"(?:CM_FULL_SIZE|DataSize|ImageSize)\s*=?\s*([0-9]+)", text)
    return int(stated[1]) if stated is not None and int(stated[1]) != width else None


def parse_scale(text: str) -> MicroscopeScale | None:
    r"""Find the scale in what a microscope's program wrote as text.

    Parameters
    ----------
    text
        The content of a sidecar, or the description of a TIFF.

    Examples
    --------
    >>> parse_scale("$$SM_MICRON_BAR 100\n$$SM_MICRON_MARKER 2um")
    MicroscopeScale(nm_per_px=20.0, source='JEOL')
    """
    for nm, source in _text_scales(text):
        if is_scale(nm):
            return MicroscopeScale(nm, source)
    return None


def _text_scales(text: str) -> Iterator[tuple[float, str]]:
    def number(name: str) -> float:
        found = re.search(name + _NUMBER, text)
        return _number(found[1]) if found else math.nan

    per_unit, unit = number("XpixCal"), re.search(r"Unit\s*=\s*([a-zµμ]+)", text, re.IGNORECASE)
    if per_unit > 0 and unit:
        yield NM.get(unit[1].lower(), math.nan) / per_unit, "camera"
    marker = re.search(r"SM_MICRON_MARKER\s+(.+)", text)
    if marker and (length := _LENGTH.search(marker[1])) and (bar := number("SM_MICRON_BAR")) > 0:
        yield _number(length[1]) * NM.get(length[2].lower(), math.nan) / bar, "JEOL"
    if "[SemImageFile]" in text:
        yield number("PixelSize"), "Hitachi"
    yield number("PixelSizeX") * 1e9, "Tescan"
    yield number("PixelSpacing") * NM["å"], "SerialEM"
    # The size of a pixel is in metres there; the tags may have a prefix.
    if found := re.search(r"pixelSize>\s*<(?:\w+:)?x>.*?numericValue>([^<]+)<", text, re.DOTALL):
        yield _number(found[1]) * 1e9, "EPU"


def _page_scales(page: tifffile.TiffPage) -> Iterator[tuple[float, float, str]]:
    """The nm per pixel across and along, and whose metadata it is; NaN where one is missing."""
    tags = page.tags
    for code in FEI:
        for section in _mapping(tags.valueof(code)).values():
            if isinstance(section, dict) and "PixelWidth" in section:
                yield _number(section["PixelWidth"]) * 1e9, _number(section.get("PixelHeight", math.nan)) * 1e9, "FEI"
    sis = _mapping(tags.valueof(SIS))
    if "pixelsizex" in sis:
        yield _number(sis["pixelsizex"]) * 1e9, _number(sis.get("pixelsizey", math.nan)) * 1e9, "Olympus SIS"
    sem = _mapping(tags.valueof(ZEISS))
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        name_value_unit = sem.get(key)
        if isinstance(name_value_unit, tuple) and len(name_value_unit) > 2:
            nm = _number(name_value_unit[1]) * NM.get(str(name_value_unit[2]).lower(), math.nan)
            yield nm, nm, "Zeiss"
    tvips = _mapping(tags.valueof(TVIPS))
    if "PixelSizeX" in tvips:
        yield _number(tvips["PixelSizeX"]), _number(tvips.get("PixelSizeY", math.nan)), "TVIPS"
    units, scales = ([tags.valueof(code) for code in codes] for codes in (GATAN_UNIT, GATAN_SCALE))
    if None not in scales:
        factors = [NM.get(_text(unit).lower(), math.nan) for unit in units]
        yield _number(scales[0]) * factors[0], _number(scales[1]) * factors[1], "Gatan"
    if found := parse_scale(_text(tags.valueof(DESCRIPTION, ""))):
        yield found.nm_per_px, found.nm_per_px, found.source


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """Text of a tag; units may be UTF-16 in a tag of bytes."""
    if isinstance(value, bytes):
        value = value.replace(b"\0", b"").decode("utf-8", errors="replace")
    elif isinstance(value, tuple):  # characters as numbers
        value = "".join(chr(code) for code in value if isinstance(code, int) and 0 < code < 0x110000)
    return str(value or "").replace("\0", "").strip()


def _number(value: object) -> float:
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return math.nan


def is_scale(nm: float) -> bool:
    """Whether a number may be the nm per pixel of a picture."""
    return math.isfinite(nm) and LEAST <= nm <= MOST
