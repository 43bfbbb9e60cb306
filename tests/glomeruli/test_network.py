from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.network import SegmenterWeights, SoftPool, UNet, UpConvolution, load_weights, save_weights
from nephroscale.glomeruli.score_calibration import ScoreCalibration
from nephroscale.glomeruli.segmenter import EPSILON, segmentation_loss

if TYPE_CHECKING:
    from pathlib import Path


def test_the_output_has_the_size_of_the_input() -> None:
    assert tuple(UNet(4).eval()(torch.zeros(1, 3, 48, 80)).shape) == (1, 1, 48, 80)


def test_an_up_convolution_is_one_over_the_enlarged_map_and_the_other() -> None:
    generator = torch.Generator().manual_seed(0)
    small, large = (torch.rand(2, *shape, generator=generator) for shape in ((5, 6, 4), (3, 12, 8)))
    up = UpConvolution(8, 7)
    enlarged = torch.nn.functional.interpolate(small, scale_factor=2, mode="nearest")
    expected = torch.nn.functional.conv2d(torch.cat([enlarged, large], dim=1), up.weight, padding=1)
    torch.testing.assert_close(up((small, large)), expected, rtol=0, atol=1e-6)


def test_soft_pooling_is_between_the_mean_and_the_maximum() -> None:
    pixels = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    mean, soft, largest = (pool(pixels) for pool in (torch.nn.AvgPool2d(2), SoftPool(), torch.nn.MaxPool2d(2)))
    assert (mean < soft).all()
    assert (soft < largest).all()
    torch.testing.assert_close(SoftPool()(100 * pixels), 100 * largest, rtol=0, atol=1.0)


def test_width_and_scale_are_read_from_the_weights(tmp_path: Path) -> None:
    network = UNet(4)
    fitted = ScoreCalibration(0.75, -1.5)
    saved = SegmenterWeights(network, 2.5, np.ones((2, 3), np.float32), 81.5, fitted)
    save_weights(saved, tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "pt") as stored:
        assert list(stored.metadata()) == ["nephroscale"]
    loaded, mpp, colours, smallest_um, calibration, markers = load_weights(tmp_path)
    assert markers == ()
    assert calibration == fitted
    assert smallest_um == 81.5
    assert np.array_equal(colours, np.ones((2, 3)))
    assert (loaded.width, mpp, loaded.training) == (4, 2.5, False)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_the_second_output_is_read_from_the_weights(tmp_path: Path) -> None:
    for outputs in (1, 2):
        save_weights(SegmenterWeights(UNet(4, outputs), 2.0, np.ones((1, 3), np.float32)), tmp_path / f"{outputs}")
        network = load_weights(tmp_path / f"{outputs}").network
        assert tuple(network(torch.zeros(1, 3, 16, 16)).shape) == (1, outputs, 16, 16)


def test_channels_and_markers_are_read_from_the_weights(tmp_path: Path) -> None:
    weights = SegmenterWeights(UNet(4, channels=1), 2.0, np.zeros((1, 0), np.float32), markers=("C3", "IgG"))
    save_weights(weights, tmp_path / "weights.safetensors")
    loaded = load_weights(tmp_path)
    assert loaded.markers == ("C3", "IgG")
    assert loaded.colours.shape == (1, 0)
    assert tuple(loaded.network(torch.zeros(1, 1, 16, 16)).shape) == (1, 1, 16, 16)


def test_damaged_and_other_weights_are_errors(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(NephroscaleError, match="damaged"):
        load_weights(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(NephroscaleError, match="not weights of the glomerulus segmenter"):
        load_weights(tmp_path)


def train_briefly(nudge: float, channels: int) -> torch.Tensor:
    """Train a network on noise for a few steps, and give its weights; one of them is changed before."""
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(8, channels=channels)
    with torch.no_grad():
        network.stem[0].weight[0, 0, 0, 0] += nudge
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, eps=EPSILON)
    for _ in range(25):
        pixels = torch.rand(4, channels, 96, 96, generator=generator)
        truth = (pixels.mean(1) > 0.5).float()
        optimiser.zero_grad()
        segmentation_loss(network(pixels)[:, 0], truth, torch.ones_like(truth)).backward()
        optimiser.step()
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_change_in_the_last_bit_of_a_weight_hardly_changes_the_trained_weights(channels: int) -> None:
    """With ReLU and maximum pooling the difference was 1.4 (1 channel) and 2.1 (3 channels)."""
    assert 0 < (train_briefly(1e-7, channels) - train_briefly(0.0, channels)).norm() < 1e-2
