"""Deflate strips with more bytes than their rows need are read; those with fewer are not."""

import struct
import zlib

import numpy as np
import pytest
import tifffile

from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.registry import choose_reader, open_slide
from nephroscale.slides.samples import read_samples

PIXELS = np.random.default_rng(0).integers(0, 255, (300, 64, 3)).astype(np.uint8)


def write(path, change, rows=128):
    """Write a TIFF whose strips are changed before they are packed."""
    parts = [PIXELS[y : y + rows].tobytes() for y in range(0, len(PIXELS), rows)]
    strips = [zlib.compress(change(part, rows * 64 * 3)) for part in parts]
    starts = np.cumsum([8, *map(len, strips)]).tolist()
    place = starts.pop()
    values = {256: [64], 257: [300], 258: [8, 8, 8], 259: [8], 262: [2], 273: starts, 277: [3], 278: [rows]}
    values |= {279: list(map(len, strips)), 284: [1]}
    entries, more = b"", b""
    beyond = place + 2 + 12 * len(values) + 4
    for tag, numbers in values.items():
        data = struct.pack(f"<{len(numbers)}I", *numbers)
        entries += struct.pack("<HHI", tag, 4, len(numbers))
        entries += data if len(data) == 4 else struct.pack("<I", beyond + len(more))
        more += data if len(data) > 4 else b""
    directory = struct.pack("<H", len(values)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", place) + b"".join(strips) + directory + more)
    return path


def read(path):
    with open_slide(path, choose_reader(path)) as slide:
        return slide.read_level(0, 0, 0, slide.width, slide.height)[0]


@pytest.mark.parametrize(
    "change",
    [lambda part, size: part, lambda part, size: part.ljust(size, b"\0"), lambda part, size: part + bytes(7)],
    ids=["short", "padded", "over"],
)
@pytest.mark.parametrize("rows", [128, 300, 512])
def test_all_rows_are_read_whatever_follows_them(tmp_path, change, rows):
    path = write(tmp_path / "a.tif", change, rows)
    np.testing.assert_array_equal(read(path), PIXELS)
    np.testing.assert_array_equal(read_samples(path), PIXELS)


def test_a_strip_without_all_rows_is_unreadable(tmp_path):
    with pytest.raises(UnreadableRegion):
        read(write(tmp_path / "a.tif", lambda part, size: part[: len(part) // 2]))


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_padded_strip_that_is_damaged_is_unreadable(tmp_path, place):
    path = write(tmp_path / "a.tif", lambda part, size: part.ljust(size, b"\0"))
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, count = page.dataoffsets[-1], page.databytecounts[-1]
    damaged = start + int(place * count)
    data[damaged : damaged + 4] = b"\x00\x01\x02\x03"
    path.write_bytes(data)
    with pytest.raises(UnreadableRegion):
        read(path)
