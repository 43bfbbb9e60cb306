from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from nephroscale.arrays import write_arrays
from nephroscale.provenance.tolerance import measure_distance


@pytest.fixture
def pair(tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
    return tmp_path / "a", tmp_path / "b"


def test_equal_objects_are_equal_to_the_byte(pair):
    for folder in pair:
        (folder / "x.txt").write_text("same")
    distance = measure_distance(*pair)
    assert distance.sentence() == "equal to the byte"
    assert distance.within


def test_weights_are_compared_as_numbers(pair):
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_file({"w": weight}, pair[0] / "weights.safetensors")
    save_file({"w": weight + np.float32(2e-6)}, pair[1] / "weights.safetensors")
    distance = measure_distance(*pair)
    assert distance.within
    assert 1e-6 < distance.largest < 3e-6
    save_file({"w": weight + 1}, pair[1] / "weights.safetensors")
    assert not measure_distance(*pair).within


def test_a_changed_word_in_a_table_is_no_number(pair):
    (pair[0] / "p.csv").write_text("patient_id,p\nP01,0.5\n")
    (pair[1] / "p.csv").write_text("patient_id,p\nP01,0.5000001\n")
    assert measure_distance(*pair).within
    (pair[1] / "p.csv").write_text("patient_id,p\nP02,0.5\n")
    distance = measure_distance(*pair)
    assert distance.unlike == ["p.csv"]
    assert not distance.within


def test_json_and_chunks_of_arrays_are_numbers(pair):
    for folder, shift in zip(pair, (0.0, 1e-7), strict=True):
        (folder / "curve.json").write_text(json.dumps([{"epoch": 1, "loss": 0.5 + shift}]))
        write_arrays(folder / "attention", {"OM": np.full((2, 3), 0.25 + shift)}, {})
    distance = measure_distance(*pair)
    assert sorted(name.partition("/")[0] for name in distance.files) == ["attention", "curve.json"]
    assert distance.within


@pytest.mark.parametrize("values", [(np.nan, 1.0), (1.0, np.inf)])
def test_a_number_that_is_none_is_never_within(pair, values):
    for folder, value in zip(pair, values, strict=True):
        save_file({"w": np.array([value])}, folder / "w.safetensors")
    assert not measure_distance(*pair).within


def test_a_missing_file_and_another_shape_are_reported(pair):
    save_file({"w": np.zeros(3)}, pair[0] / "w.safetensors")
    save_file({"w": np.zeros(4)}, pair[1] / "w.safetensors")
    (pair[0] / "more.txt").write_text("x")
    distance = measure_distance(*pair)
    assert distance.unlike == ["more.txt", "w.safetensors"]
