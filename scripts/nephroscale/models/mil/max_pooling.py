"""Max pooling: the bag is the largest value of each embedded feature over its instances.

    instances ── embedding ── maximum ── linear ── classes

References
----------
Wang, Yan, Tang, Bai and Liu, Revisiting multiple instance neural networks, Pattern Recognition 74, 2018 (MI-Net).
"""  # fmt: skip

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from nephroscale.models.batch import Batch, Output
from nephroscale.models.mil.bag import InstanceEmbedding, Shapes, draw_glorot, inputs_of, masked_maximum, options_of
from nephroscale.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MaxPooling(Network):
    """Take the largest value of each embedded feature and classify.

    Parameters
    ----------
    shapes, embedding, embedding_dropout, encoder
        As in :class:`~nephroscale.models.mil.bag.InstanceEmbedding`.
    classes
        Number of classes.
    """

    supports_missing_modalities = True  # a bag of fewer instances

    def __init__(
        self,
        shapes: Shapes,
        classes: int,
        *,
        embedding: Sequence[int] = (256,),
        embedding_dropout: float = 0.25,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.embedding = InstanceEmbedding(shapes, embedding, embedding_dropout, encoder)
        self.classifier = nn.Linear(self.embedding.width, classes)
        draw_glorot(self.classifier)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002
        """Predict a batch; an instance's weight is the share of the features whose maximum it gives.

        Where several instances give it, which is common at 0 after the ReLU, they share it.
        """
        bag = self.embedding(batch)
        pooled = masked_maximum(bag.vectors, bag.mask)
        gives = (bag.vectors == pooled[:, None]) & bag.mask[..., None]
        weights = (gives / gives.sum(1, keepdim=True).clamp(min=1)).mean(2)
        return Output({"fusion": self.classifier(pooled)}, weights=bag.by_modality(weights), share=bag.shares(weights))


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> MaxPooling:
    """Build the network from an entry of `models` in the configuration."""
    return MaxPooling(inputs_of(settings, shapes), classes, **options_of(settings, "max-pooling"))
