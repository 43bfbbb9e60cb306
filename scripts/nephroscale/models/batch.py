"""The input and the output of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from nephroscale.models.smil import Selection

MODALITIES = ("TEM", "OM", "IM")
"""The order in which modalities are concatenated everywhere."""

Shapes = Mapping[str, tuple[int, int, int]]
"""Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels."""


@dataclass(frozen=True)
class Batch:
    """The padded bags of some patients.

    Attributes
    ----------
    features
        Modality to feature maps [B, N, h, w, C] float32, or pixels [B, N, S, S, 3] uint8. Padding is zero.
    mask
        Modality to [B, N] bool: True for an instance, False for padding.
    rows
        Modality to [M] int64: indices of the instances in the flattened [B * N]. They are computed on the host, so that
        encoders skip padding and the number of instances is known without a query to the device.
    labels
        [B] int64 class indices; -1 where unknown.
    ids
        Patient ids, in the order of the batch.
    second
        [B] int64: the other class of patients between two classes, `labels` for all others; None without such patients.
    negative
        Modality to [B, N] bool, if any patient has a negative marker: True where the slot's marker was found negative
        and therefore not photographed. Where neither `mask` nor `negative` is True, the marker is unknown.
    lacking
        Modalities that some patient lacks, which is found out on the host, as `rows` is.
    prior
        [B, N] float32, above 0: prior of the TEM instances (1 for padding); None without one.
    """

    features: dict[str, Tensor]
    mask: dict[str, Tensor]
    rows: dict[str, Tensor]
    labels: Tensor
    ids: tuple[str, ...]
    second: Tensor | None = None
    negative: dict[str, Tensor] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    prior: Tensor | None = None

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
        prior: Tensor | None = None,
    ) -> Batch:
        """Make a batch from tensors on the host."""
        rows = {name: mask[name].flatten().nonzero().flatten() for name in mask}
        negative = {name: states for name, states in (negative or {}).items() if states.any()}
        present = {name: (mask[name] | negative[name] if name in negative else mask[name]).any(1) for name in mask}
        lacking = tuple(name for name, who in present.items() if not who.all())
        return cls(dict(features), dict(mask), rows, labels, tuple(ids), second, negative, lacking, prior)

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function to every tensor."""

        def mapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: function(tensor) for name, tensor in tensors.items()}

        return replace(
            self,
            features=mapped(self.features),
            mask=mapped(self.mask),
            rows=mapped(self.rows),
            labels=function(self.labels),
            second=None if self.second is None else function(self.second),
            negative=mapped(self.negative),
            prior=None if self.prior is None else function(self.prior),
        )

    def to(self, device: torch.device | str) -> Batch:
        """Copy the batch to a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """Copy large tensors to memory from which a GPU reads without waiting."""
        return replace(self, features={name: bag.pin_memory() for name, bag in self.features.items()})

    def present(self, modality: str) -> Tensor | None:
        """Mark the patients who have a modality, [B] bool; None if all have it."""
        if modality not in self.lacking:
            return None
        mask = self.mask[modality]
        return (mask | self.negative[modality] if modality in self.negative else mask).any(1)

    def __len__(self) -> int:
        """Count the patients."""
        return int(self.labels.shape[0])


@dataclass(frozen=True)
class Output:
    """The output of a network for a batch.

    Attributes
    ----------
    logits
        Branch to [B, classes]. `fusion` is the prediction; other branches depend on the network.
    selection
        The selection of TEM instances by sparse multi-instance learning, or None.
    attention
        Modality to [B, tokens, tokens] attention of its tokens (last axis) from the TEM tokens, on request.
    extra
        Further tensors for the network's own loss: name to tensor, patients on the first axis.
    weights
        Modality to [B, N] float32: the weight of each instance (in a panel: each slot) in the pooling of its bag; 0 for
        padding. With SMIL the weights of TEM are in `selection`.
    present
        For each modality that some patient lacks: [B] bool, True for patients who have it.
    modality_weight
        Modality to [B] float32: its weight in the prediction, if the network weights modalities; the sum is 1.
    """

    logits: dict[str, Tensor]
    selection: Selection | None = None
    attention: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    present: dict[str, Tensor] = field(default_factory=dict)
    modality_weight: dict[str, Tensor] = field(default_factory=dict)
