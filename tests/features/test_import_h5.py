import h5py
import numpy as np
import pytest

from nephroscale.arrays import read_array, read_attributes
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.features.import_h5 import import_h5, read_h5
from nephroscale.features.source import FeatureSource


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.mark.parametrize("leading", [(), (1,)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bags_of_clam_and_trident_are_read(tmp_path, leading, dtype):
    features = np.random.default_rng(0).normal(size=(4, 6)).astype(dtype)
    coords = np.arange(8).reshape(4, 2)
    write_h5(tmp_path / "P1.h5", features=features.reshape(*leading, 4, 6), coords=coords.reshape(*leading, 4, 2))
    assert import_h5("P1", "OM", str(tmp_path), tmp_path / "out") == {"instances": 4, "channels": 6}
    np.testing.assert_allclose(read_array(tmp_path / "out", "features")[:, 0, 0], features, rtol=1e-6)
    attributes = read_attributes(tmp_path / "out")
    assert (attributes["encoder"], attributes["images"]) == ("h5", ["P1-OM"])
    assert read_array(tmp_path / "out", "image").tolist() == [0] * 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": np.zeros((4, 6))}, "coords"),
        ({"coords": np.zeros((4, 2))}, "features"),
        ({"features": np.zeros((2, 4, 6)), "coords": np.zeros((4, 2))}, "shape"),
        ({"features": np.zeros((4, 6)), "coords": np.zeros((3, 2))}, "coords"),
        ({"features": np.full((4, 6), np.nan), "coords": np.zeros((4, 2))}, "finite"),
        ({"features": np.full((4, 6), 1e300), "coords": np.zeros((4, 2))}, "finite in 32 bits"),
        ({"features": np.zeros((4, 6)), "coords": np.full((4, 2), np.nan)}, "finite"),
        ({"features": np.zeros((0, 6)), "coords": np.zeros((0, 2))}, "no instance"),
        ({"features": np.zeros((4, 6), np.int32), "coords": np.zeros((4, 2))}, "int32"),
    ],
)
def test_invalid_files_reject_their_patient_alone(tmp_path, arrays, message):
    with pytest.raises(Rejected, match=message):
        read_h5(write_h5(tmp_path / "x.h5", **arrays))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.h5").write_text("no")
    with pytest.raises(Rejected, match="cannot be read as h5"):
        read_h5(tmp_path / "x.h5")


def test_a_patient_has_a_file_of_its_own(tmp_path):
    write_h5(tmp_path / "P1.h5", features=np.ones((2, 3), np.float32), coords=np.zeros((2, 2)))
    assert import_h5("P1", "OM", str(tmp_path), tmp_path / "out") == {"instances": 2, "channels": 3}
    with pytest.raises(Rejected, match="no h5 bag of OM"):
        import_h5("P2", "OM", str(tmp_path), tmp_path / "other")
    with pytest.raises(NephroscaleError, match="needs the folder"):
        import_h5("P1", "OM", None, tmp_path / "other")


def test_bags_of_single_images_are_joined(tmp_path):
    slides = []
    for slot, n in ((0, 2), (2, 3)):
        path = write_h5(tmp_path / f"P1-{slot}.h5", features=np.full((n, 3), slot, np.float32), coords=np.ones((n, 2)))
        slides.append(FeatureSource(f"P1-{slot}", path, slot))
    found = import_h5("P1", "IM", str(tmp_path), tmp_path / "out", slides, ("IgG", "IgA", "C3"))
    assert found == {"instances": 5, "channels": 3}
    for name, expected in (("image", [0, 0, 1, 1, 1]), ("slot", [0, 0, 2, 2, 2])):
        assert read_array(tmp_path / "out", name).tolist() == expected
    assert read_array(tmp_path / "out", "features")[:, 0, 0, 0].tolist() == [0, 0, 2, 2, 2]
    attributes = read_attributes(tmp_path / "out")
    assert (attributes["images"], attributes["panel"]) == (["P1-0", "P1-2"], ["IgG", "IgA", "C3"])
    write_h5(slides[1].path, features=np.ones((1, 4), np.float32), coords=np.ones((1, 2)))
    with pytest.raises(NephroscaleError, match="different channels"):
        import_h5("P1", "IM", str(tmp_path), tmp_path / "other", slides)
