"""Figures of published examples and of other libraries, beside those of the tests of each function."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, permutation_test
from sklearn.metrics import log_loss

from nephroscale.evaluation.calibration_metrics import measure_calibration
from nephroscale.evaluation.comparison import swap_p, swap_predictions
from nephroscale.evaluation.intervals import jackknife_variance
from nephroscale.evaluation.networks import Networks, count_won, sample_metrics
from nephroscale.reporting.estimates import estimate_predictive_values

NORMAL, ABNORMAL = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
"""Ratings 1 to 5 of 109 computed tomograms: Hanley and McNeil, Radiology 143, 1982, table I."""


def tomograms():
    ratings = np.r_[np.repeat(np.arange(1, 6), NORMAL), np.repeat(np.arange(1, 6), ABNORMAL)] / 6
    labels = np.repeat([0, 1], [sum(NORMAL), sum(ABNORMAL)])
    return Networks.of(labels, np.stack([1 - ratings, ratings], axis=1)), ratings


def test_area_and_standard_error_of_hanley_and_mcneil():
    networks, ratings = tomograms()
    area = count_won(networks, 1)
    assert area.samples.values[0] == pytest.approx(0.893, abs=5e-4)
    found = np.sqrt(jackknife_variance(area.samples.left_out[0], networks.strata))
    assert found == pytest.approx(0.032, abs=0.002)
    wins = mannwhitneyu(ratings[networks.labels == 1], ratings[networks.labels == 0]).statistic
    assert area.samples.values[0] == pytest.approx(wins / area.pairs, abs=1e-12)


@pytest.mark.parametrize(("prevalence", "ppv", "npv"), [(0.75, 0.88, 0.67), (0.25, 0.45, 0.95)])
def test_predictive_values_of_altman_and_bland(prevalence, ppv, npv):
    """Liver scans of 344 patients, 231 of 258 and 54 of 86 right: BMJ 309, 1994, page 102."""
    labels = np.repeat([0, 1], [258, 86])
    predicted = np.repeat([0, 1, 1, 0], [231, 27, 54, 32])
    networks = Networks.of(labels, np.eye(2)[predicted])
    prevalences = {"abnormal": prevalence, "normal": 1 - prevalence}
    found = estimate_predictive_values(networks, list(prevalences), prevalences)
    assert found["abnormal"].ppv.value == pytest.approx(ppv, abs=0.006)
    assert found["abnormal"].npv.value == pytest.approx(npv, abs=0.006)


def test_the_exact_p_of_all_exchanges_is_that_of_scipy():
    random = np.random.default_rng(3)
    labels = np.arange(12) % 2
    guesses = [np.where(random.random(12) < skill, labels, 1 - labels) for skill in (0.9, 0.4)]
    pair = [Networks.of(labels, np.eye(2)[each]) for each in guesses]
    values = [sample_metrics(each)["balanced_accuracy"].values[0] for each in pair]
    null = swap_predictions(*pair, swaps=100, seed=1)["balanced_accuracy"]
    assert null.enumerated
    hits = [(each.predicted[0] == labels).astype(float) for each in pair]

    def gap(one, other, axis):
        return (np.asarray(one) - np.asarray(other)).mean(axis=axis)

    expected = permutation_test(hits, gap, permutation_type="samples", vectorized=True, n_resamples=np.inf)
    assert swap_p(float(values[0] - values[1]), null, exact=True) == pytest.approx(expected.pvalue, abs=1e-12)


def test_brier_score_and_log_loss_are_those_of_scikit_learn_and_of_the_definition():
    random = np.random.default_rng(4)
    labels, chances = random.integers(0, 3, 50), random.dirichlet((1, 1, 1), 50)
    found = measure_calibration(labels, chances)
    assert found.nll == pytest.approx(log_loss(labels, chances, labels=[0, 1, 2]))
    assert found.brier == pytest.approx(((chances - np.eye(3)[labels]) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize(("label", "score"), [(1, (0.015 + 0.035 + 0.095) / 3), (2, (1.715 + 1.535 + 1.295) / 3)])
def test_brier_score_of_an_example(label, score):
    """A good and a bad classifier in the documentation of `brierScore` of the R package aqp, by hand."""
    chances = np.array([[0.05, 0.90, 0.05], [0.05, 0.85, 0.10], [0.10, 0.75, 0.15]])
    assert measure_calibration(np.full(3, label), chances).brier == pytest.approx(score)
