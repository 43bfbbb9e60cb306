from dataclasses import replace

import numpy as np
import pytest
import torch

from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.evaluation.calibration_metrics import BOUNDS, fit_temperature, negative_log_likelihood
from nephroscale.evaluation.fitted_temperature import read_temperature
from nephroscale.evaluation.inference import infer
from nephroscale.evaluation.temperature import fit_fold_temperature
from nephroscale.models.weights import load_model
from nephroscale.training.data import BagSource
from nephroscale.training.fold_data import FoldData
from support.ensemble import CLASSES, read_table

torch.set_num_threads(1)
FOLD = FoldSides("0", ("P0", "P1"), ("P2", "P3", "P4"), ("P5", "P6", "P7"))
FOLDS = FoldTable(tuple(CLASSES), {f"P{i}": i % 3 for i in range(8)}, (FOLD,), second={"P3": 1})


@pytest.mark.parametrize("prediction", ["softmax", "ordinal", "mean"])
def test_the_temperature_is_fitted_without_reading_test_patients(ensemble, tmp_path, prediction):
    features, members = ensemble
    seen = {patient: features[patient] for patient in ("P2", "P3", "P4")}  # a test patient's bag would be an error
    weights = members[0].weights
    fitted = fit_fold_temperature(FoldData(FOLDS, "0", seen), weights, tmp_path / "out", prediction=prediction)
    assert fitted.patients == 3
    assert fitted.nll_after <= fitted.nll_before
    assert read_temperature(tmp_path / "out") == fitted
    assert [r["second"] for r in read_table(tmp_path / "out/validation.csv")] == ["", "II", ""]


def test_a_soft_label_counts_half_for_each_class(ensemble, tmp_path):
    features, members = ensemble
    network, card = load_model(members[0].weights)
    (one,) = infer(network, BagSource(features).open(["P3"], card.modalities))
    likely, unlikely = int(one.probabilities.argmax()), int(one.probabilities.argmin())
    alone = replace(FOLD, validation=("P3",))
    folds = replace(FOLDS, labels={**FOLDS.labels, "P3": likely}, folds=(alone,))
    found = {}
    for name, second, target in (("sure", {}, [likely]), ("half", {"P3": unlikely}, [likely, unlikely])):
        targets = np.eye(3)[target].mean(axis=0)[None]
        table = replace(folds, second=second)
        fitted = fit_fold_temperature(FoldData(table, "0", features), members[0].weights, tmp_path / name)
        found[name] = fitted.temperature
        assert found[name] == pytest.approx(fit_temperature(one.probabilities[None], targets), abs=1e-4)
        nll = negative_log_likelihood(one.probabilities[None], targets)
        assert fitted.nll_before == pytest.approx(nll, abs=1e-5)
    assert found["sure"] == BOUNDS[0]
    assert found["half"] > 2 * BOUNDS[0]
