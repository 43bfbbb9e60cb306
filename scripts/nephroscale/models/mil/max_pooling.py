"""Max pooling: the bag is the largest value of each embedded feature over its instances.

    instances ── embedding ── maximum ── linear ── classes

References
----------
Wang, Yan, Tang, Bai and Liu, Revisiting multiple instance neural networks, Pattern Recognition 74, 2018 (MI-Net).
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nephroscale.models.masked import masked_maximum, mean_weights
from nephroscale.models.mil.bag import EmbeddingConfig, Instances, PoolingNetwork


@dataclass(frozen=True)
class Config(EmbeddingConfig):
    """The largest value of each embedded feature."""


class MaxPooling(PoolingNetwork):
    """Take the largest value of each embedded feature and classify."""

    def pool(self, bag: Instances) -> tuple[Tensor, Tensor]:
        """Take the maxima; an instance's weight is the fraction of the features whose maximum it attains.

        Instances that attain the same maximum, which is common at 0 after the ReLU, share its weight.
        """
        pooled = masked_maximum(bag.vectors, bag.mask)
        attains = (bag.vectors == pooled[:, None]) & bag.mask[..., None]
        return pooled, mean_weights(attains).mean(2)


NETWORK = MaxPooling
