"""The plan, the pre-pass, and the functions that rules share."""

import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from nephroscale.errors import NephroscaleError
from nephroscale.memory import collect_seldom
from nephroscale.engine.snakemake.stale_lock import clear_dead_run, note_run
from nephroscale.engine.snakemake.job_groups import export_attempt, export_run, has_notes
from nephroscale.engine.plan import Plan, export_package
from nephroscale.engine.status import summary


def make_plan():
    """Read configuration and tables, and settle what is already known (in the main process alone)."""
    try:
        plan = Plan(config, check_files=workflow.is_main_process)
        if workflow.is_main_process:
            collect_seldom()
            clear_dead_run()
            plan.settle()
    except NephroscaleError as fault:
        sys.exit(f"nephroscale: {fault}")
    return plan


def begin_run():
    """Let jobs know which rules travel in groups; a hook, since settings come after the Snakefile is read."""
    groups = {} if workflow.local_exec else workflow.group_settings.overwrite_groups
    export_run(groups, workflow.execution_settings.retries)
    note_run(local=workflow.local_exec)


export_package(SCRIPTS)
plan = make_plan()
export_attempt(sys.argv, plan.config["compute"]["device"])


def receipt(stage):
    """The pattern of a stage's receipts."""
    return str(plan.receipt_path(stage, plan.stages[stage].pattern))


def log_file(stage):
    """The pattern of a stage's log files."""
    return str(plan.log_path(stage, plan.stages[stage].pattern))


def benchmark_file(stage):
    """The pattern of a stage's benchmark files."""
    return str(
        plan.results / "benchmarks" / stage / f"{plan.stages[stage].pattern}.tsv"
    )


def list_receipts_before(stage):
    """Make the input function of a stage: the receipts that a unit has to wait for."""

    def list_receipts(wildcards):
        unit = plan.stages[stage].pattern.format(**dict(wildcards.items()))
        return plan.receipts_before(stage, unit)

    return list_receipts


def list_receipts_of(stage):
    """Make the input function of a target: the receipts of a stage and of all that it depends on."""

    def list_receipts(wildcards):
        return plan.receipt_paths(stage)

    return list_receipts


def scale_with_attempt(amount):
    """Make a resource function: the amount, times the number of the attempt."""

    def scale(wildcards, attempt):
        return amount * attempt

    return scale


def count_gpus(wildcards):
    """One GPU where the configuration asks for it."""
    return 1 if plan.config["compute"]["device"] == "cuda" else 0


def print_summary():
    """Print the last screen: what was rejected and why, the headline figures, where the report lies."""
    if workflow.is_main_process:
        print(summary(Plan(config)), file=sys.stderr)


wildcard_constraints:
    patient="[A-Za-z0-9][A-Za-z0-9_-]*",
    image="[A-Za-z0-9][A-Za-z0-9_-]*",
    modality="TEM|OM|IM",
    model="[a-z0-9][a-z0-9-]*",
    fold="[0-9]+",
    seed="[0-9]+",
    set="new|external",


def list_predictions(wildcards):
    """The receipts of everything that has to be predicted; an error where nobody is."""
    if not plan.units("predict"):
        raise NephroscaleError(
            "There is nobody to predict.",
            where="configuration, predict.patients and predict.images",
            todo="Name tables of new patients there, or give patients of the study the use `external`.",
        )
    return plan.receipt_paths("predict", new=True)
