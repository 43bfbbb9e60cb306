"""The plan of the shipped staging study: its classes, its models, and the head that its jobs report."""

import inspect
import sys
from dataclasses import replace
from unittest.mock import MagicMock

import pytest
import yaml

from nephroscale.engine.plan import Plan
from nephroscale.evaluation import evaluate, predict
from nephroscale.stages.registry import stage_table


@pytest.fixture
def staging(root, tmp_path, monkeypatch):
    """The plan of `config/mn_stage.yaml`, with parts of its task changed; its results and store are nowhere yet."""
    monkeypatch.chdir(root)
    given = yaml.safe_load((root / "config/mn_stage.yaml").read_text())
    given |= {"results": str(tmp_path / "results"), "store": {"path": str(tmp_path / "store")}}
    return lambda **task: Plan({**given, "task": {**given["task"], **task}}, stage_table())


def test_the_staging_study_has_three_classes_and_soft_labels(staging):
    plan = staging()
    assert plan.cohort.classes == ("I", "II", "III")
    people = [patient for patient in plan.cohort.patients.values() if patient.use in {"diagnosis", "external"}]
    left_out = {patient.id: patient.reason for patient in people if patient.id not in plan.patients}
    assert left_out == dict.fromkeys(("P05", "P26"), "the label 'IV' is excluded (task.classes)")
    labels = {(p.label_text, p.label, p.second) for p in people if p.id in plan.patients}
    assert labels == {("I", "I", None), ("I-II", "I", "II"), ("II", "II", None), ("III", "III", None)}


def test_the_staging_study_trains_its_four_models_on_every_fold(staging):
    plan = staging()
    assert {name: (m.family, m.options["ordinal"], set(m.modalities)) for name, m in plan.config.models.items()} == {
        "cmusnet": ("cmusnet", True, {"TEM", "OM", "IM"}),
        "no-ordinal-head": ("cmusnet", False, {"TEM", "OM", "IM"}),
        "om-only": ("cmusnet", True, {"OM"}),
        "tem-only": ("cmusnet", True, {"TEM"}),
    }
    runs = {f"{name}/fold{fold}-seed1" for name in plan.config.models for fold in range(5)}
    for stage in ("train", "evaluate"):
        assert set(plan.study_units(stage)) == runs
    assert set(plan.study_units("temperature")) == {run.removesuffix("-seed1") for run in runs}


@pytest.mark.parametrize("prediction", ["softmax", "ordinal", "mean"])
def test_the_head_that_the_task_reports_is_in_every_recipe_that_predicts(staging, prediction):
    plan = staging(prediction=prediction)
    for stage, unit in (("temperature", "cmusnet/fold0"), ("evaluate", "cmusnet/fold0-seed1")):
        assert plan.stages[stage].settings(plan, unit).prediction == prediction
    assert plan.stages["predict"].settings(plan, "cmusnet/external").prediction == prediction


@pytest.mark.parametrize(
    ("name", "unit", "function"),
    [
        ("evaluate", "cmusnet/fold0-seed1", evaluate.evaluate_model),
        ("predict", "cmusnet/external", predict.predict_patients),
    ],
)
def test_a_job_reports_the_head_of_its_recipe(staging, monkeypatch, name, unit, function):
    plan = staging()
    stage = plan.stages[name]
    stage_module = sys.modules[type(stage).__module__]
    for part in ("fold_data", "members", "cases"):
        if hasattr(stage_module, part):
            monkeypatch.setattr(stage_module, part, lambda *_: MagicMock())
    reported, takes = [], inspect.signature(function)

    def capture(*given):
        reported.append(takes.bind(*given).arguments["prediction"])
        return {}

    monkeypatch.setattr(sys.modules[function.__module__], function.__name__, capture)
    for head in ("softmax", "ordinal", "mean"):
        settings = replace(stage.settings(plan, unit), prediction=head)
        job = MagicMock(unit=unit, rows={"negatives": None, "images": {}}, settings=settings)
        job.optional_input.return_value = None  # no priors from deposits
        stage.make(job)
    assert reported == ["softmax", "ordinal", "mean"]
