"""Checks of the machine: a GPU, and folders that can be written."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from nephroscale.engine.cards import visible_cards
from nephroscale.engine.device import choose_device
from nephroscale.engine.plan import Plan
from nephroscale.engine.snakemake.call import Call, check_executor
from nephroscale.errors import NephroscaleError


def check_machine(plan: Plan, call: Call, stages: Collection[str]) -> Iterator[NephroscaleError]:
    """Find what keeps jobs from running or from writing.

    Parameters
    ----------
    plan
        Of the study.
    call
        Where the jobs run.
    stages
        Stages with jobs to run.
    """
    for key, folder in (("results", plan.results), ("store.path", plan.store.path)):
        if fault := _why_not_writable(folder):
            yield NephroscaleError(
                fault, where=f"configuration, {key}: {folder}", fix="Name a folder that you may write to."
            )
    yield from check_executor(call)
    if call.executor == "local" and any(plan.stages[stage].on_device for stage in stages):
        try:
            choose_device(plan.config.compute.device)
        except NephroscaleError:
            yield NephroscaleError(
                "compute.device is cuda, but this machine has no GPU that torch can use.",
                where="configuration, compute.device: cuda",
                fix="Set compute.device: cpu, run on a machine with a GPU, or on a cluster (--profile slurm).",
            )
        else:
            yield from _check_places(plan, call)


def _check_places(plan: Plan, call: Call) -> Iterator[NephroscaleError]:
    """Find out whether more jobs may start than the GPUs have places: Snakemake has no limit by default."""
    compute = plan.config.compute
    if compute.device != "cuda" or call.gpus is None:
        return
    places = max(1, len(visible_cards())) * compute.jobs_per_gpu
    if not 0 < call.gpus <= places:
        given = f"--resources gpu={call.gpus}" if call.gpus else "no --resources gpu=NUMBER"
        yield NephroscaleError(
            f"compute.device is cuda, and Snakemake has {given}: more jobs would use the GPUs than they have places.",
            where=f"configuration, compute.device: cuda, compute.jobs_per_gpu: {compute.jobs_per_gpu}",
            fix=f"Add --resources gpu={places}.",
        )


def _why_not_writable(folder: Path) -> str | None:
    there = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        return f"{there} is not a folder."
    return None if os.access(there, os.W_OK | os.X_OK) else f"The folder {there} cannot be written."
