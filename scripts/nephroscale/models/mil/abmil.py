"""ABMIL: attention-based deep multiple instance learning, plain or gated.

    instances ── embedding ─┬────────────────────────┬── weighted mean ── linear ── classes
                            └── (gated) attention ───┘

References
----------
Ilse, Tomczak and Welling, Attention-based deep multiple instance learning, ICML 2018.
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.mil.attention import AttentionConfig, AttentionNetwork
from nephroscale.models.mil.bag import Instances, draw_glorot


@dataclass(frozen=True)
class Config(AttentionConfig):
    """Attention-based multiple-instance learning."""


class ABMIL(AttentionNetwork):
    """Weight the embedded instances by attention, average and classify.

    Notes
    -----
    The paper's last layer is one sigmoid unit for two classes; here it has one logit for each class.
    """

    def __init__(self, shapes: Shapes, classes: int, config: Config) -> None:
        super().__init__(shapes, config)
        self.classifier = nn.Linear(self.embedding.width, classes)
        draw_glorot(self.classifier)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no maps)
        """Predict a batch."""
        bag: Instances = self.embedding(batch)
        pooled, weights = self.attention(bag.vectors, bag.mask)
        return bag.output({"fusion": self.classifier(pooled)}, weights)


NETWORK = ABMIL
