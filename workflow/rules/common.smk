"""The plan, the pre-pass, and the functions that rules share."""

import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir).parent / "scripts"
if (SCRIPTS / "nephroscale").is_dir():  # a checkout, whatever else is installed
    sys.path.insert(0, str(SCRIPTS))

from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import settle
from nephroscale.engine.snakemake.forced import read_forced
from nephroscale.engine.snakemake.inputs import StageOfRule
from nephroscale.engine.snakemake.job_groups import (
    export_attempt,
    export_package,
    export_run,
    has_notes,
)
from nephroscale.engine.snakemake.screen import show
from nephroscale.engine.snakemake.stale_lock import (
    clear_dead_run,
    note_run,
    snakemake_is_locked,
)
from nephroscale.engine.snakemake.status import summary
from nephroscale.errors import NephroscaleError
from nephroscale.provenance.why import changes
from nephroscale.stages.registry import stage_table


def make_plan():
    """Read configuration and tables; in the main process, settle what is already known."""
    try:
        stages = stage_table()
        if not workflow.is_main_process:
            return Plan(config, stages)
        plan = Plan(config, stages, check_files=True)
        plan.forced = read_forced(sys.argv, stages, plan.results)
        plan.forced.export()
        clear_dead_run()
        if not snakemake_is_locked():  # else another run works in this folder
            settle(plan)
    except NephroscaleError as fault:
        sys.exit(f"nephroscale: {fault}")
    return plan


def begin_run():
    """Let jobs know which rules run in groups; a hook, since settings come after the Snakefile is read."""
    groups = {} if workflow.local_exec else workflow.group_settings.overwrite_groups
    export_run(groups, workflow.execution_settings.retries)
    note_run(local=workflow.local_exec)


export_package(SCRIPTS)
plan = make_plan()
if workflow.is_main_process:
    show(plan, changes)
export_attempt(sys.argv, plan.config.compute.device)


pathvars:
    results=str(plan.results),


def stage_of_rule(stage):
    """The named inputs and the settings of a stage, for its rule."""
    return StageOfRule(plan, stage, check=workflow.is_main_process)


def no_input(wildcards):
    """The input of rules that read raw files alone."""
    return []


def list_receipts_of(stage):
    """Make the input function of a target: the receipts of a stage and of all that it depends on."""

    def list_receipts(wildcards):
        return plan.receipt_paths(stage)

    return list_receipts


def list_predictions(wildcards):
    """The receipts of everything that has to be predicted; an error where there is no patient to predict."""
    if not plan.units("predict"):
        raise NephroscaleError(
            "There is no patient to predict.",
            where="configuration, predict.patients and predict.images",
            fix="Name tables of new patients there, or give patients of the study the use `external`.",
        )
    return plan.receipt_paths("predict", new=True)


def page_of_object(wildcards):
    """The page inside the object of the report or the audit."""
    return str(plan.results / wildcards.page / plan.stages[wildcards.page].page)


def scale_with_attempt(amount):
    """Make a resource function: the amount, times the number of the attempt."""

    def scale(wildcards, attempt):
        return amount * attempt

    return scale


def count_gpus(wildcards):
    """One GPU where the configuration asks for it."""
    return 1 if plan.config.compute.device == "cuda" else 0


def print_summary():
    """Print the last screen: what was rejected and why, the headline figures, where the report is."""
    if workflow.is_main_process:
        print(summary(Plan(config, stage_table())), file=sys.stderr)


wildcard_constraints:
    patient="[A-Za-z0-9][A-Za-z0-9_-]*",
    image="[A-Za-z0-9][A-Za-z0-9_-]*",
    modality="TEM|OM|IM",
    model="[a-z0-9][a-z0-9-]*",
    fold="[0-9]+",
    seed="[0-9]+",
    set="new|external",
    page="report|audit",
