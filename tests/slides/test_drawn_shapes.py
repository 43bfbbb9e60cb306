import cv2
import numpy as np
import pytest

from nephroscale.slides.drawn_shapes import find_picture, find_shapes, find_strips
from support.fluorescence import draw_glomerulus, paint, with_strip, write_over


def test_bar_and_text_are_found_and_tissue_is_not():
    plain = draw_glomerulus()
    marked = write_over(plain, 255)
    found, changed = find_shapes(marked), marked != plain
    assert found[changed].mean() > 0.99
    assert found[:400].sum() == 0
    assert not find_shapes(plain).any()


def test_an_arrow_brighter_than_all_tissue_is_found():
    plain = draw_glomerulus()
    marked = paint(plain, 255, lambda mask: cv2.arrowedLine(mask, (60, 400), (120, 360), 255, 3, cv2.LINE_AA))
    assert find_shapes(marked)[marked != plain].mean() > 0.99


def test_saturated_nuclei_are_tissue():
    rng = np.random.default_rng(0)
    light = np.zeros((512, 512), np.float32)
    for x, y in rng.integers(20, 490, (60, 2)):
        cv2.ellipse(
            light, (int(x), int(y)), (11, 6), float(rng.integers(180)), 0, 360, float(rng.uniform(150, 500)), -1
        )
    nuclei = np.clip(cv2.GaussianBlur(light, (0, 0), 1.0) + rng.normal(5, 2, light.shape), 0, 255).astype(np.uint8)
    assert (nuclei == 255).mean() > 0.01
    assert not find_shapes(nuclei).any()


@pytest.mark.parametrize(("tone", "ink"), [(255, 0), (0, 255), (128, 255)])
def test_a_strip_is_cut_off(tone, ink):
    plain = draw_glomerulus()
    assert find_strips(plain) == (0, 512)
    top, bottom = find_strips(with_strip(plain, tone, ink))
    assert top == 0
    assert 470 <= bottom <= 472
    assert find_strips(with_strip(plain, tone, ink)[::-1]) == (512 - bottom, 512)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(("tone", "ink"), [(255, 0), (0, 255), (128, 255)])
def test_a_strip_is_cut_off_at_any_side(tone, ink, turns):
    kept = np.zeros((512, 512), bool)
    kept[find_picture(np.rot90(with_strip(draw_glomerulus(), tone, ink), turns))] = True
    assert kept.mean() == pytest.approx(470 / 512, abs=0.01)
    assert np.rot90(kept, -turns)[:470].all()


@pytest.mark.parametrize("tone", [255, 180, 0])
@pytest.mark.parametrize("width", [8, 25, 60])
def test_a_frame_is_cut_off(tone, width):
    rows, columns = find_picture(np.pad(draw_glomerulus(), width, constant_values=tone))
    for side in (rows, columns):
        assert (side.start, side.stop) == pytest.approx((width, width + 512), abs=3)


def test_an_empty_border_of_the_picture_is_no_strip():
    picture = np.maximum(draw_glomerulus().astype(np.int16) - 20, 0).astype(np.uint8)
    assert find_strips(picture) == (0, 512)
