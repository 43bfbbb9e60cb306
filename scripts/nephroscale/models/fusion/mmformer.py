"""After mmFormer: a transformer within each modality, one among them all, and auxiliary classifiers.

References
----------
Zhang Y et al. mmFormer: multimodal medical transformer for incomplete multimodal learning of brain tumor segmentation.
MICCAI 2022. Theirs segments volumes: a convolutional encoder and decoder surround the transformers, and the auxiliary
losses are of segmentations. Kept here are the intra-modal and the inter-modal transformer, missing modalities drawn at
random while training (`train: modality_dropout`) and masked, and an auxiliary loss for each modality.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Output
from nephroscale.models.fusion.common import Block, FusionNetwork, Tokens, build_fusion, mean_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.batch import Batch

AUXILIARY = {"TEM": 0.2, "OM": 0.3, "IM": 0.5}
"""Weights of the auxiliary losses, as those of CMUS-Net's branches."""


class MMFormer(FusionNetwork):
    """An mmFormer-like network of two transformers.

    Parameters
    ----------
    loss_weights
        Weights of the auxiliary losses.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int, int]],
        classes: int,
        *,
        loss_weights: Mapping[str, float] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(shapes, classes, **settings)
        self.loss_weights = {**AUXILIARY, **(loss_weights or {})}
        self.tokens = Tokens(self.modalities, self.width, self.hidden)
        self.place = nn.ParameterDict(
            {
                name: nn.Parameter(0.02 * torch.randn(self.shapes[name][0] * self.shapes[name][1], self.hidden))
                for name in self.modalities
            }
        )
        self.within = nn.ModuleDict({name: Block(self.hidden, self.heads) for name in self.modalities})
        self.among = Block(self.hidden, self.heads)
        self.norm = nn.LayerNorm(self.hidden)
        self.branches = nn.ModuleDict({name: nn.Linear(self.hidden, classes) for name in self.modalities})
        self.fusion = self.head(self.hidden * len(self.modalities))

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (not handed out)
        """Predict a batch."""
        front = self.represent(batch)
        present = self.present(front)
        tokens = {name: self.within[name](value + self.place[name]) for name, value in self.tokens(front.maps).items()}
        logits = {name: self.branches[name](tokens[name].mean(1)) for name in self.modalities}
        lengths = [value.shape[1] for value in tokens.values()]
        there = torch.cat([present[:, i, None].expand(-1, n) for i, n in enumerate(lengths)], 1)
        mixed = self.norm(self.among(torch.cat(list(tokens.values()), 1), there))
        parts = zip(mixed.split(lengths, 1), there.split(lengths, 1), strict=True)
        logits["fusion"] = self.fusion(torch.cat([mean_of(part, seen) for part, seen in parts], -1))
        return Output(logits, front.selection, weights=front.weights, having=batch.having)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Add the fusion's loss and the weighted auxiliary losses, each over the patients who have its modality."""
        auxiliary = [self.loss_weights[name] * self.branch_loss(output, name, labels) for name in self.modalities]
        return torch.stack([self.branch_loss(output, "fusion", labels), *auxiliary]).sum()


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> MMFormer:
    """Build the network from an entry of `models` in the configuration."""
    return build_fusion(MMFormer, settings, shapes, classes)
