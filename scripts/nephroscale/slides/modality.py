"""Pixels of the two slide modalities: brightfield (OM), stained on bright glass, and fluorescence (IM)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import Rejected
from nephroscale.slides.background import (
    BACKGROUND,
    IntensityScale,
    calibrate_intensity,
    estimate_background,
    saturated_share,
)
from nephroscale.slides.bubbles import find_bubbles
from nephroscale.slides.dye import separate_dye
from nephroscale.slides.facts import ImageFacts, is_whole_field
from nephroscale.slides.field import Field, named_channel
from nephroscale.slides.folds import find_folds
from nephroscale.slides.normalisation import Normalisation, choose_normalisation
from nephroscale.slides.slide_view import WHITE, Overview, SlideView
from nephroscale.slides.stain import StainReference, fit_macenko, fit_reinhard
from nephroscale.slides.tile_grid import TileGrid, sample_tiles, sample_tissue
from nephroscale.slides.tissue import TissueMask, estimate_white_point, find_bright_tissue, find_dark_tissue
from nephroscale.slides.vahadane import fit_vahadane

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nephroscale.cohort.image import ImageRow
    from nephroscale.slides.readers.base import SlideReader
    from nephroscale.slides.scales import Scales
    from nephroscale.slides.settings import ImTilingSettings, OmTilingSettings


ABSORBS = 25  # levels below glass, from which on a pixel is stained


class Modality(ABC):
    """What tiling needs of a modality; construction reads the slide once at a coarse scale.

    Attributes
    ----------
    dtype, channels, colours
        Of the stored arrays; name of each channel to its hexadecimal colour, for viewers.
    overview, mask, folds, bubbles
        The slide at a coarse scale, its tissue, and folds and bubbles in it (None where they are not looked for).
    max_fold, max_bubble
        Fraction of a tile that folds, and bubbles, may cover.
    attributes, quality
        JSON values for the pyramid and for `qc.json`.
    """

    dtype: ClassVar[np.dtype]
    channels: ClassVar[int]
    colours: Mapping[str, str]
    folds: np.ndarray | None = None
    max_fold: float = 1.0
    bubbles: np.ndarray | None = None
    max_bubble: float = 1.0

    def __init__(self, overview: Overview, mask: TissueMask, row: ImageRow, stain: str) -> None:
        if not (overview.valid | overview.unreadable).any():
            raise Rejected("it has no picture: all of its pixels are transparent or were not scanned")
        self.overview = overview
        self.mask = TissueMask(overview.valid.copy(), mask.pen) if is_whole_field(row) else mask
        self.attributes: dict[str, object] = {"stain": stain}
        self.quality: dict[str, object] = {}

    @abstractmethod
    def view(self, reader: SlideReader, scale: float) -> SlideView:
        """View the slide at a scale."""

    @abstractmethod
    def fit(self, view: SlideView, grid: TileGrid, scales: Scales) -> None:
        """Fit normalisation or calibration, once per slide."""

    @abstractmethod
    def transform(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:
        """Turn a tile of the view, [h, w, c] at x, y in pixels of level 0, into the one that is stored, [c, h, w]."""

    @abstractmethod
    def describe_transform(self, out: Path) -> dict[str, object]:
        """Describe :meth:`transform` for :mod:`.slide_pixels`: JSON values, and arrays in the folder `out`."""

    @abstractmethod
    def to_grey(self, pixels: np.ndarray) -> np.ndarray:
        """Convert pixels [h, w, c] to grey levels [h, w] from 0 to 255, uint8 or float32."""


class Brightfield(Modality):
    """OM: RGB on bright glass, normalised to the reference of its stain."""

    dtype = np.dtype(np.uint8)
    channels = 3

    def __init__(
        self,
        reader: SlideReader,
        scales: Scales,
        row: ImageRow,
        settings: OmTilingSettings,
        references: Mapping[str, StainReference] | None,
    ) -> None:
        self.settings, stain = settings, row.stain or ""
        self.reference = (references or {}).get(stain)
        self.normalisation = Normalisation("identity")
        self.colours = {"Red": "FF0000", "Green": "00FF00", "Blue": "0000FF"}
        overview = self.view(reader, scales.overview).overview()
        mpp = scales.overview_mpp or settings.tissue_mpp
        super().__init__(overview, find_bright_tissue(overview.pixels, overview.valid, mpp, stain), row, stain)
        self.max_fold, self.max_bubble = settings.max_fold_fraction, settings.max_bubble_fraction
        if scales.overview_mpp is not None:
            self.folds = find_folds(overview.pixels, overview.valid, self.mask, mpp)
            self.bubbles = find_bubbles(overview.pixels, overview.valid, self.mask, mpp)
            self.quality |= {
                f"{kind}_share": round(float(found.sum() / max(1, self.mask.tissue.sum())), 4)
                for kind, found in (("fold", self.folds), ("bubble", self.bubbles))
            }

    def view(self, reader: SlideReader, scale: float) -> SlideView:
        """View the slide at a scale."""
        return SlideView(reader, scale, fill=WHITE)

    def fit(self, view: SlideView, grid: TileGrid, scales: Scales) -> None:
        """Fit stains, and choose the normalisation."""
        pixels = sample_tissue(view, grid, self.mask.tissue, scales.ratio)
        white = estimate_white_point(self.overview.pixels, self.overview.valid & ~self.mask.pen)
        self.quality["clipped_share"] = clipped = round(_clipped_share(pixels, white), 4)
        if clipped > self.settings.max_clipped_fraction:
            raise Rejected(f"{clipped:.0%} of its tissue is over- or underexposed (om.max_clipped_fraction)")
        method = "vahadane" if self.settings.normalisation == "vahadane" else "macenko"
        stains = (fit_vahadane if method == "vahadane" else fit_macenko)(pixels, white)
        reinhard = fit_reinhard(pixels, white)
        self.normalisation = choose_normalisation(self.settings.normalisation, stains, reinhard, self.reference)
        self.attributes["normalisation"] = self.normalisation.method
        self.quality.update(
            normalisation=self.normalisation.method,
            normalisation_fallback=self.normalisation.fallback,
            reinhard=asdict(reinhard),
            **{method: asdict(stains)},
        )

    def transform(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:  # noqa: ARG002
        """Normalise a tile."""
        return self.normalisation.planes(pixels, valid)

    def describe_transform(self, out: Path) -> dict[str, object]:  # noqa: ARG002
        """Give the normalisation; it needs no array."""
        return {"normalisation": self.normalisation.to_json()}

    def to_grey(self, pixels: np.ndarray) -> np.ndarray:
        """Convert pixels to grey levels from 0 to 255."""
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)


def _clipped_share(pixels: np.ndarray, white: tuple[float, ...]) -> float:
    """Share of pixels of tissue, uint8 [n, 3], with a channel at 0, or at 255 where another one absorbs light."""
    if not len(pixels):
        return 0.0
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    return float(((low == 0) | ((high == 255) & (low < min(white) - ABSORBS))).mean())


class Fluorescence(Modality):
    """IM: the marker's channel at 16 bits, background subtracted."""

    dtype = np.dtype(np.uint16)
    channels = 1

    def __init__(
        self, reader: SlideReader, scales: Scales, row: ImageRow, settings: ImTilingSettings, facts: ImageFacts
    ) -> None:
        self.row, self.raw_dtype, self.stated_ms = row, np.dtype(facts.dtype), facts.exposure_ms
        marker = row.marker or row.stain or ""
        all_channels = SlideView(reader, scales.overview).overview()
        named = 0 if isinstance(reader, Field) else named_channel(reader, row)
        self.channel = separate_dye(*all_channels[:2]).channel if named is None else named
        overview = all_channels._replace(pixels=self.select_channel(all_channels.pixels))
        grey, seen = overview.pixels[..., 0], overview.valid if overview.valid.any() else None
        self._background = estimate_background(grey, scales.overview_mpp, settings.background_um, seen)
        mpp = scales.overview_mpp or settings.tissue_mpp
        super().__init__(overview, find_dark_tissue(grey, overview.valid, mpp), row, marker)
        self.colours = {marker or "fluorescence": "00FF00"}
        # Grey levels for focus and thumbnail only.
        low, high = np.percentile(grey if seen is None else grey[seen], [1, 99.8]).tolist()
        self._low, self._gain = low, 255 / max(high - low, 1)
        self.quality["channel"] = reader.channel if isinstance(reader, Field) else self.channel
        self.quality["marked_share"] = round(reader.marked, 5) if isinstance(reader, Field) else None
        self._scale = IntensityScale(self._background, scales.ratio, 1.0)
        # A photograph is opened as a field again, with the channel that was asked for.
        self._field = {"field": True, "named": reader.named} if isinstance(reader, Field) else {"field": False}

    def view(self, reader: SlideReader, scale: float) -> SlideView:
        """View the marker's channel at a scale."""
        return SlideView(reader, scale, prepare=self.select_channel)

    def select_channel(self, pixels: np.ndarray) -> np.ndarray:
        """Select the marker's channel, [h, w, 1], of pixels as read."""
        return np.ascontiguousarray(pixels[..., self.channel : self.channel + 1])

    def fit(self, view: SlideView, grid: TileGrid, scales: Scales) -> None:
        """Calibrate the intensity."""
        tiles = list(sample_tiles(view, grid))
        counts = np.concatenate([np.zeros(0), *(tile.pixels[tile.valid].ravel() for tile in tiles)])
        parts = [self._scale.subtract(tile.pixels[..., 0], tile.x, tile.y)[tile.valid] for tile in tiles]
        above = np.concatenate([np.zeros(0), *parts])
        calibration = calibrate_intensity(above, self.raw_dtype, self.row, self.stated_ms)
        self._scale = IntensityScale(self._background, scales.ratio, calibration.factor)
        self.attributes["calibration"] = calibration.kind
        self.quality.update(
            calibration=calibration.kind,
            counts_to_stored=calibration.factor,
            background_median=round(float(np.median(self._background)), 3),
            saturated_share=round(saturated_share(counts, above * calibration.factor), 4),
            background_range=round(float(np.ptp(self._background)), 3),
        )

    def transform(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:
        """Subtract the background of a tile and scale it to 16 bits."""
        return self._scale.plane(pixels, valid, x, y)

    def describe_transform(self, out: Path) -> dict[str, object]:
        """Give the channel and the factor of the intensity, and write the background."""
        write_arrays(out / BACKGROUND, {BACKGROUND: self._background})
        return {"channel": self.channel, "ratio": self._scale.ratio, "factor": self._scale.factor, **self._field}

    def to_grey(self, pixels: np.ndarray) -> np.ndarray:
        """Convert pixels to grey levels from 0 to 255."""
        return np.asarray(np.clip((pixels[..., 0].astype(np.float32) - self._low) * self._gain, 0, 255))
