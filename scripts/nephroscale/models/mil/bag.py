"""From a batch to bags of instance vectors: the first part of all multiple-instance networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nephroscale.models.batch import MODALITIES, Batch, Output, Shapes
from nephroscale.models.encoders.registry import build_encoder
from nephroscale.models.network import Network
from nephroscale.models.settings import TrainableEncoderSettings
from nephroscale.settings import Settings, setting


@dataclass(frozen=True)
class EmbeddingConfig(Settings):
    """Settings of a network that embeds the instances of a bag."""

    embedding: tuple[int, ...] = setting(
        "Multiple-instance families: widths of the layers that embed an instance before pooling; an empty list pools "
        "the features as they are.",
        (256,),
        items={"type": "integer", "minimum": 1},
    )
    embedding_dropout: float = setting("Dropout after each layer of the embedding.", 0.25, minimum=0, below=1)
    encoder: TrainableEncoderSettings | None = setting(
        "An encoder trained with the model, over pixel bags; null for stored feature maps.", None
    )


@dataclass(frozen=True)
class Instances:
    """One bag for each patient, with the instances of all modalities.

    Attributes
    ----------
    vectors
        [B, N, D]; undefined for padding.
    mask
        [B, N] bool: True for an instance.
    lengths
        Modality to the number of its places among the N, in their order.
    """

    vectors: Tensor
    mask: Tensor
    lengths: dict[str, int]

    def output(self, logits: dict[str, Tensor], weights: Tensor, extra: dict[str, Tensor] | None = None) -> Output:
        """Make the network's output from logits and the weights [B, N] of the instances, which are detached."""
        parts = torch.split(weights.detach(), list(self.lengths.values()), dim=1)
        by_modality = dict(zip(self.lengths, parts, strict=True))
        return Output(
            logits,
            extra=extra or {},
            weights=by_modality,
            modality_weight={modality: part.sum(1) for modality, part in by_modality.items()},
        )


class InstanceEmbedding(nn.Module):
    """Pool each instance's map, bring all modalities to one width, and embed.

        map (h, w, C) ── global average ── [linear, if widths differ] ── + modality ── (linear, ReLU, dropout) x k

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels with a trained encoder.
    config
        Widths of the layers, their dropout, and the encoder; without layers the pooled features stay as they are.

    Attributes
    ----------
    width
        D of the vectors.

    Notes
    -----
    The papers have one modality. Here several modalities enter one bag: a learnt vector for each modality is added to
    its instances, and a linear layer brings modalities of another width to that of the first one (TEM, if it takes
    part). Pooling before this layer equals pooling after it.
    """  # fmt: skip

    def __init__(self, shapes: Shapes, config: EmbeddingConfig) -> None:
        super().__init__()
        widths, encoder = config.embedding, config.encoder
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
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.embedding_dropout)]
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
        """Average each map of a modality: [B, N, C]. The encoder skips padding."""
        bag = batch.features[name]
        if name not in self.encoders:
            return bag.mean((2, 3))
        rows, places = batch.rows[name], bag.shape[0] * bag.shape[1]
        vectors = torch.zeros(places, self.channels[name], device=bag.device)
        if len(rows) > 0:  # otherwise no patient of this batch has the modality
            pooled = self.encoders[name](bag.flatten(0, 1).index_select(0, rows)).float().mean((1, 2))
            vectors = vectors.index_copy(0, rows, pooled)
        return torch.unflatten(vectors, 0, bag.shape[:2])


class InstanceNetwork(Network):
    """A network over the embedded instances of all modalities in one bag."""

    supports_missing_modalities = True  # a bag of fewer instances

    def __init__(self, shapes: Shapes, config: EmbeddingConfig) -> None:
        super().__init__()
        self.embedding = InstanceEmbedding(shapes, config)


class PoolingNetwork(InstanceNetwork):
    """A network that pools the embedded instances of a bag without weights of its own, and classifies the result."""

    def __init__(self, shapes: Shapes, classes: int, config: EmbeddingConfig) -> None:
        super().__init__(shapes, config)
        self.classifier = nn.Linear(self.embedding.width, classes)
        draw_glorot(self.classifier)

    def pool(self, bag: Instances) -> tuple[Tensor, Tensor]:
        """Pool bags to vectors [B, D]; the second result is the weight of each instance, [B, N]."""
        raise NotImplementedError

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:  # noqa: ARG002  (has no maps)
        """Predict a batch."""
        bag: Instances = self.embedding(batch)
        pooled, weights = self.pool(bag)
        return bag.output({"fusion": self.classifier(pooled)}, weights)


def draw_glorot(module: nn.Module) -> None:
    """Draw the weights of linear layers by Glorot and Bengio (2010), with zero biases.

    Ilse et al. and CLAM use it too; with torch's smaller default weights, plain gradient descent learns very slowly.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
