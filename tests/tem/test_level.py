"""Grey text, arrows, circles and diagonal lines without a bar beside them, by their one level."""

from functools import cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nephroscale.tem.level import find_one_level
from nephroscale.tem.marks import find_marks
from nephroscale.tem.read import read_tem
from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import dilated
from support.marks import unite

FONTS = Path(mpl.get_data_path()) / "fonts/ttf"


def marked(image: np.ndarray) -> np.ndarray:
    return unite(image.shape, find_one_level(Levels(image)))


@pytest.fixture(scope="module")
def unmarked(shared):
    """Each picture without marks, and what is found on it all the same."""
    return {name: (picture, find_marks(picture)) for name, picture in micrographs(shared).items()}


@cache
def micrographs(shared: Path) -> dict[str, np.ndarray]:
    """The five micrographs without marks, and three parts of the other one that have none."""
    pictures = {path.stem: read_tem(path).grey for path in sorted((shared / "data/tem").glob("isbi2012_*.png"))}
    capillary = read_tem(shared / "data/tem/gbm_snider_A1--0024.jpg").grey
    for y, x in ((300, 300), (1000, 2300), (1500, 1100)):
        pictures[f"capillary at {y}, {x}"] = capillary[y : y + 640, x : x + 720]
    return pictures


def text(pen: ImageDraw.ImageDraw, tone: int) -> None:
    for place, word, name, size in (
        ((40, 60), "Mes", "cmtt10", 30),
        ((300, 210), "TBM 7", "DejaVuSansMono-Bold", 22),
        ((90, 380), "foot", "STIXGeneralBolIta", 46),
    ):
        pen.text(place, word, fill=tone, font=ImageFont.truetype(FONTS / f"{name}.ttf", size))


def arrow(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.line([80, 90, 150, 190], fill=tone, width=3)
    pen.polygon([(80, 90), (84, 112), (98, 102)], fill=tone)
    pen.polygon([(300, 300), (326, 292), (318, 302), (342, 330), (334, 337), (310, 310), (301, 320)], fill=tone)


def circle(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.ellipse([200, 120, 290, 190], outline=tone, width=3)
    pen.ellipse([350, 330, 386, 366], outline=tone, width=2)


def diagonal(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.line([60, 300, 230, 410], fill=tone, width=3)
    pen.line([400, 60, 330, 240], fill=tone, width=4)


def drawn_on(picture: np.ndarray, draw, tone: int) -> tuple[np.ndarray, np.ndarray]:
    image = Image.fromarray(picture)
    draw(ImageDraw.Draw(image), tone)
    drawn = np.asarray(image)
    return drawn, drawn != picture


@pytest.mark.slow
@pytest.mark.parametrize("tone", [210, 150, 90, 48])
@pytest.mark.parametrize(("draw", "least"), [(text, 0.85), (arrow, 0.95), (circle, 0.9), (diagonal, 0.9)])
def test_grey_marks_without_a_bar_are_found_and_little_else(unmarked, draw, least, tone):
    found, lost = [], []
    for name, (picture, without) in unmarked.items():
        drawn, truth = drawn_on(picture, draw, tone)
        mask = find_marks(drawn)
        found.append(mask[truth].mean())
        lost.append((mask & ~without & ~dilated(truth, 3)).mean())
        assert lost[-1] < 0.005, name
    assert np.mean(found) > least


@pytest.mark.parametrize("quality", [0, 90, 60])
def test_nothing_is_found_on_micrographs_without_marks(shared, quality):
    for name, picture in micrographs(shared).items():
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] if quality else None
        image = picture if coded is None else np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
        assert not marked(image).any(), name


@pytest.mark.parametrize(("low", "high"), [(1, 99), (3, 97), (5, 100), (0, 95)])
@pytest.mark.parametrize("inner", [False, True])
def test_tissue_clipped_at_any_level_is_no_mark(shared, low, high, inner):
    for name, picture in micrographs(shared).items():
        bottom, top = np.percentile(picture, [low, high])
        clipped = np.clip((picture - bottom) / (top - bottom), 0, 1) * 255
        image = (0.8 * clipped + 22 if inner else clipped).astype(np.uint8)
        assert marked(image).mean() < 1e-4, name


@pytest.mark.parametrize("quality", [90, 75, 60])
def test_tissue_clipped_before_jpeg_is_no_mark(quality):
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(size=(400, 520)).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), 9)
        tissue = np.clip(125 + 45 * smooth / smooth.std() + 9 * noise, 15, 240).astype(np.uint8)
        coded = cv2.imencode(".jpg", tissue, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
        assert marked(image).mean() < 1e-3, seed


def test_an_image_of_few_levels_has_no_marks_by_their_level(shared):
    for picture in micrographs(shared).values():
        assert not marked(picture // 16 * 16).any()


@pytest.mark.parametrize("shape", [(1, 60), (60, 1), (2, 2), (8, 8)])
def test_tiny_and_blank_images(shape):
    assert not marked(np.full(shape, 90, np.uint8)).any()
    assert not marked(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).any()
