"""Bags from outside: h5 files as CLAM and TRIDENT write them, one for each patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.features.h5 import read_h5_bag


def import_h5(patient: str, modality: str, folder: str | None, out: Path) -> dict[str, Any]:
    """Make a bag of a patient's h5 file.

    Parameters
    ----------
    patient, modality
        Whose bag it is.
    folder
        Holds ``<patient>.h5``.
    out
        Zarr group to create, with maps of 1 x 1.

    Raises
    ------
    Rejected
        When there is no file for this patient.
    NephroscaleError
        When no folder is named, or the file is no bag.
    """
    if folder is None:
        raise NephroscaleError(
            "The encoder h5 needs the folder of the bags.",
            where=f"configuration, features.encoders.{modality}.weights",
            todo="Name the folder that holds <patient_id>.h5.",
        )
    path = Path(folder) / f"{patient}.h5"
    if not path.is_file():
        raise Rejected(f"there is no h5 bag of {modality} for this patient")
    return read_h5_bag(path, out, patient=patient, modality=modality, image_id=f"{patient}-{modality}", encoder="h5")
