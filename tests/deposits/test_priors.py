"""Probabilities of deposits as the prior of TEM images: no image's own patient has taught them."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nephroscale.arrays import write_arrays
from nephroscale.cohort.deposits import Deposits
from nephroscale.deposits.priors import fit_priors, predict_priors
from nephroscale.deposits.settings import BackboneSettings, DepositsSettings
from nephroscale.deposits.train import Task
from nephroscale.errors import Rejected
from nephroscale.features.convert_weights import prepare_weights
from nephroscale.training.tem_priors import FILE, read_priors
from support.blots import PATIENTS, SIZE, TEST, TRAINING, VALIDATION, write_blots

pytestmark = pytest.mark.slow

SETTINGS = DepositsSettings(backbone=BackboneSettings(size_px=SIZE), batch_size=16)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    prepare_weights("efficientnet-lite0")
    return write_blots(tmp_path_factory.mktemp("bags"))


def fit(study, out, **readings):
    """Fit on the training side; `readings` replace those of some patients."""
    bags, folds, _ = study
    folds = replace(folds, readings={**folds.readings, **readings})
    own = {patient: bags[patient] for patient in (*TRAINING, *VALIDATION)}
    fit_priors(Task(folds, "0", "any", "svm", 1), own, SETTINGS, out=out)
    return out


def inverted(folds, patients):
    """The opposite readings of some patients."""
    return {
        who: {image: Deposits(not reading.at("any")) for image, reading in folds.readings[who].items()}
        for who in patients
    }


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def fitted(study, tmp_path_factory):
    return fit(study, tmp_path_factory.mktemp("priors") / "fold0")


def test_images_with_deposits_have_the_larger_priors_on_all_sides(study, fitted):
    bags, folds, _ = study
    priors = read_priors(fitted)
    assert set(priors.images) == {f"{who}-TEM{k}" for who in (*TRAINING, *VALIDATION) for k in (1, 2)}
    tested = predict_priors(fitted, {who: bags[who] for who in TEST}, None)
    found = {**priors.images, **tested.images}
    for patients in (TRAINING, VALIDATION, TEST):
        labels = folds.labels(patients, "any")
        assert roc_auc_score(list(labels.values()), [found[image] for image in labels]) > 0.9
    assert tested.mean == priors.mean == priors.of("an image without a bag")
    assert 0.2 < priors.mean < 0.8


def test_labels_of_validation_and_test_patients_change_no_byte(study, fitted, tmp_path):
    others = inverted(study[1], (*VALIDATION, *TEST))
    assert content(fit(study, tmp_path / "again", **others)) == content(fitted)


def test_planted_labels_of_the_training_side_are_not_found_in_its_priors(study, tmp_path):
    """On noise, an SVM that had seen a patient would know the label; one that has not cannot."""
    random = np.random.default_rng(5)
    bags, readings = {}, {}
    for number, patient in enumerate(TRAINING + VALIDATION):
        names = [f"{patient}-TEM{k}" for k in range(6)]
        pixels = np.clip(random.normal(150, 12, (6, SIZE, SIZE)), 0, 255).astype(np.uint8)
        whole = np.tile([0, 0, SIZE, SIZE], (6, 1))
        arrays = {"images": pixels, "image": np.arange(6, dtype=np.int16), "box": whole, "valid": whole}
        write_arrays(tmp_path / patient, arrays, {"images": names, "copies": {}})
        bags[patient] = tmp_path / patient
        readings[patient] = {name: Deposits(number % 2 == 0) for name in names}
    priors = read_priors(fit((bags, study[1], None), tmp_path / "fold0", **readings)).images
    labels = {image: reading.at("any") for who in TRAINING for image, reading in readings[who].items()}
    assert roc_auc_score(list(labels.values()), [priors[image] for image in labels]) < 0.75


def test_an_unlabelled_training_patient_has_the_prior_of_a_new_one(study, tmp_path):
    who = TRAINING[0]
    out = fit(study, tmp_path / "fold0", **{who: {}})
    priors = read_priors(out).images
    new = predict_priors(out, {who: study[0][who]}, None).images
    assert {image: priors[image] for image in new} == pytest.approx(new, abs=2e-6)


def test_too_few_labelled_patients(study, tmp_path):
    with pytest.raises(Rejected, match="no training patient has a labelled TEM image"):
        fit(study, tmp_path / "none", **{who: {} for who in PATIENTS})
    few = {who: {} for who in TRAINING[2:]}
    with pytest.raises(Rejected, match="too few persons on the training side"):
        fit(study, tmp_path / "few", **few)
    assert not (tmp_path / "few" / FILE).exists()
