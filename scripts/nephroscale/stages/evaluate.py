"""`evaluate`: predictions of each trained model on its fold's test patients.

The artifact is a folder: `predictions.csv`, the weights of the instances (`instances.csv`, `pooling.csv`) and
`attention`; where the network has what they show, `heads.csv`, `removed.csv` and `deletion.csv` (docs/dataflow.md).

The inputs are `weights` (from `train`) and, declared in `ModelRunStage` (stages/model_run.py), `folds` (the whole fold)
and `features` (of the test patients, in the model's modalities). A model that uses the prior (`tem.prior: deposits`)
reads also `priors` (the SVM of the fold, from `deposit_priors`) and `tem`. The settings are the fold, the seed, and the
reported head (`task.prediction`); the network's own are in `weights`. A job calls
`evaluation.evaluate.evaluate_model`. If the training was rejected, so is the evaluation, without any computation.
"""

from __future__ import annotations

from collections.abc import Mapping

from nephroscale.engine.job import Job
from nephroscale.engine.stage import Need, PlanView, need
from nephroscale.stages.model_inputs import fold_patients, read_fold_table, uses_prior
from nephroscale.stages.model_run import ModelRunStage, RunSettings, fold_data
from nephroscale.stages.priors import predicted_priors, prior_modules
from nephroscale.stages.units import ModelRun
from nephroscale.store.digest import digest_json
from nephroscale.store.test_set_exposure import ScoredTestSet


class Evaluate(ModelRunStage):
    """One job per model, fold and seed: of a model's jobs, the only one that reads the fold's test patients."""

    name = "evaluate"
    rule = "evaluate_model"
    sides = ("test",)
    keeps_process = True

    @need("tem", through="folds")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """The cleaned images of the test patients, for their priors."""
        model, fold, _ = ModelRun.parse(unit)
        patients = fold_patients(plan, fold, *self.sides) if uses_prior(plan, model) else []
        return [Need("tem", patient, optional=True) for patient in patients]

    @need("train")
    def weights(self, plan: PlanView, unit: str) -> Need:
        """The trained network."""
        return Need("train", unit)

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The network's modules, and those that compute the priors of test patients."""
        return (*super().modules(plan, unit), *prior_modules(plan, ModelRun.parse(unit).model))

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
            parts = {name: value for name, value in recipe.as_json().items() if name not in {"compute", "seed"}}
            decides.append(
                {
                    **parts,
                    "settings": fixed,
                    "inputs": {label: value for label, value in recipe.inputs.items() if label != f"train/{unit}"},
                }
            )
        assert table is not None
        return ScoredTestSet(digest_json(sorted(table.folds[ModelRun.parse(unit).fold].test)), digest_json(decides))

    def make(self, job: Job[RunSettings]) -> Mapping[str, object]:
        """Predict the test patients."""
        from nephroscale.evaluation.evaluate import evaluate_model

        fitted = job.optional_input("priors")
        data = fold_data(job, job.settings.fold, predicted_priors(job, fitted.object) if fitted else None)
        return evaluate_model(data, job.input("weights").object, job.out, job.device, job.settings.prediction)


STAGE = Evaluate()
