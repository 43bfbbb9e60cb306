"""Sparse multi-instance learning: the instances near a bag's medoid, weighted by their nearness."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nephroscale.models.precision import full_precision


@dataclass(frozen=True)
class Selection:
    """What was decided about each bag.

    Attributes
    ----------
    centre
        [B] int64: the bag's medoid.
    kept
        [B, N] bool: instances within the distance threshold, the centre among them.
    weight
        [B, N] float64 in [0, 1]: what each instance counts in the sum; 0 where it was dropped or is padding.
    distance
        [B, N] float64: distance to the centre, in units of the bag's range of values; 0 for padding.
    mean_distance
        [B] float64: mean distance between two instances of the bag; 0 where there is but one.
    """

    centre: Tensor
    kept: Tensor
    weight: Tensor
    distance: Tensor
    mean_distance: Tensor


def bag_distances(features: Tensor, mask: Tensor, *, released: bool = False) -> Tensor:
    """Compute the Euclidean distances between the instances of each bag, rescaled jointly to [0, 1].

    Explicit differences in float64: the matrix form of ``torch.cdist`` errs by 0.01 here, which the min-max of the
    weights would amplify. One instance against all later ones at a time bounds the memory to that of the bag.

    Parameters
    ----------
    features
        [B, N, ...] of any floating type.
    mask
        [B, N] bool.
    released
        Round where the authors' code does: rescale in float32, and keep squares and roots in float32.

    Returns
    -------
    Tensor
        [B, N, N] float64; 0 wherever padding takes part.
    """
    flat = features.flatten(2).float() if released else features.flatten(2).double()
    low, high = flat.aminmax(dim=-1)
    low = low.masked_fill(~mask, torch.inf).amin(1)
    span = high.masked_fill(~mask, -torch.inf).amax(1) - low
    span = torch.where(span > 0, span, 1.0)[:, None, None]
    if released:
        flat = ((flat - low[:, None, None]) / span).double()

    squared = flat.new_zeros(*mask.shape, mask.shape[1])
    for first in range(mask.shape[1] - 1):
        row = (flat[:, first + 1 :] - flat[:, first : first + 1]).square_().sum(-1)
        squared[:, first, first + 1 :] = row
        squared[:, first + 1 :, first] = row
    # A float32 root by way of float64 is rounded correctly, which torch's own is not always; and the distances of
    # (x - low) / span are those of x, divided by span.
    distances = squared.float().double().sqrt().float() if released else squared.sqrt() / span
    return torch.where(mask[:, :, None] & mask[:, None, :], distances, 0.0).double()


@torch.no_grad()
def select_instances(features: Tensor, mask: Tensor, threshold: float = 1.5, *, released: bool = False) -> Selection:
    """Find each bag's centre, keep what is near it, and weight what is kept.

    Nothing here asks the device for a value, and no gradient passes.

    Parameters
    ----------
    features
        [B, N, h, w, C]: the bags' feature maps, finite also where they are padding.
    mask
        [B, N] bool: True where there is an instance.
    threshold
        Instances farther from the centre than this times the bag's mean distance are dropped; above 0.
    released
        Reproduce the authors' code: float32 distances, and the weights' min-max taken over the kept instances without
        the one whose place *among the kept* is the centre's place *in the whole bag*; that one gets weight 1.
        When an instance before the centre was dropped, that is not the centre.

    Notes
    -----
    A bag of one instance is that instance. Where the neighbours' distances do not differ (a single neighbour; two
    instances; equidistant ones, to the precision of float32) each weighs 1. Duplicates of the centre are counted.
    In these points the released code raises, divides by zero, or skips, and both variants here are alike.

    References
    ----------
    arXiv 2512.15171, sparse multi-instance learning.
    """
    with full_precision(features.device.type):
        distances = bag_distances(features, mask, released=released)
        count = mask.sum(1)
        total = distances.sum(2).masked_fill(~mask, torch.inf)
        centre = total.argmin(1)
        mean_distance = distances.sum((1, 2)) / (count * (count - 1)).clamp(min=1)
        distance = distances.gather(1, centre[:, None, None].expand(-1, 1, mask.shape[1])).squeeze(1)
        kept = mask & (distance <= threshold * mean_distance[:, None])

        place = kept.cumsum(1) - 1 if released else torch.arange(mask.shape[1], device=mask.device)
        first = kept & (place == centre[:, None])
        others = kept & ~first
        nearness = ((1 / (distance.float() + 1e-8)) if released else 1 / (distance + 1e-8)).double()
        least = nearness.masked_fill(~others, torch.inf).amin(1, keepdim=True)
        most = nearness.masked_fill(~others, -torch.inf).amax(1, keepdim=True)
        spread = most - least
        noise = 0.0 if released else torch.finfo(torch.float32).eps
        differs = spread > noise * most
        weight = torch.where(differs, (nearness - least) / torch.where(differs, spread, 1.0), 1.0)
        weight = torch.where(first, 1.0, torch.where(others, weight, 0.0))
    return Selection(centre, kept, weight, distance, mean_distance)


class SparseMultiInstance(nn.Module):
    """A bag's weighted sum of the instances near its medoid.

    Parameters
    ----------
    threshold, released
        As in :func:`select_instances`.
    """

    def __init__(self, threshold: float = 1.5, *, released: bool = False) -> None:
        super().__init__()
        self.threshold, self.released = threshold, released

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Selection]:
        """Pool bags [B, N, h, w, C] with their mask [B, N] to [B, h, w, C], and say what was decided."""
        selection = select_instances(features, mask, self.threshold, released=self.released)
        weight = selection.weight.to(features.dtype)
        return (features * weight[:, :, None, None, None]).sum(1), selection
