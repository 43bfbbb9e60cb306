import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from nephroscale.evaluation.comparison import bootstrap_p, holm, paired_differences
from nephroscale.evaluation.intervals import resample_counts


def predictions(labels, skill, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(labels), 3)) + skill * np.eye(3)[labels]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


LABELS = np.arange(60) % 3
COUNTS = resample_counts(LABELS, 999, 3)


def test_a_model_does_not_differ_from_itself():
    same = predictions(LABELS, 1.0, 0)
    for difference in paired_differences(LABELS, same, same, COUNTS).values():
        assert difference == (0.0, 0.0, 0.0, 1.0)


def test_the_sign_of_a_difference_shows_the_better_model():
    better, worse = predictions(LABELS, 4.0, 1), predictions(LABELS, 0.0, 2)
    found = paired_differences(LABELS, better, worse, COUNTS)
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_auc", "macro_f1"}
    assert all(d.low > 0 and d.p == pytest.approx(2 / 1000) for d in found.values())
    turned = paired_differences(LABELS, worse, better, COUNTS)
    assert turned["macro_f1"].value == pytest.approx(-found["macro_f1"].value)
    assert turned["macro_f1"].p == found["macro_f1"].p


def test_ordered_classes_are_compared_by_their_distance():
    better, worse = predictions(LABELS, 4.0, 1), predictions(LABELS, 0.5, 2)
    found = paired_differences(LABELS, better, worse, COUNTS, ordered=True)
    one, other = (p.argmax(1) for p in (better, worse))
    kappa = [cohen_kappa_score(LABELS, predicted, weights="quadratic") for predicted in (one, other)]
    assert found["quadratic_kappa"].value == pytest.approx(kappa[0] - kappa[1])
    error = [np.abs(LABELS - predicted).mean() for predicted in (one, other)]
    assert found["mean_class_error"].value == pytest.approx(error[0] - error[1])
    assert found["quadratic_kappa"].low > 0 > found["mean_class_error"].high
    alone = np.eye(3)[np.zeros(4, int)]
    undefined = paired_differences(np.zeros(4, int), alone, alone, np.ones((9, 4)), ordered=True)
    assert "quadratic_kappa" not in undefined
    assert undefined["mean_class_error"].value == 0


@pytest.mark.slow
def test_the_test_keeps_its_level_for_equally_good_models():
    p_values = []
    for seed in range(60):
        ours, theirs = predictions(LABELS, 1.2, 100 + seed), predictions(LABELS, 1.2, 500 + seed)
        p_values.append(paired_differences(LABELS, ours, theirs, COUNTS)["accuracy"].p)
    assert np.mean(np.array(p_values) < 0.05) < 0.15


def test_p_is_never_zero_and_ignores_rounding_errors():
    assert bootstrap_p(np.ones(99)) == pytest.approx(0.02)
    assert bootstrap_p(np.full(99, 1e-17)) == 1.0


def test_holm_adjustment_of_a_small_example():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
