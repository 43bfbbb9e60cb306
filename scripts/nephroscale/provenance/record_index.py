"""Records by outcome and by the work that they describe, read on first use."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from nephroscale.collect import grouped
from nephroscale.provenance.recipe_diff import differences
from nephroscale.store.digest import digest_json
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Record, Records

#: Parts of a recipe that describe the work, without its inputs and the machine.
WORK = ("stage", "format", "code", "packages", "settings", "rows", "seed")


def same_outcome(record: Record, receipt: Receipt) -> bool:
    """Whether a record has this receipt, under any unit name (one recipe may serve several units)."""
    return replace(record.receipt, stage=receipt.stage, unit=receipt.unit) == receipt


def _outcome(receipt: Receipt) -> tuple[str, str]:
    return receipt.stage, str(receipt.digest or receipt.reason)


class RecordIndex:
    """The records of a store, found by other keys than their recipe.

    Parameters
    ----------
    records
        Of the store.
    whole
        Read all records at once, for an audit, which needs every one.
    """

    def __init__(self, records: Records, *, whole: bool = False) -> None:
        self._records = records
        self._by_recipe = {record.recipe.digest: record for record in self._all} if whole else None

    def read(self, recipe: str) -> Record | None:
        """Read the record of a recipe (named by its digest), or None."""
        return self._records.read(recipe) if self._by_recipe is None else self._by_recipe.get(recipe)

    @cached_property
    def _all(self) -> list[Record]:
        return list(self._records.all())

    @cached_property
    def _by_outcome(self) -> dict[tuple[str, str], list[Record]]:
        return grouped((_outcome(record.receipt), record) for record in self._all)

    @cached_property
    def newest(self) -> dict[tuple[str, str], Record]:
        """The newest record of each stage and unit."""
        return {
            (record.receipt.stage, record.receipt.unit): record
            for record in sorted(self._all, key=lambda record: record.made["started"])
        }

    @cached_property
    def _by_work(self) -> dict[tuple[str, str, str], list[Record]]:
        machines = grouped((record.receipt.stage, repr(record.recipe.compute)) for record in self._all)
        several = {stage for stage, found in machines.items() if len(set(found)) > 1}
        return grouped((self._work(record), record) for record in self._all if record.receipt.stage in several)

    @staticmethod
    def _work(record: Record) -> tuple[str, str, str]:
        return record.receipt.stage, record.receipt.unit, digest_json([getattr(record.recipe, part) for part in WORK])

    def all_that_gave(self, receipt: Receipt) -> list[Record]:
        """List every record with this receipt, newest first: several recipes may give the same."""
        return sorted(
            (record for record in self._by_outcome.get(_outcome(receipt), []) if same_outcome(record, receipt)),
            key=lambda record: record.made["started"],
            reverse=True,
        )

    def closest_that_gave(self, receipt: Receipt, recipe: Recipe | None) -> Record | None:
        """Find the record with this receipt whose recipe is closest to another one; the newest, without one."""
        candidates = self.all_that_gave(receipt)
        if recipe is None:
            return next(iter(candidates), None)
        return min(candidates, key=lambda record: len(differences(record.recipe, recipe)), default=None)

    def same_work_elsewhere(self, record: Record) -> list[Record]:
        """List records of the same work on another machine, which differ in ``compute`` and perhaps in inputs."""
        if not self._by_work:  # one machine made everything
            return []
        return [other for other in self._by_work[self._work(record)] if other.recipe.compute != record.recipe.compute]
