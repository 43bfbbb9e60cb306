import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion
from nephroscale.slides.slide_view import SlideView, snap_to_level


class Memory(SlideReader):
    """Levels held as arrays; a rectangle of level 0 may be unreadable."""

    def __init__(self, image, levels=1, bad=None):
        self._images = [image]
        for _ in range(levels - 1):
            last = self._images[-1].astype(np.float64)
            height, width = last.shape[0] // 2 * 2, last.shape[1] // 2 * 2
            self._images.append(
                last[:height, :width]
                .reshape(height // 2, 2, width // 2, 2, -1)
                .mean((1, 3))
                .round()
                .astype(image.dtype)
            )
        self.sizes = tuple((i.shape[1], i.shape[0]) for i in self._images)
        self.width, self.height = self.sizes[0]
        self.downsamples = tuple(2.0**n for n in range(levels))
        self.channels, self.dtype, self.rgb, self.vendor, self.bad = (
            image.shape[2],
            image.dtype,
            image.shape[2] == 3,
            "memory",
            bad,
        )

    def read_inside(self, level, x, y, width, height):
        if self.bad and level == 0:
            x0, y0, x1, y1 = self.bad
            if x < x1 and x + width > x0 and y < y1 and y + height > y0:
                raise UnreadableRegion("bad")
        return self._images[level][y : y + height, x : x + width].copy(), None

    def close(self):
        pass


IMAGE = np.random.default_rng(0).integers(0, 255, (203, 317, 3), np.uint8)


@settings(max_examples=40, deadline=None)
@example(8.0, 10, 0, 30, 1, 1)  # the last square reaches past the edge by less than half
@given(
    st.floats(1, 9), st.integers(0, 60), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30), st.integers(1, 3)
)
def test_regions_fit_together_without_seams(scale, x, y, width, height, levels):  # noqa: PLR0917
    view = SlideView(Memory(IMAGE, levels), scale)
    whole, valid = view.read(0, 0, view.width, view.height)
    assert valid.all()
    part, known = view.read(x, y, width, height)
    inside = np.s_[: max(0, min(height, view.height - y)), : max(0, min(width, view.width - x))]
    np.testing.assert_array_equal(
        part[inside], whole[y : y + height, x : x + width][: part[inside].shape[0], : part[inside].shape[1]]
    )
    assert known.sum() == part[inside].shape[0] * part[inside].shape[1]


@given(st.floats(1, 40))
def test_a_view_is_never_larger_than_the_slide(scale):
    view = SlideView(Memory(IMAGE), scale)
    assert view.width == max(1, int(view._grid[0] / view.rest + 1e-6))
    assert view.width * scale <= 317 * (1 + 1e-6) or view.width == 1


def test_whole_factors_are_means_of_squares():
    pixels, _ = SlideView(Memory(IMAGE), 4).read(3, 2, 20, 10)
    expected = IMAGE[8:48, 12:92].astype(float).reshape(10, 4, 20, 4, 3).mean((1, 3))
    assert np.abs(pixels - expected).max() <= 0.51


def test_a_ramp_stays_a_ramp_at_any_scale():
    ramp = np.broadcast_to(np.arange(0, 60000, 100, dtype=np.uint16)[None, :, None], (64, 600, 1)).copy()
    for scale in (1.0, 1.37, 2.0, 3.1, 5.7):
        view = SlideView(Memory(ramp), scale)
        pixels, _ = view.read(0, 0, view.width, 4)
        centres = ((np.arange(view.width) + 0.5) * scale - 0.5) * 100
        middle = np.s_[4:-4]
        assert np.abs(pixels[0, middle, 0] - centres[middle]).max() < 12, scale


def test_unreadable_parts_are_narrowed_down():
    view = SlideView(Memory(np.full((1024, 1024, 3), 9, np.uint8), bad=(500, 500, 510, 510)), 4.0)
    overview = view.overview()
    assert overview.unreadable[126, 126]
    assert 0 < overview.unreadable.mean() < 0.1
    assert (overview.valid ^ overview.unreadable).all()
    assert (overview.pixels[overview.valid] == 9).all()


def test_a_scale_within_five_percent_snaps_to_the_level():
    reader = Memory(IMAGE, 3)
    assert snap_to_level(reader, 2.05) == 2.0
    assert snap_to_level(reader, 1.97) == 2.0
    assert snap_to_level(reader, 2.2) == 2.2


def test_one_channel_of_many():
    view = SlideView(Memory(IMAGE), 2.5, prepare=lambda pixels: pixels[..., 1:2].copy())
    whole, _ = SlideView(Memory(IMAGE), 2.5).read(0, 0, 40, 30)
    np.testing.assert_array_equal(view.read(0, 0, 40, 30)[0][..., 0], whole[..., 1])
    assert view.overview().pixels.shape[-1] == 1


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["jpeg_tiff_reader", "openslide_reader"])
def test_on_a_slide_file(slide, picture, reader):
    from nephroscale.slides.readers.registry import open_slide

    with open_slide(slide, reader) as opened:
        view = SlideView(opened, 2.0)
        assert view.level == 1
        pixels, _ = view.read(300, 300, 200, 200)
        raw = picture[600:1000, 600:1000].astype(float).reshape(200, 2, 200, 2, 3).mean((1, 3))
        assert np.abs(pixels - raw).mean() < 4  # JPEG at quality 90
