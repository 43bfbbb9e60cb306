import cv2
import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.dye import separate_dye
from nephroscale.slides.false_colour import TABLES, colour_table
from support.fluorescence import draw_glomerulus, in_colour, write_over


def coloured(grey, table):
    return np.ascontiguousarray(cv2.applyColorMap(grey, getattr(cv2, f"COLORMAP_{table}"))[..., ::-1])


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_false_colours_are_refused(table):
    grey = np.clip(draw_glomerulus().astype(int) * 2, 0, 255).astype(np.uint8)
    with pytest.raises(Rejected, match="false-coloured"):
        separate_dye(coloured(grey, table), np.ones(grey.shape, bool))


@pytest.mark.slow
@pytest.mark.parametrize("hue", [(0, 1, 0), (1, 0, 0), (1, 0.5, 0), (0.1, 0.9, 1), (0.3, 0, 1), (1, 1, 1)])
def test_one_dye_follows_no_table(hue):
    for gain in (0.3, 1, 3):
        grey = np.clip(draw_glomerulus() * gain, 0, 255)
        assert not colour_table(in_colour(grey, hue).reshape(-1, 3).astype(np.float32))


@pytest.mark.parametrize("hue", [(1, 0, 0), (0, 0, 1), (0.6, 0, 1)])
def test_a_white_bar_on_a_dye_follows_no_table(hue):
    plain = in_colour(draw_glomerulus(), hue)
    marked = write_over(plain, (255, 255, 255))
    channel, drawn = separate_dye(marked, np.ones(marked.shape[:2], bool))
    assert channel == np.argmax(hue)
    assert drawn[(marked != plain).any(axis=-1)].mean() > 0.98


@pytest.mark.parametrize("table", ["INFERNO", "VIRIDIS", "CIVIDIS"])
def test_dim_false_colours_are_refused_where_they_are_exact(table):
    assert colour_table(coloured(draw_glomerulus() // 2, table).reshape(-1, 3).astype(np.float32))


@pytest.mark.slow
def test_the_straight_part_of_a_table_is_a_dye():
    dim = (draw_glomerulus() // 3).astype(np.uint8)  # HOT is red below a third of its range
    assert not colour_table(coloured(dim, "HOT").reshape(-1, 3).astype(np.float32))
