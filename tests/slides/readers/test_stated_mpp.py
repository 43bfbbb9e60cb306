import numpy as np
import pytest
import tifffile

from nephroscale.slides.readers.registry import choose_reader, open_slide
from nephroscale.slides.readers.stated_mpp import StatedMpp, micrometres, read_mpp, square_pixels

RGB = np.full((64, 64, 3), 200, np.uint8)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *(
            (unit, 1.0)
            for unit in ("um", "\u00b5m", "\u03bcm", "\\u00B5m", "\\u00b5m", "micron", "Microns", "micrometers")
        ),
        *((unit, 1e-4) for unit in ("\u00c5", "\u212b", "angstrom")),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("cm", 1e4),
        ("m", 1e6),
        ("inch", 25400.0),
        ("inches", 25400.0),
        ("in", 25400.0),
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
    for x, y in ((None, "0.25"), ("-1", "-1"), ("a", "1"), ("inf", "1"), ("nan", "nan")):
        assert square_pixels(x, y) == (None, False, "", square)


@pytest.mark.parametrize("sides", [(0.25, 0.26), (0.26, 0.25)])
def test_pixels_that_are_nearly_square_are_resampled_to_the_shorter_side(sides):
    stated = square_pixels(*sides)
    assert stated.mpp == 0.25
    assert [stated.mpp * stretch for stretch in stated.stretch] == pytest.approx(sides)
    assert stated.mean == pytest.approx(0.255)


def write_ome(path, tile=None, resolution=(10000, 10000), **metadata):
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(RGB, photometric="rgb", tile=tile, resolution=resolution, resolutionunit=3, metadata=metadata)
    return path


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_ome_xml_counts_before_plain_tags_whichever_reader_opens_the_file(tmp_path, tile):
    path = write_ome(tmp_path / "a.ome.tif", tile, PhysicalSizeX=2500.0, PhysicalSizeXUnit="Å", PhysicalSizeY=0.25)
    assert choose_reader(path) == ("tifffile_reader" if tile is None else "openslide_reader")
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.25)
        assert not slide.mpp_is_generic


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_scale_that_cannot_be_used_has_its_reason(tmp_path, tile):
    path = write_ome(tmp_path / "a.ome.tif", tile, PhysicalSizeX=1, PhysicalSizeXUnit="pixel", PhysicalSizeY=1)
    with open_slide(path) as slide:
        assert slide.mpp is None
        assert "'pixel', which is no length" in slide.scale_fault
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
