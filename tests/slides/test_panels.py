"""Pictures side by side in one file are recognised; lines, borders and data strips are none."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.field import open_field
from nephroscale.slides.panels import find_dark_band, find_panels
from nephroscale.slides.readers.registry import open_slide
from nephroscale.tem.clean import clean_burned_in
from support.fluorescence import draw_field, draw_glomerulus, in_colour, with_strip
from support.real_images import require_real_images


def side_by_side(pictures, tone, width):
    band = np.full((len(pictures[0]), width), tone, pictures[0].dtype)
    return np.hstack([part for picture in pictures for part in (band, picture)][1:])


def as_jpeg(picture, quality=85):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("tone", "width"), [(255, 6), (0, 12), (128, 20)])
def test_pictures_beside_each_other_are_recognised(tone, width, count):
    figure = side_by_side([draw_glomerulus(seed=k, centre=(200 + 30 * k, 230)) for k in range(count)], tone, width)
    dim = tone == 0  # JPEG blurs a black band in a dark picture
    for picture in (figure, figure if dim else as_jpeg(figure), figure.astype(np.uint16) * 16):
        assert find_panels(picture).startswith("it shows several pictures: an even band divides it at column 51")
        assert "at row 51" in find_panels(picture.T)


def test_a_figure_of_micrographs_is_refused(root):
    data = require_real_images(root) / "data/tem"
    pictures = [np.asarray(Image.open(data / f"isbi2012_{k}.png").convert("L")) for k in range(4)]
    figure = np.vstack(
        [side_by_side(pictures[:2], 255, 8), np.full((8, 1032), 255, np.uint8), side_by_side(pictures[2:], 255, 8)]
    )
    with pytest.raises(Rejected, match="it shows several pictures"):
        clean_burned_in(figure)
    for picture in pictures:
        assert find_panels(picture) == ""


def test_a_figure_of_fluorescence_is_refused(tmp_path, make_row):
    figure = side_by_side([draw_glomerulus(seed=k) for k in range(2)], 255, 8)
    Image.fromarray(figure).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as reader, pytest.raises(Rejected, match="save each picture as a file"):
        open_field(reader, make_row("IM", marker="IgG"))


def test_one_picture_is_no_figure(root):
    plain = draw_glomerulus()
    clipped = np.maximum(plain, 20) - 20
    crossed, framed = plain.copy(), np.pad(plain, 20, constant_values=255)
    crossed[:, 255:257] = 255
    real = tifffile.imread(require_real_images(root) / "data/immunofluorescence/Zeiss-1-Merged-ch0.tif")
    for picture in (
        plain,
        clipped,
        crossed,
        framed,
        with_strip(plain, 255, 0),
        in_colour(plain, (0, 1, 0))[..., 1],
        real,
    ):
        assert find_panels(picture) == ""


def dark_field(seed):
    pixels = draw_field(seed).pixels[..., 0].astype(float)
    return np.clip(pixels * (255 / np.percentile(pixels, 99.7)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [70, 85, 95])
@pytest.mark.parametrize("hue", [(1, 1, 1), (0, 1, 0)])
def test_a_black_band_in_a_dark_jpeg_is_recognised(quality, hue):
    figure = side_by_side([dark_field(2), dark_field(3)], 0, 12)
    stored = as_jpeg(in_colour(figure, hue), quality).max(axis=-1)
    assert find_dark_band(stored).startswith("it shows several pictures: a black band divides it at column 40")
    assert "at row 40" in find_dark_band(stored.T)


def test_a_figure_with_a_black_band_in_a_jpeg_is_refused(tmp_path, make_row):
    figure = side_by_side([dark_field(2), dark_field(3)], 0, 12)
    Image.fromarray(figure).save(tmp_path / "a.jpg", quality=85)
    with open_slide(tmp_path / "a.jpg") as reader, pytest.raises(Rejected, match="band divides it at column 40"):
        open_field(reader, make_row("IM", marker="IgG"))


@pytest.mark.parametrize("quality", [60, 85])
def test_one_dark_picture_has_no_black_band(root, quality):
    folder = require_real_images(root) / "data/immunofluorescence"
    real = [tifffile.imread(folder / f"Zeiss-1-Merged-ch{k}.tif").astype(float) for k in (0, 1)]
    pictures = [
        np.clip((each - floor) * 255 / each.max(), 0, 255).astype(np.uint8) for each in real for floor in (0, 300)
    ]
    pictures.append(
        np.asarray(Image.open(folder / "Leica-Fluorescence-1_x2500-y2338-600x500.bmp").convert("RGB")).max(-1)
    )
    between = np.hstack([dark_field(4)[:, :180], np.zeros((400, 12), np.uint8), dark_field(4)[:, 180:]])
    ends = np.minimum(1, np.abs(np.arange(between.shape[1]) - 186) / 60) ** 2  # two pieces of tissue beside a gap
    pictures.append((between * ends).astype(np.uint8))
    crossed = pictures[0].copy()
    crossed[:, 600:608] = 0
    for picture in (*pictures, crossed, *map(dark_field, range(3))):
        for dim in (1, 0.4):
            assert find_dark_band(as_jpeg((picture * dim).astype(np.uint8), quality)) == ""
