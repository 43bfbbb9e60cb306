"""Fast reader of tiled-JPEG TIFF and SVS: the index of tifffile, a JPEG decoder, and a small cache of tiles.

It is three to four times as fast as OpenSlide with the same pixels, and decodes at a lower scale where that is asked.
It is used only for files of which sample tiles are equal (:func:`agrees_with_openslide`).
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np
import tifffile

from nephroscale.slides.jpeg_data import END, decode_strictly
from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.openslide_reader import OpenslideReader

JPEG = 7
REDUCED = 1
CACHE_BYTES = 48 << 20
VENDORS = {"aperio", "generic-tiff"}
RGB_MARKER = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
"""Adobe's segment that says that the colours are not transformed."""
REDUCTIONS = (2, 4, 8)  # factors by which a JPEG can be decoded at a lower scale
REDUCED_DIFFERENCE = 3.0  # mean grey levels by which a tile decoded at half its scale may differ from the mean


class _Level(NamedTuple):
    """Positions and coding of the tiles of a level."""

    width: int
    height: int
    tile_width: int
    tile_height: int
    across: int
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    tables: bytes | None
    colorspace: int | None

    @property
    def segments(self) -> bytes:
        """What the JPEG of a tile lacks of a whole JPEG, to be inserted after its first two bytes."""
        tables = (self.tables or b"").removesuffix(END)[2:]
        return tables + RGB_MARKER if self.colorspace == 2 else tables


class JpegTiffReader(SlideReader):
    """RGB levels of a TIFF with JPEG tiles; scale and levels are those of OpenSlide."""

    parallel = True

    def __init__(self, path: Path) -> None:
        with contextlib.closing(OpenslideReader(path)) as slide:
            self.sizes, self.downsamples = slide.sizes, slide.downsamples
            self.width, self.height = slide.width, slide.height
            self.vendor, self.mpp, self.mpp_is_generic = slide.vendor, slide.mpp, slide.mpp_is_generic
            self.scale_fault, self.stretch = slide.scale_fault, slide.stretch
            self.scale_doubt, self.colour_doubt = slide.scale_doubt, slide.colour_doubt
        self._levels = _index(path, self.sizes)
        self._file = os.open(path, os.O_RDONLY)
        self._data = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
        self._cache: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._caching = Lock()
        self._capacity = max(4, CACHE_BYTES // max(level.tile_width * level.tile_height * 3 for level in self._levels))

    def _tile(self, level: int, number: int, factor: int = 1) -> np.ndarray:
        """Give a tile, [tile_height / factor, tile_width / factor, 3], that must not be changed."""
        key = (level, number, factor)
        with self._caching:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        tile = self._decode(level, number, factor)
        with self._caching:
            self._cache[key] = tile
            if len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
        return tile

    def _jpeg(self, level: int, number: int) -> bytes:
        index = self._levels[level]
        start, length = index.offsets[number], index.lengths[number]
        data = self._data[start : start + length]
        if len(data) < length or length == 0:
            raise UnreadableRegion("a tile is beyond the end of the file")
        if not (data.endswith(END) or data.rstrip(b"\0").endswith(END)):
            raise UnreadableRegion("the JPEG of a tile has no end")  # decoders fill the rest with grey
        return data

    def _decode(self, level: int, number: int, factor: int = 1) -> np.ndarray:
        index, data = self._levels[level], self._jpeg(level, number)
        tile = decode_strictly(b"".join((data[:2], index.segments, data[2:])), "RGB", factor, most_surplus=0)
        if tile is None:
            raise UnreadableRegion("the JPEG of a tile is damaged")
        if tile.shape != (index.tile_height // factor, index.tile_width // factor, 3):
            raise UnreadableRegion("the JPEG of a tile does not have the size in the index")
        return tile

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read a region inside a level: pixels, and a mask of those that the file has (None for all)."""
        index = self._levels[level]
        wide, high = index.tile_width, index.tile_height
        if x % wide == 0 and y % high == 0 and (width, height) == (wide, high):
            number = (y // high) * index.across + x // wide
            with self._caching:
                kept = self._cache.get((level, number, 1))
            return self._decode(level, number) if kept is None else kept.copy(), None
        return self._assemble(level, 1, x, y, width, height), None

    def read_reduced(  # noqa: PLR0917
        self, level: int, factor: int, x: int, y: int, width: int, height: int
    ) -> np.ndarray | None:
        """Decode a region at a half, a quarter, an eighth (or that divided by 2^n) of its scale."""
        index, decoded = self._levels[level], min(factor, max(REDUCTIONS))
        if decoded not in REDUCTIONS or factor % decoded or index.tile_width % factor or index.tile_height % factor:
            return None
        rest = factor // decoded
        pixels = self._assemble(level, decoded, x * rest, y * rest, width * rest, height * rest)
        return pixels if rest == 1 else cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)

    def _assemble(self, level: int, factor: int, x: int, y: int, width: int, height: int) -> np.ndarray:  # noqa: PLR0917
        """Put a region together, in pixels at a fraction of the level's scale."""
        index = self._levels[level]
        wide, high = index.tile_width // factor, index.tile_height // factor
        pixels = np.empty((height, width, 3), np.uint8)
        for row in range(y // high, (y + height - 1) // high + 1):
            top, bottom = max(y, row * high), min(y + height, (row + 1) * high)
            for column in range(x // wide, (x + width - 1) // wide + 1):
                left, right = max(x, column * wide), min(x + width, (column + 1) * wide)
                tile = self._tile(level, row * index.across + column, factor)
                pixels[top - y : bottom - y, left - x : right - x] = tile[
                    top - row * high : bottom - row * high, left - column * wide : right - column * wide
                ]
        return pixels

    def close(self) -> None:
        """Close the file."""
        self._cache.clear()
        if not self._data.closed:
            self._data.close()
            os.close(self._file)


def _index(path: Path, sizes: tuple[tuple[int, int], ...]) -> list[_Level]:
    """Index the tiles of each level; raises :class:`UnreadableSlide` if the file is of another kind."""
    levels = {}
    try:
        with tifffile.TiffFile(path) as tiff:
            for number in range(len(tiff.pages)):
                page = tiff.pages.get(number)
                if not isinstance(page, tifffile.TiffPage):
                    continue
                if (number and not tiff.is_svs and not page.subfiletype & REDUCED) or not page.is_tiled:
                    continue
                size = (page.imagewidth, page.imagelength)
                if size not in sizes or size in levels:
                    continue
                plain = page.compression == JPEG and page.samplesperpixel == 3 and page.bitspersample == 8
                if not plain or page.planarconfig != 1 or page.photometric not in {2, 6} or 0 in page.databytecounts:
                    raise UnreadableSlide("not all of its tiles are 8-bit RGB JPEG")
                # Aperio writes RGB without colour transform, and without the marker for it.
                colorspace = 2 if page.photometric == 2 and not page.is_jfif else None
                across = -(-page.imagewidth // page.tilewidth)
                levels[size] = _Level(
                    *size,
                    page.tilewidth,
                    page.tilelength,
                    across,
                    tuple(page.dataoffsets),
                    tuple(page.databytecounts),
                    page.jpegtables,
                    colorspace,
                )
    except UnreadableSlide:
        raise
    except Exception as fault:  # tifffile raises exceptions of any class; the file is not for this reader
        raise UnreadableSlide(f"tifffile cannot index it: {fault}") from fault
    if set(levels) != set(sizes):
        raise UnreadableSlide("its levels are not those of OpenSlide")
    return [levels[size] for size in sizes]


def agrees_with_openslide(path: Path, tiles: int = 6) -> bool:
    """Compare sample tiles of every level with those of OpenSlide, pixel by pixel.

    Tiles decoded at half their scale are compared with the means of squares, from which they differ by rounding.

    Parameters
    ----------
    path
        The slide.
    tiles
        Tiles to compare in each level, spread evenly, on the grid and between its lines.

    Returns
    -------
    bool
        False if the file is of another kind, any pixel differs, or nothing could be compared.
    """
    try:
        slide = OpenslideReader(path)
    except UnreadableSlide:
        return False
    with slide:
        if slide.vendor not in VENDORS:
            return False
        try:
            fast = JpegTiffReader(path)
        except UnreadableSlide:
            return False
        with fast:
            return all(_same_level(fast, slide, level, tiles) for level in range(len(slide.sizes)))


def _same_level(fast: JpegTiffReader, slide: OpenslideReader, level: int, tiles: int) -> bool:
    index, factor = fast._levels[level], slide.downsamples[level]  # noqa: SLF001
    down = -(-index.height // index.tile_height)
    # OpenSlide interpolates if the corner is not a whole pixel of level 0, so such regions are not compared.
    # The second half of the samples is shifted by half a tile.
    starts = [
        (column * index.tile_width + shift // 2 * 2, row * index.tile_height + shift // 2 * 2)
        for shift in (0, min(index.tile_width, index.tile_height) // 2)
        for row, column in {(down * k // tiles, index.across * (k * 7 % tiles) // tiles) for k in range(tiles)}
    ]
    compared = 0
    for x, y in sorted(starts):
        width, height = min(index.tile_width, index.width - x), min(index.tile_height, index.height - y)
        whole = (x * factor).is_integer() and (y * factor).is_integer()
        if width <= 0 or height <= 0 or not whole:
            continue
        try:
            mine, theirs = fast.read_level(level, x, y, width, height)[0], slide.read_level(level, x, y, width, height)
        except UnreadableRegion:
            continue  # a damaged tile in itself is no difference
        if not theirs[1].all() or not np.array_equal(mine, theirs[0]) or not _same_halved(fast, level, x, y, mine):
            return False
        compared += 1
    return compared > 0


def _same_halved(fast: JpegTiffReader, level: int, x: int, y: int, pixels: np.ndarray) -> bool:
    height, width = (side // 2 for side in pixels.shape[:2])
    if x % 2 or y % 2 or not height or not width:
        return True
    halved = fast.read_reduced(level, 2, x // 2, y // 2, width, height)
    if halved is None:
        return True
    means = cv2.resize(pixels[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return float(cv2.absdiff(halved, means).mean()) <= REDUCED_DIFFERENCE


Reader = JpegTiffReader
