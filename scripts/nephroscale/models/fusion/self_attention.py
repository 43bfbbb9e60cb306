"""Self-attention: all modalities' tokens in one sequence, each of which attends to all.

References
----------
Vaswani A et al. Attention is all you need. NeurIPS 2017 (a block of the encoder; here normalised before).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nephroscale.models.batch import Output
from nephroscale.models.fusion.common import Block, FusionNetwork, Tokens, build_fusion, mean_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.batch import Batch


class SelfAttention(FusionNetwork):
    """One block over the tokens of all modalities; tokens of a modality that a patient lacks are masked."""

    def __init__(self, shapes: Mapping[str, tuple[int, int, int]], classes: int, **settings: Any) -> None:
        super().__init__(shapes, classes, **settings)
        self.tokens = Tokens(self.modalities, self.width, self.hidden)
        self.block = Block(self.hidden, self.heads)
        self.fusion = self.head(self.hidden)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (not handed out)
        """Predict a batch."""
        front = self.represent(batch)
        tokens = self.tokens(front.maps)
        present = self.present(front)
        there = torch.cat([present[:, i, None].expand(-1, t.shape[1]) for i, t in enumerate(tokens.values())], 1)
        mixed = self.block(torch.cat(list(tokens.values()), 1), there)
        return Output({"fusion": self.fusion(mean_of(mixed, there))}, front.selection, weights=front.weights)


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> SelfAttention:
    """Build the network from an entry of `models` in the configuration."""
    return build_fusion(SelfAttention, settings, shapes, classes, without=("loss_weights",))
