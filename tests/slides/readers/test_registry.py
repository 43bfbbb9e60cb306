import importlib.util

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from nephroscale.cohort.image import TableScale
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.readers import registry
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.readers.jpeg_tiff_reader import JpegTiffReader
from nephroscale.slides.readers.openslide_reader import OpenslideReader
from nephroscale.slides.readers.registry import READERS, choose_reader, open_slide


@pytest.mark.parametrize("reader", ["jpeg_tiff_reader", "openslide_reader"])
def test_other_tiles_of_a_damaged_slide_are_readable(damaged, reader):
    with open_slide(damaged, reader) as slide:
        good = slide.read_level(1, 0, 0, 256, 256)[0]
        with pytest.raises(UnreadableRegion):
            slide.read_level(1, 256, 256, 256, 256)
        np.testing.assert_array_equal(slide.read_level(1, 0, 0, 256, 256)[0], good)


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("slides/test3-DAPI-2-(387).ndpi", "openslide_reader"),
        ("slides/gcp-jpeg.dicom", "openslide_reader"),
        ("slides/fixtures/boxes.tiff", "tifffile_reader"),
        ("immunofluorescence/Zeiss-1-Merged-ch0.tif", "tifffile_reader"),
        ("immunofluorescence/Leica-Fluorescence-1_x2500-y2338-600x500.bmp", "image_reader"),
        ("kidney_om/vegf_ihc_C1.jpg", "image_reader"),
        ("kidney_om/local1.png", "image_reader"),
    ],
)
def test_readers_of_real_files(shared, name, reader):
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
        ("malformed/lfs_pointer_as_a.tiff", "a pointer of Git LFS"),
        ("malformed/histolab-broken.svs", "image format is unknown"),
        ("malformed/truncated.svs", "truncated"),
        ("test_orient6.tif", "orientation tag is 6"),
    ],
)
def test_files_that_cannot_be_opened_are_rejected_with_a_reason(shared, name, reason):
    with pytest.raises(Rejected, match=reason) as rejected:
        choose_reader(shared / "data/slides" / name)
    assert "/" not in rejected.value.reason


def test_open_slide_chooses_the_reader_and_has_a_readable_repr(slide):
    with open_slide(slide) as opened:
        assert isinstance(opened, JpegTiffReader)
        assert repr(opened) == "<JpegTiffReader 2048 x 1536 px, 3 levels, 0.25 µm/px, generic-tiff>"
    with open_slide(slide, "openslide_reader") as opened:
        assert isinstance(opened, OpenslideReader)


def test_an_unknown_reader_is_an_error(slide):
    with pytest.raises(NephroscaleError, match="is unknown"):
        open_slide(slide, "magic")
    assert sorted(READERS) == list(READERS)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_an_image_truncated_anywhere_is_rejected(tmp_path, make_row, suffix):
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
            describe_image(cut, make_row("OM", scale=TableScale(0.5, "um"), roi="whole"))


def test_strips_that_are_absent_or_too_large_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), photometric="rgb", rowsperstrip=16, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags["ImageLength"].valueoffset
    data = bytearray(path.read_bytes())
    data[place : place + 2] = (200).to_bytes(2, "little")
    (tmp_path / "b.tif").write_bytes(data)
    with pytest.raises(Rejected, match="fewer tiles or strips than its size needs"):
        choose_reader(tmp_path / "b.tif")
    monkeypatch.setattr(registry, "MOST_SEGMENT_BYTES", 16 * 64 * 3)
    assert choose_reader(path) == "tifffile_reader"
    monkeypatch.setattr(registry, "MOST_SEGMENT_BYTES", 16 * 64 * 3 - 1)
    with pytest.raises(Rejected, match="too large for one tile or strip"):
        choose_reader(path)


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("a.zvi", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a ZVI file of Zeiss"),
        ("a.ims", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("a.vsi", b"II*\0", "a VSI file of Olympus, whose TIFF holds previews alone"),
        ("a.tif", b"II*\0\0\0\0\0\x18\0IS", "a VSI file of Olympus, whose TIFF holds previews alone"),
        ("a.dat", b"II*\0\x40\x9c\0\0\x18\0IS", "a VSI file of Olympus, whose TIFF holds previews alone"),
    ],
)
def test_files_of_microscopes_programs_are_refused_by_name(tmp_path, name, start, kind):
    (tmp_path / name).write_bytes(start + bytes(64))
    with pytest.raises(Rejected, match=f"it is {kind}.*, which is not read; export the picture as OME-TIFF"):
        choose_reader(tmp_path / name)


@pytest.mark.parametrize("tags", [[(65420, 4, 1, 1, True)], [(65420, 3, 1, 7, True), (65421, 11, 1, 20.0, True)]])
def test_a_plain_tiff_with_a_private_tag_of_ndpi_is_read(tmp_path, tags):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=tags)
    with open_slide(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide.read_level(0, 0, 0, 64, 64)[0], pixels)


@pytest.mark.parametrize(("resolution", "mpp"), [(1, None), (0.5, 0.5)])
def test_a_resolution_of_1_in_a_file_of_trestle_is_no_scale(tmp_path, resolution, mpp):
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.full((512, 512, 3), 200, np.uint8),
        tile=(256, 256),
        photometric="rgb",
        compression="jpeg",
        software="MedScan",
        description="Objective Power=20;OverlapsXY= 0 0;",
        resolution=(resolution, resolution),
        metadata=None,
    )
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.vendor, slide.mpp) == ("trestle", mpp)
        assert ("gives 1 as its resolution" in slide.scale_fault) == (mpp is None)


def test_kinds_of_jpeg_2000_are_refused_by_name(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    for content, kind in (
        (imagecodecs.htj2k_encode(pixels), "an HTJ2K file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjph " + bytes(64), "an HTJ2K file"),
        (imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"), "a codestream of JPEG 2000"),
        (imagecodecs.jpeg2k_encode(pixels, codecformat="jp2"), "a JPEG 2000 file"),
    ):
        (tmp_path / "a.jp2").write_bytes(content)
        with pytest.raises(Rejected, match=f"it is {kind}.*, which is not read; export the picture as OME-TIFF"):
            choose_reader(tmp_path / "a.jp2")


@pytest.mark.parametrize(("syntax", "codec"), [(b"201", "HTJ2K"), (b"203", "HTJ2K"), (b"110", "JPEG XL")])
def test_new_codecs_of_dicom_are_refused_by_name(shared, tmp_path, syntax, codec):
    slide = pydicom.dcmread(shared / "data/slides/gcp-jpeg.dicom")
    slide.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"  # pydicom writes none of those of JPEG XL
    slide.save_as(tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes().replace(b"1.2.4.201", b"1.2.4." + syntax)
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(Rejected, match=f"its pixels are stored as {codec}, which is not read; convert them"):
        open_slide(tmp_path / "a.dcm", "openslide_reader")


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("a.lif", b"p\0\0\0\x0e\0\0\0*", "a LIF file of Leica"),
        ("a.czi", b"ZISRAWFILE", "a CZI file of Zeiss"),
        ("a.nd2", b"\xda\xce\xbe\n", "an ND2 file of Nikon"),
        ("a.oib", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"an OIB file of Olympus \(or another compound file\)"),
    ],
)
def test_files_that_need_the_extra_are_refused_without_it(tmp_path, monkeypatch, name, start, kind):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    (tmp_path / name).write_bytes(start + bytes(64))
    for page in (None, 2):
        with pytest.raises(Rejected, match=f"it is {kind}, which is read only with the extra `im-formats` .*OME-TIFF"):
            choose_reader(tmp_path / name, page)


def test_a_file_with_one_picture_has_no_second(tmp_path):
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "a.png")
    assert choose_reader(tmp_path / "a.png", 1) == "image_reader"
    with pytest.raises(Rejected, match="no picture #2, but one"):
        choose_reader(tmp_path / "a.png", 2)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"GIF89a", "a GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP"),
        (b"\0\0\0\x18ftypheic", "a HEIC"),
        (b"\xff\x0a", "a JPEG XL file"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\3\4", "a ZIP archive"),
        (b'<?xml version="1.0"?><svg xmlns="">', "an SVG"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"P6 2 2 255\n", "a Netpbm picture"),
        (bytes(128) + b"DICM", "a DICOM file of another kind than a whole slide"),
    ],
)
def test_a_foreign_format_is_refused_by_name_whatever_the_file_is_called(tmp_path, start, kind):
    (tmp_path / "a.tif").write_bytes(start + bytes(300))
    with pytest.raises(Rejected, match=f"it is {kind}.*(, which is not read|; )"):
        choose_reader(tmp_path / "a.tif")


@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_a_compression_without_decoder_and_a_preview_of_a_larger_picture_are_refused(tmp_path, tile):
    picture, path = np.zeros((64, 96, 3), np.uint8), tmp_path / "a.tif"
    tifffile.imwrite(path, picture, photometric="rgb", tile=tile, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags["Compression"].valueoffset
    data = bytearray(path.read_bytes())
    data[place : place + 2] = (34661).to_bytes(2, "little")
    (tmp_path / "b.tif").write_bytes(data)
    with pytest.raises(Rejected, match=r"its compression \(JBIG, number 34661\) is not read"):
        choose_reader(tmp_path / "b.tif")
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture[::2, ::2], photometric="rgb", tile=tile, subifds=1, metadata=None)
        tiff.write(picture, photometric="rgb", tile=tile, metadata=None)
    with pytest.raises(Rejected, match=r"a preview \(48 x 32 pixels\) of a picture below it \(96 x 64, a SubIFD\)"):
        choose_reader(path)


def test_a_sample_whose_kind_is_not_specified_is_opacity_for_each_reader(tmp_path):
    rgba = np.full((64, 96, 4), 200, np.uint8)
    rgba[:20, :, 3] = 0
    for tile in (None, (32, 32)):
        options = {"photometric": "rgb", "extrasamples": ["unspecified"], "tile": tile}
        tifffile.imwrite(tmp_path / "a.tif", rgba, metadata=None, **options)
        with open_slide(tmp_path / "a.tif") as slide:
            pixels, valid = slide.read_level(0, 0, 0, 96, 64)
        np.testing.assert_array_equal(valid, rgba[..., 3] > 0)
        assert (pixels == 200).all()


@pytest.mark.parametrize(("header", "tiles"), [("RGB", "YCBCR"), ("YCBCR", "RGB"), ("RGB", "RGB"), ("YCBCR", "YCBCR")])
def test_jpeg_tiles_of_other_colours_than_their_header_states_are_refused(tmp_path, picture, header, tiles):
    part = np.ascontiguousarray(picture[400:656, 600:856])
    options = {"level": 92, "colorspace": "RGB", "subsampling": "444"}
    tile = imagecodecs.jpeg8_encode(part, outcolorspace=tiles, **options)
    path = tmp_path / "a.tif"
    options = {"photometric": "rgb", "compression": "jpeg", "tile": (256, 256), "metadata": None}
    tifffile.imwrite(path, iter([tile]), shape=part.shape, dtype=np.uint8, **options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags["PhotometricInterpretation"].overwrite({"RGB": 2, "YCBCR": 6}[header])
    if header == tiles:
        with open_slide(path) as slide:
            assert np.abs(slide.read_level(0, 0, 0, 256, 256)[0].astype(int) - part).mean() < 4
    else:
        with pytest.raises(
            Rejected,
            match=f"its header states the colours {'RGB' if header == 'RGB' else 'YCbCr'}, but its JPEG tiles are",
        ):
            choose_reader(path)
