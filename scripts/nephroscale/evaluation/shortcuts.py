"""Whether facts beside the images' content predict the classes: a logistic regression on the folds of the models.

References
----------
Phipson B, Smyth GK. Permutation p-values should never be zero. Statistical Applications in Genetics and Molecular
Biology 9, 2010 (p = (b + 1) / (m + 1)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from nephroscale.cohort.fold_table import FoldTable
from nephroscale.cohort.folds import exchange_labels
from nephroscale.evaluation.intervals import equal_size
from nephroscale.evaluation.networks import Networks

PENALTY = 0.1
"""Inverse strength C of the L2 penalty, for facts in units of their standard deviation; chosen before any result."""

POWER = 0.8


class FactsOutcome(NamedTuple):
    """What facts predict.

    Attributes
    ----------
    networks
        Out-of-fold predictions of the logistic regression.
    p
        Share of permutations, the observed labels among them, with at least this balanced accuracy.
    detectable
        Balanced accuracy that facts would need for p < 0.05 in 80 % of cohorts of this size.
    facts
        Number of facts that differ between the cases.
    """

    networks: Networks
    p: float
    detectable: float
    facts: int


class _Fold(NamedTuple):
    """Places of the training side (validation patients included) and of the test patients, and their scaled facts."""

    rest: np.ndarray
    test: np.ndarray
    facts: np.ndarray
    tested: np.ndarray


def predict_from_facts(
    facts: Mapping[str, Mapping[str, float]], folds: FoldTable, permutations: int, seed: int
) -> FactsOutcome | None:
    """Predict the classes of each fold's test patients from facts, and compare with permuted labels.

    Each fact is scaled by the training side of the fold; where it is not known, it has the mean of that side.

    Parameters
    ----------
    facts
        Case to fact to value.
    folds
        The folds of the models. Cases with a soft label are left out.
    permutations
        Number of permutations of the labels, within which groups stay whole.
    seed
        Seed of the permutations.

    Returns
    -------
    FactsOutcome or None
        None where no fact differs between the cases.
    """
    cases = [case for case in folds.labels if case not in folds.second]
    names = sorted({name for case in cases for name in facts.get(case, {})})
    table = np.array([[facts.get(case, {}).get(name, np.nan) for name in names] for case in cases], np.float64)
    table = table[:, [len(set(column[np.isfinite(column)])) > 1 for column in table.T]]
    if not table.size:
        return None
    places = {case: place for place, case in enumerate(cases)}
    each = []
    for fold in folds.divisions[0]:
        rest, test = _places(places, [*fold.train, *fold.validation]), _places(places, fold.test)
        if len(rest) and len(test):
            each.append(_Fold(rest, test, *_scale(table, rest, test)))
    labels = {case: folds.labels[case] for case in cases}
    groups = {case: group for case, group in folds.groups.items() if case in labels}
    truth, classes = np.array(list(labels.values())), len(folds.classes)
    chances = _predict(each, truth, classes)
    observed = _balanced_accuracy(truth, chances)
    null = []
    for number in range(permutations):
        source = exchange_labels(labels, groups, seed + number)
        permuted = np.array([labels[source[case]] for case in cases])
        null.append(_balanced_accuracy(permuted, _predict(each, permuted, classes)))
    tested = {case: fold.name for fold in folds.divisions[0] for case in fold.test}
    return FactsOutcome(
        Networks.of(truth, chances, [folds.people.get(c, c) for c in cases], [tested[c] for c in cases]),
        float((1 + np.sum(np.array(null) >= observed - 1e-9)) / (permutations + 1)),
        detectable_accuracy(null, equal_size(np.bincount(truth).tolist())),
        table.shape[1],
    )


def detectable_accuracy(null: Sequence[float], size: float) -> float:
    """Compute the true balanced accuracy with which p is below 0.05 in 80 % of cohorts.

    It lies so far above the 95 % quantile of the null distribution that 80 % of a normal distribution with the variance
    m (1 - m) / size do, too.

    Parameters
    ----------
    null
        Balanced accuracies under permuted labels.
    size
        Effective number of patients.
    """
    critical = min(float(np.quantile(null, 0.95)), 1 - 1e-6)
    z = float(ndtri(POWER))
    return float(brentq(lambda m: m - z * np.sqrt(m * (1 - m) / size) - critical, critical, 1.0))


def _places(places: Mapping[str, int], cases: Sequence[str]) -> np.ndarray:
    return np.array([places[case] for case in cases if case in places], np.int64)


def _scale(table: np.ndarray, rest: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale facts by mean and standard deviation of the training side; those that are constant there become 0."""
    known = np.isfinite(table[rest])
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, table[rest], 0).sum(axis=0) / count
    deviation = np.sqrt(np.where(known, (table[rest] - mean) ** 2, 0).sum(axis=0) / count)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(deviation > 1e-9, (table - mean) / deviation, 0)
    scaled = np.clip(np.nan_to_num(scaled), -5, 5)
    return scaled[rest], scaled[test]


def _predict(folds: Sequence[_Fold], labels: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities [n, K] of the test patients of each fold, from the others; those of a single class are sure."""
    from sklearn.linear_model import LogisticRegression

    chances = np.zeros((len(labels), classes))
    for fold in folds:
        known = labels[fold.rest]
        present = np.unique(known)
        if len(present) == 1:
            chances[fold.test, present[0]] = 1
            continue
        fitted = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=500).fit(fold.facts, known)
        chances[fold.test[:, None], present[None]] = fitted.predict_proba(fold.tested)
    return chances


def _balanced_accuracy(labels: np.ndarray, chances: np.ndarray) -> float:
    hit = chances.argmax(axis=1) == labels
    return float(np.mean([hit[labels == c].mean() for c in np.unique(labels)]))
