import numpy as np
import pytest

from nephroscale.evaluation.decisions import estimate_confident, estimate_net_benefit, signed_shares
from nephroscale.evaluation.intervals import wilson_interval
from nephroscale.evaluation.networks import Networks

LABELS = np.array([0, 0, 1, 1])
CHANCES = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])


def test_the_most_confident_predictions_are_kept():
    networks = Networks.of(LABELS, CHANCES)
    assert estimate_confident(networks, 1).interval.value == 3 / 4
    assert estimate_confident(networks, 0.75).interval.value == 1
    tied = Networks.of(LABELS, np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]]))
    assert estimate_confident(tied, 0.25).interval.value == 3 / 4  # all four are equally confident


def test_confident_predictions_without_an_error_have_the_interval_of_their_number():
    networks = Networks.of(np.arange(40) % 2, np.eye(2)[np.arange(40) % 2])
    found = estimate_confident(networks, 0.5).interval
    assert (found.low, found.high) == pytest.approx(wilson_interval(20, 20))


def test_confidence_is_that_of_each_network():
    networks = Networks.of(LABELS, np.stack([CHANCES, CHANCES[::-1]]))
    assert estimate_confident(networks, 0.25).networks == (1, 0)


def definition(labels, chances, threshold):
    """Vickers and Elkin: true positives / n - false positives / n * t / (1 - t)."""
    acted = chances[:, 1] >= threshold
    true, false = (acted & (labels == 1)).sum(), (acted & (labels == 0)).sum()
    return true / len(labels) - false / len(labels) * threshold / (1 - threshold)


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.65, 0.75])
def test_net_benefit_is_that_of_vickers_and_elkin(threshold):
    found = estimate_net_benefit(Networks.of(LABELS, CHANCES), [1], threshold, [0.5, 0.5])
    assert found.interval.value == pytest.approx(definition(LABELS, CHANCES, threshold))
    assert found.interval.low <= found.interval.value <= found.interval.high


def test_net_benefit_by_hand():
    """90 of 100 with the disease and 20 of 900 without it are treated from 0.1 on: 0.09 - 0.02 / 9."""
    labels = np.repeat([0, 1], [900, 100])
    chances = np.zeros(1000)
    chances[:20] = chances[900:990] = 0.1
    networks = Networks.of(labels, np.stack([1 - chances, chances], 1))
    assert estimate_net_benefit(networks, [1], 0.1, [0.9, 0.1]).interval.value == pytest.approx(0.09 - 0.02 / 9)
    assert signed_shares([1], 0.1, [0.9, 0.1]).sum() == pytest.approx(0)  # at the prevalence, both are equal


def test_net_benefit_is_that_of_the_stated_prevalences():
    labels, chances = np.array([0, 0, 1, 2]), np.eye(3)[[0, 1, 1, 2]]
    found = estimate_net_benefit(Networks.of(labels, chances), [1, 2], 0.5, [0.8, 0.1, 0.1])
    assert found.interval.value == pytest.approx(0.2 - 0.5 * 0.8)
    absent = estimate_net_benefit(Networks.of(labels[:3], chances[:3]), [1, 2], 0.5, [0.8, 0.1, 0.1])
    assert absent.interval is None
