"""The comparison of two runs finds every changed value, and only names may differ."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import zarr

from support.same_results import Comparison, compare, compare_json, main


def write_tensors(path: Path, tensors: dict[str, list[float]], metadata: dict[str, object]) -> None:
    header: dict[str, object] = {"__metadata__": {"network": json.dumps(metadata)}}
    content = b""
    for name, values in tensors.items():
        packed = struct.pack(f"<{len(values)}f", *values)
        offsets = [len(content), len(content) + len(packed)]
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": offsets}
        content += packed
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


class Results:
    """A small results folder with its store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / "results"
        self.objects = root / "store" / "objects"

    def publish(self, stage: str, unit: str, suffix: str, figures: dict[str, object], **content) -> Path:
        digest = f"{len(list(self.objects.glob('*/*'))):064x}"
        target = self.objects / digest[:2] / digest
        target.mkdir(parents=True)
        folder = self.results / stage
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{unit}{suffix}").symlink_to(target)
        receipt = {"stage": stage, "unit": unit, "status": "accepted", "digest": digest, "figures": figures}
        (folder / f"{unit}.json").write_text(json.dumps({**receipt, **content}))
        return target


def make_results(root: Path, tem: str = "tem", flips: str = "random_flips") -> Results:
    """Write results with one unit of each kind of content."""
    made = Results(root)
    group = zarr.open_group(made.publish(tem, "P01", ".zarr", {"instances": 3}), mode="w")
    group.create_array("images", data=np.arange(12, dtype=np.float32).reshape(3, 4))
    group.create_array("empty", data=np.zeros((0, 2), np.int16))
    group.attrs["patient"] = "P01"
    train = made.publish("train", "fold0", "", {"loss": 0.1})
    write_tensors(train / "weights.safetensors", {"w": [1.0, 2.0]}, {flips: True, "width": 64})
    (train / "curve.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
    glomeruli = made.publish("glomeruli", "P01-OM", "", {"count": 1})
    shape = {"type": "Polygon", "coordinates": [[[0.5, 1.0], [2.0, 3.0], [4.0, 5.0]]]}
    (glomeruli / "glomeruli.geojson").write_text(json.dumps({"features": [{"geometry": shape}]}))
    (glomeruli / "overlay.png").write_bytes(b"picture")
    made.publish("audit", "cohort", "", {"files": 3})
    return made


@pytest.fixture
def pair(tmp_path):
    return make_results(tmp_path / "base", tem="bags", flips="flips"), make_results(tmp_path / "new")


def test_renamed_stage_and_key_are_no_difference(pair, capsys):
    base, new = pair
    assert main([str(base.results), str(new.results)]) == 0
    printed = capsys.readouterr().out
    for line in ("3 units", "2 arrays", "12 array values", "1 tensors", "1 tables", "1 GeoJSON files"):
        assert f" {line}\n" in printed
    assert "renamed: flips -> random_flips (1 times)" in printed
    assert "0 differences, 0 warnings" in printed


def change_array(new: Results) -> None:
    zarr.open_array(new.results / "tem" / "P01.zarr" / "images")[1, 1] = 5.5


def change_dtype(new: Results) -> None:
    group = zarr.open_group(new.results / "tem" / "P01.zarr")
    group.create_array("images", data=np.arange(12, dtype=np.float64).reshape(3, 4), overwrite=True)


def change_attribute(new: Results) -> None:
    zarr.open_group(new.results / "tem" / "P01.zarr").attrs["patient"] = "P02"


def change_tensor(new: Results) -> None:
    write_tensors(new.results / "train" / "fold0" / "weights.safetensors", {"w": [1.0, 2.0000002]}, {"width": 64})


def change_cell(new: Results) -> None:
    (new.results / "train" / "fold0" / "curve.csv").write_text("epoch,loss\n1,0.5\n2,0.250\n")


def change_coordinate(new: Results) -> None:
    path = new.results / "glomeruli" / "P01-OM" / "glomeruli.geojson"
    path.write_text(path.read_text().replace("[2.0, 3.0]", "[2.0, 3.0000000000000004]"))


def change_figure(new: Results) -> None:
    path = new.results / "train" / "fold0.json"
    path.write_text(path.read_text().replace("0.1", "0.10000000000000002"))


def reject_unit(new: Results) -> None:
    path = new.results / "glomeruli" / "P01-OM.json"
    path.write_text(path.read_text().replace("accepted", "rejected"))


def delete_receipt(new: Results) -> None:
    (new.results / "train" / "fold0.json").unlink()


def delete_file(new: Results) -> None:
    (new.results / "train" / "fold0" / "curve.csv").unlink()


def add_unit(new: Results) -> None:
    new.publish("train", "fold1", "", {})


@pytest.mark.parametrize(
    ("tamper", "place"),
    [
        (change_array, "tem/P01/images: 1 of 12 values differ, by at most 0.5"),
        (change_dtype, "tem/P01/images: float32"),
        (change_attribute, "tem/P01/zarr.json:attributes.patient"),
        (change_tensor, "train/fold0/weights.safetensors:w: other values"),
        (change_cell, "train/fold0/curve.csv: line 3, loss: '0.25', now '0.250'"),
        (change_coordinate, "glomeruli/P01-OM/glomeruli.geojson:.features[0].geometry.coordinates[0][1][1]"),
        (change_figure, "train/fold0:figures.loss"),
        (reject_unit, "glomeruli/P01-OM: accepted in the base, rejected"),
        (delete_receipt, "train/fold0: only in the base"),
        (delete_file, "train/fold0/curve.csv: only in the base"),
        (add_unit, "train/fold1: only in the new results"),
    ],
)
def test_every_changed_value_is_a_difference(pair, tamper, place, capsys):
    base, new = pair
    tamper(new)
    assert main([str(base.results), str(new.results)]) == 1
    assert f"DIFFERENT: {place}" in capsys.readouterr().out


def test_missing_object_is_a_difference(pair):
    base, new = pair
    (new.results / "train" / "fold0").resolve().rename(new.root / "lost")
    assert any("train/fold0: no object" in line for line in compare(base.results, new.results).differences)


def test_changed_picture_is_a_warning(pair, capsys):
    base, new = pair
    (new.results / "glomeruli" / "P01-OM" / "overlay.png").write_bytes(b"another")
    assert main([str(base.results), str(new.results)]) == 0
    assert "warning: glomeruli/P01-OM/overlay.png: other bytes" in capsys.readouterr().out


def test_excepted_places_do_not_count(pair):
    base, new = pair
    change_figure(new)
    assert main([str(base.results), str(new.results), "--except", "train/*:figures.loss"]) == 0


def test_empty_folder_is_an_error(tmp_path):
    assert main([str(tmp_path), str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1, "c": 3}, True),
        ({"width": 16, "steps": 300}, {"unet": {"width": 16, "steps": 300}}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": True}, {"a": 1}, True),
        ({"a": 0.0}, {"a": -0.0}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, True),
        ({"train": ["P01"]}, {"train": ["P02"]}, True),
        ({"reason": "Of bad size."}, {"reason": "The size is wrong."}, False),
        ({"stage": "bags"}, {"stage": "tem"}, False),
    ],
)
def test_json_keys_may_be_renamed_and_values_may_not_change(old, new, differs):
    found = Comparison()
    compare_json(old, new, "", found)
    assert bool(found.differences) is differs
