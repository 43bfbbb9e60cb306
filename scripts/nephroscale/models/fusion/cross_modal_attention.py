"""Cross-modal attention: each modality's tokens attend to every other modality's, in both directions.

References
----------
Tsai Y et al. Multimodal transformer for unaligned multimodal language sequences. ACL 2019 (section 3.1; one block
for each ordered pair, without its temporal convolutions and the transformers that follow).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nephroscale.models.batch import Output
from nephroscale.models.fusion.common import Attention, FusionNetwork, Tokens, build_fusion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.batch import Batch


class CrossModalAttention(FusionNetwork):
    """Every modality is added what it reads from each other one; what a patient lacks is neither read nor reads."""

    def __init__(self, shapes: Mapping[str, tuple[int, int, int]], classes: int, **settings: Any) -> None:
        super().__init__(shapes, classes, **settings)
        self.tokens = Tokens(self.modalities, self.width, self.hidden)
        self.norms = nn.ModuleDict({name: nn.LayerNorm(self.hidden) for name in self.modalities})
        pairs = [f"{one}-{other}" for one in self.modalities for other in self.modalities if one != other]
        self.pairs = nn.ModuleDict({pair: Attention(self.hidden, self.heads) for pair in pairs})
        self.fusion = self.head(self.hidden * len(self.modalities))

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (not handed out)
        """Predict a batch."""
        front = self.represent(batch)
        tokens, present = self.tokens(front.maps), self.present(front)
        normed = {name: self.norms[name](value) for name, value in tokens.items()}
        there = {name: present[:, i, None].expand(-1, tokens[name].shape[1]) for i, name in enumerate(self.modalities)}
        pooled = []
        for i, name in enumerate(self.modalities):
            mixed = tokens[name]
            for other in self.modalities:
                if other != name:
                    mixed = mixed + self.pairs[f"{name}-{other}"](normed[name], normed[other], there[other])
            pooled.append(mixed.mean(1) * present[:, i, None])
        return Output({"fusion": self.fusion(torch.cat(pooled, -1))}, front.selection, weights=front.weights)


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> CrossModalAttention:
    """Build the network from an entry of `models` in the configuration."""
    return build_fusion(CrossModalAttention, settings, shapes, classes, without=("loss_weights",))
