from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tifffile

from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.jpeg_tiff_reader import JpegTiffReader, agrees_with_openslide
from nephroscale.slides.readers.openslide_reader import OpenslideReader
from nephroscale.slides.readers.registry import choose_reader, open_slide


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
    decode = JpegTiffReader._decode
    monkeypatch.setattr(JpegTiffReader, "_decode", lambda *a: decode(*a) ^ 1)
    assert not agrees_with_openslide(slide)
    assert choose_reader(slide) == "openslide_reader"


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
def test_reduced_regions_are_means_of_squares(slide, factor):
    with JpegTiffReader(slide) as reader:
        x, y, width, height = 5, 3, 300 // factor, 500 // factor
        reduced = reader.read_reduced(0, factor, x, y, width, height)
        pixels = reader.read_level(0, x * factor, y * factor, width * factor, height * factor)[0]
        means = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        difference = np.abs(reduced.astype(int) - means)
        assert difference.mean() < 1
        assert difference.max() < 24
        assert reader.read_reduced(0, 3, 0, 0, 10, 10) is None
        assert reader.read_reduced(0, 512, 0, 0, 1, 1) is None, "larger than a tile"


def test_colours_that_are_not_transformed_are_reduced_too(tmp_path, shared):
    """Aperio writes RGB without the marker for it, and the tables of a level once."""
    with JpegTiffReader(shared / "data/slides/CMU-1-Small-Region.svs") as reader:
        reduced = reader.read_reduced(0, 2, 400, 400, 200, 200).astype(int)
        pixels = reader.read_level(0, 800, 800, 400, 400)[0]
    assert np.abs(reduced - cv2.resize(pixels, (200, 200), interpolation=cv2.INTER_AREA)).mean() < 1


def test_a_slide_whose_reduced_pixels_differ_is_left_to_openslide(slide, monkeypatch):
    decode = JpegTiffReader._decode
    monkeypatch.setattr(JpegTiffReader, "_decode", lambda *a: decode(*a) ^ (128 * (a[-1] == 2 and len(a) == 4)))
    assert not agrees_with_openslide(slide)


def test_a_tile_without_its_end_is_unreadable_at_every_scale(tmp_path, slide):
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as tiff:
        start, length = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data[start + length // 2 : start + length] = bytes(length - length // 2)
    path = tmp_path / "slide.tiff"
    path.write_bytes(data)
    with JpegTiffReader(path) as reader:
        with pytest.raises(UnreadableRegion):
            reader.read_level(0, 0, 0, 256, 256)
        with pytest.raises(UnreadableRegion):
            reader.read_reduced(0, 2, 0, 0, 128, 128)


@pytest.mark.parametrize("reader", ["jpeg_tiff_reader", "tifffile_reader", "openslide_reader"])
@pytest.mark.parametrize("other", [bytes(100), bytes(range(1, 201)), b"\x10\xff\x00\xe7" * 9])
def test_a_tile_that_is_damaged_in_its_middle_is_unreadable_at_every_scale(tmp_path, slide, reader, other):
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as tiff:
        start, length = tiff.pages[0].dataoffsets[1], tiff.pages[0].databytecounts[1]
    middle = start + length // 2
    data[middle : middle + len(other)] = other
    path = tmp_path / "slide.tiff"
    path.write_bytes(data)
    with open_slide(path, reader) as opened:
        assert opened.read_level(0, 0, 0, 256, 256)[1].all()
        with pytest.raises(UnreadableRegion, match=r"damaged|Corrupt"):
            opened.read_level(0, 256, 0, 256, 256)
        if reader == "jpeg_tiff_reader":
            with pytest.raises(UnreadableRegion, match="damaged"):
                opened.read_reduced(0, 4, 64, 0, 64, 64)


def test_tiles_are_damaged_by_zeros_and_random_bytes_anywhere(tmp_path):
    """A decoder may make as many blocks of zeros as were there before, and warns of nothing."""
    noise = np.random.default_rng(0).normal(size=(256, 1024, 3)).astype(np.float32)
    texture = np.clip(170 + 900 * cv2.GaussianBlur(noise, (0, 0), 5) + 12 * noise, 0, 255).astype(np.uint8)
    path = tmp_path / "slide.tiff"
    tifffile.imwrite(path, texture, photometric="rgb", compression="jpeg", tile=(256, 256), metadata=None)
    with tifffile.TiffFile(path) as tiff:
        start, length = tiff.pages[0].dataoffsets[1], tiff.pages[0].databytecounts[1]
    whole, random = path.read_bytes(), np.random.default_rng(1)
    for share in np.linspace(0.1, 0.9, 12):
        for other in (bytes(300), random.integers(0, 256, 300, np.uint8).tobytes()):
            middle = start + int(share * length)
            path.write_bytes(whole[:middle] + other + whole[middle + 300 :])
            with JpegTiffReader(path) as reader, pytest.raises(UnreadableRegion, match="damaged"):
                reader.read_level(0, 256, 0, 256, 256)


def test_several_threads_may_read_at_once(slide):
    places = [(x, y) for y in range(0, 1400, 100) for x in range(0, 1800, 150)]

    def read(place):
        return reader.read_level(0, *place, 200, 130)[0]

    with JpegTiffReader(slide) as reader, ThreadPoolExecutor(4) as pool:
        reader._capacity = 4
        for one, other in zip(pool.map(read, places), map(read, places), strict=True):
            np.testing.assert_array_equal(one, other)
