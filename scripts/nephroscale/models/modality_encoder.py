"""What networks over the three modalities have in common up to their fusion: a map for each modality.

    bag ──(encoder)──(projection)── SMIL (TEM) or attention pooling (OM, IM) ── map

Ablations and rivals share it, so that what is compared is the fusion.
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import MODALITIES, Batch
from nephroscale.models.encoders.registry import build_encoder
from nephroscale.models.network import Network
from nephroscale.models.pooling import POOLINGS, InstancePooling, pool_mean, pool_representative, seeded_by_name
from nephroscale.models.smil import Selection, SparseMultiInstance

if TYPE_CHECKING:
    from collections.abc import Mapping

FRONT_KEYS = ("threshold", "pooling", "slots", "encoder")
"""Keys of a model's settings that the front reads."""


@dataclass(frozen=True)
class Maps:
    """One map a modality and patient.

    Attributes
    ----------
    maps
        Modality to [B, h, w, C], all of one width; zero where a patient lacks the modality.
    has
        For a modality that somebody lacks: [B] bool, who has it.
    selection
        What SMIL decided about the TEM bags, or None.
    weights
        Modality to [B, N]: what each OM or IM instance counted.
    """

    maps: dict[str, Tensor]
    has: dict[str, Tensor] = field(default_factory=dict)
    selection: Selection | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)


class ModalityEncoder(Network):
    """A network that begins with a map for each modality.

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels where there is an encoder. The modalities named
        here are the network's inputs.
    threshold
        Distance threshold t of SMIL.
    released
        SMIL and pooling as in the authors' code.
    pooling
        How several OM or IM instances become one map: `attention`, `mean`, or `representative` (the first one).
    slots
        Places of the marker panel.
    encoder
        Settings of encoders trained with the network, one for each modality, or None for stored feature maps.

    Attributes
    ----------
    modalities
        Names, in the order of :data:`~nephroscale.models.batch.MODALITIES`.
    shapes
        Modality to (h, w, C) of its map.
    width
        Channels of all maps: those of the first modality, to which a linear projection brings the others where they
        differ. This is ours; the paper's widths are equal.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int, int]],
        *,
        threshold: float = 1.5,
        released: bool = False,
        pooling: str = "attention",
        slots: int = 1,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise NephroscaleError(
                f"Instances cannot be pooled by {pooling!r}.",
                where="models: pooling",
                todo=f"Choose {', '.join(POOLINGS)}.",
            )
        self.modalities = [name for name in MODALITIES if name in shapes]
        self.encoders = nn.ModuleDict()
        if encoder:
            built = {name: build_encoder(encoder, shapes[name][0]) for name in self.modalities}
            self.encoders.update(built)
            shapes = {name: built[name].shape for name in self.modalities}
        self.shapes = {name: shapes[name] for name in self.modalities}
        self.width = self.shapes[self.modalities[0]][2]
        self.projections = nn.ModuleDict(
            {name: nn.Linear(shape[2], self.width) for name, shape in self.shapes.items() if shape[2] != self.width}
        )
        self.smil = SparseMultiInstance(threshold, released=released) if "TEM" in shapes else None
        self.pooling, self.pools = pooling, nn.ModuleDict()
        if pooling == "attention":
            for name in self.modalities:
                if name != "TEM":
                    with seeded_by_name(f"pooling of {name}"):
                        self.pools[name] = InstancePooling(self.width, slots if name == "IM" else None)

    @property
    def reads_negatives(self) -> bool:
        """Whether a marker found negative without a picture has a learnt state here."""
        return "IM" in self.pools

    def represent(self, batch: Batch) -> Maps:
        """Encode and pool a batch's bags."""
        maps: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        selection = None
        for name in self.modalities:
            bag, mask = self.encode(name, batch), batch.mask[name]
            if name == "TEM" and self.smil is not None:
                maps[name], selection = self.smil(bag, mask)
            elif name in self.pools:
                maps[name], weights[name] = self.pools[name](bag, mask, batch.negative.get(name))
            else:
                pool = pool_mean if self.pooling == "mean" else pool_representative
                maps[name], weights[name] = pool(bag, mask)
        has = {name: there for name in self.modalities if (there := batch.has(name)) is not None}
        return Maps(maps, has, selection, weights)

    def encode(self, name: str, batch: Batch) -> Tensor:
        """Bring a modality's bags to maps [B, N, h, w, C] of the common width; an encoder sees no padding."""
        bag = batch.features[name]
        if name in self.encoders:
            rows = batch.rows[name]
            if len(rows) == 0:  # nobody of this batch has the modality
                nothing = batch.mask[name].float()[:, :, None, None, None]
                return nothing.expand(-1, -1, *self.shapes[name][:2], self.width)
            encoded = self.encoders[name](bag.flatten(0, 1).index_select(0, rows)).float()
            maps = encoded.new_zeros(bag.shape[0] * bag.shape[1], *encoded.shape[1:])
            bag = maps.index_copy(0, rows, encoded).unflatten(0, bag.shape[:2])
        return self.projections[name](bag) if name in self.projections else bag
