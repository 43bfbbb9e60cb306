"""Folds for deposits: stratified by what the images show, or those of the diagnosis."""

from dataclasses import replace

import pytest

from nephroscale.cohort.deposits import Deposits
from nephroscale.cohort.fold_table import SIDES, FoldSides, FoldTable
from nephroscale.cohort.settings import FoldsSettings
from nephroscale.deposits.folds import DepositFoldsSettings, DepositPatient, read_deposit_folds, write_deposit_folds
from nephroscale.errors import NephroscaleError

SOME, NONE = Deposits(True, ("mesangial",)), Deposits(False)


def patients(count, positive, **given):
    return [
        DepositPatient(
            f"P{i:02d}",
            given.get("person", {}).get(i),
            given.get("group", {}).get(i),
            None,
            {f"P{i:02d}-TEM1": SOME if i < positive else NONE, f"P{i:02d}-TEM2": NONE},
        )
        for i in range(count)
    ]


def made(found, tmp_path, diagnosis=None, folds=3):
    out = tmp_path / "folds"
    figures, parts = write_deposit_folds(found, diagnosis, DepositFoldsSettings(FoldsSettings(n_folds=folds)), 1, out)
    return read_deposit_folds(out), figures, parts


def test_every_fold_tests_patients_with_and_without_deposits(tmp_path):
    folds, figures, _ = made(patients(24, 9), tmp_path)
    for fold in folds.folds:
        for side in SIDES:
            labels = {any(r.present for r in folds.readings[p].values()) for p in fold.side(side)}
            assert labels == {True, False}
    assert sorted(p for fold in folds.folds for p in fold.test) == sorted(folds.readings)
    assert figures["images"] == {"without deposits": 39, "with deposits": 9}


def test_images_without_a_site_are_left_out_of_a_question_on_a_site(tmp_path):
    found = [*patients(6, 3), DepositPatient("X", None, None, None, {"X-1": Deposits(True), "X-2": NONE})]
    folds, _, _ = made(found, tmp_path, folds=2)
    assert folds.labels(["X"], "any") == {"X-1": True, "X-2": False}
    assert folds.labels(["X"], "mesangial") == {"X-2": False}


def test_a_group_stays_together(tmp_path):
    folds, _, _ = made(patients(12, 5, group={0: "A", 7: "A"}), tmp_path)
    assert all(("P00" in fold.test) == ("P07" in fold.test) for fold in folds.folds)


def diagnosis():
    names = [f"P{i:02d}" for i in range(6)]
    turns = [(names[:2], names[2:3], names[3:]), (names[3:5], names[5:], names[:3])]
    folds = [FoldSides(str(k), tuple(t), tuple(v), tuple(te)) for k, (t, v, te) in enumerate(turns)]
    return FoldTable(
        ("A", "B"), {name: i % 2 for i, name in enumerate(names)}, tuple(folds), groups={"P00": "G", "P01": "G"}
    )


def test_patients_of_the_diagnosis_keep_their_sides_and_others_are_tested_once(tmp_path):
    folds, _, _ = made(patients(10, 5, group={9: "G"}), tmp_path, diagnosis())
    for fold, of_diagnosis in zip(folds.folds, diagnosis().folds, strict=True):
        for side in SIDES:
            assert set(of_diagnosis.side(side)) <= set(fold.side(side))
    tested = [p for fold in folds.folds for p in fold.test]
    assert sorted(tested) == sorted(folds.readings)
    assert "P09" in folds.folds[0].train  # with its group
    assert "P09" in folds.folds[1].test


def test_only_the_first_division_of_the_diagnosis_is_kept(tmp_path):
    once = diagnosis()
    twice = replace(
        once, folds=(*once.folds, *(replace(f, name=str(2 + k)) for k, f in enumerate(once.folds))), repeats=2
    )
    (tmp_path / "other").mkdir()
    found, expected = made(patients(8, 4), tmp_path, twice)[0], made(patients(8, 4), tmp_path / "other", once)[0]
    assert found.folds == expected.folds


def test_a_reading_of_a_test_patient_changes_no_part_of_the_training_side(tmp_path):
    found = patients(24, 9)
    first, _, parts = made(found, tmp_path)
    tested = first.folds[0].test[0]
    changed = [
        p if p.id != tested else DepositPatient(p.id, None, None, None, {**p.readings, f"{p.id}-TEM2": Deposits(False)})
        for p in found
    ]
    index = next(i for i, p in enumerate(changed) if p.id == tested)
    image = next(iter(changed[index].readings))
    other = Deposits(True, ("subepithelial",)) if found[index].kind("any") else NONE
    changed[index] = DepositPatient(tested, None, None, None, {**found[index].readings, image: other})
    (tmp_path / "again").mkdir()
    _, _, again = made(changed, tmp_path / "again")
    assert again["fold0.train"] == parts["fold0.train"]
    if other != found[index].readings[image]:
        assert again["fold0"] != parts["fold0"]
        assert again["fold1.train"] != parts["fold1.train"]


def test_too_few_patients_are_named_with_what_to_do(tmp_path):
    with pytest.raises(NephroscaleError, match="deposits"):
        made(patients(2, 1), tmp_path)
