"""Write the report."""

from typing import Any

from nephroscale.engine.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Gather what every stage made and write the page and its figures."""
    from nephroscale.reporting.inputs import gather
    from nephroscale.reporting.report import write_report

    inputs = gather(job.receipts(), job.input, job.rows, job.settings)
    return write_report(inputs, {**job.settings["report"], "seed": job.seed}, job.out)


run_stage(make, snakemake)
