"""Mean pooling: the bag is the average of its embedded instances.

    instances ── embedding ── mean ── linear ── classes

References
----------
Wang, Yan, Tang, Bai and Liu, Revisiting multiple instance neural networks, Pattern Recognition 74, 2018 (MI-Net).
"""  # fmt: skip

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nephroscale.models.batch import Batch, Output
from nephroscale.models.mil.bag import InstanceEmbedding, Shapes, draw_glorot, inputs_of, options_of
from nephroscale.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MeanPooling(Network):
    """Average the embedded instances and classify.

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
        """Predict a batch; every instance weighs the same."""
        bag = self.embedding(batch)
        weights = bag.mask / bag.mask.sum(1, keepdim=True).clamp(min=1)
        pooled = torch.einsum("bn,bnd->bd", weights.to(bag.vectors.dtype), bag.vectors)
        return Output({"fusion": self.classifier(pooled)}, weights=bag.by_modality(weights), share=bag.shares(weights))


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> MeanPooling:
    """Build the network from an entry of `models` in the configuration."""
    return MeanPooling(inputs_of(settings, shapes), classes, **options_of(settings, "mean-pooling"))
