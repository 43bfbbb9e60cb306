"""A small results folder, made by the store's own functions: two raw files, two bags, one model, a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from nephroscale.store.digest import digest_json
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, settle_receipt
from nephroscale.store.records import Records

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Written:
    """A results folder and its store, written artifact by artifact."""

    folder: Path
    store: Store

    def make(self, stage: str, unit: str, content: object, parts: dict, when: str = "2026-01-01T00:00:00Z") -> Receipt:
        """Publish an artifact of this content under this recipe, with record, receipt and link."""
        with self.store.scratch() as scratch:
            (scratch / "out").mkdir()
            (scratch / "out" / "metrics.json").write_text(json.dumps(content))
            published = self.store.publish(scratch / "out")
        receipt = Receipt(stage, unit, "accepted", **published._asdict())
        whole = {"stage": stage, "format": 1, "code": {}, "packages": {}, "settings": {}, "rows": None, "seed": None}
        whole |= {"inputs": {}, "compute": {"threads": 1}, **parts}
        made = {"started": when, "seconds": 1.0, "node": "n", "device": "cpu", "peak_mb": 1, "git": None, "run": when}
        Records(self.store).add(digest_json(whole), whole, receipt, made)
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
