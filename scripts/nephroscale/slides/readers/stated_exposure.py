"""The exposures that the metadata of fluorescence images state, in milliseconds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    import tifffile

Exposures = tuple[float | None, ...]
"""Of each channel, ms; None where the file states none."""

MS: Mapping[str, float] = {
    **dict.fromkeys(("s", "sec", "second"), 1e3),
    **dict.fromkeys(("ms", "msec", "millisecond"), 1.0),
    **dict.fromkeys(("us", "µs", "μs", "microsecond"), 1e-3),
    **dict.fromkeys(("ns", "nanosecond"), 1e-6),
    **dict.fromkeys(("min", "minute"), 6e4),
}
"""Milliseconds in a unit of time."""
DURATION = re.compile(r"(\d+[.,]?\d*(?:e[-+]?\d+)?|[.,]\d+)\s*([a-zµμ]*)\.?")
"""A number and its unit, in small letters."""
MICRO_MANAGER = 51123  # tag with the settings of a plane
MICRO_MANAGER_KEYS = ("Exposure-ms", "Exposure")


def milliseconds(value: object, unit: str) -> float | None:
    """Give a duration in ms; None for none, or one in another unit.

    Parameters
    ----------
    value
        A number or a text, which may have a decimal comma and a unit of its own (`50 ms`).
    unit
        Of a value without its own.
    """
    stated = DURATION.fullmatch(str(value).strip().casefold())
    if stated is None:
        return None
    own = stated[2] or unit.strip().casefold()
    factor = MS.get(own.removesuffix("s") if len(own) > 3 else own)
    found = float(stated[1].replace(",", ".")) * (factor or 0)
    return round(found, 9) if 0 < found < math.inf else None


def per_channel(found: Iterable[tuple[int, float | None]], channels: int) -> Exposures:
    """Give the exposure of each channel, from pairs of channel and exposure; where these differ, there is none."""
    known: dict[int, set[float]] = {}
    for channel, exposure in found:
        if exposure is not None:
            known.setdefault(channel, set()).add(exposure)
    return tuple(next(iter(one)) if len(one := known.get(n, set())) == 1 else None for n in range(channels))


def tiff_exposures(
    page: tifffile.TiffPage,
    pixels: ET.Element | None,
    channels: int,
    plane: Mapping[str, int],
) -> Exposures:
    """Read the exposures in OME-XML, or in the settings of Micro-Manager.

    Parameters
    ----------
    page
        With the picture.
    pixels
        Element `Pixels` of the picture in OME-XML, if the file has it.
    channels
        Number of channels: of a picture in colour one.
    plane
        Index on each axis of the stack, by its letter.
    """
    if pixels is not None and any(stated := ome_exposures(pixels, channels, plane)):
        return stated
    tag = page.tags.get(MICRO_MANAGER)
    settings = tag.value if tag is not None and isinstance(tag.value, dict) else {}
    if channels > 1 or not settings:
        return ()
    value = next((settings[key] for key in MICRO_MANAGER_KEYS if key in settings), "")
    return (milliseconds(value, "ms"),)


def ome_exposures(pixels: ET.Element, channels: int, plane: Mapping[str, int]) -> Exposures:
    """Read the exposures of the planes in OME-XML; see :func:`tiff_exposures`. The unit is seconds if none is named."""
    planes = [element for element in pixels if element.tag.rpartition("}")[2] == "Plane"]
    return per_channel(
        (
            (_index(one, "C"), milliseconds(one.get("ExposureTime", ""), one.get("ExposureTimeUnit", "s")))
            for one in planes
            if all(_index(one, axis) == plane.get(axis, 0) for axis in "ZT")
        ),
        channels,
    )


def czi_exposures(root: ET.Element | None, numbers: Sequence[int]) -> Exposures:
    """Read the exposures of channels, by their numbers, in the metadata of a CZI, which has nanoseconds."""
    path = "Metadata/Information/Image/Dimensions/Channels/Channel"
    found = [] if root is None else [channel.findtext("ExposureTime") or "" for channel in root.findall(path)]
    return tuple(milliseconds(found[each], "ns") if 0 <= each < len(found) else None for each in numbers)


def lif_exposures(image: ET.Element, channels: int) -> Exposures:
    """Read the exposures in the camera's settings of an image of a LIF, which are in seconds.

    The settings list the channels in the order of the image; where they list another number, no channel is known.
    """
    for path in (".//LDM_Block_Widefield_Sequential//WideFieldChannelInfo", ".//WideFieldChannelInfo"):
        found = [milliseconds(info.get("ExposureTime", ""), "s") for info in image.iterfind(path)]
        if len(found) == channels:
            return tuple(found)
        if found and len(set(found)) == 1:  # one setting for all
            return tuple(found[:1] * channels)
    return ()


def nd2_exposures(planes: Mapping[str, object], channels: int) -> Exposures:
    """Read the exposures in the settings of the samples of an ND2 (`sPicturePlanes`), in milliseconds."""
    settings = _values(planes.get("sSampleSetting"))
    described = _values(planes.get("sPlaneNew") or planes.get("sPlane"))
    if len(described) != channels:
        return ()
    numbers = [index if isinstance(index := one.get("uiSampleIndex"), int) else n for n, one in enumerate(described)]
    if len(settings) == 1:
        numbers = [0] * channels
    return tuple(
        milliseconds(settings[n].get("dExposureTime") or "", "ms") if 0 <= n < len(settings) else None for n in numbers
    )


def _values(listed: object) -> list[Mapping[str, object]]:
    """Give the mappings among the values of a mapping or a list."""
    values = listed.values() if isinstance(listed, Mapping) else listed if isinstance(listed, list) else ()
    return [value for value in values if isinstance(value, Mapping)]


def _index(plane: ET.Element, axis: str) -> int:
    text = plane.get(f"The{axis}", "0")
    return int(text) if text.isdecimal() else -1
