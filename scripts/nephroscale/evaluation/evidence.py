"""Which evidence drove a prediction: images, glomeruli, modalities, as the members of an ensemble weighted them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.evaluation.tables import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nephroscale.evaluation.inference import PatientPrediction
    from nephroscale.training.data import Bag

INSTANCE_EVIDENCE = ("patient_id", "modality", "image_id", "index", "slot", "state", "drawn", "kept", "weight", "sd")
"""`index` is the instance's place in the patient's features, `slot` a marker's in the panel; `state` is `image`, or
`negative` of a marker that was found negative and not photographed. `drawn` and `kept` count members, `weight` and `sd`
are the mean weight over those that drew it (0 where one dropped it) and its spread."""


def instance_rows(said: Sequence[PatientPrediction]) -> list[dict[str, Any]]:
    """Summarise what the members of an ensemble made of a patient's instances.

    Parameters
    ----------
    said
        By each member, of one patient.

    Returns
    -------
    list of dict
        With `INSTANCE_EVIDENCE`; weights are scaled so that those of a modality sum to 1 in each member.
    """
    weights: dict[tuple[str, str, int, int], list[float]] = {}
    kept: dict[tuple[str, str, int, int], int] = {}
    for one in said:
        for modality in _modalities(one.bag):
            content = one.bag.modalities.get(modality)
            for place, weight in enumerate(_weights(one, modality)):
                slot = place if modality == "IM" else 0
                if content is not None and place < len(content.rows) and content.rows[place] >= 0:
                    key = (modality, content.images[place], int(content.rows[place]), slot)
                elif modality == "IM" and place in one.bag.negative:
                    key = (modality, "", -1, slot)
                else:
                    continue
                weights.setdefault(key, []).append(float(weight))
                kept[key] = kept.get(key, 0) + _keeps(one, modality, place)
    return [
        {
            "patient_id": said[0].bag.patient,
            "modality": modality,
            "image_id": image,
            "index": row if row >= 0 else "",
            "slot": slot,
            "state": "image" if row >= 0 else "negative",
            "drawn": len(found),
            "kept": kept[modality, image, row, slot],
            "weight": number(float(np.mean(found))),
            "sd": number(float(np.std(found))),
        }
        for (modality, image, row, slot), found in weights.items()
    ]


def modality_columns(classes: Sequence[str]) -> list[str]:
    """Columns of `modalities.csv`."""
    branch = [f"p_{name}" for name in classes]
    return ["patient_id", "modality", "instances", "share", *branch, "attention_spread", "peak_y", "peak_x"]


def modality_rows(said: Sequence[PatientPrediction], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Summarise each modality's own prediction, and how the attention spreads over its map.

    Returns
    -------
    list of dict
        `share` is what the modality counts in the prediction, where a network weighs modalities; `p_<class>` are the
        modality's own branch's, untempered. Both are averaged over the members. `attention_spread` is the entropy of
        the mean attention over the map's tokens, 0 (one token) to 1 (all alike); `peak_y` and `peak_x` are the token
        most attended to, as shares of the map's height and width from its upper left corner. What a network has not
        is left empty.
    """
    rows = []
    for modality in _modalities(said[0].bag):
        content = said[0].bag.modalities.get(modality)
        branches = [_softmax(one.output.logits[modality][0]) for one in said if modality in one.output.logits]
        row: dict[str, Any] = {
            "patient_id": said[0].bag.patient,
            "modality": modality,
            "instances": 0 if content is None else int(content.mask.sum()),
        }
        if shares := [float(one.output.share[modality][0]) for one in said if modality in one.output.share]:
            row["share"] = number(float(np.mean(shares)))
        if branches:
            row |= {f"p_{name}": number(p) for name, p in zip(classes, np.mean(branches, axis=0), strict=True)}
        if (attention := mean_attention(said, modality)) is not None:
            row |= _spread(attention.mean(axis=0))
        rows.append(row)
    return rows


def mean_attention(said: Sequence[PatientPrediction], modality: str) -> np.ndarray | None:
    """Average a patient's attention [tokens, tokens] over the members; None where none attends."""
    maps = [one.output.attention[modality][0].float().cpu().numpy() for one in said if modality in one.output.attention]
    return np.mean(maps, axis=0) if maps and np.any(maps) else None


def _softmax(logits: Any) -> np.ndarray:
    return np.asarray(logits.double().softmax(0).cpu())


def _modalities(bag: Bag) -> list[str]:
    """The modalities that a patient has something of, be it a negative marker alone."""
    return [*bag.modalities, *(["IM"] if bag.negative and "IM" not in bag.modalities else [])]


def _weights(one: PatientPrediction, modality: str) -> np.ndarray:
    """Weights of a modality's instances, summing to 1; none where the network does not say."""
    output = one.output
    if modality == "TEM" and output.selection is not None:
        given = (output.selection.weight[0] * output.selection.kept[0]).double().cpu().numpy()
    elif modality in output.weights:
        given = output.weights[modality][0].double().cpu().numpy()
    else:
        return np.empty(0)
    total = given.sum()
    return given / total if total > 0 else given


def _keeps(one: PatientPrediction, modality: str, place: int) -> bool:
    """Whether a member kept an instance: SMIL's farthest one that is kept has the weight 0 all the same."""
    selection = one.output.selection
    return bool(selection.kept[0, place]) if modality == "TEM" and selection is not None else True


def _spread(attended: np.ndarray) -> dict[str, str]:
    """Entropy and peak of the attention that each token of a square map gets."""
    share = attended / attended.sum()
    entropy = float(-(share * np.log(np.maximum(share, 1e-12))).sum() / np.log(len(share))) if len(share) > 1 else 0.0
    side = round(np.sqrt(len(share)))
    if side * side != len(share):  # not a square map: the place cannot be told
        return {"attention_spread": number(entropy)}
    y, x = divmod(int(share.argmax()), side)
    return {
        "attention_spread": number(entropy),
        "peak_y": number((y + 0.5) / side),
        "peak_x": number((x + 0.5) / side),
    }
