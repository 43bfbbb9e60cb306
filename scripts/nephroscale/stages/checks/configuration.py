"""Checks of the configuration against itself and against the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from nephroscale.cohort.columns import fold_column
from nephroscale.engine.config import Config
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.features.check_weights import check_encoders
from nephroscale.features.protocol import NamedWeights
from nephroscale.features.registry import H5
from nephroscale.models.settings import TrainableEncoderSettings
from nephroscale.reporting.settings import ReportSettings
from nephroscale.stages.model_inputs import uses_prior
from nephroscale.stages.outlined_images import outlined_images, trains_on_im
from nephroscale.stages.patients import diagnosis_patients
from nephroscale.text import count_of, name_some

PIXELS = "pixels"
SHOWN = 10
"""Patients or images that a message names."""


class _Key(NamedTuple):
    """Column of images.csv that a key of the configuration selects from, and that key."""

    column: str
    key: str
    plural: str


KEYS = {"OM": _Key("stain", "om.stains", "stains"), "IM": _Key("marker", "im.panel", "markers")}


def configured_encoders(config: Config, modalities: Iterable[str] = ("OM", "IM", "TEM")) -> dict[str, NamedWeights]:
    """List every encoder of a configuration by its place there, those of features for some modalities alone."""
    return {
        **{f"features.encoders.{modality}": config.features.encoders.of(modality) for modality in modalities},
        **{
            f"models.{model}.encoder": TrainableEncoderSettings.from_mapping(encoder)
            for model, settings in config.models.items()
            if (encoder := settings.options.get("encoder"))
        },
    }


def check_model_inputs(plan: Plan) -> Iterator[NephroscaleError]:
    """Compare each model with the features: one that trains an encoder needs pixels, any other one feature maps."""
    for name, model in plan.config.models.items():
        trains = bool(model.options.get("encoder"))
        wrong = [each for each in model.modalities if (plan.config.features.encoders.of(each).name == PIXELS) != trains]
        if not wrong:
            continue
        names = ", ".join(wrong)
        keys = "features.encoders." + (wrong[0] if len(wrong) == 1 else f"{{{names}}}")
        if trains:
            what = f"The model {name} trains its own encoder on pixels, but the features of {names} are feature maps."
            fix = f"Set {keys}.name: pixels, or remove models.{name}.encoder."
        else:
            what = f"The model {name} needs feature maps, but the features of {names} are pixels."
            fix = f"Give the model an encoder to train (models.{name}.encoder), or choose another encoder in {keys}."
        yield NephroscaleError(what, where=f"configuration, models.{name} and {keys}", fix=fix)


def check_weights(plan: Plan, stage: str, *, load: bool) -> Iterator[NephroscaleError]:
    """Check the weights of encoders, and folders of h5 bags.

    Parameters
    ----------
    plan
        Of the study.
    stage
        The stage that loads them: `features`, `train` or `deposit_models`.
    load
        Whether they are needed; if all its units are made, only a missing digest is a fault, since recipes hold it.
    """
    found = configured_encoders(plan.config, plan.modalities)
    if plan.units("deposit_models"):
        found["deposits.backbone"] = plan.config.deposits.backbone
    section = {"features": "features.", "train": "models.", "deposit_models": "deposits."}[stage]
    encoders = {
        where: encoder
        for where, encoder in found.items()
        if where.startswith(section) and (load or (encoder.weights and not encoder.digest and encoder.name != H5))
    }
    for entry in check_encoders(encoders):
        if not entry.usable:
            what = f"The encoder {entry.name} cannot be used: {entry.verdict}."
            where = f"configuration, {entry.where}" + (f", weights: {entry.weights}" if entry.weights else "")
            yield NephroscaleError(what, where=where, fix=entry.fix)
        folder = getattr(encoders[entry.where], "h5_folder", None)
        if entry.name == H5 and not (folder and Path(folder).is_dir()):
            yield NephroscaleError(
                "The folder of h5 bags does not exist." if folder else "No folder of h5 bags is named.",
                where=f"configuration, {entry.where}.h5_folder: {folder}",
                fix="Name the folder that holds <patient_id>.h5.",
            )


def check_prior(plan: Plan) -> Iterator[NephroscaleError]:
    """Check that there are readings of deposits if they are the prior of TEM images."""
    used = any(uses_prior(plan, name) for name in plan.config.models)
    if used and not plan.package and not plan.units("deposit_priors"):
        yield NephroscaleError(
            "The prior of TEM images is the probability of deposits, but no TEM image has a reading of deposits.",
            where="configuration, tem.prior and deposits.sites; column deposits of the table of images",
            fix="Fill the column for TEM images, or set tem.prior: none.",
        )


def check_stain_files(plan: Plan) -> Iterator[NephroscaleError]:
    """Look for outlined slides, where a segmenter is to be trained, and for the file of reference stains."""
    try:
        plan.units("segmenter")
    except NephroscaleError as fault:
        yield fault
    try:
        for unit in (unit for unit in plan.units("tiles") if plan.cohort.images[unit].modality == "OM"):
            plan.stages["tiles"].files(plan, unit)
            break
    except NephroscaleError as fault:
        yield fault


def check_modalities(plan: Plan, unusable: Collection[str]) -> Iterator[NephroscaleError]:
    """Find modalities that a model reads and no patient to diagnose has.

    Parameters
    ----------
    plan
        Of the study.
    unusable
        Images that are rejected.
    """
    patients = [patient.id for patient in diagnosis_patients(plan)]
    for modality in plan.modalities if patients else ():
        listed = [image for patient in patients for image in plan.cohort.images_of(patient, modality)]
        if any(modality in _modalities_of(plan, patient, unusable) for patient in patients):
            continue
        models = [name for name, model in plan.config.models.items() if modality in model.modalities]
        read = f"{', '.join(models)} {'reads' if len(models) == 1 else 'read'} {modality}"
        without = _without(plan, models, modality)
        if any(plan.images(patient, modality) for patient in patients):
            what = f"{read}, but no {modality} image can be used."
            where, fix = "data.images", f"Correct the images listed as rejected, or {without}"
        elif listed:
            column, key, plural = KEYS[modality]
            named = ", ".join(plan.config.om.stains if modality == "OM" else plan.config.im.panel)
            found = Counter(str(getattr(image, column)) for image in listed)
            what = f"{read}, but no {modality} image has a {column} of {key} ({named}); it has {_counts(found)}."
            where, fix = key, f"Name the {plural} to use in {key}: [{', '.join(found)}], or {without}"
        else:
            what = f"{read}, but no patient to diagnose has an image of this modality."
            where, fix = "models.*.modalities", f"Add {modality} images to {plan.config.data.images}, or {without}"
        yield NephroscaleError(what, where=f"configuration, {where}", fix=fix)


def find_unnamed(plan: Plan) -> Iterator[NephroscaleError]:
    """Find stains and markers of the tables that no key of the configuration names."""
    for modality in (each for each in KEYS if each in plan.modalities):
        column, key, _ = KEYS[modality]
        listed = [image for patient in plan.patients for image in plan.cohort.images_of(patient, modality)]
        used = {image.id for patient in plan.patients for image in plan.images(patient, modality)}
        unused = Counter(str(getattr(image, column)) for image in listed if image.id not in used)
        if unused and used:
            yield NephroscaleError(
                f"{unused.total()} of {len(listed)} {modality} images are not used: {key} does not name their {column} "
                f"({_counts(unused)}).",
                where=f"configuration, {key}",
                fix=f"Add the {column} there, if a model is to read these images.",
            )


def find_few_outlines(plan: Plan) -> Iterator[NephroscaleError]:
    """Find outlined IM images of patients set apart that are too few to train a segmenter on."""
    outlined, needed = len(outlined_images(plan, "IM")), plan.config.glomeruli.min_im_images
    if outlined and plan.config.glomeruli.method != "classical" and not trains_on_im(plan):
        yield NephroscaleError(
            f"No segmenter is trained for IM: {count_of(outlined, 'IM image')} of patients set apart "
            f"{'has' if outlined == 1 else 'have'} outlines, and {needed} are needed.",
            where="configuration, glomeruli.min_im_images",
            fix="Outline more of their images; until then, the classical detector searches IM images.",
        )


def find_absent_columns(plan: Plan) -> Iterator[NephroscaleError]:
    """Find columns for subgroups and dates that the table of patients does not have, or writes in another way."""
    report, usual = plan.config.report, ReportSettings()
    columns = {column for patient in plan.cohort.patients.values() for column in patient.columns}
    written = {fold_column(column): column for column in columns}
    for key, names, default in (
        ("subgroups", report.subgroups, usual.subgroups),
        ("dates", report.dates, usual.dates),
    ):
        for name in (each for each in names if each not in columns | {"site", "scanner"}):
            other = written.get(fold_column(name))
            if other or name not in default:
                yield NephroscaleError(
                    f"The table of patients has no column `{name}`" + (f", but `{other}`." if other else "."),
                    where=f"configuration, report.{key}; {plan.config.data.patients}",
                    fix=f"Write the column as `{name}`, or name it in report.{key} as it is written.",
                )


def find_incomplete(plan: Plan, unusable: Collection[str]) -> Iterator[NephroscaleError]:
    """Find patients without images, and patients who are left out because a modality is missing."""
    bare = [patient for patient in [*plan.patients, *plan.new_patients] if not plan.cohort.images_of(patient)]
    if bare:
        yield NephroscaleError(
            f"{_patients(len(bare))} no image: {name_some(bare, SHOWN)}.",
            where=plan.config.data.images,
            fix="Add their images, or set use: exclude with a reason.",
        )
    if plan.config.task.missing_modalities == "mask":
        return
    for modality in plan.modalities:
        lacking = [
            patient.id
            for patient in diagnosis_patients(plan)
            if patient.id not in bare and modality not in _modalities_of(plan, patient.id, unusable)
        ]
        if lacking and len(lacking) < len(diagnosis_patients(plan)):  # else it is a fault
            yield NephroscaleError(
                f"{_patients(len(lacking))} no usable {modality} image, and will be in no fold: "
                f"{name_some(lacking, SHOWN)}.",
                where="configuration, task.missing_modalities: exclude",
                fix="Add images, or set task.missing_modalities: mask.",
            )


def check_folds(plan: Plan, unusable: Collection[str]) -> Iterator[NephroscaleError]:
    """Find classes with fewer cases than folds, or than `task.min_per_class`; a group counts as one case."""
    task, folds = plan.config.task, plan.config.folds
    cases: dict[str, set[str]] = {name: set() for name in plan.cohort.classes}
    patients = [(patient, _modalities_of(plan, patient.id, unusable)) for patient in diagnosis_patients(plan)]
    present = set().union(*(usable for _, usable in patients))  # a modality that nobody has is a fault of its own
    left_out = 0
    for patient, usable in patients:
        complete = usable == present if task.missing_modalities == "exclude" else bool(usable)
        if complete and patient.label:
            cases[patient.label].add(f"group {patient.group}" if patient.group else patient.id)
        left_out += not complete
    needed = folds.n_folds if folds.scheme == "stratified" else 0
    few = {name: len(found) for name, found in cases.items() if len(found) < max(needed, task.min_per_class)}
    if not few:
        return
    by_folds = needed >= task.min_per_class
    key = f"folds.n_folds: {needed}" if by_folds else f"task.min_per_class: {task.min_per_class}"
    without = f" {left_out} patients are not counted: they lack a modality." if left_out else ""
    what = "A class has fewer cases than there are folds" if by_folds else "A class has too few cases"
    fewest = min(few.values())
    fewer = f"Set folds.n_folds to {fewest}, or a" if by_folds and fewest >= max(2, task.min_per_class) else "A"
    yield NephroscaleError(
        f"{what}: {_counts(few)} (a group of patients counts as one).{without}",
        where=f"configuration, {key}, and {plan.config.data.patients}",
        fix=f"{fewer}dd patients, or map the label to `exclude` or to another class in task.classes.",
    )


def _modalities_of(plan: Plan, patient: str, unusable: Collection[str]) -> set[str]:
    """The modalities that a patient seems to have; bags made elsewhere need no image."""
    return {
        modality
        for modality in plan.modalities
        if plan.config.features.encoders.of(modality).name == H5
        or any(image.id not in unusable for image in plan.images(patient, modality))
    }


def _without(plan: Plan, models: Iterable[str], modality: str) -> str:
    """Describe the configuration of models that do not read a modality."""
    entries = []
    for name in models:
        kept = [each for each in plan.config.models[name].modalities if each != modality]
        entries.append(f"{name}: {{modalities: [{', '.join(kept)}]}}" if kept else f"without {name}")
    return f"leave {modality} out of the models: `models: {{{', '.join(entries)}}}`."


def _patients(count: int) -> str:
    return "1 patient has" if count == 1 else f"{count} patients have"


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items()))
