"""`report`: one page, its plots and one file of figures about everything that was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nephroscale.engine.stage import PlanView, Stage, last_receipts, need, receipts_before
from nephroscale.features.settings import EncodersSettings
from nephroscale.models.settings import ModelSettings
from nephroscale.reporting.report_inputs import (
    FoldRun,
    ListedCase,
    ListedImage,
    ModelRuns,
    ReportInputs,
    SlidePicture,
    UnitOutcome,
)
from nephroscale.reporting.settings import ReportSettings
from nephroscale.reporting.trained import describe_training
from nephroscale.settings import Settings, section, setting
from nephroscale.stages.external import describe_opening
from nephroscale.stages.model_inputs import network_settings
from nephroscale.stages.units import ModelRun, PatientModality, PatientSet
from nephroscale.training.settings import TrainSettings

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.engine.job import Job
    from nephroscale.json_text import JSON


@dataclass(frozen=True)
class ReportStageSettings(Settings):
    """Settings of the report."""

    report: ReportSettings = section(ReportSettings)
    models: Mapping[str, ModelSettings] = setting("The models of the study.", {})
    encoders: EncodersSettings = section(EncodersSettings)
    trainings: Mapping[str, TrainSettings] = setting("Model to the settings of its training.", {})
    classes: tuple[str, ...] = setting("Names of the classes.", ())
    ordinal: bool = setting("Whether the classes are ordered.", default=False)


class Report(Stage):
    """One job per cohort."""

    name = "report"
    rule = "write_report"
    pages = (("report.html", "index.html"), ("patients.csv", "patients.csv"))
    numbered = True
    seeded = True

    receipts = need("temperature", "evaluate", "predict", "deposits", through=last_receipts)(receipts_before)

    def settings(self, plan: PlanView, unit: str) -> ReportStageSettings:
        report, models = plan.config.report, plan.config.models
        return ReportStageSettings(
            report=replace(report, headline=report.headline or next(iter(models))),
            models={model: network_settings(plan, model) for model in models},
            encoders=EncodersSettings(
                **{
                    name: replace(plan.config.features.encoders.of(name), weights=None, h5_folder=None)
                    for name in ("OM", "IM", "TEM")
                }
            ),
            trainings={name: model.training(plan.config.train) for name, model in models.items()},
            classes=tuple(plan.cohort.classes),
            ordinal=plan.config.task.ordinal,
        )

    def rows(self, plan: PlanView, unit: str) -> object:
        new = set(plan.new_patients)
        images = sorted((name, image) for name, image in plan.cohort.images.items() if image.patient_id not in new)
        return {
            "cases": {
                case.id: {
                    "use": case.use,
                    "label": case.label,
                    "second": case.second,
                    "person": case.person,
                    "biopsy": case.biopsy,
                    "reason": case.reason,
                    "site": case.site,
                    "scanner": case.scanner,
                    "negatives": [negative.marker for negative in plan.cohort.negatives_of(case.id)],
                    "columns": {
                        name: cell
                        for name in plan.config.report.subgroups
                        if (cell := {**case.columns, "site": case.site, "scanner": case.scanner}.get(name))
                    },
                    "dates": {name: cell for name in plan.config.report.dates if (cell := case.columns.get(name))},
                }
                for case in sorted(plan.cohort.patients.values(), key=lambda case: case.id)
                if case.id not in new
            },
            "images": {
                name: {
                    "case": image.patient_id,
                    "modality": image.modality,
                    "channel": image.marker or image.stain or image.modality,
                    "exposure_ms": image.exposure_ms,
                    "gain": image.gain,
                    "grade": image.grade,
                }
                for name, image in images
            },
            "readings": [list(reading) for reading in plan.cohort.readings],
            "test_set_uses": count_test_set_uses(plan),
            "external_opened": describe_opening(plan),
        }

    def make(self, job: Job[ReportStageSettings]) -> Mapping[str, object]:
        from nephroscale.reporting.report import write_report

        return write_report(report_inputs(job), job.settings.report, job.out, job.seed)


def report_inputs(job: Job[ReportStageSettings]) -> ReportInputs:
    """Collect the inputs of the report from receipts and objects."""
    settings = job.settings
    objects: dict[tuple[str, str], Path] = {}
    stages: dict[str, list[UnitOutcome]] = {}
    for each in job.inputs("receipts"):
        receipt = each.receipt
        stages.setdefault(receipt.stage, []).append(
            UnitOutcome(receipt.unit, receipt.status, receipt.reason, receipt.figures)
        )
        if each.path:
            objects[receipt.stage, receipt.unit] = each.path
    runs = [ModelRun.parse(unit.name) for unit in stages.get("evaluate", [])]
    models = {}
    for name, model in settings.models.items():
        folds = tuple(
            FoldRun(
                str(run.fold),
                run.seed,
                evaluation=objects.get(("evaluate", str(run))),
                training=objects.get(("train", str(run))),
                temperature=objects.get(("temperature", str(run.model_fold))),
            )
            for run in runs
            if run.model == name
        )
        models[name] = ModelRuns(model.modalities, bool(model.options.get("attention", True)), folds)
    images = {name: ListedImage(**row) for name, row in job.rows["images"].items()}
    pictures = [
        picture for unit in stages.get("glomeruli", []) if (picture := _picture(unit, objects, images[unit.name].case))
    ]
    readings: dict[str, dict[str, str | None]] = {}
    for reader, case, label in job.rows["readings"]:
        readings.setdefault(reader, {})[case] = label
    return ReportInputs(
        classes=settings.classes,
        folds=objects["folds", "cohort"],
        models=models,
        stages=stages,
        tiles={unit: path for (stage, unit), path in objects.items() if stage == "tiles"},
        slides=[picture for picture in pictures if images[picture.image_id].modality == "OM"],
        fields=[picture for picture in pictures if images[picture.image_id].modality == "IM"],
        deposits={unit: path for (stage, unit), path in sorted(objects.items()) if stage == "deposit_predictions"},
        tem={unit: path for (stage, unit), path in objects.items() if stage == "tem"},
        test_set_uses=job.rows["test_set_uses"],
        external_opened=job.rows.get("external_opened"),
        ordinal=settings.ordinal,
        external={PatientSet.parse(u).model: path for (stage, u), path in objects.items() if stage == "predict"},
        cases={case: ListedCase(**row) for case, row in job.rows["cases"].items()},
        images=images,
        features={PatientModality.parse(unit): path for (stage, unit), path in objects.items() if stage == "features"},
        registered={unit: path for (stage, unit), path in objects.items() if stage == "register"},
        trained={
            name: describe_training(name, model, settings.encoders, settings.trainings[name], stages.get("train", []))
            for name, model in settings.models.items()
            if name in settings.trainings
        },
        readings=readings,
    )


def _picture(unit: UnitOutcome, objects: Mapping[tuple[str, str], Path], case: str) -> SlidePicture | None:
    """Find the pictures of a slide or field; the overlay has a scale bar of its own."""
    tiles, glomeruli = objects.get(("tiles", unit.name)), objects.get(("glomeruli", unit.name))
    if tiles is None:
        return None
    count = unit.figures.get("glomeruli")
    fullest = unit.figures.get("fullest_section", count)
    sclerosed = unit.figures.get("fullest_sclerosed")
    return SlidePicture(
        image_id=unit.name,
        patient_id=case,
        thumbnail=tiles / "thumbnail.png",
        overlay=glomeruli / "overlay.png" if glomeruli else None,
        glomeruli=count if isinstance(count, int) else None,
        fullest_section=fullest if isinstance(fullest, int) else None,
        fullest_sclerosed=sclerosed if isinstance(sclerosed, int) else None,
        drawn=unit.figures.get("method") == "annotation",
        crops=glomeruli / "crops" if glomeruli else None,
        tiles=tiles,
    )


def count_test_set_uses(plan: PlanView) -> dict[str, JSON]:
    """Fold to the number of configurations that were scored on its test patients, those of this run included."""
    present: dict[tuple[str, str], set[str]] = {}
    counted: set[tuple[str, int]] = set()
    for unit in plan.units("evaluate"):
        model, fold, _ = ModelRun.parse(unit)
        # Another seed is not another use of the test patients.
        if (model, fold) not in counted and (use := plan.test_set_use("evaluate", unit)):
            counted.add((model, fold))
            present.setdefault((str(fold), use.patients), set()).add(use.configuration)
    return {fold: plan.ledger.count(patients, found) for (fold, patients), found in sorted(present.items())}


STAGE = Report()
