"""Fluorescence pictures that abut are recognised; one picture, joined fields and drawn lines are none."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.field import open_field
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.steps import find_step
from support.fluorescence import draw_field
from support.real_images import require_real_images

pytestmark = pytest.mark.slow

NAMES = ("Leica-Fluorescence-1_x2500-y2338-600x500.bmp", "Zeiss-1-Merged-ch0.tif", "Zeiss-1-Merged-ch1.tif")


def as_levels(picture):
    return np.clip(picture / np.percentile(picture, 99.5) * 220, 0, 255).round().astype(np.uint8)


def as_jpeg(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.fixture(scope="module")
def pictures(root):
    data = require_real_images(root) / "data"
    real = []
    for name in NAMES:
        with open_slide(data / "immunofluorescence" / name) as reader:
            # Both pictures of Zeiss are views of a stack: above a black line is a section across it.
            left, top = (30, 90) if "Zeiss" in name else (0, 0)
            real.append(reader.read_level(0, left, top, 480, 480)[0].max(axis=-1))
    with open_slide(data / "slides/test3-DAPI-2-(387).ndpi") as reader:
        real += [
            reader.read_level(level, *place, 480, 480)[0].max(axis=-1)
            for level, place in ((1, (800, 600)), (2, (400, 300)))
        ]
    drawn = [draw_field(seed, side=512).pixels[..., 0] for seed in range(3)]
    return [as_levels(picture.astype(np.float32)[:480, :480]) for picture in (*real, *drawn)]


def abut(one, other, axis):
    return np.concatenate([one[:480, :480], other[:480, :480]], axis=axis)


@pytest.mark.parametrize("quality", [None, 85, 70])
def test_most_pictures_that_abut_are_recognised(pictures, quality):
    found = []
    for k, one in enumerate(pictures):
        for other in pictures[k + 1 :]:
            figure = abut(one, other, 1)
            what = find_step(figure if quality is None else as_jpeg(figure, quality))
            found.append(what.startswith("it shows several pictures, which meet at column 480;"))
    assert len(found) == 28
    assert np.mean(found) >= 0.85  # measured: 28, 27 and 26 of 28


def test_pictures_above_each_other_and_of_16_bits(pictures):
    figure = abut(pictures[-1], pictures[-2], 0)
    assert "meet at row 480" in find_step(figure)
    assert "meet at row 480" in find_step(figure.astype(np.uint16) * 200)


@pytest.mark.parametrize("quality", [None, 90, 75, 50])
def test_one_picture_has_no_step(pictures, quality):
    rng = np.random.default_rng(0)
    for picture in pictures:
        cut = int(picture.shape[1] * rng.uniform(0.3, 0.7))
        joined = picture.astype(np.float32)
        joined[:, cut:] = np.roll(joined, 2, axis=0)[:, cut:] * rng.choice([0.85, 0.92, 1.08, 1.15])
        crossed, barred = picture.copy(), picture.copy()
        crossed[:, cut : cut + 2] = barred[:, cut : cut + 6] = 255
        shaded = picture * np.linspace(0.7, 1, picture.shape[1])
        enlarged = cv2.resize(picture, None, fx=1.5, fy=1.5)
        doubled = np.kron(picture, np.ones((2, 2), np.uint8))
        for one in (picture, joined, crossed, barred, shaded, enlarged, doubled):
            levels = np.clip(one, 0, 255).astype(np.uint8)
            assert find_step(levels if quality is None else as_jpeg(levels, quality)) == ""


def test_small_and_even_pictures_have_none():
    assert find_step(np.zeros((300, 300), np.uint8)) == ""
    assert find_step(np.zeros((100, 300), np.uint8)) == ""


def test_a_figure_is_refused(tmp_path, make_row):
    fields = [draw_field(seed, side=512).pixels[..., 0] for seed in (1, 2)]
    tifffile.imwrite(tmp_path / "a.tif", np.hstack(fields), metadata=None)
    tifffile.imwrite(tmp_path / "b.tif", fields[0], metadata=None)
    row = make_row("IM", marker="IgG")
    with open_slide(tmp_path / "a.tif") as reader, pytest.raises(Rejected, match="which meet at column 512; save each"):
        open_field(reader, row)
    with open_slide(tmp_path / "b.tif") as reader:
        assert open_field(reader, row).marked < 0.01
