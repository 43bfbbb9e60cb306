"""Files of Gatan DigitalMicrograph (DM3, DM4), EMD and TIA (SER), by `ncempy`.

This is the only module that imports `ncempy`, which is GPL: an optional extra that a user installs, and no part of what
this project distributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


def read_microscope_file(path: Path, kind: str) -> tuple[np.ndarray, float, str]:
    """Read the first data set of a file.

    Parameters
    ----------
    path
        The file.
    kind
        `DM3`, `DM4`, `EMD` or `SER`.

    Returns
    -------
    tuple of (ndarray, float, str)
        [h, w] or [n, h, w]; the size of a pixel, 0 where the file states none or pixels are not square; and its unit.
    """
    from ncempy.io import dm, emd, emdVelox, ser

    found: dict[str, Any]
    if kind == "SER":
        found = ser.serReader(str(path))
    elif kind == "EMD":
        try:
            found = emd.emdReader(str(path))
        except emd.NoEmdDataSets:
            found = emdVelox.emdVeloxReader(str(path))
    else:
        found = dm.dmReader(str(path))
    data = np.asarray(found["data"])
    sizes, units = list(found.get("pixelSize", ())), list(found.get("pixelUnit", ()))
    if len(sizes) < 2 or abs(sizes[-1] - sizes[-2]) > 0.02 * abs(sizes[-1]):
        return data, 0.0, ""
    return data, float(sizes[-1]), _text(units[-1]) if units else ""


def _text(unit: object) -> str:
    """The unit, which some files write in brackets, with an underscore."""
    text = unit.decode() if isinstance(unit, bytes) else str(unit)
    return text.strip("[]").replace("_", "")
