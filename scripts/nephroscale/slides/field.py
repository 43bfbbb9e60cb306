"""The marker's channel of a fluorescence image, and a photograph as this channel without what was drawn on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.drawn_shapes import find_picture, find_shapes
from nephroscale.slides.dye import Dye, components, dilated, separate_dye
from nephroscale.slides.panels import find_dark_band, find_panels
from nephroscale.slides.readers.base import SlideReader, UnreadableRegion
from nephroscale.slides.steps import find_step

if TYPE_CHECKING:
    from nephroscale.cohort.image import ImageRow

COLOURS = ("red", "green", "blue")
MOST_PIXELS = 120_000_000  # of a photograph; each takes about 12 bytes
SMEARED = 8  # pixels around marks in which JPEG changes colours
FINE = 3.0  # pixels; texture finer than this is copied into filled marks


def named_channel(reader: SlideReader, row: ImageRow) -> int | None:
    """Find the channel of the marker by its name.

    Parameters
    ----------
    reader
        An open image.
    row
        Its table row: `channel`, otherwise `marker`.

    Returns
    -------
    int or None
        Index of the channel; None for a picture in colour whose row names none, which is that of one dye
        (:func:`~nephroscale.slides.dye.separate_dye`).

    Raises
    ------
    Rejected
        When the named channel does not exist, its plane is not in the file, or not exactly one of several grey
        channels is named after the marker.
    """
    found = _find_channel(reader, row)
    if found in reader.absent_channels:
        raise Rejected(
            f"its metadata name the channel {found + 1}, but the file does not have its pixels, as one of several "
            "files of an OME-TIFF; give the file with this channel, or save all in one file"
        )
    return found


def _find_channel(reader: SlideReader, row: ImageRow) -> int | None:
    stated = COLOURS if reader.rgb else reader.channel_names
    names = [name.casefold() for name in stated]
    if row.channel is not None:
        if row.channel.isdecimal() and 1 <= int(row.channel) <= reader.channels:
            return int(row.channel) - 1
        count = names.count(row.channel.casefold())
        if count == 1:
            return names.index(row.channel.casefold())
        which = f"{count} channels {row.channel!r}" if count else f"no channel {row.channel!r}"
        named = ", ".join(f"{number} {name}".strip() for number, name in enumerate(stated, 1))
        raise Rejected(
            f"it has {which} among {reader.channels}{named and f' ({named})'}; give the number of the channel, from 1"
        )
    if reader.rgb or reader.channels == 1:
        return None if reader.rgb else 0
    marker = (row.marker or row.stain or "").casefold()
    fitting = [n for n, name in enumerate(names) if marker and _has_words(name, marker)]
    if len(fitting) != 1:
        raise Rejected(
            f"it has {reader.channels} channels, and not exactly one is named after the marker; save only that "
            "channel, or name it in the column channel"
        )
    return fitting[0]


def _has_words(name: str, marker: str) -> bool:
    """Whether a name has the words of the marker in a row, as `anti-IgG (FITC)` has IgG; `IgG4` is another marker."""
    words, wanted = (re.findall(r"\w+", text.replace("_", " ")) for text in (name, marker))
    return any(words[n : n + len(wanted)] == wanted for n in range(len(words))) if wanted else False


def open_field(reader: SlideReader, row: ImageRow) -> SlideReader:
    """Give a photograph as a :class:`Field`; give a slide, on which no program draws, as it is.

    A file with several levels is a slide, and so is one that is too large for memory. A damaged photograph is read like
    a slide, in parts.
    """
    if len(reader.sizes) > 1 or reader.width * reader.height > MOST_PIXELS:
        return reader
    try:
        return Field(reader, named_channel(reader, row))
    except UnreadableRegion:
        return reader


class Field(SlideReader):
    """One channel of a photograph, in memory.

    Parameters
    ----------
    reader
        The photograph.
    channel
        Of the marker; None where the picture in colour is that of one dye.

    Attributes
    ----------
    named, channel
        The channel as it was given, and the one that was read.
    marked
        Share of the pixels that was drawn on.

    Raises
    ------
    Rejected
        When a picture in colour is that of several dyes, or the file shows several pictures.
    UnreadableRegion
        When it cannot be decoded.
    """

    def __init__(self, reader: SlideReader, channel: int | None) -> None:
        for name in ("width", "height", "vendor", "mpp", "mpp_is_generic", "sizes", "downsamples", "dtype"):
            setattr(self, name, getattr(reader, name))
        self.channels, self.rgb, self.named = 1, False, channel
        pixels, valid = reader.read_level(0, 0, 0, self.width, self.height)
        drawn = np.zeros(valid.shape, bool)
        picture = find_picture(pixels.max(axis=-1))
        outside = np.ones_like(valid)
        outside[picture] = False
        valid &= ~outside
        brightest = pixels[picture].max(axis=-1)
        if panels := find_panels(brightest) or find_dark_band(brightest):
            raise Rejected(panels)
        if channel is None:
            channel, drawn = _separate_dye(pixels, valid)
        self.channel = channel
        grey = np.ascontiguousarray(pixels[..., channel])
        del pixels, brightest
        drawn |= find_shapes(_levels(grey, valid, drawn))
        drawn &= valid
        self.marked = float((drawn | outside).mean())
        filled = _fill(grey, drawn)
        if step := find_step(filled[picture]):
            raise Rejected(step)
        self._pixels, self._valid = filled[..., None], None if valid.all() else valid

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ARG002
        """Read a region: pixels, and a mask of those that are no data strip (None for all)."""
        where = np.s_[y : y + height, x : x + width]
        return self._pixels[where].copy(), None if self._valid is None else self._valid[where].copy()

    def close(self) -> None:
        """Do nothing: the picture is in memory."""


def _separate_dye(rgb: np.ndarray, valid: np.ndarray) -> Dye:
    """Separate the dye from marks in any colour, the dye's own included.

    JPEG stores colour at half the resolution, so that marks in red or blue have no sharp edges in these channels. The
    brightness has them. Around a mark, JPEG's colours are off the dye's line, which is no second picture.
    """
    if rgb.dtype != np.uint8:
        return separate_dye(rgb, valid)
    shapes = find_shapes(_levels(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), valid, ~valid))
    try:
        channel, drawn = separate_dye(rgb, valid)
    except Rejected:
        if not shapes.any():
            raise
        channel, drawn = separate_dye(rgb, valid & ~dilated(shapes, SMEARED))
    return Dye(channel, drawn | dilated(shapes, 2) if shapes.any() else drawn)


def _levels(grey: np.ndarray, valid: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Convert to 8 bits, from black to the brightest pixel that is not drawn; what the file does not have is black."""
    seen = grey[valid & ~drawn]
    levels = np.minimum(grey * np.float32(255 / max(1.0, float(seen.max(initial=0)))), 255).astype(np.uint8)
    levels[~valid] = 0
    return levels


def _fill(grey: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Fill marks by inpainting, and with the fine texture of pixels beside them: a smooth patch can be read as well."""
    filled = grey.copy()
    for window, part in components(drawn, 1):
        hole = drawn[window]
        inner = cv2.inpaint(grey[window], hole.view(np.uint8), 3, cv2.INPAINT_TELEA)
        coarse = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), FINE)
        fine = (inner - coarse)[~hole]
        if fine.size:
            coarse += np.resize(fine, coarse.shape)
        filled[window][part] = np.clip(np.rint(coarse), 0, np.iinfo(grey.dtype).max).astype(grey.dtype)[part]
    return filled
