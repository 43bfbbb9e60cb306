"""Evidence for an ensemble's prediction: the weights of images, glomeruli and modalities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nephroscale.evaluation.tables import Cell, probability_cells, probability_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nephroscale.evaluation.inference import PatientPrediction
    from nephroscale.training.data import Bag


class InstanceKey(NamedTuple):
    """Identity of an instance: modality, image (empty for a negative marker), row in the features (or -1), slot."""

    modality: str
    image: str
    row: int
    slot: int


@dataclass(frozen=True)
class InstanceEvidence:
    """One row of `instances.csv` of a prediction: an instance's weight over the members of the ensemble.

    Attributes
    ----------
    patient_id, modality, image_id
        The case, the modality and the image; the image is empty for a negative marker.
    index
        Row of the instance in the patient's features; empty for a negative marker.
    slot
        Position of the marker in the IM panel; 0 for the other modalities.
    state
        `image`, or `negative` for a marker that was found negative and not photographed.
    drawn, kept
        Number of members that read the instance, and of those that kept it.
    weight, sd
        Mean and standard deviation of the weight over the members that read the instance.
    """

    patient_id: str
    modality: str
    image_id: str
    index: int | None
    slot: int
    state: str
    drawn: int
    kept: int
    weight: float
    sd: float


def instance_rows(predicted: Sequence[PatientPrediction]) -> list[InstanceEvidence]:
    """Summarise the weights of one patient's instances over the members of an ensemble.

    Parameters
    ----------
    predicted
        The patient's prediction by each member.

    Returns
    -------
    list of InstanceEvidence
        Weights are scaled so that those of a modality sum to 1 in each member.
    """
    weights: dict[InstanceKey, list[float]] = {}
    kept: dict[InstanceKey, int] = {}
    for one in predicted:
        for key, place, weight in _weighted_instances(one):
            weights.setdefault(key, []).append(weight)
            kept[key] = kept.get(key, 0) + _is_kept(one, key.modality, place)
    return [
        InstanceEvidence(
            patient_id=predicted[0].bag.patient,
            modality=key.modality,
            image_id=key.image,
            index=key.row if key.row >= 0 else None,
            slot=key.slot,
            state="image" if key.row >= 0 else "negative",
            drawn=len(found),
            kept=kept[key],
            weight=float(np.mean(found)),
            sd=float(np.std(found)),
        )
        for key, found in weights.items()
    ]


def _weighted_instances(one: PatientPrediction) -> Iterator[tuple[InstanceKey, int, float]]:
    """Give each instance with a weight, its place in the bag and the weight."""
    for modality in _modalities(one.bag):
        content = one.bag.modalities.get(modality)
        for place, weight in enumerate(_weights(one, modality)):
            slot = place if modality == "IM" else 0
            if content is not None and place < len(content.rows) and content.rows[place] >= 0:
                yield InstanceKey(modality, content.images[place], int(content.rows[place]), slot), place, float(weight)
            elif modality == "IM" and place in one.bag.negative:
                yield InstanceKey(modality, "", -1, slot), place, float(weight)


def modality_columns(classes: Sequence[str]) -> list[str]:
    """List the columns of `modalities.csv`."""
    branch = probability_columns("p", classes)
    return ["patient_id", "modality", "instances", "share", *branch, "attention_spread", "peak_y", "peak_x"]


def modality_rows(predicted: Sequence[PatientPrediction], classes: Sequence[str]) -> list[dict[str, Cell]]:
    """Summarise one patient's modalities: their own predictions and the spread of the attention over their maps.

    Returns
    -------
    list of dict
        `share` is the weight of the modality in the prediction, where a network weights modalities; `p_<class>` are the
        probabilities of the modality's own branch, before temperature scaling. Both are averaged over the members.
        `attention_spread` is the entropy of the mean attention over the map's tokens, from 0 (one token) to 1
        (uniform); `peak_y` and `peak_x` locate the token with the most attention, as fractions of the map's height and
        width from its upper left corner. Values that a network does not give are empty.
    """
    rows = []
    for modality in _modalities(predicted[0].bag):
        content = predicted[0].bag.modalities.get(modality)
        branches = [
            one.output.logits[modality][0].double().softmax(0).cpu().numpy()
            for one in predicted
            if modality in one.output.logits
        ]
        row: dict[str, Cell] = {
            "patient_id": predicted[0].bag.patient,
            "modality": modality,
            "instances": 0 if content is None else int(content.mask.sum()),
        }
        if shares := [
            float(one.output.modality_weight[modality][0])
            for one in predicted
            if modality in one.output.modality_weight
        ]:
            row["share"] = float(np.mean(shares))
        if branches:
            row |= probability_cells("p", np.mean(branches, axis=0), classes)
        if (attention := mean_attention(predicted, modality)) is not None:
            row |= _spread(attention.mean(axis=0))
        rows.append(row)
    return rows


def mean_attention(predicted: Sequence[PatientPrediction], modality: str) -> np.ndarray | None:
    """Average a patient's attention [tokens, tokens] over the members; None where no member has attention."""
    outputs = [one.output for one in predicted if modality in one.output.attention]
    maps = [output.attention[modality][0].float().cpu().numpy() for output in outputs]
    return np.mean(maps, axis=0) if maps and np.any(maps) else None


def _modalities(bag: Bag) -> list[str]:
    """Modalities of which a patient has an image or a negative marker."""
    return [*bag.modalities, *(["IM"] if bag.negative and "IM" not in bag.modalities else [])]


def _weights(one: PatientPrediction, modality: str) -> np.ndarray:
    """Weights of a modality's instances, with sum 1; empty where the network gives none."""
    output = one.output
    if modality == "TEM" and output.selection is not None:
        given = (output.selection.weight[0] * output.selection.kept[0]).double().cpu().numpy()
    elif modality in output.weights:
        given = output.weights[modality][0].double().cpu().numpy()
    else:
        return np.empty(0)
    total = given.sum()
    return given / total if total > 0 else given


def _is_kept(one: PatientPrediction, modality: str, place: int) -> bool:
    """Whether a member kept an instance: the farthest instance that SMIL keeps has weight 0, too."""
    selection = one.output.selection
    return bool(selection.kept[0, place]) if modality == "TEM" and selection is not None else True


def _spread(attended: np.ndarray) -> dict[str, Cell]:
    """Entropy and peak of the attention over the tokens of a square map."""
    share = attended / attended.sum()
    entropy = float(-(share * np.log(np.maximum(share, 1e-12))).sum() / np.log(len(share))) if len(share) > 1 else 0.0
    side = round(np.sqrt(len(share)))
    if side * side != len(share):  # not a square map: the token has no position
        return {"attention_spread": entropy}
    y, x = divmod(int(share.argmax()), side)
    return {
        "attention_spread": entropy,
        "peak_y": (y + 0.5) / side,
        "peak_x": (x + 0.5) / side,
    }
