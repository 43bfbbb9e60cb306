"""Concatenation: the modalities' pooled features side by side, and a perceptron.

References
----------
Ngiam J et al. Multimodal deep learning. ICML 2011 (the shared representation over concatenated features).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nephroscale.models.batch import Output
from nephroscale.models.fusion.common import FusionNetwork, build_fusion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.batch import Batch


class Concatenation(FusionNetwork):
    """CMUS-Net without attention and without branches. A modality that a patient lacks is a zero vector."""

    def __init__(self, shapes: Mapping[str, tuple[int, int, int]], classes: int, **settings: Any) -> None:
        super().__init__(shapes, classes, **settings)
        self.fusion = self.head(self.width * len(self.modalities))

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (there is none)
        """Predict a batch."""
        front = self.represent(batch)
        logits = self.fusion(torch.cat(list(self.pooled(front).values()), -1))
        return Output({"fusion": logits}, front.selection, weights=front.weights)


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> Concatenation:
    """Build the network from an entry of `models` in the configuration."""
    return build_fusion(Concatenation, settings, shapes, classes, without=("loss_weights", "heads"))
