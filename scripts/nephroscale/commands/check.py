"""The command `check`: everything that is known to be wrong with a study, before any job."""

from __future__ import annotations

import argparse
from collections import Counter

from nephroscale.commands.run import Commands, config_files, open_plan
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError, list_faults, name_files


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check",
        help="check tables, configuration, headers of files and the machine, as every run does before its first job",
        run=check,
    )
    parser.add_argument("--profile", metavar="NAME", help="profile of Snakemake that the study will run with")


def check(options: argparse.Namespace) -> int:
    """Print all faults and warnings; exit with 1 if there is a fault."""
    from nephroscale.engine.snakemake.call import Call
    from nephroscale.stages.checks.report import Findings, find_all

    call = Call.read(["snakemake", "--profile", options.profile]) if options.profile else Call()
    plan = None
    try:
        plan = open_plan(options, check_files=True)
        findings = find_all(plan, call, with_known=True)
    except NephroscaleError as fault:  # without configuration and tables nothing else can be checked
        findings = Findings([fault], [])
    for title, found in zip(("Faults, which stop a run:", "Warnings:"), findings, strict=True):
        if found:
            print(title, name_files(list_faults(found), config_files(options)), "", sep="\n")
    if plan:
        print(_counts(plan))
    faults, warnings = map(len, findings)
    if faults or warnings:
        print(f"{faults} fault{'s' * (faults != 1)}, {warnings} warning{'s' * (warnings != 1)}.")
    else:
        print("Nothing wrong was found.")
    return 1 if faults else 0


def _counts(plan: Plan) -> str:
    cohort = plan.cohort
    uses = Counter(patient.use for patient in cohort.patients.values())
    modalities = Counter(image.modality for image in cohort.images.values())
    classes = Counter(patient.label or "" for patient in cohort.patients.values() if patient.in_diagnosis)
    return "\n".join(
        [
            f"{len(cohort.patients)} patients: {_list(uses)}",
            f"{len(cohort.images)} images: {_list(modalities)}",
            f"classes: {_list({name: classes[name] for name in cohort.classes})}",
        ]
    )


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
