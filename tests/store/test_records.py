"""Records are used only as they were written, and the name of the unit is no part of the outcome."""

import json
from dataclasses import replace

import pytest

from nephroscale.store.digest import digest_bytes
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Record, Records

RECIPE = Recipe("train", settings={"seed": 1, "name": "é"}, seed=1)


@pytest.fixture
def records(tmp_path):
    return Records(Store(tmp_path / "store"))


def publish(store, text):
    with store.scratch() as scratch:
        (scratch / "out").write_text(text)
        return Receipt("train", "one/fold0", "accepted", **store.publish(scratch / "out")._asdict(), figures={"n": 17})


def test_equal_outcomes_of_two_units_are_no_conflict(records):
    first = publish(records.store, "network")
    second = replace(first, unit="two/fold0")
    assert records.add(RECIPE, first, {"node": "a"}) == first
    assert records.add(RECIPE, second, {"node": "b"}) == second
    assert records.conflicts() == []
    assert [record.agrees for record in records.repeats()] == [True]


def test_differing_outcomes_of_two_units_are_a_conflict(records):
    first = publish(records.store, "network")
    records.add(RECIPE, first, {"node": "a"})
    other = replace(publish(records.store, "another"), unit="two/fold0")
    assert records.add(RECIPE, other, {"node": "b"}) == replace(first, unit="two/fold0")
    assert len(records.conflicts()) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"n": 17', '"n": 18'),
        ('"node": "a"', '"node": "c"'),
        ('"agrees"', '"agreed"'),
        ('\n  "digest"', '\n  "digesT"'),
        ("\n}", "\n}\n"),
        ("}", ""),
    ],
)
def test_a_changed_record_is_not_used_and_reported_once(records, capsys, old, new):
    receipt = publish(records.store, "network")
    for run in "ab":
        records.add(RECIPE, receipt, {"node": "a", "run": run})
    paths = [path for path in (records.path(RECIPE.digest), *records.repeat_paths()) if old in path.read_text()]
    assert paths
    for path in paths:
        path.write_text(path.read_text().replace(old, new))
    for _ in range(2):
        assert records.path(RECIPE.digest) not in paths or records.look_up(RECIPE.digest) is None
        assert records.path(RECIPE.digest) not in paths or list(records.all()) == []
        assert records.repeats() == []
    printed = capsys.readouterr().err
    assert [printed.count(str(path)) for path in paths] == [1] * len(paths)
    assert records.add(RECIPE, receipt, {"node": "a", "run": "c"}) == receipt
    assert records.look_up(RECIPE.digest) == receipt
    assert records.conflicts() == []


def test_an_intact_record_is_read_as_it_was_written(records, capsys):
    receipt = publish(records.store, "network")
    records.add(RECIPE, receipt, {"node": "a"})
    assert records.read(RECIPE.digest) == Record(RECIPE, receipt, {"node": "a"})
    assert capsys.readouterr().err == ""


def test_a_record_under_the_name_of_another_recipe_is_not_used(records):
    records.add(RECIPE, publish(records.store, "network"), {})
    other = "cd" * 32
    records.store.write_text(records.path(other), records.path(RECIPE.digest).read_text())
    assert records.look_up(other) is None


def test_the_digest_of_a_record_can_be_checked_with_other_tools(records):
    records.add(RECIPE, publish(records.store, "network"), {"node": "a"})
    lines = records.path(RECIPE.digest).read_text().splitlines(keepends=True)
    rest = [line for line in lines if not line.startswith('  "digest"')]
    assert len(rest) == len(lines) - 1
    assert json.loads("".join(lines))["digest"] == digest_bytes("".join(rest).encode())
    assert Record.from_text(b"") is None
