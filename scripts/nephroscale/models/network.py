"""The base class of all networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nephroscale.models.batch import Batch, Output
    from nephroscale.models.standardisation import Standardisation


def cross_entropy_by_patient(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy [B] of logits [B, classes] and labels [B], in float32."""
    return cross_entropy(logits.float(), labels, reduction="none")


class Network(nn.Module):
    """A network over bags: a forward pass for a batch, and the loss that belongs to it.

    The network of a family is built from `(shapes, classes, config)`, and from `slots` too where `reads_slots` is true:

    - `shapes`: modality to (h, w, C) of a feature map, or (S, S, 3) of pixels with a trained encoder,
    - `classes`: number of classes,
    - `config`: settings of the family,
    - `slots`: slots of the IM marker panel.

    Attributes
    ----------
    standardisation
        Standardises the features before each forward pass; None to read them as they are. What reads a batch beside the
        forward pass calls :meth:`prepare` first.
    """

    #: Loss [B] of each patient from logits [B, classes] and labels [B]; the training may replace it.
    criterion: Callable[[Tensor, Tensor], Tensor] = staticmethod(cross_entropy_by_patient)

    #: Whether a patient may lack a modality; if not, such patients are left out.
    supports_missing_modalities: bool = False

    #: Whether the network has weights for each slot of the IM marker panel, and takes their number.
    reads_slots: bool = False

    #: Whether steps can be recorded on a GPU: nothing waits for the device's values or reads what Python changes.
    recordable: bool = False

    #: Fraction of the training that is done, from 0 to below 1; the training sets it at the start of each epoch.
    progress: float = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.standardisation: Standardisation | None = None
        self.register_forward_pre_hook(_prepare)

    def prepare(self, batch: Batch) -> Batch:
        """Standardise the features of a batch, if the network does so."""
        prepared: Batch = batch if self.standardisation is None else self.standardisation(batch)
        return prepared

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:
        """Predict a batch; with `need_attention` the output has attention maps, if the network attends."""
        raise NotImplementedError

    def without_regions(self, batch: Batch, modality: str, regions: Tensor) -> Output:
        """Predict one patient again and again, each time without other regions of one modality's map.

        Only networks whose output has attention have it, for a test of that attention by deletion.
        """
        raise NotImplementedError

    @property
    def reads_negatives(self) -> bool:
        """Whether the network reads `Batch.negative`."""
        return False

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Compute the loss [], summed over the batch: the criterion of the prediction, unless a subclass adds terms.

        Parameters
        ----------
        output
            Of the forward pass.
        labels
            [B] int64 class indices.
        """
        return self.criterion(output.logits["fusion"], labels).sum()

    def batch_loss(self, output: Output, batch: Batch) -> Tensor:
        """Compute the loss [] of a batch; a patient between two classes counts half for each.

        The mean of the losses for the two labels equals the cross-entropy against a target of one half each.
        """
        loss = self.loss(output, batch.labels)
        return loss if batch.second is None else (loss + self.loss(output, batch.second)) / 2

    def branch_losses(self, output: Output, branches: Sequence[str], labels: Tensor) -> Tensor:
        """Compute the criterion [branches], each summed over the patients who have its modality (for `fusion`, all)."""
        logits = torch.stack([output.logits[branch].float() for branch in branches])
        losses = self.criterion(logits.flatten(0, 1), labels.expand(len(branches), -1).flatten()).view(
            len(branches), -1
        )
        if output.present:
            everybody = torch.ones_like(labels, dtype=torch.bool)
            present = torch.stack([output.present.get(branch, everybody) for branch in branches])
            losses = torch.where(present, losses, 0.0)
        return losses.sum(1)

    def after_step(self) -> None:
        """Update what follows the optimizer's step, such as a momentum teacher; by default nothing."""


def _prepare(network: nn.Module, inputs: tuple[Batch, ...]) -> tuple[Batch, ...]:
    assert isinstance(network, Network)
    return (network.prepare(inputs[0]), *inputs[1:])
