"""The numbers of the report as one JSON file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.comparison import COMPARED_STAGES, holm, paired_differences
from nephroscale.evaluation.intervals import (
    LEVEL,
    class_auc_interval,
    percentile_interval,
    resample_counts,
    resampled_metrics,
    wilson_interval,
)
from nephroscale.evaluation.metrics import METRICS, compute_metrics, confusion, describe_classes
from nephroscale.reporting.calibration_section import describe_calibration
from nephroscale.reporting.ordinal_section import describe_stages
from nephroscale.reporting.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.evaluation.tables import Predictions
    from nephroscale.reporting.results import ModelResults

COMPARED = (*METRICS, *COMPARED_STAGES)


def build_metrics(
    models: Mapping[str, ModelResults],
    classes: Sequence[str],
    *,
    headline: str | None,
    resamples: int,
    seed: int,
    ordinal: bool = False,
    people: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Compute all figures of all models.

    Parameters
    ----------
    models
        Results by name.
    classes
        Names of the classes, in the order of their indices.
    headline
        Model whose figures lead; the first one when None.
    resamples, seed
        Of the bootstrap over patients.
    ordinal
        Whether the classes are stages in their order.
    people
        Case to patient, of patients with several biopsies: the bootstrap draws patients.

    Returns
    -------
    dict
        `headline`, `classes`, `bootstrap`, and for each of `models`:

        - `pooled`: of all patients' out-of-fold predictions, averaged over seeds, each metric's `value`, `low`, `high`;
        - `folds`: each metric's `mean` and `sd` over folds, and `values` by fold (where there are several seeds, the
          mean of their figures); the same for `sensitivity` and `specificity` of each of `classes`; `names` of the
          folds; `undefined`, why a value is None;
        - `classes`: `patients`, `sensitivity`, `specificity` and `auc` of each class with `low` and `high`;
        - `confusion`: counts, true class by row; `patients`, the cases, and `people`, whose they are;
          `seeds`; `missing`, runs without an evaluation;
        - `between`: patients whose label lies between two classes, who are in no other figure, and how many of them
          were predicted as one of the two; None where there are none;
        - `calibration`: see :func:`nephroscale.reporting.calibration_section.describe_calibration`;
        - `ordinal`: where the classes are ordered, see :func:`nephroscale.reporting.ordinal_section.describe_stages`.

        `comparisons` gives for each other model how much better the headline model is on the patients that both
        predict (`compared_patients` tells how many), with the interval of the difference over the same bootstrap
        samples, its two-sided p-value `p`, and `p_holm`, corrected for the number of models. A figure that is not
        defined is None.

    Raises
    ------
    NephroscaleError
        When the headline model is none of the models.
    """
    leading = headline or next(iter(models))
    if leading not in models:
        raise NephroscaleError(
            f"The report's headline model {leading!r} is none of the models.",
            where="report.headline",
            todo=f"Choose one of: {', '.join(models)}.",
        )
    pooled = {name: found.certain if (found := results.pooled) else None for name, results in models.items()}
    draw = {"resamples": resamples, "seed": seed, "people": people or {}}
    return {
        "format": 1,
        "headline": leading,
        "classes": list(classes),
        "bootstrap": {"resamples": resamples, "level": LEVEL, "seed": seed},
        "models": {
            name: _describe_model(results, pooled[name], classes, draw, ordinal=ordinal)
            for name, results in models.items()
        },
        "comparisons": _corrected(
            {
                name: difference
                for name in models
                if name != leading and (difference := _compare(pooled[leading], pooled[name], draw, ordinal=ordinal))
            }
        ),
        "compared_patients": {
            name: len(other.of(ours.patients).patients)
            for name, other in pooled.items()
            if name != leading and other and (ours := pooled[leading])
        },
    }


def _interval(value: float | None, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def _counts(predictions: Predictions, draw: Mapping[str, Any]) -> np.ndarray:
    """Draw the bootstrap samples of some patients: how often each case is in each of them."""
    people = [draw["people"].get(case, case) for case in predictions.patients]
    return resample_counts(predictions.labels, draw["resamples"], draw["seed"], people)


def _describe_model(
    results: ModelResults,
    pooled: Predictions | None,
    classes: Sequence[str],
    draw: Mapping[str, Any],
    *,
    ordinal: bool,
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "seeds": sorted({run.seed for run in results.runs}),
        "missing": [f"fold {run.fold}, seed {run.seed}" for run in results.runs if run.predictions is None],
        "folds": _describe_folds(results, classes),
    }
    if pooled is None:
        nothing = {metric: _interval(None, None) for metric in METRICS}
        more = {"between": None, "calibration": None, "ordinal": None}
        return {**described, "patients": 0, "people": 0, "pooled": nothing, "classes": {}, "confusion": None, **more}
    counts = _counts(pooled, draw)
    samples = resampled_metrics(pooled.labels, pooled.probabilities, counts)
    values = compute_metrics(pooled.labels, pooled.probabilities)
    matrix = confusion(pooled.labels, pooled.probabilities.argmax(axis=1), len(classes))
    return {
        **described,
        "patients": len(pooled.patients),
        "people": len({draw["people"].get(case, case) for case in pooled.patients}),
        "pooled": {
            metric: _interval(values[metric].value, percentile_interval(samples[metric]) if metric in samples else None)
            for metric in METRICS
        },
        "classes": {name: _describe_class(pooled, c, matrix, counts) for c, name in enumerate(classes)},
        "confusion": matrix.tolist(),
        "between": _between(results.pooled),
        "calibration": describe_calibration(results),
        "ordinal": describe_stages(results, pooled, len(classes), counts) if ordinal else None,
    }


def _between(pooled: Predictions | None) -> dict[str, int] | None:
    """Count the patients between two classes, and those of them who were predicted as one of the two."""
    if pooled is None or pooled.second is None or not pooled.between.any():
        return None
    found = pooled.where(pooled.between)
    predicted = found.probabilities.argmax(axis=1)
    assert found.second is not None
    hits = (predicted == found.labels) | (predicted == found.second)
    return {"patients": len(found.patients), "predicted_as_one_of_the_two": int(hits.sum())}


def _describe_class(pooled: Predictions, c: int, matrix: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    true, guessed, hit, total = int(matrix[c].sum()), int(matrix[:, c].sum()), int(matrix[c, c]), int(matrix.sum())
    negatives, right = total - true, total - true - guessed + hit
    area = class_auc_interval(pooled.labels, pooled.probabilities, c, counts)
    return {
        "patients": true,
        "sensitivity": _interval(hit / true if true else None, wilson_interval(hit, true)),
        "specificity": _interval(right / negatives if negatives else None, wilson_interval(right, negatives)),
        "auc": _interval(area[0], area[1:]) if area else _interval(None, None),
    }


def _describe_folds(results: ModelResults, classes: Sequence[str]) -> dict[str, Any]:
    """Each metric over folds; a fold's figure is the mean over its seeds, so that sd tells folds apart, not seeds."""
    found: dict[str, Any] = {"names": results.folds, "undefined": {}}
    runs = {
        fold: [compute_metrics(p.labels, p.probabilities) for p in _certain(results, fold)] for fold in results.folds
    }
    for metric in METRICS:
        values: list[float | None] = []
        for fold, seeds in runs.items():
            figures = [figure[metric] for figure in seeds]
            values.append(_mean([figure.value for figure in figures]))
            if values[-1] is None:
                reason = figures[0].reason if figures else "no patient with one true class"
                found["undefined"].setdefault(metric, {})[fold] = reason
        found[metric] = _spread(values)
    tables = [[describe_classes(p.labels, p.probabilities) for p in _certain(results, fold)] for fold in results.folds]
    found["classes"] = {
        name: {
            figure: _spread([_mean([table[figure][c] for table in seeds]) for seeds in tables])
            for figure in ("sensitivity", "specificity")
        }
        for c, name in enumerate(classes)
    }
    return found


def _certain(results: ModelResults, fold: str) -> list[Predictions]:
    """Predictions of a fold's patients with one true class, one of each seed; none where there is nobody."""
    return [p.certain for p in results.of_fold(fold) if p.certain.patients]


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation over the folds in which a figure is defined, and the figure of each fold."""
    there = [value for value in values if value is not None]
    return {
        "mean": rounded(_mean(values)),
        "sd": rounded(float(np.std(there, ddof=1))) if len(there) > 1 else None,
        "values": [rounded(value) for value in values],
    }


def _compare(
    ours: Predictions | None, theirs: Predictions | None, draw: Mapping[str, Any], *, ordinal: bool
) -> dict[str, dict[str, float | None]] | None:
    """How much better ours is than theirs: both are judged on the same bootstrap samples of the patients of both."""
    if ours is None or theirs is None:
        return None
    ours, theirs = ours.of(theirs.patients), theirs.of(ours.patients)
    if not ours.patients or (ours.labels != theirs.labels).any():
        return None
    counts = _counts(ours, draw)
    found = paired_differences(ours.labels, ours.probabilities, theirs.probabilities, counts, ordered=ordinal)
    return {
        metric: {**_interval(d.value, (d.low, d.high)), "p": rounded(d.p)}
        for metric in COMPARED
        if (d := found.get(metric))
    }


def _corrected(compared: dict[str, Any]) -> dict[str, Any]:
    """Add to each p-value what Holm's procedure makes of it, over the models and for each metric by itself."""
    for metric in COMPARED:
        p_values = {name: found[metric]["p"] for name, found in compared.items() if metric in found}
        for name, p in holm(p_values).items():
            compared[name][metric]["p_holm"] = rounded(p)
    return compared
