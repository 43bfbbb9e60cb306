"""Predicting patients outside the folds by the ensemble of folds and seeds, as it was trained and calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import temper
from nephroscale.evaluation.evidence import (
    INSTANCE_EVIDENCE,
    instance_rows,
    mean_attention,
    modality_columns,
    modality_rows,
)
from nephroscale.evaluation.inference import infer
from nephroscale.evaluation.tables import number, write_table
from nephroscale.models.weights import load_model
from nephroscale.training.data import layouts_from, load_bags
from nephroscale.training.missing import choose_cases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.evaluation.inference import PatientPrediction
    from nephroscale.training.data import Bag


@dataclass(frozen=True)
class Member:
    """One network of the ensemble.

    Attributes
    ----------
    fold, seed
        Which one.
    weights
        Object of `train`.
    temperature
        Fitted on its fold's validation patients.
    """

    fold: str
    seed: int
    weights: Path
    temperature: float


@dataclass(frozen=True)
class Case:
    """A patient, or a biopsy of one, to be predicted.

    Attributes
    ----------
    patient, biopsy
        Whose; the biopsy may be empty.
    label, second
        Names of the true class and of a second one, for external patients; None for new ones.
    missing
        Modality that the patient lacks to the reason.
    cautions
        What is unusual, in words.
    """

    patient: str
    biopsy: str
    label: str | None
    second: str | None
    missing: Mapping[str, str]
    cautions: Sequence[str]


def predict_ensemble(  # noqa: PLR0917  (one argument per thing that a job hands over)
    members: Sequence[Member],
    asked: Mapping[str, Case],
    features: Mapping[str, Mapping[str, Path]],
    classes: Sequence[str],
    out: Path,
    device: str = "cpu",
    negatives: Mapping[str, Sequence[int]] | None = None,
    prediction: str = "softmax",
) -> dict[str, Any]:
    """Predict patients whom no member was trained on.

    Parameters
    ----------
    members
        The networks; the prediction is the mean of their tempered probabilities.
    asked
        Case id to whom it is.
    features
        Case id to modality to the Zarr group of the stage `features`.
    classes
        Names of the classes, in the order of their indices.
    out
        Folder to create: `predictions.csv`, `members.csv`, `instances.csv`, `modalities.csv`, `attention`.
    device
        `cpu` or `cuda`.
    negatives
        Case id to the slots of the IM panel whose markers were found negative and not photographed.
    prediction
        Which head is reported, see :func:`nephroscale.models.ordinal.class_log_probabilities`.

    Returns
    -------
    dict
        `patients`, `predicted` (case to class), `not_predicted` (case to reason), `cautioned` (case to cautions).

    Raises
    ------
    NephroscaleError
        When a member was trained for other classes.

    Notes
    -----
    A patient who lacks a modality is predicted only by networks that saw patients without one while they trained
    (`train.modality_dropout`); for all others what stands for the modality was never learnt.
    """
    said: dict[str, list[tuple[Member, PatientPrediction]]] = {}
    refused: dict[str, str] = {}
    for member in members:
        network, metadata = load_model(member.weights, device)
        if metadata["classes"] != list(classes):
            raise NephroscaleError(
                f"The network of fold {member.fold}, seed {member.seed} was trained for "
                f"{', '.join(metadata['classes'])}, not for {', '.join(classes)}.",
                where="predict",
                todo="Predict with the configuration of the training.",
            )
        bags = load_bags(
            features,
            list(asked),
            metadata["modalities"],
            lacking={case: list(who.missing) for case, who in asked.items()},
            negatives=negatives,
            maximum_instances=metadata["train"]["maximum_instances"],
            seed=metadata["seed"],
        )
        bags, left_out = choose_cases(bags, metadata["modalities"], network)
        if not metadata["train"].get("modality_dropout"):
            left_out |= {bag.patient: lacks for bag in bags if (lacks := _lacks(bag, metadata["modalities"]))}
            bags = [bag for bag in bags if bag.patient not in left_out]
        refused |= {case: f"not predicted: the model needs {' and '.join(lacks)}" for case, lacks in left_out.items()}
        for one in infer(network, bags, layouts_from(metadata), prediction, device):
            said.setdefault(one.bag.patient, []).append((member, one))

    out.mkdir(parents=True)
    rows = [_row(case, who, said.get(case, []), classes, refused.get(case)) for case, who in asked.items()]
    write_table(out / "predictions.csv", prediction_columns(classes), rows)
    listed = [_member_row(m, one, classes) for case in asked for m, one in said.get(case, [])]
    write_table(out / "members.csv", _member_columns(classes), listed)
    heard = {case: [one for _, one in said[case]] for case in asked if case in said}
    write_table(out / "instances.csv", INSTANCE_EVIDENCE, [r for found in heard.values() for r in instance_rows(found)])
    summaries = [row for found in heard.values() for row in modality_rows(found, classes)]
    write_table(out / "modalities.csv", modality_columns(classes), summaries)
    _write_attention(out / "attention", heard)
    return {
        "patients": len(asked),
        "predicted": {row["patient_id"]: row["predicted"] for row in rows if row["predicted"]},
        "not_predicted": refused,
        "cautioned": {case: list(who.cautions) for case, who in asked.items() if who.cautions},
    }


def _lacks(bag: Bag, modalities: Sequence[str]) -> list[str]:
    return [name for name in modalities if name not in bag.modalities and not (name == "IM" and bag.negative)]


def prediction_columns(classes: Sequence[str]) -> list[str]:
    """Columns of `predictions.csv`; `patient_id` is the case, `patient` and `biopsy_id` say whose and which."""
    chances = [*(f"p_{c}" for c in classes), *(f"raw_{c}" for c in classes), *(f"sd_{c}" for c in classes)]
    about = ["patient_id", "patient", "biopsy_id", "label", "second", "predicted"]
    return [*about, *chances, "agreement", "members", "warnings"]


def _member_columns(classes: Sequence[str]) -> list[str]:
    chances = [*(f"p_{c}" for c in classes), *(f"raw_{c}" for c in classes)]
    return ["patient_id", "fold", "seed", "temperature", "predicted", *chances]


def _row(
    case: str, who: Case, said: Sequence[tuple[Member, PatientPrediction]], classes: Sequence[str], refusal: str | None
) -> dict[str, Any]:
    """One case's row of `predictions.csv`; without probabilities where no member could predict."""
    about = {
        "patient_id": case,
        "patient": who.patient,
        "biopsy_id": who.biopsy,
        "label": who.label or "",
        "second": who.second or "",
        "predicted": "",
        "members": len(said),
        "warnings": "; ".join([*([refusal] if refusal else []), *who.cautions]),
    }
    if not said:
        return about
    raw = np.array([one.probabilities for _, one in said])
    tempered = np.array([temper(one.probabilities, member.temperature) for member, one in said])
    mean = tempered.mean(axis=0)
    chosen = int(mean.argmax())
    return {
        **about,
        "predicted": classes[chosen],
        **_named("p", mean, classes),
        **_named("raw", raw.mean(axis=0), classes),
        **_named("sd", tempered.std(axis=0), classes),
        "agreement": number(float((tempered.argmax(axis=1) == chosen).mean())),
    }


def _member_row(member: Member, one: PatientPrediction, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "patient_id": one.bag.patient,
        "fold": member.fold,
        "seed": member.seed,
        "temperature": number(member.temperature),
        "predicted": classes[int(one.probabilities.argmax())],
        **_named("p", temper(one.probabilities, member.temperature), classes),
        **_named("raw", one.probabilities, classes),
    }


def _named(prefix: str, values: np.ndarray, classes: Sequence[str]) -> dict[str, str]:
    return {f"{prefix}_{name}": number(float(value)) for name, value in zip(classes, values, strict=True)}


def _write_attention(path: Path, heard: Mapping[str, Sequence[PatientPrediction]]) -> None:
    """Write the mean attention of each modality [patients, tokens, tokens]; the attribute says whose they are."""
    maps: dict[str, np.ndarray] = {}
    patients: dict[str, list[str]] = {}
    for modality in ("OM", "IM"):
        found = {case: each for case, said in heard.items() if (each := mean_attention(said, modality)) is not None}
        if found:
            maps[modality], patients[modality] = np.stack(list(found.values())), list(found)
    write_arrays(path, maps, {"patients": patients})
