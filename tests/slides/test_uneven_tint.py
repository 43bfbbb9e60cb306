"""Stains and uneven yellowing of a print are no marks, and do not hide the marks on them."""

import cv2
import numpy as np
import pytest

from nephroscale.slides.tint import DRAWN, separate_tint
from nephroscale.slides.uneven_tint import distance_from_surroundings
from support.jpeg import saved

STAINS = {"yellow": (1, 0.95, 0.6), "strong": (1, 0.9, 0.45), "brown": (0.85, 0.7, 0.5), "pink": (1, 0.8, 0.85)}
PAPER = (1, 0.95, 0.9)


@pytest.fixture
def grey() -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=(340, 400)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 7)
    return np.clip(130 + 45 * smooth / smooth.std() + 9 * noise, 15, 240).astype(np.uint8)


def share_of_stain(kind: str, shape: tuple[int, int]) -> np.ndarray:
    """How much of the stain there is, from 0 to 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    if kind == "yellowed side":
        return 1 / (1 + np.exp((columns - 100) / 20))
    radii = [np.hypot(rows - row, columns - column) for row, column in ((120, 130), (260, 300))]
    if kind == "blotch":
        return np.exp(-((radii[0] / 50) ** 2) / 2)
    if kind == "two small blotches":
        return np.maximum(*(np.exp(-((radius / 25) ** 2) / 2) for radius in radii))
    return 1 / (1 + np.exp((radii[0] - 60) / 8))  # a spot of even colour with a soft border


def stained(grey: np.ndarray, kind: str, stain: str) -> np.ndarray:
    amount = share_of_stain(kind, grey.shape)[..., None]
    colours = grey[..., None] * np.array(PAPER) * (1 - amount * (1 - np.array(STAINS[stain])))
    return np.rint(colours).astype(np.uint8)


KINDS = ["blotch", "two small blotches", "spot", "yellowed side"]


@pytest.mark.parametrize("quality", [None, 90, 75])
@pytest.mark.parametrize("stain", STAINS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stain_is_not_drawn(grey, kind, stain, quality):
    assert separate_tint(saved(stained(grey, kind, stain), quality)).drawn.mean() < 0.002


@pytest.mark.parametrize("quality", [None, 90])
@pytest.mark.parametrize("stain", ["yellow", "strong", "brown"])
def test_four_large_blotches_are_kept(quality, stain):
    """They cover more than half of the print, so that its tint is hardly the usual one."""
    random = np.random.default_rng(5)
    smooth = cv2.GaussianBlur(random.normal(size=(600, 700)).astype(np.float32), (0, 0), 7)
    grey = np.clip(130 + 45 * smooth / smooth.std() + 9 * random.normal(size=smooth.shape), 15, 240)
    rows, columns = np.mgrid[:600, :700]
    centres = ((150, 160), (170, 520), (430, 200), (450, 560))
    amount = np.max([1 / (1 + np.exp((np.hypot(rows - y, columns - x) - 140) / 18)) for y, x in centres], axis=0)
    colours = grey[..., None] * np.array(PAPER) * (1 - amount[..., None] * (1 - np.array(STAINS[stain])))
    print_ = np.rint(colours).astype(np.uint8)
    assert separate_tint(saved(print_, quality)).drawn.mean() < 0.005
    image = print_.copy()
    cv2.arrowedLine(image, (300, 60), (350, 110), (0, 0, 255), 5, tipLength=0.4)
    cv2.putText(image, "EDD", (430, 460), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 160, 60), 2, cv2.LINE_AA)
    assert separate_tint(saved(image, quality)).drawn[(image != print_).any(axis=-1)].mean() > 0.95


@pytest.mark.parametrize("quality", [None, 90, 75])
@pytest.mark.parametrize("colour", [(0, 200, 0), (0, 120, 255), (0, 210, 210)])
def test_a_soft_area_in_a_cold_colour_is_no_stain(grey, colour, quality):
    share = 0.35 * share_of_stain("spot", grey.shape)[..., None]
    image = np.rint(grey[..., None] * np.array(PAPER) * (1 - share) + share * np.array(colour)).astype(np.uint8)
    drawn = separate_tint(saved(image, quality)).drawn
    assert drawn[share[..., 0] > 0.33].mean() > 0.95
    assert drawn[share[..., 0] < 0.01].mean() < 0.002


@pytest.mark.parametrize("quality", [None, 90, 75])
@pytest.mark.parametrize("colour", [(255, 255, 0), (220, 30, 40), (0, 0, 255), (0, 150, 60)])
@pytest.mark.parametrize("kind", ["blotch", "spot"])
def test_an_arrow_and_a_box_on_a_stain_are_drawn(grey, kind, colour, quality):
    print_ = stained(grey, kind, "yellow")
    image = print_.copy()
    cv2.arrowedLine(image, (90, 60), (140, 110), colour, 5, tipLength=0.4)
    cv2.rectangle(image, (70, 140), (190, 200), colour, -1)  # larger than the surroundings that count
    cv2.putText(image, "EDD", (280, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.9, colour, 2, cv2.LINE_AA)
    truth = (image != print_).any(axis=-1)
    drawn = separate_tint(saved(image, quality)).drawn
    assert drawn[truth].mean() > 0.99
    far = cv2.dilate(truth.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
    assert (drawn & far).mean() < 0.005  # beyond three pixels


def test_a_large_pale_box_is_drawn_to_its_middle(grey):
    image = np.dstack([grey] * 3)
    image[60:140, 80:240] = (255, 245, 170)
    drawn = separate_tint(image).drawn
    assert drawn[60:140, 80:240].all()
    assert drawn.sum() == 80 * 160


@pytest.mark.parametrize("shape", [(9, 300), (61, 40), (83, 77)])
def test_a_tint_that_changes_evenly_is_followed_up_to_the_border(shape):
    luma = np.random.default_rng(0).uniform(50, 200, shape).astype(np.float32)
    slope = np.linspace(-0.1, 0.1, shape[1], dtype=np.float32)[:, None]
    colours = 100 * luma[..., None] * slope * np.array([1, 0, -1], np.float32)
    away = distance_from_surroundings(100 * luma, colours, 100.0) / 100
    assert away.shape == shape
    assert away.max() < DRAWN < np.linalg.norm(colours, axis=-1).max() / 100
