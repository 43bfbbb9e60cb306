"""`evaluate`: predictions of each trained model on its fold's test patients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.models.registry import modules_of
from nephroscale.stages.train import STAGE as TRAIN
from nephroscale.stages.train import features_of, negative_slots, prediction_of, split
from nephroscale.store.digest import digest_json
from nephroscale.store.receipts import Receipt
from nephroscale.store.test_set_exposure import ScoredTestSet

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan


class Evaluate(Stage):
    """One job a model, fold and seed: the only one that reads the fold's test patients."""

    name = "evaluate"
    rule = "evaluate_model"
    pattern = TRAIN.pattern
    torch = True
    after = ("train",)

    def units(self, plan: Plan) -> list[str]:
        return TRAIN.units(plan)

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        model, fold, _ = split(unit)
        table = plan.object_json("folds", "cohort", "folds.json")
        if table is None:
            return [Need("folds", "cohort")]
        tested = features_of(plan, model, table["folds"][fold]["test"])
        return [Need("folds", "cohort", part=f"fold{fold}"), Need("train", unit), *tested]

    def upstream(self, plan: Plan, unit: str) -> list[Need]:
        return [Need("train", unit), Need("folds", "cohort")]

    def settings(self, plan: Plan, unit: str) -> Any:
        _, fold, seed = split(unit)
        return {"fold": fold, "seed": seed, **prediction_of(plan)}

    def rows(self, plan: Plan, unit: str) -> Any:
        model, fold, _ = split(unit)
        table = plan.object_json("folds", "cohort", "folds.json") or {"folds": []}
        return negative_slots(plan, model, [p for entry in table["folds"][fold : fold + 1] for p in entry["test"]])

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        return tuple(modules_of(plan.config["models"][split(unit)[0]]))

    def look(self, plan: Plan, unit: str) -> ScoredTestSet | None:
        """All that decides the predictions but the seed and the machine, and the patients who are predicted."""
        table = plan.object_json("folds", "cohort", "folds.json")
        decides = []
        for stage in (TRAIN, self):
            recipe = plan.examine(stage, unit)
            if table is None or recipe is None or isinstance(recipe, Receipt):
                return None
            parts = {name: value for name, value in recipe.items() if name not in {"compute", "seed"}}
            settings = {name: value for name, value in recipe["settings"].items() if name != "seed"}
            inputs = {label: value for label, value in recipe["inputs"].items() if label != f"train/{unit}"}
            decides.append({**parts, "settings": settings, "inputs": inputs})
        return ScoredTestSet(digest_json(sorted(table["folds"][split(unit)[1]]["test"])), digest_json(decides))


STAGE = Evaluate()
