"""Grey text, thin and dashed lines, and half-transparent marks, by the network."""

import importlib.util
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from nephroscale.tem.clean import clean_burned_in
from nephroscale.tem.marks import find_marks
from nephroscale.tem.network import (
    WEIGHTS,
    compute_logits,
    compute_some_logits,
    find_drawn,
    inputs_of,
    load_layers,
    load_screen_layers,
    screen_blocks,
    screen_inputs_of,
)
from nephroscale.tem.read import read_tem
from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import dilated
from nephroscale_demo.tem import MicrographPlan, generate_micrograph

FONT = Path(mpl.get_data_path()) / "fonts/ttf/cmti10.ttf"
PROGRAM = Path(__file__).resolve().parents[2] / "resources/grey_marks/network.py"


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("grey_marks_network", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def micrographs(shared) -> dict[str, np.ndarray]:
    """The five micrographs without marks, turned, and parts of the other one that have none."""
    pictures = {
        path.stem: np.rot90(read_tem(path).grey) for path in sorted((shared / "data/tem").glob("isbi2012_*.png"))
    }
    capillary = read_tem(shared / "data/tem/gbm_snider_A1--0024.jpg").grey
    pictures |= {f"capillary at {y}, {x}": capillary[y : y + 640, x : x + 720] for y, x in ((120, 2700), (1500, 2500))}
    return {name: np.ascontiguousarray(picture) for name, picture in pictures.items()}


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    if not quality:
        return image
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def test_numpy_computes_what_the_trained_network_does(program):
    torch.manual_seed(0)
    network = program.MarkNet()
    for _ in range(3):
        network(torch.randn(2, 2, 64, 64))  # the normalisation has to differ from none
    network.eval()
    layers = {name: value.numpy() for name, value in program.merged(network).items()}
    image = np.random.default_rng(0).integers(0, 256, (88, 120), dtype=np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(inputs_of(image))[None])[0, 0].numpy()
    assert np.abs(compute_logits(image, layers) - expected).max() < 1e-4 * np.abs(expected).max()


def test_weights_fit_the_network(program):
    expected = {name: tuple(value.shape) for name, value in program.merged(program.MarkNet()).items()}
    assert {name: value.shape for name, value in load_layers().items()} == expected
    assert WEIGHTS.stat().st_size < 200_000


def test_numpy_computes_what_the_trained_screening_network_does(program):
    torch.manual_seed(1)
    network = program.ScreenNet()
    for _ in range(3):
        network(torch.randn(2, 16, 16, 16))
    network.eval()
    layers = {name: value.numpy() for name, value in program.merged(network).items()}
    image = np.random.default_rng(4).integers(0, 256, (88, 120), dtype=np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(screen_inputs_of(image))[None])[0, 0].numpy()
    assert np.abs(screen_blocks(image, layers) - expected).max() < 1e-4 * np.abs(expected).max()
    assert {name: value.shape for name, value in load_screen_layers().items()} == {
        name: value.shape for name, value in layers.items()
    }


@pytest.mark.parametrize("quality", [0, 75])
def test_marks_are_seen_where_only_parts_of_an_image_are_looked_at(quality):
    random = np.random.default_rng(7)
    coarse = cv2.resize(random.normal(0, 1, (22, 30)), (1200, 900), interpolation=cv2.INTER_CUBIC)
    tissue = np.clip(140 + 25 * coarse + random.normal(0, 10, (900, 1200)), 0, 255).astype(np.uint8)
    drawn, truth = drawn_on(tissue, large_text, 235, 1)
    picture = jpeg(drawn, quality)
    whole, some = compute_logits(picture, load_layers()), compute_some_logits(picture, load_layers())
    looked = some > -np.inf
    assert looked.mean() < 0.1  # so the rest was left out
    assert (whole[truth] > 0).mean() > 0.8
    assert ((some > 0) & truth).sum() >= 0.99 * ((whole > 0) & truth).sum()
    assert np.abs(some - whole)[looked].max() < 0.05


def test_bands_give_what_the_whole_image_gives(monkeypatch):
    image = np.random.default_rng(1).integers(60, 200, (300, 83), dtype=np.uint8)
    whole = compute_logits(image, load_layers())
    monkeypatch.setattr("nephroscale.tem.network.BAND", 64 * 88)
    assert np.abs(compute_logits(image, load_layers()) - whole).max() < 1e-3


@pytest.mark.parametrize("shape", [(1, 60), (60, 1), (2, 2), (9, 17), (2050, 3)])
def test_images_of_any_size_and_without_content(shape):
    assert not find_drawn(Levels(np.full(shape, 90, np.uint8))).any()
    assert find_drawn(Levels(np.arange(np.prod(shape)).astype(np.uint8).reshape(shape))).shape == shape


def small_text(pen: ImageDraw.ImageDraw, ink: int) -> None:
    for place, word, size in (((40, 50), "foot proc.", 15), ((300, 210), "112 nm", 14), ((90, 380), "EDD", 18)):
        pen.text(place, word, fill=ink, font=ImageFont.truetype(FONT, size))


def large_text(pen: ImageDraw.ImageDraw, ink: int) -> None:
    for place, word, size in (((60, 50), "Pod", 42), ((250, 300), "GBM", 34)):
        pen.text(place, word, fill=ink, font=ImageFont.truetype(FONT, size))


def words(pen: ImageDraw.ImageDraw, ink: int) -> None:
    font = FONT.with_name("DejaVuSans.ttf")
    for place, word, size in (((40, 60), "foot process", 13), ((290, 200), "GBM 412 nm", 14), ((80, 350), "EDD", 15)):
        pen.text(place, word, fill=ink, font=ImageFont.truetype(font, size))


def thin_lines(pen: ImageDraw.ImageDraw, ink: int) -> None:
    pen.line([50, 60, 190, 130], fill=ink, width=2)
    pen.line([300, 220, 400, 190], fill=ink, width=2)
    pen.ellipse([90, 330, 150, 380], outline=ink, width=2)


def drawn_on(picture: np.ndarray, draw, tone: int, opacity: float) -> tuple[np.ndarray, np.ndarray]:
    sheet = Image.new("L", picture.shape[::-1], 0)
    draw(ImageDraw.Draw(sheet), 255)
    cover = np.asarray(sheet) / 255
    drawn = np.rint(picture * (1 - opacity * cover) + tone * opacity * cover).astype(np.uint8)
    return drawn, cover > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("quality", [0, 88, 75])
@pytest.mark.parametrize(
    ("draw", "opacity", "least"),
    [(small_text, 1, 0.3), (large_text, 1, 0.65), (thin_lines, 1, 0.3)],
)
def test_grey_marks_are_found_and_little_else(micrographs, draw, opacity, least, quality):
    found, lost = [], []
    for number, picture in enumerate(micrographs.values()):
        drawn, truth = drawn_on(picture, draw, (225, 45, 205, 20)[number % 4], opacity)
        mask = find_marks(jpeg(drawn, quality))
        found.append(mask[truth].mean())
        lost.append((mask & ~dilated(truth, 3)).mean())
    print(np.round(found, 2), np.round(lost, 4))
    assert np.mean(found) > least
    assert np.max(lost) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("quality", [88, 75])
def test_small_grey_words_in_jpeg_are_found_and_little_else(micrographs, quality):
    found, lost = [], []
    for number, picture in enumerate(micrographs.values()):
        tone = max(((170, 90), (175, 95), (180, 100))[number % 3], key=lambda tone: abs(tone - np.median(picture)))
        drawn, truth = drawn_on(picture, words, tone, 1)
        mask = find_marks(jpeg(drawn, quality))
        found.append(mask[truth].mean())
        lost.append((mask & ~dilated(truth, 3)).mean())
    print(np.round(found, 2), np.round(lost, 4))
    assert np.mean(found) > 0.48
    assert np.max(lost) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("quality", [0, 90, 60])
def test_nothing_is_found_on_micrographs_without_marks(micrographs, quality):
    for name, picture in micrographs.items():
        for look in (picture, 255 - picture, cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)):
            assert not find_drawn(Levels(jpeg(look, quality))).any(), name


@pytest.mark.slow
@pytest.mark.parametrize("view", ["loop", "mesangium"])
def test_nothing_is_found_on_synthetic_micrographs_without_marks(view):
    plan = MicrographPlan("unmarked", 77, 700, 500, 3.0, view, subepithelial=2, subendothelial=0.7, style="strip")
    picture = np.ascontiguousarray(generate_micrograph(plan).picture[:500])
    for quality in (0, 75):
        assert find_drawn(Levels(jpeg(picture, quality))).mean() < 1e-3


def test_discs_and_rectangles_of_tissue_are_no_marks():
    random = np.random.default_rng(3)
    sheet = np.full((400, 520), 150, np.uint8)
    for x, y, radius, tone in ((90, 90, 40, 70), (250, 120, 25, 220), (420, 300, 60, 100), (120, 300, 12, 60)):
        cv2.circle(sheet, (x, y), radius, tone, -1)
    cv2.rectangle(sheet, (220, 240), (320, 350), 90, -1)
    blurred = cv2.GaussianBlur(sheet, (0, 0), 1.5)
    picture = np.clip(blurred + random.normal(0, 8, sheet.shape), 0, 255).astype(np.uint8)
    for quality in (0, 75):
        assert find_drawn(Levels(jpeg(picture, quality))).mean() < 1e-3


def test_the_network_can_be_left_out(micrographs):
    picture = next(iter(micrographs.values()))
    drawn, truth = drawn_on(picture, thin_lines, 225, 1)
    image = jpeg(drawn, 75)
    assert clean_burned_in(image).mask[truth].mean() > clean_burned_in(image, network=False).mask[truth].mean() + 0.3
