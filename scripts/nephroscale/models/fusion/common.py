"""What the rival fusions share: a front, a token width, heads, and how their settings become a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import MODALITIES
from nephroscale.models.modality_encoder import Maps, ModalityEncoder

if TYPE_CHECKING:
    from collections.abc import Mapping


class FusionNetwork(ModalityEncoder):
    """A network that fuses the three modalities' maps in a way of its own.

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels where there is an encoder.
    classes
        Number of classes.
    hidden, dropout
        Width of tokens and of the fusion head, and its dropout.
    heads
        Attention heads, where there is attention.
    front
        Of :class:`~nephroscale.models.modality_encoder.ModalityEncoder`.
    """

    supports_missing_modalities = True

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int, int]],
        classes: int,
        *,
        hidden: int = 128,
        dropout: float = 0.5,
        heads: int = 4,
        **front: Any,
    ) -> None:
        super().__init__(shapes, **front)
        self.classes, self.hidden, self.dropout, self.heads = classes, hidden, dropout, heads

    def head(self, inputs: int) -> nn.Sequential:
        """Make CMUS-Net's fusion head: linear to `hidden`, dropout, ReLU, linear to the classes."""
        return nn.Sequential(
            nn.Linear(inputs, self.hidden), nn.Dropout(self.dropout), nn.ReLU(), nn.Linear(self.hidden, self.classes)
        )

    def pooled(self, front: Maps) -> dict[str, Tensor]:
        """Average each map over its places: modality to [B, C], zero for who lacks it."""
        return {name: front.maps[name].mean((1, 2)) for name in self.modalities}

    def present(self, front: Maps) -> Tensor:
        """Tell who has what: [B, modalities] bool."""
        some = front.maps[self.modalities[0]]
        everybody = torch.ones(len(some), dtype=torch.bool, device=some.device)
        return torch.stack([front.has.get(name, everybody) for name in self.modalities], 1)


class Tokens(nn.Module):
    """Maps as tokens of one width, with a learnt mark of their modality.

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
    """Multi-head attention from some tokens to others, of which a mask leaves some out.

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
                todo="Take a width that the number of heads divides.",
            )
        self.heads = heads
        self.query, self.memory = nn.Linear(hidden, hidden), nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, tokens: Tensor, others: Tensor, there: Tensor | None = None) -> Tensor:
        """Attend from tokens [B, T, D] to others [B, S, D], those of `there` [B, S] alone; nothing where none is."""
        query = self.query(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.memory(others).unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).chunk(2, 1)
        mask = None
        if there is not None:  # a row without any key would be NaN: it looks everywhere, and is set to zero below
            nothing = ~there.any(1, keepdim=True)
            mask = (there | nothing)[:, None, None, :]
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        attended = self.out(attended)
        return attended if there is None else attended * there.any(1)[:, None, None]


class Block(nn.Module):
    """A transformer's block: attention among tokens, then a two-layer perceptron, each normalised before."""

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

    def forward(self, tokens: Tensor, there: Tensor | None = None) -> Tensor:
        """Transform tokens [B, T, D]; only those of `there` [B, T] are looked at."""
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, there)
        return tokens + self.perceptron(tokens)


def mean_of(tokens: Tensor, there: Tensor) -> Tensor:
    """Average tokens [B, T, D] over those of `there` [B, T]; zero where there is none."""
    share = there / there.sum(1, keepdim=True).clamp(min=1)
    return (tokens * share.to(tokens.dtype)[:, :, None]).sum(1)


KEYS = ("threshold", "pooling", "slots", "encoder", "hidden", "dropout", "heads", "loss_weights")

Made = TypeVar("Made", bound=FusionNetwork)


def build_fusion(
    kind: type[Made],
    settings: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, int, int]],
    classes: int,
    without: tuple[str, ...] = (),
) -> Made:
    """Build a fusion network from an entry of `models`; `without` names the keys that it has no use for."""
    wanted = settings.get("modalities", MODALITIES)
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise NephroscaleError(
            f"The model's modalities {', '.join(missing)} have no features.",
            where="models: modalities",
            todo="Leave them out of the model, or add their images to the cohort.",
        )
    chosen = {key: settings[key] for key in KEYS if key in settings and key not in without}
    return kind({name: shapes[name] for name in wanted}, classes, **chosen)
