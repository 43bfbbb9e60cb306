from __future__ import annotations

from nephroscale.reporting.test_set_use import describe_test_set_use


def test_no_sentence_without_a_record():
    assert describe_test_set_use({}, 2) == []


def test_earlier_configurations_are_counted_separately():
    (sentence,) = describe_test_set_use({"0": 37, "1": 37}, 5)
    assert sentence.startswith(
        "37 configurations have been scored on the test folds so far, 5 in this run and 32 earlier."
    )


def test_a_first_run_has_no_earlier_configurations():
    (sentence,) = describe_test_set_use({"0": 2, "1": 3}, 3)
    assert "3 configurations have been scored on the test fold used most often so far, all in this run." in sentence
    (sentence,) = describe_test_set_use({"0": 1}, 1)
    assert "1 configuration has been scored on the test folds so far, in this run." in sentence
