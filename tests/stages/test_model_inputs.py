"""Inputs of training and evaluation, for a small cohort written by the test."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from nephroscale.models.settings import ModelSettings
from nephroscale.stages import model_inputs
from nephroscale.stages.evaluate import Evaluate
from support.fake_job import accepted, rejected


def make_plan(*, missing="exclude", ordinal=False, options=None, folds=None, negatives=()):
    model = ModelSettings(modalities=("OM", "TEM", "IM"), options=options or {})
    task = SimpleNamespace(missing_modalities=missing, ordinal=ordinal, prediction="ordinal")
    models = {"all": model, "tem": ModelSettings(modalities=("TEM",))}
    found = {
        patient: [SimpleNamespace(marker=marker) for owner, marker in negatives if owner == patient]
        for patient in ("P1", "P2")
    }
    return SimpleNamespace(
        config=SimpleNamespace(
            models=models, task=task, im=SimpleNamespace(panel=("IgG", "IgA", "C3")), folds=SimpleNamespace(n_folds=2)
        ),
        modalities=["TEM", "OM", "IM"],
        cohort=SimpleNamespace(negatives_of=found.__getitem__),
        read_object=lambda stage, unit, parse, file: None if folds is None else parse(folds),
    )


def test_features_come_patient_by_patient_in_the_fixed_order_of_modalities():
    needs = model_inputs.features_of(make_plan(), "all", ["P2", "P1"])
    assert [need.unit for need in needs] == ["P2-TEM", "P2-OM", "P2-IM", "P1-TEM", "P1-OM", "P1-IM"]
    assert not any(need.optional for need in needs)
    assert [need.unit for need in model_inputs.features_of(make_plan(), "tem", ["P1"])] == ["P1-TEM"]


def test_features_may_be_absent_only_where_missing_modalities_are_masked():
    assert all(need.optional for need in model_inputs.features_of(make_plan(missing="mask"), "all", ["P1"]))


def test_rejected_features_are_left_out():
    inputs = [accepted("features", "P-1-TEM"), accepted("features", "P-1-OM"), rejected("features", "P2-OM", "blurred")]
    assert model_inputs.features_by_patient(inputs) == {
        "P-1": {"TEM": Path("features/P-1-TEM"), "OM": Path("features/P-1-OM")}
    }


def test_negative_markers_have_the_slots_of_the_panel():
    plan = make_plan(negatives=[("P2", "C3"), ("P2", "IgG"), ("P2", "C3"), ("P1", "C1q")])
    assert model_inputs.negative_slots(plan, "all", ["P2", "P1"]) == {"P2": [0, 2]}
    assert model_inputs.negative_slots(plan, "all", ["P1"]) is None
    assert model_inputs.negative_slots(plan, "tem", ["P2"]) is None


def test_while_the_folds_are_not_made_a_run_has_no_patients():
    assert model_inputs.fold_patients(make_plan(), "all/fold0-seed1", "train", "validation") == []


@pytest.mark.parametrize(("ordinal", "head"), [(True, "ordinal"), (False, "softmax")])
def test_the_head_of_an_ordinal_task_is_the_configured_one(ordinal, head):
    assert model_inputs.reported_head(make_plan(ordinal=ordinal)) == head
    assert Evaluate().settings(make_plan(ordinal=ordinal), "all/fold1-seed3").to_mapping() == {
        "fold": 1,
        "seed": 3,
        "prediction": head,
    }


def test_the_place_of_weights_is_no_part_of_a_network_s_settings():
    options = {"encoder": {"name": "timm", "weights": "/somewhere", "digest": "ab"}, "ordinal": True}
    settings = model_inputs.network_settings(make_plan(options=options), "all")
    assert settings.options == {"encoder": {"name": "timm", "digest": "ab"}, "ordinal": False}
    assert options["encoder"]["weights"] == "/somewhere"
    assert model_inputs.network_settings(make_plan(options=options, ordinal=True), "all").options["ordinal"] is True
