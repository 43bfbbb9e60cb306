"""Networks, comparisons, intervals and permutations on a cohort whose best possible figures are known."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from nephroscale.cohort.fold_table import FoldTable
from nephroscale.cohort.folds import exchange_labels
from nephroscale.evaluation.comparison import compare_networks
from nephroscale.evaluation.networks import Networks, estimate_figures
from nephroscale.evaluation.shortcuts import predict_from_facts
from nephroscale.models.registry import FAMILIES
from nephroscale.training.settings import PAPER, TrainSettings
from nephroscale_demo.latent import CLASSES, MEANS, LatentPatient, LatentPlan, ceiling, draw_patients
from support.feature_cohort import (
    accuracy,
    best_possible,
    cross_validate,
    divide,
    log_loss,
    train,
)

pytestmark = pytest.mark.slow

SHORT = TrainSettings(epochs=10, patience=10, batch_size=32, learning_rate=3e-3, final_learning_rate=3e-4)
"""For many trainings."""

SHORTEST = TrainSettings(
    epochs=4, patience=4, batch_size=64, learning_rate=1e-2, final_learning_rate=1e-3, standardise=False
)
"""For hundreds of trainings of a network without attention."""


@pytest.fixture(scope="module")
def patients() -> list[LatentPatient]:
    return draw_patients(LatentPlan())


@pytest.fixture(scope="module")
def full(patients: list[LatentPatient]) -> Networks:
    return cross_validate(patients, {"family": "cmusnet"})


@pytest.fixture(scope="module")
def om_only(patients: list[LatentPatient]) -> Networks:
    return cross_validate(patients, {"family": "cmusnet", "modalities": ["OM"]})


def balanced_accuracy(networks: Networks):
    interval = estimate_figures(networks)["balanced_accuracy"].interval
    assert interval is not None
    return interval


def test_cmusnet_comes_near_the_ceiling_and_never_above_it(patients: list[LatentPatient], full: Networks) -> None:
    best = best_possible(patients)
    assert (best.labels == full.labels).all()
    assert 0 <= accuracy(best) - accuracy(full) < 0.07
    assert 0 <= log_loss(full) - log_loss(best) < 0.25
    assert accuracy(full) > ceiling(("TEM", "IM"))[0] - 0.03, "all three modalities are used"


def test_one_modality_comes_near_its_own_ceiling(patients: list[LatentPatient], om_only: Networks) -> None:
    best = best_possible(patients, ["OM"])
    assert accuracy(om_only) > accuracy(best) - 0.06
    assert 0 <= log_loss(om_only) - log_loss(best) < 0.15


def test_a_comparison_has_power(full: Networks, om_only: Networks) -> None:
    found = compare_networks(full, om_only, swaps=999, seed=1)
    assert found["balanced_accuracy"].p < 0.01
    assert found["balanced_accuracy"].interval.low > 0.10
    same = compare_networks(full, full, swaps=999, seed=1)["balanced_accuracy"]
    assert same.interval.low <= 0 <= same.interval.high


def test_intervals_of_the_best_classifier_cover_its_ceiling() -> None:
    for modalities in (("OM",), tuple(MEANS)):
        true = ceiling(modalities)[0]
        intervals = [
            balanced_accuracy(best_possible(draw_patients(LatentPlan(60, seed)), modalities)) for seed in range(60)
        ]
        covered = sum(interval.low <= true <= interval.high for interval in intervals)
        assert covered >= 53  # of 60: binomial with 0.95, less in one of 1,000 cases


@pytest.mark.parametrize("family", ["max-pooling", "concatenation"])
def test_baselines_come_near_the_ceiling(family: str, patients: list[LatentPatient]) -> None:
    check_baseline(family, patients)


@pytest.mark.long
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"max-pooling", "concatenation"}))
def test_every_baseline_comes_near_the_ceiling(family: str, patients: list[LatentPatient]) -> None:
    check_baseline(family, patients)


def check_baseline(family: str, patients: list[LatentPatient]) -> None:
    found, best = cross_validate(patients, {"family": family}), best_possible(patients)
    assert 0 <= accuracy(best) - accuracy(found) < 0.20
    assert 0 <= log_loss(found) - log_loss(best) < 0.50


def test_without_signal_the_interval_holds_one_third() -> None:
    found = cross_validate(draw_patients(LatentPlan(signal=0)), {"family": "cmusnet"})
    interval = balanced_accuracy(found)
    assert interval.low < 1 / 3 < interval.high
    assert log_loss(found) > np.log(3) - 0.02


def test_a_planted_shortcut_lifts_a_network_above_the_ceiling_and_is_named() -> None:
    for link, above in ((0.5, False), (0.9, True)):
        patients = draw_patients(LatentPlan(link=link))
        facts = {one.name: {"site=south": float(one.site == "south")} for one in patients}
        audit = predict_from_facts(facts, divide(patients), permutations=39, seed=1)
        assert audit is not None
        assert (audit.p < 0.05) == above
        if above:
            found = cross_validate(patients, {"family": "cmusnet", "modalities": ["OM"]})
            assert accuracy(found) > accuracy(best_possible(patients, ["OM"])) + 0.05


def nearest(patients: list[LatentPatient], labels: Mapping[str, int], folds: FoldTable) -> float:
    """Balanced accuracy of the label of the nearest patient on the other sides of the fold."""
    maps = {one.name: one.maps["OM"].ravel() for one in patients}
    truth, predicted = [], []
    for fold in folds.folds:
        rest = [*fold.train, *fold.validation]
        known = np.stack([maps[name] for name in rest])
        for name in fold.test:
            truth.append(labels[name])
            predicted.append(labels[rest[int(((known - maps[name]) ** 2).sum(1).argmin())]])
    return accuracy(Networks.of(np.array(truth), np.eye(len(CLASSES))[predicted]))


def test_labels_permuted_by_person_show_a_leak_of_copies_and_labels_permuted_by_case_do_not() -> None:
    patients = draw_patients(LatentPlan(100, copies=100))
    labels = {one.name: one.label for one in patients}
    persons = {one.name: one.person for one in patients}
    apart, together = divide(patients, grouped=False), divide(patients)

    def permuted(groups: Mapping[str, str], folds: FoldTable) -> float:
        sources = [exchange_labels(labels, groups, seed) for seed in range(10)]
        return float(np.mean([nearest(patients, {n: labels[s] for n, s in one.items()}, folds) for one in sources]))

    assert permuted(persons, apart) > 0.5
    assert permuted({}, apart) == pytest.approx(1 / 3, abs=0.06)
    assert permuted(persons, together) == pytest.approx(1 / 3, abs=0.06)
    assert nearest(patients, labels, apart) > nearest(patients, labels, together) + 0.1


def test_features_and_labels_of_test_patients_change_no_weight() -> None:
    patients = draw_patients(LatentPlan(60))
    folds = divide(patients)
    tested = set(folds.fold("0").test)
    changed = [
        replace(one, maps={name: maps + 1 for name, maps in one.maps.items()}) if one.name in tested else one
        for one in patients
    ]
    other = replace(folds, labels={n: (label + 1) % 3 if n in tested else label for n, label in folds.labels.items()})
    one, two, three = (
        train(cohort, {"family": "cmusnet"}, SHORT, table, "0", seed=seed)[0].state_dict()
        for cohort, table, seed in ((patients, folds, 1), (changed, other, 1), (patients, folds, 2))
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], three[name]) for name in one)


def permutation_p(
    patients: list[LatentPatient], permutations: int, family: str = "cmusnet", settings: TrainSettings = SHORT
) -> tuple[float, list[float]]:
    """p-value of a network's balanced accuracy, (b + 1) / (m + 1), and the figures under permuted labels.

    Whole persons exchange labels; the folds stay the same, as dividing 400 patients takes longer than the training.
    """
    model, folds = {"family": family}, divide(patients)
    observed = accuracy(cross_validate(patients, model, settings, folds=folds))
    null = []
    for seed in range(1, permutations + 1):
        source = exchange_labels(folds.labels, folds.groups, seed)
        permuted = replace(folds, labels={name: folds.labels[other] for name, other in source.items()})
        null.append(accuracy(cross_validate(patients, model, settings, folds=permuted)))
    return (1 + sum(value >= observed for value in null)) / (permutations + 1), null


def test_permuted_labels_give_one_third() -> None:
    p, null = permutation_p(draw_patients(LatentPlan(200, copies=10)), 9)
    assert p == pytest.approx(0.1)
    assert np.mean(null) == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.long
def test_199_permutations(patients: list[LatentPatient]) -> None:
    """By a network that trains in a second; figures without signal vary by 0.025, and their mean by 0.002."""
    p, null = permutation_p(patients, 199, "concatenation", SHORTEST)
    assert p == pytest.approx(0.005)
    assert np.mean(null) == pytest.approx(1 / 3, abs=0.01)
    assert np.quantile(null, 0.95) < 0.40


def test_default_settings_converge_for_frozen_features() -> None:
    """With the paper's rate for fine-tuning, training has hardly begun when it ends."""
    patients = draw_patients(LatentPlan(60))
    folds = divide(patients, 5)
    curves = [
        train(patients, {"family": "cmusnet"}, settings, folds, "0")[2]
        for settings in (TrainSettings(), TrainSettings.from_mapping(PAPER))
    ]
    learnt, hardly = (curve[-1]["train_loss"] / curve[0]["train_loss"] for curve in curves)
    assert learnt < 0.5
    assert hardly > 0.8
    assert len(curves[0]) < TrainSettings().epochs, "patience ended it"
    reached, early = (min(point["validation_loss"] for point in curve) for curve in curves)
    assert reached < 0.8 * early
