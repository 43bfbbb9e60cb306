"""`temperature`: one temperature for each model and fold, from the fold's validation patients alone.

The artifact is a folder with `temperature.json`: ``{"temperature", "patients", "nll_before", "nll_after"}``. The last
two are the mean negative log-likelihood per patient. It is in the store; the link
``<results>/temperature/<model>/fold<n>`` leads to it.

A job reads the training and validation side from `folds`, and from `train` the predictions of the networks of all seeds
for the validation patients (`validation.csv`, `validation_heads.csv`). It calls
`evaluation.temperature.fit_fold_temperature`.
"""

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
        """Each model with each fold."""
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
        """The fold, and the head that is reported, because that one is calibrated."""
        return TemperatureSettings(ModelFold.parse(unit).fold, reported_head(plan))

    def rows(self, plan: PlanView, unit: str) -> object:
        """Validation case to patient, for patients with several biopsies; None if there are none.

        A patient then counts once, whatever the number of biopsies.
        """
        cases = [plan.cohort.patients[case] for case in fold_patients(plan, ModelFold.parse(unit).fold, "validation")]
        return {case.id: case.person for case in cases if case.person} or None

    def make(self, job: Job[TemperatureSettings]) -> Mapping[str, object]:
        """Fit the temperature over the networks of all seeds.

        If the training of a seed was rejected, so is the temperature. With fewer than five patients it is 1.
        """
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
