"""Records by what they gave and by what they did, read only when somebody asks."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nephroscale.provenance.recipe_diff import differences
from nephroscale.store.digest import digest_json

if TYPE_CHECKING:
    from nephroscale.store.receipts import Receipt
    from nephroscale.store.records import Records

#: Parts of a recipe that say what was done, whatever it was done to and wherever.
WORK = ("stage", "format", "code", "packages", "settings", "rows", "seed")


def same_outcome(record: dict[str, Any], receipt: Receipt) -> bool:
    """Whether a record tells of a receipt: equal but for the name of the unit (one recipe may serve two)."""
    return {**record["receipt"], "stage": receipt.stage, "unit": receipt.unit} == receipt.as_json()


class RecordIndex:
    """The records of a store, found otherwise than by their recipe.

    Parameters
    ----------
    records
        Of the store.
    whole
        Read all of them at once: right for an audit, which asks for every one.
    """

    def __init__(self, records: Records, *, whole: bool = False) -> None:
        self._records = records
        self._by_recipe = {record["recipe"]: record for record in self._all} if whole else None

    def read(self, recipe: str) -> dict[str, Any] | None:
        """The record of a recipe, or None."""
        return self._records.read(recipe) if self._by_recipe is None else self._by_recipe.get(recipe)

    @cached_property
    def _all(self) -> list[dict[str, Any]]:
        """Every record; equal lists of code and packages are held once, so that 100,000 of them fit."""
        held: dict[str, Any] = {}
        found = self._records.all()
        for record in found:
            for part in ("code", "packages", "settings"):
                value = record["parts"].get(part)
                record["parts"][part] = held.setdefault(repr(value), value)
        return found

    @cached_property
    def _by_outcome(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for record in self._all:
            told = record["receipt"]
            found[told["stage"], str(told["digest"] or told["reason"])].append(record)
        return found

    @cached_property
    def _by_work(self) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        found: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
        machines: dict[str, set[str]] = defaultdict(set)
        for record in self._all:
            machines[record["receipt"]["stage"]].add(repr(record["parts"].get("compute")))
        for record in self._all:
            if len(machines[record["receipt"]["stage"]]) > 1:
                found[self._work(record)].append(record)
        return found

    @staticmethod
    def _work(record: dict[str, Any]) -> tuple[str, str, str]:
        told = record["receipt"]
        return told["stage"], told["unit"], digest_json([record["parts"].get(part) for part in WORK])

    def all_that_gave(self, receipt: Receipt) -> list[dict[str, Any]]:
        """Every record that tells of a receipt, newest first: several recipes may give the same."""
        candidates = self._by_outcome.get((receipt.stage, str(receipt.digest or receipt.reason)), [])
        fitting = [record for record in candidates if same_outcome(record, receipt)]
        return sorted(fitting, key=lambda record: record["made"]["started"], reverse=True)

    def closest_that_gave(self, receipt: Receipt, parts: dict[str, Any] | None) -> dict[str, Any] | None:
        """The record of a receipt whose recipe is closest to these parts; the newest, where they are not known."""
        candidates = self.all_that_gave(receipt)
        if parts is None:
            return next(iter(candidates), None)
        return min(candidates, key=lambda record: len(differences(record["parts"], parts)), default=None)

    def same_work_elsewhere(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Records of the same work on another machine: they differ in ``compute``, and in inputs at most."""
        here = record["parts"].get("compute")
        if not self._by_work:  # one machine made everything
            return []
        return [other for other in self._by_work[self._work(record)] if other["parts"].get("compute") != here]
