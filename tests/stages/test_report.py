"""Inputs of the report, sorted from the receipts and objects of all stages."""

from pathlib import Path

from nephroscale.models.settings import ModelSettings
from nephroscale.reporting.report_inputs import ListedCase, ListedImage
from nephroscale.stages.report import ReportStageSettings, report_inputs
from support.fake_job import FakeJob, accepted, rejected

RUN, FOLD = "all/fold0-seed1", "all/fold0"


def make_inputs(*receipts):
    settings = ReportStageSettings(
        models={
            "all": ModelSettings(modalities=("TEM", "OM"), options={"attention": False}),
            "tem": ModelSettings(modalities=("TEM",)),
        },
        classes=("IgAN", "MN"),
    )
    listed = {"P1-a": ("P1", "OM"), "P1-b": ("P1", "OM"), "P1-c": ("P1", "IM"), "P2-a": ("P2", "OM")}
    images = {name: {"case": case, "modality": modality} for name, (case, modality) in listed.items()}
    cases = {"P1": {"use": "diagnosis", "label": "MN"}}
    rows = {"cases": cases, "images": images, "readings": [["A", "P1", None]], "test_set_uses": {"0": 2}}
    return report_inputs(
        FakeJob("cohort", settings=settings, rows=rows, receipts=[accepted("folds", "cohort"), *receipts])
    )


def test_runs_are_sorted_by_model_with_the_objects_that_are_made():
    found = make_inputs(accepted("train", RUN), rejected("temperature", FOLD, "no patients"), accepted("evaluate", RUN))
    (run,) = found.models["all"].runs
    assert (run.fold, run.seed) == ("0", 1)
    assert (run.training, run.evaluation, run.temperature) == (Path("train") / RUN, Path("evaluate") / RUN, None)
    assert found.models["tem"].runs == ()
    assert [model.attention for model in found.models.values()] == [False, True]


def test_outcomes_keep_status_reason_and_figures():
    found = make_inputs(accepted("tem", "P1", images=3), rejected("tem", "P2", "no image", because="register/P2"))
    assert [(o.name, o.accepted, o.reason, dict(o.figures)) for o in found.stages["tem"]] == [
        ("P1", True, None, {"images": 3}),
        ("P2", False, "no image", {"because": "register/P2"}),
    ]
    assert found.tem == {"P1": Path("tem/P1")}


def test_slides_with_tiles_have_pictures():
    found = make_inputs(
        *(accepted("tiles", image) for image in ("P1-a", "P1-b", "P1-c")),
        accepted("glomeruli", "P1-a", glomeruli=4, fullest_section=3),
        rejected("glomeruli", "P1-b", "no glomerulus found", glomeruli=0),
        accepted("glomeruli", "P1-c", glomeruli=1),
        rejected("glomeruli", "P2-a", "blurred"),
    )
    first, second = found.slides
    assert (first.image_id, first.patient_id, first.glomeruli, first.fullest_section) == ("P1-a", "P1", 4, 3)
    assert first.thumbnail == Path("tiles/P1-a/thumbnail.png")
    assert first.overlay == Path("glomeruli/P1-a/overlay.png")
    assert (second.image_id, second.overlay, second.glomeruli) == ("P1-b", None, 0)
    assert second.fullest_section == 0


def test_external_predictions_are_named_by_model():
    found = make_inputs(accepted("predict", "all/external"))
    assert found.external == {"all": Path("predict/all/external")}
    assert found.test_set_uses == {"0": 2}
    assert found.folds == Path("folds/cohort")
    assert found.cases == {"P1": ListedCase("diagnosis", "MN")}
    assert found.images["P1-c"] == ListedImage("P1", "IM")
    assert found.readings == {"A": {"P1": None}}
