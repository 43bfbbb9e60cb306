import numpy as np

from nephroscale.slides.readers.base import SlideReader


class Memory(SlideReader):
    """A slide of one level in memory, of which the left column is not scanned."""

    def __init__(self, image):
        self.image, self.vendor = image, "memory"
        self.height, self.width, self.channels = image.shape
        self.sizes, self.downsamples = ((self.width, self.height),), (1.0,)

    def read_inside(self, level, x, y, width, height):
        valid = np.ones((height, width), bool)
        valid[:, : max(0, 1 - x)] = False
        return self.image[y : y + height, x : x + width].copy(), valid

    def close(self):
        self.image = None


def test_pixels_beyond_the_edges_are_zero_and_not_valid():
    image = np.random.default_rng(0).integers(1, 255, (20, 30, 3), np.uint8)
    reader = Memory(image)
    pixels, valid = reader.read_level(0, -4, -3, 40, 30)
    np.testing.assert_array_equal(pixels[3:23, 4:34], image)
    assert valid.sum() == 20 * 29
    assert not pixels[:3].any()
    pixels, valid = reader.read_level(0, 100, 100, 4, 4)
    assert not pixels.any()
    assert not valid.any()


def test_repr_and_context_manager():
    with Memory(np.zeros((20, 30, 3), np.uint8)) as reader:
        assert repr(reader) == "<Memory 30 x 20 px, 1 level, no scale, memory>"
    assert reader.image is None
