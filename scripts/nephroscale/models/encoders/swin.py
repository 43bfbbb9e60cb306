"""Parts of Swin in place of those of transformers, with the same parameters: faster, with reproducible gradients.

References
----------
Liu Z et al. Swin Transformer: hierarchical vision transformer using shifted windows. ICCV 2021, equation 4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop_weights
from torch.nn.functional import one_hot, pad
from transformers import AttentionInterface

ATTENTION = "nephroscale_window"
"""Name of the attention in transformers' table."""
KEYS = 8
"""The keys of a window are padded to a multiple of this, so that rows in bfloat16 start at multiples of 16 bytes."""


class PositionBias(nn.Module):
    """The bias of each pair of tokens in a window, by a product with a matrix of zeros and ones.

    Indexing gives the same values, but its gradient adds in any order, or sorts first where the order is fixed.

    Parameters
    ----------
    table
        [P, heads]: the bias of each relative position.
    index
        [T * T] int64: the relative position of each pair of tokens.
    """

    pick: Tensor

    def __init__(self, table: nn.Parameter, index: Tensor) -> None:
        super().__init__()
        self.relative_position_bias_table = table
        self.tokens = round(len(index) ** 0.5)
        self.register_buffer("pick", one_hot(index, len(table)).to(table.dtype), persistent=False)

    def forward(self) -> Tensor:
        """Return the bias, [1, heads, T, T]."""
        with torch.autocast(self.pick.device.type, enabled=False):
            bias = self.pick @ self.relative_position_bias_table
        return bias.view(1, self.tokens, self.tokens, -1).permute(0, 3, 1, 2)


class StochasticDepth(nn.Module):
    """Drop a residual branch of an image with a probability, in training only.

    The probability is a tensor, so that one compiled block serves blocks of all probabilities.

    References
    ----------
    Huang G et al. Deep networks with stochastic depth. ECCV 2016.
    """

    keep: Tensor

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.register_buffer("keep", torch.tensor(1 - drop), persistent=False)

    def forward(self, branch: Tensor) -> Tensor:
        """Scale or drop the branch [M, ...] of each image."""
        if not self.training:
            return branch
        kept = torch.rand((len(branch), *[1] * (branch.ndim - 1)), device=branch.device) < self.keep
        return branch * (kept / self.keep).to(branch.dtype)


def window_attention(  # noqa: PLR0917  (as transformers calls it)
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    dropout: float = 0.0,
    scaling: float = 1.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within windows: softmax(Q K' + B) V, where B holds the position bias, and -100 between regions.

    A compiler fuses scaling, bias and softmax.

    Parameters
    ----------
    query, key, value
        [windows, heads, T, d].
    attention_mask
        [windows or 1, heads, T, T], added to the products.
    dropout, scaling
        Of the weights, and of the products.

    Returns
    -------
    tuple
        [windows, T, heads, d], and None in place of the weights.
    """
    extra = -key.shape[2] % KEYS if key.device.type == "cuda" else 0
    if extra:
        key, value = pad(key, (0, 0, 0, extra)), pad(value, (0, 0, 0, extra))
        attention_mask = pad(attention_mask, (0, extra), value=float("-inf"))
    scores = (query @ key.transpose(2, 3)).float() * scaling + attention_mask
    weights = torch.softmax(scores, -1).to(value.dtype)
    if dropout:
        weights = drop_weights(weights, dropout)
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, window_attention)


def adapt(network: nn.Module) -> None:
    """Replace position bias, attention and stochastic depth of a Swin; names and values of parameters stay."""
    inner: Any = network
    inner.set_attn_implementation(ATTENTION)
    block: Any
    for block in blocks(network):
        bias = block.attention.relative_position_bias
        block.attention.relative_position_bias = PositionBias(
            bias.relative_position_bias_table, bias.relative_position_index
        )
        rate = getattr(block.drop_path, "drop_prob", 0.0)
        block.drop_path = (StochasticDepth(rate) if rate else nn.Identity()).train(block.training)


def blocks(network: nn.Module) -> list[nn.Module]:
    """List the transformer blocks of all stages."""
    inner: Any = network
    return [block for stage in inner.encoder.layers for block in stage.blocks]
