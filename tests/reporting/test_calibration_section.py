from dataclasses import replace

from support.ordered_classes import LABELS, PATIENTS, PREDICTED, describe, make_run


def test_calibration_is_measured_before_and_after_temperature_scaling():
    first = make_run(PATIENTS[:3], LABELS[:3], PREDICTED[:3], fold="0", temperature=2.0)
    second = make_run(PATIENTS[3:], LABELS[3:], PREDICTED[3:], fold="1", temperature=0.5)
    found = describe(first, second)["calibration"]
    assert found["temperatures"] == [0.5, 2.0, 2.0]
    assert found["before"]["brier"] != found["after"]["brier"]
    assert sum(b["patients"] for b in found["after"]["bins"]) == 6


def test_there_is_no_calibration_without_temperatures():
    run = make_run(PATIENTS, LABELS, PREDICTED)
    assert describe(replace(run, temperature=None))["calibration"] is None
