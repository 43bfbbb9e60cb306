"""Validation predictions: those of the stored weights, for the validation patients alone."""

import shutil

import numpy as np
import pytest
import torch

from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.evaluation.evaluate import write_validation_predictions
from nephroscale.evaluation.inference import infer
from nephroscale.evaluation.validation import read_validation_predictions
from nephroscale.models.weights import load_model
from nephroscale.training.data import BagSource
from nephroscale.training.fold_data import FoldData
from support.ensemble import CLASSES, read_table

torch.set_num_threads(1)
FOLD = FoldSides("0", ("P0", "P1"), ("P2", "P3", "P4"), ("P5", "P6", "P7"))
FOLDS = FoldTable(tuple(CLASSES), {f"P{i}": i % 3 for i in range(8)}, (FOLD,), second={"P3": 1})


@pytest.fixture
def weights(ensemble, tmp_path):
    """A network with an ordinal head and its predictions; only validation patients have features."""
    features, members = ensemble
    folder = tmp_path / "train"
    shutil.copytree(members[0].weights, folder)
    seen = {patient: features[patient] for patient in FOLD.validation}  # a test patient's bag would be an error
    write_validation_predictions(FoldData(FOLDS, "0", seen), folder)
    return folder


@pytest.mark.parametrize("head", ["softmax", "ordinal", "mean"])
def test_each_head_is_predicted_by_the_stored_weights(ensemble, weights, head):
    features, _ = ensemble
    network, card = load_model(weights)
    found = read_validation_predictions(weights, tuple(CLASSES), head)
    assert found.patients == list(FOLD.validation)
    bags = BagSource(features).open(list(FOLD.validation), card.modalities)
    expected = [one.probabilities for one in infer(network, bags, prediction=head)]
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-8)
    assert found.labels.tolist() == [2, 0, 1]


def test_soft_labels_are_in_the_table(weights):
    assert [row["second"] for row in read_table(weights / "validation.csv")] == ["", "II", ""]


def test_a_network_without_an_ordinal_head_has_its_softmax_alone(weights):
    (weights / "validation_heads.csv").unlink()
    softmax, mean = (read_validation_predictions(weights, tuple(CLASSES), head) for head in ("softmax", "mean"))
    np.testing.assert_array_equal(softmax.probabilities, mean.probabilities)
