"""Mean pooling: the bag is the average of its embedded instances.

    instances ── embedding ── mean ── linear ── classes

References
----------
Wang, Yan, Tang, Bai and Liu, Revisiting multiple instance neural networks, Pattern Recognition 74, 2018 (MI-Net).
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nephroscale.models.masked import mean_weights
from nephroscale.models.mil.bag import EmbeddingConfig, Instances, PoolingNetwork


@dataclass(frozen=True)
class Config(EmbeddingConfig):
    """The mean of the embedded instances."""


class MeanPooling(PoolingNetwork):
    """Average the embedded instances and classify."""

    def pool(self, bag: Instances) -> tuple[Tensor, Tensor]:
        """Average the instances, all with the same weight."""
        weights = mean_weights(bag.mask)
        return torch.einsum("bn,bnd->bd", weights.to(bag.vectors.dtype), bag.vectors), weights


NETWORK = MeanPooling
