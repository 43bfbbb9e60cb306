"""`nephroscale export-h5`, `export-report` and `qupath` on the command line."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from nephroscale.arrays import write_arrays
from nephroscale.cli import main
from nephroscale.commands import export
from nephroscale.slides.pyramid import write_pyramid, write_tissue_label


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """One patient with two OM slides, of which the scale of one is known, and no TEM."""
    bag = {"features": np.ones((3, 1, 1, 2), np.float32), "image": np.array([0, 0, 1], np.int16)}
    bag |= {"slot": np.zeros(3, np.int8), "score": np.ones(3, np.float32), "position": np.ones((3, 2), np.float32)}
    names = {"patient": "P1", "modality": "OM", "encoder": "texture", "images": ["P1-a", "P1-b"], "panel": []}
    write_arrays(tmp_path / "bag", bag, names)
    objects = {("features", "P1-OM"): tmp_path / "bag"}
    for image, mpp in (("P1-a", 1.0), ("P1-b", None)):
        pixels = np.full((1, 64, 64), 9, np.uint8)
        tiles, glomeruli = tmp_path / f"{image}.tiles", tmp_path / f"{image}.glomeruli"
        attributes = {"mpp": mpp, "origin": [0, 0], "scale": 2.0, "tile_px": 64, "modality": "OM", "stain": "PAS"}
        source = {"tile_px": 64, "mpp": mpp, "attributes": attributes, "colours": {"Red": "FF0000"}}
        levels = write_pyramid(tiles, pixels.shape, pixels.dtype, lambda y, x, h, w: pixels, **source)  # noqa: B023
        write_tissue_label(tiles, np.ones((1, 1), np.uint8), tile_px=64, mpp=mpp, levels=levels)
        glomeruli.mkdir()
        write_arrays(glomeruli / "crops", {"crops": np.zeros((2, 32, 32, 3), np.uint8)}, {"um_per_px": 0.5})
        (glomeruli / "glomeruli.geojson").write_text("{}")
        objects |= {("tiles", image): tiles, ("glomeruli", image): glomeruli}
    units = {"features": ["P1-OM", "P1-TEM"], "glomeruli": ["P1-a", "P1-b", "P1-c"]}
    cohort = SimpleNamespace(images={f"P1-{k}": SimpleNamespace(path=tmp_path / f"raw/{k}.svs") for k in "abc"})
    plan = SimpleNamespace(units=units.get, object_path=lambda *key: objects.get(key), results=tmp_path, cohort=cohort)
    monkeypatch.setattr(export, "open_plan", lambda options: plan)
    return plan


@pytest.mark.parametrize(("per", "files"), [("patient", {"P1": 3}), ("slide", {"P1-a": 2, "P1-b": 1})])
def test_the_bags_of_a_cohort_are_exported(plan, tmp_path, per, files):
    assert main(["export-h5", "--all", str(tmp_path / "h5"), "--per", per]) == 0
    assert {path.name for path in (tmp_path / "h5").rglob("*.h5")} == {f"{name}.h5" for name in files}
    for name, count in files.items():
        with h5py.File(tmp_path / f"h5/OM/{name}.h5") as file:
            assert file["features"].shape == (count, 2)
            assert file["coords"].attrs.get("patch_size") == (32 if name == "P1-a" else None)


def test_outlines_are_written_for_qupath(plan, tmp_path, capsys):
    assert main(["qupath", str(tmp_path / "outlines")]) == 0
    assert "2 slides" in capsys.readouterr().out
    assert "'a.svs': 'P1-a'" in (tmp_path / "outlines/load_outlines.groovy").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export-h5"], "not clear"),
        (["export-h5", "bag"], "not clear"),
        (["export-h5", "bag", "--all", "folder"], "not clear"),
        (["export-h5", "bag", "x.h5", "--all", "folder"], "not clear"),
        (["export-h5", "--all", "."], "exists"),
        (["qupath", "."], "exists"),
        (["export-report", "report.zip"], "no report"),
    ],
)
def test_faults_are_one_message(plan, arguments, message, capsys):
    assert main(arguments) == 1
    assert message in capsys.readouterr().err
