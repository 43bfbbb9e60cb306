"""DSMIL: one stream finds the critical instance of each class, the other attends from this instance.

                            ┌── linear ── maximum ─────────────────────────────────────┐
    instances ── embedding ─┤               │ critical instance                        ├── mean ── classes
                            └── queries ── attention from it ── weighted sum ── linear ┘

References
----------
Li, Li and Eliceiri, Dual-stream multiple instance learning network for whole slide image classification with
self-supervised contrastive learning, CVPR 2021.
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.masked import masked_maximum, masked_softmax
from nephroscale.models.mil.bag import EmbeddingConfig, InstanceNetwork, Instances, draw_glorot
from nephroscale.settings import setting


@dataclass(frozen=True)
class Config(EmbeddingConfig):
    """Dual-stream multiple-instance learning."""

    attention_width: int = setting("Width of the queries.", 128, minimum=1)


class DSMIL(InstanceNetwork):
    """The aggregator of the paper, without its multi-scale self-supervised features, which an encoder may provide.

    Notes
    -----
    Each stream has the criterion of the training, such as cross-entropy; the paper has a sigmoid for each class.
    """

    def __init__(self, shapes: Shapes, classes: int, config: Config) -> None:
        super().__init__(shapes, config)
        width, queries = self.embedding.width, config.attention_width
        self.instance_classifier = nn.Linear(width, classes)
        self.query = nn.Sequential(nn.Linear(width, queries), nn.ReLU(), nn.Linear(queries, queries), nn.Tanh())
        self.bag_classifier = nn.Linear(classes * width, classes)  # one vector for each class
        for module in (self.instance_classifier, self.query, self.bag_classifier):
            draw_glorot(module)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no maps)
        """Predict a batch; an instance's weight is the attention to it from the predicted class's critical instance."""
        bag: Instances = self.embedding(batch)
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
        return bag.output({"fusion": fusion, "instance": instance_logits, "bag": bag_logits}, weights)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Average the losses of the two streams, summed over the batch."""
        return self.branch_losses(output, ("instance", "bag"), labels).sum() / 2


NETWORK = DSMIL
