"""Divide the patients into folds."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Write the folds of those who have what the models need."""
    from nephroscale.cohort.eligible import write_folds

    missing = {receipt.unit: receipt.reason for receipt in job.receipts() if not receipt.accepted}
    figures, parts = write_folds(job.rows, missing, job.settings, job.seed, job.out)
    job.parts.update(parts)
    return figures


run_stage(make, snakemake)
