"""Networks of transformers, trained as encoders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nephroscale.errors import NephroscaleError
from nephroscale.features.weights import digest_weights
from nephroscale.models.encoders.registry import build_encoder, describe_encoder, module_of_encoder
from nephroscale.models.settings import TrainableEncoderSettings, TrainedEncoderSettings
from support.networks import make_encoder

pytestmark = pytest.mark.slow

transformers = pytest.importorskip("transformers")
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
VIT = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "swin": ("SwinForImageClassification", SWIN),
    "resnet": ("ResNetModel", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}),
    "vit": ("ViTModel", {**VIT, "intermediate_size": 16}),
    "dinov2": ("Dinov2Model", VIT),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", {**VIT, "num_register_tokens": 3}),
}
PIXELS = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for kind, (architecture, layout) in TINY.items():
        torch.manual_seed(0)
        network = getattr(transformers, architecture)(transformers.CONFIG_MAPPING[kind](**layout))
        made[kind] = tmp_path_factory.mktemp(kind)
        network.save_pretrained(made[kind])
    return made


def entry(path: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "huggingface", "weights": str(path), "digest": digest_weights(path), **changes}


@pytest.mark.parametrize("kind", list(TINY))
def test_maps_are_those_of_the_frozen_encoder(folders: dict[str, Path], kind: str) -> None:
    from nephroscale.features import registry
    from nephroscale.features.settings import EncoderSettings

    encoder = make_encoder(entry(folders[kind]), 32).eval()
    maps = encoder(PIXELS)
    assert maps.shape == (3, *encoder.shape)
    settings = EncoderSettings.from_mapping(entry(folders[kind], size_px=32))
    expected = registry.create(settings).encode(PIXELS.numpy())
    torch.testing.assert_close(maps.detach(), torch.from_numpy(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trainable", ["all", "last", "none"])
@pytest.mark.parametrize("kind", list(TINY))
def test_frozen_weights_do_not_change(folders: dict[str, Path], kind: str, trainable: str) -> None:
    encoder = make_encoder(entry(folders[kind], trainable=trainable), 32).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    maps = encoder(PIXELS)
    if trainable != "none":
        (maps * torch.linspace(-1, 1, maps.shape[-1])).square().sum().backward()
        torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], 0.1).step()
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    parts = encoder.parts()
    inside = [{id(t) for m in part for t in (*m.parameters(), *m.buffers())} for part in parts]
    kept = dict([*encoder.named_parameters(), *encoder.named_buffers()])
    touched = [any(id(kept[name]) in part for name in moved) for part in inside]
    assert touched == {"all": [True] * 3, "last": [False, False, True], "none": [False] * 3}[trainable]
    assert encoder.parts()[0][0].training == (trainable == "all")
    if kind == "resnet":
        statistics = {name for name in moved if "running_mean" in name}
        assert bool(statistics) == (trainable != "none"), "norms of frozen stages keep their statistics"


def test_batch_statistics_are_of_all_images_at_once(folders: dict[str, Path]) -> None:
    encoder = make_encoder(entry(folders["resnet"]), 32).train()
    many = PIXELS.repeat(70, 1, 1, 1)
    torch.testing.assert_close(encoder(many)[:3], encoder(PIXELS), rtol=1e-3, atol=1e-3)


def test_position_embeddings_are_fitted_once_and_trained(folders: dict[str, Path]) -> None:
    for kind in ("vit", "dinov2", "dinov2_with_registers"):
        encoder = make_encoder(entry(folders[kind]), 48)
        assert encoder.shape == (6, 6, 16)
        pixels = torch.zeros(1, 48, 48, 3, dtype=torch.uint8)
        encoder(pixels).square().sum().backward()
        positions = encoder.network.network.embeddings.position_embeddings
        assert positions.shape == (1, 37, 16)
        assert positions.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", list(TINY))
def test_a_description_rebuilds_it_without_the_weights_and_holds_no_path(folders: dict[str, Path], kind: str) -> None:
    settings = entry(folders[kind], trainable="last")
    stored = json.dumps(describe_encoder(TrainableEncoderSettings.from_mapping(settings)).to_mapping())
    assert str(folders[kind]) not in stored
    described = TrainedEncoderSettings.from_mapping(json.loads(stored))
    assert described.digest == settings["digest"]
    encoder, again = make_encoder(settings, 32).eval(), build_encoder(described, 32).eval()
    assert not torch.equal(encoder(PIXELS), again(PIXELS))
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(encoder(PIXELS), again(PIXELS), rtol=0, atol=0)
    assert describe_encoder(described) == described


def test_a_config_alone_gives_fresh_weights_by_the_seed(folders: dict[str, Path]) -> None:
    settings = entry(folders["swin"] / "config.json")
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(make_encoder(settings, 32).eval()(PIXELS))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_faults_of_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NephroscaleError, match="microsoft/swin-base"):
        make_encoder({"name": "swin-b", "weights": None}, 224)
    with pytest.raises(NephroscaleError, match="without their digest"):
        make_encoder(entry(folders["vit"], digest=None), 32)
    with pytest.raises(NephroscaleError, match="not those"):
        make_encoder(entry(folders["vit"], digest="0" * 64), 32)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(NephroscaleError, match="no model type"):
        make_encoder(entry(tmp_path / "config.json"), 32)
    with pytest.raises(NephroscaleError, match="reads no file"):
        make_encoder({"name": "small-cnn", "weights": "x"}, 32)
    assert module_of_encoder("swin-b") == "nephroscale.models.encoders.huggingface"
