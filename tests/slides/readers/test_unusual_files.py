"""Files that a stranger may have: read rightly, or refused with the reason."""

import struct

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.cohort.image import TableScale
from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image
from nephroscale.slides.headers import describe_header
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.samples import read_samples
from slides.conftest import draw_tissue, halve

pytestmark = pytest.mark.slow

SCALE = {"resolution": (4e4, 4e4), "resolutionunit": "CENTIMETER"}
TABLE = TableScale(0.25, "um", "table")
APERIO = "Aperio Image Library v12\r\n384x256 [0,0 384x256] (128x128) |AppMag = 40"


@pytest.fixture(scope="module")
def picture():
    return draw_tissue(256, 384, seed=5)


def write(path, pixels, **options):
    tifffile.imwrite(path, pixels, **({"photometric": "rgb", "tile": (128, 128), "metadata": None} | options))
    return path


def ome(x, unit_x, y=None, unit_y=None):
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="384" SizeY="256" SizeC="3" SizeZ="1" '
        'SizeT="1" '
        f'PhysicalSizeX="{x}" PhysicalSizeXUnit="{unit_x}" PhysicalSizeY="{y or x}" '
        f'PhysicalSizeYUnit="{unit_y or unit_x}">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
    ).encode()


@pytest.mark.parametrize(
    "description",
    [
        ome("9.8425197e-06", "in"),
        ome("9.8425197e-06", "inch"),
        ome("0,25", "µm"),
        ome("0.25", "µm", "250", "nm"),
        (APERIO + "|MPP = 0,25").encode(),
        (APERIO + "|MPP = 0.5;Aperio Image\r\n384x256 -> 384x256 |AppMag = 40|MPP = 0.25").encode(),
    ],
)
@pytest.mark.parametrize("tile", [None, (128, 128)])
def test_scales_in_unusual_words(tmp_path, make_row, picture, description, tile):
    path = write(tmp_path / "a.tif", picture, description=description, tile=tile)
    facts = describe_image(path, make_row("OM", stain="HE"))
    assert (str(facts.scale), facts.other_scales) == ("file: 0.25 µm per pixel", ())
    assert str(describe_header(path, make_row("OM", stain="HE")).scale) == "file: 0.25 µm per pixel"


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (ome("1.234,5", "nm"), "1.234,5 x 1.234,5"),
        (ome("1", "pixel"), "in the unit 'pixel', which is not known as a length"),
        (ome("1", "reference frame"), "in the unit 'reference frame', which is not known as a length"),
        (ome("0", "µm"), r"gives 0(\.0)? x 0(\.0)? µm"),
        (ome("-0.25", "µm"), "gives -0.25 x -0.25 µm"),
        ((APERIO + "|MPP = 0").encode(), "gives 0 x 0 µm|gives '0' as its MPP"),
        ((APERIO + "|MPP = 250").encode(), "250 µm per pixel is implausible"),
        (APERIO.encode(), "neither the file nor the table gives"),
    ],
)
@pytest.mark.parametrize("tile", [None, (128, 128)])
def test_scales_that_cannot_be_used_are_named(tmp_path, make_row, picture, description, reason, tile):  # noqa: PLR0917
    path = write(tmp_path / "a.tif", picture, description=description, tile=tile)
    with pytest.raises(Rejected, match=reason):
        describe_image(path, make_row("OM", stain="HE"))


def test_a_larger_page_that_is_marked_as_a_copy_is_refused_until_one_is_named(tmp_path, make_row, picture):
    macro = np.random.default_rng(0).integers(100, 255, (300, 450, 3)).astype(np.uint8)
    path, row = tmp_path / "a.tif", make_row("OM", stain="HE", scale=TABLE)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture, photometric="rgb", tile=(128, 128), metadata=None)
        tiff.write(macro, photometric="rgb", subfiletype=9, metadata=None)
    for one in (row, make_row("IM", marker="IgG", scale=TABLE)):
        with pytest.raises(Rejected, match=r"largest image is marked as a reduced copy .*macro image"):
            describe_image(path, one)
    with open_slide(path, "tifffile_reader", 1) as slide:
        np.testing.assert_array_equal(slide.read_level(0, 0, 0, 384, 256)[0], picture)
    with pytest.raises(Rejected, match="largest image is marked as a reduced copy"):
        read_samples(path)  # as a micrograph
    np.testing.assert_array_equal(read_samples(path, 1), picture)
    with tifffile.TiffWriter(path) as tiff:  # the usual way round
        tiff.write(halve(picture), photometric="rgb", subfiletype=1, metadata=None)
        tiff.write(picture, photometric="rgb", metadata=None)
    assert describe_image(path, row).width == 384


def test_five_bits_and_five_samples_are_refused(tmp_path, make_row, picture):
    row = make_row("OM", stain="HE", scale=TABLE)
    write(tmp_path / "a.tif", picture >> 3, bitspersample=5, tile=None)
    with pytest.raises(Rejected, match="its samples have 5 bits; save 8 or 16"):
        describe_image(tmp_path / "a.tif", row)
    more = np.dstack([picture, np.zeros_like(picture[..., :2])])
    write(tmp_path / "b.tif", more, extrasamples=["unassalpha", "unspecified"], tile=None)
    with pytest.raises(Rejected, match="it has 5 samples; save red, green, blue and opacity alone"):
        describe_image(tmp_path / "b.tif", row)


@pytest.mark.parametrize("tile", [None, (128, 128)])
def test_a_damaged_colour_profile_is_named(tmp_path, make_row, picture, tile):
    path = write(tmp_path / "a.tif", picture, iccprofile=b"no profile" * 20, tile=tile)
    (doubt,) = describe_image(path, make_row("OM", stain="HE", scale=TABLE)).doubts
    assert doubt.startswith("it has a damaged colour profile")


def test_the_reason_of_an_unreadable_region_has_no_path(tmp_path, make_row, picture):
    path = write(tmp_path / "a.tif", picture, compression="lzw", predictor=2)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page = tiff.pages.first
        tiff.filehandle.seek(page.dataoffsets[0])
        tiff.filehandle.write(bytes(sum(page.databytecounts)))
    with pytest.raises(Rejected, match="no region of it can be read") as rejected:
        describe_image(path, make_row("OM", stain="HE", scale=TABLE))
    assert str(tmp_path) not in rejected.value.reason


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified", "png"])
@pytest.mark.parametrize("tile", [None, (128, 128)])
def test_a_picture_that_is_transparent_everywhere_is_named(tmp_path, make_row, picture, kind, tile):
    clear = np.zeros_like(picture[..., 0])
    if kind == "png":
        Image.fromarray(np.dstack([picture, clear])).save(tmp_path / "a.tif", "PNG")
    else:
        write(tmp_path / "a.tif", np.dstack([picture, clear]), extrasamples=[kind], tile=tile)
    with pytest.raises(Rejected, match="all are transparent"):
        describe_image(tmp_path / "a.tif", make_row("OM", stain="HE", scale=TABLE))


@pytest.mark.parametrize("tile", [None, (112, 112)])
def test_jpeg_with_halved_colours_and_odd_sizes(tmp_path, make_row, picture, tile):
    odd, path = picture[:253, :381], tmp_path / "a.tif"
    side = tile[0] if tile else 16
    padded = np.pad(odd, ((0, side), (0, side), (0, 0)), mode="edge")
    options = {"level": 95, "colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "420"}
    if tile:
        places = [(y, x) for y in range(0, 253, side) for x in range(0, 381, side)]
        parts = [padded[y : y + side, x : x + side] for y, x in places]
    else:
        parts = [odd[y : y + side] for y in range(0, 253, side)]
    coded = iter([imagecodecs.jpeg8_encode(np.ascontiguousarray(part), **options) for part in parts])
    layout = {"tile": tile} if tile else {"tile": None, "rowsperstrip": side}
    write(path, coded, shape=odd.shape, dtype=np.uint8, compression="jpeg", **layout)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags["PhotometricInterpretation"].overwrite(6)
    facts = describe_image(path, make_row("OM", stain="HE", scale=TABLE))
    assert facts.doubts == ()
    with open_slide(path, facts.reader) as slide:
        assert np.abs(slide.read_level(0, 0, 0, 381, 253)[0].astype(int) - odd).mean() < 3


def test_absent_tiles_of_jpeg_2000(tmp_path, make_row, picture):
    path = tmp_path / "a.tif"
    parts = [picture[y : y + 128, x : x + 128] for y in (0, 128) for x in (0, 128, 256)]
    coded = iter([imagecodecs.jpeg2k_encode(np.ascontiguousarray(part), level=0, codecformat="j2k") for part in parts])
    write(path, coded, shape=picture.shape, dtype=np.uint8, compression=33005)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page = tiff.pages.first
        for tag, values in (("TileOffsets", page.dataoffsets), ("TileByteCounts", page.databytecounts)):
            page.tags[tag].overwrite([0, *values[1:]])
    facts = describe_image(path, make_row("OM", stain="HE", scale=TABLE))
    with open_slide(path, facts.reader) as slide:
        pixels, valid = slide.read_level(0, 0, 0, 384, 256)
    assert not valid[:128, :128].any()
    assert valid.mean() == pytest.approx(5 / 6)
    np.testing.assert_array_equal(pixels[valid], picture[valid])


@pytest.mark.parametrize("kind", ["big", "planes", "planes with opacity", "partial", "palette", "top down"])
def test_unusual_layouts_have_the_pixels_of_the_picture(tmp_path, make_row, picture, kind):
    path, expected = tmp_path / "a.tif", picture
    if kind == "big":
        tifffile.imwrite(path, picture, bigtiff=True, byteorder=">", photometric="rgb", tile=(112, 144), **SCALE)
    elif kind.startswith("planes"):
        opaque = [np.full_like(picture[..., 0], 255)] if "opacity" in kind else []
        planes = np.stack([*np.moveaxis(picture, -1, 0), *opaque])
        extra = {"extrasamples": ["unassalpha"]} if opaque else {}
        write(path, planes, planarconfig="separate", compression="deflate", **extra)
    elif kind == "partial":
        expected = picture[:250, :370]
        write(path, expected, tile=(256, 256), compression="lzw", predictor=2)
    elif kind == "palette":
        few = Image.fromarray(picture).quantize(64)
        few.save(path, "PNG")
        expected = np.asarray(few.convert("RGB"))
    else:
        Image.fromarray(picture[::-1]).save(path, "BMP")
        data = bytearray(path.read_bytes())
        data[22:26] = struct.pack("<i", -256)
        path.write_bytes(data)
    facts = describe_image(path, make_row("OM", stain="HE", scale=TABLE))
    with open_slide(path, facts.reader) as slide:
        pixels, valid = slide.read_level(0, 0, 0, slide.width, slide.height)
    assert valid.all()
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("marker", [True, False])
def test_inks_in_a_jpeg_are_refused(tmp_path, make_row, picture, marker):
    """With the marker of Adobe its values are inverted, without it they may be."""
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).convert("CMYK").save(path, quality=95)
    data = path.read_bytes()
    start = data.find(b"\xff\xee")
    assert start > 0
    if not marker:
        path.write_bytes(data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :])
    with pytest.raises(Rejected, match=r"its colours are inks \(CMYK\); save it as RGB"):
        describe_image(path, make_row("OM", stain="HE", scale=TABLE))


@pytest.mark.parametrize("bits", ["12 of 16", "12 packed"])
@pytest.mark.parametrize("colour", [True, False])
def test_twelve_bits_of_fluorescence_keep_their_values(tmp_path, make_row, bits, colour):
    counts = np.zeros((128, 160), np.float32)
    cv2.circle(counts, (80, 64), 40, 3000, -1)
    counts = (counts + np.random.default_rng(0).normal(150, 10, counts.shape)).astype(np.uint16)
    pixels = np.dstack([counts * 0, counts, counts * 0]) if colour else counts
    options = {"bitspersample": 12} if "packed" in bits else {}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb" if colour else "minisblack", metadata=None, **options)
    facts = describe_image(path, make_row("IM", marker="IgG", scale=TABLE))
    assert facts.dtype == "uint16"
    with open_slide(path, facts.reader) as slide:
        found = slide.read_level(0, 0, 0, 160, 128)[0]
    np.testing.assert_array_equal(found[..., 1 if colour else 0], counts)
