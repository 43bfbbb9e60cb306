"""`nephroscale init`: tables, configuration and Snakefile from a folder of images."""

import csv
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import yaml

from nephroscale.cli import main
from nephroscale.engine.config import load_config
from nephroscale.places import workflow_folder

PIXELS = np.full((64, 64, 3), 200, np.uint8)


def read(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    return {row[next(iter(row))]: row for row in rows}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two patients, one with a Chinese name; a slide with a scale, outlines, a file that is no image."""
    folder = tmp_path / "raw"
    for patient in ("Case 1", "张三"):
        for name in ("LM/PAS.tif", "IF/IgG.tif", "EM/1.png", "EM/2.png"):
            path = folder / patient / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".tif":
                tifffile.imwrite(path, PIXELS, resolution=(20000, 20000), resolutionunit="CENTIMETER")
            else:
                cv2.imwrite(str(path), PIXELS)
    (folder / "Case 1/LM/PAS.geojson").write_text("{}")
    (folder / "notes.txt").write_text("x")
    return folder


def test_tables_are_written_from_names_and_headers(raw, tmp_path, capsys):
    study = tmp_path / "study"
    assert main(["init", str(study), "--from", str(raw)]) == 0
    patients, images = read(study / "patients.csv"), read(study / "images.csv")
    assert list(patients) == ["Case-1", "patient"]
    slide = images["Case-1-PAS"]
    assert (slide["modality"], slide["stain"], slide["mpp"]) == ("OM", "PAS", "0.5")
    assert slide["scale_source"] == "file header (tiff, resolution tag)"
    assert slide["annotation"] == "Case 1/LM/PAS.geojson"
    assert images["patient-IgG"]["marker"] == "IgG"
    assert images["Case-1-2"]["modality"] == "TEM"
    printed = capsys.readouterr().out
    assert "8 images of 2 patients" in printed
    assert (
        "nm_per_px is empty (or name instrument and magnification): Case-1-1, Case-1-2, patient-1, patient-2" in printed
    )
    assert "not images: notes.txt" in printed
    config = yaml.safe_load((study / "study.yaml").read_text(encoding="utf-8"))
    assert config["data"]["root"] == "../raw"
    assert config["om"]["stains"] == ["PAS"]
    for profile in ("slurm", "profiles/default"):
        source = workflow_folder() / "profiles" / Path(profile).name / "config.yaml"
        assert (study / profile / "config.yaml").read_bytes() == source.read_bytes()


def test_labels_become_classes(raw, tmp_path, capsys):
    for number in range(2, 6):
        shutil.copytree(raw / "Case 1", raw / f"Case {number}")
    lines = ["patient_id,Diagnose,age", *(f"Case {n},{'IgAN' if n < 3 else 'MN'},4{n}" for n in range(1, 6))]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join([*lines, "Case 9,MN,50", "张三,rare,51"]).replace(",age", ",site"), encoding="utf-8")
    study = tmp_path / "study"
    assert main(["init", str(study), "--from", str(raw), "--labels", str(table)]) == 0
    config = load_config(yaml.safe_load((study / "study.yaml").read_text(encoding="utf-8")))
    assert config.task.label == "Diagnose"
    assert config.task.classes == {"MN": "MN", "IgAN": "IgAN", "rare": "exclude"}
    assert config.folds.n_folds == 2
    patients = read(study / "patients.csv")
    assert (patients["Case-3"]["Diagnose"], patients["Case-3"]["site"]) == ("MN", "43")
    assert "without images: case 9" in capsys.readouterr().out


def test_columns_of_the_labels_are_written_as_the_study_reads_them(raw, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("Patient ID;Diagnosis;Site;AGE;Hb\nCase 1;MN;north;40;12\n", encoding="utf-8")
    study = tmp_path / "study"
    assert main(["init", str(study), "--from", str(raw), "--labels", str(table)]) == 0
    row = read(study / "patients.csv")["Case-1"]
    assert (row["diagnosis"], row["site"], row["age"], row["Hb"]) == ("MN", "north", "40", "12")


def test_the_printed_command_works_in_a_shell(raw, tmp_path, capsys):
    study = tmp_path / "My study"
    assert main(["init", str(study), "--from", str(raw)]) == 0
    assert f"nephroscale check --configfile '{study}/study.yaml'\n" in capsys.readouterr().out


def test_pseudonyms_are_kept_outside_and_stay(raw, tmp_path, capsys):
    key = tmp_path / "keys/key.csv"
    for name in ("one", "two"):
        assert main(["init", str(tmp_path / name), "--from", str(raw), "--pseudonyms", str(key)]) == 0
        shutil.copytree(raw / "Case 1", raw / "Case 2", dirs_exist_ok=True)
    first, second = (read(tmp_path / name / "patients.csv") for name in ("one", "two"))
    assert list(first).__len__() == 2
    assert {"P0001", "P0002"} == set(first)
    assert set(second) == {"P0001", "P0002", "P0003"}
    originals = {row["original"]: row["patient_id"] for row in read(key).values()}
    assert originals["Case 2"] == "P0003"
    images = read(tmp_path / "one/images.csv")
    assert images[f"{originals['张三']}-OM-PAS"]["path"] == "张三/LM/PAS.tif"
    assert key.stat().st_mode & 0o077 == 0
    assert main(["init", str(tmp_path / "three"), "--from", str(raw), "--pseudonyms", str(tmp_path / "three/k")]) == 1
    assert "inside the study" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()


def test_nothing_is_overwritten(raw, tmp_path, capsys):
    (tmp_path / "study").mkdir()
    (tmp_path / "study/images.csv").write_text("mine")
    assert main(["init", str(tmp_path / "study"), "--from", str(raw)]) == 1
    assert "images.csv would be overwritten" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["images.csv"]
    assert main(["init", str(tmp_path / "study")]) == 0  # without a folder of images the tables are left alone
    assert (tmp_path / "study/images.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "absent"], "no such folder"),
        (["--from", "raw", "--pattern", "{patient}/x"], "No image fits"),
        (["--from", "raw/notes"], "no image in this folder"),
        (["--from", "raw", "--labels", "raw/notes.txt"], "the columns here are x"),
        (["--from", "raw", "--labels", "raw/labels.csv"], "the columns here are date, age.\n"),
    ],
)
def test_faults_are_named_before_anything_is_written(raw, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(raw.parent)
    (raw / "notes").mkdir()
    (raw / "labels.csv").write_text("patient_id,date,age\nCase 1,2021,40\n")
    assert main(["init", "study", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not Path("study").exists()


def test_what_is_commented_out_in_study_yaml_is_valid_too(tmp_path):
    assert main(["init", str(tmp_path / "study")]) == 0
    text = (tmp_path / "study/study.yaml").read_text(encoding="utf-8")
    keys = re.sub(r"^# (?=  |task:|features:)", "", text, flags=re.MULTILINE)
    config = load_config(yaml.safe_load(keys))
    assert set(config.task.classes.values()) == {"IgAN", "MN", "LN"}
    assert config.features.encoders.of("OM").name == "swin-t"
