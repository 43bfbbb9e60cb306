import cv2
import numpy as np
import pytest

from nephroscale.slides.background import IntensityScale, calibrate_intensity, estimate_background, saturated_share


def scene(height=160, width=200, mpp=4.0):
    """A slope of background with three discs of 100 µm on it."""
    down, across = np.mgrid[:height, :width]
    slope = 500 + 4.0 * across + 2.0 * down
    signal = np.zeros((height, width), np.float32)
    for x, y in ((50, 40), (120, 90), (160, 130)):
        cv2.circle(signal, (x, y), int(50 / mpp), 3000.0, -1)
    return slope.astype(np.float32), signal


def test_a_slope_goes_and_the_signal_stays():
    slope, signal = scene()
    background = estimate_background(slope + signal, 4.0, 100)
    assert np.abs(background - slope)[10:-10, 10:-10].mean() < 40
    rest = slope + signal - background
    assert rest[signal > 0].mean() == pytest.approx(3000, rel=0.05)
    assert np.abs(rest[signal == 0]).mean() < 80


def test_a_field_smaller_than_the_length_has_one_level():
    slope, signal = scene()
    background = estimate_background(slope + signal, 1.0, 100)
    assert np.ptp(background) == 0
    assert np.ptp(estimate_background(slope, None, 100)) == 0


def test_subtraction_fits_together_across_tiles():
    slope, signal = scene()
    scale = IntensityScale(estimate_background(slope + signal, 4.0, 100), 8.0, 2.0)
    pixels = np.random.default_rng(0).integers(0, 9000, (300, 400)).astype(np.uint16)
    whole = scale(pixels, 0, 0)
    np.testing.assert_array_equal(scale(pixels[128:256, 64:192], 64, 128), whole[128:256, 64:192])
    assert whole.dtype == np.uint16


def test_known_exposure_makes_intensities_comparable(make_row):
    row = make_row("IM", exposure_ms=50.0, gain=2.0)
    assert calibrate_intensity(np.array([10.0]), np.dtype(np.uint16), row) == ("calibrated", 1.0)
    assert calibrate_intensity(np.array([10.0]), np.dtype(np.uint8), make_row("IM", exposure_ms=200.0, gain=1.0)) == (
        "calibrated",
        257 / 2,
    )


@pytest.mark.parametrize(("exposure", "gain"), [(None, None), (100.0, None), (None, 1.0)])
def test_unknown_exposure_gives_the_pattern_only(make_row, exposure, gain):
    row = make_row("IM", exposure_ms=exposure, gain=gain)
    sample = np.linspace(0, 2000, 5000)
    calibration, factor = calibrate_intensity(sample, np.dtype(np.uint16), row)
    assert calibration == "pattern-only"
    assert factor * np.percentile(sample, 99.9) == pytest.approx(60000)
    assert calibrate_intensity(np.zeros(9), np.dtype(np.uint8), row)[1] == 1.0


def test_pixels_that_the_file_does_not_have_change_no_background():
    slope, signal = scene()
    valid = np.ones(slope.shape, bool)
    valid[-30:] = False
    cut = np.where(valid, slope + signal, 0)
    for mpp in (4.0, None):
        whole = estimate_background(slope + signal, mpp, 100)
        assert np.abs(estimate_background(cut, mpp, 100, valid) - whole)[:120].mean() < 40


def test_the_top_of_few_counts_is_not_one_of_them(make_row):
    rng = np.random.default_rng(0)
    light = rng.normal(40, 12, 200_000)
    factors = [calibrate_intensity(sample, np.dtype(np.uint8), make_row("IM"))[1] for sample in (light, light.round())]
    assert factors[1] == pytest.approx(factors[0], rel=0.003)


@pytest.mark.parametrize("full", [255, 235, 1023, 4095, 3967, 16000, 65520])
def test_saturation_is_found_below_the_full_scale_too(full):
    light = np.random.default_rng(0).gamma(2, full / 5, 200_000)
    counts = np.minimum(np.rint(light), full)
    share = (light >= full).mean()
    assert 0.01 < share <= saturated_share(counts, counts) < share + 0.005
    assert saturated_share(np.rint(light * (0.9 * full / light.max())), np.zeros(9)) < 0.001


def test_few_levels_are_no_saturation():
    few, none = np.random.default_rng(0).poisson(2, 10_000), np.zeros(0)
    assert saturated_share(few, few) == saturated_share(np.zeros(9), np.zeros(9)) == saturated_share(none, none) == 0
