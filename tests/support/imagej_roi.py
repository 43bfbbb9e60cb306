"""ROI files of ImageJ, written by the description in ij.io.RoiDecoder."""

import struct

import numpy as np


def roi(points: list[tuple[int, int]], kind: int = 0, options: int = 0, parts: int = 0) -> bytes:
    """One ROI with these points, of a type, with options and a number of path elements."""
    left, top = min(x for x, _ in points), min(y for _, y in points)
    right, bottom = max(x for x, _ in points), max(y for _, y in points)
    head = bytearray(64)
    head[:4] = b"Iout"
    struct.pack_into(">hB", head, 4, 227, kind)
    struct.pack_into(">4hH", head, 8, top, left, bottom, right, len(points))
    struct.pack_into(">i", head, 36, parts)
    struct.pack_into(">h", head, 50, options)
    coordinates = np.array([[x - left, y - top] for x, y in points], ">i2").T.tobytes()
    exact = (np.array(points, ">f4").T + 0.5).astype(">f4").tobytes() if options & 128 else b""
    return bytes(head) + coordinates + exact
