"""Reasons for files of formats that are not read."""

import pytest

from nephroscale.slides.foreign_formats import foreign_fault


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"GIF89a", "it is a GIF, which is not read; save it as TIFF"),
        (b"version https://git-lfs.github.com/spec/v1", "it is a pointer of Git LFS; fetch the file itself"),
        (b" <!DOCTYPE html><html>", "it is a web page, as a failed download leaves it; download the file again"),
        (b"<?xml version='1.0'?><svg width='1'>", "it is an SVG, which has no pixels; export it as PNG"),
        (
            b'<DataObject ObjectType="DPUfsImport">',
            "it is an iSyntax file of Philips, which is not read; save it as TIFF",
        ),
        (b"SIS\0\x40", "it is an ETS file of Olympus, a part of a VSI slide, which is not read"),
        (b"SQLite format 3\0", "it is an SQLite database, which is not read"),
        (b"BZh91AY", "it is a file packed by bzip2; unpack it"),
        (b"{\\rtf1", "it is a text in RTF, perhaps with a picture, which is not read; save it as TIFF"),
        (b"SIMPLE  =    T", "it is a FITS file, which is not read; save it as TIFF"),
        (b"II\xbc\1", "it is a JPEG XR file, which is not read; save it as TIFF"),
        (b"II*\0", ""),
    ],
)
def test_the_fix_fits_the_format(head, reason):
    fault = foreign_fault(head, "save it as TIFF")
    assert fault.startswith(reason)
    assert fault.count("which") <= 1
    assert bool(fault) == bool(reason)
