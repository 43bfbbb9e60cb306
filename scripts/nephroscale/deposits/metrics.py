"""Figures of predictions for images, with intervals clustered by person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from nephroscale.deposits.predictions import Prediction
from nephroscale.evaluation.intervals import (
    jackknife_variance,
    midp_interval,
    pairs_size,
    score_interval,
    wilson_interval,
)

METRICS = {"accuracy": "Accuracy", "auc": "AUC", "sensitivity": "Sensitivity", "specificity": "Specificity"}


@dataclass(frozen=True)
class DepositMetric:
    """A figure with its 95 % interval; None where the images do not define it."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scored:
    """Predictions of one variant by one seed.

    Attributes
    ----------
    labels, probabilities
        [n] bool and [n].
    persons
        [n] person of each image.
    folds
        [n] fold that tests the image.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    persons: np.ndarray
    folds: np.ndarray


def scored(predictions: Mapping[str, Sequence[Prediction]], variant: str, persons: Mapping[str, str]) -> Scored:
    """Put the predictions of a variant for the folds' test sides (fold to predictions) one after another."""
    rows = [(fold, row) for fold, found in sorted(predictions.items()) for row in found]
    return Scored(
        np.array([bool(row.label) for _, row in rows]),
        np.array([row.probabilities[variant] for _, row in rows]),
        np.array([persons.get(row.patient, row.patient) for _, row in rows]),
        np.array([fold for fold, _ in rows]),
    )


def evaluate_variant(seeds: Sequence[Scored]) -> dict[str, DepositMetric]:
    """Give each metric: the mean over seeds of the figure over all folds' test images, with its interval.

    The variance is that over persons (all images, seeds and biopsies of a person together) plus that between seeds.
    A perfect figure has an interval of the number of persons behind it.
    """
    first = seeds[0]
    positive, negative = (_persons(first, first.labels == side) for side in (True, False))
    sizes = {
        "accuracy": float(len(set(first.persons.tolist()))),
        "sensitivity": float(positive),
        "specificity": float(negative),
        "auc": pairs_size(
            [_persons(first, first.labels & (first.folds == fold)) for fold in np.unique(first.folds)],
            [_persons(first, ~first.labels & (first.folds == fold)) for fold in np.unique(first.folds)],
        ),
    }
    return {name: _with_interval(name, seeds, sizes[name]) for name in METRICS}


def discordant(first: Scored, second: Scored) -> tuple[int, int]:
    """Count the images that only the first, and only the second variant classifies correctly."""
    one = (first.probabilities > 0.5) == first.labels
    other = (second.probabilities > 0.5) == second.labels
    return int((one & ~other).sum()), int((~one & other).sum())


def mean_of_persons(values: Sequence[float], persons: Sequence[str]) -> DepositMetric:
    """Give the mean of values of images between 0 and 1, with an interval clustered by person."""
    if not values:
        return DepositMetric(None)
    found, who = np.array(values, float), np.array(persons)
    left_out = np.array([found[who != person].mean() if (who != person).any() else np.nan for person in np.unique(who)])
    interval = score_interval(float(found.mean()), jackknife_variance(left_out, np.zeros(len(left_out))), len(left_out))
    return DepositMetric(interval.value, interval.low, interval.high)


def _persons(found: Scored, chosen: np.ndarray) -> int:
    return len(set(found.persons[chosen].tolist()))


def _accuracy(found: Scored, kept: np.ndarray) -> float:
    right = (found.probabilities > 0.5) == found.labels
    return float(right[kept].mean()) if kept.any() else np.nan


def _auc(found: Scored, kept: np.ndarray) -> float:
    """Share of pairs within folds, one image with and one without deposits, that the probabilities order correctly."""
    wins, pairs = 0.0, 0
    for fold in np.unique(found.folds):
        here = kept & (found.folds == fold)
        labels, ranks = found.labels[here], rankdata(found.probabilities[here])
        ones = int(labels.sum())
        wins += float(ranks[labels].sum()) - ones * (ones + 1) / 2
        pairs += ones * (len(labels) - ones)
    return wins / pairs if pairs else np.nan


_FIGURES: dict[str, Callable[[Scored, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "auc": _auc,
    "sensitivity": lambda found, kept: _accuracy(found, kept & found.labels),
    "specificity": lambda found, kept: _accuracy(found, kept & ~found.labels),
}


def _with_interval(name: str, seeds: Sequence[Scored], size: float) -> DepositMetric:
    figure, everyone = _FIGURES[name], np.ones(len(seeds[0].labels), bool)
    values = [figure(found, everyone) for found in seeds]
    if not np.isfinite(values).all():
        return DepositMetric(None)
    persons = np.unique(seeds[0].persons)
    left_out = np.array([np.mean([figure(found, found.persons != person) for found in seeds]) for person in persons])
    between = float(np.var(values, ddof=1)) if len(values) > 1 else 0.0
    variance = jackknife_variance(left_out, np.zeros(len(persons))) + between
    found = score_interval(
        float(np.mean(values)),
        variance,
        size,
        of_proportion=midp_interval if name in {"sensitivity", "specificity"} else wilson_interval,
    )
    return DepositMetric(found.value, found.low, found.high)
