"""Grey text, arrows and signs in JPEG, by an even core with a sharp edge."""

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nephroscale.tem.marks import find_marks
from nephroscale.tem.read import read_tem
from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import dilated
from nephroscale.tem.sharp import find_sharp_shapes
from support.marks import unite

FONTS = Path(mpl.get_data_path()) / "fonts/ttf"


def marked(image: np.ndarray) -> np.ndarray:
    return unite(image.shape, find_sharp_shapes(Levels(image)))


@pytest.fixture(scope="module")
def micrographs(shared) -> list[np.ndarray]:
    """The five micrographs without marks, mirrored, and parts of the other one that have none."""
    pictures = [read_tem(path).grey[:, ::-1] for path in sorted((shared / "data/tem").glob("isbi2012_*.png"))]
    capillary = read_tem(shared / "data/tem/gbm_snider_A1--0024.jpg").grey
    parts = [capillary[y : y + 640, x : x + 720] for y, x in ((200, 500), (900, 2400), (1600, 900))]
    return [np.ascontiguousarray(picture) for picture in pictures + parts]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def text(pen: ImageDraw.ImageDraw, tone: int) -> None:
    for place, word, name, size in (((60, 60), "Pod 3", "DejaVuSans-Bold", 40), ((90, 330), "US", "cmb10", 56)):
        pen.text(place, word, fill=tone, font=ImageFont.truetype(FONTS / f"{name}.ttf", size))


def arrow(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.polygon([(80, 90), (98, 152), (108, 136), (142, 176), (152, 166), (118, 128), (134, 120)], fill=tone)
    pen.polygon([(300, 300), (326, 292), (318, 302), (342, 330), (334, 337), (310, 310), (301, 320)], fill=tone)


def sign(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.ellipse([200, 120, 290, 190], outline=tone, width=6)
    pen.polygon([(400, 60), (440, 74), (400, 88)], fill=tone)
    pen.line([60, 300, 180, 410], fill=tone, width=7)


def drawn_on(picture: np.ndarray, draw, tone: int) -> tuple[np.ndarray, np.ndarray]:
    image = Image.fromarray(picture)
    draw(ImageDraw.Draw(image), tone)
    drawn = np.asarray(image)
    return drawn, drawn != picture


@pytest.mark.slow
@pytest.mark.parametrize("quality", [95, 88])
@pytest.mark.parametrize(("draw", "least"), [(text, 0.65), (arrow, 0.85), (sign, 0.5)])
def test_grey_marks_in_jpeg_are_found_and_little_else(micrographs, draw, least, quality):
    found, lost = [], []
    for number, picture in enumerate(micrographs):
        tone = (222, 60, 200, 40)[number % 4]
        drawn, truth = drawn_on(picture, draw, tone)
        mask = find_marks(jpeg(drawn, quality))
        found.append(mask[truth].mean())
        unmarked = find_marks(jpeg(picture, quality))
        lost.append((mask & ~dilated(truth, 3) & ~unmarked).mean())
    print(np.round(found, 2), np.round(lost, 4))
    assert np.mean(found) > least
    assert np.max(lost) < 0.005


@pytest.mark.parametrize(("number", "tone", "ink", "quality"), [(5, 200, 40, 90), (7, 128, 255, 75), (6, 200, 40, 90)])
def test_an_opaque_label_of_the_level_of_tissue_beside_it_ends_at_its_border(micrographs, number, tone, ink, quality):
    picture = micrographs[number]
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    x, y = (200, 220) if number == 6 else (300, 400)
    pen.rectangle([x, y, x + 150, y + 60], fill=tone)
    pen.text((x + 14, y + 12), "Glom 3", fill=ink, font=ImageFont.truetype(FONTS / "DejaVuSans-Bold.ttf", 32))
    label = np.zeros(picture.shape, bool)
    label[y : y + 61, x : x + 151] = True
    mask = find_marks(jpeg(np.asarray(image), quality))
    assert mask[label].mean() > 0.95
    assert (mask & ~dilated(label, 3) & ~find_marks(jpeg(picture, quality))).mean() < 0.003


@pytest.mark.slow
@pytest.mark.parametrize("quality", [0, 92, 75, 60])
def test_nothing_is_found_on_micrographs_without_marks(micrographs, quality):
    for picture in micrographs:
        for look in (picture, 255 - picture, cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)):
            assert not marked(jpeg(look, quality) if quality else look).any()


def test_a_shape_that_fades_is_tissue():
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:300, :400]
    band = 80 * np.exp(-(((rows - 150 - 20 * np.sin(columns / 30)) / 5) ** 2))
    picture = np.clip(100 + band + random.normal(0, 2, band.shape), 0, 255).astype(np.uint8)
    assert not marked(picture).any()
    drawn = cv2.line(picture.copy(), (60, 60), (180, 100), 220, 6)
    assert marked(jpeg(drawn, 90))[drawn != picture].mean() > 0.6
