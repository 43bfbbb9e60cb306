"""Small tiled slides with known outlines of glomeruli, and a segmenter trained on one of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from shapely.geometry import Polygon, mapping

from nephroscale.glomeruli.labelled_slide import AnnotatedSlide
from nephroscale.glomeruli.segmenter import train_segmenter
from nephroscale.glomeruli.settings import SegmenterSettings, UNetSettings
from nephroscale.slides.pyramid import count_levels, write_pyramid, write_tissue_label

TILE = 64


def write_tiles(
    path: Path,
    pixels: np.ndarray,
    *,
    modality: str = "OM",
    mpp: float | None = 2.0,
    origin: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
    status: np.ndarray | None = None,
) -> Path:
    """Write pixels [h, w, c] as the tiles of a slide; only tiles whose status is tissue are stored."""
    height, width, channels = pixels.shape
    if status is None:
        status = np.ones((-(-height // TILE), -(-width // TILE)), np.uint8)
    stored = pixels * (np.kron(status, np.ones((TILE, TILE), np.uint8))[:height, :width, None] == 1)
    levels = write_pyramid(
        path,
        (channels, height, width),
        pixels.dtype,
        lambda y, x, h, w: np.moveaxis(stored[y : y + h, x : x + w], -1, 0),
        tile_px=TILE,
        mpp=mpp,
        attributes={
            "mpp": mpp,
            "origin": origin,
            "scale": scale,
            "slide_px": [origin[0] + width * scale, origin[1] + height * scale],
            "tile_px": TILE,
            "modality": modality,
            "stain": "PAS" if modality == "OM" else "IgG",
            "calibration": None if modality == "OM" else "pattern-only",
        },
        colours={f"channel {k}": "FFFFFF" for k in range(channels)},
    )
    assert levels == count_levels(height, width)
    write_tissue_label(path, status, tile_px=TILE, mpp=mpp, levels=levels)
    return path


def paint_om(
    height: int, width: int, discs: list[tuple[float, float, float]], seed: int = 0, mpp: float = 2.0
) -> np.ndarray:
    """Paint a pink slide of tubules with round purple, grainy glomeruli in their clear capsules; discs in pixels."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (226, 190, 214), np.float32)
    for _ in range(int(height * width * mpp**2 / 3600)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = tuple(int(a) for a in rng.uniform(18, 32, 2) / mpp)
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(image, centre, axes, angle, 0, 360, (204, 150, 190), -1)
        cv2.ellipse(image, centre, tuple(a // 3 for a in axes), angle, 0, 360, (238, 226, 236), -1)
    rows, columns = np.mgrid[:height, :width]
    for y, x, radius in discs:
        away = np.hypot(rows - y, columns - x)
        image[away < radius + 10 / mpp] = (240, 236, 242)
        image[away < radius] = (150, 70, 150)
    image += rng.normal(0, 6, image.shape)
    grain = cv2.GaussianBlur(rng.normal(0, 60, (height, width)).astype(np.float32), (0, 0), 1.2)
    for y, x, radius in discs:
        inside = np.hypot(rows - y, columns - x) < radius
        image[inside] += grain[inside, None]
    return np.clip(image, 0, 255).astype(np.uint8)


def disc(y: float, x: float, radius: float) -> Polygon:
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return Polygon(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1))


def write_annotation(path: Path, polygons: list[Polygon]) -> Path:
    features = [{"type": "Feature", "geometry": mapping(polygon), "properties": {}} for polygon in polygons]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nephroscale.glomeruli.segmenter import SegmenterFigures

DISCS = [(110.0, 120.0, 45.0), (150.0, 420.0, 52.0), (330.0, 260.0, 48.0), (380.0, 520.0, 40.0)]


@pytest.fixture(scope="session")
def om_slide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Polygon]]:
    """An OM slide of 448 x 640 pixels at 2 µm with four glomeruli; raw pixels are half as large, from 100, 40 on."""
    folder = tmp_path_factory.mktemp("om")
    path = write_tiles(folder / "om.ome.zarr", paint_om(448, 640, DISCS), origin=(100.0, 40.0), scale=2.0)
    return path, [disc(40 + 2 * y, 100 + 2 * x, 2 * r) for y, x, r in DISCS]


@pytest.fixture(scope="session")
def make_tiles() -> Callable[..., Path]:
    return write_tiles


@pytest.fixture(scope="session")
def make_om() -> Callable[..., np.ndarray]:
    return paint_om


@pytest.fixture(scope="session")
def make_annotation() -> Callable[..., Path]:
    return write_annotation


class Trained(NamedTuple):
    """A trained segmenter: its folder, settings, figures and slides."""

    model: Path
    settings: SegmenterSettings
    figures: SegmenterFigures
    slides: list[AnnotatedSlide]


@pytest.fixture(scope="session")
def trained(om_slide: tuple[Path, list[Polygon]], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("unet")
    annotation = write_annotation(folder / "a.geojson", om_slide[1])
    slides = [AnnotatedSlide("S1", om_slide[0], annotation)]
    settings = SegmenterSettings(
        mpp=4.0, unet=UNetSettings(width=8, steps=90, batch_size=4, patch_px=64, learning_rate=5e-3)
    )
    return Trained(folder / "model", settings, train_segmenter(slides, settings, 1, folder / "model"), slides)
