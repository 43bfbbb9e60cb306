"""`temperature`: the temperature of each trained model, from its fold's validation patients alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.models.registry import modules_of
from nephroscale.stages.model_inputs import (
    RunSettings,
    features_of,
    fold_data,
    fold_patients,
    model_runs,
    negative_slots,
    run_settings,
)
from nephroscale.stages.units import ModelRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.engine.job import Job


class Temperature(Stage):
    """One job per model, fold and seed. It depends on what training depends on, and never on a test patient."""

    name = "temperature"
    rule = "fit_temperature"
    pattern = "{model}/fold{fold}-seed{seed}"
    torch = True

    def units(self, plan: PlanView) -> list[str]:
        return model_runs(plan)

    @need("folds")
    def folds(self, plan: PlanView, unit: str) -> Need:
        """The training and validation side of the fold."""
        return Need("folds", "cohort", part=f"fold{ModelRun.parse(unit).fold}.train")

    @need("train")
    def weights(self, plan: PlanView, unit: str) -> Need:
        """The trained network."""
        return Need("train", unit)

    @need("features", through="folds")
    def features(self, plan: PlanView, unit: str) -> list[Need]:
        """Features of the fold's validation patients."""
        return features_of(plan, ModelRun.parse(unit).model, fold_patients(plan, unit, "validation"))

    def settings(self, plan: PlanView, unit: str) -> RunSettings:
        return run_settings(plan, unit)

    def rows(self, plan: PlanView, unit: str) -> object:
        return negative_slots(plan, ModelRun.parse(unit).model, fold_patients(plan, unit, "validation"))

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        return tuple(modules_of(plan.config.models[ModelRun.parse(unit).model]))

    def make(self, job: Job) -> Mapping[str, object]:
        from nephroscale.evaluation.temperature import fit_fold_temperature

        settings = job.settings
        assert isinstance(settings, RunSettings)
        data = fold_data(job, settings.fold)
        fitted = fit_fold_temperature(data, job.input("weights").object, job.out, job.device, settings.prediction)
        return asdict(fitted)


STAGE = Temperature()
