from __future__ import annotations

import numpy as np
import pytest

from nephroscale.glomeruli.score_calibration import ScoreCalibration, fit_calibration


def test_calibrated_scores_are_frequencies() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.55, 0.99, 4000)
    odds = 2.0 * np.log(scores / (1 - scores)) - 3.0  # scores that are too high
    hits = rng.uniform(size=scores.size) < 1 / (1 + np.exp(-odds))
    fitted = fit_calibration(scores.tolist(), hits.tolist(), int(hits.sum()))
    assert fitted is not None
    assert fitted == (pytest.approx(2.0, abs=0.15), pytest.approx(-3.0, abs=0.3))
    high = scores > 0.9
    assert np.mean([fitted.apply(score) for score in scores[high]]) == pytest.approx(hits[high].mean(), abs=0.02)


def test_few_outlines_are_not_calibrated() -> None:
    scores, hits = [0.9] * 29 + [0.6] * 5, [True] * 29 + [False] * 5
    assert fit_calibration(scores, hits, 29) is None
    assert fit_calibration([*scores, 0.9], [*hits, True], 30) is not None
    assert fit_calibration([0.9] * 40, [False] * 40, 40) is None


def test_without_false_contours_scores_keep_their_order() -> None:
    fitted = fit_calibration(np.linspace(0.6, 0.97, 35).tolist(), [True] * 35, 35)
    assert fitted is not None
    assert 0.8 < fitted.apply(0.6) < fitted.apply(0.97) < 1


def test_the_edges_are_finite() -> None:
    assert 0 < ScoreCalibration(1.0, 0.0).apply(0.0) < ScoreCalibration(1.0, 0.0).apply(1.0) < 1
