"""Metrics of all models, as `metrics.json` and the page show them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.comparison import COMPARED_ORDINAL_METRICS, holm, paired_differences
from nephroscale.evaluation.intervals import LEVEL, class_auc_interval, resample_counts, wilson_interval
from nephroscale.evaluation.metrics import METRICS, class_rates, compute_metrics, confusion
from nephroscale.reporting.calibration_section import summarise_model_calibration
from nephroscale.reporting.estimates import estimate_metrics
from nephroscale.reporting.ordinal_section import summarise_ordinal_model
from nephroscale.reporting.report_metrics import (
    Bootstrap,
    ClassMetrics,
    ClassSpread,
    Difference,
    Estimate,
    FoldMetrics,
    FoldSpread,
    ModelMetrics,
    ReportMetrics,
    SoftLabels,
)
from nephroscale.reporting.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.evaluation import comparison
    from nephroscale.evaluation.tables import Predictions
    from nephroscale.reporting.results import ModelResults

COMPARED = (*METRICS, *COMPARED_ORDINAL_METRICS)


@dataclass(frozen=True)
class PatientBootstrap:
    """Bootstrap over patients.

    Attributes
    ----------
    resamples, seed
        Number of samples and seed of the draw.
    people
        Case to patient, for patients with several biopsies: the bootstrap draws patients.
    """

    resamples: int
    seed: int
    people: Mapping[str, str] = field(default_factory=dict)

    def patients_of(self, predictions: Predictions) -> list[str]:
        """List the patient of each case."""
        return [self.people.get(case, case) for case in predictions.patients]

    def counts(self, predictions: Predictions) -> np.ndarray:
        """Draw the samples: [B, n], how often each case is in each sample."""
        return resample_counts(predictions.labels, self.resamples, self.seed, self.patients_of(predictions))


def build_metrics(
    models: Mapping[str, ModelResults],
    classes: Sequence[str],
    *,
    headline: str | None,
    resamples: int,
    seed: int,
    ordinal: bool = False,
    people: Mapping[str, str] | None = None,
) -> ReportMetrics:
    """Compute the metrics of all models and compare the headline model with each of the others.

    Parameters
    ----------
    models
        Name to results.
    classes
        Names of the classes, in the order of their indices.
    headline
        Model that leads the report; the first one when None.
    resamples, seed
        Settings of the bootstrap over patients.
    ordinal
        Whether the classes are ordered.
    people
        Case to patient, for patients with several biopsies.

    Raises
    ------
    NephroscaleError
        When the headline model is not among the models.
    """
    leading = headline or next(iter(models))
    if leading not in models:
        raise NephroscaleError(
            f"The report's headline model {leading!r} is not among the models.",
            where="report.headline",
            fix=f"Choose one of: {', '.join(models)}.",
        )
    pooled = {name: found.certain if (found := results.pooled) else None for name, results in models.items()}
    bootstrap = PatientBootstrap(resamples, seed, people or {})
    differences = {
        name: compared
        for name in models
        if name != leading and (compared := _compare(pooled[leading], pooled[name], bootstrap, ordinal=ordinal))
    }
    return ReportMetrics(
        headline=leading,
        classes=list(classes),
        bootstrap=Bootstrap(resamples, LEVEL, seed),
        models={
            name: _summarise_model(results, pooled[name], classes, bootstrap, ordinal=ordinal)
            for name, results in models.items()
        },
        comparisons=_adjust(differences),
        compared_patients={
            name: len(other.of(ours.patients).patients)
            for name, other in pooled.items()
            if name != leading and other and (ours := pooled[leading])
        },
    )


def _summarise_model(
    results: ModelResults,
    pooled: Predictions | None,
    classes: Sequence[str],
    bootstrap: PatientBootstrap,
    *,
    ordinal: bool,
) -> ModelMetrics:
    metrics = ModelMetrics(
        seeds=sorted({run.seed for run in results.runs}),
        missing=[f"fold {run.fold}, seed {run.seed}" for run in results.runs if run.predictions is None],
        folds=_summarise_folds(results, classes),
        patients=0,
        people=0,
        pooled=dict.fromkeys(METRICS, Estimate()),
    )
    if pooled is None:
        return metrics
    counts = bootstrap.counts(pooled)
    matrix = confusion(pooled.labels, pooled.probabilities.argmax(axis=1), len(classes))
    return replace(
        metrics,
        patients=len(pooled.patients),
        people=len(set(bootstrap.patients_of(pooled))),
        pooled=estimate_metrics(pooled, counts),
        classes={name: _summarise_class(pooled, c, matrix, counts) for c, name in enumerate(classes)},
        confusion=matrix.tolist(),
        between=_count_soft_labels(results.pooled),
        calibration=summarise_model_calibration(results),
        ordinal=summarise_ordinal_model(results, pooled, len(classes), counts) if ordinal else None,
    )


def _count_soft_labels(pooled: Predictions | None) -> SoftLabels | None:
    """Count the patients with a soft label, and those of them who were predicted as one of their two classes."""
    if pooled is None or pooled.second is None or not pooled.between.any():
        return None
    found = pooled.where(pooled.between)
    predicted = found.probabilities.argmax(axis=1)
    hits = (predicted == found.labels) | (predicted == found.second)
    return SoftLabels(len(found.patients), int(hits.sum()))


def _summarise_class(pooled: Predictions, c: int, matrix: np.ndarray, counts: np.ndarray) -> ClassMetrics:
    true, predicted, hit, total = int(matrix[c].sum()), int(matrix[:, c].sum()), int(matrix[c, c]), int(matrix.sum())
    negatives, correct = total - true, total - true - predicted + hit
    area = class_auc_interval(pooled.labels, pooled.probabilities, c, counts)
    return ClassMetrics(
        patients=true,
        sensitivity=Estimate.of(hit / true if true else None, wilson_interval(hit, true)),
        specificity=Estimate.of(correct / negatives if negatives else None, wilson_interval(correct, negatives)),
        auc=Estimate.of(area[0], area[1:]) if area else Estimate(),
    )


def _summarise_folds(results: ModelResults, classes: Sequence[str]) -> FoldMetrics:
    """Compute each metric over the folds; the value of a fold is the mean over its seeds."""
    certain = {fold: _certain(results, fold) for fold in results.folds}
    runs = {fold: [compute_metrics(p.labels, p.probabilities) for p in seeds] for fold, seeds in certain.items()}
    spreads, undefined = {}, {}
    for metric in METRICS:
        values = {fold: _mean([run[metric].value for run in seeds]) for fold, seeds in runs.items()}
        spreads[metric] = _spread(list(values.values()))
        reasons = {
            fold: runs[fold][0][metric].reason if runs[fold] else "no patient with one true class"
            for fold, value in values.items()
            if value is None
        }
        if reasons:
            undefined[metric] = reasons
    rates = [
        [class_rates(confusion(p.labels, p.probabilities.argmax(axis=1), len(classes))) for p in seeds]
        for seeds in certain.values()
    ]
    by_class = {
        name: ClassSpread(
            sensitivity=_spread([_mean([rate.sensitivity[c] for rate in seeds]) for seeds in rates]),
            specificity=_spread([_mean([rate.specificity[c] for rate in seeds]) for seeds in rates]),
        )
        for c, name in enumerate(classes)
    }
    return FoldMetrics(results.folds, spreads, by_class, undefined)


def _certain(results: ModelResults, fold: str) -> list[Predictions]:
    """Predictions of a fold's patients with one true class, one for each seed; empty without such a patient."""
    return [p.certain for p in results.of_fold(fold) if p.certain.patients]


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _spread(values: Sequence[float | None]) -> FoldSpread:
    """Mean and standard deviation over the folds in which a metric is defined, and its value in each fold."""
    defined = [value for value in values if value is not None]
    return FoldSpread(
        mean=rounded(_mean(values)),
        sd=rounded(float(np.std(defined, ddof=1))) if len(defined) > 1 else None,
        values=[rounded(value) for value in values],
    )


def _compare(
    ours: Predictions | None, theirs: Predictions | None, bootstrap: PatientBootstrap, *, ordinal: bool
) -> dict[str, comparison.Difference] | None:
    """Compute the differences between two models over the same bootstrap samples of the patients that both predict."""
    if ours is None or theirs is None:
        return None
    ours, theirs = ours.of(theirs.patients), theirs.of(ours.patients)
    if not ours.patients or (ours.labels != theirs.labels).any():
        return None
    counts = bootstrap.counts(ours)
    return paired_differences(ours.labels, ours.probabilities, theirs.probabilities, counts, ordered=ordinal)


def _adjust(differences: Mapping[str, Mapping[str, comparison.Difference]]) -> dict[str, dict[str, Difference]]:
    """Round the differences and adjust their p-values for the number of models, for each metric separately."""
    adjusted: dict[str, dict[str, Difference]] = {name: {} for name in differences}
    for metric in COMPARED:
        compared = {name: found[metric] for name, found in differences.items() if metric in found}
        p_holm = holm({name: rounded(difference.p) for name, difference in compared.items()})
        for name, difference in compared.items():
            adjusted[name][metric] = Difference(
                value=rounded(difference.value),
                low=rounded(difference.low),
                high=rounded(difference.high),
                p=rounded(difference.p),
                p_holm=rounded(p_holm[name]),
            )
    return adjusted
