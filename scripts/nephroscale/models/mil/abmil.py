"""ABMIL: attention-based deep multiple instance learning, plain or gated.

    instances ── embedding ─┬────────────────────────┬── weighted mean ── linear ── classes
                            └── (gated) attention ───┘

References
----------
Ilse, Tomczak and Welling, Attention-based deep multiple instance learning, ICML 2018.
"""  # fmt: skip

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from nephroscale.models.batch import Batch, Output
from nephroscale.models.mil.attention import AttentionPooling
from nephroscale.models.mil.bag import InstanceEmbedding, Shapes, draw_glorot, inputs_of, options_of
from nephroscale.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ABMIL(Network):
    """Weight the embedded instances by attention, average and classify.

    Parameters
    ----------
    shapes, embedding, embedding_dropout, encoder
        As in :class:`~nephroscale.models.mil.bag.InstanceEmbedding`.
    classes
        Number of classes.
    gated, attention_width
        As in :class:`~nephroscale.models.mil.attention.AttentionPooling`.

    Notes
    -----
    The paper's last layer is one sigmoid unit for two classes; ours has one logit for each class.
    """

    supports_missing_modalities = True  # a bag of fewer instances

    def __init__(
        self,
        shapes: Shapes,
        classes: int,
        *,
        embedding: Sequence[int] = (256,),
        embedding_dropout: float = 0.25,
        gated: bool = True,
        attention_width: int = 128,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.embedding = InstanceEmbedding(shapes, embedding, embedding_dropout, encoder)
        self.attention = AttentionPooling(self.embedding.width, attention_width, gated=gated)
        self.classifier = nn.Linear(self.embedding.width, classes)
        draw_glorot(self.classifier)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002
        """Predict a batch."""
        bag = self.embedding(batch)
        pooled, weights = self.attention(bag.vectors, bag.mask)
        return Output({"fusion": self.classifier(pooled)}, weights=bag.by_modality(weights), share=bag.shares(weights))


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> ABMIL:
    """Build the network from an entry of `models` in the configuration."""
    return ABMIL(inputs_of(settings, shapes), classes, **options_of(settings, "abmil"))
