"""`audit`: where everything came from, as a page and a crate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.store.digest import digest_file, digest_json

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan


class Audit(Stage):
    """One job a cohort. Unlike all others its object tells of times and machines: it is made of records."""

    name = "audit"
    rule = "write_audit"
    after = ("report",)

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
        return {"title": plan.config["report"]["title"]}

    def rows(self, plan: Plan, unit: str) -> Any:
        return {
            patient.id: [patient.use, patient.status, patient.reason, patient.columns.get("decided_by")]
            for patient in plan.cohort.patients.values()
            if patient.use != "new"
        }

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        return ("nephroscale.provenance.page",)  # a process of its own writes the page: no import names it

    def files(self, plan: Plan, unit: str) -> dict[str, str] | None:
        recipes = [plan.recipe_digest(need.stage, need.unit) for need in self.needs(plan, unit)]
        workflow = plan.scripts.parent / "workflow"  # the crate carries the rules
        return {
            "records": digest_json([recipes, sorted(path.name for path in plan.records.repeat_paths())]),
            **{
                path.relative_to(workflow).as_posix(): digest_file(path)
                for path in [workflow / "Snakefile", *sorted(workflow.glob("rules/*.smk"))]
            },
        }


STAGE = Audit()
