"""A head for ordered classes, such as the stages I, II and III.

The softmax ignores the order of the classes: predicting III for I costs as much as predicting II for I. This head has
K - 1 outputs, the conditional probabilities P(y > k | y >= k). The probability of a class is a product of them, so that
P(y > k) never increases with k.

References
----------
Shi X, Cao W, Raschka S. Deep neural networks for rank-consistent ordinal regression based on conditional
probabilities. Pattern Analysis and Applications 26, 2023 (CORN; the conditional probabilities of section 3.2).
McCullagh P. Regression models for ordinal data. JRSS B 42, 1980 (the continuation ratio).
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from nephroscale.models.batch import Output

ORDINAL = "ordinal"
"""The key of its logits in `Output.extra` and of its loss weight, and a choice of `task.prediction`."""


class OrdinalHead(nn.Module):
    """A linear layer from the features before the softmax layer to conditional logits.

    Parameters
    ----------
    width
        Width of the features.
    classes
        Number K of classes, in their order.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes - 1)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, width] into the logits [B, K - 1] of P(y > k | y >= k)."""
        logits: Tensor = self.linear(features)
        return logits


def ordinal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the CORN loss [], summed over the batch, in float32.

    The term of output k covers only patients of class k or higher. The sum of a patient's terms is the negative
    log-likelihood of the patient's class, so the loss is on the scale of a cross-entropy.

    Parameters
    ----------
    logits
        [B, K - 1] conditional logits.
    labels
        [B] int64 class indices.
    """
    steps = torch.arange(logits.shape[1], device=logits.device)
    asked = (labels[:, None] >= steps).float()
    beyond = (labels[:, None] > steps).float()
    return binary_cross_entropy_with_logits(logits.float(), beyond, weight=asked, reduction="sum")


def ordinal_log_probabilities(logits: Tensor) -> Tensor:
    """Turn conditional logits [..., K - 1] into log-probabilities of the classes [..., K], in float64."""
    logits = logits.double()
    # Without cumsum, which is not deterministic on every GPU.
    reached = torch.stack(list(accumulate(logsigmoid(logits).unbind(-1))), -1)
    start = torch.zeros_like(reached[..., :1])
    stays = torch.cat([logsigmoid(-logits), start], dim=-1)  # the last class has no higher one
    return torch.cat([start, reached], dim=-1) + stays


def class_log_probabilities(output: Output, prediction: str = "softmax") -> Tensor:
    """Compute the log-probabilities [B, K] of the reported head, in float64.

    Parameters
    ----------
    output
        Output of a network.
    prediction
        Reported head: `softmax`, `ordinal`, or `mean`, the mean of their probabilities. For a network without an
        ordinal head it is always the softmax.
    """
    softmax = torch.log_softmax(output.logits["fusion"].double(), dim=-1)
    if prediction == "softmax" or ORDINAL not in output.extra:
        return softmax
    ordinal = ordinal_log_probabilities(output.extra[ORDINAL])
    if prediction == ORDINAL:
        return ordinal
    return torch.logsumexp(torch.stack([softmax, ordinal]), dim=0) - torch.log(torch.tensor(2.0, dtype=torch.float64))
