import cv2
import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.tint import LUMA, separate_tint


@pytest.fixture
def grey() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(300, 400)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 8)
    return np.clip(125 + 45 * smooth / smooth.std() + 9 * noise, 15, 240).astype(np.uint8)


def test_a_grey_picture_has_no_drawn_pixels(grey: np.ndarray) -> None:
    found = separate_tint(np.dstack([grey] * 3))
    np.testing.assert_allclose(found.luma, grey, atol=0.01)
    assert not found.drawn.any()


@pytest.mark.parametrize("tint", [(1.0, 0.85, 0.65), (0.8, 0.9, 1.0), (0.7, 1.0, 0.7)])
@pytest.mark.parametrize("offset", [(0, 0, 0), (25, 10, 0)])
def test_an_evenly_tinted_print_has_none_either(grey, tint, offset) -> None:
    pixels = np.clip(grey[..., None] * np.array(tint) + offset, 0, 255).astype(np.uint8)
    found = separate_tint(pixels)
    assert not found.drawn.any()
    np.testing.assert_allclose(found.luma, pixels.astype(np.float32) @ LUMA, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_was_drawn_is_found_whatever_the_type_of_number(grey, dtype) -> None:
    pixels = np.dstack([grey] * 3)
    pixels[100:110, 50:250] = (255, 220, 0)
    truth = np.zeros(grey.shape, bool)
    truth[100:110, 50:250] = True
    found = separate_tint(pixels.astype(dtype) * (257 if dtype is np.uint16 else 1))
    np.testing.assert_array_equal(found.drawn, truth)


def test_marks_over_a_quarter_of_the_picture_do_not_become_its_tint(grey: np.ndarray) -> None:
    pixels = np.dstack([grey] * 3)
    pixels[:, :100] = (200, 30, 30)
    drawn = separate_tint(pixels).drawn
    assert drawn[:, :100].all()
    assert not drawn[:, 102:].any()


@pytest.mark.parametrize("colours", [cv2.COLORMAP_JET, cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_HOT])
def test_a_false_coloured_picture_is_refused(grey, colours) -> None:
    with pytest.raises(Rejected, match="false-coloured"):
        separate_tint(cv2.applyColorMap(grey, colours)[..., ::-1])


def test_a_picture_in_two_colours_is_refused(grey: np.ndarray) -> None:
    pixels = np.dstack([grey] * 3)
    pixels[:, 200:, 2] //= 3
    with pytest.raises(Rejected, match="false-coloured"):
        separate_tint(pixels)
