"""A job: one unit of a stage, with its inputs, settings and raw files, as the stage's `make` gets it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from nephroscale.cohort.image import Image
from nephroscale.engine.cards import take_card
from nephroscale.engine.device import choose_device
from nephroscale.engine.node_copy import copy_raw
from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import STATUS, Need, Stage
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.settings import Settings
from nephroscale.slides import raw
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe

if TYPE_CHECKING:
    from nephroscale.slides.facts import ImageFacts  # imports OpenCV, which a cache hit does not need

S = TypeVar("S", bound="Settings")


@dataclass(frozen=True)
class JobInput:
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
        assert self.stage.on_device, f"{self.stage.name} computes on a device that is not in its recipes"
        compute = self.plan.config.compute
        if compute.device == "cuda":
            take_card(compute.jobs_per_gpu)
        self.computed_on = choose_device(compute.device)
        return self.computed_on

    # -- inputs -------------------------------------------------------------------------------------------------------

    def inputs(self, name: str) -> list[JobInput]:
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

    def input(self, name: str) -> JobInput:
        """The one artifact of a named input."""
        (found,) = self.inputs(name)
        return found

    def optional_input(self, name: str) -> JobInput | None:
        """The artifact of a named input, or None where this unit has none, or it was rejected."""
        return next((each for each in self.inputs(name) if each.path), None)

    def _read(self, needs: Sequence[Need]) -> Iterator[JobInput]:
        for need in needs:
            receipt = self.plan.receipt(need.stage, need.unit)
            assert receipt is not None, need
            yield JobInput(need.unit, receipt, self._sound(need) if need.part != STATUS else None)

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
        if (
            self._node_copies
            and self.stage.name != "register"
            and (copy := copy_raw(image.path, self.facts(image.id).digest, self._node_copies / image.id))
        ):
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
        return read_facts(next(each for each in self.inputs("facts") if each.unit == patient).object)[image]

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
