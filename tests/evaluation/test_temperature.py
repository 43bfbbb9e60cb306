from dataclasses import replace

import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import FLOOR, apply_temperature, measure_calibration
from nephroscale.evaluation.tables import Predictions
from nephroscale.evaluation.temperature import (
    LEAST_PATIENTS,
    PRIOR_SD,
    fit_fold_temperature,
    fit_temperature,
    make_targets,
    weighted_nll,
)


def overconfident(n=400, factor=3.0, seed=0):
    """Labels drawn from the softmax of logits, and the probabilities of the same logits times a factor."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(n, 3)) * 1.5
    chances = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=p) for p in chances])
    return labels, apply_temperature(chances, 1 / factor)


def predictions(n=8, seed=0, **changes):
    labels, chances = overconfident(n, seed=seed)
    return replace(Predictions([f"P{i}" for i in range(n)], labels, chances), **changes)


def test_the_temperature_is_the_mode_of_its_posterior():
    labels, chances = overconfident(30)
    targets = np.eye(3)[labels]
    steps = np.linspace(-2, 2, 40001)
    scaled = np.maximum(chances[None], FLOOR) ** np.exp(-steps)[:, None, None]
    scaled /= scaled.sum(axis=2, keepdims=True)
    posterior = (np.log(scaled) * targets).sum(axis=(1, 2)) - steps**2 / (2 * PRIOR_SD**2)
    assert np.log(fit_temperature(chances, targets)) == pytest.approx(steps[posterior.argmax()], abs=1e-4)


def test_the_temperature_of_simulated_overconfidence_is_recovered_from_many_patients():
    labels, chances = overconfident(2000)
    assert fit_temperature(chances, make_targets(labels, labels, 3)) == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.97])
def test_a_few_patients_all_right_hardly_sharpen_the_probabilities(confidence):
    # The likelihood alone would go to a temperature of 0.
    chances = np.full((6, 3), (1 - confidence) / 2)
    chances[:, 0] = confidence
    assert 0.7 < fit_temperature(chances, np.eye(3)[[0] * 6]) < 1


def test_scaling_lowers_the_likelihood_loss_and_keeps_the_prediction():
    labels, chances = overconfident(60)
    scaled = apply_temperature(chances, fit_temperature(chances, np.eye(3)[labels]))
    assert (scaled.argmax(1) == chances.argmax(1)).all()
    before, after = measure_calibration(labels, chances), measure_calibration(labels, scaled)
    assert all(a < b for a, b in zip(after, before, strict=True))


def test_soft_labels_give_a_higher_temperature():
    chances = np.array([[0.9, 0.05, 0.05]] * 6)
    hard = fit_temperature(chances, make_targets([0] * 6, [0] * 6, 3))
    soft = fit_temperature(chances, make_targets([0] * 6, [1] * 6, 3))
    assert soft > hard
    np.testing.assert_allclose(make_targets([0], [1], 3), [[0.5, 0.5, 0]])


def test_soft_labels_of_predictions_are_half_for_each_class():
    sure = predictions()
    second = np.where(np.arange(8) < 4, (sure.labels + 1) % 3, sure.labels)
    soft = fit_fold_temperature([replace(sure, second=second)], 3)
    targets = make_targets(sure.labels, second, 3)
    assert soft.temperature == fit_temperature(sure.probabilities, targets)
    assert soft.nll_before == pytest.approx(weighted_nll(sure.probabilities, targets, np.ones(8)) / 8, abs=1e-6)


def test_a_fold_has_one_temperature_whatever_the_number_of_seeds():
    one = predictions()
    alone, three = fit_fold_temperature([one], 3), fit_fold_temperature([one] * 3, 3)
    assert three.temperature == pytest.approx(alone.temperature, abs=1e-5)
    assert (three.patients, three.nll_before) == (8, alone.nll_before)
    other = predictions(labels=one.labels, probabilities=one.probabilities[:, [1, 2, 0]])
    both = fit_fold_temperature([one, other], 3).temperature
    assert alone.temperature < both < fit_fold_temperature([other], 3).temperature


def test_a_patient_counts_once_whatever_the_number_of_biopsies():
    one = predictions()
    doubled = Predictions(
        [f"{name}_{b}" for name in one.patients for b in "AB"],
        one.labels.repeat(2),
        one.probabilities.repeat(2, axis=0),
    )
    persons = {case: case[:-2] for case in doubled.patients}
    found, alone = fit_fold_temperature([doubled], 3, persons), fit_fold_temperature([one], 3)
    assert found.patients == 8
    assert found.temperature == pytest.approx(alone.temperature, abs=1e-5)
    assert fit_fold_temperature([doubled], 3).temperature > found.temperature > 1


def test_too_few_patients_leave_the_probabilities_as_they_are():
    few = predictions(LEAST_PATIENTS - 1)
    found = fit_fold_temperature([few], 3)
    assert (found.temperature, found.patients, found.nll_after) == (1.0, LEAST_PATIENTS - 1, found.nll_before)
    assert fit_fold_temperature([predictions(LEAST_PATIENTS)], 3).temperature != 1.0
    persons = dict.fromkeys(("P0", "P1"), "one")
    assert fit_fold_temperature([predictions(LEAST_PATIENTS)], 3, persons).temperature == 1.0


def test_seeds_that_predicted_other_patients_are_refused():
    other = replace(predictions(), patients=[f"Q{i}" for i in range(8)])
    with pytest.raises(NephroscaleError, match="different validation patients"):
        fit_fold_temperature([predictions(), other], 3)
