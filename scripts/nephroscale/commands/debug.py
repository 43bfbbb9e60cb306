"""The command `debug`: one job's inputs, settings and function at a Python prompt."""

from __future__ import annotations

import argparse
import code
import pdb  # noqa: T100  (post mortem is what `--run` is for)
import traceback
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from nephroscale.commands.run import Commands, open_plan
from nephroscale.engine.job import Job
from nephroscale.engine.make_units import open_job
from nephroscale.engine.prepass import link_raw_files
from nephroscale.errors import Rejected
from nephroscale.provenance.find import find_unit


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    debug = commands.add_parser(
        "debug", help="open a Python prompt with one job's inputs, settings and function; nothing is published"
    )
    debug.add_argument(
        "unit", metavar="STAGE/UNIT", help="job to open, such as tiles/P01-OM; the stage alone if it has one unit"
    )
    debug.add_argument(
        "--run",
        dest="run_once",
        action="store_true",
        help="make the artifact once in a scratch folder; open the debugger where it fails",
    )
    debug.set_defaults(run=debug_job, computes=True)


def debug_job(options: argparse.Namespace) -> int:
    """Open a prompt in a job, or run the job once under the debugger; the exit status is 1 if it fails."""
    plan = open_plan(options)
    stage, unit = find_unit(plan, options.unit)
    with plan.store.scratch() as scratch:
        job = open_job(plan, plan.stages[stage], unit, scratch)
        if stage == "register":
            link_raw_files(plan, unit)
        return _run(job) if options.run_once else _prompt(job)


def names_at_prompt(job: Job[Any]) -> dict[str, object]:
    """What is at hand at the prompt, by name."""
    return {
        "job": job,
        "inputs": {name: job.inputs(name) for name in job.stage.inputs},
        "settings": job.settings,
        "rows": job.rows,
        "make": lambda: job.stage.make(job),
    }


def _prompt(job: Job[Any]) -> int:
    names = names_at_prompt(job)
    banner = "\n".join(
        [
            f"{job.stage.name} of {job.unit}",
            "  job       the job: job.input(name), job.inputs(name), job.images(), job.device, job.seed",
            f"  inputs    artifacts by name: {', '.join(job.stage.inputs) or 'none'}",
            "  settings  the settings that decide the artifact",
            "  rows      the rows of the tables that decide it",
            "  make()    write the artifact to job.out, in a scratch folder that is removed when you leave",
        ]
    )
    if find_spec("IPython"):
        from IPython.terminal.embed import InteractiveShellEmbed  # noqa: T100

        InteractiveShellEmbed(banner1=banner, user_ns=names)()  # noqa: T100
    else:
        code.interact(banner=banner, local=names, exitmsg="")
    return 0


def _run(job: Job[Any]) -> int:
    try:
        figures: Mapping[str, object] = job.stage.make(job)
    except Rejected as verdict:
        print(f"{job.stage.name} of {job.unit} is rejected: {verdict.reason}")
        return 0
    except Exception as fault:
        traceback.print_exc()
        pdb.post_mortem(fault.__traceback__)
        return 1
    print(f"{job.stage.name} of {job.unit} is made; figures: {dict(figures)}")
    return 0
