import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from nephroscale.evaluation.intervals import resample_counts, resampled_ordinal_metrics
from nephroscale.evaluation.metrics import ORDINAL_METRICS, compute_ordinal_metrics

LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 1, 2, 1, 1, 2, 2, 2, 1, 0])


def test_by_hand():
    found = {name: value.value for name, value in compute_ordinal_metrics(LABELS, PREDICTED, 3).items()}
    assert found["mean_stage_error"] == pytest.approx(0.7)
    assert found["one_stage_off"] == pytest.approx(0.3)
    assert found["within_one_stage"] == pytest.approx(0.8)
    assert tuple(found) == ORDINAL_METRICS


def test_two_stages_off_weigh_more_than_one():
    near, far = LABELS.copy(), LABELS.copy()
    near[0], far[0] = 1, 2
    kappa = [compute_ordinal_metrics(LABELS, p, 3)["quadratic_kappa"].value for p in (LABELS, near, far)]
    assert kappa[0] == 1.0
    assert kappa[0] > kappa[1] > kappa[2]


def test_one_stage_alone_has_no_kappa():
    assert compute_ordinal_metrics(np.zeros(3), np.zeros(3), 3)["quadratic_kappa"].value is None


def test_every_sample_as_if_it_were_alone():
    counts = resample_counts(LABELS, 50, 1)
    found = resampled_ordinal_metrics(LABELS, PREDICTED, 3, counts)
    for sample, many in enumerate(counts):
        labels, predicted = np.repeat(LABELS, many), np.repeat(PREDICTED, many)
        alone = compute_ordinal_metrics(labels, predicted, 3)
        assert {k: v[sample] for k, v in found.items()} == pytest.approx({k: v.value for k, v in alone.items()})
        assert found["quadratic_kappa"][sample] == pytest.approx(
            cohen_kappa_score(labels, predicted, weights="quadratic")
        )


def test_a_patient_s_cases_are_drawn_together():
    people = ["a", "a", "b", "c", "d", "e", "f", "f", "g", "h"]
    counts = resample_counts(LABELS, 200, 2, people)
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 6] == counts[:, 7]).all()
    assert (counts[:, 2] != counts[:, 0]).any()
    alone = resample_counts(LABELS, 200, 2, [str(n) for n in range(10)])
    assert (alone == resample_counts(LABELS, 200, 2)).all()
