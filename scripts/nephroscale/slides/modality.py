"""How a raw image looks, and what becomes of its pixels: stained on bright glass (OM), or shining in the dark (IM)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from nephroscale.slides.background import IntensityScale, choose_channel, estimate_background, intensity_factor
from nephroscale.slides.sampling import WHITE, Grid, Scales, sample_tiles, sample_tissue
from nephroscale.slides.scaled import Overview, ScaledView
from nephroscale.slides.stain import choose_normalisation, fit_macenko, fit_reinhard
from nephroscale.slides.tissue import TissueMask, estimate_white_point, find_bright_tissue, find_dark_tissue

if TYPE_CHECKING:
    from collections.abc import Callable

    from nephroscale.slides.readers.base import SlideReader


class Appearance(ABC):
    """What tiling has to know of a modality; made by reading the slide once at a coarse scale.

    Attributes
    ----------
    dtype, channels, colours
        Of the stored arrays, and how viewers show them.
    overview, mask
        The slide at a coarse scale, and its tissue.
    attributes, quality
        JSON values for the pyramid and for `qc.json`.
    """

    dtype: np.dtype
    channels: int
    colours: tuple[str, ...]
    overview: Overview
    mask: TissueMask
    attributes: dict[str, Any]
    quality: dict[str, Any]

    @abstractmethod
    def view(self, reader: SlideReader, scale: float) -> ScaledView:
        """See the slide at a scale."""

    @abstractmethod
    def prepare(self, view: ScaledView, grid: Grid, scales: Scales) -> None:
        """Fit whatever is fitted once per slide."""

    @abstractmethod
    def finish(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:
        """Turn a tile as the view gives it, [h, w, c], into the one that is stored; x, y in pixels of level 0."""

    @abstractmethod
    def grey(self, pixels: np.ndarray) -> np.ndarray:
        """Give the picture as float32 grey levels from 0 to 255."""


class Brightfield(Appearance):
    """OM: RGB on bright glass, stains brought to a reference."""

    dtype = np.dtype(np.uint8)
    channels = 3
    colours: tuple[str, ...] = ("FF0000", "00FF00", "0000FF")

    def __init__(
        self,
        reader: SlideReader,
        scales: Scales,
        row: dict[str, Any],
        settings: dict[str, Any],
        reference: dict[str, Any] | None,
    ) -> None:
        self.settings, self.stain = settings, row.get("stain") or ""
        self.reference = (reference or {}).get(self.stain)
        self.overview = ScaledView(reader, scales.overview, fill=WHITE).overview()
        mpp = scales.overview_mpp or float(settings["tissue_mpp"])
        self.mask = find_bright_tissue(self.overview.pixels, self.overview.valid, mpp, self.stain)
        if row.get("roi") == "whole":
            self.mask = TissueMask(self.overview.valid.copy(), self.mask.pen)
        self.attributes: dict[str, Any] = {"stain": self.stain}
        self.quality: dict[str, Any] = {}
        self._apply: Callable[[np.ndarray], np.ndarray] | None = None

    def view(self, reader: SlideReader, scale: float) -> ScaledView:
        """See the slide at a scale, as it is."""
        return ScaledView(reader, scale, fill=WHITE)

    def prepare(self, view: ScaledView, grid: Grid, scales: Scales) -> None:
        """Fit whatever is fitted once per slide."""
        pixels = sample_tissue(view, grid, self.mask.tissue, scales.ratio)
        white = estimate_white_point(self.overview.pixels, self.overview.valid & ~self.mask.pen)
        macenko, reinhard = fit_macenko(pixels, white), fit_reinhard(pixels, white)
        done, self._apply, reason = choose_normalisation(
            self.settings["normalisation"], macenko, reinhard, self.reference
        )
        self.attributes["normalisation"] = done
        self.quality.update(normalisation=done, normalisation_fallback=reason, macenko=macenko, reinhard=reinhard)

    def finish(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:  # noqa: ARG002
        """Turn a tile into the one that is stored."""
        if self._apply is None:
            return pixels
        normalised = self._apply(np.ascontiguousarray(pixels))
        normalised[~valid] = WHITE  # where the scanner took no picture: glass, and no stain moves it
        return normalised

    def grey(self, pixels: np.ndarray) -> np.ndarray:
        """Give the picture as float32 grey levels from 0 to 255."""
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32)


class Fluorescence(Appearance):
    """IM: one channel at 16 bits, background off."""

    dtype = np.dtype(np.uint16)
    channels = 1
    colours: tuple[str, ...] = ("FFFFFF",)

    def __init__(
        self, reader: SlideReader, scales: Scales, row: dict[str, Any], settings: dict[str, Any], facts: dict[str, Any]
    ) -> None:
        self.row, self.raw_dtype = row, np.dtype(facts["dtype"])
        marker = row.get("marker") or row.get("stain") or ""
        whole = ScaledView(reader, scales.overview).overview()
        self.channel = choose_channel(whole.pixels, rgb=reader.rgb, names=reader.channel_names, marker=marker)
        self.overview = whole._replace(pixels=self.pick(whole.pixels))
        grey = self.overview.pixels[..., 0]
        self._background = estimate_background(grey, scales.overview_mpp, float(settings["background_um"]))
        mpp = scales.overview_mpp or float(settings["tissue_mpp"])
        self.mask = find_dark_tissue(grey, self.overview.valid, mpp)
        if row.get("roi") == "whole":
            self.mask = TissueMask(self.overview.valid.copy(), self.mask.pen)
        # The picture is shown as it is, from its darkest to its brightest: for focus and thumbnail alone.
        low, high = np.percentile(grey, [1, 99.8]).tolist()
        self._low, self._gain = low, 255 / max(high - low, 1)
        self.attributes: dict[str, Any] = {"stain": marker}
        self.quality: dict[str, Any] = {"channel": self.channel}
        self._scale = IntensityScale(self._background, scales.ratio, 1.0)

    def view(self, reader: SlideReader, scale: float) -> ScaledView:
        """See the marker's channel at a scale."""
        return ScaledView(reader, scale, prepare=self.pick)

    def pick(self, pixels: np.ndarray) -> np.ndarray:
        """Take the marker's channel of pixels as read."""
        return np.ascontiguousarray(pixels[..., self.channel : self.channel + 1])

    def prepare(self, view: ScaledView, grid: Grid, scales: Scales) -> None:
        """Fit whatever is fitted once per slide."""
        sample = [self._scale.subtract(pixels[..., 0], x, y)[valid] for x, y, pixels, valid in sample_tiles(view, grid)]
        calibration, factor = intensity_factor(np.concatenate(sample or [np.zeros(0)]), self.raw_dtype, self.row)
        self._scale = IntensityScale(self._background, scales.ratio, factor)
        self.attributes["calibration"] = calibration
        self.quality.update(
            calibration=calibration,
            counts_to_stored=factor,
            background_median=round(float(np.median(self._background)), 3),
            background_range=round(float(np.ptp(self._background)), 3),
        )

    def finish(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:
        """Turn a tile into the one that is stored."""
        stored = self._scale(pixels[..., 0], x, y)
        stored[~valid] = 0
        return stored[..., None]

    def grey(self, pixels: np.ndarray) -> np.ndarray:
        """Give the picture as float32 grey levels from 0 to 255."""
        return np.clip((pixels[..., 0].astype(np.float32) - self._low) * self._gain, 0, 255)
