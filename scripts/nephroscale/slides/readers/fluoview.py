"""Images of Olympus's FluoView: settings in text, and a TIFF of each plane of each channel.

Of OIF and OIB there is no public specification. Names of planes, settings and units are those that the package
`oiffile` (C. Gohlke, BSD) reads.
"""

from __future__ import annotations

import configparser
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO, NamedTuple

import numpy as np
import tifffile

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.claims import claim_fault
from nephroscale.slides.readers.pictures import choose_picture
from nephroscale.slides.readers.stated_mpp import StatedMpp, micrometres, square_pixels

PLANE = re.compile(r"[^-]*_((?:[A-Z]\d+)+)\.tif", re.IGNORECASE)  # s_C001Z002.tif; s_C001-R001.tif is an overview
AXIS = re.compile(r"([A-Z])(\d+)", re.IGNORECASE)
AXES = {"L": "wavelength"}
"""Names of the axes of a stack by Olympus's letter, where they differ."""
COMMA = re.compile(r"(\d+),(\d+)(?:\.0+)?")  # 0,207.0 is 0.207
DTYPES = (np.uint8, np.uint16)
Place = tuple[int, ...]
"""A plane of a stack: its number along each axis but that of the channels, from 1."""


class _Header(NamedTuple):
    height: int
    width: int
    dtype: np.dtype


class FluoViewReader(SlideReader):
    """One picture of an image of FluoView: the same plane of all channels.

    The pictures of an image are the planes of its stack. Those along Z follow each other, then the time points.
    """

    _members: Mapping[str, Callable[[], BinaryIO]]

    def _set_up(self, main: configparser.RawConfigParser, number: int | None, suffix: str) -> None:
        """Choose the picture, and read the headers of its planes.

        Parameters
        ----------
        main
            The main settings.
        number
            Of the picture, from 1; None where none is named.
        suffix
            Of the format.
        """
        axes, planes = _planes(self._members)
        if not _text(main, "Axis Parameter Common", "AxisOrder").upper().startswith("XY") or not planes:
            raise UnreadableSlide("it has no picture in the plane of X and Y")
        places = sorted({place for _, place in planes}, key=lambda place: place[::-1])
        channels = sorted({channel for channel, _ in planes})
        if len(planes) != len(places) * len(channels) or places != _grid(places):
            raise UnreadableSlide("planes of its stack are missing; copy it again, with all its files")
        names = [AXES.get(axis, axis) for axis, at in zip(axes, places[-1], strict=True) if at > 1]
        place = choose_picture(places, number, f"a stack along {', '.join(names)}", suffix)
        self._names = [planes[channel, place] for channel in channels]
        headers = [self._header(name) for name in self._names]
        if len(set(headers)) > 1:
            raise UnreadableSlide("its channels have different sizes; export the picture as OME-TIFF")
        self.height, self.width, self.dtype = headers[0]
        self.channels, self.rgb, self.vendor = len(channels), False, suffix
        self.sizes, self.downsamples = ((self.width, self.height),), (1.0,)
        self.channel_names = tuple(_channel_name(main, channel) for channel in channels)
        self.mpp, self.mpp_is_generic, self.scale_fault, self.stretch = self._scale(self._names[0], main)
        self._pixels: np.ndarray | None = None

    def _header(self, name: str) -> _Header:
        """Size and type of a plane, whose pixels must all be in the file."""
        with self._members[name]() as file, tifffile.TiffFile(file) as tiff:
            page, size = tiff.pages.first, file.seek(0, 2)
            held = list(zip(page.dataoffsets, page.databytecounts, strict=True))
            if not held or any(not count or start + count > size for start, count in held):
                raise UnreadableSlide("a plane of it is truncated; copy it again")
            if len(page.shape) != 2 or page.dtype not in DTYPES or page.compression not in {1, 5}:
                raise UnreadableSlide("its pixels are not of 8 or 16 bits, or compressed in an unknown way")
            height, width = page.shape
            if fault := claim_fault(width, height, page.dtype.itemsize, sum(count for _, count in held)):
                raise UnreadableSlide(fault)
            return _Header(height, width, np.dtype(page.dtype))

    def _scale(self, plane: str, main: configparser.RawConfigParser) -> StatedMpp:
        """The scale in the settings of a plane; otherwise in the main settings."""
        opened = self._members.get(f"{plane[: -len('.tif')]}.pty")
        found = read_settings(opened) if opened else configparser.RawConfigParser()
        for settings, section in ((found, "Image Parameters"), (main, "Reference Image Parameter")):
            values = [_text(settings, section, f"{side}ConvertValue") for side in ("Width", "Height")]
            factors = [micrometres(_text(settings, section, f"{side}Unit")) for side in ("Width", "Height")]
            if all(values) and None not in factors:
                sides = [COMMA.sub(r"\1.\2", value) for value in values]
                return square_pixels(*(float(side) * (unit or 0) for side, unit in zip(sides, factors, strict=True)))
        return StatedMpp()

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ARG002
        """Read a region: pixels, all of which the file has."""
        if self._pixels is None:
            try:
                self._pixels = np.stack([self._decoded(name) for name in self._names], axis=-1)
            except Exception as fault:  # of any class
                raise UnreadableRegion("a plane of it is damaged") from fault
        return self._pixels[y : y + height, x : x + width].copy(), None

    def _decoded(self, name: str) -> np.ndarray:
        with self._members[name]() as file, tifffile.TiffFile(file) as tiff:
            return tiff.pages.first.asarray()

    def close(self) -> None:
        """Forget the pixels."""
        self._pixels = None


def read_settings(open_file: Callable[[], BinaryIO]) -> configparser.RawConfigParser:
    """Read a text of settings, in UTF-16 or UTF-8."""
    with open_file() as file:
        content = file.read()
    text = content.decode("utf-16" if content.startswith(b"\xff\xfe") else "utf-8-sig")
    settings = configparser.RawConfigParser(
        strict=False, delimiters=("=",), comment_prefixes=(";",), allow_no_value=True, empty_lines_in_values=False
    )
    settings.read_string("\n".join(line.strip() for line in text.splitlines()))
    return settings


def _text(settings: configparser.RawConfigParser, section: str, key: str) -> str:
    """A value without its quotes; empty where there is none."""
    value = settings.get(section, key, fallback="") or ""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _planes(members: Iterable[str]) -> tuple[list[str], dict[tuple[int, Place], str]]:
    """Find the planes by their names: the axes of the stack, and the name for each channel and place."""
    found = {name: AXIS.findall(match[1].upper()) for name in members if (match := PLANE.fullmatch(name))}
    kinds = {tuple(axis for axis, _ in parts) for parts in found.values()}
    if len(kinds) > 1:
        raise UnreadableSlide("its planes belong to several images; export the picture as OME-TIFF")
    axes = [axis for kind in kinds for axis in kind if axis != "C"]
    planes = {}
    for name, parts in sorted(found.items()):
        at = {axis: int(number) for axis, number in parts}
        planes[at.get("C", 1), tuple(at[axis] for axis in axes)] = name
    return axes, planes


def _grid(places: list[Place]) -> list[Place]:
    """All places of a stack whose last plane is the last of some, in the same order."""
    last = [max(numbers) for numbers in zip(*places, strict=True)]
    return [place[::-1] for place in itertools.product(*(range(1, count + 1) for count in reversed(last)))]


def _channel_name(main: configparser.RawConfigParser, channel: int) -> str:
    """The dye of a channel; otherwise its name."""
    section = f"Channel {channel} Parameters"
    dye = _text(main, section, "DyeName")
    return dye if dye and dye != "None" else _text(main, section, "CH Name")
