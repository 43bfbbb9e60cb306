"""Prediction of patients outside the folds by the ensemble of all folds and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import apply_temperature
from nephroscale.evaluation.evidence import (
    InstanceEvidence,
    instance_rows,
    mean_attention,
    modality_columns,
    modality_rows,
)
from nephroscale.evaluation.inference import PatientPrediction, infer
from nephroscale.evaluation.tables import (
    Cell,
    probability_cells,
    probability_columns,
    write_removed,
    write_rows,
    write_table,
)
from nephroscale.models.weights import load_model
from nephroscale.training.data import BagSource, layouts_from
from nephroscale.training.missing import choose_cases, leave_out_each, missing_modalities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.training.tem_priors import TemPriors


@dataclass(frozen=True)
class Member:
    """One network of the ensemble.

    Attributes
    ----------
    fold, seed
        Fold and seed of its training.
    weights
        Object of the stage `train`.
    temperature
        Fitted on its fold's validation patients.
    """

    fold: str
    seed: int
    weights: Path
    temperature: float


@dataclass(frozen=True)
class Case:
    """A patient, or one biopsy of a patient, to predict.

    Attributes
    ----------
    patient, biopsy
        Ids; the biopsy may be empty.
    label, second
        Names of the true class and of the second class of a soft label, for external patients; None for new ones.
    missing
        Modality to the reason why the patient lacks it.
    warnings
        Sentences about missing modalities and images outside the training range.
    """

    patient: str
    biopsy: str
    label: str | None
    second: str | None
    missing: Mapping[str, str]
    warnings: Sequence[str]


class MemberPrediction(NamedTuple):
    """One member's prediction of one patient."""

    member: Member
    prediction: PatientPrediction

    @property
    def calibrated(self) -> np.ndarray:
        """Probabilities [K] after the member's temperature."""
        return apply_temperature(self.prediction.probabilities, self.member.temperature)


def predict_patients(  # noqa: PLR0917
    members: Sequence[Member],
    cases: Mapping[str, Case],
    features: Mapping[str, Mapping[str, Path]],
    classes: Sequence[str],
    out: Path,
    device: str = "cpu",
    negatives: Mapping[str, Sequence[int]] | None = None,
    prediction: str = "softmax",
    priors: Mapping[str, TemPriors] | None = None,
) -> dict[str, object]:
    """Predict patients that no member was trained on.

    Parameters
    ----------
    members
        The networks; the prediction is the mean of their calibrated probabilities.
    cases
        Case id to case.
    features
        Case id to modality to the Zarr group of the stage `features`.
    classes
        Names of the classes, in the order of their indices.
    out
        Folder to create: `predictions.csv`, `members.csv`, `instances.csv`, `modalities.csv`, `attention`,
        `removed.csv` (mean calibrated probabilities with one modality left out; no rows where the networks need all).
    device
        `cpu` or `cuda`.
    negatives
        Case id to the slots of the IM panel whose markers were found negative and not photographed.
    prediction
        Output head that is reported, see :func:`nephroscale.models.ordinal.class_log_probabilities`.
    priors
        Fold to the priors of the TEM images; None, or without a fold, where there are none.

    Returns
    -------
    dict
        `patients`, `predicted` (case to class), `not_predicted` (case to reason), `warnings` (case to sentences).

    Raises
    ------
    NephroscaleError
        When a member was trained for other classes.

    Notes
    -----
    A patient with a missing modality is predicted only by networks that were trained with modality dropout
    (`train.modality_dropout`); other networks have learnt no representation of a missing modality.
    """
    lacking = {name: list(case.missing) for name, case in cases.items()}
    predicted: dict[str, list[MemberPrediction]] = {}
    refused: dict[str, str] = {}
    removed: dict[tuple[str, str], list[np.ndarray]] = {}
    for member in members:
        network, card = load_model(member.weights, device)
        if list(card.classes) != list(classes):
            raise NephroscaleError(
                f"The network of fold {member.fold}, seed {member.seed} was trained for "
                f"{', '.join(card.classes)}, not for {', '.join(classes)}.",
                where="predict",
                fix="Predict with the configuration of the training.",
            )
        source = BagSource(features, lacking=lacking, negatives=negatives or {}, priors=(priors or {}).get(member.fold))
        bags = source.open(cases, card.modalities, max_tem_instances=card.max_tem_instances, seed=card.seed)
        bags, left_out = choose_cases(bags, card.modalities, network)
        if not card.modality_dropout:
            left_out |= {bag.patient: lacks for bag in bags if (lacks := missing_modalities(bag, card.modalities))}
            bags = [bag for bag in bags if bag.patient not in left_out]
        refused |= {
            name: f"not predicted: the model requires {' and '.join(lacks)}" for name, lacks in left_out.items()
        }
        layouts = layouts_from(card)
        for one in infer(network, bags, layouts, prediction, device):
            predicted.setdefault(one.bag.patient, []).append(MemberPrediction(member, one))
        fewer = leave_out_each(bags, card.modalities) if network.supports_missing_modalities else []
        found = infer(network, [bag for _, bag in fewer], layouts, prediction, device)
        for (modality, bag), one in zip(fewer, found, strict=True):
            removed.setdefault((bag.patient, modality), []).append(MemberPrediction(member, one).calibrated)

    out.mkdir(parents=True)
    rows = [_case_row(name, cases[name], predicted.get(name, []), classes, refused.get(name)) for name in cases]
    write_table(out / "predictions.csv", prediction_columns(classes), rows)
    means = ((case, modality, np.mean(several, axis=0)) for (case, modality), several in removed.items())
    write_removed(out / "removed.csv", means, classes)
    by_case = {name: predicted[name] for name in cases if name in predicted}
    member_rows = [_member_row(one, classes) for found in by_case.values() for one in found]
    probabilities = [column for prefix in ("p", "raw") for column in probability_columns(prefix, classes)]
    columns = ["patient_id", "fold", "seed", "temperature", "predicted", *probabilities]
    write_table(out / "members.csv", columns, member_rows)
    _write_evidence(out, {name: [one.prediction for one in found] for name, found in by_case.items()}, classes)
    return {
        "patients": len(cases),
        "predicted": {row["patient_id"]: row["predicted"] for row in rows if row["predicted"]},
        "not_predicted": refused,
        "warnings": {name: list(case.warnings) for name, case in cases.items() if case.warnings},
    }


def prediction_columns(classes: Sequence[str]) -> list[str]:
    """List the columns of `predictions.csv`.

    `patient_id` is the case id, `patient` and `biopsy_id` come from the tables. `p_<class>` are the calibrated
    probabilities, `raw_<class>` those before temperature scaling, `sd_<class>` the standard deviation of `p_<class>`
    over the members, `agreement` the share of members with the same prediction.
    """
    probabilities = [column for prefix in ("p", "raw", "sd") for column in probability_columns(prefix, classes)]
    about = ["patient_id", "patient", "biopsy_id", "label", "second", "predicted"]
    return [*about, *probabilities, "agreement", "members", "warnings"]


def _case_row(
    name: str, case: Case, predicted: Sequence[MemberPrediction], classes: Sequence[str], refusal: str | None
) -> dict[str, Cell]:
    """One case's row of `predictions.csv`; without probabilities where no member predicts it."""
    about: dict[str, Cell] = {
        "patient_id": name,
        "patient": case.patient,
        "biopsy_id": case.biopsy,
        "label": case.label or "",
        "second": case.second or "",
        "predicted": "",
        "members": len(predicted),
        "warnings": "; ".join([*([refusal] if refusal else []), *case.warnings]),
    }
    if not predicted:
        return about
    calibrated = np.array([one.calibrated for one in predicted])
    mean = calibrated.mean(axis=0)
    chosen = int(mean.argmax())
    return {
        **about,
        "predicted": classes[chosen],
        **probability_cells("p", mean, classes),
        **probability_cells("raw", np.array([one.prediction.probabilities for one in predicted]).mean(axis=0), classes),
        **probability_cells("sd", calibrated.std(axis=0), classes),
        "agreement": float((calibrated.argmax(axis=1) == chosen).mean()),
    }


def _member_row(one: MemberPrediction, classes: Sequence[str]) -> dict[str, Cell]:
    probabilities = one.prediction.probabilities
    return {
        "patient_id": one.prediction.bag.patient,
        "fold": one.member.fold,
        "seed": one.member.seed,
        "temperature": float(one.member.temperature),
        "predicted": classes[int(probabilities.argmax())],
        **probability_cells("p", one.calibrated, classes),
        **probability_cells("raw", probabilities, classes),
    }


def _write_evidence(out: Path, predicted: Mapping[str, Sequence[PatientPrediction]], classes: Sequence[str]) -> None:
    """Write `instances.csv`, `modalities.csv` and the mean attention of each modality [patients, tokens, tokens]."""
    instances = [row for found in predicted.values() for row in instance_rows(found)]
    write_rows(out / "instances.csv", InstanceEvidence, instances)
    modalities = [row for found in predicted.values() for row in modality_rows(found, classes)]
    write_table(out / "modalities.csv", modality_columns(classes), modalities)
    maps: dict[str, np.ndarray] = {}
    patients: dict[str, list[str]] = {}
    for modality in ("OM", "IM"):
        found = {name: each for name, one in predicted.items() if (each := mean_attention(one, modality)) is not None}
        if found:
            maps[modality], patients[modality] = np.stack(list(found.values())), list(found)
    write_arrays(out / "attention", maps, {"patients": patients})
