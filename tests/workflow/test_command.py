"""The command `nephroscale` on a finished project, and what is said of faults."""

import pytest

pytestmark = pytest.mark.workflow


def test_status_counts_every_stage_and_names_the_report(made):
    code, text = made.nephroscale("status")
    assert code == 0
    assert "features        18 of 18" in text
    assert "Report: results/tiny/report/index.html" in text


def test_a_finished_project_is_sound_and_has_nothing_to_collect(made):
    code, text = made.nephroscale("verify")
    assert (code, " 0 damaged" in text) == (0, True)
    code, text = made.nephroscale("gc", "--keep-days", "0")
    assert (code, text.startswith("0 objects")) == (0, True)


def test_every_fault_of_configuration_and_tables_is_told_before_any_job(project):
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


def test_features_leave_and_enter_as_h5(project):
    folder = project.path / "h5"
    folder.mkdir()
    for patient in ("P01", "P02", "P03", "P04", "P05"):
        bag = f"results/tiny/features/{patient}-TEM.zarr"
        code, text = project.nephroscale("export-h5", bag, str(folder / f"{patient}.h5"))
        assert (code, "instances" in text) == (0, True)
    run = project.run("features", config=("features={encoders: {TEM: {name: h5, h5_folder: h5}}}",))
    assert run.code == 0, run.output
    assert run.computed == [f"features/P0{n}-TEM" for n in range(1, 7)]
    assert project.receipt("features/P01-TEM")["figures"]["instances"] > 1
    assert project.receipt("features/P06-TEM")["reason"] == "there is no h5 bag of TEM for this patient"
