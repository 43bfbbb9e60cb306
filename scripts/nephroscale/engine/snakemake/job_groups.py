"""Jobs that travel to a cluster in groups: one that fails must not take the others of its group with it.

To Snakemake a group succeeds or fails as a whole: it stops at the first job that fails, takes away what the others
made and starts nothing that waits for them. So a grouped job whose failure would come again leaves a note in place of
its receipt and ends well. A note is no receipt: what needs it refuses to run and names it, the summary lists it, the
run ends non-zero, and the next run's pre-pass takes it away. A job that does not come to its end (killed for its
memory, over its time, its node lost) fails its group, which is submitted again: what the others finished is looked up.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from nephroscale.engine.plan import Plan
    from nephroscale.engine.stage import Stage

GROUPED, RETRIES, ATTEMPT, DEVICE = (f"NEPHROSCALE_{name}" for name in ("GROUPED", "RETRIES", "ATTEMPT", "DEVICE"))


class NotMadeError(NephroscaleError):
    """Something that a unit depends on is not made, so the unit cannot be made either."""


def export_run(rules: Iterable[str], retries: int | None) -> None:
    """Let every job of this run know which rules travel in groups, and how often a job is submitted again."""
    os.environ[GROUPED] = ",".join(sorted(rules))
    os.environ[RETRIES] = str(retries or 0)


def export_attempt(arguments: Sequence[str], device: str) -> None:
    """Let a job know its attempt, and the profile the configured device (its `set-resources` may name it).

    Parameters
    ----------
    arguments
        Of this process of Snakemake: a job's bear the attempt, counted from 1, and while the Snakefile is read nothing
        else does.
    device
        `compute.device`.
    """
    place = arguments.index("--attempt") + 1 if "--attempt" in arguments else 0
    os.environ[ATTEMPT] = arguments[place] if place else "1"
    os.environ[DEVICE] = device


def wait_for_receipts(paths: Sequence[Path], seconds: float = 30.0) -> None:
    """Wait a little for receipts that another node has written and this one does not see yet."""
    deadline = time.monotonic() + seconds
    while (absent := [path for path in paths if not path.is_file()]) and time.monotonic() < deadline:
        for folder in {path.parent for path in absent}:
            with suppress(FileNotFoundError):
                os.listdir(folder)  # noqa: PTH208  (makes a network file system look again)
        time.sleep(1)


def not_made(plan: Plan, stage: Stage, unit: str) -> NotMadeError:
    """The error of a unit that cannot be made because something it depends on is not made; it names that."""
    needs = [need for need in stage.needs(plan, unit) if plan.receipt(need.stage, need.unit) is None]
    names = [f"{need.stage} of {need.unit}" for need in needs]
    return NotMadeError(
        "Something that it depends on is not made yet.",
        where=", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else ""),
        todo="Run the same command again.",
    )


def write_note(path: Path, message: str) -> None:
    """Leave a note in place of a receipt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps({"not made": message}) + "\n")
    temporary.replace(path)


def has_notes(plan: Plan) -> bool:
    """Whether a note lies where any receipt should be."""
    units = ((stage, unit) for stage in plan.stages for unit in plan.units(stage))
    return any(plan.receipt(*each) is None and plan.receipt_path(*each).is_file() for each in units)
