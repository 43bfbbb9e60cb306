"""The results of the last pre-pass, so that unchanged recipes are not computed again.

Computing the recipe of an artifact takes a millisecond. Checking that its raw files, its record and its object are
unchanged takes a tenth of that. Nothing is taken on trust beyond what a full pre-pass trusts: sizes and times of files.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from nephroscale.engine.environment import numerical_environment
from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import Stage
from nephroscale.places import PACKAGE
from nephroscale.store.digest import digest_bytes, digest_file, digest_json
from nephroscale.store.disk import file_state
from nephroscale.store.receipts import Receipt
from nephroscale.store.test_set_exposure import ScoredTestSet

FOLDER = "plans"
_DIGEST_LENGTH = 64


class Entry(NamedTuple):
    """What was known of one unit.

    Attributes
    ----------
    receipt
        The receipt.
    digest
        Of the receipt.
    recipe
        The digest of its recipe; None where a rejected input had decided.
    record
        Inode, size and time of the record's file.
    files
        What :meth:`nephroscale.engine.stage.Stage.files` gave.
    scored
        Patients and configuration, where test patients were scored.
    """

    receipt: Receipt
    digest: str
    recipe: str | None
    record: list[int] | None
    files: dict[str, str] | None
    scored: list[str] | None


class LastPlan:
    """The artifacts that the last pre-pass of a results folder found, in the order of the plan.

    A unit depends on tables, configuration, code, packages, its files, and the artifacts before it. As long as all
    these are the same, :meth:`recall` answers; from the first difference on it does not.

    Parameters
    ----------
    plan
        The present plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._path = plan.store.path / FOLDER / f"{digest_bytes(os.fsencode(plan.results.absolute()))}.json"
        self._basis = _digest_basis(plan)
        self._entries = self._read()
        plan.store.check_ahead([entry.receipt.digest for entry in self._entries.values() if entry.receipt.digest])
        self._unchanged = True
        self._found: dict[tuple[str, str], Entry] = {}
        self._complete = True

    def recall(self, stage: Stage, unit: str) -> Receipt | None:
        """Give the receipt of a unit if nothing that decides it, and nothing before it, has changed."""
        entry = self._entries.get((stage.name, unit)) if self._unchanged and stage.recalled else None
        if entry is None or not self._holds(stage, unit, entry):
            self._unchanged = False
            return None
        scored = ScoredTestSet(*entry.scored) if entry.scored else None
        self._plan.recall((stage.name, unit), entry.receipt, entry.digest, entry.recipe, scored)
        return entry.receipt

    def keep(self, stage: Stage, unit: str, receipt: Receipt | None) -> None:
        """Remember a unit, up to the first one that is not known."""
        if receipt is None or not stage.recalled:
            self._complete = False
        elif self._complete:
            entry = self._entries.get((stage.name, unit)) if self._unchanged else None
            self._found[stage.name, unit] = entry or self._entry(stage, unit, receipt)

    def write(self) -> None:
        """Store what was found, unless the file holds just that."""
        if self._found != self._entries:
            body = orjson.dumps([self._basis, [[*key, *entry] for key, entry in self._found.items()]])
            self._plan.store.write_text(self._path, digest_bytes(body) + body.decode())

    def _entry(self, stage: Stage, unit: str, receipt: Receipt) -> Entry:
        plan = self._plan
        recipe, digest = plan.recipe_digest(stage.name, unit), plan.receipt_digest(stage.name, unit, receipt)
        if recipe is None:
            return Entry(receipt, digest, None, None, None, None)
        scored = plan.test_set_use(stage.name, unit)
        return Entry(
            receipt,
            digest,
            recipe,
            file_state(plan.records.path(recipe)),
            stage.files(plan, unit),
            list(scored) if scored else None,
        )

    def _holds(self, stage: Stage, unit: str, entry: Entry) -> bool:
        if (stage.name, unit) in self._plan.forced:
            return False
        if entry.recipe is None:
            return True
        return (
            file_state(self._plan.records.file_name(entry.recipe)) == entry.record
            and stage.files(self._plan, unit) == entry.files
            and (entry.receipt.digest is None or self._plan.store.has(entry.receipt.digest))
        )

    def _read(self) -> dict[tuple[str, str], Entry]:
        try:
            data = self._path.read_bytes()
        except OSError:
            return {}
        body = memoryview(data)[_DIGEST_LENGTH:]
        if digest_bytes(body) != data[:_DIGEST_LENGTH].decode(errors="replace"):
            return {}
        basis, entries = orjson.loads(body)
        if basis != self._basis:
            return {}
        return {(stage, unit): Entry(Receipt(**receipt), *rest) for stage, unit, receipt, *rest in entries}


def _digest_basis(plan: Plan) -> str:
    """Digest all that decides artifacts beside raw files and the artifacts before them."""
    sources = {
        path
        for folder in {plan.scripts, PACKAGE}
        for path in folder.rglob("*")
        if not path.name.endswith(".pyc") and not path.name.startswith(".")
    }
    basis: list[Any] = [
        Entry._fields,
        plan.config.to_mapping(),
        digest_bytes(repr(plan.cohort).encode()),
        [digest_file(path) for path in plan.tables()],
        sorted([str(path), digest_file(path)] for path in sources if path.is_file()),
        _installed(),
        [numerical_environment(plan.config.compute, on_device=each) for each in (False, True)],
    ]
    return digest_json(basis)


def _installed() -> list[list[str]]:
    """List the installed packages by the folders of their metadata, whose names hold name and version.

    The metadata themselves are read only where the name may lack the version: to read all takes a sixth of the time in
    which a run finds nothing to do.
    """
    found = []
    for folder in dict.fromkeys(sys.path):
        with suppress(OSError):  # an archive, or nothing
            for name in sorted(os.listdir(folder or ".")):  # noqa: PTH208  (names alone, of thousands of files)
                if name.endswith(".dist-info"):
                    found.append([name, ""])
                elif name.endswith(".egg-info"):
                    found.append([name, PathDistribution(Path(folder, name)).version])
    return sorted(found)
