import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from nephroscale.evaluation.intervals import (
    PRIOR_INFORMATION,
    PRIOR_REPEATS,
    TRAINING_VARIANCE,
    Interval,
    agreement_within,
    difference_interval,
    effective_size,
    equal_size,
    jackknife_variance,
    midp_interval,
    pairs_size,
    persons_for_width,
    repeated_size,
    score_interval,
    wilson_interval,
)
from nephroscale.evaluation.networks import (
    Networks,
    Samples,
    confusion_metrics,
    equal_sizes,
    estimate_share,
    sample_metrics,
    summarise,
)


@pytest.mark.parametrize(
    ("hits", "trials", "limits"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_interval_of_published_examples(hits, trials, limits):
    """Newcombe RG, Statistics in Medicine 17, 1998, table I, method 3."""
    assert wilson_interval(hits, trials) == pytest.approx(limits, abs=5e-5)


@pytest.mark.parametrize(
    ("hits", "trials", "limits"),
    [(81, 263, (0.2544, 0.3658)), (15, 148, (0.0601, 0.1581)), (0, 20, (0, 0.1391)), (1, 29, (0.0017, 0.1585))],
)
def test_midp_interval_of_published_examples(hits, trials, limits):
    """Newcombe RG, Statistics in Medicine 17, 1998, table I, method 6."""
    assert midp_interval(hits, trials) == pytest.approx(limits, abs=5e-5)
    low, high = midp_interval(trials - hits, trials)
    assert (1 - high, 1 - low) == pytest.approx(limits, abs=5e-5)


@given(trials=st.integers(1, 400), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_tails_beyond_a_midp_interval_are_binomial(trials, share):
    successes = round(share * trials)
    low, high = midp_interval(successes, trials)
    half = binom.pmf(successes, trials, [low, high]) / 2
    if successes:
        assert binom.sf(successes, trials, low) + half[0] == pytest.approx(0.025, abs=1e-9)
    if successes < trials:
        assert binom.cdf(successes - 1, trials, high) + half[1] == pytest.approx(0.025, abs=1e-9)
    assert 0 <= low <= successes / trials <= high <= 1


def test_there_is_no_interval_without_trials():
    assert wilson_interval(0, 0) is None
    assert midp_interval(0, 0) is None


@pytest.mark.parametrize("persons", [4, 7, 13, 25, 67])
def test_sensitivities_are_covered(persons):
    """Averaged over true values within 0.03 of a point, as in benchmarks/coverage.py; Wilson's cover 0.916 of 13."""
    results = np.arange(persons + 1)
    found = [estimate_share(np.arange(persons) < hits, np.arange(persons)).interval for hits in results]
    low, high = np.array([(each.low, each.high) for each in found]).T
    true = np.arange(0.57, 1.0, 0.02)
    inside = (low <= true[:, None]) & (true[:, None] <= high)
    covered = (binom.pmf(results, persons, true[:, None]) * inside).sum(axis=1)
    for point in (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99):
        assert covered[np.abs(true - point) < 0.0305].mean() >= 0.93


@given(trials=st.integers(1, 400), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_wilson_interval_equals_that_of_scipy(trials, share):
    successes = round(share * trials)
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), rel=0, abs=1e-15)


def test_jackknife_variance_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(size=12)
    left_out = (values.sum() - values) / 11
    assert jackknife_variance(left_out, np.zeros(12)) == pytest.approx(values.var(ddof=1) / 12)
    halves = np.arange(12) // 6
    means = [values[halves == h] for h in (0, 1)]
    apart = np.concatenate([((m.sum() - m) / 5 + o.mean()) / 2 for m, o in (means, means[::-1])])
    assert jackknife_variance(apart, halves) == pytest.approx(sum(m.var(ddof=1) / 6 for m in means) / 4)
    assert jackknife_variance(np.array([1.0, np.nan, 3.0]), np.array([0, 0, 1])) == 0


def test_effective_numbers_of_equally_difficult_classes():
    assert equal_size([12, 12, 13]) == pytest.approx(9 / (2 / 12 + 1 / 13))
    assert equal_size([10, 0, 10]) == pytest.approx(20)
    assert equal_size([0, 0]) == 0
    assert pairs_size([12], [25]) == pytest.approx(300 / (1 + 17.5 / 2))
    assert pairs_size([6, 6], [12, 13]) < pairs_size([12], [25])
    assert pairs_size([0], [5]) == 0


def test_a_variance_counts_more_where_more_persons_are_informative():
    assert effective_size(1.0, 0.0, 37) == 37
    assert effective_size(0.5, 0.25 / 20, 37) == pytest.approx(20)  # a larger variance counts in full
    equal = 4 * PRIOR_INFORMATION  # a quarter of these persons is informative
    half = effective_size(0.5, 0.25 / 48, equal)
    assert 1 / half == pytest.approx((1 / 48 + 1 / equal) / 2)
    assert effective_size(0.5, 10.0, 37) == 1


def test_agreement_within_persons_is_the_kappa_of_a_published_example():
    """25 subjects by 2 to 5 raters each, kappa 0.5415: Fleiss, Levin and Paik 2003, chapter 18; manual of Stata."""
    cases = np.array([2, 2, 3, 4, 3, 4, 3, 5, 2, 4, 5, 3, 4, 4, 2, 2, 3, 2, 4, 5, 3, 4, 3, 3, 2])
    hits = np.array([2, 0, 2, 3, 3, 1, 0, 0, 0, 4, 5, 3, 4, 3, 0, 2, 1, 1, 1, 4, 2, 0, 0, 3, 2])
    expected = (81 - 25) * (46 / 81) * (35 / 81)
    found = agreement_within(hits[None], cases)
    assert 1 - (1 - found) * (expected + PRIOR_REPEATS) / expected == pytest.approx(0.5415, abs=5e-5)
    assert agreement_within(np.stack([hits, hits]), cases) == pytest.approx(found)


def test_agreement_within_persons_is_complete_without_a_disagreement():
    cases = np.full(20, 2)
    assert agreement_within(np.repeat([0, 2], [3, 17])[None], cases) == 1
    assert agreement_within(cases[None], cases) == 1
    assert agreement_within(np.ones((1, 20)), cases) == 0  # each person has one correct result of two
    assert agreement_within(np.array([[1, 0, 1]]), np.ones(3)) == 1


def test_effective_number_of_persons_with_several_results():
    cases = np.full(20, 2)
    assert repeated_size(cases, 1.0) == pytest.approx(20)
    assert repeated_size(cases, 0.0) == pytest.approx(40)
    assert repeated_size(cases, 0.5) == pytest.approx(40 / 1.5)
    assert repeated_size(np.ones(7), 0.3) == pytest.approx(7)
    assert repeated_size(np.array([1, 3]), 1.0) == pytest.approx(16 / 10)
    assert repeated_size(np.array([]), 1.0) == 0
    # variance of the mean of results with variance 1 and this correlation
    cases, blocks = np.array([1, 2, 3]), [np.full((m, m), 0.3) + 0.7 * np.eye(m) for m in (1, 2, 3)]
    assert 1 / repeated_size(cases, 0.3) == pytest.approx(sum(block.sum() for block in blocks) / cases.sum() ** 2)


def test_the_variance_of_out_of_fold_predictions_has_a_factor():
    networks = draw(np.random.default_rng(5), 0.9)
    assert networks.out_of_fold
    fixed = Networks.of(networks.labels, networks.probabilities)
    left_out = 0.7 + 0.03 * np.random.default_rng(6).normal(size=37)
    samples = [Samples(np.array([0.7]), left_out[None]), Samples(np.array([1.0]), np.ones((1, 37)))]
    (one, perfect), (other, as_perfect) = [[summarise(n, s, 37.0).interval for s in samples] for n in (networks, fixed)]
    assert other.effective == pytest.approx(TRAINING_VARIANCE * one.effective)
    assert one.low < other.low < other.high < one.high
    assert perfect == as_perfect
    chosen = networks.select([0, 5])
    assert chosen.out_of_fold
    assert networks.pooled.out_of_fold
    assert networks.ensemble.out_of_fold


def test_perfect_results_have_the_interval_of_as_many_persons():
    assert score_interval(1.0, 0.0, 36.947) == Interval(1.0, pytest.approx(0.9058, abs=1e-4), 1.0, 36.947)
    kappa = score_interval(1.0, 0.0, 20, (-1.0, 1.0))
    assert (kappa.low, kappa.high) == (pytest.approx(2 * 20 / (20 + 1.96**2) - 1, abs=1e-4), 1.0)
    error = score_interval(0.0, 0.0, 20, (0.0, 2.0))
    assert (error.low, error.high) == (0.0, pytest.approx(2 * 1.96**2 / (20 + 1.96**2), abs=1e-4))


@pytest.mark.slow
@given(value=st.floats(0, 1), variance=st.floats(0, 0.3), equal=st.floats(0.5, 1000))
@settings(max_examples=100, deadline=None)
def test_no_interval_has_zero_width(value, variance, equal):
    found = score_interval(value, variance, equal)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.003


def test_difference_of_paired_proportions_of_a_published_example():
    """Airway hyper-responsiveness before and after a transplant: Fagerland et al., Statistics in Medicine 33, 2014."""
    n, once, other = 21, 1, 7
    gap = (once - other) / n
    found = difference_interval(gap, ((once + other) / n - gap**2) / n, n)
    assert (found.value, found.low, found.high) == pytest.approx((-0.286, -0.508, -0.013), abs=6e-4)
    assert difference_interval(0.0, 0.0, 30).low < -0.05


def test_number_of_persons_for_a_width():
    found = score_interval(0.9, 0.09 / 40, 40)
    persons = persons_for_width(found, 50, 0.10)
    scale = found.effective / 50
    widths = [np.ptp(wilson_interval(0.9 * scale * n, scale * n)) for n in (persons - 1, persons)]
    assert widths[1] <= 0.10 < widths[0]
    perfect = score_interval(1.0, 0.0, 37)
    assert persons_for_width(perfect, 37, 0.10) == 35  # z^2 / (n + z^2) = 0.1


def draw(random, shift, persons=37):
    labels = np.arange(persons) % 3
    scores = random.normal(size=(persons, 3)) + shift * np.eye(3)[labels]
    powers = np.exp(scores)
    return Networks.of(labels, powers / powers.sum(1, keepdims=True), None, np.arange(persons) // 3 % 5)


def percentile_interval(networks, random):
    """Compute the interval that the report had before: percentiles of a bootstrap within classes."""
    matrix = networks.person_confusions()[0].sum(axis=0)
    drawn = [random.multinomial(int(row.sum()), row / row.sum(), 200) for row in matrix]
    return np.quantile(confusion_metrics(np.stack(drawn, axis=1))["balanced_accuracy"], [0.025, 0.975])


@pytest.mark.slow
@pytest.mark.parametrize(("shifts", "percentile_fails"), [((1.9, 2.3), False), ((2.9, 3.5), True), ((3.5, 4.5), True)])
def test_intervals_cover(shifts, percentile_fails):
    """A short version of benchmarks/coverage.py: balanced accuracies around 0.85, 0.96 and 0.99."""
    random = np.random.default_rng(round(100 * shifts[0]))
    noise = random.normal(size=(200_000, 3))
    margins = np.sort(noise[:, 1:].max(axis=1) - noise[:, 0])
    covered, old = [], []
    for shift in random.uniform(*shifts, 1000):
        true = np.searchsorted(margins, shift) / len(margins)
        networks = draw(random, shift)
        samples, sizes = sample_metrics(networks), equal_sizes(networks)
        figures = [summarise(networks, samples[m], sizes[m]) for m in ("balanced_accuracy", "accuracy")]
        own = networks.labels == 0
        figures.append(estimate_share(networks.predicted[:, own] == 0, networks.people[own]))
        covered.append([f.interval.low <= true <= f.interval.high for f in figures])
        low, high = percentile_interval(networks, random)
        old.append(low <= true <= high)
    share = np.mean(covered, axis=0)
    assert (share > 0.93).all()
    assert share[0] < 0.985
    assert (np.mean(old) < 0.88) == percentile_fails
