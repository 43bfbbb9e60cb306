"""Figures of images, with intervals clustered by person."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nephroscale.deposits.metrics import Scored, discordant, evaluate_variant, mean_of_persons
from nephroscale.deposits.predictions import choose_weight


def sample(persons=40, images=5, seed=0, skill=1.0, folds=1):
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(persons), images)
    labels = random.uniform(size=len(who)) < 0.5
    scores = skill * (labels - 0.5) + random.normal(0, 0.5, len(who))
    return Scored(labels, 1 / (1 + np.exp(-scores)), who.astype(str), (who % folds).astype(str))


def test_figures_are_those_of_their_definitions():
    found = sample()
    figures = evaluate_variant([found])
    predicted = found.probabilities > 0.5
    assert figures["accuracy"].value == pytest.approx((predicted == found.labels).mean())
    assert figures["sensitivity"].value == pytest.approx(predicted[found.labels].mean())
    assert figures["specificity"].value == pytest.approx((~predicted)[~found.labels].mean())
    assert figures["auc"].value == pytest.approx(roc_auc_score(found.labels, found.probabilities))
    assert all(f.low < f.value < f.high for f in figures.values())


def test_the_auc_compares_images_of_one_fold_alone():
    found = sample(folds=2)
    shifted = Scored(found.labels, found.probabilities + (found.folds == "1"), found.persons, found.folds)
    assert evaluate_variant([shifted])["auc"] == evaluate_variant([found])["auc"]


def test_images_of_one_person_count_together():
    """Copies of images of the same persons add nothing."""
    found = sample(persons=20, images=1)
    copied = Scored(
        *(np.concatenate([part] * 10) for part in (found.labels, found.probabilities, found.persons, found.folds))
    )
    one, many = evaluate_variant([found])["accuracy"], evaluate_variant([copied])["accuracy"]
    assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.02)


def test_a_perfect_figure_has_an_interval():
    labels = np.arange(40) % 2 == 1
    found = Scored(labels, labels * 0.8 + 0.1, (np.arange(40) // 4).astype(str), np.array(["0"] * 40))
    for figure in evaluate_variant([found]).values():
        assert figure.value == 1
        assert 0.5 < figure.low < 0.9


def test_a_kind_of_image_that_does_not_occur_has_no_figure():
    found = Scored(np.ones(4, bool), np.full(4, 0.7), np.array(list("aabb")), np.array(["0"] * 4))
    figures = evaluate_variant([found])
    assert figures["specificity"].value is None
    assert figures["auc"].value is None
    assert figures["accuracy"].value == 1


def test_seeds_that_differ_widen_the_interval():
    same = evaluate_variant([sample(), sample()])["accuracy"]
    other = sample()
    worse = Scored(other.labels, 1 - other.probabilities, other.persons, other.folds)
    apart = evaluate_variant([sample(), worse])["accuracy"]
    assert apart.high - apart.low > same.high - same.low


def test_discordant_images():
    first = Scored(
        np.array([True, True, False, False]),
        np.array([0.9, 0.9, 0.1, 0.9]),
        np.array(list("abcd")),
        np.array(["0"] * 4),
    )
    second = Scored(first.labels, np.array([0.9, 0.1, 0.1, 0.1]), first.persons, first.folds)
    assert discordant(first, second) == (1, 1)


def test_the_mean_of_persons():
    figure = mean_of_persons([1, 1, 0, 1], ["a", "a", "b", "c"])
    assert figure.value == pytest.approx(0.75)
    assert 0 <= figure.low < 0.75 < figure.high <= 1
    assert mean_of_persons([], []).value is None


def test_the_weight_follows_the_better_system():
    labels = np.arange(40) % 2 == 1
    good, bad = np.where(labels, 0.9, 0.1), np.where(np.arange(40) % 3 == 0, 0.8, 0.3)
    assert choose_weight(labels, good, bad) > 0.8
    assert choose_weight(labels, bad, good) < 0.2
    assert choose_weight(labels, good, good) == 0.5
