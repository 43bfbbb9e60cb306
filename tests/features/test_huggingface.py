import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from nephroscale.errors import NephroscaleError
from nephroscale.features import registry
from nephroscale.features.settings import EncoderSettings
from nephroscale.features.weights import digest_weights

transformers = pytest.importorskip("transformers")
import torch  # noqa: E402

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
SMALL_SWIN = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
SMALL_VIT = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY = {
    "swin": ("SwinForImageClassification", SMALL_SWIN),
    "resnet": ("ResNetModel", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}),
    "vit": ("ViTModel", {**SMALL_VIT, "intermediate_size": 16}),
    "dinov2": ("Dinov2Model", SMALL_VIT),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", {**SMALL_VIT, "num_register_tokens": 3}),
}
MAPS = {"swin": (8, 16), "resnet": (4, 16), "vit": (4, 16), "dinov2": (4, 16), "dinov2_with_registers": (4, 16)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for kind, (architecture, layout) in TINY.items():
        torch.manual_seed(0)
        network = getattr(transformers, architecture)(transformers.CONFIG_MAPPING[kind](**layout))
        made[kind] = tmp_path_factory.mktemp(kind)
        network.save_pretrained(made[kind])
    return made


def entry(path, name="huggingface", **changes):
    settings = {"weights": str(path), "digest": digest_weights(path), "size_px": 32, **changes}
    return EncoderSettings(name, **settings)


@pytest.fixture
def copy(folders, tmp_path):
    return lambda kind: shutil.copytree(folders[kind], tmp_path / kind)


@pytest.mark.parametrize("kind", list(TINY))
def test_maps_of_each_kind(folders, kind):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    encoder = registry.create(entry(folders[kind]))
    maps = encoder.encode(images)
    side, channels = MAPS[kind]
    assert maps.shape == (2, side, side, channels)
    assert maps.dtype == np.float32
    assert maps.std() > 0
    np.testing.assert_array_equal(maps, registry.create(entry(folders[kind])).encode(images))
    np.testing.assert_allclose(maps[1:], encoder.encode(images[1:]), atol=1e-5)


def test_the_swin_map_is_the_normalised_last_layer_in_its_place(folders):
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    encoder = registry.create(entry(folders["swin"]))
    network = transformers.SwinModel.from_pretrained(folders["swin"]).eval()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = torch.tensor((images / 255 - mean) / std, dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network(x).last_hidden_state.reshape(1, 8, 8, 16).numpy()
    np.testing.assert_allclose(encoder.encode(images), expected, atol=1e-5)
    np.testing.assert_allclose(expected.mean(-1), 0, atol=1e-5)  # the range after a LayerNorm


def test_mean_and_deviation_beside_the_weights_are_used(copy):
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    folder = copy("vit")
    plain = registry.create(entry(folder)).encode(images)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    assert np.abs(registry.create(entry(folder)).encode(images) - plain).max() > 1e-3


def test_the_error_for_missing_weights_gives_their_source(tmp_path):
    for weights in (None, str(tmp_path / "none")):
        with pytest.raises(NephroscaleError, match="microsoft/swin-base") as raised:
            registry.create(EncoderSettings("swin-b", weights))
        assert "Nothing is downloaded" in str(raised.value)


def test_the_digest_is_required_and_checked(copy):
    folder = copy("resnet")
    with pytest.raises(NephroscaleError, match=digest_weights(folder)):
        registry.create(entry(folder, digest=None))
    named = entry(folder)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "note").write_text("left by a download tool")
    registry.create(named)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(NephroscaleError, match="not those"):
        registry.create(named)


def test_pickles_code_and_other_networks_are_refused(copy):
    folder = copy("swin")
    with pytest.raises(NephroscaleError, match="swin"):
        registry.create(entry(folder, name="resnet50"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(NephroscaleError, match="pickled"):
        registry.create(entry(folder))
    with pytest.raises(NephroscaleError, match="safetensors"):
        registry.create(entry(folder / "pytorch_model.bin", name="swin-b"))
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    for change in ({"auto_map": {"AutoModel": "x.y"}}, {"model_type": "bert"}, {"model_type": None}):
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(NephroscaleError, match=r"config\.json"):
            registry.create(entry(folder))
    with pytest.raises(NephroscaleError, match="single file"):
        registry.create(entry(folder / "model.safetensors"))


def test_incomplete_weights_are_refused(copy):
    folder = copy("vit")
    tensors = load_file(folder / "model.safetensors")
    gone = sorted(tensors)[3]
    del tensors[gone]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(NephroscaleError, match="missing"):
        registry.create(entry(folder))
    tensors[gone] = torch.zeros(3)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(NephroscaleError):
        registry.create(entry(folder))


def test_a_missing_timm_is_an_error(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NephroscaleError, match="timm"):
        registry.create(EncoderSettings("timm:resnet18", size_px=32))
