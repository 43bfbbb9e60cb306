import pytest

from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.openslide_reader import OpenslideReader


def test_a_failed_read_leaves_the_slide_readable(shared):
    with OpenslideReader(shared / "data/slides/malformed/unreadable.svs") as slide:
        for _ in range(2):
            with pytest.raises(UnreadableRegion):
                slide.read_level(0, 0, 0, 8, 8)
        assert slide._slide.dimensions == (16, 16)
