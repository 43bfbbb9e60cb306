import numpy as np
import pytest

from nephroscale.slides.readers.jpeg_tiff_reader import JpegTiffReader, agrees_with_openslide
from nephroscale.slides.readers.openslide_reader import OpenslideReader
from nephroscale.slides.readers.registry import choose_reader


def test_pixels_are_those_of_openslide(slide):
    assert choose_reader(slide) == "jpeg_tiff_reader"
    with JpegTiffReader(slide) as fast, OpenslideReader(slide) as slow:
        assert fast.sizes == slow.sizes == ((2048, 1536), (1024, 768), (512, 384))
        assert fast.mpp == pytest.approx(0.25)
        for level, x, y, width, height in [
            (0, 256, 512, 256, 256),
            (0, 100, 37, 700, 300),
            (1, 3, 5, 513, 300),
            (2, -20, 300, 90, 120),
        ]:
            one, other = (reader.read_level(level, x, y, width, height) for reader in (fast, slow))
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.slow
def test_pixels_of_a_real_slide_are_those_of_openslide(shared):
    path = shared / "data/slides/CMU-1-Small-Region.svs"
    assert choose_reader(path) == "jpeg_tiff_reader"
    with JpegTiffReader(path) as fast, OpenslideReader(path) as slow:
        whole = (0, 0, 0, fast.width, fast.height)
        np.testing.assert_array_equal(fast.read_level(*whole)[0], slow.read_level(*whole)[0])
        assert fast.mpp == 0.499


def test_a_slide_with_other_pixels_is_left_to_openslide(slide, monkeypatch):
    import imagecodecs

    decode = imagecodecs.jpeg8_decode
    monkeypatch.setattr("imagecodecs.jpeg8_decode", lambda *a, **k: decode(*a, **k) ^ 1)
    assert not agrees_with_openslide(slide)
    assert choose_reader(slide) == "openslide_reader"
