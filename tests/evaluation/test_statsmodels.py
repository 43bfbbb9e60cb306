"""Figures that statsmodels 0.15.0 gave (numpy 2.4.6), beside ours.

They were computed once and are written down here, since statsmodels is not among the packages of the tests.
"""

import numpy as np
import pytest

from nephroscale.evaluation.agreement import disagreement_weights, estimate_kappa
from nephroscale.evaluation.comparison import Exchanged, holm, swap_p
from nephroscale.evaluation.intervals import difference_interval, wilson_interval
from nephroscale.evaluation.networks import Networks, weighted_kappa
from nephroscale.evaluation.recalibration import fit_firth

COHEN = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]])
"""200 patients by two judges (Cohen 1968, table 1)."""
ODDS = np.array([-2.2, -1.7, -1.1, -0.9, -0.4, -0.2, 0.1, 0.3, 0.8, 1.2, 1.5, 2.4])
OUTCOME = np.array([0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1])


@pytest.mark.parametrize(
    ("hits", "trials", "limits"),
    [
        (81, 263, (0.2552885199, 0.366209577)),
        (35, 37, (0.8229534565, 0.9850490232)),
        (37, 37, (0.9059421742, 1.0)),
        (0, 20, (0.0, 0.1611251581)),
    ],
)
def test_wilson_interval(hits, trials, limits):
    """`proportion_confint(method="wilson")`."""
    assert wilson_interval(hits, trials) == pytest.approx(limits, abs=1e-9)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.04, 0.03, 0.005, 0.2, 0.04], [0.05, 0.12, 0.12, 0.03, 0.2, 0.12]),
    ],
)
def test_holm(p_values, adjusted):
    """`multipletests(method="holm")`."""
    assert list(holm({str(place): p for place, p in enumerate(p_values)}).values()) == pytest.approx(adjusted)


@pytest.mark.parametrize(("better", "worse", "p"), [(1, 7, 0.0703125), (3, 9, 0.14599609375)])
def test_exact_p_of_discordant_persons(better, worse, p):
    """`mcnemar(exact=True)`."""
    count = better + worse
    signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    outcomes = np.repeat([1, -1], [better, worse])
    assert swap_p(float(outcomes.sum()), Exchanged(signs @ outcomes, enumerated=True), exact=True) == pytest.approx(p)


@pytest.mark.parametrize(
    ("ordered", "kappa", "error"), [(False, 0.49152542372881347, 0.051002), (True, 0.45454545454545459, 0.066454)]
)
def test_kappa_and_its_standard_error(ordered, kappa, error):
    """`cohens_kappa`, plain and with quadratic weights; our interval comes from a jackknife."""
    ratings = [np.repeat(places, COHEN.ravel()) for places in (np.arange(9) // 3, np.arange(9) % 3)]
    weights = disagreement_weights(3, ordered=ordered)
    found = estimate_kappa(Networks.of(ratings[0], np.eye(3)[ratings[1]]), weights).interval
    assert found.value == pytest.approx(kappa)
    assert (found.high - found.low) / 3.92 == pytest.approx(error, rel=0.05)


def test_weighted_kappa():
    """`cohens_kappa(weights=...)`."""
    weights = np.array([[0, 1, 3], [1, 0, 6], [3, 6, 0]])
    assert weighted_kappa(COHEN, weights) == pytest.approx(0.3478260869565216)


def test_penalised_logistic_regression():
    """`GLM(family=Binomial())` of the augmented data: each case h / 2 more with and without the outcome (leverage h).

    Firth's estimate solves the likelihood equations of these data (Heinze and Schemper 2002).
    """
    beta, _ = fit_firth(np.stack([np.ones(12), ODDS], axis=1), OUTCOME)
    assert beta == pytest.approx([0.0133860906, 0.7016552117], abs=1e-8)


def test_many_patients_outweigh_the_penalty():
    """`Logit`, and `GLM(offset=...)` for the intercept at slope 1, of 2,400 cases."""
    odds, outcome = np.tile(ODDS, 200), np.tile(OUTCOME, 200)
    beta, covariance = fit_firth(np.stack([np.ones(2400), odds], axis=1), outcome)
    assert beta == pytest.approx([0.0259485, 0.9383556], abs=0.002)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0469135, 0.0436811], abs=1e-4)
    level, variance = fit_firth(np.ones((2400, 1)), outcome, offset=odds)
    assert level == pytest.approx([0.0285621], abs=1e-4)
    assert np.sqrt(variance[0, 0]) == pytest.approx(0.0475353, abs=1e-6)


def test_adjusted_wald_interval_of_bonett_and_price():
    """Example of `ci.prop.ps(.05, 12, 4, 26, 6)` in Bonett's R package statpsych."""
    gap = (26 - 4) / 48
    found = difference_interval(gap, ((26 + 4) / 48 - gap**2) / 48, 48)
    assert (found.low, found.high) == pytest.approx((0.2548067, 0.6251933), abs=5e-8)
