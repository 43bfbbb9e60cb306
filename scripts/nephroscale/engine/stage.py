"""What a stage is: its units of work, its named inputs, and what decides each unit's artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar

from nephroscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from nephroscale.cohort.cohort import Cohort
    from nephroscale.cohort.image import Image
    from nephroscale.engine.config import Config
    from nephroscale.engine.package import Package
    from nephroscale.engine.raw_cache import RawCache
    from nephroscale.store.receipts import Receipt
    from nephroscale.store.recipe import Recipe
    from nephroscale.store.records import Records
    from nephroscale.store.test_set_exposure import ExposureLedger, ScoredTestSet

T = TypeVar("T")
STATUS, RECEIPT = "status", "receipt"
"""Parts of every artifact: whether it was accepted, or the reason why not; and its whole receipt."""


class Need(NamedTuple):
    """One artifact that a unit depends on.

    Parameters
    ----------
    stage, unit
        Which artifact.
    part
        Depend on this part of it alone (see `Receipt.parts`); with `STATUS` on nothing but its being accepted or the
        reason why not; with `RECEIPT` on the whole receipt, its figures included.
    optional
        The unit can be made without it; otherwise a rejected need rejects the unit.
    """

    stage: str
    unit: str
    part: str | None = None
    optional: bool = False

    @property
    def label(self) -> str:
        """Name of the need within a recipe."""
        return f"{self.stage}/{self.unit}" + (f"#{self.part}" if self.part else "")


class PlanView(Protocol):
    """What a stage may ask of the plan: configuration, cohort, and the artifacts of stages before it."""

    @property
    def config(self) -> Config:
        """The configuration, with every default filled in."""

    @property
    def cohort(self) -> Cohort:
        """The patients and images of the tables."""

    @property
    def patients(self) -> list[str]:
        """Patients whose images are processed: for diagnosis, and external ones."""

    @property
    def new_patients(self) -> list[str]:
        """Patients of the table `predict.patients`."""

    @property
    def batch(self) -> str:
        """The name of the batch of new patients."""

    @property
    def package(self) -> Package | None:
        """The packaged model that predicts, or None if the networks of the study do."""

    @property
    def segmentation_patients(self) -> list[str]:
        """Patients set apart: their outlined slides train the segmenters, their OM slides set the stain reference."""

    @property
    def modalities(self) -> list[str]:
        """The modalities that any model reads, in their fixed order."""

    @property
    def raw_cache(self) -> RawCache:
        """Digests of raw files."""

    @property
    def records(self) -> Records:
        """Records of how objects were made."""

    @property
    def ledger(self) -> ExposureLedger:
        """Which configurations were scored on which test patients."""

    @property
    def workflow(self) -> Path:
        """The folder of the Snakefile and its rules."""

    def images(self, patient: str, *modalities: str) -> list[Image]:
        """The images of a patient that a model may read."""

    def units(self, stage: str) -> list[str]:
        """The units of a stage."""

    def study_units(self, stage: str) -> list[str]:
        """The units of a stage without those of new patients."""

    def stages_before(self, stage: str) -> list[str]:
        """The stages before one, in order."""

    def loose_ends(self, *stages: str) -> list[Need]:
        """The units that no other unit waits for."""

    def receipt(self, stage: str, unit: str) -> Receipt | None:
        """The receipt of a unit, or None if it is not made."""

    def object_json(self, stage: str, unit: str, file: str = "") -> Any:
        """The content of a JSON object, or None if it is not made."""

    def read_object(self, stage: str, unit: str, parse: Callable[[Any], T], file: str = "") -> T | None:
        """The same, parsed."""

    def recipe(self, stage: str, unit: str) -> Recipe | None:
        """The recipe of a unit, or None while something that decides it is not known."""

    def recipe_digest(self, stage: str, unit: str) -> str | None:
        """Its digest."""

    def test_set_use(self, stage: str, unit: str) -> ScoredTestSet | None:
        """Which configuration a unit scores on which test patients."""


class NamedInput:
    """One named input of a stage, declared by :func:`need`.

    Attributes
    ----------
    stages
        The stages that it comes from.
    through
        How Snakemake learns of it: None, by its own receipts; the name of another input, by that one's receipts (which
        are written after these); or a function of stage, plan and unit that names the artifacts to wait for.
    """

    def __init__(
        self,
        find: Callable[[Any, PlanView, str], Need | Iterable[Need] | None],
        stages: tuple[str, ...],
        through: str | Callable[[Stage, PlanView, str], Sequence[Need]] | None,
    ) -> None:
        self.find, self.stages, self.through = find, stages, through
        self.__doc__ = find.__doc__

    def needs(self, stage: Stage, plan: PlanView, unit: str) -> list[Need]:
        """Give the artifacts that a unit reads under this name."""
        found = self.find(stage, plan, unit)
        if found is None:
            return []
        return [found] if isinstance(found, Need) else list(found)


def need(
    *stages: str, through: str | Callable[[Stage, PlanView, str], Sequence[Need]] | None = None
) -> Callable[[Callable[[Any, PlanView, str], Need | Iterable[Need] | None]], NamedInput]:
    """Declare a method of a stage as one of its named inputs; the method gives the artifacts that a unit reads.

    Recipes, the pre-pass, the rule's input function, the check of what a job opens, the audit and `replay` all follow
    from this one declaration. `through` is explained at :class:`NamedInput`.
    """

    def declare(find: Callable[[Any, PlanView, str], Need | Iterable[Need] | None]) -> NamedInput:
        return NamedInput(find, stages, through)

    return declare


class Stage:
    """A stage of the workflow; one subclass a module, listed in :mod:`nephroscale.stages.registry`.

    The name is a target of Snakemake. The rule that makes one unit has a verb for a name, and so has its script. What
    the subclass declares decides the recipe of each artifact, and its source is part of these recipes.
    """

    name: ClassVar[str]
    #: The rule that makes one unit, and the name of its script.
    rule: ClassVar[str]
    #: Version of what the stage writes: a new number recomputes everything even where no code changed.
    format: ClassVar[int] = 1
    #: How a unit is named from a rule's wildcards. ``cohort`` is the one unit of a stage that has only one.
    pattern: ClassVar[str] = "cohort"
    #: Suffix of the link to an object.
    suffix: ClassVar[str] = ""
    #: Files in the results folder, each with the file within the object that it is a copy of.
    pages: ClassVar[tuple[tuple[str, str], ...]] = ()
    #: Whether every artifact that was ever finished stays, numbered, in the subfolder ``reports`` of the results.
    numbered: ClassVar[bool] = False
    #: Whether torch computes here: idle processes of other stages end before, to free memory.
    torch: ClassVar[bool] = False
    #: Whether it computes on `compute.device`, which is then part of the recipe.
    on_device: ClassVar[bool] = False
    #: Whether one process makes unit after unit, where jobs are forked: it keeps the card open and weights in memory.
    keeps_process: ClassVar[bool] = False
    #: Whether a random choice is made here, so that the seed is part of the recipe.
    seeded: ClassVar[bool] = False
    #: Whether it describes how all artifacts were made, and so may open any of them.
    reads_records: ClassVar[bool] = False
    #: Whether all that decides a unit are tables, configuration, code, its files and the artifacts before it: while
    #: these are the same, its recipe need not be worked out again.
    recalled: ClassVar[bool] = True
    #: The named inputs, collected from the methods that :func:`need` marks.
    inputs: ClassVar[dict[str, NamedInput]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, NamedInput)}
        cls.inputs = {**cls.inputs, **own}

    @property
    def after(self) -> tuple[str, ...]:
        """The stages that it reads from."""
        return tuple(dict.fromkeys(stage for named in self.inputs.values() for stage in named.stages))

    def after_in(self, plan: PlanView) -> tuple[str, ...]:
        """The stages that it reads from with this configuration."""
        return self.after

    def units(self, plan: PlanView) -> list[str]:
        """The units of work, in order; by default the one of a stage for the whole cohort."""
        return ["cohort"]

    def new_units(self, plan: PlanView) -> list[str]:
        """The units of new patients; only `predict` depends on them."""
        return []

    def stays(self, unit: str) -> bool:
        """Whether a unit that is no longer configured keeps its receipt and link, so that it can still be opened."""
        return False

    def settings(self, plan: PlanView, unit: str) -> Settings:
        """The slice of the configuration that decides a unit's artifact; by default there is none."""
        return Settings()

    def rows(self, plan: PlanView, unit: str) -> object:
        """The rows of the tables, without paths, that decide a unit's artifact, as JSON values."""
        return None

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """Modules that a registry chooses for a unit."""
        return ()

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """Digests of further files that decide a unit's artifact (raw images, weights); None if not known yet."""
        return {}

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        """The images whose raw bytes a unit reads."""
        return []

    def test_set_use(self, plan: PlanView, unit: str) -> ScoredTestSet | None:
        """Which configuration a unit scores on which test patients; None if it scores none."""
        return None

    def make(self, job: Any) -> Mapping[str, object]:
        """Write a unit's artifact at ``job.out`` by one call of a domain function; return figures for the receipt.

        `job` is a :class:`nephroscale.engine.job.Job`. Heavy modules are imported here, after the look-up has found
        nothing.

        Raises
        ------
        nephroscale.errors.Rejected
            When the data cannot be used.
        """
        raise NotImplementedError

    # -- what follows from the declarations ---------------------------------------------------------------------------

    def needs(self, plan: PlanView, unit: str) -> list[Need]:
        """What a unit's artifact depends on. May read objects of stages before it."""
        return [each for named in self.inputs.values() for each in named.needs(self, plan, unit)]

    def waits_for(self, plan: PlanView, unit: str, name: str) -> Sequence[Need]:
        """The artifacts whose receipts are this input of the rule; known from tables and configuration."""
        through = self.inputs[name].through
        if isinstance(through, str):
            return self.waits_for(plan, unit, through)
        return self.inputs[name].needs(self, plan, unit) if through is None else through(self, plan, unit)

    def upstream(self, plan: PlanView, unit: str) -> list[Need]:
        """What a unit's rule waits for; with what those wait for, a superset of its needs."""
        return list(dict.fromkeys(each for name in self.inputs for each in self.waits_for(plan, unit, name)))


def receipts_before(stage: Stage, plan: PlanView, unit: str) -> list[Need]:  # noqa: ARG001
    """The receipt of every unit of the study before the stage."""
    return [
        Need(other, each, part=RECEIPT, optional=True)
        for other in plan.stages_before(stage.name)
        for each in plan.study_units(other)
    ]


def last_receipts(stage: Stage, plan: PlanView, unit: str) -> list[Need]:  # noqa: ARG001
    """The artifacts before a stage that no other of them waits for; to wait for these is to wait for all."""
    return plan.loose_ends(*plan.stages_before(stage.name))
