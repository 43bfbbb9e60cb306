"""What a stage is: its units of work, and what decides each unit's artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from nephroscale.cohort.tables import Image
    from nephroscale.engine.plan import Plan
    from nephroscale.store.test_set_exposure import ScoredTestSet


class Need(NamedTuple):
    """One artifact that a unit of work depends on.

    Parameters
    ----------
    stage, unit
        Which artifact.
    part
        Depend on this part of it alone (see `Receipt.parts`); with ``status`` on nothing but its being accepted or the
        reason why not; with ``receipt`` on the whole receipt, its figures too.
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


class Stage:
    """A stage of the workflow; one subclass a module, named in :mod:`nephroscale.stages.registry`.

    The name is a target of Snakemake. The rule that makes one unit bears a verb, and so does its script in ``scripts``,
    which calls one function of the package. What is here decides the recipe of each of its artifacts.
    """

    name: str
    #: The rule that makes one unit, and the name of its script.
    rule: str
    #: Version of what the stage writes: a new number recomputes everything even where no code changed.
    format = 1
    #: How a unit is named from a rule's wildcards. ``cohort`` is the one unit of a stage that has only one.
    pattern = "cohort"
    #: What the link to an object ends in.
    suffix = ""
    #: Whether torch computes here, so that device and instruction set are part of the recipe.
    torch = False
    #: Whether a random choice is made here, so that the seed is part of the recipe.
    seeded = False
    #: The stages that it reads from.
    after: tuple[str, ...] = ()

    def units(self, plan: Plan) -> list[str]:
        """The units of work, in order."""
        raise NotImplementedError

    def new_units(self, plan: Plan) -> list[str]:
        """The units of patients who are only predicted: `predict` alone depends on them."""
        return []

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        """What a unit's artifact depends on. May read objects of stages before it, by ``plan.receipt``."""
        raise NotImplementedError

    def upstream(self, plan: Plan, unit: str) -> list[Need]:
        """What a unit's rule waits for, by the tables alone; with what those wait for, a superset of its needs."""
        return self.needs(plan, unit)

    def settings(self, plan: Plan, unit: str) -> Any:
        """The slice of the configuration that decides a unit's artifact."""
        raise NotImplementedError

    def rows(self, plan: Plan, unit: str) -> Any:
        """The rows of the tables, without paths, that decide a unit's artifact."""
        return None

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        """Modules that a registry chooses for a unit."""
        return ()

    def files(self, plan: Plan, unit: str) -> dict[str, str] | None:
        """Digests of files that decide a unit's artifact beside its needs (raw images, weights); None: not known."""
        return {}

    def look(self, plan: Plan, unit: str) -> ScoredTestSet | None:
        """Which test patients a unit scores with which configuration, where it does."""
        return None

    def raw(self, plan: Plan, unit: str) -> list[Image]:
        """The images whose raw bytes a unit reads."""
        return []
