"""Small grey text, dashes, stars and thin lines by runs of equal pixels."""

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nephroscale.tem import runs
from nephroscale.tem.marks import find_marks
from nephroscale.tem.read import read_tem
from nephroscale.tem.runs import find_runs
from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import dilated
from support.marks import unite

FONT = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


def tissue(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.normal(size=(420, 520)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 7)
    return np.clip(135 + 35 * smooth / smooth.std() + 8 * noise, 15, 240).astype(np.uint8)


@pytest.fixture(scope="module")
def micrographs(shared) -> list[np.ndarray]:
    """The five micrographs without marks, and parts of the other one that have none."""
    pictures = [read_tem(path).grey for path in sorted((shared / "data/tem").glob("isbi2012_*.png"))]
    capillary = read_tem(shared / "data/tem/gbm_snider_A1--0024.jpg").grey
    parts = [capillary[y : y + 640, x : x + 720] for y, x in ((200, 500), (900, 2400), (1600, 900))]
    return [np.ascontiguousarray(picture) for picture in pictures + parts]


def marked(image: np.ndarray) -> np.ndarray:
    return unite(image.shape, find_runs(Levels(image)))


def words(pen: ImageDraw.ImageDraw) -> None:
    for place, word, size in (((40, 60), "foot process", 13), ((290, 200), "GBM 412 nm", 14), ((80, 350), "EDD", 15)):
        pen.text(place, word, fill=255, font=ImageFont.truetype(FONT, size))


def dashes(pen: ImageDraw.ImageDraw) -> None:
    for number in range(9):
        pen.line([60 + 13 * number, 80 + 6 * number, 67 + 13 * number, 83 + 6 * number], fill=255, width=3)
        pen.line([300, 120 + 14 * number, 300, 128 + 14 * number], fill=255, width=2)


def dashed_circles(pen: ImageDraw.ImageDraw) -> None:
    for x, y, radius in ((90, 100, 24), (370, 280, 36)):
        for start in range(0, 360, 24):
            pen.arc([x - radius, y - radius, x + radius, y + radius], start, start + 14, fill=255, width=3)


def drawn_on(picture: np.ndarray, draw, tone: int) -> tuple[np.ndarray, np.ndarray]:
    sheet = Image.new("L", picture.shape[::-1], 0)
    draw(ImageDraw.Draw(sheet))
    cover = np.asarray(sheet) / 255
    return np.rint(picture * (1 - cover) + tone * cover).astype(np.uint8), cover > 0.5


def contrasting(picture: np.ndarray, tones: tuple[int, int]) -> int:
    """The one of two levels that is farther from the median of a picture."""
    return max(tones, key=lambda tone: abs(tone - float(np.median(picture))))


@pytest.mark.parametrize(("draw", "least"), [(words, 0.6), (dashes, 0.8), (dashed_circles, 0.8)])
def test_thin_grey_marks_are_found_and_little_else(draw, least):
    for seed in range(3):
        picture = tissue(seed)
        drawn, truth = drawn_on(picture, draw, (185, 80)[seed % 2])
        mask = find_marks(drawn)
        assert mask[truth].mean() > least
        assert (mask & ~dilated(truth, 3)).mean() < 0.003


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "least"), [(words, 0.6), (dashes, 0.8), (dashed_circles, 0.8)])
def test_thin_grey_marks_on_micrographs_are_found_and_little_else(micrographs, draw, least):
    found, lost = [], []
    for number, picture in enumerate(micrographs):
        drawn, truth = drawn_on(picture, draw, contrasting(picture, ((170, 90), (175, 95), (180, 100))[number % 3]))
        mask = find_marks(drawn)
        found.append(mask[truth].mean())
        lost.append((mask & ~dilated(truth, 3)).mean())
    print(np.round(found, 2), np.round(lost, 4))
    assert np.mean(found) > least
    assert np.max(lost) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("quality", [0, 90, 75, 60])
def test_nothing_is_found_on_micrographs_without_marks(micrographs, quality):
    for picture in micrographs:
        small = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        large = cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
        stretched = np.clip(1.6 * picture.astype(np.float32) - 70, 0, 255).astype(np.uint8)
        for look in (picture, 255 - picture, small, large, stretched, cv2.medianBlur(picture, 3)):
            if quality:
                coded = cv2.imencode(".jpg", look, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
                look = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)  # noqa: PLW2901
            assert not marked(look).any()


def test_tissue_with_few_levels_or_one_has_no_marks():
    assert not marked(tissue(5) // 8 * 8).any()
    assert not marked(np.full((90, 120), 130, np.uint8)).any()
    assert not marked(np.clip(tissue(6), 60, 170)).any()  # clipped at both ends


def test_marks_of_two_levels_are_found_in_one_image():
    drawn, truth = drawn_on(tissue(3), dashes, 200)
    drawn, other = drawn_on(drawn, dashed_circles, 70)
    mask = marked(drawn)
    assert dilated(mask, 2)[truth].mean() > 0.9
    assert dilated(mask, 2)[other].mean() > 0.8


def test_runs_are_found_in_bands_as_in_the_whole_image(monkeypatch):
    image = np.random.default_rng(0).integers(0, 3, (70, 31), dtype=np.uint8)
    expected = np.zeros(image.shape, bool)
    expected[:, 1:-1] |= (image[:, 1:-1] == image[:, :-2]) & (image[:, 1:-1] == image[:, 2:])
    expected[1:-1] |= (image[1:-1] == image[:-2]) & (image[1:-1] == image[2:])
    for pixels in (93, 31 * 23, 10**6):
        monkeypatch.setattr(runs, "BAND", pixels)
        assert (runs._middles(image) == np.flatnonzero(expected)).all()


@pytest.mark.parametrize("shape", [(1, 60), (60, 1), (3, 3), (4, 17), (33, 16)])
def test_images_of_any_size(shape):
    assert not marked(np.full(shape, 90, np.uint8)).any()
    assert marked(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)).shape == shape
