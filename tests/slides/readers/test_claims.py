"""Small files that state large pictures are refused before any pixel is decoded."""

import io
import re
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.headers import describe_header
from nephroscale.slides.readers.claims import MOST_EXPANSION, SMALL, claim_fault

SIDE = 13300  # just below the limit of pixels


def png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1_000_000), 9)) + chunk(b"IEND", b"")


def jpeg(*, progressive: bool) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(buffer, "JPEG", progressive=progressive)
    data = bytearray(buffer.getvalue())
    place = data.find(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def bmp() -> bytes:
    palette, ends = bytes(1024), b"\0\1"  # run lengths that end at once
    start = 54 + len(palette)
    head = struct.pack("<IHHI", start + len(ends), 0, 0, start)
    return b"BM" + head + struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, len(ends), 0, 0, 256, 0) + palette + ends


def jpeg2000() -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64, 3), np.uint8), codecformat="jp2"))
    place = data.find(b"ihdr") + 4
    data[place : place + 8] = struct.pack(">II", SIDE, SIDE)
    place = data.find(b"\xff\x51") + 6
    data[place : place + 8] = data[place + 16 : place + 24] = struct.pack(">II", SIDE, SIDE)
    return bytes(data)


def tiff() -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((64, 64, 3), np.uint8), photometric="rgb", rowsperstrip=64, metadata=None)
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        tags = file.pages.first.tags
        places = [tags[name].valueoffset for name in ("ImageWidth", "ImageLength", "RowsPerStrip")]
    data = bytearray(buffer.getvalue())
    for place, value in zip(places, (SIDE, 6000, 6000), strict=True):  # one strip, just below its limit
        data[place : place + 2] = struct.pack("<H", value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "modalities"),
    [
        (png(), ("OM", "IM", "TEM")),
        (jpeg(progressive=True), ("OM", "IM", "TEM")),
        (jpeg(progressive=False), ("OM", "IM", "TEM")),
        (bmp(), ("OM", "IM", "TEM")),
        (jpeg2000(), ("TEM",)),
        (tiff(), ("OM", "IM", "TEM")),
    ],
    ids=["png", "progressive jpeg", "jpeg", "bmp", "jpeg 2000", "tiff"],
)
def test_a_header_that_states_more_than_the_file_can_hold_is_refused(tmp_path, make_row, data, modalities):
    path = tmp_path / "claim.bin"
    path.write_bytes(data)
    for modality in modalities:
        assert re.search(
            rf"states {SIDE} x \d+ pixels but holds only", describe_header(path, make_row(modality)).reason
        )
        with pytest.raises(Rejected, match=r"states .* but holds only"):
            describe_image(path, make_row(modality))


def test_what_compression_can_hold_is_no_fault(tmp_path):
    assert not claim_fault(2000, 2000, 1, 10)  # too small to matter
    assert not claim_fault(SMALL, 1, 3, 3 * SMALL // MOST_EXPANSION + 1)
    assert claim_fault(SMALL, 1, 3, 3 * SMALL // MOST_EXPANSION - 1)
    Image.new("RGB", (3000, 2000), "white").save(tmp_path / "blank.png", compress_level=9)
    assert not claim_fault(3000, 2000, 3, (tmp_path / "blank.png").stat().st_size)
