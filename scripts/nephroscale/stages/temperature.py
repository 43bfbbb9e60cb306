"""`temperature`: the temperature of each trained model, from its fold's validation patients alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.models.registry import modules_of
from nephroscale.stages.train import STAGE as TRAIN
from nephroscale.stages.train import features_of, negative_slots, prediction_of, split

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan


class Temperature(Stage):
    """One job a model, fold and seed. It depends on what training depends on, and never on a test patient."""

    name = "temperature"
    rule = "fit_temperature"
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
        held_out = features_of(plan, model, table["folds"][fold]["validation"])
        return [Need("folds", "cohort", part=f"fold{fold}.train"), Need("train", unit), *held_out]

    def upstream(self, plan: Plan, unit: str) -> list[Need]:
        return [Need("train", unit), Need("folds", "cohort")]

    def settings(self, plan: Plan, unit: str) -> Any:
        _, fold, seed = split(unit)
        return {"fold": fold, "seed": seed, **prediction_of(plan)}

    def rows(self, plan: Plan, unit: str) -> Any:
        model, fold, _ = split(unit)
        table = plan.object_json("folds", "cohort", "folds.json") or {"folds": []}
        return negative_slots(
            plan, model, [p for entry in table["folds"][fold : fold + 1] for p in entry["validation"]]
        )

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        return tuple(modules_of(plan.config["models"][split(unit)[0]]))


STAGE = Temperature()
