"""LIF files of Leica, by `liffile`, which is an optional extra: one plane of one image, in 8 or 16 bits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np

from nephroscale.slides.readers.base import SlideReader, UnreadableSlide
from nephroscale.slides.readers.pictures import choose_picture, refuse_damage
from nephroscale.slides.readers.stated_exposure import lif_exposures
from nephroscale.slides.readers.stated_mpp import StatedMpp, micrometres, square_pixels

X, Y = 1, 2
AXES = {3: "Z", 4: "T", 5: "wavelength", 6: "rotation", 7: "XT", 8: "TSlice", 9: "wavelength", 10: "tile"}
"""Names of the axes of a stack by Leica's number."""
DESCRIPTION = "./Data/Image/ImageDescription"


class _Axis(NamedTuple):
    """An axis of an image: Leica's number, length, bytes from one element to the next, and µm between elements."""

    kind: int
    length: int
    step: int
    um: float | None


class _Picture(NamedTuple):
    """A plane: the image that it belongs to, and its first byte in the image's memory block."""

    image: Any
    start: int


class LifReader(SlideReader):
    """One picture of a LIF, mapped from the file.

    The pictures of a file are the planes of its images, image by image. Sections across the plane of X and Y are none.
    """

    def __init__(self, path: Path, page: int | None = None) -> None:
        import liffile

        with refuse_damage("LIF"), liffile.LifFile(str(path)) as lif:
            if lif.type != liffile.LifFileType.LIF:
                raise UnreadableSlide("it is an LOF or LIFEXT file, which is not supported; save it as LIF")
            self._set_up(path, lif, page)

    def _set_up(self, path: Path, lif: Any, number: int | None) -> None:
        size = path.stat().st_size
        if any(block.offset + block.size > size for block in lif.memory_blocks.values()):
            raise UnreadableSlide("the LIF is truncated")
        images = [image for image in lif.images if not image.is_flim and _is_picture(image.xml_element)]
        pictures = [picture for image in images for picture in _planes(image)]
        names = [name for image in images for name in _stack(image.xml_element)]
        kinds = [f"{len(images)} images"] * (len(images) > 1)
        kinds += [f"a stack along {', '.join(dict.fromkeys(names))}"] * bool(names)
        if not pictures:
            raise UnreadableSlide("it has no picture in the plane of X and Y")
        picture = choose_picture(pictures, number, ", ".join(kinds), "lif")
        element = picture.image.xml_element
        channels = element.findall(f"{DESCRIPTION}/Channels/ChannelDescription")
        if any(channel.get("DataType", "0") != "0" or int(channel.attrib["Resolution"]) > 16 for channel in channels):
            raise UnreadableSlide("its pixels are not of 8 or 16 bits; save 8 or 16 bits")
        if any(channel.get("ChannelTag", "0") != "0" for channel in channels):
            raise UnreadableSlide("its colours are not supported; export the picture as OME-TIFF")
        axes = {axis.kind: axis for axis in _axes(element)}
        block = picture.image.memory_block
        self._planes = []
        for channel in channels:
            dtype = np.dtype("u1" if int(channel.attrib["Resolution"]) <= 8 else "<u2")
            start = picture.start + int(channel.attrib["BytesInc"])
            steps = axes[Y].step, axes[X].step
            shape = axes[Y].length, axes[X].length
            end = start + sum((count - 1) * step for count, step in zip(shape, steps, strict=True)) + dtype.itemsize
            if start < 0 or min(steps) < dtype.itemsize or end > block.size or block.offset + end > size:
                raise UnreadableSlide("the LIF is damaged or truncated")
            mapped = np.memmap(path, np.uint8, "r", offset=block.offset + start, shape=(end - start,))
            self._planes.append(np.ndarray(shape, dtype, buffer=mapped, strides=steps))
        self.height, self.width = self._planes[0].shape
        self.channels, self.rgb, self.vendor = len(channels), False, "lif"
        self.dtype = np.dtype(np.uint8 if all(plane.dtype.itemsize == 1 for plane in self._planes) else np.uint16)
        self.sizes, self.downsamples = ((self.width, self.height),), (1.0,)
        self.channel_names = tuple(_name(channel) for channel in channels)
        self.exposures_ms = lif_exposures(element, len(channels))
        stated = square_pixels(axes[X].um, axes[Y].um) if axes[X].um and axes[Y].um else StatedMpp()
        self.mpp, self.mpp_is_generic, self.scale_fault, self.stretch = stated

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ARG002
        """Read a region: pixels, all of which the file has."""
        pixels = np.empty((height, width, self.channels), self.dtype)
        for channel, plane in enumerate(self._planes):
            pixels[..., channel] = plane[y : y + height, x : x + width]
        return pixels, None

    def close(self) -> None:
        """Release the file."""
        self._planes.clear()


def _axes(element: ET.Element) -> list[_Axis]:
    """The axes of an image, that of the smallest step first."""
    found = []
    for each in element.findall(f"{DESCRIPTION}/Dimensions/DimensionDescription"):
        count, extent = int(each.attrib["NumberOfElements"]), float(each.attrib["Length"])
        if count < 1:
            raise UnreadableSlide("the LIF is damaged: an image has no pixels")
        factor = micrometres(each.get("Unit", "m"))
        # The extent is that from the first pixel to the last.
        um = abs(extent) * factor / (count - 1) if factor and count > 1 else None
        found.append(_Axis(int(each.attrib["DimID"]), count, int(each.attrib["BytesInc"]), um))
    return sorted(found, key=lambda axis: axis.step)


def _is_picture(element: ET.Element) -> bool:
    axes = {axis.kind: axis for axis in _axes(element)}
    return all(kind in axes and axes[kind].length > 1 for kind in (X, Y))


def _stack(element: ET.Element) -> Iterator[str]:
    """Names of the axes along which an image has several planes."""
    axes = (axis for axis in reversed(_axes(element)) if axis.kind not in {X, Y} and axis.length > 1)
    return (AXES.get(axis.kind, str(axis.kind)) for axis in axes)


def _planes(image: Any) -> list[_Picture]:
    """The planes of an image in the order of the file."""
    outer = [axis for axis in reversed(_axes(image.xml_element)) if axis.kind not in {X, Y}]
    if math.prod(axis.length for axis in outer) > image.memory_block.size:
        raise UnreadableSlide("the LIF is damaged: an image is larger than its part of the file")
    places = np.ndindex(*(axis.length for axis in outer))
    return [_Picture(image, sum(n * axis.step for n, axis in zip(place, outer, strict=True))) for place in places]


def _name(channel: ET.Element) -> str:
    """Name of the dye; otherwise that of the colour in which it is shown."""
    for each in channel.findall("ChannelProperty"):
        if each.findtext("Key") == "DyeName" and (name := each.findtext("Value")):
            return name
    return channel.get("LUTName", "")


Reader = LifReader
