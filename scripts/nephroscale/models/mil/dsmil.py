"""DSMIL: one stream finds the critical instance of each class, the other attends from it.

                            ┌── linear ── maximum ─────────────────────────────────────┐
    instances ── embedding ─┤               │ critical instance                        ├── mean ── classes
                            └── queries ── attention from it ── weighted sum ── linear ┘

References
----------
Li, Li and Eliceiri, Dual-stream multiple instance learning network for whole slide image classification with
self-supervised contrastive learning, CVPR 2021.
"""  # fmt: skip

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Batch, Output
from nephroscale.models.mil.bag import (
    InstanceEmbedding,
    Shapes,
    draw_glorot,
    inputs_of,
    masked_maximum,
    masked_softmax,
    options_of,
)
from nephroscale.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DSMIL(Network):
    """The aggregator of the paper; its multi-scale self-supervised features are the encoder's matter.

    Parameters
    ----------
    shapes, embedding, embedding_dropout, encoder
        As in :class:`~nephroscale.models.mil.bag.InstanceEmbedding`.
    classes
        Number of classes.
    attention_width
        Width of the queries.

    Notes
    -----
    Ours: the criterion is the training's (cross-entropy, say) on each stream, where the paper has a sigmoid for each
    class.
    """

    supports_missing_modalities = True  # a bag of fewer instances

    def __init__(
        self,
        shapes: Shapes,
        classes: int,
        *,
        embedding: Sequence[int] = (256,),
        embedding_dropout: float = 0.25,
        attention_width: int = 128,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.embedding = InstanceEmbedding(shapes, embedding, embedding_dropout, encoder)
        width = self.embedding.width
        self.instance_classifier = nn.Linear(width, classes)
        self.query = nn.Sequential(
            nn.Linear(width, attention_width), nn.ReLU(), nn.Linear(attention_width, attention_width), nn.Tanh()
        )
        self.bag_classifier = nn.Linear(classes * width, classes)  # one vector for each class
        for module in (self.instance_classifier, self.query, self.bag_classifier):
            draw_glorot(module)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002
        """Predict a batch; an instance's weight is the attention to it from the predicted class's critical instance."""
        bag = self.embedding(batch)
        scores = self.instance_classifier(bag.vectors)
        instance_logits = masked_maximum(scores, bag.mask)
        # The first of equally critical instances: a one-hot product instead of a gather, whose gradient is a scatter.
        best = scores.masked_fill(~bag.mask[..., None], -torch.inf).argmax(1)  # [B, classes]
        critical = (torch.arange(scores.shape[1], device=best.device) == best[..., None]).to(scores.dtype)

        queries = self.query(bag.vectors)
        likeness = torch.einsum("bnq,bcq->bnc", queries, critical @ queries) * queries.shape[-1] ** -0.5
        attention = masked_softmax(likeness, bag.mask)  # [B, N, classes]
        vectors = torch.einsum("bnc,bnd->bcd", attention.to(bag.vectors.dtype), bag.vectors)
        bag_logits = self.bag_classifier(vectors.flatten(1))

        fusion = (instance_logits + bag_logits) / 2
        predicted = torch.arange(fusion.shape[1], device=fusion.device) == fusion.argmax(1, keepdim=True)
        weights = torch.einsum("bnc,bc->bn", attention, predicted.to(attention.dtype))
        logits = {"fusion": fusion, "instance": instance_logits, "bag": bag_logits}
        return Output(logits, weights=bag.by_modality(weights), share=bag.shares(weights))

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Half the loss of each stream, summed over the batch."""
        return (self.criterion(output.logits["instance"], labels) + self.criterion(output.logits["bag"], labels)) / 2


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> DSMIL:
    """Build the network from an entry of `models` in the configuration."""
    return DSMIL(inputs_of(settings, shapes), classes, **options_of(settings, "dsmil"))
