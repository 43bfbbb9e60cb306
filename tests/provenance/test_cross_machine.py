"""Comparison of artifacts with the same work on another machine."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from nephroscale.provenance.cross_machine import compare_elsewhere
from nephroscale.provenance.graph import CURRENT, Artifact, Graph
from nephroscale.provenance.record_index import RecordIndex
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Record, Records

VALUES = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
LEVELS = ("AVX2", "AVX512")


class Machines:
    """Two instruction sets that compute the same work over one store; the audit is that of the first."""

    def __init__(self, path) -> None:
        self.store = Store(path)
        self.artifacts: dict[tuple[str, str], Artifact] = {}

    def make(self, level: str, stage: str, values: np.ndarray | None, inputs: dict, **changes) -> Receipt:
        digests = {}
        if values is not None:
            with self.store.scratch() as scratch:
                (scratch / "out").mkdir()
                save_file({"w": values}, scratch / "out" / "weights.safetensors")
                digests = self.store.publish(scratch / "out")._asdict()
        status = "rejected" if values is None else "accepted"
        receipt = Receipt(stage, "P01", status, None if values is not None else "blurred", **digests)
        compute = {"threads": 1, "device": "cpu", "instruction_set": level}
        given = {"code": {"a.py": "1"}, "seed": 1, "inputs": inputs, "compute": compute}
        recipe = Recipe(stage, **given | changes)
        made = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "node": level, "device": f"cpu {level}"}
        Records(self.store).add(recipe, receipt, made)
        if level == LEVELS[0]:
            self.artifacts[receipt.stage, receipt.unit] = Artifact(receipt, Record(recipe, receipt, made), CURRENT)
        return receipt

    def compare(self) -> dict[str, dict]:
        found = compare_elsewhere(self.store, Graph(self.artifacts, []), RecordIndex(Records(self.store)))
        assert len({entry["artifact"] for entry in found}) == len(found)
        return {entry["artifact"]: entry for entry in found}


@pytest.fixture
def machines(tmp_path):
    return Machines(tmp_path / "store")


@pytest.mark.parametrize(("shift", "equal", "within"), [(0.0, True, True), (4e-6, False, True), (0.25, False, False)])
def test_the_same_work_on_two_instruction_sets_is_compared_by_tolerance(machines, shift, equal, within):
    for level, more in zip(LEVELS, (0, shift), strict=True):
        machines.make(level, "features", VALUES + np.float32(more), {"tem/P01": "b" * 64})
    (entry,) = machines.compare().values()
    assert (entry["artifact"], entry["device"]) == ("features/P01", "cpu AVX512")
    assert entry["compute"]["instruction_set"] == "AVX512"
    assert (entry["equal"], entry["within"]) == (equal, within)
    assert entry["largest"] == (None if equal else pytest.approx(shift, rel=0.1))
    assert ("equal to the byte" in entry["sentence"]) == equal
    assert ("beyond" in entry["sentence"]) == (not within)


def test_what_was_made_from_what_differs_by_the_machine_alone_is_compared_too(machines):
    for level, shift in zip(LEVELS, (0, 4e-6), strict=True):
        features = machines.make(level, "features", VALUES + np.float32(shift), {"tem/P01": "b" * 64})
        machines.make(level, "train", 2 * VALUES + np.float32(shift), {"features/P01": features.digest})
    assert {name: entry["within"] for name, entry in machines.compare().items()} == {
        "features/P01": True,
        "train/P01": True,
    }


@pytest.mark.parametrize(
    "other", [{"inputs": {"tem/P01": "c" * 64}}, {"seed": 2}, {"code": {"a.py": "2"}}, {"rows": {"id": "P01"}}]
)
def test_other_work_is_not_compared(machines, other):
    inputs = {"tem/P01": "b" * 64}
    machines.make(LEVELS[0], "features", VALUES, inputs)
    machines.make(LEVELS[1], "features", VALUES + 1, **{"inputs": inputs, **other})
    assert machines.compare() == {}


def test_a_rejection_and_a_lost_object_there_are_not_compared(machines):
    machines.make(LEVELS[0], "features", VALUES, {})
    machines.make(LEVELS[1], "features", None, {})
    machines.make(LEVELS[0], "train", VALUES, {})
    there = machines.make(LEVELS[1], "train", VALUES + 1, {})
    machines.store.remove(there.digest)
    assert machines.compare() == {}


def test_where_one_machine_made_everything_nothing_is_compared(machines):
    machines.make(LEVELS[0], "features", VALUES, {})
    machines.make(LEVELS[0], "features", VALUES, {}, seed=2)
    assert machines.compare() == {}
