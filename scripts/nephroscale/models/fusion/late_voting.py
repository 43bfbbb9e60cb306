"""Late voting: a classifier for each modality, and the mean of their probabilities.

References
----------
Kittler J, Hatef M, Duin R, Matas J. On combining classifiers. IEEE TPAMI 20, 1998 (the sum rule, equation 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.fusion.common import FusionNetwork
from nephroscale.models.modality_encoder import ModalityEncoderConfig


@dataclass(frozen=True)
class Config(ModalityEncoderConfig):
    """The mean of the modalities' probabilities."""


class LateVoting(FusionNetwork):
    """Independent classifiers; a patient who lacks a modality is classified by the other ones.

    The vote has no weights, so the loss is the sum of the classifiers' losses.
    """

    def __init__(self, shapes: Shapes, classes: int, config: Config, *, slots: int = 1) -> None:
        super().__init__(shapes, classes, config, slots=slots)
        self.branches = nn.ModuleDict({name: self.head(self.width) for name in self.modalities})

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no attention)
        """Predict a batch; the logits of the fusion are the logarithm of the mean probability."""
        encoded = self.encode_modalities(batch)
        pooled = self.pool_maps(encoded)
        logits = {name: self.branches[name](pooled[name]) for name in self.modalities}
        votes = torch.stack([torch.log_softmax(logits[name].float(), -1) for name in self.modalities], 1)
        present = self.present_mask(encoded)
        votes = votes.masked_fill(~present[:, :, None], -torch.inf)
        logits["fusion"] = torch.logsumexp(votes, 1) - present.sum(1, keepdim=True).log()
        return Output(logits, encoded.selection, weights=encoded.weights, present=encoded.present)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Sum the classifiers' losses [], each over the patients who have its modality."""
        return self.branch_losses(output, self.modalities, labels).sum()


NETWORK = LateVoting
