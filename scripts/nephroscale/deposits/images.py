"""Labelled TEM images, as the networks read them: a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nephroscale.arrays import read_array, read_attributes
from nephroscale.tem.instances import resample

OPEN = 64  # bags that are open at the same time


@dataclass(frozen=True)
class ImageInstances:
    """The instances of one TEM image: the image itself, or patches of it.

    Attributes
    ----------
    id, patient
        Ids.
    label
        Whether it shows deposits; None for images to predict.
    bag
        The object of the stage `tem` that holds its k instances.
    rows
        int [k], their places there.
    size_px
        Side S to which they are scaled.
    box
        int [k, 4]: y, x, height, width of each instance in pixels of the raw image.
    valid
        float [k, 4]: y, x, height, width of the part of each that is image and not margin, in pixels of S.
    """

    id: str
    patient: str
    label: bool | None
    bag: Path
    rows: np.ndarray
    size_px: int
    box: np.ndarray
    valid: np.ndarray

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.rows)

    def read(self, index: int) -> np.ndarray:
        """Read one instance, uint8 [S, S]."""
        return resample(np.asarray(_pixels(self.bag)[self.rows[index]]), self.size_px, self.size_px)


@lru_cache(OPEN)
def _pixels(bag: Path) -> np.ndarray:
    return read_array(bag, "images")


class InstanceSequence:
    """The instances of pictures one after another, read when asked for: memory holds a batch.

    Parameters
    ----------
    pictures
        The pictures, of which one at least.
    """

    def __init__(self, pictures: Sequence[ImageInstances]) -> None:
        self.pictures = pictures
        self.counts = np.array([len(picture) for picture in pictures])
        self.owner = np.repeat(np.arange(len(pictures)), self.counts)
        self._first = np.cumsum(self.counts) - self.counts

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.owner)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read some instances, uint8 [n, S, S]."""
        owners = self.owner[indices]
        return np.stack([self.pictures[o].read(int(i - self._first[o])) for o, i in zip(owners, indices, strict=True)])

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Read all instances in order, in batches."""
        return (self.read(np.arange(start, min(start + size, len(self)))) for start in range(0, len(self), size))


def load_pictures(bags: Mapping[str, Path], labels: Mapping[str, bool] | None, size_px: int) -> list[ImageInstances]:
    """List the TEM images of some patients; their pixels stay in the files.

    Parameters
    ----------
    bags
        Patient to the object of the stage `tem`.
    labels
        Image id to label: only these images are listed, and those of which a copy has a label. None: all are.
    size_px
        Side S to which instances are scaled.

    Returns
    -------
    list of ImageInstances
        By patient, then in the order of the patient's images.
    """
    _pixels.cache_clear()  # a bag may have been recomputed
    found = []
    if labels is not None:
        labels = with_copies(bags, labels)
    for patient, path in sorted(bags.items()):
        names = [str(name) for name in read_attributes(path)["images"]]
        owner, box, valid = (np.asarray(read_array(path, name)) for name in ("image", "box", "valid"))
        scale = size_px / read_array(path, "images").shape[1]
        for index, name in enumerate(names):
            if labels is not None and name not in labels:
                continue
            own = np.flatnonzero(owner == index)
            found.append(
                ImageInstances(
                    name,
                    patient,
                    None if labels is None else labels[name],
                    path,
                    own,
                    size_px,
                    box[own],
                    valid[own] * scale,
                )
            )
    return found


def find_contradictions(bags: Mapping[str, Path], readings: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Find copies of one image that were read differently.

    Parameters
    ----------
    bags
        Patient to the object of the stage `tem`.
    readings
        Patient to image id to reading, as :meth:`~nephroscale.cohort.deposits.Deposits.to_text` gives it.

    Returns
    -------
    dict
        Copy that is not used, to what contradicts it.
    """
    found = {}
    for patient, path in sorted(bags.items()):
        read = readings.get(patient, {})
        for copy, original in sorted(read_attributes(path)["copies"].items()):
            if copy in read and original in read and read[copy] != read[original]:
                found[copy] = (
                    f"read as {read[copy]}, but it shows the same as {original}, read as {read[original]}; that reading"
                    " is used, so check both"
                )
    return found


def with_copies(bags: Mapping[str, Path], labels: Mapping[str, bool]) -> dict[str, bool]:
    """Give an image without a label that of its first copy that has one: the stage `tem` uses one image of several.

    Parameters
    ----------
    bags
        Patient to the object of the stage `tem`.
    labels
        Image id to label.
    """
    found = dict(labels)
    for path in bags.values():
        for copy, original in read_attributes(path)["copies"].items():
            if copy in labels:
                found.setdefault(original, labels[copy])
    return found
