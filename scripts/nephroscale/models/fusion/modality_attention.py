"""Modality-based attention: a weight for each modality of each patient, and the weighted sum.

References
----------
Hori C et al. Attention-based multimodal fusion for video description. ICCV 2017 (equations 11 to 13; without the
decoder's state, which a classifier does not have).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.fusion.common import FusionNetwork
from nephroscale.models.masked import masked_softmax
from nephroscale.models.modality_encoder import ModalityEncoderConfig


@dataclass(frozen=True)
class Config(ModalityEncoderConfig):
    """A weight for each modality of each patient."""


class ModalityAttention(FusionNetwork):
    """A weighted sum of the modalities; the weights sum to 1 over those present (`Output.modality_weight`)."""

    def __init__(self, shapes: Shapes, classes: int, config: Config, *, slots: int = 1) -> None:
        super().__init__(shapes, classes, config, slots=slots)
        self.embed = nn.ModuleDict({name: nn.Linear(self.width, self.hidden) for name in self.modalities})
        self.score = nn.ModuleDict({name: nn.Linear(self.hidden, 1) for name in self.modalities})
        self.fusion = self.head(self.hidden)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (always in the output)
        """Predict a batch."""
        encoded = self.encode_modalities(batch)
        pooled = self.pool_maps(encoded)
        embedded = {name: torch.tanh(self.embed[name](pooled[name])) for name in self.modalities}
        score = torch.cat([self.score[name](embedded[name]) for name in self.modalities], 1).float()
        weight = masked_softmax(score, self.present_mask(encoded))
        values = torch.stack(list(embedded.values()), 1)
        logits = self.fusion((values * weight.to(values.dtype)[:, :, None]).sum(1))
        by_modality = dict(zip(self.modalities, weight.detach().unbind(1), strict=True))
        return Output({"fusion": logits}, encoded.selection, weights=encoded.weights, modality_weight=by_modality)


NETWORK = ModalityAttention
