"""The table of cases: predictions of all models, and why something is missing."""

import csv
from dataclasses import replace

import pytest

from nephroscale.cohort.fold_table import read_folds
from nephroscale.evaluation.predict import prediction_columns
from nephroscale.evaluation.tables import write_table
from nephroscale.reporting.patients_table import write_patients
from nephroscale.reporting.report_inputs import ListedCase, ListedImage, UnitOutcome
from nephroscale.reporting.results import read_results


@pytest.fixture(scope="module")
def models(inputs):
    return {name: read_results(name, runs, inputs.classes) for name, runs in inputs.models.items()}


def write(inputs, models, path):
    write_patients(path, inputs, read_folds(inputs.folds), models, "cmusnet")
    assert path.read_bytes().startswith(b"\xef\xbb\xbfpatient_id,")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return {row["patient_id"]: row for row in csv.DictReader(stream)}


def test_every_case_has_a_line_with_the_predictions_of_every_model(inputs, models, tmp_path):
    rows = write(inputs, models, tmp_path / "patients.csv")
    assert list(rows) == [*sorted(models["cmusnet"].pooled.patients), "P031"]
    for name, results in models.items():
        pooled = results.pooled
        for case, probabilities in zip(pooled.patients, pooled.probabilities, strict=True):
            found = [float(rows[case][f"{name}_p_{c}"]) for c in inputs.classes]
            assert found == pytest.approx(probabilities.tolist(), abs=1e-8)
            assert rows[case][f"{name}_predicted"] == inputs.classes[int(probabilities.argmax())]
    first = rows["P001"]
    assert (first["label"], first["fold"], first["predicted"]) == ("IgAN", "0", first["cmusnet_predicted"])
    assert first["correct"] == str(int(first["predicted"] == "IgAN"))
    assert all(row["correct"] in {"0", "1"} for case, row in rows.items() if case != "P031")


def test_the_table_gives_reasons(inputs, models, tmp_path):
    stages = dict(inputs.stages)
    stages["register"] = [UnitOutcome("P002", "accepted", None, {"rejected_images": {"P002-OM": "not a TIFF file"}})]
    images = {f"{case}-OM": ListedImage(case, "OM") for case in ("P002", "P032")}
    cases = {"P032": ListedCase("exclude", reason="withdrawn"), "S01": ListedCase("segmentation")}
    rows = write(replace(inputs, stages=stages, images=images, cases=cases), models, tmp_path / "patients.csv")
    assert rows["P001"]["rejected_images"] == "P001-T9: image is blank"
    assert rows["P002"]["rejected_images"] == "P002-OM: not a TIFF file"
    assert rows["P031"]["left_out"] == "no TEM: patient has no usable TEM image"
    assert rows["P031"]["missing_modalities"] == "TEM: patient has no usable TEM image"
    assert (rows["P032"]["use"], rows["P032"]["left_out"]) == ("exclude", "withdrawn")
    assert rows["P032"]["rejected_images"] == "P032-OM: the slide cannot be opened: not a TIFF file"
    assert rows["S01"]["predicted"] == rows["S01"]["label"] == rows["S01"]["left_out"] == ""


def test_external_cases_and_biopsies_are_in_the_table(inputs, models, tmp_path):
    chances = {"p_IgAN": 0.1, "p_MN": 0.7, "p_LN": 0.2}
    found = {"patient_id": "E1-b", "label": "MN", "predicted": "MN", "warnings": "no IM image", **chances}
    lost = {"patient_id": "E2", "label": "MN", "warnings": "no image at all"}
    write_table(tmp_path / "predictions.csv", prediction_columns(inputs.classes), [found, lost])
    cases = {"E1-b": ListedCase("external", "MN", person="E1", biopsy="b"), "E2": ListedCase("external", "MN")}
    rows = write(replace(inputs, cases=cases, external={"cmusnet": tmp_path}), models, tmp_path / "patients.csv")
    first, second = rows["E1-b"], rows["E2"]
    assert (first["patient"], first["biopsy_id"], first["use"], first["fold"]) == ("E1", "b", "external", "")
    assert (first["predicted"], first["correct"], first["cmusnet_p_MN"]) == ("MN", "1", "0.70000000")
    assert first["warnings"] == "no IM image"
    assert (second["predicted"], second["correct"], second["warnings"]) == ("", "", "no image at all")


def test_glomeruli_of_the_fullest_section_are_counted(inputs, models, tmp_path):
    slide = next(slide for slide in inputs.slides if slide.image_id == "P001-OM")
    counts = ((4, 4), (9, 2), (7, None))
    slides = [
        replace(slide, image_id=f"P001-{k}", fullest_section=count, fullest_sclerosed=sclerosed)
        for k, (count, sclerosed) in enumerate(counts)
    ]
    slides.append(replace(slide, patient_id="P002", fullest_section=3))
    rows = write(replace(inputs, slides=slides), models, tmp_path / "patients.csv")
    found = {case: (rows[case]["glomeruli"], rows[case]["sclerosed_glomeruli"]) for case in ("P001", "P002", "P003")}
    assert found == {"P001": ("9", "2"), "P002": ("3", ""), "P003": ("", "")}
