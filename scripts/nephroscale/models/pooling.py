"""From the instances of a modality to one map: gated attention over glomeruli, or over the slots of a marker panel."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterator

POOLINGS = ("attention", "mean", "representative")
GATE = 128
"""Width of the attention's gate, or the maps' own if that is less."""


class InstancePooling(nn.Module):
    """A weighted mean of a bag's instances, the weights by gated attention.

    Parameters
    ----------
    width
        Channels C of the maps.
    slots
        Places of a marker panel; None where instances have no places (glomeruli). With several slots each has a scale
        and a shift of its own for every channel, so that a bright IgA is told from a bright IgG once they are summed.
        Each slot has a learnt state that stands for its marker's having been found negative without a picture.

    Notes
    -----
    A bag of one instance without a panel is that instance, to the last bit: its weight is 1. The weights read the
    instances' means over the map, so that one weight is given to a whole instance.

    References
    ----------
    Ilse M, Tomczak J, Welling M. Attention-based deep multiple instance learning. ICML 2018, equation 9.
    Perez E et al. FiLM: visual reasoning with a general conditioning layer. AAAI 2018, equation 1 (scale and shift).
    """

    def __init__(self, width: int, slots: int | None = None) -> None:
        super().__init__()
        hidden = min(GATE, width)
        self.value, self.gate = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)  # a bias would move all weights alike
        self.slots = slots
        if slots is not None:
            self.negative = nn.Parameter(0.02 * torch.randn(slots, width))
        if slots is not None and slots > 1:
            self.slot_scale = nn.Parameter(torch.ones(slots, width))
            self.slot_shift = nn.Parameter(0.02 * torch.randn(slots, width))

    def forward(self, bag: Tensor, mask: Tensor, negative: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pool maps [B, N, h, w, C] with their mask [B, N]; `negative` [B, N] says which slots were found negative.

        Returns
        -------
        tuple
            Maps [B, h, w, C], zero where a patient has nothing, and the weights [B, N], which sum to 1 or are all 0.
        """
        if bag.shape[1] == 1 and negative is None and self.slots in {None, 1}:
            return pool_representative(bag, mask)  # there is nothing to weigh
        if self.slots is not None and self.slots > 1:
            if bag.shape[1] != self.slots:
                raise NephroscaleError(
                    f"A bag of {bag.shape[1]} slots came to a network of {self.slots}.",
                    where="im: panel",
                    todo="Make features and networks with one panel.",
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


def masked_softmax(score: Tensor, mask: Tensor) -> Tensor:
    """Softmax of scores [B, N] over what the mask [B, N] leaves; all zero where it leaves nothing."""
    nothing = ~mask.any(1, keepdim=True)
    return torch.softmax(score.masked_fill(~mask & ~nothing, -torch.inf), 1) * mask


def pool_mean(bag: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Average bags [B, N, h, w, C] over their instances; a bag of one is that instance. Weights [B, N] beside it."""
    share = mask / mask.sum(1, keepdim=True).clamp(min=1)
    return (bag * share.to(bag.dtype)[:, :, None, None, None]).sum(1), share


def pool_representative(bag: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Take the first instance there is: the representative glomerulus, or the panel's first photographed marker."""
    first = (mask & (mask.cumsum(1) == 1)).float()
    return (bag * first.to(bag.dtype)[:, :, None, None, None]).sum(1), first


@contextmanager
def seeded_by_name(name: str) -> Iterator[None]:
    """Draw first weights from a seed of their own, made of the network's seed and a name.

    So a part that only some cohorts need leaves the weights of all other parts as they are without it.
    """
    key = blake2b(f"{name}:{torch.initial_seed()}".encode(), digest_size=7).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(key))
        yield
