"""Artifacts whose objects are lost or damaged: which units are planned, and what these wait for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nephroscale.engine import plan as module
from nephroscale.engine.awaited import receipts_of_input, receipts_of_stages
from nephroscale.engine.prepass import find_out, healed_otherwise, outdated, settle
from nephroscale.store.folder import remove_tree

pytestmark = pytest.mark.slow

AUDIT = ("audit", "cohort")
PATIENT = "P000003"
TILES, FOUND, BAG = ("tiles", f"{PATIENT}-OM0"), ("glomeruli", f"{PATIENT}-OM0"), ("features", f"{PATIENT}-OM")
WEIGHTS, SCORES = ("train", "cmusnet/fold0-seed1"), ("evaluate", "cmusnet/fold1-seed1")


def lose(settled, *lost):
    """Delete objects, and plan."""
    plan = settled.plan()
    for key in lost:
        remove_tree(plan.object_path(*key))
    plan = settled.plan()
    find_out(plan)
    return plan


def keys(plan):
    return [(stage, unit) for stage in plan.stages for unit in plan.study_units(stage)]


def to_make(plan):
    return {key for key in keys(plan) if plan.receipt(*key) is None}


def awaited(plan, key):
    """The units that a unit's rule names."""
    places = {plan.receipt_name(*other): other for other in keys(plan)}
    return {
        places[path] for name in plan.stages[key[0]].inputs for path in receipts_of_input(plan, key[0], key[1], name)
    }


def check_order(plan):
    """Every unit that is to be made waits for all that it reads and that is to be made; known units wait for none."""
    left, before = to_make(plan), {}
    for key in keys(plan):
        before[key] = awaited(plan, key) | {far for near in awaited(plan, key) for far in before[near]}
        reads = {need[:2] for need in plan.stages[key[0]].needs(plan, key[1])}
        assert (reads & left <= before[key]) if key in left else not awaited(plan, key) & left, key


@pytest.mark.parametrize("lost", [TILES, FOUND, BAG, WEIGHTS, SCORES, ("tem", PATIENT), ("report", "cohort")])
def test_only_a_lost_artifact_and_the_audit_are_made(settled, lost):
    plan = lose(settled, lost)
    assert to_make(plan) == {lost, AUDIT}
    assert lost in awaited(plan, AUDIT)
    check_order(plan)


def test_several_lost_artifacts_are_made_in_order(settled):
    lost = {TILES, BAG, WEIGHTS, SCORES}
    plan = lose(settled, *lost)
    assert to_make(plan) == {*lost, AUDIT}
    assert not awaited(plan, FOUND) & lost
    trains_on = BAG in {need[:2] for need in plan.stages["train"].needs(plan, WEIGHTS[1])}
    assert trains_on == (BAG in awaited(plan, WEIGHTS))  # not through the folds, which are known
    assert WEIGHTS not in awaited(plan, SCORES)
    check_order(plan)


def test_what_a_changed_setting_makes_anew_waits_for_a_lost_artifact(settled):
    path = settled.folder / "config.yaml"
    path.write_text(path.read_text().replace("epochs: 60", "epochs: 61", 1))
    plan = lose(settled, BAG)
    left = to_make(plan)
    assert {key for key in left if key[0] == "train"} == {key for key in keys(plan) if key[0] == "train"}
    assert {BAG} == {key for key in left if key[0] not in {"train", "temperature", "evaluate", "report", "audit"}}
    assert BAG in {key for unit in plan.units("train") for key in awaited(plan, ("train", unit))}
    check_order(plan)


def test_units_whose_recipes_read_a_lost_object_are_planned(settled):
    plan = lose(settled, ("register", PATIENT))
    left = to_make(plan)
    assert {TILES, ("register", PATIENT)} <= left
    assert ("tiles", "P000005-OM0") not in left
    check_order(plan)


def test_trainings_are_planned_if_the_folds_are_lost(settled):
    plan = lose(settled, ("folds", "cohort"))
    assert WEIGHTS in to_make(plan)
    assert BAG not in to_make(plan)
    check_order(plan)


def test_where_all_objects_are_lost_rules_name_no_more_than_usual(settled):
    plan = settled.plan()
    edges = sum(len(awaited(plan, key)) for key in keys(plan))
    for path in (settled.folder / "store/objects").glob("*/*"):
        remove_tree(path)
    plan = settled.plan()
    find_out(plan)
    assert to_make(plan) == set(keys(plan))
    assert not plan.bypassed
    assert sum(len(awaited(plan, key)) for key in keys(plan)) == edges


def test_in_a_large_plan_lost_artifacts_are_planned(settled, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_PLAN", 0)
    plan = lose(settled, TILES, BAG)
    named = set(receipts_of_stages(plan, "audit"))
    assert {plan.receipt_name(*AUDIT)} <= named <= {plan.receipt_name(*key) for key in (TILES, BAG, AUDIT)}
    check_order(plan)


def test_a_job_takes_nothing_for_made_whose_object_is_lost(settled):
    plan = lose(settled, BAG)
    stage = plan.stages["folds"]
    assert plan.examine(stage, "cohort") is None
    assert plan.examine(stage, "cohort", lost=True) is not None


def test_a_forced_unit_is_not_taken_for_lost(settled, monkeypatch):
    monkeypatch.setenv("NEPHROSCALE_FORCED", "/".join(BAG))
    plan = settled.plan()
    find_out(plan)
    assert not plan.lost
    assert {BAG, ("folds", "cohort"), WEIGHTS} <= to_make(plan)


@pytest.mark.parametrize("same", [True, False])
def test_later_artifacts_become_outdated_if_a_lost_one_comes_out_otherwise(settled, same):
    plan = lose(settled, BAG)
    settle(plan)
    recipe = plan.recipe(*BAG)
    before = plan.lost[BAG]
    with plan.store.scratch() as scratch:
        (scratch / "out").write_text("" if same else "another result")
        published = plan.store.publish(scratch / "out")
    receipt = before if same else replace(before, **published._asdict())
    if not same:
        assert plan.records.add(recipe, receipt, {"started": "2026-01-01T00:00:00Z"}) == receipt
    plan.receipt_path(*BAG).write_text(receipt.text())
    ended = settled.plan()
    assert healed_otherwise(plan, ended) == ([] if same else [BAG])
    if not same:
        settle(ended)
        assert ended.receipt(*BAG) == receipt
        trained = {("train", unit) for unit in ended.units("train") if unit.startswith("cmusnet/")}
        later = {key for key in trained if BAG in {need[:2] for need in ended.stages["train"].needs(ended, key[1])}}
        assert later
        assert {key for key in trained if outdated(ended, *key) and not ended.receipt_path(*key).exists()} == later
