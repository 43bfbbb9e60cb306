"""Figures of other divisions into folds: how far they depend on the division, and what they are at a site not seen.

For the latter, no patient of the site that a network is tested on was in its training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nephroscale.cohort.fold_table import FoldTable
from nephroscale.evaluation.comparison import compare_networks, corrected_t
from nephroscale.evaluation.metrics import compute_metrics
from nephroscale.evaluation.networks import estimate_figures
from nephroscale.reporting.metric_values import Estimate, rounded
from nephroscale.reporting.results import ModelResults
from nephroscale.reporting.settings import ReportSettings
from nephroscale.reporting.study_values import CorrectedTest, LeftOutSites, Repeats
from nephroscale.reporting.subgroups import summarise_subgroup

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


def summarise_left_out_sites(
    models: Mapping[str, ModelResults], folds: FoldTable, classes: Sequence[str], settings: ReportSettings, seed: int
) -> LeftOutSites | None:
    """Compute the balanced accuracy with each site left out, and compare it with that of the k folds.

    Parameters
    ----------
    models
        Results of the models, of all folds.
    folds
        The folds; without those that leave a site out there is nothing to give.
    classes
        Names of the classes, in the order of their indices.
    settings
        Patients that a site needs for figures of its own, and number of exchanges of the comparison.
    seed
        Seed of the exchanges.
    """
    if not folds.left_out_sites:
        return None
    found = LeftOutSites({}, {}, {}, {})
    for name, results in models.items():
        divided = results.of_folds(folds.divisions[0]).stack(folds.people)
        left_out = results.of_folds(folds.by_site).stack(folds.people)
        if not divided or not left_out:
            continue
        common = set(divided.cases) & set(left_out.cases)
        one, other = left_out.of(common), divided.of(common)
        found.pooled[name] = Estimate.of(estimate_figures(one.networks)[METRIC].interval)
        found.divided[name] = Estimate.of(estimate_figures(other.networks)[METRIC].interval)
        compared = compare_networks(one.networks, other.networks, swaps=settings.swaps, seed=seed)
        found.difference[name] = Estimate.of(compared[METRIC].interval if METRIC in compared else None)
        members = {str(fold.site): one.of(common & set(fold.test)) for fold in folds.by_site if common & set(fold.test)}
        found.sites[name] = [
            summarise_subgroup(site, patients, classes, settings.smallest_subgroup)
            for site, patients in members.items()
        ]
    return found
