"""What training may minimise instead of plain cross-entropy: focal loss, and weights of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from nephroscale.errors import NephroscaleError
from nephroscale.models.network import sum_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def sum_focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2.0, weight: Tensor | None = None) -> Tensor:
    """Focal loss [], summed over the batch, in float32: -(1 - p)^gamma log p, where p is the true class's probability.

    Parameters
    ----------
    logits
        [B, classes].
    labels
        [B] int64.
    gamma
        How much less a patient counts who is right already; 0 gives cross-entropy.
    weight
        [classes] weights, or None.

    References
    ----------
    Lin T et al. Focal loss for dense object detection. ICCV 2017, equations 4 and 5.
    """
    log_p = log_softmax(logits.float(), -1).gather(1, labels[:, None]).squeeze(1)
    short = (1 - log_p.exp()).clamp(min=torch.finfo(torch.float32).eps)  # at 0 a power below 1 has no slope
    each = -(short**gamma) * log_p
    return (each if weight is None else each * weight[labels]).sum()


def balanced_weights(counts: Sequence[float]) -> list[float]:
    """Weight classes by the inverse of their counts, so that the patients' mean weight is 1.

    Parameters
    ----------
    counts
        Patients of each class on the training side; a class without any has the weight of one with a single patient.
    """
    return [sum(counts) / (len(counts) * max(1.0, count)) for count in counts]


def make_criterion(
    loss: str = "cross_entropy",
    class_weights: str = "none",
    *,
    counts: Sequence[float],
    gamma: float = 2.0,
    device: str | torch.device = "cpu",
) -> Callable[[Tensor, Tensor], Tensor]:
    """Make what turns logits [B, classes] and labels [B] into a loss summed over the batch.

    Parameters
    ----------
    loss
        `cross_entropy` or `focal`.
    class_weights
        `none` or `balanced`.
    counts
        Patients of each class on the training side: nothing else may set the weights.
    gamma
        Of the focal loss.
    device
        Where the network is.

    Raises
    ------
    NephroscaleError
        When there is no such loss or weighting.
    """
    if loss not in {"cross_entropy", "focal"} or class_weights not in {"none", "balanced"}:
        raise NephroscaleError(
            f"There is no loss {loss!r} with class weights {class_weights!r}.",
            where="train: loss, class_weights",
            fix="Choose cross_entropy or focal, and none or balanced.",
        )
    weight = torch.tensor(balanced_weights(counts), device=device) if class_weights == "balanced" else None
    if loss == "focal":
        return lambda logits, labels: sum_focal_loss(logits, labels, gamma, weight)
    if weight is None:
        return sum_cross_entropy
    return lambda logits, labels: cross_entropy(logits.float(), labels, weight, reduction="sum")
