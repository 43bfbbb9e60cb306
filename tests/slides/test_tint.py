import cv2
import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.tint import LUMA, separate_tint
from support.jpeg import saved


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


TABLES = [cv2.COLORMAP_WINTER, cv2.COLORMAP_AUTUMN, cv2.COLORMAP_SUMMER, cv2.COLORMAP_SPRING, cv2.COLORMAP_COOL]


@pytest.mark.parametrize("colours", TABLES)
def test_a_straight_table_in_which_a_colour_falls_or_stays_is_refused(grey, colours) -> None:
    false = cv2.applyColorMap(grey, colours)[..., ::-1]
    for pixels in (false, false.astype(np.uint16) * 257, cv2.GaussianBlur(false, (0, 0), 2)):
        with pytest.raises(Rejected, match="false-coloured"):
            separate_tint(pixels)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_picture_in_one_channel_is_a_tint(grey, channel) -> None:
    pixels = np.zeros((*grey.shape, 3), np.uint8)
    pixels[..., channel] = grey
    assert not separate_tint(pixels).drawn.any()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("label", [False, True])
def test_colours_count_in_the_bits_of_the_camera(grey, bits, label) -> None:
    def camera(pixels):
        deep = np.rint(pixels * ((2**bits - 1) / 255)).astype(np.uint16)
        if label:  # drawn by a program that uses all bits of the file
            deep[:30, :150] = 65535
        return deep

    pixels = np.dstack([grey] * 3)
    for place, colour in enumerate([(200, 60, 60), (60, 120, 200), (255, 255, 0)]):
        pixels[100 + 40 * place : 110 + 40 * place, 50:250] = colour
    truth = (pixels != grey[..., None]).any(axis=-1)
    np.testing.assert_array_equal(separate_tint(camera(pixels)).drawn, truth)
    for colours in (cv2.COLORMAP_JET, cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_COOL):
        with pytest.raises(Rejected, match="false-coloured"):
            separate_tint(camera(cv2.applyColorMap(grey, colours)[..., ::-1]))


def area(shape: tuple[int, int], soft: float) -> np.ndarray:
    """How much of a highlighted area each pixel has, from 0 to 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = (((rows - 150) / 60) ** 2 + ((columns - 200) / 90) ** 2 < 1).astype(np.float32)
    return cv2.GaussianBlur(inside, (0, 0), soft) if soft else inside


@pytest.mark.parametrize("quality", [None, 90, 75])
@pytest.mark.parametrize("colour", [(255, 255, 0), (255, 0, 0), (0, 255, 0), (0, 90, 255)])
@pytest.mark.parametrize("soft", [0, 6])
@pytest.mark.parametrize("kind", ["overlaid", "highlighted"])
def test_a_translucent_area_on_a_grey_picture_is_drawn(grey, kind, soft, colour, quality) -> None:
    """The tissue is seen through it, as through the colour of a pen or of a layer."""
    share = 0.25 * area(grey.shape, soft)[..., None]
    paint = np.array(colour, np.float32)
    below = grey[..., None].astype(np.float32)
    pixels = below * (1 - share) + share * paint if kind == "overlaid" else below * (1 - share * (1 - paint / 255))
    drawn = separate_tint(saved(np.rint(pixels).astype(np.uint8), quality)).drawn
    inside = area(grey.shape, 0) > 0
    assert drawn[inside & (area(grey.shape, soft) > 0.9)].mean() > 0.93
    assert drawn[cv2.dilate(inside.astype(np.uint8), np.ones((61, 61), np.uint8)) == 0].mean() < 0.001


@pytest.mark.parametrize("quality", [None, 90])
def test_structures_coloured_by_hand_are_refused_or_drawn(grey, quality) -> None:
    levels = cv2.GaussianBlur(grey, (0, 0), 4)
    for number, (least, refused) in enumerate(((190, False), (100, True))):
        share = 0.4 * (levels > least)[..., None]
        colours = np.where(
            np.mgrid[: grey.shape[0], : grey.shape[1]][1][..., None] % 200 < 100, (200, 40, 60), (40, 90, 220)
        )
        pixels = saved(np.rint(grey[..., None] * (1 - share) + share * colours).astype(np.uint8), quality)
        if refused:
            with pytest.raises(Rejected, match="false-coloured"):
                separate_tint(pixels)
        else:
            assert separate_tint(pixels).drawn[levels > least].mean() > 0.95, number
