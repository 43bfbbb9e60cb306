"""What the last screen names about single images."""

import json
from pathlib import Path
from types import SimpleNamespace

from nephroscale.cohort.cohort import Cohort
from nephroscale.engine.image_findings import describe_findings, find_duplicates
from nephroscale.store.receipts import Receipt

FACT = {"status": "accepted", "perceptual_hash": "5" * 64, "width": 9, "height": 9}


class Plan:
    """As much of a plan as the findings ask for: patients with one image each, and their receipts."""

    def __init__(self, folder, **patients):
        self.folder = folder
        self.stages = {"register": None, "tem": None}
        self.cohort = Cohort(
            {p: SimpleNamespace(id=p, person=None, use="diagnosis") for p in patients},
            {
                f"{p}-a": SimpleNamespace(
                    id=f"{p}-a", patient_id=p, modality="TEM", same_as=None, marker=None, exposure_ms=None
                )
                for p in patients
            },
            ("IgAN", "MN"),
        )
        for patient, digest in patients.items():
            (folder / patient).write_text(json.dumps({f"{patient}-a": FACT | {"digest": digest}}))
        self.receipts = {("register", p): Receipt("register", p, "accepted", digest="00") for p in patients}

    def units(self, stage):
        return sorted(self.cohort.patients)

    def receipt(self, stage, unit):
        return self.receipts.get((stage, unit))

    def object_path(self, stage, unit):
        return self.folder / unit


def test_duplicates_are_found_among_the_patients_registered_so_far(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="d", P3="d")
    del plan.receipts["register", "P3"]
    (pair,) = find_duplicates(plan)
    assert pair.is_fault
    found = describe_findings(plan)["The same image under two patients"]
    assert found == {"identical files": ["P1-a of P1 (diagnosis) and P2-a of P2 (diagnosis)"]}
    (tmp_path / "P2").unlink()
    assert find_duplicates(plan) == []


def test_tem_images_left_out_are_named_with_their_reason_also_of_a_rejected_patient(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="e")
    reason = "cannot be opened: a TIFF with a colour table is not supported"
    for patient, status in (("P1", "accepted"), ("P2", "rejected")):
        dropped = [{"id": f"{patient}-a", "reason": reason}]
        plan.receipts["tem", patient] = Receipt("tem", patient, status, "no usable image", figures={"dropped": dropped})
    assert describe_findings(plan)["TEM images left out"] == {reason: ["P1-a of P1", "P2-a of P2"]}


def test_outlines_left_out_are_named_by_the_users_file(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="e")
    plan.stages |= {"segmenter": None, "glomeruli": None}
    for patient in ("P1", "P2"):
        plan.cohort.images[f"{patient}-a"].annotation = Path("/data/outlines") / f"{patient}.geojson"
    left_out = [{"id": "P1-a", "reason": "is a line", "count": 2}, {"id": "P2-a", "reason": "it is damaged"}]
    plan.receipts["segmenter", "P1"] = Receipt(
        "segmenter", "P1", "accepted", digest="00", figures={"outlines_left_out": left_out}
    )
    assert describe_findings(plan)["Outlines left out"] == {
        "is a line": ["2 in P1.geojson (P1-a)"],
        "it is damaged": ["P2.geojson (P2-a)"],
    }


def test_scales_of_one_image_that_differ_are_named(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="e")
    differing = {"P1-a": "file: 8 nm per pixel (used); bar: 4 nm per pixel"}
    plan.receipts["register", "P1"] = Receipt(
        "register", "P1", "accepted", digest="00", figures={"differing_scales": differing}
    )
    found = describe_findings(plan)["Scales of one image that differ by more than 5 %"]
    assert found == {"file: 8 nm per pixel (used); bar: 4 nm per pixel": ["P1-a of P1"]}


def test_images_to_check_are_named_by_their_reason(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="e")
    figures = {"doubtful_images": {"P1-a": "it has a gamma of 1"}}
    plan.receipts["register", "P1"] = Receipt("register", "P1", "accepted", digest="00", figures=figures)
    plan.stages |= {"tiles": None}
    figures = {"doubtful_images": {"P2-a": "parts of it are damaged"}}
    plan.receipts["tiles", "P2"] = Receipt("tiles", "P2", "accepted", digest="00", figures=figures)
    found = describe_findings(plan)["Images to check"]
    assert found == {"it has a gamma of 1": ["P1-a of P1"], "parts of it are damaged": ["P2-a of P2"]}


def test_saturated_images_and_exposures_in_another_unit_are_named(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="e")
    plan.stages |= {"tiles": None}
    plan.units = lambda stage: ["P1-a", "P2-a"] if stage == "tiles" else []
    for image, share in (("P1-a", 0.034), ("P2-a", 0.008)):
        figures = {"saturated_share": share}
        plan.receipts["tiles", image] = Receipt("tiles", image, "accepted", digest="00", figures=figures)
    for image, exposure in zip(plan.cohort.images.values(), (0.08, 100.0), strict=True):
        image.marker, image.exposure_ms = "IgG", exposure
    found = describe_findings(plan)
    assert list(found["Saturated images"].values()) == [["P1-a (3%)"]]
    assert found["Exposures of one marker that differ by more than 50 times"] == {
        "IgG: 0.08 to 100 ms": ["P1-a", "P2-a"]
    }
    plan.cohort.images["P1-a"].exposure_ms = 2.0
    assert not describe_findings(plan)["Exposures of one marker that differ by more than 50 times"]


def test_exposures_that_are_all_in_another_unit_are_named(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="e")
    title = "Exposures that seem to have another unit than milliseconds"
    first, second = plan.cohort.images.values()
    for image, exposure in ((first, 0.08), (second, 0.4)):
        image.marker, image.exposure_ms = "IgG", exposure
    assert describe_findings(plan)[title] == {
        "IgG: 0.08 to 0.4 ms; if these are seconds, correct exposure_ms": ["P1-a", "P2-a"]
    }
    first.exposure_ms, second.exposure_ms = 80_000, 90_000
    assert "microseconds" in next(iter(describe_findings(plan)[title]))
    first.exposure_ms, second.exposure_ms = 80, 400
    assert not describe_findings(plan)[title]


def test_exposures_in_files_count_where_the_table_has_none(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="e")
    for image in plan.cohort.images.values():
        image.marker = "IgG"
    plan.cohort.images["P1-a"].exposure_ms = 5000.0
    figures = {"stated_exposures": {"P2-a": 50.0}}
    plan.receipts["register", "P2"] = Receipt("register", "P2", "accepted", digest="00", figures=figures)
    found = describe_findings(plan)["Exposures of one marker that differ by more than 50 times"]
    assert found == {"IgG: 50 to 5000 ms": ["P2-a", "P1-a"]}


def test_slides_of_a_stain_that_the_segmenter_does_not_know_are_named(tmp_path):
    plan = Plan(tmp_path, P1="d", P2="e")
    plan.stages |= {"glomeruli": None}
    plan.units = lambda stage: ["P1-a", "P2-a"] if stage == "glomeruli" else []
    for image, unknown in (("P1-a", True), ("P2-a", False)):
        figures = {"stain_unknown": unknown, "method": "classical"}
        plan.receipts["glomeruli", image] = Receipt("glomeruli", image, "accepted", digest="00", figures=figures)
    found = describe_findings(plan)["Stains and markers that the segmenter was not trained on"]
    assert list(found.values()) == [["P1-a"]]
