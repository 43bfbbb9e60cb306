import base64
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.tables import InstanceWeight
from nephroscale.reporting.pictures import outline_tissue, read_picture, scale_bar, slide_card, tem_cards
from nephroscale.reporting.report_inputs import SlidePicture


def decode(uri):
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_UNCHANGED)


@given(width=st.integers(16, 4000), per_px=st.floats(0.02, 60), unit=st.sampled_from(["um", "nm"]))
def test_a_scale_bar_has_a_round_length_and_fits(width, per_px, unit):
    bar = scale_bar(np.zeros((8, width), np.uint8), per_px, unit)
    value, name = bar.label.split()
    length = float(value) * {("um", "mm"): 1000, ("nm", "µm"): 1000}.get((unit, name), 1)
    assert value.strip("0.")[:1] in "125"
    assert 8 < bar.percent <= 24.001
    assert length == pytest.approx(bar.percent / 100 * width * per_px, rel=1e-3)


def test_a_scale_bar_contrasts_with_its_corner():
    half = np.zeros((100, 100), np.uint8)
    half[:, 50:] = 255
    assert scale_bar(half, 1, "um").tone == "light"
    assert scale_bar(half[:, ::-1], 1, "um").tone == "dark"


def test_the_scale_bar_is_independent_of_the_size_of_the_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), np.full((300, 1800, 3), 200, np.uint8))
    slide = SlidePicture("A", "P", tmp_path / "x.png", mpp=5)
    large, small = slide_card(slide, 1800), slide_card(slide, 450)
    assert decode(small.picture).shape == (75, 450, 3)
    assert large.bar == small.bar
    assert large.bar.label == "2 mm"
    assert large.bar.percent == pytest.approx(100 * 2000 / 9000, abs=1e-3)
    assert slide_card(replace(slide, mpp=None)).bar is None


def test_an_unreadable_picture_is_an_error(tmp_path):
    (tmp_path / "x.png").write_text("no")
    with pytest.raises(NephroscaleError):
        read_picture(tmp_path / "x.png", 100)


def test_tem_images_are_sorted_by_weight_and_cropped(tmp_path):
    images = np.full((4, 64, 64), 255, np.uint8)
    images[:, 16:48] = np.array([10, 60, 110, 160], np.uint8)[:, None, None]
    arrays = {
        "images": images,
        "image": np.array([0, 1, 2, 3], np.int16),
        "box": np.zeros((4, 4), np.int32),
        "nm_per_px": np.array([40, 40, np.nan, 40], np.float32),
        "valid": np.tile(np.array([[16, 0, 32, 64]], np.int16), (4, 1)),
    }
    write_arrays(tmp_path / "bag", arrays, {"images": list("abcd")})

    def row(name, kept, weight, centre=False):
        return InstanceWeight("P", name, 0, kept=kept, centre=centre, weight=weight, distance=1.0)

    tiles = tem_cards(tmp_path / "bag", [row("a", False, 0), row("c", True, 0.4), row("d", True, 1.0, True)])
    assert [(t.image_id, t.status) for t in tiles] == [
        ("d", "kept"),
        ("c", "kept"),
        ("a", "dropped"),
        ("b", "not drawn"),
    ]
    assert tiles[0].centre
    picture = decode(tiles[0].picture)
    assert picture.shape == (32, 64)
    assert abs(int(picture.mean()) - 160) <= 2
    assert tiles[0].bar.label == "500 nm"
    assert tiles[1].bar is None
    assert tiles[3].weight is None


def test_tissue_tiles_are_outlined():
    picture = np.zeros((50, 70, 3), np.uint8)
    status = np.array([[0, 1, 1, 0], [2, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
    outline_tissue(picture, status, (2.5, 3.5), (1, 2, 3))
    drawn = picture.any(axis=2)
    assert picture[drawn].tolist() == [[1, 2, 3]] * int(drawn.sum())
    ys, xs = np.nonzero(drawn)
    assert (ys.min(), xs.min(), xs.max()) == (0, 20, 59)
    assert ys[xs < 40].max() == 39
    assert ys[xs > 45].max() == 19
    assert not drawn[5:15, 25:35].any()
