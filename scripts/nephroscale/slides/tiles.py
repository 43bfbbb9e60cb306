"""Tiling a slide: from a raw OM or IM image to a pyramid of its tissue, in one streamed pass."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.modality import Appearance, Brightfield, Fluorescence
from nephroscale.slides.pyramid import write_pyramid, write_tissue_label
from nephroscale.slides.readers.base import UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.sampling import Grid, Scales, find_scales, make_grid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nephroscale.slides.readers.base import SlideReader
    from nephroscale.slides.scaled import Overview, ScaledView

THUMBNAIL_PX = 1024
CHEAP_PIXELS = 40_000_000
# Variance of the Laplacian, in 8-bit grey levels squared, below which a tile of stained tissue counts as blurred.
BLURRED = 12.0
STATUS = ("background", "tissue", "unreadable")
COLUMNS = ("row", "column", "x", "y", "status", "tissue_fraction", "focus")


def tile_slide(  # noqa: PLR0917
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


def _tile(  # noqa: PLR0917
    reader: SlideReader,
    facts: dict[str, Any],
    row: dict[str, Any],
    settings: dict[str, Any],
    reference: dict[str, Any] | None,
    out: Path,
    report: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    scales = find_scales(reader, facts, row, settings)
    kind: Appearance
    if row["modality"] == "OM":
        kind = Brightfield(reader, scales, row, settings, reference)
    else:
        kind = Fluorescence(reader, scales, row, settings, facts)
    view = kind.view(reader, scales.tile)
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
    _refuse_mostly_unreadable(grid, float(settings["maximum_unreadable"]))
    write_tissue_label(out, grid.status, tile_px=grid.side, mpp=scales.mpp, levels=levels)
    _write_table(out / "tiles.csv", grid, stream.focus)
    _write_thumbnail(out / "thumbnail.png", _picture(reader, kind), kind.grey if kind.channels == 1 else None)
    quality = {**kind.quality, **_quality(kind, grid, stream.focus, scales)}
    (out / "qc.json").write_text(json.dumps(quality, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    names = ("tiles", "unreadable_tiles", "tissue_mm2", "blurred_share", "normalisation", "calibration")
    return {"levels": levels, "mpp": attributes["mpp"], **{name: quality[name] for name in names if name in quality}}


def _refuse_mostly_unreadable(grid: Grid, most: float) -> None:
    """Reject a slide of which too much cannot be read: what is left need not stand for it."""
    lost, wanted = int((grid.status == 2).sum()), int((grid.status != 0).sum())
    if lost == wanted or lost / wanted > most:
        raise Rejected(f"{lost} of its {wanted} tiles cannot be read", unreadable_tiles=lost)


class _Stream:
    """The pixels of level 0, read tile by tile as the pyramid asks for them."""

    def __init__(
        self, view: ScaledView, grid: Grid, kind: Appearance, report: Callable[[int, int], None] | None
    ) -> None:
        self.view, self.grid, self.kind, self.report = view, grid, kind, report
        self.focus = np.full(grid.status.shape, np.nan)
        self.done, self.total = 0, int((grid.status == 1).sum())

    def __call__(self, y: int, x: int, height: int, width: int) -> np.ndarray | None:
        grid, side = self.grid, self.grid.side
        tiles = np.argwhere(grid.status[y // side : -(-(y + height) // side), x // side : -(-(x + width) // side)] == 1)
        if not len(tiles):
            return None
        block = np.zeros((self.kind.channels, height, width), self.kind.dtype)
        for row, column in (tiles + np.array([y // side, x // side])).tolist():
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


def _focus(grey: np.ndarray) -> float:
    """Variance of the Laplacian of grey levels from 0 to 255: the less, the more blurred."""
    return round(float(cv2.Laplacian(grey, cv2.CV_32F).astype(np.float64).var()), 3)


def _quality(kind: Appearance, grid: Grid, focus: np.ndarray, scales: Scales) -> dict[str, Any]:
    kept = focus[grid.status == 1]
    area = (
        None if scales.overview_mpp is None else round(float(kind.mask.tissue.sum()) * scales.overview_mpp**2 / 1e6, 4)
    )
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


def _picture(reader: SlideReader, kind: Appearance) -> Overview:
    """Take the whole slide for its thumbnail: the overview, or a finer one where that is small and cheap to read."""
    scale = max(1.0, max(reader.width, reader.height) / THUMBNAIL_PX)
    finer = kind.view(reader, scale)
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
