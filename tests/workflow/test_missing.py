"""Missing modalities, panels with negative markers, and several glomeruli, chosen by configuration."""

import csv
import json

import pytest

pytestmark = pytest.mark.workflow

TWO_CLASSES = "classes: {IgAN: IgAN, MN: other, LN: other}"  # so that a class can do without a patient


def take_away_im_of(project, patient: str) -> None:
    table = project.path / "config/tiny/images.csv"
    rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [row for row in rows if f",{patient},,IM," not in row]
    assert len(kept) == len(rows) - 1
    table.write_text("".join(kept), encoding="utf-8")


def folds(project) -> dict:
    return json.loads((project.path / "results/tiny/folds/folds.json").read_text())


def table(project, unit: str, name: str) -> list[dict[str, str]]:
    with (project.path / "results/tiny/evaluate" / unit / name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_patient_without_im_is_excluded_or_masked_by_configuration(project):
    take_away_im_of(project, "P03")
    project.edit("config/tiny.yaml", "  tem-only: {modalities: [TEM]}\n", "")
    run = project.run("report", config=(f"task={{{TWO_CLASSES}}}", "folds={n_folds: 2}"))
    assert run.code == 0, run.output
    assert folds(project)["excluded"] == {"P03": "no IM: the tables have no IM image that a model may read"}
    assert "P03" not in folds(project)["labels"]
    page = (project.path / "results/tiny/report/index.html").read_text(encoding="utf-8")
    assert "excluded from the folds: no IM: the tables have no IM image that a model may read" in page

    models = "models={cmusnet: {}, tem-only: {modalities: [TEM]}, im-only: {modalities: [IM]}}"
    task = f"task={{missing_modalities: mask, {TWO_CLASSES}}}"
    run = project.run("report", config=(task, "folds={n_folds: 2}", models))
    assert run.code == 0, run.output
    assert folds(project)["excluded"] == {}
    assert folds(project)["lacking"] == {"P03": {"IM": "the tables have no IM image that a model may read"}}
    tested = next(fold["name"] for fold in folds(project)["folds"] if "P03" in fold["test"])
    unit = f"fold{tested}-seed1"
    for model, there in (("cmusnet", True), ("tem-only", True), ("im-only", False)):
        predicted = {row["patient_id"] for row in table(project, f"{model}/{unit}", "predictions.csv")}
        assert ("P03" in predicted) == there
    assert project.receipt(f"evaluate/im-only/{unit}")["figures"]["left_out"] == {"P03": ["IM"]}
    other = next(fold for fold in folds(project)["folds"] if "P03" not in fold["test"])
    assert other["validation"] == ["P03"], "without P03, no validation patient of im-only is left"
    lost = project.receipt(f"train/im-only/fold{other['name']}-seed1")
    assert (lost["status"], lost["reason"]) == (
        "rejected",
        "no validation patient has all modalities that the model requires",
    )
    trained = json.loads((project.path / f"results/tiny/train/cmusnet/{unit}/model.json").read_text())
    assert trained["modality_dropout"] == 0.2
    page = (project.path / "results/tiny/report/index.html").read_text(encoding="utf-8")
    assert "Cases with a missing modality: P03 (no IM" in page
    assert project.run("report", config=(task, "folds={n_folds: 2}", models)).idle


def test_several_glomeruli_and_a_panel_with_a_negative_marker(project):
    images = project.path / "config/tiny/images.csv"
    text = images.read_text(encoding="utf-8")
    images.write_text(text.rstrip("\n") + "\nP03-IgA,P03,,IM,,IgA,,,,,,,,,0,,\n", encoding="utf-8")
    config = ("im={panel: [IgA, IgG]}", "features={om_glomeruli: 3}", "models={cmusnet: {}}")
    run = project.run("evaluate", config=config)
    assert run.code == 0, run.output
    tested = next(fold["name"] for fold in folds(project)["folds"] if "P03" in fold["test"])
    rows = [row for row in table(project, f"cmusnet/fold{tested}-seed1", "pooling.csv") if row["patient_id"] == "P03"]
    im = {row["slot"]: row for row in rows if row["modality"] == "IM"}
    assert (im["0"]["state"], im["0"]["image_id"]) == ("negative", "")
    assert (im["1"]["state"], im["1"]["image_id"]) == ("image", "P03-IgG")
    assert float(im["0"]["weight"]) + float(im["1"]["weight"]) == pytest.approx(1, abs=1e-6)
    every = [row for name in "01" for row in table(project, f"cmusnet/fold{name}-seed1", "pooling.csv")]
    om = [row["patient_id"] for row in every if row["modality"] == "OM"]
    assert max(om.count(patient) for patient in set(om)) > 1
    assert [row["patient_id"] for row in every if row["state"] == "negative"] == ["P03"]

    # The finding is an input. Without it, the slot of P03 is unknown, and only the prediction of P03 changes.
    before = {row["patient_id"]: row for row in table(project, f"cmusnet/fold{tested}-seed1", "predictions.csv")}
    images.write_text(text, encoding="utf-8")
    run = project.run("evaluate", config=config)
    assert run.code == 0, run.output
    assert {unit.partition("/")[0] for unit in run.computed} == {"train", "evaluate"}
    assert f"train/cmusnet/fold{tested}-seed1" not in run.computed, "findings of test patients do not affect training"
    after = {row["patient_id"]: row for row in table(project, f"cmusnet/fold{tested}-seed1", "predictions.csv")}
    assert {patient for patient in before if before[patient] != after[patient]} == {"P03"}
