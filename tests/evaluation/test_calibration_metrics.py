import numpy as np
import pytest

from nephroscale.evaluation.calibration_metrics import (
    apply_temperature,
    expect_calibration_error,
    measure_calibration,
    reliability,
)


def test_scaled_probabilities_are_the_softmax_of_divided_logits():
    logits = np.array([[1.0, -2.0, 0.5]])
    chances = np.exp(logits) / np.exp(logits).sum()
    halved = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(apply_temperature(chances, 2.0), halved, rtol=1e-12)
    np.testing.assert_allclose(apply_temperature(chances, 1.0), chances, rtol=1e-12)
    assert np.isfinite(apply_temperature(np.array([[1.0, 0.0, 0.0]]), 3.0)).all()


def test_calibration_metrics_of_a_small_example():
    labels = np.array([0, 0, 1, 1])
    chances = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    bins = reliability(labels, chances)
    assert [(b.patients, b.accuracy) for b in bins] == [(2, 0.5), (2, 1.0)]
    found = measure_calibration(labels, chances)
    assert found.ece == pytest.approx((2 * 0.15 + 2 * 0.05) / 4)
    assert found.brier == pytest.approx((2 * 2 * 0.05**2 + 2 * 0.65**2 + 2 * 0.35**2) / 4)


def test_perfect_calibration_shows_an_error_that_falls_with_the_number_of_patients():
    assert expect_calibration_error(np.array([[1.0, 0.0]])) == (0, 0)
    one = expect_calibration_error(np.array([[0.8, 0.2]]), draws=20000)
    assert one.mean == pytest.approx(2 * 0.8 * 0.2, abs=0.01)
    random = np.random.default_rng(0)
    few, many = (expect_calibration_error(random.dirichlet(np.ones(3), n)) for n in (37, 1000))
    assert many.upper < few.mean < few.upper
    chances = random.dirichlet(np.ones(3), 1000)
    labels = np.array([random.choice(3, p=p) for p in chances])
    assert measure_calibration(labels, chances).ece < expect_calibration_error(chances).upper * 1.5
