"""Max pooling: the bag is the largest value of each embedded feature over its instances.

    instances ── embedding ── maximum ── linear ── classes

References
----------
Wang, Yan, Tang, Bai and Liu, Revisiting multiple instance neural networks, Pattern Recognition 74, 2018 (MI-Net).
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from nephroscale.models.masked import masked_maximum, mean_weights
from nephroscale.models.mil.bag import EmbeddingConfig, InstanceNetwork, Instances, draw_glorot

if TYPE_CHECKING:
    from nephroscale.models.batch import Batch, Output, Shapes


@dataclass(frozen=True)
class Config(EmbeddingConfig):
    """The largest value of each embedded feature."""


class MaxPooling(InstanceNetwork):
    """Take the largest value of each embedded feature and classify.

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
        """Predict a batch; an instance's weight is the fraction of the features whose maximum it attains.

        Instances that attain the same maximum, which is common at 0 after the ReLU, share its weight.
        """
        bag: Instances = self.embedding(batch)
        pooled = masked_maximum(bag.vectors, bag.mask)
        attains = (bag.vectors == pooled[:, None]) & bag.mask[..., None]
        weights = mean_weights(attains).mean(2)
        return bag.output({"fusion": self.classifier(pooled)}, weights)


NETWORK = MaxPooling
