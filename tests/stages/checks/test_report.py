"""All faults at once, and warnings where there is something to do."""

import pytest

from nephroscale.engine import image_findings
from nephroscale.engine.prepass import settle
from nephroscale.engine.snakemake.call import Call
from nephroscale.errors import NephroscaleError
from nephroscale.slides.duplicates import AlikeImages
from nephroscale.slides.facts import ImageFacts, Scale
from nephroscale.stages.checks import images, report


def empty(study, name):
    path = study.folder / "raw" / name
    path.unlink()
    path.touch()


def test_every_fault_is_in_one_message(study):
    study.set(om={"stains": ["HE"]}, features={"encoders": {"TEM": {"name": "pixels"}, "IM": {"name": "swin-b"}}})
    study.config["results"] = "images.csv/results"
    with pytest.raises(NephroscaleError) as raised:
        report.check_before_pre_pass(study.plan(), Call())
    message = str(raised.value)
    assert message.startswith("There are 4 faults:")
    for part in ("no OM image has a stain", "needs feature maps", "no weights are named", "is not a folder"):
        assert part in message


def test_a_right_study_passes_before_the_pre_pass_without_a_look_at_files(study, monkeypatch):
    monkeypatch.setattr(images, "describe_headers", None)
    report.check_before_pre_pass(study.plan(), Call())


def test_warnings_do_not_stop_a_run(study, capsys):
    empty(study, "P1-IM.tif")
    plan = study.plan()
    settle(plan)
    report.check_before_jobs(plan, Call())
    printed = capsys.readouterr().err
    assert "nephroscale: 1 warning before the first job:" in printed
    assert "P1-IM (raw/P1-IM.tif)" in printed


def test_a_modality_without_a_usable_image_stops_it(study, capsys):
    for k in range(6):
        empty(study, f"P{k}-TEM.png")
    plan = study.plan()
    settle(plan)
    with pytest.raises(NephroscaleError, match="cmusnet reads TEM, but no TEM image can be used"):
        report.check_before_jobs(plan, Call())
    assert "the file is empty" in capsys.readouterr().err


def test_what_no_wanted_stage_meets_is_a_warning(study):
    study.set(features={"encoders": {"OM": {"name": "swin-b"}}}, folds={"n_folds": 4})
    faults, warnings = report.find_all(study.plan(), Call(targets=("tiles",)))
    assert faults == []
    assert [warning.what.split(":")[0] for warning in warnings] == ["A class has fewer cases than there are folds"]
    assert len(report.find_all(study.plan(), Call(targets=("features",))).faults) == 1
    assert len(report.find_all(study.plan(), Call(targets=("folds",))).faults) == 2


def test_a_machine_that_runs_no_job_may_be_unable_to(study):
    study.config["results"] = "images.csv/results"
    assert report.find_all(study.plan(), Call(starts_jobs=False)).faults == []
    assert len(report.find_all(study.plan(), Call()).faults) == 1


def test_nothing_is_written(study):
    before = sorted(study.folder.rglob("*"))
    report.find_all(study.plan(), Call())
    assert sorted(study.folder.rglob("*")) == before


def test_registered_images_are_not_opened_again(study, monkeypatch):
    facts = {f"P1-{name}": ImageFacts(scale=Scale(1.0, "um", "file")).to_json() for name in ("OM", "IM", "TEM")}
    facts["P1-TEM"] = ImageFacts.rejected("its pixels are damaged").to_json()
    opened = {}
    monkeypatch.setattr(
        images, "describe_headers", lambda files: opened.update(files) or dict.fromkeys(files, ImageFacts())
    )
    plan = study.plan()
    monkeypatch.setattr(images, "_registered", lambda plan, patient: facts if patient == "P1" else None)
    found = images.find_rejections(plan)
    assert len(opened) == 19
    assert not facts.keys() & set(opened)
    assert [(each.image.id, each.known) for each in found] == [("P1-TEM", True)]
    listed = report.find_all(plan, Call(), with_known=True).warnings
    assert "its pixels are damaged" in str(listed[0])
    assert report.find_all(plan, Call()).warnings == []


@pytest.mark.parametrize(
    "target", ["results/folds.json", "results/report.json", "results/train/cmusnet/fold0-seed1.json"]
)
def test_a_file_of_a_later_stage_needs_a_task(study, target):
    del study.config["task"]
    with pytest.raises(NephroscaleError, match=f"The target {target} needs the labels"):
        report.check_before_pre_pass(study.plan(), Call(targets=(target,)))
    report.check_before_pre_pass(study.plan(), Call(targets=("results/features/P1-TEM.json", "features")))


def test_one_image_of_two_patients_is_a_fault_of_the_check(study, monkeypatch):
    copy = AlikeImages(("P1-OM", "P2-OM"), ("P1", "P2"), ("diagnosis", "external"), same_patient=False, bits=2)
    monkeypatch.setattr(image_findings, "find_duplicates", lambda plan: [copy])
    (fault,) = report.find_all(study.plan(), Call(), with_known=True).faults
    assert "P1-OM of P1 (diagnosis) and P2-OM of P2 (external): the same content (2 of 256 bits" in str(fault)
    assert report.find_all(study.plan(), Call()).faults == []  # a run tells it where the folds are made


def test_a_finished_study_is_not_looked_at(study, monkeypatch, capsys):
    empty(study, "P1-IM.tif")
    plan = study.plan()
    plan.settled = True
    monkeypatch.setattr(plan, "receipt", lambda stage, unit: "made")
    monkeypatch.setattr(report, "find_all", None)
    report.check_before_jobs(plan, Call())
    assert capsys.readouterr().err == ""
