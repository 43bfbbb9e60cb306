import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score, roc_auc_score

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.intervals import midp_interval
from nephroscale.evaluation.metrics import METRICS, ORDINAL_METRICS, compute_metrics
from nephroscale.evaluation.networks import (
    Networks,
    confusion_metrics,
    count_won,
    equal_sizes,
    estimate_classes,
    estimate_figures,
    estimate_macro_auc,
    estimate_share,
    sample_metrics,
)

N = 24
LABELS = np.arange(N) % 3


def predictions(seed, networks=1, *, ties=False, shift=1.0):
    scores = np.random.default_rng(seed).normal(size=(networks, N, 3)) + shift * np.eye(3)[LABELS]
    powers = np.exp(scores)
    if ties:
        powers = np.round(powers) + 1
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("seed", range(4))
def test_metrics_equal_those_of_scikit_learn(seed):
    chances = predictions(seed)[0]
    networks = Networks.of(LABELS, chances)
    found = estimate_figures(networks, ordered=True)
    values = {metric: figure.interval.value for metric, figure in found.items()}
    predicted = chances.argmax(axis=1)
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(LABELS, predicted))
    assert values["macro_f1"] == pytest.approx(f1_score(LABELS, predicted, average="macro"))
    assert values["quadratic_kappa"] == pytest.approx(cohen_kappa_score(LABELS, predicted, weights="quadratic"))
    areas = [roc_auc_score(c == LABELS, chances[:, c]) for c in range(3)]
    assert values["macro_auc"] == pytest.approx(np.mean(areas))
    assert values["mean_class_error"] == pytest.approx(np.abs(LABELS - predicted).mean())
    assert values["one_class_off"] == pytest.approx((np.abs(LABELS - predicted) == 1).mean())
    assert values["within_one_class"] == pytest.approx((np.abs(LABELS - predicted) <= 1).mean())
    expected = {metric: found.value for metric, found in compute_metrics(LABELS, chances).items()}
    assert expected == pytest.approx({metric: values[metric] for metric in METRICS})


def test_metrics_of_absent_classes_are_those_of_the_classes_that_occur():
    matrix = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 2]])
    found = confusion_metrics(matrix, ordered=True)
    assert found["balanced_accuracy"] == pytest.approx((0.75 + 1) / 2)
    assert np.isnan(confusion_metrics(np.diag([4, 0, 0]), ordered=True)["quadratic_kappa"])


def test_a_figure_without_a_person_is_that_of_the_others():
    people = np.repeat(np.arange(N // 2), 2)
    labels = np.repeat(np.arange(N // 2) % 3, 2)
    labels[:2] = 0, 1  # a person with cases of two classes
    folds = people % 2
    chances = predictions(5, networks=2, ties=True)
    networks = Networks.of(labels, chances, people, folds)
    samples, area = sample_metrics(networks), count_won(networks, 1)
    for person in (0, 3, 7):
        keep = people != person
        rest = Networks.of(labels[keep], chances[:, keep], people[keep], folds[keep])
        for metric, found in sample_metrics(rest).items():
            assert samples[metric].left_out[:, person] == pytest.approx(found.values), metric
        assert area.samples.left_out[:, person] == pytest.approx(count_won(rest, 1).samples.values)


def test_areas_count_the_pairs_within_folds():
    folds, chances = np.arange(N) // 12, predictions(6)[0]
    shifted = chances.copy()
    shifted[folds == 1] = 0.9 * shifted[folds == 1] + 0.1 * np.array([1, 0, 0])  # another scale in the second fold
    area = count_won(Networks.of(LABELS, shifted, None, folds), 0)
    assert (area.pairs, area.folds) == (2 * 4 * 8, 2)
    parts = [roc_auc_score(LABELS[folds == f] == 0, chances[folds == f, 0]) for f in (0, 1)]
    assert area.samples.values == pytest.approx(np.mean(parts))
    assert count_won(Networks.of(LABELS, shifted), 0).samples.values != pytest.approx(np.mean(parts))


def test_a_class_without_a_pair_within_a_fold_is_not_estimable():
    labels, folds = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 2, 2])
    networks = Networks.of(labels, np.eye(3)[labels], None, folds)
    found = estimate_figures(networks)["macro_auc"]
    assert found.interval is None
    assert found.reason == "no pair within a fold for 1 of the 3 classes"
    assert estimate_classes(networks)[2].auc.interval is None
    assert estimate_macro_auc(networks.pooled).interval.value == 1
    absent = estimate_classes(Networks.of(labels[:4], np.eye(3)[labels[:4]]))[2]
    assert absent.sensitivity.interval is None
    assert absent.sensitivity.reason == "no case"


def test_perfect_predictions_have_intervals_of_width():
    labels = np.repeat([0, 1, 2], [12, 12, 13])
    figures = estimate_figures(Networks.of(labels, np.eye(3)[labels]), ordered=True)
    assert set(figures) == {*METRICS, *ORDINAL_METRICS}
    assert all(f.interval.high - f.interval.low > 0.05 for f in figures.values())
    assert figures["balanced_accuracy"].interval.low == pytest.approx(0.906, abs=5e-4)
    assert figures["macro_auc"].interval.low == pytest.approx(0.890, abs=5e-4)
    alone = estimate_figures(Networks.of(labels[:1], np.eye(3)[labels[:1]]))["accuracy"].interval
    assert (alone.low, alone.high) == (pytest.approx(0.207, abs=1e-3), 1)


def test_a_share_of_single_cases_has_the_midp_interval():
    hits = np.arange(13) < 9
    found = estimate_share(hits, np.arange(13)).interval
    assert (found.low, found.high) == pytest.approx(midp_interval(9, 13))
    twice = estimate_share(np.repeat(hits, 2), np.repeat(np.arange(13), 2)).interval
    assert (twice.low, twice.high) == pytest.approx((found.low, found.high))  # a second biopsy that says nothing new
    apart = estimate_share(np.repeat(hits, 2), np.arange(26)).interval
    assert apart.high - apart.low < found.high - found.low


def test_biopsies_count_by_their_agreement():
    random = np.random.default_rng(2)
    once = predictions(11, shift=1.6)
    again, people = np.repeat(once, 2, axis=1), np.repeat(np.arange(N), 2)
    unrelated = np.stack([once[0], predictions(12, shift=1.6)[0]], axis=1).reshape(1, 2 * N, 3)
    one = Networks.of(LABELS, once)
    twice, apart = (Networks.of(np.repeat(LABELS, 2), each, people) for each in (again, unrelated))
    assert equal_sizes(one) == pytest.approx({"accuracy": N, "balanced_accuracy": N, "macro_f1": N})
    assert equal_sizes(twice) == pytest.approx(equal_sizes(one))
    assert N + 4 < equal_sizes(apart)["balanced_accuracy"] < 2 * N
    assert equal_sizes(apart, agreement=1.0) == pytest.approx(equal_sizes(one))
    order = random.permutation(2 * N)
    assert equal_sizes(apart.select(order)) == pytest.approx(equal_sizes(apart))


def test_the_variance_between_networks_widens_the_interval():
    chances = predictions(7, shift=2.0)
    same = Networks.of(LABELS, np.repeat(chances, 3, axis=0))
    other = Networks.of(LABELS, np.concatenate([chances, predictions(8, shift=0.2), predictions(9, shift=4.0)]))
    one, two, three = (estimate_figures(n)["balanced_accuracy"] for n in (Networks.of(LABELS, chances), same, other))
    assert two.interval == one.interval
    assert len(set(three.networks)) == 3
    assert three.interval.value == pytest.approx(np.mean(three.networks))
    assert three.interval.effective < estimate_figures(other.ensemble)["balanced_accuracy"].interval.effective


def test_invalid_predictions_are_refused():
    with pytest.raises(NephroscaleError, match="do not sum to 1"):
        Networks.of(LABELS, np.full((2, N, 3), 0.5))
