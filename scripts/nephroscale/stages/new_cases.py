"""`new_cases`: a page for each case of a batch of new patients, beside the table of their predictions.

The artifact of a model and a batch is a folder: `index.html`, the table of predictions, and ``cases/<case>.html``, one
page per case, with its images. It is in the store; the link ``<results>/new_cases/<model>/<batch>`` leads to it.

A job reads the predictions from `predict`, those of deposits from `new_deposits` (if it has units), of the new patients
the receipts and objects of `tiles`, `glomeruli` and `tem`, and the receipts of `register` and `features`. It calls
`reporting.new_cases.write_new_cases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nephroscale.engine.job import Job
from nephroscale.engine.stage import RECEIPT, Need, PlanView, Stage, need
from nephroscale.settings import Settings, setting
from nephroscale.stages.case_inputs import collect_outcomes, list_cases, list_images, list_pictures
from nephroscale.stages.model_inputs import modalities_of, predicting_models
from nephroscale.stages.units import PatientModality, PatientSet, SiteBatch


@dataclass(frozen=True)
class NewCasesSettings(Settings):
    """Settings of the pages."""

    title: str = setting("Title of the study.")
    model: str = setting("The model whose ensemble predicted.")
    modalities: tuple[str, ...] = setting("Modalities that the model reads.")
    classes: tuple[str, ...] = setting("Names of the classes.")


class NewCases(Stage):
    """One job per model and batch of new patients. Nothing depends on it; external patients are in the report."""

    name = "new_cases"
    rule = "write_new_cases"
    pattern = "{model}/{batch}"

    def units(self, plan: PlanView) -> list[str]:
        """None: patients of the study have their pages in the report."""
        return []

    def new_units(self, plan: PlanView) -> list[str]:
        """The batch of new patients, with each model of `predict.models` (by default the headline model)."""
        return [str(PatientSet(model, plan.batch)) for model in predicting_models(plan)] if plan.new_patients else []

    def stays(self, unit: str) -> bool:
        """A batch that is no longer configured keeps its receipt and link."""
        return True

    @need("predict")
    def predictions(self, plan: PlanView, unit: str) -> Need:
        """The predictions of the ensemble, with the weights of images."""
        return Need("predict", unit)

    @need("new_deposits")
    def deposits(self, plan: PlanView, unit: str) -> list[Need]:
        """Deposits in the TEM images, where they are trained."""
        made, batch = plan.units("new_deposits"), PatientSet.parse(unit).patients
        return [
            Need("new_deposits", each, part=RECEIPT, optional=True)
            for each in [str(SiteBatch(site, batch)) for site in plan.config.deposits.sites]
            if each in made
        ]

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> list[Need]:
        """Which images were rejected."""
        return [Need("register", patient, part=RECEIPT, optional=True) for patient in plan.new_patients]

    @need("tiles")
    def tiles(self, plan: PlanView, unit: str) -> list[Need]:
        """Slides and fields, to show them."""
        return _of_images(plan, "tiles")

    @need("glomeruli")
    def glomeruli(self, plan: PlanView, unit: str) -> list[Need]:
        """Outlines and crops of the glomeruli."""
        return _of_images(plan, "glomeruli")

    @need("tem")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """The cleaned TEM images."""
        return [Need("tem", patient, part=RECEIPT, optional=True) for patient in plan.new_patients]

    @need("features")
    def features(self, plan: PlanView, unit: str) -> list[Need]:
        """Which modalities are missing, and why."""
        modalities = modalities_of(plan, PatientSet.parse(unit).model)
        return [
            Need("features", str(PatientModality(patient, name)), part=RECEIPT, optional=True)
            for patient in plan.new_patients
            for name in modalities
        ]

    def after_in(self, plan: PlanView) -> tuple[str, ...]:
        """It reads `new_deposits` only if that has units."""
        return tuple(stage for stage in self.after if stage != "new_deposits" or plan.units(stage))

    def settings(self, plan: PlanView, unit: str) -> NewCasesSettings:
        """The title of the study (`report.title`), the model, its modalities, and the names of the classes."""
        model = PatientSet.parse(unit).model
        return NewCasesSettings(
            plan.config.report.title, model, tuple(modalities_of(plan, model)), tuple(plan.cohort.classes)
        )

    def rows(self, plan: PlanView, unit: str) -> object:
        """What the pages list of each case and of its images.

        Of the other columns, those of `report.subgroups` and `report.dates` are there. Paths are not.
        """
        cases = [plan.cohort.patients[name] for name in plan.new_patients]
        return {
            "cases": list_cases(plan, cases),
            "images": list_images([image for case in cases for image in plan.cohort.images_of(case.id)]),
        }

    def make(self, job: Job[NewCasesSettings]) -> Mapping[str, object]:
        """Write the pages.

        They are rejected if the predictions were. What a case lacks is given with the reason of the stage that rejected
        it.
        """
        from nephroscale.reporting.new_cases import write_new_cases
        from nephroscale.reporting.report_inputs import CaseInputs, ListedCase, ListedImage

        settings, names = job.settings, ("facts", "tiles", "glomeruli", "tem", "features")
        stages, objects = collect_outcomes(each for name in names for each in job.inputs(name))
        images = {name: ListedImage(**row) for name, row in job.rows["images"].items()}
        slides, fields = list_pictures(stages, objects, images)
        inputs = CaseInputs(
            classes=settings.classes,
            stages=stages,
            slides=slides,
            fields=fields,
            tem={unit: path for (stage, unit), path in objects.items() if stage == "tem"},
            deposits=[(SiteBatch.parse(each.unit).site, each.path) for each in job.inputs("deposits") if each.path],
            cases={name: ListedCase(**row) for name, row in job.rows["cases"].items()},
            images=images,
        )
        return write_new_cases(
            inputs, job.input("predictions").object, settings.model, settings.modalities, job.out, title=settings.title
        )


def _of_images(plan: PlanView, stage: str) -> list[Need]:
    """What a stage made of each slide and field of the new patients."""
    return [
        Need(stage, image.id, part=RECEIPT, optional=True)
        for patient in plan.new_patients
        for image in plan.images(patient, "OM", "IM")
    ]


STAGE = NewCases()
