"""Modality-based attention: a weight for each modality of each patient, and the weighted sum.

References
----------
Hori C et al. Attention-based multimodal fusion for video description. ICCV 2017 (equations 11 to 13; without the
decoder's state, which a classifier does not have).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nephroscale.models.batch import Output
from nephroscale.models.fusion.common import FusionNetwork, build_fusion
from nephroscale.models.pooling import masked_softmax

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.batch import Batch


class ModalityAttention(FusionNetwork):
    """The weights [B, modalities] sum to 1 over what a patient has; they are in `Output.share`."""

    def __init__(self, shapes: Mapping[str, tuple[int, int, int]], classes: int, **settings: Any) -> None:
        super().__init__(shapes, classes, **settings)
        self.embed = nn.ModuleDict({name: nn.Linear(self.width, self.hidden) for name in self.modalities})
        self.score = nn.ModuleDict({name: nn.Linear(self.hidden, 1) for name in self.modalities})
        self.fusion = self.head(self.hidden)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (always handed out)
        """Predict a batch."""
        front = self.represent(batch)
        pooled = self.pooled(front)
        embedded = {name: torch.tanh(self.embed[name](pooled[name])) for name in self.modalities}
        score = torch.cat([self.score[name](embedded[name]) for name in self.modalities], 1).float()
        weight = masked_softmax(score, self.present(front))
        values = torch.stack(list(embedded.values()), 1)
        logits = self.fusion((values * weight.to(values.dtype)[:, :, None]).sum(1))
        share = dict(zip(self.modalities, weight.detach().unbind(1), strict=True))
        return Output({"fusion": logits}, front.selection, weights=front.weights, share=share)


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> ModalityAttention:
    """Build the network from an entry of `models` in the configuration."""
    return build_fusion(ModalityAttention, settings, shapes, classes, without=("loss_weights", "heads"))
