"""Patients with several biopsies, and tables of new patients."""

import json

import pytest

from nephroscale.cohort.eligibility import EligibilitySettings, write_folds
from nephroscale.engine.config import load_config
from nephroscale.errors import NephroscaleError
from support.cohort import load_tables

HEADER = "image_id,patient_id,biopsy_id,modality,stain,marker,path,grade\n"
TWICE = HEADER + (
    "A1-T1,A1,B1,TEM,,,a1.tif,\nA1-T2,A1,B2,TEM,,,a2.tif,\nA1-C3,A1,B2,IM,,C3,,0\nM1-T1,M1,B1,TEM,,,m1.tif,\n"
)


def test_a_patient_with_two_biopsies_is_two_cases_of_one_group(tables):
    tables.images = TWICE
    cohort = tables.load()
    assert "A1" not in cohort.patients
    one, other = cohort.patients["A1-B1"], cohort.patients["A1-B2"]
    assert (one.label, one.person, one.biopsy, one.group) == ("IgAN", "A1", "B1", other.group)
    assert one.group is not None
    assert [i.id for i in cohort.images_of("A1-B1")] == ["A1-T1"]
    assert [i.id for i in cohort.images_of("A1-B2")] == ["A1-T2"]
    assert [n.id for n in cohort.negatives_of("A1-B2")] == ["A1-C3"]


def test_one_biopsy_changes_nothing(tables):
    tables.images = TWICE
    patient = tables.load().patients["M1"]
    assert (patient.person, patient.biopsy, patient.group) == (None, None, "F1")


def test_a_case_cannot_take_another_s_name(tables):
    tables.images = TWICE
    tables.patients += "a1-b2,MN,,,,,,\n"
    assert any("would be called A1-B2" in error for error in tables.errors())


def test_cases_of_a_patient_are_on_one_side_of_every_fold(tables, tmp_path):
    tables.images = TWICE
    rows = [p.row() for p in tables.load().patients.values()]
    settings = EligibilitySettings.from_mapping(
        {
            "folds": {"scheme": "stratified", "n_folds": 2, "validation_fraction": 0.34},
            "classes": ["IgAN", "MN", "LN"],
            "min_per_class": 2,
            "permute_labels": None,
            "meanings": {},
            "mixed": "exclude",
        }
    )
    write_folds(rows, {}, settings, 1, tmp_path / "folds")
    table = json.loads((tmp_path / "folds/folds.json").read_text())
    assert table["people"] == {"A1-B1": "A1", "A1-B2": "A1"}
    counted = {entry["text"]: (entry["patients"], entry["in_folds"]) for entry in table["texts"]}
    assert counted["IgA nephropathy"] == (2, 3)  # two patients, three cases
    for fold in table["folds"]:
        sides = [side for side in ("train", "validation", "test") if {"A1-B1", "A1-B2"} & set(fold[side])]
        assert len(sides) == 1


@pytest.fixture
def with_new(tables, tmp_path):
    """Makes the configuration of a cohort with new patients."""

    def make(patients="patient_id,age\nN1,40\nN2,\n", images=HEADER + "N1-T,N1,,TEM,,,n1.tif,\n", **more):
        (tmp_path / "new.csv").write_text(patients)
        (tmp_path / "new_images.csv").write_text(images)
        new = {"patients": str(tmp_path / "new.csv"), "images": str(tmp_path / "new_images.csv"), **more}
        return load_config({**tables.config(), "predict": new}).to_mapping()

    return make


def test_new_patients_need_no_label_and_are_eligible_for_nothing_else(with_new):
    cohort = load_tables(with_new(root="elsewhere"))
    new = cohort.patients["N1"]
    assert (new.use, new.status, new.label, new.row().eligible) == ("new", "new", None, False)
    assert new.columns == {"age": "40"}
    assert str(cohort.images["N1-T"].path) == "elsewhere/n1.tif"
    assert cohort.images_of("N2") == []


def test_a_patient_of_the_study_is_not_new(with_new):
    config = with_new("patient_id\na1\nN1\n", HEADER + "A1-OM,N1,,TEM,,,n1.tif,\n")
    with pytest.raises(NephroscaleError) as raised:
        load_tables(config)
    assert "a1 is a patient of the study" in raised.value.what
    assert "A1-OM is an image of the study" in raised.value.what


def test_one_table_is_not_enough(tables):
    with pytest.raises(NephroscaleError, match="both tables"):
        load_config({**tables.config(), "predict": {"patients": "new.csv"}})


def test_only_configured_models_predict(with_new):
    with pytest.raises(NephroscaleError, match=r"predict\.models"):
        with_new(models=["cmusnett"])
