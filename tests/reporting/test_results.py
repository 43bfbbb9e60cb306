from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import apply_temperature
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.metric_values import as_json
from nephroscale.reporting.metrics_json import build_metrics
from nephroscale.reporting.results import Epoch, ModelResults, average_seeds, read_results
from nephroscale.reporting.settings import ReportSettings
from support.ordered_classes import LABELS, PATIENTS, PREDICTED, make_probabilities, make_run


def test_a_patient_tested_in_two_folds_is_refused():
    runs = [make_run(PATIENTS[:3], LABELS[:3], PREDICTED[:3], fold=fold) for fold in ("0", "1")]
    with pytest.raises(NephroscaleError, match="P0, P1, P2"):
        assert ModelResults("twice", runs).pooled


def test_seeds_with_different_patients_are_refused():
    same = np.zeros(3)
    with pytest.raises(NephroscaleError, match="seeds"):
        average_seeds([Predictions(p, same, make_probabilities([0, 0, 0])) for p in (PATIENTS[:3], PATIENTS[3:])])


def test_each_run_is_scaled_by_its_own_temperature():
    first = make_run(PATIENTS[:3], LABELS[:3], PREDICTED[:3], fold="0", temperature=2.0)
    second = make_run(PATIENTS[3:], LABELS[3:], PREDICTED[3:], fold="1", temperature=0.5)
    calibrated = ModelResults("ours", [first, second]).calibrated
    np.testing.assert_allclose(calibrated.probabilities[:3], apply_temperature(make_probabilities(PREDICTED[:3]), 2.0))
    np.testing.assert_allclose(calibrated.probabilities[3:], apply_temperature(make_probabilities(PREDICTED[3:]), 0.5))


@pytest.mark.slow
def test_results_are_read_and_averaged_over_seeds(two_seeds):
    results = read_results("im-only", two_seeds.models["im-only"], two_seeds.classes)
    assert [(r.fold, r.seed) for r in results.runs] == [(str(k), s) for k in range(5) for s in (1, 2)]
    pooled = results.pooled
    assert pooled.patients == sorted(pooled.patients)
    assert len(pooled.patients) == 27
    first = np.mean([p.probabilities[0] for p in results.of_fold("0")], axis=0)
    np.testing.assert_allclose(pooled.probabilities[pooled.patients.index("P001")], first)
    metrics = build_metrics({"im-only": results}, two_seeds.classes, ReportSettings(swaps=100), seed=0)
    found = as_json(metrics)["models"]["im-only"]
    expected = balanced_accuracy_score(pooled.labels, pooled.probabilities.argmax(1))
    assert found["ensemble"]["balanced_accuracy"]["value"] == pytest.approx(expected, abs=1e-6)
    stacked = results.stack({})
    assert stacked.cases == pooled.patients
    np.testing.assert_allclose(stacked.networks.probabilities.mean(axis=0), pooled.probabilities)
    each = [balanced_accuracy_score(stacked.networks.labels, one) for one in stacked.networks.predicted]
    assert found["networks"]["balanced_accuracy"] == pytest.approx(each, abs=1e-6)
    assert found["pooled"]["balanced_accuracy"]["value"] == pytest.approx(np.mean(each), abs=1e-6)


def test_folds_have_as_many_networks_as_the_fold_with_the_fewest():
    first = [replace(make_run(PATIENTS[:3], LABELS[:3], PREDICTED[:3], fold="0"), seed=s) for s in (1, 2)]
    second = make_run(PATIENTS[3:], LABELS[3:], PREDICTED[3:], fold="1")
    stacked = ModelResults("ours", [*first, second]).stack({"P1": "P0"})
    assert stacked.networks.probabilities.shape == (1, 6, 3)
    assert stacked.networks.people.tolist() == [0, 0, 1, 2, 3, 4]
    assert stacked.networks.folds.tolist() == [0, 0, 0, 1, 1, 1]


def test_trainings_whose_best_epoch_is_the_last_are_counted():
    curve = [Epoch(e, 1.0, 1.0) for e in (1, 2, 3)]
    runs = [replace(make_run(PATIENTS, LABELS, PREDICTED), curve=curve, best_epoch=best) for best in (2, 3, 3)]
    assert ModelResults("ours", [*runs, make_run(PATIENTS, LABELS, PREDICTED)]).last_epochs == 2
