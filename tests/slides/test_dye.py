import cv2
import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.dye import full_scale, separate_dye
from support.fluorescence import draw_glomerulus, in_colour, write_over

EVERYWHERE = np.ones((512, 512), bool)


@pytest.mark.slow
@pytest.mark.parametrize(("hue", "channel"), [((0, 1, 0), 1), ((1, 0.6, 0.1), 0), ((0.1, 0.9, 1), 2), ((1, 1, 1), 0)])
def test_one_dye_of_any_hue_is_a_line_and_keeps_all_pixels(hue, channel):
    dye = separate_dye(in_colour(draw_glomerulus(), hue), EVERYWHERE)
    assert dye.channel == channel
    assert not dye.drawn.any()


@pytest.mark.slow
@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 0, 0), (255, 255, 0), (150, 150, 150)])
def test_marks_in_another_colour_are_drawn(colour):
    plain = in_colour(draw_glomerulus(), (0, 1, 0))
    marked = write_over(plain, colour)
    dye = separate_dye(marked, EVERYWHERE)
    changed = (marked != plain).any(axis=-1)
    assert dye.channel == 1
    assert dye.drawn[changed].mean() > 0.99
    assert dye.drawn[~cv2.dilate(changed.astype(np.uint8), np.ones((9, 9))).astype(bool)].mean() == 0


@pytest.mark.slow
def test_two_pictures_and_false_colours_are_refused():
    first, second = draw_glomerulus(), draw_glomerulus(seed=1, centre=(330, 330))
    merge = np.dstack([np.zeros_like(first), first, second])
    false = cv2.applyColorMap(first, cv2.COLORMAP_JET)
    for picture, reason in ((merge, "merge of several channels, .*;"), (false, "false-coloured .*;")):
        with pytest.raises(Rejected, match=f"{reason} save the marker's channel"):
            separate_dye(picture, EVERYWHERE)


@pytest.mark.slow
def test_overexposed_signal_is_no_mark():
    light = draw_glomerulus().astype(np.float32)[..., None] * 4 * np.array([0.2, 1, 0.15], np.float32)
    assert not separate_dye(np.clip(light, 0, 255).astype(np.uint8), EVERYWHERE).drawn.any()


def test_a_picture_without_pixels_has_no_marks():
    assert not separate_dye(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), bool)).drawn.any()


@pytest.mark.parametrize(
    ("top", "full"), [(3, 255), (255, 255), (256, 1023), (4095, 4095), (16000, 16383), (65535, 65535)]
)
def test_full_scale_of_a_camera(top, full):
    assert full_scale(np.array([0, top], np.uint16)) == full
