"""MHIM-MIL: a student learns from bags in which a teacher masks the easy instances.

                ┌── teacher: embedding, attention ──── bag ─ ─ ─ consistency ─ ─ ┐   (follows the student)
    instances ──┤                  │ masks the most and the least attended       │
                └── student: embedding, attention over the others ── bag ── linear ── classes

References
----------
Tang et al., Multiple instance learning framework with masked hard instance mining for whole slide image
classification, ICCV 2023.
"""  # fmt: skip

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.mil.attention import AttentionConfig, AttentionPooling
from nephroscale.models.mil.bag import InstanceEmbedding, Instances, draw_glorot
from nephroscale.models.network import Network
from nephroscale.settings import Settings, section, setting


@dataclass(frozen=True)
class Masking(Settings):
    """Masking and teacher of mhim-mil."""

    high: float = setting(
        "Fraction of a bag that is masked, drawn at random from twice as many of its most attended instances; it falls "
        "to 0 during training.",
        0.1,
        minimum=0,
        maximum=0.5,
    )
    low: float = setting("Fraction of the bag that is masked: its least attended instances.", 0.2, minimum=0, maximum=1)
    momentum: float = setting(
        "Fraction of its own weights that the teacher keeps in a step.", 0.99, minimum=0, maximum=1
    )
    consistency: float = setting("Weight of the loss between the teacher's bag and the student's.", 0.5, minimum=0)


@dataclass(frozen=True)
class Config(AttentionConfig):
    """Attention pooling trained with masked hard instances."""

    masking: Masking = section(Masking)


TEACHER_TEMPERATURE = 0.1


class Pooled(nn.Module):
    """Embedding and attention pooling, of the student or the teacher."""

    def __init__(self, embedding: InstanceEmbedding, attention: AttentionPooling) -> None:
        super().__init__()
        self.embedding, self.attention = embedding, attention


class MHIMMIL(Network):
    """ABMIL trained with masked hard instances and a momentum teacher.

    Notes
    -----
    Predictions do not use the teacher, and at least one instance of a bag stays unmasked.

    The teacher starts as a copy of the untrained student, without dropout, and follows it faster than in the paper
    (momentum 0.9999), where it starts from the weights of a trained network.
    """

    supports_missing_modalities = True  # a bag of fewer instances

    def __init__(self, shapes: Shapes, classes: int, config: Config) -> None:
        super().__init__()
        self.masking = config.masking
        embedded = InstanceEmbedding(shapes, config)
        self.student = Pooled(embedded, AttentionPooling(embedded.width, config.attention_width, gated=config.gated))
        self.teacher = copy.deepcopy(self.student).requires_grad_(requires_grad=False)
        self.classifier = nn.Linear(embedded.width, classes)
        draw_glorot(self.classifier)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no maps)
        """Predict a batch; in training, from the instances that the teacher left unmasked."""
        bag: Instances = self.student.embedding(batch)
        seen, extra = bag.mask, {}
        if self.training:
            taught, attention = self._teach(batch)
            seen = self.mask_instances(attention, bag.mask)
            extra["taught"] = taught
        pooled, weights = self.student.attention(bag.vectors, seen)
        if self.training:
            extra["learnt"] = pooled
        return bag.output({"fusion": self.classifier(pooled)}, weights, extra)

    @torch.no_grad()
    def _teach(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the teacher's bags [B, D] and its attention [B, N] to all instances."""
        bag: Instances = self.teacher.embedding(batch)
        pooled, weights = self.teacher.attention(bag.vectors, bag.mask)
        return pooled, weights

    def mask_instances(self, attention: Tensor, mask: Tensor) -> Tensor:
        """Choose the instances that stay unmasked for the student: [B, N] bool.

        Parameters
        ----------
        attention
            The teacher's, [B, N].
        mask
            [B, N] bool.
        """
        count = mask.sum(1, keepdim=True)
        high = self.masking.high * (1 + math.cos(math.pi * self.progress)) / 2
        hidden = torch.minimum((count.double() * high).ceil(), (count - 1).clamp(min=0)).long()
        low = torch.minimum((count.double() * self.masking.low).floor().long(), (count - 1 - hidden).clamp(min=0))

        rank = _rank(attention.masked_fill(~mask, -1.0))  # 0 is the most attended
        candidates = mask & (rank < 2 * hidden)
        chance = torch.rand(mask.shape, device=mask.device).masked_fill(~candidates, -1.0)
        masked = candidates & (_rank(chance) < hidden)
        left = mask & ~masked
        from_below = _rank(attention.neg().masked_fill(~left, -torch.inf))
        return left & (from_below >= low)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Add the criterion and, in training, the distance between student and teacher bags, summed over the batch."""
        classification = super().loss(output, labels)
        if "taught" not in output.extra:
            return classification
        target = torch.softmax(output.extra["taught"].float() / TEACHER_TEMPERATURE, 1)
        distance = -(target * torch.log_softmax(output.extra["learnt"].float(), 1)).sum()
        return classification + self.masking.consistency * distance

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the teacher towards the student, by the momentum."""
        for teacher, student in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            teacher.lerp_(student, 1 - self.masking.momentum)
        for teacher_buffer, buffer in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            teacher_buffer.copy_(buffer)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the teacher stays in evaluation mode, without dropout."""
        super().train(mode)
        self.teacher.eval()
        return self


def _rank(values: Tensor) -> Tensor:
    """Rank the columns of each row from the largest, 0, on; ties are ranked by their order."""
    return values.argsort(dim=1, descending=True, stable=True).argsort(dim=1, stable=True)


NETWORK = MHIMMIL
