import pytest

from nephroscale.reporting.report_inputs import UnitOutcome
from nephroscale.reporting.segmenter_check import describe_segmenter_check, summarise_segmenter_check


def fold(name, *patients):
    keys = ("patient", "outlines", "found", "matched", "area", "overlap")
    return UnitOutcome(name, "accepted", None, {"patients": [dict(zip(keys, each, strict=True)) for each in patients]})


SEGMENTER = [UnitOutcome("cohort", "accepted")]
FOLDS = [
    fold("fold0", ("S1", 10, 9, 8, 200.0, 80.0), ("S3", 4, 4, 4, 80.0, 40.0)),
    fold("fold1", ("S2", 6, 8, 6, 120.0, 50.0)),
    UnitOutcome("fold2", "rejected", "none of the annotated slides that were held out can be used"),
]


def test_folds_are_pooled_over_patients():
    check = summarise_segmenter_check({"segmenter_check": FOLDS})
    assert (check.patients, check.folds) == (3, 2)
    assert (check.outlines, check.found, check.matched) == (20, 21, 18)
    assert check.recall.value == pytest.approx(18 / 20)
    assert check.precision.value == pytest.approx(18 / 21, abs=1e-6)
    assert check.dice.value == pytest.approx(2 * 170 / 400)
    for one in (check.recall, check.precision, check.dice):
        assert 0.4 < one.low < one.value < one.high <= 1


def test_an_interval_is_wide_where_patients_differ():
    alike = [fold("fold0", ("A", 10, 10, 5, 2.0, 0.5)), fold("fold1", ("B", 10, 10, 5, 2.0, 0.5))]
    unlike = [fold("fold0", ("A", 10, 10, 10, 2.0, 1.0)), fold("fold1", ("B", 10, 10, 0, 2.0, 0.0))]
    narrow, wide = (summarise_segmenter_check({"segmenter_check": folds}).recall for folds in (alike, unlike))
    assert narrow.value == wide.value == 0.5
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_without_a_contour_precision_is_not_defined():
    check = summarise_segmenter_check({"segmenter_check": [fold("fold0", ("A", 3, 0, 0, 3.0, 0.0))]})
    assert (check.precision.value, check.recall.value) == (None, 0)


def test_the_report_states_the_check_or_that_there_is_none():
    (text,) = describe_segmenter_check({"segmenter": SEGMENTER, "segmenter_check": FOLDS})
    assert "found 18 of 20 outlined glomeruli of 3 patients, with 3 false contours: recall 0.900 (" in text
    (text,) = describe_segmenter_check({"segmenter": SEGMENTER})
    assert "glomeruli.check_folds" in text
    assert describe_segmenter_check({"segmenter": []}) == []


def test_each_modality_has_a_sentence_of_its_own():
    of_im = fold("fold0-IM", ("S1", 5, 5, 4, 100.0, 45.0), ("S2", 5, 4, 4, 100.0, 45.0))
    of_im.figures["modality"] = "IM"
    stages = {"segmenter": SEGMENTER, "segmenter_im": SEGMENTER, "segmenter_check": [*FOLDS, of_im]}
    assert summarise_segmenter_check(stages).outlines == 20
    assert summarise_segmenter_check(stages, "IM").outlines == 10
    om, im = describe_segmenter_check(stages)
    assert om == describe_segmenter_check({"segmenter": SEGMENTER, "segmenter_check": FOLDS})[0]
    assert im.startswith(
        "The IM segmenter, trained without the patient, found 8 of 10 outlined glomeruli of 2 patients"
    )
    (im,) = describe_segmenter_check({"segmenter_im": SEGMENTER})
    assert im.startswith("The IM segmenter was not tested")
