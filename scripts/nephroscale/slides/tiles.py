"""Tile a slide: from a raw OM or IM image to a pyramid of its tissue tiles, in one streamed pass."""

from __future__ import annotations

import csv
import json
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING, NotRequired, TypedDict

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.facts import ImageFacts, is_whole_field
from nephroscale.slides.field import open_field
from nephroscale.slides.modality import Brightfield, Fluorescence, Modality
from nephroscale.slides.pyramid import count_levels, write_coordinates, write_pyramid, write_tissue_label
from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.scales import Scales, choose_scales
from nephroscale.slides.settings import ImTilingSettings, OmTilingSettings
from nephroscale.slides.slide_pixels import describe_pixels
from nephroscale.slides.tile_grid import TileGrid, make_grid
from nephroscale.slides.tile_reader import BUBBLE_LEVEL, FOLD_LEVEL, PEN_LEVEL
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nephroscale.cohort.image import ImageRow
    from nephroscale.slides.slide_view import Overview, SlideView
    from nephroscale.slides.stain import StainReference

THUMBNAIL_PX = 1024
THUMBNAIL_MAX_READ = 40_000_000  # pixels of the raw level that a thumbnail may be made from
BLURRED = 0.36  # focus below which a tile counts as blurred: a Gaussian of about 1 µm
DAMAGED = (
    "parts of it are damaged or cut off, and tiles with them are left out (slides.html): copy it again from its source"
)
COLUMNS = (
    *("row", "column", "x", "y", "status"),
    *("tissue_fraction", "pen_fraction", "fold_fraction", "bubble_fraction", "focus", "reason"),
)


class TileFigures(TypedDict):
    """Figures of a tiled slide; `normalisation` for OM, `calibration` and `saturated_share` (of its pixels) for IM.

    `doubtful_images` has what a person should check of it.
    """

    tiles: int
    unreadable_tiles: int
    levels: int
    mpp: float | None
    tissue_mm2: float | None
    blurred_share: float
    normalisation: NotRequired[str]
    calibration: NotRequired[str]
    saturated_share: NotRequired[float]
    doubtful_images: NotRequired[dict[str, str]]


class TileQuality(TypedDict):
    """Quality figures of `qc.json` that both modalities have."""

    tiles: int
    unreadable_tiles: int
    tissue_mm2: float | None
    tissue_share: float
    pen_share: float
    left_out: int
    focus_median: float
    blurred_share: float


def tile_slide(  # noqa: PLR0917
    path: Path,
    facts: ImageFacts,
    row: ImageRow,
    settings: OmTilingSettings | ImTilingSettings,
    references: Mapping[str, StainReference] | None,
    out: Path,
    *,
    threads: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> TileFigures:
    """Tile an OM image and normalise its stain, or an IM image and subtract its background.

    Parameters
    ----------
    path
        File that the format is opened by.
    facts
        Facts of the image.
    row
        Table row of the image.
    settings
        Settings of OM or of IM; their class decides the modality.
    references
        References by stain (OM), or None.
    out
        Folder to create: pyramid, `labels/tissue`, `tiles.csv`, `qc.json`, `thumbnail.png`, `mask.png`; without the
        arrays of the pyramid if `settings.keep` is `coordinates`.
    threads
        Tiles that are processed at the same time; the bytes do not depend on it.
    report
        Called with the number of tiles done and the total.

    Raises
    ------
    Rejected
        When the slide, or too many of its tiles, cannot be read, or when it is too coarse, has no tissue, is out of
        focus, or is over- or underexposed (OM).
    """
    with open_slide(path, facts.reader, facts.page, facts.stretch) as opened:
        reader = opened
        try:
            scales = choose_scales(reader, facts.mpp, settings, whole_field=is_whole_field(row))
            modality: Modality
            if isinstance(settings, OmTilingSettings):
                modality = Brightfield(reader, scales, row, settings, references)
            else:
                reader = open_field(reader, row)
                modality = Fluorescence(reader, scales, row, settings, facts)
            # OpenCV's own threads would wait for those of the pool.
            with opencv_threads(1), ThreadPoolExecutor(threads) as pool:
                return _tile(reader, facts, scales, modality, row, settings, out, pool if threads > 1 else None, report)
        except UnreadableSlide as fault:
            raise Rejected("the file became unreadable while it was being read") from fault


@contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """Let OpenCV use so many threads in one call."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _tile(  # noqa: PLR0917
    reader: SlideReader,
    facts: ImageFacts,
    scales: Scales,
    modality: Modality,
    row: ImageRow,
    settings: OmTilingSettings | ImTilingSettings,
    out: Path,
    pool: Executor | None,
    report: Callable[[int, int], None] | None,
) -> TileFigures:
    view = modality.view(reader, scales.tile)
    grid = make_grid(
        view,
        modality.mask,
        modality.overview.unreadable,
        scales.ratio,
        settings,
        folds=modality.folds,
        max_fold=modality.max_fold,
        bubbles=modality.bubbles,
        max_bubble=modality.max_bubble,
    )
    modality.fit(view, grid, scales)
    stream = _Stream(view, grid, modality, settings, report)
    mpp = None if scales.mpp is None else round(scales.mpp, 6)
    across, along = facts.stretch or (1.0, 1.0)
    attributes = {
        "mpp": mpp,
        "origin": [round(grid.x * scales.tile / across, 6), round(grid.y * scales.tile / along, 6)],
        "slide_px": [facts.width, facts.height] if facts.stretch else [reader.width, reader.height],
        "scale": round(scales.tile, 9),
        "tile_px": grid.side,
        "modality": row.modality,
        **({"stretch": facts.stretch} if facts.stretch else {}),
        **modality.attributes,
    }
    if settings.keep == "pixels":
        levels = write_pyramid(
            out,
            (modality.channels, grid.height, grid.width),
            modality.dtype,
            stream,
            tile_px=grid.side,
            mpp=scales.mpp,
            attributes=attributes,
            colours=modality.colours,
            codec=settings.codec,
            pool=pool,
        )
    else:
        stream.read_all(pool)
        write_coordinates(out, {**attributes, "pixels": describe_pixels(facts, scales, grid, modality, out)})
        levels = count_levels(grid.height, grid.width)
    _check_unreadable(grid, settings.max_unreadable_fraction)
    write_tissue_label(out, grid.status, tile_px=grid.side, mpp=scales.mpp, levels=levels)
    reasons = _explain(grid, stream.focus, settings.max_pen_fraction, modality)
    _write_table(out / "tiles.csv", grid, stream.focus, reasons)
    as_grey = modality.to_grey if modality.channels == 1 else None
    _write_thumbnail(out / "thumbnail.png", _thumbnail_source(reader, modality), as_grey)
    _write_mask(out / "mask.png", modality)
    quality = _quality(modality, grid, stream.focus, reasons, scales)
    content = {**modality.quality, **quality}
    (out / "qc.json").write_text(json.dumps(content, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    figures: TileFigures = {
        "tiles": quality["tiles"],
        "unreadable_tiles": quality["unreadable_tiles"],
        "levels": levels,
        "mpp": mpp,
        "tissue_mm2": quality["tissue_mm2"],
        "blurred_share": quality["blurred_share"],
    }
    if isinstance(modality, Brightfield):
        figures["normalisation"] = modality.normalisation.method
    else:
        figures["calibration"] = str(modality.quality["calibration"])
        figures["saturated_share"] = float(str(modality.quality["saturated_share"]))
    if quality["unreadable_tiles"]:
        figures["doubtful_images"] = {row.id: DAMAGED}
    return figures


def _check_unreadable(grid: TileGrid, max_fraction: float) -> None:
    """Reject a slide whose unreadable tiles are too many for the rest to represent it."""
    lost = int((grid.status == TileStatus.UNREADABLE).sum())
    wanted = int((grid.status != TileStatus.BACKGROUND).sum())
    if not wanted:
        raise Rejected("all of its tiles are out of focus (min_focus)")
    if lost == wanted or lost / wanted > max_fraction:
        raise Rejected(f"{lost} of its {wanted} tiles cannot be read", unreadable_tiles=lost)


class _Stream:
    """The pixels of level 0, read tile by tile as the pyramid is written; a tile is a chunk."""

    def __init__(
        self,
        view: SlideView,
        grid: TileGrid,
        modality: Modality,
        settings: OmTilingSettings | ImTilingSettings,
        report: Callable[[int, int], None] | None,
    ) -> None:
        self.view, self.grid, self.modality, self.report = view, grid, modality, report
        self.min_focus, self.keep = settings.min_focus, settings.keep
        self.focus = np.full(grid.status.shape, np.nan)
        self.done, self.total = 0, int((grid.status == TileStatus.TISSUE).sum())
        self._counting = Lock()
        # A reader is one file and one cache, if it does not say otherwise.
        self._reading: AbstractContextManager[object] = nullcontext() if view.reader.parallel else Lock()

    def __call__(self, y: int, x: int, height: int, width: int) -> np.ndarray | None:
        row, column = y // self.grid.side, x // self.grid.side
        if self.grid.status[row, column] != TileStatus.TISSUE:
            return None
        tile = self._tile(row, column, height, width)
        with self._counting:
            self.done += 1
            if self.report is not None:
                self.report(self.done, self.total)
        return tile

    def read_all(self, pool: Executor | None) -> None:
        """Read all tiles for their status and focus alone."""

        def read(place: tuple[int, int]) -> None:
            left, top, width, height = self.grid.box(*place)
            self(top, left, height, width)

        for _ in (map if pool is None else pool.map)(read, np.ndindex(*self.grid.status.shape)):
            pass

    def _tile(self, row: int, column: int, height: int, width: int) -> np.ndarray | None:
        """Read a tile, [c, height, width]; None if it cannot be read or is out of focus."""
        grid, (left, top, _, _) = self.grid, self.grid.box(row, column)
        try:
            with self._reading:
                pixels, valid = self.view.read(grid.x + left, grid.y + top, width, height)
        except UnreadableRegion:
            grid.status[row, column] = TileStatus.UNREADABLE
            return None
        self.focus[row, column] = focus = measure_focus(self.modality.to_grey(pixels))
        if focus < self.min_focus:
            grid.status[row, column] = TileStatus.BACKGROUND
            return None
        if self.keep == "coordinates":
            return None
        return self.modality.transform(pixels, valid, grid.x + left, grid.y + top)


def measure_focus(grey: np.ndarray) -> float:
    """Compare structure of one to two pixels with structure of two to four, whatever stain and contrast.

    Both are variances between the means of squares: of 2 x 2 within those of 4 x 4, and of these within those of
    8 x 8. The ratio is about 0.25 out of focus and from 0.45 to 1.3 for sharp tissue of 0.25 to 0.5 µm per pixel; one
    squared grey level is added to the denominator, so that even tiles have a low value.

    Parameters
    ----------
    grey
        uint8 or float32 [h, w], levels from 0 to 255.
    """
    grey = grey[: max(1, grey.shape[0] // 8 * 8), : max(1, grey.shape[1] // 8 * 8)]  # whole squares
    spreads = []
    for _ in range(3):
        grey = cv2.resize(grey, (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2)), interpolation=cv2.INTER_AREA)
        spreads.append(float(cv2.meanStdDev(grey)[1].item()) ** 2)
    fine, middle, coarse = spreads
    return round(max(0.0, fine - middle) / (max(0.0, middle - coarse) + 1), 3)


def _quality(modality: Modality, grid: TileGrid, focus: np.ndarray, reasons: np.ndarray, scales: Scales) -> TileQuality:
    kept = focus[grid.status == TileStatus.TISSUE]
    tissue, mpp = modality.mask.tissue, scales.overview_mpp
    return {
        "tiles": len(kept),
        "unreadable_tiles": int((grid.status == TileStatus.UNREADABLE).sum()),
        "left_out": int((reasons != "").sum()),
        "tissue_mm2": None if mpp is None else round(float(tissue.sum()) * mpp**2 / 1e6, 4),
        "tissue_share": round(float(tissue.mean()), 4),
        "pen_share": round(float(modality.mask.pen.mean()), 4),
        "focus_median": round(float(np.median(kept)), 3),
        "blurred_share": round(float((kept < BLURRED).mean()), 4),
    }


def _explain(grid: TileGrid, focus: np.ndarray, max_pen: float, modality: Modality) -> np.ndarray:
    """Name why tiles were left out: `pen`, `fold`, `bubble`, `out of focus`, or nothing; str [rows, columns]."""
    absent = grid.status == TileStatus.BACKGROUND
    blurred = np.where(absent & np.isfinite(focus), "out of focus", "")
    covered = np.where(absent & (grid.bubble > modality.max_bubble), "bubble", blurred)
    folded = np.where(absent & (grid.fold > modality.max_fold), "fold", covered)
    return np.where(absent & (grid.pen > max_pen), "pen", folded)


def _write_table(path: Path, grid: TileGrid, focus: np.ndarray, reasons: np.ndarray) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row, column in np.ndindex(*grid.status.shape):
            here = row, column
            x, y, _, _ = grid.box(row, column)
            status = TileStatus(int(grid.status[here])).name.lower()
            sharp = f"{focus[here]:.3f}" if np.isfinite(focus[here]) else ""
            shares = [f"{each[here]:.3f}" for each in (grid.fraction, grid.pen, grid.fold, grid.bubble)]
            writer.writerow([row, column, x, y, status, *shares, sharp, reasons[here]])


def _thumbnail_source(reader: SlideReader, modality: Modality) -> Overview:
    """Choose the source of the thumbnail: the overview, or a finer one where the overview is small."""
    scale = max(1.0, max(reader.width, reader.height) / THUMBNAIL_PX)
    finer = modality.view(reader, scale)
    wide, high = reader.sizes[finer.level]
    if finer.width <= modality.overview.pixels.shape[1] or wide * high > THUMBNAIL_MAX_READ:
        return modality.overview
    return finer.overview()


def _write_thumbnail(path: Path, overview: Overview, as_grey: Callable[[np.ndarray], np.ndarray] | None) -> None:
    """Write the overview as a small PNG; unreadable parts are hatched in red."""
    picture = overview.pixels if as_grey is None else as_grey(overview.pixels).astype(np.uint8)[..., None].repeat(3, -1)
    picture = np.ascontiguousarray(picture[..., ::-1])
    lost = np.add.outer(np.arange(picture.shape[0]), np.arange(picture.shape[1])) // 4 % 2 == 0
    picture[overview.unreadable] = 128
    picture[overview.unreadable & lost] = (0, 0, 200)
    _write_png(path, picture, cv2.INTER_AREA)


def _write_mask(path: Path, modality: Modality) -> None:
    """Write the mask that tiles are chosen by: tissue is white, folds and bubbles light grey, pen marks grey."""
    mask = modality.mask
    levels = (255 * mask.tissue + PEN_LEVEL * (mask.pen & ~mask.tissue)).astype(np.uint8)
    for found, level in ((modality.bubbles, BUBBLE_LEVEL), (modality.folds, FOLD_LEVEL)):
        if found is not None:
            levels[found] = level
    _write_png(path, levels, cv2.INTER_NEAREST)


def _write_png(path: Path, picture: np.ndarray, interpolation: int) -> None:
    """Write a picture of the whole slide, of at most 1024 px."""
    shrink = THUMBNAIL_PX / max(picture.shape[:2])
    if shrink < 1:
        size = (max(1, round(picture.shape[1] * shrink)), max(1, round(picture.shape[0] * shrink)))
        picture = cv2.resize(picture, size, interpolation=interpolation)
    encoded, data = cv2.imencode(".png", picture)
    assert encoded
    path.write_bytes(data.tobytes())
