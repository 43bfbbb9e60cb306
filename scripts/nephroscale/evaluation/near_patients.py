"""Pairs of patients who may be one: their features stand out as near each other.

Copies with equal content are found before, from digests and perceptual hashes. Other images of one patient under a
second id are not: their features are only nearer to each other than to those of anybody else. How near is near depends
on the cohort, so the measure is the ratio of two distances: that to the nearest case, and that to the next one. Where
cases are points of any density that hardly changes between neighbours, the logarithms of these ratios are exponential
(Facco et al., Sci Rep 7, 2017, eq. 3), with a rate that the other cases show. A pair that is much nearer than this is
listed.

Such a check finds nothing where features do not tell patients apart. So it is tried on the patients themselves: each
one's instances are divided among two ids, and it is counted how many of these pairs it lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

EXPECTED = 0.05
"""A pair is listed if fewer than this number of pairs are expected to be as near by chance, in the whole cohort."""

LARGEST = 2
"""Gaps are looked for behind the nearest and the second nearest case: two or three ids of one patient."""

FEWEST = 10
"""With fewer cases, only equal features are listed."""

EQUAL = 1e-6
"""Features that differ by less, in standard deviations over the cases, are equal."""

BLOCK = 512
"""Cases whose distances are computed at once."""


@dataclass(frozen=True)
class NearPair:
    """Two cases of different patients.

    Attributes
    ----------
    first, second
        Ids of the cases.
    ratio
        Distance of their pooled features, divided by the distance to the next case; the larger of both cases' ratios.
    expected
        Number of pairs in a cohort of this size that are expected to be as near by chance.
    """

    first: str
    second: str
    ratio: float
    expected: float


@dataclass(frozen=True)
class NearPatients:
    """The pairs of one modality.

    Attributes
    ----------
    modality
        Modality of the features.
    cases
        Number of cases that were compared.
    pairs
        The pairs that stand out, the least expected first.
    divided
        Number of cases with several instances, which were divided among two ids.
    found
        How many of these the check would have listed.
    """

    modality: str
    cases: int
    pairs: tuple[NearPair, ...]
    divided: int
    found: int


def pool_instances(features: np.ndarray) -> np.ndarray:
    """Average the feature map of each instance.

    Parameters
    ----------
    features
        [n, h, w, C] feature maps of the instances.

    Returns
    -------
    ndarray
        float64 [n, C].
    """
    pooled: np.ndarray = np.asarray(features, np.float64).reshape(len(features), -1, features.shape[-1]).mean(axis=1)
    return pooled


def find_near_patients(pooled: Mapping[str, np.ndarray], person: Mapping[str, str], modality: str) -> NearPatients:
    """Find pairs of cases whose mean features are much nearer to each other than to those of the next case.

    Parameters
    ----------
    pooled
        Case to the features of its instances [n, C], n > 0. Each channel is divided by its standard deviation over the
        cases.
    person
        Case to person, or group; cases of one are not compared. A case that is not named is a person of its own.
    modality
        Modality of the features.
    """
    cases = sorted(pooled)
    nothing = NearPatients(modality, len(cases), (), 0, 0)
    if len(cases) < 2:
        return nothing
    means = np.stack([pooled[case].mean(axis=0) for case in cases])
    spread = means.std(axis=0)
    varying = spread > 1e-9
    if not varying.any():
        return nothing
    centre, spread = means[:, varying].mean(axis=0), spread[varying]
    means = (means[:, varying] - centre) / spread
    owner = np.unique([person.get(case, case) for case in cases], return_inverse=True)[1]
    near, distance = _find_nearest(means, owner, means, owner)
    chance = _Chance(distance if len(cases) >= FEWEST else distance[:0])

    pairs = []
    for i, j in {(min(i, j), max(i, j)) for i, row in enumerate(near[:, :LARGEST].tolist()) for j in row if i != j}:
        ratio, expected = chance.of_pair(i, j, owner[near], owner, distance)
        if expected < EXPECTED:
            pairs.append(NearPair(cases[i], cases[j], ratio, expected))
    divided = [k for k, case in enumerate(cases) if len(pooled[case]) > 1]
    found = 0
    if divided and len(chance.gaps):
        one, other = (
            (np.stack([pooled[cases[k]][start::2].mean(axis=0) for k in divided])[:, varying] - centre) / spread
            for start in (0, 1)
        )
        apart = np.sqrt(((one - other) ** 2).sum(axis=1))
        next_one, next_other = (_find_nearest(half, owner[divided], means, owner)[1][:, 0] for half in (one, other))
        with np.errstate(divide="ignore"):
            gaps = np.log(np.minimum(next_one, next_other) / apart)
        found = sum(chance.expect(float(gap), [k]) < EXPECTED for k, gap in zip(divided, gaps, strict=True))
    pairs.sort(key=lambda pair: (pair.expected, pair.ratio, pair.first, pair.second))
    return NearPatients(modality, len(cases), tuple(pairs), len(divided), found)


class _Chance:
    """How many pairs are expected to be as near as a pair, from the gaps between neighbours of all other cases.

    Parameters
    ----------
    distance
        [n, LARGEST + 1] distances of each case to the nearest others.
    """

    def __init__(self, distance: np.ndarray) -> None:
        order = np.arange(1, distance.shape[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            gaps = order * np.log(distance[:, 1:] / distance[:, :-1])
        self.gaps = np.where(np.isfinite(gaps), gaps, np.nan)  # [n, LARGEST]; nan beside equal features, or at the end
        self.total, self.count = float(np.nansum(self.gaps)), int((~np.isnan(self.gaps)).sum())

    def expect(self, gap: float, cases: list[int]) -> float:
        """Expected number of pairs with such a gap: exponential, with a rate estimated from the gaps of all others."""
        own = self.gaps[cases]
        rest, count = self.total - float(np.nansum(own)), self.count - int((~np.isnan(own)).sum())
        if not gap > 0 or rest <= 0:
            return float(self.gaps.size)
        return float(self.gaps.size * (1 + gap / rest) ** -count)

    def of_pair(
        self, i: int, j: int, neighbours: np.ndarray, owner: np.ndarray, distance: np.ndarray
    ) -> tuple[float, float]:
        """The ratio of distances, and the expected number of pairs, of two cases; in a group of two persons or three.

        `neighbours` has the persons of the nearest cases [n, LARGEST + 1].
        """
        best = (1.0, math.inf)
        for size in range(1, neighbours.shape[1]):
            if owner[j] not in neighbours[i, :size] or owner[i] not in neighbours[j, :size]:
                continue
            apart = max(distance[i, size - 1], distance[j, size - 1])
            beyond = min(distance[i, size], distance[j, size])
            if apart < EQUAL:
                return 0.0, 0.0
            if len(self.gaps) and math.isfinite(beyond):
                gap = float(np.nanmin(self.gaps[[i, j], size - 1]))
                best = min(best, (float(apart / beyond), self.expect(gap, [i, j])), key=lambda pair: pair[1])
        return best


def _find_nearest(
    points: np.ndarray, owner: np.ndarray, others: np.ndarray, owner_of_others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest case of each of the nearest other persons: indices and distances [n, LARGEST + 1].

    Where there are fewer persons, the rest has the index 0 and an infinite distance.
    """
    near = np.zeros((len(points), LARGEST + 1), np.int64)
    distance = np.full((len(points), LARGEST + 1), np.inf)
    most = min(len(others), (LARGEST + 1) * int(np.bincount(owner_of_others).max()))
    squares = (others**2).sum(axis=1)
    for start in range(0, len(points), BLOCK):
        block = slice(start, start + BLOCK)
        rough = squares - 2 * points[block] @ others.T
        rough[owner[block, None] == owner_of_others] = np.inf
        found = np.argsort(rough, axis=1, kind="stable")[:, :most]
        exact = np.sqrt(((points[block, None] - others[found]) ** 2).sum(axis=2))
        exact[np.isinf(np.take_along_axis(rough, found, axis=1))] = np.inf
        order = np.argsort(exact, axis=1, kind="stable")
        found, exact = np.take_along_axis(found, order, axis=1), np.take_along_axis(exact, order, axis=1)
        for row, (cases, lengths) in enumerate(zip(found, exact, strict=True), start):
            firsts = np.sort(np.unique(owner_of_others[cases], return_index=True)[1])[: LARGEST + 1]
            near[row, : len(firsts)], distance[row, : len(firsts)] = cases[firsts], lengths[firsts]
    return near, distance
