"""Further metrics of the headline model as `metrics.json` and the page have them."""

from __future__ import annotations

from dataclasses import dataclass, field

from nephroscale.reporting.metric_values import Estimate


@dataclass(frozen=True)
class Subgroup:
    """Figures of single networks of the headline model in one subgroup.

    `value` is what its patients have in common, `classes` the number of patients of each class, `note` the reason why a
    figure is not estimated.
    """

    value: str
    patients: int
    classes: dict[str, int]
    accuracy: Estimate = field(default_factory=Estimate)
    balanced_accuracy: Estimate = field(default_factory=Estimate)
    note: str | None = None


@dataclass(frozen=True)
class ConfidentShare:
    """Accuracy of single networks in the share of patients, `coverage`, with the most confident predictions."""

    coverage: float
    accuracy: Estimate


@dataclass(frozen=True)
class DecisionPoint:
    """Net benefit at one threshold: of acting by the model, and of always acting; that of never acting is 0."""

    threshold: float
    model: Estimate
    always: float


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of an action.

    Attributes
    ----------
    action, classes
        The action, and the classes in which it is right.
    prevalence
        Prevalence of these classes together.
    stated
        Whether the prevalences are those of `report.prevalences`; otherwise they are those of the cohort.
    points
        Net benefit at each threshold.
    """

    action: str
    classes: list[str]
    prevalence: float
    stated: bool
    points: list[DecisionPoint]


@dataclass(frozen=True)
class Agreement:
    """Kappa between two raters on the patients that both rated; `left_out` of these got no class from one of them."""

    first: str
    second: str
    patients: int
    left_out: int
    kappa: Estimate


@dataclass(frozen=True)
class FactsAlone:
    """What a logistic regression on facts, without any image content, predicts on the same folds.

    Attributes
    ----------
    facts
        Number of facts.
    patients
        Number of patients.
    pooled
        Metric to its value.
    p, permutations
        p-value of the balanced accuracy from permutations of the labels, and their number.
    detectable
        Balanced accuracy with which p is below 0.05 in 80 % of such cohorts.
    """

    facts: int
    patients: int
    pooled: dict[str, Estimate]
    p: float
    permutations: int
    detectable: float


@dataclass(frozen=True)
class HeadlineMetrics:
    """Further metrics of the headline model.

    Attributes
    ----------
    facts
        `acquisition` and `readings`, where any such fact differs between the patients.
    subgroups
        Property to its subgroups.
    confident
        Accuracy of the most confident predictions; empty without an evaluation.
    decision
        None where no action is named.
    agreement
        Between the readers, and of each reader with the model; empty without a table of readers.
    """

    facts: dict[str, FactsAlone] = field(default_factory=dict)
    subgroups: dict[str, list[Subgroup]] = field(default_factory=dict)
    confident: list[ConfidentShare] = field(default_factory=list)
    decision: DecisionCurve | None = None
    agreement: list[Agreement] = field(default_factory=list)

    @property
    def shortcut(self) -> FactsAlone | None:
        """What facts of acquisition predict, if they predict more than permuted labels would."""
        found = self.facts.get("acquisition")
        return found if found and found.p < 0.05 else None
