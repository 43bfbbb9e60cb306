from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nephroscale.tem.clean import clean_burned_in
from nephroscale.tem.marks import find_marks, find_picture, find_strips
from nephroscale.tem.read import read_tem


def tissue(height: int = 400, width: int = 520, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 9)
    picture = 125 + 45 * smooth / smooth.std() + 9 * noise
    return np.clip(picture, 15, 240).astype(np.uint8)


def draw(picture: np.ndarray, tone: int) -> tuple[np.ndarray, np.ndarray]:
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    pen.rectangle([360, 375, 480, 380], fill=tone)
    pen.text((390, 345), "2 um", fill=tone, font=ImageFont.load_default(20))
    drawn = np.asarray(image)
    return drawn, np.abs(drawn.astype(int) - picture) > 60


@pytest.mark.parametrize("seed", range(4))
def test_tissue_alone_is_left_as_it_is(seed: int) -> None:
    picture = tissue(seed=seed)
    cleaned = clean_burned_in(picture)
    assert not cleaned.mask.any()
    assert np.array_equal(cleaned.image, picture)


@pytest.mark.parametrize("tone", [255, 0])
def test_a_scale_bar_and_its_label_are_inpainted(tone: int) -> None:
    picture = tissue()
    drawn, truth = draw(picture, tone)
    cleaned = clean_burned_in(drawn)
    assert cleaned.mask[truth].all()
    assert cleaned.mask.sum() < 4 * truth.sum()
    assert cleaned.image.shape == picture.shape
    untouched = ~cleaned.mask
    assert np.array_equal(cleaned.image[untouched], picture[untouched])
    assert np.abs(cleaned.image[truth].astype(int) - picture[truth]).mean() < 60


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize(("ground", "ink"), [(0, 255), (255, 0), (90, 255)])
def test_a_data_strip_is_cut_off(ground: int, ink: int, top: bool) -> None:
    image = Image.fromarray(tissue())
    start = 0 if top else 360
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, start, 520, start + 39], fill=ground)
    pen.text((8, start + 8), "HV 80 kV   x11500   P001   2 um", fill=ink, font=ImageFont.load_default(20))
    pen.rectangle([420, start + 20, 500, start + 24], fill=ink)
    drawn = np.asarray(image)
    first, last = find_strips(drawn)
    assert (first, last)[0 if top else 1] == pytest.approx(40 if top else 360, abs=4)
    cleaned = clean_burned_in(drawn)
    assert cleaned.top == first
    assert cleaned.mask[start : start + 40].all()
    assert not cleaned.inner_mask.any()


def strip_of(kind: str, height: int) -> np.ndarray:
    grounds = {
        "black": np.zeros((height, 520)),
        "white": np.full((height, 520), 255),
        "down": np.repeat(np.linspace(20, 200, height)[:, None], 520, axis=1),
        "across": np.repeat(np.linspace(10, 200, 520)[None], height, axis=0),
    }
    image = Image.fromarray(grounds[kind].astype(np.uint8))
    ink = 0 if kind == "white" else 255
    ImageDraw.Draw(image).text((8, height - 26), "HV 80 kV  x11500  P001", fill=ink, font=ImageFont.load_default(18))
    return np.asarray(image)


@pytest.mark.parametrize("quality", [None, 75])
@pytest.mark.parametrize("frame", [0, 3, 8, 12])
@pytest.mark.parametrize("kinds", ["black", "white", "down", "across", "black white", "white black"])
def test_a_strip_is_cut_off_inside_a_frame_and_under_another(kinds: str, frame: int, quality: int | None) -> None:
    drawn = np.pad(np.vstack([tissue(), *(strip_of(kind, 32) for kind in kinds.split())]), frame, constant_values=255)
    if quality:
        drawn = cv2.imdecode(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
    rows, columns = find_picture(drawn)
    assert rows.stop == pytest.approx(frame + 400, abs=4)
    assert (rows.start, columns.start, columns.stop) == pytest.approx((frame, frame, frame + 520), abs=frame + 1)
    assert clean_burned_in(drawn).mask[frame + 400 :].all()


@pytest.mark.parametrize("quality", [None, 60])
def test_a_frame_without_a_strip_and_an_even_border_are_not_cut(quality: int | None) -> None:
    faded = tissue().astype(np.float32)
    faded[-60:] = 128 + (faded[-60:] - 128) * np.linspace(1, 0.05, 60)[:, None]  # empty resin
    for picture in (np.pad(tissue(), 8, constant_values=255), faded.astype(np.uint8)):
        if quality:
            code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            picture = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)  # noqa: PLW2901
        rows, columns = find_picture(picture)
        assert (rows.stop - rows.start) >= picture.shape[0] - 20
        assert columns.stop - columns.start >= 516


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("ground", [0, 90, 205])
def test_a_strip_at_a_side_is_cut_off_and_places_count_from_the_raw_image(ground: int, right: bool) -> None:
    picture = tissue()
    strip = np.full((400, 48), ground, np.uint8)
    strip[20:40, 8:36] = 255 - ground
    cleaned = clean_burned_in(np.hstack([picture, strip] if right else [strip, picture]))
    first = 0 if right else 48
    assert cleaned.left == pytest.approx(first, abs=4)
    assert cleaned.image.shape[1] == pytest.approx(520, abs=4)
    assert cleaned.mask[:, 520:].all() if right else cleaned.mask[:, :48].all()
    assert not cleaned.inner_mask.any()
    start = cleaned.left - first
    assert np.array_equal(cleaned.image, picture[:, start : start + cleaned.image.shape[1]])


def test_a_bright_lumen_at_the_border_is_no_strip() -> None:
    picture = tissue()
    rows, columns = np.mgrid[:400, :520]
    picture[(rows > 330 + 30 * np.sin(columns / 40))] = 235
    assert find_strips(picture) == (0, 400)


def test_an_opaque_label_is_found_and_a_round_vacuole_is_not() -> None:
    image = Image.fromarray(tissue())
    pen = ImageDraw.Draw(image)
    pen.ellipse([100, 100, 160, 150], fill=255)
    pen.rectangle([200, 340, 420, 370], fill=252)
    pen.text((205, 343), "Name: A1--0024", fill=0, font=ImageFont.load_default(20))
    mask = find_marks(np.asarray(image))
    assert mask[340:371, 200:421].all()
    assert not mask[90:160, 90:170].any()


COLOURS = {
    "yellow": (255, 255, 0),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "brown": (120, 60, 20),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


def annotated(colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A micrograph with a bar, text and arrows in one colour, and which pixels these are."""
    grey = np.dstack([tissue(700, 900, seed=5)] * 3)
    image = grey.copy()
    cv2.rectangle(image, (60, 640), (300, 648), colour, -1)
    cv2.putText(image, "2 um", (340, 648), cv2.FONT_HERSHEY_SIMPLEX, 1.2, colour, 3, cv2.LINE_AA)
    cv2.putText(image, "EDD", (400, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.2, colour, 3, cv2.LINE_AA)
    for x in (150, 500):
        cv2.arrowedLine(image, (x, 330), (x + 70, 400), colour, 6, tipLength=0.4)
    return image, (image != grey).any(axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("colour", COLOURS)
def test_marks_anywhere_and_in_any_colour_are_removed(tmp_path: Path, colour: str, suffix: str) -> None:
    image, truth = annotated(COLOURS[colour])
    Image.fromarray(image).save(tmp_path / f"a.{suffix}", quality=90)
    picture = read_tem(tmp_path / f"a.{suffix}")
    mask = clean_burned_in(picture.grey, picture.drawn).mask
    assert mask[truth].mean() > (0.95 if colour in {"white", "black"} else 0.999)
    near = cv2.dilate(truth.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert mask[~near].mean() < 0.005


def test_a_grey_mark_is_found_by_its_evenness() -> None:
    image, truth = annotated((128, 128, 128))  # the mean level of the tissue
    mask = clean_burned_in(image[..., 0]).mask
    assert mask[truth].mean() > 0.9


@pytest.mark.slow
def test_marks_on_a_tinted_print(tmp_path: Path) -> None:
    image, truth = annotated((255, 0, 0))
    tint = np.clip(image * np.array([1.0, 0.85, 0.65]) + [20, 10, 0], 0, 255).astype(np.uint8)
    tint[truth] = (220, 30, 40)
    Image.fromarray(tint).save(tmp_path / "a.png")
    picture = read_tem(tmp_path / "a.png")
    assert picture.drawn[truth].mean() > 0.999
    assert picture.drawn[~truth].mean() < 0.01


@pytest.mark.parametrize("quality", [95, 90, 75])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize(("colour", "width"), [("yellow", 1), ("red", 1), ("cyan", 2), ("blue", 5)])
def test_a_coloured_frame_in_jpeg_costs_little_tissue_and_leaves_no_trace(
    tmp_path: Path, colour: str, width: int, subsampling: str, quality: int
) -> None:
    grey = np.dstack([tissue(512, 512, seed=7)] * 3)
    image = cv2.rectangle(grey.copy(), (20, 22), (487, 493), COLOURS[colour], width)
    pictures = []
    for pixels in (image, grey):
        Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
        pictures.append(read_tem(tmp_path / "a.jpg"))
    cleaned = clean_burned_in(pictures[0].grey, pictures[0].drawn, network=False)
    truth = (image != grey).any(axis=-1).astype(np.uint8)
    assert cleaned.mask[truth > 0].mean() > 0.999
    assert cleaned.mask[cv2.dilate(truth, np.ones((7, 7), np.uint8)) == 0].mean() < 0.005
    beside = (cv2.dilate(truth, np.ones((17, 17), np.uint8)) > 0) & ~cleaned.mask
    away = np.abs(cleaned.image.astype(int) - pictures[1].grey)
    assert away[beside].mean() < 3
    assert np.abs(cleaned.image[truth > 0].mean() - grey[truth > 0].mean()) < 10  # levels of tissue, not of the frame


@pytest.mark.slow
def test_the_real_label_is_found_and_real_tissue_is_not(shared: Path) -> None:
    image = read_tem(shared / "data/tem/gbm_snider_A1--0024.jpg").grey
    mask = clean_burned_in(image).mask
    assert mask[2391:2405, 45:655].all()  # scale bar
    assert mask[2340:2400, 1010:1575].all()  # name
    assert mask[2335:2395, 2435:3530].all()  # magnification
    assert not mask[:2290].any()
    for path in sorted((shared / "data/tem").glob("isbi2012_*.png")):
        assert not clean_burned_in(read_tem(path).grey).mask.any()
