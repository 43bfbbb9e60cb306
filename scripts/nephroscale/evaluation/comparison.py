"""Paired comparison of two models on the same cases, and the correction for several comparisons.

The p-values come from exchanging the two models' outputs, person by person, with all networks and biopsies: if the
models were equal, each exchange would be as likely as the observed outputs. For metrics of predicted classes these
classes are exchanged, for areas under ROC curves the ranks of the cases within their fold; there, the exchanged
differences are scaled up to the jackknife variance of the observed one where they vary less.

References
----------
Lancaster HO. Significance tests in discrete distributions. JASA 56, 1961 (mid-p). Fagerland MW, Lydersen S, Laake P.
The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional. BMC Medical
Research Methodology 13, 2013. Venkatraman ES, Begg CB. A distribution-free procedure for comparing receiver operating
characteristic curves from a paired experiment. Biometrika 83, 1996. Phipson B, Smyth GK. Permutation p-values should
never be zero. Statistical Applications in Genetics and Molecular Biology 9, 2010. Holm S. A simple sequentially
rejective multiple test procedure. Scandinavian Journal of Statistics 6, 1979. Janssen A. Studentized permutation tests
for non-i.i.d. hypotheses and the generalized Behrens-Fisher problem. Statistics & Probability Letters 36, 1997.
Nadeau C, Bengio Y. Inference for the generalization error. Machine Learning 52, 2003.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from nephroscale.evaluation.intervals import Interval, difference_interval, jackknife_variance
from nephroscale.evaluation.metrics import METRICS
from nephroscale.evaluation.networks import (
    Networks,
    Samples,
    confusion_metrics,
    count_won,
    equal_sizes,
    mean_samples,
    metric_limits,
    sample_metrics,
    variance_between,
)

COMPARED_ORDINAL_METRICS = ("quadratic_kappa", "mean_class_error")

LEAST_DISCORDANT = 6
"""With fewer discordant persons no two-sided exact p-value is below 0.05: 2 / 2^5 is 0.0625."""

MOST_ENUMERATED = 12
"""Up to this number of persons with different outputs all exchanges are computed."""


@dataclass(frozen=True)
class ModelDifference:
    """Difference of a metric between two models.

    Attributes
    ----------
    interval
        The difference with its 95 % interval.
    p
        Two-sided p-value: mid-p, or the exact one with fewer than :data:`LEAST_DISCORDANT` discordant persons.
    """

    interval: Interval
    p: float


@dataclass(frozen=True)
class Discordant:
    """Number of persons of whom one model predicts more correctly than the other."""

    better: int
    worse: int


def count_discordant(ours: Networks, theirs: Networks) -> Discordant:
    """Count the persons of whom `ours` is correct more, and less, often than `theirs`, over networks and biopsies."""
    mine, yours = (np.trace(each.person_confusions(), axis1=2, axis2=3).mean(axis=0) for each in (ours, theirs))
    gap = np.round(mine - yours, 9)
    return Discordant(int((gap > 0).sum()), int((gap < 0).sum()))


def compare_networks(
    ours: Networks, theirs: Networks, *, swaps: int, seed: int, ordered: bool = False
) -> dict[str, ModelDifference]:
    """Compare two models on the same cases.

    Parameters
    ----------
    ours, theirs
        Predictions of the same cases, in the same order. With different numbers of networks the first ones are used.
    swaps
        Number of random exchanges for the p-values, where not all are computed.
    seed
        Seed of the exchanges.
    ordered
        Whether the classes are ordered: then :data:`COMPARED_ORDINAL_METRICS` are compared, too.

    Returns
    -------
    dict
        Metric to `ours` minus `theirs`, for the metrics that are defined for both.
    """
    count = min(len(ours.probabilities), len(theirs.probabilities))
    ours, theirs = (replace(each, probabilities=each.probabilities[:count]) for each in (ours, theirs))
    discordant = count_discordant(ours, theirs)
    sizes = equal_sizes(ours, ordered=ordered, agreement=1.0)
    samples = [sample_metrics(each, ordered=ordered) for each in (ours, theirs)]
    areas = [[count_won(each, c) for c in range(each.classes)] for each in (ours, theirs)]
    if all(area.pairs for area in areas[0]):
        sizes["macro_auc"] = float(np.mean([area.size for area in areas[0]]))
        for found, its in zip(samples, areas, strict=True):
            found["macro_auc"] = mean_samples(its)
    nulls = swap_predictions(ours, theirs, swaps, seed, ordered=ordered)
    if "macro_auc" in sizes:
        spread = (samples[0]["macro_auc"].left_out - samples[1]["macro_auc"].left_out).mean(axis=0)
        nulls["macro_auc"] = widen(swap_ranks(ours, theirs, swaps, seed), jackknife_variance(spread, ours.strata))
    result = {}
    for metric in [*METRICS, *(COMPARED_ORDINAL_METRICS if ordered else ())]:
        if metric not in sizes:
            continue
        interval = _difference(ours, samples[0][metric], samples[1][metric], sizes[metric], metric)
        if interval:
            exact = discordant.better + discordant.worse < LEAST_DISCORDANT and metric != "macro_auc"
            result[metric] = ModelDifference(interval, swap_p(interval.value, nulls[metric], exact=exact))
    return result


def _difference(networks: Networks, ours: Samples, theirs: Samples, size: float, metric: str) -> Interval | None:
    values = ours.values - theirs.values
    if not np.isfinite(values).all():
        return None
    variance = jackknife_variance((ours.left_out - theirs.left_out).mean(axis=0), networks.strata)
    low, high = metric_limits(metric, networks.classes)
    return difference_interval(float(values.mean()), variance + variance_between(values), size, high - low)


class Exchanged(NamedTuple):
    """Differences [B] after exchanges; `enumerated` if these are all exchanges."""

    differences: np.ndarray
    enumerated: bool


def swap_predictions(
    ours: Networks, theirs: Networks, swaps: int, seed: int, *, ordered: bool = False
) -> dict[str, Exchanged]:
    """Compute the differences of all metrics of predicted classes after exchanging persons' predictions."""
    mine, yours = ours.person_confusions(), theirs.person_confusions()
    gap = yours - mine
    differing = np.flatnonzero(np.abs(gap).sum(axis=(0, 2, 3)))
    chosen, enumerated = _choose(len(differing), swaps, seed)
    shape = (-1, ours.classes, ours.classes)
    sums: dict[str, list[np.ndarray]] = {}
    for s in range(len(gap)):
        moved = (chosen @ gap[s, differing].reshape(len(differing), ours.classes**2)).reshape(shape)
        one = confusion_metrics(mine[s].sum(axis=0) + moved, ordered=ordered)
        other = confusion_metrics(yours[s].sum(axis=0) - moved, ordered=ordered)
        for metric in one:
            sums.setdefault(metric, []).append(one[metric] - other[metric])
    return {metric: Exchanged(np.mean(found, axis=0), enumerated) for metric, found in sums.items()}


def swap_ranks(ours: Networks, theirs: Networks, swaps: int, seed: int) -> Exchanged:
    """Compute the differences of the macro AUC within folds after exchanging persons' ranks within their fold.

    Cases are ranked by the probability of each class among the cases of their fold, so that the scales of the models'
    probabilities, and of the networks of different folds, do not count. Equal ranks after an exchange are ordered at
    random, as Venkatraman and Begg do: counted as ties, they would make the exchanged areas vary too little.
    """
    chosen, enumerated = _choose(len(ours.strata), swaps, seed)
    random = np.random.default_rng([seed, 1])
    total = np.zeros(len(chosen))
    for c in range(ours.classes):
        pairs, won = 0, np.zeros(len(chosen))
        for fold in np.unique(ours.folds):
            inside = np.flatnonzero(ours.folds == fold)
            own = ours.labels[inside] == c
            count = int(own.sum()) * int((~own).sum())
            pairs += count
            if count:
                exchanged = chosen[:, ours.people[inside]] > 0
                for one, other in zip(ours.probabilities, theirs.probabilities, strict=True):
                    mine, yours = (rank(each[inside, c][None])[0] for each in (one, other))
                    left, right = np.where(exchanged, yours, mine), np.where(exchanged, mine, yours)
                    left, right = (ranks + 0.5 * random.random(ranks.shape) for ranks in (left, right))
                    won += count * (rank_area(left, own) - rank_area(right, own))
        total += won / pairs / len(ours.probabilities)
    return Exchanged(total / ours.classes, enumerated)


def widen(exchanged: Exchanged, variance: float) -> Exchanged:
    """Scale differences after exchanges up to a variance, if theirs is smaller.

    A case's rank depends on the other cases of its fold, so that ranks of two models are not exchangeable case by case,
    and areas of mixed ranks vary less than those of new cohorts: their standard deviation is 3 to 23 % smaller for 20
    to 100 persons. A permutation test keeps its level if its statistic is divided by its standard error (Janssen 1997):
    here that of the observed difference, by the jackknife, and that of the exchanged ones.

    Parameters
    ----------
    exchanged
        The differences [B], with mean 0 over all exchanges.
    variance
        Variance of the observed difference over persons.
    """
    own = float(np.mean(exchanged.differences**2))
    if not np.isfinite(variance) or own <= 1e-18:
        return exchanged
    return exchanged._replace(differences=exchanged.differences * max(1.0, float(np.sqrt(variance / own))))


def rank(scores: np.ndarray) -> np.ndarray:
    """Rank the values of each row [B, n] from 1; ties have their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(scores, axis=1))


def rank_area(scores: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Compute the area under the ROC curve of each row of scores [B, n] from the rank sum of the positive cases."""
    positives, negatives = int(own.sum()), int((~own).sum())
    return np.asarray((rank(scores)[:, own].sum(axis=1) - positives * (positives + 1) / 2) / (positives * negatives))


def _choose(persons: int, swaps: int, seed: int) -> tuple[np.ndarray, bool]:
    """Choose the persons to exchange: [B, persons] of 0 and 1, all subsets where they are few."""
    if persons <= MOST_ENUMERATED:
        return (np.arange(2**persons)[:, None] >> np.arange(persons) & 1).astype(float), True
    return np.random.default_rng(seed).integers(0, 2, (swaps, persons)).astype(float), False


def swap_p(observed: float, exchanged: Exchanged, *, exact: bool) -> float:
    """Compute the two-sided p-value of a difference.

    Parameters
    ----------
    observed
        The difference.
    exchanged
        Differences after exchanges. Where they are random, the observed one is counted among them.
    exact
        Whether differences of the observed size count in full. Otherwise they count half (mid-p).

    Returns
    -------
    float
        1 for a difference of 0.
    """
    if abs(observed) <= 1e-9:
        return 1.0
    sizes = np.abs(exchanged.differences[np.isfinite(exchanged.differences)])
    larger = float((sizes > abs(observed) + 1e-9).sum())
    equal = float((np.abs(sizes - abs(observed)) <= 1e-9).sum())
    extra = 0 if exchanged.enumerated else 1
    return (larger + (equal + extra) * (1.0 if exact else 0.5)) / (len(sizes) + extra)


def corrected_t(differences: Sequence[float], ratio: float) -> tuple[float, float] | None:
    """Compare two models over the folds of several divisions by the corrected resampled t.

    The folds share training patients, so that their differences vary less than those of new cohorts would: t = mean /
    sqrt((1 / J + ratio) variance) for J folds, with J - 1 degrees of freedom (Nadeau and Bengio 2003).

    Parameters
    ----------
    differences
        [J] difference of a figure in each fold.
    ratio
        Test patients / training patients of a fold.

    Returns
    -------
    tuple of float or None
        t and its two-sided p-value; None with fewer than two folds or without any variance.
    """
    from scipy.stats import t as student

    count, variance = len(differences), float(np.var(differences, ddof=1)) if len(differences) > 1 else 0.0
    if variance < 1e-18:
        return None
    value = float(np.mean(differences) / np.sqrt((1 / count + ratio) * variance))
    return value, float(2 * student.sf(abs(value), count - 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values by Holm's step-down procedure, which controls the family-wise error rate."""
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda key: (p_values[key], key))):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}
