import numpy as np
import pytest
from scipy.stats import binom, binomtest, ttest_1samp
from scipy.stats import t as student
from sklearn.metrics import cohen_kappa_score

from nephroscale.evaluation.comparison import (
    COMPARED_ORDINAL_METRICS,
    Discordant,
    Exchanged,
    compare_networks,
    corrected_t,
    count_discordant,
    holm,
    swap_p,
    swap_predictions,
    widen,
)
from nephroscale.evaluation.networks import Networks, sample_metrics
from nephroscale.reporting.settings import ORDERED_METRICS

LABELS = np.arange(60) % 3


def predictions(skill, seed, networks=1, labels=LABELS):
    random = np.random.default_rng(seed)
    powers = np.exp(random.normal(size=(networks, len(labels), 3)) + skill * np.eye(3)[labels])
    return Networks.of(labels, powers / powers.sum(axis=-1, keepdims=True), None, np.arange(len(labels)) // 3 % 5)


def right(counts, classes=2):
    """Two models on persons of one class: both wrong, only the first right, only the second right, both right."""
    ours, theirs = np.repeat([0, 1, 0, 1], counts), np.repeat([0, 0, 1, 1], counts)
    return [Networks.of(np.ones(sum(counts), int), np.eye(classes)[each]) for each in (ours, theirs)]


def test_a_model_does_not_differ_from_itself():
    same = predictions(1.0, 0, networks=2)
    for difference in compare_networks(same, same, swaps=100, seed=1).values():
        assert difference.p == 1
        assert difference.interval.value == 0
        assert difference.interval.low < 0 < difference.interval.high


def test_the_sign_of_a_difference_shows_the_better_model():
    better, worse = predictions(4.0, 1), predictions(0.0, 2)
    found = compare_networks(better, worse, swaps=999, seed=3)
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_auc", "macro_f1"}
    assert all(d.interval.low > 0 and d.p == pytest.approx(0.5 / 1000) for d in found.values())
    turned = compare_networks(worse, better, swaps=999, seed=3)
    assert turned["macro_f1"].interval.value == pytest.approx(-found["macro_f1"].interval.value)
    counts = count_discordant(better, worse)
    assert count_discordant(worse, better) == Discordant(counts.worse, counts.better)


def test_ordered_classes_are_compared_by_their_distance():
    better, worse = predictions(4.0, 1), predictions(0.5, 2)
    found = compare_networks(better, worse, swaps=200, seed=3, ordered=True)
    one, other = (each.predicted[0] for each in (better, worse))
    kappa = [cohen_kappa_score(LABELS, predicted, weights="quadratic") for predicted in (one, other)]
    assert found["quadratic_kappa"].interval.value == pytest.approx(kappa[0] - kappa[1])
    error = [np.abs(LABELS - predicted).mean() for predicted in (one, other)]
    assert found["mean_class_error"].interval.value == pytest.approx(error[0] - error[1])
    assert found["quadratic_kappa"].interval.low > 0 > found["mean_class_error"].interval.high
    alone = Networks.of(np.zeros(4, int), np.eye(3)[np.zeros(4, int)])
    undefined = compare_networks(alone, alone, swaps=100, seed=3, ordered=True)
    assert "quadratic_kappa" not in undefined
    assert "macro_auc" not in undefined
    assert undefined["mean_class_error"].interval.value == 0
    assert ORDERED_METRICS == COMPARED_ORDINAL_METRICS


def test_mid_p_of_a_published_example():
    """Airway hyper-responsiveness before and after a transplant: Fagerland et al. 2013, exact 0.070, mid-p 0.039."""
    ours, theirs = right((1, 1, 7, 12))
    assert count_discordant(ours, theirs) == Discordant(1, 7)
    assert compare_networks(ours, theirs, swaps=100, seed=1)["accuracy"].p == pytest.approx(0.0390625)
    exchanged = swap_predictions(ours, theirs, 100, 1)["accuracy"]
    exact = binomtest(1, 8).pvalue
    assert swap_p(-6 / 21, exchanged, exact=True) == pytest.approx(exact)
    assert exact == pytest.approx(0.0703, abs=1e-4)


def test_few_discordant_persons_give_no_small_p():
    found = compare_networks(*right((2, 5, 0, 30)), swaps=2000, seed=1)["accuracy"]
    assert found.p == pytest.approx(0.0625)  # five against none
    assert compare_networks(*right((2, 6, 0, 30)), swaps=2000, seed=1)["accuracy"].p == pytest.approx(0.5**6)


def test_random_exchanges_are_close_to_all_exchanges():
    found = compare_networks(*right((2, 4, 15, 30)), swaps=20000, seed=1)["accuracy"].p
    mid_p = binomtest(4, 19).pvalue - binom.pmf(4, 19, 0.5)
    assert found == pytest.approx(mid_p, abs=0.004)


def test_persons_are_exchanged_with_all_biopsies():
    ours, theirs = right((0, 6, 0, 6))
    people = np.repeat(np.arange(6), 2)
    together = [Networks.of(each.labels, each.probabilities, people) for each in (ours, theirs)]
    assert count_discordant(*together) == Discordant(3, 0)
    assert compare_networks(*together, swaps=100, seed=1)["accuracy"].p == pytest.approx(0.25)
    assert compare_networks(ours, theirs, swaps=100, seed=1)["accuracy"].p == pytest.approx(1 / 64)


def test_ranks_are_exchanged_within_folds():
    """Confident and hesitant probabilities with equal ranks do not differ."""
    ours = predictions(1.0, 4)
    powers = ours.probabilities**4
    sharp = Networks.of(LABELS, powers / powers.sum(axis=-1, keepdims=True), None, ours.folds)
    found = compare_networks(ours, sharp, swaps=400, seed=1)["macro_auc"]
    assert found.p > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("networks", [1, 2])
def test_the_test_keeps_its_level_for_equally_good_models(networks):
    p_values = []
    for seed in range(500):
        pair = [predictions(1.5, 1000 * side + seed, networks) for side in (1, 2)]
        values = [float(sample_metrics(each)["balanced_accuracy"].values.mean()) for each in pair]
        null = swap_predictions(*pair, 200, seed)["balanced_accuracy"]
        p_values.append(swap_p(values[0] - values[1], null, exact=False))
    assert 0.015 < np.mean(np.array(p_values) < 0.05) < 0.075


def test_exchanged_differences_are_scaled_up_and_never_down():
    narrow, none = (Exchanged(np.array(d), enumerated=True) for d in ([0.1, -0.1], [0.0, 0.0]))
    assert widen(narrow, 0.04).differences == pytest.approx([0.2, -0.2])
    for variance in (0.0001, np.nan):
        assert widen(narrow, variance).differences.tolist() == [0.1, -0.1]
    assert widen(none, 0.04).differences.tolist() == [0.0, 0.0]


@pytest.mark.long
def test_p_of_the_auc_keeps_its_level_for_equally_good_models():
    """Of these p-values 0.02 are below 0.05, and 0.06 without the scaling."""
    labels, below = np.arange(20) % 3, []
    for seed in range(200):
        pair = [predictions(0.7, 1000 * side + seed, 3, labels) for side in (1, 2)]
        below.append(compare_networks(*pair, swaps=150, seed=seed)["macro_auc"].p < 0.05)
    assert np.mean(below) <= 0.04


def test_p_counts_the_observed_difference_and_ignores_rounding_errors():
    assert swap_p(0.5, Exchanged(np.zeros(99), enumerated=False), exact=True) == pytest.approx(0.01)
    assert swap_p(1e-17, Exchanged(np.zeros(99), enumerated=False), exact=False) == 1.0


def test_holm_adjustment_of_a_small_example():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_the_corrected_t_is_that_of_students_test_without_shared_patients():
    differences = [0.1, 0.05, -0.02, 0.08, 0.0]
    expected = ttest_1samp(differences, 0)
    assert corrected_t(differences, 0) == pytest.approx((expected.statistic, expected.pvalue))


def test_the_corrected_t_allows_for_shared_patients():
    """By hand: mean 0.042, variance 0.00262, 5 folds of a quarter: t = 0.042 / sqrt((1/5 + 1/4) 0.00262)."""
    t, p = corrected_t([0.1, 0.05, -0.02, 0.08, 0.0], 0.25)
    assert t == pytest.approx(0.042 / np.sqrt(0.45 * 0.00262))
    assert p == pytest.approx(2 * student.sf(t, 4))
    assert corrected_t([0.1], 0.25) is None
    assert corrected_t([0.1, 0.1], 0.25) is None
