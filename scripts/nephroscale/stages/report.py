"""`report`: one page, its plots and one file of figures about everything that was made.

The artifact is a folder: the page `index.html`, `slides.html`, pages of cases (`cases`), the figures in numbers
`metrics.json`, the table of cases `patients.csv` (docs/dataflow.md lists its columns), the plots `figures` (PNG and
SVG), the figures of TEM images `tem_quality.csv` and, if labels are suspect, the tables `blinded_reading`. It is in the
store; the link ``<results>/report`` leads to it, and `report.html` and `patients.csv` in the results folder are copies.
Every finished report stays, numbered, in ``<results>/reports``.

A job reads the receipts of all units of the study before it, and their objects. It calls
`reporting.report.write_report`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nephroscale.engine.job import Job
from nephroscale.engine.stage import PlanView, Stage, last_receipts, need, receipts_before
from nephroscale.features.settings import EncodersSettings
from nephroscale.json_text import JSON
from nephroscale.models.settings import ModelSettings
from nephroscale.reporting.report_inputs import (
    FoldRun,
    ListedCase,
    ListedImage,
    ModelRuns,
    ReportInputs,
)
from nephroscale.reporting.settings import ReportSettings
from nephroscale.reporting.trained import describe_missing_twins, describe_training
from nephroscale.settings import Settings, section, setting
from nephroscale.stages.case_inputs import collect_outcomes, list_cases, list_images, list_pictures
from nephroscale.stages.external import describe_opening
from nephroscale.stages.model_inputs import network_settings
from nephroscale.stages.units import DepositFold, ModelRun, PatientModality, PatientSet
from nephroscale.training.settings import TrainSettings


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
    recalled = False
    pages = (("report.html", "index.html"), ("patients.csv", "patients.csv"))
    numbered = True
    seeded = True

    receipts = need("temperature", "evaluate", "predict", "deposits", through=last_receipts)(receipts_before)

    def settings(self, plan: PlanView, unit: str) -> ReportStageSettings:
        """The section `report`, with the headline model by name, and the models, encoders and trainings described.

        Of models and encoders, paths do not count; of `task`, the classes and `ordinal`. The seed, which decides the
        exchanges behind p-values, is in the recipe.
        """
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
        """The cases and images of the tables, without new patients, and the readings of the table `data.readers`.

        Further, for each fold, how many configurations were scored on its test patients (`test_set_uses`), and whether
        the external patients were opened before (`external_opened`). Both are read from the store and the ledger, so
        the recipe is worked out in each run.
        """
        new = set(plan.new_patients)
        return {
            "cases": list_cases(plan, (case for case in plan.cohort.patients.values() if case.id not in new)),
            "images": list_images([image for image in plan.cohort.images.values() if image.patient_id not in new]),
            "readings": [list(reading) for reading in plan.cohort.readings],
            "test_set_uses": count_test_set_uses(plan),
            "external_opened": describe_opening(plan),
        }

    def make(self, job: Job[ReportStageSettings]) -> Mapping[str, object]:
        """Evaluate the predictions and write page, tables and plots.

        Nothing is rejected: what other stages rejected is listed on the page.
        """
        from nephroscale.reporting.report import write_report

        return write_report(report_inputs(job), job.settings.report, job.out, job.seed)


def report_inputs(job: Job[ReportStageSettings]) -> ReportInputs:
    """Collect the inputs of the report from receipts and objects."""
    settings = job.settings
    stages, objects = collect_outcomes(job.inputs("receipts"))
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
    slides, fields = list_pictures(stages, objects, images)
    readings: dict[str, dict[str, str | None]] = {}
    for reader, case, label in job.rows["readings"]:
        readings.setdefault(reader, {})[case] = label
    return ReportInputs(
        classes=settings.classes,
        folds=objects["folds", "cohort"],
        models=models,
        stages=stages,
        tiles={unit: path for (stage, unit), path in objects.items() if stage == "tiles"},
        slides=slides,
        fields=fields,
        deposits=[
            (DepositFold.parse(unit).site, path)
            for (stage, unit), path in sorted(objects.items())
            if stage == "deposit_predictions"
        ],
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
        missing_twins=describe_missing_twins(settings.models, settings.report.headline),
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
