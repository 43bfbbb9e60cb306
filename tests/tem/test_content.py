"""Copies of a micrograph that differ in marks, or are turned."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nephroscale.tem.clean import clean_burned_in
from nephroscale.tem.content import ShownContent


@pytest.fixture(scope="module")
def levels(shared: Path) -> np.ndarray:
    whole = np.asarray(Image.open(shared / "data/tem/gbm_snider_A1--0024.jpg").convert("L"))
    return np.ascontiguousarray(whole[300:1100:2, 400:1400:2])


def content(levels: np.ndarray) -> ShownContent:
    cleaned = clean_burned_in(np.ascontiguousarray(levels), np.zeros(levels.shape, bool), network=False)
    return ShownContent.of(cleaned.image)


def with_strip(levels: np.ndarray) -> np.ndarray:
    strip = np.zeros((40, levels.shape[1]), np.uint8)
    cv2.putText(strip, "80 kV x11500", (10, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
    cv2.rectangle(strip, (300, 14), (420, 20), 255, -1)
    return np.vstack([levels, strip])


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_copy_shows_the_same(levels: np.ndarray, turns: int, mirrored: bool) -> None:
    copy = np.rot90(levels[:, ::-1] if mirrored else levels, turns)
    assert content(copy).find_original({"A": content(levels)}) == "A"
    assert content(levels).find_original({"A": content(copy)}) == "A"


def test_a_copy_with_a_data_strip_shows_the_same_and_another_place_does_not(levels: np.ndarray) -> None:
    used = {"A": content(levels[:, :400]), "B": content(levels[:, 100:])}
    assert content(with_strip(levels[:, 100:])).find_original(used) == "B"
    for other in (levels[:, :300], levels[:320, 100:], 255 - levels[:, 100:]):
        assert content(other).find_original(used) is None


def test_neighbouring_sections_are_no_copies(shared: Path) -> None:
    used: dict[str, ShownContent] = {}
    for number in range(5):
        section = content(np.asarray(Image.open(shared / f"data/tem/isbi2012_{number}.png").convert("L")))
        assert section.find_original(used) is None
        used[str(number)] = section
