"""The best possible prediction of the demo, and of the cohort of features."""

import json
from collections import Counter

import numpy as np
import pytest

from nephroscale_demo.ceiling import KINDS, SUBSETS, ceiling_json, posterior
from nephroscale_demo.cohorts import DEMO, make_cohort
from nephroscale_demo.latent import MEANS, LatentPlan, ceiling, draw_patients
from nephroscale_demo.latent import SUBSETS as LATENT_SUBSETS
from nephroscale_demo.latent import posterior as latent_posterior
from nephroscale_demo.tem import MicrographPlan


@pytest.fixture(scope="module")
def ceilings():
    return json.loads(ceiling_json(make_cohort("demo")))


def test_more_modalities_never_have_a_lower_ceiling(ceilings):
    expected = ceilings["expected"]
    assert set(expected) == set(SUBSETS)
    for subset, score in expected.items():
        for larger in SUBSETS:
            if set(subset.split("+")) < set(larger.split("+")):
                assert score["log_loss"] >= expected[larger]["log_loss"] - 0.01
                assert score["accuracy"] <= expected[larger]["accuracy"] + 0.01


def test_every_case_that_can_be_diagnosed_has_a_posterior(ceilings):
    for cases in ceilings["posterior"].values():
        assert len(cases) == sum(DEMO.values()) + 1  # one patient has two biopsies
        assert np.allclose(np.sum(list(cases.values()), axis=1), 1, atol=2e-4)
    draft = make_cohort("demo")
    own = {row.patient_id: ceilings["classes"].index(row.diagnosis) for row in draft.patients}
    for subset, cases in ceilings["posterior"].items():
        chances = np.array([given[own[name.partition("-")[0]]] for name, given in cases.items()])
        assert chances.min() > 0, "the true lesion can always have made the images"
        assert -np.log(chances).mean() == pytest.approx(ceilings["cohort"][subset]["log_loss"], abs=2e-3)


def test_the_section_gives_the_shares_of_the_lesions_with_its_pattern(ceilings):
    """Normal sections are of 7 patients with IgAN-M0 and 4 with MN-I."""
    draft = make_cohort("demo")
    name = next(p.patient_id for p in draft.patients if p.subtype == "MN-I")
    chances = dict(zip(ceilings["classes"], ceilings["posterior"]["OM"][name], strict=True))
    assert chances == pytest.approx({"IgAN": 7 / 11, "MN": 4 / 11, "LN": 0}, abs=1e-4)


def test_mesangial_deposits_in_a_view_of_the_mesangium_alone():
    def seen(view, amount):
        plan = MicrographPlan("a", 1, 9, 9, 8.0, view, 0, 0.0, amount, False, 8000, "", "strip")
        return posterior([plan], [KINDS["TEM"]], Counter({"IgAN-M0": 1, "LN-II": 1}), ["IgAN", "LN"])

    assert seen("mesangium", 0.9).tolist() == [0.5, 0.5]


def test_the_cohort_of_features_has_its_ceilings():
    found = {"+".join(names): ceiling(names)[0] for names in LATENT_SUBSETS}
    assert found["OM"] == pytest.approx(0.65, abs=0.01)
    assert found["IM"] == pytest.approx(0.72, abs=0.01)
    assert found["TEM"] == pytest.approx(0.75, abs=0.01)
    assert all(0.80 < found[pair] < 0.88 for pair in ("TEM+OM", "TEM+IM", "OM+IM"))
    assert found["TEM+OM+IM"] == pytest.approx(0.92, abs=0.01)
    assert ceiling(MEANS, signal=0) == pytest.approx((1 / 3, np.log(3)))


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
