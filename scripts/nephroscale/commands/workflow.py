"""The command `run`: Snakemake in the folder of a study, from any folder."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from nephroscale.commands.run import STUDY, Commands
from nephroscale.errors import NephroscaleError
from nephroscale.places import workflow_folder

# One of these options gives the number of jobs that run at once.
JOBS = ("--cores", "-c", "--jobs", "-j", "--profile", "--executor", "-e")


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    run = commands.add_parser(
        "run",
        help="run the workflow of a study from any folder, with the options and targets of snakemake",
        usage="nephroscale run [STUDY] [options and targets of snakemake]",
        description=f"STUDY is a folder with {STUDY} (default: this folder). Without `--cores`, `--jobs`, `--executor` "
        "or `--profile`, all cores are used.",
        run=run_study,
    )
    run.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)


def run_study(options: argparse.Namespace) -> int:
    """Run Snakemake as if it was called in the folder of the study."""
    arguments: list[str] = options.arguments
    study = Path()
    if arguments and not arguments[0].startswith("-") and ("/" in arguments[0] or Path(arguments[0]).exists()):
        study = Path(arguments.pop(0))
    if study.name == STUDY.name:
        study = study.parent
    if not (study / STUDY).is_file():
        raise NephroscaleError(
            f"There is no {STUDY}.", where=str(study.resolve()), fix="Name the folder of a study, or make one: init."
        )
    command = [sys.executable, "-m", "snakemake"]
    if not (study / "Snakefile").is_file():
        command += ["--snakefile", str(workflow_folder() / "Snakefile"), "--configfile", STUDY.name]
    if not any(each.split("=")[0] in JOBS or each[:2] in {"-c", "-j"} for each in arguments):
        command += ["--cores", "all"]
    return subprocess.run([*command, *arguments], cwd=study, check=False).returncode  # noqa: S603
