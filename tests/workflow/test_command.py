"""The command `nephroscale` on a finished project, and its messages about faults."""

import csv
import json
import zipfile

import pytest

pytestmark = pytest.mark.workflow


def test_status_counts_every_stage_and_names_the_report(made):
    code, text = made.nephroscale("status")
    assert code == 0
    assert "features        18 of 18" in text
    assert "Report: results/tiny/report/index.html" in text


def test_a_finished_project_has_no_damage_and_nothing_to_collect(project):
    code, text = project.nephroscale("verify")
    assert (code, " 0 damaged" in text) == (0, True)
    code, text = project.nephroscale("gc", "--keep-days", "0")
    assert (code, text.startswith("0 objects")) == (0, True)


def test_all_errors_of_configuration_and_tables_are_reported_before_any_job(project):
    project.edit("config/tiny.yaml", "epochs: 4", "epoch: 4")
    run = project.run()
    assert run.code != 0
    assert "train.epoch" in run.output
    assert "epochs" in run.output
    assert run.computed == []
    project.edit("config/tiny.yaml", "epoch: 4", "epochs: 4")
    project.edit("config/tiny/images.csv", "P01,,OM,PASM", "P99,,OM,PASMM")
    project.edit("config/tiny/patients.csv", "P02,IgAN", "P02,IgAM")
    run = project.run()
    assert run.code != 0
    assert run.computed == []
    for word in ("images.csv, row 2", "P99", "PASMM", "IgAM"):
        assert word in run.output


def test_faults_between_configuration_and_tables_come_before_any_job(made):
    code, text = made.nephroscale("check")
    assert (code, text.splitlines()[-1]) == (0, "Nothing wrong was found.")
    config = ("om={stains: [HE]}", "features={encoders: {TEM: {name: swin-b}}}", "folds={n_folds: 3}")
    for options in ((), ("-n",)):
        run = made.run(config=config, options=options)
        assert (run.code, run.computed) == (1, [])
        for word in ("There are 3 faults", "config/tiny.yaml, om.stains", "no weights are named", "folds.n_folds: 3"):
            assert word in run.output


def test_corrected_outlines_come_back_and_only_what_depends_on_them_runs(project):
    code, text = project.nephroscale("qupath", "outlines")
    assert code == 0, text
    assert "': 'P01-OM'" in (project.path / "outlines/load_outlines.groovy").read_text()
    outlines = json.loads((project.path / "outlines/outlines/P01-OM.geojson").read_text())
    before = len(outlines["features"])
    del outlines["features"][1:]
    (project.path / "demo/tiny/P01-corrected.geojson").write_text(json.dumps(outlines))
    path = project.path / "config/tiny/images.csv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    next(row for row in rows if row["image_id"] == "P01-OM")["annotation"] = "P01-corrected.geojson"
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    run = project.run("glomeruli")
    assert run.code == 0, run.output
    assert sorted(run.computed) == ["glomeruli/P01-OM", "register/P01"]
    figures = project.receipt("glomeruli/P01-OM")["figures"]
    assert (figures["method"], figures["glomeruli"], before > 0) == ("annotation", 1, True)


def test_the_report_is_exported_as_one_file(made, tmp_path):
    code, text = made.nephroscale("export-report", str(tmp_path / "report.zip"))
    assert code == 0, text
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        assert archive.read("patients.csv") == (made.path / "results/tiny/patients.csv").read_bytes()
        assert {"index.html", "tables.xlsx", "tables/models.csv"} <= set(archive.namelist())


def test_features_are_exported_and_imported_as_h5(project):
    code, text = project.nephroscale("export-h5", "results/tiny/features/P01-TEM.zarr", "P01.h5")
    assert (code, "instances" in text) == (0, True)
    code, text = project.nephroscale("export-h5", "--all", "h5")
    assert (code, "18 files" in text) == (0, True)
    code, text = project.nephroscale("export-h5", "--all", "slides", "--per", "slide")
    assert code == 0, text
    (project.path / "h5/TEM/P06.h5").unlink()
    encoders = "{TEM: {name: h5, h5_folder: h5/TEM}, OM: {name: h5, h5_folder: slides/OM}}"
    run = project.run("features", config=(f"features={{encoders: {encoders}}}",))
    assert run.code == 0, run.output
    assert sorted(run.computed) == [f"features/P0{n}-{modality}" for n in range(1, 7) for modality in ("OM", "TEM")]
    assert project.receipt("features/P01-OM")["status"] == "accepted"
    assert project.receipt("features/P01-TEM")["figures"]["instances"] > 1
    assert project.receipt("features/P06-TEM")["reason"] == "there is no h5 bag of TEM for this patient"
