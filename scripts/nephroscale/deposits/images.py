"""Labelled TEM images, as the networks read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nephroscale.arrays import read_array, read_attributes
from nephroscale.tem.tem import resample

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class TemPicture:
    """The instances of one TEM image: the image itself, or patches of it.

    Attributes
    ----------
    id, patient
        Ids.
    label
        Whether it shows deposits; None for images to predict.
    pixels
        uint8 [k, S, S].
    box
        int [k, 4]: y, x, height, width of each instance in pixels of the raw image.
    valid
        float [k, 4]: y, x, height, width of the part of `pixels` that is image and not margin, in pixels of S.
    """

    id: str
    patient: str
    label: bool | None
    pixels: np.ndarray
    box: np.ndarray
    valid: np.ndarray


def load_pictures(bags: Mapping[str, Path], labels: Mapping[str, bool] | None, size_px: int) -> list[TemPicture]:
    """Read the TEM images of some patients.

    Parameters
    ----------
    bags
        Patient to the object of the stage `tem`.
    labels
        Image id to label: only these images are read. None: all are.
    size_px
        Side S to which instances are scaled.

    Returns
    -------
    list of TemPicture
        By patient, then in the order of the patient's images.
    """
    found = []
    for patient, path in sorted(bags.items()):
        names = [str(name) for name in read_attributes(path)["images"]]
        pixels, owner, box, valid = (read_array(path, name) for name in ("images", "image", "box", "valid"))
        scale = size_px / pixels.shape[1]
        for index, name in enumerate(names):
            if labels is not None and name not in labels:
                continue
            own = np.flatnonzero(np.asarray(owner) == index)
            scaled = np.stack([resample(np.asarray(pixels[i]), size_px, size_px) for i in own])
            label = None if labels is None else labels[name]
            picture = TemPicture(name, patient, label, scaled, np.asarray(box[own]), np.asarray(valid[own]) * scale)
            found.append(picture)
    return found
