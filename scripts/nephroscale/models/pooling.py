"""Pooling of a modality's instances to one map: gated attention over glomeruli, or over the slots of a marker panel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.masked import masked_softmax, mean_weights

GATE = 128
"""Width of the attention's gate; for narrower maps, the width of the maps."""


class InstancePooling(nn.Module):
    """A weighted mean of a bag's instances, with weights from gated attention.

    Parameters
    ----------
    width
        Channels C of the maps.
    slots
        Slots of the marker panel; None for glomeruli, which have no slots. With several slots, each slot has its own
        scale and shift for every channel, so that bright IgA and bright IgG differ after they are summed. Each slot has
        a learnt state for a marker that was found negative without a picture.

    Notes
    -----
    Without a panel, a bag of one instance equals that instance to the last bit: its weight is 1. The weights are
    computed from the mean of each map, so that an instance has one weight.

    References
    ----------
    Ilse M, Tomczak J, Welling M. Attention-based deep multiple instance learning. ICML 2018, equation 9.
    Perez E et al. FiLM: visual reasoning with a general conditioning layer. AAAI 2018, equation 1 (scale and shift).
    """

    def __init__(self, width: int, slots: int | None = None) -> None:
        super().__init__()
        hidden = min(GATE, width)
        self.value, self.gate = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)  # a bias would cancel in the softmax
        self.slots = slots
        if slots is not None:
            self.negative = nn.Parameter(0.02 * torch.randn(slots, width))
        if slots is not None and slots > 1:
            self.slot_scale = nn.Parameter(torch.ones(slots, width))
            self.slot_shift = nn.Parameter(0.02 * torch.randn(slots, width))

    def forward(self, bag: Tensor, mask: Tensor, negative: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pool maps [B, N, h, w, C] with their mask [B, N]; `negative` [B, N] marks slots found negative.

        Returns
        -------
        tuple
            Maps [B, h, w, C] and weights [B, N] of sum 1; both are zero for patients without instances.
        """
        if bag.shape[1] == 1 and negative is None and self.slots in {None, 1}:
            return pool_representative(bag, mask)  # a single instance needs no weight
        if self.slots is not None and self.slots > 1:
            if bag.shape[1] != self.slots:
                raise NephroscaleError(
                    f"The bag has {bag.shape[1]} marker slots, the network {self.slots}.",
                    where="im: panel",
                    fix="Extract the features and train the network with the same panel.",
                )
            bag = bag * self.slot_scale[:, None, None, :] + self.slot_shift[:, None, None, :]
        if negative is not None and self.slots is not None:
            states = self.negative.to(bag.dtype)[:, None, None, :].expand(bag.shape)
            bag = torch.where(negative[:, :, None, None, None], states, bag)
            mask = mask | negative
        pooled = bag.mean((2, 3))
        score = self.score(torch.tanh(self.value(pooled)) * torch.sigmoid(self.gate(pooled))).squeeze(-1).float()
        weight = masked_softmax(score, mask)
        return (bag * weight.to(bag.dtype)[:, :, None, None, None]).sum(1), weight


def pool_mean(bag: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Average bags [B, N, h, w, C] over their instances, with the weights [B, N]; a bag of one is that instance."""
    weight = mean_weights(mask)
    return (bag * weight.to(bag.dtype)[:, :, None, None, None]).sum(1), weight


def pool_representative(bag: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Take the first instance: the representative glomerulus, or the first photographed marker of the panel."""
    if bag.shape[1] == 1:
        return bag.squeeze(1) * mask.to(bag.dtype).view(-1, 1, 1, 1), mask.float()
    first = (mask & (mask.cumsum(1) == 1)).float()
    return (bag * first.to(bag.dtype)[:, :, None, None, None]).sum(1), first


@contextmanager
def seeded_by_name(name: str) -> Iterator[None]:
    """Draw initial weights from a separate seed, derived from the network's seed and a name.

    A part that only some cohorts need then does not change the initial weights of the other parts.
    """
    key = blake2b(f"{name}:{torch.initial_seed()}".encode(), digest_size=7).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(key))
        yield
