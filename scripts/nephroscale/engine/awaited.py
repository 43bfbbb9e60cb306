"""The receipts that Snakemake waits for: those of a target, and those of one input of a rule."""

from __future__ import annotations

from collections.abc import Iterable

from nephroscale.collect import reachable
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError


def receipts_of_stages(plan: Plan, *stages: str, new: bool = False) -> list[str]:
    """The receipts of every unit of some stages and of all stages that they depend on.

    Those of new patients are included only with ``new``. If very many artifacts are there, only the missing ones that
    no other missing one waits for are given (or the last receipt, if none is missing).
    """
    units = plan.units if new else plan.study_units
    wanted = check_task(plan, stages[0], stages)
    keys = [(name, unit) for name in plan.stages if name in wanted for unit in units(name)]
    if plan.leaves_out_settled:
        keys = plan.loose_ends_of(key for key in keys if not plan.is_settled(key)) or keys[-1:]
    return [plan.receipt_name(*key) for key in keys]


def receipts_of_input(plan: Plan, stage: str, unit: str, name: str) -> list[str]:
    """The receipts that one named input of a unit waits for; if very many are there, only the missing ones.

    A known unit does not wait for a lost artifact to be made again. So a unit that is to be made cannot wait for that
    artifact through a known one, and names it.
    """
    keys = [each[:2] for each in plan.stages[stage].waits_for(plan, unit, name)]
    if plan.is_settled((stage, unit)):
        keys = [key for key in keys if key not in plan.lost]
    elif plan.bypassed:
        reads = plan.stages[stage].inputs[name].needs(plan.stages[stage], plan, unit)
        keys += [each[:2] for each in reads if each[:2] in plan.bypassed]
    if plan.leaves_out_settled:
        keys = [key for key in keys if not plan.is_settled(key)]
    return [plan.receipt_name(*key) for key in dict.fromkeys(keys)]


def check_task(plan: Plan, target: str, stages: Iterable[str]) -> set[str]:
    """Give some stages and all that they depend on, and check that there is a task if these need labels.

    Raises
    ------
    NephroscaleError
        When there is none; `target` is what was asked for.
    """
    wanted = reachable(stages, lambda name: plan.stages[name].after_in(plan))
    if "folds" in wanted and not plan.config.task.classes:
        raise NephroscaleError(
            f"The target {target} needs the labels of the patients, and the configuration has no task.",
            where="configuration, task",
            fix="Write `task: {label: <column of patients.csv>, classes: {<text in that column>: <class>, ...}}`; "
            "the targets up to `features` work without it.",
        )
    return wanted
