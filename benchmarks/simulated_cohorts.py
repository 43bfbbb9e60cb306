"""Cohorts with known true figures, thousands at once, and the report's intervals for each of them.

The intervals are computed as in `nephroscale.evaluation.networks`, for all cohorts at once; :func:`check_intervals`
compares them with those of the package.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from itertools import combinations_with_replacement
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from nephroscale.evaluation.comparison import rank_area  # noqa: E402
from nephroscale.evaluation.intervals import (  # noqa: E402
    PRIOR_INFORMATION,
    PRIOR_REPEATS,
    TRAINING_VARIANCE,
    Z,
    equal_size,
    pairs_size,
)
from nephroscale.evaluation.networks import (  # noqa: E402
    Networks,
    confusion_metrics,
    equal_sizes,
    estimate_auc,
    estimate_macro_auc,
    estimate_share,
    sample_metrics,
    summarise,
)

CLASSES, FOLDS = 3, 5
LABEL_METRICS = ("balanced_accuracy", "macro_f1")


class Design(NamedTuple):
    """Proportions of the classes, whether the last one is more difficult, and the correlation of two biopsies."""

    shares: tuple[int, int, int]
    hard: bool = False
    correlation: float | None = None

    @property
    def cases(self) -> int:
        """Cases of a person."""
        return 1 if self.correlation is None else 2


DESIGNS = {
    "balanced": Design((1, 1, 1)),
    "70/20/10 %": Design((7, 2, 1)),
    "one hard class": Design((1, 1, 1), hard=True),
    "two biopsies": Design((1, 1, 1), correlation=0.5),
    "two unrelated biopsies": Design((1, 1, 1), correlation=0.0),
    "two equal biopsies": Design((1, 1, 1), correlation=1.0),
    "70/20/10 %, rarest class hard": Design((7, 2, 1), hard=True),
}


class Intervals(NamedTuple):
    """Values and limits [B] of a figure in B cohorts."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def cover(self, true: float) -> float:
        """Share of the intervals that contain the true value."""
        return float(((self.low - 1e-9 <= true) & (true <= self.high + 1e-9)).mean())

    @property
    def width(self) -> float:
        """Mean width."""
        return float((self.high - self.low).mean())


def class_sizes(design: str, persons: int) -> np.ndarray:
    """Persons of each class."""
    shares = np.array(DESIGNS[design].shares) / sum(DESIGNS[design].shares)
    sizes = np.round(shares * persons).astype(int)
    sizes[0] += persons - sizes.sum()
    return np.asarray(sizes)


def sensitivities(design: str, value: float) -> np.ndarray:
    """Sensitivity of each class for a balanced accuracy."""
    if not DESIGNS[design].hard:
        return np.full(CLASSES, value)
    others = min(value + 0.1, value + (1 - value) * 5 / 6)
    return np.array([others, others, 3 * value - 2 * others])


@lru_cache(maxsize=1)
def _noise() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 100_000, CLASSES))


@lru_cache(maxsize=1)
def _margins() -> np.ndarray:
    noise = _noise()[0]
    return np.sort(noise[:, 1:].max(axis=1) - noise[:, 0])


def shifts(design: str, value: float) -> np.ndarray:
    """Shift of the true class's score that gives the sensitivities: quantiles of the lead of the other scores."""
    return np.asarray(np.quantile(_margins(), sensitivities(design, value)))


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax of the scores [..., K]."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def outcomes(cases: int) -> np.ndarray:
    """Numbers of cases predicted as each class that a person can have: [T, K]."""
    kinds = combinations_with_replacement(range(CLASSES), cases)
    return np.array([np.bincount(kind, minlength=CLASSES) for kind in kinds], float)


@lru_cache(maxsize=256)
def outcome_rates(design: str, value: float) -> np.ndarray:
    """Share of the persons of each class with each outcome: [K, T]."""
    r, cases = DESIGNS[design].correlation, DESIGNS[design].cases
    first, second = _noise()
    drawn = [first] if r is None else [first, r * first + np.sqrt(1 - r * r) * second]
    kinds = outcomes(cases)
    rates = []
    for c, shift in enumerate(shifts(design, value)):
        lead = shift * np.eye(CLASSES)[c]
        counts = sum(np.eye(CLASSES)[(noise + lead).argmax(axis=1)] for noise in drawn)
        rates.append([(counts == kind).all(axis=1).mean() for kind in kinds])
    return np.array(rates)


@lru_cache(maxsize=256)
def _areas(lead: tuple[float, ...]) -> np.ndarray:
    """Area under the ROC curve of each class against each other one."""
    drawn = [probabilities(_noise()[0] + shift * np.eye(CLASSES)[c]) for c, shift in enumerate(lead)]
    own = np.arange(2 * len(drawn[0])) < len(drawn[0])
    return np.array(
        [
            [float(rank_area(np.r_[ours[:, c], its[:, c]][None], own)[0]) for its in drawn]
            for c, ours in enumerate(drawn)
        ]
    )


def true_figures(design: str, value: float, persons: int, *, areas: bool = True) -> dict[str, float]:
    """True figures on new persons in these proportions of classes."""
    sizes, cases = class_sizes(design, persons), DESIGNS[design].cases
    rates = outcome_rates(design, value) @ outcomes(cases) / cases
    metrics = confusion_metrics(rates * sizes[:, None])
    found = {metric: float(metrics[metric]) for metric in LABEL_METRICS}
    if not areas:
        return found
    each, pairs = [], _areas(tuple(shifts(design, value).tolist()))
    for c in range(CLASSES):
        others = np.arange(CLASSES) != c
        each.append(float(np.average(pairs[c, others], weights=sizes[others])))
        negatives = float(np.average(1 - rates[others, c], weights=sizes[others]))
        found |= {f"sensitivity {c}": float(rates[c, c]), f"specificity {c}": negatives, f"AUC {c}": each[-1]}
    return found | {"macro_auc": float(np.mean(each))}


def draw_outcomes(design: str, value: float, persons: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """Draw the number of persons of each class with each outcome: [B, K, T]."""
    rates = outcome_rates(design, value)
    return np.stack(
        [random.multinomial(n, p, draws) for n, p in zip(class_sizes(design, persons), rates, strict=True)], 1
    )


def score_limits(value: np.ndarray, variance: np.ndarray, equal: np.ndarray | float) -> Intervals:
    """Intervals of shares [B], as :func:`nephroscale.evaluation.intervals.score_interval` computes one."""
    spread, equal = value * (1 - value), np.maximum(equal, 1.0)
    estimated = np.divide(variance, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    weight = PRIOR_INFORMATION / (PRIOR_INFORMATION + equal * spread)
    drawn = (1 - weight) * estimated + weight / equal
    size = np.maximum(1 / np.where(estimated * equal < 1, drawn, estimated), 1)
    extra = Z * Z / size
    middle = (value + extra / 2) / (1 + extra)
    half = Z * np.sqrt(spread / size + extra / size / 4) / (1 + extra)
    return Intervals(
        value, np.minimum(np.maximum(middle - half, 0), value), np.maximum(np.minimum(middle + half, 1), value)
    )


def _scatter(left_out: np.ndarray, counts: np.ndarray | float = 1.0) -> np.ndarray:
    """Jackknife variance [B] of a stratum from the figure without each person [B, P], or each kind of `counts`."""
    counts = np.broadcast_to(counts, left_out.shape) * np.isfinite(left_out)
    values, n = np.nan_to_num(left_out), np.maximum(counts.sum(axis=1), 1)
    mean = (counts * values).sum(axis=1) / n
    return np.asarray((n - 1) / n * (counts * (values - mean[:, None]) ** 2).sum(axis=1))


def label_intervals(counts: np.ndarray, kinds: np.ndarray) -> dict[str, Intervals]:
    """Intervals of out-of-fold balanced accuracies and macro F1.

    Parameters
    ----------
    counts
        [B, K, T] persons of each class with each outcome.
    kinds
        [T, K] cases predicted as each class.
    """
    total = counts @ kinds
    values = confusion_metrics(total)
    own = np.eye(CLASSES)[:, None, :, None] * kinds[None, :, None, :]
    left_out = confusion_metrics(total[:, None, None] - own)
    m, persons = kinds[0].sum(), counts.sum(axis=2)
    hits = kinds.T
    share = np.einsum("bkt,kt->b", counts, hits) / (m * persons.sum(axis=1))
    disagreeing = np.einsum("bkt,kt->b", counts, hits * (m - hits) / m)
    expected = (m - 1) * persons.sum(axis=1) * share * (1 - share)
    agreement = np.clip(1 - disagreeing / (expected + PRIOR_REPEATS), 0, 1)
    equal = equal_size(persons[0].tolist()) * m / (1 + (m - 1) * agreement)
    found = {}
    for metric in LABEL_METRICS:
        without = np.where(counts > 0, left_out[metric], np.nan)
        variance = sum(_scatter(without[:, c], counts[:, c]) for c in range(CLASSES))
        found[metric] = score_limits(values[metric], TRAINING_VARIANCE * variance, equal)
    return found


class Drawn(NamedTuple):
    """Probabilities [B, n, K] of cohorts of the same persons; the cases of a person follow each other."""

    labels: np.ndarray
    folds: np.ndarray
    people: np.ndarray
    probabilities: np.ndarray

    def networks(self, number: int) -> Networks:
        """One cohort, as the package takes it."""
        return Networks.of(self.labels, self.probabilities[number], self.people, self.folds)


def draw(design: str, value: float, persons: int, draws: int, random: np.random.Generator) -> Drawn:
    """Draw cohorts and their predictions, in folds with persons of all classes where there are enough."""
    r, cases = DESIGNS[design].correlation or 0.0, DESIGNS[design].cases
    labels = np.repeat(np.repeat(np.arange(CLASSES), class_sizes(design, persons)), cases)
    people = np.repeat(np.arange(persons), cases)
    noise = random.normal(size=(draws, persons * cases, CLASSES))
    if r:
        common = np.repeat(random.normal(size=(draws, persons, CLASSES)), cases, axis=1)
        noise = np.sqrt(r) * common + np.sqrt(1 - r) * noise
    lead = shifts(design, value)[labels][:, None] * np.eye(CLASSES)[labels]
    return Drawn(labels, people % FOLDS, people, probabilities(noise + lead))


def rank_intervals(drawn: Drawn) -> dict[str, Intervals]:
    """Intervals of the areas under the ROC curves, over the pairs within folds."""
    labels, folds, people, chances = drawn
    persons, found = people[-1] + 1, {}
    strata = labels[:: len(labels) // persons]
    areas, without, sizes = [], [], []
    for c in range(CLASSES):
        won, pairs, numbers = np.zeros(chances.shape[:2]), np.zeros(len(labels)), []
        for fold in range(FOLDS):
            ours, theirs = (
                np.flatnonzero((folds == fold) & (labels == c)),
                np.flatnonzero((folds == fold) & (labels != c)),
            )
            ahead = chances[:, ours, c][:, :, None] > chances[:, theirs, c][:, None, :]
            won[:, ours], won[:, theirs] = ahead.sum(axis=2), ahead.sum(axis=1)
            pairs[ours], pairs[theirs] = len(theirs), len(ours)
            if len(ours) and len(theirs):
                numbers.append((len(np.unique(people[ours])), len(np.unique(people[theirs]))))
        if not numbers:
            return found
        total, every = won.sum(axis=1) / 2, pairs.sum() / 2
        left, fewer = won.reshape(len(won), persons, -1).sum(axis=2), pairs.reshape(persons, -1).sum(axis=1)
        areas.append(total / every)
        with np.errstate(invalid="ignore", divide="ignore"):
            without.append((total[:, None] - left) / (every - fewer))
        sizes.append(pairs_size(*zip(*numbers, strict=True)))
    areas.append(np.mean(areas, axis=0))
    without.append(np.mean(without, axis=0))
    sizes.append(float(np.mean(sizes)))
    for name, area, left_out, size in zip(("AUC 0", "AUC 1", "AUC 2", "macro_auc"), areas, without, sizes, strict=True):
        variance = sum(_scatter(left_out[:, strata == c]) for c in range(CLASSES))
        found[name] = score_limits(area, TRAINING_VARIANCE * variance, size)
    return found


@lru_cache(maxsize=100_000)
def _share_limits(persons: tuple[int, ...]) -> tuple[float, float, float]:
    """Interval of a share from the number of persons with none, one, ... of their cases correct."""
    cases = len(persons) - 1
    hits = np.concatenate([np.tile(np.arange(cases) < h, n) for h, n in enumerate(persons)])
    found = estimate_share(hits, np.repeat(np.arange(sum(persons)), cases)).interval
    return (found.value, found.low, found.high) if found else (0.0, 0.0, 1.0)


def share_intervals(drawn: Drawn) -> dict[str, Intervals]:
    """Intervals of sensitivities and specificities."""
    labels, _, people, chances = drawn
    predicted, cases = chances.argmax(axis=2), len(labels) // (people[-1] + 1)
    found = {}
    for c in range(CLASSES):
        for name, chosen, right in (
            (f"sensitivity {c}", labels == c, predicted == c),
            (f"specificity {c}", labels != c, predicted != c),
        ):
            hits = right[:, chosen].reshape(len(right), -1, cases).sum(axis=2)
            rows = [_share_limits(tuple(np.bincount(each, minlength=cases + 1).tolist())) for each in hits]
            found[name] = Intervals(*np.array(rows).T)
    return found


def check_intervals(design: str, value: float, persons: int) -> None:
    """Compare the intervals of a few cohorts with those of the package.

    Raises
    ------
    AssertionError
        When they differ.
    """
    random = np.random.default_rng(persons)
    kinds, cases = outcomes(DESIGNS[design].cases), DESIGNS[design].cases
    drawn, counts = draw(design, value, persons, 3, random), []
    ranks = rank_intervals(drawn)
    for number in range(3):
        networks = drawn.networks(number)
        predicted = np.eye(CLASSES)[networks.predicted[0]].reshape(persons, cases, CLASSES).sum(axis=1)
        kind = (predicted[:, None] == kinds).all(axis=2).argmax(axis=1)
        counts.append(np.stack([np.bincount(kind[networks.strata == c], minlength=len(kinds)) for c in range(CLASSES)]))
    labels = label_intervals(np.array(counts), kinds)
    for number in range(3):
        networks = drawn.networks(number)
        samples, sizes = sample_metrics(networks), equal_sizes(networks)
        figures = {metric: summarise(networks, samples[metric], sizes[metric]) for metric in LABEL_METRICS}
        if ranks:
            figures |= {f"AUC {c}": estimate_auc(networks, c) for c in range(CLASSES)}
            figures["macro_auc"] = estimate_macro_auc(networks)
        for name, figure in figures.items():
            its = (labels | ranks)[name]
            assert figure.interval is not None, name
            assert np.allclose(
                (its.value[number], its.low[number], its.high[number]),
                (figure.interval.value, figure.interval.low, figure.interval.high),
                rtol=0,
                atol=1e-9,
            ), (design, value, persons, name)
