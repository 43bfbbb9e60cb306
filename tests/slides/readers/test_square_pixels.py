import contextlib

import numpy as np
import pytest

from nephroscale.slides.readers import square_pixels
from nephroscale.slides.readers.base import SlideReader
from nephroscale.slides.readers.square_pixels import SquarePixels

STRETCHES = [(1.0, 1.04), (1.03, 1.0)]


class Picture(SlideReader):
    """A picture in memory, of which a part is missing."""

    vendor, mpp, downsamples, closed = "memory", 0.25, (1.0,), False

    def __init__(self, pixels, missing=None):
        self.pixels, self.missing = pixels, missing
        self.height, self.width, self.channels = pixels.shape
        self.sizes, self.dtype = ((self.width, self.height),), pixels.dtype

    def read_inside(self, level, x, y, width, height):
        where = np.s_[y : y + height, x : x + width]
        return self.pixels[where], None if self.missing is None else ~self.missing[where]

    def close(self):
        self.closed = True


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("most", [10_000, 60])
def test_regions_fit_together(picture, stretch, most, monkeypatch):
    with contextlib.closing(SquarePixels(Picture(picture), stretch)) as square:
        whole, _ = square.read_level(0, 0, 0, square.width, square.height)
        monkeypatch.setattr(square_pixels, "MOST_PX", most)
        assert whole.shape == (square.height, square.width, 3) == (int(300 * stretch[1]), int(400 * stretch[0]), 3)
        for x, y, w, h in [(0, 0, 400, 300), (11, 7, 50, 201), (350, 250, 50, 50), (5, 299, 3, 1)]:
            np.testing.assert_array_equal(square.read_level(0, x, y, w, h)[0], whole[y : y + h, x : x + w])


@pytest.mark.parametrize("stretch", STRETCHES)
def test_places_are_kept(stretch):
    down, across = np.mgrid[:300, :400]
    square = SquarePixels(Picture(np.stack([down, across], 2).astype(np.uint16)), stretch)
    whole, valid = square.read_level(0, 0, 0, square.width, square.height)
    assert valid.all()
    for axis, size in ((0, square.height), (1, square.width)):
        expected = (np.arange(size) + 0.5) / stretch[1 - axis] - 0.5
        inner = np.s_[2:-2]
        found = whole[..., axis].mean(1 - axis)
        assert np.abs(found[inner] - expected[inner]).max() <= 0.52  # 16 bits have no fractions


def test_a_pixel_made_of_missing_ones_is_missing(picture):
    missing = np.zeros(picture.shape[:2], bool)
    missing[100:200] = True
    reader = Picture(picture, missing)
    square = SquarePixels(reader, (1.0, 1.04))
    _, valid = square.read_level(0, 0, 0, square.width, square.height)
    lost = np.flatnonzero(~valid.all(1))
    assert (lost[0], lost[-1]) == (pytest.approx(104, abs=1), pytest.approx(208, abs=1))
    assert not valid[lost].any()
    square.close()
    assert reader.closed
