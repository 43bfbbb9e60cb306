"""Tiling a slide: from a raw OM or IM image to a pyramid of its tissue, in one streamed pass."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.background import IntensityScale, choose_channel, estimate_background, intensity_factor
from nephroscale.slides.pyramid import write_pyramid, write_tissue_label
from nephroscale.slides.readers.base import UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.sampling import WHITE, Grid, Scales, find_scales, make_grid, sample_tiles, sample_tissue, whole_tissue
from nephroscale.slides.scaled import Overview, ScaledView
from nephroscale.slides.stain import choose_normalisation, fit_macenko, fit_reinhard
from nephroscale.slides.tissue import TissueMask, find_bright_tissue, find_dark_tissue, find_white

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nephroscale.slides.readers.base import SlideReader

THUMBNAIL_PX = 1024
CHEAP_PIXELS = 40_000_000
# Variance of the Laplacian, in 8-bit grey levels squared, below which a tile of stained tissue counts as blurred.
BLURRED = 12.0
STATUS = ("background", "tissue", "unreadable")
COLUMNS = ("row", "column", "x", "y", "status", "tissue_fraction", "focus")


class _Modality(Protocol):
    """What tiling has to know of a modality."""

    dtype: np.dtype
    channels: int
    colours: tuple[str, ...]
    overview: Overview
    mask: TissueMask
    attributes: dict[str, Any]
    quality: dict[str, Any]

    def prepare(self, view: ScaledView, grid: Grid, scales: Scales) -> None:
        """Fit whatever is fitted once per slide."""

    def finish(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:
        """Turn a tile as read, [h, w, c], into the one that is stored."""

    def grey(self, pixels: np.ndarray) -> np.ndarray:
        """The picture as float32 grey levels from 0 to 255."""


def tile_slide(
    path: Path,
    facts: dict[str, Any],
    row: dict[str, Any],
    settings: dict[str, Any],
    reference: dict[str, Any] | None,
    out: Path,
    *,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Tile and normalise one OM or IM image.

    Parameters
    ----------
    path
        The file that the format opens by.
    facts
        What :func:`nephroscale.slides.facts.describe` found.
    row
        The image's row (`modality`, `stain` or `marker`, `roi`, `exposure_ms`, `gain`).
    settings
        The configuration's `om` or `im`.
    reference
        Stain to its reference (OM), or None.
    out
        Folder to create: pyramid, `labels/tissue`, `tiles.csv`, `qc.json`, `thumbnail.png`.
    report
        Called with tiles done and tiles in all.

    Returns
    -------
    dict
        `tiles`, `unreadable_tiles`, `levels`, `mpp`, `tissue_mm2`, `blurred_share`, and `normalisation` (OM) or
        `calibration` (IM).

    Raises
    ------
    Rejected
        When the slide cannot be read, is too coarse, or holds no tissue.
    """
    with open_slide(path, facts["reader"]) as reader:
        try:
            return _tile(reader, facts, row, settings, reference, out, report)
        except UnreadableSlide as fault:
            raise Rejected("the file stopped being readable while it was read") from fault


def _tile(
    reader: SlideReader,
    facts: dict[str, Any],
    row: dict[str, Any],
    settings: dict[str, Any],
    reference: dict[str, Any] | None,
    out: Path,
    report: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    scales = find_scales(reader, facts, row, settings)
    kind: _Modality
    if row["modality"] == "OM":
        kind = _Stained(reader, scales, row, settings, reference)
        view = ScaledView(reader, scales.tile, fill=WHITE)
    else:
        kind = _Fluorescent(reader, scales, row, settings, facts)
        view = ScaledView(reader, scales.tile, prepare=kind.pick)
    grid = make_grid(view, kind.mask.tissue, kind.overview.unreadable, scales.ratio, settings)
    kind.prepare(view, grid, scales)
    stream = _Stream(view, grid, kind, report)
    attributes = {
        "mpp": None if scales.mpp is None else round(scales.mpp, 6),
        "origin": [round(grid.x * scales.tile, 6), round(grid.y * scales.tile, 6)],
        "scale": round(scales.tile, 9),
        "tile_px": grid.side,
        "modality": row["modality"],
        **kind.attributes,
    }
    levels = write_pyramid(
        out,
        (kind.channels, grid.height, grid.width),
        kind.dtype,
        stream,
        tile_px=grid.side,
        mpp=scales.mpp,
        attributes=attributes,
        colours=kind.colours,
    )
    if not (grid.status == 1).any():
        raise Rejected("no tile of its tissue can be read", unreadable_tiles=int((grid.status == 2).sum()))
    write_tissue_label(out, grid.status, tile_px=grid.side, mpp=scales.mpp, levels=levels)
    _write_table(out / "tiles.csv", grid, stream.focus)
    _write_thumbnail(out / "thumbnail.png", _picture(reader, view, kind), kind.grey if kind.channels == 1 else None)
    quality = {**kind.quality, **_quality(kind, grid, stream.focus, scales)}
    (out / "qc.json").write_text(json.dumps(quality, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    names = ("tiles", "unreadable_tiles", "tissue_mm2", "blurred_share", "normalisation", "calibration")
    return {"levels": levels, "mpp": attributes["mpp"], **{name: quality[name] for name in names if name in quality}}


class _Stream:
    """The pixels of level 0, read tile by tile as the pyramid asks for them."""

    def __init__(self, view: ScaledView, grid: Grid, kind: _Modality, report: Callable[[int, int], None] | None) -> None:
        self.view, self.grid, self.kind, self.report = view, grid, kind, report
        self.focus = np.full(grid.status.shape, np.nan)
        self.done, self.total = 0, int((grid.status == 1).sum())

    def __call__(self, y: int, x: int, height: int, width: int) -> np.ndarray | None:
        grid, side = self.grid, self.grid.side
        tiles = np.argwhere(grid.status[y // side : -(-(y + height) // side), x // side : -(-(x + width) // side)] == 1)
        if not len(tiles):
            return None
        block = np.zeros((self.kind.channels, height, width), self.kind.dtype)
        for row, column in (tiles + [y // side, x // side]).tolist():
            left, top, wide, high = grid.box(row, column)
            try:
                pixels, valid = self.view.read(grid.x + left, grid.y + top, wide, high)
            except UnreadableRegion:
                grid.status[row, column] = 2
            else:
                self.focus[row, column] = _focus(self.kind.grey(pixels))
                stored = self.kind.finish(pixels, valid, grid.x + left, grid.y + top)
                block[:, top - y : top - y + high, left - x : left - x + wide] = np.moveaxis(stored, -1, 0)
            self.done += 1
            if self.report is not None:
                self.report(self.done, self.total)
        return block


class _Stained:
    """OM: RGB on bright glass, stains brought to a reference."""

    dtype = np.dtype(np.uint8)
    channels = 3
    colours = ("FF0000", "00FF00", "0000FF")

    def __init__(
        self, reader: SlideReader, scales: Scales, row: dict[str, Any], settings: dict[str, Any], reference: dict[str, Any] | None
    ) -> None:
        self.settings, self.stain = settings, row.get("stain") or ""
        self.reference = (reference or {}).get(self.stain)
        self.overview = ScaledView(reader, scales.overview, fill=WHITE).overview()
        mpp = scales.overview_mpp or float(settings["tissue_mpp"])
        self.mask = find_bright_tissue(self.overview.pixels, self.overview.valid, mpp, self.stain)
        if row.get("roi") == "whole":
            self.mask = TissueMask(whole_tissue(self.overview), self.mask.pen)
        self.attributes: dict[str, Any] = {"stain": self.stain}
        self.quality: dict[str, Any] = {}
        self._apply: Callable[[np.ndarray], np.ndarray] | None = None

    def prepare(self, view: ScaledView, grid: Grid, scales: Scales) -> None:
        pixels = sample_tissue(view, grid, self.mask.tissue, scales.ratio)
        white = find_white(self.overview.pixels, self.overview.valid & ~self.mask.pen)
        macenko, reinhard = fit_macenko(pixels, white), fit_reinhard(pixels, white)
        done, self._apply, reason = choose_normalisation(self.settings["normalisation"], macenko, reinhard, self.reference)
        self.attributes["normalisation"] = done
        self.quality.update(normalisation=done, normalisation_fallback=reason, macenko=macenko, reinhard=reinhard)

    def finish(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:  # noqa: ARG002
        if self._apply is None:
            return pixels
        normalised = self._apply(np.ascontiguousarray(pixels))
        normalised[~valid] = WHITE  # where the scanner took no picture: glass, and no stain moves it
        return normalised

    def grey(self, pixels: np.ndarray) -> np.ndarray:
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32)


class _Fluorescent:
    """IM: one channel at 16 bits, background off."""

    dtype = np.dtype(np.uint16)
    channels = 1
    colours = ("FFFFFF",)

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
            self.mask = TissueMask(whole_tissue(self.overview), self.mask.pen)
        # The picture is shown as it is, from its darkest to its brightest: for focus and thumbnail alone.
        low, high = np.percentile(grey, [1, 99.8]).tolist()
        self._low, self._gain = low, 255 / max(high - low, 1)
        self.attributes: dict[str, Any] = {"stain": marker}
        self.quality: dict[str, Any] = {"channel": self.channel}
        self._scale = IntensityScale(self._background, scales.ratio, 1.0)

    def pick(self, pixels: np.ndarray) -> np.ndarray:
        """The marker's channel of pixels as read."""
        return np.ascontiguousarray(pixels[..., self.channel : self.channel + 1])

    def prepare(self, view: ScaledView, grid: Grid, scales: Scales) -> None:
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
        stored = self._scale(pixels[..., 0], x, y)
        stored[~valid] = 0
        return stored[..., None]

    def grey(self, pixels: np.ndarray) -> np.ndarray:
        return np.clip((pixels[..., 0].astype(np.float32) - self._low) * self._gain, 0, 255)


def _focus(grey: np.ndarray) -> float:
    """Variance of the Laplacian of grey levels from 0 to 255: the less, the more blurred."""
    return round(float(cv2.Laplacian(grey, cv2.CV_32F).astype(np.float64).var()), 3)


def _quality(kind: _Modality, grid: Grid, focus: np.ndarray, scales: Scales) -> dict[str, Any]:
    kept = focus[grid.status == 1]
    area = None if scales.overview_mpp is None else round(float(kind.mask.tissue.sum()) * scales.overview_mpp**2 / 1e6, 4)
    return {
        "tiles": int((grid.status == 1).sum()),
        "unreadable_tiles": int((grid.status == 2).sum()),
        "tissue_mm2": area,
        "tissue_share": round(float(kind.mask.tissue.mean()), 4),
        "pen_share": round(float(kind.mask.pen.mean()), 4),
        "focus_median": round(float(np.median(kept)), 3),
        "blurred_share": round(float((kept < BLURRED).mean()), 4),
    }


def _write_table(path: Path, grid: Grid, focus: np.ndarray) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row, column in np.ndindex(*grid.status.shape):
            x, y, _, _ = grid.box(row, column)
            status = int(grid.status[row, column])
            sharp = f"{focus[row, column]:.3f}" if status == 1 else ""
            writer.writerow([row, column, x, y, STATUS[status], f"{grid.fraction[row, column]:.3f}", sharp])


def _picture(reader: SlideReader, view: ScaledView, kind: _Modality) -> Overview:
    """The whole slide for its thumbnail: the overview, or a finer one where that is small and cheap to read."""
    scale = max(1.0, max(reader.width, reader.height) / THUMBNAIL_PX)
    finer = ScaledView(reader, scale, fill=view.fill, prepare=view.prepare)
    wide, high = reader.sizes[finer.level]
    if finer.width <= kind.overview.pixels.shape[1] or wide * high > CHEAP_PIXELS:
        return kind.overview
    return finer.overview()


def _write_thumbnail(path: Path, overview: Overview, as_grey: Callable[[np.ndarray], np.ndarray] | None) -> None:
    """Write the overview as a small picture; unreadable parts are crossed out in red rather than painted over."""
    picture = overview.pixels if as_grey is None else as_grey(overview.pixels).astype(np.uint8)[..., None].repeat(3, -1)
    picture = np.ascontiguousarray(picture[..., ::-1])
    lost = np.add.outer(np.arange(picture.shape[0]), np.arange(picture.shape[1])) // 4 % 2 == 0
    picture[overview.unreadable] = 128
    picture[overview.unreadable & lost] = (0, 0, 200)
    shrink = THUMBNAIL_PX / max(picture.shape[:2])
    if shrink < 1:
        size = (max(1, round(picture.shape[1] * shrink)), max(1, round(picture.shape[0] * shrink)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    encoded, data = cv2.imencode(".png", picture)
    assert encoded
    path.write_bytes(data.tobytes())
