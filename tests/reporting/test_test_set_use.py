from __future__ import annotations

import pytest

from nephroscale.reporting.test_set_use import describe_test_set_use, ordinal


def test_no_sentence_without_a_record():
    assert describe_test_set_use({}, 2) == []


def test_earlier_configurations_are_counted_separately():
    (sentence,) = describe_test_set_use({"0": 37, "1": 37}, 5)
    assert sentence.startswith("37th use of the test folds: 37 configurations")
    assert "5 in this run and 32 earlier" in sentence


def test_a_first_run_has_no_earlier_configurations():
    (sentence,) = describe_test_set_use({"0": 2, "1": 3}, 3)
    assert "the test fold used most often" in sentence
    assert "3 configurations have been scored so far, all in this run." in sentence
    (sentence,) = describe_test_set_use({"0": 1}, 1)
    assert "1 configuration has been scored so far, in this run." in sentence


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd"), (111, "111th")],
)
def test_ordinals(number, text):
    assert ordinal(number) == text
