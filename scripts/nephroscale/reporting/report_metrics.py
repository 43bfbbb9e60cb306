"""The values of `metrics.json` and of the page, as types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from nephroscale.reporting.rounding import rounded

if TYPE_CHECKING:
    from nephroscale.evaluation.intervals import Interval

INLINE: Mapping[str, bool] = {"inline": True}
"""Metadata of a field whose entries are written beside the other fields of its class."""


@dataclass(frozen=True)
class Estimate:
    """Value of a metric with its 95 % interval; None where it is not defined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval | None) -> Estimate:
        """Round a value and its interval."""
        return cls() if interval is None else cls(*map(rounded, (interval.value, interval.low, interval.high)))


@dataclass(frozen=True)
class Difference:
    """Difference of a metric between the headline model and another one, with its 95 % interval.

    `p` is the two-sided p-value, `p_holm` the same adjusted for the number of declared contrasts; None for all other
    differences, which are exploratory.
    """

    value: float
    low: float
    high: float
    p: float
    p_holm: float | None = None


@dataclass(frozen=True)
class Discordant:
    """Number of patients of whom the headline model predicts more, or fewer, correctly than another model."""

    better: int
    worse: int


@dataclass(frozen=True)
class Primary:
    """The declared primary endpoint: its metric, the models of its contrasts, and the date of the declaration."""

    metric: str
    contrasts: list[str]
    date: str | None


@dataclass(frozen=True)
class Precision:
    """Width of the 95 % interval at this number of patients, and the number for a width of 0.10 around the same value.

    `metric` is the metric, `effective` the effective number of patients behind the interval.
    """

    metric: str
    width: float
    effective: float
    patients: int
    patients_for_width: int


@dataclass(frozen=True)
class PairCount:
    """Pairs of a patient of the class and another patient within folds, and the number of folds that have any."""

    pairs: int
    folds: int


@dataclass(frozen=True)
class FoldSpread:
    """A metric over the folds: mean and standard deviation where it is defined, and its value in each fold."""

    mean: float | None
    sd: float | None
    values: list[float | None]


@dataclass(frozen=True)
class ClassSpread:
    """Sensitivity and specificity of one class over the folds."""

    sensitivity: FoldSpread
    specificity: FoldSpread


@dataclass(frozen=True)
class FoldMetrics:
    """Metrics over the folds of a model; the value of a fold is the mean over its seeds.

    Attributes
    ----------
    names
        Names of the folds.
    metrics
        Metric to its spread.
    classes
        Class to its spread.
    undefined
        Metric to fold to the reason why the metric is not defined.
    """

    names: list[str]
    metrics: dict[str, FoldSpread] = field(metadata=INLINE)
    classes: dict[str, ClassSpread]
    undefined: dict[str, dict[str, str | None]]


@dataclass(frozen=True)
class ClassMetrics:
    """Number of patients of one class, and its metrics against all other classes.

    `average_precision` has no interval, and is None where no fold has cases of the class and others.
    """

    patients: int
    sensitivity: Estimate
    specificity: Estimate
    auc: Estimate
    average_precision: float | None = None


@dataclass(frozen=True)
class PredictiveValues:
    """Predictive values of a class where it has the stated prevalence among the classes."""

    prevalence: float
    ppv: Estimate
    npv: Estimate


@dataclass(frozen=True)
class SoftLabels:
    """Patients between two classes, and how many of them were predicted as one of the two."""

    patients: int
    predicted_as_one_of_the_two: int


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram, see :class:`nephroscale.evaluation.calibration_metrics.ReliabilityBin`."""

    patients: int
    confidence: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Slope:
    """Calibration slope and intercept of a class, see :class:`nephroscale.evaluation.recalibration.Recalibration`.

    None where they are not estimable.
    """

    slope: Estimate
    intercept: Estimate


@dataclass(frozen=True)
class Calibration:
    """Calibration metrics, see :class:`nephroscale.evaluation.calibration_metrics.CalibrationMetrics`.

    `ece_expected` and `ece_upper` are the mean and the 95 % quantile of the expected calibration error that perfectly
    calibrated probabilities would show, `slopes` the calibration slope and intercept of each class.
    """

    ece: float
    ece_expected: float
    ece_upper: float
    brier: float
    nll: float
    slopes: list[Slope | None]
    bins: list[Bin]


@dataclass(frozen=True)
class TemperatureScaling:
    """Calibration before and after temperature scaling."""

    before: Calibration
    after: Calibration


@dataclass(frozen=True)
class ModelCalibration(TemperatureScaling):
    """Calibration of a model on its test folds.

    `temperatures` are the minimum, median and maximum over the folds.
    """

    temperatures: tuple[float, float, float]


@dataclass(frozen=True)
class OrdinalMetrics:
    """Metrics of ordered classes, of the reported probabilities and of each output head of a model with two."""

    metrics: dict[str, Estimate] = field(metadata=INLINE)
    heads: dict[str, dict[str, Estimate]]


@dataclass(frozen=True)
class ModelMetrics:
    """Metrics of one model.

    Attributes
    ----------
    seeds
        Seeds of its runs.
    missing
        Runs without an evaluation.
    folds
        Metrics over the folds.
    patients, people
        Number of cases and of patients with one true class.
    pooled
        Metric of a single network: mean over the networks (one for each seed) of the value over the out-of-fold
        predictions of all patients. The interval has the variance over patients and that between networks. `macro_auc`
        counts the pairs within folds.
    undefined
        Metric to the reason why it is not estimable.
    networks
        Metric to the value of each network.
    ensemble
        Metric of the ensemble of the seeds, whose probabilities are averaged; empty with one seed.
    pooled_auc
        Macro AUC of a single network over all pairs, within and between folds.
    pairs
        Class to the number of its pairs within folds.
    precision
        Width of the interval of the balanced accuracy; None where it is not estimable.
    classes
        Metrics of each class, of a single network; empty without an evaluation.
    confusion
        Counts, true class by row; mean over the networks.
    prevalence
        Class to its predictive values at the stated prevalences; empty where none are stated.
    last_epoch
        Number of trainings whose best epoch is the last one.
    trainings
        Number of trainings with a curve.
    between
        Patients with a soft label, who are excluded from all other values; None where there are none.
    calibration
        None where not every run has a temperature.
    ordinal
        None where the classes are not ordered.
    """

    seeds: list[int]
    missing: list[str]
    folds: FoldMetrics
    patients: int
    people: int
    pooled: dict[str, Estimate]
    undefined: dict[str, str] = field(default_factory=dict)
    networks: dict[str, list[float]] = field(default_factory=dict)
    ensemble: dict[str, Estimate] = field(default_factory=dict)
    pooled_auc: Estimate = field(default_factory=Estimate)
    pairs: dict[str, PairCount] = field(default_factory=dict)
    precision: Precision | None = None
    classes: dict[str, ClassMetrics] = field(default_factory=dict)
    confusion: list[list[float]] | None = None
    prevalence: dict[str, PredictiveValues] = field(default_factory=dict)
    last_epoch: int = 0
    trainings: int = 0
    between: SoftLabels | None = None
    calibration: ModelCalibration | None = None
    ordinal: OrdinalMetrics | None = None


@dataclass(frozen=True)
class Swaps:
    """Number and seed of the random exchanges of patients between two models."""

    number: int
    seed: int


@dataclass(frozen=True)
class ReportMetrics:
    """Metrics of all models.

    Attributes
    ----------
    headline
        Model that leads the report.
    classes
        Names of the classes, in the order of their indices.
    level
        Coverage of the intervals.
    swaps
        Exchanges behind the p-values.
    primary
        The declared primary endpoint; None where none is declared.
    models
        Model to metrics.
    comparisons
        Model to metric to the difference between the headline model and this model, of single networks on the patients
        that both predict.
    discordant
        Model to the numbers of discordant patients.
    compared_patients
        Model to the number of the patients that both predict.
    format
        Version of `metrics.json`.
    """

    headline: str
    classes: list[str]
    level: float
    swaps: Swaps
    primary: Primary | None
    models: dict[str, ModelMetrics]
    comparisons: dict[str, dict[str, Difference]]
    discordant: dict[str, Discordant]
    compared_patients: dict[str, int]
    format: int = 2


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
class ExternalCase:
    """Prediction of one external case: `true` names the true class, or both classes of a soft label."""

    id: str
    true: str
    predicted: str
    right: bool
    probabilities: list[float]
    agreement: float
    warnings: str


@dataclass(frozen=True)
class ExternalMetrics:
    """Metrics of the ensemble on external patients.

    Attributes
    ----------
    patients
        Number of predicted cases.
    not_predicted
        Case to the reason why it was not predicted.
    between
        Number of cases with a soft label, who are excluded from all metrics.
    cases
        Predicted cases.
    pooled
        Metric of the ensemble.
    single
        Metric of a single network: mean over the members.
    members
        Number of members.
    confusion, calibration, ordinal
        As in :class:`ModelMetrics`; None where no case has one true class.
    """

    patients: int
    not_predicted: dict[str, str]
    between: int
    cases: list[ExternalCase]
    pooled: dict[str, Estimate]
    single: dict[str, Estimate] = field(default_factory=dict)
    members: int = 0
    confusion: list[list[int]] | None = None
    calibration: TemperatureScaling | None = None
    ordinal: dict[str, Estimate] | None = None


def as_json(value: object) -> Any:
    """Convert dataclasses, mappings and sequences into JSON values."""
    if is_dataclass(value):
        found: dict[str, object] = {}
        for key in fields(value):
            entry = as_json(getattr(value, key.name))
            found |= entry if key.metadata.get("inline") else {key.name: entry}
        return found
    if isinstance(value, Mapping):
        return {key: as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    return value
