"""SC-MIL: attention pooling with a contrastive loss that groups bags by class, then a classification loss.

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

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.mil.attention import AttentionConfig, AttentionNetwork
from nephroscale.models.mil.bag import Instances, draw_glorot
from nephroscale.models.precision import full_precision
from nephroscale.settings import Settings, section, setting


@dataclass(frozen=True)
class Contrast(Settings):
    """The contrastive loss of sc-mil."""

    temperature: float = setting("Temperature of the contrastive loss.", 0.1, above=0)
    width: int = setting("Width of the projection in which bags are compared.", 128, minimum=1)


@dataclass(frozen=True)
class Config(AttentionConfig):
    """Attention pooling with a supervised contrastive loss."""

    contrast: Contrast = section(Contrast)


class SCMIL(AttentionNetwork):
    """Attention pooling with a loss that shifts from contrast between bags to their classification.

    Notes
    -----
    Bags are compared within a batch, so a batch needs several patients of a class; with the default batch of four
    patients, few pairs are compared. In evaluation the loss is the classification loss alone, so that validation losses
    are comparable between epochs.
    """

    def __init__(self, shapes: Shapes, classes: int, config: Config) -> None:
        super().__init__(shapes, config)
        self.temperature = config.contrast.temperature
        width = self.embedding.width
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.contrast.width))
        self.classifier = nn.Linear(width, classes)
        draw_glorot(self.projection)
        draw_glorot(self.classifier)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no maps)
        """Predict a batch; in training, `extra` has the projected bags."""
        bag: Instances = self.embedding(batch)
        pooled, weights = self.attention(bag.vectors, bag.mask)
        extra = {"projected": normalize(self.projection(pooled).float(), dim=1)} if self.training else {}
        return bag.output({"fusion": self.classifier(pooled)}, weights, extra)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Add beta times the contrastive and (1 - beta) times the classification loss; beta falls from 1 towards 0."""
        classification = super().loss(output, labels)
        if "projected" not in output.extra:
            return classification
        beta = 1 - self.progress**2
        contrast = contrastive_loss(output.extra["projected"], labels, self.temperature)
        return beta * contrast + (1 - beta) * classification


def contrastive_loss(projected: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Compute the supervised contrastive loss [], summed over the bags; a bag alone in its class adds 0.

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
        similarity = (projected @ projected.T / temperature).masked_fill(itself, torch.finfo(projected.dtype).min)
    log_p = torch.log_softmax(similarity, 1)
    same_class = (labels[:, None] == labels) & ~itself
    mean = torch.where(same_class, log_p, 0.0).sum(1) / same_class.sum(1).clamp(min=1)
    return -mean.sum()


NETWORK = SCMIL
