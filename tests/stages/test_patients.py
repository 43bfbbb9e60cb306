"""Which patients of the tables take part in which stages."""

from types import SimpleNamespace

import pytest

from nephroscale.stages.patients import deposit_patients, prepared_patients

PATIENTS = {
    "D1": "diagnosis",
    "D2": "diagnosis",
    "S1": "segmentation",
    "E1": "external",
    "X1": "exclude",
    "S2": "segmentation",
}
READ = {"D1", "D2", "S1", "E1", "X1"}


@pytest.fixture
def plan():
    """D2 has no label, so it is in no fold; all but S2 have a reading of deposits."""
    return SimpleNamespace(
        config=SimpleNamespace(deposits=SimpleNamespace(sites=("any",))),
        cohort=SimpleNamespace(
            patients={name: SimpleNamespace(id=name, use=use, label=None) for name, use in PATIENTS.items()}
        ),
        patients=["D1", "E1"],
        images=lambda patient, _: [SimpleNamespace(deposits="0" if patient in READ else None)],
    )


def test_readings_of_patients_without_a_label_or_for_the_segmenter_count(plan):
    assert [patient.id for patient in deposit_patients(plan)] == ["D1", "D2", "S1"]
    assert prepared_patients(plan) == ["D1", "E1", "D2", "S1"]


def test_without_sites_no_reading_counts(plan):
    plan.config.deposits.sites = ()
    assert deposit_patients(plan) == []
    assert prepared_patients(plan) == ["D1", "E1"]
