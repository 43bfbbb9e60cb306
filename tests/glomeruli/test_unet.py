from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli import unet
from nephroscale.glomeruli.metrics import dice
from nephroscale.glomeruli.network import UNet
from nephroscale.glomeruli.settings import DetectionSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from shapely.geometry import Polygon

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def detect(path: Path, model: Path | None, mpp: float = 4.0) -> np.ndarray:
    return unet.detect(TileView.at_scale(open_tiles(path), mpp), model, DetectionSettings()).glomerulus


def test_glomeruli_of_another_slide_are_found(
    trained: Any, tmp_path: Path, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]
) -> None:
    discs = [(100.0, 200.0, 42.0), (280.0, 90.0, 50.0), (300.0, 330.0, 46.0)]
    path = make_tiles(tmp_path / "s", make_om(384, 448, discs, seed=9))
    found = detect(path, trained.model)
    rows, columns = np.ogrid[:192, :224]
    true = np.any([np.hypot(rows - y / 2, columns - x / 2) < r / 2 for y, x, r in discs], axis=0)
    assert found.dtype == np.uint8
    assert dice(found >= 128, true) > 0.8


def test_windows_give_the_result_of_the_whole_slide(
    trained: Any, om_slide: tuple[Path, list[Polygon]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = detect(om_slide[0], trained.model)
    monkeypatch.setattr(unet, "WINDOW_PX", 128)
    parts = detect(om_slide[0], trained.model)
    assert np.abs(parts.astype(int) - whole).max() <= 1


def test_only_tissue_is_computed(
    trained: Any,
    tmp_path: Path,
    make_tiles: Callable[..., Path],
    make_om: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = np.zeros((7, 9), np.uint8)
    status[2:4, 3:6] = 1
    path = make_tiles(tmp_path / "s", make_om(448, 576, [(192.0, 288.0, 48.0)], seed=9), status=status)
    seen: list[tuple[int, ...]] = []
    computed = unet.predict
    monkeypatch.setattr(
        unet, "predict", lambda network, pixels: (seen.append(pixels.shape), computed(network, pixels))[1]
    )
    monkeypatch.setattr(unet, "WINDOW_PX", 96)
    parts = detect(path, trained.model)
    assert len(seen) == 2  # of nine windows
    monkeypatch.setattr(unet, "WINDOW_PX", 1024)
    whole = detect(path, trained.model)
    assert seen[2][:2] == (64 + 2 * UNet.REACH, 96 + 2 * UNet.REACH)
    assert np.abs(parts.astype(int) - whole).max() <= 1
    assert (whole[64:128, 96:192] >= 128).any()
    assert not whole[:64].any()
    assert not whole[:, :96].any()


def test_missing_weights_and_another_scale_are_errors(trained: Any, om_slide: tuple[Path, list[Polygon]]) -> None:
    with pytest.raises(NephroscaleError, match="no weights"):
        detect(om_slide[0], None)
    with pytest.raises(NephroscaleError, match="trained at 4"):
        detect(om_slide[0], trained.model, mpp=2.0)
