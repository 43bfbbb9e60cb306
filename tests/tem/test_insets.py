"""Framed insets at another magnification, which are masked, and frames round a place of the tissue, which are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from nephroscale.tem.insets import find_insets
from nephroscale.tem.lines import find_lines
from nephroscale.tem.marks import find_marks
from nephroscale.tem.read import read_tem
from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import Window

CORNERS = ("top left", "bottom right", "at the border")


def tissue(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.normal(size=(460, 560)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 7)
    return np.clip(135 + 35 * smooth / smooth.std() + 8 * noise, 15, 240).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    if not quality:
        return image
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def place(shape: tuple[int, ...], corner: str, side: int) -> Window:
    height, width = shape
    y, x = {
        "top left": (20, 24),
        "bottom right": (height - side - 9, width - side - 9),
        "at the border": (0, width - side),
    }[corner]
    return np.s_[y : y + side, x : x + side]


def framed(picture: np.ndarray, at: Window, content: np.ndarray, tone: int, thick: int) -> np.ndarray:
    image = picture.copy()
    image[at] = content
    y, x = at[0].start, at[1].start
    cv2.rectangle(image, (x, y), (at[1].stop - 1, at[0].stop - 1), tone, 1)
    for inner in range(1, thick):
        cv2.rectangle(image, (x + inner, y + inner), (at[1].stop - 1 - inner, at[0].stop - 1 - inner), tone, 1)
    return image


def insets(image: np.ndarray) -> list[Window]:
    return list(find_insets(image, *find_lines(Levels(image))))


def magnified(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(
        picture[200 : 200 + side // 3, 150 : 150 + side // 3], (side, side), interpolation=cv2.INTER_CUBIC
    )


@pytest.mark.parametrize("quality", [0, 90])
@pytest.mark.parametrize("tone", [255, 0, 210])
@pytest.mark.parametrize("corner", CORNERS)
def test_a_framed_inset_is_masked_and_little_else(corner, tone, quality):
    picture = tissue(1)
    at = place(picture.shape, corner, 130)
    image = jpeg(framed(picture, at, magnified(picture, 130), tone, 3), quality)
    truth = np.zeros(image.shape, bool)
    truth[at] = True
    mask = find_marks(image)
    assert mask[truth].all()
    far = cv2.dilate(truth.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
    assert (mask & far).mean() < 0.005


@pytest.mark.parametrize("tone", [255, 210])
def test_an_inset_from_another_picture_at_the_same_magnification_is_found(tone):
    picture = tissue(2)
    at = place(picture.shape, "top left", 180)
    assert insets(framed(picture, at, tissue(3)[100:280, 60:240], tone, 2))


@pytest.mark.parametrize("quality", [0, 90])
@pytest.mark.parametrize("tone", [255, 0, 210])
@pytest.mark.parametrize("seed", range(4))
def test_a_frame_round_a_place_of_the_tissue_is_no_inset(seed, tone, quality):
    picture = tissue(seed)
    for corner in CORNERS:
        for side in (60, 130):
            at = place(picture.shape, corner, side)
            assert not insets(jpeg(framed(picture, at, picture[at], tone, 2), quality)), (corner, side)


@pytest.mark.slow
def test_insets_on_micrographs(shared: Path):
    for number in range(5):
        picture = read_tem(shared / f"data/tem/isbi2012_{number}.png").grey
        for corner in CORNERS:
            at = place(picture.shape, corner, 150)
            assert not insets(framed(picture, at, picture[at], 255, 2)), (number, corner)
            image = framed(picture, at, magnified(picture, 150), 255, 2)
            assert find_marks(image)[at].all(), (number, corner)


@pytest.mark.parametrize("shape", [(8, 60), (60, 8), (50, 50), (200, 300)])
def test_images_without_insets(shape):
    assert not insets(np.full(shape, 90, np.uint8))
    assert not insets(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
