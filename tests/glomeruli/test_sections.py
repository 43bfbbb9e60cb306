from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from shapely.geometry import Point

from nephroscale.glomeruli.contours import Glomerulus
from nephroscale.glomeruli.sections import count_by_section
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def at(*centres: tuple[float, float]) -> list[Glomerulus]:
    return [Glomerulus(Point(centre).buffer(40), 0.9, 1.0, 5000.0) for centre in centres]


@pytest.fixture
def slide(tmp_path: Path, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]) -> Path:
    """A slide of 1280 x 896 raw pixels of 1 µm; its mask has one pixel for 8 x 8.

    The second piece of tissue is 80 µm from the first, and 400 µm from the last.
    """
    path = make_tiles(tmp_path / "s", make_om(448, 640, []), scale=2.0)
    mask = np.zeros((112, 160), np.uint8)
    mask[:, 5:50] = mask[:, 60:70] = mask[:, 120:155] = 255
    cv2.imwrite(str(path / "mask.png"), mask)
    return path


def test_serial_sections_are_counted_once(slide: Path) -> None:
    first, torn, last = [(100, 100), (300, 700)], [(500, 400)], [(1000, 100), (1100, 500)]
    assert count_by_section(open_tiles(slide), at(*first, *last)) == (2, 2, 0)
    assert count_by_section(open_tiles(slide), at(*first, *torn, *last)) == (2, 3, 0)
    assert count_by_section(open_tiles(slide), at(*last)) == (1, 2, 0)
    assert count_by_section(open_tiles(slide), at((1279, 895))) == (1, 1, 0)


def test_a_slide_without_mask_is_one_section(slide: Path) -> None:
    (slide / "mask.png").unlink()
    assert count_by_section(open_tiles(slide), at((100, 100), (1100, 500))) == (1, 2, 0)


def test_sclerosed_glomeruli_are_those_of_the_fullest_section(slide: Path) -> None:
    first, last = at((100, 100), (300, 700)), at((1000, 100), (1100, 500), (1100, 700))
    scarred = [replace(one, sclerosed=0.7) for one in (first[0], *last[:2])]
    found = count_by_section(open_tiles(slide), [*scarred, first[1], last[2]])
    assert found == (2, 3, 2)
    (slide / "mask.png").unlink()
    assert count_by_section(open_tiles(slide), [*scarred, first[1], last[2]]) == (1, 5, 3)
