"""A network after mmFormer: a transformer in each modality, one over all modalities, and auxiliary classifiers.

References
----------
Zhang Y et al. mmFormer: multimodal medical transformer for incomplete multimodal learning of brain tumor segmentation.
MICCAI 2022. The paper segments volumes, with a convolutional encoder and decoder around the transformers and auxiliary
segmentation losses. This network keeps the intra-modal and the inter-modal transformer, the random masking of
modalities in training (`train: modality_dropout`), and an auxiliary loss for each modality.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.fusion.common import AttentionFusionConfig, Block, FusionNetwork, Tokens
from nephroscale.models.masked import masked_mean
from nephroscale.models.modality_encoder import BranchWeights
from nephroscale.settings import section


@dataclass(frozen=True)
class Config(AttentionFusionConfig):
    """Transformers within and among the modalities, with auxiliary losses."""

    loss_weights: BranchWeights = section(BranchWeights, "Weights of the auxiliary losses beside the fusion's.")


class MMFormer(FusionNetwork):
    """An mmFormer-like network: a transformer block in each modality, then one over all."""

    loss_shares: Tensor

    def __init__(self, shapes: Shapes, classes: int, config: Config, *, slots: int = 1) -> None:
        super().__init__(shapes, classes, config, slots=slots)
        self.losses = ("fusion", *self.modalities)
        shares = torch.tensor([config.loss_weights.of(name) for name in self.losses])
        self.register_buffer("loss_shares", shares, persistent=False)
        self.tokens = Tokens(self.modalities, self.width, self.hidden)
        self.place = nn.ParameterDict(
            {
                name: nn.Parameter(0.02 * torch.randn(self.shapes[name][0] * self.shapes[name][1], self.hidden))
                for name in self.modalities
            }
        )
        self.within = nn.ModuleDict({name: Block(self.hidden, config.heads) for name in self.modalities})
        self.among = Block(self.hidden, config.heads)
        self.norm = nn.LayerNorm(self.hidden)
        self.branches = nn.ModuleDict({name: nn.Linear(self.hidden, classes) for name in self.modalities})
        self.fusion = self.head(self.hidden * len(self.modalities))

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (not in the output)
        """Predict a batch."""
        encoded = self.encode_modalities(batch)
        embedded = self.tokens(encoded.maps)
        tokens = {name: self.within[name](value + self.place[name]) for name, value in embedded.items()}
        logits = {name: self.branches[name](tokens[name].mean(1)) for name in self.modalities}
        lengths = [value.shape[1] for value in tokens.values()]
        mask = self.token_mask(encoded, tokens)
        mixed = self.norm(self.among(torch.cat(list(tokens.values()), 1), mask))
        parts = zip(torch.split(mixed, lengths, 1), torch.split(mask, lengths, 1), strict=True)
        logits["fusion"] = self.fusion(torch.cat([masked_mean(part, its_mask) for part, its_mask in parts], -1))
        return Output(logits, encoded.selection, weights=encoded.weights, present=encoded.present)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Add the fusion's loss and the weighted auxiliary losses, each over the patients who have its modality."""
        return (self.branch_losses(output, self.losses, labels) * self.loss_shares).sum()


NETWORK = MMFormer
