"""What goes into a network and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor

    from nephroscale.models.smil import Selection

MODALITIES = ("TEM", "OM", "IM")
"""The order in which modalities are concatenated everywhere."""


@dataclass(frozen=True)
class Batch:
    """The padded bags of some patients.

    Attributes
    ----------
    features
        Modality to feature maps [B, N, h, w, C] float32, or pixels [B, N, S, S, 3] uint8. Padding is zero.
    mask
        Modality to [B, N] bool: True where there is an instance.
    rows
        Modality to [M] int64: the places of the instances in the flattened [B * N]. Made on the host, so that an
        encoder sees only instances, no padding, and the device need not be asked how many there are.
    labels
        [B] int64 class indices; -1 where unknown.
    ids
        Patient ids, in the order of the batch.
    second
        [B] int64: the other class of patients who lie between two, `labels` for all others; None where there is none.
    negative
        Where somebody has a negative marker: modality to [B, N] bool, True where the slot's marker was found negative
        and therefore not photographed. Where neither `mask` nor `negative` is True nothing is known of the marker.
    having
        For a modality that somebody lacks: modality to [P] int64, the places in the batch of those who have it. Made
        on the host, like `rows`.
    """

    features: dict[str, Tensor]
    mask: dict[str, Tensor]
    rows: dict[str, Tensor]
    labels: Tensor
    ids: tuple[str, ...]
    second: Tensor | None = None
    negative: dict[str, Tensor] = field(default_factory=dict)
    having: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        features: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        labels: Tensor,
        ids: Sequence[str] = (),
        second: Tensor | None = None,
        *,
        negative: Mapping[str, Tensor] | None = None,
    ) -> Batch:
        """Make a batch from tensors on the host."""
        rows = {name: mask[name].flatten().nonzero().flatten() for name in mask}
        negative = {name: states for name, states in (negative or {}).items() if states.any()}
        has = {name: (mask[name] | negative[name] if name in negative else mask[name]).any(1) for name in mask}
        having = {name: there.nonzero().flatten() for name, there in has.items() if not there.all()}
        return cls(dict(features), dict(mask), rows, labels, tuple(ids), second, negative, having)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""

        def moved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

        return replace(
            self,
            features=moved(self.features),
            mask=moved(self.mask),
            rows=moved(self.rows),
            labels=self.labels.to(device, non_blocking=True),
            second=None if self.second is None else self.second.to(device, non_blocking=True),
            negative=moved(self.negative),
            having=moved(self.having),
        )

    def has(self, modality: str) -> Tensor | None:
        """Tell who has a modality, [B] bool; None where everybody has it."""
        if modality not in self.having:
            return None
        mask = self.mask[modality]
        return (mask | self.negative[modality] if modality in self.negative else mask).any(1)

    def __len__(self) -> int:
        """Count the patients."""
        return int(self.labels.shape[0])


@dataclass(frozen=True)
class Output:
    """What a network says of a batch.

    Attributes
    ----------
    logits
        Branch to [B, classes]. `fusion` is the prediction; the others are there where the network has such a branch.
    selection
        What sparse multi-instance learning decided about the TEM bags, or None.
    attention
        Modality to [B, tokens, tokens] attention of its tokens (last axis) from the TEM tokens, if it was asked for.
    extra
        What else a network's own loss reads: name to tensor, the patients first.
    weights
        Modality to [B, N] float32: what each instance (of a panel: each slot) counts in its bag's pooling; 0 where
        nothing is known. TEM's are in `selection` where SMIL chose.
    having
        Of the batch: for a modality that somebody lacks, the places of those who have it.
    share
        Modality to [B] float32: what it counts in the prediction, where the network weighs modalities; they sum to 1.
    """

    logits: dict[str, Tensor]
    selection: Selection | None = None
    attention: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    having: dict[str, Tensor] = field(default_factory=dict)
    share: dict[str, Tensor] = field(default_factory=dict)
