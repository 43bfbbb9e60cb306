"""Patients outside the folds, and staging, through Snakemake."""

import csv
import json

import pytest

pytestmark = pytest.mark.workflow

STAGES = {"P01": "I", "P02": "I", "P03": "II", "P04": "II", "P05": "I-II", "P06": "II"}
DIAGNOSES = "classes: {IgAN: IgAN, MN: MN, LN: LN}"
TASK = "{label: stage, ordinal: true, mixed: soft, prediction: mean, classes: {I: I, II: II, I-II: [I, II]}}"


def rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def stages(run):
    return {unit.partition("/")[0] for unit in run.computed}


def test_new_patients_are_predicted_and_nothing_else_changes(made, predicted, new_patients, tmp_path):
    run, project = predicted.run, predicted.project.copy_to(tmp_path / "project")
    before = made.receipts()
    assert run.code == 0, run.output
    assert stages(run) == {"register", "tiles", "glomeruli", "tem", "features", "predict", "new_cases"}
    of_batch = ("predict/", "new_cases/")
    assert all(name.partition("/")[2].startswith("N0") for name in run.computed if not name.startswith(of_batch))
    after = project.receipts()
    assert {name: after.get(name) for name in before} == before
    (folder,) = project.path.glob("results/tiny/predict/cmusnet/20??-??-??")
    assert f"cmusnet: results/tiny/predict/cmusnet/{folder.name}/predictions.csv" in run.output
    found = {row["patient_id"]: row for row in rows(folder / "predictions.csv")}
    assert set(found) == {"N01", "N02", "N03"}
    assert found["N01"]["predicted"] in {"IgAN", "MN", "LN"}
    assert sum(float(found["N01"][f"p_{name}"]) for name in ("IgAN", "MN", "LN")) == pytest.approx(1, abs=1e-6)
    assert found["N01"]["label"] == ""
    assert "pattern-only" in found["N02"]["warnings"]
    assert found["N03"]["predicted"] == ""
    assert "the model requires TEM" in found["N03"]["warnings"]
    assert {row["fold"] for row in rows(folder / "members.csv")} == {"0", "1"}
    assert {row["modality"] for row in rows(folder / "instances.csv")} >= {"TEM"}
    (pages,) = project.path.glob("results/tiny/new_cases/cmusnet/20??-??-??")
    assert f"cases: results/tiny/new_cases/cmusnet/{pages.name}/index.html" in run.output
    shown = {path.stem: path.read_text() for path in (pages / "cases").iterdir()}
    assert set(shown) == set(found)
    assert shown["N01"].count('alt="TEM image N01-TEM') == 6
    assert "IgG, grade 4+" in shown["N01"]
    assert "not predicted" in shown["N03"]
    assert "No features of TEM" in shown["N03"]
    # The study itself does not wait for new patients, and its report does not change with them.
    assert project.run(config=(new_patients,)).idle
    # Neither does a later run of the study alone take the predictions away.
    assert project.run().idle
    assert len(rows(folder / "predictions.csv")) == 3


def test_predict_without_patients_is_an_error(project):
    run = project.run("predict")
    assert run.code != 0
    assert "There is no patient to predict" in run.output


def test_stages_have_an_ordinal_head_and_external_patients_are_scored_once(project):
    path = project.path / "config/tiny/patients.csv"
    with path.open() as stream:
        people = list(csv.DictReader(stream))
    for row in people:
        row |= {
            "stage": STAGES.get(row["patient_id"], ""),
            "use": "external" if row["patient_id"] == "P06" else row["use"],
        }
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(people[0]))
        table.writeheader()
        table.writerows(people)
    project.edit("config/tiny.yaml", f"task:\n  {DIAGNOSES}", f"task: {TASK}")
    project.edit("config/tiny.yaml", "  tem-only: {modalities: [TEM]}\n", "")
    run = project.run("report")
    assert run.code == 0, run.output
    assert stages(run) == {"folds", "train", "temperature", "evaluate", "predict", "report"}
    metrics = json.loads((project.path / "results/tiny/report/metrics.json").read_text())
    assert metrics["cohort"]["mixed"] == {"policy": "soft", "patients": {"P05": ["I", "II"]}}
    assert metrics["models"]["cmusnet"]["between"]["patients"] == 1
    assert set(metrics["models"]["cmusnet"]["ordinal"]["heads"]) == {"softmax", "ordinal"}
    assert metrics["external"]["cmusnet"]["patients"] == 1
    folds = json.loads((project.path / "results/tiny/folds/folds.json").read_text())
    assert "P06" not in folds["labels"]
    page = (project.path / "results/tiny/report/index.html").read_text()
    for word in ("Quadratic-weighted kappa", "External patients", "Calibration", "I or II (soft)"):
        assert word in page
    scored = project.runs()
    assert project.run("report").idle
    assert project.runs() == scored
