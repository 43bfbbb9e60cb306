"""Import of bags made elsewhere: one h5 file for each patient or image, in the layout of CLAM and TRIDENT.

References
----------
As in :mod:`nephroscale.features.export_h5`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.features.source import FeatureSource
from nephroscale.json_text import JSON


def import_h5(  # noqa: PLR0917
    patient: str,
    modality: str,
    folder: str | None,
    out: Path,
    slides: Sequence[FeatureSource] = (),
    panel: Sequence[str] = (),
) -> dict[str, JSON]:
    """Make a bag from a patient's h5 file, or from those of the patient's images.

    Parameters
    ----------
    patient, modality
        Patient id, and `OM`, `IM` or `TEM`.
    folder
        Holds ``<patient>.h5``; otherwise the files of `slides` are read.
    out
        Zarr group to create, with maps of 1 x 1.
    slides
        The h5 file of each image.
    panel
        Markers of the IM panel by slot.

    Returns
    -------
    dict
        `instances` and `channels`.

    Raises
    ------
    Rejected
        When the patient has no file, or one that is not a valid bag.
    NephroscaleError
        When no folder is named, or the files of a patient do not fit together.
    """
    if folder is None:
        raise NephroscaleError(
            "The encoder h5 needs the folder of the bags.",
            where=f"configuration, features.encoders.{modality}.h5_folder",
            fix="Name the folder that holds <patient_id>.h5 or <image_id>.h5.",
        )
    path = Path(folder) / f"{patient}.h5"
    if path.is_file():
        slides = [FeatureSource(f"{patient}-{modality}", path)]
    if not slides:
        raise Rejected(f"there is no h5 bag of {modality} for this patient")
    bags = [read_h5(slide.path) for slide in slides]
    if len({(features.shape[1], features.dtype) for features, _ in bags}) > 1:
        raise NephroscaleError(
            "The h5 bags of this patient have different channels or precision.",
            where=", ".join(slide.path.name for slide in slides),
            fix="Make all bags with one encoder.",
        )
    features, coords = (np.concatenate(parts) for parts in zip(*bags, strict=True))
    counts = [len(part) for part, _ in bags]
    count, channels = features.shape
    write_arrays(
        out,
        {
            "features": features.reshape(count, 1, 1, channels),
            "image": np.repeat(np.arange(len(bags)), counts).astype(np.int16),
            "slot": np.repeat([slide.slot for slide in slides], counts).astype(np.int8),
            "score": np.ones(count, np.float32),
            "position": coords.astype(np.float32),
        },
        {
            "patient": patient,
            "modality": modality,
            "encoder": "h5",
            "images": [slide.image_id for slide in slides],
            "panel": list(panel),
        },
    )
    return {"instances": count, "channels": channels}


def read_h5(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read an h5 bag.

    Parameters
    ----------
    path
        h5 file with `features` [n, C] or [1, n, C] floating point, and `coords` [n, 2].

    Returns
    -------
    tuple of numpy.ndarray
        Features [n, C], float16 or float32, and coordinates [n, 2].

    Raises
    ------
    Rejected
        When the file is not an h5 file, lacks a dataset, or has invalid shapes or values.
    """
    try:
        with h5py.File(path, "r") as file:
            features, coords = _dataset(file, "features"), _dataset(file, "coords")
    except OSError as error:
        raise Rejected("its bag cannot be read as h5; export it again") from error
    features, coords = (each[0] if each.ndim == 3 and len(each) == 1 else each for each in (features, coords))
    if features.ndim == 2 and not len(features):
        raise Rejected("its h5 bag has no instance")
    if features.ndim != 2 or features.dtype.kind != "f" or 0 in features.shape:
        raise Rejected(f"its h5 bag is not valid: `features` is {features.dtype} of shape {features.shape}, not [n, C]")
    if coords.shape != (len(features), 2):
        raise Rejected(f"its h5 bag is not valid: `coords` has shape {coords.shape} for {len(features)} features")
    with np.errstate(over="ignore"):
        features = features.astype(np.float16 if features.dtype == np.float16 else np.float32)
    if not (np.isfinite(features).all() and np.isfinite(coords).all()):
        raise Rejected("its h5 bag has values that are not finite in 32 bits; export it again")
    return features, coords


def _dataset(file: h5py.File, name: str) -> np.ndarray:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise Rejected(
            f"its h5 bag has no dataset {name!r}; bags have `features` [n, C] and `coords` [n, 2], as CLAM and TRIDENT "
            "write them"
        )
    return np.asarray(dataset)
