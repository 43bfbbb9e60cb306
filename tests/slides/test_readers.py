import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import describe
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.jpeg_tiff_reader import JpegTiffReader, agrees_with_openslide
from nephroscale.slides.readers.openslide_reader import OpenslideReader, mpp_of
from nephroscale.slides.readers.registry import READERS, choose_reader, open_slide


def test_the_fast_path_gives_openslides_pixels(slide):
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


def test_the_fast_path_on_a_real_slide(shared):
    path = shared / "data/slides/CMU-1-Small-Region.svs"
    assert choose_reader(path) == "jpeg_tiff_reader"
    with JpegTiffReader(path) as fast, OpenslideReader(path) as slow:
        whole = (0, 0, 0, fast.width, fast.height)
        np.testing.assert_array_equal(fast.read_level(*whole)[0], slow.read_level(*whole)[0])
        assert fast.mpp == 0.499


def test_the_fast_path_is_refused_where_pixels_differ(slide, monkeypatch):
    import imagecodecs

    decode = imagecodecs.jpeg8_decode
    monkeypatch.setattr("imagecodecs.jpeg8_decode", lambda *a, **k: decode(*a, **k) ^ 1)
    assert not agrees_with_openslide(slide)
    assert choose_reader(slide) == "openslide_reader"


@pytest.mark.parametrize("reader", ["jpeg_tiff_reader", "openslide_reader"])
def test_a_damaged_tile_leaves_the_others_readable(damaged, reader):
    with open_slide(damaged, reader) as slide:
        good = slide.read_level(1, 0, 0, 256, 256)[0]
        with pytest.raises(UnreadableRegion):
            slide.read_level(1, 256, 256, 256, 256)
        np.testing.assert_array_equal(slide.read_level(1, 0, 0, 256, 256)[0], good)


def test_a_failed_read_does_not_poison_the_handle(shared):
    with OpenslideReader(shared / "data/slides/malformed/unreadable.svs") as slide:
        for _ in range(2):
            with pytest.raises(UnreadableRegion):
                slide.read_region(0, 0, 8, 8)
        assert slide._slide.dimensions == (16, 16)


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("slides/test3-DAPI-2-(387).ndpi", "openslide_reader"),
        ("slides/gcp-jpeg.dicom", "openslide_reader"),
        ("slides/fixtures/boxes.tiff", "openslide_reader"),
        ("immunofluorescence/Zeiss-1-Merged-ch0.tif", "tifffile_reader"),
        ("immunofluorescence/Leica-Fluorescence-1_x2500-y2338-600x500.bmp", "image_reader"),
        ("kidney_om/vegf_ihc_C1.jpg", "image_reader"),
        ("kidney_om/local1.png", "image_reader"),
    ],
)
def test_real_files_find_their_reader(shared, name, reader):
    path = shared / "data" / name
    assert choose_reader(path) == reader
    with open_slide(path, reader) as slide:
        pixels, valid = slide.read_level(0, slide.width - 8, slide.height - 8, 16, 16)
        assert pixels.shape == (16, 16, slide.channels)
        assert pixels.dtype == slide.dtype
        assert valid[:8, :8].all()
        assert not valid[8:].any()
        assert not valid[:, 8:].any()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("malformed/lfs_pointer_as_a.tiff", "no image format"),
        ("malformed/histolab-broken.svs", "no image format"),
        ("malformed/truncated.svs", "cut short"),
        ("test_orient6.tif", "orientation tag is 6"),
    ],
)
def test_what_cannot_be_opened_says_why(shared, name, reason):
    with pytest.raises(Rejected, match=reason) as rejected:
        choose_reader(shared / "data/slides" / name)
    assert "/" not in rejected.value.reason


def test_sixteen_bits_stay_sixteen_bits_tiled_or_not(tmp_path):
    image = np.arange(300 * 400, dtype=np.uint16).reshape(300, 400)
    for name, options in (("tiled", {"tile": (64, 64), "compression": "zlib"}), ("strips", {"rowsperstrip": 16})):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, image, **options)
        assert choose_reader(path) == "tifffile_reader"
        with open_slide(path, "tifffile_reader") as slide:
            pixels, valid = slide.read_level(0, 390, 290, 20, 20)
            np.testing.assert_array_equal(pixels[:10, :10, 0], image[290:, 390:])
            assert valid.sum() == 100


def test_ome_tiff_gives_scale_names_and_levels(tmp_path):
    path = tmp_path / "a.ome.tif"
    image = np.random.default_rng(0).integers(0, 4000, (2, 256, 320), np.uint16)
    with tifffile.TiffWriter(path, ome=True) as tiff:
        metadata = {
            "axes": "CYX",
            "PhysicalSizeX": 325.0,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.325,
            "Channel": {"Name": ["DAPI", "IgG"]},
        }
        tiff.write(image, tile=(64, 64), subifds=1, metadata=metadata)
        tiff.write(image[:, ::2, ::2], tile=(64, 64), subfiletype=1)
    with open_slide(path, choose_reader(path)) as slide:
        assert slide.mpp == pytest.approx(0.325)
        assert not slide.mpp_is_generic
        assert slide.channel_names == ("DAPI", "IgG")
        assert slide.downsamples == (1.0, 2.0)
        np.testing.assert_array_equal(
            slide.read_level(1, 5, 6, 7, 8)[0], np.moveaxis(image[:, 12:28:2, 10:24:2], 0, -1)
        )


def test_stacks_and_floats_are_rejected(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((4, 64, 64), np.uint16), imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((64, 64), np.float32))
    for name, reason in (("stack", "stack"), ("float", "float32")):
        with pytest.raises(Rejected, match=reason):
            choose_reader(tmp_path / f"{name}.tif")


def test_a_picture_cut_short_is_rejected_not_filled(tmp_path, shared):
    data = (shared / "data/kidney_om/vegf_ihc_C1.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(Rejected, match="cut short"):
        choose_reader(tmp_path / "cut.jpg")


def test_transparent_pixels_are_not_part_of_the_picture(tmp_path):
    rgba = np.full((20, 30, 4), 200, np.uint8)
    rgba[:5, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", "image_reader") as slide:
        pixels, valid = slide.read_level(0, 0, 0, 30, 20)
        assert pixels.shape == (20, 30, 3)
        assert (~valid).sum() == 150


def test_a_turned_picture_is_rejected(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(Rejected, match="orientation"):
        choose_reader(tmp_path / "a.jpg")


def test_pixels_that_are_not_square_have_no_scale():
    assert mpp_of("0.25", "0.25") == 0.25
    assert mpp_of("0.25", "0.5") is None
    assert mpp_of(None, "0.25") is None
    assert mpp_of("-1", "-1") is None


def test_an_unknown_reader_is_an_error(slide):
    with pytest.raises(NephroscaleError, match="no reader"):
        open_slide(slide, "magic")
    assert sorted(READERS) == list(READERS)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_an_image_cut_anywhere_is_rejected_never_an_unexpected_error(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(whole, pixels, tile=(32, 32), compression="zlib")
    else:
        Image.fromarray(pixels).save(whole)
    data, cut = whole.read_bytes(), tmp_path / f"cut.{suffix}"
    # Of a PNG all pixels can be there without its last chunks, and of a JPEG or TIFF without its last bytes.
    for length in np.linspace(0, 0.95 * len(data), 40).astype(int):
        cut.write_bytes(data[:length])
        with pytest.raises(Rejected):
            describe(cut, "OM", {"scale": 0.5, "roi": "whole"})
