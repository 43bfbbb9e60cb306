from __future__ import annotations

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.provenance.run_difference import compare_runs, open_run
from nephroscale.store.receipts import Receipt, settle_receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Records

STAGES = ("tem", "train", "report", "audit")


def fill(run, *, bag="b", rate=0.1, score=0.5):
    bags = [
        run.make("tem", p, f"{bag if p == 'P01' else 'other'} {p}", {"rows": {"bytes": bag if p == "P01" else 0}})
        for p in ("P01", "P02")
    ]
    inputs = {f"tem/{receipt.unit}": receipt.digest for receipt in bags}
    train = run.make("train", "net/fold0-seed1", [bag, rate], {"settings": {"rate": rate}, "inputs": inputs})
    metrics = {"headline": "net", "models": {"net": {"pooled": {"accuracy": {"value": score}}}}}
    run.make("report", "cohort", metrics, {"inputs": {"train/net/fold0-seed1": train.digest}})
    return run


def text_of(a, b):
    return compare_runs(open_run(a.folder), open_run(b.folder), STAGES).text(STAGES)


def test_equal_runs_are_reported_as_equal(write):
    assert text_of(fill(write("a")), fill(write("b"))) == "Every artifact is equal in both runs."


def test_a_changed_setting_is_the_only_cause(write):
    found = compare_runs(
        open_run(fill(write("a")).folder), open_run(fill(write("b"), rate=0.2, score=0.75).folder), STAGES
    )
    (change,) = found.changes
    assert (change.stage, change.units, change.difference.cause) == ("train", ["net/fold0-seed1"], "config")
    assert found.metrics == {"net accuracy": (0.5, 0.75)}
    assert found.differing == {"train": 1, "report": 1}


def test_a_changed_file_is_data_in_the_stage_that_reads_it(write):
    text = text_of(fill(write("a")), fill(write("b", store="second"), bag="c"))
    assert "data: the tables' row bytes: b changed to c" in text
    assert "first in tem of P01" in text
    assert "first in train" not in text


def rejected(run, settings, *, recorded):
    """A rejection that names its cause, which is the same in both runs; with the record of the job that found it."""
    run.make("tem", "P01", "b", {"rows": {"bytes": "b"}})
    reason = f"none of {settings['stains']}"
    receipt = Receipt("features", "P01", "rejected", reason, figures={"because": "glomeruli/P01"})
    recipe = Recipe("features", settings=settings, inputs={"glomeruli/P01": "rejected: blurred"})
    if recorded:
        made = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "node": "n", "device": "cpu"}
        Records(run.store).add(recipe, receipt, made)
    settle_receipt(run.folder / "features/P01.json", run.folder / "features/P01", receipt, run.store)
    return run


@pytest.mark.parametrize("recorded", [True, False])
def test_a_rejection_by_a_job_is_explained_and_an_inherited_one_is_not(write, recorded):
    a, b = (rejected(write(name), {"stains": name}, recorded=recorded) for name in "ab")
    found = compare_runs(open_run(a.folder), open_run(b.folder), ("tem", "features"))
    assert found.differing == {"features": 1}
    assert [change.difference.text for change in found.changes] == (
        ["the configuration stains: a changed to b"] if recorded else []
    )


def test_a_changed_row_names_the_patient(write):
    def folds(name, rows):
        run = write(name)
        run.make("folds", "cohort", rows, {"rows": [{"id": patient, "label": label} for patient, label in rows]})
        return open_run(run.folder)

    first = folds("a", [("P01", "IgAN"), ("P02", "MN"), ("P03", "LN")])
    second = folds("b", [("P01", "MN"), ("P02", "MN"), ("P07", "LN")])
    text = compare_runs(first, second, ("folds",)).text(("folds",))
    for words in ("P01.label: IgAN changed to MN", "P03 was removed", "P07 was added"):
        assert words in text
    assert "P02" not in text


def test_the_closest_of_several_recipes_is_compared(write):
    first, second = fill(write("a")), fill(write("b"), rate=0.2)
    again = write("c")
    inputs = {
        f"tem/{p}": first.make(
            "tem", p, f"{'b' if p == 'P01' else 'other'} {p}", {"rows": {"bytes": "b" if p == "P01" else 0}}
        ).digest
        for p in ("P01", "P02")
    }
    again.make(
        "train",
        "net/fold0-seed1",
        ["b", 0.1],
        {"settings": {"rate": 0.1}, "inputs": inputs, "seed": 9, "packages": {"torch": "9"}},
        when="2027-01-01T00:00:00Z",
    )
    text = text_of(first, second)
    assert "rate: 0.1 changed to 0.2" in text
    assert "torch" not in text


def test_an_artifact_that_only_one_run_has_is_named(write):
    first, second = fill(write("a")), fill(write("b"))
    second.make("tem", "P03", "new", {})
    assert "Only in the second run: tem/P03" in text_of(first, second)


def test_the_same_recipe_with_other_bytes_is_called_chance(write):
    first, second = write("a"), write("b", store="second")
    first.make("tem", "P01", "one", {})
    second.make("tem", "P01", "two", {})
    assert "chance: the same recipe gave different bytes" in text_of(first, second)


def test_a_folder_without_receipts_is_refused(tmp_path):
    with pytest.raises(NephroscaleError, match="not the results folder"):
        open_run(tmp_path)
