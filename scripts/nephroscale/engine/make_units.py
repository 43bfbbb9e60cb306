"""Making artifacts: look up the recipe, compute what is missing, check the recipe again, and publish the object."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from nephroscale.engine.device import describe_allocation, describe_device
from nephroscale.engine.dispatch import check_dispatch
from nephroscale.engine.invariants import check_nothing_changed, check_registered, raw_signatures
from nephroscale.engine.job import Job
from nephroscale.engine.node_copy import node_folder
from nephroscale.engine.open_check import check_opens
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import link_raw_files
from nephroscale.engine.stage import Stage
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.json_text import JSON
from nephroscale.store.folder import remove_tree
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Made, now
from nephroscale.store.results_index import pinned
from nephroscale.text import name_some


class NotMadeError(NephroscaleError):
    """An input of a unit is not made, so the unit cannot be made either."""


def make_units(plan: Plan, stage: Stage, units: Sequence[str]) -> list[Receipt]:
    """Give the receipts of some units of a stage: looked up, or made one after the other in this process.

    Raises
    ------
    NotMadeError
        When an input of a unit is not made.
    """
    return [_make_unit(plan, stage, unit) for unit in units]


def _make_unit(plan: Plan, stage: Stage, unit: str) -> Receipt:
    begun = time.monotonic()
    for image in stage.raw(plan, unit):
        plan.raw_cache.digest(image.path)
        if image.annotation:
            plan.raw_cache.digest(image.annotation)
    found = plan.examine(stage, unit)
    if found is None:
        raise not_made(plan, stage, unit)
    if isinstance(found, Receipt):
        return found
    known = plan.known(stage, unit, found)
    if known is not None:
        print(f"{stage.name} of {unit}: cache hit, nothing to compute")
        return known
    return _compute(plan, stage, unit, found, begun=begun)


def not_made(plan: Plan, stage: Stage, unit: str) -> NotMadeError:
    """The error of a unit whose inputs are not all made; it names those."""
    needs = [
        f"{need.stage} of {need.unit}"
        for need in stage.needs(plan, unit)
        if plan.receipt(need.stage, need.unit) is None
    ]
    return NotMadeError(
        "A required input has not been produced yet.",
        where=name_some(needs, 5),
        fix="Run the same command again.",
    )


def _compute(plan: Plan, stage: Stage, unit: str, recipe: Recipe, *, begun: float) -> Receipt:
    """Make an artifact, check that its recipe is still the same, and publish the object.

    The time since `begun` (monotonic clock) that was not spent in making is recorded as the store's share.
    """
    check_registered(plan, stage, unit)
    signatures = raw_signatures(plan, stage, unit)
    started, clock = now(), time.monotonic()
    digests = {r.digest for need in stage.needs(plan, unit) if (r := plan.receipt(need.stage, need.unit)) and r.digest}
    with (
        plan.store.scratch() as scratch,
        node_folder(wanted=plan.config.compute.copy_raw_to_node) as node_copies,
        pinned(plan.store, digests),
    ):
        job: Job[Any] = Job(plan, stage, unit, recipe, scratch / "out", node_copies=node_copies)
        making, cpu = time.monotonic(), time.process_time()
        receipt = _make(plan, job)
        making, cpu = time.monotonic() - making, time.process_time() - cpu
        check_nothing_changed(plan, stage, unit, recipe, signatures)
        if receipt.accepted:
            receipt = replace(receipt, **plan.store.publish(scratch / "out")._asdict())
    made: Made = {
        "started": started,
        "seconds": round(time.monotonic() - clock, 3),
        "store_seconds": round(time.monotonic() - begun - making, 3),
        "cpu_seconds": round(cpu, 3),
        "node": socket.gethostname(),
        "device": describe_device(job.computed_on, plan.config.compute),
        "dispatch": job.dispatch,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "git": git_commit(plan.scripts),
        "run": os.environ.get("NEPHROSCALE_RUN", started),
    }
    if allocation := describe_allocation():
        made["allocation"] = allocation
    recorded = plan.records.add(recipe, receipt, made)
    remove_tree(plan.store.path / "work" / recipe.digest)
    return recorded


def _make(plan: Plan, job: Job[Any]) -> Receipt:
    """Let a stage make its artifact: the receipt, without the digest of what is at ``job.out`` now."""
    name = job.stage.name
    if name == "register":
        link_raw_files(plan, job.unit)
    check_dispatch(plan.config.compute)  # of what is imported by now, since a training takes hours
    try:
        with check_opens(plan, job.stage, job.unit):
            figures = job.stage.make(job)
        receipt = Receipt(name, job.unit, "accepted", figures=_plain(figures), parts=job.parts)
    except Rejected as verdict:
        receipt = Receipt(name, job.unit, "rejected", verdict.reason, figures=_plain(verdict.figures))
    job.dispatch = check_dispatch(plan.config.compute)
    return receipt


def make_again(plan: Plan, stage: Stage, unit: str, scratch: Path) -> Receipt:
    """Make an artifact in a scratch folder, from the beginning, without publishing it.

    Returns
    -------
    Receipt
        Without digest; the artifact is at ``scratch / "out"``.
    """
    return _make(plan, open_job(plan, stage, unit, scratch))


def open_job(plan: Plan, stage: Stage, unit: str, scratch: Path) -> Job[Any]:
    """Give the job of a unit whose inputs are made, to be run or looked at outside a run.

    Raises
    ------
    NephroscaleError
        When an input is not made or was rejected, or a raw file is no longer the one that was registered.
    """
    recipe = plan.examine(stage, unit)
    if recipe is None:
        raise not_made(plan, stage, unit)
    if not isinstance(recipe, Recipe):
        raise NephroscaleError(f"{stage.name} of {unit} cannot be made: {recipe.reason}.")
    check_registered(plan, stage, unit)
    return Job(plan, stage, unit, recipe, scratch / "out", work=scratch / "work")


@cache
def git_commit(folder: Path) -> str | None:
    """The commit of the code when a process first asks, with a plus where the working tree differs.

    None outside a checkout.
    """
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _plain(figures: Mapping[str, object]) -> dict[str, JSON]:
    """Figures as plain JSON values."""
    plain: dict[str, JSON] = json.loads(
        json.dumps(figures, default=lambda value: value.item() if hasattr(value, "item") else str(value))
    )
    return plain
