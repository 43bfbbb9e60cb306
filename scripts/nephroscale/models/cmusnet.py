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

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import MODALITIES, Output
from nephroscale.models.cmsa import CrossModalScaleAttention
from nephroscale.models.modality_encoder import FRONT_KEYS, ModalityEncoder
from nephroscale.models.ordinal import NAME as ORDINAL
from nephroscale.models.ordinal import OrdinalHead, ordinal_loss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.batch import Batch

LOSS_WEIGHTS = {"OM": 0.3, "IM": 0.5, "TEM": 0.2, ORDINAL: 0.5}

RELEASED_NAMES = {
    "CrossAttn.W_q": "attention.query",
    "CrossAttn.W_k": "attention.key",
    "CrossAttn.W_v": "attention.value",
    "CrossAttn.proj": "attention.projection",
    "MLP.linear1": "fusion.0",
    "MLP.linear2": "fusion.3",
    "TEM_fc.linear": "branches.TEM.linear",
    "OM_fc.linear": "branches.OM.linear",
    "IM_fc.linear": "branches.IM.linear",
}
"""The authors' names of the layers, and ours."""


class Branch(nn.Module):
    """A modality's own prediction: linear from the pooled map; the released code has a ReLU on the logits."""

    def __init__(self, width: int, classes: int, *, released: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        self.last = nn.ReLU() if released else nn.Identity()

    def forward(self, pooled: Tensor) -> Tensor:
        """Turn pooled maps [B, C] into logits [B, classes]."""
        return self.last(self.linear(pooled))


class CMUSNet(ModalityEncoder):
    """The network of the paper, or a part of it for an ablation.

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map, or (S, S, 3) of pixels where there is an encoder. The modalities named
        here are the network's inputs.
    classes
        Number of classes.
    variant
        `default`, or `released` for items 1, 2 and 4 of the authors' code, with one glomerulus and one marker.
    attention
        Cross-modal scale attention; it also needs TEM and another modality.
    heads
        Attention heads; they enter through the softmax's scale.
    hidden, dropout
        Width of the fusion head and its dropout.
    loss_weights
        Weights of the branches' losses beside the fusion's.
    ordinal
        Whether the classes are ordered: then an ordinal head reads the features of the fusion beside the softmax.
    front
        Of :class:`~nephroscale.models.modality_encoder.ModalityEncoder`: `threshold`, `pooling`, `slots`, `encoder`.

    Notes
    -----
    Beyond the paper: several glomeruli and a panel of markers are pooled by attention before the cross-modal one. For
    a modality that a patient lacks, a learnt vector takes the place of its pooled map in the fusion; without TEM
    nothing is added to OM and IM; and a branch's loss counts the patients who have its modality. `released` has none of
    this: it takes the first glomerulus, the first marker, and patients who have everything.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int, int]],
        classes: int,
        *,
        variant: str = "default",
        attention: bool = True,
        heads: int = 4,
        hidden: int = 128,
        dropout: float = 0.5,
        loss_weights: Mapping[str, float] | None = None,
        ordinal: bool = False,
        **front: Any,
    ) -> None:
        released = variant == "released"
        if released:
            front["pooling"] = "representative"
        super().__init__(shapes, released=released, **front)
        self.loss_weights = {**LOSS_WEIGHTS, **(loss_weights or {})}
        self.attention = None
        if attention and "TEM" in self.modalities and len(self.modalities) > 1:
            _check_grids(self.shapes)
            self.attention = CrossModalScaleAttention(self.width, heads, released=released)
        self.branches = nn.ModuleDict(
            {name: Branch(self.width, classes, released=released) for name in self.modalities}
        )
        self.fusion = nn.Sequential(
            nn.Linear(self.width * len(self.modalities), hidden),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )
        self.supports_missing_modalities = not released
        names = self.modalities if self.supports_missing_modalities else []
        self.ordinal = OrdinalHead(hidden, classes) if ordinal else None
        self.absent = nn.ParameterDict({name: nn.Parameter(torch.zeros(self.width)) for name in names})

    def forward(self, batch: Batch, *, need_attention: bool = False) -> Output:
        """Predict a batch; the attention is computed as data only where it is asked for."""
        front = self.represent(batch)
        maps, has = dict(front.maps), front.has
        weights: dict[str, Tensor] = {}
        if self.attention is not None:
            for name in self.modalities[1:]:
                added, weight = self.attention(maps["TEM"], maps[name], need_attention=need_attention)
                both = [has[m] for m in ("TEM", name) if m in has]
                if both:  # who lacks one of the two has no attention
                    there = torch.stack(both).all(0)
                    added = added * there[:, None, None, None]
                    weight = weight * there[:, None, None] if weight is not None else None
                maps[name] = maps[name] + added
                if weight is not None:
                    weights[name] = weight

        pooled = {name: maps[name].mean((1, 2)) for name in self.modalities}
        for name, there in has.items():
            pooled[name] = torch.where(there[:, None], pooled[name], self.absent[name].to(pooled[name].dtype))
        logits = {name: self.branches[name](pooled[name]) for name in self.modalities}
        # Pooling each map and then concatenating is pooling the concatenated map.
        features = self.fusion[:-1](torch.cat([pooled[name] for name in self.modalities], dim=-1))
        logits["fusion"] = self.fusion[-1](features)
        extra = {} if self.ordinal is None else {ORDINAL: self.ordinal(features)}
        return Output(logits, front.selection, weights, extra, front.weights, batch.having)

    def loss(self, output: Output, labels: Tensor) -> Tensor:
        """CE(fusion) + 0.3 CE(OM) + 0.5 CE(IM) + 0.2 CE(TEM), summed over the batch; absent branches are left out.

        Where the classes are ordered, the ordinal head's loss joins the sum with a weight of its own.
        """
        weights = {"fusion": 1.0, **self.loss_weights}
        terms = [
            weights[name] * self.branch_loss(output, name, labels)
            for name in ("fusion", "OM", "IM", "TEM")
            if name in output.logits
        ]
        if ORDINAL in output.extra:
            terms.append(weights[ORDINAL] * ordinal_loss(output.extra[ORDINAL], labels))
        return torch.stack(terms).sum()


def _check_grids(shapes: Mapping[str, tuple[int, int, int]]) -> None:
    if len({shape[:2] for shape in shapes.values()}) > 1:
        raise NephroscaleError(
            "Cross-modal attention adds maps token by token, but the modalities' maps have different grids: "
            + ", ".join(f"{name} {shape[0]} x {shape[1]}" for name, shape in sorted(shapes.items()))
            + ".",
            where="features: encoders",
            todo="Choose encoders with equal grids, or set the model's `attention: false`.",
        )


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> CMUSNet:
    """Build the network from an entry of `models` in the configuration; `shapes` may name more modalities."""
    wanted = settings.get("modalities", MODALITIES)
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise NephroscaleError(
            f"The model's modalities {', '.join(missing)} have no features.",
            where="models: modalities",
            todo="Leave them out of the model, or add their images to the cohort.",
        )
    names = ("variant", "attention", "heads", "hidden", "dropout", "loss_weights", "ordinal", *FRONT_KEYS)
    chosen = {name: settings[name] for name in names if name in settings}
    return CMUSNet({name: shapes[name] for name in wanted}, classes, **chosen)
