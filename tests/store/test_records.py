"""Records: what one says is used only as it was written, and the names of units tell no outcomes apart."""

import json
from dataclasses import replace

import pytest

from nephroscale.store.digest import digest_bytes
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt
from nephroscale.store.records import Records, seal, unseal

RECIPE = "ab" * 32


@pytest.fixture
def records(tmp_path):
    return Records(Store(tmp_path / "store"))


def publish(store, text):
    with store.scratch() as scratch:
        (scratch / "out").write_text(text)
        return Receipt("train", "one/fold0", "accepted", **store.publish(scratch / "out")._asdict(), figures={"n": 17})


def test_units_of_one_recipe_that_agree_are_no_conflict_and_each_keeps_its_name(records):
    first = publish(records.store, "network")
    second = replace(first, unit="two/fold0")
    assert records.add(RECIPE, {}, first, {"node": "a"}) == first
    assert records.add(RECIPE, {}, second, {"node": "b"}) == second
    assert records.conflicts() == []
    assert [record["agrees"] for record in records.repeats()] == [True]


def test_units_of_one_recipe_that_differ_are_a_conflict_and_the_first_outcome_gets_the_second_name(records):
    first = publish(records.store, "network")
    records.add(RECIPE, {}, first, {"node": "a"})
    other = replace(publish(records.store, "another"), unit="two/fold0")
    assert records.add(RECIPE, {}, other, {"node": "b"}) == replace(first, unit="two/fold0")
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
def test_a_record_that_was_changed_by_hand_is_none_and_is_told_once(records, capsys, old, new):
    receipt = publish(records.store, "network")
    for run in "ab":
        records.add(RECIPE, {"seed": 1}, receipt, {"node": "a", "run": run})
    paths = [path for path in (records.path(RECIPE), *records.repeat_paths()) if old in path.read_text()]
    assert paths
    for path in paths:
        path.write_text(path.read_text().replace(old, new))
    for _ in range(2):
        assert records.path(RECIPE) not in paths or records.look_up(RECIPE) is None
        assert records.path(RECIPE) not in paths or records.all() == []
        assert records.repeats() == []
    told = capsys.readouterr().err
    assert [told.count(str(path)) for path in paths] == [1] * len(paths)
    assert records.add(RECIPE, {"seed": 1}, receipt, {"node": "a", "run": "c"}) == receipt
    assert records.look_up(RECIPE) == receipt
    assert records.conflicts() == []


def test_a_sound_record_is_read_as_it_was_written_and_nothing_is_told(records, capsys):
    receipt = publish(records.store, "network")
    records.add(RECIPE, {"seed": 1, "name": "é"}, receipt, {"node": "a"})
    wanted = {
        "recipe": RECIPE,
        "parts": {"seed": 1, "name": "é"},
        "receipt": receipt.as_json(),
        "made": {"node": "a"},
    }
    assert records.read(RECIPE) == wanted
    assert capsys.readouterr().err == ""


def test_a_record_under_the_name_of_another_recipe_is_none(records):
    records.add(RECIPE, {}, publish(records.store, "network"), {})
    other = "cd" * 32
    records.store.write_text(records.path(other), records.path(RECIPE).read_text())
    assert records.look_up(other) is None


def test_the_digest_of_a_record_can_be_had_without_this_program(records):
    records.add(RECIPE, {"seed": 1}, publish(records.store, "network"), {"node": "a"})
    lines = records.path(RECIPE).read_text().splitlines(keepends=True)
    rest = [line for line in lines if not line.startswith('  "digest"')]
    assert len(rest) == len(lines) - 1
    assert json.loads("".join(lines))["digest"] == digest_bytes("".join(rest).encode())
    assert unseal(seal({"a": 1}).encode()) == {"a": 1}
    assert unseal(b"") is None
