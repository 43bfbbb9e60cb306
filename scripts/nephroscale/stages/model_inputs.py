"""What networks are made and fed with: patients of a fold, features, negative markers, and their settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nephroscale.cohort.fold_table import FILE, FoldTable, Side
from nephroscale.engine.stage import Need
from nephroscale.stages.units import PatientModality

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nephroscale.engine.job import JobInput
    from nephroscale.engine.stage import PlanView
    from nephroscale.models.settings import ModelSettings


def reported_head(plan: PlanView) -> str:
    """Which head is reported: of an ordinal task the one that is configured, else the softmax."""
    return plan.config.task.prediction if plan.config.task.ordinal else "softmax"


def read_fold_table(plan: PlanView) -> FoldTable | None:
    """The folds, or None if they are not made."""
    return plan.read_object("folds", "cohort", FoldTable.from_mapping, FILE)


def fold_patients(plan: PlanView, fold: int, *sides: Side) -> list[str]:
    """The patients on some sides of a fold; none while the folds are not made, or have fewer."""
    table = read_fold_table(plan)
    if table is None or fold >= len(table.folds):
        return []
    return [patient for side in sides for patient in table.folds[fold].side(side)]


def modalities_of(plan: PlanView, model: str) -> list[str]:
    """The modalities that a model reads, in their fixed order."""
    return [name for name in plan.modalities if name in plan.config.models[model].modalities]


def features_of(plan: PlanView, model: str, patients: Iterable[str]) -> list[Need]:
    """The features that a model reads of some patients; with `missing_modalities: mask` each may be absent."""
    optional = plan.config.task.missing_modalities == "mask"
    modalities = modalities_of(plan, model)
    return [
        Need("features", str(PatientModality(patient, modality)), optional=optional)
        for patient in patients
        for modality in modalities
    ]


def features_by_patient(inputs: Iterable[JobInput]) -> dict[str, dict[str, Path]]:
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


def uses_prior(plan: PlanView, model: str) -> bool:
    """Whether a model multiplies the weights of TEM images by the probability of deposits."""
    settings = plan.config.models[model]
    wanted = bool(settings.options.get("tem_prior")) and settings.options.get("variant") != "released"
    return wanted and plan.config.tem.prior == "deposits" and "TEM" in settings.modalities


def predicting_models(plan: PlanView) -> list[str]:
    """The models whose ensembles predict: `predict.models`, or the headline model if this is empty."""
    return list(plan.config.predict.models) or [plan.config.report.headline or next(iter(plan.config.models))]


def network_settings(plan: PlanView, model: str) -> ModelSettings:
    """What decides a network: its entry of `models`, without its training and the location of its encoder's weights.

    Without an ordinal task it has no ordinal head, and without `tem.prior` no prior.
    """
    settings = plan.config.models[model]
    options = dict(settings.options)
    if options.get("encoder"):
        options["encoder"] = {key: value for key, value in options["encoder"].items() if key != "weights"}
    if "tem_prior" in options:
        options["tem_prior"] = uses_prior(plan, model)
    if not plan.config.task.ordinal and "ordinal" in options:
        options["ordinal"] = False
    return replace(settings, options=options, train={})
