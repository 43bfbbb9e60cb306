"""Whether the data of a JPEG are damaged or end before its picture does.

Decoders fill what is missing with grey, and most say nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

END = b"\xff\xd9"
MOST_REDUCED = 8  # divisor of the sides of a JPEG that is decoded only to check it
UNKNOWN = 128  # level of blocks without data
PADDING = bytes(8)  # a decoder reads a few bytes ahead
SCAN, TABLES, WITHOUT_LENGTH = 0xDA, 0xC4, (0x01, *range(0xD0, 0xD9))
ZEROS = bytes(32)  # more than the codes of tissue have
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
PROGRESSIVE = 0xC2
COEFFICIENTS = 64
HARMLESS = re.compile(
    r"Corrupt JPEG data: (\d+) extraneous bytes|Unknown Adobe color transform|Warning: unknown JFIF|Invalid SOS param"
)
"""Beginnings of libjpeg's warnings on what changes no pixel."""
UNCOMMON = "Could not determine subsampling"  # where colours are subsampled otherwise than by 1, 2 or 4
MOST_SURPLUS = 4  # bytes before a marker; some cameras write a few


def decode_whole(path: Path) -> np.ndarray | None:
    """Decode a JPEG in grey or RGB of which no part is damaged or missing.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    numpy.ndarray
        The same as of :func:`decode_strictly`; None also where :func:`ends_early`.
    """
    pixels = decode_strictly(path.read_bytes())
    return None if pixels is None or ends_early(path, pixels) else pixels


def decode_strictly(
    data: bytes, colours: Literal["GRAY", "RGB"] | None = None, factor: int = 1, most_surplus: int = MOST_SURPLUS
) -> np.ndarray | None:
    """Decode a JPEG in grey or RGB of which no part is damaged.

    Parameters
    ----------
    data
        The whole file.
    colours
        What to give; None for what the file has.
    factor
        Divisor of both sides, 1, 2, 4 or 8, by which the decoder reduces the picture.
    most_surplus
        Bytes too many before a marker that are no damage.

    Returns
    -------
    numpy.ndarray
        uint8 [h, w] or [h, w, 3], not rotated by an orientation tag, with the same values as Pillow's; None where the
        decoder fails, or warns that bytes are missing, too many or not a code, and where codes are zeros. Most
        overwritten bytes give such a warning, as the number of codes no longer fits. Damage is not found where colours
        are subsampled otherwise than 4:4:4, 4:2:2, 4:2:0, 4:4:0, 4:1:1 or 4:4:1, which the decoder does not know.
    """
    import simplejpeg

    if _has_zeroed_codes(data):
        return None
    try:
        height, width, own, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (KeyError, ValueError) as fault:
        return _decode_uncommon(data, colours, factor) if UNCOMMON in str(fault) else None
    form = colours or ("GRAY" if own == "Gray" else "RGB")
    decode = partial(simplejpeg.decode_jpeg, data, form, min_height=-(-height // factor), min_width=-(-width // factor))
    try:
        pixels = decode()
    except ValueError as warning:
        found = HARMLESS.match(str(warning))
        if found is None or int(found[1] or 0) > most_surplus:
            return None
        try:
            pixels = decode(strict=False)
        except ValueError:
            return None
    return np.asarray(pixels[..., 0] if form == "GRAY" else pixels)


def is_damaged(data: bytes, tables: bytes | None = None, most_surplus: int = MOST_SURPLUS) -> bool:
    """Whether a JPEG is damaged, as :func:`decode_strictly` finds; its tables may lie apart, as those of a tile do."""
    whole = with_tables(data, tables) if tables else data
    return decode_strictly(whole, "RGB", MOST_REDUCED, most_surplus) is None


def with_tables(data: bytes, tables: bytes) -> bytes:
    """Put the tables of a JPEG, which are one without a picture, where it needs them."""
    return b"".join((data[:2], tables.removesuffix(END)[2:], data[2:]))


def _decode_uncommon(data: bytes, colours: Literal["GRAY", "RGB"] | None, factor: int) -> np.ndarray | None:
    """Decode a JPEG whose colours are subsampled in an uncommon way; whether it is damaged is not known."""
    import cv2

    form = {"GRAY": cv2.IMREAD_GRAYSCALE, "RGB": cv2.IMREAD_COLOR_RGB, None: cv2.IMREAD_COLOR_RGB}[colours]
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), form | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None or factor == 1:
        return pixels
    return cv2.resize(pixels, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)


def ends_early(path: Path, pixels: np.ndarray) -> bool:
    """Whether a JPEG was cut and closed, so that its last blocks, or the last scans of a progressive one, are missing.

    Parameters
    ----------
    path
        The file.
    pixels
        What a decoder makes of it, [h, w] or [h, w, 3]. A file of one scan is looked at only where the last pixel is
        grey as blocks without data are; it is then decoded once more, without its mark of the end.
    """
    data = path.read_bytes()
    if (whole := _has_all_scans(data)) is not None:
        return not whole
    return bool((pixels[-1, -1] == UNKNOWN).all()) and _lacks_blocks(data)


def _lacks_blocks(data: bytes) -> bool:
    """Whether a decoder asks for more data than there are before the mark of the end."""
    from PIL import Image

    end = data.rfind(END)
    if end < 0:
        return False
    with Image.open(io.BytesIO(data[:end] + PADDING), formats=("JPEG",)) as image:
        try:
            image.load()
        except OSError:
            return True
    return False


def _has_all_scans(data: bytes) -> bool | None:
    """Whether the scans of a progressive JPEG give each coefficient to its last bit; None for one that is not such."""
    missing: dict[int, np.ndarray] = {}
    for marker, start, end in _segments(data):
        if marker == PROGRESSIVE:
            components = data[start + 6 : end : 3]
            missing = {component: np.full(COEFFICIENTS, True) for component in components}
        elif marker == SCAN:
            if not missing:
                return None
            named = data[start + 1 : end - 3 : 2]
            first, last, bits = data[end - 3], data[end - 2], data[end - 1] & 15
            for component in named:
                if component in missing:
                    missing[component][first : last + 1] = bits > 0
    return None if not missing else not any(each.any() for each in missing.values())


def _has_zeroed_codes(data: bytes) -> bool:
    """Whether zeros stand where codes of a baseline JPEG were, as where a part of a file was not written.

    A decoder may read them as many small coefficients. Blocks of one level have such codes, but only where the shortest
    code of all tables of a scan is that of the end of a block.
    """
    if ZEROS not in data:
        return False
    shortest: dict[int, int] = {}
    for marker, start, end in _segments(data):
        if marker == PROGRESSIVE:
            return False
        if marker == TABLES:
            shortest |= _shortest_codes(data[start:end])
        elif marker == SCAN:
            after = AFTER_SCAN.search(data, end)
            if data.find(ZEROS, end, after.start() if after else len(data)) >= 0:
                return any(shortest.get(selected & 15) for selected in data[start + 2 : end - 3 : 2])
    return False


def _shortest_codes(tables: bytes) -> dict[int, int]:
    """Give the symbol of the shortest code of each table of coefficients, by its number (ITU-T T.81, B.2.4.2)."""
    found = {}
    while len(tables) > 17:
        if tables[0] >> 4:
            found[tables[0] & 15] = tables[17]
        tables = tables[17 + sum(tables[1:17]) :]
    return found


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Give the segments of a JPEG that have a content: marker, and where the content starts and ends."""
    place = 2
    while place + 4 <= len(data) and data[place] == END[0]:
        marker = data[place + 1]
        if marker == END[1]:
            return
        if marker in WITHOUT_LENGTH or marker == END[0]:
            place += 2 if marker in WITHOUT_LENGTH else 1
            continue
        start, place = place + 4, place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        yield marker, start, place
        if marker == SCAN:
            found = AFTER_SCAN.search(data, place)
            if found is None:
                return
            place = found.start()
