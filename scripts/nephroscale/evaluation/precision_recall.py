"""Precision-recall curves within folds.

References
----------
Saito T, Rehmsmeier M. The precision-recall plot is more informative than the ROC plot when evaluating binary
classifiers on imbalanced datasets. PLOS ONE 10, 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nephroscale.evaluation.networks import Networks


def average_precision(networks: Networks, c: int) -> float | None:
    """Compute the average precision of one class: the mean over networks and folds, weighted by cases of the class.

    None without a fold that has cases of the class and others. Guessing gives the share of the class.
    """
    from sklearn.metrics import average_precision_score

    found = [(own.sum(), average_precision_score(own, scores)) for own, scores in _folds(networks, c)]
    return float(np.average([value for _, value in found], weights=[n for n, _ in found])) if found else None


def mean_precision(networks: Networks, c: int, recalls: np.ndarray) -> np.ndarray:
    """Compute the precision at each recall [R] in (0, 1], averaged like the average precision.

    In a fold, it is that of the highest threshold that reaches the recall.
    """
    from sklearn.metrics import precision_recall_curve

    total, weights = np.zeros(len(recalls)), 0
    for own, scores in _folds(networks, c):
        precision, recall, _ = precision_recall_curve(own, scores)
        rising = recall[::-1]  # from 0, where the precision is a convention, to 1
        total += own.sum() * precision[::-1][np.searchsorted(rising, recalls - 1e-9)]
        weights += own.sum()
    return np.asarray(total / weights)


def _folds(networks: Networks, c: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give, for each network and fold with cases of the class and others, which cases are of the class, and scores."""
    for fold in np.unique(networks.folds):
        inside = networks.folds == fold
        own = networks.labels[inside] == c
        if own.any() and not own.all():
            for each in networks.probabilities:
                yield own, each[inside, c]
