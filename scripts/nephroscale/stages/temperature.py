"""`temperature`: one temperature for each model and fold, from the fold's validation patients alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from nephroscale.engine.job import Job
from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.settings import Settings, setting
from nephroscale.stages.model_inputs import fold_patients, reported_head
from nephroscale.stages.units import ModelFold, ModelRun


@dataclass(frozen=True)
class TemperatureSettings(Settings):
    """Settings of a temperature."""

    fold: int = setting("Fold.")
    prediction: str = setting("Which head is reported, and therefore calibrated.", "softmax")


class Temperature(Stage):
    """One job per model and fold. It depends on what training depends on, and never on a test patient."""

    name = "temperature"
    rule = "fit_temperature"
    pattern = "{model}/fold{fold}"

    def units(self, plan: PlanView) -> list[str]:
        folds = range(plan.config.folds.n_folds)
        return [str(ModelFold(model, fold)) for model in plan.config.models for fold in folds]

    @need("folds")
    def folds(self, plan: PlanView, unit: str) -> Need:
        """The training and validation side of the fold."""
        return Need("folds", "cohort", part=f"fold{ModelFold.parse(unit).fold}.train")

    @need("train")
    def weights(self, plan: PlanView, unit: str) -> list[Need]:
        """The networks of all seeds, with their predictions for the validation patients."""
        model, fold = ModelFold.parse(unit)
        seeds = plan.config.models[model].training(plan.config.train).seeds
        return [Need("train", str(ModelRun(model, fold, seed))) for seed in seeds]

    def settings(self, plan: PlanView, unit: str) -> TemperatureSettings:
        return TemperatureSettings(ModelFold.parse(unit).fold, reported_head(plan))

    def rows(self, plan: PlanView, unit: str) -> object:
        cases = [plan.cohort.patients[case] for case in fold_patients(plan, ModelFold.parse(unit).fold, "validation")]
        return {case.id: case.person for case in cases if case.person} or None

    def make(self, job: Job[TemperatureSettings]) -> Mapping[str, object]:
        from nephroscale.cohort.fold_table import read_folds
        from nephroscale.evaluation.fitted_temperature import write_temperature
        from nephroscale.evaluation.temperature import fit_fold_temperature
        from nephroscale.evaluation.validation import read_validation_predictions

        classes = read_folds(job.input("folds").object).classes
        seeds = [
            read_validation_predictions(each.object, classes, job.settings.prediction) for each in job.inputs("weights")
        ]
        fitted = fit_fold_temperature(seeds, len(classes), job.rows)
        write_temperature(job.out, fitted)
        return asdict(fitted)


STAGE = Temperature()
