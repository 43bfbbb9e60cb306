"""The plan, the pre-pass, and the functions that rules share."""

import sys
from pathlib import Path

# Relative to this file: the main Snakefile may be that of a study's folder.
SCRIPTS = Path(str(workflow.current_basedir)).parents[1] / "scripts"
if (SCRIPTS / "nephroscale").is_dir():  # a checkout, whatever else is installed
    sys.path.insert(0, str(SCRIPTS))

from nephroscale.engine.awaited import receipts_of_stages
from nephroscale.engine.environment import set_numerical_environment
from nephroscale.engine.forced import Forced
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import healed_otherwise, settle
from nephroscale.engine.snakemake.call import Call
from nephroscale.engine.snakemake.forked_jobs import fork_group, fork_jobs
from nephroscale.engine.snakemake.forced import read_forced
from nephroscale.engine.snakemake.inputs import StageOfRule
from nephroscale.engine.snakemake.job_groups import (
    export_attempt,
    export_package,
    export_run,
    has_notes,
)
from nephroscale.engine.snakemake.pre_pass import PrePass
from nephroscale.engine.snakemake.quick_plan import (
    collect_garbage_as_usual,
    collect_garbage_rarely,
    quicken_plan,
)
from nephroscale.engine.snakemake.quick_resources import same_for_rule
from nephroscale.engine.snakemake.screen import show
from nephroscale.engine.snakemake.stale_lock import clear_dead_run, note_run
from nephroscale.engine.snakemake.status import describe_otherwise, summary
from nephroscale.errors import NephroscaleError, name_files
from nephroscale.provenance.why import changes
from nephroscale.stages.registry import stage_table


def make_plan():
    """Read configuration and tables; in the main process, find out what is already known."""
    try:
        stages = stage_table()
        if not workflow.is_main_process:
            plan = Plan(config, stages)
            return plan, PrePass(workflow, plan)
        from nephroscale.stages.checks.report import (
            check_before_jobs,
            check_before_pre_pass,
        )

        plan = Plan(config, stages, check_files=True)
        for note in plan.cohort.notes:
            print(f"nephroscale: {note}", file=sys.stderr)
        plan.forced = read_forced(sys.argv, stages, plan.results)
        plan.forced.export()
        call = Call.read(sys.argv)
        if call.starts_jobs and not workflow.output_settings.dryrun:
            clear_dead_run()
        check_before_pre_pass(plan, call)
        pre_pass = PrePass(workflow, plan)
        check_before_jobs(plan, call)
        return plan, pre_pass
    except NephroscaleError as fault:
        sys.exit(f"nephroscale: {name_files(str(fault), workflow.configfiles)}")


def begin_run():
    """Let jobs know which rules run in groups, and fork the jobs of this machine.

    This is a hook, since settings come after the Snakefile is read.
    """
    collect_garbage_as_usual()
    groups = {} if workflow.local_exec else workflow.group_settings.overwrite_groups
    export_run(groups, workflow.execution_settings.retries)
    note_run(local=workflow.local_exec)
    if workflow.local_exec and not workflow.execution_settings.debug:
        fork_jobs(plan, workflow.dag.needrun_jobs(), config, stage_table)


export_package(SCRIPTS)
if workflow.is_main_process:
    collect_garbage_rarely()
plan, pre_pass = make_plan()
if workflow.is_main_process:
    show(plan, changes)
    quicken_plan(workflow.logger_manager.plugin_handlers)
else:
    fork_group(workflow, plan, sys.argv, config, stage_table)
export_attempt(sys.argv, plan.config.compute.device)
set_numerical_environment(plan.config.compute.to_mapping())


pathvars:
    results=str(plan.results),


def stage_of_rule(stage):
    """The named inputs and the settings of a stage, for its rule."""
    return StageOfRule(plan, stage, pre_pass.settle, check=workflow.is_main_process)


def no_input(wildcards):
    """The input of rules that read raw files alone."""
    pre_pass.settle()
    return []


def list_receipts_up_to(stage):
    """Make the input function of a target: the receipts of a stage and of all that it depends on."""

    def list_receipts(wildcards):
        pre_pass.settle()
        return receipts_of_stages(plan, stage)

    return list_receipts


def list_predictions(wildcards):
    """The receipts of everything that has to be predicted; an error where there is no patient to predict."""
    pre_pass.settle()
    if not plan.units("predict"):
        raise NephroscaleError(
            "There is no patient to predict.",
            where="configuration, predict.patients and predict.images",
            fix="Name tables of new patients there, or give patients of the study the use `external`.",
        )
    more = [stage for stage in ("new_deposits", "new_cases") if plan.units(stage)]
    return receipts_of_stages(plan, "predict", *more, new=True)


def list_deposits(wildcards):
    """The receipts and pages of the target `deposits`; an error where no image has a reading."""
    pre_pass.settle()
    if not plan.units("deposits"):
        raise NephroscaleError(
            "There is nothing to learn about electron-dense deposits: no image that may train has a reading.",
            where="column deposits of the table of images, and deposits.sites",
            fix="Fill the column for TEM images (0, 1 or sites) of patients whose use is diagnosis or segmentation, and name "
            "a site in the configuration.",
        )
    pages = [str(plan.results / name) for name, _ in plan.stages["deposits"].pages]
    return [*receipts_of_stages(plan, "deposits"), *pages]


def receipt_of_deposits(wildcards):
    """The receipt of the page on deposits."""
    pre_pass.settle()
    return plan.receipt_name("deposits", "cohort")


def folder_of_deposits(wildcards):
    """The object that has the pages on deposits."""
    return str(plan.results / "deposits")


def receipt_of_page(wildcards):
    """The receipt of the report or the audit."""
    pre_pass.settle()
    return plan.receipt_name(wildcards.page, "cohort")


def receipt_of_report(wildcards):
    """The receipt of the report."""
    pre_pass.settle()
    return plan.receipt_name("report", "cohort")


def page_of_object(wildcards):
    """The page inside the object of the report or the audit."""
    return str(plan.results / wildcards.page / "index.html")


def scale_with_attempt(amount):
    """Make a resource function: the amount, times the number of the attempt."""

    @same_for_rule
    def scale(wildcards, attempt):
        return amount * attempt

    return scale


@same_for_rule
def count_gpus(wildcards):
    """One GPU where the configuration asks for it."""
    return 1 if plan.config.compute.device == "cuda" else 0


def end_run():
    """Print the final summary: what was rejected and why, the headline figures, where the report is.

    Returns whether something is left to do that Snakemake does not know of: a job of a group failed
    (engine/snakemake/job_groups.py), or a lost artifact came out otherwise when it was made again.
    """
    if not workflow.is_main_process:
        return False
    ended = Plan(config, stage_table())
    otherwise = healed_otherwise(plan, ended)
    if plan.forced.names or otherwise:
        # What depends on artifacts that came out the same is known again, and on others no longer.
        ended.forced = Forced()
        settle(ended)
    print(summary(ended) + describe_otherwise(otherwise), file=sys.stderr)
    return has_notes(ended) or bool(otherwise)


wildcard_constraints:
    patient="[A-Za-z0-9][A-Za-z0-9_-]*",
    image="[A-Za-z0-9][A-Za-z0-9_-]*",
    modality="TEM|OM|IM",
    model="[a-z0-9][a-z0-9-]*",
    fold="[0-9]+",
    seed="[0-9]+",
    batch="[A-Za-z0-9][A-Za-z0-9_-]*",
    site="any|mesangial|subepithelial|intramembranous|subendothelial",
    variant="[a-z][a-z-]*",
    page="report|audit",
