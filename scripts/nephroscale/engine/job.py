"""One job: look the recipe up, make what is missing, publish it, write the receipt."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.engine.device import choose_device, describe_allocation, describe_device
from nephroscale.engine.invariants import check_nothing_changed, check_registered, raw_signatures
from nephroscale.engine.job_log import JobLog, PathRedactor
from nephroscale.engine.node_copy import stage_raw, staging_folder
from nephroscale.engine.plan import Plan, Recipe
from nephroscale.engine.snakemake.attempt import Attempt
from nephroscale.engine.snakemake.job_groups import NotMadeError, not_made, wait_for_receipts, write_note
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides import raw
from nephroscale.store.disk import full_disk
from nephroscale.store.objects import remove_tree
from nephroscale.store.receipts import Receipt, settle_receipt
from nephroscale.store.records import now
from nephroscale.store.results_index import pinned

if TYPE_CHECKING:
    from collections.abc import Callable

    from nephroscale.cohort.tables import Image
    from nephroscale.engine.stage import Stage


class Job:
    """What a script is given to make one artifact.

    Attributes
    ----------
    stage, unit
        Name of the stage and of the unit of work.
    settings, rows, seed
        The slice of the configuration, the rows of the tables, and the seed: exactly what the recipe holds.
    out
        Where to write the artifact: a path that does not exist yet.
    work
        A folder that outlives a failed attempt, for checkpoints.
    config
        The whole configuration, for what is no part of the recipe: where files lie.
    parts
        To be filled with digests of parts that later stages depend on one by one.
    computed_on
        The device that the script has asked for, ``cpu`` if none.
    """

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        unit: str,
        recipe: Recipe,
        out: Path,
        *,
        work: Path | None = None,
        staged: Path | None = None,
    ) -> None:
        self.plan, self.unit, self.out = plan, unit, out
        self._work, self._staged = work, staged
        self.computed_on = "cpu"
        self.stage = stage.name
        self.settings, self.rows, self.seed = recipe["settings"], recipe["rows"], recipe["seed"]
        self.config = plan.config
        self.parts: dict[str, str] = {}
        self._definition = stage
        self._recipe = recipe

    @property
    def work(self) -> Path:
        """A folder named by the recipe, kept until the artifact is published."""
        if self._work:
            self._work.mkdir(exist_ok=True)
            return self._work
        return self.plan.store.folder("work", self._recipe.digest)

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``, as configured; an error where a GPU was asked for and the job has none."""
        self.computed_on = choose_device(self.plan.config["compute"]["device"])
        return self.computed_on

    def images(self) -> list[Image]:
        """The images whose raw bytes this unit reads."""
        return self._definition.raw(self.plan, self.unit)

    def raw(self, image: Image) -> Path:
        """The id-named link to an image's raw file, or the copy of it on the node's own disk."""
        if self._staged and self.stage != "register":
            copy = stage_raw(image.path, self.facts(image.id)["digest"], self._staged / image.id)
            if copy:
                return copy
        return raw.link_raw(image.path, self.plan.raw_folder(image))

    def annotation(self, image: Image) -> Path:
        """The id-named link to an image's annotation."""
        assert image.annotation is not None
        return raw.link_raw(image.annotation, self.plan.raw_folder(image) / "annotation")

    def raw_digests(self, image: Image) -> dict[str, str | None]:
        """The digests of an image's raw bytes (``digest``) and of its annotation's (``annotation``, or None)."""
        cache = self.plan.raw_cache
        return {
            "digest": cache.digest(image.path),
            "annotation": cache.digest(image.annotation) if image.annotation else None,
        }

    def facts(self, image: str) -> dict[str, Any]:
        """What `register` found out about an image; ``status`` says whether it can be read."""
        patient = self.plan.cohort.images[image].patient_id
        self._sound("register", patient)
        return self.plan.object_json("register", patient)[image]

    def readable_facts(self, image: str) -> dict[str, Any]:
        """The same for an image that has to be readable.

        Raises
        ------
        Rejected
            With the reason that `register` gave.
        """
        facts = self.facts(image)
        if facts["status"] == "rejected":
            raise Rejected(facts["reason"])
        return facts

    def input(self, stage: str, unit: str = "cohort") -> Path | None:
        """The object of an earlier stage, or None where that was rejected or is not part of the plan."""
        return self._sound(stage, unit) if unit in self.plan.units(stage) else None

    def _sound(self, stage: str, unit: str) -> Path | None:
        """The object of a unit, hashed again where `store.verify_on_read` asks for it."""
        path = self.plan.object_path(stage, unit)
        if path and self.plan.store.verify_on_read and self.plan.store.find(path.name) is None:
            raise NephroscaleError(
                f"The object of {stage} of {unit} is damaged, and is not used.",
                where=str(path),
                todo="Run the same command again: it is made anew.",
            )
        return path

    def receipts(self) -> list[Receipt]:
        """The receipts of everything that this unit needs, in order."""
        needs = self._definition.needs(self.plan, self.unit)
        return [receipt for need in needs if (receipt := self.plan.receipt(need.stage, need.unit))]


def run_stage(make: Callable[[Job], dict[str, Any]], snakemake: Any) -> None:
    """Run one job of a stage to its receipt; the one entry point of all scripts.

    Parameters
    ----------
    make
        Writes the artifact at ``job.out`` and returns figures for the receipt, or raises
        :class:`nephroscale.errors.Rejected`. Its imports happen only when the look-up has found nothing.
    snakemake
        The object that Snakemake hands to a script; None runs nothing, for those who only want the script's `make`.
    """
    if snakemake is None:
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the scratch folder is removed
    log = Path(str(snakemake.log[0]))
    error = log.with_suffix(".error")
    error.unlink(missing_ok=True)
    attempt = Attempt(snakemake.rule, log)
    where = snakemake.rule
    set_numerical_environment(snakemake.config.get("compute") or {})
    with JobLog(log) as stream, redirect_stdout(stream), redirect_stderr(stream):
        try:
            with full_disk(log.parent):
                plan = Plan(snakemake.config)
                stage = next(stage for stage in plan.stages.values() if stage.rule == snakemake.rule)
                unit = stage.pattern.format(**dict(snakemake.wildcards.items()))
                where = f"{stage.name} of {unit}"
                stream.veil = PathRedactor(plan.cohort, stage.raw(plan, unit))
                attempt.begin()
                receipt = _outcome(plan, stage, unit, make)
                plan.record_test_set_use(stage, unit, receipt)
                path, link = plan.receipt_path(stage.name, unit), plan.link_path(stage.name, unit)
                settle_receipt(path, link, receipt, plan.store)
            _say(stage, unit, receipt)
        except Exception as fault:
            known = isinstance(fault, NephroscaleError)
            message = stream.redacted(str(fault) if known else f"Unexpected {type(fault).__name__}: {fault}")
            traceback.print_exc()
            with suppress(OSError):  # so that the message is told whatever happens
                print(f"nephroscale: {where} failed\n  {message}\n  log: {log}", file=sys.__stderr__)
            if not isinstance(fault, NotMadeError):  # else what it waits for has told why
                _leave(error, message + "\n")
            with suppress(OSError):
                attempt.fail()
            with suppress(OSError):
                if attempt.settles_for_note(fault):
                    write_note(Path(str(snakemake.output[0])), message)
                    return
            sys.exit(1)
        else:
            attempt.succeed()


def _leave(path: Path, text: str) -> None:
    """Write a small file whole, or not at all where there is no room for it."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _outcome(plan: Plan, stage: Stage, unit: str, make: Callable[[Job], dict[str, Any]]) -> Receipt:
    """The receipt of a unit: looked up, or made."""
    begun = time.monotonic()
    wait_for_receipts([plan.receipt_path(need.stage, need.unit) for need in stage.upstream(plan, unit)])
    for image in stage.raw(plan, unit):
        plan.raw_cache.digest(image.path)
        if image.annotation:
            plan.raw_cache.digest(image.annotation)
    found = plan.examine(stage, unit)
    if found is None:
        raise not_made(plan, stage, unit)
    if isinstance(found, Receipt):
        return found
    if plan.config["recompute"] != stage.name:
        known = plan.look_up(stage, unit)
        if known is not None:
            print(f"{stage.name} of {unit}: known, nothing to compute")
            return known
    return _compute(plan, stage, unit, found, make, begun=begun)


def _compute(
    plan: Plan, stage: Stage, unit: str, recipe: Recipe, make: Callable[[Job], dict[str, Any]], *, begun: float
) -> Receipt:
    """Make an artifact, and publish it under the recipe that still holds when it is finished.

    What passed since `begun` (on the monotonic clock), but for the making itself, is kept as the store's share.
    """
    check_registered(plan, stage, unit)
    signatures = raw_signatures(plan, stage, unit)
    started, clock = now(), time.monotonic()
    inputs = (plan.receipt(need.stage, need.unit) for need in stage.needs(plan, unit))
    digests = {receipt.digest for receipt in inputs if receipt and receipt.digest}
    staging = staging_folder(wanted=plan.config["compute"]["stage_raw"])
    with plan.store.scratch() as scratch, staging as staged, pinned(plan.store, digests):
        job = Job(plan, stage, unit, recipe, scratch / "out", staged=staged)
        making = time.monotonic()
        receipt = _make(job, make)
        making = time.monotonic() - making
        check_nothing_changed(plan, stage, unit, recipe, signatures)
        if receipt.accepted:
            published = plan.store.publish(scratch / "out")
            receipt = Receipt(**{**vars(receipt), **published._asdict()})
    made = {
        "started": started,
        "seconds": round(time.monotonic() - clock, 3),
        "store_seconds": round(time.monotonic() - begun - making, 3),
        "node": socket.gethostname(),
        "device": describe_device(job.computed_on, plan.instruction_set),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "git": _git_commit(plan.scripts),
        "run": os.environ.get("NEPHROSCALE_RUN", started),
    } | ({"allocation": allocation} if (allocation := describe_allocation()) else {})
    standing = plan.records.add(recipe.digest, recipe, receipt, made)
    remove_tree(plan.store.path / "work" / recipe.digest)
    return standing


def _make(job: Job, make: Callable[[Job], dict[str, Any]]) -> Receipt:
    """Let a script make its artifact: the receipt, but for the digest of what lies at ``job.out`` now."""
    if job.stage == "register":
        job.plan.link_raw(job.unit)
    try:
        figures = make(job)
    except Rejected as verdict:
        return Receipt(job.stage, job.unit, "rejected", verdict.reason, figures=_plain(verdict.figures))
    return Receipt(job.stage, job.unit, "accepted", figures=_plain(figures), parts=job.parts)


def make_again(plan: Plan, stage: Stage, unit: str, make: Callable[[Job], dict[str, Any]], scratch: Path) -> Receipt:
    """Make an artifact in a scratch folder, from the beginning, without publishing it.

    Returns
    -------
    Receipt
        Without digest; what was made lies at ``scratch / "out"``.
    """
    recipe = plan.examine(stage, unit)
    assert isinstance(recipe, Recipe)
    check_registered(plan, stage, unit)
    return _make(Job(plan, stage, unit, recipe, scratch / "out", work=scratch / "work"), make)


def set_numerical_environment(compute: dict[str, Any]) -> None:
    """Fix what numerical libraries read when they are first imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = str(compute.get("threads", 1))
    if compute.get("instruction_set", "auto") != "auto":
        os.environ["ATEN_CPU_CAPABILITY"] = compute["instruction_set"].lower()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ["HF_HUB_OFFLINE"] = "1"


def _git_commit(folder: Path) -> str | None:
    """The commit of the code, with a plus where the working tree differs; None outside a checkout."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures as plain JSON values."""
    return json.loads(json.dumps(figures, default=lambda value: value.item() if hasattr(value, "item") else str(value)))


def _say(stage: Stage, unit: str, receipt: Receipt) -> None:
    verdict = "accepted" if receipt.accepted else f"rejected: {receipt.reason}"
    print(f"{stage.name} of {unit}: {verdict}")
