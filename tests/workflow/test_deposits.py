"""The target `deposits` through Snakemake: beside a diagnosis, without a task, and for new patients."""

import csv

import pytest
import yaml

pytestmark = pytest.mark.workflow

SMALL = "{sites: [mesangial], variants: [plain, svm], backbone: {size_px: 64}, head_steps: 20, epochs: 1}"
PLAIN = f"deposits={SMALL.replace('[plain, svm]', '[plain]')}"  # two patients to train on are too few for an SVM
STAGES = {"deposit_folds", "deposit_models", "deposit_predictions", "deposits"}


def rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def stages(run):
    return {unit.partition("/")[0] for unit in run.computed}


def test_deposits_beside_a_diagnosis_and_of_new_patients(made, predicted, new_patients, tmp_path):
    project = predicted.project.copy_to(tmp_path / "project")  # the images of the new patients are prepared
    before = made.receipts()
    run = project.run("deposits", config=(PLAIN,))
    assert run.code == 0, run.output
    assert stages(run) == STAGES
    after = project.receipts()
    assert {name: after.get(name) for name in before if name != "report.json"} == {
        name: text
        for name, text in before.items()
        if name != "report.json"  # it will have to list them
    }
    results = project.path / "results/tiny"
    page = (results / "deposits.html").read_text()
    assert "Mesangial deposits" in page
    found = rows(results / "deposits.csv")
    assert {row["variant"] for row in found} == {"plain"}
    tested = {}
    for name in ("deposit_folds/folds.json", "folds/folds.json"):
        folds = yaml.safe_load((results / name).read_text())["folds"]
        tested[name] = [sorted(fold["test"]) for fold in folds]
    assert tested["deposit_folds/folds.json"] == tested["folds/folds.json"]
    assert project.run("deposits", config=(PLAIN,)).idle

    # A reading of one fold's test patients retrains the other fold alone.
    victim = tested["folds/folds.json"][0][0]
    table = project.path / "config/tiny/images.csv"
    lines = table.read_text().splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith(f"{victim}-TEM1,"))
    cells = lines[index].split(",")
    cells[-2] = "0" if cells[-2] != "0" else "mesangial"
    table.write_text("\n".join([*lines[:index], ",".join(cells), *lines[index + 1 :]]) + "\n")
    run = project.run("deposits", config=(PLAIN,))
    assert run.code == 0, run.output
    assert {unit.split("/")[-1] for unit in run.computed if unit.startswith("deposit_models")} == {"fold1-seed1"}
    assert stages(run) == STAGES

    run = project.run("predict", config=(PLAIN, new_patients))
    assert run.code == 0, run.output
    (folder,) = (results / "new_deposits/mesangial").glob("20??-??-??")
    predicted = rows(folder / "predictions.csv")
    assert {row["patient_id"] for row in predicted} == {"N01", "N02"}
    assert all(0 <= float(row["plain"]) <= 1 for row in predicted)
    (pages,) = (results / "new_cases/cmusnet").glob("20??-??-??")
    assert (pages / "cases/N01.html").read_text().count("deposits, mesangial: p = ") == 6


def test_deposits_need_no_task_and_no_other_modality(checked_out, tmp_path):
    project = checked_out.copy_to(tmp_path / "project")
    config = yaml.safe_load((project.path / project.config).read_text())
    config = {key: config[key] for key in ("data", "results", "store", "folds")}
    config |= {"models": {"tem": {"modalities": ["TEM"]}}, "deposits": yaml.safe_load(SMALL)}
    config["folds"] = {"n_folds": 6, "validation_fraction": 0.2}
    (project.path / project.config).write_text(yaml.safe_dump(config))
    run = project.run("deposits")
    assert run.code == 0, run.output
    assert stages(run) == {"register", "tem", *STAGES}
    assert (project.path / "results/tiny/deposits.html").exists()
    tested = rows(project.path / "results/tiny/deposits.csv")
    assert {row["patient_id"] for row in tested} == {f"P0{k}" for k in range(1, 7)}
    assert {row["variant"] for row in tested} == {"plain", "svm", "combined", "combined-equal"}
    page = (project.path / "results/tiny/deposits.html").read_text()
    assert "(c) Both, weight chosen on the validation side" in page


def test_without_readings_the_target_says_what_to_fill(project):
    run = project.run("deposits", config=("deposits={sites: []}",))
    assert run.code != 0
    assert "Fill the column for TEM images" in run.output
    assert not run.computed


def test_a_prior_that_cannot_be_fitted_is_named_and_the_diagnosis_goes_on_without(project):
    prior = "tem={size_px: 224, prior: deposits}"
    run = project.run("evaluate", config=(f"deposits={SMALL}", prior))
    assert run.code == 0, run.output
    assert stages(run) == {"deposit_folds", "deposit_priors", "train", "evaluate"}
    assert "too few persons on the training side" in run.output
    assert project.run("evaluate", config=(f"deposits={SMALL}", prior)).idle
    run = project.run("evaluate", config=("deposits={sites: []}", prior))
    assert run.code != 0
    assert "no TEM image has a reading of deposits" in run.output
