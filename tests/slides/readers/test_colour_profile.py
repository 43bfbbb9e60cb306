import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from nephroscale.errors import Rejected
from nephroscale.slides.facts import describe_image, read_facts, write_facts
from nephroscale.slides.readers.colour_profile import profile_doubt
from nephroscale.slides.readers.registry import open_slide

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = np.full((64, 64, 3), 200, np.uint8)


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def adobe_rgb() -> bytes:
    """A profile with the primaries and the gamma of Adobe RGB, by the specification of ICC 2.1."""
    name = b"Adobe RGB (1998)"
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78)}
    columns = {
        b"wtpt": (0.9642, 1, 0.8249),
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
    }
    tags |= {tag: b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz)) for tag, xyz in columns.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv\0\0\0\0" + struct.pack(">IH", 1, 563))
    start, index, body = 132 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        index += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I", start + len(body)) + b"lcms" + struct.pack(">I", 0x02100000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642) + fixed(1) + fixed(0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + body


def test_a_profile_counts_by_what_it_changes():
    assert profile_doubt(SRGB) == profile_doubt(None) == profile_doubt(b"") == ""
    doubt = profile_doubt(adobe_rgb())
    assert doubt.startswith("it has a colour profile (Adobe RGB (1998)) that changes colours by 9 grey levels")
    assert "damaged" in profile_doubt(adobe_rgb()[:200])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a.png", "a.jpg", "strips.tif", "tiled.tif"])
def test_the_profile_is_told_whichever_reader_opens_the_file(tmp_path, kind, make_row, picture):
    path, icc = tmp_path / kind, adobe_rgb()
    if kind == "tiled.tif":
        tifffile.imwrite(path, picture, tile=(256, 256), photometric="rgb", compression="jpeg", iccprofile=icc)
    else:
        Image.fromarray(picture).save(path, icc_profile=icc)
    row = make_row("OM", roi="whole")
    facts = describe_image(path, row)
    assert facts.doubts == (profile_doubt(icc),)
    write_facts(tmp_path / "facts.json", {"A": facts})
    assert read_facts(tmp_path / "facts.json") == {"A": facts}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(("gamma", "told"), [(100000, True), (45455, False)])
def test_the_gamma_of_a_png_is_told(tmp_path, gamma, told):
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "PNG")
    png = buffer.getvalue()
    (tmp_path / "a.png").write_bytes(png[:33] + chunk(b"gAMA", struct.pack(">I", gamma)) + png[33:])
    with open_slide(tmp_path / "a.png") as slide:
        assert ("gamma" in slide.colour_doubt) == told


def test_adobe_rgb_of_a_camera_without_a_profile_is_told(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=exif)
    with open_slide(tmp_path / "a.jpg") as slide:
        assert slide.colour_doubt.startswith("its colours are Adobe RGB")


def fractions(*values: float) -> tuple[int, ...]:
    return tuple(part for value in values for part in (round(value * 10000), 10000))


def test_the_primary_colours_of_a_tiff_are_told(tmp_path):
    for name, green in (("srgb", (0.30, 0.60)), ("adobe", (0.21, 0.71))):
        primaries = fractions(0.64, 0.33, *green, 0.15, 0.06)
        tag = (319, "2I", 6, primaries, True)
        tifffile.imwrite(tmp_path / f"{name}.tif", GREY, photometric="rgb", extratags=[tag])
    for name, doubt in (("srgb", ""), ("adobe", "its primary colours are not those of sRGB")):
        with open_slide(tmp_path / f"{name}.tif") as slide:
            assert slide.colour_doubt[:41] == doubt


@pytest.mark.parametrize(
    "tag",
    [
        (529, "2I", 3, fractions(0.2125, 0.7154, 0.0721), True),
        (532, "2I", 6, fractions(16, 235, 128, 240, 128, 240), True),
    ],
    ids=["coefficients", "levels"],
)
def test_ycbcr_of_video_is_refused(tmp_path, make_row, tag):
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="ycbcr", extratags=[tag])
    for modality in ("OM", "TEM"):
        with pytest.raises(Rejected, match="YCbCr of an uncommon layout"):
            describe_image(tmp_path / "a.tif", make_row(modality))
