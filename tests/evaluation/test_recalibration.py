import numpy as np
import pytest
from scipy.optimize import minimize

from nephroscale.evaluation.recalibration import fit_firth, recalibrate


def test_the_penalised_odds_ratio_of_a_table_adds_one_half_to_each_cell():
    """Firth 1993: for a 2 x 2 table the penalty is half a case in each cell, also where a cell is empty."""
    exposed, outcome = np.repeat([0, 0, 1, 1], [7, 3, 0, 12]), np.repeat([0, 1, 0, 1], [7, 3, 0, 12])
    beta, _ = fit_firth(np.stack([np.ones(22), exposed], axis=1), outcome)
    assert beta == pytest.approx([np.log(3.5 / 7.5), np.log(12.5 / 0.5) - np.log(3.5 / 7.5)])


def test_the_fit_is_the_optimum_of_the_penalised_likelihood():
    random = np.random.default_rng(0)
    x = np.stack([np.ones(40), random.normal(size=40)], axis=1)
    y = (random.random(40) < 1 / (1 + np.exp(-x[:, 1]))).astype(float)
    w = random.choice([0.5, 1.0], 40)

    def loss(beta):
        p = 1 / (1 + np.exp(-x @ beta))
        information = x.T @ ((w * p * (1 - p))[:, None] * x)
        return -(w * (y * np.log(p) + (1 - y) * np.log(1 - p))).sum() - 0.5 * np.linalg.slogdet(information)[1]

    beta, covariance = fit_firth(x, y, w)
    assert beta == pytest.approx(minimize(loss, np.zeros(2)).x, abs=1e-4)
    assert (np.diag(covariance) > 0).all()
    assert fit_firth(np.ones((40, 2)), y) is None


def test_slope_and_intercept_show_what_is_wrong():
    random = np.random.default_rng(1)
    odds = random.normal(0, 1.5, 3000)
    positive = random.random(3000) < 1 / (1 + np.exp(-odds))
    people = np.arange(3000)
    good = recalibrate(positive, 1 / (1 + np.exp(-odds)), people)
    assert good.slope.low < 1 < good.slope.high
    assert good.intercept.low < 0 < good.intercept.high
    extreme = recalibrate(positive, 1 / (1 + np.exp(-2 * odds)), people)
    assert extreme.slope.value == pytest.approx(good.slope.value / 2, abs=0.01)
    high = recalibrate(positive, 1 / (1 + np.exp(-odds - 1)), people)
    assert high.intercept.high < 0


def test_biopsies_of_a_person_count_once():
    random = np.random.default_rng(2)
    scores = random.random(60)
    positive = random.random(60) < scores
    one = recalibrate(positive, scores, np.arange(60))
    twice = recalibrate(np.repeat(positive, 2), np.repeat(scores, 2), np.repeat(np.arange(60), 2))
    assert twice.slope.value == pytest.approx(one.slope.value)
    assert twice.slope.low == pytest.approx(one.slope.low)


def test_what_the_data_do_not_determine_is_not_estimable():
    positive = np.arange(20) < 10
    assert recalibrate(positive, np.where(positive, 0.9, 0.1), np.arange(20)) is None
    few = np.arange(20) < 4
    assert recalibrate(few, np.linspace(0.1, 0.9, 20), np.arange(20)) is None
    assert recalibrate(positive, np.full(20, 0.5), np.arange(20)) is None
