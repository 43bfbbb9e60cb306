from pathlib import Path

import cv2
import numpy as np
import pytest

from nephroscale.slides.folds import find_folds
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
    ("stain/target.png", 0.5, "HE"),
]
GLASS = np.array([240.0, 240.0, 240.0])


def read(path: Path) -> np.ndarray:
    with open_slide(path) as slide:
        return slide.read_level(0, 0, 0, slide.width, slide.height)[0]


def search(rgb, mpp, stain):
    """Folds of a field at 8 µm per pixel, within its tissue."""
    small = cv2.resize(rgb, None, fx=mpp / MPP, fy=mpp / MPP, interpolation=cv2.INTER_AREA)
    valid = np.ones(small.shape[:2], bool)
    return find_folds(small, valid, find_bright_tissue(small, valid, MPP, stain), MPP)


def fold(rgb, mpp, angle, width_um=40):
    """Lay a second layer, the same field turned round, over a band of 250 µm; gives the band at 8 µm per pixel too."""
    density = np.maximum(np.log(GLASS) - np.log(np.maximum(rgb, 1.0)), 0)
    height, width = rgb.shape[:2]
    half = 125 / mpp * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(np.rint(np.array([width / 2, height / 2]) + sign * half).astype(int).tolist()) for sign in (-1, 1)]
    band = cv2.line(np.zeros((height, width), np.uint8), *ends, 255, round(width_um / mpp))
    soft = cv2.GaussianBlur(band.astype(np.float32) / 255, (0, 0), 2 / mpp)[..., None]
    folded = np.clip(GLASS * np.exp(-density - soft * density[::-1, ::-1]), 0, 255).astype(np.uint8)
    return folded, cv2.resize(band, None, fx=mpp / MPP, fy=mpp / MPP, interpolation=cv2.INTER_AREA) > 127


@pytest.mark.slow
@pytest.mark.parametrize("field", KIDNEY)
def test_kidney_has_no_folds_and_drawn_ones_are_found(shared, field):
    name, mpp, stain = field
    picture = read(shared / "data" / name)
    assert not search(picture, mpp, stain).any()
    covered = []
    for angle in (0.3, 1.2, 2.3):
        folded, band = fold(picture, mpp, angle)
        found = search(folded, mpp, stain)
        covered.append((found & band).sum() / band.sum())
        around = cv2.dilate(band.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert (found & ~around).sum() <= 0.35 * found.sum()
    assert sum(share > 0.5 for share in covered) >= 2


def test_round_and_broad_dense_tissue_is_no_fold():
    picture = np.full((150, 200, 3), 243, np.uint8)
    picture[10:140, 10:190] = (205, 150, 190)
    cv2.circle(picture, (60, 60), 13, (170, 100, 150), -1)  # a glomerulus of 200 µm
    cv2.rectangle(picture, (100, 20), (130, 130), (170, 100, 150), -1)  # an infiltrate of 250 µm
    valid = np.ones(picture.shape[:2], bool)
    mask = find_bright_tissue(picture, valid, MPP)
    assert not find_folds(picture, valid, mask, MPP).any()
    cv2.line(picture, (20, 110), (90, 125), (170, 100, 150), 5)
    folds = find_folds(picture, valid, mask, MPP)
    assert folds[112:120, 50].any()
    assert not folds[:90].any()
    assert not find_folds(picture, valid, mask._replace(tissue=np.zeros_like(valid)), MPP).any()
