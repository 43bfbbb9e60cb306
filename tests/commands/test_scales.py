"""`nephroscale scales`: the scale in the file, in the table, the one that is used, and conflicts."""

import numpy as np
import pytest
import tifffile

from nephroscale.cli import main

PIXELS = np.full((64, 64, 3), 200, np.uint8)
ROWS = """image_id,patient_id,modality,stain,path,mpp,nm_per_px,roi
agree,P1,OM,PAS,half.tif,0.51,,
differ,P1,OM,PAS,half2.tif,0.6,,
table,P1,OM,PAS,print.tif,0.4,,
whole,P1,OM,PAS,print2.tif,,,whole
lacking,P1,OM,PAS,print3.tif,,,
em,P1,TEM,,fiji.tif,,5,
"""


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    for name in ("half", "half2"):
        tifffile.imwrite(tmp_path / f"{name}.tif", PIXELS, resolution=(20000, 20000), resolutionunit="CENTIMETER")
    for name in ("print", "print2", "print3"):
        tifffile.imwrite(tmp_path / f"{name}.tif", PIXELS, resolution=(72, 72), resolutionunit="INCH")
    grey = {"imagej": True, "resolution": (0.25, 0.25), "metadata": {"unit": "nm"}}
    tifffile.imwrite(tmp_path / "fiji.tif", PIXELS[..., 0], **grey)
    (tmp_path / "images.csv").write_text(ROWS)
    (tmp_path / "patients.csv").write_text("patient_id\nP1\n")
    (tmp_path / "study.yaml").write_text("data: {patients: patients.csv, images: images.csv}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["scales"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line}


def test_each_image_has_its_scales(printed):
    assert printed["agree"] == "OM 0.5 µm (tiff, resolution tag) 0.51 µm (table) 0.51 µm (table)"
    assert printed["differ"].endswith("0.6 µm (table) 0.6 µm (table) file and table differ by 20%")
    assert printed["table"].startswith("OM 352.8 µm (tiff, resolution tag) 0.4 µm (table) 0.4 µm (table) the scale")
    assert "none whole field" in printed["whole"]
    assert "none none it has no scale" in printed["lacking"]
    assert printed["em"] == "TEM 4 nm (ImageJ) 5 nm (table) 4 nm (file) file and table differ by 25%"
    assert printed["6"].endswith("1 without any, 2 in conflict.")
