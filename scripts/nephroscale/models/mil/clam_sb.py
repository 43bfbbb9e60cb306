"""CLAM-SB: attention pooling whose attention is also asked to tell instances apart.

    instances ── embedding ─┬── gated attention ── weighted mean ── linear ── classes
                            └── for each class: is it evidence? ── most and least attended ── instance loss

References
----------
Lu et al., Data-efficient and weakly supervised computational pathology on whole-slide images, Nature Biomedical
Engineering 5, 2021. The instance loss: Berrada, Zisserman and Kumar, Smooth loss functions for deep top-k
classification, ICLR 2018, with k = 1.
"""  # fmt: skip

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from nephroscale.models.batch import Batch, Output
from nephroscale.models.mil.attention import AttentionPooling
from nephroscale.models.mil.bag import InstanceEmbedding, Shapes, draw_glorot, inputs_of, options_of
from nephroscale.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INSTANCE_LOSS = {"weight": 0.3, "instances": 8}


class CLAMSB(Network):
    """The single-branch network, with mutually exclusive classes.

    Parameters
    ----------
    shapes, embedding, embedding_dropout, encoder
        As in :class:`~nephroscale.models.mil.bag.InstanceEmbedding`.
    classes
        Number of classes.
    gated, attention_width
        As in :class:`~nephroscale.models.mil.attention.AttentionPooling`.
    instance_loss
        `weight` of the instance loss, the bag's being 1 - weight; `instances`: how many of the most and of the least
        attended instances it takes.

    Notes
    -----
    Ours: the bags here are small. Where a bag has fewer than twice that number of instances, half of them count as
    most attended and half as least, so that none is both; the only instance of a bag is most attended.
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
        instance_loss: Mapping[str, Any] | None = None,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        options = {**INSTANCE_LOSS, **(instance_loss or {})}
        self.instance_weight, self.most = float(options["weight"]), int(options["instances"])
        self.classes = classes
        self.embedding = InstanceEmbedding(shapes, embedding, embedding_dropout, encoder)
        self.attention = AttentionPooling(self.embedding.width, attention_width, gated=gated)
        self.classifier = nn.Linear(self.embedding.width, classes)
        self.instance_classifiers = nn.Linear(self.embedding.width, classes * 2)
        draw_glorot(self.classifier)
        draw_glorot(self.instance_classifiers)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002
        """Predict a batch; `extra` holds what the instance loss reads, and only while training."""
        bag = self.embedding(batch)
        pooled, weights = self.attention(bag.vectors, bag.mask)
        extra = {}
        if self.training:
            logits = self.instance_classifiers(bag.vectors).unflatten(-1, (self.classes, 2))
            extra = {"instance_logits": logits, "attention": weights.detach(), "mask": bag.mask}
        return Output(
            {"fusion": self.classifier(pooled)},
            weights=bag.by_modality(weights),
            share=bag.shares(weights),
            extra=extra,
        )

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Bag loss and, while training, instance loss, by their weights, summed over the batch."""
        bag_loss = super().loss(output, labels)
        if "instance_logits" not in output.extra:
            return bag_loss
        instance_loss = self.instance_loss(output, labels).sum()
        return (1 - self.instance_weight) * bag_loss + self.instance_weight * instance_loss

    def instance_loss(self, output: Output, labels: Tensor) -> Tensor:
        """Give each bag's instance loss [B], averaged over the classes' binary classifiers.

        The most attended instances are evidence of the bag's class and of no other; the least attended are no
        evidence of the bag's class.
        """
        attention, mask = output.extra["attention"], output.extra["mask"]
        top, bottom = extremes(attention, mask, self.most)
        own = labels[:, None] == torch.arange(self.classes, device=labels.device)  # [B, classes]
        evidence = smooth_top1(output.extra["instance_logits"])  # [B, N, classes, 2]: the loss, were it no or yes
        counted = top[..., None] | (bottom[..., None] & own[:, None])
        given = torch.where(top[..., None] & own[:, None], evidence[..., 1], evidence[..., 0])
        mean = (given * counted).sum(1) / counted.sum(1).clamp(min=1)
        return mean.mean(1)


def extremes(weights: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Mark the instances of largest and of smallest weight: two disjoint [B, N] bool.

    Parameters
    ----------
    weights
        [B, N], at least 0.
    mask
        [B, N] bool.
    most
        How many of each, or half of the bag where that is less.
    """
    order = weights.masked_fill(~mask, -1.0).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)
    count = mask.sum(1, keepdim=True)
    taken = (count // 2).clamp(min=1, max=most)
    top = mask & (rank < taken)
    return top, mask & (rank >= count - taken) & ~top


def smooth_top1(logits: Tensor) -> Tensor:
    """The smooth top-1 SVM loss of logits [..., K] for each label they might have: [..., K].

    With margin and temperature 1 it is the cross-entropy of logits of which the wrong ones are raised by the margin.
    """
    wrong = 1.0 - torch.eye(logits.shape[-1], dtype=torch.float32, device=logits.device)
    raised = logits.float()[..., None, :] + wrong  # for each label, the logits
    return -log_softmax(raised, -1).diagonal(dim1=-2, dim2=-1)


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> CLAMSB:
    """Build the network from an entry of `models` in the configuration."""
    return CLAMSB(inputs_of(settings, shapes), classes, **options_of(settings, "clam-sb"))
