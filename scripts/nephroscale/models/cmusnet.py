"""CMUS-Net: cross-modal ultra-scale learning over TEM, optical and immunofluorescence microscopy.

    TEM bag ──(encoder)── SMIL ─────── x_TEM ─┬────────────────────────┬── pool, linear ── TEM
                                              │ queries                │
    OM ───────(encoder)─────── x_OM ── + CMSA(x_TEM, x_OM) ────────────┼── pool, linear ── OM
                                              │ queries                │
    IM ───────(encoder)─────── x_IM ── + CMSA(x_TEM, x_IM) ────────────┼── pool, linear ── IM
                                                                       │
                                                   concatenate, pool, MLP ── fusion

References
----------
Cross-modal ultra-scale learning with tri-modalities of renal biopsy images for glomerular multi-disease auxiliary
diagnosis, arXiv 2512.15171.
"""  # fmt: skip

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import Batch, Output, Shapes
from nephroscale.models.cmsa import CrossModalScaleAttention
from nephroscale.models.modality_encoder import BranchWeights, ModalityEncoder, ModalityEncoderConfig, ModalityMaps
from nephroscale.models.ordinal import ORDINAL, OrdinalHead, ordinal_loss
from nephroscale.settings import section, setting


@dataclass(frozen=True)
class LossWeights(BranchWeights):
    """Weights of the losses beside the fusion's."""

    ordinal: float = setting("Weight of the ordinal head, where `task.ordinal` is set.", 0.5, minimum=0)


@dataclass(frozen=True)
class Config(ModalityEncoderConfig):
    """CMUS-Net."""

    variant: Literal["default", "released"] = setting(
        "`released` reproduces three faults of the authors' code: attention output with tokens and channels mixed, "
        "instance weights shifted where an image before the centre was dropped, and a ReLU on the branch logits.",
        "default",
    )
    attention: bool = setting("Cross-modal scale attention; without it the OM and IM maps are unchanged.", default=True)
    heads: int = setting("Attention heads; only the scale of the softmax depends on their number.", 4, minimum=1)
    ordinal: bool = setting(
        "An ordinal head (CORN) beside the softmax where `task.ordinal` is set; families other than cmusnet have none.",
        default=True,
    )
    loss_weights: LossWeights = section(LossWeights)


class Branch(nn.Module):
    """The weights of the prediction of one modality: linear from the pooled map."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)


class CMUSNet(ModalityEncoder):
    """The network of the paper, or a part of it for an ablation.

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels with a trained encoder. These modalities are the
        network's inputs. Cross-modal attention needs TEM and another modality.
    classes
        Number of classes.
    config
        Settings. With `ordinal`, an ordinal head reads the features of the fusion beside the softmax.
    slots
        Slots of the IM marker panel.

    Raises
    ------
    NephroscaleError
        When the modalities' grids differ and cross-modal attention is on.

    Notes
    -----
    Beyond the paper: several glomeruli and a panel of markers are pooled by attention before the cross-modal attention.
    If a patient lacks a modality, a learnt vector replaces its pooled map in the fusion; without TEM nothing is added
    to OM and IM; and the loss of a branch covers the patients who have its modality. `released` has none of these: it
    takes the first glomerulus and the first marker, and needs every modality.
    """

    loss_shares: Tensor

    def __init__(self, shapes: Shapes, classes: int, config: Config, *, slots: int = 1) -> None:
        released = config.variant == "released"
        super().__init__(shapes, config, slots=slots, released=released)
        self.released = released
        self.losses, self.ordinal_share = ("fusion", *self.modalities), config.loss_weights.ordinal
        shares = torch.tensor([config.loss_weights.of(name) for name in self.losses])
        self.register_buffer("loss_shares", shares, persistent=False)
        self.attention = None
        if config.attention and "TEM" in self.modalities and len(self.modalities) > 1:
            _check_grids(self.shapes)
            self.attention = CrossModalScaleAttention(self.width, config.heads, released=released)
        self.branches = nn.ModuleDict({name: Branch(self.width, classes) for name in self.modalities})
        self.fusion = nn.Sequential(
            nn.Linear(self.width * len(self.modalities), config.hidden),
            nn.Dropout(config.dropout),
            nn.ReLU(),
            nn.Linear(config.hidden, classes),
        )
        self.supports_missing_modalities = not released
        names = self.modalities if self.supports_missing_modalities else []
        self.ordinal = OrdinalHead(config.hidden, classes) if config.ordinal else None
        self.absent = nn.ParameterDict({name: nn.Parameter(torch.zeros(self.width)) for name in names})

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:
        """Predict a batch; attention maps are computed only with `need_attention`."""
        return self.predict_maps(self.encode_modalities(batch), need_attention=need_attention)

    def without_regions(self, batch: Batch, modality: str, regions: Tensor) -> Output:
        """Predict one patient, each time without some regions of the map that the attention reads.

        A deleted region becomes the mean of the map's other regions: a map of zeros would be unlike any that the
        network was trained on.

        Parameters
        ----------
        batch
            One patient.
        modality
            `OM` or `IM`.
        regions
            [D, tokens] bool: what is deleted each time, never all.
        """
        encoded = self.encode_modalities(self.prepare(batch))
        times = len(regions)
        maps = {name: found.expand(times, *found.shape[1:]) for name, found in encoded.maps.items()}
        tokens, deleted = maps[modality].flatten(1, 2), regions[:, :, None]
        rest = (~deleted).to(tokens.dtype)
        mean = (tokens * rest).sum(1, keepdim=True) / rest.sum(1, keepdim=True)
        maps[modality] = torch.where(deleted, mean, tokens).reshape(maps[modality].shape)
        present = {name: who.expand(times) for name, who in encoded.present.items()}
        return self.predict_maps(ModalityMaps(maps, present))

    def predict_maps(self, encoded: ModalityMaps, *, need_attention: bool = False) -> Output:
        """Predict from one map for each modality and patient."""
        pooled, attention = self.attend(encoded, need_attention=need_attention)
        if encoded.present:
            vectors = list(pooled.unbind(1))
            for name, present in encoded.present.items():
                place = self.modalities.index(name)
                vectors[place] = torch.where(present[:, None], vectors[place], self.absent[name].to(pooled.dtype))
            pooled = torch.stack(vectors, 1)
        logits = dict(zip(self.modalities, self.predict_branches(pooled).unbind(0), strict=True))
        # Concatenating the pooled maps equals pooling the concatenated map.
        features = self.fusion[:-1](pooled.flatten(1))
        logits["fusion"] = self.fusion[-1](features)
        extra = {} if self.ordinal is None else {ORDINAL: self.ordinal(features)}
        return Output(logits, encoded.selection, attention, extra, encoded.weights, encoded.present)

    def predict_branches(self, pooled: Tensor) -> Tensor:
        """Predict from each modality alone: pooled maps [B, M, C] to logits [M, B, classes], in one product.

        The released code has a ReLU on the logits.
        """
        layers: list[nn.Linear] = [self.branches[name].get_submodule("linear") for name in self.modalities]  # type: ignore[misc]
        weight, bias = torch.stack([layer.weight for layer in layers]), torch.stack([layer.bias for layer in layers])
        logits = torch.baddbmm(bias.unsqueeze(1), pooled.transpose(0, 1), weight.transpose(1, 2))
        return logits.relu() if self.released else logits

    def attend(self, encoded: ModalityMaps, *, need_attention: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Add to the maps of OM and IM what TEM attends to, and pool all maps.

        A patient without one of the two modalities keeps the map as it is.

        Returns
        -------
        tuple
            The pooled maps of all modalities [B, M, C], and modality to its attention [B, tokens, tokens], on request.
        """
        if self.attention is None:
            return torch.stack([encoded.maps[name].mean((1, 2)) for name in self.modalities], 1), {}
        tem, names = encoded.maps["TEM"], self.modalities[1:]
        others = torch.stack([encoded.maps[name] for name in names], 1)
        added, weight = self.attention(tem, others, need_attention=need_attention)
        if encoded.present:
            everybody = torch.ones(len(others), dtype=torch.bool, device=others.device)
            present = {name: encoded.present.get(name, everybody) for name in self.modalities}
            both = torch.stack([present["TEM"] & present[name] for name in names], 1)
            added = added * both[:, :, None, None, None]
            weight = weight * both[:, :, None, None] if weight is not None else None
        attention = {} if weight is None else dict(zip(names, weight.unbind(1), strict=True))
        return torch.cat([tem.unsqueeze(1), others + added], 1).mean((2, 3)), attention

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """Compute CE(fusion) + 0.3 CE(OM) + 0.5 CE(IM) + 0.2 CE(TEM), summed over the batch, without absent branches.

        With ordered classes, the loss of the ordinal head is added with its own weight.
        """
        loss = (self.branch_losses(output, self.losses, labels) * self.loss_shares).sum()
        if ORDINAL in output.extra:
            loss = loss + self.ordinal_share * ordinal_loss(output.extra[ORDINAL], labels)
        return loss


def _check_grids(shapes: Shapes) -> None:
    if len({shape[:2] for shape in shapes.values()}) > 1:
        raise NephroscaleError(
            "Cross-modal attention adds maps token by token, but the modalities' maps have different grids: "
            + ", ".join(f"{name} {shape[0]} x {shape[1]}" for name, shape in sorted(shapes.items()))
            + ".",
            where="features: encoders",
            fix="Choose encoders with equal grids, or set the model's `attention: false`.",
        )


NETWORK = CMUSNet
