"""`audit`: the provenance of every artifact, as a page and a crate.

The artifact is a folder: the page `index.html`, the document `audit.json`, and the RO-Crate, which is the file
`ro-crate-metadata.json` with copies of the workflow (`workflow`) and, if there is a report, of its `metrics.json`. It
is in the store; the link ``<results>/audit`` leads to it, and `audit.html` in the results folder is a copy of the page.

A job reads the receipts of all units of the study before it, and the records of the store. It calls
`provenance.audit.write_audit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nephroscale.engine.job import Job
from nephroscale.engine.stage import PlanView, Stage, last_receipts, need, receipts_before
from nephroscale.settings import Settings, setting
from nephroscale.store.digest import digest_file, digest_json


@dataclass(frozen=True)
class AuditSettings(Settings):
    """Settings of the audit."""

    title: str = setting("Title of the page.")


class Audit(Stage):
    """One job per cohort. Unlike all others its object names times and machines: it is made of records."""

    name = "audit"
    rule = "write_audit"
    recalled = False
    reads_records = True
    pages = (("audit.html", "index.html"),)

    receipts = need("report", through=last_receipts)(receipts_before)

    def settings(self, plan: PlanView, unit: str) -> AuditSettings:
        """The title of the page (`report.title`)."""
        return AuditSettings(plan.config.report.title)

    def rows(self, plan: PlanView, unit: str) -> object:
        """Use, status, reason and `decided_by` of each patient, without new patients."""
        return {
            patient.id: [patient.use, patient.status, patient.reason, patient.columns.get("decided_by")]
            for patient in plan.cohort.patients.values()
            if patient.use != "new"
        }

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The module that writes the page: it runs as a process of its own, so no import names it."""
        return ("nephroscale.provenance.page",)  # a process of its own writes the page: no import names it

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """The digests of the Snakefile and its rules, which are copied, and one of what the records are of.

        The last one (`records`) is of the recipes of all artifacts before the audit, and of the repeats in the store.
        """
        return {
            "records": digest_json(
                [
                    [plan.recipe_digest(each.stage, each.unit) for each in self.needs(plan, unit)],
                    sorted(path.name for path in plan.records.repeat_paths()),
                ]
            ),
            **{
                path.relative_to(plan.workflow).as_posix(): digest_file(path)
                for path in [plan.workflow / "Snakefile", *sorted(plan.workflow.glob("rules/*.smk"))]
            },
        }

    def make(self, job: Job[AuditSettings]) -> Mapping[str, object]:
        """Write page, document and crate; nothing is rejected."""
        from nephroscale.provenance.audit import write_audit

        return write_audit(job.plan, job.out)


STAGE = Audit()
