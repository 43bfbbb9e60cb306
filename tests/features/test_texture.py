import cv2
import numpy as np
import pytest

from nephroscale.features.encoders import texture
from nephroscale.features.settings import EncoderSettings

GREY = 150


def canvas():
    return np.full((224, 224, 3), GREY, np.uint8)


def value(image, channel):
    return texture.measure(image)[:, :, texture.CHANNELS.index(channel)]


def spots(diameter, level=20):
    image = canvas()
    for y in range(24, 224, 44):
        for x in range(24, 224, 44):
            cv2.circle(image, (x, y), diameter // 2, (level,) * 3, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def lines(width, level=20):
    image = canvas()
    for x in range(24, 224, 44):
        cv2.line(image, (x, 0), (x + 20, 223), (level,) * 3, width, cv2.LINE_AA)
    return image


@pytest.mark.slow
def test_shape_names_and_determinism():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    encoder = texture.create(EncoderSettings(size_px=224), "cpu")
    maps = encoder.encode(images)
    assert maps.shape == (3, 7, 7, len(texture.CHANNELS))
    assert maps.dtype == np.float32
    assert 48 <= len(texture.CHANNELS) <= 96
    assert len(set(texture.CHANNELS)) == len(texture.CHANNELS)
    assert maps.tobytes() == encoder.encode(images.copy()).tobytes()
    np.testing.assert_array_equal(encoder.encode(images[1:2])[0], maps[1])
    assert encoder.encode(images[:0]).shape == (0, 7, 7, len(texture.CHANNELS))


def test_a_flat_image_has_no_texture():
    measured = texture.measure(canvas())
    for channel, name in enumerate(texture.CHANNELS):
        if not name.startswith(("mean", "darkest", "brightest")):
            assert np.abs(measured[:, :, channel]).max() < 1e-3, name


@pytest.mark.slow
@pytest.mark.parametrize(("diameter", "sigma"), [(5, "1.8"), (9, "3.2"), (16, "5.6")])
def test_dark_spots_give_a_response_at_their_scale(diameter, sigma):
    image = spots(diameter)
    answers = {s: value(image, f"dark_spot_{s:g}_peak").mean() for s in texture.SIGMAS}
    assert f"{max(answers, key=answers.get):g}" == sigma
    assert value(image, f"dark_spot_{sigma}_peak").mean() > 2 * value(image, f"bright_spot_{sigma}_peak").mean()


@pytest.mark.slow
def test_lines_differ_from_spots():
    image = lines(3)
    assert value(image, "dark_line_1.8").mean() > 10 * value(image, "dark_spot_1.8").mean()
    assert value(255 - image, "bright_line_1.8").mean() > 10 * value(255 - image, "bright_spot_1.8").mean()
    assert value(image, "gabor_6_coherence").mean() > 3 * value(spots(6), "gabor_6_coherence").mean()


def test_rings_differ_from_blobs_of_equal_brightness():
    rings, blobs = np.zeros((2, 224, 224, 3), np.uint8)
    for y in range(28, 224, 56):
        for x in range(28, 224, 56):
            cv2.circle(rings, (x, y), 20, (200,) * 3, 2, cv2.LINE_AA)
            cv2.circle(blobs, (x, y), 13, (200,) * 3, -1, cv2.LINE_AA)
    assert abs(rings.mean() / blobs.mean() - 1) < 0.2
    assert value(rings, "bright_line_1.8").mean() > 3 * value(blobs, "bright_line_1.8").mean()
    assert value(blobs, "bright_spot_9").mean() > 3 * value(rings, "bright_spot_9").mean()


def test_granules_differ_by_size():
    fine, coarse = spots(4), spots(12)
    assert value(fine, "dark_grain_7").mean() > 0.5 * value(fine, "dark_grain_21").mean()
    assert value(coarse, "dark_grain_21").mean() > 5 * value(coarse, "dark_grain_7").mean()


def test_equal_spots_differ_by_their_surroundings():
    half = canvas()
    half[:, :112] = 235
    half[:, 112:] = 90
    edge, inside = cv2.GaussianBlur(half, (0, 0), 3), cv2.GaussianBlur(half, (0, 0), 3)
    for y in range(20, 224, 30):
        cv2.circle(edge, (112, y), 4, (30,) * 3, -1, cv2.LINE_AA)
        cv2.circle(inside, (180, y), 4, (30,) * 3, -1, cv2.LINE_AA)
    assert value(edge, "spot_3.2_at_edge").mean() > 3 * value(inside, "spot_3.2_at_edge").mean()


def test_rotating_the_image_rotates_the_map():
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (56, 56, 3), dtype=np.uint8)
    image = cv2.resize(noise, (224, 224), interpolation=cv2.INTER_CUBIC)
    straight = texture.measure(image)
    turned = texture.measure(np.ascontiguousarray(np.rot90(image)))
    back = np.rot90(turned, -1)
    for channel, name in enumerate(texture.CHANNELS):
        if name.startswith("gabor") and "6_" not in name:
            continue  # an octave of an even-sized image has its centre half a pixel off
        np.testing.assert_allclose(back[:, :, channel], straight[:, :, channel], rtol=0.06, atol=3e-3, err_msg=name)


def test_features_of_real_images_have_roughly_unit_range(shared):
    paths = ["tem/isbi2012_0.png", "kidney_om/local1.png", "kidney_om/0486052bb_positive_000096_image.png"]
    encoder = texture.create(EncoderSettings(size_px=224), "cpu")
    for path in paths:
        image = cv2.imread(str(shared / "data" / path))[:, :, ::-1]
        maps = encoder.encode(np.ascontiguousarray(image[None, :224, :224]))
        assert np.abs(maps).max() < 8
        assert 0.2 < maps.std() < 3
