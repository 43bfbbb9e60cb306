"""The scale that an electron microscope's program wrote into a picture's metadata, or into a file beside it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.slides.raw import find_sidecar
from nephroscale.slides.readers.stated_mpp import NOT_SQUARE, micrometres

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import tifffile

GATAN_UNIT, GATAN_SCALE = (65003, 65004), (65009, 65010)
SIS, ZEISS, FEI, TVIPS = 33560, 34118, (34680, 34682), 37706
DESCRIPTION = 270
LEAST, MOST = 1e-3, 1e6  # nm per pixel; beyond, it is no length, as in files of diffraction patterns
ANGSTROM = 0.1  # nm
MOST_BYTES = 1 << 20

UNLIKE = 0.05  # relative difference of the sides of a pixel from which on no single scale holds; below, their mean does

_NUMBER = r"\s*[:=]?\s*([0-9.,]+(?:[eE][-+]?[0-9]+)?)"
_LENGTH = re.compile(r"([0-9.,]+)\s*([a-zµμåÅ]+)", re.IGNORECASE)
_THOUSANDS = re.compile(r"[1-9][0-9]*[.,][0-9]{3}")  # 1,000 is a thousand, and may be one

Sides = tuple[float, float, str]
"""nm per pixel along x and y, NaN where one is missing, and whose metadata it is."""


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
        if found := _first_square(_page_scales(page)):
            return found
    return None


def unequal_sides(page: tifffile.TiffPage) -> str:
    """Give the sides of a pixel, as `4 x 6 nm`, where the metadata of a microscope state that it is not square."""
    return _unequal(_page_scales(page))


def other_width(page: tifffile.TiffPage) -> int | None:
    """Width that the metadata of FEI, Zeiss or JEOL state, where the picture has another, as it was resized or cut."""
    stated = [
        section.get("ResolutionX")
        for code in FEI
        for name, section in _mapping(page.tags.valueof(code)).items()
        if name == "Image" and isinstance(section, dict)
    ]
    store = _mapping(page.tags.valueof(ZEISS)).get("dp_image_store")
    if isinstance(store, tuple) and (found := re.search("[0-9]+", str(store[1:]))):
        stated.append(int(found[0]))
    others = [width for width in stated if isinstance(width, int) and width > 0]
    if others and page.imagewidth not in others:
        return others[0]
    return _other_width(_text(page.tags.valueof(DESCRIPTION, "")), page.imagewidth)


def mean_side(x: float, y: float) -> float | None:
    """Mean of the sides of a pixel in nm; None where one is no length, or they differ by more than 5 %."""
    return (x + y) / 2 if is_scale(x) and is_scale(y) and max(x, y) / min(x, y) <= 1 + UNLIKE else None


def _first_square(found: Iterable[Sides]) -> MicroscopeScale | None:
    means = ((mean_side(x, y), source) for x, y, source in found)
    return next((MicroscopeScale(nm, source) for nm, source in means if nm is not None), None)


def _unequal(found: Iterable[Sides]) -> str:
    sides = ((x, y) for x, y, _ in found if is_scale(x) and is_scale(y) and mean_side(x, y) is None)
    return next((f"{x:.4g} x {y:.4g} nm" for x, y in sides), "")


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
    if sides := _unequal(_text_scales(text)):
        return f"{NOT_SQUARE} ({sides}, by the microscope's file beside it); resample it"
    return "the microscope's file beside it has no size of a pixel that can be read" if text else ""


def _sidecar(path: Path) -> str:
    sidecar = find_sidecar(path)
    if sidecar is None:
        return ""
    with sidecar.open("rb") as file:
        data = file.read(MOST_BYTES)
    return data.decode("utf-16", errors="replace") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else _decode(data)


def _decode(data: bytes) -> str:
    """Decode text whose micro sign is in UTF-8, in Shift-JIS, or in the code of Windows."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.replace(b"\x83\xca", b"\xb5").decode("cp1252", errors="replace")


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
    return _first_square(_text_scales(text))


def _text_scales(text: str) -> Iterator[Sides]:
    def number(name: str) -> float:
        found = re.search(name + _NUMBER, text)
        return _number(found[1]) if found else math.nan

    def sides(name: str) -> tuple[float, float]:
        """Numbers of an x and a y; where a program states one alone, it is for both."""
        x, y = number(name.format("X")), number(name.format("Y"))
        return x, x if math.isnan(y) else y

    x, y = sides("{}pixCal")
    if x > 0 and y > 0 and (unit := re.search(r"Unit\s*=\s*([a-zµμåÅ]+)", text, re.IGNORECASE)):
        yield _nm(unit[1]) / x, _nm(unit[1]) / y, "camera"
    marker = re.search(r"SM_MICRON_MARKER\s+(.+)", text)
    if marker and (length := _LENGTH.search(marker[1])) and (bar := number("SM_MICRON_BAR")) > 0:
        nm = math.nan if _THOUSANDS.fullmatch(length[1]) else _number(length[1]) * _nm(length[2]) / bar
        yield nm, nm, "JEOL"
    if "[SemImageFile]" in text:
        yield number("PixelSize"), number("PixelSize"), "Hitachi"
    x, y = sides("PixelSize{}")
    yield x * 1e9, y * 1e9, "Tescan"
    yield number("PixelSpacing") * ANGSTROM, number("PixelSpacing") * ANGSTROM, "SerialEM"
    # The size of a pixel is in metres there; the tags may have a prefix.
    if found := re.search(r"pixelSize>\s*<(?:\w+:)?x>.*?numericValue>([^<]+)<(.*?)pixelSize>", text, re.DOTALL):
        down = re.search(r"<(?:\w+:)?y>.*?numericValue>([^<]+)<", found[2], re.DOTALL)
        yield _number(found[1]) * 1e9, _number((down or found)[1]) * 1e9, "EPU"


def _page_scales(page: tifffile.TiffPage) -> Iterator[Sides]:
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
            nm = _number(name_value_unit[1]) * _nm(str(name_value_unit[2]))
            yield nm, nm, "Zeiss"
    tvips = _mapping(tags.valueof(TVIPS))
    if "PixelSizeX" in tvips:
        yield _number(tvips["PixelSizeX"]), _number(tvips.get("PixelSizeY", math.nan)), "TVIPS"
    units, scales = ([tags.valueof(code) for code in codes] for codes in (GATAN_UNIT, GATAN_SCALE))
    if None not in scales:
        factors = [_nm(_text(unit)) for unit in units]
        yield _number(scales[0]) * factors[0], _number(scales[1]) * factors[1], "Gatan"
    yield from _text_scales(_text(tags.valueof(DESCRIPTION, "")))


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """Text of a tag; units may be UTF-16 in a tag of bytes."""
    if isinstance(value, bytes):
        value = _decode(value.replace(b"\0", b""))
    elif isinstance(value, tuple):  # characters as numbers
        value = "".join(chr(code) for code in value if isinstance(code, int) and 0 < code < 0x110000)
    return str(value or "").replace("\0", "").strip()


def _nm(unit: str) -> float:
    """The nm of a unit of length; NaN for another unit."""
    return 1000 * (micrometres(unit) or math.nan)


def _number(value: object) -> float:
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return math.nan


def is_scale(nm: float) -> bool:
    """Whether a number may be the nm per pixel of a picture."""
    return math.isfinite(nm) and LEAST <= nm <= MOST
