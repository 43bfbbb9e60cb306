import cv2
import numpy as np
import pytest
import tifffile

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.same_levels import find_other_picture
from slides.conftest import halve, write_slide


@pytest.mark.parametrize(
    "change",
    [
        lambda level: level[:, ::-1],
        lambda level: 255 - level,
        lambda level: np.roll(level, (40, 60), (0, 1)),
        lambda level: np.full_like(level, 240),
    ],
    ids=["mirrored", "inverted", "displaced", "empty"],
)
def test_a_level_that_shows_another_picture_is_refused(picture, tmp_path, make_row, change):
    second = halve(picture)
    path = write_slide(tmp_path / "a.tiff", [picture, np.ascontiguousarray(change(second)), halve(second)])
    with pytest.raises(Rejected, match="its level of 1024 x 768 pixels shows another picture"):
        describe_image(path, make_row("OM"))


@pytest.mark.parametrize(
    "change",
    [
        lambda level: level,
        lambda level: np.roll(level, (2, 3), (0, 1)),
        lambda level: (255 * np.sqrt(level / 255)).astype(np.uint8),
        lambda level: cv2.GaussianBlur(level, (0, 0), 1.5),
    ],
    ids=["mean", "displaced a little", "brighter", "blurred"],
)
def test_levels_made_in_another_way_are_levels(picture, tmp_path, change):
    second = halve(picture)
    path = write_slide(tmp_path / "a.tiff", [picture, np.ascontiguousarray(change(second)), halve(second)])
    with open_slide(path) as slide:
        assert find_other_picture(slide) == ""


@pytest.mark.slow
def test_levels_that_take_one_pixel_of_four_are_levels(picture, tmp_path):
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    path = write_slide(tmp_path / "a.tiff", [noisy, noisy[::4, ::4].copy()])
    with open_slide(path) as slide:
        assert find_other_picture(slide) == ""


def test_a_slide_without_structure_is_not_judged(tmp_path):
    path = write_slide(
        tmp_path / "a.tiff", [np.full((512, 512, 3), 230, np.uint8), np.full((256, 256, 3), 240, np.uint8)]
    )
    with open_slide(path) as slide:
        assert find_other_picture(slide) == ""


@pytest.mark.slow
def test_levels_of_a_real_slide(shared):
    with open_slide(shared / "data/slides" / "test3-DAPI-2-(387).ndpi") as slide:
        assert len(slide.sizes) == 7
        assert find_other_picture(slide) == ""


@pytest.mark.parametrize("step", [2, 4])
def test_a_dark_slide_of_noise_alone_is_not_judged(tmp_path, step):
    """As of a negative marker; single pixels of noise do not stand for their surroundings."""
    noise = np.clip(np.random.default_rng(0).normal(100, 25, (1024, 1024)), 0, 900).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        tiff.write(noise, subifds=1, tile=(256, 256), metadata={"axes": "YX"})
        tiff.write(noise[::step, ::step], subfiletype=1, tile=(256, 256))
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert len(slide.sizes) == 2
        assert find_other_picture(slide) == ""
