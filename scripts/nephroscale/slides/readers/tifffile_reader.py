"""TIFF files that OpenSlide does not read or reduces to 8 bits: plain, OME and ImageJ, 8 or 16 bits."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import zarr

from nephroscale.slides.jpeg_data import END, is_damaged
from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide, split_alpha
from nephroscale.slides.readers.claims import LARGEST_IS_COPY
from nephroscale.slides.readers.colour_profile import is_other_ycbcr, is_stored_ycbcr, page_doubt
from nephroscale.slides.readers.padded_strips import tolerate_padding
from nephroscale.slides.readers.stated_exposure import tiff_exposures
from nephroscale.slides.readers.stated_mpp import aperio_doubt, ome_pixels, read_mpp

PHOTOMETRIC = tifffile.PHOTOMETRIC
REFUSED = {
    PHOTOMETRIC.PALETTE: "a TIFF with a colour table is not supported; save it as grey or RGB",
    PHOTOMETRIC.SEPARATED: "its colours are inks (CMYK); save it as RGB",
    PHOTOMETRIC.CIELAB: "its colours are CIELab; save it as RGB",
    PHOTOMETRIC.ICCLAB: "its colours are CIELab; save it as RGB",
    PHOTOMETRIC.ITULAB: "its colours are CIELab; save it as RGB",
}
DTYPES = (np.uint8, np.uint16, np.int16)
GREY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK)
JPEGS = (6, 7, 33003, 33005, 34712)  # compressions whose decoders give RGB
COLOURS = ({"red", "r"}, {"green", "g"}, {"blue", "b"})
OME_COLOURS = (0xFF0000FF, 0x00FF00FF, 0x0000FFFF)  # red, green and blue, opaque
BRIGHT = 128  # mean level from which on three unnamed channels are a brightfield picture
PROBE_PX = 512
OPACITY, MOST_BETWEEN = (25, 230), 0.1  # opacity lies outside these levels of 8 bits, but for so many pixels at edges,
LEVELS = 16  # or has few levels between
WRAPPED = -(1 << 14)  # no background that was subtracted leaves pixels as low as this
LARGE_STRIP = 1 << 21  # samples that are decoded for a region of REGION rows
REGION = 256
REDUCED = 1  # kind of page
OVERVIEW = re.compile(r"(?<![a-z])(label|macro|overview|preview|thumbnail)(?![a-z])", re.IGNORECASE)  # names in OME-XML
SCENE = 0.25  # least area of a scene, as a share of the largest; previews and labels are smaller


class TifffileReader(SlideReader):
    """The largest image of a TIFF, or the picture that is named, read region by region.

    The pictures of a TIFF are the planes of its stacks, scene by scene; previews are none. Negative pixels become zero;
    a file whose signed pixels must have been unsigned is refused. Three grey channels that are red, green and blue
    become RGB. Pixels that are transparent, or lie in tiles that the file does not have, are not valid.
    """

    def __init__(self, path: Path, page: int | None = None) -> None:
        try:
            self._tiff = tifffile.TiffFile(path)
        except Exception as fault:  # tifffile raises exceptions of any class
            raise UnreadableSlide(f"the TIFF cannot be read: {fault}") from fault
        try:
            self._set_up(page)
        except UnreadableSlide:
            self._tiff.close()
            raise
        except Exception as fault:
            self._tiff.close()
            raise UnreadableSlide(f"the TIFF cannot be read: {fault}") from fault

    def _set_up(self, number: int | None) -> None:
        tiff = self._tiff
        series, self._plane = _choose_picture(tiff, number)
        scene = tiff.series.index(series) if tiff.is_ome else 0
        page = series.keyframe
        refused = REFUSED.get(PHOTOMETRIC(page.photometric))
        if refused:
            raise UnreadableSlide(refused)
        if series.dtype not in DTYPES:
            raise UnreadableSlide(f"pixels of type {series.dtype} are not supported; save 8 or 16 bits")
        if page.bitspersample < 8:
            raise UnreadableSlide(f"its samples have {page.bitspersample} bits; save 8 or 16 bits")
        self._inverted = page.photometric == PHOTOMETRIC.MINISWHITE
        packed = series.dtype.kind == "u" and page.bitspersample % 8
        self._white = (1 << page.bitspersample) - 1 if packed else np.iinfo(series.dtype).max
        self._ycbcr = page.photometric == PHOTOMETRIC.YCBCR and page.compression not in JPEGS
        self._ycbcr |= is_stored_ycbcr(page)
        for level in series.levels:
            if level.keyframe.compression in JPEGS[:2] and page.bitspersample == 8:
                _refuse_damaged(level.keyframe)
            tolerate_padding(level.keyframe)
        self._levels = [(level, _Axes(_axes_of(tiff, level), level.shape)) for level in series.levels]
        first = self._levels[0][1]
        if self._ycbcr and (
            is_other_ycbcr(page)
            or series.dtype != np.uint8
            or first.count != 3
            or page.subsampling not in {None, (1, 1)}
        ):
            raise UnreadableSlide("its colours are YCbCr of an uncommon layout (subsampled, say); save it as RGB")
        self.sizes = tuple((axes.width, axes.height) for _, axes in self._levels)
        self.width, self.height = self.sizes[0]
        self.downsamples = tuple((self.width / w + self.height / h) / 2 for w, h in self.sizes)
        self.channels, self.dtype = first.channels, np.dtype(np.uint8 if series.dtype.itemsize == 1 else np.uint16)
        if page.photometric in GREY and first.samples:  # samples beside grey are channels, if not its opacity
            self.channels = first.count - (_alpha(page) is not None)
        self.rgb = first.samples and self.channels == 3 and page.photometric not in GREY
        if self.rgb and first.count > 4:
            raise UnreadableSlide(f"it has {first.count} samples; save red, green, blue and opacity alone")
        self.vendor = "ome-tiff" if tiff.is_ome else "imagej" if tiff.is_imagej else "tiff"
        self.mpp, self.mpp_is_generic, self.scale_fault, self.stretch = read_mpp(tiff, page, scene)
        pixels = ome_pixels(tiff, scene)
        self.exposures_ms = tiff_exposures(page, pixels, 1 if self.rgb else self.channels, self._plane)
        self.scale_doubt = aperio_doubt(page.description, self.width, self.height)
        self.colour_doubt = page_doubt(page)
        self._alpha = _alpha(page) if first.samples and first.count == self.channels + 1 else None
        self._arrays: dict[int, Any] = {}
        self._absent = [_absent_segments(level) for level, _ in self._levels]
        self._order: tuple[int, ...] | None = None
        if self.dtype == np.uint8 and self.channels == 3 and not self.rgb:
            self._order = self._colour_order()
            self.rgb = self._order is not None
        if not self.rgb:
            names = _channel_names(tiff)
            self.channel_names = names if tiff.is_ome or len(names) == self.channels else ()
            self.absent_channels = _absent_channels(series, self._plane)
        if series.dtype == np.int16:
            self._refuse_wrapped()
        if self._alpha == tifffile.EXTRASAMPLE.UNSPECIFIED:
            self._refuse_no_opacity()

    def _probe(self) -> np.ndarray | None:
        """The middle of the smallest level as it is stored; None where it cannot be decoded."""
        level = len(self.sizes) - 1
        x, y = (max(0, (side - PROBE_PX) // 2) for side in self.sizes[level])
        try:
            return self._stored(level, x, y, *(min(side, PROBE_PX) for side in self.sizes[level]))
        except UnreadableRegion:
            return None

    def _refuse_no_opacity(self) -> None:
        """Refuse a fourth sample of no stated kind that varies like a picture: what is dark in it would be dropped."""
        pixels = self._probe()
        if pixels is None:
            return
        axes = self._levels[-1][1].names
        last = np.moveaxis(pixels, 0, -1)[..., -1] if axes.index("S") < axes.index("Y") else pixels[..., -1]
        full = np.iinfo(last.dtype).max / 255
        between = last[(last > OPACITY[0] * full) & (last < OPACITY[1] * full)]
        if between.size > MOST_BETWEEN * last.size and len(np.unique(between)) >= LEVELS:
            raise UnreadableSlide(
                "its fourth sample beside red, green and blue has no kind that the file names, and is no opacity; save "
                "red, green and blue alone"
            )

    def _refuse_wrapped(self) -> None:
        """Refuse signed pixels that must have been unsigned: their bright half would become black."""
        pixels = self._probe()
        if pixels is None:
            return
        if pixels.size and (pixels.max() <= 0 > pixels.min() or pixels.min() < WRAPPED):
            raise UnreadableSlide(
                f"its 16-bit pixels are signed and go down to {pixels.min()}, as where unsigned ones were stored as "
                "signed; save unsigned 16 bits"
            )

    def _colour_order(self) -> tuple[int, ...] | None:
        """Places of red, green and blue among three grey channels; None if they are others."""
        names = [name.strip().casefold() for name in _channel_names(self._tiff)]
        if len(names) == 3:
            found = tuple(next((n for n, name in enumerate(names) if name in words), -1) for words in COLOURS)
            if -1 not in found:
                return found
        colours = _channel_colours(self._tiff)
        if sorted(colours) == sorted(OME_COLOURS):
            return tuple(colours.index(colour) for colour in OME_COLOURS)
        if any(names) and not all("channel" in name or name in {"", "0", "1", "2"} for name in names):
            return None  # markers or dyes
        level = len(self.sizes) - 1
        x, y = (max(0, (side - PROBE_PX) // 2) for side in self.sizes[level])
        width, height = (min(side, PROBE_PX) for side in self.sizes[level])
        try:
            pixels, valid = self.read_level(level, x, y, width, height)
        except UnreadableRegion:
            return None
        bright = valid.any() and float(np.median(pixels[valid].mean(axis=-1))) >= BRIGHT
        return (0, 1, 2) if bright else None

    def _array(self, level: int) -> Any:
        if level not in self._arrays:
            series, axes = self._levels[level]
            decoded = _decode_once(series) if math.prod(series.shape) == axes.width * axes.height * axes.count else None
            opened = zarr.open(series.aszarr(), mode="r") if decoded is None else decoded
            self._arrays[level] = opened["0"] if isinstance(opened, zarr.Group) else opened
        return self._arrays[level]

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read a region inside a level: pixels, and a mask of those that the file has (None for all)."""
        axes, pixels = self._levels[level][1], self._stored(level, x, y, width, height)
        if axes.channel_axis is None:
            pixels = pixels[..., None]
        elif axes.names.index(axes.channel_axis) < axes.names.index("Y"):
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.dtype.kind == "i":
            pixels = np.maximum(pixels, 0)
        pixels = np.ascontiguousarray(pixels.astype(self.dtype, copy=False))
        if self._inverted:
            pixels = self._white - pixels
        valid = self._present(level, x, y, width, height)
        if self._alpha is not None:
            pixels, opaque = split_alpha(
                _unmultiplied(pixels) if self._alpha == tifffile.EXTRASAMPLE.ASSOCALPHA else pixels
            )
            valid = opaque if valid is None else valid if opaque is None else valid & opaque
        if self._ycbcr:
            pixels = cv2.cvtColor(pixels[..., [0, 2, 1]], cv2.COLOR_YCrCb2RGB)
        return np.ascontiguousarray(pixels[..., list(self._order or range(self.channels))]), valid

    def _stored(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Read a region as it is stored."""
        axes = self._levels[level][1]
        ranges = {"Y": slice(y, y + height), "X": slice(x, x + width), axes.channel_axis: slice(None)}
        try:
            return np.asarray(
                self._array(level)[tuple(ranges.get(name, self._plane.get(name, 0)) for name in axes.names)]
            )
        except Exception as fault:  # decoders raise exceptions of any class
            raise UnreadableRegion(str(fault)) from fault

    def _present(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray | None:
        """Mark pixels whose tiles or strips the file has; None if it has all."""
        absent = self._absent[level]
        if absent is None:
            return None
        present: np.ndarray = ~absent[_segments_of(self._levels[level][0].keyframe, x, y, width, height)]
        return present

    def close(self) -> None:
        """Close the file."""
        self._arrays.clear()
        with contextlib.suppress(OSError):
            self._tiff.close()


class _Axes:
    """The axes of one level."""

    def __init__(self, names: str, shape: tuple[int, ...]) -> None:
        self.names = names
        sizes = dict(zip(names, shape, strict=True))
        if "Y" not in sizes or "X" not in sizes:
            raise UnreadableSlide(f"axes {names} are not those of an image")
        self.samples = sizes.get("S", 1) > 1
        if self.samples and sizes.get("C", 1) > 1:
            raise UnreadableSlide("it has several colour images; save only one")
        self.channel_axis = "S" if self.samples else "C" if "C" in sizes else "S" if "S" in sizes else None
        self.width, self.height = sizes["X"], sizes["Y"]
        self.count = sizes[self.channel_axis] if self.channel_axis else 1
        self.channels = 3 if self.samples and self.count >= 3 else 1 if self.samples else self.count


def _decode_once(series: tifffile.TiffPageSeries) -> np.ndarray | None:
    """Decode a wide picture of strips into a scratch file, as each region would need whole strips; None for others."""
    page = series.keyframe
    rows = max(page.rowsperstrip, min(REGION, page.imagelength))
    if page.is_tiled or rows * page.imagewidth * page.samplesperpixel < LARGE_STRIP:
        return None
    with contextlib.suppress(Exception):  # of a damaged file the readable strips are read one by one
        decoded: np.ndarray = series.asarray(out="memmap")
        return decoded
    return None


def _axes_of(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> str:
    """Give the axes of an image; pages are channels if OME-XML counts so many and lists none, as with VIPS."""
    pixels = ome_pixels(tiff) if series.axes == "IYX" and len(tiff.series) == 1 else None
    sizes = [] if pixels is None else [pixels.get(f"Size{axis}") for axis in "CZT"]
    return "CYX" if sizes == [str(series.shape[0]), "1", "1"] else str(series.axes)


def _choose_picture(tiff: tifffile.TiffFile, number: int | None) -> tuple[tifffile.TiffPageSeries, dict[str, int]]:
    """Choose the picture among the images of a TIFF, whose small ones are previews, labels and macro images.

    Gives the series, and the index on each axis of its stack.
    """
    images = [one for one in tiff.series if "Y" in one.axes and "X" in one.axes]
    if not images:
        raise UnreadableSlide("the TIFF has no image")
    images = [one for one in images if not OVERVIEW.search(one.name)] or images
    areas = [one.keyframe.imagelength * one.keyframe.imagewidth for one in images]
    # OME-TIFF may hold scenes of different sizes; elsewhere a smaller image is a preview.
    least = max(areas) * SCENE if tiff.is_ome or number is not None else max(areas)
    scenes = [one for one, area in zip(images, areas, strict=True) if area >= least]
    depths = [
        {name: size for name, size in zip(_axes_of(tiff, one), one.shape, strict=True) if name not in "YXSC"}
        for one in scenes
    ]
    counts = [math.prod(depth.values()) for depth in depths]
    if number is None and sum(counts) > 1:
        kinds = f"{len(scenes)} scenes" if len(scenes) > 1 else f"a stack along {', '.join(depths[0])}"
        raise UnreadableSlide(
            f"it has {sum(counts)} pictures ({kinds}); name one in the column path, as a.tif#2, or save a projection"
        )
    copies = [bool(one.keyframe.subfiletype & REDUCED) for one in images]
    if number is None and copies[images.index(scenes[0])] and not all(copies):
        raise UnreadableSlide(LARGEST_IS_COPY)
    index = 0 if number is None else number - 1
    for scene, depth, count in zip(scenes, depths, counts, strict=True):
        if index < count:
            places = np.unravel_index(index, tuple(depth.values())) if depth else ()
            return scene, dict(zip(depth, map(int, places), strict=True))
        index -= count
    raise UnreadableSlide(f"it has no picture #{number}, but {sum(counts)}")


def _alpha(page: tifffile.TiffPage) -> int | None:
    """The kind of transparency that the last sample is; None if it is something else.

    A fourth sample beside red, green and blue whose kind is not specified is opacity to most programs.
    """
    kinds = {int(kind) for kind in page.extrasamples}
    alphas = [tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA]
    if page.photometric not in GREY:
        alphas.append(tifffile.EXTRASAMPLE.UNSPECIFIED)
    return next((kind for kind in alphas if kind in kinds), None)


def _unmultiplied(rgba: np.ndarray) -> np.ndarray:
    """Divide colours by the transparency that they were multiplied by."""
    full = np.iinfo(rgba.dtype).max
    alpha = np.maximum(rgba[..., -1:].astype(np.float32), 1)
    colours = np.minimum(np.rint(rgba[..., :-1] * (full / alpha)), full).astype(rgba.dtype)
    return np.concatenate([colours, rgba[..., -1:]], axis=-1)


def _segments_of(page: tifffile.TiffPage, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, ...]:
    """The row and column of the tile or strip of each pixel of a region."""
    high, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    return np.ix_(np.arange(y, y + height) // high, np.arange(x, x + width) // wide)


def _marked_segments(
    level: tifffile.TiffPageSeries, mark: Callable[[tifffile.TiffPage | tifffile.TiffFrame], Any]
) -> np.ndarray | None:
    """Mark tiles or strips [rows, columns] of which those of a plane are marked; None if none is."""
    page = level.keyframe
    across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
    down = -(-page.imagelength // (page.tilelength if page.is_tiled else page.rowsperstrip))
    marked = np.zeros((down, across), bool)
    for plane in level.pages:
        marks = np.asarray(() if plane is None else mark(plane), bool)
        if marks.size and marks.size % marked.size == 0:
            marked |= marks.reshape(-1, down, across).any(axis=0)
    return marked if marked.any() else None


def _absent_segments(level: tifffile.TiffPageSeries) -> np.ndarray | None:
    """Mark the tiles or strips that a plane of a level does not have; None if it has all."""
    return _marked_segments(level, lambda plane: [count == 0 for count in plane.databytecounts])


def _refuse_damaged(page: tifffile.TiffPage) -> None:
    """Let damaged tiles or strips of a JPEG page, and of its frames, fail, where they would be filled with grey."""
    decode = page.decode

    def decode_whole(data: bytes | None, index: int, **options: Any) -> Any:
        if data is not None:
            header = options.get("jpegheader")
            whole = data if header is None else b"".join((header, data, END))
            if is_damaged(whole, options.get("jpegtables"), most_surplus=0):
                raise ValueError("the JPEG of a tile or strip is damaged")
        return decode(data, index, **options)

    page.decode = decode_whole


def _absent_channels(series: tifffile.TiffPageSeries, plane: dict[str, int]) -> frozenset[int]:
    """Channels of a plane of a stack whose pages are not in the file: they lie in another file, or nowhere."""
    pages = list(series.pages)
    names = [name for name in series.axes if name not in "YXS"]
    sizes = tuple(series.shape[series.axes.index(name)] for name in names)
    if "C" not in names or len(pages) != math.prod(sizes):
        return frozenset()
    missing = np.array([page is None for page in pages]).reshape(sizes)
    of_plane = missing[tuple(slice(None) if name == "C" else plane.get(name, 0) for name in names)]
    return frozenset(np.flatnonzero(of_plane).tolist())


def _channel_names(tiff: tifffile.TiffFile) -> tuple[str, ...]:
    """Names of the channels in OME-XML, or the labels that ImageJ gives the slices of a picture."""
    pixels = ome_pixels(tiff)
    if pixels is None and tiff.is_imagej:
        labels = (tiff.imagej_metadata or {}).get("Labels") or ()
        return tuple(map(str, [labels] if isinstance(labels, str) else labels))
    return () if pixels is None else tuple(e.get("Name") or "" for e in pixels if e.tag.endswith("}Channel"))


def _channel_colours(tiff: tifffile.TiffFile) -> list[int]:
    """Colours of the channels in OME-XML, as unsigned RGBA; empty if not all have one."""
    pixels = ome_pixels(tiff)
    colours = [] if pixels is None else [e.get("Color", "") for e in pixels if e.tag.endswith("}Channel")]
    return [int(colour) % 2**32 for colour in colours] if all(c.lstrip("-").isdigit() for c in colours) else []


Reader = TifffileReader
