from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import Polygon

from nephroscale.glomeruli.contours import Glomerulus
from nephroscale.glomeruli.overlay import BEST, OTHER, draw_overlay
from nephroscale.slides.tile_reader import open_tiles


@pytest.mark.slow
def test_the_representative_glomerulus_has_its_own_colour(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    tiles = open_tiles(make_tiles(tmp_path / "s", np.full((512, 768, 3), 230, np.uint8), origin=(10.0, 20.0)))
    squares = [Polygon([(x, 200), (x + 100, 200), (x + 100, 300), (x, 300)]) for x in (110, 410)]
    glomeruli = [Glomerulus(square, 0.9, 1.0, None) for square in squares]
    draw_overlay(tiles, glomeruli, tmp_path / "a.png")
    picture = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    scale = picture.shape[1] / 768
    for x, colour in ((110, BEST), (410, OTHER)):
        edge = picture[round((250 - 20) * scale), round((x - 10) * scale) - 2 : round((x - 10) * scale) + 3]
        assert np.abs(edge - colour).sum(axis=1).min() < 60
    draw_overlay(tiles, glomeruli, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.slow
def test_an_image_without_scale_has_no_scale_bar(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    pixels = np.full((512, 768, 3), 230, np.uint8)
    for name, mpp in (("with", 2.0), ("without", None)):
        draw_overlay(open_tiles(make_tiles(tmp_path / f"{name}.zarr", pixels, mpp=mpp)), [], tmp_path / f"{name}.png")
    assert np.ptp(np.asarray(Image.open(tmp_path / "with.png"))) > 200
    assert np.ptp(np.asarray(Image.open(tmp_path / "without.png"))) < 20
