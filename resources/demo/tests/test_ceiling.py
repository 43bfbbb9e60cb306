"""The best possible prediction of the demo, and of the cohort of features."""

import json

import numpy as np
import pytest

from nephroscale_demo.ceiling import ceiling_json
from nephroscale_demo.cohorts import DEMO, make_cohort
from nephroscale_demo.latent import MEANS, LatentPlan, draw_patients
from nephroscale_demo.latent import SUBSETS as LATENT_SUBSETS
from nephroscale_demo.latent import ceiling as latent_ceiling
from nephroscale_demo.latent import posterior as latent_posterior
from nephroscale_demo.pictures import CLASSES, SHARES, SUBSETS, TYPICAL, ceiling, draw_pictures, posterior


@pytest.fixture(scope="module")
def ceilings():
    return json.loads(ceiling_json(make_cohort("demo")))


def test_each_modality_is_needed(ceilings):
    expected = {subset: score["accuracy"] for subset, score in ceilings["expected"].items()}
    assert expected["OM"] == pytest.approx(0.65, abs=0.005)
    assert expected["IM"] == pytest.approx(0.72, abs=0.005)
    assert expected["TEM"] == pytest.approx(0.75, abs=0.005)
    assert all(0.80 < expected[pair] < 0.86 for pair in ("TEM+OM", "TEM+IM", "OM+IM"))
    assert expected["TEM+OM+IM"] == pytest.approx(0.92, abs=0.005)
    for subset, score in ceilings["cohort"].items():
        assert score["accuracy"] == pytest.approx(expected[subset], abs=0.09), "its own cases are like new ones"


@pytest.mark.slow
def test_the_ceiling_is_that_of_synthetic_patients():
    diagnoses = np.array(CLASSES)[np.arange(3000) % 3]
    drawn = [draw_pictures(5, f"N{number}", diagnosis) for number, diagnosis in enumerate(diagnoses)]
    own = [CLASSES.index(diagnosis) for diagnosis in diagnoses]
    for names in SUBSETS:
        chances = np.array([posterior(pictures, names) for pictures in drawn])
        accuracy, log_loss = ceiling(names)
        assert (chances.argmax(axis=1) == own).mean() == pytest.approx(accuracy, abs=0.03)
        assert -np.log(chances[np.arange(3000), own]).mean() == pytest.approx(log_loss, abs=0.04)


def test_shares_are_of_all_patients_of_a_class():
    for shares in SHARES.values():
        assert set(shares) == set(CLASSES) == set(TYPICAL)
        assert all(set(row) == set(CLASSES) and sum(row.values()) == pytest.approx(1) for row in shares.values())


def test_every_case_that_can_be_diagnosed_has_a_posterior(ceilings):
    draft = make_cohort("demo")
    own = {row.patient_id: ceilings["classes"].index(row.diagnosis) for row in draft.patients}
    for subset, cases in ceilings["posterior"].items():
        assert len(cases) == sum(DEMO.values()) + 1  # one patient has two biopsies
        assert np.allclose(np.sum(list(cases.values()), axis=1), 1, atol=2e-4)
        chances = np.array([given[own[name.partition("-")[0]]] for name, given in cases.items()])
        assert chances.min() > 0, "the own class can always have shown these pictures"
        assert -np.log(chances).mean() == pytest.approx(ceilings["cohort"][subset]["log_loss"], abs=2e-3)


def test_the_posterior_of_one_modality_follows_its_shares():
    """The section typical of lupus nephritis is that of 15 % with IgAN, 80 % with LN and none with MN."""
    assert posterior({"OM": "LN"}, ["OM"]) == pytest.approx([0.15 / 0.95, 0.80 / 0.95, 0])


@pytest.mark.slow
def test_the_cohort_of_features_has_its_ceilings():
    found = {"+".join(names): latent_ceiling(names)[0] for names in LATENT_SUBSETS}
    assert found["OM"] == pytest.approx(0.65, abs=0.01)
    assert found["IM"] == pytest.approx(0.72, abs=0.01)
    assert found["TEM"] == pytest.approx(0.75, abs=0.01)
    assert all(0.80 < found[pair] < 0.88 for pair in ("TEM+OM", "TEM+IM", "OM+IM"))
    assert found["TEM+OM+IM"] == pytest.approx(0.92, abs=0.01)
    assert latent_ceiling(MEANS, signal=0) == pytest.approx((1 / 3, np.log(3)))


@pytest.mark.slow
def test_posteriors_of_the_cohort_of_features_are_calibrated_and_in_its_features():
    patients = draw_patients(LatentPlan(patients=3000, seed=2))
    labels = np.array([one.label for one in patients])
    for names in LATENT_SUBSETS:
        chances = latent_posterior({m: np.stack([one.points[m] for one in patients]) for m in names}, names)
        hits = chances.argmax(axis=1) == labels
        assert hits.mean() == pytest.approx(chances.max(axis=1).mean(), abs=0.03)
    for modality in MEANS:  # the points are a linear function of the mean map
        means = np.stack([one.maps[modality].mean(axis=(0, 1, 2)) for one in patients])
        points = np.stack([one.points[modality] for one in patients])
        weights = np.linalg.lstsq(means, points, rcond=None)[0]
        assert np.abs(means @ weights - points).max() < 1e-4


def test_variants_of_the_cohort_of_features():
    plain, again, other = (draw_patients(LatentPlan(60, seed)) for seed in (1, 1, 2))
    assert all((a.maps["TEM"] == b.maps["TEM"]).all() for a, b in zip(plain, again, strict=True))
    assert any(a.label != b.label for a, b in zip(plain, other, strict=True))
    linked = draw_patients(LatentPlan(link=0.9))
    south = [np.mean([one.site == "south" for one in linked if one.label == label]) for label in range(3)]
    assert south == pytest.approx([0.1, 0.1, 0.9], abs=0.07)
    copied = draw_patients(LatentPlan(60, copies=5))
    assert len(copied) == 65
    assert [(one.name, one.person) for one in copied[60:62]] == [("C0001", "L0001"), ("C0002", "L0002")]
    assert copied[60].maps is copied[0].maps
