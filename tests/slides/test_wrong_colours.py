"""Negatives, and red exchanged for blue, are recognised in the stains whose dyes tell them apart."""

import cv2
import numpy as np
import pytest
from PIL import Image

from nephroscale.cohort.image import TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.wrong_colours import (
    CAST,
    EXCHANGED,
    MASSON,
    NEGATIVE,
    colour_order_doubt,
    masson_order,
    negative_fault,
)

REAL = {
    "stain/source.png": "HE",
    "stain/target.png": "HE",
    "stain/expected_macenko.png": "HE",
    "kidney_om/tcga-green-pen.png": "HE",
    "kidney_om/0486052bb_positive_000096_image.png": "PAS",
    "kidney_om/local1.png": "Masson",
    "kidney_om/local2.png": "Masson",
}


@pytest.fixture(scope="module", params=REAL)
def real(request, shared):
    image = Image.open(shared / "data" / request.param).convert("RGB")
    return np.asarray(image).reshape(-1, 3)[::3], REAL[request.param]


def test_real_fields_are_neither(real):
    rgb, stain = real
    assert negative_fault(rgb, stain) == colour_order_doubt(rgb, stain) == ""


def test_negatives_of_real_fields(real):
    rgb, stain = real
    if stain == "Masson":  # a light green is possible
        assert colour_order_doubt(255 - rgb, stain) == "its colours look inverted, as in a photographic negative"
    else:
        assert negative_fault(255 - rgb, stain) == NEGATIVE
    assert negative_fault(255 - rgb, "PASM") == colour_order_doubt(255 - rgb, "PASM") == ""


def test_real_fields_with_red_and_blue_exchanged(real):
    rgb, stain = real
    assert colour_order_doubt(rgb[:, ::-1], stain) == (MASSON if stain == "Masson" else EXCHANGED)
    assert colour_order_doubt(rgb[:, ::-1], "PASM") == ""


@pytest.mark.slow
def test_a_negative_is_rejected_and_an_exchange_is_told(tmp_path, shared, make_row):
    field = np.asarray(Image.open(shared / "data/kidney_om/0486052bb_positive_000096_image.png").convert("RGB"))
    row = make_row("OM", stain="PAS", scale=TableScale(0.5, "um", "table"))
    for name, pixels in (("plain", field), ("negative", 255 - field), ("exchanged", field[..., ::-1])):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png", compress_level=1)
    assert describe_image(tmp_path / "plain.png", row).doubts == ()
    assert describe_image(tmp_path / "exchanged.png", row).doubts == (EXCHANGED,)
    with pytest.raises(Rejected, match="its colours are inverted"):
        describe_image(tmp_path / "negative.png", row)


def test_luma_and_chroma_read_as_colours_are_told(real):
    rgb, stain = real
    if stain == "HE":
        stored = cv2.cvtColor(rgb[None], cv2.COLOR_RGB2YCrCb)[0][:, [0, 2, 1]]
        assert colour_order_doubt(stored, stain) == CAST


@pytest.fixture(params=["local1", "local2"])
def masson(request, shared):
    return np.asarray(Image.open(shared / f"data/kidney_om/{request.param}.png").convert("RGB"))


@pytest.mark.parametrize("quality", [60, 70, 85, 95])
def test_exchanged_colours_of_masson_are_told_in_jpeg(masson, quality):
    def stored(picture):
        code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1].reshape(-1, 3)

    assert colour_order_doubt(stored(masson), "Masson") == ""
    assert colour_order_doubt(stored(np.ascontiguousarray(masson[..., ::-1])), "Masson") == MASSON


def test_tinted_parts_of_masson_are_not_doubted(masson):
    half = len(masson) // 2
    for part in (masson[:half, :half], masson[:half, half:], masson[half:, :half], masson[half:, half:]):
        for tint in ((1, 1, 1), (0.85, 1, 1), (1, 0.85, 1), (1, 1, 0.85), (0.7, 0.8, 1), (1, 0.8, 0.7)):
            pixels = (part.reshape(-1, 3) * tint).astype(np.uint8)
            assert masson_order(pixels) > 0.08
            assert colour_order_doubt(pixels, "Masson") == ""


def test_masson_without_blue_says_nothing(masson):
    density = -np.log(np.maximum(masson.reshape(-1, 3), 5) / 255)
    red = density[density[:, 0] < density[:, 2]]
    assert masson_order((255 * np.exp(-red)).astype(np.uint8)) == 0
