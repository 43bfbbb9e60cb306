from pathlib import Path

import cv2
import numpy as np
import pytest

from nephroscale.slides.bubbles import find_bubbles
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.tissue import find_bright_tissue

MPP = 8.0
#: Field, its µm per pixel (estimated where the file has none) and its stain.
KIDNEY = [
    ("kidney_om/0486052bb_positive_000096_image.png", 0.5, "PAS"),
    ("kidney_om/local1.png", 0.5, "Masson"),
    ("kidney_om/local2.png", 0.5, "Masson"),
    ("kidney_om/vegf_ihc_C1.jpg", 2 / 3, "IHC"),
    ("kidney_om/vegf_ihc_C2.jpg", 2 / 3, "IHC"),
    ("kidney_om/tcga-green-pen.png", 8, "HE"),
    ("slides/CMU-1-Small-Region.svs", 0.5, "HE"),
    ("slides/gcp-jpeg.dicom", 8, "HE"),
    ("stain/target.png", 0.5, "HE"),
]


def read(path: Path) -> np.ndarray:
    with open_slide(path) as slide:
        return slide.read_level(0, 0, 0, slide.width, slide.height)[0]


def at(rgb, mpp, scale):
    return cv2.resize(rgb, None, fx=mpp / scale, fy=mpp / scale, interpolation=cv2.INTER_AREA)


def search(rgb, stain):
    valid = np.ones(rgb.shape[:2], bool)
    mask = find_bright_tissue(rgb, valid, MPP, stain)
    return find_bubbles(rgb, valid, mask, MPP), mask.tissue


def bubble(rgb, mpp, centre, radius_um, *, line_um=40.0, dark=0.8):
    """Draw a bubble around a pixel: a dark line, a bright one beside it, and tissue out of focus under it."""
    x, y = centre
    down, across = np.mgrid[: rgb.shape[0], : rgb.shape[1]].astype(np.float32)
    angle = np.arctan2(down - y, across - x)
    edge = np.hypot(down - y, 1.15 * (across - x)) * mpp / (1 + 0.02 * np.cos(2 * angle) + 0.01 * np.cos(3 * angle))
    inwards, line = radius_um - edge, line_um / 2
    light = 1 - dark * np.exp(-(((inwards - line) / (0.6 * line)) ** 2))
    light += 0.12 * np.exp(-(((inwards - 2.4 * line) / (0.5 * line)) ** 2))
    under = np.clip(inwards / 4, 0, 1)[..., None]
    picture = rgb * (1 - under) + 0.9 * cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 6 / mpp) * under
    return np.clip(picture * light[..., None], 0, 255).astype(np.uint8), inwards > 0


@pytest.mark.slow
@pytest.mark.parametrize("field", KIDNEY)
def test_real_tissue_has_no_bubbles(shared, field):
    name, mpp, stain = field
    assert not search(at(read(shared / "data" / name), mpp, MPP), stain)[0].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vegf_ihc_C1.jpg", "vegf_ihc_C2.jpg"])
@pytest.mark.parametrize("radius", [170, 250])
@pytest.mark.parametrize("x", [0.04, 0.5])
def test_drawn_bubbles_are_found(shared, name, radius, x):
    rgb = at(read(shared / "data/kidney_om" / name), 2 / 3, 2.0)
    picture, where = bubble(rgb, 2.0, (x * rgb.shape[1], 0.5 * rgb.shape[0]), radius)
    found, tissue = search(at(picture, 2.0, MPP), "IHC")
    where = (at(where.astype(np.uint8) * 255, 2.0, MPP) > 127) & tissue
    assert (found & where).sum() > 0.6 * (found | where).sum()


def test_rings_of_a_dye_small_ones_and_bands_are_none():
    picture = np.full((200, 260, 3), 243, np.uint8)
    picture[10:190, 10:250] = (215, 160, 200)

    def found(draw):
        drawn = picture.copy()
        draw(drawn)
        return search(drawn, "PAS")[0].any()

    assert found(lambda p: cv2.circle(p, (80, 90), 40, (60, 50, 60), 4))
    assert not found(lambda p: cv2.circle(p, (80, 90), 40, (205, 60, 160), 4))  # a dye
    assert not found(lambda p: cv2.circle(p, (80, 90), 12, (60, 50, 60), 3))  # a capsule of 200 µm
    assert not found(lambda p: cv2.ellipse(p, (80, 90), (60, 16), 20, 0, 360, (60, 50, 60), 3))  # slender
    assert not found(lambda p: cv2.ellipse(p, (80, 90), (40, 40), 0, 0, 270, (60, 50, 60), 4))  # open
    assert not found(lambda p: cv2.circle(p, (80, 90), 40, (60, 50, 60), -1))  # filled
