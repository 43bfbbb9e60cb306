"""Pretrained networks through transformers, from local safetensors alone: Swin, ResNet, ViT, DINOv2.

References
----------
Liu Z et al. Swin Transformer. ICCV 2021. He K et al. Deep residual learning for image recognition. CVPR 2016.
Dosovitskiy A et al. An image is worth 16x16 words. ICLR 2021. Oquab M et al. DINOv2. TMLR 2024.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported; jobs have no network
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

from nephroscale.errors import NephroscaleError
from nephroscale.features.weights import check_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Model types (as config.json names them) whose last hidden state is a map; for each, how many leading tokens
# are no part of it (beside the registers that the layout counts).
_TOKENS_BEFORE_MAP = {"swin": 0, "swinv2": 0, "resnet": None, "vit": 1, "dinov2": 1, "dinov2_with_registers": 1}

# Layouts of the named networks, so that a single safetensors file is enough; and where it can be had.
_LAYOUTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "swin-b": (
        "microsoft/swin-base-patch4-window7-224",
        "swin",
        {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "image_size": 224, "window_size": 7},
    ),
    "resnet50": (
        "microsoft/resnet-50",
        "resnet",
        {"depths": [3, 4, 6, 3], "hidden_sizes": [256, 512, 1024, 2048], "layer_type": "bottleneck"},
    ),
    "vit-b": ("google/vit-base-patch16-224-in21k", "vit", {"image_size": 224, "patch_size": 16}),
    "dinov2-b": ("facebook/dinov2-base", "dinov2", {"image_size": 518, "patch_size": 14}),
}


def _refuse(name: str, why: str, path: Path, todo: str) -> NephroscaleError:
    return NephroscaleError(
        f"The weights of the encoder {name!r} cannot be used: {why}.", where=f"features.encoders, {path}", todo=todo
    )


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _configuration(name: str, path: Path, *, whole: bool = True) -> tuple[str, dict[str, Any], Path]:
    """Model type, layout and safetensors file (which has to be there, if `whole`) of the weights at `path`."""
    if path.is_dir():
        layout, file = _read_json(path / "config.json"), path / "model.safetensors"
        if whole and not file.is_file():
            others = ", ".join(
                sorted(p.name for p in path.glob("*") if p.suffix in {".bin", ".pt", ".pth", ".safetensors"})
            )
            raise _refuse(
                name,
                f"the folder has no model.safetensors (it has: {others or 'no weights'}); pickled files are never read",
                path,
                "Fetch or convert the weights as one model.safetensors beside config.json.",
            )
        if "auto_map" in layout or "model_type" not in layout:
            raise _refuse(
                name, "its config.json names no model type, or asks for code of its own", path, "Use plain weights."
            )
        kind = str(layout["model_type"])
        expected = _LAYOUTS[name][1] if name in _LAYOUTS else kind
        if kind not in _TOKENS_BEFORE_MAP or kind != expected:
            known = ", ".join([expected] if name in _LAYOUTS else _TOKENS_BEFORE_MAP)
            raise _refuse(name, f"its config.json is of a {kind!r} model", path, f"Model types that fit: {known}.")
        return kind, layout, file
    if path.suffix != ".safetensors":
        raise _refuse(
            name, f"a {path.suffix or 'nameless'} file is not safetensors", path, "Convert it to safetensors."
        )
    if name not in _LAYOUTS:
        raise _refuse(name, "a lone file does not say what network it is", path, "Give a folder with config.json.")
    return _LAYOUTS[name][1], _LAYOUTS[name][2], path


class MapNetwork(torch.nn.Module):
    """A network of transformers, from normalised images to feature maps.

    Parameters
    ----------
    network
        Base model without a head.
    kind
        Its model type.
    mean, std
        Of each colour channel, in the range 0 to 1, as the network was trained.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: torch.nn.Module, kind: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network, self.kind = network, kind
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Turn images [n, 3, S, S], range 0 to 1, into maps [n, C, h, w] after the network's final normalisation."""
        hidden = self.network(pixel_values=(images - self.mean) / self.std).last_hidden_state
        skip = _TOKENS_BEFORE_MAP[self.kind]
        if skip is None:
            return hidden
        tokens = hidden[:, skip + getattr(self.network.config, "num_register_tokens", 0) :]
        side = round(tokens.shape[1] ** 0.5)
        return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)


def layout_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what rebuilds a network without its weights: `kind`, `layout`, `mean` and `std`.

    Parameters
    ----------
    settings
        `name`, `weights` and `digest`, as for :func:`load_network`; `weights` may also be a config.json alone, of a
        network to be trained from scratch.

    Raises
    ------
    NephroscaleError
        When the weights are missing, not those named, or of another network.
    """
    name = str(settings["name"])
    path = check_weights(name, settings.get("weights"), settings.get("digest"), origin=_origin(name))
    kind, layout, _ = _configuration(
        name, path.parent if path.name == "config.json" else path, whole=path.suffix != ".json"
    )
    prepared = _read_json(path / "preprocessor_config.json") if path.is_dir() else {}
    mean, std = prepared.get("image_mean", IMAGENET_MEAN), prepared.get("image_std", IMAGENET_STD)
    return {"kind": kind, "layout": layout, "mean": list(mean), "std": list(std)}


def build_network(described: Mapping[str, Any]) -> MapNetwork:
    """Build a network with fresh weights from what :func:`layout_of` told."""
    kind = described["kind"]
    config = transformers.CONFIG_MAPPING[kind](**{k: v for k, v in described["layout"].items() if k != "model_type"})
    base: Any = transformers.MODEL_MAPPING[type(config)]
    return MapNetwork(base(config, **_without_pooler(kind)), kind, tuple(described["mean"]), tuple(described["std"]))


def _without_pooler(kind: str) -> dict[str, Any]:
    return {"add_pooling_layer": False} if kind in {"swin", "swinv2", "vit"} else {}


def _origin(name: str) -> str:
    where_from = _LAYOUTS[name][0] if name in _LAYOUTS else "a Swin, ResNet, ViT or DINOv2 model"
    return f"{where_from} (huggingface.co) or your own weights"


def load_network(settings: Mapping[str, Any]) -> MapNetwork:
    """Load a network from the weights that the configuration names, to encode with or to fine-tune.

    Parameters
    ----------
    settings
        `name`, `weights` (safetensors file, or folder with config.json and model.safetensors) and `digest`.

    Raises
    ------
    NephroscaleError
        When the weights are missing, not those named, pickled, incomplete, or of another network.
    """
    name = str(settings["name"])
    path = check_weights(name, settings.get("weights"), settings.get("digest"), origin=_origin(name))
    kind, layout, file = _configuration(name, path)
    config = transformers.CONFIG_MAPPING[kind](**{k: v for k, v in layout.items() if k != "model_type"})
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # heads are left out on purpose; what is missing is checked below
    transformers.logging.disable_progress_bar()
    try:
        base: Any = transformers.MODEL_MAPPING[type(config)]
        network, report = base.from_pretrained(
            None,
            config=config,
            state_dict=load_file(file),
            output_loading_info=True,
            dtype=torch.float32,
            **_without_pooler(kind),
        )
    except (RuntimeError, ValueError) as error:
        raise _refuse(name, f"{error}".splitlines()[0], path, f"Use weights of {_origin(name)}.") from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    lacking = sorted(map(str, report["missing_keys"])) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise _refuse(
            name,
            f"{len(lacking)} tensors are missing or of another shape, {lacking[0]} the first",
            path,
            "Use whole weights.",
        )
    prepared = _read_json(path / "preprocessor_config.json") if path.is_dir() else {}
    mean, std = prepared.get("image_mean", IMAGENET_MEAN), prepared.get("image_std", IMAGENET_STD)
    return MapNetwork(network.eval(), kind, tuple(mean), tuple(std))


class HuggingFaceEncoder:
    """A pretrained network as an encoder.

    Parameters
    ----------
    settings
        `name`, `weights`, `digest`, `size_px`.
    device
        `cpu` or `cuda`.
    """

    def __init__(self, settings: Mapping[str, Any], device: str) -> None:
        self.name, self.size_px = str(settings["name"]), int(settings["size_px"])
        self.device = torch.device(device)
        self.network = load_network(settings).to(self.device).eval()

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> np.ndarray:
        """Encode [n, S, S, 3] uint8 to [n, h, w, C] float32 (Swin-B at 224 px: 7 x 7 x 1024)."""
        batch = torch.from_numpy(np.array(images, copy=True)).to(self.device).permute(0, 3, 1, 2).float() / 255
        maps = self.network(batch).permute(0, 2, 3, 1).float().cpu().numpy()
        return np.ascontiguousarray(maps)


def create(settings: Mapping[str, Any], device: str) -> HuggingFaceEncoder:
    """Make the encoder from its entry of the configuration."""
    return HuggingFaceEncoder(settings, device)
