import re

import numpy as np
import pytest
import tifffile

from nephroscale.cohort.image import TableScale
from nephroscale.slides.headers import describe_header
from nephroscale.slides.readers.registry import choose_reader, open_slide
from nephroscale.slides.readers.stated_mpp import StatedMpp, aperio_doubt, micrometres, read_mpp, square_pixels

RGB = np.full((64, 64, 3), 200, np.uint8)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *(
            (unit, 1.0)
            for unit in (
                *("um", "\u00b5m", "\u03bcm", "\\u00B5m", "\\u00b5m", "\\u03BCm", '"um"', "um\0"),
                *("micron", "Microns", "micrometers"),
            )
        ),
        *((unit, 1e-4) for unit in ("\u00c5", "\u212b", "A\u030a", "\\u212B", "angstrom")),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("cm", 1e4),
        ("m", 1e6),
        ("inch", 25400.0),
        ("inches", 25400.0),
        ("in", 25400.0),
        ('"', 25400.0),
        ("thou", 25.4),
        ("mil", 25.4),
        ("points", 25400.0 / 72),
        ("pixel", None),
        ("ms", None),
        ("", None),
    ],
)
def test_units(unit, factor):
    assert micrometres(unit) == factor


def test_pixels_that_are_not_square_are_refused_with_the_reason():
    square = (1.0, 1.0)
    assert square_pixels("0.25", "0.25") == (0.25, False, "", square)
    assert square_pixels(0.25, 0.251) == (pytest.approx(0.2505), False, "", square)  # too like to be resampled
    assert "not square" in square_pixels(0.25, 0.265).fault
    assert "not square" in square_pixels(0.265, 0.25).fault
    refused = "its pixels are not square (0.25 x 0.5 µm); resample it"
    assert square_pixels("0.25", "0.5") == (None, False, refused, square)
    assert square_pixels("0,25", "0.25") == (0.25, False, "", square)
    assert square_pixels(None, None) == square_pixels("", " ") == (None, False, "", square)
    assert square_pixels(None, "0.25").fault == "the file gives the size of a pixel along one axis alone (0.25 µm)"
    for x, y in (("-1", "-1"), ("a", "1"), ("inf", "1"), ("nan", "nan"), (0, 0)):
        fault = f"the file gives {x} x {y} µm as the size of a pixel"
        assert square_pixels(x, y) == (None, False, fault, square)


@pytest.mark.parametrize("sides", [(0.25, 0.26), (0.26, 0.25)])
def test_pixels_that_are_nearly_square_are_resampled_to_the_shorter_side(sides):
    stated = square_pixels(*sides)
    assert stated.mpp == 0.25
    assert [stated.mpp * stretch for stretch in stated.stretch] == pytest.approx(sides)
    assert stated.mean == pytest.approx(0.255)


@pytest.mark.parametrize(("unit", "per_unit"), [(2, 50800), (3, 20000), (4, 2000), (5, 2)])
def test_units_of_the_resolution_tag(tmp_path, unit, per_unit):
    tifffile.imwrite(tmp_path / "a.tif", RGB, resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert read_mpp(tiff) == StatedMpp(0.5, generic=True)


@pytest.mark.parametrize(("side", "mpp"), [(1.0, 1.0), (0.25, None)])
@pytest.mark.parametrize("axis", "XY")
def test_a_plain_tag_counts_if_it_agrees_with_the_only_axis_of_ome_xml(tmp_path, axis, side, mpp):
    with tifffile.TiffFile(write_ome(tmp_path / "a.ome.tif", **{f"PhysicalSize{axis}": side})) as tiff:
        stated = read_mpp(tiff)
    assert stated.mpp == mpp
    assert ("one axis alone" in stated.fault) == (mpp is None)


def write_ome(path, tile=None, resolution=(10000, 10000), **metadata):
    form = {"tile": tile, "compression": "jpeg"} if tile else {}  # OpenSlide opens the first kind only
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(RGB, photometric="rgb", resolution=resolution, resolutionunit=3, metadata=metadata, **form)
    return path


@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_ome_xml_counts_before_plain_tags_whichever_reader_opens_the_file(tmp_path, tile):
    path = write_ome(tmp_path / "a.ome.tif", tile, PhysicalSizeX=2500.0, PhysicalSizeXUnit="Å", PhysicalSizeY=0.25)
    assert choose_reader(path) == ("tifffile_reader" if tile is None else "jpeg_tiff_reader")
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.25)
        assert not slide.mpp_is_generic


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_scale_that_cannot_be_used_has_its_reason(tmp_path, tile):
    path = write_ome(tmp_path / "a.ome.tif", tile, PhysicalSizeX=1, PhysicalSizeXUnit="pixel", PhysicalSizeY=1)
    with open_slide(path) as slide:
        assert slide.mpp is None
        assert "'pixel', which is not known as a length" in slide.scale_fault
    path = write_ome(tmp_path / "b.ome.tif", tile, PhysicalSizeX=0.25, PhysicalSizeY=0.5)
    with open_slide(path) as slide:
        assert "not square" in slide.scale_fault


def test_the_descriptions_of_imagej_and_aperio_and_plain_tags(tmp_path):
    def write(description=None, resolution=(4, 4), unit=None):
        path = tmp_path / "a.tif"
        tifffile.imwrite(
            path,
            RGB,
            photometric="rgb",
            description=description,
            metadata=None,
            resolution=resolution,
            resolutionunit=unit,
        )
        with tifffile.TiffFile(path) as tiff:
            stated = read_mpp(tiff)
        assert stated.stretch == (1.0, 1.0)
        return stated

    assert write("ImageJ=1.53q\nunit=\\u00B5m\n", unit=1) == StatedMpp(0.25, False)
    assert write("ImageJ=1.53q\nunit=pixel\n", unit=1) == StatedMpp(None, False)
    assert "'furlong'" in write("ImageJ=1.53q\nunit=furlong\n", unit=1).fault
    assert write("Aperio Image Library v11.2.1\r\n64x64 |AppMag = 20|MPP = 0.4990") == StatedMpp(0.499, False)
    assert write(resolution=(20000, 20000), unit=3) == StatedMpp(0.5, True)
    assert write(resolution=(20000, 20000), unit=1) == StatedMpp(None, False)
    for written in ("0,4990", "4.99E-001", "0.25|MPP = 0.499"):
        assert write(f"Aperio Image Library v11.2.1\r\n64x64 |AppMag = 20|MPP = {written}|X = 1").mpp == 0.499
    for written in ("0", "-0.5", "none"):
        assert write(f"Aperio v11|MPP = {written}").fault == f"the file gives {written!r} as its MPP"
        assert write(f"Aperio v11|MPP = {written}", (20000, 20000), 3) == StatedMpp(0.5, True)


@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        ({"PhysicalSizeX": 0.5}, "along one axis alone"),
        ({"PhysicalSizeY": 0.5}, "along one axis alone"),
        ({"PhysicalSizeX": 0, "PhysicalSizeY": 0}, r"gives 0(\.0)? x 0(\.0)? µm"),
        ({"PhysicalSizeX": -0.5, "PhysicalSizeY": -0.5}, "gives -0.5 x -0.5 µm"),
        (
            {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 1, "PhysicalSizeYUnit": "pixel"},
            "'pixel'",
        ),
        ({"PhysicalSizeX": 1, "PhysicalSizeXUnit": "reference frame", "PhysicalSizeY": 1}, "'reference frame'"),
    ],
)
def test_a_scale_that_ome_xml_states_in_part_has_its_reason(tmp_path, make_row, tile, stated, fault):
    path = write_ome(tmp_path / "a.ome.tif", tile, resolution=None, **stated)
    with open_slide(path) as slide:
        assert slide.mpp is None
        assert re.search(fault, slide.scale_fault)
    assert re.search(fault, describe_header(path, make_row("OM")).reason)


def test_a_plain_tag_counts_where_ome_xml_gives_no_number(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", PhysicalSizeX=0, PhysicalSizeY=0, resolution=(20000, 20000))
    with open_slide(path) as slide:
        assert (slide.mpp, slide.mpp_is_generic) == (0.5, True)


def test_a_micrograph_has_the_reason_too(tmp_path, make_row):
    def write(**stated):
        with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
            tiff.write(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64), metadata=stated)
        return describe_header(tmp_path / "a.ome.tif", make_row("TEM", scale=TableScale(5, "nm")))

    assert write(PhysicalSizeX=5, PhysicalSizeXUnit="nm").scale.source == "table"
    assert "not square" in write(PhysicalSizeX=0.005, PhysicalSizeY=0.009).reason


def test_ome_xml_of_another_picture_gives_no_scale(tmp_path, make_row):
    """Programs copy the description of a slide onto its reduced copy."""
    path = write_ome(tmp_path / "a.ome.tif", PhysicalSizeX=0.25, PhysicalSizeY=0.25)
    with tifffile.TiffFile(path) as tiff:
        xml, width = tiff.ome_metadata, tiff.pages.first.imagewidth
    tifffile.tiffcomment(path, xml.replace(f'SizeX="{width}"', f'SizeX="{4 * width}"').encode())
    with tifffile.TiffFile(path) as tiff:
        stated = read_mpp(tiff)
    assert stated.mpp is None or stated.generic
    tifffile.tiffcomment(path, xml.encode())
    with tifffile.TiffFile(path) as tiff:
        assert read_mpp(tiff).mpp == 0.25


def test_the_unit_of_imagej_along_y_may_be_another(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, imagej=True, resolution=(2, 2), metadata={"unit": "um", "yunit": "mm"})
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert read_mpp(tiff).fault.startswith("its pixels are not square (0.5 x 500 µm)")


@pytest.mark.parametrize(
    ("description", "doubt"),
    [
        ("46000x32914 [42673,5576 2220x2967] (240x240) JPEG/RGB Q=30|AppMag = 20|MPP = 0.4990", ""),
        ("|AppMag = 40|MPP = 0.2325", ""),
        (
            "8880x11868 (256x256)|AppMag = 20|MPP = 0.4990",
            "but for a picture of 8880x11868 pixels instead of 2220x2967",
        ),
        ("|AppMag = 40|MPP = 0.4990", "an MPP of 0.499 at a magnification of 40"),
    ],
)
def test_an_mpp_copied_from_another_picture_is_doubtful(description, doubt):
    found = aperio_doubt(f"Aperio Image Library v11\r\n{description}", 2220, 2967)
    assert (doubt in found) if doubt else not found
    assert not aperio_doubt(description, 2220, 2967)
