"""Sparse multi-instance learning: a weighted sum of the instances that are close to the medoid of their bag."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

from nephroscale.models.precision import full_precision, square_root

PAIR_VALUES = 2**22
"""Values of differences that are kept at once: 32 MiB in float64."""


@dataclass(frozen=True)
class Selection:
    """The selection of instances in each bag.

    Attributes
    ----------
    centre
        [B] int64: the bag's medoid.
    kept
        [B, N] bool: instances within the distance threshold, including the centre.
    weight
        [B, N] float64: weight of each instance in the sum, without a prior in [0, 1]; 0 for dropped instances and
        padding.
    distance
        [B, N] float64: distance to the centre, in units of the bag's range of feature values; 0 for padding.
    mean_distance
        [B] float64: mean distance over all pairs of instances of the bag; 0 for a bag of one instance.
    """

    centre: Tensor
    kept: Tensor
    weight: Tensor
    distance: Tensor
    mean_distance: Tensor


def bag_distances(features: Tensor, mask: Tensor, *, released: bool = False) -> Tensor:
    """Compute the Euclidean distances between the instances of each bag, rescaled jointly to [0, 1].

    Differences are computed explicitly in float64. The matrix form of ``torch.cdist`` has errors of 0.01 here, which
    the min-max scaling of the weights would amplify.

    Parameters
    ----------
    features
        [B, N, ...] of any floating type.
    mask
        [B, N] bool.
    released
        Round as the authors' code does: rescale in float32, and round squared distances and their roots to float32.

    Returns
    -------
    Tensor
        [B, N, N] float64; 0 where either instance is padding.
    """
    flat = features.flatten(2).float() if released else features.flatten(2).double()
    low, high = flat.aminmax(dim=-1)
    low = low.masked_fill_(~mask, torch.inf).amin(1)
    span = high.masked_fill_(~mask, -torch.inf).amax(1) - low
    span = span.masked_fill_(span <= 0, 1.0).view(-1, 1, 1)
    if released:
        flat = ((flat - low.view(-1, 1, 1)) / span).double()

    squared = _squared_distances(flat)
    # The root is computed in float64 and rounded to float32, because torch's float32 root is not always correctly
    # rounded. Without `released`, x is not rescaled: dividing the distances by `span` gives the same.
    distances = square_root(squared.float().double()).float() if released else square_root(squared) / span
    return distances.double() * (mask.unsqueeze(2) & mask.unsqueeze(1))


def _squared_distances(flat: Tensor) -> Tensor:
    """Compute the squared distances [B, N, N] of instances [B, N, D], each pair once.

    Many pairs are compared in one step, but of large maps so few that the differences take little memory.
    """
    patients, number, length = flat.shape
    first, second, place = _pairs(number, flat.device)
    at_once = max(1, PAIR_VALUES // max(1, patients * length))
    squared = [flat.new_zeros(patients, 1)]
    for one, other in zip(torch.split(first, at_once), torch.split(second, at_once), strict=True):
        squared.append((flat.index_select(1, other) - flat.index_select(1, one)).square_().sum(-1))
    return torch.cat(squared, 1).index_select(1, place).view(patients, number, number)


@cache
def _pairs(number: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs of a bag's instances, and the place [N * N] of each distance among zero and those of the pairs."""
    first, second = torch.triu_indices(number, number, 1)
    place = torch.zeros(number, number, dtype=torch.int64)
    place[first, second] = place[second, first] = torch.arange(1, len(first) + 1)
    return first.to(device), second.to(device), place.flatten().to(device)


@torch.no_grad()
def select_instances(features: Tensor, mask: Tensor, threshold: float = 1.5, *, released: bool = False) -> Selection:
    """Find the centre of each bag, keep the instances near it and weight them.

    The computation does not wait for values of the device, and has no gradient.

    Parameters
    ----------
    features
        [B, N, h, w, C]: the bags' feature maps. Padding has to be finite.
    mask
        [B, N] bool: True for an instance, False for padding.
    threshold
        Instances are dropped if their distance to the centre exceeds this multiple of the bag's mean distance; above 0.
    released
        Reproduce the authors' code: distances in float32, and weight 1 for the kept instance whose index *among the
        kept instances* equals the centre's index *in the bag*. This instance is left out of the min-max scaling. It is
        not the centre if an instance before the centre was dropped.

    Notes
    -----
    A bag of one instance is pooled to that instance. If all other kept instances are equally far from the centre (to
    the precision of float32), each has weight 1. Duplicates of the centre are ordinary instances. In these cases the
    released code raises an error, divides by zero or skips the bag; both variants here behave alike.

    References
    ----------
    arXiv 2512.15171, sparse multi-instance learning.
    """
    with full_precision(features.device.type):
        distances = bag_distances(features, mask, released=released)
        count = mask.sum(1)
        centre = distances.sum(2).masked_fill_(~mask, torch.inf).argmin(1, keepdim=True)
        mean_distance = distances.sum((1, 2)) / (count * (count - 1)).clamp_(min=1)
        distance = distances.gather(1, centre.unsqueeze(2).expand(-1, 1, mask.shape[1])).squeeze(1)
        kept = mask & (distance <= (threshold * mean_distance).unsqueeze(1))

        place = kept.cumsum(1) - 1 if released else torch.arange(mask.shape[1], device=mask.device)
        first = kept & (place == centre)
        not_others = ~kept | first
        nearness = (distance.float() if released else distance).add(1e-8).reciprocal_().double()
        least = nearness.masked_fill(not_others, torch.inf).amin(1, keepdim=True)
        most = nearness.masked_fill(not_others, -torch.inf).amax(1, keepdim=True)
        spread = most - least
        equal = spread <= (0.0 if released else torch.finfo(torch.float32).eps) * most
        weight = (nearness - least) / spread
        weight.masked_fill_(equal, 1.0).masked_fill_(not_others, 0.0).masked_fill_(first, 1.0)
    return Selection(centre.squeeze(1), kept, weight, distance, mean_distance)


def apply_prior(weight: Tensor, prior: Tensor) -> Tensor:
    """Multiply weights [B, N] of instances by their prior [B, N], above 0, and keep each bag's sum.

    A prior that is equal for all instances of a bag changes nothing.
    """
    weighed = weight * prior.to(weight.dtype)
    total = weighed.sum(1, keepdim=True)
    return weighed * (weight.sum(1, keepdim=True) / torch.where(total > 0, total, 1.0))


class SparseMultiInstance(nn.Module):
    """Pool each bag to a weighted sum of the instances near its medoid.

    Parameters
    ----------
    threshold, released
        As in :func:`select_instances`.
    """

    def __init__(self, threshold: float = 1.5, *, released: bool = False) -> None:
        super().__init__()
        self.threshold, self.released = threshold, released

    def forward(self, features: Tensor, mask: Tensor, prior: Tensor | None = None) -> tuple[Tensor, Selection]:
        """Pool bags [B, N, h, w, C] with their mask [B, N] to [B, h, w, C]; return the selection, too.

        A prior [B, N] of the instances, above 0, multiplies their weights.
        """
        selection = select_instances(features, mask, self.threshold, released=self.released)
        if prior is not None:
            selection = replace(selection, weight=apply_prior(selection.weight, prior))
        return (features * selection.weight.to(features.dtype).view(*mask.shape, 1, 1, 1)).sum(1), selection
