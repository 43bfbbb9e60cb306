"""Figures of networks that saw no patient of the site that they are tested on, beside those of the k folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.evaluation.comparison import compare_networks
from nephroscale.evaluation.networks import estimate_figures
from nephroscale.reporting.metric_values import Estimate
from nephroscale.reporting.study_values import LeftOutSites
from nephroscale.reporting.subgroups import summarise_subgroup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.cohort.fold_table import FoldTable
    from nephroscale.reporting.results import ModelResults
    from nephroscale.reporting.settings import ReportSettings

METRIC = "balanced_accuracy"


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
