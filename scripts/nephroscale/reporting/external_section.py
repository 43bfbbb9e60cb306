"""Metrics of the ensemble on external patients, as `metrics.json` and the page have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nephroscale.collect import grouped
from nephroscale.evaluation.metrics import METRICS, confusion
from nephroscale.evaluation.networks import Networks
from nephroscale.evaluation.tables import InstanceWeight, Predictions, read_probabilities, read_rows
from nephroscale.reporting.attrition import shorten_reason
from nephroscale.reporting.calibration_section import TemperatureScaling, summarise_calibration
from nephroscale.reporting.estimates import estimate_metrics, estimate_ordinal_metrics
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


def summarise_external(folder: Path, classes: Sequence[str], *, ordinal: bool) -> ExternalMetrics:
    """Compute the metrics of an ensemble, and of its single members, on external patients: nothing was fitted on them.

    Parameters
    ----------
    folder
        Object of the stage `predict`.
    classes
        Names of the classes, in the order of their indices.
    ordinal
        Whether the classes are ordered.
    """
    rows, members = (read_rows(folder / name) for name in ("predictions.csv", "members.csv"))
    predicted = [row for row in rows if row["predicted"]]
    cases, not_predicted = read_cases(rows, classes)
    certain = [row for row in predicted if not row["second"]]
    metrics = ExternalMetrics(
        patients=len(predicted),
        not_predicted=not_predicted,
        between=len(predicted) - len(certain),
        cases=cases,
        pooled=dict.fromkeys(METRICS, Estimate()),
    )
    if not certain:
        return metrics
    after, before = (_read_predictions(certain, classes, prefix) for prefix in ("p", "raw"))
    people = {row["patient_id"]: row["patient"] for row in certain}
    persons = list(people.values())
    ensemble = Networks.of(after.labels, after.probabilities, persons)
    by_member = grouped(((row["fold"], row["seed"]), row) for row in members).values()
    found_by = [{row["patient_id"]: read_probabilities(row, "p", classes) for row in found} for found in by_member]
    whole = [found for found in found_by if people.keys() <= found.keys()]
    return replace(
        metrics,
        pooled=estimate_metrics(ensemble),
        single=estimate_metrics(
            Networks.of(after.labels, np.array([[found[case] for case in people] for found in whole]), persons)
        )
        if len(whole) > 1
        else {},
        members=len(by_member),
        confusion=confusion(after.labels, after.probabilities.argmax(axis=1), len(classes)).tolist(),
        calibration=TemperatureScaling(summarise_calibration(before, people), summarise_calibration(after, people)),
        ordinal=estimate_ordinal_metrics(ensemble) if ordinal else None,
    )


def read_cases(rows: Sequence[Mapping[str, str]], classes: Sequence[str]) -> tuple[list[ExternalCase], dict[str, str]]:
    """Read the rows of an ensemble's `predictions.csv`: the predicted cases, and the reasons of the others."""
    return (
        [
            ExternalCase(
                id=row["patient_id"],
                true=f"{row['label']} or {row['second']}" if row["second"] else row["label"],
                predicted=row["predicted"],
                right=not row["label"] or row["predicted"] in {row["label"], row["second"]},
                probabilities=read_probabilities(row, "p", classes),
                agreement=float(row["agreement"]),
                warnings=shorten_reason(row["warnings"]),
            )
            for row in rows
            if row["predicted"]
        ],
        {row["patient_id"]: shorten_reason(row["warnings"]) for row in rows if not row["predicted"]},
    )


def read_tem_weights(folder: Path) -> dict[str, list[InstanceWeight]]:
    """Read what the TEM images counted in an ensemble's predictions: case to the weights of its images.

    An image is kept if any member kept it. The members have no common medoid, so no image is the centre of its bag.
    """
    return grouped(
        (
            row["patient_id"],
            InstanceWeight(
                patient_id=row["patient_id"],
                image_id=row["image_id"],
                index=int(row["index"]),
                kept=int(row["kept"]) > 0,
                centre=False,
                weight=float(row["weight"]),
                distance=None,
            ),
        )
        for row in read_rows(folder / "instances.csv")
        if row["modality"] == "TEM" and row["index"]
    )


def _read_predictions(rows: Sequence[Mapping[str, str]], classes: Sequence[str], prefix: str) -> Predictions:
    labels = np.array([list(classes).index(row["label"]) for row in rows], np.int64)
    probabilities = np.array([read_probabilities(row, prefix, classes) for row in rows])
    return Predictions([row["patient_id"] for row in rows], labels, probabilities)
