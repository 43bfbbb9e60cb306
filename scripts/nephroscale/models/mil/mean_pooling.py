"""Mean pooling: the bag is the average of its embedded instances.

    instances ── embedding ── mean ── linear ── classes

References
----------
Wang, Yan, Tang, Bai and Liu, Revisiting multiple instance neural networks, Pattern Recognition 74, 2018 (MI-Net).
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from nephroscale.models.masked import mean_weights
from nephroscale.models.mil.bag import EmbeddingConfig, InstanceNetwork, Instances, draw_glorot

if TYPE_CHECKING:
    from nephroscale.models.batch import Batch, Output, Shapes


@dataclass(frozen=True)
class Config(EmbeddingConfig):
    """The mean of the embedded instances."""


class MeanPooling(InstanceNetwork):
    """Average the embedded instances and classify.

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels with a trained encoder.
    classes
        Number of classes.
    config
        Settings of the family.
    """

    def __init__(self, shapes: Shapes, classes: int, config: Config) -> None:
        super().__init__(shapes, config)
        self.classifier = nn.Linear(self.embedding.width, classes)
        draw_glorot(self.classifier)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no maps)
        """Predict a batch; all instances have the same weight."""
        bag: Instances = self.embedding(batch)
        weights = mean_weights(bag.mask)
        pooled = torch.einsum("bn,bnd->bd", weights.to(bag.vectors.dtype), bag.vectors)
        return bag.output({"fusion": self.classifier(pooled)}, weights)


NETWORK = MeanPooling
