"""Any timm network with a feature map (`timm:<model>`), with weights from a local file; needs the extra `timm`."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.features.settings import EncoderSettings
from nephroscale.features.weights import check_weights


class TimmEncoder:
    """A timm network without its head as an encoder.

    Parameters
    ----------
    settings
        `name` (`timm:` and timm's own name), `weights` (safetensors file, or a folder with config.json, whose
        `model_args` the model is made with, and model.safetensors), `digest`, `size_px`.
    device
        `cpu` or `cuda`.

    Raises
    ------
    NephroscaleError
        When timm cannot be imported, has no such model, or the weights are missing or do not fit.
    """

    def __init__(self, settings: EncoderSettings, device: str) -> None:
        self.name, self.size_px = settings.name, settings.size_px
        model = self.name.partition(":")[2]
        os.environ["HF_HUB_OFFLINE"] = "1"
        try:
            timm = importlib.import_module("timm")
        except (ImportError, RuntimeError) as error:  # torchvision beside another build of torch raises RuntimeError
            raise NephroscaleError(
                f"The encoder {self.name!r} needs timm, and its import fails ({type(error).__name__}: {error}).",
                where="features.encoders",
                fix="Install it (`pip install nephroscale[timm]`), or choose an encoder without it, such as swin-b.",
            ) from error
        if model not in timm.list_models():
            raise NephroscaleError(
                f"timm has no model named {model!r}.",
                where="features.encoders",
                fix="Give timm's name after the colon, without its pretraining tag.",
            )
        path = check_weights(settings, origin=f"timm's weights of {model} (huggingface.co/timm)")
        file, arguments, data = _read_folder(model, path) if path.is_dir() else (path, {}, {})
        if file.suffix != ".safetensors":
            raise NephroscaleError(
                "Weights for timm are one safetensors file; pickled files are never read.",
                where=f"features.encoders, weights: {file}",
                fix="Give model.safetensors of the model's page, or convert its weights to safetensors.",
            )
        import torch
        from safetensors.torch import load_file

        self.torch, self.device = torch, torch.device(device)
        for argument, home in (("mlp_layer", timm.layers), ("act_layer", torch.nn), ("norm_layer", torch.nn)):
            value = arguments.get(argument)
            if isinstance(value, str):
                arguments[argument] = getattr(home, value)
        try:
            network = timm.create_model(model, pretrained=False, **{**arguments, "num_classes": 0})
            missing = sorted(network.load_state_dict(load_file(file), strict=False).missing_keys)
        except (RuntimeError, TypeError) as error:  # another shape, or an unknown argument
            raise NephroscaleError(
                f"These weights are not of {model} as described: {str(error).splitlines()[-1].strip()}.",
                where=f"features.encoders, weights: {path}",
                fix="Check model_args of the config.json beside them against the model's page.",
            ) from error
        if missing:
            raise NephroscaleError(
                f"{len(missing)} tensors of {model} are missing in these weights, {missing[0]} the first.",
                where=f"features.encoders, weights: {path}",
                fix="Give the weights of exactly this model.",
            )
        self.network = network.to(self.device).eval()
        settings_of_data = timm.data.resolve_model_data_config(network)
        settings_of_data |= {name: data[name] for name in ("mean", "std") if name in data}
        self.mean = torch.tensor(settings_of_data["mean"], device=self.device).view(1, 3, 1, 1)
        self.std = torch.tensor(settings_of_data["std"], device=self.device).view(1, 3, 1, 1)

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Encode [n, S, S, 3] uint8 to [n, h, w, C] float32."""
        torch = self.torch
        with torch.inference_mode():
            batch = torch.from_numpy(np.array(images, copy=True)).to(self.device).permute(0, 3, 1, 2).float() / 255
            maps = self.network.forward_features((batch - self.mean) / self.std).float().cpu()
        if maps.ndim == 3:  # tokens, of which the first few are not part of the map
            tokens = maps[:, getattr(self.network, "num_prefix_tokens", 0) :]
            side = round(tokens.shape[1] ** 0.5)
            maps = tokens.reshape(len(tokens), side, side, -1)
        elif getattr(self.network, "output_fmt", "NCHW") != "NHWC" and maps.shape[1] == self.network.num_features:
            maps = maps.permute(0, 2, 3, 1)
        return np.ascontiguousarray(maps.numpy())


def _read_folder(model: str, folder: Path) -> tuple[Path, dict[str, object], dict[str, object]]:
    """Return the weights file, the arguments of the model, and facts such as mean and SD of the images."""
    description = folder / "config.json"
    if not description.is_file() or not (folder / "model.safetensors").is_file():
        raise NephroscaleError(
            "A folder of weights for timm holds config.json and model.safetensors; pickled files are never read.",
            where=f"features.encoders, weights: {folder}",
            fix="Obtain both from the model's page; convert pytorch_model.bin to safetensors where there is no other.",
        )
    layout = json.loads(description.read_text(encoding="utf-8"))
    if layout.get("architecture") != model:
        raise NephroscaleError(
            f"The weights are of {layout.get('architecture')!r}, and the configuration asks for {model!r}.",
            where=f"features.encoders, {description}",
            fix=f"Write `name: timm:{layout.get('architecture')}`.",
        )
    return folder / "model.safetensors", dict(layout.get("model_args", {})), dict(layout.get("pretrained_cfg", {}))


create = TimmEncoder
