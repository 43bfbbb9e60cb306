"""Real slides, fields and micrographs, from raw files to feature bags."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from nephroscale.arrays import read_array
from support.snakemake_calls import calls

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.workflow

PATIENTS = """patient_id,diagnosis
R1,IgAN
R2,IgAN
R3,MN
R4,MN
"""
IMAGES = """image_id,patient_id,modality,stain,marker,path,mpp,nm_per_px,roi
R1-OM,R1,OM,HE,,slides/CMU-1-Small-Region.svs,,,
R1-IM,R1,IM,,IgG,"slides/test3-DAPI-2-(387).ndpi",,,
R1-TEM,R1,TEM,,,tem/gbm_snider_A1--0024.jpg,,2.5,
R2-OM,R2,OM,PAS,,kidney_om/0486052bb_positive_000096_image.png,0.5,,whole
R2-IM,R2,IM,,IgG,immunofluorescence/Zeiss-1-Merged-ch0.tif,0.5,,whole
R2-TEM,R2,TEM,,,tem/isbi2012_0.png,,4,
R3-OM,R3,OM,Masson,,kidney_om/local1.png,,,whole
R3-IM,R3,IM,,IgG,immunofluorescence/Zeiss-1-Merged-ch1.tif,0.5,,whole
R3-TEM,R3,TEM,,,tem/isbi2012_1.png,,4,
R4-OM,R4,OM,HE,,slides/malformed/truncated.svs,,,
R4-TEM,R4,TEM,,,tem/isbi2012_2.png,,4,
"""


@pytest.fixture(scope="module")
def finished(shared, tmp_path_factory):
    path = tmp_path_factory.mktemp("real")
    shutil.copytree(ROOT / "workflow", path / "workflow")
    (path / "scripts").symlink_to(ROOT / "scripts")
    (path / "resources").symlink_to(ROOT / "resources")
    (path / "patients.csv").write_text(PATIENTS)
    (path / "images.csv").write_text(IMAGES)
    config = {
        "data": {"root": str(shared / "data"), "patients": "patients.csv", "images": "images.csv"},
        "task": {"classes": {"IgAN": "IgAN", "MN": "MN"}},
        "om": {"reference_file": str(ROOT / "resources/stain/he.json")},
        "glomeruli": {"method": "classical"},
        "folds": {"n_folds": 2},
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    command = ["--configfile", "config.yaml", "--cores", "2", "--", "features"]
    log = tmp_path_factory.mktemp("log") / "screen.log"
    code = calls().run(command, str(path), (str(log), str(log)), {**os.environ, "PYTHONPATH": ""})
    screen = log.read_text(encoding="utf-8")
    assert code == 0, screen
    return path, screen


def receipt(path, name):
    return json.loads((path / "results" / f"{name}.json").read_text())


def test_every_readable_image_is_tiled_at_its_physical_scale(finished):
    path, _ = finished
    facts = json.loads((path / "results/register/R1.facts.json").read_text())
    assert facts["R1-OM"]["scale"]["source"] == "file"
    assert facts["R1-OM"]["scale"]["value"] == pytest.approx(0.499)
    assert facts["R1-IM"]["scale"]["value"] == pytest.approx(0.228, abs=0.001)
    assert receipt(path, "tiles/R1-OM")["figures"]["tiles"] > 20
    assert receipt(path, "tiles/R1-IM")["status"] == "accepted"


def test_a_kidney_field_and_the_micrograph_become_bags_of_features(finished):
    path, _ = finished
    om = read_array(path / "results/features/R2-OM.zarr", "features")
    tem = read_array(path / "results/features/R1-TEM.zarr", "features")
    assert om.shape[1:3] == tem.shape[1:3] == (7, 7)
    assert np.isfinite(om).all()
    assert np.asarray(tem).std() > 0


def test_unreadable_images_are_rejected_and_the_run_continues(finished):
    path, screen = finished
    assert receipt(path, "features/R4-OM")["status"] == "rejected"
    assert receipt(path, "features/R4-TEM")["status"] == "accepted"
    assert "R4-OM" in screen
    assert "Rejected:" in screen


def test_no_path_of_the_raw_files_is_in_any_receipt_or_object(finished, shared):
    path, _ = finished
    needle = str(shared).encode()
    for folder in ("results/register", "results/tiles", "store/objects", "store/records"):
        for file in (path / folder).rglob("*"):
            if file.is_file():
                assert needle not in file.read_bytes(), file
