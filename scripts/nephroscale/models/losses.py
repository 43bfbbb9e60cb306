"""Alternatives to plain cross-entropy: focal loss and class weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from nephroscale.errors import NephroscaleError
from nephroscale.models.network import cross_entropy_by_patient


def focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2.0, weight: Tensor | None = None) -> Tensor:
    """Compute the focal loss [B] of each patient, in float32.

    The loss of a patient is -(1 - p)^gamma log p, where p is the probability of the true class.

    Parameters
    ----------
    logits
        [B, classes].
    labels
        [B] int64.
    gamma
        Focusing parameter: the larger, the less a well-classified patient contributes; 0 gives cross-entropy.
    weight
        [classes] weights of the classes, or None for equal weights.

    References
    ----------
    Lin T et al. Focal loss for dense object detection. ICCV 2017, equations 4 and 5.
    """
    log_p = log_softmax(logits.float(), -1).gather(1, labels[:, None]).squeeze(1)
    short = (1 - log_p.exp()).clamp(min=torch.finfo(torch.float32).eps)  # for gamma < 1 the slope at 0 is infinite
    each = -(short**gamma) * log_p
    return each if weight is None else each * weight[labels]


def balanced_weights(counts: Sequence[float]) -> list[float]:
    """Weight classes by the inverse of their counts; the mean weight over the patients is 1.

    Parameters
    ----------
    counts
        Training patients of each class. A class without patients is weighted as if it had one.
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
    """Make the loss function: logits [B, classes] and labels [B] to the losses [B] of the patients.

    Parameters
    ----------
    loss
        `cross_entropy` or `focal`.
    class_weights
        `none` or `balanced`.
    counts
        Training patients of each class, for balanced weights. Held-out patients must not be counted.
    gamma
        Focusing parameter of the focal loss.
    device
        Device of the network.

    Raises
    ------
    NephroscaleError
        When the loss or the weighting is unknown.
    """
    if loss not in {"cross_entropy", "focal"} or class_weights not in {"none", "balanced"}:
        raise NephroscaleError(
            f"There is no loss {loss!r} with class weights {class_weights!r}.",
            where="train: loss, class_weights",
            fix="Choose cross_entropy or focal, and none or balanced.",
        )
    weight = torch.tensor(balanced_weights(counts), device=device) if class_weights == "balanced" else None
    if loss == "focal":
        return lambda logits, labels: focal_loss(logits, labels, gamma, weight)
    if weight is None:
        return cross_entropy_by_patient
    return lambda logits, labels: cross_entropy(logits.float(), labels, weight, reduction="none")
