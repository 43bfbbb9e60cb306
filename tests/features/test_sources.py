from pathlib import Path

import pytest

from nephroscale.errors import Rejected
from nephroscale.features.sources import choose_sources
from nephroscale.store.receipts import Receipt


def receipts(**status):
    return [
        Receipt("glomeruli", unit.replace("_", "-"), s, None if s == "accepted" else "blurred")
        for unit, s in status.items()
    ]


def find(stage, unit):
    return Path(stage) / unit


def test_the_best_stain_at_hand_is_taken_and_only_that():
    images = {"P1-a": {"stain": "PAS"}, "P1-b": {"stain": "PASM"}, "P1-c": {"stain": "PASM"}}
    rows = {"patient": "P1", "modality": "OM", "images": images}
    settings = {"stains": ["PASM", "PAS"]}
    found = choose_sources(rows, receipts(P1_a="accepted", P1_c="accepted", P1_b="accepted"), find, settings)
    assert [s["image_id"] for s in found] == ["P1-b", "P1-c"]
    found = choose_sources(rows, receipts(P1_a="accepted", P1_b="rejected", P1_c="rejected"), find, settings)
    assert [(s["image_id"], s["path"]) for s in found] == [("P1-a", Path("glomeruli/P1-a"))]


def test_each_marker_has_its_slot():
    images = {"P1-x": {"marker": "C3"}, "P1-y": {"marker": "IgG"}}
    rows = {"patient": "P1", "modality": "IM", "images": images}
    found = choose_sources(rows, receipts(P1_x="accepted", P1_y="accepted"), find, {"panel": ["IgG", "IgA", "C3"]})
    assert [(s["image_id"], s["slot"]) for s in found] == [("P1-x", 2), ("P1-y", 0)]


def test_where_nothing_is_left_every_image_s_reason_is_named():
    rows = {"patient": "P1", "modality": "OM", "images": {"P1-a": {"stain": "PAS"}}}
    with pytest.raises(Rejected, match=r"no usable OM image .P1-a: blurred"):
        choose_sources(rows, receipts(P1_a="rejected"), find, {"stains": ["PAS"]})
    with pytest.raises(Rejected, match="no OM image that may serve is in the tables"):
        choose_sources(rows, [], find, {"stains": ["PAS"]})
