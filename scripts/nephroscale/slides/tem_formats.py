"""Files of Gatan DigitalMicrograph (DM3, DM4), EMD and TIA (SER), by `ncempy`.

This is the only module that imports `ncempy`, which is GPL: an optional extra that a user installs, and no part of what
this project distributes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.microscope_scale import is_scale, mean_side
from nephroscale.slides.readers.stated_mpp import NOT_SQUARE, micrometres


class Pictures(NamedTuple):
    """The largest pictures of a file.

    Attributes
    ----------
    planes
        Pictures [h, w] of one size.
    sides
        Of a pixel, nm along x and y; NaN where the file states none.
    """

    planes: list[np.ndarray]
    sides: tuple[float, float]

    @property
    def fault(self) -> str:
        """Why the sides of a pixel give no scale; empty where they do, or the file states none."""
        if mean_side(*self.sides) is not None or not all(map(is_scale, self.sides)):
            return ""
        return "{} ({:.4g} x {:.4g} nm); resample it".format(NOT_SQUARE, *self.sides)


def read_microscope_file(path: Path, kind: str) -> Pictures:
    """Read the largest pictures of a file, in its order.

    Parameters
    ----------
    path
        The file.
    kind
        `DM3`, `DM4`, `EMD` or `SER`.

    Raises
    ------
    Rejected
        When it holds none, but spectra or diffraction patterns, say.
    """
    found: list[Pictures] = []
    others = set()
    for data, sizes, units in _data_sets(path, kind):
        size = float(sizes[-1]) if len(sizes) > 1 else 0.0
        if any(unit.lower().endswith("ev") for unit in units):
            others.add("spectra")
        elif _is_reciprocal(size, units[-1] if units else ""):
            others.add("diffraction patterns")
        elif data.ndim in {2, 3} and data.dtype.kind in "iuf" and data.size:
            pairs = list(zip(sizes, units, strict=False)) if len(sizes) > 1 else []
            across, along = [*(_nm(*pair) for pair in reversed(pairs)), math.nan, math.nan][:2]
            found.append(Pictures(list(data) if data.ndim == 3 else [data], (across, along)))
    if not found:
        raise Rejected(f"it holds {' and '.join(sorted(others)) or 'data'} that are no picture; export one as TIFF")
    largest = max((pictures.planes[0].shape for pictures in found), key=lambda shape: shape[0] * shape[1])
    best = [pictures for pictures in found if pictures.planes[0].shape == largest]
    return Pictures([plane for pictures in best for plane in pictures.planes], best[0].sides)


def _data_sets(path: Path, kind: str) -> Iterator[tuple[np.ndarray, Sequence[float], list[str]]]:
    """Each data set with planes first, and sizes and units of its axes."""
    from ncempy.io import dm, emd, emdVelox, ser

    if kind == "SER":
        found = ser.serReader(str(path))
        units = ["eV"] if "eLoss" in found else found["pixelUnit"]
        yield _described(np.asarray(found["data"]), {**found, "pixelUnit": units})
    elif kind == "EMD":
        try:
            with emd.fileEMD(str(path)) as file:
                count = len(file.list_emds)
        except emd.NoEmdDataSets:
            with emdVelox.fileEMDVelox(str(path)) as file:
                for index in range(len(file.list_data)):
                    data, found = file.get_dataset(index)
                    # Velox has the frames of a series last.
                    yield _described(np.moveaxis(data, -1, 0) if data.ndim == 3 else data, found)
            return
        for index in range(count):
            found = emd.emdReader(str(path), index)
            yield _described(np.asarray(found["data"]), found)
    else:
        with dm.fileDM(str(path)) as file:
            for index in range(max(1, file.numObjects - 1)):  # without the preview
                found = file.getDataset(index)
                yield _described(np.asarray(found["data"]), found)


def _described(data: np.ndarray, found: dict[str, Any]) -> tuple[np.ndarray, Sequence[float], list[str]]:
    return data, list(found.get("pixelSize", ())), [_text(unit) for unit in found.get("pixelUnit", ())]


def _nm(size: float, unit: str) -> float:
    return 1000 * size * (micrometres(unit.strip()) or math.nan)


def _is_reciprocal(size: float, unit: str) -> bool:
    """Whether pixels are not lengths: in 1/nm, or, in a SER file, in 1/m, which it calls m."""
    return unit.startswith("1") or "-1" in unit or unit.endswith("rad") or (unit == "m" and size > 1)


def _text(unit: object) -> str:
    """The unit, which some files write in brackets, with an underscore."""
    return (unit.decode() if isinstance(unit, bytes) else str(unit)).strip("[]").replace("_", "")
