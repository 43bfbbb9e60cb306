"""Figures of networks that predicted the same cases, with intervals over persons and networks.

The networks of a model differ in the seed of their training. A figure is the mean over the networks, each of which
predicts every case, out of fold or as a member of an ensemble. Its variance is that over persons, by a jackknife that
leaves out a person with all biopsies and all networks, and that between the networks. For out-of-fold predictions, the
variance over persons is multiplied by a factor, as another cohort would train other networks. Areas under ROC curves
count the pairs of cases within folds: the scores of different folds come from different networks, and are not
comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from nephroscale.evaluation.intervals import (
    TRAINING_VARIANCE,
    Interval,
    agreement_within,
    equal_size,
    jackknife_variance,
    midp_interval,
    pairs_size,
    repeated_size,
    score_interval,
)
from nephroscale.evaluation.metrics import METRICS, ORDINAL_METRICS, check_predictions


@dataclass(frozen=True)
class Networks:
    """Predictions of n cases by S networks.

    Attributes
    ----------
    labels
        [n] class indices.
    probabilities
        [S, n, K].
    people, folds
        [n] index of the person of each case, and of its fold.
    out_of_fold
        Whether networks predicted that were trained on other patients of the same cohort.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    people: np.ndarray
    folds: np.ndarray
    out_of_fold: bool = False

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        probabilities: np.ndarray,
        people: Sequence[object] | np.ndarray | None = None,
        folds: Sequence[object] | np.ndarray | None = None,
    ) -> Networks:
        """Check predictions of one network [n, K] or of several [S, n, K], and number persons and folds.

        Without `people` each case is a person of its own. With `folds` the predictions are out of fold; without them
        all cases are in one.

        Raises
        ------
        NephroscaleError
            When the predictions are invalid.
        """
        labels, stacked = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
        stacked = stacked[None] if stacked.ndim == 2 else stacked
        for one in stacked:
            check_predictions(labels, one)
        named = (range(len(labels)) if people is None else people, [0] * len(labels) if folds is None else folds)
        whose, where = (np.unique(np.asarray(names), return_inverse=True)[1] for names in named)
        return cls(labels, stacked, whose, where, folds is not None)

    @property
    def predicted(self) -> np.ndarray:
        """[S, n] class with the largest probability, the first one of ties."""
        return np.asarray(self.probabilities.argmax(axis=2))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.probabilities.shape[2])

    @property
    def strata(self) -> np.ndarray:
        """[P] class of each person, that of the first case."""
        return np.asarray(self.labels[np.unique(self.people, return_index=True)[1]])

    @property
    def ensemble(self) -> Networks:
        """The mean of the networks' probabilities, as one network."""
        return replace(self, probabilities=self.probabilities.mean(axis=0, keepdims=True))

    @property
    def pooled(self) -> Networks:
        """The same predictions without regard to folds."""
        return replace(self, folds=np.zeros_like(self.folds))

    def select(self, places: Sequence[int]) -> Networks:
        """Select cases by their places; persons and folds are numbered again."""
        chosen = np.asarray(places, np.int64)
        parts = (self.labels[chosen], self.probabilities[:, chosen], self.people[chosen], self.folds[chosen])
        return replace(Networks.of(*parts), out_of_fold=self.out_of_fold)

    def persons_of(self, chosen: np.ndarray) -> int:
        """Count the persons of some cases, a mask [n]."""
        return len(np.unique(self.people[chosen]))

    def effective_persons(self, agreement: float | None = None) -> tuple[float, np.ndarray]:
        """Effective number of persons, and of each class [K].

        Both are the numbers of persons where each has one case, or as many cases as the others, all correct or all
        wrong.

        Parameters
        ----------
        agreement
            Correlation of the results of a person; estimated where it is not given.
        """
        cases, strata = np.bincount(self.people), self.strata
        if agreement is None:
            right = np.stack([np.bincount(self.people, weights=hit) for hit in self.predicted == self.labels])
            agreement = agreement_within(right, cases)
        sizes = [repeated_size(cases[strata == c], agreement) for c in range(self.classes)]
        return repeated_size(cases, agreement), np.array(sizes)

    def person_confusions(self) -> np.ndarray:
        """Count each person's cases by true class and predicted class: [S, P, K, K]."""
        networks, k = len(self.probabilities), self.classes
        found = np.zeros((networks, len(self.strata), k, k))
        for s, predicted in enumerate(self.predicted):
            np.add.at(found[s], (self.people, self.labels, predicted), 1)
        return found


@dataclass(frozen=True)
class MeanOverNetworks:
    """A figure over networks.

    Attributes
    ----------
    interval
        The mean over the networks with its 95 % interval; None where the figure is not estimable.
    networks
        The figure of each network.
    reason
        Why it is not estimable.
    """

    interval: Interval | None
    networks: tuple[float, ...] = ()
    reason: str | None = None


class ClassFigures(NamedTuple):
    """Figures of one class against all others."""

    sensitivity: MeanOverNetworks
    specificity: MeanOverNetworks
    auc: MeanOverNetworks


class Samples(NamedTuple):
    """A figure of each network [S], and of each network without each person [S, P]."""

    values: np.ndarray
    left_out: np.ndarray


class Area(NamedTuple):
    """Area under the ROC curve of one class against all others, over the pairs within folds.

    `pairs` is the number of pairs, `folds` the number of folds that have any, `size` the effective number of persons of
    an area near 1.
    """

    pairs: int
    folds: int
    size: float
    samples: Samples


def confusion_metrics(matrices: np.ndarray, *, ordered: bool = False) -> dict[str, np.ndarray]:
    """Compute the metrics of predicted classes from confusion matrices.

    Parameters
    ----------
    matrices
        [..., K, K] counts, true class by row.
    ordered
        Whether the classes are ordered: then :data:`nephroscale.evaluation.metrics.ORDINAL_METRICS` are computed, too.

    Returns
    -------
    dict
        Metric to [...], as :func:`nephroscale.evaluation.metrics.compute_metrics` defines it; NaN where it is not
        defined. Of ordered classes, kappa is at most 1, and 0 for agreement by chance; it is not defined where all true
        and predicted classes are the same. The error is in classes, the shares are in [0, 1].
    """
    hit = np.diagonal(matrices, axis1=-2, axis2=-1)
    true, guessed = matrices.sum(axis=-1), matrices.sum(axis=-2)
    total = true.sum(axis=-1)
    found = {
        "accuracy": _ratio(hit.sum(axis=-1), total),
        "balanced_accuracy": _ratio(np.nan_to_num(_ratio(hit, true)).sum(axis=-1), (true > 0).sum(axis=-1)),
        "macro_f1": _ratio(
            np.nan_to_num(_ratio(2 * hit, true + guessed)).sum(axis=-1), (true + guessed > 0).sum(axis=-1)
        ),
    }
    if ordered:
        places = np.arange(matrices.shape[-1])
        off = np.abs(places[:, None] - places[None, :])
        found["quadratic_kappa"] = weighted_kappa(matrices, off**2)
        found |= {
            metric: _ratio((matrices * weight).sum(axis=(-2, -1)), total)
            for metric, weight in zip(ORDINAL_METRICS[1:], (off, off == 1, off <= 1), strict=True)
        }
    return found


def weighted_kappa(matrices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute Cohen's weighted kappa.

    Parameters
    ----------
    matrices
        [..., K, K] counts, one rater by row and the other by column.
    weights
        [K, K] weight of each disagreement, 0 on the diagonal.

    Returns
    -------
    ndarray
        [...] 1 - D / E with the weighted disagreement D and that by chance, E; NaN where E is 0.
    """
    one, other = matrices.sum(axis=-1), matrices.sum(axis=-2)
    chance = (one[..., :, None] * other[..., None, :] * weights).sum(axis=(-2, -1))
    return 1 - _ratio((matrices * weights).sum(axis=(-2, -1)) * one.sum(axis=-1), chance)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))


def estimate_figures(networks: Networks, *, ordered: bool = False) -> dict[str, MeanOverNetworks]:
    """Estimate all metrics: mean over the networks, 95 % interval, and value of each network.

    Parameters
    ----------
    networks
        The predictions. `macro_auc` counts the pairs within their folds.
    ordered
        Whether the classes are ordered.
    """
    sizes = equal_sizes(networks, ordered=ordered)
    found = {
        metric: summarise(networks, samples, sizes[metric], metric_limits(metric, networks.classes))
        for metric, samples in sample_metrics(networks, ordered=ordered).items()
    }
    found["macro_auc"] = estimate_macro_auc(networks)
    return {metric: found[metric] for metric in (*METRICS, *(ORDINAL_METRICS if ordered else ()))}


def sample_metrics(networks: Networks, *, ordered: bool = False) -> dict[str, Samples]:
    """Compute the metrics of predicted classes of each network, with and without each person."""
    each = networks.person_confusions()
    total = each.sum(axis=1)
    values = confusion_metrics(total, ordered=ordered)
    left_out = confusion_metrics(total[:, None] - each, ordered=ordered)
    return {metric: Samples(values[metric], left_out[metric]) for metric in values}


def equal_sizes(networks: Networks, *, ordered: bool = False, agreement: float | None = None) -> dict[str, float]:
    """Effective number of persons of each metric of predicted classes if all classes were equally difficult.

    Several cases of a person count by their agreement (:meth:`Networks.effective_persons`).

    A weighted kappa is 1 - D / E with the mean squared error D and that by chance, E. As D is bounded by (K - 1)^2, the
    kappa has the effective number of 2 E / (K - 1)^2 times the persons.
    """
    k = networks.classes
    persons, each = networks.effective_persons(agreement)
    equal = equal_size(each.tolist())
    sizes = {"accuracy": persons, "balanced_accuracy": equal, "macro_f1": equal}
    if ordered:
        truth = np.bincount(networks.labels, minlength=k) / len(networks.labels)
        places = np.arange(k)
        chance = float((np.outer(truth, truth) * (places[:, None] - places[None, :]) ** 2).sum())
        sizes |= dict.fromkeys(ORDINAL_METRICS, persons)
        sizes["quadratic_kappa"] = persons * 2 * chance / (k - 1) ** 2
    return sizes


def metric_limits(metric: str, classes: int) -> tuple[float, float]:
    """Give the smallest and the largest value of a metric."""
    return {"quadratic_kappa": (-1.0, 1.0), "mean_class_error": (0.0, classes - 1.0)}.get(metric, (0.0, 1.0))


def summarise(
    networks: Networks, samples: Samples, equal: float, limits: tuple[float, float] = (0.0, 1.0)
) -> MeanOverNetworks:
    """Estimate the mean of a figure over the networks, with the variance over persons and that between networks.

    The variance over persons of out-of-fold predictions is multiplied by
    :data:`nephroscale.evaluation.intervals.TRAINING_VARIANCE`.

    Parameters
    ----------
    networks
        The predictions.
    samples
        The figure of each network, with and without each person.
    equal
        Effective number of persons if all classes were equally difficult.
    limits
        Smallest and largest possible value of the figure.
    """
    if not np.isfinite(samples.values).all():
        return MeanOverNetworks(None, reason="not defined for these classes")
    variance = jackknife_variance(samples.left_out.mean(axis=0), networks.strata)
    variance = variance * (TRAINING_VARIANCE if networks.out_of_fold else 1) + variance_between(samples.values)
    return MeanOverNetworks(
        score_interval(float(samples.values.mean()), variance, equal, limits), tuple(samples.values.tolist())
    )


def variance_between(values: np.ndarray) -> float:
    """Compute the variance of the mean over networks [S] that comes from their number; 0 for a single network."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def estimate_share(hits: np.ndarray, people: Sequence[object] | np.ndarray) -> MeanOverNetworks:
    """Estimate a share of cases, such as a sensitivity.

    The interval is the mid-p interval, on the number of persons for one network and one case a person. It has no factor
    for the variance of the training.

    Parameters
    ----------
    hits
        [n] or [S, n] bool or 0 to 1: the result of each case, by each network.
    people
        [n] the person of each case.
    """
    stacked = np.atleast_2d(np.asarray(hits, np.float64))
    if not stacked.shape[1]:
        return MeanOverNetworks(None, reason="no case")
    _, whose, cases = np.unique(np.asarray(people), return_inverse=True, return_counts=True)
    each = np.stack([np.bincount(whose, weights=row) for row in stacked])
    values, persons = each.sum(axis=1) / cases.sum(), len(cases)
    variance = variance_between(values)
    if persons > 1:
        left_out = ((each.sum(axis=1, keepdims=True) - each) / (cases.sum() - cases)).mean(axis=0)
        variance += jackknife_variance(left_out, np.zeros(persons)) * (persons - 1) / persons
    equal = repeated_size(cases, agreement_within(each, cases))
    interval = score_interval(float(values.mean()), variance, equal, of_proportion=midp_interval)
    return MeanOverNetworks(interval, tuple(values.tolist()))


def estimate_classes(networks: Networks) -> list[ClassFigures]:
    """Estimate sensitivity, specificity and area under the ROC curve (pairs within folds) of each class."""
    predicted = networks.predicted
    return [
        ClassFigures(
            estimate_share(predicted[:, own] == c, networks.people[own]),
            estimate_share(predicted[:, ~own] != c, networks.people[~own]),
            estimate_auc(networks, c),
        )
        for c, own in enumerate(networks.labels == np.arange(networks.classes)[:, None])
    ]


def estimate_auc(networks: Networks, c: int) -> MeanOverNetworks:
    """Estimate the area under the ROC curve of one class against all others, over the pairs within folds."""
    area = count_won(networks, c)
    if not area.pairs:
        return MeanOverNetworks(None, reason="no pair within a fold")
    return summarise(networks, area.samples, area.size)


def estimate_macro_auc(networks: Networks) -> MeanOverNetworks:
    """Estimate the mean of the classes' areas under the ROC curve, over the pairs within folds."""
    areas = [count_won(networks, c) for c in range(networks.classes)]
    if lacking := sum(not area.pairs for area in areas):
        return MeanOverNetworks(None, reason=f"no pair within a fold for {lacking} of the {networks.classes} classes")
    return summarise(networks, mean_samples(areas), float(np.mean([area.size for area in areas])))


def mean_samples(areas: Sequence[Area]) -> Samples:
    """Average the areas over the classes."""
    return Samples(
        np.mean([area.samples.values for area in areas], axis=0),
        np.mean([area.samples.left_out for area in areas], axis=0),
    )


def count_won(networks: Networks, c: int) -> Area:
    """Count the pairs of a case of class `c` and another case within folds, and the share ranked correctly.

    A tie counts one half.
    """
    persons = len(networks.strata)
    won = np.zeros((len(networks.probabilities), persons))
    pairs, total, every, sizes = np.zeros(persons), np.zeros(len(won)), 0, []
    for fold in np.unique(networks.folds):
        inside = networks.folds == fold
        ours, theirs = np.flatnonzero(inside & (networks.labels == c)), np.flatnonzero(inside & (networks.labels != c))
        if not len(ours) or not len(theirs):
            continue
        one, other = networks.people[ours], networks.people[theirs]
        within = np.nonzero(one[:, None] == other[None, :])  # pairs of two cases of the same person
        every += len(ours) * len(theirs)
        sizes.append((len(np.unique(one)), len(np.unique(other))))
        np.add.at(pairs, one, len(theirs))
        np.add.at(pairs, other, len(ours))
        np.add.at(pairs, one[within[0]], -1)
        for s, scores in enumerate(networks.probabilities[:, :, c]):
            ahead = scores[ours][:, None] - scores[theirs][None, :]
            order = (ahead > 0) + 0.5 * (ahead == 0)
            total[s] += order.sum()
            np.add.at(won[s], one, order.sum(axis=1))
            np.add.at(won[s], other, order.sum(axis=0))
            np.add.at(won[s], one[within[0]], -order[within])
    samples = Samples(total / max(every, 1), _ratio(total[:, None] - won, np.broadcast_to(every - pairs, won.shape)))
    return Area(every, len(sizes), pairs_size(*zip(*sizes, strict=True)) if sizes else 0.0, samples)
