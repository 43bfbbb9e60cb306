"""The interface of slide readers, and their errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.slides.readers.stated_exposure import Exposures
    from nephroscale.slides.readers.stated_mpp import Stretch


class UnreadableSlide(Exception):  # noqa: N818  (a verdict on the data)
    """The file cannot be opened as an image, or no longer be read."""


class UnreadableRegion(Exception):  # noqa: N818  (a verdict on the data)
    """The file is open, but the pixels of a region cannot be decoded."""


def split_alpha(rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Separate colours from transparency: a pixel that is more transparent than opaque is not in the file.

    Parameters
    ----------
    rgba
        Unsigned integers [h, w, 4], or [h, w, 2] of a grey picture; not multiplied by the last channel, which is the
        opacity.

    Returns
    -------
    tuple of (ndarray, ndarray or None)
        Colours [h, w, 3] or grey [h, w, 1], and bool [h, w], the pixels that count; None if all do.
    """
    return np.ascontiguousarray(rgba[..., :-1]), opaque_pixels(rgba)


def opaque_pixels(rgba: np.ndarray) -> np.ndarray | None:
    """The second result of :func:`split_alpha`."""
    opaque: np.ndarray = rgba[..., -1] > np.iinfo(rgba.dtype).max // 2
    return None if opaque.all() else opaque


class SlideReader(ABC):
    """A raw image as levels of pixels, without its label and macro images.

    Attributes
    ----------
    width, height
        Size of level 0 in pixels.
    vendor
        Manufacturer of the scanner, or file format.
    mpp
        µm per pixel of level 0 as stated in the file, plausible or not; None if the file states none.
    mpp_is_generic
        Whether `mpp` comes from a generic resolution tag rather than from the metadata of a scanner.
    scale_fault
        Why a scale that the file states cannot be used; empty otherwise.
    stretch
        Square pixels per pixel of the file along x and y (:class:`.stated_mpp.StatedMpp`); see :class:`.SquarePixels`.
    scale_doubt
        Why the scale may be that of another picture; empty otherwise.
    colour_doubt
        Why colours are not those that the file means (:mod:`.colour_profile`); empty otherwise.
    sizes
        (width, height) of each level, largest first.
    downsamples
        Level-0 pixels per pixel of each level, from 1.0 up.
    channels, dtype
        Of the arrays: 3 and uint8 for RGB, or any number of grey channels, uint8 or uint16.
    rgb
        Whether the channels are red, green and blue.
    channel_names
        Names of grey channels, if the file has them.
    exposures_ms
        Exposure of each channel in ms as the file states it (of a picture in colour one), None where it states none;
        empty where it states none at all.
    absent_channels
        Channels that the metadata name, but whose pixels the file does not have.
    parallel
        Whether several threads may read at the same time.
    """

    width: int
    height: int
    vendor: str
    mpp: float | None = None
    mpp_is_generic: bool = False
    scale_fault: str = ""
    stretch: Stretch = (1.0, 1.0)
    scale_doubt: str = ""
    colour_doubt: str = ""
    sizes: tuple[tuple[int, int], ...]
    downsamples: tuple[float, ...]
    channels: int = 3
    dtype: np.dtype = np.dtype(np.uint8)
    rgb: bool = True
    channel_names: tuple[str, ...] = ()
    exposures_ms: Exposures = ()
    absent_channels: frozenset[int] = frozenset()
    parallel: bool = False

    @abstractmethod
    def __init__(self, path: Path) -> None:
        """Open a file; raises :class:`UnreadableSlide`."""

    @abstractmethod
    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read a region that is wholly inside a level.

        Parameters
        ----------
        level
            Index into `sizes`.
        x, y, width, height
            In pixels of that level.

        Returns
        -------
        tuple of (ndarray, ndarray or None)
            Pixels [height, width, channels], and a mask of those that the file has (bool), None for all.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def read_reduced(self, level: int, factor: int, x: int, y: int, width: int, height: int) -> np.ndarray | None:  # noqa: ARG002, PLR0917
        """Decode a region at a fraction of its scale, which is faster than to decode and to average it.

        Parameters
        ----------
        level
            Index into `sizes`.
        factor
            Pixels of the level per pixel of the result, at least 2.
        x, y, width, height
            Region inside the level, in pixels of the result.

        Returns
        -------
        ndarray or None
            Pixels [height, width, channels], all of which the file has; None where this reader has no such way.

        Raises
        ------
        UnreadableRegion
            When the pixels there cannot be decoded.
        """
        return None

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a region of a level; pixels beyond its edges are zero and not valid.

        Parameters
        ----------
        level
            Index into `sizes`.
        x, y, width, height
            In pixels of that level; the region may reach past its edges.

        Returns
        -------
        tuple of (ndarray, ndarray)
            Pixels [height, width, channels], and a mask of those that the file has (bool [height, width]).

        Raises
        ------
        UnreadableRegion
            When the pixels there cannot be decoded.
        """
        wide, high = self.sizes[level]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, wide), min(y + height, high)
        inside = x0 < x1 and y0 < y1
        if inside and (x0, y0, x1, y1) == (x, y, x + width, y + height):
            pixels, valid = self.read_inside(level, x, y, width, height)
            return pixels, np.ones((height, width), bool) if valid is None else valid
        pixels = np.zeros((height, width, self.channels), self.dtype)
        known = np.zeros((height, width), bool)
        if inside:
            part, valid = self.read_inside(level, x0, y0, x1 - x0, y1 - y0)
            where = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
            pixels[where] = part
            known[where] = True if valid is None else valid
        return pixels, known

    def __repr__(self) -> str:
        scale = "no scale" if self.mpp is None else f"{self.mpp:g} µm/px"
        levels = f"{len(self.sizes)} level{'s' if len(self.sizes) > 1 else ''}"
        return f"<{type(self).__name__} {self.width} x {self.height} px, {levels}, {scale}, {self.vendor}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
