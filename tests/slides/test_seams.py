"""Pictures that abut are recognised by their content; boxes and shapes with straight edges in one picture are none."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.seams import find_seam
from nephroscale.tem.clean import clean_burned_in
from support.fluorescence import draw_glomerulus
from support.small_study import paint_tem


@pytest.fixture(scope="module")
def micrographs(shared):
    return [np.asarray(Image.open(shared / f"data/tem/isbi2012_{k}.png").convert("L")) for k in range(5)]


def as_jpeg(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("finish", [np.asarray, as_jpeg])
def test_pictures_that_abut_are_refused(micrographs, finish):
    for picture, where in (
        (np.hstack(micrographs[:2]), "column 512"),
        (np.vstack(micrographs[2:5]), "row 512"),
        (np.hstack([micrographs[0][:, :303], micrographs[1]]), "column 303"),
    ):
        with pytest.raises(Rejected, match=f"it shows several pictures, which meet at {where}"):
            clean_burned_in(finish(picture))


@pytest.mark.slow
def test_shapes_with_straight_edges_are_no_seams(micrographs):
    random = np.random.default_rng(5)
    for number in range(40):
        picture = micrographs[number % 5].copy()
        for x, y, radius, tone in random.integers((60, 60, 8, 0), (450, 450, 90, 256), (5, 4)).tolist():
            if tone % 2:
                cv2.circle(picture, (x, y), radius, tone, -1)
            else:
                cv2.rectangle(picture, (x, y), (x + 2 * radius, y + radius), tone, -1)
        assert find_seam(picture, np.zeros(picture.shape, bool)) == ""
        picture = cv2.resize(paint_tem(np.random.default_rng(number), spots=True), (640, 512))
        assert find_seam(picture, np.zeros(picture.shape, bool)) == ""


@pytest.mark.slow
def test_one_picture_has_no_seam(micrographs, shared):
    boxed: list = []
    for base, width, place in ((0, 3, 150), (1, 3, 100), (2, 2, 200), (3, 5, 60), (4, 1, 180)):
        boxed.append(micrographs[base].copy())
        cv2.rectangle(boxed[-1], (place, place), (place + 200, place + 220), 255 * (width > 2), width)
    noise = np.random.default_rng(0).normal(0, 25, micrographs[1].shape)
    noisy = np.clip(micrographs[1] + noise, 0, 255).astype(np.uint8)
    for picture in (*micrographs, *boxed, noisy):
        clean_burned_in(picture)
    field = tifffile.imread(shared / "data/immunofluorescence/Zeiss-1-Merged-ch0.tif")
    for picture in (field, draw_glomerulus()):
        assert find_seam(picture, np.zeros(picture.shape, bool)) == ""
