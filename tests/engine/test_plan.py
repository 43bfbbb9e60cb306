"""The plan of a mock study: the order of settling, and the artifacts left out of a very large plan."""

from pathlib import Path

import pytest

from nephroscale.engine import plan as module
from nephroscale.engine.awaited import receipts_of_input, receipts_of_stages
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import settle
from nephroscale.errors import NephroscaleError
from nephroscale.stages.registry import stage_table
from nephroscale.store.folder import remove_tree
from support.small_study import small_config, write_study

pytestmark = pytest.mark.slow


@pytest.fixture
def settled(made, tmp_path, monkeypatch):
    """A plan of a copy, settled."""
    study = made.copy_to(tmp_path / "copy")
    monkeypatch.chdir(study.folder)
    plan = study.plan()
    settle(plan)
    return plan


def plan_again(plan):
    """The same plan, as the next command sees it."""
    again = module.Plan(plan.config, plan.stages, scripts=plan.scripts)
    settle(again)
    return again


def keys(plan):
    return [(stage, unit) for stage in plan.stages for unit in plan.study_units(stage)]


def receipts_before(plan, stage, unit):
    """The receipts that a unit's rule waits for, by all its named inputs."""
    awaited = [path for name in plan.stages[stage].inputs for path in receipts_of_input(plan, stage, unit, name)]
    return list(dict.fromkeys(awaited))


def reached(plan, targets):
    """The receipts that Snakemake reaches from some targets through the inputs of their rules."""
    places = {str(plan.receipt_path(*key)): key for key in keys(plan)}
    pending, found = [places[name] for name in targets], set()
    while pending:
        key = pending.pop()
        if key not in found:
            found.add(key)
            pending += [places[name] for name in receipts_before(plan, *key)]
    return found


def test_every_mock_artifact_is_a_cache_hit(settled):
    assert all(settled.receipt(*key) for key in keys(settled))


def test_inputs_are_settled_before_a_unit_with_few_edges(settled):
    for stage, unit in keys(settled):
        before = reached(settled, receipts_before(settled, stage, unit))
        needs = {(need.stage, need.unit) for need in settled.stages[stage].needs(settled, unit)}
        assert needs <= before, f"{stage} of {unit}"
    edges = sum(len(receipts_before(settled, *key)) for key in keys(settled))
    assert edges < 8 * len(keys(settled))


def test_in_a_large_plan_only_missing_artifacts_are_planned(settled, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_PLAN", 0)
    plan = plan_again(settled)
    assert receipts_of_stages(plan, "audit") == [str(plan.receipt_path("audit", "cohort"))]
    lost = [("tiles", "P000003-OM0"), ("tem", "P000004"), ("evaluate", plan.units("evaluate")[2])]
    for key in lost:
        remove_tree(plan.object_path(*key))
    plan = plan_again(plan)
    left = {key for key in keys(plan) if plan.receipt(*key) is None}
    assert left == {*lost, ("audit", "cohort")}
    assert reached(plan, receipts_of_stages(plan, "audit")) == left
    assert reached(plan, receipts_of_stages(plan, "tem")) == {("tem", "P000004")}


def test_a_job_s_own_process_leaves_nothing_out(settled, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_PLAN", 0)
    plan = module.Plan(settled.config, settled.stages, scripts=settled.scripts)
    assert reached(plan, receipts_of_stages(plan, "audit")) == set(keys(plan))


def test_incomplete_and_unplanned_receipts_are_removed(settled):
    folder = settled.results / "tem"
    (folder / ".P000001.json.123.tmp").write_text("{")
    (folder / ".P000001.zarr.123.tmp").symlink_to("nowhere")
    (folder / "stranger.json").write_text("{}")
    plan_again(settled)
    assert {path.name for path in folder.iterdir()} == {
        name for unit in settled.units("tem") for name in (f"{unit}.json", f"{unit}.zarr")
    }


def test_without_a_task_the_stages_before_the_folds_are_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "study")
    monkeypatch.chdir("study")
    patients = Path("patients.csv").read_text(encoding="utf-8").splitlines()
    rows = [",".join(line.split(",")[::2]) for line in patients]  # without labels
    Path("patients.csv").write_text("\n".join(rows), encoding="utf-8")
    config = small_config()
    with pytest.raises(NephroscaleError, match="diagnosis"):
        Plan(config, stage_table())
    del config["task"]
    plan = Plan(config, stage_table(), check_files=True)
    assert "results/features/E0-TEM.json" in receipts_of_stages(plan, "features")
    with pytest.raises(NephroscaleError, match="The target report needs the labels") as error:
        receipts_of_stages(plan, "report")
    assert "classes" in str(error.value)
