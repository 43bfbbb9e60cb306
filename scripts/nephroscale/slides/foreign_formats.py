"""Names of formats that are not read, by their first bytes: a file under a wrong name is refused with what it is."""

from __future__ import annotations

STARTS = (
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"8BPS", "a Photoshop file"),
    (4, b"ftyp", "a HEIC, AVIF or film"),
    (0, b"\xff\x0a", "a JPEG XL file"),
    (4, b"JXL ", "a JPEG XL file"),
    (0, b"ZISRAWFILE", "a CZI of Zeiss"),
    (128, b"DICM", "a DICOM file of another kind than a whole slide"),
    (0, b"PK\3\4", "a ZIP archive or an Office file; unpack it, or export the picture as TIFF"),
    (0, b"\x1f\x8b", "a file packed by gzip; unpack it"),
    (0, b"Rar!", "a RAR archive; unpack it"),
    (0, b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"SIS\0", "an ETS file of Olympus, a part of a VSI slide"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"II\xbc", "a JPEG XR file"),
    (0, b"BZh", "a file packed by bzip2; unpack it"),
    (0, b"\xfd7zXZ", "a file packed by xz; unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "a file packed by Zstandard; unpack it"),
    (0, b"\x70\0\0\0", "a LIF of Leica"),
    (0, b"\xda\xce\xbe\x0a", "an ND2 of Nikon"),
    (0, b"\xd0\xcf\x11\xe0", "an OIB or ZVI of a microscope, or an Office file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"NRRD", "an NRRD file"),
    (0, b"MATLAB ", "a file of MATLAB"),
    (0, b"qoif", "a QOI picture"),
    (0, b"DDS ", "a DDS picture"),
    (0, b"v/1\1", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance picture"),
    (0, b"\x01\xda", "an SGI picture"),
    (0, b"AT&TFORM", "a DjVu file"),
    (8, b"AVI ", "a film"),
    (0, b"{\\rtf", "a text in RTF, perhaps with a picture"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself (`git lfs pull`)"),
)
"""Place and first bytes of each format, and its name; after a semicolon what to do instead of the usual."""
WEB_PAGE = "a web page, as a failed download leaves it; download the file again"
TEXTS = (
    (b"<svg", "an SVG, which has no pixels; export it as PNG"),
    (b'<dataobject objecttype="dpufsimport"', "an iSyntax file of Philips"),
    (b"<html", WEB_PAGE),
    (b"<!doctype html", WEB_PAGE),
    (b"<", "a file of XML"),
    (b"{", "a file of JSON"),
)
"""Beginning of a text, in small letters, and its name; the first that is found counts."""
NETPBM = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")


def foreign_fault(head: bytes, fix: str) -> str:
    """State why a file of another format is rejected, and what to do; empty for formats that are read.

    Parameters
    ----------
    head
        Its first 256 bytes.
    fix
        What to do with a picture that is not read, such as ``save it as TIFF``.
    """
    name = foreign_format(head)
    return name and f"it is {name}" + ("" if "; " in name else f", which is not read; {fix}")


def foreign_format(head: bytes) -> str:
    """Name the format of a file that is not read; empty for others.

    Parameters
    ----------
    head
        Its first 256 bytes.
    """
    found = next((name for place, magic, name in STARTS if head[place:].startswith(magic)), "")
    if found:
        return found
    if head[:2] in NETPBM and head[2:3].isspace():
        return "a Netpbm picture"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, name in TEXTS:
        if text.startswith(start):
            return TEXTS[0][1] if start == b"<" and b"<svg" in text else name
    return ""
