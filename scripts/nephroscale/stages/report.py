"""`report`: one page and one file of figures about everything that was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.stages.train import model_settings, split
from nephroscale.store.test_set_exposure import ExposureLedger

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan


class Report(Stage):
    """One job a cohort."""

    name = "report"
    rule = "write_report"
    seeded = True
    after = ("temperature", "evaluate", "predict")

    def units(self, plan: Plan) -> list[str]:
        return ["cohort"]

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        return [
            Need(stage, other, part="receipt", optional=True)
            for stage in plan.stages_before(self.name)
            for other in plan.study_units(stage)
        ]

    def upstream(self, plan: Plan, unit: str) -> list[Need]:
        return plan.loose_ends(*plan.stages_before(self.name))

    def settings(self, plan: Plan, unit: str) -> Any:
        report = plan.config["report"]
        return {
            "report": {**report, "headline": report["headline"] or next(iter(plan.config["models"]))},
            "models": {model: model_settings(plan, model) for model in plan.config["models"]},
            "classes": list(plan.cohort.classes),
            "title": report["title"],
            "notes": report["notes"],
            "ordinal": plan.config["task"]["ordinal"],
            "looks": count_test_set_uses(plan),
        }

    def rows(self, plan: Plan, unit: str) -> Any:
        new = set(plan.new_patients)
        images = sorted((name, row) for name, row in plan.cohort.images.items() if row.patient_id not in new)
        return {name: [row.patient_id, row.modality] for name, row in images}


def count_test_set_uses(plan: Plan) -> dict[str, int]:
    """Fold to the number of configurations that were scored on its test patients, those of this run included."""
    present: dict[tuple[str, str], set[str]] = {}
    counted: set[tuple[str, int]] = set()
    for unit in plan.units("evaluate"):
        model, fold, _ = split(unit)
        # The seed does not make another look.
        if (model, fold) not in counted and (look := plan.stages["evaluate"].look(plan, unit)):
            counted.add((model, fold))
            present.setdefault((str(fold), look.patients), set()).add(look.configuration)
    looks = ExposureLedger(plan.store)
    return {fold: looks.count(patients, found) for (fold, patients), found in sorted(present.items())}


STAGE = Report()
