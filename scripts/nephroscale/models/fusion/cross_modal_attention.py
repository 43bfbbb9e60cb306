"""Cross-modal attention: each modality's tokens attend to every other modality's, in both directions.

References
----------
Tsai Y et al. Multimodal transformer for unaligned multimodal language sequences. ACL 2019 (section 3.1; one block
for each ordered pair, without its temporal convolutions and the transformers that follow).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.fusion.common import Attention, AttentionFusionConfig, FusionNetwork, Tokens


@dataclass(frozen=True)
class Config(AttentionFusionConfig):
    """Attention between each ordered pair of modalities."""


class CrossModalAttention(FusionNetwork):
    """Each modality adds what it attends to in every other one; missing modalities are masked on both sides."""

    def __init__(self, shapes: Shapes, classes: int, config: Config, *, slots: int = 1) -> None:
        super().__init__(shapes, classes, config, slots=slots)
        self.tokens = Tokens(self.modalities, self.width, self.hidden)
        self.norms = nn.ModuleDict({name: nn.LayerNorm(self.hidden) for name in self.modalities})
        pairs = [f"{one}-{other}" for one in self.modalities for other in self.modalities if one != other]
        self.pairs = nn.ModuleDict({pair: Attention(self.hidden, config.heads) for pair in pairs})
        self.fusion = self.head(self.hidden * len(self.modalities))

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (not in the output)
        """Predict a batch."""
        encoded = self.encode_modalities(batch)
        tokens, present = self.tokens(encoded.maps), self.present_mask(encoded)
        normed = {name: self.norms[name](value) for name, value in tokens.items()}
        mask = {name: present[:, i, None].expand(-1, tokens[name].shape[1]) for i, name in enumerate(self.modalities)}
        pooled = []
        for i, name in enumerate(self.modalities):
            mixed = tokens[name]
            for other in self.modalities:
                if other != name:
                    mixed = mixed + self.pairs[f"{name}-{other}"](normed[name], normed[other], mask[other])
            pooled.append(mixed.mean(1) * present[:, i, None])
        return Output({"fusion": self.fusion(torch.cat(pooled, -1))}, encoded.selection, weights=encoded.weights)


NETWORK = CrossModalAttention
