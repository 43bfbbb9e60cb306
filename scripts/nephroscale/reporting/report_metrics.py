"""Metrics of all models and their comparisons as `metrics.json` and the page have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nephroscale.evaluation.comparison import Discordant
    from nephroscale.reporting.model_metrics import ModelMetrics


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
class Primary:
    """The declared primary endpoint: its metric, the models of its contrasts, and the date of the declaration."""

    metric: str
    contrasts: list[str]
    date: str | None


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
