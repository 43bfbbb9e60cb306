import io

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from nephroscale.slides.readers.base import UnreadableSlide
from nephroscale.slides.readers.openslide_reader import OpenslideReader

COLOUR = (200, 120, 160)


@pytest.fixture
def slide(shared):
    """A small DICOM slide with one JPEG frame."""
    return pydicom.dcmread(shared / "data/slides/fixtures/boxes_0.dcm")


def write(slide, path, stated, *, rgb, mark=True):
    """Make the slide one of one colour; its frame is RGB or YCbCr, and has or lacks the marker that states this."""
    stream = io.BytesIO()
    picture = Image.fromarray(np.full((64, 64, 3), COLOUR, np.uint8))
    picture.save(stream, "JPEG", quality=95, keep_rgb=rgb, subsampling=0)
    frame = stream.getvalue()
    if not mark:
        length = int.from_bytes(frame[4:6], "big")
        frame = frame[:2] + frame[4 + length :]
    slide.PhotometricInterpretation = stated
    slide.PixelData = encapsulate([frame])
    slide["PixelData"].is_undefined_length = True
    slide.save_as(path)
    return path


@pytest.mark.parametrize(("stated", "rgb"), [("RGB", True), ("YBR_FULL_422", False)])
@pytest.mark.parametrize("mark", [True, False])
def test_frames_of_the_stated_colours_are_read(slide, tmp_path, stated, rgb, mark):
    reader = OpenslideReader(write(slide, tmp_path / "slide.dcm", stated, rgb=rgb, mark=mark))
    pixels, _ = reader.read_inside(0, 0, 0, 8, 8)
    assert np.abs(pixels.astype(int) - COLOUR).max() <= 3


@pytest.mark.parametrize(("stated", "rgb", "named"), [("RGB", False, "YCbCr"), ("YBR_FULL_422", True, "RGB")])
def test_frames_of_other_colours_are_refused(slide, tmp_path, stated, rgb, named):
    path = write(slide, tmp_path / "slide.dcm", stated, rgb=rgb)
    with pytest.raises(UnreadableSlide, match=f"states the colours {stated}, but its JPEG frames are {named}; correct"):
        OpenslideReader(path)


def test_another_file_of_the_series_counts_too(slide, tmp_path):
    write(slide, tmp_path / "slide-0001.dcm", "RGB", rgb=False)
    with pytest.raises(UnreadableSlide, match="but its JPEG frames are YCbCr"):
        OpenslideReader(write(slide, tmp_path / "slide.dcm", "RGB", rgb=True))


def write_jpeg_2000(slide, path, stated, *, transformed, components="RGB"):
    """Make the slide one of one colour, in JPEG 2000."""
    picture = np.full((64, 64, 3), COLOUR, np.uint8)
    if components == "YCbCr":
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    frame = imagecodecs.jpeg2k_encode(
        np.ascontiguousarray(picture), level=45, reversible=False, mct=transformed, codecformat="j2k"
    )
    slide.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.91")
    slide.PhotometricInterpretation = stated
    slide.PixelData = encapsulate([frame])
    slide["PixelData"].is_undefined_length = True
    slide.save_as(path)
    return path


@pytest.mark.parametrize(("stated", "transformed"), [("YBR_ICT", True), ("RGB", False), ("RGB", True)])
def test_jpeg_2000_is_read_where_its_header_is_right(slide, tmp_path, stated, transformed):
    reader = OpenslideReader(write_jpeg_2000(slide, tmp_path / "slide.dcm", stated, transformed=transformed))
    pixels, _ = reader.read_inside(0, 0, 0, 8, 8)
    assert np.abs(pixels.astype(int) - COLOUR).max() <= 4


@pytest.mark.parametrize("components", ["RGB", "YCbCr"])
def test_jpeg_2000_without_the_transform_of_its_header_is_refused(slide, tmp_path, components):
    path = write_jpeg_2000(slide, tmp_path / "slide.dcm", "YBR_ICT", transformed=False, components=components)
    with pytest.raises(UnreadableSlide, match="YBR_ICT, but its JPEG 2000 frames have no such transform; correct"):
        OpenslideReader(path)
