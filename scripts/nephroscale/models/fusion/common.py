"""Parts of the comparator fusions: the base class, tokens, attention, and a transformer block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Shapes
from nephroscale.models.modality_encoder import ModalityEncoder, ModalityEncoderConfig, ModalityMaps
from nephroscale.settings import setting


@dataclass(frozen=True)
class AttentionFusionConfig(ModalityEncoderConfig):
    """Settings of a fusion by attention among tokens."""

    heads: int = setting("Attention heads, which divide the tokens' width.", 4, minimum=1)


class FusionNetwork(ModalityEncoder):
    """A network that fuses the maps of the modalities; a subclass defines the fusion."""

    supports_missing_modalities = True

    def __init__(self, shapes: Shapes, classes: int, config: ModalityEncoderConfig, *, slots: int = 1) -> None:
        super().__init__(shapes, config, slots=slots)
        self.classes, self.hidden, self.dropout = classes, config.hidden, config.dropout

    def head(self, inputs: int) -> nn.Sequential:
        """Make the fusion head of CMUS-Net: linear to `hidden`, dropout, ReLU, linear to the classes."""
        return nn.Sequential(
            nn.Linear(inputs, self.hidden), nn.Dropout(self.dropout), nn.ReLU(), nn.Linear(self.hidden, self.classes)
        )

    def pool_maps(self, encoded: ModalityMaps) -> dict[str, Tensor]:
        """Average each map over its grid: modality to [B, C], zero for patients who lack it."""
        return {name: encoded.maps[name].mean((1, 2)) for name in self.modalities}

    def present_mask(self, encoded: ModalityMaps) -> Tensor:
        """Mark which patients have which modality: [B, modalities] bool."""
        some = encoded.maps[self.modalities[0]]
        everybody = torch.ones(len(some), dtype=torch.bool, device=some.device)
        return torch.stack([encoded.present.get(name, everybody) for name in self.modalities], 1)

    def token_mask(self, encoded: ModalityMaps, tokens: Mapping[str, Tensor]) -> Tensor:
        """Mark the tokens of present modalities among the concatenated tokens: [B, T] bool."""
        present = self.present_mask(encoded)
        return torch.cat([present[:, i, None].expand(-1, t.shape[1]) for i, t in enumerate(tokens.values())], 1)


class Tokens(nn.Module):
    """Maps as tokens of one width, with a learnt embedding of their modality.

    Parameters
    ----------
    modalities
        Names, in their order.
    width, hidden
        Channels of the maps, and of the tokens.
    """

    def __init__(self, modalities: list[str], width: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.ModuleDict({name: nn.Linear(width, hidden) for name in modalities})
        self.mark = nn.ParameterDict({name: nn.Parameter(0.02 * torch.randn(hidden)) for name in modalities})

    def forward(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn maps [B, h, w, C] into tokens [B, h * w, hidden]."""
        return {name: layer(maps[name].flatten(1, 2)) + self.mark[name] for name, layer in self.embed.items()}


class Attention(nn.Module):
    """Multi-head attention from some tokens to others, under a mask.

    References
    ----------
    Vaswani A et al. Attention is all you need. NeurIPS 2017.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        if hidden % heads:
            raise NephroscaleError(
                f"Tokens of width {hidden} cannot be divided among {heads} heads.",
                where="models: hidden, heads",
                fix="Take a width that the number of heads divides.",
            )
        self.heads = heads
        self.query, self.memory = nn.Linear(hidden, hidden), nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, tokens: Tensor, others: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from tokens [B, T, D] to others [B, S, D] where `mask` [B, S] is True; zero for an empty mask."""
        query = self.query(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.memory(others).unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).chunk(2, 1)
        # A row without any key would be NaN: it attends to all, and is set to zero below.
        keys = None if mask is None else (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
        attended = scaled_dot_product_attention(query, key, value, attn_mask=keys).transpose(1, 2).flatten(2)
        result: Tensor = self.out(attended)
        return result if mask is None else result * mask.any(1)[:, None, None]


class Block(nn.Module):
    """A transformer block: attention among tokens, then a two-layer perceptron, each after a layer norm."""

    def __init__(self, hidden: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(hidden), Attention(hidden, heads)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, 2 * hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * hidden, hidden),
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform tokens [B, T, D]; attention reaches only tokens where `mask` [B, T] is True."""
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, mask)
        transformed: Tensor = tokens + self.perceptron(tokens)
        return transformed
