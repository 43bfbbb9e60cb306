"""The values of `metrics.json` (see docs/statistics.md): each class is one of its objects, a field one of its keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nephroscale.reporting.metric_values import INLINE, Estimate

if TYPE_CHECKING:
    from nephroscale.evaluation.comparison import Discordant
    from nephroscale.reporting.calibration_section import ModelCalibration
    from nephroscale.reporting.settings import PrimarySettings


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
class ReportedDifference:
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
        Model to metric to the difference: this model minus the headline model, of single networks on the patients that
        both predict.
    discordant
        Model to the numbers of discordant patients: of whom this model is right more often than the headline model
        (`better`), and less often (`worse`).
    compared_patients
        Model to the number of the patients that both predict.
    format
        Version of `metrics.json`.
    """

    headline: str
    classes: list[str]
    level: float
    swaps: Swaps
    primary: PrimarySettings | None
    models: dict[str, ModelMetrics]
    comparisons: dict[str, dict[str, ReportedDifference]]
    discordant: dict[str, Discordant]
    compared_patients: dict[str, int]
    format: int = 3
