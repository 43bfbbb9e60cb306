"""MHIM-MIL: a student learns from bags of which a teacher has masked the instances that make it easy.

                ┌── teacher: embedding, attention ──── bag ─ ─ ─ consistency ─ ─ ┐   (follows the student)
    instances ──┤                  │ masks what is most and least attended       │
                └── student: embedding, attention over the others ── bag ── linear ── classes

References
----------
Tang et al., Multiple instance learning framework with masked hard instance mining for whole slide image
classification, ICCV 2023.
"""  # fmt: skip

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Batch, Output
from nephroscale.models.mil.attention import AttentionPooling
from nephroscale.models.mil.bag import InstanceEmbedding, Instances, Shapes, draw_glorot, inputs_of, options_of
from nephroscale.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MASKING = {"high": 0.1, "low": 0.2, "momentum": 0.99, "consistency": 0.5}
TEACHER_TEMPERATURE = 0.1


class Pooled(nn.Module):
    """What student and teacher are alike in: embedding and attention pooling."""

    def __init__(self, embedding: InstanceEmbedding, attention: AttentionPooling) -> None:
        super().__init__()
        self.embedding, self.attention = embedding, attention


class MHIMMIL(Network):
    """ABMIL trained with masked hard instances and a momentum teacher.

    Parameters
    ----------
    shapes, embedding, embedding_dropout, encoder
        As in :class:`~nephroscale.models.mil.bag.InstanceEmbedding`.
    classes
        Number of classes.
    gated, attention_width
        As in :class:`~nephroscale.models.mil.attention.AttentionPooling`.
    masking
        `high`: share of a bag that is masked at random among twice as many of its most attended instances, falling to
        0 by half a cosine over the training; `low`: share of the least attended that is masked; `momentum` of the
        teacher; `consistency`: weight of the loss between the two bags.

    Notes
    -----
    The teacher never takes part in a prediction, and at least one instance of a bag is left unmasked.

    Ours: the teacher begins as a copy of the untrained student and follows it faster than the paper's (momentum
    0.9999), which begins with the weights of a network trained before; and its dropout is off.
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
        masking: Mapping[str, float] | None = None,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        options = {**MASKING, **(masking or {})}
        self.high, self.low = options["high"], options["low"]
        self.momentum, self.consistency = options["momentum"], options["consistency"]
        embedded = InstanceEmbedding(shapes, embedding, embedding_dropout, encoder)
        self.student = Pooled(embedded, AttentionPooling(embedded.width, attention_width, gated=gated))
        self.teacher = copy.deepcopy(self.student).requires_grad_(requires_grad=False)
        self.classifier = nn.Linear(embedded.width, classes)
        draw_glorot(self.classifier)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002
        """Predict a batch; while training, from what the teacher left unmasked."""
        bag = self.student.embedding(batch)
        seen, extra = bag.mask, {}
        if self.training:
            taught, attention = self._teach(batch)
            seen = self.mask_instances(attention, bag.mask)
            extra["taught"] = taught
        pooled, weights = self.student.attention(bag.vectors, seen)
        if self.training:
            extra["learnt"] = pooled
        return Output(
            {"fusion": self.classifier(pooled)},
            weights=bag.by_modality(weights),
            share=bag.shares(weights),
            extra=extra,
        )

    @torch.no_grad()
    def _teach(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The teacher's bags [B, D] and its attention [B, N] to all instances."""
        bag: Instances = self.teacher.embedding(batch)
        pooled, weights = self.teacher.attention(bag.vectors, bag.mask)
        return pooled, weights

    def mask_instances(self, attention: Tensor, mask: Tensor) -> Tensor:
        """Choose the instances that the student sees: [B, N] bool.

        Parameters
        ----------
        attention
            The teacher's, [B, N].
        mask
            [B, N] bool.
        """
        count = mask.sum(1, keepdim=True)
        high = self.high * (1 + math.cos(math.pi * self.progress)) / 2
        hidden = torch.minimum((count.double() * high).ceil(), (count - 1).clamp(min=0)).long()
        low = torch.minimum((count.double() * self.low).floor().long(), (count - 1 - hidden).clamp(min=0))

        rank = _rank(attention.masked_fill(~mask, -1.0))  # 0 is the most attended
        candidates = mask & (rank < 2 * hidden)
        chance = torch.rand(mask.shape, device=mask.device).masked_fill(~candidates, -1.0)
        masked = candidates & (_rank(chance) < hidden)
        left = mask & ~masked
        from_below = _rank(attention.neg().masked_fill(~left, -torch.inf))
        return left & (from_below >= low)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """The criterion and, while training, how far the student's bag is from the teacher's, summed over the batch."""
        classification = super().loss(output, labels)
        if "taught" not in output.extra:
            return classification
        target = torch.softmax(output.extra["taught"].float() / TEACHER_TEMPERATURE, 1)
        distance = -(target * torch.log_softmax(output.extra["learnt"].float(), 1)).sum()
        return classification + self.consistency * distance

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the teacher a little towards the student."""
        for its, parameter in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            its.lerp_(parameter, 1 - self.momentum)
        for its_buffer, buffer in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            its_buffer.copy_(buffer)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the teacher has no dropout in either."""
        super().train(mode)
        self.teacher.eval()
        return self


def _rank(values: Tensor) -> Tensor:
    """Rank the columns of each row, the largest 0; of equals the first comes first."""
    return values.argsort(dim=1, descending=True, stable=True).argsort(dim=1)


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> MHIMMIL:
    """Build the network from an entry of `models` in the configuration."""
    return MHIMMIL(inputs_of(settings, shapes), classes, **options_of(settings, "mhim-mil"))
