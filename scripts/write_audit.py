"""Write the audit."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Read receipts and records, and write the page, the crate and what they are made from."""
    from nephroscale.provenance.audit import write_audit

    return write_audit(job.plan, job.out)


run_stage(make, snakemake)
