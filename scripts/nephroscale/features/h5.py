"""Bags in the h5 layout of CLAM and TRIDENT: in and out.

References
----------
Lu MY et al. Data-efficient and weakly supervised computational pathology on whole-slide images. Nature BME 5, 2021
(CLAM). Zhang A et al. Accelerating data processing and benchmarking of AI models for pathology. 2025 (TRIDENT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from nephroscale.arrays import read_array, read_attributes, write_arrays
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from pathlib import Path


def export_h5(features: Path, out: Path) -> dict[str, Any]:
    """Write a bag as CLAM and TRIDENT read it.

    Parameters
    ----------
    features
        Zarr group of `features`.
    out
        h5 file to create: `features` [n, C] float32, maps averaged over their grid; `coords` [n, 2] int64, centre x, y
        in pixels of the raw image; beside them `image`, `slot` and `score`, with the group's attributes on the file.

    Returns
    -------
    dict
        `instances` and `channels`.

    Raises
    ------
    NephroscaleError
        When the bag holds pixels, not features.
    """
    maps, attributes = read_array(features, "features"), read_attributes(features)
    if maps.dtype == np.uint8:
        raise NephroscaleError(
            "This bag holds images, not features, so there is nothing to export.",
            where=str(features),
            todo="Choose another encoder than `pixels`.",
        )
    pooled = np.asarray(maps, np.float32).mean(axis=(1, 2), dtype=np.float32)
    with h5py.File(out, "w-") as file:
        file.create_dataset("features", data=pooled, track_times=False)
        coords = file.create_dataset(
            "coords", data=np.rint(read_array(features, "position")).astype(np.int64), track_times=False
        )
        coords.attrs["name"] = attributes["patient"]
        for name in ("image", "score", "slot"):
            file.create_dataset(name, data=np.asarray(read_array(features, name)), track_times=False)
        for name in ("encoder", "modality", "patient"):
            file.attrs[name] = attributes[name]
        for name in ("images", "panel"):
            file.attrs.create(name, list(attributes[name]), dtype=h5py.string_dtype())
    return {"instances": int(pooled.shape[0]), "channels": int(pooled.shape[1])}


def _dataset(file: h5py.File, name: str, path: Path) -> np.ndarray:
    if not isinstance(file.get(name), h5py.Dataset):
        raise NephroscaleError(
            f"This h5 file has no dataset {name!r}.",
            where=str(path),
            todo="Bags have `features` [n, C] or [1, n, C], and `coords` [n, 2], as CLAM and TRIDENT write them.",
        )
    return np.asarray(file[name])


def read_h5_bag(path: Path, out: Path, *, patient: str, modality: str, image_id: str, encoder: str) -> dict[str, Any]:
    """Turn an h5 bag into a bag of this project, with maps of 1 x 1.

    Parameters
    ----------
    path
        h5 file with `features` [n, C] or [1, n, C], and `coords` [n, 2], of floating point and integers.
    out
        Zarr group to create, as `features` makes it.
    patient, modality, image_id
        Whose bag it is, `OM`, `IM` or `TEM`, and of which image.
    encoder
        Name of the encoder that made it; bags of different encoders are not to be mixed.

    Returns
    -------
    dict
        `instances` and `channels`.

    Raises
    ------
    NephroscaleError
        When the file is no h5 file, lacks a dataset, or its shapes or values make no sense.
    """
    try:
        with h5py.File(path, "r") as file:
            features, coords = _dataset(file, "features", path), _dataset(file, "coords", path)
    except OSError as error:
        raise NephroscaleError("This file cannot be read as h5.", where=str(path), todo="Export it again.") from error
    if features.ndim == 3 and features.shape[0] == 1:
        features = features[0]
    if coords.ndim == 3 and coords.shape[0] == 1:
        coords = coords[0]
    faulty = ""
    if features.ndim != 2 or features.dtype.kind != "f" or 0 in features.shape:
        faulty = f"`features` is {features.dtype} of shape {features.shape}"
    elif coords.shape != (len(features), 2):
        faulty = f"`coords` has shape {coords.shape} beside {len(features)} features"
    elif not np.isfinite(features).all():
        faulty = "`features` has values that are not finite"
    if faulty:
        raise NephroscaleError(
            f"This h5 bag makes no sense: {faulty}.", where=str(path), todo="Bags are [n, C] with [n, 2] coordinates."
        )
    count, channels = features.shape
    dtype = np.float16 if features.dtype == np.float16 else np.float32
    write_arrays(
        out,
        {
            "features": features.astype(dtype).reshape(count, 1, 1, channels),
            "image": np.zeros(count, np.int16),
            "slot": np.zeros(count, np.int8),
            "score": np.ones(count, np.float32),
            "position": coords.astype(np.float32),
        },
        {"patient": patient, "modality": modality, "encoder": encoder, "images": [image_id], "panel": []},
    )
    return {"instances": count, "channels": channels}
