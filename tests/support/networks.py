"""Networks of every family with few settings, as the tests of models and training build them."""

from collections.abc import Mapping
from typing import Any

import torch

from nephroscale.models.encoders.common import Encoder
from nephroscale.models.encoders.registry import build_encoder
from nephroscale.models.network import Network
from nephroscale.models.registry import build
from nephroscale.models.settings import ModelSettings, TrainableEncoderSettings

ALL = ("TEM", "OM", "IM")


def model_settings(family: str = "cmusnet", modalities: Any = ALL, train: Any = (), **options: Any) -> ModelSettings:
    """Settings of a model; cmusnet has an ordinal head only on request."""
    ordinal = {"ordinal": False} if family == "cmusnet" else {}
    return ModelSettings(family, tuple(modalities), dict(train), {**ordinal, **options})


def build_network(shapes: Mapping[str, Any], classes: int = 3, *, slots: int = 1, **settings: Any) -> Network:
    """Build a network with weights from seed 1, in evaluation mode."""
    torch.manual_seed(1)
    return build(model_settings(**settings), shapes, classes, slots=slots).eval()


def make_encoder(settings: Mapping[str, Any], size_px: int) -> Encoder:
    """Build a trainable encoder."""
    return build_encoder(TrainableEncoderSettings.from_mapping(settings), size_px)
