from __future__ import annotations

import pytest

from nephroscale.reporting.test_set_use import describe_test_set_use, ordinal


def test_no_sentence_where_nothing_is_known():
    assert describe_test_set_use({}, 2) == []


def test_earlier_configurations_are_told_apart_from_this_runs():
    (sentence,) = describe_test_set_use({"0": 37, "1": 37}, 5)
    assert sentence.startswith("37th look at the test folds: 37 configurations")
    assert "the 5 of this run and 32 before" in sentence


def test_a_first_run_says_that_all_are_its_own():
    (sentence,) = describe_test_set_use({"0": 2, "1": 3}, 3)
    assert "the most looked-at test fold" in sentence
    assert "all 3 of this run" in sentence


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd"), (111, "111th")],
)
def test_ordinals(number, text):
    assert ordinal(number) == text
