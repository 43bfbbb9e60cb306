"""Evaluation of a trained model on its fold's test patients: the only step of a fold that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.collect import grouped
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.evaluation.deletion import Deletion, delete_regions
from nephroscale.evaluation.inference import PatientPrediction, infer
from nephroscale.evaluation.metrics import check_predictions, class_rates, confusion
from nephroscale.evaluation.tables import (
    InstanceWeight,
    PoolingWeight,
    Predictions,
    write_heads,
    write_predictions,
    write_removed,
    write_rows,
)
from nephroscale.evaluation.validation import VALIDATION, VALIDATION_HEADS
from nephroscale.models.weights import ModelCard, load_model
from nephroscale.training.data import layouts_from, thinned
from nephroscale.training.fold_data import FoldData
from nephroscale.training.missing import choose_cases, leave_out_each


def evaluate_model(
    data: FoldData, weights: Path, out: Path, device: str = "cpu", prediction: str = "softmax"
) -> dict[str, object]:
    """Predict the test patients of a fold and compute the metrics.

    Parameters
    ----------
    data
        The fold, and the features of its patients.
    weights
        Object of the stage `train`: `weights.safetensors` and `model.json`.
    out
        Folder to create:

        - `predictions.csv`: `patient_id,label,predicted,p_<class>...`;
        - `instances.csv`: weights of the TEM images, see :class:`nephroscale.evaluation.tables.InstanceWeight`;
        - `pooling.csv`: weights of the OM and IM instances, see :class:`nephroscale.evaluation.tables.PoolingWeight`.
          A multiple-instance baseline weights the instances of all modalities together: its weights of a patient sum
          to 1 over both tables;
        - `attention`: Zarr group with [patients, tokens, tokens] float32 for OM and IM; tokens row by row, queries from
          TEM on the second axis; attribute `patients`;
        - `heads.csv`, if the network has an ordinal head: `patient_id,head,p_<class>...`;
        - `removed.csv`, if the network can do without a modality: `patient_id,removed,p_<class>...`, the probabilities
          of a patient who has several modalities with one of them left out;
        - `deletion.csv`, if the network has cross-modal scale attention: its deletion test, see
          :class:`nephroscale.evaluation.deletion.Deletion`.
    device
        `cpu` or `cuda`.
    prediction
        Output head that is reported in a task with ordered classes: `softmax`, `ordinal` or `mean`.

    Returns
    -------
    dict
        `patients`, `correct`, `accuracy` and `balanced_accuracy` where a patient has one class, `thinned` (patients
        whose TEM images were subsampled: used, available), and `left_out` (patients without a modality that the network
        requires). Patients with a soft label are predicted, but not counted.

    Raises
    ------
    Rejected
        When no test patient has the modalities that the network requires.
    NephroscaleError
        When the network was trained on another fold or other classes, the fold has no test patients, or a patient's
        modality is missing without an entry in the fold table.
    """
    network, card = load_model(weights, device)
    check_match(card, data)
    if not data.fold.test:
        raise NephroscaleError(
            "This fold has no test patients.", where=f"folds.json, fold {data.name}", fix="Make the folds again."
        )
    bags = data.bags("test", card.modalities, max_tem_instances=card.max_tem_instances, seed=card.seed)
    bags, left_out = choose_cases(bags, card.modalities, network)
    if not bags:
        raise Rejected(f"no test patient has all modalities that the model requires ({', '.join(card.modalities)})")
    predicted = list(infer(network, bags, layouts_from(card), prediction, device))
    predictions = stack_predictions(predicted, soft=has_soft_labels(data))
    out.mkdir(parents=True)
    write_predictions(out / "predictions.csv", predictions, data.classes)
    write_rows(out / "instances.csv", InstanceWeight, [row for one in predicted for row in _instance_weights(one)])
    write_rows(out / "pooling.csv", PoolingWeight, [row for one in predicted for row in _pooling_weights(one)])
    write_heads(out / "heads.csv", {one.bag.patient: one.heads for one in predicted}, data.classes)
    write_arrays(out / "attention", _stack_attention(predicted), {"patients": predictions.patients})
    if deletions := delete_regions(network, predicted, layouts_from(card), prediction, device):
        write_rows(out / "deletion.csv", Deletion, deletions)
    if network.supports_missing_modalities:
        fewer = leave_out_each(bags, card.modalities)
        found = infer(network, [bag for _, bag in fewer], layouts_from(card), prediction, device)
        rows = [(one.bag.patient, name, one.probabilities) for (name, _), one in zip(fewer, found, strict=True)]
        write_removed(out / "removed.csv", rows, data.classes)
    certain = predictions.certain
    return {
        "patients": len(bags),
        **_count_correct(certain.labels, certain.probabilities),
        "thinned": thinned(bags),
        **({"left_out": left_out} if left_out else {}),
    }


def write_validation_predictions(data: FoldData, weights: Path, device: str = "cpu") -> None:
    """Predict a fold's validation patients by the stored weights, and write the tables beside these.

    Parameters
    ----------
    data
        The fold, and the features of its patients; test patients are not read.
    weights
        Folder with `weights.safetensors` and `model.json`. It gets `validation.csv`, with the columns of
        `predictions.csv`, and, if the network has an ordinal head, `validation_heads.csv`, with those of `heads.csv`.
    device
        `cpu` or `cuda`.
    """
    network, card = load_model(weights, device)
    bags = data.bags("validation", card.modalities, max_tem_instances=card.max_tem_instances, seed=card.seed)
    bags, _ = choose_cases(bags, card.modalities, network)
    predicted = list(infer(network, bags, layouts_from(card), device=device))
    write_predictions(weights / VALIDATION, stack_predictions(predicted, soft=has_soft_labels(data)), data.classes)
    write_heads(weights / VALIDATION_HEADS, {one.bag.patient: one.heads for one in predicted}, data.classes)


def _count_correct(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Count the correct predictions of patients with one class each; the report computes all other metrics."""
    if not len(labels):
        return {"correct": 0}
    check_predictions(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == labels).sum())
    rates = class_rates(confusion(labels, predicted, probabilities.shape[1])).sensitivity
    return {
        "correct": correct,
        "accuracy": round(correct / len(labels), 6),
        "balanced_accuracy": round(float(np.mean([rate for rate in rates if rate is not None])), 6),
    }


def check_match(card: ModelCard, data: FoldData) -> None:
    """Check that a model was trained on this fold and for these classes.

    Raises
    ------
    NephroscaleError
        When it was not.
    """
    if (card.fold, card.classes) != (data.name, data.classes):
        raise NephroscaleError(
            f"This model was trained on fold {card.fold} for {', '.join(card.classes)}, "
            f"not on fold {data.name} for {', '.join(data.classes)}.",
            where="weights of the stage train",
            fix="Use the model of the same fold: the training of another fold may have seen its test patients.",
        )


def has_soft_labels(data: FoldData) -> bool:
    """Whether a patient of the fold, on any side, has a soft label."""
    return any(patient in data.folds.second for patient in data.fold.patients())


def stack_predictions(predicted: Sequence[PatientPrediction], *, soft: bool) -> Predictions:
    """Collect the reported probabilities of some patients; `soft` is whether the fold has soft labels."""
    bags = [one.bag for one in predicted]
    labels = np.array([bag.label for bag in bags], np.int64)
    second = np.array([bag.label if bag.second is None else bag.second for bag in bags], np.int64)
    probabilities = np.stack([one.probabilities for one in predicted])
    return Predictions([bag.patient for bag in bags], labels, probabilities, second if soft else None)


def _stack_attention(predicted: Sequence[PatientPrediction]) -> dict[str, np.ndarray]:
    """Collect the attention of each modality, [patients, tokens, tokens] float32."""
    maps = grouped(
        (modality, weight[0].float().cpu().numpy())
        for one in predicted
        for modality, weight in one.output.attention.items()
    )
    return {modality: np.stack(found) for modality, found in maps.items()}


def _instance_weights(one: PatientPrediction) -> list[InstanceWeight]:
    """Weights of one patient's TEM images."""
    bag, output = one.bag, one.output
    if "TEM" not in bag.modalities:
        return []
    content, selection = bag.modalities["TEM"], output.selection
    if selection is None:  # a baseline weights instances without a medoid
        weights = output.weights["TEM"][0].tolist() if "TEM" in output.weights else []
        return [
            InstanceWeight(bag.patient, image, int(row), kept=True, centre=False, weight=weight, distance=None)
            for row, image, weight in zip(content.rows, content.images, weights, strict=False)
        ]
    return [
        InstanceWeight(
            patient_id=bag.patient,
            image_id=image,
            index=int(row),
            kept=bool(selection.kept[0, i]),
            centre=bool(selection.centre[0] == i),
            weight=float(selection.weight[0, i]),
            distance=float(selection.distance[0, i]),
        )
        for i, (row, image) in enumerate(zip(content.rows, content.images, strict=True))
    ]


def _pooling_weights(one: PatientPrediction) -> list[PoolingWeight]:
    """Weights of one patient's OM and IM instances; of the IM panel, the slots with an image or a negative finding."""
    bag, rows = one.bag, []
    for modality, weights in one.output.weights.items():
        if modality == "TEM":  # in instances.csv
            continue
        content = bag.modalities.get(modality)
        for i, weight in enumerate(weights[0].tolist()):
            slot = i if modality == "IM" else 0
            if content is not None and i < len(content.rows) and content.mask[i]:
                image, row = content.images[i], int(content.rows[i])
                rows.append(PoolingWeight(bag.patient, modality, image, row, slot, "image", weight))
            elif modality == "IM" and i in bag.negative:
                rows.append(PoolingWeight(bag.patient, modality, "", None, slot, "negative", weight))
    return rows
