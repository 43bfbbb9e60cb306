"""Predicting a fold's test patients: the only place where they are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.metrics import compute_metrics
from nephroscale.evaluation.tables import INSTANCE_COLUMNS, Predictions, number, write_predictions, write_table
from nephroscale.models.weights import load_model
from nephroscale.training.data import collate, load_bags, thinned
from nephroscale.training.folds import read_fold

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nephroscale.models.batch import Output
    from nephroscale.training.data import Bag


def predict(  # noqa: PLR0917  (one argument per thing that a job hands over)
    folds: Mapping[str, Any],
    fold: str,
    weights: Path,
    features: Mapping[str, Mapping[str, Path]],
    out: Path,
    device: str = "cpu",
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
        `patient_id,image_id,index,kept,centre,weight,distance`, the distance in units of the bag's range of values),
        `attention` (Zarr group: for OM and IM [patients, tokens, tokens] float32, where the network attends; tokens
        row by row, queries from TEM on the second axis; attribute `patients`).
    device
        `cpu` or `cuda`.

    Returns
    -------
    dict
        `patients`, `correct`, the figures of merit that are defined, and `thinned` (patients of whose TEM images a
        choice was made: taken, at hand).

    Raises
    ------
    NephroscaleError
        When the network was trained on another fold or other classes, the fold tests nobody, or a patient lacks a
        modality.

    Notes
    -----
    Patients enter one by one in float32, without augmentation: a prediction does not depend on who else is tested.
    """
    split = read_fold(folds, fold)
    network, metadata = load_model(weights, device)
    _check_match(metadata, fold, split.classes)
    if not split.test:
        raise NephroscaleError(
            "This fold tests nobody.", where=f"folds.json, fold {fold}", todo="Make the folds again."
        )
    bags = load_bags(
        features,
        split.test,
        metadata["modalities"],
        labels=split.labels,
        apart=[*split.train, *split.validation],
        maximum_instances=metadata["train"]["maximum_instances"],
        seed=metadata["seed"],
    )
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import the compiler
    chances: list[np.ndarray] = []
    instances: list[dict[str, Any]] = []
    attention: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for bag in bags:
            output = network(collate([bag]).to(device), need_attention=True)
            chances.append(torch.softmax(output.logits["fusion"][0].double(), 0).cpu().numpy())
            instances += _instances(bag, output)
            for modality, weight in output.attention.items():
                attention.setdefault(modality, []).append(weight[0].float().cpu().numpy())

    labels = np.array([bag.label for bag in bags], np.int64)
    predictions = Predictions([bag.patient for bag in bags], labels, np.stack(chances))
    figures = compute_metrics(labels, predictions.probabilities)
    out.mkdir(parents=True)
    write_predictions(out / "predictions.csv", predictions, split.classes)
    write_table(out / "instances.csv", INSTANCE_COLUMNS, instances)
    maps = {modality: np.stack(found) for modality, found in attention.items()}
    write_arrays(out / "attention", maps, {"patients": predictions.patients})
    return {
        "patients": len(bags),
        "correct": int((predictions.probabilities.argmax(axis=1) == labels).sum()),
        **{name: round(found.value, 6) for name, found in figures.items() if found.value is not None},
        "thinned": thinned(bags),
    }


def _check_match(metadata: Mapping[str, Any], fold: str, classes: list[str]) -> None:
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
    if output.selection is None or "TEM" not in bag.modalities:
        return []
    chosen, content = output.selection, bag.modalities["TEM"]
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
