"""Self-attention: all modalities' tokens in one sequence, each of which attends to all.

References
----------
Vaswani A et al. Attention is all you need. NeurIPS 2017 (a block of the encoder; here normalised before).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.fusion.common import AttentionFusionConfig, Block, FusionNetwork, Tokens
from nephroscale.models.masked import masked_mean


@dataclass(frozen=True)
class Config(AttentionFusionConfig):
    """Self-attention over the tokens of all modalities."""


class SelfAttention(FusionNetwork):
    """One block over the tokens of all modalities; the tokens of a missing modality are masked."""

    def __init__(self, shapes: Shapes, classes: int, config: Config, *, slots: int = 1) -> None:
        super().__init__(shapes, classes, config, slots=slots)
        self.tokens = Tokens(self.modalities, self.width, self.hidden)
        self.block = Block(self.hidden, config.heads)
        self.fusion = self.head(self.hidden)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (not in the output)
        """Predict a batch."""
        encoded = self.encode_modalities(batch)
        tokens = self.tokens(encoded.maps)
        mask = self.token_mask(encoded, tokens)
        mixed = self.block(torch.cat(list(tokens.values()), 1), mask)
        return Output({"fusion": self.fusion(masked_mean(mixed, mask))}, encoded.selection, weights=encoded.weights)


NETWORK = SelfAttention
