"""The pass over a TEM image by bands finds the same as whole-image operations."""

import cv2
import numpy as np
import pytest

from nephroscale.tem import survey
from nephroscale.tem.survey import survey_image


def spread(image: np.ndarray, pixels: int, anchor: int) -> np.ndarray:
    """Range of the levels in a square round each pixel, or beginning at it."""
    square, at = np.ones((pixels, pixels), np.uint8), (anchor, anchor)
    return cv2.subtract(cv2.dilate(image, square, anchor=at), cv2.erode(image, square, anchor=at))


def tissue(shape: tuple[int, int], noise: float) -> np.ndarray:
    random = np.random.default_rng(0)
    coarse = cv2.resize(random.normal(128, 70, (12, 9)), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.clip(coarse + random.normal(0, noise, shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(200, 170), (16, 64), (97, 33), (9, 300), (300, 9), (1, 40), (40, 1)])
@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_bands_give_what_the_whole_image_gives(monkeypatch, shape, noise):
    monkeypatch.setattr(survey, "BAND", 1)  # bands of 16 rows
    image = tissue(shape, noise)
    found = survey_image(image, 3.0)

    begins = np.ones(shape, bool)
    begins[-1], begins[:, -1] = False, False
    in_square, around = spread(image, 2, 0), spread(image, 3, 1)
    assert np.array_equal(found.equal, np.flatnonzero((in_square == 0) & begins))
    even = (in_square <= survey.EVEN) & begins
    assert np.array_equal(found.is_even, even)
    near = cv2.dilate((around >= survey.STEEP).view(np.uint8), np.ones((5, 5), np.uint8)).view(bool)
    near &= even
    number = cv2.boxFilter(near.view(np.uint8), cv2.CV_16U, (5, 5), normalize=False, borderType=cv2.BORDER_CONSTANT)
    assert np.array_equal(found.even, np.flatnonzero(near & (number >= survey.DENSE)))

    low, high = cv2.erode(image, np.ones((3, 3), np.uint8)), cv2.dilate(image, np.ones((3, 3), np.uint8))
    kinds = [image >= 244, image <= 11, image >= 230, image <= 25, (around <= 3) | (low >= 230) | (high <= 25)]
    for kind, shares, numbers in zip(kinds, found.blocks.shares, found.blocks.numbers, strict=True):
        wide = np.pad(kind, [(0, -side % 16) for side in shape])
        of = {side: wide.reshape(wide.shape[0] // side, side, -1, side).sum((1, 3)) for side in (8, 16)}
        assert np.array_equal(shares > 0, of[8] > 0)
        assert np.abs(shares - of[8] * (255 / 64)).max() <= 2
        assert np.abs(numbers - of[16] * (255 / 256)).max() <= 2


def test_an_image_of_even_levels_is_counted_without_evenness():
    found = survey_image(np.full((40, 50), 90, np.uint8), None)
    assert len(found.blocks.numbers) == 4
    assert len(found.equal) == 39 * 49
    assert not len(found.even)
