"""Lines, bars, boxes and frames of any grey level, and what is filled in for those that go round the whole picture."""

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nephroscale.tem.fill import fill_marks
from nephroscale.tem.lines import draw_lines, find_lines
from nephroscale.tem.marks import find_marks
from nephroscale.tem.read import read_tem
from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import dilated
from support.marks import unite

FONTS = Path(mpl.get_data_path()) / "fonts/ttf"


def marked(image: np.ndarray) -> np.ndarray:
    return unite(image.shape, draw_lines(image, find_lines(Levels(image))))


def tissue(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.normal(size=(360, 440)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 9)
    return np.clip(135 + 30 * smooth / smooth.std() + 8 * noise, 15, 240).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    if not quality:
        return image
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def bar(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.rectangle([250, 320, 380, 323], fill=tone)
    pen.rectangle([40, 60, 45, 190], fill=tone)


def box(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.rectangle([120, 90, 240, 190], outline=tone, width=2)


def frame(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.rectangle([11, 11, 428, 348], outline=tone, width=2)


def border(pen: ImageDraw.ImageDraw, tone: int) -> None:
    pen.rectangle([0, 0, 439, 359], outline=tone, width=5)


@pytest.mark.parametrize("quality", [0, 85])
@pytest.mark.parametrize("tone", [255, 200, 135, 60, 0])
@pytest.mark.parametrize("draw", [bar, box, frame, border])
def test_lines_of_any_grey_are_found_and_little_else(draw, tone, quality):
    found, lost = [], []
    for seed in range(2):
        picture = tissue(seed)
        image = Image.fromarray(picture)
        draw(ImageDraw.Draw(image), tone)
        truth = np.asarray(image) != picture
        mask = find_marks(jpeg(np.asarray(image), quality))
        found.append(mask[truth].mean())
        lost.append((mask & ~dilated(truth, 3)).mean())
    assert np.mean(found) > 0.9
    assert np.mean(lost) < 0.005


@pytest.mark.parametrize(("tone", "quality"), [(200, 0), (200, 90), (60, 0), (60, 90)])
def test_ticks_and_most_of_the_text_at_a_grey_bar_are_found(tone, quality):
    picture = tissue(5)
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    pen.line([250, 320, 380, 320], fill=tone, width=3)
    for end in (250, 380):
        pen.line([end, 312, end, 328], fill=tone, width=2)
    pen.text((280, 280), "500 nm", fill=tone, font=ImageFont.truetype(FONTS / "DejaVuSans-Bold.ttf", 20))
    truth = np.asarray(image) != picture
    mask = find_marks(jpeg(np.asarray(image), quality))
    assert mask[truth].mean() > 0.75  # dark letters merge with dark tissue
    assert (mask & ~dilated(truth, 3)).mean() < 0.005


@pytest.mark.parametrize("quality", [0, 90, 75])
def test_edges_of_tissue_are_no_lines(shared, quality):
    for path in sorted((shared / "data/tem").glob("isbi2012_*.png")):
        assert not marked(jpeg(read_tem(path).grey, quality)).any()


def test_straight_edges_that_fade_and_even_gaps_are_no_lines():
    picture = tissue(3).astype(float)
    rows = np.arange(360)[:, None]
    picture -= 70 * np.exp(-(((rows - 180) / 5) ** 2))  # a level membrane with the noise of tissue
    gap = np.clip(picture, 0, 255).astype(np.uint8)
    gap[40:100] = 225  # a lumen that is wider than a line
    assert not marked(gap).any()


def test_a_frame_is_filled_with_tissue_as_rough_as_the_rest():
    picture = tissue(4)
    image = Image.fromarray(picture)
    frame(ImageDraw.Draw(image), 255)
    drawn = np.asarray(image)
    mask = dilated(drawn != picture, 2)
    filled = fill_marks(drawn, mask)

    def roughness(of: np.ndarray) -> float:
        fine = of.astype(np.float32) - cv2.GaussianBlur(of.astype(np.float32), (0, 0), 2)
        return float(fine[mask].std())

    assert np.array_equal(filled[~mask], drawn[~mask])
    assert roughness(filled) == pytest.approx(roughness(picture), rel=0.15)
