import json

import numpy as np
import pytest

from nephroscale.arrays import read_array, read_attributes, write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.features.bags import open_bag
from nephroscale.features.features import extract_features, resize, to_rgb8


def settings(name="pixels", **changes):
    encoder = {"name": name, "weights": None, "digest": None, "size_px": changes.pop("size_px", 32)}
    return {
        "encoders": {"OM": encoder, "IM": encoder, "TEM": encoder},
        "dtype": "float32",
        "batch": 3,
        "om_glomeruli": 1,
        **changes,
    }


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


def source(path, image_id, slot=0):
    return {"image_id": image_id, "path": path, "slot": slot}


def test_the_representative_glomerulus_is_the_best_over_all_slides(tmp_path):
    sources = [
        source(glomeruli(tmp_path / "b", [0.7, 0.9], first=10), "B"),  # its own order says that 10 comes before 11
        source(glomeruli(tmp_path / "a", [0.8, 0.2]), "A"),
        source(glomeruli(tmp_path / "c", []), "C"),
    ]
    figures = extract_features("P1", "OM", sources, settings(), ["IgG"], tmp_path / "out")
    assert figures == {"instances": 1, "shape": [32, 32, 3], "encoder": "pixels"}
    made = open_bag(tmp_path / "out")
    assert made.is_pixels
    assert made.image_ids == ["A"]
    assert made.images == ("A", "B", "C")
    extract_features("P1", "OM", sources, settings(om_glomeruli=3), ["IgG"], tmp_path / "three")
    three = open_bag(tmp_path / "three")
    assert three.features[:, 0, 0, 0].tolist() == [0, 10, 11]
    assert three.score.tolist() == pytest.approx([0.8, 0.7, 0.9])
    assert read_array(tmp_path / "three", "position").tolist() == [[0, 0], [0, 0], [10, 20]]


def test_equal_scores_go_by_image_id_whatever_the_order_of_the_sources(tmp_path):
    sources = [source(glomeruli(tmp_path / name, [0.5]), name) for name in "ba"]
    extract_features("P1", "OM", sources, settings(), [], tmp_path / "one")
    extract_features("P1", "OM", sources[::-1], settings(), [], tmp_path / "two")
    assert open_bag(tmp_path / "one").image_ids == ["a"]
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_each_marker_has_its_slot_and_a_missing_one_is_left_out(tmp_path):
    sources = [
        source(glomeruli(tmp_path / "c3", [0.4], fluorescence=True, first=5), "C3", 2),
        source(glomeruli(tmp_path / "g1", [0.4], fluorescence=True, first=7), "G1", 0),
        source(glomeruli(tmp_path / "g2", [0.6, 0.1], fluorescence=True, first=9), "G2", 0),
        source(glomeruli(tmp_path / "a", [], fluorescence=True), "A", 1),
    ]
    figures = extract_features("P1", "IM", sources, settings(), ["IgG", "IgA", "C3"], tmp_path / "out")
    made = open_bag(tmp_path / "out")
    assert figures["markers"] == ["IgG", "C3"]
    assert made.slot.tolist() == [0, 2]
    assert made.image_ids == ["G2", "C3"]
    assert made.features[:, 3, 3].tolist() == [[9] * 3, [5] * 3]
    assert made.panel == ("IgG", "IgA", "C3")


def test_every_tem_instance_enters(tmp_path):
    figures = extract_features(
        "P1",
        "TEM",
        [source(bag(tmp_path / "bag", [2, 3]), "P1")],
        settings("texture", size_px=224),
        [],
        tmp_path / "out",
    )
    made = open_bag(tmp_path / "out")
    assert figures["instances"] == len(made) == 5
    assert made.features.shape[1:3] == (7, 7)
    assert made.features.dtype == np.float32
    assert made.image_ids == ["T0", "T0", "T1", "T1", "T1"]
    assert made.score.tolist() == [0.5] * 5
    assert read_array(tmp_path / "out", "position")[0].tolist() == [240, 125]
    assert read_attributes(tmp_path / "out")["encoder"] == "texture"
    assert json.loads(json.dumps(figures)) == figures


def test_batch_size_changes_nothing(tmp_path):
    one = [source(bag(tmp_path / "bag", [5]), "P1")]
    for batch in (1, 4):
        extract_features("P1", "TEM", one, settings("texture", size_px=64, batch=batch), [], tmp_path / str(batch))
    np.testing.assert_array_equal(open_bag(tmp_path / "1").features, open_bag(tmp_path / "4").features)


@pytest.mark.parametrize("modality", ["OM", "IM", "TEM"])
def test_nothing_to_encode_is_rejected(tmp_path, modality):
    path = bag(tmp_path / "x", [0]) if modality == "TEM" else glomeruli(tmp_path / "x", [])
    with pytest.raises(Rejected, match="empty"):
        extract_features("P1", modality, [source(path, "X")], settings(), ["IgG"], tmp_path / "out")
    with pytest.raises(Rejected, match="empty"):
        extract_features("P1", modality, [], settings(), ["IgG"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_half_precision_is_stored_and_overflow_is_an_error(tmp_path, monkeypatch):
    one = [source(bag(tmp_path / "bag", [1]), "P1")]
    extract_features("P1", "TEM", one, settings("texture", size_px=64, dtype="float16"), [], tmp_path / "half")
    assert open_bag(tmp_path / "half").features.dtype == np.float16
    from nephroscale.features.encoders import texture

    monkeypatch.setattr(texture, "LIMIT", np.float32(1e9))
    monkeypatch.setattr(texture, "SCALE", texture.SCALE * np.float32(1e-8))
    with pytest.raises(NephroscaleError, match="float16"), np.errstate(over="ignore"):
        extract_features("P1", "TEM", one, settings("texture", size_px=64, dtype="float16"), [], tmp_path / "over")


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
