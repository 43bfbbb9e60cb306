"""From bags to one feature map for each modality: the part before the fusion, shared by CMUS-Net and its comparators.

    bag ──(encoder)──(projection)── SMIL (TEM) or attention pooling (OM, IM) ── map

Ablations and comparators share it, so that only the fusion differs.
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from nephroscale.models.batch import MODALITIES, Batch, Shapes
from nephroscale.models.encoders.registry import build_encoder
from nephroscale.models.network import Network
from nephroscale.models.pooling import InstancePooling, pool_mean, pool_representative, seeded_by_name
from nephroscale.models.settings import TrainableEncoderSettings
from nephroscale.models.smil import Selection, SparseMultiInstance
from nephroscale.settings import Settings, setting


@dataclass(frozen=True)
class ModalityEncoderConfig(Settings):
    """Settings of a network that pools each modality to one map."""

    smil_threshold: float = setting("Distance threshold t of SMIL.", 1.5, was="threshold", above=0)
    tem_prior: bool = setting(
        "Whether the prior of TEM images (`tem.prior`) multiplies SMIL's weights; not for `variant: released`.",
        default=True,
    )
    pooling: Literal["attention", "mean", "representative"] = setting(
        "How several glomeruli, or the markers of a panel, become one map: by gated attention, by their mean, or the "
        "first one alone. `variant: released` takes the first.",
        "attention",
    )
    hidden: int = setting("Width of the fusion head, and of the tokens in fusions that use tokens.", 128, minimum=1)
    dropout: float = setting("Dropout of the fusion head.", 0.5, minimum=0, below=1)
    encoder: TrainableEncoderSettings | None = setting(
        "An encoder trained with the model, over pixel bags; null for stored feature maps.", None
    )


@dataclass(frozen=True)
class BranchWeights(Settings):
    """Weights of the losses of the modalities' branches, beside the loss of the fusion."""

    OM: float = setting("Weight of the OM branch.", 0.3, minimum=0)
    IM: float = setting("Weight of the IM branch.", 0.5, minimum=0)
    TEM: float = setting("Weight of the TEM branch.", 0.2, minimum=0)

    def of(self, branch: str) -> float:
        """Give the weight of a branch; that of `fusion` is 1."""
        return {"fusion": 1.0, "OM": self.OM, "IM": self.IM, "TEM": self.TEM}[branch]


@dataclass(frozen=True)
class ModalityMaps:
    """One feature map for each modality and patient.

    Attributes
    ----------
    maps
        Modality to [B, h, w, C], all of one width; zero for patients who lack the modality.
    present
        For each modality that some patient lacks: [B] bool, True for patients who have it.
    selection
        The selection of TEM instances by SMIL, or None.
    weights
        Modality to [B, N]: the weight of each OM or IM instance.
    """

    maps: dict[str, Tensor]
    present: dict[str, Tensor] = field(default_factory=dict)
    selection: Selection | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)


class ModalityEncoder(Network):
    """A network that starts with one map for each modality.

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels with a trained encoder. These modalities are the
        network's inputs.
    config
        Settings of the family.
    slots
        Slots of the IM marker panel.
    released
        SMIL and pooling as in the authors' code: of OM and IM, the first instance.

    Attributes
    ----------
    modalities
        Names, in the order of :data:`~nephroscale.models.batch.MODALITIES`.
    shapes
        Modality to (h, w, C) of its map.
    width
        Channels of all maps: those of the first modality. A linear projection brings maps of another width to it. This
        is an addition; in the paper all widths are equal.
    """

    reads_slots = True
    recordable = True

    def __init__(
        self, shapes: Shapes, config: ModalityEncoderConfig, *, slots: int = 1, released: bool = False
    ) -> None:
        super().__init__()
        self.modalities = [name for name in MODALITIES if name in shapes]
        self.encoders = nn.ModuleDict()
        if config.encoder:
            built = {name: build_encoder(config.encoder, shapes[name][0]) for name in self.modalities}
            self.encoders.update(built)
            shapes = {name: built[name].shape for name in self.modalities}
        self.shapes = {name: shapes[name] for name in self.modalities}
        self.width = self.shapes[self.modalities[0]][2]
        self.projections = nn.ModuleDict(
            {name: nn.Linear(shape[2], self.width) for name, shape in self.shapes.items() if shape[2] != self.width}
        )
        self.smil = SparseMultiInstance(config.smil_threshold, released=released) if "TEM" in shapes else None
        self.tem_prior = config.tem_prior
        self.pooling = "representative" if released else config.pooling
        self.pools = nn.ModuleDict()
        if self.pooling == "attention":
            for name in self.modalities:
                if name != "TEM":
                    with seeded_by_name(f"pooling of {name}"):
                        self.pools[name] = InstancePooling(self.width, slots if name == "IM" else None)

    @property
    def reads_negatives(self) -> bool:
        """Whether markers that were found negative without a picture have a learnt state."""
        return "IM" in self.pools

    def encode_modalities(self, batch: Batch) -> ModalityMaps:
        """Encode and pool the bags of a batch."""
        maps: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        selection = None
        bags = self.encode_all(batch)
        for name in self.modalities:
            bag, mask = bags[name], batch.mask[name]
            if name == "TEM" and self.smil is not None:
                maps[name], selection = self.smil(bag, mask, batch.prior if self.tem_prior else None)
            elif name in self.pools:
                maps[name], weights[name] = self.pools[name](bag, mask, batch.negative.get(name))
            else:
                pool = pool_mean if self.pooling == "mean" else pool_representative
                maps[name], weights[name] = pool(bag, mask)
        present = {name: who for name in self.modalities if (who := batch.present(name)) is not None}
        return ModalityMaps(maps, present, selection, weights)

    def encode_all(self, batch: Batch) -> dict[str, Tensor]:
        """Encode all modalities; on a GPU at the same time, since the few images of OM and IM leave most of it idle."""
        if not self.encoders or batch.labels.device.type != "cuda":
            return {name: self.encode(name, batch) for name in self.modalities}
        bags, here = {}, torch.cuda.current_stream()
        streams = {name: torch.cuda.Stream() for name in self.modalities}  # type: ignore[no-untyped-call]
        for name, stream in streams.items():
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                bags[name] = self.encode(name, batch)
        for name, stream in streams.items():
            here.wait_stream(stream)
            bags[name].record_stream(here)
        return bags

    def encode(self, name: str, batch: Batch) -> Tensor:
        """Turn the bags of a modality into maps [B, N, h, w, C] of the common width; the encoder skips padding."""
        bag = batch.features[name]
        if name in self.encoders:
            rows = batch.rows[name]
            if len(rows) == 0:  # no patient of this batch has the modality
                padding = batch.mask[name].float()[:, :, None, None, None]
                return padding.expand(-1, -1, *self.shapes[name][:2], self.width)
            images = bag.view(-1, *bag.shape[2:])
            if len(rows) == len(images):  # no slot is skipped
                bag = self.encoders[name](images).float().view(*bag.shape[:2], *self.shapes[name])
                return self.project(name, bag)
            encoded = self.encoders[name](images.index_select(0, rows)).float()
            maps = encoded.new_zeros(bag.shape[0] * bag.shape[1], *encoded.shape[1:])
            bag = maps.index_copy(0, rows, encoded).view(*bag.shape[:2], *self.shapes[name])
        return self.project(name, bag)

    def project(self, name: str, bag: Tensor) -> Tensor:
        """Bring the maps of a modality to the common width."""
        projected: Tensor = self.projections[name](bag) if name in self.projections else bag
        return projected
