"""Whether the data of a JPEG are damaged or end before its picture does.

Decoders fill what is missing with grey. The library of OpenCV writes a warning to the standard error of the process,
and others say nothing.
"""

from __future__ import annotations

import io
import os
import re
import threading
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

END = b"\xff\xd9"
UNKNOWN = 128  # level of blocks without data
PADDING = bytes(8)  # a decoder reads a few bytes ahead
SCAN, WITHOUT_LENGTH = 0xDA, (0x01, *range(0xD0, 0xD9))
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
PROGRESSIVE = 0xC2
COEFFICIENTS = 64
STANDARD_ERROR = 2
WARNING = re.compile(rb"(?:Corrupt JPEG data: (?:(\d+) extraneous bytes)?|Premature end of JPEG)[^\n]*\n")
MOST_SURPLUS = 4  # bytes before a marker; some cameras write a few

_one_at_a_time = threading.Lock()


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


def decode_strictly(data: bytes) -> np.ndarray | None:
    """Decode a JPEG in grey or RGB of which no part is damaged.

    Parameters
    ----------
    data
        The whole file.

    Returns
    -------
    numpy.ndarray
        uint8 [h, w] or [h, w, 3], not rotated by an orientation tag, with the same values as Pillow's; None where the
        decoder warns that bytes are missing, too many or not a code. Most overwritten bytes give such a warning, as the
        number of codes no longer fits.
    """
    import cv2

    with TemporaryFile() as messages:
        with _one_at_a_time, _standard_error_into(messages):
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        messages.seek(0)
        text = messages.read()
    found = [int(each[1] or MOST_SURPLUS + 1) for each in WARNING.finditer(text)]
    if pixels is None or any(surplus > MOST_SURPLUS for surplus in found):
        return None
    if others := WARNING.sub(b"", text):  # of other threads
        os.write(STANDARD_ERROR, others)
    return np.asarray(pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


@contextmanager
def _standard_error_into(file: IO[bytes]) -> Iterator[None]:
    """Write to a file what libraries write to the standard error of the process."""
    try:
        kept = os.dup(STANDARD_ERROR)
    except OSError:  # the process has none
        yield
        return
    try:
        os.dup2(file.fileno(), STANDARD_ERROR)
        yield
    finally:
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)


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
    place = 2
    while place + 4 <= len(data) and data[place] == END[0]:
        marker, start = data[place + 1], place + 4
        if marker == END[1]:
            break
        if marker in WITHOUT_LENGTH or marker == END[0]:
            place += 2 if marker in WITHOUT_LENGTH else 1
            continue
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == PROGRESSIVE:
            components = data[start + 6 : place : 3]
            missing = {component: np.full(COEFFICIENTS, True) for component in components}
        elif marker == SCAN:
            if not missing:
                return None
            named = data[start + 1 : place - 3 : 2]
            first, last, bits = data[place - 3], data[place - 2], data[place - 1] & 15
            for component in named:
                if component in missing:
                    missing[component][first : last + 1] = bits > 0
            found = AFTER_SCAN.search(data, place)
            if found is None:
                break
            place = found.start()
    return None if not missing else not any(each.any() for each in missing.values())
