"""Trainable encoders."""

import pytest
import torch

from nephroscale.errors import NephroscaleError
from nephroscale.models.encoders.registry import module_of_encoder
from nephroscale.models.encoders.small_cnn import GridMean
from support.networks import make_encoder


@pytest.mark.parametrize("size", [14, 28, 32, 48, 64, 112, 224])
def test_small_cnn_gives_seven_by_seven(size: int) -> None:
    encoder = make_encoder({"width": 16}, size)
    maps = encoder(torch.zeros(2, size, size, 3, dtype=torch.uint8))
    assert maps.shape == (2, *encoder.shape) == (2, 7, 7, 16)


@pytest.mark.parametrize("side", [7, 8, 10, 14])
def test_grid_mean_keeps_the_mean_and_the_place(side: int) -> None:
    pool = GridMean(side)
    ramp = torch.arange(side, dtype=torch.float32).expand(1, 1, side, side)
    pooled = pool(ramp)
    torch.testing.assert_close(pooled.mean(), ramp.mean())
    torch.testing.assert_close(pooled[0, 0, 0], pooled[0, 0, 6])
    assert (pooled[0, 0, 0].diff() > 0).all()


def test_grid_mean_is_adaptive_pooling_where_cells_are_whole() -> None:
    maps = torch.randn(2, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(GridMean(14)(maps), torch.nn.functional.adaptive_avg_pool2d(maps, 7))


def test_images_are_normalised_as_for_imagenet() -> None:
    encoder = make_encoder({"width": 8}, 14)
    encoder.stages = torch.nn.Sequential()
    maps = encoder(torch.full((1, 1, 1, 3), 255, dtype=torch.uint8))
    torch.testing.assert_close(maps.flatten(), torch.tensor([2.2489, 2.4286, 2.6400]), rtol=1e-4, atol=1e-4)


def test_faults_of_the_configuration() -> None:
    with pytest.raises(NephroscaleError, match="no trainable encoder 'huge'"):
        module_of_encoder("huge")
    with pytest.raises(NephroscaleError, match="cannot be trained 'some'"):
        make_encoder({"trainable": "some"}, 28)
    with pytest.raises(NephroscaleError, match="too small"):
        make_encoder({}, 10)


def test_frozen_parts_stay_in_evaluation_mode() -> None:
    encoder = make_encoder({"width": 8, "trainable": "last"}, 28).train()
    assert [stage.training for stage in encoder.stages] == [False, False, True]
    assert [all(m.training for m in stage.modules()) for stage in encoder.stages] == [False, False, True]
    assert make_encoder({"width": 8, "trainable": "none"}, 28).train().stages[-1].training is False
    assert all(stage.training for stage in make_encoder({"width": 8}, 28).train().stages)


def test_images_are_encoded_in_groups_and_in_either_memory_format() -> None:
    torch.manual_seed(0)
    encoder = make_encoder({"width": 8}, 224)
    pixels = torch.randint(0, 256, (9, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen: list[tuple[int, bool]] = []
    encoder.stages[0].register_forward_hook(
        lambda _module, inputs, _output: seen.append((len(inputs[0]), inputs[0].is_contiguous()))
    )
    maps = encoder(pixels)
    assert seen == [(5, True), (4, True)]
    seen.clear()
    encoder.channels_last = True
    torch.testing.assert_close(encoder(pixels), maps, rtol=1e-4, atol=1e-5)
    assert not any(contiguous for _, contiguous in seen)
