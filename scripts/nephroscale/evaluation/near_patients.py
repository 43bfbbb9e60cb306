"""Pairs of patients whose features are nearer to each other than those of one patient among themselves.

The instances of a patient (glomeruli, electron micrographs) are divided into two halves, and each half is pooled. For
two patients who have nothing in common, the mean distance between their halves is larger than that between the halves
of one patient. Where it is smaller, both may be the same patient, or the same block: copies with equal content are
found before, from digests and perceptual hashes, but other sections of one biopsy are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NearPatients:
    """Two cases of different patients.

    Attributes
    ----------
    first, second
        Ids of the cases.
    modality
        Modality of the features.
    ratio
        Root of the mean squared distance between their halves, divided by the distance between the halves of the one
        whose halves are nearer.
    """

    first: str
    second: str
    modality: str
    ratio: float


def pool_halves(features: np.ndarray) -> np.ndarray | None:
    """Pool the features of every other instance, and those of the others.

    Parameters
    ----------
    features
        [n, h, w, C] feature maps of the instances.

    Returns
    -------
    ndarray or None
        [2, C]; None with fewer than two instances.
    """
    pooled = np.asarray(features, np.float64).reshape(len(features), -1, features.shape[-1]).mean(axis=1)
    return np.stack([pooled[::2].mean(axis=0), pooled[1::2].mean(axis=0)]) if len(pooled) > 1 else None


def find_near_patients(
    halves: Mapping[str, np.ndarray], person: Mapping[str, str], modality: str
) -> list[NearPatients]:
    """Find the pairs that are nearer across patients than within either of them.

    Parameters
    ----------
    halves
        Case to the features of its halves [2, C]. Each channel is divided by its standard deviation over the cases.
    person
        Case to person, or group; cases of one are not compared. A case that is not named is a person of its own.
    modality
        Modality of the features.

    Returns
    -------
    list of NearPatients
        The nearest first.
    """
    cases = sorted(halves)
    if len(cases) < 2:
        return []
    both = np.stack([halves[case] for case in cases])
    spread = both.mean(axis=1).std(axis=0)
    varying = spread > 1e-9
    both = (both[..., varying] - both[..., varying].mean(axis=(0, 1))) / spread[varying]
    within = ((both[:, 0] - both[:, 1]) ** 2).sum(axis=1)
    squares, middle = (both**2).sum(axis=2).mean(axis=1), both.mean(axis=1)
    across = np.maximum(squares[:, None] + squares[None, :] - 2 * middle @ middle.T, 0)
    nearer = across < np.minimum(within[:, None], within[None, :])
    found = []
    for i, j in zip(*np.nonzero(np.triu(nearer, 1)), strict=True):
        one, other = cases[i], cases[j]
        if person.get(one, one) != person.get(other, other):
            ratio = float(np.sqrt(across[i, j] / min(within[i], within[j])))
            found.append(NearPatients(one, other, modality, ratio))
    return sorted(found, key=lambda pair: (pair.ratio, pair.first, pair.second))
