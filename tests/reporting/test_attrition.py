import pytest

from nephroscale.reporting.attrition import (
    Reason,
    StageRejections,
    count_stages,
    describe_searches,
    list_differing_scales,
    list_doubtful_images,
    list_dropped_images,
    list_outlines_left_out,
    list_rejections,
    shorten_reason,
)
from nephroscale.reporting.report_inputs import UnitOutcome


def unit(name, reason=None, **figures):
    return UnitOutcome(name, "rejected" if reason else "accepted", reason, figures)


STAGES = {
    "tiles": [unit("A"), unit("B", "cannot be opened"), unit("C", "cannot be opened"), unit("D", "no tissue")],
    "glomeruli": [unit("A"), unit("B", "tiles of B: cannot be opened", because="tiles/B")],
    "tem": [
        unit("P1", dropped=[{"id": "P1-T3", "reason": "image is blank"}]),
        unit("P2", "no TEM", dropped=[{"id": "P2-T1", "reason": "cannot be opened"}]),
    ],
    "folds": [unit("cohort")],
    "segmenter": [],
}


def test_stages_are_counted_in_their_own_units():
    rows = {row.stage: row for row in count_stages(STAGES)}
    assert list(rows) == ["tiles", "glomeruli", "tem", "folds"]
    assert (rows["tiles"].total, rows["tiles"].accepted, rows["tiles"].rejected) == (4, 1, 3)
    assert rows["tiles"].accepted_percent == 25
    assert rows["folds"].unit == "cohort"
    assert rows["tem"].unit == "patients"


def test_consequences_of_a_rejection_are_counted_separately():
    groups = {group.stage: group for group in list_rejections(STAGES, {"P2": "no TEM: no TEM"})}
    assert groups["tiles"].reasons == [Reason("cannot be opened", ["B", "C"]), Reason("no tissue", ["D"])]
    assert groups["glomeruli"] == StageRejections("glomeruli", [], 1)
    assert groups["folds"].reasons == [Reason("excluded from the folds: no TEM: no TEM", ["P2"])]
    assert list_rejections({"tiles": [unit("A")]}, {}) == []


def test_dropped_images_are_listed():
    assert list_dropped_images(STAGES) == [("P1", "P1-T3", "image is blank"), ("P2", "P2-T1", "cannot be opened")]


def test_outlines_left_out_are_listed_once():
    entry = {"id": "S1", "reason": "is a line", "count": 2}
    whole = {"id": "S2", "reason": "it is damaged"}
    stages = {
        "segmenter": [unit("cohort", outlines_left_out=[entry, whole])],
        "glomeruli": [unit("S1", outlines_left_out=[entry]), unit("S3")],
    }
    assert list_outlines_left_out(stages) == [("S1", "is a line", 2), ("S2", "it is damaged", None)]


def test_scales_that_differ_are_listed():
    stages = {"register": [unit("P1", differing_scales={"P1-T1": "file: 8; bar: 4"}), unit("P2", differing_scales={})]}
    assert list_differing_scales(stages) == [("P1", "P1-T1", "file: 8; bar: 4")]


def test_images_to_check_are_listed():
    doubts = [{"P1-a": "it has a gamma of 1"}, {}, {"P3-a": "it has a gamma of 1", "P3-b": "its scale is odd"}]
    stages = {"register": [unit(f"P{n}", doubtful_images=each) for n, each in enumerate(doubts, 1)]}
    stages["tiles"] = [unit("P2-b", doubtful_images={"P2-b": "parts of it are damaged"}), unit("P3-b")]
    stages["glomeruli"] = [unit("P3-b", doubtful_images={"P3-b": "its annotation states 1 µm"})]
    assert list_doubtful_images(stages) == [
        ("it has a gamma of 1", ["P1-a", "P3-a"]),
        ("its scale is odd", ["P3-b"]),
        ("parts of it are damaged", ["P2-b"]),
        ("its annotation states 1 µm", ["P3-b"]),
    ]


def test_uncalibrated_scores_and_unknown_stains_are_stated():
    assert describe_searches({"glomeruli": [unit("A", method="whole")]}) == []
    found = [
        unit("A", scores="uncalibrated", stain_unknown=True),
        unit("B", "no glomerulus found", stain_unknown=False),
    ]
    scores, stains = describe_searches({"glomeruli": found})
    assert "uncalibrated" in scores
    assert stains.startswith("1 of 2 slides")
    assert stains.endswith(": A.")


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("tem of P19: patient has no usable TEM image", "patient has no usable TEM image"),
        ("no OM (P17-OM: tiles of P17-OM: 25 of its 45 tiles)", "no OM (P17-OM: 25 of its 45 tiles)"),
        ("features of P1-TEM: tem of P1: 3 items of glass", "3 items of glass"),
        ("one of two systems: none", "one of two systems: none"),
    ],
)
def test_a_reason_names_no_units_that_only_handed_it_on(reason, short):
    assert shorten_reason(reason) == short
