from dataclasses import replace

from support.ordered_classes import LABELS, PATIENTS, PREDICTED, describe, make_run


def test_calibration_is_measured_before_and_after_temperature_scaling():
    first = make_run(PATIENTS[:3], LABELS[:3], PREDICTED[:3], fold="0", temperature=2.0)
    second = make_run(PATIENTS[3:], LABELS[3:], PREDICTED[3:], fold="1", temperature=0.5)
    found = describe(first, second)["calibration"]
    assert found["temperatures"] == [0.5, 2.0, 2.0]
    assert found["before"]["brier"] != found["after"]["brier"]
    assert sum(b["patients"] for b in found["after"]["bins"]) == 6
    assert found["before"]["slopes"] == [None] * 3  # two patients of each class
    assert 0 < found["before"]["ece_expected"] < found["before"]["ece_upper"] < 1


def test_calibration_slopes_of_enough_patients():
    labels = [n % 3 for n in range(30)]
    predicted = [(n + (n % 4 == 0)) % 3 for n in range(30)]
    found = describe(make_run([f"P{n}" for n in range(30)], labels, predicted))["calibration"]["before"]["slopes"]
    assert all(slope["slope"]["low"] < slope["slope"]["value"] < slope["slope"]["high"] for slope in found)


def test_there_is_no_calibration_without_temperatures():
    run = make_run(PATIENTS, LABELS, PREDICTED)
    assert describe(replace(run, temperature=None))["calibration"] is None
