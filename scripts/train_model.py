"""Train one model on one fold with one seed."""

from typing import Any

from nephroscale.stages.job import Job, run_stage


def make(job: Job) -> dict[str, Any]:
    """Train, from the last checkpoint where there is one."""
    from nephroscale.cohort.eligible import bags_by_patient, read_folds
    from nephroscale.training.fit import fit

    settings = job.settings
    return fit(
        read_folds(job.input("folds")),
        str(settings["fold"]),
        bags_by_patient(job.receipts(), job.input),
        settings["model"],
        settings["train"],
        settings["seed"],
        job.out,
        job.work,
        job.device,
        negatives=job.rows,
    )


run_stage(make, snakemake)
