import numpy as np
import pytest

from nephroscale.evaluation.calibration_metrics import (
    apply_temperature,
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
