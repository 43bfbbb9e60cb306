import json

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.cohort.image import TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.field import Field, named_channel, open_field
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.tile_reader import open_tiles
from nephroscale.slides.tiles import tile_slide
from support.fluorescence import draw_glomerulus, in_colour, with_strip, write_over
from support.real_images import require_real_images

GREEN, WHITE = (0, 1, 0), (255, 255, 255)


def tile(path, picture, row, settings, out):
    """Stored intensities at their places in the picture, and qc.json."""
    tifffile.imwrite(path, picture) if path.suffix == ".tif" else Image.fromarray(picture).save(path, quality=90)
    tile_slide(path, describe_image(path, row), row, settings, None, out)
    tiles, stored = open_tiles(out), np.zeros(picture.shape[:2], np.uint16)
    level = tiles.read(0, 0, 0, *tiles.shape(0)[1:])[0]
    x, y = (int(place) for place in tiles.origin)
    stored[y : y + level.shape[0], x : x + level.shape[1]] = level
    return stored, json.loads((out / "qc.json").read_text())


@pytest.fixture(scope="module")
def unmarked():
    """The stored intensities of pictures without marks, which several cases compare with."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("more", [{"roi": "whole"}, {"scale": TableScale(0.5, "um")}])
@pytest.mark.parametrize(
    "drawn",
    [
        (".png", GREEN, WHITE),
        (".png", GREEN, (255, 0, 0)),
        (".png", GREEN, (0, 255, 0)),
        (".jpg", GREEN, (255, 255, 0)),
        (".png", (1, 1, 1), WHITE),
        (".png", None, 255),
        (".jpg", None, 255),
    ],
)
def test_a_bar_burned_in_changes_no_intensity(tmp_path, im_settings, make_row, *, unmarked, drawn, more):
    suffix, hue, tone = drawn
    plain = draw_glomerulus() if hue is None else in_colour(draw_glomerulus(), hue)
    row = make_row("IM", marker="IgG", **more)
    key = (suffix, hue, *more)
    if key not in unmarked:
        unmarked[key], _ = tile(tmp_path / f"a{suffix}", plain, row, im_settings, tmp_path / "a")
    without = unmarked[key]
    marked, quality = tile(tmp_path / f"b{suffix}", write_over(plain, tone), row, im_settings, tmp_path / "b")
    glomerulus = np.s_[100:340, 110:350]
    assert marked[glomerulus].mean() == pytest.approx(without[glomerulus].mean(), rel=0.01)
    assert marked[430:].max() < 0.3 * np.percentile(without[glomerulus], 99)
    assert 0.005 < quality["marked_share"] < 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("tone", "ink"), [(255, 0), (0, 255)])
def test_a_data_strip_is_no_part_of_the_picture(tmp_path, im_settings, make_row, tone, ink):
    plain, row = in_colour(draw_glomerulus(), GREEN), make_row("IM", marker="IgG", roi="whole")
    without, _ = tile(tmp_path / "a.png", plain, row, im_settings, tmp_path / "a")
    covered, _ = tile(tmp_path / "b.png", with_strip(plain, tone, ink), row, im_settings, tmp_path / "b")
    assert covered[:470].mean() == pytest.approx(without[:470].mean(), rel=0.02)
    assert covered[473:].max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("coloured", [True, False])
def test_a_bar_on_real_fluorescence(root, tmp_path, im_settings, make_row, coloured):
    counts = tifffile.imread(require_real_images(root) / "data/immunofluorescence/Zeiss-1-Merged-ch1.tif")
    plain = in_colour(np.minimum(counts // 64, 255), GREEN) if coloured else counts.astype(np.uint16)
    suffix, tone, row = ".png" if coloured else ".tif", WHITE if coloured else 65535, make_row("IM", roi="whole")
    without, _ = tile(tmp_path / f"a{suffix}", plain, row, im_settings, tmp_path / "a")
    marked, _ = tile(tmp_path / f"b{suffix}", write_over(plain, tone), row, im_settings, tmp_path / "b")
    assert marked[:1000].mean() == pytest.approx(without[:1000].mean(), rel=0.01)


@pytest.mark.slow
def test_a_real_merge_is_refused_unless_a_channel_is_named(root, make_row):
    path = require_real_images(root) / "data/immunofluorescence/Leica-Fluorescence-1_x2500-y2338-600x500.bmp"
    with open_slide(path) as reader:
        with pytest.raises(Rejected, match="merge of several channels"):
            open_field(reader, make_row("IM", marker="IgG"))
        field = open_field(reader, make_row("IM", marker="IgG", channel="Green"))
        assert isinstance(field, Field)
        assert field.channel == 1
        pixels, _ = reader.read_level(0, 0, 0, 600, 500)
        np.testing.assert_array_equal(field.read_level(0, 0, 0, 600, 500)[0][..., 0], pixels[..., 1])


def test_channels_by_name_and_number(tmp_path, make_row):
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        np.zeros((2, 64, 64), np.uint16),
        metadata={"axes": "CYX", "Channel": {"Name": ["IgG4", "Anti-IgG"]}},
    )
    with open_slide(tmp_path / "a.ome.tif") as reader:
        assert named_channel(reader, make_row("IM", marker="IgG")) == 1
        assert named_channel(reader, make_row("IM", marker="IgG", channel="igg4")) == 0
        assert named_channel(reader, make_row("IM", marker="C3", channel="2")) == 1
        with pytest.raises(Rejected, match="2 channels, and not exactly one is named after the marker"):
            named_channel(reader, make_row("IM", marker="C3"))
        with pytest.raises(Rejected, match=r"no channel '3' among 2 \(1 IgG4, 2 Anti-IgG\); give the number"):
            named_channel(reader, make_row("IM", marker="C3", channel="3"))


def test_a_slide_with_levels_is_read_as_it_is(slide, make_row):
    with open_slide(slide) as reader:
        assert open_field(reader, make_row("IM", marker="IgG")) is reader


@pytest.mark.slow
def test_filled_marks_have_the_texture_beside_them(tmp_path, make_row):
    plain = in_colour(draw_glomerulus(), GREEN)
    marked = write_over(plain, WHITE)
    Image.fromarray(marked).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as reader:
        filled, valid = open_field(reader, make_row("IM")).read_level(0, 0, 0, 512, 512)
    changed = cv2.erode((marked != plain).any(axis=-1).astype(np.uint8), np.ones((3, 3))) > 0
    assert valid.all()
    rough = filled[..., 0].astype(float)[changed].std()
    assert rough == pytest.approx(plain[450:, :200, 1].std(), rel=0.35)


@pytest.mark.parametrize("quality", [70, 85])
@pytest.mark.parametrize("colour", [(0, 1, 0), (1, 0, 0), (0, 0, 1)], ids=["green", "red", "blue"])
def test_text_in_the_dyes_colour_is_removed_from_a_jpeg(tmp_path, make_row, colour, quality):
    grey = draw_glomerulus()
    grey = np.clip(grey * (200 / grey.max()), 0, 255).astype(np.uint8)
    text = np.zeros_like(grey)
    cv2.putText(text, "IgG 40x", (15, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 2, cv2.LINE_AA)
    text[492:498, 20:120] = 255
    path, read = tmp_path / "a.jpg", []
    for picture in (grey, np.maximum(grey, text)):
        Image.fromarray(in_colour(picture, colour)).save(path, quality=quality)
        with open_slide(path) as slide:
            read.append(open_field(slide, make_row("IM", marker="IgG")).read_level(0, 0, 0, 512, 512)[0][..., 0])
    left = read[1].astype(int) - read[0]
    assert (left[text > 128] > 60).mean() < 0.05
    assert (np.abs(left[text == 0]) > 20).mean() < 0.002
