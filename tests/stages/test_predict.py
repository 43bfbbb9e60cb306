"""Members of an ensemble and cases to predict, sorted from receipts and objects."""

import json
from pathlib import Path

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.fitted_temperature import FittedTemperature, write_temperature
from nephroscale.slides.facts import ImageFacts, Scale, write_facts
from nephroscale.stages.predict import PredictionSettings, cases, check_new_images, members
from support.fake_job import FakeJob, accepted, rejected


def test_each_member_has_the_temperature_of_its_own_fold(tmp_path):
    runs = ["all/fold0-seed1", "all/fold0-seed2", "all/fold1-seed1"]
    temperatures = []
    for fold, value in {"all/fold0": 1.5, "all/fold1": 2.5}.items():
        folder = tmp_path / fold
        write_temperature(folder, FittedTemperature(value, patients=2, nll_before=1.0, nll_after=0.9))
        temperatures.append(accepted("temperature", fold, folder))
    job = FakeJob("all/new", weights=[accepted("train", run) for run in runs], temperatures=temperatures[::-1])
    assert [(m.fold, m.seed, m.weights, m.temperature) for m in members(job)] == [
        ("0", 1, Path("train/all/fold0-seed1"), 1.5),
        ("0", 2, Path("train/all/fold0-seed2"), 1.5),
        ("1", 1, Path("train/all/fold1-seed1"), 2.5),
    ]


@pytest.fixture
def job(tmp_path):
    """Two patients: one lacks IM, and the fluorescence image of the other has no known exposure."""
    row = {"patient": "N1", "biopsy": "B1", "label": None, "second": None, "images": {"N1-x": "IM"}}
    patients = {"N1": row, "N2": {**row, "patient": "N2", "label": "MN", "images": {}}}
    write_facts(tmp_path / "facts.json", {"N1-x": ImageFacts(width=512, scale=Scale(0.5, "um", "table"))})
    settings = PredictionSettings("new", ("IgAN", "MN"), ("TEM", "IM"), ("all/fold0-seed1",))
    return FakeJob(
        "all/new",
        settings=settings,
        rows={"patients": patients, "study": {}, "negatives": None},
        facts=[accepted("register", "N1", tmp_path / "facts.json"), rejected("register", "N2", "unreadable")],
        features=[
            *(accepted("features", unit) for unit in ("N1-TEM", "N1-IM", "N2-TEM")),
            rejected("features", "N2-IM", "no usable IM image"),
        ],
        tiles=[accepted("tiles", "N1-x", calibration="pattern-only")],
    )


def test_a_case_lists_what_the_patient_lacks(job):
    found = cases(job)
    assert list(found) == ["N1", "N2"]
    assert found["N1"].missing == {}
    assert found["N2"].missing == {"IM": "no usable IM image"}
    assert found["N2"].warnings == ["IM is missing: no usable IM image"]
    assert (found["N1"].label, found["N2"].label, found["N1"].biopsy) == (None, "MN", "B1")


def test_an_image_without_calibration_is_a_warning(job):
    (warning,) = cases(job)["N1"].warnings
    assert warning.startswith("N1-x is pattern-only")


def test_a_new_patient_with_an_image_of_the_study_stops_the_prediction_and_pairs_of_the_study_do_not(tmp_path):
    fact = {"status": "accepted", "digest": "d", "perceptual_hash": "5" * 64, "width": 9, "height": 9}
    (tmp_path / "facts.json").write_text(json.dumps(dict.fromkeys(("A", "B", "C"), fact)))
    rows = {
        name: {"patient": name, "person": name, "use": use} for name, use in (("A", "external"), ("B", "diagnosis"))
    }
    facts = [accepted("register", "A", tmp_path / "facts.json")]
    check_new_images(FakeJob("all/new", rows={"images": rows}, facts=facts))
    rows["C"] = {"patient": "C", "person": "C", "use": "new"}
    with pytest.raises(NephroscaleError, match=r"A of A \(external\) and C of C \(new\)"):
        check_new_images(FakeJob("all/new", rows={"images": rows}, facts=facts))
