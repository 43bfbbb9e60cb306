"""What the demo's patients show: in each modality the picture that is typical of one of the three diseases.

Most patients show the picture of their own disease, others that of another one. Which picture a modality shows is drawn
with the shares of `SHARES`, independently of the other modalities, and the images depend on the diagnosis by nothing
else. So the posterior of the classes given the pictures has a closed form.
"""

from __future__ import annotations

from itertools import combinations, product
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from nephroscale_demo.noise import stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Pictures = Mapping[str, str]
    """Modality to the class whose typical picture is seen."""

CLASSES = ("IgAN", "LN", "MN")

TYPICAL = {"IgAN": "IgAN-M1", "LN": "LN-IV", "MN": "MN-II"}
"""Key of `lesions.LESIONS` that gives the typical picture of each class."""

SHARES = {
    "TEM": {
        "IgAN": {"IgAN": 0.85, "LN": 0.10, "MN": 0.05},
        "LN": {"IgAN": 0.15, "LN": 0.60, "MN": 0.25},
        "MN": {"IgAN": 0.00, "LN": 0.20, "MN": 0.80},
    },
    "OM": {
        "IgAN": {"IgAN": 0.50, "LN": 0.15, "MN": 0.35},
        "LN": {"IgAN": 0.05, "LN": 0.80, "MN": 0.15},
        "MN": {"IgAN": 0.35, "LN": 0.00, "MN": 0.65},
    },
    "IM": {
        "IgAN": {"IgAN": 0.85, "LN": 0.00, "MN": 0.15},
        "LN": {"IgAN": 0.20, "LN": 0.75, "MN": 0.05},
        "MN": {"IgAN": 0.00, "LN": 0.45, "MN": 0.55},
    },
}
"""Modality, class, and the share of its patients who show the typical picture of each class. They were chosen so that
the ceilings are 0.75 (TEM), 0.65 (OM) and 0.72 (IM) alone, 0.83 to 0.85 in pairs, and 0.92 together."""

SUBSETS = tuple(names for count in (1, 2, 3) for names in combinations(SHARES, count))
"""The seven subsets of modalities."""


def draw_pictures(seed: int, patient: str, diagnosis: str) -> Pictures:
    """Draw what a patient's modalities show, given the diagnosis, one of `CLASSES`."""
    random = stream(seed, patient, "pictures")
    return {
        name: str(random.choice(CLASSES, p=[shares[diagnosis][c] for c in CLASSES])) for name, shares in SHARES.items()
    }


def posterior(pictures: Pictures, modalities: Iterable[str]) -> np.ndarray:
    """Compute the probability [K] of each of `CLASSES`, which are equally frequent, given what modalities show."""
    chances = _likelihood(pictures, modalities)
    return np.asarray(chances / chances.sum())


def ceiling(modalities: Iterable[str]) -> tuple[float, float]:
    """Compute the accuracy and the log-loss of the best prediction from some modalities, over new patients."""
    names = tuple(modalities)
    joint = np.array(
        [_likelihood(dict(zip(names, seen, strict=True)), names) for seen in product(CLASSES, repeat=len(names))]
    ) / len(CLASSES)
    joint = joint[joint.sum(axis=1) > 0]
    chances = joint / joint.sum(axis=1, keepdims=True)
    return float(joint.max(axis=1).sum()), float(-(joint * np.log(np.where(joint > 0, chances, 1))).sum())


def _likelihood(pictures: Pictures, modalities: Iterable[str]) -> np.ndarray:
    names = tuple(modalities)
    return np.array([prod(SHARES[name][own][pictures[name]] for name in names) for own in CLASSES])
