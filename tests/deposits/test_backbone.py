"""A ResNet of the user as the backbone."""

import numpy as np
import pytest

from nephroscale.deposits.settings import BackboneSettings
from nephroscale.features.weights import digest_weights

transformers = pytest.importorskip("transformers")
import torch  # noqa: E402

from nephroscale.deposits.backbone import Backbone  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resnet")
    torch.manual_seed(0)
    layout = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 32], depths=[1, 1, 1])
    transformers.ResNetModel(layout).save_pretrained(folder)
    return BackboneSettings("resnet18", weights=str(folder), digest=digest_weights(folder), size_px=64)


def test_the_stages_of_a_resnet_are_joined_the_finest_first(settings):
    backbone = Backbone(settings).eval()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8))
    with torch.inference_mode():
        maps = backbone.stage_maps(pixels)
        assert [tuple(each.shape[1:]) for each in maps] == [(8, 16, 16), (16, 8, 8), (32, 4, 4)]
        reference = transformers.ResNetModel.from_pretrained(settings.weights).eval()
        grey = pixels[:, None].float().expand(-1, 3, -1, -1) / 255
        mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        expected = reference(pixel_values=(grey - mean) / std, output_hidden_states=True).hidden_states[1:]
    for found, known in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-4)
    for pooled, known in zip(backbone.pooled(pixels), expected, strict=True):
        torch.testing.assert_close(pooled, known.mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_a_resnet_with_random_weights_has_the_same_stages(settings):
    torch.manual_seed(1)
    pixels = torch.zeros(1, 64, 64, dtype=torch.uint8)
    with torch.inference_mode():
        first, second = (
            Backbone(settings, pretrained=pretrained).eval().stage_maps(pixels) for pretrained in (True, False)
        )
    assert [each.shape for each in first] == [each.shape for each in second]
    assert not torch.allclose(first[0], second[0])
