"""Scales that the programs of microscopes write."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tifffile import TIFF

from nephroscale.slides import raw
from nephroscale.slides.microscope_scale import (
    parse_scale,
    read_sidecar_scale,
    read_tiff_scale,
    sidecar_fault,
    unequal_sides,
)
from nephroscale.slides.samples import read_picture_header

PIXELS = np.full((48, 64), 99, np.uint8)
FEI = b"[User]\r\nDate=1\r\n[Scan]\r\nPixelWidth=3.25e-009\r\nPixelHeight=3.25e-009\r\n"
ZEISS = b"AP_MAG\r\nMag = 5.00 K X\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 3.25 nm\r\n"
AMT = "AMT Camera System\n11/18/09\n14:12\n8000\nXpixCal=307.6923\nYpixCal=307.6923\nUnit=micron\n##fv3"


def tags(**more: object) -> dict[str, object]:
    return {"photometric": "minisblack", "metadata": None, **more}


GATAN = [
    (65003, "s", 0, "nm", True),
    (65004, "s", 0, "nm", True),
    (65009, "d", 1, 3.25, True),
    (65010, "d", 1, 3.25, True),
]


@pytest.mark.parametrize(
    ("more", "source"),
    [
        (tags(extratags=[(34680, "s", 0, FEI, True)]), "FEI"),
        (tags(extratags=[(34682, "s", 0, FEI, True)]), "FEI"),
        (tags(extratags=[(34118, "s", 0, ZEISS, True)]), "Zeiss"),
        (tags(extratags=GATAN), "Gatan"),
        (tags(description=AMT), "camera"),
        (tags(), None),
    ],
)
def test_the_metadata_of_a_tiff_give_the_scale(tmp_path: Path, more: dict[str, object], source: str | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **more)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        found = read_tiff_scale(tiff.pages.first)
    if source is None:
        assert found is None
    else:
        assert found is not None
        assert (found.nm_per_px, found.source) == (pytest.approx(3.25), source)


def sis(offset: int) -> bytes:
    """The tag of Olympus SIS, with one entry, whose content is at a place of the file."""
    return struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 0, 0, 1, 0, 109, b"iTEM", 1) + struct.pack("<hhI", 1, 1, offset)


def test_the_metadata_of_olympus_sis_and_tvips_give_the_scale(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, **tags(extratags=[(33560, "B", 68, sis(0), True)]))
    size = path.stat().st_size
    tifffile.imwrite(path, PIXELS, **tags(extratags=[(33560, "B", 68, sis(size), True)]))
    content = struct.pack("<10xhdd8xd2x34s32s", -9, 3.25, 3.25, 11500.0, b"Veleta", b"grey")
    path.write_bytes(path.read_bytes().ljust(size, b"\0") + content)
    first, second = (np.zeros(1, np.dtype(kind)) for kind in (TIFF.TVIPS_HEADER_V1, TIFF.TVIPS_HEADER_V2))
    first["Version"], second["Magic"] = 2, 0xAAAAAAAA
    second["PixelSizeX"] = second["PixelSizeY"] = 3.25
    header = first.tobytes() + second.tobytes()
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, **tags(extratags=[(37706, "B", len(header), header, True)]))
    for name, source in (("a.tif", "Olympus SIS"), ("b.tif", "TVIPS")):
        with tifffile.TiffFile(tmp_path / name) as tiff:
            found = read_tiff_scale(tiff.pages.first)
        assert found is not None, name
        assert (found.nm_per_px, found.source) == (pytest.approx(3.25), source)


def test_pixels_that_are_not_square_give_no_scale(tmp_path: Path) -> None:
    tags_of_two = [*GATAN[:3], (65010, "d", 1, 6.5, True)]
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **tags(extratags=tags_of_two))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert read_tiff_scale(tiff.pages.first) is None
        assert unequal_sides(tiff.pages.first) == "3.25 x 6.5 nm"
    assert read_picture_header(tmp_path / "a.tif").scale_fault.startswith("its pixels are not square (3.25 x 6.5 nm)")


@pytest.mark.parametrize(
    ("text", "nm"),
    [
        ("[SemImageFile]\nPixelSize=3,25\n", 3.25),
        ("PixelSizeX=3,25E-009\n", 3.25),
        ("$$SM_MICRON_BAR 100\n$$SM_MICRON_MARKER 0,5um", 5.0),
        ("XpixCal=307,6923\nUnit=micron", 3.25),
        ("PixelSizeX=3.2e-009\nPixelSizeY=3.3e-009\n", 3.25),  # the mean of sides that are nearly equal
    ],
)
def test_decimal_commas_of_a_microscopes_program_are_read(text: str, nm: float) -> None:
    found = parse_scale(text)
    assert found is not None
    assert found.nm_per_px == pytest.approx(nm)


def test_a_sidecar_that_gives_no_scale_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    assert sidecar_fault(tmp_path / "a.tif", 64) == ""
    for content, fault in (
        ("PixelSize=4\nDataSize=128x96", "128 pixels wide instead of 64"),
        ("PixelSize=", "no size"),
    ):
        (tmp_path / "a.txt").write_text(content)
        raw._names_in.cache_clear()
        assert fault in read_picture_header(tmp_path / "a.tif").scale_fault


def test_the_metadata_may_be_on_another_page_of_the_size_of_the_picture(tmp_path: Path) -> None:
    small = [*GATAN[:2], (65009, "d", 1, 99.0, True), (65010, "d", 1, 99.0, True)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        out.write(PIXELS[::2, ::2], **tags(extratags=small))
        out.write(np.stack([PIXELS] * 3, axis=-1), photometric="rgb", metadata=None)
        out.write(PIXELS.astype(np.uint16), **tags(extratags=GATAN))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        pages = list(tiff.pages)
        for chosen in pages[1:]:
            found = read_tiff_scale(chosen, pages)
            assert found is not None
            assert found.nm_per_px == pytest.approx(3.25)
        assert read_tiff_scale(pages[1]) is None


def test_a_number_that_is_no_length_of_a_pixel_is_no_scale(tmp_path: Path) -> None:
    for size in (0.0, -1.0, 1e17):
        wrong = [*GATAN[:2], (65009, "d", 1, size, True), (65010, "d", 1, size, True)]
        tifffile.imwrite(tmp_path / "a.tif", PIXELS, **tags(extratags=wrong))
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
            assert read_tiff_scale(tiff.pages.first) is None


SIDECARS = {
    "a.txt": "$CM_FULL_SIZE 64 48\n$CM_MAG 20000\n$$SM_MICRON_BAR 100\n$$SM_MICRON_MARKER 325nm\n",
    "A.TXT": "[SemImageFile]\nDataSize=64x48\nPixelSize=3.25\nMicronMarker=2000\n",
    "a-tif.hdr": "[MAIN]\nPixelSizeX=3.25e-009\nPixelSizeY=3.25e-009\n",
    "a.tif.mdoc": "PixelSpacing = 32.5\nImageSize = 64 48\n",
    "a.xml": "<MicroscopeImage xmlns='x'><SpatialScale><pixelSize><x><numericValue>3.25E-09</numericValue>"
    "<unit>m</unit></x></pixelSize></SpatialScale></MicroscopeImage>",
}


@pytest.mark.parametrize("name", SIDECARS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_beside_the_picture_gives_the_scale(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).write_text(SIDECARS[name], encoding=encoding)
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    alone, alone_digest = raw.stat_signature(tmp_path / "a.tif"), raw.digest(tmp_path / "a.tif")
    link = raw.link_raw(tmp_path / "a.tif", tmp_path / "links")
    assert link.name == "slide.tif"
    for path in (tmp_path / "a.tif", link):
        found = read_sidecar_scale(path, 64)
        assert found is not None
        assert found.nm_per_px == pytest.approx(3.25)
    (tmp_path / name).write_text(SIDECARS[name] + "\nmore", encoding=encoding)
    assert raw.stat_signature(tmp_path / "a.tif") != alone
    assert raw.digest(tmp_path / "a.tif") != alone_digest


def test_a_sidecar_of_another_size_or_without_a_scale_is_not_used(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    (tmp_path / "a.txt").write_text(SIDECARS["a.txt"])
    assert read_sidecar_scale(tmp_path / "a.tif", 32) is None
    tifffile.imwrite(tmp_path / "b.tif", PIXELS)
    (tmp_path / "b.txt").write_text("seen by Dr. X")
    (tmp_path / "b.xml").write_text("<Annotations/>")
    assert raw.find_sidecar(tmp_path / "b.tif") is None
    assert [name for name, _ in raw.list_files(tmp_path / "b.tif")] == ["slide.tif"]


@pytest.mark.parametrize(
    "text", ["", "XpixCal=0\nUnit=um", "XpixCal=3\nUnit=inch", "PixelSizeX=none", "PixelSpacing = -3"]
)
def test_text_without_a_usable_scale_gives_none(text: str) -> None:
    assert parse_scale(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "PixelSizeX=3.25e-009\nPixelSizeY=6.5e-009\n",
        "XpixCal=307.6923\nYpixCal=153.84615\nUnit=micron\n",
        "<MicroscopeImage><pixelSize><x><numericValue>3.25E-09</></x><y><numericValue>6.5E-09</></y></pixelSize>",
    ],
)
def test_unequal_sides_in_a_text_give_no_scale_but_a_reason(tmp_path: Path, text: str) -> None:
    assert parse_scale(text) is None
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    (tmp_path / "a.txt").write_text(text)
    raw._names_in.cache_clear()
    fault = read_picture_header(tmp_path / "a.tif").scale_fault
    assert fault == "its pixels are not square (3.25 x 6.5 nm, by the microscope's file beside it); resample it"


@pytest.mark.parametrize("micro", ["\u00b5".encode("latin1"), "\u00b5".encode(), "\u03bc".encode("shift-jis"), b"u"])
def test_a_micro_sign_in_any_code_is_read(tmp_path: Path, micro: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(b"$$SM_MICRON_BAR 100\n$$SM_MICRON_MARKER 0.5" + micro + b"m\n")
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    raw._names_in.cache_clear()
    found = read_sidecar_scale(tmp_path / "a.tif", 64)
    assert found is not None
    assert found.nm_per_px == pytest.approx(5)


def test_thousands_of_a_marker_are_no_decimals() -> None:
    assert parse_scale("$$SM_MICRON_BAR 10\n$$SM_MICRON_MARKER 1,000nm\n") is None


@pytest.mark.parametrize(
    ("unit", "size"),
    [(b"pm", 3250.0), ("µm".encode("utf-16-le"), 0.00325), ("µm".encode("latin1"), 0.00325), (b"A", 32.5)],
)
def test_units_of_gatan_in_any_code_are_read(tmp_path: Path, unit: bytes, size: float) -> None:
    units = [(code, "B", len(unit), unit, True) for code in (65003, 65004)]
    sizes = [(code, "d", 1, size, True) for code in (65009, 65010)]
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **tags(extratags=units + sizes))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        found = read_tiff_scale(tiff.pages.first)
    assert found is not None
    assert found.nm_per_px == pytest.approx(3.25)


ZEISS_STORE = b"DP_IMAGE_STORE\r\nStore resolution = %d * 48\r\n" + ZEISS


@pytest.mark.parametrize("kind", ["FEI", "Zeiss", "JEOL"])
def test_metadata_of_a_picture_that_was_resized_give_no_scale_but_a_reason(tmp_path: Path, kind: str) -> None:
    for width in (64, 128):
        more = {
            "FEI": tags(extratags=[(34682, "s", 0, FEI + b"[Image]\r\nResolutionX=%d\r\n" % width, True)]),
            "Zeiss": tags(extratags=[(34118, "s", 0, ZEISS_STORE % width, True)]),
            "JEOL": tags(description=f"$CM_FULL_SIZE {width} 48\n$$SM_MICRON_BAR 100\n$$SM_MICRON_MARKER 325nm\n"),
        }[kind]
        tifffile.imwrite(tmp_path / "a.tif", PIXELS, **more)
        header = read_picture_header(tmp_path / "a.tif")
        assert (header.scale is None) == (width == 128)
        fault = "the microscope's metadata in it are of a picture 128 pixels wide, not 64"
        assert header.scale_fault == (fault if width == 128 else "")
