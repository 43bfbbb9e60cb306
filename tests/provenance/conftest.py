"""A small results folder, made by the store's own functions: two raw files, two bags, one model, a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, settle_receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Records
from support.mock_study import Study

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = [("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""), ("TEM", "", "")]


@dataclass
class Written:
    """A results folder and its store, written artifact by artifact."""

    folder: Path
    store: Store

    def make(self, stage: str, unit: str, content: object, recipe: dict, when: str = "2026-01-01T00:00:00Z") -> Receipt:
        """Publish an artifact of this content under this recipe, with record, receipt and link."""
        with self.store.scratch() as scratch:
            (scratch / "out").mkdir()
            (scratch / "out" / "metrics.json").write_text(json.dumps(content))
            published = self.store.publish(scratch / "out")
        receipt = Receipt(stage, unit, "accepted", **published._asdict())
        whole = Recipe(stage, **{"settings": {}, "compute": {"threads": 1}, **recipe})
        made = {"started": when, "seconds": 1.0, "node": "n", "device": "cpu", "peak_mb": 1, "git": None, "run": when}
        Records(self.store).add(whole, receipt, made)
        name = stage if unit == "cohort" else f"{stage}/{unit}"
        settle_receipt(self.folder / f"{name}.json", self.folder / name, receipt, self.store)
        return receipt


@pytest.fixture
def write(tmp_path):
    """Make an empty results folder over a store that they share."""

    def begin(name: str, store: str = "store") -> Written:
        (tmp_path / name).mkdir()
        return Written(tmp_path / name, Store(tmp_path / store))

    return begin


@pytest.fixture(scope="session")
def mock_study(tmp_path_factory):
    """A mock study of nine patients with every artifact."""
    return Study.make(tmp_path_factory.mktemp("study"), images=IMAGES)


@pytest.fixture
def study(mock_study, tmp_path, monkeypatch):
    """Enter a copy of the mock study, and return a function that opens its plan as a new command does."""
    copy = mock_study.copy_to(tmp_path / "copy")
    monkeypatch.chdir(copy.folder)
    return copy.plan
