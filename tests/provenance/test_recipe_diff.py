from __future__ import annotations

import pytest

from nephroscale.provenance.recipe_diff import differences

BASE = {
    "stage": "train",
    "format": 1,
    "code": {"train_model.py": "a" * 64, "nephroscale/models/smil.py": "b" * 64},
    "packages": {"torch": "2.13.0"},
    "settings": {"train": {"learning_rate": 0.001}, "seed": 1},
    "rows": {"id": "P01", "label": "IgAN"},
    "inputs": {"features/P01-TEM": "c" * 64},
    "seed": 1,
    "compute": {"threads": 1},
}


def test_equal_recipes_have_no_differences():
    assert differences(BASE, dict(BASE)) == []


@pytest.mark.parametrize(
    ("part", "value", "cause", "words"),
    [
        ("code", {**BASE["code"], "nephroscale/models/smil.py": "d" * 64}, "code", "smil.py was edited"),
        ("code", {"train_model.py": "a" * 64}, "code", "smil.py was no longer used"),
        ("format", 2, "code", "1 became 2"),
        ("packages", {"torch": "2.14.0"}, "environment", "torch: 2.13.0 became 2.14.0"),
        ("compute", {"threads": 2}, "environment", "threads: 1 became 2"),
        ("settings", {"train": {"learning_rate": 0.01}, "seed": 1}, "config", "train.learning_rate: 0.001 became 0.01"),
        ("settings", {**BASE["settings"], "seed": 2}, "seed", "seed: 1 became 2"),
        ("settings", {**BASE["settings"], "looks": {"0": 3}}, "config", "looks"),
        ("seed", 2, "seed", "1 became 2"),
        ("rows", {"id": "P01", "label": "MN"}, "data", "label: IgAN became MN"),
        ("inputs", {"features/P01-TEM": "e" * 64}, "data", "features/P01-TEM changed (eeeeeeeeeeee)"),
        ("inputs", {}, "data", "features/P01-TEM went out"),
    ],
)
def test_each_part_has_its_cause_and_words(part, value, cause, words):
    (found,) = differences(BASE, {**BASE, part: value})
    assert found.cause == cause
    assert words in found.text


def texts(before, after):
    return [found.text for found in differences({**BASE, "rows": before}, {**BASE, "rows": after})]


def test_rows_of_a_list_are_told_apart_by_their_ids():
    rows = [{"id": patient, "label": "IgAN"} for patient in ("P01", "P02", "P03")]
    changed = [rows[0], {"id": "P02", "label": "MN"}, rows[2]]
    assert texts(rows, changed) == ["the tables' row P02.label: IgAN became MN"]
    assert texts(rows[:2], [changed[1], rows[2]]) == [
        "the tables' row P01 went",
        "the tables' row P02.label: IgAN became MN",
        "the tables' row P03 came",
    ]
    assert texts({"images": rows[:1]}, {"images": rows[:2]}) == ["the tables' row images.P02 came"]
    assert texts([], rows[:1]) == ["the tables' row P01 came"]
    assert texts(rows[:2], rows[1::-1]) == ["the tables' row order: ['P01', 'P02'] became ['P02', 'P01']"]


def test_rows_without_ids_of_their_own_are_told_by_their_place():
    twice = [{"id": "P01", "label": label} for label in ("IgAN", "MN")]
    assert texts(twice, [twice[0], {"id": "P01", "label": "LN"}]) == ["the tables' row [1].label: MN became LN"]
    assert texts([1, 2], [1, 3]) == ["the tables' row [1]: 2 became 3"]


def test_more_looks_are_history_and_no_change_of_configuration():
    before = {**BASE, "settings": {"looks": {"0": 3}}}
    after = {**BASE, "settings": {"looks": {"0": 4}}}
    (found,) = differences(before, after)
    assert found.cause == "history"
