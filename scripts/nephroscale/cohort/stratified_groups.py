"""Stratified division of groups of patients into subsets.

scikit-learn's ``StratifiedGroupKFold`` balances one kind of label and does not prevent that a class is missing from a
subset. With a dozen patients, or with families among them, this decides whether a fold can be scored. The criteria
here are ranked: an empty subset, or a class missing from a subset, outweighs any imbalance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

SEARCHED = 240
"""Number of groups, those of the rarest classes, that are moved and swapped to improve the first division."""

FEW, STARTS = 80, 8
"""At most FEW groups are divided from STARTS random orders, and the best division is kept: unequal groups need it."""

Cost = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PatientGroup:
    """Patients who stay on one side of a split.

    Parameters
    ----------
    patients
        Their ids, sorted.
    labels
        Number of patients of each class.
    strata
        Number of patients of each class and site.
    """

    patients: tuple[str, ...]
    labels: tuple[int, ...]
    strata: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Subset:
    """A subset to fill.

    Parameters
    ----------
    share
        Its share of the patients, relative to the sum of all shares.
    monopoly_cost
        Cost of having all patients of a class, so that the other subsets have none.
    """

    share: int
    monopoly_cost: int = 1


def draw(seed: int, purpose: str, name: str) -> bytes:
    """Draw a sort key for a name. The random order depends on the seed and on no other name."""
    return hashlib.sha256(f"{seed}\x1f{purpose}\x1f{name}".encode()).digest()


def divide(
    groups: Sequence[PatientGroup], subsets: Sequence[Subset], seed: int, purpose: str
) -> list[list[PatientGroup]]:
    """Divide groups among subsets.

    The criteria, in order of rank: no subset is empty; no subset has all patients of a class; no subset lacks a class;
    classes follow the subsets' shares; classes within sites follow them; the numbers of patients follow them.

    Parameters
    ----------
    groups
        In any order; the result does not depend on it.
    subsets
        At least two.
    seed, purpose
        Decide between equally good divisions.

    Returns
    -------
    list of list of PatientGroup
        Groups of each subset.
    """
    divisions = [
        _division(groups, subsets, seed, f"{purpose}, start {start}")
        for start in range(STARTS if len(groups) <= FEW else 1)
    ]
    best = min(divisions, key=_Division.cost)
    return [[group for group, at in zip(best.groups, best.place, strict=True) if at == p] for p in range(len(subsets))]


def _division(groups: Sequence[PatientGroup], subsets: Sequence[Subset], seed: int, purpose: str) -> _Division:
    """Divide once, from one random order."""
    order = sorted(groups, key=lambda group: draw(seed, purpose, group.patients[0]))
    totals = [sum(column) for column in zip(*(group.labels for group in order), strict=True)]
    rarity = {group: min(total for total, count in zip(totals, group.labels, strict=True) if count) for group in order}
    # Large groups first, while there is room for them; then those of rare classes.
    order.sort(key=lambda group: (-len(group.patients), rarity[group]))
    division = _Division(order, subsets)
    division.fill()
    # Many groups spread evenly without help; only a rare class may have to be moved into every subset.
    rarest = sorted(range(len(order)), key=lambda number: rarity[order[number]])[:SEARCHED]
    division.improve(sorted(rarest))
    return division


class _Division:
    """Counts of an unfinished division. Costs are integers, so that ties are exact."""

    def __init__(self, groups: Sequence[PatientGroup], subsets: Sequence[Subset]) -> None:
        self.groups, self.subsets = groups, subsets
        self.whole = sum(subset.share for subset in subsets)
        # One row of counts per subset: classes, then strata, then patients.
        self.width = len(groups[0].labels)
        self.counts_of = [(*group.labels, *group.strata, len(group.patients)) for group in groups]
        self.totals = [sum(column) for column in zip(*self.counts_of, strict=True)]
        self.counts = [[0] * len(self.totals) for _ in subsets]
        self.place = [-1] * len(groups)

    def fill(self) -> None:
        """Put each group into the subset that it brings closest to its share."""
        for number in range(len(self.groups)):
            wanted = [self._evenness(subset, self.counts_of[number]) for subset in range(len(self.subsets))]
            self._put(number, wanted.index(min(wanted)))

    def improve(self, numbers: Sequence[int]) -> None:
        """Move and swap groups as long as the cost falls."""
        best, changed = self.cost(), True
        while changed:
            changed = False
            for rank, number in enumerate(numbers):
                here = self.place[number]
                for there in range(len(self.subsets)):
                    if there != here:
                        self._put(number, there)
                        if (cost := self.cost()) < best:
                            best, changed, here = cost, True, there
                        else:
                            self._put(number, here)
                for other in numbers[:rank]:
                    here, there = self.place[number], self.place[other]
                    if here == there or self.counts_of[number] == self.counts_of[other]:
                        continue
                    self._put(number, there)
                    self._put(other, here)
                    if (cost := self.cost()) < best:
                        best, changed = cost, True
                    else:
                        self._put(number, here)
                        self._put(other, there)

    def _put(self, number: int, subset: int) -> None:
        before, counts = self.place[number], self.counts_of[number]
        if before >= 0:
            self.counts[before] = [count - less for count, less in zip(self.counts[before], counts, strict=True)]
        self.counts[subset] = [count + more for count, more in zip(self.counts[subset], counts, strict=True)]
        self.place[number] = subset

    def _evenness(self, subset: int, added: Sequence[int]) -> Cost:
        """Return the change of a subset's distance from its share by a group: by classes, strata and patients."""
        share, whole = self.subsets[subset].share, self.whole
        change = []
        for count, more, total in zip(self.counts[subset], added, self.totals, strict=True):
            off = count * whole - total * share
            change.append((off + more * whole) ** 2 - off**2 if more else 0)
        return sum(change[: self.width]), sum(change[self.width : -1]), change[-1]

    def cost(self) -> Cost:
        """Return the cost of the division, criterion by criterion."""
        empty = monopolised = lacking = by_class = by_stratum = by_patient = 0
        width, whole = self.width, self.whole
        for subset, counts in zip(self.subsets, self.counts, strict=True):
            empty += counts[-1] == 0
            off = [
                (count * whole - total * subset.share) ** 2 for count, total in zip(counts, self.totals, strict=True)
            ]
            by_class += sum(off[:width])
            by_stratum += sum(off[width:-1])
            by_patient += off[-1]
            for count, total in zip(counts[:width], self.totals[:width], strict=True):
                monopolised += subset.monopoly_cost * (total > 0 and count == total)
                lacking += total > 0 and count == 0
        return empty, monopolised, lacking, by_class, by_stratum, by_patient
