"""What every network has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from nephroscale.models.batch import Batch, Output


class Network(nn.Module):
    """A network of bags: one forward pass for a batch, and a loss that belongs to it."""

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:
        """Predict a batch; `need_attention` asks for the attention as data, where there is any."""
        raise NotImplementedError

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Give the loss [] summed over the batch: the cross-entropy of the prediction, unless a network says more.

        Parameters
        ----------
        output
            What the forward pass gave.
        labels
            [B] int64 class indices.
        """
        return cross_entropy(output.logits["fusion"].float(), labels, reduction="sum")
