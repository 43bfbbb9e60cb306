"""Further values of `metrics.json`: of the headline model, the trainings, the cohort, sites and repeated folds."""

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
    """Accuracy of single networks in the share of cases, `coverage`, with the most confident predictions."""

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


@dataclass(frozen=True)
class Trained:
    """What was trained as one model.

    Attributes
    ----------
    family
        Kind of network.
    encoders
        Modality to its encoder: name, weights, and whether it was trained.
    encoder_trained
        Whether the training changed an encoder.
    learning_rate, final_learning_rate, weight_decay, batch_size, epochs, patience
        As in the section `train` of the configuration.
    best_epochs
        Smallest and largest epoch whose weights were kept; empty without a training.
    parameters
        Number of parameters of the network; None without a training.
    standardised
        Whether each channel of the features was standardised by its mean and deviation on the training side.
    """

    family: str
    encoders: dict[str, str]
    encoder_trained: bool
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int
    best_epochs: list[int]
    parameters: int | None
    standardised: bool


@dataclass(frozen=True)
class TableOneRow:
    """A row of Table 1: the property, its level (or what is given of it), and a cell for each column."""

    name: str
    level: str
    cells: list[str]


@dataclass(frozen=True)
class TableOne:
    """Table 1: all cases, those of each class, and those of each fold's test side."""

    columns: list[str]
    rows: list[TableOneRow]


@dataclass(frozen=True)
class LeftOutSites:
    """Balanced accuracy of single networks that were trained without the site of the patients they are tested on.

    Attributes
    ----------
    divided
        Model to its value on the stratified folds, of the cases that both kinds of folds test.
    pooled
        Model to its value over all sites that were left out.
    sites
        Model to site to its figures on the patients of this site.
    difference
        Model to `pooled` minus `divided`, on the same patients.
    """

    divided: dict[str, Estimate]
    pooled: dict[str, Estimate]
    sites: dict[str, list[Subgroup]]
    difference: dict[str, Estimate]


@dataclass(frozen=True)
class CorrectedTest:
    """Mean difference of a model from the headline model over all folds, with the corrected resampled t and its p."""

    difference: float
    folds: int
    t: float
    p: float


@dataclass(frozen=True)
class Repeats:
    """Balanced accuracy of single networks in each division, and tests over all folds.

    Attributes
    ----------
    values
        Model to its value in each division; None where it is not estimable.
    tests
        Model to its comparison with the headline model; absent where the folds do not allow one.
    """

    values: dict[str, list[float | None]]
    tests: dict[str, CorrectedTest]
