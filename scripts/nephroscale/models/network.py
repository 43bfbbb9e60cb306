"""What every network has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

    from nephroscale.models.batch import Batch, Output


def sum_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy [] of logits [B, classes] and labels [B], summed over the batch, in float32."""
    return cross_entropy(logits.float(), labels, reduction="sum")


class Network(nn.Module):
    """A network of bags: one forward pass for a batch, and a loss that belongs to it."""

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:
        """Predict a batch; `need_attention` asks for the attention as data, where there is any."""
        raise NotImplementedError

    #: Logits [B, classes] and labels [B] to the loss [] summed over the batch; training may set another one.
    criterion: Callable[[Tensor, Tensor], Tensor] = staticmethod(sum_cross_entropy)

    #: Whether a patient may lack one of the modalities; otherwise such a patient is no case for the network.
    supports_missing_modalities: bool = False

    #: What share of the training is done, from 0 to below 1; training sets it at the start of each epoch.
    progress: float = 0.0

    @property
    def reads_negatives(self) -> bool:
        """Whether the network reads `Batch.negative`."""
        return False

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Give the loss [] summed over the batch: the criterion of the prediction, unless a network says more.

        Parameters
        ----------
        output
            What the forward pass gave.
        labels
            [B] int64 class indices.
        """
        return self.criterion(output.logits["fusion"], labels)

    def batch_loss(self, output: Output, batch: Batch) -> Tensor:
        """Give the loss [] of a batch; a patient between two classes counts half for each.

        The mean of the two losses is the cross-entropy against half and half, and it serves every loss alike.
        """
        loss = self.loss(output, batch.labels)
        return loss if batch.second is None else (loss + self.loss(output, batch.second)) / 2

    def branch_loss(self, output: Output, branch: str, labels: Tensor) -> Tensor:
        """Give the criterion [] of one branch, over the patients who have its modality (all have `fusion`)."""
        logits = output.logits[branch]
        if branch in output.having:
            there = output.having[branch]
            logits, labels = logits.index_select(0, there), labels.index_select(0, there)
        return self.criterion(logits, labels)

    def after_step(self) -> None:
        """Do what follows an optimizer's step, such as moving a teacher after its student; by default nothing."""
