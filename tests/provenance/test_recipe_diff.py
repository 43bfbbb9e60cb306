from __future__ import annotations

from dataclasses import replace

import pytest

from nephroscale.provenance.recipe_diff import differences
from nephroscale.store.recipe import Recipe

BASE = Recipe(
    stage="train",
    format=1,
    code={"train_model.py": "a" * 64, "nephroscale/models/smil.py": "b" * 64},
    packages={"torch": "2.13.0"},
    settings={"train": {"learning_rate": 0.001}, "seed": 1},
    rows={"id": "P01", "label": "IgAN"},
    inputs={"features/P01-TEM": "c" * 64},
    seed=1,
    compute={"threads": 1},
)


def test_equal_recipes_have_no_differences():
    assert differences(BASE, replace(BASE)) == []


@pytest.mark.parametrize(
    ("part", "value", "cause", "words"),
    [
        ("code", {**BASE.code, "nephroscale/models/smil.py": "d" * 64}, "code", "smil.py was edited"),
        ("code", {"train_model.py": "a" * 64}, "code", "smil.py was no longer used"),
        ("format", 2, "code", "1 changed to 2"),
        ("packages", {"torch": "2.14.0"}, "environment", "torch: 2.13.0 changed to 2.14.0"),
        ("compute", {"threads": 2}, "environment", "threads: 1 changed to 2"),
        (
            "settings",
            {"train": {"learning_rate": 0.01}, "seed": 1},
            "config",
            "train.learning_rate: 0.001 changed to 0.01",
        ),
        ("settings", {**BASE.settings, "seed": 2}, "seed", "seed: 1 changed to 2"),
        ("rows", {**BASE.rows, "test_set_uses": {"0": 3}}, "data", "test_set_uses"),
        ("seed", 2, "seed", "1 changed to 2"),
        ("rows", {"id": "P01", "label": "MN"}, "data", "label: IgAN changed to MN"),
        ("inputs", {"features/P01-TEM": "e" * 64}, "data", "features/P01-TEM changed (eeeeeeeeeeee)"),
        ("inputs", {}, "data", "features/P01-TEM was removed"),
    ],
)
def test_each_part_has_its_cause_and_words(part, value, cause, words):
    (found,) = differences(BASE, replace(BASE, **{part: value}))
    assert found.cause == cause
    assert words in found.text


def texts(before, after):
    return [found.text for found in differences(replace(BASE, rows=before), replace(BASE, rows=after))]


def test_rows_of_a_list_are_matched_by_their_ids():
    rows = [{"id": patient, "label": "IgAN"} for patient in ("P01", "P02", "P03")]
    changed = [rows[0], {"id": "P02", "label": "MN"}, rows[2]]
    assert texts(rows, changed) == ["the tables' row P02.label: IgAN changed to MN"]
    assert texts(rows[:2], [changed[1], rows[2]]) == [
        "the tables' row P01 was removed",
        "the tables' row P02.label: IgAN changed to MN",
        "the tables' row P03 was added",
    ]
    assert texts({"images": rows[:1]}, {"images": rows[:2]}) == ["the tables' row images.P02 was added"]
    assert texts([], rows[:1]) == ["the tables' row P01 was added"]
    assert texts(rows[:2], rows[1::-1]) == ["the tables' row order: ['P01', 'P02'] changed to ['P02', 'P01']"]


def test_rows_without_distinct_ids_are_matched_by_place():
    twice = [{"id": "P01", "label": label} for label in ("IgAN", "MN")]
    assert texts(twice, [twice[0], {"id": "P01", "label": "LN"}]) == ["the tables' row [1].label: MN changed to LN"]
    assert texts([1, 2], [1, 3]) == ["the tables' row [1]: 2 changed to 3"]


def test_more_scored_configurations_are_history_and_no_change_of_configuration():
    before = replace(BASE, rows={"test_set_uses": {"0": 3}})
    after = replace(BASE, rows={"test_set_uses": {"0": 4}})
    (found,) = differences(before, after)
    assert found.cause == "history"
