"""Pyramids as VIPS and QuPath write them give the pixels and the scale of a plain TIFF of the same picture."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from nephroscale.slides.facts import describe_image
from nephroscale.slides.readers.registry import open_slide
from slides.conftest import draw_tissue, halve

pytestmark = pytest.mark.slow

HEAD = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
PIXELS = (
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="{w}" SizeY="{h}" SizeC="3" '
    'SizeZ="1" SizeT="1" PhysicalSizeX="0.25" PhysicalSizeXUnit="µm" PhysicalSizeY="0.25" PhysicalSizeYUnit="µm"'
)
VIPS = HEAD + PIXELS + "></Pixels></Image></OME>"
"""The OME-XML that users of VIPS give to `tiffsave`; it names no channel."""
VIPS_PROPERTIES = (
    '<?xml version="1.0"?><image xmlns="http://www.vips.ecs.soton.ac.uk//dzsave" version="8.15.1"><properties>'
    '<property><name>width</name><value type="gint">{w}</value></property></properties></image>'
)
"""The description that `tiffsave --properties` writes."""
QUPATH = (
    HEAD
    + PIXELS
    + ' BigEndian="true" Interleaved="true" SignificantBits="8"><Channel ID="Channel:0:0" SamplesPerPixel="3">'
    '<LightPath/></Channel><TiffData FirstC="0" FirstT="0" FirstZ="0" IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
)
COLOURS = (("Red", -16776961), ("Green", 16711935), ("Blue", 65535))
QUPATH_PLANES = (
    HEAD
    + PIXELS
    + ' BigEndian="true" Interleaved="false" SignificantBits="8">'
    + "".join(
        f'<Channel ID="Channel:0:{n}" Name="{name}" Color="{colour}" SamplesPerPixel="1"><LightPath/></Channel>'
        for n, (name, colour) in enumerate(COLOURS)
    )
    + "".join(f'<TiffData FirstC="{n}" FirstT="0" FirstZ="0" IFD="{n}" PlaneCount="1"/>' for n in range(3))
    + "</Pixels></Image></OME>"
)


@pytest.fixture(scope="module")
def levels():
    picture = draw_tissue(384, 640, seed=3)
    return [picture, halve(picture), halve(halve(picture))]


def write(  # noqa: PLR0917
    path: Path, levels: list[np.ndarray], description: str, compression: str, layout: str, order: str
) -> None:
    """Write levels as pages, as SubIFDs, or as SubIFDs of three grey planes."""
    height, width = levels[0].shape[:2]
    text = description.format(w=width, h=height).encode()
    options = {"tile": (128, 128), "compression": compression, "metadata": None}
    options |= {"compressionargs": {"level": 95}} if compression == "jpeg" else {}
    with tifffile.TiffWriter(path, bigtiff=True, byteorder=order) as tiff:
        for plane in (0, 1, 2) if layout == "planes" else (None,):
            for n, level in enumerate(levels):
                tiff.write(
                    level if plane is None else np.ascontiguousarray(level[..., plane]),
                    photometric="minisblack" if layout == "planes" else "rgb",
                    description=None if n or plane in {1, 2} else text,
                    subifds=None if n or layout == "pages" else len(levels) - 1,
                    subfiletype=1 if n else 0,
                    resolution=(4e4 / 2**n, 4e4 / 2**n),
                    resolutionunit="CENTIMETER",
                    **options,
                )


LAYOUTS = [
    (VIPS, "deflate", "subifds", "<"),
    (VIPS, "jpeg", "subifds", "<"),
    (VIPS, "lzw", "pages", "<"),
    (VIPS, "deflate", "planes", "<"),
    (QUPATH, "lzw", "subifds", ">"),
    (QUPATH, "jpeg", "subifds", ">"),
    (QUPATH, "jpeg2000", "subifds", ">"),
    (QUPATH_PLANES, "lzw", "planes", ">"),
    (QUPATH_PLANES, "deflate", "planes", ">"),
]
WITHOUT_SCALE = [(VIPS_PROPERTIES, "deflate", "pages", "<"), (VIPS_PROPERTIES, "jpeg", "subifds", "<")]


@pytest.mark.parametrize(
    ("description", "compression", "layout", "order", "stated"),
    [
        *((*layout, "both") for layout in [*LAYOUTS, *WITHOUT_SCALE]),
        *((*layout, "OME-XML alone") for layout in LAYOUTS),
    ],
)
def test_layouts_read_as_a_plain_tiff(tmp_path, levels, make_row, description, compression, layout, order, stated):  # noqa: PLR0917
    path, row = tmp_path / "a.ome.tif", make_row("OM", stain="HE")
    write(path, levels, description, compression, layout, order)
    if stated == "OME-XML alone":
        with tifffile.TiffFile(path, mode="r+b") as tiff:  # 72 dpi, as programs without a scale write it
            for name in ("XResolution", "YResolution"):
                tiff.pages.first.tags[name].overwrite((72, 1))
            tiff.pages.first.tags["ResolutionUnit"].overwrite(2)
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(
        plain, levels[0], photometric="rgb", resolution=(4e4, 4e4), resolutionunit="CENTIMETER", metadata=None
    )
    facts, expected = describe_image(path, row), describe_image(plain, row)
    assert (facts.width, facts.height, facts.channels, facts.dtype) == (640, 384, 3, "uint8")
    assert (facts.scale, facts.other_scales, facts.doubts) == (expected.scale, (), ())
    with open_slide(path, facts.reader) as slide, open_slide(plain) as other:
        assert slide.rgb
        for n, size in enumerate(slide.sizes):
            pixels, valid = slide.read_level(n, 0, 0, *size)
            assert valid.all()
            apart = np.abs(pixels.astype(int) - levels[n]).mean()
            assert apart < 3 if compression == "jpeg" else apart == 0
        whole = (slide.read_level(0, 0, 0, 640, 384)[0], other.read_level(0, 0, 0, 640, 384)[0])
        assert np.abs(whole[0].astype(int) - whole[1]).mean() < (3 if compression == "jpeg" else 1e-9)
