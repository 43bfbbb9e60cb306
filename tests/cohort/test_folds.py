import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale.cohort.fold_table import SIDES, FoldTable, assert_disjoint
from nephroscale.cohort.folds import make_folds
from nephroscale.cohort.patient import PatientRow
from nephroscale.cohort.settings import FoldsSettings
from nephroscale.errors import NephroscaleError

STRATIFIED = FoldsSettings("stratified", n_folds=5, validation_fraction=0.2)


def fold(patients, seed=1, permute=None, minimum=2, classes=("A", "B", "C"), **chosen):
    return make_folds(
        patients, classes, replace(STRATIFIED, **chosen), seed, min_per_class=minimum, permute_labels=permute
    )


def classes_of(folds, names):
    return Counter(folds.labels[name] for name in names)


@st.composite
def rosters(draw):
    """Patients of two or three classes, at up to three sites, some of them in groups."""
    classes = draw(st.sampled_from(["AB", "ABC"]))
    labels = list(classes) * 2 + draw(st.lists(st.sampled_from(classes), max_size=30))
    patients = [
        PatientRow(
            id=f"P{number}",
            label=label,
            site=draw(st.sampled_from(["x", "y", "z", None])),
            group=draw(st.sampled_from([None, None, None, "f", "g"])),
        )
        for number, label in enumerate(labels)
    ]
    return tuple(classes), patients


@pytest.mark.slow
@given(
    rosters(), st.integers(2, 3), st.sampled_from([0.1, 0.2, 0.5]), st.integers(0, 5), st.randoms(use_true_random=False)
)
@settings(max_examples=60, deadline=None)
def test_folds_are_disjoint_covering_grouped_and_independent_of_order(drawn, count, share, seed, shuffling) -> None:
    classes, patients = drawn
    chosen = {"classes": classes, "n_folds": count, "validation_fraction": share, "seed": seed}
    try:
        folds = fold(patients, **chosen)
    except NephroscaleError as error:
        # Large groups can leave too little to part, which has to be an error.
        assert "cannot make" in error.what or "none for validation" in error.what  # noqa: PT017
        return
    everyone = {patient.id for patient in patients}
    group_of = {patient.id: patient.group for patient in patients}
    assert sorted(name for each in folds.folds for name in each.test) == sorted(everyone)
    for each in folds.folds:
        sides = [set(each.side(side)) for side in SIDES]
        assert set.union(*sides) == everyone
        assert sum(map(len, sides)) == len(everyone)
        assert all(list(each.side(side)) == sorted(each.side(side)) and each.side(side) for side in SIDES)
        for group in ("f", "g"):
            assert sum(any(group_of[name] == group for name in side) for side in sides) <= 1
    shuffled = patients.copy()
    shuffling.shuffle(shuffled)
    assert json.dumps(fold(shuffled, **chosen).to_mapping()) == json.dumps(folds.to_mapping())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_27_patients_in_5_folds_have_every_class_on_every_side(roster, seed) -> None:
    folds = fold(roster({"A": 9, "B": 9, "C": 9}), seed)
    assert folds.notes == ()
    assert folds.stratified_on == ("label", "site")
    for each in folds.folds:
        assert 5 <= len(each.test) <= 6
        assert set(classes_of(folds, each.test).values()) <= {1, 2}
        assert all(len(classes_of(folds, each.side(side))) == 3 for side in SIDES)
        assert 3 <= len(each.validation) <= 5


@pytest.mark.parametrize("seed", range(10))
def test_6_patients_in_2_folds_are_tested_in_every_class(roster, seed) -> None:
    folds = fold(roster({"A": 2, "B": 2, "C": 2}), seed, n_folds=2)
    for each in folds.folds:
        assert len(classes_of(folds, each.test)) == 3
        assert (len(each.train), len(each.validation)) == (2, 1)
    # Three patients cannot put every class on both remaining sides; which the notes state.
    assert any("fold 0: no " in note and "on the train side" in note for note in folds.notes)


@pytest.mark.parametrize("seed", range(10))
def test_training_keeps_a_class_that_cannot_be_on_both_sides(roster, seed) -> None:
    folds = fold(roster({"A": 2, "B": 2, "C": 2}), seed, n_folds=3)
    for each in folds.folds:
        assert len(classes_of(folds, each.train)) == 3


@pytest.mark.slow
def test_sites_are_spread_within_classes(roster) -> None:
    patients = roster({"A": 20, "B": 20, "C": 20})
    site_of = {patient.id: patient.site for patient in patients}
    folds = fold(patients)
    for each in folds.folds:
        strata = Counter((folds.labels[name], site_of[name]) for name in each.test)
        assert set(strata.values()) == {2}
        assert len(strata) == 6


def test_without_enough_of_each_site_folds_are_stratified_on_the_label_alone(roster) -> None:
    patients = roster({"A": 9, "B": 9, "C": 9}, sites=("n", "n", "n", "n", "s"))
    assert fold(patients).stratified_on == ("label",)
    assert fold(roster({"A": 9, "B": 9, "C": 9}, sites=("n",))).stratified_on == ("label",)


@pytest.mark.slow
def test_seeds_give_other_folds_that_are_as_even(roster) -> None:
    patients = roster({"A": 9, "B": 9, "C": 9})
    tests = {json.dumps([each.test for each in fold(patients, seed).folds]) for seed in range(8)}
    assert len(tests) == 8


def test_groups_stay_together(roster) -> None:
    folds = fold(
        roster({"A": 9, "B": 9, "C": 9}, family=["A0", "B0", "C1"], pair=["A3", "A4"], single=["C8"]), n_folds=3
    )
    assert folds.groups == {"A0": "family", "B0": "family", "C1": "family", "A3": "pair", "A4": "pair"}
    for each in folds.folds:
        for names in ({"A0", "B0", "C1"}, {"A3", "A4"}):
            assert any(names <= set(each.side(side)) for side in SIDES)
    assert folds.notes == ()


def test_leaving_one_site_out(roster) -> None:
    patients = roster({"A": 6, "B": 6}, sites=("n", "s", "w"))
    site_of = {patient.id: patient.site for patient in patients}
    folds = fold(patients, classes=("A", "B"), scheme="leave_one_site_out", n_folds=3)
    assert [(each.name, each.site) for each in folds.folds] == [("0", "n"), ("1", "s"), ("2", "w")]
    for each in folds.folds:
        assert {site_of[name] for name in each.test} == {each.site}
        assert each.site not in {site_of[name] for name in each.train + each.validation}
    assert folds.notes == ()


def test_sites_are_left_out_beside_the_divisions(roster) -> None:
    patients = roster({"A": 6, "B": 6}, sites=("n", "s", "w"))
    one = fold(patients, classes=("A", "B"), n_folds=2, repeats=2)
    both = fold(patients, classes=("A", "B"), n_folds=2, repeats=2, left_out_sites=3)
    assert both.folds[:4] == one.folds
    assert [(each.name, each.site) for each in both.by_site] == [("4", "n"), ("5", "s"), ("6", "w")]
    assert both.divisions == one.divisions
    assert one.by_site == ()
    assert FoldTable.from_mapping(both.to_mapping()).by_site == both.by_site
    lost = replace(both, folds=(*both.folds[:-1], replace(both.folds[-1], test=both.folds[0].test)))
    with pytest.raises(NephroscaleError, match="The folds are not a split"):
        assert_disjoint(lost)
    with pytest.raises(NephroscaleError, match=r"folds\.left_out_sites is 2"):
        fold(patients, classes=("A", "B"), n_folds=2, left_out_sites=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_folds": 4}, "There are 3 sites"),
        ({"site": None}, "A0 have none"),
        ({"group": "g"}, "groups g have patients at several sites"),
    ],
)
def test_sites_that_cannot_be_left_out(roster, change, message) -> None:
    patients = roster({"A": 6, "B": 6}, sites=("n", "s", "w"))
    if "group" in change:
        patients[1] = replace(patients[1], group="g")
    patients[0] = replace(patients[0], **{key: value for key, value in change.items() if key != "n_folds"})
    with pytest.raises(NephroscaleError, match=message):
        fold(patients, classes=("A", "B"), scheme="leave_one_site_out", n_folds=change.get("n_folds", 3))


def test_ineligible_patients_are_excluded_with_the_reason(roster) -> None:
    patients = roster({"A": 9, "B": 9, "C": 9})
    patients[0] = replace(patients[0], eligible=False, reason="no TEM: nothing left")
    patients[1] = replace(patients[1], eligible=False, label=None)
    folds = fold(patients)
    assert folds.excluded == {"A0": "no TEM: nothing left", "A1": "not eligible"}
    assert not {"A0", "A1"} & set(folds.labels)


def test_too_few_patients_in_a_class_are_an_error_that_names_counts(roster) -> None:
    patients = roster({"A": 9, "B": 9, "C": 3})
    with pytest.raises(NephroscaleError, match=r"A 9, B 9, C 3; every class needs at least 4"):
        fold(patients, minimum=4)


def test_more_folds_than_patients_are_an_error(roster) -> None:
    with pytest.raises(NephroscaleError, match="cannot make 7 folds"):
        fold(roster({"A": 2, "B": 2, "C": 2}), n_folds=7)


def test_labels_that_are_no_classes_and_ids_given_twice(roster) -> None:
    with pytest.raises(NephroscaleError, match="are not classes: C"):
        fold(roster({"A": 3, "B": 3, "C": 3}), classes=("A", "B"))
    with pytest.raises(NephroscaleError, match="named twice: A0"):
        fold(roster({"A": 3, "B": 3, "C": 3}) + roster({"A": 1}))


@pytest.mark.slow
def test_permuted_labels_are_the_same_labels_on_other_patients(roster) -> None:
    patients = roster({"A": 9, "B": 9, "C": 9})
    true = fold(patients)
    permuted = [fold(patients, permute=seed) for seed in (1, 2, 3)]
    for each in permuted:
        assert Counter(each.labels.values()) == Counter(true.labels.values())
        assert each.notes == ()
        kept = sum(each.labels[name] == true.labels[name] for name in true.labels)
        assert kept < 18  # nine would be expected of 27
    assert len({json.dumps(each.labels) for each in [true, *permuted]}) == 4
    random.Random(1).shuffle(patients)
    assert fold(patients, permute=2) == permuted[1]


@pytest.mark.slow
def test_permuted_labels_of_a_group_are_those_of_one_other_group(roster) -> None:
    """Copies of one patient would otherwise get different labels, and a leak through them could not be seen."""
    twins = [replace(p, id=p.id + twin, group=p.id) for p in roster({"A": 6, "B": 6, "C": 6}) for twin in "xy"]
    for seed in (1, 2, 3):
        found = fold(twins, permute=seed)
        assert all(found.labels[p.id] == found.labels[p.id[:-1] + "x"] for p in twins)
        assert classes_of(found, found.labels) == {0: 12, 1: 12, 2: 12}
        assert sum(found.labels[p.id] == "ABC".index(p.label) for p in twins) < 24


def test_a_group_of_another_size_gets_labels_too(roster) -> None:
    patients = roster({"A": 6, "B": 6})
    patients[:3] = [replace(p, group="f") for p in patients[:3]]
    found = [fold(patients, permute=seed, classes=("A", "B")).labels for seed in range(1, 9)]
    assert all(len({labels[p.id] for p in patients[:3]}) == 1 for labels in found)
    assert {labels[patients[0].id] for labels in found} == {0, 1}


@pytest.mark.slow
def test_repeats_are_other_divisions_after_the_first_one(roster) -> None:
    patients = roster({"A": 10, "B": 10, "C": 10})
    once, thrice = fold(patients), fold(patients, repeats=3)
    assert thrice.folds[:5] == once.folds
    assert [each.name for each in thrice.folds] == [str(k) for k in range(15)]
    assert len({frozenset(each.test) for each in thrice.folds}) == 15
    assert [sorted(name for each in folds for name in each.test) for folds in thrice.divisions] == [
        sorted(once.labels)
    ] * 3
    assert FoldTable.from_mapping(json.loads(json.dumps(thrice.to_mapping()))) == thrice


def test_a_patient_that_one_division_tests_twice_is_refused(roster) -> None:
    table = fold(roster({"A": 6, "B": 6}), classes=("A", "B"), n_folds=2, repeats=2)
    swapped = replace(table, folds=(table.folds[0], table.folds[2], table.folds[1], table.folds[3]))
    with pytest.raises(NephroscaleError, match="are tested in more than one fold"):
        FoldTable.from_mapping(swapped.to_mapping())


@pytest.mark.slow
def test_a_rare_class_reaches_every_side_of_a_large_cohort(roster) -> None:
    folds = fold(roster({"A": 300, "B": 200, "C": 4}), n_folds=2, validation_fraction=0.05)
    assert folds.notes == ()


def test_json_keeps_folds_unchanged(roster) -> None:
    folds = fold(roster({"A": 9, "B": 9, "C": 9}))
    assert FoldTable.from_mapping(json.loads(json.dumps(folds.to_mapping()))) == folds
