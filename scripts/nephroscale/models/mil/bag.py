"""From a batch to bags of instance vectors: what all multiple-instance networks begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import MODALITIES
from nephroscale.models.encoders.registry import build_encoder
from nephroscale.models.registry import READS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.models.batch import Batch

Shapes = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Instances:
    """One bag for each patient, the instances of all modalities in it.

    Attributes
    ----------
    vectors
        [B, N, D]; what stands in padding means nothing.
    mask
        [B, N] bool: True where there is an instance.
    lengths
        Modality to its share of the N places, in their order.
    """

    vectors: Tensor
    mask: Tensor
    lengths: dict[str, int]

    def by_modality(self, weights: Tensor) -> dict[str, Tensor]:
        """Cut weights [B, N] into those of each modality's instances, detached: they are data, not part of a loss."""
        parts = weights.detach().split(list(self.lengths.values()), dim=1)
        return dict(zip(self.lengths, parts, strict=True))

    def shares(self, weights: Tensor) -> dict[str, Tensor]:
        """Sum weights [B, N] over each modality's instances, detached: [B]."""
        return {modality: part.sum(1) for modality, part in self.by_modality(weights).items()}


class InstanceEmbedding(nn.Module):
    """Pool each instance's map, bring all modalities to one width, and embed.

        map (h, w, C) ── global average ── [linear, if widths differ] ── + modality ── (linear, ReLU, dropout) x k

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels where there is an encoder.
    widths
        Widths of the layers; none of them leaves the pooled features as they are.
    dropout
        After each layer.
    encoder
        Settings of encoders trained with the network, one for each modality, or None for stored feature maps.

    Attributes
    ----------
    width
        D of the vectors that come out.

    Notes
    -----
    The papers have one modality. Ours: several enter one bag, told apart by a learnt vector that is added to each
    instance of a modality; where their widths differ, a linear layer brings them to that of the first (TEM, if it
    takes part). Pooling before that layer is the same as pooling after it.
    """  # fmt: skip

    def __init__(
        self, shapes: Shapes, widths: Sequence[int], dropout: float, encoder: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        names = [name for name in MODALITIES if name in shapes]
        self.encoders = nn.ModuleDict()
        if encoder:
            built = {name: build_encoder(encoder, shapes[name][0]) for name in names}
            self.encoders.update(built)
            shapes = {name: built[name].shape for name in names}
        self.channels = {name: shapes[name][2] for name in names}
        first = shapes[names[0]][2]
        self.projections = nn.ModuleDict(
            {name: nn.Linear(shapes[name][2], first) for name in names if shapes[name][2] != first}
        )
        self.names = names
        self.modality = nn.Parameter(torch.zeros(len(names), first)) if len(names) > 1 else None
        layers: list[nn.Module] = []
        for before, after in zip([first, *widths], widths, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.width = [first, *widths][-1]
        draw_glorot(self.projections)
        draw_glorot(self.layers)

    def forward(self, batch: Batch) -> Instances:
        """Turn a batch into bags."""
        parts = []
        for place, name in enumerate(self.names):
            vectors = self._pool(name, batch)
            if name in self.projections:
                vectors = self.projections[name](vectors)
            parts.append(vectors if self.modality is None else vectors + self.modality[place])
        masks = [batch.mask[name] for name in self.names]
        lengths = {name: mask.shape[1] for name, mask in zip(self.names, masks, strict=True)}
        return Instances(self.layers(torch.cat(parts, 1)), torch.cat(masks, 1), lengths)

    def _pool(self, name: str, batch: Batch) -> Tensor:
        """Average each map of a modality: [B, N, C]. An encoder sees no padding."""
        bag = batch.features[name]
        if name not in self.encoders:
            return bag.mean((2, 3))
        rows, places = batch.rows[name], bag.shape[0] * bag.shape[1]
        vectors = torch.zeros(places, self.channels[name], device=bag.device)
        if len(rows) > 0:  # else nobody of this batch has the modality
            pooled = self.encoders[name](bag.flatten(0, 1).index_select(0, rows)).float().mean((1, 2))
            vectors = vectors.index_copy(0, rows, pooled)
        return vectors.unflatten(0, bag.shape[:2])


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the instances (axis 1) in float32; padding gets 0, and so does all of an empty bag.

    Parameters
    ----------
    scores
        [B, N] or [B, N, K].
    mask
        [B, N] bool.
    """
    mask = mask.reshape(*mask.shape, *[1] * (scores.ndim - 2))
    scores = scores.float()
    return torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), 1) * mask


def masked_maximum(values: Tensor, mask: Tensor) -> Tensor:
    """The largest value [B, K] of each column of [B, N, K] over the instances; 0 for an empty bag."""
    mask = mask[..., None]
    largest = values.masked_fill(~mask, torch.finfo(values.dtype).min).amax(1)
    return torch.where(mask.any(1), largest, 0.0)


def draw_glorot(module: nn.Module) -> None:
    """Draw the linear layers' weights as Glorot and Bengio (2010) do, with zero biases.

    Ilse et al. and CLAM do so; with torch's own smaller weights, plain gradient descent hardly moves such networks.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def inputs_of(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]]) -> Shapes:
    """The shapes of the modalities that a model takes, in the fixed order."""
    wanted = settings.get("modalities", MODALITIES)
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise NephroscaleError(
            f"The model's modalities {', '.join(missing)} have no features.",
            where="models: modalities",
            todo="Leave them out of the model, or add their images to the cohort.",
        )
    return {name: shapes[name] for name in MODALITIES if name in wanted}


def options_of(settings: Mapping[str, Any], family: str) -> dict[str, Any]:
    """The settings that a family reads, as keyword arguments of its network."""
    return {name: settings[name] for name in READS[family] if name in settings}
