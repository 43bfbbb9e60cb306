import numpy as np
import pytest
from scipy.stats import binom

from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.cohort.folds import make_folds
from nephroscale.cohort.patient import PatientRow
from nephroscale.cohort.settings import FoldsSettings
from nephroscale.evaluation.shortcuts import detectable_accuracy, predict_from_facts
from nephroscale_demo.cohorts import make_cohort

CASES = [f"P{i:02d}" for i in range(40)]
LABELS = {case: i % 2 for i, case in enumerate(CASES)}


def folds(labels=LABELS, **rest):
    cases = list(labels)
    sides = [(cases[k::4], [c for c in cases if c not in cases[k::4]]) for k in range(4)]
    return FoldTable(
        ("A", "B"),
        dict(labels),
        tuple(FoldSides(str(k), tuple(rest), (), tuple(test)) for k, (test, rest) in enumerate(sides)),
        **rest,
    )


@pytest.mark.slow
def test_facts_that_follow_the_classes_predict_them():
    rng = np.random.default_rng(1)
    facts = {case: {"images": label + rng.normal(0, 0.3), "noise": rng.normal()} for case, label in LABELS.items()}
    found = predict_from_facts(facts, folds(), 39, 1)
    assert (found.p, found.facts) == (1 / 40, 2)
    assert (found.networks.predicted[0] == found.networks.labels).mean() > 0.85
    assert len(np.unique(found.networks.folds)) == 4


@pytest.mark.slow
def test_facts_without_information_have_p_values_of_all_sizes():
    """Over 15 cohorts, p is at most 0.1 in about a tenth, and never below 1 / 20."""
    p = []
    for k in range(15):
        rng = np.random.default_rng(k)
        facts = {case: {str(i): rng.normal() for i in range(4)} for case in CASES}
        p.append(predict_from_facts(facts, folds(), 19, k).p)
    assert min(p) >= 1 / 20
    assert binom.cdf(sum(np.array(p) <= 0.1), 15, 0.1) < 0.999
    assert 0.3 < np.mean(p) < 0.7


@pytest.mark.slow
def test_copies_of_patients_are_permuted_together():
    """Facts that tell persons apart predict the copy in another fold, with any labels of whole persons."""
    person = {case: f"{i // 2}" for i, case in enumerate(CASES)}
    labels = {case: (i // 2) % 2 for i, case in enumerate(CASES)}
    facts = {case: {name: float(name == person[case]) for name in set(person.values())} for case in CASES}
    table = folds(labels)
    assert predict_from_facts(facts, table, 39, 1).p < 0.05
    whole = FoldTable(table.classes, labels, table.folds, groups=person)
    assert predict_from_facts(facts, whole, 39, 1).p > 0.05


@pytest.mark.slow
def test_facts_that_are_unknown_or_constant():
    facts = {case: {"constant": 1.0, **({"images": float(label)} if i < 30 else {})}
             for i, (case, label) in enumerate(LABELS.items())}  # fmt: skip
    found = predict_from_facts(facts, folds(), 19, 1)
    assert (found.facts, found.p) == (1, 1 / 20)
    assert predict_from_facts({case: {"constant": 1.0} for case in CASES}, folds(), 19, 1) is None
    assert predict_from_facts({}, folds(), 19, 1) is None


def test_a_fold_whose_training_side_has_one_class_predicts_it():
    labels = {"a": 0, "b": 0, "c": 1, "d": 1}
    table = FoldTable(
        ("A", "B"), labels, (FoldSides("0", ("a", "b"), (), ("c", "d")), FoldSides("1", ("c", "d"), (), ("a", "b")))
    )
    found = predict_from_facts({case: {"x": float(i)} for i, case in enumerate(labels)}, table, 19, 1)
    assert found.networks.predicted.tolist() == [[1, 1, 0, 0]]


@pytest.mark.slow
def test_soft_labels_are_left_out():
    facts = {case: {"x": float(label)} for case, label in LABELS.items()}
    assert len(predict_from_facts(facts, folds(second={"P00": 1}), 19, 1).networks.labels) == 39


@pytest.mark.parametrize("size", [40, 200])
def test_the_detectable_accuracy_is_detected_in_four_of_five_cohorts(size):
    null = binom.rvs(size, 0.5, size=4000, random_state=1) / size
    found = detectable_accuracy(null, size)
    power = binom.sf(np.floor(np.quantile(null, 0.95) * size + 1e-9), size, found)
    assert power == pytest.approx(0.8, abs=0.07)


@pytest.mark.slow
def test_the_planted_shortcut_of_the_demo_is_found_and_the_plain_demo_has_none():
    for variant, found in ((None, False), ("shortcut", True)):
        people = [row for row in make_cohort("demo", variant).patients if row.use == "diagnosis"]
        rows = [PatientRow(row.patient_id, row.diagnosis, site=row.site) for row in people]
        table = make_folds(rows, ("IgAN", "MN", "LN"), FoldsSettings(), 1, min_per_class=5, permute_labels=None)
        facts = {row.patient_id: {"site": float(row.site == "south")} for row in people}
        outcome = predict_from_facts(facts, table, 39, 1)
        assert (outcome.p < 0.05) == found, "p < 0.05 is the report's limit for its warning"
