import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale.arrays import read_array, write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.features.export_h5 import export_h5
from nephroscale.features.import_h5 import read_h5_bag

NAMES = {"patient": "P1", "modality": "OM", "image_id": "P1-OM", "encoder": "uni"}


def bag(path, features):
    n = len(features)
    write_arrays(
        path,
        {
            "features": features,
            "image": np.zeros(n, np.int16),
            "slot": np.zeros(n, np.int8),
            "score": np.ones(n, np.float32),
            "position": np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        },
        {"patient": "P1", "modality": "OM", "encoder": "texture", "images": ["P1-OM"], "panel": ["IgG"]},
    )
    return path


@given(n=st.integers(1, 5), channels=st.integers(1, 9), side=st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_export_and_import_keep_the_features(tmp_path_factory, n, channels, side):
    folder = tmp_path_factory.mktemp("h5")
    maps = np.random.default_rng(n).normal(size=(n, side, side, channels)).astype(np.float32)
    assert export_h5(bag(folder / "bag", maps), folder / "bag.h5") == {"instances": n, "channels": channels}
    with h5py.File(folder / "bag.h5") as file:
        assert file["features"].shape == (n, channels)
        assert file["coords"].dtype == np.int64
        assert list(file.attrs["panel"]) == ["IgG"]
    read_h5_bag(folder / "bag.h5", folder / "back", **NAMES)
    back = read_array(folder / "back", "features")
    np.testing.assert_allclose(back[:, 0, 0], maps.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(read_array(folder / "back", "position"), read_array(folder / "bag", "position"))


def test_equal_bags_give_equal_files(tmp_path):
    maps = np.random.default_rng(0).normal(size=(3, 7, 7, 4)).astype(np.float32)
    export_h5(bag(tmp_path / "bag", maps), tmp_path / "1.h5")
    export_h5(tmp_path / "bag", tmp_path / "2.h5")
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_pixels_are_not_exported(tmp_path):
    with pytest.raises(NephroscaleError, match="images"):
        export_h5(bag(tmp_path / "bag", np.zeros((2, 8, 8, 3), np.uint8)), tmp_path / "x.h5")


def test_nothing_is_written_over_and_a_missing_bag_is_named(tmp_path):
    path = bag(tmp_path / "bag", np.zeros((1, 1, 1, 2), np.float32))
    (tmp_path / "there.h5").write_text("mine")
    for out, what in (("there.h5", "a file"), ("bag", "a folder")):
        with pytest.raises(NephroscaleError, match=f"There is {what} of this name already"):
            export_h5(path, tmp_path / out)
    assert (tmp_path / "there.h5").read_text() == "mine"
    with pytest.raises(NephroscaleError, match="no bag of features"):
        export_h5(tmp_path / "absent", tmp_path / "new.h5")
    with pytest.raises(NephroscaleError, match="cannot be written"):
        export_h5(path, tmp_path / "nowhere" / "new.h5")
