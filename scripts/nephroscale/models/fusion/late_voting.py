"""Late voting: a classifier for each modality, and the mean of their probabilities.

References
----------
Kittler J, Hatef M, Duin R, Matas J. On combining classifiers. IEEE TPAMI 20, 1998 (the sum rule, equation 11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Output
from nephroscale.models.fusion.common import FusionNetwork, build_fusion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.batch import Batch


class LateVoting(FusionNetwork):
    """No modality knows of another; who lacks one is judged by the rest.

    The vote learns nothing, so the loss is the sum of the classifiers' own.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int, int]], classes: int, **settings: Any) -> None:
        super().__init__(shapes, classes, **settings)
        self.branches = nn.ModuleDict({name: self.head(self.width) for name in self.modalities})

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (there is none)
        """Predict a batch; the fusion's logits are the logarithm of the mean probability."""
        front = self.represent(batch)
        pooled = self.pooled(front)
        logits = {name: self.branches[name](pooled[name]) for name in self.modalities}
        votes = torch.stack([torch.log_softmax(logits[name].float(), -1) for name in self.modalities], 1)
        there = self.present(front)
        votes = votes.masked_fill(~there[:, :, None], -torch.inf)
        logits["fusion"] = torch.logsumexp(votes, 1) - there.sum(1, keepdim=True).log()
        return Output(logits, front.selection, weights=front.weights, having=batch.having)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Sum the classifiers' losses [], each over the patients who have its modality."""
        return torch.stack([self.branch_loss(output, name, labels) for name in self.modalities]).sum()


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> LateVoting:
    """Build the network from an entry of `models` in the configuration."""
    return build_fusion(LateVoting, settings, shapes, classes, without=("loss_weights", "heads"))
