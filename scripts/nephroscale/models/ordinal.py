"""A head for ordered classes: stages, of which II lies between I and III.

The softmax knows nothing of an order: it takes III for I as lightly as II for I. Here each of the K - 1 outputs answers
one question, "beyond class k, given that it is at least k", and a class's probability follows by multiplication, so
that P(y > k) never rises with k.

References
----------
Shi X, Cao W, Raschka S. Deep neural networks for rank-consistent ordinal regression based on conditional
probabilities. Pattern Analysis and Applications 26, 2023 (CORN; the conditional probabilities of section 3.2).
McCullagh P. Regression models for ordinal data. JRSS B 42, 1980 (the continuation ratio).
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

if TYPE_CHECKING:
    from nephroscale.models.batch import Output

NAME = "ordinal"
"""The key of its logits in `Output.extra` and of its loss weight, and a choice of `task.prediction`."""


class OrdinalHead(nn.Module):
    """Conditional logits from the features that the softmax's last layer reads.

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
        """Turn features [B, width] into conditional logits [B, K - 1]: of y > k, given y >= k."""
        logits: Tensor = self.linear(features)
        return logits


def ordinal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """CORN's loss [], summed over the batch, in float32.

    Question k is put to the patients of class k and beyond alone. Summed over a patient's questions this is the
    negative log-likelihood of the patient's class, so it weighs like a cross-entropy.

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
    # Not cumsum, which has no deterministic form on every GPU.
    reached = torch.stack(list(accumulate(logsigmoid(logits).unbind(-1))), -1)
    start = torch.zeros_like(reached[..., :1])
    stays = torch.cat([logsigmoid(-logits), start], dim=-1)  # beyond the last class there is nothing to go on to
    return torch.cat([start, reached], dim=-1) + stays


def class_log_probabilities(output: Output, prediction: str = "softmax") -> Tensor:
    """Give the log-probabilities [B, K] that a network reports, in float64.

    Parameters
    ----------
    output
        Of a network.
    prediction
        `softmax`, `ordinal`, or `mean` of the two heads' probabilities. A network without an ordinal head reports its
        softmax whatever is asked for.
    """
    softmax = torch.log_softmax(output.logits["fusion"].double(), dim=-1)
    if prediction == "softmax" or NAME not in output.extra:
        return softmax
    ordinal = ordinal_log_probabilities(output.extra[NAME])
    if prediction == NAME:
        return ordinal
    return torch.logsumexp(torch.stack([softmax, ordinal]), dim=0) - torch.log(torch.tensor(2.0, dtype=torch.float64))
