"""Random flips of each instance, in training only."""

from __future__ import annotations

from dataclasses import replace

import torch

from nephroscale.models.batch import MODALITIES, Batch


def flip(batch: Batch, generator: torch.Generator) -> Batch:
    """Mirror each instance vertically, horizontally, both or neither, with equal probabilities.

    Parameters
    ----------
    batch
        On the host or a device; feature maps or pixels, whose axes 2 and 3 are h and w.
    generator
        On the host. The number of draws depends on the batch's shape alone.
    """
    flipped = {}
    for name in (name for name in MODALITIES if name in batch.features):
        bags = batch.features[name]
        draws = torch.randint(0, 2, (2, *bags.shape[:2], 1, 1, 1), generator=generator).bool().to(bags.device)
        for axis, draw in zip((2, 3), draws, strict=True):
            bags = torch.where(draw, bags.flip(axis), bags)
        flipped[name] = bags
    return replace(batch, features=flipped)
