"""SC-MIL: attention pooling whose bags are first pulled together by class, then classified.

    instances ── embedding ── (gated) attention ── weighted mean ─┬── linear ── classes
                                                                  └── projection ── supervised contrastive loss

References
----------
Juyal et al., SC-MIL: supervised contrastive multiple instance learning for imbalanced classification in pathology,
WACV 2024. The loss: Khosla et al., Supervised contrastive learning, NeurIPS 2020, equation 2. The curriculum's curve:
Wang, Han, Wei, Zhang and Wang, Contrastive learning based hybrid networks for long-tailed image classification, CVPR
2021.
"""  # fmt: skip

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from nephroscale.models.batch import Batch, Output
from nephroscale.models.mil.attention import AttentionPooling
from nephroscale.models.mil.bag import InstanceEmbedding, Shapes, draw_glorot, inputs_of, options_of
from nephroscale.models.network import Network
from nephroscale.models.precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTRAST = {"temperature": 0.1, "width": 128}


class SCMIL(Network):
    """Attention pooling with a loss that moves from the bags' representations to their classes.

    Parameters
    ----------
    shapes, embedding, embedding_dropout, encoder
        As in :class:`~nephroscale.models.mil.bag.InstanceEmbedding`.
    classes
        Number of classes.
    gated, attention_width
        As in :class:`~nephroscale.models.mil.attention.AttentionPooling`.
    contrast
        `temperature` of the contrastive loss, `width` of the projection it compares.

    Notes
    -----
    Bags are compared within a batch, so a batch has to hold several patients of a class: with the usual four patients
    a batch, few pairs are compared. In evaluation the loss is the classification's alone, so that the epochs' losses
    on validation patients are comparable.
    """

    supports_missing_modalities = True  # a bag of fewer instances

    def __init__(
        self,
        shapes: Shapes,
        classes: int,
        *,
        embedding: Sequence[int] = (256,),
        embedding_dropout: float = 0.25,
        gated: bool = True,
        attention_width: int = 128,
        contrast: Mapping[str, Any] | None = None,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        options = {**CONTRAST, **(contrast or {})}
        self.temperature = float(options["temperature"])
        self.embedding = InstanceEmbedding(shapes, embedding, embedding_dropout, encoder)
        width = self.embedding.width
        self.attention = AttentionPooling(width, attention_width, gated=gated)
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, int(options["width"])))
        self.classifier = nn.Linear(width, classes)
        draw_glorot(self.projection)
        draw_glorot(self.classifier)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002
        """Predict a batch; `extra` holds the projected bags, and only while training."""
        bag = self.embedding(batch)
        pooled, weights = self.attention(bag.vectors, bag.mask)
        extra = {"projected": normalize(self.projection(pooled).float(), dim=1)} if self.training else {}
        return Output(
            {"fusion": self.classifier(pooled)},
            weights=bag.by_modality(weights),
            share=bag.shares(weights),
            extra=extra,
        )

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Beta times the contrastive loss and (1 - beta) times the classification's; beta falls from 1 towards 0."""
        classification = super().loss(output, labels)
        if "projected" not in output.extra:
            return classification
        beta = 1 - self.progress**2
        contrast = contrastive_loss(output.extra["projected"], labels, self.temperature)
        return beta * contrast + (1 - beta) * classification


def contrastive_loss(projected: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Give the supervised contrastive loss [], summed over the bags; one without a fellow of its class adds nothing.

    Parameters
    ----------
    projected
        [B, P] of unit length.
    labels
        [B] int64.
    temperature
        Divides the cosines.
    """
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    with full_precision(projected.device.type):
        likeness = (projected @ projected.T / temperature).masked_fill(itself, torch.finfo(projected.dtype).min)
    log_share = torch.log_softmax(likeness, 1)
    fellows = (labels[:, None] == labels) & ~itself
    mean = torch.where(fellows, log_share, 0.0).sum(1) / fellows.sum(1).clamp(min=1)
    return -mean.sum()


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> SCMIL:
    """Build the network from an entry of `models` in the configuration."""
    return SCMIL(inputs_of(settings, shapes), classes, **options_of(settings, "sc-mil"))
