"""Concatenation: the modalities' pooled features side by side, and a perceptron.

References
----------
Ngiam J et al. Multimodal deep learning. ICML 2011 (the shared representation over concatenated features).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.fusion.common import FusionNetwork
from nephroscale.models.modality_encoder import ModalityEncoderConfig


@dataclass(frozen=True)
class Config(ModalityEncoderConfig):
    """Concatenation of the modalities' pooled features."""


class Concatenation(FusionNetwork):
    """CMUS-Net without attention and without branches. A missing modality is a zero vector."""

    def __init__(self, shapes: Shapes, classes: int, config: Config, *, slots: int = 1) -> None:
        super().__init__(shapes, classes, config, slots=slots)
        self.fusion = self.head(self.width * len(self.modalities))

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no attention)
        """Predict a batch."""
        encoded = self.encode_modalities(batch)
        logits = self.fusion(torch.cat(list(self.pool_maps(encoded).values()), -1))
        return Output({"fusion": logits}, encoded.selection, weights=encoded.weights)


NETWORK = Concatenation
