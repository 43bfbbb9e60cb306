"""`predict`: what the trained ensemble says of patients outside the folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.models.registry import modules_of
from nephroscale.stages.folds import diagnosis_patients
from nephroscale.stages.train import negative_slots, prediction_of, training_settings
from nephroscale.store.digest import digest_json
from nephroscale.store.test_set_exposure import ScoredTestSet

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan

EXTERNAL, NEW = "external", "new"
"""Sets of patients: `use: external` in the study's table, with labels; the tables of the section `predict`, without."""


class Predict(Stage):
    """One job a model and set of patients. It changes nothing of the ensemble: nothing depends on it but the report."""

    name = "predict"
    rule = "predict_patients"
    pattern = "{model}/{set}"
    torch = True
    after = ("temperature",)

    def units(self, plan: Plan) -> list[str]:
        return [f"{model}/{EXTERNAL}" for model in predicting_models(plan)] if patients_of(plan, EXTERNAL) else []

    def new_units(self, plan: Plan) -> list[str]:
        return [f"{model}/{NEW}" for model in predicting_models(plan)] if patients_of(plan, NEW) else []

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        model, chosen = split(unit)
        patients, modalities = patients_of(plan, chosen), modalities_of(plan, model)
        images = [i.id for p in patients if "IM" in modalities for i in plan.images(p, "IM")]
        return [
            *(Need(stage, member) for member in members_of(plan, model) for stage in ("train", "temperature")),
            *(Need("features", f"{p}-{m}", optional=True) for p in patients for m in modalities),
            # What an image was and what the networks were used to: for warnings.
            *(Need("tiles", image, part="receipt", optional=True) for image in images),
            *(Need("register", p, optional=True) for p in [*patients, *self._study(plan)]),
        ]

    def settings(self, plan: Plan, unit: str) -> Any:
        model, chosen = split(unit)
        return {
            "set": chosen,
            "classes": list(plan.cohort.classes),
            "modalities": modalities_of(plan, model),
            "members": members_of(plan, model),
            **prediction_of(plan),
        }

    def rows(self, plan: Plan, unit: str) -> Any:
        chosen = split(unit)[1]
        patients = {}
        for name in patients_of(plan, chosen):
            patient = plan.cohort.patients[name]
            images = [i for m in ("TEM", "OM", "IM") for i in plan.images(name, m)]
            biopsies = sorted({i.biopsy_id for i in images if i.biopsy_id})
            patients[name] = {
                "patient": patient.person or name,
                "biopsy": patient.biopsy or (biopsies[0] if biopsies else ""),
                "label": patient.label,
                "second": patient.second,
                "images": {i.id: i.modality for i in images},
            }
        study = {i.id: i.modality for p in self._study(plan) for i in plan.cohort.images_of(p)}
        negatives = negative_slots(plan, split(unit)[0], patients)
        return {"patients": patients, "study": study, "negatives": negatives}

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        return tuple(modules_of(plan.config["models"][split(unit)[0]]))

    def look(self, plan: Plan, unit: str) -> ScoredTestSet | None:
        """External patients are scored: all configurations whose ensemble did so are counted."""
        model, chosen = split(unit)
        if chosen != EXTERNAL:
            return None
        looks = [plan.stages["evaluate"].look(plan, member) for member in members_of(plan, model)]
        if None in looks:
            return None
        configurations = sorted({look.configuration for look in looks if look})
        return ScoredTestSet(digest_json(patients_of(plan, EXTERNAL)), digest_json(configurations))

    def _study(self, plan: Plan) -> list[str]:
        return [p.id for p in diagnosis_patients(plan)]


def predicting_models(plan: Plan) -> list[str]:
    """The models whose ensembles predict: those named, or the headline model alone."""
    report, models = plan.config["report"], plan.config["models"]
    return plan.config["predict"]["models"] or [report["headline"] or next(iter(models))]


def patients_of(plan: Plan, chosen: str) -> list[str]:
    """The patients of a set."""
    return plan.new_patients if chosen == NEW else [p for p in plan.patients if plan.cohort.patients[p].use == EXTERNAL]


def modalities_of(plan: Plan, model: str) -> list[str]:
    """The modalities that a model reads, in their order."""
    return [m for m in plan.modalities if m in plan.config["models"][model]["modalities"]]


def members_of(plan: Plan, model: str) -> list[str]:
    """Units of `train` whose networks make up a model's ensemble: every fold and seed."""
    seeds = training_settings(plan, model)["seeds"]
    return [f"{model}/fold{fold}-seed{seed}" for fold in range(plan.config["folds"]["count"]) for seed in seeds]


def split(unit: str) -> tuple[str, str]:
    """Model and set of a unit."""
    model, _, chosen = unit.partition("/")
    return model, chosen


STAGE = Predict()
