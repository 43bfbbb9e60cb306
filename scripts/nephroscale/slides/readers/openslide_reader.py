"""OpenSlide, which covers most formats and is the reference for the other readers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openslide
import tifffile
from PIL import ImageCms

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide, split_alpha
from nephroscale.slides.readers.colour_profile import DAMAGED, profile_doubt
from nephroscale.slides.readers.dicom_colours import disagreeing_colours
from nephroscale.slides.readers.stated_mpp import StatedMpp, aperio_doubt, read_mpp, square_pixels

FAULTS = (openslide.OpenSlideError, OSError)
PHOTOMETRIC = "dicom.PhotometricInterpretation"
DESCRIPTION, PROFILE = "tiff.ImageDescription", "openslide.icc-size"
OTHER_IMAGE = "Slide contains unexpected image"
NEW_CODECS = {"1.2.840.10008.1.2.4.20": "HTJ2K", "1.2.840.10008.1.2.4.11": "JPEG XL"}
"""Beginnings of transfer syntaxes of DICOM (part 6, 2025) to the codec: 201 to 203, and 110 to 112."""
REMEDIES = {
    "Unsupported photometric interpretation": (
        "the colours of this DICOM file (PhotometricInterpretation) are not read with its compression; save it as RGB, "
        "or as JPEG in YBR_FULL_422"
    ),
    "Couldn't read PlanarConfiguration": (
        "it is a DICOM slide in grey, which is not read; export the marker's channel as OME-TIFF with all its bits"
    ),
    "in concatenation": (
        "it is a part of a DICOM concatenation of several files, and others are missing; copy all of them"
    ),
}
"""Messages of OpenSlide on a DICOM file to what is wrong and what helps."""
TRESTLE, UNSET = "trestle", 1.0
"""A vendor whose plain resolution is µm per pixel, and the value that programs write where they know none."""
EXPORT = "copy it again from its source, or export it as OME-TIFF with its scale"
SAME_SHAPE = 0.02  # difference of width by height up to which a level is a copy of the first


class OpenslideReader(SlideReader):
    """Any format of OpenSlide, as RGB; transparent pixels are not valid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._slide = self._open()
            properties = self._slide.properties
            sizes = tuple(self._slide.level_dimensions)
            downsamples = tuple(float(d) for d in self._slide.level_downsamples)
        except FAULTS as fault:
            if OTHER_IMAGE in str(fault):
                raise UnreadableSlide(
                    "its DICOM series holds several slides; move the files of each into a folder of its own"
                ) from fault
            codec = next((name for uid, name in NEW_CODECS.items() if uid in str(fault)), None)
            if codec:
                raise UnreadableSlide(
                    f"its pixels are stored as {codec}, which is not read; convert them to JPEG or JPEG 2000"
                ) from fault
            remedy = next((remedy for part, remedy in REMEDIES.items() if part in str(fault)), "")
            raise UnreadableSlide(remedy or f"OpenSlide cannot open it: {fault}; {EXPORT}") from fault
        self._numbers = [number for number, size in enumerate(sizes) if _is_copy(size, sizes[0])]
        self.sizes = tuple(sizes[number] for number in self._numbers)
        self.downsamples = tuple(downsamples[number] for number in self._numbers)
        self.width, self.height = self.sizes[0]
        self.vendor = properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        if self.vendor == "dicom" and (wrong := disagreeing_colours(path, properties.get(PHOTOMETRIC, ""))):
            raise UnreadableSlide(f"{wrong}; correct PhotometricInterpretation in its header")
        stated = _stated(path) if self.vendor == "generic-tiff" else None  # OpenSlide reads only its plain tags
        if stated is None:
            sides = [properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)]
            if sides == [None, None] and self.vendor == "dicom":
                sides = [_volume_mpp(properties, axis) for axis in (("Width", "Columns"), ("Height", "Rows"))]
            if sides == [None, None] and self.vendor == "aperio":
                sides = 2 * [properties.get("aperio.MPP")]  # OpenSlide keeps silent about a number that it cannot read
            stated = square_pixels(*sides, generic=self.vendor == "generic-tiff")
            if self.vendor == TRESTLE and stated.mpp == UNSET:
                stated = StatedMpp(fault="the file gives 1 as its resolution, as a program does that knows none")
        self.mpp, self.mpp_is_generic, self.scale_fault, self.stretch = stated
        self.scale_doubt = aperio_doubt(properties.get(DESCRIPTION, ""), self.width, self.height)
        self.colour_doubt = self._profile_doubt() if PROFILE in properties else ""

    def _profile_doubt(self) -> str:
        try:
            profile = self._slide.color_profile
        except (ImageCms.PyCMSError, OSError):
            return DAMAGED
        return profile_doubt(profile.tobytes()) if profile else ""

    def _open(self) -> openslide.OpenSlide:
        return openslide.OpenSlide(self.path)

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read a region inside a level: pixels, and a mask of those that the file has (None for all)."""
        factor = self.downsamples[level]
        corner = (round(x * factor), round(y * factor))
        try:
            rgba = np.asarray(self._slide.read_region(corner, self._numbers[level], (width, height)))
        except FAULTS as fault:
            # After a failed read every later call on the handle fails, so it is opened again.
            with contextlib.suppress(*FAULTS):
                self._slide.close()
            try:
                self._slide = self._open()
            except FAULTS as again:
                raise UnreadableSlide(f"OpenSlide cannot open it again: {again}") from again
            raise UnreadableRegion(str(fault).replace(str(self.path), "the file")) from fault
        return split_alpha(rgba)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(*FAULTS):
            self._slide.close()


def _is_copy(size: tuple[int, int], first: tuple[int, int]) -> bool:
    """Whether a level has the shape of the first, but for rounding; labels and macro images have others."""
    across, along = first[0] / size[0], first[1] / size[1]
    return abs(across / along - 1) <= SAME_SHAPE + 1 / min(size)


def _volume_mpp(properties: Mapping[str, str], names: tuple[str, str]) -> str | None:
    """The side of a pixel in a DICOM file without a spacing, of the imaged volume (mm) and the pixels along it."""
    extent, count = (
        properties.get(f"dicom.{kind}{name}")
        for kind, name in zip(("ImagedVolume", "TotalPixelMatrix"), names, strict=True)
    )
    return None if not extent or not count or not int(count) else f"{1000 * float(extent) / int(count):.6g}"


def _stated(path: Path) -> StatedMpp | None:
    try:
        with tifffile.TiffFile(path) as tiff:
            return read_mpp(tiff)
    except Exception:  # tifffile raises exceptions of any class, on files that OpenSlide can open
        return None


Reader = OpenslideReader
