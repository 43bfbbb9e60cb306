"""Networks and batches that the tests of multiple-instance families share."""

from typing import Any

import torch

from nephroscale.models.batch import Batch
from nephroscale.models.network import Network
from nephroscale.models.registry import FAMILIES
from support.networks import build_network

torch.set_num_threads(1)
MIL = sorted(family for family, module in FAMILIES.items() if ".mil." in module)
ORDERED = {"transmil"}
CLASSES = 3
SHAPES = {"TEM": (2, 2, 8), "OM": (3, 3, 12), "IM": (2, 2, 8)}
SIZES = {"TEM": (5, 1, 3, 4), "OM": (1, 2, 1, 1), "IM": (1, 1, 0, 1)}


def network(family: str, shapes: dict = SHAPES, classes: int = CLASSES, **settings: Any) -> Network:
    return build_network(shapes, classes, family=family, modalities=shapes, **{"embedding": [16], **settings})


def batch(shapes: dict = SHAPES, sizes: dict = SIZES, longer: int = 0) -> Batch:
    """Four patients; the third lacks IM. `longer` adds padding with arbitrary numbers, which must be ignored."""
    generator = torch.Generator().manual_seed(0)
    features, masks = {}, {}
    for name, shape in shapes.items():
        places = max(sizes[name]) + longer
        masks[name] = torch.arange(places) < torch.tensor(sizes[name])[:, None]
        features[name] = torch.full((len(sizes[name]), places, *shape), 7.0)
        for row, size in zip(features[name], sizes[name], strict=True):
            row[:size] = torch.randn(size, *shape, generator=generator)
    return Batch.of(features, masks, torch.tensor([0, 2, 1, 2][: len(sizes["TEM"])]))
