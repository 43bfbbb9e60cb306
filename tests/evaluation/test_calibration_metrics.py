import numpy as np
import pytest

from nephroscale.evaluation.calibration_metrics import (
    BOUNDS,
    apply_temperature,
    fit_temperature,
    make_targets,
    measure_calibration,
    negative_log_likelihood,
    reliability,
)


def overconfident(n=400, factor=3.0):
    """Labels drawn from the softmax of logits, and the probabilities of the same logits times a factor."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(n, 3)) * 1.5
    chances = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=p) for p in chances])
    return labels, apply_temperature(chances, 1 / factor)


def test_scaled_probabilities_are_the_softmax_of_divided_logits():
    logits = np.array([[1.0, -2.0, 0.5]])
    chances = np.exp(logits) / np.exp(logits).sum()
    halved = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(apply_temperature(chances, 2.0), halved, rtol=1e-12)
    np.testing.assert_allclose(apply_temperature(chances, 1.0), chances, rtol=1e-12)
    assert np.isfinite(apply_temperature(np.array([[1.0, 0.0, 0.0]]), 3.0)).all()


def test_the_temperature_of_simulated_overconfidence_is_recovered():
    labels, chances = overconfident()
    assert fit_temperature(chances, make_targets(labels, labels, 3)) == pytest.approx(3.0, rel=0.2)


def test_scaling_lowers_the_likelihood_loss_and_keeps_the_prediction():
    labels, chances = overconfident(60)
    targets = make_targets(labels, labels, 3)
    scaled = apply_temperature(chances, fit_temperature(chances, targets))
    assert negative_log_likelihood(scaled, targets) < negative_log_likelihood(chances, targets)
    assert (scaled.argmax(1) == chances.argmax(1)).all()
    before, after = measure_calibration(labels, chances), measure_calibration(labels, scaled)
    assert all(a < b for a, b in zip(after, before, strict=True))


def test_the_temperature_stays_within_its_bounds():
    chances = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    assert fit_temperature(chances, np.eye(3)[[0, 1]]) == BOUNDS[0]
    assert fit_temperature(chances, np.eye(3)[[1, 0]]) == BOUNDS[1]


def test_soft_labels_give_a_higher_temperature():
    chances = np.array([[0.9, 0.05, 0.05]] * 4)
    hard = fit_temperature(chances, make_targets([0, 0, 0, 1], [0, 0, 0, 1], 3))
    soft = fit_temperature(chances, make_targets([0, 0, 0, 0], [1, 1, 1, 1], 3))
    assert soft > hard
    np.testing.assert_allclose(make_targets([0], [1], 3), [[0.5, 0.5, 0]])


def test_calibration_metrics_of_a_small_example():
    labels = np.array([0, 0, 1, 1])
    chances = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    bins = reliability(labels, chances)
    assert [(b.patients, b.accuracy) for b in bins] == [(2, 0.5), (2, 1.0)]
    found = measure_calibration(labels, chances)
    assert found.ece == pytest.approx((2 * 0.15 + 2 * 0.05) / 4)
    assert found.brier == pytest.approx((2 * 2 * 0.05**2 + 2 * 0.65**2 + 2 * 0.35**2) / 4)
