"""Groups of jobs on a cluster: one that fails must not stop the others of its group.

For Snakemake a group succeeds or fails as a whole: it stops at the first job that fails, deletes the outputs of the
others and starts nothing that depends on them. A grouped job whose failure would recur therefore writes a failure note
in place of its receipt and exits with status 0. A failure note is never read as a receipt: a job that needs it stops
and names it, the summary lists it, the run ends with status 1, and the pre-pass of the next run removes it. A job that
is interrupted (memory, time, a lost node) fails its group, which is submitted again; finished units are cache hits.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from nephroscale.engine.plan import Plan
from nephroscale.store.disk import write_whole
from nephroscale.store.records import now

GROUPED, RETRIES, ATTEMPT, DEVICE = (f"NEPHROSCALE_{name}" for name in ("GROUPED", "RETRIES", "ATTEMPT", "DEVICE"))


# Set by the logger plugin of the main process, which shows failures (screen.py).
SCREEN = "NEPHROSCALE_SCREEN"


def leaves_message_to_screen() -> bool:
    """Whether the main process shows the failure of this job; a job on a cluster also writes to the cluster's log."""
    return bool(os.environ.get(SCREEN)) and "SLURM_JOB_ID" not in os.environ


def export_package(scripts: Path) -> None:
    """Export the package beside the workflow to the jobs, whatever else is installed.

    The first process of a run also gives the run its name, which records keep. What else PYTHONPATH holds stays.
    """
    os.environ.setdefault("NEPHROSCALE_RUN", now())
    if (scripts / "nephroscale").is_dir():
        others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(scripts)]
        os.environ["PYTHONPATH"] = os.pathsep.join([str(scripts), *others])


def export_run(rules: Iterable[str], retries: int | None) -> None:
    """Export to every job of this run which rules run in groups, and how often a job is submitted again."""
    os.environ[GROUPED] = ",".join(sorted(rules))
    os.environ[RETRIES] = str(retries or 0)


def export_attempt(arguments: Sequence[str], device: str) -> None:
    """Export a job's attempt, and the configured device for the profile's `set-resources`.

    Parameters
    ----------
    arguments
        Of this process of Snakemake. Those of a job hold the attempt, counted from 1; while the Snakefile is read,
        Snakemake gives it nowhere else.
    device
        `compute.device`.
    """
    place = arguments.index("--attempt") + 1 if "--attempt" in arguments else 0
    os.environ[ATTEMPT] = arguments[place] if place else "1"
    os.environ[DEVICE] = device


def wait_for_receipts(paths: Sequence[Path], seconds: float = 30.0) -> None:
    """Wait for receipts that another node has written and this one does not see yet."""
    deadline = time.monotonic() + seconds
    while (absent := [path for path in paths if not path.is_file()]) and time.monotonic() < deadline:
        for folder in {path.parent for path in absent}:
            with suppress(FileNotFoundError):
                os.listdir(folder)  # noqa: PTH208  (makes a network file system look again)
        time.sleep(1)


def write_note(path: Path, message: str) -> None:
    """Write a failure note in place of a receipt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, f"{json.dumps({'not made': message})}\n".encode())


def has_notes(plan: Plan) -> bool:
    """Whether any receipt is replaced by a failure note."""
    return any(
        plan.receipt(stage, unit) is None and plan.receipt_path(stage, unit).is_file()
        for stage in plan.stages
        for unit in plan.units(stage)
    )
