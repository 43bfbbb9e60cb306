import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale.arrays import read_array, write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.features.export_h5 import export_h5, images_of
from nephroscale.features.import_h5 import import_h5
from nephroscale.features.source import FeatureSource


def bag(path, features, image=None):
    n = len(features)
    write_arrays(
        path,
        {
            "features": features,
            "image": np.array(image or [0] * n, np.int16),
            "slot": np.zeros(n, np.int8),
            "score": np.ones(n, np.float32),
            "position": np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        },
        {"patient": "P1", "modality": "OM", "encoder": "texture", "images": ["P1-OM", "P1-OM2"], "panel": ["IgG"]},
    )
    return path


@pytest.mark.slow
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
    import_h5("P1", "OM", str(folder), folder / "back", [FeatureSource("P1-OM", folder / "bag.h5")])
    back = read_array(folder / "back", "features")
    np.testing.assert_allclose(back[:, 0, 0], maps.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(read_array(folder / "back", "position"), read_array(folder / "bag", "position"))


def test_equal_bags_give_equal_files(tmp_path):
    maps = np.random.default_rng(0).normal(size=(3, 7, 7, 4)).astype(np.float32)
    export_h5(bag(tmp_path / "bag", maps), tmp_path / "1.h5")
    export_h5(tmp_path / "bag", tmp_path / "2.h5")
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_one_image_is_exported_with_the_side_of_its_instances(tmp_path):
    maps = np.arange(8, dtype=np.float32).reshape(4, 1, 1, 2)
    bag(tmp_path / "bag", maps, [1, 0, 1, 1])
    assert images_of(tmp_path / "bag") == ["P1-OM", "P1-OM2"]
    sides = {"P1-OM": 511.7, "P1-OM2": 300.0}
    assert export_h5(tmp_path / "bag", tmp_path / "1.h5", image="P1-OM2", sides=sides)["instances"] == 3
    export_h5(tmp_path / "bag", tmp_path / "2.h5", sides=sides)
    with h5py.File(tmp_path / "1.h5") as one, h5py.File(tmp_path / "2.h5") as both:
        assert one["features"][:].tolist() == maps[[0, 2, 3], 0, 0].tolist()
        assert one["coords"].shape == (3, 2)
        assert dict(one["coords"].attrs) == {"name": "P1-OM2", "patch_level": 0, "patch_size": 300}
        assert dict(both["coords"].attrs) == {"name": "P1"}  # two sizes in one bag


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
