"""A cohort of features without images, whose best possible accuracy is known.

Each patient has a point z in the plane for each modality, normal around the point of the class with unit variance. A
feature map shows z in two of its channels' directions and noise, independent of the class, in all others. The maps of a
patient's electron micrographs vary around z, and their mean is z. So the posterior of the classes has a closed form: no
classifier of the feature maps is better than it.

Each modality separates one pair of classes poorly, and another pair than the other two modalities.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nephroscale_demo.noise import stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CLASSES = ("IgAN", "MN", "LN")

MEANS = {
    "TEM": np.array([[-0.695, -0.81], [0.695, -0.81], [0.0, 1.62]]),
    "OM": np.array([[-0.5, -0.58], [0.0, 1.16], [0.5, -0.58]]),
    "IM": np.array([[0.0, 1.48], [-0.635, -0.74], [0.635, -0.74]]),
}
"""Point of each class, chosen so that the ceilings are 0.75, 0.65 and 0.72 alone, and 0.92 together."""

SUBSETS = tuple(names for count in (1, 2, 3) for names in combinations(MEANS, count))
"""The seven subsets of modalities."""

GRID, CHANNELS = 2, 16
MICROGRAPHS = (2, 8)


@dataclass(frozen=True)
class LatentPlan:
    """What decides the cohort.

    Attributes
    ----------
    patients, seed
        Number of patients, in classes of equal size, and seed.
    signal
        Factor of the distances between the classes; 0 for features without any information about the class.
    link
        Probability that a patient with LN is of the southern site, and any other of the northern one: 0.5 without a
        link between site and class, 0.9 for a planted shortcut. The site shows in the features of OM and IM.
    copies
        Number of patients who occur a second time, with the same features, under another id.
    """

    patients: int = 400
    seed: int = 1
    signal: float = 1.0
    link: float = 0.5
    copies: int = 0


@dataclass(frozen=True)
class LatentPatient:
    """One patient of the cohort.

    Attributes
    ----------
    name, person
        Id, and the id of the patient who occurs under it.
    label
        Index of the class.
    site
        `north` or `south`.
    points
        Modality to z [2].
    maps
        Modality to [instances, h, w, C] float32.
    """

    name: str
    person: str
    label: int
    site: str
    points: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray]


def draw_patients(plan: LatentPlan) -> list[LatentPatient]:
    """Draw the patients of a cohort, and after them the copies."""
    labels = stream(plan.seed, "labels").permutation(np.arange(plan.patients) % len(CLASSES))
    axes = {name: np.linalg.qr(stream(plan.seed, name, "axes").normal(size=(CHANNELS, 3)))[0] for name in MEANS}
    found = [_draw(plan, f"L{number:04d}", int(label), axes) for number, label in enumerate(labels, start=1)]
    return found + [
        LatentPatient(f"C{number:04d}", one.person, one.label, one.site, one.points, one.maps)
        for number, one in enumerate(found[: plan.copies], start=1)
    ]


def _draw(plan: LatentPlan, name: str, label: int, axes: Mapping[str, np.ndarray]) -> LatentPatient:
    random = stream(plan.seed, name)
    south = (random.uniform() < plan.link) == (CLASSES[label] == "LN")
    points, maps = {}, {}
    for modality, means in MEANS.items():
        z = plan.signal * means[label] + random.normal(size=2)
        count = int(random.integers(*MICROGRAPHS, endpoint=True)) if modality == "TEM" else 1
        around = 0.5 * random.normal(size=(count, 2))
        shown = z + around - around.mean(axis=0)
        noise = random.normal(size=(count, GRID, GRID, CHANNELS))
        noise -= noise @ axes[modality] @ axes[modality].T
        mark = 1.5 * (south - 0.5) * axes[modality][:, 2] if modality != "TEM" else 0.0
        maps[modality] = ((shown @ axes[modality][:, :2].T)[:, None, None] + 0.5 * noise + mark).astype(np.float32)
        points[modality] = z
    return LatentPatient(name, name, label, "south" if south else "north", points, maps)


def posterior(points: Mapping[str, np.ndarray], modalities: Iterable[str], signal: float = 1.0) -> np.ndarray:
    """Compute the probability of each class given the points z [..., 2] of some modalities: [..., K].

    All classes have the same prior, and the site is not regarded: with a planted shortcut a classifier that reads the
    site can be better.
    """
    scores = sum(-((points[m][..., None, :] - signal * MEANS[m]) ** 2).sum(axis=-1) / 2 for m in modalities)
    powers = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def ceiling(modalities: Iterable[str], signal: float = 1.0, draws: int = 100_000) -> tuple[float, float]:
    """Compute the accuracy and the log-loss of the best classifier of some modalities, on new patients.

    The expectations over the posterior are means over draws, the same in each call: their standard error is below
    0.001.
    """
    random = stream(0, "ceiling")
    labels = np.arange(draws) % len(CLASSES)
    points = {m: signal * MEANS[m][labels] + random.normal(size=(draws, 2)) for m in MEANS}
    chances = posterior(points, modalities, signal)
    return float(chances.max(axis=1).mean()), float(-np.sum(chances * np.log(chances), axis=1).mean())
