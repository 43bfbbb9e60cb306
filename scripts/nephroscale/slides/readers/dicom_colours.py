"""Whether the JPEG frames of a DICOM slide, or the JPEG tiles of a TIFF, have the colours that its header states.

OpenSlide and libtiff convert frames by `PhotometricInterpretation` alone. Where a frame says otherwise itself, the
colours come out wrong without an error.

References
----------
DICOM PS3.5, 8.2.1. ITU-T T.872 (Adobe's APP14 marker). ITU-T T.871 (JFIF).
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import NamedTuple

PIXEL_DATA = b"\xe0\x7f\x10\x00"
START, ADOBE, JFIF = b"\xff\xd8\xff", 0xEE, 0xE0
FRAMES, SCAN = range(0xC0, 0xC4), 0xDA
OWN_COLOURS = b"RGB"  # ids of the components
JPEG_2000, CODING_STYLE, TRANSFORM = b"\xff\x4f\xff\x51", b"\xff\x52", 8
"""The start of a JPEG 2000, the start of its coding style, and the place of the transform in it."""
TRANSFORMED, UNTRANSFORMED = ("YBR_ICT", "YBR_RCT"), "untransformed"
HEAD = 1 << 16  # bytes in which a JPEG states its colours


class _Segment(NamedTuple):
    """A segment of a JPEG file: its marker and its content."""

    marker: int
    content: bytes


def disagreeing_colours(path: Path, stated: str) -> str:
    """Say how the first JPEG frame of a file of the series disagrees with the header; empty where none does.

    Parameters
    ----------
    path
        A file of the series; the linked others lie beside it.
    stated
        `PhotometricInterpretation`.
    """
    for file in [path, *sorted(path.parent.glob("slide-*.dcm"))]:
        found = _colours_of_first_frame(file)
        if stated in TRANSFORMED and found == UNTRANSFORMED:
            return f"its header states the colours {stated}, but its JPEG 2000 frames have no such transform"
        if found in {"RGB", "YCbCr"} and (found == "RGB") != (stated == "RGB"):
            return f"its header states the colours {stated}, but its JPEG frames are {found}"
    return ""


def _colours_of_first_frame(path: Path) -> str:
    """Colours that the first JPEG frame states itself, RGB or YCbCr; empty without a JPEG frame or a statement.

    Of JPEG 2000 it gives whether nothing was transformed.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(START, max(0, content.find(PIXEL_DATA)))
        if start < 0:
            frame = content.find(JPEG_2000, max(0, content.find(PIXEL_DATA)))
            return UNTRANSFORMED if frame >= 0 and not has_transform(content[frame : frame + HEAD]) else ""
        return stated_colours(content[start : start + HEAD])


def has_transform(jpeg_2000: bytes) -> bool:
    """Whether the coding style (the segment COD) of a JPEG 2000 states a transform of colours, which decoders undo."""
    style = jpeg_2000.find(CODING_STYLE)
    return 0 <= style < len(jpeg_2000) - TRANSFORM and jpeg_2000[style + TRANSFORM] == 1


def stated_colours(jpeg: bytes) -> str:
    """Colours that a JPEG states itself, RGB or YCbCr; empty where it states none.

    Parameters
    ----------
    jpeg
        Its first bytes, :data:`HEAD` at most.
    """
    colours = ""
    for segment in _segments(jpeg):
        if segment.marker == ADOBE and segment.content[:5] == b"Adobe" and len(segment.content) >= 12:
            return "YCbCr" if segment.content[11] == 1 else "RGB"
        if segment.marker == JFIF and segment.content[:4] == b"JFIF":
            colours = "YCbCr"
        elif segment.marker in FRAMES and not colours and segment.content[6::3][:3] == OWN_COLOURS:
            colours = "RGB"
    return colours


def _segments(data: bytes) -> list[_Segment]:
    """Segments of a JPEG file before its first scan."""
    found, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != SCAN:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        found.append(_Segment(data[place + 1], data[place + 4 : end]))
        place = end
    return found
