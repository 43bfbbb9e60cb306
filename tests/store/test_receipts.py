import os

import pytest

from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, raise_time, read_receipt, settle_receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Records

RECIPE = Recipe("stage")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def publish(store, text):
    with store.scratch() as scratch:
        (scratch / "out").write_text(text)
        return Receipt("stage", "unit", "accepted", **store.publish(scratch / "out")._asdict(), figures={"n": 1})


def test_a_receipt_holds_no_time_and_no_place(store, tmp_path):
    receipt = publish(store, "one")
    path, link = tmp_path / "results/unit.json", tmp_path / "results/unit"
    settle_receipt(path, link, receipt, store)
    assert read_receipt(path) == receipt
    assert link.read_text() == "one"
    assert not link.readlink().is_absolute()
    assert str(tmp_path) not in path.read_text()


def test_settling_again_changes_nothing_but_a_time_that_is_too_old(store, tmp_path):
    receipt = publish(store, "one")
    path, link = tmp_path / "unit.json", tmp_path / "unit"
    settle_receipt(path, link, receipt, store)
    os.utime(path, (1000, 1000))
    settle_receipt(path, link, receipt, store)
    raise_time(path, 500 * 10**9)
    assert path.stat().st_mtime == 1000
    settle_receipt(path, link, receipt, store)
    raise_time(path, 2000500000001)
    assert path.stat().st_mtime_ns == 2000500000001


def test_a_new_outcome_replaces_receipt_and_link(store, tmp_path):
    path, link = tmp_path / "unit.json", tmp_path / "unit"
    settle_receipt(path, link, publish(store, "one"), store)
    settle_receipt(path, link, publish(store, "two"), store)
    assert link.read_text() == "two"
    settle_receipt(path, link, Receipt("stage", "unit", "rejected", "unreadable"), store)
    assert not link.is_symlink()
    assert read_receipt(path).reason == "unreadable"


def test_an_incomplete_receipt_is_read_as_none(tmp_path):
    (tmp_path / "r.json").write_text('{"stage": "x", "un')
    assert read_receipt(tmp_path / "r.json") is None
    assert read_receipt(tmp_path / "absent.json") is None


def test_the_first_outcome_is_kept_and_a_differing_one_is_a_conflict(store):
    records = Records(store)
    first, second = publish(store, "one"), publish(store, "two")
    assert records.add(RECIPE, first, {"node": "a"}) == first
    assert records.add(RECIPE, second, {"node": "b"}) == first
    assert records.look_up(RECIPE.digest) == first
    (conflict,) = records.conflicts()
    assert conflict.receipt.digest == second.digest
    assert conflict.made == {"node": "b"}


def test_a_repeat_that_agrees_is_no_conflict(store):
    records = Records(store)
    first = publish(store, "one")
    for node in "ab":
        assert records.add(RECIPE, first, {"node": node}) == first
    assert [record.made["node"] for record in records.repeats()] == ["b"]
    assert records.conflicts() == []


def test_where_the_first_object_is_lost_the_second_outcome_is_used(store):
    records = Records(store)
    first, second = publish(store, "one"), publish(store, "two")
    records.add(RECIPE, first, {})
    store.remove(first.digest)
    assert records.look_up(RECIPE.digest) is None
    assert records.add(RECIPE, second, {}) == second
    assert records.look_up(RECIPE.digest) == second
    assert len(records.conflicts()) == 1
