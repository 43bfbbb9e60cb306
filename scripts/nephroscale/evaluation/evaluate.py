"""Predicting a fold's test patients: the only place where they are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.evaluation.inference import infer
from nephroscale.evaluation.metrics import compute_metrics
from nephroscale.evaluation.tables import (
    INSTANCE_COLUMNS,
    POOLING_COLUMNS,
    Predictions,
    number,
    write_predictions,
    write_table,
)
from nephroscale.models.weights import load_model
from nephroscale.training.data import layouts_from, load_bags, thinned
from nephroscale.training.folds import read_fold
from nephroscale.training.missing import choose_cases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.evaluation.inference import PatientPrediction
    from nephroscale.models.batch import Output
    from nephroscale.training.data import Bag


def predict(  # noqa: PLR0917  (one argument per thing that a job hands over)
    folds: Mapping[str, Any],
    fold: str,
    weights: Path,
    features: Mapping[str, Mapping[str, Path]],
    out: Path,
    device: str = "cpu",
    negatives: Mapping[str, Sequence[int]] | None = None,
    prediction: str = "softmax",
) -> dict[str, Any]:
    """Predict the test patients of a fold.

    Parameters
    ----------
    folds
        Content of `folds.json`.
    fold
        Name of the fold.
    weights
        Object of `train`: `weights.safetensors` and `model.json`.
    features
        Patient id to modality to the Zarr group of the stage `features`.
    out
        Folder to create: `predictions.csv` (`patient_id,label,predicted,p_<class>...`), `instances.csv` (TEM instances:
        `patient_id,image_id,index,kept,centre,weight,distance`, the distance in units of the bag's range of values;
        a multiple-instance rival keeps all, has no centre and no distances, and its weights of a patient sum to 1 over
        this table and the next),
        `pooling.csv` (what each OM or IM instance counted: `patient_id,modality,image_id,index,slot,state,weight`),
        `attention` (Zarr group: for OM and IM [patients, tokens, tokens] float32, where the network attends; tokens
        row by row, queries from TEM on the second axis; attribute `patients`).
    device
        `cpu` or `cuda`.
    negatives
        Patient id to the slots of the IM panel whose markers were found negative and not photographed.
    prediction
        Which head's probabilities are reported in an ordinal task. Where the network has an ordinal head, `heads.csv`
        has each head's: `patient_id,head,p_<class>...`.

    Returns
    -------
    dict
        `patients`, `correct`, the figures of merit that are defined, `thinned` (patients of whose TEM images a
        choice was made: taken, at hand), and `left_out` (test patients who lack what the network cannot do without).
        Patients who lie between two classes are predicted, but are in no figure of merit.

    Raises
    ------
    Rejected
        When no test patient has what the network needs.
    NephroscaleError
        When the network was trained on another fold or other classes, the fold tests nobody, or a patient lacks a
        modality of which the folds do not know it.

    Notes
    -----
    Patients enter one by one in float32, without augmentation: a prediction does not depend on who else is tested.
    """
    split = read_fold(folds, fold)
    network, metadata = load_model(weights, device)
    check_match(metadata, fold, split.classes)
    if not split.test:
        raise NephroscaleError(
            "This fold tests nobody.", where=f"folds.json, fold {fold}", todo="Make the folds again."
        )
    bags = load_bags(
        features,
        split.test,
        metadata["modalities"],
        labels=split.labels,
        lacking=split.lacking,
        negatives=negatives,
        second=split.second,
        apart=[*split.train, *split.validation],
        maximum_instances=metadata["train"]["maximum_instances"],
        seed=metadata["seed"],
    )
    bags, left_out = choose_cases(bags, metadata["modalities"], network)
    if not bags:
        raise Rejected(f"no test patient has what the network needs ({', '.join(metadata['modalities'])})")
    said = list(infer(network, bags, layouts_from(metadata), prediction, device))
    instances = [row for one in said for row in _instances(one.bag, one.output)]
    pooling = [row for one in said for row in _pooling(one.bag, one.output)]
    attention: dict[str, list[np.ndarray]] = {}
    for one in said:
        for modality, weight in one.output.attention.items():
            attention.setdefault(modality, []).append(weight[0].float().cpu().numpy())

    labels = np.array([bag.label for bag in bags], np.int64)
    second = np.array([bag.label if bag.second is None else bag.second for bag in bags], np.int64)
    patients, chances = [bag.patient for bag in bags], np.stack([one.probabilities for one in said])
    predictions = Predictions(patients, labels, chances, second if split.second else None)
    certain = predictions.certain
    figures = compute_metrics(certain.labels, certain.probabilities) if certain.patients else {}
    out.mkdir(parents=True)
    write_predictions(out / "predictions.csv", predictions, split.classes)
    write_table(out / "instances.csv", INSTANCE_COLUMNS, instances)
    write_table(out / "pooling.csv", POOLING_COLUMNS, pooling)
    if any(len(one.heads) > 1 for one in said):
        columns = ["patient_id", "head", *(f"p_{name}" for name in split.classes)]
        write_table(out / "heads.csv", columns, [row for one in said for row in _heads(one, split.classes)])
    maps = {modality: np.stack(found) for modality, found in attention.items()}
    write_arrays(out / "attention", maps, {"patients": predictions.patients})
    return {
        "patients": len(bags),
        "correct": int((certain.probabilities.argmax(axis=1) == certain.labels).sum()),
        **{name: round(found.value, 6) for name, found in figures.items() if found.value is not None},
        "thinned": thinned(bags),
        **({"left_out": left_out} if left_out else {}),
    }


def _heads(said: PatientPrediction, classes: list[str]) -> list[dict[str, str]]:
    """Rows of `heads.csv` for one patient."""
    return [
        {
            "patient_id": said.bag.patient,
            "head": head,
            **{f"p_{name}": number(p) for name, p in zip(classes, chances, strict=True)},
        }
        for head, chances in said.heads.items()
    ]


def check_match(metadata: Mapping[str, Any], fold: str, classes: list[str]) -> None:
    """Make sure that weights are of this fold and these classes."""
    trained = {"fold": metadata["fold"], "classes": metadata["classes"]}
    if trained != {"fold": fold, "classes": classes}:
        raise NephroscaleError(
            f"These weights were trained on fold {trained['fold']} for {', '.join(trained['classes'])}, "
            f"and would be tested on fold {fold} for {', '.join(classes)}.",
            where="evaluate",
            todo="Give the weights of this very fold: others may have seen its test patients.",
        )


def _instances(bag: Bag, output: Output) -> list[dict[str, Any]]:
    """Rows of `instances.csv` for one patient."""
    if "TEM" not in bag.modalities:
        return []
    chosen, content = output.selection, bag.modalities["TEM"]
    if chosen is None:  # a rival weighs instances, but has neither a centre nor distances from it
        shares = output.weights["TEM"][0].tolist() if "TEM" in output.weights else []
        return [
            {"patient_id": bag.patient, "image_id": image, "index": int(row)}
            | {"kept": 1, "centre": 0, "weight": number(share), "distance": ""}
            for row, image, share in zip(content.rows, content.images, shares, strict=False)
        ]
    return [
        {
            "patient_id": bag.patient,
            "image_id": image,
            "index": int(row),
            "kept": int(chosen.kept[0, i]),
            "centre": int(chosen.centre[0] == i),
            "weight": number(float(chosen.weight[0, i])),
            "distance": number(float(chosen.distance[0, i])),
        }
        for i, (row, image) in enumerate(zip(content.rows, content.images, strict=True))
    ]


def _pooling(bag: Bag, output: Output) -> list[dict[str, Any]]:
    """Rows of `pooling.csv` for one patient; of a panel a row for each slot of which something is known."""
    rows = []
    for modality, weight in output.weights.items():
        if modality == "TEM":  # in instances.csv
            continue
        content = bag.modalities.get(modality)
        for i, share in enumerate(weight[0].tolist()):
            here = content is not None and i < len(content.rows) and bool(content.mask[i])
            if here or (modality == "IM" and i in bag.negative):
                rows.append(
                    {
                        "patient_id": bag.patient,
                        "modality": modality,
                        "image_id": content.images[i] if here and content else "",
                        "index": int(content.rows[i]) if here and content else "",
                        "slot": i if modality == "IM" else 0,
                        "state": "image" if here else "negative",
                        "weight": number(share),
                    }
                )
    return rows
