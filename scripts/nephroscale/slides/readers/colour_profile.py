"""Say where the colours of a file are meant in another colour space than sRGB, in which they are read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from nephroscale.slides.readers.dicom_colours import HEAD, has_transform

if TYPE_CHECKING:
    import tifffile

SAME_COLOURS = 2.0  # mean difference from sRGB up to which a profile is that of sRGB, grey levels
SRGB_GAMMA, SAME_GAMMA = 0.45455, 0.03
SRGB_PRIMARIES, SAME_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06), 0.02
INTEROPERABILITY, ADOBE = 0xA005, "R03"
"""Part of EXIF in which cameras say that a picture without a profile is in Adobe RGB."""
LUMA, LEVELS = (0.299, 0.587, 0.114), (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
"""Coefficients and reference levels of YCbCr in JPEG, which the conversion to RGB uses."""
APERIO_YCBCR, JPEG_2000 = 33003, (33003, 33004, 33005, 34712)
"""Compressions of TIFF."""
YCBCR = 6
NOT_APPLIED = "which was not applied; convert the colours to sRGB"
DAMAGED = f"it has a damaged colour profile, {NOT_APPLIED}"


def profile_doubt(icc: bytes | None) -> str:
    """Say what an ICC profile would change; empty for that of sRGB, and for one of grey levels.

    Parameters
    ----------
    icc
        The profile; None or empty where there is none.
    """
    if not icc:
        return ""
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != "RGB":
            return ""
        shown = ImageCms.profileToProfile(Image.fromarray(cube), profile, ImageCms.createProfile("sRGB"))
        name = " ".join((profile.profile.profile_description or "").split())[:40]
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return DAMAGED
    change = float(np.abs(np.asarray(shown, np.float32) - cube).mean())
    if change <= SAME_COLOURS:
        return ""
    named = f" ({name})" if name.isprintable() and name else ""
    return f"it has a colour profile{named} that changes colours by {change:.0f} grey levels on average, {NOT_APPLIED}"


def picture_doubt(image: Image.Image) -> str:
    """Say what the profile, the gamma of a PNG, or the EXIF of a camera would change in an open picture."""
    if icc := image.info.get("icc_profile"):
        return profile_doubt(icc)
    gamma = image.info.get("gamma", SRGB_GAMMA) if "srgb" not in image.info else SRGB_GAMMA
    if abs(gamma - SRGB_GAMMA) > SAME_GAMMA:
        return f"it has a gamma of {gamma:.2g} (that of sRGB is 0.45), {NOT_APPLIED}"
    adobe = image.getexif().get_ifd(INTEROPERABILITY).get(1, "") == ADOBE
    return f"its colours are Adobe RGB, {NOT_APPLIED}" if adobe else ""


def page_doubt(page: tifffile.TiffPage) -> str:
    """Say what the profile or the primary colours of a page of a TIFF would change."""
    icc = page.tags.valueof("InterColorProfile")
    if icc:
        return profile_doubt(bytes(icc))
    other = _differ(page, "PrimaryChromaticities", SRGB_PRIMARIES, SAME_PRIMARIES)
    return f"its primary colours are not those of sRGB, {NOT_APPLIED}" if other else ""


def is_other_ycbcr(page: tifffile.TiffPage) -> bool:
    """Whether the YCbCr of a page of a TIFF is another than that of JPEG: of video, for instance."""
    return _differ(page, "YCbCrCoefficients", LUMA, 0.001) or _differ(page, "ReferenceBlackWhite", LEVELS, 1.0)


def is_stored_ycbcr(page: tifffile.TiffPage) -> bool:
    """Whether the JPEG 2000 of a page has YCbCr that its decoder does not turn into RGB.

    The decoder does so where the coding style (the segment COD) states a transform of the components.
    """
    states_ycbcr = page.compression == APERIO_YCBCR or page.photometric == YCBCR
    if page.compression not in JPEG_2000 or page.samplesperpixel != 3 or not states_ycbcr:
        return False
    start = next((begin for begin, length in zip(page.dataoffsets, page.databytecounts, strict=False) if length), None)
    if start is None:
        return False
    page.parent.filehandle.seek(start)
    return not has_transform(page.parent.filehandle.read(HEAD))


def _differ(page: tifffile.TiffPage, tag: str, usual: tuple[float, ...], tolerance: float) -> bool:
    """Whether the fractions in a tag differ from the usual ones; False without the tag."""
    stated = page.tags.valueof(tag) or ()
    found = [above / below for above, below in zip(stated[::2], stated[1::2], strict=False) if below]
    return len(found) == len(usual) and any(abs(a - b) > tolerance for a, b in zip(found, usual, strict=True))
