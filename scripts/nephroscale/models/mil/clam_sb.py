"""CLAM-SB: attention pooling, with an instance loss on the most and the least attended instances.

    instances ── embedding ─┬── gated attention ── weighted mean ── linear ── classes
                            └── for each class: evidence or not? ── most and least attended ── instance loss

References
----------
Lu et al., Data-efficient and weakly supervised computational pathology on whole-slide images, Nature Biomedical
Engineering 5, 2021. The instance loss: Berrada, Zisserman and Kumar, Smooth loss functions for deep top-k
classification, ICLR 2018, with k = 1.
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.mil.attention import AttentionConfig, AttentionNetwork
from nephroscale.models.mil.bag import Instances, draw_glorot
from nephroscale.settings import Settings, section, setting


@dataclass(frozen=True)
class InstanceLoss(Settings):
    """The instance loss of clam-sb."""

    weight: float = setting("Weight of the instance loss; the bag's loss has the rest.", 0.3, minimum=0, maximum=1)
    instances: int = setting(
        "Number of most attended, and of least attended, instances that the instance loss uses; each at most half of "
        "the bag.",
        8,
        minimum=1,
    )


@dataclass(frozen=True)
class Config(AttentionConfig):
    """Attention pooling with an instance loss."""

    instance_loss: InstanceLoss = section(InstanceLoss)


class CLAMSB(AttentionNetwork):
    """The single-branch network, with mutually exclusive classes.

    Notes
    -----
    The bags here are small. If a bag has fewer than twice `instances`, one half counts as most attended and the other
    as least attended, so that no instance is both; the only instance of a bag is most attended.
    """

    def __init__(self, shapes: Shapes, classes: int, config: Config) -> None:
        super().__init__(shapes, config)
        self.instance_weight, self.most = config.instance_loss.weight, config.instance_loss.instances
        self.classes = classes
        self.classifier = nn.Linear(self.embedding.width, classes)
        self.instance_classifiers = nn.Linear(self.embedding.width, classes * 2)
        draw_glorot(self.classifier)
        draw_glorot(self.instance_classifiers)

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no maps)
        """Predict a batch; in training, `extra` has the tensors of the instance loss."""
        bag: Instances = self.embedding(batch)
        pooled, weights = self.attention(bag.vectors, bag.mask)
        extra = {}
        if self.training:
            logits = self.instance_classifiers(bag.vectors).unflatten(-1, (self.classes, 2))
            extra = {"instance_logits": logits, "attention": weights.detach(), "mask": bag.mask}
        return bag.output({"fusion": self.classifier(pooled)}, weights, extra)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Add bag loss and, in training, instance loss with their weights, summed over the batch."""
        bag_loss = super().loss(output, labels)
        if "instance_logits" not in output.extra:
            return bag_loss
        instance_loss = self.instance_loss(output, labels).sum()
        return (1 - self.instance_weight) * bag_loss + self.instance_weight * instance_loss

    def instance_loss(self, output: Output, labels: Tensor) -> Tensor:
        """Compute the instance loss [B] of each bag, averaged over the binary classifiers of the classes.

        The most attended instances are labelled as evidence of the bag's class and against all others; the least
        attended are labelled as no evidence of the bag's class.
        """
        attention, mask = output.extra["attention"], output.extra["mask"]
        top, bottom = extremes(attention, mask, self.most)
        own = labels[:, None] == torch.arange(self.classes, device=labels.device)  # [B, classes]
        evidence = smooth_top1(output.extra["instance_logits"])  # [B, N, classes, 2]: the loss for no and for yes
        counted = top[..., None] | (bottom[..., None] & own[:, None])
        given = torch.where(top[..., None] & own[:, None], evidence[..., 1], evidence[..., 0])
        return ((given * counted).sum(1) / counted.sum(1).clamp(min=1)).mean(1)


def extremes(weights: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Mark the instances of largest and of smallest weight: two disjoint [B, N] bool.

    Parameters
    ----------
    weights
        [B, N], at least 0.
    mask
        [B, N] bool.
    most
        How many of each; at most half of the bag.
    """
    rank = weights.masked_fill(~mask, -1.0).argsort(dim=1, descending=True, stable=True).argsort(dim=1, stable=True)
    count = mask.sum(1, keepdim=True)
    taken = (count // 2).clamp(min=1, max=most)
    top = mask & (rank < taken)
    return top, mask & (rank >= count - taken) & ~top


def smooth_top1(logits: Tensor) -> Tensor:
    """Compute the smooth top-1 SVM loss of logits [..., K] for each possible label: [..., K].

    With margin and temperature 1 it equals the cross-entropy after the margin is added to the logits of wrong labels.
    """
    wrong = 1.0 - torch.eye(logits.shape[-1], dtype=torch.float32, device=logits.device)
    raised = logits.float()[..., None, :] + wrong  # for each label, the logits
    return -log_softmax(raised, -1).diagonal(dim1=-2, dim2=-1)


NETWORK = CLAMSB
