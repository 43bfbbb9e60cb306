import pytest

from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.openslide_reader import OpenslideReader, mpp_of


def test_a_failed_read_leaves_the_slide_readable(shared):
    with OpenslideReader(shared / "data/slides/malformed/unreadable.svs") as slide:
        for _ in range(2):
            with pytest.raises(UnreadableRegion):
                slide.read_level(0, 0, 0, 8, 8)
        assert slide._slide.dimensions == (16, 16)


def test_pixels_that_are_not_square_have_no_scale():
    assert mpp_of("0.25", "0.25") == 0.25
    assert mpp_of("0.25", "0.5") is None
    assert mpp_of(None, "0.25") is None
    assert mpp_of("-1", "-1") is None
