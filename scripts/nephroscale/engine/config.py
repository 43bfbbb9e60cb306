"""The configuration of a run as one typed object, checked and with every default filled in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nephroscale.cohort.schemas import read_schema
from nephroscale.cohort.settings import DataSettings, FoldsSettings, PredictSettings, TaskSettings
from nephroscale.cohort.tasks import LEFT_OUT, RESERVED_COLUMNS, class_names, expand_task
from nephroscale.cohort.validation_errors import nearest
from nephroscale.deposits.settings import DepositsSettings
from nephroscale.engine.config_completion import Completion
from nephroscale.engine.config_messages import describe, dotted, raise_faults
from nephroscale.engine.settings import ComputeSettings
from nephroscale.errors import NephroscaleError
from nephroscale.features.settings import FeaturesSettings
from nephroscale.glomeruli.settings import GlomeruliSettings
from nephroscale.models.settings import ModelSettings
from nephroscale.reporting.settings import ORDERED_METRICS, ReportSettings
from nephroscale.settings import Settings, section, setting
from nephroscale.slides.settings import ImSettings, OmSettings
from nephroscale.store.settings import StoreSettings
from nephroscale.tem.settings import TemSettings
from nephroscale.training.settings import TrainSettings, expand_preset


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Every key, its meaning and its default."""

    data: DataSettings = section(DataSettings)
    results: str = setting("Folder of receipts and of links to the objects.", "results")
    store: StoreSettings = section(StoreSettings)
    seed: int = setting("Seed of every random choice.", 1, minimum=0)
    compute: ComputeSettings = section(ComputeSettings)
    task: TaskSettings = section(TaskSettings)
    om: OmSettings = section(OmSettings)
    im: ImSettings = section(ImSettings)
    glomeruli: GlomeruliSettings = section(GlomeruliSettings)
    tem: TemSettings = section(TemSettings)
    features: FeaturesSettings = section(FeaturesSettings)
    folds: FoldsSettings = section(FoldsSettings)
    train: TrainSettings = section(TrainSettings)
    models: Mapping[str, ModelSettings] = setting(
        "The networks to train, by name.", {"cmusnet": ModelSettings()}, min_keys=1, keys="^[a-z0-9][a-z0-9-]*$"
    )
    deposits: DepositsSettings = section(DepositsSettings)
    predict: PredictSettings = section(
        PredictSettings,
        "Patients to predict by the trained ensemble of folds and seeds. `snakemake predict` predicts new patients; "
        "the report has the predictions of `external` patients of the table of patients, who have labels.",
    )
    report: ReportSettings = section(ReportSettings)


def load_config(mapping: Mapping[str, Any]) -> Config:
    """Check a configuration and fill in the defaults.

    Parameters
    ----------
    mapping
        The configuration as Snakemake read it: parsed YAML, in which numbers from the command line may be texts.

    Returns
    -------
    Config
        With defaults at all depths. A ``number`` is float and an ``integer`` int, however they were written, so that
        equal settings give equal recipes. Loading its `to_mapping()` again gives an equal object.

    Raises
    ------
    NephroscaleError
        With every fault: the key's path, what is wrong, and what to do.
    """
    from jsonschema import Draft202012Validator

    if not isinstance(mapping, Mapping):
        raise NephroscaleError("The configuration is not a mapping of keys.", fix="Write `key: value` lines (YAML).")
    schema = read_schema("config")
    completion = Completion(schema)
    filled = completion.complete(expand_preset(expand_task(mapping)), schema)
    faults = completion.faults + _compose_classes(filled)
    errors = sorted(Draft202012Validator(schema).iter_errors(filled), key=lambda error: dotted(error.absolute_path))
    raise_faults([*faults, *dict.fromkeys(map(describe, errors))] + ([] if errors else _find_contradictions(filled)))
    return Config.from_mapping(filled)


def _compose_classes(config: dict[str, Any]) -> list[str]:
    """Write label texts as table cells are read, trimmed and in Unicode's NFC, so that they match; give the faults."""
    task = config.get("task")
    if not isinstance(task, dict) or not isinstance(task.get("classes"), dict):
        return []  # the schema's errors name this
    composed: dict[str, Any] = {}
    faults = []
    for text, meaning in task["classes"].items():
        cell = _compose(text)
        if cell in composed:
            faults.append(f"task.classes.{cell}: given twice, apart from spaces or Unicode form; keep one.")
        composed[cell] = [_compose(name) for name in meaning] if isinstance(meaning, list) else _compose(meaning)
    task["classes"] = composed
    return faults


def _compose(text: Any) -> Any:
    return unicodedata.normalize("NFC", text).strip() if isinstance(text, str) else text


def _find_contradictions(filled: dict[str, Any]) -> list[str]:
    """Find keys that are valid one by one but not together."""
    config = Config.from_mapping(filled)
    faults = [
        *_find_faulty_classes(config.task),
        *(
            f"{key}: {name} is named twice."
            for key, names in (("om.stains", config.om.stains), ("im.panel", config.im.panel))
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ),
    ]
    encoders = {f"features.encoders.{each}": config.features.encoders.of(each) for each in ("OM", "IM", "TEM")}
    new, report, folds = config.predict, config.report, config.folds
    by_site = folds.scheme == "leave_one_site_out"
    named = [
        *(("predict.models", name) for name in new.models),
        *(("report.headline", name) for name in (report.headline,) if name is not None),
        *(("report.primary.contrasts", name) for name in report.primary.contrasts),
    ]
    checks = (
        (
            config.glomeruli.min_diameter_um >= config.glomeruli.max_diameter_um,
            "glomeruli.min_diameter_um: has to be less than glomeruli.max_diameter_um.",
        ),
        *(
            (
                encoder.name == "h5" and encoder.weights is not None,
                f"{here}.weights of the encoder `h5` is now called {here}.h5_folder.",
            )
            for here, encoder in encoders.items()
        ),
        (
            (new.patients is None) != (new.images is None),
            "predict: new patients need both tables, predict.patients and predict.images.",
        ),
        (
            new.name is not None
            and (not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", new.name) or new.name.casefold() == "external"),
            f"predict.name: {new.name!r} does not fit; use letters, digits, - and _, but not `external`.",
        ),
        *(
            (name not in config.models, f"{key}: there is no model {name!r} under models{nearest(name, config.models)}")
            for key, name in named
        ),
        (
            folds.repeats > 1 and by_site,
            "folds.repeats: leaving one site out gives the same folds each time; set 1.",
        ),
        (
            folds.left_out_sites == 1,
            "folds.left_out_sites: 1 leaves no site to train on; there have to be two sites, or set 0.",
        ),
        (
            folds.left_out_sites > 0 and by_site,
            "folds.left_out_sites: the scheme leave_one_site_out already leaves each site out; set 0.",
        ),
        (
            folds.left_out_sites > 0 and config.tem.prior == "deposits",
            "folds.left_out_sites: there are no priors of deposits for these folds (tem.prior); set 0.",
        ),
        (
            folds.repeats > 1 and config.tem.prior == "deposits",
            "folds.repeats: there are no priors of deposits for further divisions (tem.prior); set 1.",
        ),
    )
    return [*faults, *(text for holds, text in checks if holds), *_find_faulty_report(config)]


def _find_faulty_report(config: Config) -> list[str]:
    """Find faults in the declaration of the primary endpoint, in the stated prevalences and in the named action."""
    primary, prevalences, action = config.report.primary, config.report.prevalences, config.report.action
    classes = class_names(config.task.classes)
    headline = config.report.headline or next(iter(config.models), "")
    checks = (
        (
            primary.contrasts and not re.fullmatch(r"\d{4}-\d\d-\d\d", primary.date or ""),
            "report.primary.date: give the date of the declaration, as YYYY-MM-DD in quotes.",
        ),
        (
            headline in primary.contrasts,
            f"report.primary.contrasts: {headline} is the headline model itself; name other models.",
        ),
        (
            primary.contrasts and primary.metric in ORDERED_METRICS and not config.task.ordinal,
            f"report.primary.metric: {primary.metric} needs ordered classes (task.ordinal: true).",
        ),
        (
            prevalences and (set(prevalences) != set(classes) or abs(sum(prevalences.values()) - 1) > 0.005),
            f"report.prevalences: give a share for each class ({', '.join(classes)}); they have to sum to 1.",
        ),
        (
            action.name and not (action.classes and set(action.classes) < set(classes)),
            f"report.action.classes: name some, and not all, of {', '.join(classes)}.",
        ),
    )
    return [text for holds, text in checks if holds]


def _find_faulty_classes(task: TaskSettings) -> list[str]:
    faults = []
    if not task.classes:
        return []  # nothing is to be predicted
    if len(classes := class_names(task.classes)) < 2:
        faults.append(
            f"task.classes: maps to {len(classes)} class ({', '.join(classes) or 'none'}); at least two are needed."
        )
    if task.label in RESERVED_COLUMNS:
        faults.append(f"task.label: {task.label!r} is a column with a fixed meaning; choose another column.")
    for text, meaning in task.classes.items():
        if isinstance(meaning, tuple):
            faults += _find_faulty_mixture(text, meaning, classes, ordinal=task.ordinal)
        elif not text or not meaning:
            faults.append(f"task.classes.{text}: {meaning!r}: neither the text nor its class may be empty.")
        elif meaning not in LEFT_OUT and meaning.casefold() in LEFT_OUT:
            faults.append(f"task.classes.{text}: {meaning!r} is written {meaning.casefold()!r}.")
    return faults


def _find_faulty_mixture(text: str, between: tuple[str, ...], classes: tuple[str, ...], *, ordinal: bool) -> list[str]:
    """Find out why a label cannot lie between two classes."""
    where = f"task.classes.{text}"
    if not ordinal:
        return [f"{where}: only an ordinal task (task.ordinal: true) has labels that lie between two classes."]
    if unknown := [name for name in between if name not in classes]:
        return [f"{where}: {' and '.join(unknown)} is none of the classes {', '.join(classes)}."]
    if classes.index(between[1]) - classes.index(between[0]) != 1:
        return [f"{where}: {between[0]} and {between[1]} are not neighbours, the lower one first."]
    return []
