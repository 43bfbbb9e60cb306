"""`folds`: which patients train, validate and test in each fold.

The artifact is a folder with `folds.json`: classes, label of each case, ids on the sides `train`, `validation` and
`test` of each fold, and who is excluded, with reasons (docs/dataflow.md lists the keys). Its parts are ``fold<n>`` and
``fold<n>.train``, the training and validation side alone: a training does not depend on who is tested. It is in the
store; the link ``<results>/folds`` leads to it.

A job reads from `features` which bags were accepted, and why others were not, never their values. From `register` it
reads the digests and perceptual hashes of all images. It calls `cohort.eligibility.write_folds`.
"""

from __future__ import annotations

from collections.abc import Mapping

from nephroscale.cohort.eligibility import EligibilitySettings
from nephroscale.engine.job import Job
from nephroscale.engine.stage import STATUS, Need, PlanView, Stage, need
from nephroscale.slides.duplicates import IDENTITY, identity_rows
from nephroscale.stages.patients import diagnosis_patients, listed_patients
from nephroscale.stages.units import PatientModality


class Folds(Stage):
    """One job per cohort. It depends on which patients have features, not on the feature values.

    It stops where two patients have the same image, unless the tables give a reason; then both are in one group.
    """

    name = "folds"
    rule = "make_folds"
    seeded = True

    @need("features")
    def features(self, plan: PlanView, unit: str) -> list[Need]:
        """Whether each patient to diagnose has features of each modality that a model reads."""
        return [
            Need("features", str(PatientModality(patient.id, modality)), part=STATUS, optional=True)
            for patient in diagnosis_patients(plan)
            for modality in plan.modalities
        ]

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> list[Need]:
        """Digests and perceptual hashes of all images of the study: no image may belong to two patients."""
        return [Need("register", patient, part=IDENTITY, optional=True) for patient in plan.study_units("register")]

    def settings(self, plan: PlanView, unit: str) -> EligibilitySettings:
        """The section `folds`, the names of the classes, and the keys of `task` that decide who takes part.

        They are `classes`, `min_per_class`, `permute_labels`, `mixed` and `missing_modalities`, and the modalities that
        any model reads. Of `task.label` the content of the column counts (:meth:`rows`). The seed is in the recipe,
        too.
        """
        task = plan.config.task
        return EligibilitySettings(
            folds=plan.config.folds,
            classes=tuple(plan.cohort.classes),
            min_per_class=task.min_per_class,
            permute_labels=task.permute_labels,
            meanings=task.classes,
            mixed=task.mixed,
            missing_modalities=task.missing_modalities,
            modalities=tuple(plan.modalities),
        )

    def rows(self, plan: PlanView, unit: str) -> object:
        """The patients' rows, and which image belongs to which patient.

        The patients are those for diagnosis, and those who are left out with a reason. A row has all that decides the
        place of a patient: label, group, site, person and others. The images are those of all registered patients of
        the study, with patient, person and use, and with `same_as` and its reason.
        """
        return {
            "patients": [patient.row().to_mapping() for patient in listed_patients(plan)],
            "images": identity_rows(plan.cohort, plan.study_units("register")),
        }

    def make(self, job: Job[EligibilitySettings]) -> Mapping[str, object]:
        """Find copies of images among patients, leave out those who lack features, and divide the others.

        Nothing is rejected. The job fails if two patients have the same image and the table gives no reason
        (`same_as_reason`), or if the patients are too few for the folds. Patients with the same image, for a reason,
        are put into one group.
        """
        from nephroscale.cohort.eligibility import write_folds
        from nephroscale.cohort.groups import join_linked
        from nephroscale.slides.duplicates import check_no_copies, find_alike, read_identities

        alike = find_alike(job.rows["images"], read_identities(each.path for each in job.inputs("facts")))
        check_no_copies(alike)
        missing: dict[str, dict[str, str]] = {}
        for each in job.inputs("features"):
            if not each.receipt.accepted:
                patient, modality = PatientModality.parse(each.unit)
                missing.setdefault(patient, {})[modality] = each.receipt.reason or "no reason given"
        linked = join_linked(
            [patient.row() for patient in listed_patients(job.plan)],
            [pair.patients for pair in alike if pair.links_patients],
        )
        figures, parts = write_folds(linked, missing, job.settings, job.seed, job.out)
        job.parts.update(parts)
        return {**figures, **({"alike_images": [pair.to_json() for pair in alike]} if alike else {})}


STAGE = Folds()
