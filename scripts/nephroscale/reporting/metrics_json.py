"""Metrics of all models, as `metrics.json` and the page show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.comparison import ModelDifference, compare_networks, count_discordant, holm
from nephroscale.evaluation.intervals import LEVEL, persons_for_width
from nephroscale.evaluation.metrics import METRICS, class_rates, compute_metrics, confusion
from nephroscale.evaluation.networks import (
    MeanOverNetworks,
    count_won,
    estimate_classes,
    estimate_figures,
    estimate_macro_auc,
)
from nephroscale.evaluation.precision_recall import average_precision
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.calibration_section import summarise_model_calibration
from nephroscale.reporting.estimates import estimate_metrics, estimate_predictive_values, summarise_ordinal_model
from nephroscale.reporting.metric_values import Estimate, rounded
from nephroscale.reporting.report_metrics import (
    ClassMetrics,
    ClassSpread,
    FoldMetrics,
    FoldSpread,
    ModelMetrics,
    PairCount,
    Precision,
    ReportedDifference,
    ReportMetrics,
    SoftLabels,
    Swaps,
)
from nephroscale.reporting.results import ModelResults, Stacked
from nephroscale.reporting.settings import ReportSettings

WIDTH = 0.10
"""Width of the interval for which the report gives the number of patients."""


def build_metrics(
    models: Mapping[str, ModelResults],
    classes: Sequence[str],
    settings: ReportSettings,
    *,
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
    settings
        Headline model (the first one when None), primary endpoint, prevalences and number of exchanges.
    seed
        Seed of the exchanges.
    ordinal
        Whether the classes are ordered.
    people
        Case to patient, for patients with several biopsies.

    Raises
    ------
    NephroscaleError
        When the headline model is not among the models.
    """
    leading = settings.headline or next(iter(models))
    if leading not in models:
        raise NephroscaleError(
            f"The report's headline model {leading!r} is not among the models.",
            where="report.headline",
            fix=f"Choose one of: {', '.join(models)}.",
        )
    stacked = {name: results.stack(people or {}) for name, results in models.items()}
    comparisons: dict[str, dict[str, ReportedDifference]] = {}
    discordant, compared = {}, {}
    ours = stacked[leading]
    for name, theirs in stacked.items():
        if name == leading or not ours or not theirs:
            continue
        compared[name] = len(common := set(ours.cases) & set(theirs.cases))
        if not common:
            continue
        one, other = ours.of(common), theirs.of(common)
        if (one.networks.labels != other.networks.labels).any():
            continue
        differences = compare_networks(one.networks, other.networks, swaps=settings.swaps, seed=seed, ordered=ordinal)
        comparisons[name] = {metric: _of_the_other(found) for metric, found in differences.items()}
        discordant[name] = count_discordant(other.networks, one.networks)
    primary = settings.primary
    return ReportMetrics(
        headline=leading,
        classes=list(classes),
        level=LEVEL,
        swaps=Swaps(settings.swaps, seed),
        primary=primary if primary.contrasts else None,
        models={
            name: _summarise_model(results, stacked[name], classes, settings.prevalences, people or {}, ordinal=ordinal)
            for name, results in models.items()
        },
        comparisons=_adjust(comparisons, primary.metric, primary.contrasts),
        discordant=discordant,
        compared_patients=compared,
    )


def _summarise_model(
    results: ModelResults,
    stacked: Stacked | None,
    classes: Sequence[str],
    prevalences: Mapping[str, float],
    people: Mapping[str, str],
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
        last_epoch=results.last_epochs,
        trainings=sum(bool(run.curve) for run in results.runs),
    )
    if stacked is None:
        return metrics
    networks = stacked.networks
    persons, figures = len(networks.strata), estimate_figures(networks)
    matrices = [confusion(networks.labels, predicted, len(classes)) for predicted in networks.predicted]
    pairs = [count_won(networks, c) for c in range(len(classes))]
    return replace(
        metrics,
        patients=len(stacked.cases),
        people=persons,
        pooled={metric: Estimate.of(found.interval) for metric, found in figures.items()},
        undefined={metric: found.reason for metric, found in figures.items() if found.reason},
        networks={metric: [rounded(value) for value in found.networks] for metric, found in figures.items()},
        ensemble=estimate_metrics(networks.ensemble) if len(matrices) > 1 else {},
        pooled_auc=Estimate.of(estimate_macro_auc(networks.pooled).interval),
        pairs={name: PairCount(area.pairs, area.folds) for name, area in zip(classes, pairs, strict=True)},
        precision=_precision(figures["balanced_accuracy"], persons),
        classes={
            name: ClassMetrics(
                networks.persons_of(networks.labels == c),
                sensitivity=Estimate.of(found.sensitivity.interval),
                specificity=Estimate.of(found.specificity.interval),
                auc=Estimate.of(found.auc.interval),
                average_precision=rounded(average_precision(networks, c)),
            )
            for c, (name, found) in enumerate(zip(classes, estimate_classes(networks), strict=True))
        },
        confusion=[[_count(cell) for cell in row] for row in np.mean(matrices, axis=0).tolist()],
        prevalence=estimate_predictive_values(networks, classes, prevalences),
        between=_count_soft_labels(results.pooled),
        calibration=summarise_model_calibration(results, people),
        ordinal=summarise_ordinal_model(results, stacked, people) if ordinal else None,
    )


def _count(mean: float) -> float:
    """Round a mean count; a whole number stays one."""
    return int(mean) if mean.is_integer() else rounded(mean)


def _precision(figure: MeanOverNetworks, persons: int) -> Precision | None:
    """Width of an interval, and the number of patients for a width of :data:`WIDTH`."""
    found = figure.interval
    if found is None:
        return None
    return Precision(
        metric="balanced_accuracy",
        width=rounded(found.high - found.low),
        effective=rounded(found.effective),
        patients=persons,
        patients_for_width=persons_for_width(found, persons, WIDTH),
    )


def _count_soft_labels(pooled: Predictions | None) -> SoftLabels | None:
    """Count the patients with a soft label, and those of them who were predicted as one of their two classes."""
    if pooled is None or pooled.second is None or not pooled.between.any():
        return None
    found = pooled.where(pooled.between)
    predicted = found.probabilities.argmax(axis=1)
    return SoftLabels(len(found.patients), int(((predicted == found.labels) | (predicted == found.second)).sum()))


def _summarise_folds(results: ModelResults, classes: Sequence[str]) -> FoldMetrics:
    """Compute each metric over the folds; the value of a fold is the mean over its seeds."""
    certain = {fold: [p.certain for p in results.of_fold(fold) if p.certain.patients] for fold in results.folds}
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


def _of_the_other(found: ModelDifference) -> ReportedDifference:
    """The difference of the other model from the headline model, from that of the headline model from the other."""
    interval = found.interval
    return ReportedDifference(*map(rounded, (0 - interval.value, 0 - interval.high, 0 - interval.low, found.p)))


def _adjust(
    differences: Mapping[str, Mapping[str, ReportedDifference]], metric: str, contrasts: Sequence[str]
) -> dict[str, dict[str, ReportedDifference]]:
    """Adjust the p-values of the primary endpoint for the number of its contrasts; all others stay unadjusted."""
    p_holm = holm({name: differences[name][metric].p for name in contrasts if metric in differences.get(name, {})})
    return {
        name: {
            key: replace(found, p_holm=rounded(p_holm[name])) if key == metric and name in p_holm else found
            for key, found in metrics.items()
        }
        for name, metrics in differences.items()
    }
