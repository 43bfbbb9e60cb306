from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapely.geometry import Polygon

from nephroscale.glomeruli import classical
from nephroscale.glomeruli.instances import find_instances
from nephroscale.glomeruli.metrics import detection, dice_of_polygons
from nephroscale.glomeruli.outlines import read_outlines
from nephroscale.glomeruli.settings import DetectionSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_reader import open_tiles

SETTINGS = DetectionSettings()


def find(path: Path) -> list[Polygon]:
    view = TileView.at_scale(open_tiles(path), 4.0)
    found = find_instances(view, classical.detect(view, None, SETTINGS).glomerulus, SETTINGS)
    return [one.polygon for one in found.glomeruli]


@pytest.mark.slow
def test_painted_glomeruli_are_found(om_slide: tuple[Path, list[Polygon]]) -> None:
    path, true = om_slide
    found = find(path)
    assert detection(found, true)["f1"] == 1
    assert dice_of_polygons(found, true) > 0.7


@pytest.mark.slow
def test_tubules_alone_are_no_glomeruli(
    tmp_path: Path, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]
) -> None:
    assert find(make_tiles(tmp_path / "s", make_om(448, 640, [], seed=3))) == []


@pytest.mark.slow
def test_the_size_of_windows_does_not_matter(
    om_slide: tuple[Path, list[Polygon]], monkeypatch: pytest.MonkeyPatch
) -> None:
    view = TileView.at_scale(open_tiles(om_slide[0]), 4.0)
    whole = classical.tuft_map_om(view)
    monkeypatch.setattr(classical, "WINDOW_PX", 64)
    assert np.abs(classical.tuft_map_om(view) - whole).max() < 0.02


def fluorescence(discs: list[tuple[int, int, int]]) -> np.ndarray:
    rng = np.random.default_rng(1)
    image = rng.normal(900, 60, (512, 640)).astype(np.float32)
    image += cv2.GaussianBlur(rng.normal(0, 2500, (512, 640)).astype(np.float32), (0, 0), 12)
    for y, x, radius in discs:
        disc = cv2.circle(np.zeros((512, 640), np.float32), (x, y), radius, 1.0, -1)
        loops = np.abs(cv2.GaussianBlur(rng.normal(0, 1, (512, 640)).astype(np.float32), (0, 0), 3))
        image += disc * (400 + 9000 * loops / loops.max())
    return np.clip(image, 0, 65535).astype(np.uint16)[..., None]


@pytest.mark.slow
def test_bright_tufts_of_fluorescence_are_found(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    discs = [(150, 160, 75), (350, 470, 85)]
    path = make_tiles(tmp_path / "s", fluorescence(discs), modality="IM", mpp=1.0)
    true = [Polygon([(x + r * np.cos(a), y + r * np.sin(a)) for a in np.linspace(0, 6.2, 60)]) for y, x, r in discs]
    found = find(path)
    assert detection(found, true)["f1"] == 1
    assert find(make_tiles(tmp_path / "empty", fluorescence([]), modality="IM", mpp=1.0)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C1", "C2"])
def test_real_glomeruli_are_found(shared: Path, tmp_path: Path, make_tiles: Callable[..., Path], name: str) -> None:
    folder = shared / "data/kidney_om"
    pixels = cv2.imread(str(folder / f"vegf_ihc_{name}.jpg"))[..., ::-1]
    path = make_tiles(tmp_path / "s", np.ascontiguousarray(pixels), mpp=0.66)
    true = read_outlines(folder / f"vegf_ihc_{name}.imagej_rois.zip").polygons
    figures = detection(find(path), true)
    assert figures["recall"] == 1
    assert figures["precision"] >= 0.6  # those cut by the border and small ones are not outlined in the truth


def test_an_empty_slide(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    status = np.zeros((2, 2), np.uint8)
    assert find(make_tiles(tmp_path / "s", np.full((128, 128, 3), 200, np.uint8), status=status)) == []
