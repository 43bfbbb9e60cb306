import json

import h5py
import numpy as np
import pytest

from nephroscale.arrays import read_array, read_attributes, write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.features.features import extract_features, resize, to_rgb8
from nephroscale.features.settings import EncoderSettings, ExtractionSettings
from nephroscale.features.source import FeatureSource


def extract(patient, modality, sources, out, encoder="pixels", *, size_px=32, **changes):
    settings = ExtractionSettings(**{"batch_size": 3, **changes})
    return extract_features(patient, modality, sources, EncoderSettings(encoder, size_px=size_px), settings, out)


def image_ids(bag):
    images = read_attributes(bag)["images"]
    return [images[i] for i in read_array(bag, "image")]


def glomeruli(folder, scores, *, fluorescence=False, first=0, size=32):
    """A `glomeruli` object whose crop i is filled with first + i."""
    n = len(scores)
    dtype, channels, factor = (np.uint16, 1, 256) if fluorescence else (np.uint8, 3, 1)
    crops = np.zeros((n, size, size, channels), dtype)
    crops[:] = ((first + np.arange(n)) * factor).reshape(n, 1, 1, 1)
    folder.mkdir()
    centre = np.stack([np.arange(n) * 10, np.arange(n) * 20], 1).astype(np.float32)
    write_arrays(folder / "crops", {"crops": crops, "score": np.array(scores, np.float32), "centre": centre})
    return folder


def bag(folder, counts, size=32):
    n = sum(counts)
    rng = np.random.default_rng(n)
    image = np.repeat(np.arange(len(counts)), counts).astype(np.int16)
    write_arrays(
        folder,
        {
            "images": rng.integers(0, 256, (n, size, size), dtype=np.uint8),
            "image": image,
            "box": np.tile(np.array([[100, 200, 50, 80]], np.int32), (n, 1)),
            "nm_per_px": np.full(n, 8, np.float32),
            "valid": np.tile(np.array([[0, 0, size, size // 2]], np.int16), (n, 1)),
        },
        {"images": [f"T{i}" for i in range(len(counts))]},
    )
    return folder


def test_the_representative_glomerulus_is_the_best_over_all_slides(tmp_path):
    sources = [
        FeatureSource("B", glomeruli(tmp_path / "b", [0.7, 0.9], first=10)),  # instance 10 is written before 11
        FeatureSource("A", glomeruli(tmp_path / "a", [0.8, 0.2])),
        FeatureSource("C", glomeruli(tmp_path / "c", [])),
    ]
    figures = extract("P1", "OM", sources, tmp_path / "out")
    assert figures == {"instances": 1, "shape": [32, 32, 3], "encoder": "pixels"}
    assert read_array(tmp_path / "out", "features").dtype == np.uint8
    assert image_ids(tmp_path / "out") == ["A"]
    assert read_attributes(tmp_path / "out")["images"] == ["A", "B", "C"]
    extract("P1", "OM", sources, tmp_path / "three", om_glomeruli=3)
    assert read_array(tmp_path / "three", "features")[:, 0, 0, 0].tolist() == [0, 10, 11]
    assert read_array(tmp_path / "three", "score").tolist() == pytest.approx([0.8, 0.7, 0.9])
    assert read_array(tmp_path / "three", "position").tolist() == [[0, 0], [0, 0], [10, 20]]


def test_equal_scores_go_by_image_id_whatever_the_order_of_the_sources(tmp_path):
    sources = [FeatureSource(name, glomeruli(tmp_path / name, [0.5])) for name in "ba"]
    extract("P1", "OM", sources, tmp_path / "one")
    extract("P1", "OM", sources[::-1], tmp_path / "two")
    assert image_ids(tmp_path / "one") == ["a"]
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_each_marker_has_its_slot_and_a_missing_one_is_left_out(tmp_path):
    sources = [
        FeatureSource("C3", glomeruli(tmp_path / "c3", [0.4], fluorescence=True, first=5), 2),
        FeatureSource("G1", glomeruli(tmp_path / "g1", [0.4], fluorescence=True, first=7), 0),
        FeatureSource("G2", glomeruli(tmp_path / "g2", [0.6, 0.1], fluorescence=True, first=9), 0),
        FeatureSource("A", glomeruli(tmp_path / "a", [], fluorescence=True), 1),
    ]
    figures = extract("P1", "IM", sources, tmp_path / "out", panel=("IgG", "IgA", "C3"))
    assert figures["markers"] == ["IgG", "C3"]
    assert read_array(tmp_path / "out", "slot").tolist() == [0, 2]
    assert image_ids(tmp_path / "out") == ["G2", "C3"]
    assert read_array(tmp_path / "out", "features")[:, 3, 3].tolist() == [[9] * 3, [5] * 3]
    assert read_attributes(tmp_path / "out")["panel"] == ["IgG", "IgA", "C3"]


@pytest.mark.slow
def test_every_tem_instance_enters(tmp_path):
    sources = [FeatureSource("P1", bag(tmp_path / "bag", [2, 3]))]
    figures = extract("P1", "TEM", sources, tmp_path / "out", "texture", size_px=224)
    features = read_array(tmp_path / "out", "features")
    assert figures["instances"] == len(features) == 5
    assert features.shape[1:3] == (7, 7)
    assert features.dtype == np.float32
    assert image_ids(tmp_path / "out") == ["T0", "T0", "T1", "T1", "T1"]
    assert read_array(tmp_path / "out", "score").tolist() == [0.5] * 5
    assert read_array(tmp_path / "out", "position")[0].tolist() == [240, 125]
    assert read_attributes(tmp_path / "out")["encoder"] == "texture"
    assert json.loads(json.dumps(figures)) == figures


def test_batch_size_changes_nothing(tmp_path):
    one = [FeatureSource("P1", bag(tmp_path / "bag", [5]))]
    for batch in (1, 4):
        extract("P1", "TEM", one, tmp_path / str(batch), "texture", size_px=64, batch_size=batch)
    np.testing.assert_array_equal(read_array(tmp_path / "1", "features"), read_array(tmp_path / "4", "features"))


@pytest.mark.parametrize("modality", ["OM", "IM", "TEM"])
def test_nothing_to_encode_is_rejected(tmp_path, modality):
    path = bag(tmp_path / "x", [0]) if modality == "TEM" else glomeruli(tmp_path / "x", [])
    with pytest.raises(Rejected, match="empty"):
        extract("P1", modality, [FeatureSource("X", path)], tmp_path / "out", panel=("IgG",))
    with pytest.raises(Rejected, match="empty"):
        extract("P1", modality, [], tmp_path / "out", panel=("IgG",))
    assert not (tmp_path / "out").exists()


def test_half_precision_is_stored_and_overflow_is_an_error(tmp_path, monkeypatch):
    one = [FeatureSource("P1", bag(tmp_path / "bag", [1]))]
    extract("P1", "TEM", one, tmp_path / "half", "texture", size_px=64, dtype="float16")
    assert read_array(tmp_path / "half", "features").dtype == np.float16
    from nephroscale.features.encoders import texture

    monkeypatch.setattr(texture, "LIMIT", np.float32(1e9))
    monkeypatch.setattr(texture, "SCALE", texture.SCALE * np.float32(1e-8))
    with pytest.raises(NephroscaleError, match="float16"), np.errstate(over="ignore"):
        extract("P1", "TEM", one, tmp_path / "over", "texture", size_px=64, dtype="float16")


def test_sixteen_bits_become_eight_by_a_fixed_rule():
    image = np.array([[[0], [255]], [[256], [65535]]], np.uint16)
    assert to_rgb8(image)[:, :, 0].tolist() == [[0, 0], [1, 255]]
    with pytest.raises(NephroscaleError):
        to_rgb8(np.zeros((2, 2, 3), np.float32))


def test_scaling_keeps_the_mean():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert resize(image, 64) is image
    assert abs(resize(image, 32).mean() - image.mean()) < 1
    assert resize(image, 128).shape == (128, 128, 3)


def test_a_bag_made_elsewhere_is_imported(tmp_path):
    with h5py.File(tmp_path / "P1.h5", "w") as file:
        file["features"], file["coords"] = np.ones((2, 3), np.float32), np.zeros((2, 2))
    encoder = EncoderSettings("h5", h5_folder=str(tmp_path))
    figures = extract_features("P1", "OM", [], encoder, ExtractionSettings(), tmp_path / "out")
    assert figures == {"instances": 2, "channels": 3}
    assert read_attributes(tmp_path / "out")["encoder"] == "h5"
