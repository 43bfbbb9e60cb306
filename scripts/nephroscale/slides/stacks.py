"""Pictures, or stacks of them, in formats of electron microscopes: MRC, and those of an optional extra."""

from __future__ import annotations

import importlib.util
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.microscope_scale import NM, MicroscopeScale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STACKS = (
    (0, b"\0\0\0\3", "DM3"),
    (0, b"\0\0\0\4", "DM4"),
    (0, b"\x89HDF\r\n\x1a\n", "EMD"),
    (0, b"II\x97\1", "SER"),
    (208, b"MAP ", "MRC"),
)
"""Place and first bytes of each format, and its name."""

LONG_NAMES = {
    "DM3": "a DM3 file of Gatan DigitalMicrograph",
    "DM4": "a DM4 file of Gatan DigitalMicrograph",
    "EMD": "an HDF5 file (EMD, or another)",
    "SER": "a SER file of TIA",
}


class Stack(NamedTuple):
    """An open file with planes of one size.

    Attributes
    ----------
    planes, width, height
        Number of pictures, and their size in pixels.
    scale
        The scale in its header.
    read
        Reads a plane (from 0) as [h, w].
    """

    planes: int
    width: int
    height: int
    scale: MicroscopeScale | None
    read: Callable[[int], np.ndarray]


@contextmanager
def open_stack(path: Path, kind: str) -> Iterator[Stack]:
    """Open a file of one of the formats of `STACKS`.

    Raises
    ------
    Rejected
        When its packages are not installed.
    """
    if kind == "MRC":
        import mrcfile

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers that bend the standard
            opened = mrcfile.mmap(path, permissive=True)
        with opened as file:
            if file.data is None:
                raise Rejected("image cannot be decoded (the MRC file is damaged or truncated)")
            size = 0.1 * float(file.voxel_size.x)  # angstroms
            yield _stack(file.data, MicroscopeScale(size, "MRC") if size > 0 else None)
        return
    if importlib.util.find_spec("ncempy") is None:
        raise Rejected(
            f"it is {LONG_NAMES[kind]}, which is read only with the extra `tem-formats` (see README); or export it as "
            "TIFF with all its bits"
        )
    from nephroscale.slides.tem_formats import read_microscope_file

    data, size, unit = read_microscope_file(path, kind)
    nm = size * NM.get(unit.strip().lower(), 0.0)
    yield _stack(data, MicroscopeScale(nm, kind) if nm > 0 else None)


def choose_plane(stack: Stack, page: int | None) -> int:
    """Choose the plane to read, from 0.

    Parameters
    ----------
    stack
        The open file.
    page
        The plane that the table names, from 1; None where it names none.

    Raises
    ------
    Rejected
        When there are several and none is named, or it does not exist.
    """
    if page is None and stack.planes > 1:
        raise Rejected(f"it has {stack.planes} pages of one size and type; name one in the column path, as a.mrc#2")
    if page is not None and page > stack.planes:
        raise Rejected(f"it has no page #{page}, but {stack.planes}")
    return 0 if page is None else page - 1


def _stack(data: np.ndarray, scale: MicroscopeScale | None) -> Stack:
    if data.ndim not in {2, 3} or data.dtype.kind not in "iuf":
        raise Rejected(f"it holds {data.ndim} dimensions of {data.dtype}, which is not a picture")
    planes = data if data.ndim == 3 else data[None]
    count, height, width = planes.shape
    return Stack(count, width, height, scale, lambda plane: np.array(planes[plane]))
