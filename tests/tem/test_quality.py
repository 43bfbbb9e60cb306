"""Quality of micrographs, on synthetic tissue that is spoilt in one way at a time."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from nephroscale.tem.quality import even_illumination, find_empty, illumination, measure_quality
from nephroscale.tem.read import read_tem

SHAPE = (600, 800)


def tissue(seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)

    def smooth(sigma: float) -> np.ndarray:
        field = cv2.GaussianBlur(random.normal(size=SHAPE).astype(np.float32), (0, 0), sigma)
        return np.asarray(field / field.std())

    membranes = np.exp(-((smooth(12) / 0.15) ** 2))
    picture = 140 + 15 * smooth(6) + 10 * smooth(2) - 50 * membranes + 5 * random.normal(size=SHAPE)
    return np.clip(picture, 20, 235).astype(np.uint8)


def measure(image: np.ndarray) -> dict[str, float]:
    return measure_quality(image, illumination(image, np.zeros(image.shape, bool))).to_mapping()


@pytest.mark.parametrize("seed", range(3))
def test_a_gradient_of_illumination_is_evened_and_even_tissue_stays(seed: int) -> None:
    picture = tissue(seed)
    shade = np.linspace(0.82, 1.18, SHAPE[1], dtype=np.float32)[None] * np.linspace(1.05, 0.95, SHAPE[0])[:, None]
    shaded = np.clip(picture * shade, 0, 255).astype(np.uint8)
    none = np.zeros(SHAPE, bool)
    assert measure(shaded)["illumination"] > 0.3
    evened = even_illumination(shaded, illumination(shaded, none))
    assert measure(evened)["illumination"] < 0.1
    before, after = (float(np.abs(image.astype(float) - picture).mean()) for image in (shaded, evened))
    assert after < 0.4 * before
    alone = even_illumination(picture, illumination(picture, none))
    assert np.abs(alone.astype(float) - picture).mean() < 4


def test_marks_do_not_bend_the_illumination() -> None:
    picture, mask = tissue(), np.zeros(SHAPE, bool)
    mask[450:, :400] = True
    marked = np.where(mask, 255, picture).astype(np.uint8)
    without = illumination(picture, mask)
    np.testing.assert_allclose(illumination(marked, mask), without, rtol=0.02)


def test_resin_holes_and_grid_bars_are_empty_and_tissue_is_not() -> None:
    picture = tissue()
    assert find_empty(picture).mean() < 0.01
    random = np.random.default_rng(1)
    picture[:, :200] = np.clip(random.normal(205, 4, (600, 200)), 0, 255)
    picture[:, 700:] = np.clip(random.normal(6, 2, (600, 100)), 0, 255)
    empty = find_empty(picture)
    assert empty[:, :180].mean() > 0.95
    assert empty[:, 720:].mean() > 0.95
    assert empty[:, 220:680].mean() < 0.02
    assert measure(picture)["empty"] == pytest.approx(3 / 8, abs=0.04)


def test_defocus_drift_and_knife_marks_change_their_own_figure() -> None:
    picture = tissue()
    plain = measure(picture)
    blurred = measure(cv2.GaussianBlur(picture, (0, 0), 3))
    assert blurred["sharpness"] < 0.5 * plain["sharpness"]
    moved = measure(cv2.blur(picture, (1, 15)))
    assert moved["drift"] > plain["drift"] + 0.2
    assert blurred["drift"] < plain["drift"] + 0.1
    turn = cv2.getRotationMatrix2D((800, 600), 35, 1.0)
    streaks = np.zeros((1200, 1600), np.float32)
    streaks[np.random.default_rng(2).integers(0, 1200, 60)] = 120
    streaks = cv2.GaussianBlur(cv2.warpAffine(streaks, turn, (1600, 1200))[300:900, 400:1200], (0, 0), 1.5)
    scratched = measure(np.clip(picture + streaks, 0, 255).astype(np.uint8))
    assert scratched["knife_marks"] > plain["knife_marks"] + 0.2


def test_real_micrographs_show_tissue(shared: Path) -> None:
    paths = sorted((shared / "data/tem").glob("*.png")) + sorted((shared / "data/tem").glob("*.jpg"))
    assert paths
    for path in paths:
        assert find_empty(read_tem(path).grey).mean() < 0.02, path.name


@pytest.mark.parametrize("shape", [(8, 8), (9, 300), (40, 33)])
def test_small_pictures_are_measured_too(shape: tuple[int, int]) -> None:
    picture = tissue()[: shape[0], : shape[1]]
    assert all(np.isfinite(value) for value in measure(picture).values())
    assert even_illumination(picture, illumination(picture, np.zeros(shape, bool))).shape == shape
