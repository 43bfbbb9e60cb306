"""All checks together, as one error and one list of warnings."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from nephroscale.engine.awaited import check_task
from nephroscale.engine.plan import Plan
from nephroscale.engine.snakemake.call import Call
from nephroscale.errors import NephroscaleError, join_faults, list_faults
from nephroscale.slides.duplicates import find_copies
from nephroscale.stages.checks import configuration
from nephroscale.stages.checks.machine import check_machine
from nephroscale.text import count_of


class Findings(NamedTuple):
    """What stops a run, and what one should know before it."""

    faults: list[NephroscaleError]
    warnings: list[NephroscaleError]


def check_before_pre_pass(plan: Plan, call: Call) -> None:
    """Report all findings if the configuration or the tables have a fault.

    The pre-pass would end at the first such fault.

    Raises
    ------
    NephroscaleError
        With all faults.
    """
    for target in call.targets:  # a file of a stage; targets by name are checked where their receipts are listed
        path = Path(target)
        if path.is_relative_to(plan.results) and path != plan.results:
            stage = path.relative_to(plan.results).parts[0].removesuffix(".json")
            check_task(plan, target, [stage] if stage in plan.stages else [])
    if _check_configuration(plan, call, unusable=(), to_do=()).faults:
        _report(find_all(plan, call))


def check_before_jobs(plan: Plan, call: Call) -> None:
    """Report all findings if there are jobs to run.

    Raises
    ------
    NephroscaleError
        With all faults.
    """
    if _stages_to_do(plan, call):
        _report(find_all(plan, call))


def _report(findings: Findings) -> None:
    """Print the warnings, and raise the faults."""
    faults, warnings = findings
    if warnings:
        count = count_of(len(warnings), "warning")
        print(f"nephroscale: {count} before the first job:\n{list_faults(warnings)}", file=sys.stderr)
    if faults:
        raise join_faults(faults)


def find_all(plan: Plan, call: Call, *, with_known: bool = False) -> Findings:
    """Run every check.

    Parameters
    ----------
    plan
        Of the study.
    call
        Of Snakemake. What only stages that it does not need would meet is a warning, and so is what keeps this machine
        from running jobs, where it starts none.
    with_known
        Whether to list what earlier jobs have found: images that are rejected, and images of two patients that are the
        same. The jobs of a run leave these out, or stop at the folds.
    """
    from nephroscale.engine.image_findings import find_duplicates
    from nephroscale.stages.checks.images import find_rejections, list_rejections  # slow to import

    to_do = _stages_to_do(plan, call)
    rejections = find_rejections(plan)
    unusable = {each.image.id for each in rejections if not each.known}
    faults, warnings = _check_configuration(plan, call, unusable, to_do)
    (faults if call.starts_jobs else warnings).extend(check_machine(plan, call, to_do))
    warnings += [
        *configuration.find_unnamed(plan),
        *configuration.find_few_outlines(plan),
        *configuration.find_incomplete(plan, unusable),
        *configuration.find_absent_columns(plan),
        *list_rejections([each for each in rejections if with_known or not each.known]),
    ]
    if with_known:
        faults += find_copies(find_duplicates(plan))
    return Findings(faults, warnings)


def _check_configuration(plan: Plan, call: Call, unusable: Collection[str], to_do: Collection[str]) -> Findings:
    """Check the configuration; `to_do` names the stages that may load weights."""
    found = {
        "tiles": configuration.check_stain_files(plan),
        "features": [
            *configuration.check_modalities(plan, unusable),
            *configuration.check_weights(plan, "features", load="features" in to_do),
        ],
        "folds": configuration.check_folds(plan, unusable),
        "train": [
            *configuration.check_model_inputs(plan),
            *configuration.check_prior(plan),
            *configuration.check_weights(plan, "train", load="train" in to_do),
        ],
        "deposit_models": configuration.check_weights(plan, "deposit_models", load="deposit_models" in to_do),
    }
    wanted = call.stages(plan.stages)
    findings = Findings([], [])
    for stage, faults in found.items():
        (findings.faults if stage in wanted else findings.warnings).extend(faults)
    return findings


def _stages_to_do(plan: Plan, call: Call) -> Collection[str]:
    """Give the stages with something to make; before the pre-pass any of them may have."""
    wanted = call.stages(plan.stages)
    if not plan.settled:
        return wanted
    units = plan.units if "predict" in call.targets else plan.study_units
    return [name for name in wanted if any(plan.receipt(name, unit) is None for unit in units(name))]
