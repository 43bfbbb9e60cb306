"""ND2 files of Nikon, by `nd2`, which is an optional extra: one frame, in 8 or 16 bits."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.claims import claim_fault
from nephroscale.slides.readers.pictures import choose_picture, refuse_damage
from nephroscale.slides.readers.stated_exposure import nd2_exposures
from nephroscale.slides.readers.stated_mpp import StatedMpp, square_pixels

AXES = {"ZStackLoop": "Z", "TimeLoop": "T", "NETimeLoop": "T"}
"""Names of the axes of a stack by the package's."""
MAGIC = 0x0ABECEDA
CHUNK = struct.Struct("<IIQ")  # magic, length of the name, length of the data
PLACE = struct.Struct("<QQ")  # in the map of the file: where a chunk begins, and its length
MAP_END = b"ND2 CHUNK MAP SIGNATURE 0000001!"
FRAME = b"ImageDataSeq|"
STAMP = 8  # bytes of the time, before the pixels
TIME = 2  # Nikon's number of an axis that is none of length
MOST_FRAME_BYTES = 2**30  # of a compressed frame


class _Frame(NamedTuple):
    """Where the pixels of a picture lie in the file, in bytes."""

    start: int
    length: int


class Nd2Reader(SlideReader):
    """One picture of an ND2, mapped from the file unless it is compressed.

    The pictures of a file are the frames of its experiment (time points, positions, planes), in the order of the file.
    """

    def __init__(self, path: Path, page: int | None = None) -> None:
        import nd2

        with refuse_damage("ND2"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with nd2.ND2File(path) as file:
                self._set_up(path, file, page)

    def _set_up(self, path: Path, file: Any, number: int | None) -> None:
        stated = file.attributes
        if stated.bitsPerComponentInMemory not in {8, 16} or stated.pixelDataType != "unsigned":
            raise UnreadableSlide("its pixels are not of 8 or 16 bits; save 8 or 16 bits")
        if file.components_per_channel != 1:
            raise UnreadableSlide("its colours are not supported; export the picture as OME-TIFF")
        if stated.compressionType == "lossy" or stated.tileWidthPx:
            raise UnreadableSlide("its compression is not supported; save it uncompressed, or compress it losslessly")
        picture = _picture(file)
        self.width, self.height, self.channels = stated.widthPx, stated.heightPx, stated.componentCount
        if min(self.width, self.height) < 2 or TIME in {picture.get(f"ePicture{axis}Axis") for axis in "XY"}:
            raise UnreadableSlide("it has no picture in the plane of X and Y")
        frames = _frames(path)
        planned = math.prod(loop.count for loop in file.experiment)
        count = max(planned, 1 + max(frames, default=-1))
        index = choose_picture(range(count), number, _kinds(file) or "frames", "nd2")
        if index not in frames:
            raise UnreadableSlide(f"its picture #{index + 1} was not recorded; name another one")
        self.dtype, self.rgb, self.vendor = np.dtype(f"<u{stated.bitsPerComponentInMemory // 8}"), False, "nd2"
        pixel = self.channels * self.dtype.itemsize
        self._steps = stated.widthBytes, pixel, self.dtype.itemsize
        self._needed = (self.height - 1) * stated.widthBytes + self.width * pixel
        if min(self.channels, stated.widthBytes // (self.width * pixel)) < 1:
            raise UnreadableSlide("the ND2 is damaged or truncated")
        self._compressed = stated.compressionType == "lossless"
        held = frames[index].length
        if self._compressed:
            if self._needed > MOST_FRAME_BYTES:
                raise UnreadableSlide("it is too large for a compressed frame, read as a whole; save it uncompressed")
            if fault := claim_fault(self.width, self.height, pixel, held):
                raise UnreadableSlide(fault)
        elif held < self._needed:
            raise UnreadableSlide("the ND2 is damaged or truncated")
        self._held: np.ndarray = np.memmap(path, np.uint8, "r", offset=frames[index].start, shape=(held,))
        self._pixels: np.ndarray | None = None
        self.sizes, self.downsamples = ((self.width, self.height),), (1.0,)
        planes = picture["sPicturePlanes"]
        names = [str(plane.get("sDescription", "")) for plane in (planes.get("sPlaneNew") or planes["sPlane"]).values()]
        self.channel_names = tuple(names) if len(names) == self.channels else ()
        self.exposures_ms = nd2_exposures(planes, self.channels)
        um = float(picture["dCalibration"]) if picture.get("bCalibrated") else 0.0
        self.mpp, self.mpp_is_generic, self.scale_fault, self.stretch = square_pixels(um, um) if um > 0 else StatedMpp()

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ARG002
        """Read a region: pixels, all of which the file has."""
        if self._pixels is None:
            shape = self.height, self.width, self.channels
            self._pixels = np.ndarray(shape, self.dtype, buffer=self._bytes(), strides=self._steps)
        return np.array(self._pixels[y : y + height, x : x + width]), None

    def _bytes(self) -> Any:
        if not self._compressed:
            return self._held
        try:
            found = zlib.decompressobj().decompress(self._held.data, self._needed)
        except zlib.error as fault:
            raise UnreadableRegion("the ND2 is damaged or truncated") from fault
        if len(found) < self._needed:
            raise UnreadableRegion("the ND2 is damaged or truncated")
        return found

    def close(self) -> None:
        """Release the file."""
        self._pixels = None
        self._held = np.empty(0, np.uint8)


def _picture(file: Any) -> Any:
    """Give what the file states of its pictures; the package's own summary has 1 µm where a file states no scale."""
    names = {"ImageMetadataSeqLV|0", "ImageMetadataSeq|0"}  # from version 3 on, and before
    (found,) = file.unstructured_metadata(strip_prefix=False, include=names).values()
    return found.get("SLxPictureMetadata", found)


def _kinds(file: Any) -> str:
    """List the dimensions along which there are several frames."""
    counts = {loop.type: loop.count for loop in file.experiment if loop.count > 1}
    positions = counts.pop("XYPosLoop", 1)
    axes = dict.fromkeys(AXES.get(kind, kind) for kind in counts)
    return ", ".join([f"{positions} positions"] * (positions > 1) + [f"a stack along {', '.join(axes)}"] * bool(axes))


def _frames(path: Path) -> dict[int, _Frame]:
    """Find the frames by the map at the end of the file; of a frame that is not there, the package gives zeros."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(-len(MAP_END) - 8, 2)
        if file.read(len(MAP_END)) != MAP_END:
            raise UnreadableSlide("the ND2 is damaged or truncated")
        start, length = _data(file, int.from_bytes(file.read(8), "little"), size)
        file.seek(start)
        chunks, place, frames = file.read(length), 0, {}
        while (end := chunks.index(b"!", place) + 1) and (name := chunks[place:end]) != MAP_END:
            if name.startswith(FRAME):
                begin, _ = PLACE.unpack_from(chunks, end)
                start, length = _data(file, begin, size)
                frames[int(name[len(FRAME) : -1])] = _Frame(start + STAMP, length - STAMP)
            place = end + PLACE.size
    return frames


def _data(file: BinaryIO, place: int, size: int) -> tuple[int, int]:
    """Start and length of the data of a chunk that begins at a place of the file, in bytes."""
    file.seek(place)
    magic, name, length = CHUNK.unpack(file.read(CHUNK.size))
    start = place + CHUNK.size + name
    if magic != MAGIC or length < STAMP or start + length > size:
        raise UnreadableSlide("the ND2 is damaged or truncated")
    return start, length


Reader = Nd2Reader
