from dataclasses import replace

import numpy as np
import pytest

from nephroscale.evaluation.intervals import wilson_interval
from nephroscale.evaluation.networks import Networks
from nephroscale.reporting.report_inputs import ListedCase, ReportInputs, SlidePicture, UnitOutcome
from nephroscale.reporting.results import Stacked
from nephroscale.reporting.subgroups import collect_traits, summarise_subgroups

CASES = [f"P{i:02d}" for i in range(24)]
LABELS = np.arange(24) % 2
CLASSES = ["IgAN", "MN"]


@pytest.fixture
def stacked():
    predicted = LABELS.copy()
    predicted[[0, 1, 2]] = 1 - predicted[[0, 1, 2]]
    return Stacked(CASES, Networks.of(LABELS, np.eye(2)[predicted]))


@pytest.fixture
def inputs(tmp_path):
    return ReportInputs(classes=CLASSES, folds=tmp_path, models={})


def values(traits):
    return [traits[case] for case in CASES[:3]]


def test_columns_are_divided_into_subgroups(inputs):
    columns = [{"site": "north", "age": str(20 + i)} for i in range(23)] + [{"age": "60"}]
    cases = {case: ListedCase("diagnosis", columns=cells) for case, cells in zip(CASES, columns, strict=True)}
    found = collect_traits(replace(inputs, cases=cases), CASES)
    assert list(found) == ["site", "age", "modalities"]
    assert found["site"] == dict.fromkeys(CASES[:-1], "north") | {CASES[-1]: "not stated"}
    assert (found["age"]["P11"], found["age"]["P12"]) == ("below 31.5", "31.5 or above")


def test_a_column_with_a_word_keeps_its_cells(inputs):
    cases = {case: ListedCase("diagnosis", columns={"stage": str(i) if i else "I"}) for i, case in enumerate(CASES)}
    assert collect_traits(replace(inputs, cases=cases), CASES)["stage"]["P05"] == "5"


def test_missing_modalities_and_few_glomeruli_are_subgroups(inputs, tmp_path):
    lost = [UnitOutcome(f"P00-{name}", "rejected", "none", bag=("P00", name)) for name in ("TEM", "IM")]
    slides = [
        SlidePicture(f"{c}-{n}", c, tmp_path, glomeruli=20, fullest_section=n)
        for c, n in (("P00", 3), ("P00", 8), ("P01", 7))
    ]
    found = collect_traits(replace(inputs, stages={"features": lost}, slides=slides), CASES)
    assert values(found["modalities"]) == ["without TEM and IM", "all present", "all present"]
    assert values(found["glomeruli found"]) == ["8 or more", "fewer than 8", "not stated"]


def test_subgroups_have_intervals_and_small_ones_only_numbers(stacked):
    site = {case: "north" if i < 18 else "south" for i, case in enumerate(CASES)}
    found = summarise_subgroups(stacked, {"site": site, "scanner": dict.fromkeys(CASES, "A")}, CLASSES, 10)
    assert list(found) == ["site"]
    north, south = found["site"]
    assert (north.value, north.patients, north.classes) == ("north", 18, {"IgAN": 9, "MN": 9})
    assert (north.accuracy.low, north.accuracy.high) == pytest.approx(wilson_interval(15, 18), abs=2e-3)
    assert north.balanced_accuracy.value == pytest.approx((7 / 9 + 8 / 9) / 2, abs=1e-6)
    assert (south.patients, south.accuracy.value, south.note) == (6, None, "too few patients")


def test_a_subgroup_without_a_class_has_no_balanced_accuracy(stacked):
    label = {case: str(k) for case, k in zip(CASES, LABELS, strict=True)}
    first, second = summarise_subgroups(stacked, {"x": label}, CLASSES, 10)["x"]
    assert (first.balanced_accuracy.value, first.note) == (None, "no patient with MN")
    assert first.accuracy.value == pytest.approx(10 / 12, abs=1e-6)
    assert second.note == "no patient with IgAN"


def test_patients_with_two_biopsies_count_once(stacked):
    people = [i // 2 for i in range(24)]
    networks = Networks.of(LABELS, np.eye(2)[LABELS], people)
    site = {case: "north" if i < 18 else "south" for i, case in enumerate(CASES)}
    north, _ = summarise_subgroups(Stacked(CASES, networks), {"site": site}, CLASSES, 10)["site"]
    assert (north.patients, north.note) == (9, "too few patients")
