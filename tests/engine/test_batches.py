"""Batches of new patients: what they are called, and that they stay."""

import pytest

from nephroscale.engine import batches
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import settle
from nephroscale.engine.snakemake.status import summary
from nephroscale.errors import NephroscaleError
from nephroscale.store import gc
from support.mock_study import make_new_patients


@pytest.fixture
def today(monkeypatch):
    """Set the date."""
    return lambda date: monkeypatch.setattr(batches, "now", lambda: f"{date}T12:00:00Z")


def write_batch(study, patient):
    """Write the tables of one new patient: the section `predict`."""
    (study.folder / f"{patient}.csv").write_text(f"patient_id\n{patient}\n")
    (study.folder / f"raw/{patient}.tif").write_text(patient)
    images = f"image_id,patient_id,modality,path,nm_per_px\n{patient}-T,{patient},TEM,{patient}.tif,8\n"
    (study.folder / f"{patient}-images.csv").write_text(images)
    return {"patients": f"{patient}.csv", "images": f"{patient}-images.csv"}


def open_batch(study, patient, **more):
    plan = study.plan()
    config = plan.config.to_mapping()
    predict = {**config["predict"], **write_batch(study, patient), **more}
    return Plan({**config, "predict": predict}, plan.stages, scripts=plan.scripts)


def predict(study, patient, **more):
    """What a run of the target `predict` does: settle, and make what is missing."""
    settle(open_batch(study, patient, **more))
    make_new_patients(open_batch(study, patient, **more))
    plan = open_batch(study, patient, **more)
    settle(plan)
    return plan


@pytest.mark.slow
def test_equal_tables_keep_their_name_and_others_of_the_same_day_get_a_number(study, today):
    today("2026-11-26")
    assert [predict(study, name).batch for name in ("N1", "N2")] == ["2026-11-26", "2026-11-26-2"]
    today("2026-11-27")
    assert [open_batch(study, name).batch for name in ("N2", "N1", "N3")] == [
        "2026-11-26-2",
        "2026-11-26",
        "2026-11-27",
    ]


@pytest.mark.slow
def test_a_name_is_remembered_by_the_pre_pass_alone(study, today):
    today("2026-11-26")
    assert open_batch(study, "N1").batch == "2026-11-26"
    assert not (study.folder / "store/batches").exists()
    today("2026-11-27")
    assert open_batch(study, "N1").batch == "2026-11-27"


@pytest.mark.slow
def test_batches_stay_side_by_side_whatever_runs_later(study, today):
    today("2026-11-26")
    for name in ("N1", "N2"):
        predict(study, name)
    settle(study.plan())  # an ordinary run, without the section `predict`
    plan = study.plan()
    free = {digest for digest, _ in gc.collect(plan.store, keep_seconds=0).objects}
    for batch in ("2026-11-26", "2026-11-26-2"):
        link = plan.link_path("predict", f"one/{batch}")
        assert link.exists()
        assert link.resolve().name not in free
    assert not plan.receipt_path("tem", "N1").exists()
    others = "results/demo/predict/one/2026-11-26, results/demo/predict/one/2026-11-26-2"
    assert f"Other batches: {others}" in summary(plan).splitlines()


@pytest.mark.slow
def test_the_last_screen_gives_the_table_of_this_batch(study):
    plan = predict(study, "N1", name="clinic-A")
    lines = summary(plan).splitlines()
    assert "Predictions of batch clinic-A by one: results/demo/predict/one/clinic-A/predictions.csv" in lines


@pytest.mark.slow
def test_a_recipe_does_not_depend_on_the_name_of_the_batch(study):
    first = predict(study, "N1", name="A").recipe_digest("predict", "one/A")
    plan = open_batch(study, "N1", name="B")
    settle(plan)
    assert plan.recipe_digest("predict", "one/B") == first
    assert plan.receipt("predict", "one/B").unit == "one/B"


@pytest.mark.slow
def test_a_chosen_name_of_other_tables_is_refused_until_that_batch_is_deleted(study):
    plan = predict(study, "N1", name="A")
    with pytest.raises(NephroscaleError, match="The name A belongs to another batch"):
        settle(open_batch(study, "N2", name="A"))
    plan.receipt_path("predict", "one/A").unlink()
    settle(open_batch(study, "N2", name="A"))
    assert list(batches.names_of_batches(plan.store).values()) == ["A"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["External", "a/b", "", "-x"])
def test_a_name_that_no_file_can_have_is_refused(study, name):
    with pytest.raises(NephroscaleError, match=r"predict\.name"):
        open_batch(study, "N1", name=name)
