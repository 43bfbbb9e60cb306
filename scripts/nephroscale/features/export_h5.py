"""Export of bags in the h5 layout of CLAM and TRIDENT.

References
----------
Lu MY et al. Data-efficient and weakly supervised computational pathology on whole-slide images. Nature BME 5, 2021
(CLAM). Zhang A et al. Accelerating data processing and benchmarking of AI models for pathology. 2025 (TRIDENT).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from nephroscale.arrays import read_array, read_attributes
from nephroscale.errors import NephroscaleError


def images_of(features: Path) -> list[str]:
    """List the images that a bag has instances of, in its order."""
    names = read_attributes(features)["images"]
    return [str(names[index]) for index in np.unique(read_array(features, "image"))]


def export_h5(
    features: Path, out: Path, *, image: str | None = None, sides: Mapping[str, float] | None = None
) -> dict[str, int]:
    """Write a bag of features in the h5 layout that CLAM and TRIDENT read.

    Parameters
    ----------
    features
        Zarr group of `features`.
    out
        h5 file to create: `features` [n, C] float32, maps averaged over their grid; `coords` [n, 2] int64, centre x, y
        in pixels of the raw image; beside them `image`, `slot` and `score`, with the group's attributes on the file.
        `coords` has the attributes `name` and, where the side of the instances is known, `patch_level` (0) and
        `patch_size`.
    image
        Write the instances of this image alone.
    sides
        Image to the side of its instances in pixels of the raw image.

    Returns
    -------
    dict
        `instances` and `channels`.

    Raises
    ------
    NephroscaleError
        When there is no bag, the bag holds pixels, not features, or the file exists or cannot be written.
    """
    if not (features / "zarr.json").is_file():
        raise NephroscaleError(
            "There is no bag of features.",
            where=str(features),
            fix="Give the path of a bag, such as results/features/P001-TEM.zarr.",
        )
    if out.exists():
        what = "a folder" if out.is_dir() else "a file"
        raise NephroscaleError(f"There is {what} of this name already.", where=str(out), fix="Name a new file.")
    if not os.access(out.parent, os.W_OK):
        raise NephroscaleError("The file cannot be written.", where=str(out), fix="Name a file in a folder of yours.")
    maps, attributes = read_array(features, "features"), read_attributes(features)
    if maps.dtype == np.uint8:
        raise NephroscaleError(
            "This bag holds images, not features, and cannot be exported.",
            where=str(features),
            fix="Choose another encoder than `pixels`.",
        )
    names, index = list(attributes["images"]), np.asarray(read_array(features, "image"))
    rows = np.arange(len(index)) if image is None else np.flatnonzero(index == names.index(image))
    pooled = np.asarray(maps[rows], np.float32).mean(axis=(1, 2), dtype=np.float32)
    known = {round((sides or {}).get(names[k], 0)) for k in index[rows]}
    with h5py.File(out, "w-") as file:
        file.create_dataset("features", data=pooled, track_times=False)
        coords = file.create_dataset(
            "coords", data=np.rint(read_array(features, "position")[rows]).astype(np.int64), track_times=False
        )
        coords.attrs["name"] = image or attributes["patient"]
        if len(known) == 1 and known != {0}:
            coords.attrs["patch_level"], coords.attrs["patch_size"] = 0, known.pop()
        for name in ("image", "score", "slot"):
            file.create_dataset(name, data=np.asarray(read_array(features, name))[rows], track_times=False)
        file.attrs.update({name: attributes[name] for name in ("encoder", "modality", "patient")})
        for name in ("images", "panel"):
            file.attrs.create(name, list(attributes[name]), dtype=h5py.string_dtype())
    return {"instances": int(pooled.shape[0]), "channels": int(pooled.shape[1])}
