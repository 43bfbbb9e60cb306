"""The adapter of timm, where timm can be imported; it is an extra, and no other test needs it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nephroscale.errors import NephroscaleError
from nephroscale.features import registry
from nephroscale.features.settings import EncoderSettings
from nephroscale.features.weights import digest_weights


@pytest.fixture(scope="module")
def timm():
    """Import timm; with a CPU build of torch, torchvision needs two operators to exist."""
    library = torch.library.Library("torchvision", "DEF")
    for name, arguments in (("nms", "Tensor d, Tensor s, float t"), ("qnms", "Tensor d, Tensor s, float t")):
        with contextlib.suppress(RuntimeError):  # torchvision has defined it itself
            library.define(f"{name}({arguments}) -> Tensor")
    return pytest.importorskip("timm", reason="timm, an extra, is not installed", exc_type=ImportError)


def save(folder, network, architecture, arguments):
    folder.mkdir()
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "model.safetensors"
    )
    description = {
        "architecture": architecture,
        "model_args": arguments,
        "pretrained_cfg": {"mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.2]},
    }
    (folder / "config.json").write_text(json.dumps(description))
    return EncoderSettings(f"timm:{architecture}", str(folder), digest_weights(folder), size_px=32)


def test_a_vision_transformer_of_special_layout_gives_its_grid(timm, tmp_path):
    arguments = {
        "img_size": 32, "patch_size": 8, "depth": 1, "embed_dim": 32, "num_heads": 2, "reg_tokens": 2,
        "mlp_layer": "SwiGLUPacked", "act_layer": "SiLU",
    }  # fmt: skip
    made = {**arguments, "mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, **made).eval()
    settings = save(tmp_path / "weights", network, "vit_tiny_patch16_224", arguments)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    maps = registry.create(settings).encode(images)
    assert maps.shape == (2, 4, 4, 32)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.7, 0.6, 0.7]).view(3, 1, 1), torch.tensor([0.2, 0.2, 0.2]).view(3, 1, 1)
    with torch.inference_mode():
        tokens = network.forward_features((pixels - mean) / std)[:, 3:]  # the class token and two registers
    np.testing.assert_allclose(maps.reshape(2, 16, 32), tokens.numpy(), rtol=1e-5, atol=1e-5)


def test_a_convolutional_network_gives_channels_last(timm, tmp_path):
    network = timm.create_model("resnet18", num_classes=0).eval()
    settings = save(tmp_path / "weights", network, "resnet18", {})
    assert registry.create(settings).encode(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 2, 2, 512)


def test_weights_of_another_layout_or_model_are_refused(timm, tmp_path):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, patch_size=8, depth=1)
    settings = save(
        tmp_path / "weights", network, "vit_tiny_patch16_224", {"img_size": 32, "patch_size": 4, "depth": 1}
    )
    with pytest.raises(NephroscaleError, match="not of vit_tiny_patch16_224 as described"):
        registry.create(settings)
    with pytest.raises(NephroscaleError, match="asks for 'resnet18'"):
        registry.create(replace(settings, name="timm:resnet18"))


def test_a_folder_with_a_pickle_alone_is_refused(timm, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "pytorch_model.bin").write_bytes(b"x")
    (tmp_path / "weights" / "config.json").write_text("{}")
    settings = EncoderSettings("timm:resnet18", str(tmp_path / "weights"), size_px=32)
    with pytest.raises(NephroscaleError, match="pickled files are never read"):
        registry.create(replace(settings, digest=digest_weights(tmp_path / "weights")))
