from __future__ import annotations

import json

from nephroscale.store.objects import Store
from nephroscale.store.test_set_exposure import ExposureLedger, ScoredTestSet


def test_a_configuration_scored_twice_counts_once(tmp_path):
    ledger = ExposureLedger(Store(tmp_path))
    ledger.add(ScoredTestSet("patients", "a"), "2026-01-01T00:00:00Z")
    ledger.add(ScoredTestSet("patients", "a"), "2026-02-01T00:00:00Z")
    assert ledger.count("patients", ["a"]) == 1


def test_earlier_configurations_count_but_other_patients_do_not(tmp_path):
    ledger = ExposureLedger(Store(tmp_path))
    ledger.add(ScoredTestSet("patients", "a"), "2026-01-01T00:00:00Z")
    ledger.add(ScoredTestSet("others", "z"), "2026-01-01T00:00:00Z")
    ledger.add(ScoredTestSet("patients", "b"), "2026-01-02T00:00:00Z")
    assert ledger.count("patients", ["b"]) == 2
    assert ledger.count("others", ["z"]) == 1


def test_returning_to_a_configuration_gives_the_count_that_it_had(tmp_path):
    ledger = ExposureLedger(Store(tmp_path))
    for day, name in enumerate("abcd", 1):
        ledger.add(ScoredTestSet("patients", name), f"2026-01-0{day}T00:00:00Z")
    assert ledger.count("patients", ["b"]) == 2
    assert ledger.count("patients", ["a", "d"]) == 4


def test_the_order_within_a_run_does_not_change_the_count(tmp_path):
    first, second = ExposureLedger(Store(tmp_path / "1")), ExposureLedger(Store(tmp_path / "2"))
    for name, other, day in (("a", "b", 1), ("b", "a", 2)):
        first.add(ScoredTestSet("patients", name), f"2026-01-0{day}T00:00:00Z")
        second.add(ScoredTestSet("patients", other), f"2026-01-0{day}T00:00:00Z")
    assert first.count("patients", ["a", "b"]) == second.count("patients", ["a", "b"]) == 2


def test_the_earlier_of_two_times_is_kept(tmp_path):
    first, second = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    for folder, order in (("1", (first, second)), ("2", (second, first))):
        ledger = ExposureLedger(Store(tmp_path / folder))
        for when in order:
            ledger.add(ScoredTestSet("patients", "a"), when)
        (path,) = (tmp_path / folder / "test_sets").glob("*/*.json")
        assert json.loads(path.read_text()) == {"first": first}


def test_the_earlier_time_of_two_concurrent_writers_is_kept(tmp_path, monkeypatch):
    ledger, other = ExposureLedger(Store(tmp_path)), ExposureLedger(Store(tmp_path))
    scored = ScoredTestSet("patients", "a")
    write = Store.write_text

    def write_late(store, path, text, *, replace=True):
        if store is ledger.store and not replace:  # the other one comes between the question and the answer
            other.add(scored, "2026-02-01T00:00:00Z")
        return write(store, path, text, replace=replace)

    monkeypatch.setattr(Store, "write_text", write_late)
    ledger.add(scored, "2026-01-01T00:00:00Z")
    (path,) = (tmp_path / "test_sets").glob("*/*.json")
    assert json.loads(path.read_text()) == {"first": "2026-01-01T00:00:00Z"}
