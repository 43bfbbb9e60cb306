"""White and black shapes anywhere, outlined letters, and tissue that is saturated itself."""

from functools import cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nephroscale.tem.marks import find_marks
from nephroscale.tem.pure import find_pure_shapes
from nephroscale.tem.read import read_tem
from nephroscale.tem.shapes import dilated

FONTS = Path(mpl.get_data_path()) / "fonts/ttf"
SHAPE = (480, 640)


@cache
def tissue(seed: int) -> np.ndarray:
    """Cytoplasm, dark membranes and noise: uint8 [h, w], to be copied before a change."""
    random = np.random.default_rng(seed)

    def smooth(sigma: float) -> np.ndarray:
        field = cv2.GaussianBlur(random.normal(size=SHAPE).astype(np.float32), (0, 0), sigma)
        return np.asarray(field / field.std())

    membranes = np.exp(-((smooth(14) / 0.12) ** 2))
    picture = 140 + 24 * smooth(20) + 10 * smooth(3) - 55 * membranes + 7 * random.normal(size=SHAPE)
    levels = np.clip(picture, 12, 243).astype(np.uint8)
    levels.flags.writeable = False
    return levels


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def arrow(pen: ImageDraw.ImageDraw, x: int, y: int, tone: int) -> None:
    for end in ((40, -10), (14, -12), (16, 4)):
        pen.line([x, y, x + end[0], y + end[1]], fill=tone, width=3)


def asterisk(pen: ImageDraw.ImageDraw, x: int, y: int, tone: int) -> None:
    pen.text((x, y), "*", fill=tone, font=ImageFont.truetype(FONTS / "DejaVuSans-Bold.ttf", 32))


def letters(pen: ImageDraw.ImageDraw, x: int, y: int, tone: int) -> None:
    pen.text((x, y), "BM", fill=tone, font=ImageFont.truetype(FONTS / "DejaVuSerif-Bold.ttf", 28))


def arrowhead(pen: ImageDraw.ImageDraw, x: int, y: int, tone: int) -> None:
    pen.polygon([(x, y), (x + 20, y + 8), (x + 8, y + 20)], fill=tone)
    pen.polygon([(x + 10, y + 28), (x + 2, y + 58), (x + 11, y + 52), (x + 20, y + 58)], fill=tone)


def outlined(pen: ImageDraw.ImageDraw, x: int, y: int, tone: int) -> None:
    """Letters of the tissue's own level in an outline."""
    font = ImageFont.truetype(FONTS / "DejaVuSans-Bold.ttf", 32)
    pen.text((x, y), "En", fill=140, font=font, stroke_width=2, stroke_fill=tone)


@pytest.mark.slow
@pytest.mark.parametrize("quality", [0, 80, 92])
@pytest.mark.parametrize("tone", [255, 0])
@pytest.mark.parametrize("draw", [arrow, arrowhead, asterisk, letters, outlined])
def test_a_mark_amid_the_tissue_is_found_and_little_else(draw, tone, quality):
    found, lost = [], []
    for seed in range(3):
        picture = tissue(seed)
        random = np.random.default_rng(seed)
        image = Image.fromarray(picture)
        for _ in range(4):
            draw(ImageDraw.Draw(image), int(random.integers(60, 500)), int(random.integers(110, 340)), tone)
        drawn = np.asarray(image)
        truth = drawn != picture
        mask = find_marks(jpeg(drawn, quality) if quality else drawn)
        found.append(mask[truth].mean())
        lost.append((mask & ~dilated(truth, 3)).mean())
    assert np.mean(found) > 0.97
    assert np.mean(lost) < 0.005


def test_a_shape_that_fades_and_a_round_one_are_tissue():
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    line = 130 * np.exp(-(((rows - 240 - 30 * np.sin(columns / 50)) / 4) ** 2))
    faded = np.clip(tissue(0).astype(float) + line, 0, 255).astype(np.uint8)
    assert (faded > 250).sum() > 500
    assert not find_pure_shapes(faded).any()
    vacuole = cv2.circle(tissue(1).copy(), (300, 200), 25, 255, -1)
    assert not find_pure_shapes(vacuole).any()


def test_what_a_wide_outline_encloses_is_tissue():
    picture = tissue(2)
    ringed = cv2.circle(picture.copy(), (300, 200), 60, 255, 3)
    mask = find_marks(ringed)
    assert mask[ringed != picture].mean() > 0.97
    assert not mask[180:220, 280:320].any()


@pytest.mark.slow
@pytest.mark.parametrize("quality", [0, 90, 75])
@pytest.mark.parametrize(("dark", "bright"), [(1, 1), (3, 3), (5, 5), (0, 5), (5, 0)])
def test_of_micrographs_with_clipped_contrast_hardly_anything_is_lost(shared, dark, bright, quality):
    """Exported with some percent of the pixels white or black; without a guard, 5 to 12 % of the tissue were lost."""
    lost = []
    for path in sorted((shared / "data/tem").glob("isbi2012_*.png")):
        grey = read_tem(path).grey
        low, high = np.percentile(grey, [dark, 100 - bright])
        clipped = np.clip((grey - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        lost.append(find_marks(jpeg(clipped, quality) if quality else clipped).mean())
    print(np.round(lost, 4))
    assert np.mean(lost) < 0.005
    assert np.max(lost) < 0.008


@pytest.mark.parametrize("tone", [255, 0])
def test_a_bar_and_large_text_on_clipped_tissue_are_found(shared, tone):
    for path in sorted((shared / "data/tem").glob("isbi2012_*.png"))[:2]:
        grey = read_tem(path).grey
        low, high = np.percentile(grey, [5, 95])
        clipped = np.clip((grey - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        image = Image.fromarray(clipped)
        pen = ImageDraw.Draw(image)
        pen.rectangle([300, 470, 480, 478], fill=tone)
        pen.text((340, 425), "2 um", fill=tone, font=ImageFont.truetype(FONTS / "DejaVuSans.ttf", 36))
        drawn = np.asarray(image)
        truth = drawn != clipped
        mask = find_marks(drawn)
        assert mask[truth].mean() > 0.9
        assert (mask & ~dilated(truth, 3)).mean() < 0.06  # white or black tissue in the line of the text is lost
