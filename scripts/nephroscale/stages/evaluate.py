"""`evaluate`: predictions of each trained model on its fold's test patients."""

from __future__ import annotations

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
    read_fold_table,
    run_settings,
)
from nephroscale.stages.units import ModelRun
from nephroscale.store.digest import digest_json
from nephroscale.store.test_set_exposure import ScoredTestSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.engine.job import Job


class Evaluate(Stage):
    """One job per model, fold and seed: the only one that reads the fold's test patients."""

    name = "evaluate"
    rule = "evaluate_model"
    pattern = "{model}/fold{fold}-seed{seed}"
    torch = True

    def units(self, plan: PlanView) -> list[str]:
        return model_runs(plan)

    @need("folds")
    def folds(self, plan: PlanView, unit: str) -> Need:
        """The fold, with its test side."""
        return Need("folds", "cohort", part=f"fold{ModelRun.parse(unit).fold}")

    @need("train")
    def weights(self, plan: PlanView, unit: str) -> Need:
        """The trained network."""
        return Need("train", unit)

    @need("features", through="folds")
    def features(self, plan: PlanView, unit: str) -> list[Need]:
        """Features of the fold's test patients."""
        return features_of(plan, ModelRun.parse(unit).model, fold_patients(plan, unit, "test"))

    def settings(self, plan: PlanView, unit: str) -> RunSettings:
        return run_settings(plan, unit)

    def rows(self, plan: PlanView, unit: str) -> object:
        return negative_slots(plan, ModelRun.parse(unit).model, fold_patients(plan, unit, "test"))

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        return tuple(modules_of(plan.config.models[ModelRun.parse(unit).model]))

    def test_set_use(self, plan: PlanView, unit: str) -> ScoredTestSet | None:
        """The fold's test patients, and all that decides the predictions but the seed and the machine."""
        table = read_fold_table(plan)
        decides: list[object] = []
        for stage in ("train", self.name):
            recipe = plan.recipe(stage, unit)
            if table is None or recipe is None:
                return None
            fixed = {name: value for name, value in recipe.settings.items() if name != "seed"}
            train = fixed.get("train")
            if isinstance(train, dict):
                fixed["train"] = {name: value for name, value in train.items() if name != "seeds"}
            inputs = {label: value for label, value in recipe.inputs.items() if label != f"train/{unit}"}
            parts = {name: value for name, value in recipe.as_json().items() if name not in {"compute", "seed"}}
            decides.append({**parts, "settings": fixed, "inputs": inputs})
        assert table is not None
        test = sorted(table.folds[ModelRun.parse(unit).fold].test)
        return ScoredTestSet(digest_json(test), digest_json(decides))

    def make(self, job: Job) -> Mapping[str, object]:
        from nephroscale.evaluation.evaluate import evaluate_model

        settings = job.settings
        assert isinstance(settings, RunSettings)
        data = fold_data(job, settings.fold)
        return evaluate_model(data, job.input("weights").object, job.out, job.device, settings.prediction)


STAGE = Evaluate()
