"""The values of `metrics.json` and of the page, as types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from nephroscale.reporting.rounding import rounded

INLINE: Mapping[str, bool] = {"inline": True}
"""Metadata of a field whose entries are written beside the other fields of its class."""


@dataclass(frozen=True)
class Estimate:
    """Value of a metric with its 95 % interval; None where it is not defined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float | None, interval: tuple[float, float] | None) -> Estimate:
        """Round a value and its interval."""
        low, high = interval or (None, None)
        return cls(rounded(value), rounded(low), rounded(high))


@dataclass(frozen=True)
class Difference:
    """Difference of a metric between the headline model and another one, with its 95 % interval.

    `p` is the two-sided p-value, `p_holm` the same adjusted for the number of models.
    """

    value: float
    low: float
    high: float
    p: float
    p_holm: float


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
    """Number of patients of one class, and its metrics against all other classes."""

    patients: int
    sensitivity: Estimate
    specificity: Estimate
    auc: Estimate


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
class Calibration:
    """Calibration metrics, see :class:`nephroscale.evaluation.calibration_metrics.CalibrationMetrics`."""

    ece: float
    brier: float
    nll: float
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
        Metric to its value over the out-of-fold predictions of all patients, averaged over the seeds.
    classes
        Metrics of each class; empty without an evaluation.
    confusion
        Counts, true class by row.
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
    classes: dict[str, ClassMetrics] = field(default_factory=dict)
    confusion: list[list[int]] | None = None
    between: SoftLabels | None = None
    calibration: ModelCalibration | None = None
    ordinal: OrdinalMetrics | None = None


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap."""

    resamples: int
    level: float
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
    bootstrap
        Settings of the bootstrap.
    models
        Model to metrics.
    comparisons
        Model to metric to the difference between the headline model and this model, on the patients that both predict
        and the same bootstrap samples.
    compared_patients
        Model to the number of these patients.
    format
        Version of `metrics.json`.
    """

    headline: str
    classes: list[str]
    bootstrap: Bootstrap
    models: dict[str, ModelMetrics]
    comparisons: dict[str, dict[str, Difference]]
    compared_patients: dict[str, int]
    format: int = 1


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
        Metric to value.
    confusion, calibration, ordinal
        As in :class:`ModelMetrics`; None where no case has one true class.
    """

    patients: int
    not_predicted: dict[str, str]
    between: int
    cases: list[ExternalCase]
    pooled: dict[str, Estimate]
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
