"""What the stages that train and apply networks have in common: their runs, their features, and slices of settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nephroscale.cohort.fold_table import FoldTable, Side
from nephroscale.engine.stage import Need
from nephroscale.settings import Settings, setting
from nephroscale.stages.units import ModelRun, PatientModality

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nephroscale.engine.job import Input, Job
    from nephroscale.engine.stage import PlanView
    from nephroscale.models.settings import ModelSettings
    from nephroscale.training.fold_data import FoldData


@dataclass(frozen=True)
class RunSettings(Settings):
    """What decides the predictions of one trained model beside its weights and the patients."""

    fold: int = setting("Fold.")
    seed: int = setting("Seed of the training.")
    prediction: str = setting("Which head is reported.", "softmax")


def model_runs(plan: PlanView) -> list[str]:
    """Every training of the study: model by model, fold by fold, seed by seed."""
    return [
        str(ModelRun(name, fold, seed))
        for name, model in plan.config.models.items()
        for fold in range(plan.config.folds.n_folds)
        for seed in model.training(plan.config.train).seeds
    ]


def run_settings(plan: PlanView, unit: str) -> RunSettings:
    """The settings of one run's predictions."""
    _, fold, seed = ModelRun.parse(unit)
    return RunSettings(fold, seed, reported_head(plan))


def reported_head(plan: PlanView) -> str:
    """Which head is reported: of an ordinal task the one that is configured, else the softmax."""
    return plan.config.task.prediction if plan.config.task.ordinal else "softmax"


def read_fold_table(plan: PlanView) -> FoldTable | None:
    """The folds, or None where they are not made."""
    table = plan.object_json("folds", "cohort", "folds.json")
    return None if table is None else FoldTable.from_mapping(table)


def fold_patients(plan: PlanView, unit: str, *sides: Side) -> list[str]:
    """The patients on some sides of a run's fold; none while the folds are not made, or have fewer."""
    table = read_fold_table(plan)
    fold = ModelRun.parse(unit).fold
    if table is None or fold >= len(table.folds):
        return []
    return [patient for side in sides for patient in table.folds[fold].side(side)]


def modalities_of(plan: PlanView, model: str) -> list[str]:
    """The modalities that a model reads, in their fixed order."""
    return [name for name in plan.modalities if name in plan.config.models[model].modalities]


def features_of(plan: PlanView, model: str, patients: Iterable[str]) -> list[Need]:
    """The features that a model reads of some patients; with `missing_modalities: mask` each may be absent."""
    optional = plan.config.task.missing_modalities == "mask"
    return [
        Need("features", str(PatientModality(patient, modality)), optional=optional)
        for patient in patients
        for modality in modalities_of(plan, model)
    ]


def features_by_patient(inputs: Iterable[Input]) -> dict[str, dict[str, Path]]:
    """Sort features by patient and modality: patient to modality to the bag's folder; rejected ones are left out."""
    found: dict[str, dict[str, Path]] = {}
    for each in inputs:
        if each.path:
            patient, modality = PatientModality.parse(each.unit)
            found.setdefault(patient, {})[modality] = each.path
    return found


def negative_slots(plan: PlanView, model: str, patients: Iterable[str]) -> dict[str, list[int]] | None:
    """Slots of the IM panel whose markers were found negative without an image, by patient; None where there are none.

    They are findings of the table, so they reach training and prediction with its rows.
    """
    if "IM" not in plan.config.models[model].modalities:
        return None
    panel = plan.config.im.panel
    found = {
        patient: sorted({panel.index(n.marker) for n in plan.cohort.negatives_of(patient) if n.marker in panel})
        for patient in patients
    }
    return {patient: slots for patient, slots in sorted(found.items()) if slots} or None


def network_settings(plan: PlanView, model: str) -> ModelSettings:
    """What decides a network: its entry of `models`, without its training and the location of its encoder's weights.

    Without an ordinal task it has no ordinal head.
    """
    settings = plan.config.models[model]
    options = dict(settings.options)
    if options.get("encoder"):
        options["encoder"] = {key: value for key, value in options["encoder"].items() if key != "weights"}
    if not plan.config.task.ordinal and "ordinal" in options:
        options["ordinal"] = False
    return replace(settings, options=options, train={})


def fold_data(job: Job, fold: int) -> FoldData:
    """The fold of a job, with the features that it declares and the negative markers of its rows."""
    from nephroscale.cohort.fold_table import read_folds
    from nephroscale.training.fold_data import FoldData

    negatives: Any = job.rows or {}
    return FoldData(
        read_folds(job.input("folds").object), str(fold), features_by_patient(job.inputs("features")), negatives
    )
