"""Patients outside the folds, scored once by the ensemble."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.evaluation.intervals import percentile_interval, resample_counts, resampled_metrics
from nephroscale.evaluation.metrics import METRICS, compute_metrics, confusion
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.calibration_section import describe
from nephroscale.reporting.ordinal_section import of_patients
from nephroscale.reporting.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def describe_external(
    folder: Path, classes: Sequence[str], *, resamples: int, seed: int, ordinal: bool
) -> dict[str, Any]:
    """Describe what an ensemble made of the external patients, whose labels nothing was fitted on.

    Parameters
    ----------
    folder
        Object of `predict`.
    classes
        Names of the classes, in the order of their indices.
    resamples, seed
        Of the bootstrap over patients.
    ordinal
        Whether the classes are stages in their order.

    Returns
    -------
    dict
        `patients`; `not_predicted` (case to why); `between` (number of cases between two classes, in no figure);
        `pooled`, each metric with `value`, `low`, `high`; `confusion`; `calibration`, `before` and `after` tempering;
        `ordinal`, or None; `cases`, every case with its label, prediction, probabilities, agreement and warnings.
    """
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    predicted = [row for row in rows if row["predicted"]]
    told = {
        "patients": len(predicted),
        "not_predicted": {row["patient_id"]: row["warnings"] for row in rows if not row["predicted"]},
        "between": sum(bool(row["second"]) for row in predicted),
        "cases": [_case(row, classes) for row in predicted],
    }
    certain = [row for row in predicted if not row["second"]]
    if not certain:
        nothing = {metric: {"value": None, "low": None, "high": None} for metric in METRICS}
        return {**told, "pooled": nothing, "confusion": None, "calibration": None, "ordinal": None}
    after, before = (_predictions(certain, classes, prefix) for prefix in ("p", "raw"))
    counts = resample_counts(after.labels, resamples, seed, [row["patient"] for row in certain])
    samples = resampled_metrics(after.labels, after.probabilities, counts)
    values = compute_metrics(after.labels, after.probabilities)
    pooled = {}
    for metric in METRICS:
        low, high = percentile_interval(samples[metric]) if metric in samples else (None, None)
        pooled[metric] = {"value": rounded(values[metric].value), "low": rounded(low), "high": rounded(high)}
    return {
        **told,
        "pooled": pooled,
        "confusion": confusion(after.labels, after.probabilities.argmax(axis=1), len(classes)).tolist(),
        "calibration": {
            "before": describe(before.labels, before.probabilities),
            "after": describe(after.labels, after.probabilities),
        },
        "ordinal": of_patients(after, len(classes), counts) if ordinal else None,
    }


def _predictions(rows: Sequence[dict[str, str]], classes: Sequence[str], prefix: str) -> Predictions:
    labels = np.array([list(classes).index(row["label"]) for row in rows], np.int64)
    chances = np.array([[float(row[f"{prefix}_{name}"]) for name in classes] for row in rows])
    return Predictions([row["patient_id"] for row in rows], labels, chances)


def _case(row: dict[str, str], classes: Sequence[str]) -> dict[str, Any]:
    return {
        "id": row["patient_id"],
        "true": f"{row['label']} or {row['second']}" if row["second"] else row["label"],
        "predicted": row["predicted"],
        "right": row["predicted"] in {row["label"], row["second"]},
        "probabilities": [float(row[f"p_{name}"]) for name in classes],
        "agreement": float(row["agreement"]),
        "warnings": row["warnings"],
    }
