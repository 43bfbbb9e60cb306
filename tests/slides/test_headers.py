"""Headers of raw images: what they state, without a decoded pixel."""

import os

import cv2
import numpy as np
import pytest
import tifffile

from nephroscale.cohort.image import ImageRow, TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.headers import Header, describe_header, describe_headers, read_header

ROW = ImageRow("I1", "P1", "OM", stain="PAS", scale=TableScale(0.4, "um"))


@pytest.fixture
def slide(tmp_path):
    """A tiled RGB TIFF of 0.5 µm per pixel by its resolution tag."""
    pixels = np.full((256, 320, 3), 240, np.uint8)
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, pixels, tile=(128, 128), photometric="rgb", resolution=(20000, 20000), resolutionunit=3)
    return path


def test_a_header_states_what_the_whole_image_does(slide):
    assert read_header(slide) == Header("tiff", 320, 256, 0.5, mpp_is_generic=True)
    facts = describe_header(slide, ROW)
    full = describe_image(slide, ROW)
    assert (facts.width, facts.height, facts.scale, facts.other_scales) == (
        full.width,
        full.height,
        full.scale,
        full.other_scales,
    )


def test_no_pixel_of_a_png_is_decoded(tmp_path):
    path = tmp_path / "field.png"
    cv2.imwrite(str(path), np.zeros((64, 80, 3), np.uint8))
    os.truncate(path, 60)  # the header is whole, the pixels are not
    assert read_header(path) == Header("picture", 80, 64)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"II*\0 and no more", b"nothing", b""])
def test_a_damaged_header_is_a_rejection(tmp_path, content):
    path = tmp_path / "bad.tif"
    path.write_bytes(content)
    with pytest.raises(Rejected, match="cannot be opened"):
        read_header(path)
    assert describe_header(path, ROW).status == "rejected"


def test_many_headers_keep_their_names(slide, tmp_path):
    found = describe_headers({"a": (slide, ROW), "b": (tmp_path / "absent.tif", ROW), "c": (tmp_path, ROW)})
    assert found["a"].mpp == 0.4  # that of the table
    assert "The file does not exist" in found["b"].reason
    assert "no DICOM file" in found["c"].reason


def test_a_tiny_image_is_rejected(tmp_path):
    path = tmp_path / "tiny.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    assert "only 8 x 8 pixels" in describe_header(path, ROW).reason
