"""Figures of several divisions into folds: how far they depend on the division."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.evaluation.comparison import corrected_t
from nephroscale.evaluation.metrics import compute_metrics
from nephroscale.evaluation.networks import estimate_figures
from nephroscale.reporting.metric_values import rounded
from nephroscale.reporting.study_values import CorrectedTest, Repeats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.fold_table import FoldTable
    from nephroscale.reporting.results import ModelResults

METRIC = "balanced_accuracy"


def summarise_repeats(models: Mapping[str, ModelResults], folds: FoldTable, headline: str) -> Repeats | None:
    """Compute the balanced accuracy of each division, and compare the models over all folds.

    Parameters
    ----------
    models
        Results of the models, of all divisions.
    folds
        The folds; with one division there is nothing to give.
    headline
        Model that the others are compared with.
    """
    if folds.repeats == 1:
        return None
    values: dict[str, list[float | None]] = {}
    for name, results in models.items():
        stacks = [results.of_folds(division).stack(folds.people) for division in folds.divisions]
        found = [estimate_figures(stack.networks)[METRIC].interval if stack else None for stack in stacks]
        values[name] = [rounded(interval.value) if interval else None for interval in found]
    divided = [fold for division in folds.divisions for fold in division]
    by_fold = {name: _by_fold(results.of_folds(divided)) for name, results in models.items()}
    ratio = float(np.mean([len(fold.test) / len(fold.train) for fold in divided]))
    tests = {}
    for name, theirs in by_fold.items():
        common = [fold for fold in by_fold[headline] if fold in theirs]
        differences = [theirs[fold] - by_fold[headline][fold] for fold in common]
        if name != headline and (found_t := corrected_t(differences, ratio)):
            tests[name] = CorrectedTest(rounded(float(np.mean(differences))), len(common), *map(rounded, found_t))
    return Repeats(values, tests)


def _by_fold(results: ModelResults) -> dict[str, float]:
    """Balanced accuracy of each fold's test patients with one true class: the mean over the seeds."""
    found = {}
    for fold in results.folds:
        seeds = [predictions.certain for predictions in results.of_fold(fold)]
        values = [compute_metrics(p.labels, p.probabilities)[METRIC].value for p in seeds if p.patients]
        if defined := [value for value in values if value is not None]:
            found[fold] = float(np.mean(defined))
    return found
