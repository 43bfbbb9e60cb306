from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from nephroscale.glomeruli.instances import find_instances, split_touching
from nephroscale.glomeruli.settings import DetectionSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_reader import open_tiles

SETTINGS = DetectionSettings()


def disc(y: float, x: float, radius: float, shape: tuple[int, int] = (128, 192)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows + 0.5 - y, columns + 0.5 - x) < radius


def count(mask: np.ndarray) -> int:
    labels = split_touching(mask, 15)
    assert ((labels > 0) == mask).all()
    return int(labels.max())


def test_touching_glomeruli_are_separated_and_a_long_one_is_not() -> None:
    assert count(disc(60, 60, 22) | disc(60, 98, 20)) == 2
    assert count(disc(60, 60, 22) | disc(60, 66, 22)) == 1
    rows, columns = np.ogrid[:128, :192]
    assert count(((rows - 60) / 18) ** 2 + ((columns - 90) / 30) ** 2 < 1) == 1
    assert count(disc(0, 60, 22)) == 1
    assert count(disc(60, 60, 22) | disc(60, 98, 20) | disc(92, 78, 20)) == 3
    assert count(np.zeros((20, 20), bool)) == 0


@pytest.fixture
def view(tmp_path: Path, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]) -> TileView:
    pixels = make_om(256, 384, [])
    pixels[:, 300:] = 250  # glass
    return TileView.at_scale(open_tiles(make_tiles(tmp_path / "s", pixels, origin=(8.0, 4.0), scale=2.0)), 4.0)


def test_sizes_scores_and_completeness(view: TileView) -> None:
    small, whole, cut, edge = disc(20, 20, 6), disc(60, 60, 16), disc(100, 146, 16), disc(128, 40, 16)
    probability = np.zeros(view.shape, np.uint8)
    probability[small], probability[whole], probability[edge] = 250, 204, 230
    probability[cut & (np.arange(192) < 150)] = 240
    probability[disc(20, 150, 12) & (np.arange(192) < 150)] = 100  # below the threshold
    found = find_instances(view, probability, SETTINGS)
    assert (found.too_small, found.too_large) == (1, 0)
    first = found.glomeruli[0]
    assert len(found.glomeruli) == 3
    assert first.completeness == 1
    assert first.score == pytest.approx(0.8)
    assert first.diameter_um == pytest.approx(128, rel=0.03)
    assert first.centre == (pytest.approx(8 + 4 * 60, abs=1), pytest.approx(4 + 4 * 60, abs=1))
    assert all(one.completeness < 0.8 for one in found.glomeruli[1:])
    everything = np.full(view.shape, 255, np.uint8)
    assert find_instances(view, everything, SETTINGS).too_large == 1


def test_contours_of_other_shapes_are_left_out_and_notches_filled(view: TileView) -> None:
    rows, columns = np.mgrid[:128, :192]
    stroke = (abs(rows - 110) < 5) & (columns > 20) & (columns < 80)
    horseshoe = disc(50, 60, 20) & ~((abs(rows - 50) < 5) & (columns > 60))
    cut = disc(60, 192, 24) & (columns > 178)  # half of it is beyond the border
    found = find_instances(view, (255 * (stroke | horseshoe | cut)).astype(np.uint8), SETTINGS)
    assert found.not_round == 1
    assert len(found.glomeruli) == 2
    assert max(one.area_um2 or 0 for one in found.glomeruli) == pytest.approx(16 * np.pi * 20**2, rel=0.1)


def test_a_contour_under_a_pen_mark_is_left_out(view: TileView) -> None:
    mask = np.zeros((65, 97), np.uint8)  # of the whole slide of 776 x 516 pixels, an eighth as large
    mask[:, 60:], mask[:, :8] = 128, 255
    cv2.imwrite(str(view.tiles.path / "mask.png"), mask)
    free, under = disc(60, 60, 16), disc(60, 118, 16)
    assert not view.pen[free].any()
    assert 0.4 < view.pen[under].mean() < 0.6
    found = find_instances(view, (255 * (free | under)).astype(np.uint8), SETTINGS)
    assert (len(found.glomeruli), found.under_pen) == (1, 1)
    assert found.glomeruli[0].centre[0] == pytest.approx(8 + 4 * 60, abs=1)
