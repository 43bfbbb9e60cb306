"""Score intervals on an effective number of persons, from variances by a jackknife over persons.

An interval from resampled or estimated variances alone is too narrow near the limits of a figure: where all predictions
are correct, no person varies, and its width is zero. So the variance is turned into an effective number of persons, the
number of independent yes-or-no results that would vary as much, and the interval is Wilson's with this number. For a
sensitivity or specificity it is the mid-p interval, because Wilson's covers too rarely near 1 with few persons. Where
the variance is smaller than that of equally difficult classes, the effective number is drawn towards that of equally
difficult classes, entirely where no error was seen. Several results of a person count as more than one by the extent to
which they disagree.

References
----------
Wilson EB. Probable inference, the law of succession, and statistical inference. JASA 22, 1927. Berry G, Armitage P.
Mid-P confidence intervals: a brief review. The Statistician 44, 1995. Korn EL, Graubard BI. Confidence intervals for
proportions with small expected number of positive counts estimated from survey data. Survey Methodology 24, 1998
(effective sample size). Rao JNK, Scott AJ. A simple method for the analysis of clustered binary data. Biometrics 48,
1992 (design effect). Efron B, Stein C. The jackknife estimate of variance. Annals of Statistics 9, 1981. Newcombe
RG. Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2. Statistics in Medicine
25, 2006 (method 5). Bonett DG, Price RM. Adjusted Wald confidence interval for a difference of binomial proportions
based on paired data. Journal of Educational and Behavioral Statistics 37, 2012.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, ndtri

LEVEL = 0.95
Z = float(ndtri((1 + LEVEL) / 2))

PRIOR_INFORMATION = 7.0
"""Number of informative persons, m (1 - m) times their number, at which an estimated variance that is smaller than that
of equally difficult classes counts half."""

PRIOR_REPEATS = 1.0
"""Added to the expected disagreement within persons before their agreement is estimated: that of two persons with two
results each, one correct and one wrong."""

TRAINING_VARIANCE = 1.1
"""Factor of the variance over persons of out-of-fold predictions. Another cohort would also train other networks. One
cohort gives no unbiased estimate of this variance. In simulated cross-validations (benchmarks/coverage.py), the
variance of a figure is 1.2 to 1.7 times that over persons. With this factor the average coverage is above 0.90 there,
and at most about 0.98 where the networks are fixed."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes
    ----------
    value, low, high
        The figure and the limits.
    effective
        Effective number of persons behind them.
    """

    value: float
    low: float
    high: float
    effective: float


def jackknife_variance(left_out: np.ndarray, strata: np.ndarray) -> float:
    """Compute the variance of a figure by leaving out each person in turn.

    Parameters
    ----------
    left_out
        [P] the figure without each person; NaN where it is not defined then, which is not counted.
    strata
        [P] the class of each person: numbers of persons in the classes are regarded as fixed. A class with one person
        contributes nothing.
    """
    total = 0.0
    for stratum in np.unique(strata):
        values = left_out[(strata == stratum) & np.isfinite(left_out)]
        if (n := len(values)) > 1:
            total += (n - 1) / n * float(((values - values.mean()) ** 2).sum())
    return total


def agreement_within(hits: np.ndarray, cases: np.ndarray) -> float:
    """Estimate the correlation of the results of a person from how often they disagree.

    It is the estimate of Fleiss and Cuzick, drawn towards 1.

    Parameters
    ----------
    hits
        [S, P] number of correct results of each person, for each network.
    cases
        [P] number of results of each person.

    Returns
    -------
    float
        1 - D / (E + :data:`PRIOR_REPEATS`), from 0 to 1. D is the sum over persons of h (m - h) / m, for h of m results
        correct, and E its expectation for independent results. It is 1 where the results of each person agree, or no
        person has more than one.

    References
    ----------
    Fleiss JL, Cuzick J. The reliability of dichotomous judgments: unequal numbers of judges per subject. Applied
    Psychological Measurement 3, 1979.
    """
    disagreeing = (hits * (cases - hits) / cases).sum(axis=1).mean()
    share = hits.sum(axis=1) / cases.sum()
    expected = (share * (1 - share)).mean() * (cases - 1).sum()
    return float(np.clip(1 - disagreeing / (expected + PRIOR_REPEATS), 0, 1))


def repeated_size(cases: np.ndarray, agreement: float) -> float:
    """Effective number of persons with several results each: (sum m)^2 / sum m (1 + (m - 1) rho).

    Parameters
    ----------
    cases
        [P] number m of results of each person.
    agreement
        Correlation rho of the results of a person.

    References
    ----------
    Rao JNK, Scott AJ. A simple method for the analysis of clustered binary data. Biometrics 48, 1992.
    """
    return float(cases.sum() ** 2 / (cases * (1 + (cases - 1) * agreement)).sum()) if len(cases) else 0.0


def equal_size(counts: Sequence[float]) -> float:
    """Effective number of persons of a mean over K classes that are equally difficult: K^2 / sum(1 / n_c).

    Parameters
    ----------
    counts
        Persons of each class; classes without a person do not count.
    """
    present = [count for count in counts if count]
    return len(present) ** 2 / sum(1 / count for count in present) if present else 0.0


def pairs_size(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Effective number of persons of an area under the ROC curve near 1, over the pairs within folds.

    Each fold varies as in Newcombe's method 5 at its limit: A (1 - A) (1 + ((n1 + n0) / 2 - 1) / 2) / (n1 n0).

    Parameters
    ----------
    positives, negatives
        Persons in each fold.
    """
    one, other = np.asarray(positives, float), np.asarray(negatives, float)
    pairs = one * other
    variances = (pairs * (1 + ((one + other) / 2 - 1) / 2)).sum()
    return float(pairs.sum() ** 2 / variances) if variances > 0 else 0.0


def effective_size(share: float, variance: float, equal: float) -> float:
    """Compute the effective number of persons behind a share.

    Parameters
    ----------
    share
        Value in [0, 1].
    variance
        Its variance.
    equal
        Effective number of persons if all classes were equally difficult.

    Returns
    -------
    float
        At least 1. m (1 - m) / variance where this is at most `equal`. Otherwise its reciprocal is a weighted mean of
        both reciprocals, in which the variance has the weight I / (I + :data:`PRIOR_INFORMATION`), I = `equal` m (1 -
        m): none where no error, or nothing but errors, was seen.
    """
    spread = share * (1 - share)
    estimated = variance / spread if spread > 1e-12 else 0.0
    if estimated * equal < 1:
        weight = PRIOR_INFORMATION / (PRIOR_INFORMATION + equal * spread)
        estimated = (1 - weight) * estimated + weight / max(equal, 1.0)
    return max(1.0, 1 / estimated)


def wilson_interval(successes: float, trials: float) -> tuple[float, float] | None:
    """Compute Wilson's 95 % interval of a proportion; None without trials.

    References
    ----------
    Wilson EB. Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
    """
    if trials == 0:
        return None
    share, spread = successes / trials, Z * Z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = Z * np.sqrt(share * (1 - share) / trials + spread / trials / 4) / (1 + spread)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def midp_interval(successes: float, trials: float) -> tuple[float, float] | None:
    """Compute the mid-p 95 % interval of a proportion; None without trials.

    At each limit, the results that are more extreme than the observed one, and the observed one counted half, have a
    probability of 0.025. The tails are those of beta distributions, so that an effective number need not be whole.

    References
    ----------
    Berry G, Armitage P. Mid-P confidence intervals: a brief review. The Statistician 44, 1995.
    """
    if trials == 0:
        return None
    failures = trials - successes

    def tail(share: float) -> float:
        """Probability of more successes, and of half of as many, at a share."""
        more = betainc(successes + 1, failures, share) if failures > 0 else 0.0
        as_many_or_more = betainc(successes, failures + 1, share) if successes > 0 else 1.0
        return float(more + as_many_or_more) / 2

    def limit(probability: float) -> float:
        return float(brentq(lambda share: tail(share) - probability, 0.0, 1.0, xtol=1e-12))

    low = limit((1 - LEVEL) / 2) if successes > 0 else 0.0
    return low, limit((1 + LEVEL) / 2) if failures > 0 else 1.0


def score_interval(
    value: float,
    variance: float,
    equal: float,
    limits: tuple[float, float] = (0.0, 1.0),
    of_proportion: Callable[[float, float], tuple[float, float] | None] = wilson_interval,
) -> Interval:
    """Compute the 95 % interval of a bounded figure on its effective number of persons.

    Parameters
    ----------
    value
        The figure.
    variance
        Its variance, from :func:`jackknife_variance`, and that between networks.
    equal
        Effective number of persons if all classes were equally difficult, from :func:`equal_size` or
        :func:`pairs_size`; the number of persons for a share of persons.
    limits
        Smallest and largest possible value of the figure.
    of_proportion
        :func:`wilson_interval` or :func:`midp_interval`.
    """
    lowest, span = limits[0], limits[1] - limits[0]
    share = min(1.0, max(0.0, (value - lowest) / span))
    effective = effective_size(share, variance / span**2, equal)
    low, high = of_proportion(share * effective, effective) or (0.0, 1.0)
    return Interval(value, lowest + span * min(low, share), lowest + span * max(high, share), effective)


def difference_interval(value: float, variance: float, size: float, span: float = 1.0) -> Interval:
    """Compute the 95 % interval of a difference between two figures of the same persons.

    For a difference of two proportions this is the interval of Bonett and Price, which adds one person to each of the
    two kinds of discordant persons. For other figures the discordant share is the one that would vary as much.

    Parameters
    ----------
    value
        The difference.
    variance
        Its variance.
    size
        Effective number of persons.
    span
        Largest minus smallest possible value of the figure.
    """
    n, gap = max(size, 1.0), value / span
    discordant = variance / span**2 * n + gap**2
    share, centre = (discordant * n + 2) / (n + 2), gap * n / (n + 2)
    half = Z * float(np.sqrt(max(0.0, share - centre**2) / (n + 2)))
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Interval(value, span * min(low, gap), span * max(high, gap), n)


def persons_for_width(found: Interval, persons: int, width: float) -> int:
    """Compute the number of persons at which the interval of a share, around the same value, has a width.

    Wilson's interval has the width z sqrt(z^2 + 4 n m (1 - m)) / (n + z^2), which is solved for n.

    Parameters
    ----------
    found
        A score interval with limits 0 and 1.
    persons
        Number of persons behind it; the effective number is proportional to it.
    width
        Width in (0, 1).
    """
    squared, spread, z = width**2, found.value * (1 - found.value), Z**2
    linear, constant = z * (squared - 2 * spread), z * z * (squared - 1)
    effective = (np.sqrt(linear**2 - squared * constant) - linear) / squared
    return int(np.ceil(effective * persons / found.effective - 1e-9))
