"""Dividing small groups of patients evenly: who goes where so that every part looks like the whole.

scikit-learn's ``StratifiedGroupKFold`` balances one kind of label and does not see that a class is missing from a
part; with a dozen patients, or families among them, that decides whether a fold can be scored. Here the wishes are
ranked, and a part without patients or a class without patients on one side outweighs any evenness.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SEARCHED = 240
"""So many units, those of the rarest classes, are moved and swapped to improve on the first division."""

FEW, STARTS = 80, 8
"""Few units are divided from several random orders, of which the best is kept: groups of unequal size need it."""

Cost = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """Patients who stay together.

    Parameters
    ----------
    patients
        Their ids, sorted.
    labels
        How many of them there are of each class.
    strata
        How many of them there are of each class and site.
    """

    patients: tuple[str, ...]
    labels: tuple[int, ...]
    strata: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the parts to fill.

    Parameters
    ----------
    share
        Its share of the patients, in parts of the sum of all shares.
    hoarding
        How bad it is if this part takes all patients of a class, so that the others have none.
    """

    share: int
    hoarding: int = 1


def draw(seed: int, purpose: str, name: str) -> bytes:
    """Draw a key for a name, to sort by: a random order that depends on the seed and on no other name."""
    return hashlib.sha256(f"{seed}\x1f{purpose}\x1f{name}".encode()).digest()


def divide(units: Sequence[Unit], parts: Sequence[Part], seed: int, purpose: str) -> list[list[Unit]]:
    """Divide units among parts.

    The wishes, the first outweighing the next: no part is empty; no part takes all patients of a class; no part lacks
    a class; classes are spread by the parts' shares; so are classes within sites; so are patients.

    Parameters
    ----------
    units
        In any order; the result does not depend on it.
    parts
        At least two.
    seed, purpose
        Decide between divisions that are equally good.

    Returns
    -------
    list of list of Unit
        The units of each part.
    """
    starts = STARTS if len(units) <= FEW else 1
    divisions = [_division(units, parts, seed, f"{purpose}, start {start}") for start in range(starts)]
    best = min(divisions, key=_Division.cost)
    return [[unit for unit, at in zip(best.units, best.place, strict=True) if at == p] for p in range(len(parts))]


def _division(units: Sequence[Unit], parts: Sequence[Part], seed: int, purpose: str) -> _Division:
    """Divide once, from one random order."""
    order = sorted(units, key=lambda unit: draw(seed, purpose, unit.patients[0]))
    totals = [sum(column) for column in zip(*(unit.labels for unit in order), strict=True)]
    rarity = {unit: min(total for total, count in zip(totals, unit.labels, strict=True) if count) for unit in order}
    # Large groups first, while there is room for them; then those of rare classes.
    order.sort(key=lambda unit: (-len(unit.patients), rarity[unit]))
    division = _Division(order, parts)
    division.fill()
    # Many units come out evenly by themselves; only a rare class may have to be helped to every part.
    rarest = sorted(range(len(order)), key=lambda number: rarity[order[number]])[:SEARCHED]
    division.improve(sorted(rarest))
    return division


class _Division:
    """Counts of a division under way. Costs are integers, so that equal ones are equal."""

    def __init__(self, units: Sequence[Unit], parts: Sequence[Part]) -> None:
        self.units, self.parts = units, parts
        self.whole = sum(part.share for part in parts)
        # One row of counts per part: classes, then strata, then patients.
        self.width = len(units[0].labels)
        self.counts_of = [(*unit.labels, *unit.strata, len(unit.patients)) for unit in units]
        self.totals = [sum(column) for column in zip(*self.counts_of, strict=True)]
        self.counts = [[0] * len(self.totals) for _ in parts]
        self.place = [-1] * len(units)

    def fill(self) -> None:
        """Give each unit to the part that wants it most."""
        for number in range(len(self.units)):
            wanted = [self._evenness(part, self.counts_of[number]) for part in range(len(self.parts))]
            self._put(number, wanted.index(min(wanted)))

    def improve(self, numbers: Sequence[int]) -> None:
        """Move and swap some units as long as that makes the division better."""
        best, changed = self.cost(), True
        while changed:
            changed = False
            for rank, number in enumerate(numbers):
                here = self.place[number]
                for there in range(len(self.parts)):
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

    def _put(self, number: int, part: int) -> None:
        before, counts = self.place[number], self.counts_of[number]
        if before >= 0:
            self.counts[before] = [count - less for count, less in zip(self.counts[before], counts, strict=True)]
        self.counts[part] = [count + more for count, more in zip(self.counts[part], counts, strict=True)]
        self.place[number] = part

    def _evenness(self, part: int, added: Sequence[int]) -> Cost:
        """Tell how much farther from its share a part is with a unit than without, by classes, strata, patients."""
        share, whole = self.parts[part].share, self.whole
        change = []
        for count, more, total in zip(self.counts[part], added, self.totals, strict=True):
            off = count * whole - total * share
            change.append((off + more * whole) ** 2 - off**2 if more else 0)
        return sum(change[: self.width]), sum(change[self.width : -1]), change[-1]

    def cost(self) -> Cost:
        """Tell how far the division is from the wishes, the first first."""
        empty = hoarded = lacking = by_class = by_stratum = by_patient = 0
        width, whole = self.width, self.whole
        for part, counts in zip(self.parts, self.counts, strict=True):
            empty += counts[-1] == 0
            off = [(count * whole - total * part.share) ** 2 for count, total in zip(counts, self.totals, strict=True)]
            by_class += sum(off[:width])
            by_stratum += sum(off[width:-1])
            by_patient += off[-1]
            for count, total in zip(counts[:width], self.totals[:width], strict=True):
                hoarded += part.hoarding * (total > 0 and count == total)
                lacking += total > 0 and count == 0
        return empty, hoarded, lacking, by_class, by_stratum, by_patient
