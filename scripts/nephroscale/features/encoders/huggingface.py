"""Pretrained networks of transformers, from local safetensors only: Swin, ResNet, ViT, DINOv2.

References
----------
Liu Z et al. Swin Transformer. ICCV 2021. He K et al. Deep residual learning for image recognition. CVPR 2016.
Dosovitskiy A et al. An image is worth 16x16 words. ICLR 2021. Oquab M et al. DINOv2. TMLR 2024.
"""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypedDict

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported; jobs have no network
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

from nephroscale.errors import NephroscaleError
from nephroscale.features.known_encoders import known_encoder
from nephroscale.features.weights import check_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nephroscale.features.protocol import NamedWeights
    from nephroscale.features.settings import EncoderSettings
    from nephroscale.json_text import JSON

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Model types (as config.json names them) whose last hidden state is a map; for each, the number of leading tokens
# outside the map (beside the registers, which the architecture counts).
_TOKENS_BEFORE_MAP = {"swin": 0, "swinv2": 0, "resnet": None, "vit": 1, "dinov2": 1, "dinov2_with_registers": 1}


def _refuse(name: str, why: str, path: Path, fix: str) -> NephroscaleError:
    return NephroscaleError(
        f"The weights of the encoder {name!r} cannot be used: {why}.", where=f"features.encoders, {path}", fix=fix
    )


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


class Architecture(TypedDict):
    """What rebuilds a network without its weights.

    Attributes
    ----------
    kind
        Model type in transformers.
    layout
        Keys of its config.json.
    mean, std
        Of each colour channel, in the range 0 to 1, as the network was trained.
    """

    kind: str
    layout: dict[str, JSON]
    mean: list[float]
    std: list[float]


def _read_architecture(name: str, path: Path) -> Architecture:
    """Read the architecture beside the weights at `path`, or look up that of a known network."""
    kind, layout = _kind_and_layout(name, path)
    prepared = _read_json(path / "preprocessor_config.json") if path.is_dir() else {}
    mean, std = prepared.get("image_mean", IMAGENET_MEAN), prepared.get("image_std", IMAGENET_STD)
    return {"kind": kind, "layout": layout, "mean": list(mean), "std": list(std)}


def _kind_and_layout(name: str, path: Path) -> tuple[str, dict[str, JSON]]:
    known = known_encoder(name)
    kind = None if known is None else known.model_type
    if path.is_dir():
        layout = _read_json(path / "config.json")
        if "auto_map" in layout or "model_type" not in layout:
            raise _refuse(
                name, "its config.json names no model type, or asks for code of its own", path, "Use plain weights."
            )
        found = str(layout["model_type"])
        if found not in _TOKENS_BEFORE_MAP or found != (kind or found):
            fitting = ", ".join([kind] if kind else _TOKENS_BEFORE_MAP)
            raise _refuse(name, f"its config.json is of a {found!r} model", path, f"Model types that fit: {fitting}.")
        return found, layout
    if path.suffix != ".safetensors":
        raise _refuse(
            name, f"a {path.suffix or 'nameless'} file is not safetensors", path, "Convert it to safetensors."
        )
    if known is None or kind is None or known.architecture is None:
        raise _refuse(name, "a single file does not describe its network", path, "Give a folder with config.json.")
    return kind, dict(known.architecture)


def _weights_file(name: str, path: Path) -> Path:
    """Return the safetensors file at `path`, which is the file or its folder."""
    if not path.is_dir():
        return path
    file = path / "model.safetensors"
    if not file.is_file():
        others = ", ".join(
            sorted(p.name for p in path.glob("*") if p.suffix in {".bin", ".pt", ".pth", ".safetensors"})
        )
        raise _refuse(
            name,
            f"the folder has no model.safetensors (it has: {others or 'no weights'}); pickled files are never read",
            path,
            "Obtain or convert the weights as one model.safetensors beside config.json.",
        )
    return file


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
        normalised = ((images - self.mean) / self.std).to(next(self.network.parameters()).dtype)
        hidden: torch.Tensor = self.network(pixel_values=normalised).last_hidden_state
        skip = _TOKENS_BEFORE_MAP[self.kind]
        if skip is None:
            return hidden
        tokens = hidden[:, skip + getattr(self.network.config, "num_register_tokens", 0) :]
        side = round(tokens.shape[1] ** 0.5)
        return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)


def layout_of(settings: NamedWeights) -> Architecture:
    """Read what rebuilds a network without its weights.

    Parameters
    ----------
    settings
        As for :func:`load_network`; the weights may also be only a config.json, of a network to train from scratch.

    Raises
    ------
    NephroscaleError
        When the weights are missing, have another digest, or are of another network.
    """
    name = settings.name
    path = check_weights(settings, origin=_origin(name))
    if path.suffix != ".json":
        _weights_file(name, path)
    return _read_architecture(name, path.parent if path.name == "config.json" else path)


def build_network(architecture: Mapping[str, Any]) -> MapNetwork:
    """Build a network with random weights from the content of an :class:`Architecture`."""
    kind = architecture["kind"]
    base, config = _base(kind, architecture["layout"])
    network = base(config, **_without_pooler(kind))
    return MapNetwork(network, kind, tuple(architecture["mean"]), tuple(architecture["std"]))


def _base(kind: str, layout: Mapping[str, JSON]) -> tuple[Any, transformers.PretrainedConfig]:
    """Return the class of a network without a head, and its configuration."""
    make_config: Any = transformers.CONFIG_MAPPING[kind]
    config = make_config(**{key: value for key, value in layout.items() if key != "model_type"})
    return transformers.MODEL_MAPPING[type(config)], config


def _without_pooler(kind: str) -> dict[str, bool]:
    return {"add_pooling_layer": False} if kind in {"swin", "swinv2", "vit"} else {}


def _origin(name: str) -> str:
    known = known_encoder(name)
    source = known.source if known and known.model_type else "a Swin, ResNet, ViT or DINOv2 model"
    return f"{source} (huggingface.co) or your own weights"


def load_network(settings: NamedWeights) -> MapNetwork:
    """Load a network with its weights, to encode with or to fine-tune.

    Parameters
    ----------
    settings
        Name, weights (safetensors file, or folder with config.json and model.safetensors) and digest.

    Raises
    ------
    NephroscaleError
        When the weights are missing, have another digest, are pickled, incomplete, or of another network.
    """
    name = settings.name
    path = check_weights(settings, origin=_origin(name))
    file = _weights_file(name, path)
    architecture = _read_architecture(name, path)
    kind = architecture["kind"]
    base, config = _base(kind, architecture["layout"])
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # heads are left out on purpose
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
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
    missing = sorted(map(str, report["missing_keys"])) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        raise _refuse(
            name,
            f"{len(missing)} tensors are missing or of another shape, {missing[0]} the first",
            path,
            "Use complete weights.",
        )
    return MapNetwork(network.eval(), kind, tuple(architecture["mean"]), tuple(architecture["std"]))


class HuggingFaceEncoder:
    """A pretrained network as an encoder.

    Parameters
    ----------
    settings
        Name, weights, digest and image size.
    device
        `cpu` or `cuda`.
    """

    def __init__(self, settings: EncoderSettings, device: str) -> None:
        self.name, self.size_px = settings.name, settings.size_px
        self.device = torch.device(device)
        self.network = load_network(settings).to(self.device).eval()
        reduced = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        if settings.precision == "bfloat16" or (settings.precision == "auto" and reduced):
            self.network.network.to(torch.bfloat16)

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> np.ndarray:
        """Encode [n, S, S, 3] uint8 to [n, h, w, C] float32 (Swin-B at 224 px: 7 x 7 x 1024).

        On a GPU each call has a stream of its own, so that calls of two threads overlap.
        """
        on_gpu = self.device.type == "cuda"
        with torch.cuda.stream(torch.cuda.Stream()) if on_gpu else nullcontext():  # type: ignore[no-untyped-call]
            pixels = torch.from_numpy(np.array(images, copy=True)).to(self.device)
            maps = self.network(pixels.permute(0, 3, 1, 2).float() / 255).permute(0, 2, 3, 1).float()
            return np.asarray(maps.contiguous().cpu().numpy())


create = HuggingFaceEncoder
