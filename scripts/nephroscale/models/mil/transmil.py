"""TransMIL: a transformer over the bag, with the instances laid out in a square.

    instances ── embedding ── square ─┬── self-attention ── PPEG ── self-attention ─┬── norm, linear ── classes
    class token ──────────────────────┘                                             └── (class token)

References
----------
Shao et al., TransMIL: transformer based correlated multiple instance learning for whole slide image classification,
NeurIPS 2021.
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.masked import masked_softmax
from nephroscale.models.mil.bag import EmbeddingConfig, InstanceNetwork, Instances
from nephroscale.settings import setting


@dataclass(frozen=True)
class Config(EmbeddingConfig):
    """A transformer over the bag."""

    heads: int = setting("Attention heads, which divide the last width of `embedding`.", 4, minimum=1)


KERNELS = (7, 5, 3)
DROPOUT = 0.1


class SelfAttention(nn.Module):
    """A residual layer: norm, multi-head attention among the tokens of a bag, linear, dropout."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, width * 3, bias=False)
        self.out = nn.Sequential(nn.Linear(width, width), nn.Dropout(DROPOUT))

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens [B, T, D] after the layer, and the first token's attention [B, T], averaged over heads."""
        heads = self.query_key_value(self.norm(tokens)).unflatten(-1, (3, self.heads, -1))
        query, key, value = (part.squeeze(2) for part in heads.split(1, dim=2))  # [B, T, heads, D / heads]
        scores = torch.einsum("bqhd,bkhd->bkqh", query, key) * query.shape[-1] ** -0.5
        weights = torch.unflatten(masked_softmax(scores.flatten(2), mask), 2, scores.shape[2:])
        attended = torch.einsum("bkqh,bkhd->bqhd", weights.to(value.dtype), value).flatten(2)
        return tokens + self.out(attended), weights[:, :, 0].mean(-1)


class PositionEncoding(nn.Module):
    """PPEG, the pyramid position encoding generator: depthwise convolutions of three sizes over the square."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, k, padding=k // 2, groups=width) for k in KERNELS)

    def forward(self, square: Tensor) -> Tensor:
        """Encode [B, D, S, S]; empty cells have to be 0."""
        encoded: Tensor = square + torch.stack([convolution(square) for convolution in self.convolutions]).sum(0)
        return encoded


class TransMIL(InstanceNetwork):
    """Two layers of self-attention with position encoding between them; the class token is the bag.

    Notes
    -----
    As in the paper, a bag of n instances fills a square of the smallest side s with s * s >= n, row by row, and the
    remaining cells repeat its first instances. The order of the instances therefore matters. Each bag of a batch has
    its own side; the rest of the batch's square is empty.

    The attention is the exact softmax attention. The paper approximates it by the Nystrom method, for the thousands of
    tiles of a slide, and adds a convolution of the values along the sequence; bags here have tens of instances.
    """

    def __init__(self, shapes: Shapes, classes: int, config: Config) -> None:
        super().__init__(shapes, config)
        width, heads = self.embedding.width, config.heads
        if width % heads:
            raise NephroscaleError(
                f"The width {width} of the embedded instances is not a multiple of {heads} heads.",
                where="models: embedding and heads of a transmil",
                fix="Choose a last width of `embedding` that is a multiple of the number of heads.",
            )
        self.token = nn.Parameter(torch.randn(width))
        self.first = SelfAttention(width, heads)
        self.position = PositionEncoding(width)
        self.second = SelfAttention(width, heads)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no maps)
        """Predict a batch; an instance's weight is the class token's attention to it in the second layer."""
        bag: Instances = self.embedding(batch)
        layout, filled = lay_out(bag.mask)  # [B, S * S, N], [B, S * S]
        side = round(layout.shape[1] ** 0.5)
        square = layout.to(bag.vectors.dtype) @ bag.vectors
        token = self.token.expand(len(square), 1, -1)
        mask = torch.cat([torch.ones_like(filled[:, :1]), filled], 1)

        tokens, _ = self.first(torch.cat([token, square], 1), mask)
        token, square = tokens[:, :1], tokens[:, 1:] * filled[..., None]
        grid = square.transpose(1, 2).unflatten(2, (side, side))
        square = self.position(grid).flatten(2).transpose(1, 2)
        tokens, attention = self.second(torch.cat([token, square], 1), mask)

        weights = torch.einsum("bs,bsn->bn", attention[:, 1:], layout)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
        return bag.output({"fusion": self.classifier(self.norm(tokens[:, 0]))}, weights)


def lay_out(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Lay out each bag's instances in the upper left corner of a square that all bags of the batch share.

    Parameters
    ----------
    mask
        [B, N] bool.

    Returns
    -------
    tuple
        [B, S * S, N] float32, 1 for the instance of each cell (row by row), and [B, S * S] bool, the cells in use.
    """
    side = 1
    while side * side < mask.shape[1]:
        side += 1
    count = mask.sum(1)[:, None]
    sides = torch.arange(1, side + 1, device=mask.device)
    own = 1 + (sides * sides < count).sum(1, keepdim=True)  # exact, unlike a square root
    cell = torch.arange(side * side, device=mask.device)
    row, column = cell // side, cell % side
    filled = (row < own) & (column < own) & (count > 0)
    instance = (row * own + column) % count.clamp(min=1)  # index of the instance in its bag
    place = mask.cumsum(1) - 1
    layout = (instance[..., None] == place[:, None]) & mask[:, None] & filled[..., None]
    return layout.float(), filled


NETWORK = TransMIL
