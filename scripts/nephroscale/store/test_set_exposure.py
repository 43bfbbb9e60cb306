"""ExposureLedger at test folds: how many distinct configurations were ever scored on the same test patients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.store.objects import Store


class ScoredTestSet(NamedTuple):
    """One configuration on one set of test patients: the digests that name both."""

    patients: str
    configuration: str


class ExposureLedger:
    """The ledger in a store's folder ``looks/``: a folder for each set of test patients, a file a configuration.

    A configuration is everything that decides a prediction but the seed and the machine; so two seeds are one look, and
    a changed learning rate, encoder or line of the network's code is another.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def note(self, look: ScoredTestSet, when: str) -> None:
        """Keep when a configuration was first scored: of two times the earlier one."""
        path = self.store.path / "looks" / look.patients / f"{look.configuration}.json"
        text = json.dumps({"first": when}) + "\n"
        if not path.exists() and self.store.write_text(path, text, replace=False):
            return
        if when < json.loads(path.read_bytes())["first"]:
            self.store.write_text(path, text)

    def count(self, patients: str, present: Iterable[str]) -> int:
        """Count the configurations scored on some test patients up to those of the present run.

        Parameters
        ----------
        patients
            Digest of the test patients.
        present
            Digests of the present run's configurations.

        Returns
        -------
        int
            The present ones, and every other that was first scored before the last of them was. Coming back to an
            earlier configuration gives the number that it had then.
        """
        present = set(present)
        first = {
            path.stem: json.loads(path.read_bytes())["first"]
            for path in sorted((self.store.path / "looks" / patients).glob("*.json"))
        }
        latest = max((first[name] for name in present if name in first), default="")
        return len(present) + sum(name not in present and when < latest for name, when in first.items())
