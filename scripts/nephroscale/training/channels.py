"""Mean and standard deviation of each channel of the features of some patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nephroscale.training.data import Bag

SMALLEST = 1e-6
"""Deviation, as a share of the absolute mean, up to which a channel counts as constant: rounding makes such ones."""


def measure_channels(bags: Sequence[Bag], modality: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Measure a modality's channels over all cells of all instances, one instance in memory at a time.

    Sums are in float64 and in the order of the patients and their instances, so that equal features give equal values.

    Parameters
    ----------
    bags
        Patients with feature maps [n, h, w, C].
    modality
        Patients who lack it do not count.

    Returns
    -------
    mean, deviation
        [C] float64. The deviation of a constant channel is 1. None where no patient has the modality.

    Raises
    ------
    NephroscaleError
        When a feature is not finite.

    References
    ----------
    Chan TF, Golub GH, LeVeque RJ. Updating formulae and a pairwise algorithm for computing sample variances. 1979.
    """
    count = 0
    mean = squares = np.zeros(0)
    for patient, cells in _instances(bags, modality):
        if not np.isfinite(cells).all():
            raise NephroscaleError(
                f"The {modality} features of patient {patient} are not finite.",
                where="features",
                fix="Correct the features, or exclude the patient.",
            )
        own = cells.mean(axis=0)
        around = ((cells - own) ** 2).sum(axis=0)
        if not count:
            mean, squares = np.zeros_like(own), np.zeros_like(own)
        total = count + len(cells)
        shift = own - mean
        squares += around + shift**2 * (count * len(cells) / total)
        mean = mean + shift * (len(cells) / total)
        count = total
    if not count:
        return None
    deviation = np.sqrt(squares / count)
    return mean, np.where(deviation > SMALLEST * np.abs(mean), deviation, 1.0)


def _instances(bags: Sequence[Bag], modality: str) -> Iterator[tuple[str, np.ndarray]]:
    """Give patient id and cells [h * w, C] float64 of each instance."""
    for bag in bags:
        if content := bag.modalities.get(modality):
            for row in content.rows[content.mask]:
                source = content.source[row]
                yield bag.patient, source.reshape(-1, source.shape[-1]).astype(np.float64)
