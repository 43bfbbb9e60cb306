"""Refuse a picture whose header states far more pixels than the bytes of its file can hold, or contradicts itself."""

from __future__ import annotations

MOST_EXPANSION = 2000
"""Decoded bytes of one byte at most: deflate reaches 1032, LZW and JPEG about 1400, run lengths 127."""
LARGEST_IS_COPY = (
    "its largest image is marked as a reduced copy of another, as a macro image is; name the one with the picture in "
    "the column path, as a.tif#2"
)
SMALL = 1 << 22  # decoded bytes that are no risk to memory


def least_bytes(mode: str) -> float:
    """Give the least bytes that a pixel of a mode of Pillow takes in a file: grey and palettes may have one bit."""
    return {"1": 0.125, "L": 0.125, "P": 0.125, "LA": 2, "PA": 2, "I": 2, "I;16": 2, "I;16B": 2}.get(mode, 3)


def claim_fault(width: int, height: int, bytes_per_pixel: float, held: int) -> str:
    """Say why a picture cannot be what its header states; empty where it can.

    Without this check, memory follows the header, and decoders fill with grey what is not there.

    Parameters
    ----------
    width, height
        As the header states them, pixels.
    bytes_per_pixel
        Of the decoded picture.
    held
        Bytes that the file has for these pixels, compressed.
    """
    if width * height * bytes_per_pixel <= max(SMALL, MOST_EXPANSION * held):
        return ""
    return f"it states {width} x {height} pixels but holds only {held} bytes: it is damaged or truncated"
