"""Folds of the patients set apart: who is held out of which training of the segmenter."""

import csv

import pytest

from nephroscale.engine.plan import Plan
from nephroscale.stages.registry import stage_table
from nephroscale.stages.segmenter_check import share_out
from support.small_study import small_config, write_study

PEOPLE = [(f"P{k}", ("IgAN", "MN")[k % 2], "diagnosis") for k in range(4)]
APART = [(f"S{k}", "MN", "segmentation") for k in range(7)]


def test_patients_are_shared_out_by_group():
    assert share_out({"A": "A", "B": "B", "C": "C"}, 5) == [["A"], ["B"], ["C"]]
    assert share_out({"A": "f", "B": "B", "C": "C", "D": "f"}, 2) == [["A", "B", "D"], ["C"]]
    assert share_out({"A": "f", "B": "f"}, 5) == []
    assert share_out({"A": "A", "B": "B"}, 0) == share_out({}, 5) == []


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "study"
    write_study(folder, patients=[*PEOPLE, *APART])
    with (folder / "patients.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["group"] = "family" if row["patient_id"] in {"S0", "S6"} else ""
    with (folder / "patients.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def plan_of(study, monkeypatch, **glomeruli):
    monkeypatch.chdir(study)
    config = small_config()
    config["glomeruli"] |= glomeruli
    return Plan(config, stage_table())


def test_each_patient_is_held_out_once_and_never_trained_on(study, monkeypatch):
    plan = plan_of(study, monkeypatch)
    stage = plan.stages["segmenter_check"]
    units = plan.units("segmenter_check")
    assert units == [f"fold{k}" for k in range(5)]
    held_out = []
    for unit in units:
        rows = stage.rows(plan, unit)
        images = [image for names in rows["held_out"].values() for image in names]
        assert not set(images) & set(rows["training"])
        assert len({*images, *rows["training"]}) == len(APART)
        assert ("S0" in rows["held_out"]) == ("S6" in rows["held_out"])
        held_out += rows["held_out"]
    assert sorted(held_out) == [patient for patient, *_ in APART]


def test_only_the_report_waits_for_it(study, monkeypatch):
    plan = plan_of(study, monkeypatch)
    waiting = {
        stage
        for stage in plan.stages
        for unit in plan.study_units(stage)
        if any(each.stage == "segmenter_check" for each in plan.stages[stage].needs(plan, unit))
    }
    assert waiting <= {"report", "audit"}
    assert "report" in waiting


@pytest.mark.parametrize("glomeruli", [{"check_folds": 0}, {"method": "classical"}])
def test_it_can_be_left_out(study, monkeypatch, glomeruli):
    assert plan_of(study, monkeypatch, **glomeruli).units("segmenter_check") == []
