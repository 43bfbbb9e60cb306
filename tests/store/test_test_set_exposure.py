from __future__ import annotations

import json

from nephroscale.store.objects import Store
from nephroscale.store.test_set_exposure import ExposureLedger, ScoredTestSet


def test_a_configuration_scored_twice_is_one_look(tmp_path):
    looks = ExposureLedger(Store(tmp_path))
    looks.note(ScoredTestSet("patients", "a"), "2026-01-01T00:00:00Z")
    looks.note(ScoredTestSet("patients", "a"), "2026-02-01T00:00:00Z")
    assert looks.count("patients", ["a"]) == 1


def test_earlier_configurations_count_and_other_patients_do_not(tmp_path):
    looks = ExposureLedger(Store(tmp_path))
    looks.note(ScoredTestSet("patients", "a"), "2026-01-01T00:00:00Z")
    looks.note(ScoredTestSet("others", "z"), "2026-01-01T00:00:00Z")
    looks.note(ScoredTestSet("patients", "b"), "2026-01-02T00:00:00Z")
    assert looks.count("patients", ["b"]) == 2
    assert looks.count("others", ["z"]) == 1


def test_coming_back_to_a_configuration_gives_the_number_it_had(tmp_path):
    looks = ExposureLedger(Store(tmp_path))
    for day, name in enumerate("abcd", 1):
        looks.note(ScoredTestSet("patients", name), f"2026-01-0{day}T00:00:00Z")
    assert looks.count("patients", ["b"]) == 2
    assert looks.count("patients", ["a", "d"]) == 4


def test_configurations_of_one_run_count_alike_in_whatever_order_they_ended(tmp_path):
    first, second = ExposureLedger(Store(tmp_path / "1")), ExposureLedger(Store(tmp_path / "2"))
    for name, other, day in (("a", "b", 1), ("b", "a", 2)):
        first.note(ScoredTestSet("patients", name), f"2026-01-0{day}T00:00:00Z")
        second.note(ScoredTestSet("patients", other), f"2026-01-0{day}T00:00:00Z")
    assert first.count("patients", ["a", "b"]) == second.count("patients", ["a", "b"]) == 2


def test_of_two_times_the_earlier_one_is_kept_in_whatever_order_they_come(tmp_path):
    first, second = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    for folder, order in (("1", (first, second)), ("2", (second, first))):
        looks = ExposureLedger(Store(tmp_path / folder))
        for when in order:
            looks.note(ScoredTestSet("patients", "a"), when)
        (path,) = (tmp_path / folder / "looks").glob("*/*.json")
        assert json.loads(path.read_text()) == {"first": first}


def test_of_two_writers_at_once_the_earlier_time_is_kept(tmp_path, monkeypatch):
    looks, other = ExposureLedger(Store(tmp_path)), ExposureLedger(Store(tmp_path))
    look = ScoredTestSet("patients", "a")
    write = Store.write_text

    def write_late(store, path, text, *, replace=True):
        if store is looks.store and not replace:  # the other one comes between the question and the answer
            other.note(look, "2026-02-01T00:00:00Z")
        return write(store, path, text, replace=replace)

    monkeypatch.setattr(Store, "write_text", write_late)
    looks.note(look, "2026-01-01T00:00:00Z")
    (path,) = (tmp_path / "looks").glob("*/*.json")
    assert json.loads(path.read_text()) == {"first": "2026-01-01T00:00:00Z"}
