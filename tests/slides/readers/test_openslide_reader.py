import cv2
import numpy as np
import pydicom
import pytest
import tifffile

from nephroscale.slides.readers.base import UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.openslide_reader import OpenslideReader


def test_a_failed_read_leaves_the_slide_readable(shared):
    with OpenslideReader(shared / "data/slides/malformed/unreadable.svs") as slide:
        for _ in range(2):
            with pytest.raises(UnreadableRegion):
                slide.read_level(0, 0, 0, 8, 8)
        assert slide._slide.dimensions == (16, 16)


def test_a_reduced_page_of_another_shape_is_no_level(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (512, 768, 3)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for number, (height, width) in enumerate(((512, 768), (300, 768), (128, 192))):
            options = {"photometric": "rgb", "tile": (64, 64), "metadata": None, "subfiletype": int(number > 0)}
            tiff.write(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), **options)
    with OpenslideReader(tmp_path / "a.tif") as slide:
        assert slide.sizes == ((768, 512), (192, 128))
        small, valid = slide.read_level(1, 0, 0, 192, 128)
        assert valid.all()
        np.testing.assert_array_equal(small, cv2.resize(picture, (192, 128), interpolation=cv2.INTER_AREA))


def test_without_a_spacing_dicom_has_the_scale_of_the_imaged_volume(shared, tmp_path):
    slide = pydicom.dcmread(shared / "data/slides/gcp-jpeg.dicom")
    measures = slide.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    spacing_mm = float(measures.PixelSpacing[0])
    del measures.PixelSpacing
    slide.save_as(tmp_path / "a.dcm")
    with OpenslideReader(tmp_path / "a.dcm") as read:
        assert read.mpp == pytest.approx(1000 * spacing_mm, rel=1e-3)
    slide.ImagedVolumeWidth = 1.1 * float(slide.ImagedVolumeWidth)
    slide.save_as(tmp_path / "a.dcm")
    with OpenslideReader(tmp_path / "a.dcm") as read:
        assert "not square" in read.scale_fault


@pytest.mark.parametrize(
    ("stated", "remedy"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "save it as RGB, or as JPEG"),
        (
            {"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1, "PlanarConfiguration": None},
            "in grey, which is not read; export",
        ),
        (
            {
                "ConcatenationUID": "1.2.7",
                "SOPInstanceUIDOfConcatenationSource": "1.2.8",
                "InConcatenationNumber": 1,
                "InConcatenationTotalNumber": 2,
                "ConcatenationFrameOffsetNumber": 0,
            },
            "others are missing; copy all of them",
        ),
    ],
)
def test_a_dicom_file_that_is_not_read_is_refused_with_a_remedy(shared, tmp_path, stated, remedy):
    dataset = pydicom.dcmread(shared / "data/slides/gcp-jpeg.dicom")
    for name, value in stated.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableSlide, match=remedy):
        OpenslideReader(tmp_path / "a.dcm")
