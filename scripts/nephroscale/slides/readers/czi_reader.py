"""CZI files of Zeiss, by `czifile`, which is an optional extra: one plane of one scene, in 8 or 16 bits."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET  # documents with a DTD are not parsed

import imagecodecs
import numpy as np

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.pictures import choose_picture, refuse_damage
from nephroscale.slides.readers.stated_exposure import czi_exposures
from nephroscale.slides.readers.stated_mpp import square_pixels

DTYPES = {"Gray8": np.uint8, "Gray16": np.uint16, "Bgr24": np.uint8}
PLAIN, JPEG_XR, ZSTD, ZSTD_PACKED = 0, 4, 5, 6
COMPRESSIONS = (PLAIN, JPEG_XR, ZSTD, ZSTD_PACKED)
CACHE_BYTES = 2**27  # of decoded tiles
MOST_TILE_BYTES = 2**30
LEAST_COVERED = 0.01  # of the box around the tiles


class _Tile(NamedTuple):
    """A tile of full resolution: where it lies, in pixels of the whole file, and where among the planes."""

    entry: Any
    x: int
    y: int
    width: int
    height: int
    channel: int
    order: int
    plane: dict[str, int]


class CziReader(SlideReader):
    """One picture of a CZI: its tiles of full resolution at their positions, channel by channel.

    The pictures of a file are the planes of its stacks, scene by scene. Where tiles overlap, the one with the higher
    index lies on top, as in Zeiss's programs. Pixels without a tile are not valid. Reduced copies (pyramids) are not
    read.
    """

    def __init__(self, path: Path, page: int | None = None) -> None:
        import czifile

        with refuse_damage("CZI"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._czi = czifile.CziFile(str(path), multifile=False)
            try:
                self._set_up(path, page)
            except Exception:
                self.close()
                raise

    def _set_up(self, path: Path, number: int | None) -> None:
        self._bytes, header = path.stat().st_size, self._czi.header
        with path.open("rb") as file:  # of a file without a directory, czifile would collect what is left
            for place, magic in (
                (header.directory_position, b"ZISRAWDIRECTORY\0"),
                (header.metadata_position, b"ZISRAWMETADATA\0\0"),
            ):
                file.seek(place)
                if file.read(16) != magic:
                    raise UnreadableSlide("the CZI is damaged or truncated")
        entries = self._czi.subblock_directory
        if not entries:
            raise UnreadableSlide("it has no picture")
        if header.file_part or any(entry.file_part for entry in entries):
            raise UnreadableSlide("it is one of several files of a CZI; save it as one file")
        last = max(entries, key=lambda entry: entry.file_position)
        if last.file_position >= self._bytes or _end(last.data_segment()) > self._bytes:
            raise UnreadableSlide("the CZI is truncated")
        chosen = _choose([tile for entry in entries if (tile := _tile(entry)) is not None], number)
        kinds = {tile.entry.pixel_type for tile in chosen}
        if other := sorted(kinds - set(DTYPES)):
            raise UnreadableSlide(f"pixels of type {other[0]} are not supported; save 8 or 16 bits")
        if any(tile.entry.compression not in COMPRESSIONS for tile in chosen):
            raise UnreadableSlide("its compression is not supported; save it uncompressed, or with Zstd or JPEG XR")
        numbers = sorted({tile.channel for tile in chosen})
        self.rgb = any(kind.startswith("Bgr") for kind in kinds)
        if self.rgb and (len(numbers) > 1 or len(kinds) > 1):
            raise UnreadableSlide("it has a colour image beside other channels; save only one")
        self._left, self._top = min(tile.x for tile in chosen), min(tile.y for tile in chosen)
        self.width = max(tile.x + tile.width for tile in chosen) - self._left
        self.height = max(tile.y + tile.height for tile in chosen) - self._top
        area = sum(tile.width * tile.height for tile in chosen) / len(numbers)
        if area < LEAST_COVERED * self.width * self.height:
            raise UnreadableSlide("its tiles lie far apart; save each scene as a file of its own")
        self._channels = [
            sorted((tile for tile in chosen if tile.channel == each), key=lambda tile: tile.order) for each in numbers
        ]
        self.channels = 3 if self.rgb else len(numbers)
        self.dtype = np.dtype(max((DTYPES[kind] for kind in kinds), key=lambda kind: np.dtype(kind).itemsize))
        self.sizes, self.downsamples, self.vendor = ((self.width, self.height),), (1.0,), "czi"
        root = _parse(self._czi.metadata())
        stated = square_pixels(*(_micrometres(root, axis) for axis in "XY"))
        self.mpp, self.mpp_is_generic, self.scale_fault, self.stretch = stated
        self.exposures_ms = czi_exposures(root, numbers)
        if not self.rgb:
            names = _channel_names(root)
            self.channel_names = tuple(names[each] if 0 <= each < len(names) else "" for each in numbers)
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ARG002
        """Read a region: pixels, and a mask of those that lie in a tile of each channel (None for all)."""
        pixels = np.zeros((height, width, self.channels), self.dtype)
        valid = np.ones((height, width), bool)
        left, top = x + self._left, y + self._top
        for channel, tiles in enumerate(self._channels):
            seen = np.zeros((height, width), bool)
            for tile in tiles:
                x0, x1 = max(left, tile.x), min(left + width, tile.x + tile.width)
                y0, y1 = max(top, tile.y), min(top + height, tile.y + tile.height)
                if x0 >= x1 or y0 >= y1:
                    continue
                part = self._decoded(tile)[y0 - tile.y : y1 - tile.y, x0 - tile.x : x1 - tile.x]
                where = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
                if self.rgb:
                    pixels[where] = part
                else:
                    pixels[where][..., channel] = part[..., 0]
                seen[where] = True
            valid &= seen
        return pixels, None if valid.all() else valid

    def _decoded(self, tile: _Tile) -> np.ndarray:
        """Pixels [h, w, 1 or 3] of a tile, kept for the next region."""
        key = tile.entry.file_position
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        try:
            pixels = self._decode(tile)
        except UnreadableRegion:
            raise
        except Exception as fault:
            raise UnreadableRegion("a tile of the CZI is damaged or truncated") from fault
        self._cache[key] = pixels
        while len(self._cache) > 1 and sum(each.nbytes for each in self._cache.values()) > CACHE_BYTES:
            self._cache.popitem(last=False)
        return pixels

    def _decode(self, tile: _Tile) -> np.ndarray:
        kind, compression = tile.entry.pixel_type, tile.entry.compression
        shape, dtype = (tile.height, tile.width, 3 if kind.startswith("Bgr") else 1), np.dtype(DTYPES[kind])
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        segment = tile.entry.data_segment()
        if segment.data_size < 1 or _end(segment) > self._bytes:
            raise UnreadableRegion("the CZI is truncated")
        if size > MOST_TILE_BYTES:
            raise UnreadableRegion("it is too large for one tile; save it in smaller ones")
        data = segment.data(raw=True)
        if compression == JPEG_XR:
            pixels = imagecodecs.jpegxr_decode(data)
            if pixels.dtype != dtype or pixels.size != np.prod(shape):
                raise UnreadableRegion("a tile of the CZI has another size than its directory states")
            return np.asarray(pixels.reshape(shape))
        packed = False
        if compression == ZSTD_PACKED:
            # The first byte is the length of the header, whose last byte says whether low and high bytes lie apart.
            packed = data[0] == 3 and data[1] == 1 and bool(data[2] & 1)
            data = data[data[0] :]
        if compression != PLAIN:
            data = imagecodecs.zstd_decode(data, out=size)
        if len(data) < size:
            raise UnreadableRegion("a tile of the CZI is truncated")
        if packed:
            low, high = np.frombuffer(data, np.uint8, size).reshape(2, -1).astype(np.uint16)
            pixels = (low | high << 8).reshape(shape)
        else:
            pixels = np.frombuffer(data, dtype.newbyteorder("<"), size // dtype.itemsize).reshape(shape)
        return np.asarray(pixels[..., ::-1] if self.rgb else pixels)

    def close(self) -> None:
        """Close the file."""
        self._czi.close()


def _end(segment: Any) -> int:
    """Where the pixels of a tile end in the file."""
    return int(segment.data_offset + segment.data_size)


def _tile(entry: Any) -> _Tile | None:
    """Describe a tile of the directory; None for a reduced copy."""
    axes = {axis.dimension: axis for axis in entry.dimension_entries}
    x, y = axes.pop("X"), axes.pop("Y")
    if min(x.size, y.size) < 1 or any(axis.size > 1 for axis in axes.values()):
        raise UnreadableSlide("its tiles are volumes, which are not supported; save it plane by plane")
    if (x.stored_size, y.stored_size) != (x.size, y.size):
        return None
    channel, order = (axes.pop(name).start if name in axes else 0 for name in "CM")
    plane = {name: axes[name].start for name in sorted(axes, key=lambda name: (name != "S", entry.axes.find(name)))}
    return _Tile(entry, x.start, y.start, x.size, y.size, channel, order, plane)


def _choose(tiles: Sequence[_Tile], number: int | None) -> list[_Tile]:
    """Choose the tiles of one plane of one scene."""
    axes: dict[str, set[int]] = {}
    for tile in tiles:
        for name, start in tile.plane.items():
            axes.setdefault(name, set()).add(start)
    places = sorted({tuple(tile.plane.get(name, 0) for name in axes) for tile in tiles})
    stack = ", ".join(name for name, starts in axes.items() if name != "S" and len(starts) > 1)
    scenes = len(axes.get("S", ()))
    kinds = [f"{scenes} scenes"] * (scenes > 1) + [f"a stack along {stack}"] * bool(stack)
    place = choose_picture(places, number, ", ".join(kinds), "czi")
    return [tile for tile in tiles if tuple(tile.plane.get(name, 0) for name in axes) == place]


def _parse(text: str | None) -> ET.Element | None:
    if not text or "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
        return None
    try:
        return ET.fromstring(text)  # noqa: S314
    except ET.ParseError:
        return None


def _micrometres(root: ET.Element | None, axis: str) -> float | None:
    """The side of a pixel, which the file gives in metres; 0 or None where it states none."""
    found = None if root is None else root.findtext(f"Metadata/Scaling/Items/Distance[@Id='{axis}']/Value")
    try:
        return round(float(found or "") * 1e6, 12)
    except ValueError:
        return None


def _channel_names(root: ET.Element | None) -> list[str]:
    """Names of the channels: those of the image, otherwise those of the display, which lists them in the same order."""
    for path in ("Information/Image/Dimensions", "DisplaySetting"):
        found = [] if root is None else root.findall(f"Metadata/{path}/Channels/Channel")
        names = [channel.get("Name") or "" for channel in found]
        if any(names):
            return names
    return []


Reader = CziReader
