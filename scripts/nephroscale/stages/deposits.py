"""`deposits`: the page on electron-dense deposits, over all sites, folds and seeds.

The artifact is a folder: the page `index.html`, `errors.html` (images that were predicted wrongly), the table
`predictions.csv` (`site,seed,fold,image_id,patient_id,deposits,variant,probability`), `metrics.json` and `figures`. It
is in the store; the link ``<results>/deposits`` leads to it, and `deposits.html`, `deposits_errors.html` and
`deposits.csv` in the results folder are copies.

A job reads the predictions from `deposit_predictions`, the trained variants from `deposit_models`, the cleaned images
from `tem`, and the files of outlined deposits. It calls `reporting.deposits_page.write_deposits_page`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nephroscale.deposits.settings import PLAIN
from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.settings import Settings, setting
from nephroscale.stages.deposit_models import bags_of
from nephroscale.stages.patients import deposit_patients
from nephroscale.stages.units import DepositFold, DepositRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job


@dataclass(frozen=True)
class DepositsPageSettings(Settings):
    """Settings of the page."""

    backbone: str = setting("Name of the network.", "")


class DepositsPage(Stage):
    """One job per cohort."""

    name = "deposits"
    rule = "report_deposits"
    pages = (
        ("deposits.html", "index.html"),
        ("deposits_errors.html", "errors.html"),
        ("deposits.csv", "predictions.csv"),
    )

    def units(self, plan: PlanView) -> list[str]:
        """One, if patients for diagnosis or set apart have readings of deposits, and `deposits.sites` is not empty."""
        return ["cohort"] if deposit_patients(plan) else []

    @need("deposit_predictions")
    def predictions(self, plan: PlanView, unit: str) -> list[Need]:
        """The predictions of every site, fold and seed; a fold that could not be trained is left out, and named."""
        return [Need("deposit_predictions", name, optional=True) for name in plan.study_units("deposit_predictions")]

    @need("deposit_models")
    def networks(self, plan: PlanView, unit: str) -> list[Need]:
        """The trained variants: learning curves of the plain networks, and which could not be trained."""
        return [Need("deposit_models", name, optional=True) for name in plan.study_units("deposit_models")]

    @need("tem")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """The cleaned images, to show some of them."""
        return [Need("tem", patient.id, optional=True) for patient in deposit_patients(plan)]

    def settings(self, plan: PlanView, unit: str) -> DepositsPageSettings:
        """The name of the backbone, for the page; what decides the models is in their recipes."""
        return DepositsPageSettings(plan.config.deposits.backbone.name)

    def rows(self, plan: PlanView, unit: str) -> object:
        """Patient to person, because intervals count persons, and to readings, since those of copies may differ."""
        readings = _readings(plan)
        return {patient.id: [patient.person, readings[patient.id]] for patient in deposit_patients(plan)}

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """The digests of the files of outlined deposits (column `deposit_outlines` of the table of images)."""
        return {
            f"{image.id}.deposit_outlines": plan.raw_cache.digest(image.deposit_outlines)
            for image in _outlined(plan)
            if image.deposit_outlines
        }

    def make(self, job: Job[DepositsPageSettings]) -> Mapping[str, object]:
        """Evaluate the predictions and write the page.

        Nothing is rejected. Folds and variants that were rejected are left out and named, with their reasons.
        """
        from nephroscale.deposits.images import find_contradictions
        from nephroscale.reporting.deposits_page import DepositsInputs, DepositsRun, write_deposits_page

        plain = {DepositRun.parse(each.unit): each.path for each in job.inputs("networks")}
        runs = []
        skipped = {
            each.unit: each.receipt.reason or "no reason given"
            for each in [*job.inputs("networks"), *job.inputs("predictions")]
            if not each.path
        }
        skipped |= find_contradictions(bags_of(job), _readings(job.plan))
        for each in job.inputs("predictions"):
            site, fold, seed = DepositFold.parse(each.unit)
            if each.path:
                runs.append(
                    DepositsRun(site, str(fold), seed, each.path, plain.get(DepositRun(site, PLAIN, fold, seed)))
                )
        people = {patient.id: patient.person or patient.id for patient in deposit_patients(job.plan)}
        outlines = {image.id: image.deposit_outlines for image in _outlined(job.plan) if image.deposit_outlines}
        return write_deposits_page(
            DepositsInputs(runs, skipped, bags_of(job), people, outlines, job.settings.backbone), job.out
        )


def _readings(plan: PlanView) -> dict[str, dict[str, str]]:
    """Patient to image to its reading."""
    return {
        patient.id: {image.id: image.deposits.to_text() for image in plan.images(patient.id, "TEM") if image.deposits}
        for patient in deposit_patients(plan)
    }


def _outlined(plan: PlanView) -> list[Image]:
    """The images with outlined deposits."""
    return [i for patient in deposit_patients(plan) for i in plan.images(patient.id, "TEM") if i.deposit_outlines]


STAGE = DepositsPage()
