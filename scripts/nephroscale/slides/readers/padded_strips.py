"""Deflate strips and tiles that hold more bytes than their rows need, as some programs pad the last strip of a TIFF."""

from __future__ import annotations

import zlib
from typing import Any

import tifffile

DEFLATE = (8, 32946)
MOST_PADDING = 1 << 26  # bytes


def tolerate_padding(page: tifffile.TiffPage) -> None:
    """Let a page decode such strips: its decoder has room for the rows alone, and fails.

    Parameters
    ----------
    page
        Whose pages of the same layout are decoded by its method `decode`.
    """
    if page.compression not in DEFLATE:
        return
    plain = page.decode

    def decode(data: bytes | None, index: int, /, **more: Any) -> Any:
        try:
            return plain(data, index, **more)
        except Exception:
            if data is None:
                raise
            needed, stream = _bytes_of(page, index), zlib.decompressobj()
            try:
                held = stream.decompress(data, needed + MOST_PADDING)
            except zlib.error:
                held = b""
            if len(held) < needed or not stream.eof:  # the checksum is at the end
                raise
        return plain(zlib.compress(held[:needed], 1), index, **more)

    page.decode = decode


def _bytes_of(page: tifffile.TiffPage, index: int) -> int:
    """Bytes of a strip or tile, unpacked; the last strip of a plane has the rows that are left."""
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    samples = 1 if separate else page.samplesperpixel
    if page.is_tiled:
        return int(page.tilelength * -(-page.tilewidth * samples * page.bitspersample // 8))
    count = -(-page.imagelength // page.rowsperstrip)
    rows = min(page.rowsperstrip, page.imagelength - index % count * page.rowsperstrip)
    return int(rows * -(-page.imagewidth * samples * page.bitspersample // 8))
