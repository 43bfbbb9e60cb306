"""Attention pooling, shared by several networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Shapes
from nephroscale.models.masked import masked_softmax
from nephroscale.models.mil.bag import EmbeddingConfig, InstanceNetwork, draw_glorot
from nephroscale.settings import setting


@dataclass(frozen=True)
class AttentionConfig(EmbeddingConfig):
    """Settings of a network with attention pooling."""

    gated: bool = setting("Attention with a gate.", default=True)
    attention_width: int = setting("Width of the attention's hidden layer.", 128, minimum=1)


class AttentionPooling(nn.Module):
    """A weighted mean of a bag's instances, with weights from a small network.

    Parameters
    ----------
    width
        D of an instance.
    hidden
        Width of the small network.
    gated
        Multiply its tanh layer by a sigmoid layer.

    References
    ----------
    Ilse, Tomczak and Welling, Attention-based deep multiple instance learning, ICML 2018, equations 7 to 9.
    """

    def __init__(self, width: int, hidden: int, *, gated: bool) -> None:
        super().__init__()
        self.content = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden) if gated else None
        self.score = nn.Linear(hidden, 1, bias=False)  # a bias would cancel in the softmax
        draw_glorot(self)

    def forward(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool [B, N, D] with its mask [B, N] to [B, D], with the weights [B, N] of sum 1."""
        hidden = torch.tanh(self.content(vectors))
        if self.gate is not None:
            hidden = hidden * torch.sigmoid(self.gate(vectors))
        weights = masked_softmax(self.score(hidden).squeeze(-1), mask)
        return torch.einsum("bn,bnd->bd", weights.to(vectors.dtype), vectors), weights


class AttentionNetwork(InstanceNetwork):
    """A network that pools the embedded instances of a bag by attention."""

    def __init__(self, shapes: Shapes, config: AttentionConfig) -> None:
        super().__init__(shapes, config)
        self.attention = AttentionPooling(self.embedding.width, config.attention_width, gated=config.gated)
