"""Softmax, mean and maximum over the instances of padded bags."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Compute the softmax over the instances (axis 1) in float32; padding gets 0, and so does an empty bag.

    Parameters
    ----------
    scores
        [B, N] or [B, N, K].
    mask
        [B, N] bool.
    """
    mask = mask.reshape(*mask.shape, *[1] * (scores.ndim - 2))
    scores = scores.float()
    return torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), 1) * mask


def mean_weights(mask: Tensor) -> Tensor:
    """Give the instances of a mask [B, N] equal weights of sum 1; padding gets 0, and so does an empty bag."""
    return mask / mask.sum(1, keepdim=True).clamp(min=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average values [B, N, K] over the instances of a mask [B, N]; 0 for an empty bag."""
    return (values * mean_weights(mask).to(values.dtype)[:, :, None]).sum(1)


def masked_maximum(values: Tensor, mask: Tensor) -> Tensor:
    """Take the largest value [B, K] of each column of [B, N, K] over the instances; 0 for an empty bag."""
    mask = mask[..., None]
    largest = values.masked_fill(~mask, torch.finfo(values.dtype).min).amax(1)
    return torch.where(mask.any(1), largest, 0.0)
