from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nephroscale.glomeruli.stain_likeness import ALIKE, describe_colours, likeness
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.slow
def test_slides_of_one_stain_are_alike_and_another_stain_is_not(
    tmp_path: Path, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]
) -> None:
    def colours(name: str, pixels: np.ndarray) -> np.ndarray:
        return describe_colours(open_tiles(make_tiles(tmp_path / name, pixels)))

    first = make_om(384, 448, [(100.0, 200.0, 42.0)], seed=1)
    other = make_om(384, 384, [(200.0, 100.0, 50.0), (300.0, 330.0, 46.0)], seed=2)
    known = [colours("first", first), colours("white", np.full((128, 128, 3), 250, np.uint8))]
    assert known[0].sum() == pytest.approx(1, abs=1e-3)
    assert known[1].sum() == 0
    assert likeness(known[0], known) == pytest.approx(1, abs=1e-3)
    assert likeness(colours("other", other), known) > 0.9
    paler = (244 * (other / 244.0) ** 0.8).astype(np.uint8)
    assert likeness(colours("paler", paler), known) > ALIKE
    assert likeness(colours("brown", other[..., ::-1] // 2), known) < 0.5
    assert likeness(known[1], known) == 0
    assert likeness(known[0], []) == 0
