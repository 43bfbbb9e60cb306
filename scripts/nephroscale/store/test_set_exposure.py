"""The exposure of test sets: how many distinct configurations were ever scored on the same test patients."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nephroscale.store.objects import Store

FOLDER = "test_sets"


class ScoredTestSet(NamedTuple):
    """One configuration that was scored on one set of test patients, each named by a digest.

    A configuration is everything that decides a prediction except the seed and the machine: two seeds are the same
    configuration; another learning rate, encoder or line of the network's code is another one.
    """

    patients: str
    configuration: str


class ExposureLedger:
    """The exposures kept in a store: ``test_sets/<patients>/<configuration>.json`` has the time of the first score."""

    def __init__(self, store: Store) -> None:
        self.store = store
        #: Of this process, whether the store has written them yet or not: patients, configuration, time.
        self._added: dict[str, dict[str, str]] = {}

    def add(self, scored: ScoredTestSet, when: str) -> None:
        """Keep when a configuration was first scored; of two times the earlier one is kept."""
        added = self._added.setdefault(scored.patients, {})
        added[scored.configuration] = min(when, added.get(scored.configuration, when))
        path = self.store.path / FOLDER / scored.patients / f"{scored.configuration}.json"
        text = json.dumps({"first": when}) + "\n"
        if not path.exists() and self.store.write_text(path, text, replace=False):
            return
        if when < _first(path):
            self.store.write_text(path, text)

    def count(self, patients: str, present: Iterable[str]) -> int:
        """Count the configurations that were scored on some test patients up to the present run.

        Parameters
        ----------
        patients
            Digest of the test patients.
        present
            Digests of the present run's configurations.

        Returns
        -------
        int
            The present configurations and every other one that was first scored before the last of them. Returning to
            an earlier configuration therefore gives the count that it had then.
        """
        present = set(present)
        first = {path.stem: _first(path) for path in (self.store.path / FOLDER / patients).glob("*.json")}
        for name, when in self._added.get(patients, {}).items():
            first[name] = min(when, first.get(name, when))
        latest = max((first[name] for name in present if name in first), default="")
        return len(present) + sum(name not in present and when < latest for name, when in first.items())

    def ever(self, patients: str) -> int:
        """Count all configurations that were ever scored on some test patients."""
        return len({path.stem for path in (self.store.path / FOLDER / patients).glob("*.json")})


def _first(path: Path) -> str:
    return str(json.loads(path.read_bytes())["first"])
