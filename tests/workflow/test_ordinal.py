"""The shipped staging study, planned and not run: what it asks for, and which head its jobs are told to report."""

import inspect
import runpy
from types import SimpleNamespace

import pytest
import yaml

from nephroscale.cohort import eligible
from nephroscale.engine import job as jobs
from nephroscale.engine.plan import Plan
from nephroscale.evaluation import evaluate, predict, prediction_cohort, temperature


@pytest.fixture
def staging(root, tmp_path, monkeypatch):
    """The plan of `config/mn_stage.yaml`, with parts of its task changed; its results and store are nowhere yet."""
    monkeypatch.chdir(root)
    given = yaml.safe_load((root / "config/mn_stage.yaml").read_text())
    given |= {"results": str(tmp_path / "results"), "store": {"path": str(tmp_path / "store")}}
    return lambda **task: Plan({**given, "task": {**given["task"], **task}})


def test_the_staging_study_has_three_stages_without_iv_and_halves_between_two(staging):
    plan = staging()
    assert plan.cohort.classes == ("I", "II", "III")
    people = [patient for patient in plan.cohort.patients.values() if patient.use in {"diagnosis", "external"}]
    left_out = {patient.id: patient.reason for patient in people if patient.id not in plan.patients}
    assert left_out == dict.fromkeys(("P05", "P26"), "the label 'IV' is excluded (task.classes)")
    taught = {(p.label_text, p.label, p.second) for p in people if p.id in plan.patients}
    assert taught == {("I", "I", None), ("I-II", "I", "II"), ("II", "II", None), ("III", "III", None)}


def test_the_staging_study_trains_its_four_models_on_every_fold(staging):
    plan = staging()
    assert {name: (m["family"], m["ordinal"], set(m["modalities"])) for name, m in plan.config["models"].items()} == {
        "cmusnet": ("cmusnet", True, {"TEM", "OM", "IM"}),
        "no-ordinal-head": ("cmusnet", False, {"TEM", "OM", "IM"}),
        "om-only": ("cmusnet", True, {"OM"}),
        "tem-only": ("cmusnet", True, {"TEM"}),
    }
    runs = {f"{name}/fold{fold}-seed1" for name in plan.config["models"] for fold in range(5)}
    for stage in ("train", "temperature", "evaluate"):
        assert set(plan.study_units(stage)) == runs


@pytest.mark.parametrize("prediction", ["softmax", "ordinal", "mean"])
def test_the_head_that_the_task_reports_is_in_every_recipe_that_predicts(staging, prediction):
    plan = staging(prediction=prediction)
    for stage, unit in (("temperature", "cmusnet/fold0-seed1"), ("evaluate", "cmusnet/fold0-seed1")):
        assert plan.stages[stage].settings(plan, unit)["prediction"] == prediction
    assert plan.stages["predict"].settings(plan, "cmusnet/external")["prediction"] == prediction


@pytest.mark.parametrize(
    ("script", "module", "function"),
    [
        ("evaluate_model", evaluate, "predict"),
        ("fit_temperature", temperature, "calibrate"),
        ("predict_patients", predict, "predict_ensemble"),
    ],
)
def test_a_job_reports_the_head_of_its_recipe(root, monkeypatch, script, module, function):
    monkeypatch.setattr(jobs, "run_stage", lambda make, job: make(job))
    monkeypatch.setattr(eligible, "read_folds", lambda folder: {})
    monkeypatch.setattr(prediction_cohort, "list_cases", lambda *given: {})
    told, takes = [], inspect.signature(getattr(module, function))
    monkeypatch.setattr(module, function, lambda *given: told.append(takes.bind(*given).arguments["prediction"]))
    for settings in ({}, {"prediction": "ordinal"}, {"prediction": "mean"}):
        job = SimpleNamespace(
            unit="cmusnet/fold0-seed1",
            settings={"fold": 0, "members": [], "modalities": [], "classes": [], **settings},
            rows={"negatives": None},
            receipts=list,
            input=lambda *names: None,
            out=None,
            device="cpu",
        )
        runpy.run_path(str(root / f"scripts/{script}.py"), {"snakemake": job})
    assert told == ["softmax", "ordinal", "mean"]
