"""Cross-modal scale attention: the nano scale of TEM re-weights the micro scale of OM and IM."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class CrossModalScaleAttention(nn.Module):
    """Single-head attention with queries from TEM, and keys and values from a light-microscopy modality.

    Parameters
    ----------
    width
        Channels C of the feature maps.
    heads
        Decides only the scale 1 / sqrt(C / heads) of the softmax. The channels are not split: one head has all of them.
    released
        Reproduce the authors' code, which transposes the output [B, T, C] to [B, C, T] and reshapes it to [B, T, C],
        so that tokens and channels are mixed up.

    References
    ----------
    arXiv 2512.15171, cross-modal scale attention.
    """

    def __init__(self, width: int, heads: int = 4, *, released: bool = False) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.projection = nn.Linear(width, width)
        self.scale, self.released = (width / heads) ** -0.5, released

    def forward(self, tem: Tensor, others: Tensor, *, need_attention: bool = False) -> tuple[Tensor, Tensor | None]:
        """Attend from TEM maps [B, h, w, C] to the maps [B, M, h, w, C] of M other modalities.

        Returns
        -------
        tuple
            The residual to add to `others`, [B, M, h, w, C], and the attention [B, M, h * w, h * w], whose rows (TEM
            tokens) sum to 1; None without `need_attention`.
        """
        (patients, number), length = others.shape[:2], others.shape[2] * others.shape[3]
        rows = others.flatten(0, 3)  # linear layers compute with rows, and would flatten anything else themselves
        key, value = (layer(rows).view(patients, number, length, -1) for layer in (self.key, self.value))
        query = self.query(tem.flatten(0, 2)).view(patients, 1, length, -1).expand(-1, number, -1, -1)
        attention = None
        if need_attention:
            attention = torch.softmax(query @ key.transpose(2, 3) * self.scale, dim=-1)
            attended = attention.to(value.dtype) @ value
        else:
            attended = scaled_dot_product_attention(query, key, value, scale=self.scale)
        if self.released:
            attended = attended.transpose(2, 3).reshape(attended.shape)
        return self.projection(attended.flatten(0, 2)).view(others.shape), attention
