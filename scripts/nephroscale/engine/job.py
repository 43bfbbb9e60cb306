"""Making artifacts: look up the recipe, compute what is missing, check the recipe again, and publish the object."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import time
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from nephroscale.engine.cards import take_card
from nephroscale.engine.device import choose_device, describe_allocation, describe_device
from nephroscale.engine.dispatch import check_dispatch
from nephroscale.engine.invariants import check_nothing_changed, check_registered, raw_signatures
from nephroscale.engine.node_copy import copy_raw, node_folder
from nephroscale.engine.open_check import check_opens
from nephroscale.engine.prepass import link_raw_files
from nephroscale.engine.stage import STATUS
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides import raw
from nephroscale.store.folder import remove_tree
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Made, now
from nephroscale.store.results_index import pinned
from nephroscale.text import name_some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nephroscale.cohort.image import Image
    from nephroscale.engine.plan import Plan
    from nephroscale.engine.stage import Need, Stage
    from nephroscale.json_text import JSON
    from nephroscale.settings import Settings
    from nephroscale.slides.facts import ImageFacts

S = TypeVar("S", bound="Settings")


class NotMadeError(NephroscaleError):
    """An input of a unit is not made, so the unit cannot be made either."""


@dataclass(frozen=True)
class Input:
    """One artifact that a job reads.

    Attributes
    ----------
    unit
        What it was made for.
    receipt
        Its receipt.
    path
        Its object in the store; None where it was rejected, or where only its status counts.
    """

    unit: str
    receipt: Receipt
    path: Path | None

    @property
    def object(self) -> Path:
        """The object of an input that cannot be absent."""
        assert self.path is not None, self.receipt
        return self.path


class Job(Generic[S]):
    """What a stage is given to make one artifact; `S` is the class of the stage's settings.

    Attributes
    ----------
    stage, unit
        The stage, and what the artifact is made for.
    settings, rows, seed
        The slice of the configuration, the rows of the tables, and the seed: exactly what the recipe holds.
    out
        Where to write the artifact: a path that does not exist yet.
    parts
        To be filled with digests of parts that later stages depend on one by one.
    computed_on
        The device that the stage has asked for, ``cpu`` if none.
    dispatch
        What the numerical libraries reported when the artifact was made.
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
        node_copies: Path | None = None,
    ) -> None:
        self.stage, self.unit, self.out = stage, unit, out
        self.settings = cast("S", stage.settings(plan, unit))
        self.rows: Any = recipe.rows
        self._seed = recipe.seed
        self.recipe_digest = recipe.digest
        self.parts: dict[str, str] = {}
        self.computed_on = "cpu"
        self.dispatch: dict[str, str] = {}
        #: For what is not part of the recipe: locations of files.
        self.plan = plan
        self._work, self._node_copies = work, node_copies

    @property
    def seed(self) -> int:
        """The seed of a stage that makes a random choice."""
        assert self._seed is not None, self.stage.name
        return self._seed

    @property
    def work(self) -> Path:
        """A folder named by the recipe, kept until the artifact is published; for checkpoints."""
        if self._work:
            self._work.mkdir(exist_ok=True)
            return self._work
        return self.plan.store.folder("work", self.recipe_digest)

    @property
    def threads(self) -> int:
        """Threads that the job may use."""
        return self.plan.config.compute.threads

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``, as configured; an error where a GPU was asked for and the job has none."""
        compute = self.plan.config.compute
        if compute.device == "cuda":
            take_card(compute.jobs_per_gpu)
        self.computed_on = choose_device(compute.device)
        return self.computed_on

    # -- inputs -------------------------------------------------------------------------------------------------------

    def inputs(self, name: str) -> list[Input]:
        """The artifacts of a named input, in order, rejected ones included.

        Raises
        ------
        NephroscaleError
            When the stage declares no input of this name, or `store.verify_on_read` finds an object damaged.
        """
        named = self.stage.inputs.get(name)
        if named is None:
            raise NephroscaleError(
                f"The stage {self.stage.name} declares no input {name!r}.",
                where=f"stages/{self.stage.name}.py",
                fix=f"Declare it by @need; there are {', '.join(self.stage.inputs) or 'none'}.",
            )
        return list(self._read(named.needs(self.stage, self.plan, self.unit)))

    def input(self, name: str) -> Input:
        """The one artifact of a named input."""
        (found,) = self.inputs(name)
        return found

    def optional_input(self, name: str) -> Input | None:
        """The artifact of a named input, or None where this unit has none, or it was rejected."""
        found = [each for each in self.inputs(name) if each.path]
        return found[0] if found else None

    def _read(self, needs: Sequence[Need]) -> Iterator[Input]:
        for need in needs:
            receipt = self.plan.receipt(need.stage, need.unit)
            assert receipt is not None, need
            yield Input(need.unit, receipt, self._sound(need) if need.part != STATUS else None)

    def _sound(self, need: Need) -> Path | None:
        """The object of a need, hashed again where `store.verify_on_read` asks for it."""
        path = self.plan.object_path(need.stage, need.unit)
        if path and self.plan.store.verify_on_read and self.plan.store.find(path.name) is None:
            raise NephroscaleError(
                f"The object of {need.stage} of {need.unit} is damaged, and is not used.",
                where=str(path),
                fix="Run the same command again: it is recomputed.",
            )
        return path

    # -- raw files ----------------------------------------------------------------------------------------------------

    def images(self) -> list[Image]:
        """The images whose raw bytes this unit reads."""
        return self.stage.raw(self.plan, self.unit)

    def raw(self, image: Image) -> Path:
        """The id-named link to an image's raw file, or the copy of it on the node's own disk."""
        if self._node_copies and self.stage.name != "register":
            copy = copy_raw(image.path, self.facts(image.id).digest, self._node_copies / image.id)
            if copy:
                return copy
        return raw.link_raw(image.path, self.plan.raw_folder(image))

    def annotation(self, image: Image) -> Path:
        """The id-named link to an image's outlines."""
        assert image.annotation is not None
        return raw.link_raw(image.annotation, self.plan.raw_folder(image) / "annotation")

    def raw_digests(self, image: Image) -> tuple[str, str | None]:
        """The digests of an image's raw bytes and of its outlines (None where it has none)."""
        cache = self.plan.raw_cache
        return cache.digest(image.path), cache.digest(image.annotation) if image.annotation else None

    def facts(self, image: str) -> ImageFacts:
        """The facts of an image, by the input named `facts`, whether or not it can be read."""
        from nephroscale.slides.facts import read_facts

        patient = self.plan.cohort.images[image].patient_id
        found = next(each for each in self.inputs("facts") if each.unit == patient)
        return read_facts(found.object)[image]

    def readable_facts(self, image: str) -> ImageFacts:
        """The facts of an image that has to be readable.

        Raises
        ------
        Rejected
            With the reason that `register` gave.
        """
        facts = self.facts(image)
        if facts.status == "rejected":
            raise Rejected(str(facts.reason))
        return facts


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
    needs = [need for need in stage.needs(plan, unit) if plan.receipt(need.stage, need.unit) is None]
    names = [f"{need.stage} of {need.unit}" for need in needs]
    return NotMadeError(
        "A required input has not been produced yet.",
        where=name_some(names, 5),
        fix="Run the same command again.",
    )


def _compute(plan: Plan, stage: Stage, unit: str, recipe: Recipe, *, begun: float) -> Receipt:
    """Make an artifact, check that its recipe is still the same, and publish the object.

    The time since `begun` (monotonic clock) that was not spent in making is recorded as the store's share.
    """
    check_registered(plan, stage, unit)
    signatures = raw_signatures(plan, stage, unit)
    started, clock = now(), time.monotonic()
    receipts = (plan.receipt(need.stage, need.unit) for need in stage.needs(plan, unit))
    digests = {receipt.digest for receipt in receipts if receipt and receipt.digest}
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
