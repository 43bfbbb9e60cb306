"""Metrics of external patients as `metrics.json` and the page have them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nephroscale.reporting.calibration_values import TemperatureScaling
    from nephroscale.reporting.metric_values import Estimate


@dataclass(frozen=True)
class ExternalCase:
    """Prediction of one external or new case by the ensemble.

    `true` names the true class, or both classes of a soft label. It is empty for a new case, which counts as right.
    """

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
